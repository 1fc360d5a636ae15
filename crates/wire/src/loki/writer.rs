//! The OTLP side of a push: resource entries and log records, written as they come.
//!
//! Invariant: the length of every message that is open is patched when it is closed; nothing is allocated but the output.

use super::{Received, Receiving, SCOPE_NAME};
use crate::build::MessageWriter;
use crate::field::len_field_len;
use crate::lossy::lossy;
use crate::signal::{RECORD, RESOURCE, RESOURCE_ENTRY, SCOPE, SCOPE_ENTRY};

const TIME: u32 = 1;
const BODY: u32 = 5;
pub(super) const RECORD_ATTRIBUTES: u32 = 6;
const OBSERVED_TIME: u32 = 11;
pub(super) const RESOURCE_ATTRIBUTES: u32 = 1;
/// `AnyValue.string_value`.
const STRING: u32 = 1;

pub(super) struct OtlpWriter<'a> {
    pub out: MessageWriter,
    pub how: &'a Receiving,
    pub records: usize,
}

impl<'a> OtlpWriter<'a> {
    pub fn new(how: &'a Receiving, room: usize) -> Self {
        OtlpWriter { out: MessageWriter::with_capacity(room.min(how.limit)), how, records: 0 }
    }

    pub fn finish(self) -> Received {
        Received { body: self.out.into_vec(), records: self.records }
    }

    /// Whether the result is larger than it may be.
    pub fn is_full(&self) -> bool {
        self.out.len() > self.how.limit
    }

    pub fn open_stream(&mut self) -> usize {
        self.out.open(RESOURCE_ENTRY)
    }

    pub fn open_resource(&mut self) -> usize {
        self.out.open(RESOURCE)
    }

    pub fn open_scope(&mut self) -> usize {
        let at = self.out.open(SCOPE_ENTRY);
        self.out.message(SCOPE, |scope| {
            scope.bytes(1, SCOPE_NAME);
        });
        at
    }

    pub fn close(&mut self, at: usize) {
        self.out.close(at);
    }

    /// Forgets everything written from `at` on.
    pub fn undo(&mut self, at: usize) {
        self.out.truncate(at);
    }

    /// Opens a record; `observed_time_unix_nano` is written.
    pub fn open_record(&mut self) -> usize {
        let at = self.out.open(RECORD);
        self.out.fixed64(OBSERVED_TIME, self.how.now);
        self.records += 1;
        at
    }

    /// The time of a record, as the sender wrote it if that counts.
    pub fn time(&mut self, nanos: Option<u64>) {
        let time = nanos.filter(|_| self.how.keep_time).unwrap_or(self.how.now);
        self.out.fixed64(TIME, time);
    }

    pub fn line(&mut self, line: &[u8]) {
        match std::str::from_utf8(line) {
            Ok(_) => self.string(BODY, line),
            Err(_) => self.string(BODY, String::from_utf8_lossy(line).as_bytes()),
        }
    }

    /// An attribute with a string value.
    pub fn attribute(&mut self, number: u32, name: &[u8], value: &[u8]) {
        let (name, value) = (lossy(name), lossy(value));
        let any = len_field_len(STRING, value.len());
        self.out.prefix(number, len_field_len(1, name.len()) + len_field_len(2, any));
        self.out.bytes(1, name.as_bytes());
        self.string(2, value.as_bytes());
    }

    fn string(&mut self, number: u32, text: &[u8]) {
        self.out.prefix(number, len_field_len(STRING, text.len()));
        self.out.bytes(STRING, text);
    }
}

/// Whether a label stays within: those that begin with `__` are internal, to Loki's clients as to the collector.
pub(super) fn is_internal(label: &[u8]) -> bool {
    label.starts_with(b"__")
}
