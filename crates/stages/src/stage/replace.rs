//! `replace`: the capture groups of every match are replaced by a template.
//!
//! Only groups are replaced, not whole matches; no groups, nothing happens. `.Value` is the group's text, and all extracted
//! values are there as text. A group inside one that was replaced is left out. Named groups are extracted as what the first
//! match's text was replaced by.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::go::regex::{Regex, span};
use crate::go::template::{Data, Template};
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

/// The longest line that replacing may make.
const MAX_OUTPUT: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    expression: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    replace: String,
}

struct Replace {
    regex: Regex,
    source: Source,
    template: Template,
    names: Vec<(usize, Symbol)>,
    failures: Counter,
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
    let source = Source::build(Some(config.source.as_str()).filter(|s| !s.is_empty()), path, builder)?;
    let regex = Regex::new(&config.expression).map_err(|e| ConfigError::at(path, "expression", e))?;
    let template = Template::new(&config.replace).map_err(|e| ConfigError::at(path, "replace", e))?;
    let names = regex.names().map(|(i, name)| Ok((i, builder.symbol(name, path)?))).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(Replace { regex, source, template, names, failures: builder.books.failures.clone() }))
}

/// What a group's text was replaced by.
type Replaced = Vec<(Text, Text)>;

impl Replace {
    /// The new text, and what each group's text became; `None` where nothing matched or a template failed.
    fn replaced(&self, text: &Text, entry: &Entry) -> Option<(Vec<u8>, Replaced)> {
        let (mut out, mut done): (Vec<u8>, Replaced) = (Vec::new(), Vec::new());
        let (mut copied, mut matched, mut failed) = (0, false, false);
        self.regex.for_each(text, |slots| {
            matched = true;
            for group in 1..self.regex.groups() {
                let Some((start, end)) = span(slots, group).filter(|_| !failed) else { continue };
                let value = text.slice(start, end);
                let data = Data { extracted: &entry.extracted, value: Some(value.clone()), line: None };
                let Ok(with) = self.template.execute(&data) else {
                    failed = true;
                    continue;
                };
                if copied == 0 || copied <= start {
                    out.extend_from_slice(&text[copied.min(start)..start]);
                    out.extend_from_slice(&with);
                    copied = end;
                }
                failed |= out.len() > MAX_OUTPUT;
                let with = Text::from(with);
                match done.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, old)) => *old = with,
                    None => done.push((value, with)),
                }
            }
        });
        if failed {
            self.failures.inc();
        }
        out.extend_from_slice(&text[copied..]);
        (matched && !failed).then_some((out, done))
    }
}

impl Stage for Replace {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(text) = self.source.read(entry) else { return Verdict::Keep };
        if !self.regex.is_match(&text) {
            return Verdict::Keep;
        }
        let Some((new, done)) = self.replaced(&text, entry) else { return Verdict::Keep };
        self.source.write(entry, new.into());
        let mut first = Default::default();
        if !self.names.is_empty() && self.regex.captures(&text, &mut first) {
            for (group, symbol) in &self.names {
                // A group that took no part has the empty text.
                let value = span(&first, *group).map_or(&b""[..], |(start, end)| &text[start..end]);
                if let Some((_, with)) = done.iter().find(|(known, _)| known.as_bytes() == value) {
                    entry.extracted.set(*symbol, with.clone());
                }
            }
        }
        Verdict::Keep
    }
}
