//! `truncate`: cuts lines, labels, structured metadata or extracted texts that are too long, and marks that it did.
//!
//! Lengths are bytes. What is longer than the limit less the suffix is cut there, and the suffix follows, as in the peer; so a
//! text that is not longer than the limit may still be cut. The extracted value `truncated` names what was, over all stages:
//! `label,line`.
//!
//! Better than the peer: no half character is left, which would become three bytes wherever UTF-8 is written, and exceed the limit.

use super::{Stage, Verdict};
use crate::config::{ByteSize, ConfigError, read};
use crate::entry::{Entry, Symbol, Value};
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default, alias = "rule")]
    rules: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    limit: ByteSize,
    #[serde(default)]
    suffix: String,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    source_type: Kind,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Line,
    Label,
    StructuredMetadata,
    Extracted,
}

struct Rule {
    /// How many bytes stay.
    keep: usize,
    suffix: String,
    sources: Vec<Text>,
    kind: Kind,
    field: &'static str,
    truncated: Counter,
}

struct Truncate {
    rules: Vec<Rule>,
    mark: Symbol,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.rules.is_empty() {
        return Err(ConfigError::at(path, "rules", "at least one rule is required"));
    }
    let mut rules = Vec::new();
    for (i, rule) in config.rules.iter().enumerate() {
        let rule = Rule::build(rule, &format!("{path}.rules[{i}]"), builder);
        rules.extend(builder.or_refuse(rule));
    }
    Ok(Box::new(Truncate { rules, mark: builder.symbol("truncated", path)? }))
}

impl Rule {
    fn build(value: &serde_json::Value, path: &str, builder: &mut Builder) -> Result<Rule, ConfigError> {
        let rule: RuleConfig = read(value, path, builder)?;
        let refuse = |key: &str, why: &str| Err(ConfigError::at(path, key, why));
        let Some(limit) = usize::try_from(rule.limit.0).ok().filter(|limit| *limit > 0) else {
            return refuse("limit", "must be greater than zero");
        };
        if rule.source_type == Kind::Line && !rule.sources.is_empty() {
            return refuse("sources", "a line has no sources");
        }
        if rule.suffix.len() >= limit {
            return refuse("suffix", "must be shorter than the limit");
        }
        let field = match rule.source_type {
            Kind::Line => "line",
            Kind::Label => "label",
            Kind::StructuredMetadata => "structured_metadata",
            Kind::Extracted => "extracted",
        };
        let help = "A count of all log lines, labels, extracted values, or structured_metadata truncated as a result of a pipeline stage";
        Ok(Rule {
            keep: limit - rule.suffix.len(),
            suffix: rule.suffix,
            sources: rule.sources.into_iter().map(Text::from).collect(),
            kind: rule.source_type,
            field,
            truncated: builder.counter("loki_process_truncated_fields_total", help, &[("field", field)]),
        })
    }

    /// Cuts a text if it is too long; whether it did.
    fn cut(&self, text: &mut Text) -> bool {
        if text.len() <= self.keep {
            return false;
        }
        *text = match self.suffix.as_str() {
            "" => text.cut(self.keep),
            suffix => [&text.cut(self.keep), suffix.as_bytes()].concat().into(),
        };
        self.truncated.inc();
        true
    }

    fn names(&self, name: &Text) -> bool {
        self.sources.is_empty() || self.sources.contains(name)
    }

    fn apply(&self, entry: &mut Entry) -> bool {
        let mut cut = false;
        match self.kind {
            Kind::Line => cut = self.cut(&mut entry.line),
            Kind::Label => {
                // Looked at first, so that labels that stay are not copied.
                if entry.labels.iter().any(|(name, value)| value.len() > self.keep && self.names(name)) {
                    for (name, value) in entry.labels.values_mut() {
                        cut |= self.names(name) && self.cut(value);
                    }
                }
            }
            Kind::StructuredMetadata => {
                for (name, value) in &mut entry.metadata {
                    cut |= self.names(name) && self.cut(value);
                }
            }
            Kind::Extracted => entry.extracted.for_each_mut(|name, value| {
                if let Value::Text(text) = value {
                    cut |= self.names(name) && self.cut(text);
                }
            }),
        }
        cut
    }
}

impl Stage for Truncate {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let mut fields: BTreeSet<String> = BTreeSet::new();
        for rule in &self.rules {
            if rule.apply(entry) {
                fields.insert(rule.field.to_owned());
            }
            if fields.is_empty() {
                continue;
            }
            if let Some(Value::Text(before)) = entry.extracted.get(self.mark) {
                fields.extend(before.to_str_lossy().split(',').map(str::to_owned));
            }
            let mark = fields.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            entry.extracted.set(self.mark, Text::from(mark));
        }
        Verdict::Keep
    }
}
