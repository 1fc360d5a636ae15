//! `regex`: named groups of the first match become extracted values, and labels if wanted.
//!
//! A group that took no part is the empty text. Of groups with one name the last counts. Nothing matched: nothing changes.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::go::regex::{Regex, Slots, span};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    expression: String,
    source: Option<String>,
    #[serde(default)]
    labels_from_groups: bool,
}

struct RegexStage {
    regex: Regex,
    source: Source,
    /// Group, symbol, and the label's name.
    groups: Vec<(usize, Symbol, Text)>,
    labels: bool,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.expression.is_empty() {
        return Err(ConfigError::at(path, "expression", "an expression is required"));
    }
    let source = Source::build(config.source.as_deref(), path, builder)?;
    let regex = Regex::new(&config.expression).map_err(|e| ConfigError::at(path, "expression", e))?;
    let groups = regex
        .names()
        .map(|(group, name)| Ok((group, builder.symbol(name, path)?, Text::from(name))))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(RegexStage { regex, source, groups, labels: config.labels_from_groups }))
}

impl Stage for RegexStage {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(text) = self.source.read(entry) else { return Verdict::Keep };
        let mut slots = Slots::new();
        if !self.regex.captures(&text, &mut slots) {
            return Verdict::Keep;
        }
        for (group, symbol, name) in &self.groups {
            let value = span(&slots, *group).map_or(Text::new(), |(start, end)| text.slice(start, end));
            if self.labels && value.as_str().is_some() {
                entry.labels.set(name.clone(), value.clone());
            }
            entry.extracted.set(*symbol, value);
        }
        Verdict::Keep
    }
}
