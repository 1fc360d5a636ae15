//! `eventlogmessage`: `key: value` lines of a Windows event's message become extracted values.
//!
//! Lines end with CRLF; lines without a colon are left out. Keys that are no label names are sanitised, or left out with
//! `drop_invalid_labels`. A key that is extracted already gets the suffix `_extracted`, unless `overwrite_existing`. A source
//! that has no text (null) drops the entry, as in the peer.

use super::{Stage, Verdict};
use crate::config::{ConfigError, is_legacy_name, read};
use crate::entry::{Entry, Symbol, Value};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    pub source: String,
    pub drop_invalid_labels: bool,
    pub overwrite_existing: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: "message".to_owned(), drop_invalid_labels: false, overwrite_existing: false }
    }
}

struct EventLogMessage {
    source: Symbol,
    config: Config,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if !is_legacy_name(config.source.as_bytes()) {
        return Err(ConfigError::at(path, "source", format!("invalid label name: \"{}\"", config.source)));
    }
    Ok(Box::new(EventLogMessage { source: builder.symbol(&config.source, path)?, config }))
}

/// A name in which every character that a label name cannot have is `_`.
pub(super) fn sanitize(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let legal = |(i, c): (usize, char)| match c {
        '_' | 'a'..='z' | 'A'..='Z' => c,
        '0'..='9' if i > 0 => c,
        _ => '_',
    };
    name.char_indices().map(legal).collect()
}

/// Sets a value under a name that may be taken.
pub(super) fn set(entry: &mut Entry, mut name: String, value: &str, overwrite: bool) {
    if !overwrite && entry.extracted.get_named(name.as_bytes()).is_some() {
        name.push_str("_extracted");
    }
    entry.extracted.set_named(name.into(), Value::Text(value.into()));
}

impl Stage for EventLogMessage {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(value) = entry.extracted.get(self.source) else { return Verdict::Keep };
        let Some(text) = value.to_text() else {
            return Verdict::Drop(Text::from_static("the message has no text"));
        };
        let text = text.to_str_lossy();
        for line in text.split("\r\n") {
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = match is_legacy_name(name.as_bytes()) {
                true => name.to_owned(),
                false if self.config.drop_invalid_labels => continue,
                false => sanitize(name),
            };
            set(entry, name, value.trim(), self.config.overwrite_existing);
        }
        Verdict::Keep
    }
}
