//! How an OTLP log record is an entry, and back, on the bytes.
//!
//! | OTLP | entry | written back as |
//! |---|---|---|
//! | resource attribute, string | label | string attribute |
//! | body, string | line | string body |
//! | `time_unix_nano`, else `observed_time_unix_nano`, else the time at which it is read | timestamp | `time_unix_nano`, if it changed |
//! | log attribute, string | structured metadata | string attribute |
//! | an attribute or body of another type | its text: numbers and booleans plain, bytes in base64, lists and maps as JSON | the original value while its text is unchanged, else a string |
//! | severity, trace and span id, flags, scope, everything unknown | not seen by stages | as it was |
//!
//! The mapping is reversible: what no stage changes keeps its bytes, field by field, and a record of which nothing changed is
//! [`Unchanged`](Change::Unchanged), so that its bytes can be forwarded as they are. Attribute names are kept as they are;
//! they are not made into Prometheus names. Of attributes with one name the first counts for stages, and all are kept unless
//! that name changes.
//!
//! This module knows single messages (`Resource`, `LogRecord`); cutting requests into them is the wire crate's.

use super::{Entry, Labels, Timestamp};
use crate::json::quote;
use crate::text::Text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;
use wire::field::{Field, Fields, Value, put_fixed64_field, put_varint};

/// Field numbers of `Resource` and `LogRecord`.
const RESOURCE_ATTRIBUTES: u32 = 1;
const TIME: u32 = 1;
const BODY: u32 = 5;
const ATTRIBUTES: u32 = 6;
const OBSERVED_TIME: u32 = 11;
/// How deep lists and maps are read; deeper ones have no text.
const MAX_DEPTH: usize = 64;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is what it was.
    Unchanged,
    /// It is this now.
    Changed(Vec<u8>),
}

/// The labels of a `Resource` message; empty if it is malformed.
pub fn labels(resource: &Bytes) -> Labels {
    owned(&Text::from(resource.clone()), attributes(resource, RESOURCE_ATTRIBUTES)).into_iter().collect()
}

/// The entry of a `LogRecord` message with its resource's labels. A record without any time is of `now`.
pub fn entry(record: &Bytes, labels: &Labels, now: Timestamp) -> Entry {
    let (line, timestamp) = line_and_time(record, now);
    let whole = Text::from(record.clone());
    Entry {
        labels: labels.clone(),
        line: own(&whole, line),
        timestamp,
        metadata: owned(&whole, attributes(record, ATTRIBUTES)),
        ..Entry::default()
    }
}

/// The line and the time of a `LogRecord`.
fn line_and_time(record: &[u8], now: Timestamp) -> (Cow<'_, [u8]>, Timestamp) {
    let (mut time, mut observed, mut line) = (0, 0, Cow::default());
    for field in Fields::new(record).map_while(Result::ok) {
        match (field.number, field.value) {
            (TIME, Value::Fixed64(value)) => time = value,
            (OBSERVED_TIME, Value::Fixed64(value)) => observed = value,
            (BODY, Value::Len(value)) => line = text_of(value),
            _ => {}
        }
    }
    let timestamp = match (time, observed) {
        (0, 0) => now,
        (0, nanos) | (nanos, _) => timestamp(nanos),
    };
    (line, timestamp)
}

/// The `LogRecord` of an entry that began as `record`, read at `now`.
pub fn record(entry: &Entry, record: &Bytes, now: Timestamp) -> Change {
    let (line, time) = line_and_time(record, now);
    let before = attributes(record, ATTRIBUTES);
    let (same_line, same_time) = (*line == *entry.line.as_bytes(), time == entry.timestamp);
    if same_line && same_time && same(&before, &entry.metadata) {
        return Change::Unchanged;
    }
    let mut out = Vec::with_capacity(record.len() + 64);
    if !same_time {
        put_fixed64_field(&mut out, TIME, entry.timestamp.as_unix_nanos());
    }
    for field in Fields::new(record).map_while(Result::ok) {
        let keep = match field.number {
            TIME => same_time,
            BODY => same_line,
            ATTRIBUTES => keeps_attribute(&field, &before, &entry.metadata),
            _ => true,
        };
        if keep {
            out.extend_from_slice(&record[field.range()]);
        }
    }
    if !same_line {
        put_string_value(&mut out, BODY, &entry.line);
    }
    put_new_attributes(&mut out, ATTRIBUTES, &before, &entry.metadata);
    Change::Changed(out)
}

/// The `Resource` of labels that began as those of `resource`.
pub fn resource(labels: &Labels, resource: &Bytes) -> Change {
    let before = self::labels(resource);
    if before == *labels {
        return Change::Unchanged;
    }
    let (before, after) = (attributes(resource, RESOURCE_ATTRIBUTES), labels.iter().cloned().collect::<Vec<_>>());
    let mut out = Vec::with_capacity(resource.len() + 64);
    for field in Fields::new(resource).map_while(Result::ok) {
        if field.number != RESOURCE_ATTRIBUTES || keeps_attribute(&field, &before, &after) {
            out.extend_from_slice(&resource[field.range()]);
        }
    }
    put_new_attributes(&mut out, RESOURCE_ATTRIBUTES, &before, &after);
    Change::Changed(out)
}

