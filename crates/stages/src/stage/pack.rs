//! `pack`: labels and extracted values are packed with the line into a JSON object, which becomes the line.
//!
//! `{"name":"value",…,"_entry":"line"}`, names sorted, values as text. Packed labels are removed; names without a value are
//! left out. The timestamp becomes the time of packing unless `ingest_timestamp` is false.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::json::escape_into;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    labels: Option<BTreeSet<String>>,
    #[serde(default = "yes")]
    ingest_timestamp: bool,
}

fn yes() -> bool {
    true
}

struct Pack {
    /// Sorted by name.
    labels: Vec<(Text, Symbol)>,
    ingest_timestamp: bool,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    let labels = config.labels.unwrap_or_default().into_iter();
    let labels = labels.map(|name| Ok((Text::from(name.as_str()), builder.symbol(&name, path)?)));
    Ok(Box::new(Pack { labels: labels.collect::<Result<_, _>>()?, ingest_timestamp: config.ingest_timestamp }))
}

impl Stage for Pack {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        let mut line = Vec::with_capacity(entry.line.len() + 32 * (self.labels.len() + 1));
        line.push(b'{');
        let mut write = |name: &[u8], text: &[u8]| {
            line.push(b'"');
            escape_into(&mut line, name, true);
            line.extend_from_slice(b"\":\"");
            escape_into(&mut line, text, true);
            line.extend_from_slice(b"\",");
        };
        for (name, symbol) in &self.labels {
            if let Some(text) = entry.extracted.get_text(*symbol) {
                write(name, &text);
                entry.labels.remove(name);
            }
        }
        write(b"_entry", &entry.line);
        line.pop();
        line.push(b'}');
        entry.line = line.into();
        if self.ingest_timestamp {
            entry.timestamp = cx.now.wall;
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Labels;
    use crate::pipeline::tests::run;
    use proptest::prelude::*;

    proptest! {
        /// What is packed is unpacked by reading the JSON back, byte for byte as far as it is UTF-8.
        #[test]
        fn unpack_gives_back(app in ".{0,12}", line in ".{0,40}") {
            let labels: Labels = [("app", app.as_str()), ("z", "1")].into_iter().collect();
            let entry = Entry { labels, line: line.as_str().into(), ..Entry::default() };
            let out = run("- pack: {labels: [app, nope]}\n- json: {expressions: {l: _entry, a: app}}\n- labels: {app: a}\n- output: {source: l}", vec![entry]);
            prop_assert_eq!(&out[0].line, line.as_str());
            prop_assert_eq!(out[0].labels.get(b"app").unwrap(), app.as_str());
        }
    }
}
