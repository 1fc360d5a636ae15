//! One log entry as stages see it: labels, line, timestamp, structured metadata, and what was extracted.
//!
//! [`otlp`] documents and does the mapping to an OTLP log record and back.

mod extracted;
mod labels;
pub mod otlp;
pub mod timestamp;

pub use extracted::{Extracted, Symbol, Symbols, Value};
pub use labels::Labels;
pub use timestamp::Timestamp;

use crate::text::Text;

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
}

impl Entry {
    /// The structured metadata called `name`.
    pub fn metadata(&self, name: &[u8]) -> Option<&Text> {
        self.metadata.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value)
    }

    /// Sets structured metadata, in place of what has that name.
    pub fn set_metadata(&mut self, name: Text, value: Text) {
        match self.metadata.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((name, value)),
        }
    }
}