/// Nanoseconds since the epoch, unsigned as OTLP has them.
fn timestamp(nanos: u64) -> Timestamp {
    Timestamp::from_secs_nanos((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as i64)
}

/// Names and texts, read where they lie.
type Pairs<'a> = SmallVec<[(&'a [u8], Cow<'a, [u8]>); 8]>;

/// A text that was read in `whole`, shared with it where it lies there.
fn own(whole: &Text, text: Cow<'_, [u8]>) -> Text {
    match text {
        Cow::Borrowed(text) => whole.share(text),
        Cow::Owned(text) => text.into(),
    }
}

fn owned(whole: &Text, pairs: Pairs<'_>) -> Vec<(Text, Text)> {
    pairs.into_iter().map(|(name, value)| (whole.share(name), own(whole, value))).collect()
}

fn same(before: &Pairs<'_>, after: &[(Text, Text)]) -> bool {
    let mut all = before.iter().zip(after);
    before.len() == after.len() && all.all(|(a, b)| a.0 == b.0.as_bytes() && *a.1 == *b.1.as_bytes())
}

/// Whether the attribute in `field` has the same text after as it had before.
fn keeps_attribute(field: &Field<'_>, before: &Pairs<'_>, after: &[(Text, Text)]) -> bool {
    let Some((name, _)) = field.bytes().map(key_value) else { return true };
    value_of(before, name) == value_of(after, name)
}

fn value_of<'a>(pairs: &'a [(impl AsRef<[u8]>, impl AsRef<[u8]>)], name: &[u8]) -> Option<&'a [u8]> {
    pairs.iter().find(|(n, _)| n.as_ref() == name).map(|(_, value)| value.as_ref())
}

/// Writes the attributes that are new or changed, as strings.
fn put_new_attributes(out: &mut Vec<u8>, number: u32, before: &Pairs<'_>, after: &[(Text, Text)]) {
    for (name, value) in after.iter().filter(|(name, value)| value_of(before, name) != Some(value.as_bytes())) {
        let mut pair = Vec::with_capacity(name.len() + value.len() + 12);
        put_bytes(&mut pair, 1, name);
        put_string_value(&mut pair, 2, value);
        put_bytes(out, number, &pair);
    }
}

/// Writes an `AnyValue` of a string. What is not UTF-8 is written with U+FFFD: OTLP strings must be.
fn put_string_value(out: &mut Vec<u8>, number: u32, text: &Text) {
    let text = text.to_str_lossy();
    let mut value = Vec::with_capacity(text.len() + 6);
    put_bytes(&mut value, 1, text.as_bytes());
    put_bytes(out, number, &value);
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Names and texts of the attributes in field `number`, the first of each name.
fn attributes(message: &[u8], number: u32) -> Pairs<'_> {
    let mut all = Pairs::new();
    for field in Fields::new(message).map_while(Result::ok).filter(|field| field.number == number) {
        let Some((name, value)) = field.bytes().map(key_value) else { continue };
        if value_of(&all, name).is_none() {
            all.push((name, text_of(value)));
        }
    }
    all
}

/// Name and `AnyValue` of a `KeyValue` message.
fn key_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    for field in Fields::new(pair).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Len(bytes)) => name = bytes,
            (2, Value::Len(bytes)) => value = bytes,
            _ => {}
        }
    }
    (name, value)
}

/// The text of an `AnyValue`. Strings are parts of the message.
fn text_of(value: &[u8]) -> Cow<'_, [u8]> {
    match last_field(value) {
        Some((1, Value::Len(text))) => Cow::Borrowed(text),
        Some((7, Value::Len(bytes))) => Cow::Owned(STANDARD.encode(bytes).into()),
        Some((5 | 6, _)) => {
            let mut out = Vec::new();
            write_json(value, MAX_DEPTH, &mut out);
            Cow::Owned(out)
        }
        Some((number, value)) => Cow::Owned(scalar(number, value).into()),
        None => Cow::default(),
    }
}

/// Of the fields of a oneof the last counts.
fn last_field(value: &[u8]) -> Option<(u32, Value<'_>)> {
    Fields::new(value).map_while(Result::ok).filter(|f| (1..=7).contains(&f.number)).map(|f| (f.number, f.value)).last()
}

fn scalar(number: u32, value: Value<'_>) -> String {
    match (number, value) {
        (2, Value::Varint(value)) => (value != 0).to_string(),
        (3, Value::Varint(value)) => (value as i64).to_string(),
        (4, Value::Fixed64(bits)) => crate::go::number::format_f(f64::from_bits(bits)),
        _ => String::new(),
    }
}

/// An `AnyValue` as JSON.
fn write_json(value: &[u8], depth: usize, out: &mut Vec<u8>) {
    let Some(depth) = depth.checked_sub(1) else { return out.extend_from_slice(b"null") };
    match last_field(value) {
        None => out.extend_from_slice(b"null"),
        Some((1, Value::Len(text))) => out.extend_from_slice(&quote(text)),
        Some((7, Value::Len(bytes))) => out.extend_from_slice(&quote(STANDARD.encode(bytes).as_bytes())),
        Some((number @ (5 | 6), Value::Len(list))) => {
            let (open, close) = if number == 5 { (b'[', b']') } else { (b'{', b'}') };
            out.push(open);
            let values = Fields::new(list).map_while(Result::ok).filter(|field| field.number == 1);
            for (i, item) in values.filter_map(|field| field.bytes()).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                if number == 5 {
                    write_json(item, depth, out);
                } else {
                    let (name, value) = key_value(item);
                    out.extend_from_slice(&quote(name));
                    out.push(b':');
                    write_json(value, depth, out);
                }
            }
            out.push(close);
        }
        Some((4, Value::Fixed64(bits))) if !f64::from_bits(bits).is_finite() => {
            out.extend_from_slice(&quote(scalar(4, Value::Fixed64(bits)).as_bytes()));
        }
        Some((number, value)) => out.extend_from_slice(scalar(number, value).as_bytes()),
    }
}

#[cfg(test)]
mod tests;
