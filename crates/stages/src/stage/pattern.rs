//! `pattern`: captures between literals, as LogQL's pattern parser: `<ip> - <_> "<verb> <path>"`.
//!
//! The first literal must be at the start. A literal that is not found leaves the capture before it with the rest of the
//! text, and later captures without a value; text after the last literal counts for nothing. The empty text never matches.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use memchr::memmem;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    pattern: String,
    source: Option<String>,
    #[serde(default)]
    labels_from_groups: bool,
}

/// A part of a pattern.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Literal(&'a str),
    /// `_` captures nothing.
    Capture(&'a str),
}

/// Cuts a pattern into its parts. A `<` that begins no capture is a literal.
fn parts(pattern: &str) -> Vec<Part<'_>> {
    let (mut parts, mut literal, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = pattern[at..].find('<') {
        let open = at + found;
        let inside = &pattern[open + 1..];
        let len = inside.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count();
        if len == 0 || inside.as_bytes()[0].is_ascii_digit() || inside.as_bytes().get(len) != Some(&b'>') {
            at = open + 1;
            continue;
        }
        if literal < open {
            parts.push(Part::Literal(&pattern[literal..open]));
        }
        parts.push(Part::Capture(&inside[..len]));
        at = open + len + 2;
        literal = at;
    }
    if literal < pattern.len() {
        parts.push(Part::Literal(&pattern[literal..]));
    }
    parts
}

/// What a capture becomes: nothing, or an extracted value and perhaps a label.
type Target = Option<(Symbol, Text)>;

struct Pattern {
    source: Source,
    /// The literal at the start.
    first: Box<[u8]>,
    /// Captures, each with the literal after it, which the last one may lack.
    captures: Vec<(Target, Option<memmem::Finder<'static>>)>,
    labels: bool,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    let refuse = |why: &str| Err(ConfigError::at(path, "pattern", why));
    if config.pattern.is_empty() {
        return refuse("a pattern is required");
    }
    let source = Source::build(config.source.as_deref(), path, builder)?;
    let parts = parts(&config.pattern);
    if parts.windows(2).any(|pair| matches!(pair, [Part::Capture(_), Part::Capture(_)])) {
        return refuse("two captures need a literal between them");
    }
    let mut names: Vec<&str> =
        parts.iter().filter_map(|p| if let Part::Capture(name) = p { Some(*name) } else { None }).collect();
    names.retain(|name| *name != "_");
    if names.is_empty() {
        return refuse("at least one capture with a name is required");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() < count {
        return refuse("a capture's name can be used once");
    }
    let (mut first, mut captures): (Box<[u8]>, Vec<_>) = (Box::default(), Vec::new());
    for part in parts {
        match part {
            Part::Capture("_") => captures.push((None, None)),
            Part::Capture(name) => captures.push((Some((builder.symbol(name, path)?, name.into())), None)),
            Part::Literal(text) => match captures.last_mut() {
                Some((_, after)) => *after = Some(memmem::Finder::new(text).into_owned()),
                None => first = text.as_bytes().into(),
            },
        }
    }
    Ok(Box::new(Pattern { source, first, captures, labels: config.labels_from_groups }))
}

impl Stage for Pattern {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(text) = self.source.read(entry) else { return Verdict::Keep };
        if text.is_empty() || !text.starts_with(&self.first) {
            return Verdict::Keep;
        }
        let mut at = self.first.len();
        for (target, literal) in &self.captures {
            let found =
                literal.as_ref().and_then(|finder| finder.find(&text[at..]).map(|i| (i, finder.needle().len())));
            let end = found.map_or(text.len(), |(len, _)| at + len);
            if let Some((symbol, name)) = target {
                let value = text.slice(at, end);
                if self.labels && value.as_str().is_some() {
                    entry.labels.set(name.clone(), value.clone());
                }
                entry.extracted.set(*symbol, value);
            }
            match found {
                Some((len, literal)) => at += len + literal,
                None => break,
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern is cut into literals and captures; what only looks like a capture is a literal.
    #[test]
    fn cuts_patterns() {
        use Part::{Capture, Literal};
        assert_eq!(parts("a<b>c"), [Literal("a"), Capture("b"), Literal("c")]);
        assert_eq!(parts("a < b <c>"), [Literal("a < b "), Capture("c")]);
        assert_eq!(parts("<1a><a-b>< >"), [Literal("<1a><a-b>< >")]);
        assert_eq!(parts("<<a>>"), [Literal("<"), Capture("a"), Literal(">")]);
        assert_eq!(parts("é<_>"), [Literal("é"), Capture("_")]);
    }
}
