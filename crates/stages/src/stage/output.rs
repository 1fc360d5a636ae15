//! `output`: the line becomes an extracted value.
//!
//! A value that is missing or null leaves the line; an empty one empties it.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::pipeline::{Builder, Context};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    source: String,
}

struct Output(Symbol);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.source.is_empty() {
        return Err(ConfigError::at(path, "source", "the source of the new line is required"));
    }
    Ok(Box::new(Output(builder.symbol(&config.source, path)?)))
}

impl Stage for Output {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        if let Some(text) = entry.extracted.get_text(self.0) {
            entry.line = text;
        }
        Verdict::Keep
    }
}
