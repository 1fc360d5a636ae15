//! `labels`: extracted values, or structured metadata, become labels.
//!
//! Values that are missing, null or not UTF-8 are skipped; an empty one is set. Alloy's form has the map under `values`.

use super::{Stage, Verdict};
use crate::config::{ConfigError, Mapping, has_values, read, sources};
use crate::entry::{Entry, Symbol, Value};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    values: Mapping,
    #[serde(default)]
    source_type: SourceType,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceType {
    #[default]
    Extracted,
    StructuredMetadata,
}

enum Labels {
    /// Label, and the extracted value that it takes.
    Extracted(Vec<(Text, Symbol)>),
    /// Label, and the structured metadata that it takes.
    Metadata(Vec<(Text, Text)>),
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    if value.is_null() {
        return Err(ConfigError::new(path, "labels needs a map of label names to their sources"));
    }
    let config: Config = match has_values(value) {
        true => read(value, path, builder)?,
        false => Config { values: read(value, path, builder)?, source_type: SourceType::default() },
    };
    if config.values.contains_key("") {
        return Err(ConfigError::new(path, "a label name must not be empty"));
    }
    let pairs = sources(&config.values);
    Ok(Box::new(match config.source_type {
        SourceType::StructuredMetadata => Labels::Metadata(pairs.map(|(l, s)| (l.into(), s.into())).collect()),
        SourceType::Extracted => Labels::Extracted(
            pairs.map(|(label, source)| Ok((label.into(), builder.symbol(source, path)?))).collect::<Result<_, _>>()?,
        ),
    }))
}

impl Stage for Labels {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        match self {
            Labels::Extracted(pairs) => {
                for (label, source) in pairs {
                    let text = match entry.extracted.get(*source) {
                        Some(Value::Text(text)) if text.as_str().is_some() => text.clone(),
                        Some(Value::Text(_)) | None => continue,
                        Some(other) => match other.to_text() {
                            Some(text) => text,
                            None => continue,
                        },
                    };
                    entry.labels.set(label.clone(), text);
                }
            }
            Labels::Metadata(pairs) => {
                for (label, source) in pairs {
                    if let Some(text) = entry.metadata(source).filter(|text| text.as_str().is_some()).cloned() {
                        entry.labels.set(label.clone(), text);
                    }
                }
            }
        }
        Verdict::Keep
    }
}
