//! `split_json`: each element of a JSON array becomes an entry, its line the element's text as it stands.
//!
//! Labels, timestamp, structured metadata and extracted values are copied. An empty array yields nothing; what is no sound
//! array leaves the entry.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::json::elements;
use crate::pipeline::{Builder, Context};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    source: Option<String>,
}

struct SplitJson(Source);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path)?;
    Ok(Box::new(SplitJson(Source::build(config.source.as_deref(), path, builder)?)))
}

impl Stage for SplitJson {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(text) = self.0.read(entry) else { return Verdict::Keep };
        let Some(elements) = elements(&text) else { return Verdict::Keep };
        let each = elements.into_iter().map(|(start, end)| Entry { line: text.slice(start, end), ..entry.clone() });
        Verdict::Emit(each.collect())
    }
}
