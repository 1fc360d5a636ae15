//! `static_labels`: labels with fixed values. Null and empty values are left out. The extracted map is not touched.

use super::{Stage, Verdict};
use crate::config::{ConfigError, Mapping, has_values, read};
use crate::entry::Entry;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    values: Mapping,
}

struct StaticLabels(Vec<(Text, Text)>);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    if value.is_null() {
        return Err(ConfigError::new(path, "static_labels needs a map of label names to their values"));
    }
    let config = match has_values(value) {
        true => read(value, path, builder)?,
        false => Config { values: read(value, path, builder)? },
    };
    if config.values.contains_key("") {
        return Err(ConfigError::new(path, "a label name must not be empty"));
    }
    let labels = config.values.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let labels = labels.filter(|(_, value)| !value.is_empty());
    Ok(Box::new(StaticLabels(labels.map(|(name, value)| (name.as_str().into(), value.into())).collect())))
}

impl Stage for StaticLabels {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        for (name, value) in &self.0 {
            entry.labels.set(name.clone(), value.clone());
        }
        Verdict::Keep
    }
}
