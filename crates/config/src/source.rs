//! Where configuration text comes from, and places in it.
//!
//! A [`Source`] is one text (a file, an inline argument, an environment variable) under the name users know it by; a
//! [`Span`] is a range in it. Every node of the tree carries a span, so that whatever is found wrong later can be shown
//! where it was written.
//!
//! Invariant: a source never shows a secret. The ranges that hold secret values are hidden once, when the text has been
//! parsed; [`Source::hidden`] answers from them, and takes every value of a suspicious line for secret while they are
//! not known (a text that could not be parsed).
//!
//! This module does NOT parse and does NOT lay out messages.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::secret;

/// One configuration text and its name.
pub struct Source {
    name: String,
    text: String,
    /// Byte ranges of secret values, sorted; unset until the text has been parsed.
    secrets: OnceLock<Vec<Range<usize>>>,
    /// What was found later to be none of anyone's business.
    also: Mutex<Vec<Range<usize>>>,
}

impl Source {
    /// A text under the name that messages use: a path, `env:NAME`, `yaml:`, or the `--set` argument.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Source { name: name.into(), text: text.into(), secrets: OnceLock::new(), also: Mutex::default() })
    }

    /// The name under which messages mention this source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hides these byte ranges from every message. Only the first call counts: it is the parser's.
    pub(super) fn hide(&self, mut ranges: Vec<Range<usize>>) {
        ranges.sort_by_key(|range| (range.start, range.end));
        let _ = self.secrets.set(ranges);
    }

    /// Hides one more range from every message that is yet to be shown.
    pub(super) fn hide_also(&self, range: Range<usize>) {
        self.also.lock().push(range);
    }

    /// The parts of `line` (a byte range of the text) that must not be shown, sorted and without overlaps.
    pub(super) fn hidden(&self, line: Range<usize>) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = match self.secrets.get() {
            Some(secrets) => {
                let clip = |r: &Range<usize>| r.start.max(line.start)..r.end.min(line.end);
                let also = self.also.lock();
                secrets.iter().chain(also.iter()).map(clip).filter(|r| r.start < r.end).collect()
            }
            None => secret::suspicious_values(&self.text, line.clone()),
        };
        parts.extend(secret::url_passwords(&self.text, line));
        parts.sort_by_key(|r| (r.start, r.end));
        parts.dedup_by(|next, kept| {
            let overlaps = next.start <= kept.end;
            if overlaps {
                kept.end = kept.end.max(next.end);
            }
            overlaps
        });
        parts
    }
}

impl fmt::Debug for Source {
    /// Shows the name only: the text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

/// A range of a [`Source`], with the line and column of its start.
#[derive(Clone)]
pub struct Span {
    /// The text that the range is in.
    pub source: Arc<Source>,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset after the last character; equal to `start` for what is not there (an empty value).
    pub end: usize,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start in characters, from 1.
    pub column: usize,
}

impl Span {
    /// The first place of a source: for messages about the text as a whole.
    pub fn beginning(source: &Arc<Source>) -> Self {
        Span { source: Arc::clone(source), start: 0, end: 0, line: 1, column: 1 }
    }
}

impl fmt::Display for Span {
    /// `file:line:column`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
