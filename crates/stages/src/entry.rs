//! One log entry as stages see it: labels, line, timestamp, structured metadata, and what was extracted.
//!
//! [`otlp`] documents and does the mapping to an OTLP log record and back.

mod extracted;
mod labels;
mod origin;
pub mod otlp;
pub mod timestamp;

pub use extracted::{Extracted, Symbol, Symbols, Value};
pub use labels::Labels;
pub use origin::{Duty, Origin, Source};
pub use timestamp::Timestamp;

use crate::text::Text;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// A log entry.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What the stream is known by.
    pub labels: Labels,
    /// The log line.
    pub line: Text,
    /// When it was written.
    pub timestamp: Timestamp,
    /// Names and values that travel with the line but do not make a stream. Each name once; the order is kept.
    pub metadata: Vec<(Text, Text)>,
    /// What stages have extracted so far. A pipeline fills it from the labels before its first stage.
    pub extracted: Extracted,
    /// Where it came from, if the caller wants to know.
    pub origin: Option<Box<Origin>>,
}

impl Entry {
    /// The structured metadata called `name`.
    pub fn metadata(&self, name: &[u8]) -> Option<&Text> {
        self.metadata.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value)
    }

    /// Whose it is, if its origin says so.
    pub fn tenant(&self) -> Option<&str> {
        self.origin.as_ref()?.source().tenant()
    }

    /// A number for the stream it belongs to: its labels, and its tenant.
    pub(crate) fn stream(&self, seed: &FixedState) -> u64 {
        match self.tenant() {
            None => self.labels.fingerprint(seed),
            Some(tenant) => seed.hash_one((&self.labels, tenant)),
        }
    }

    /// Takes over the duties of an entry that becomes part of this one.
    pub(crate) fn join_origin(&mut self, other: Option<Box<Origin>>) {
        match (&mut self.origin, other) {
            (Some(own), Some(other)) => own.join(*other),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }

    /// What later entries may be made of when this one has come out: the same, with no duty, keeping nothing else alive.
    pub(crate) fn template(&self) -> Entry {
        let detached = |(name, value): &(Text, Text)| (name.detached(), value.detached());
        Entry {
            labels: self.labels.detached(),
            line: Text::new(),
            timestamp: self.timestamp,
            metadata: self.metadata.iter().map(detached).collect(),
            extracted: self.extracted.detached(),
            origin: self.origin.as_deref().map(|origin| Box::new(origin.template())),
        }
    }

    /// Sets structured metadata, in place of what has that name.
    pub fn set_metadata(&mut self, name: Text, value: Text) {
        match self.metadata.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((name, value)),
        }
    }
}
