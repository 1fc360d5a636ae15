//! `label_drop` (Promtail: `labeldrop`): removes labels. Their copies in the extracted map stay.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

/// Promtail's form is the list itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default)]
    pub values: Vec<String>,
}

/// Reads a list of names in either form; there must be at least one.
pub(super) fn names(value: &serde_json::Value, path: &str, builder: &mut Builder) -> Result<Vec<Text>, ConfigError> {
    let config = match value.is_array() {
        true => Config { values: read(value, path, builder)? },
        false => read(value, path, builder)?,
    };
    if config.values.is_empty() {
        return Err(ConfigError::new(path, "a list of at least one name is required"));
    }
    Ok(config.values.into_iter().map(Text::from).collect())
}

struct LabelDrop(Vec<Text>);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    Ok(Box::new(LabelDrop(names(value, path, builder)?)))
}

impl Stage for LabelDrop {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        for name in &self.0 {
            entry.labels.remove(name);
        }
        Verdict::Keep
    }
}
