//! `drop`: drops entries that meet every condition that is configured.
//!
//! Conditions: longer than a size in bytes, older than a duration, sources present, a regular expression that matches the
//! line or the joined sources, or a value that equals them. A source that is null is present, but has no text, so an
//! expression keeps such an entry.
//!
//! Better than the peer: where no source is there, nothing is compared and the entry stays, whatever the expression matches; the
//! peer compares with the empty text.

use super::{Stage, Verdict};
use crate::config::{ByteSize, ConfigError, GoDuration, OneOrMany, read};
use crate::entry::{Entry, Symbol, Value};
use crate::go::regex::Regex;
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    source: Option<OneOrMany>,
    value: Option<String>,
    separator: Option<String>,
    expression: Option<String>,
    older_than: Option<GoDuration>,
    longer_than: Option<ByteSize>,
    drop_counter_reason: Option<String>,
}

/// What text must be.
enum Pattern {
    Regex(Regex),
    Equal(Text),
}

impl Pattern {
    fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Pattern::Regex(regex) => regex.is_match(text),
            Pattern::Equal(value) => value.as_bytes() == text,
        }
    }
}

struct Drop {
    longer_than: Option<i64>,
    older_than: Option<Duration>,
    sources: Vec<Symbol>,
    separator: String,
    pattern: Option<Pattern>,
    reason: Text,
    dropped: Counter,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let mut config: Config = read(value, path, builder)?;
    // Zero is the same as not set.
    config.longer_than = config.longer_than.filter(|size| size.0 != 0);
    config.older_than = config.older_than.filter(|age| age.0 != 0);
    // A list is joined with commas and split again: a name cannot hold one.
    let source = match config.source {
        Some(OneOrMany::One(one)) => one,
        Some(OneOrMany::Many(many)) => many.join(","),
        None => String::new(),
    };
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (value, expression) = (some(config.value), some(config.expression));
    if source.is_empty() && expression.is_none() && config.older_than.is_none() && config.longer_than.is_none() {
        return Err(ConfigError::new(
            path,
            "at least one of source, expression, older_than and longer_than is required",
        ));
    }
    if value.is_some() && expression.is_some() {
        return Err(ConfigError::new(path, "value and expression cannot both be set"));
    }
    if value.is_some() && source.is_empty() {
        return Err(ConfigError::at(path, "value", "a value needs a source to compare with"));
    }
    let pattern = match (value, expression) {
        (Some(value), _) => Some(Pattern::Equal(value.into())),
        (None, Some(expression)) => {
            let regex = Regex::new(&expression).map_err(|e| ConfigError::at(path, "expression", e))?;
            Some(Pattern::Regex(regex))
        }
        (None, None) => None,
    };
    let names = source.split(',').filter(|_| !source.is_empty());
    let sources = names.map(|name| builder.symbol(name, path)).collect::<Result<_, _>>()?;
    let reason = some(config.drop_counter_reason).unwrap_or_else(|| "drop_stage".to_owned());
    Ok(Box::new(Drop {
        longer_than: config.longer_than.map(|size| size.0),
        older_than: config.older_than.map(GoDuration::get),
        sources,
        separator: some(config.separator).unwrap_or_else(|| ";".to_owned()),
        pattern,
        dropped: builder.dropped(&reason),
        reason: reason.into(),
    }))
}

impl Drop {
    fn is_met(&self, entry: &Entry, cx: &Context<'_>) -> bool {
        if self.longer_than.is_some_and(|limit| entry.line.len() as i64 <= limit) {
            return false;
        }
        if self.older_than.is_some_and(|age| entry.timestamp >= cx.now.wall.minus(age)) {
            return false;
        }
        match (&self.pattern, self.sources.as_slice()) {
            (None, sources) => sources.iter().all(|source| entry.extracted.get(*source).is_some()),
            (Some(pattern), []) => pattern.is_match(&entry.line),
            (Some(pattern), [source]) => match entry.extracted.get(*source) {
                Some(Value::Text(text)) => pattern.is_match(text),
                Some(value) => value.to_text().is_some_and(|text| pattern.is_match(&text)),
                None => false,
            },
            (Some(pattern), sources) => {
                let mut joined: Vec<u8> = Vec::new();
                let mut first = true;
                for value in sources.iter().filter_map(|source| entry.extracted.get(*source)) {
                    let Some(text) = value.to_text() else { return false };
                    if !first {
                        joined.extend_from_slice(self.separator.as_bytes());
                    }
                    first = false;
                    joined.extend_from_slice(&text);
                }
                !first && pattern.is_match(&joined)
            }
        }
    }
}

impl Stage for Drop {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        if !self.is_met(entry, cx) {
            return Verdict::Keep;
        }
        self.dropped.inc();
        Verdict::Drop(self.reason.clone())
    }
}
