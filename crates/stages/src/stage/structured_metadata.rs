//! `structured_metadata`: extracted values and labels become structured metadata. Labels that do are removed.
//!
//! Later sources win: values named in the configuration from the extracted map, names that the regex matches from there, then
//! both from the labels. What has the same name is replaced.

use super::{Stage, Verdict};
use crate::config::{ConfigError, Mapping, has_values, read, sources};
use crate::entry::{Entry, Symbol};
use crate::go::regex::Regex;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    values: Mapping,
    regex: String,
}

struct Metadata {
    values: Vec<(Text, Text, Symbol)>,
    regex: Option<Regex>,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let alloy = has_values(value)
        || value.as_object().is_some_and(|m| m.len() == 1 && m.get("regex").is_some_and(|r| r.is_string()));
    let config: Config = match alloy {
        true => read(value, path, builder)?,
        false => Config { values: read(value, path, builder)?, ..Config::default() },
    };
    if config.values.contains_key("") {
        return Err(ConfigError::new(path, "a name must not be empty"));
    }
    let regex = match config.regex.as_str() {
        "" => None,
        regex => Some(Regex::new(regex).map_err(|e| ConfigError::at(path, "regex", e))?),
    };
    let values = sources(&config.values)
        .map(|(name, source)| Ok((name.into(), source.into(), builder.symbol(source, path)?)))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(Metadata { values, regex }))
}

impl Stage for Metadata {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        for (name, _, source) in &self.values {
            if let Some(text) = entry.extracted.get_text(*source).filter(|t| t.as_str().is_some()) {
                entry.set_metadata(name.clone(), text);
            }
        }
        if let Some(regex) = &self.regex {
            for (name, value) in entry.extracted.sorted() {
                if regex.is_match(&name)
                    && let Some(text) = value.to_text()
                {
                    entry.set_metadata(name, text);
                }
            }
        }
        // A label may go under several names: it is removed when all have it.
        for (name, source, _) in &self.values {
            if let Some(value) = entry.labels.get(source).cloned() {
                entry.set_metadata(name.clone(), value);
            }
        }
        for (_, source, _) in &self.values {
            entry.labels.remove(source);
        }
        if let Some(regex) = &self.regex {
            let matching = |(name, _): &&(Text, Text)| regex.is_match(name);
            let matched: Vec<(Text, Text)> = entry.labels.iter().filter(matching).cloned().collect();
            for (name, value) in matched {
                entry.labels.remove(&name);
                entry.set_metadata(name, value);
            }
        }
        Verdict::Keep
    }
}
