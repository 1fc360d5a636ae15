//! A protobuf push becomes an OTLP request.
//!
//! Two passes: [`check`] goes over the framing down to the last pair of structured metadata and says how large the result can become, so
//! that the caller can take the room first; [`to_otlp`] writes it. Unknown fields are left out (`format`, `hash` and `parsed` among them).
//!
//! Invariants: what was written passes [`crate::check`]; entries keep their order; a stream without entries leaves nothing.

use super::number::{ENTRIES, LABELS, LINE, METADATA, NAME, NANOS, SECONDS, STREAMS, TIMESTAMP, VALUE};
use super::writer::{OtlpWriter, RECORD_ATTRIBUTES, RESOURCE_ATTRIBUTES, is_internal};
use super::{PushError, Received, Receiving, labels, wrong_type};
use crate::field::{Fields, Malformed, Value};
use smallvec::SmallVec;
use std::ops::Range;

/// What a sound push holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushCensus {
    /// Streams, with entries or without.
    pub streams: usize,
    /// Entries.
    pub entries: usize,
    /// What its OTLP form takes at most, in bytes; a label string that is no label string is not judged here.
    pub otlp_bytes: usize,
}

/// What a stream adds to its labels: four lengths of up to five bytes, tags, the scope.
const STREAM_COST: usize = 64;
/// What an entry adds to its line: times, tags and lengths.
const ENTRY_COST: usize = 48;
/// What a pair of structured metadata adds to its texts.
const PAIR_COST: usize = 32;
/// A byte that is not UTF-8 becomes three; what the pairs of a label string cost beside their texts is less than three times theirs.
const GROWTH: usize = 3;

/// Checks the framing of a push and counts what is in it.
///
/// # Errors
/// Where and why it is not a push request.
pub fn check(push: &[u8]) -> Result<PushCensus, Malformed> {
    let mut census = PushCensus::default();
    let mut request = Fields::new(push);
    while let Some(field) = request.next_field()? {
        if field.number != STREAMS {
            continue;
        }
        let stream = field.payload().ok_or_else(|| wrong_type(field.start, "PushRequest", "streams"))?;
        census.streams += 1;
        census.otlp_bytes += STREAM_COST;
        let mut stream = Fields::within(push, stream);
        while let Some(field) = stream.next_field()? {
            match (field.number, field.payload()) {
                (LABELS, Some(labels)) => census.otlp_bytes += GROWTH * labels.len(),
                (ENTRIES, Some(entry)) => check_entry(push, entry, &mut census)?,
                (LABELS, None) => return Err(wrong_type(field.start, "StreamAdapter", "labels")),
                (ENTRIES, None) => return Err(wrong_type(field.start, "StreamAdapter", "entries")),
                _ => {}
            }
        }
    }
    Ok(census)
}

fn check_entry(push: &[u8], entry: Range<usize>, census: &mut PushCensus) -> Result<(), Malformed> {
    census.entries += 1;
    census.otlp_bytes += ENTRY_COST;
    let mut fields = Fields::within(push, entry);
    while let Some(field) = fields.next_field()? {
        match (field.number, field.payload()) {
            (LINE, Some(line)) => {
                let growth = if std::str::from_utf8(&push[line.clone()]).is_ok() { 1 } else { GROWTH };
                census.otlp_bytes += growth * line.len();
            }
            (TIMESTAMP, Some(time)) => {
                let mut time = Fields::within(push, time);
                while let Some(field) = time.next_field()? {
                    if matches!(field.number, SECONDS | NANOS) && field.varint().is_none() {
                        return Err(wrong_type(field.start, "Timestamp", "seconds"));
                    }
                }
            }
            (METADATA, Some(pair)) => {
                census.otlp_bytes += PAIR_COST + GROWTH * pair.len();
                let mut pair = Fields::within(push, pair);
                while let Some(field) = pair.next_field()? {
                    if matches!(field.number, NAME | VALUE) && field.bytes().is_none() {
                        return Err(wrong_type(field.start, "LabelPairAdapter", "value"));
                    }
                }
            }
            (LINE | TIMESTAMP | METADATA, None) => return Err(wrong_type(field.start, "EntryAdapter", "line")),
            _ => {}
        }
    }
    Ok(())
}

