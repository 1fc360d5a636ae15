//! `docker`: the json-file log driver's lines: `{"log":"…","stream":"stdout","time":"…"}`.
//!
//! The log becomes the line, with its newline; the stream a label; the time the timestamp if it can be read. Keys match in any
//! case. What is not such an object, or has no log, is left.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol, Value};
use crate::go::location::Location;
use crate::go::time::{Layout, RFC3339_NANO, rfc3339};
use crate::json::{Kind, Paths};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

struct Docker {
    output: Symbol,
    stream: Symbol,
    timestamp: Symbol,
    paths: Paths,
    layout: Layout,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let Config {} = read(value, path, builder)?;
    Ok(Box::new(Docker {
        output: builder.symbol("output", path)?,
        stream: builder.symbol("stream", path)?,
        timestamp: builder.symbol("timestamp", path)?,
        paths: Paths::default(),
        layout: Layout::new(RFC3339_NANO),
    }))
}

/// The keys of such an object.
const KEYS: [&[u8]; 3] = [b"log", b"stream", b"time"];

impl Docker {
    /// Log, stream and time of a line.
    fn parse(&self, line: &Text) -> Option<[Text; 3]> {
        let mut parts = [Text::new(), Text::new(), Text::new()];
        let mut mistyped = false;
        self.paths
            .find(
                line,
                &mut [],
                Some(&mut |key, raw| {
                    let Some(i) = KEYS.iter().position(|k| k.eq_ignore_ascii_case(key)) else { return };
                    match (raw.kind, raw.value(line)) {
                        (_, Value::Text(text)) if matches!(raw.kind, Kind::String { .. }) => parts[i] = text,
                        (Kind::Null, _) => {}
                        _ => mistyped = true,
                    }
                }),
            )
            .ok()?;
        (!mistyped && !parts[0].is_empty()).then_some(parts)
    }
}

impl Stage for Docker {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some([log, stream, time]) = self.parse(&entry.line) else { return Verdict::Keep };
        let at = rfc3339(&time).or_else(|| Some(self.layout.parse(time.as_str()?)?.resolve(&Location::utc())));
        entry.timestamp = at.unwrap_or(entry.timestamp);
        entry.labels.set(Text::from_static("stream"), stream.clone());
        entry.extracted.set(self.output, log.clone());
        entry.extracted.set(self.stream, stream);
        entry.extracted.set(self.timestamp, time);
        entry.line = log;
        Verdict::Keep
    }
}
