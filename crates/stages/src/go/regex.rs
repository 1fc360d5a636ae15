//! Regular expressions in Go's syntax (RE2), run by the `regex` engine.
//!
//! [`translate`](translate::translate) rewrites one syntax into the other; what Go refuses is refused, what only the other engine knows is refused
//! too, so that an expression means the same here and there. Groups are kept by number, with Go's names beside them: Go
//! allows a name twice (the last group wins) and names that begin with a digit.
//!
//! Bytes that are not UTF-8 are each read as U+FFFD, as Go does: such a text, and only such a one, is matched as a copy ([`lossy`]).
//! No match begins or ends within a character.
//!
//! Differences that remain: classes such as `\pL` are those of a newer Unicode than Go's. Compiled size is limited, so that a tenant's
//! expression cannot take the process's memory; matching is linear in the line.

mod lossy;
mod translate;

use crate::shared::Shared;
use lossy::Lossy;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta, util::syntax};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most bytes a compiled expression may take.
const SIZE_LIMIT: usize = 2 << 20;
/// The most bytes an expression may have.
const LENGTH_LIMIT: usize = 64 << 10;

/// An expression that could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression: {what}: `{near}`")]
pub struct RegexError {
    /// What is wrong.
    pub what: String,
    /// The part of the expression that is.
    pub near: String,
}

impl RegexError {
    fn new(what: impl Into<String>, near: impl Into<String>) -> Self {
        Self { what: what.into(), near: near.into() }
    }
}

/// Where the groups of a match begin and end: two places for each group, the whole match first.
pub type Slots = SmallVec<[Option<NonMaxUsize>; 16]>;

/// A compiled expression. Equal expressions share one, process-wide.
#[derive(Clone, Debug)]
pub struct Regex(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    engine: meta::Regex,
    /// Names by group number; group 0 is the whole match.
    names: Vec<Option<Box<str>>>,
    source: Box<str>,
}