/// A push as an OTLP logs request. `room` is what to allocate at first: [`PushCensus::otlp_bytes`].
///
/// # Errors
/// See [`PushError`]; after [`check`] only for labels and size.
pub fn to_otlp(push: &[u8], how: &Receiving, room: usize) -> Result<Received, PushError> {
    let mut writer = OtlpWriter::new(how, room);
    let mut request = Fields::new(push);
    while let Some(field) = request.next_field()? {
        if field.number == STREAMS {
            stream(field.bytes().unwrap_or_default(), &mut writer)?;
        }
    }
    if writer.is_full() {
        return Err(PushError::TooLarge { limit: how.limit });
    }
    Ok(writer.finish())
}

fn stream(stream: &[u8], writer: &mut OtlpWriter<'_>) -> Result<(), PushError> {
    // The labels may stand behind the entries; of several the last counts.
    let (mut label_text, mut has_entries) = (&b""[..], false);
    let mut fields = Fields::new(stream);
    while let Some(field) = fields.next_field()? {
        match field.number {
            LABELS => label_text = field.bytes().unwrap_or_default(),
            ENTRIES => has_entries = true,
            _ => {}
        }
    }
    // Some clients send none at all.
    let pairs = if label_text.is_empty() { SmallVec::new() } else { labels::parse(label_text)? };
    if !has_entries {
        return Ok(());
    }
    let entry = writer.open_stream();
    let resource = writer.open_resource();
    for (name, value) in pairs.iter().filter(|(name, _)| !is_internal(name)) {
        writer.attribute(RESOURCE_ATTRIBUTES, name, value);
    }
    writer.close(resource);
    let scope = writer.open_scope();
    let mut fields = Fields::new(stream);
    while let Some(field) = fields.next_field()? {
        if let (ENTRIES, Some(entry)) = (field.number, field.bytes()) {
            record(entry, writer)?;
            if writer.is_full() {
                return Err(PushError::TooLarge { limit: writer.how.limit });
            }
        }
    }
    writer.close(scope);
    writer.close(entry);
    Ok(())
}

fn record(entry: &[u8], writer: &mut OtlpWriter<'_>) -> Result<(), Malformed> {
    let (mut time, mut line) = (None, &b""[..]);
    let mut fields = Fields::new(entry);
    while let Some(field) = fields.next_field()? {
        match (field.number, field.bytes()) {
            (TIMESTAMP, Some(bytes)) => time = Some(nanos(bytes)?),
            (LINE, Some(bytes)) => line = bytes,
            _ => {}
        }
    }
    let at = writer.open_record();
    writer.time(time);
    writer.line(line);
    let mut fields = Fields::new(entry);
    while let Some(field) = fields.next_field()? {
        if let (METADATA, Some(pair)) = (field.number, field.bytes()) {
            let (mut name, mut value) = (&b""[..], &b""[..]);
            let mut fields = Fields::new(pair);
            while let Some(field) = fields.next_field()? {
                match (field.number, field.bytes()) {
                    (NAME, Some(bytes)) => name = bytes,
                    (VALUE, Some(bytes)) => value = bytes,
                    _ => {}
                }
            }
            writer.attribute(RECORD_ATTRIBUTES, name, value);
        }
    }
    writer.close(at);
    Ok(())
}

/// A `google.protobuf.Timestamp` in nanoseconds since 1970: 0 before, the largest number beyond 2554.
fn nanos(time: &[u8]) -> Result<u64, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut fields = Fields::new(time);
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            (SECONDS, Value::Varint(value)) => seconds = value as i64,
            (NANOS, Value::Varint(value)) => nanos = value as i32,
            _ => {}
        }
    }
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok(total.clamp(0, i128::from(u64::MAX)) as u64)
}