impl Regex {
    /// Compiles `source`.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        static KNOWN: Shared<String, Compiled> = Shared::new();
        KNOWN.get(source.to_owned(), |source| compile(source)).map(Regex)
    }

    /// Compiles `source` so that it must match a whole value, dots matching newlines: how label matchers work.
    pub fn anchored(source: &str) -> Result<Self, RegexError> {
        // Checked by itself first, so that `a)|(b` is refused and not completed by what is put around it.
        translate::translate(source)?;
        Regex::new(&format!("^(?s:{source})$"))
    }

    /// Whether it matches anywhere.
    #[inline]
    pub fn is_match(&self, text: &[u8]) -> bool {
        match Lossy::of(text) {
            None => self.0.engine.is_match(text),
            Some(lossy) => self.0.engine.is_match(lossy.text()),
        }
    }

    /// The groups of the first match.
    #[inline]
    pub fn captures(&self, text: &[u8], slots: &mut Slots) -> bool {
        match Lossy::of(text) {
            None => self.search(text, 0, slots),
            Some(lossy) => {
                let found = self.search(lossy.text(), 0, slots);
                lossy.restore(slots);
                found
            }
        }
    }

    /// The first match.
    pub fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut slots = Slots::new();
        self.captures(text, &mut slots).then(|| span(&slots, 0)).flatten()
    }

    #[inline]
    fn search(&self, text: &[u8], from: usize, slots: &mut Slots) -> bool {
        slots.clear();
        slots.resize(2 * self.0.names.len(), None);
        self.0.engine.search_slots(&Input::new(text).range(from..), slots).is_some()
    }

    /// Calls `each` with the groups of every match, as Go's `FindAllSubmatchIndex` finds them: an empty match right after the
    /// previous one is left out.
    pub fn for_each(&self, text: &[u8], mut each: impl FnMut(&Slots)) {
        let lossy = Lossy::of(text);
        let text = lossy.as_ref().map_or(text, Lossy::text);
        let (mut slots, mut restored) = (Slots::new(), Slots::new());
        let (mut at, mut last_end) = (0, None);
        while at <= text.len() && self.search(text, at, &mut slots) {
            let Some((start, end)) = span(&slots, 0) else { return };
            if start == end && last_end == Some(start) {
                at = next_char(text, end);
                continue;
            }
            match &lossy {
                None => each(&slots),
                Some(lossy) => {
                    restored.clone_from(&slots);
                    lossy.restore(&mut restored);
                    each(&restored);
                }
            }
            last_end = Some(end);
            at = if start == end { next_char(text, end) } else { end };
        }
    }

    /// Numbers and names of the named groups.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.names.iter().enumerate().filter_map(|(i, name)| Some((i, name.as_deref()?)))
    }

    /// Number of groups, the whole match included.
    pub fn groups(&self) -> usize {
        self.0.names.len()
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// `ReplaceAllString`: every match replaced, `$1`, `$name`, `${name}` and `$$` in `with` expanded.
    pub fn replace_all(&self, text: &[u8], with: &str, limit: usize) -> Vec<u8> {
        self.replace(text, limit, |slots, out| self.expand(with, text, slots, out))
    }

    /// `ReplaceAllLiteralString`: every match replaced by `with` as it stands.
    pub fn replace_all_literal(&self, text: &[u8], with: &str, limit: usize) -> Vec<u8> {
        self.replace(text, limit, |_, out| out.extend_from_slice(with.as_bytes()))
    }

    /// Stops replacing once the output has `limit` bytes.
    fn replace(&self, text: &[u8], limit: usize, mut with: impl FnMut(&Slots, &mut Vec<u8>)) -> Vec<u8> {
        let (mut out, mut copied) = (Vec::with_capacity(text.len()), 0);
        self.for_each(text, |slots| {
            if let Some((start, end)) = span(slots, 0).filter(|_| out.len() < limit) {
                out.extend_from_slice(&text[copied..start]);
                with(slots, &mut out);
                copied = end;
            }
        });
        out.extend_from_slice(&text[copied..]);
        out
    }

    /// `Regexp.Expand`. The longest name counts: `$1x` is the group called `1x`.
    fn expand(&self, template: &str, text: &[u8], slots: &Slots, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push(b'$');
                rest = after;
                continue;
            }
            let is_name = |c: char| c == '_' || c.is_alphanumeric();
            let (name, after) = match rest.strip_prefix('{') {
                Some(inner) => match inner.split_once('}') {
                    Some((name, after)) if !name.is_empty() && name.chars().all(is_name) => (name, after),
                    _ => ("", rest),
                },
                None => rest.split_at(rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())),
            };
            if name.is_empty() {
                out.push(b'$');
                continue;
            }
            rest = after;
            let group = match name.parse::<usize>() {
                Ok(number) if number < self.groups() => span(slots, number),
                Ok(_) => None,
                Err(_) => self.names().filter(|(_, n)| *n == name).filter_map(|(i, _)| span(slots, i)).last(),
            };
            if let Some((start, end)) = group {
                out.extend_from_slice(&text[start..end]);
            }
        }
        out.extend_from_slice(rest.as_bytes());
    }
}

/// Where a group begins and ends, `None` if it took no part.
#[inline]
pub fn span(slots: &Slots, group: usize) -> Option<(usize, usize)> {
    match (slots.get(2 * group)?, slots.get(2 * group + 1)?) {
        (Some(start), Some(end)) => Some((start.get(), end.get())),
        _ => None,
    }
}

/// Where the character after `at` begins.
fn next_char(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default();
    at + 1 + rest.iter().take_while(|byte| (0x80..0xc0).contains(*byte)).count()
}

fn compile(source: &str) -> Result<Compiled, RegexError> {
    if source.len() > LENGTH_LIMIT {
        return Err(RegexError::new(
            format!("longer than {LENGTH_LIMIT} bytes"),
            &source[..source.floor_char_boundary(32)],
        ));
    }
    let translated = translate::translate(source)?;
    let config =
        meta::Config::new().nfa_size_limit(Some(SIZE_LIMIT)).onepass_size_limit(Some(64 << 10)).utf8_empty(true);
    let engine = meta::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new().utf8(false).nest_limit(200))
        .build(&translated.pattern)
        .map_err(|error| {
            let what = match (error.size_limit(), error.syntax_error()) {
                (Some(limit), _) => format!("compiles to more than {limit} bytes"),
                (_, Some(syntax)) => last_line(&syntax.to_string()),
                _ => error.to_string(),
            };
            RegexError::new(what, source)
        })?;
    Ok(Compiled { engine, names: translated.names, source: source.into() })
}

/// The engine explains with a drawing; its last line says what is wrong.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
