//! The messages of OTLP as static tables: the one description that both the framing check and the JSON transcoder
//! follow, so that no message is described twice.
//!
//! Covered: the `Export…ServiceRequest` and `Export…ServiceResponse` of logs, traces and metrics (v1, proto 1.10) and
//! everything reachable from them. Not covered: profiles, and the `…Data` wrappers (identical to the requests on the
//! wire). A test in `tests/oracle.rs` holds every field of these tables against the official .proto files.
//!
//! Invariants: field numbers are at most [`MAX_FIELD`]; a message has at most one `oneof`; recursion always passes
//! through `AnyValue`, so bounding its depth bounds every walk. The tables hold no code: what a field means is up to
//! whoever walks them.

mod tables;

use crate::signal::{SCOPE, SCOPE_ENTRY, Signal};
use std::fmt;

/// The highest field number of any OTLP message (`Span.flags`); higher ones are unknown fields.
pub const MAX_FIELD: u32 = 16;

/// The deepest nesting of `AnyValue` that is accepted. An `AnyValue` directly in a record or an attribute is level 1.
///
/// OTLP sets no limit, but a decoder that recurses must have one; at 64 no known SDK is near it.
pub const MAX_VALUE_DEPTH: usize = 64;

/// One message type: its name and its fields.
pub struct Message {
    /// The name without its package, such as `LogRecord`; a nested type carries its parent: `Span.Event`.
    pub name: &'static str,
    /// The fields in the order of their numbers. At most 32, so that a set of fields fits in a `u32`.
    pub fields: &'static [Field],
    /// Index into `fields` by number, `NONE` where the number is not taken.
    lookup: [u8; MAX_FIELD as usize + 1],
}

const NONE: u8 = u8::MAX;

impl Message {
    /// Builds the lookup at compile time; a table that breaks an invariant does not compile.
    const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        assert!(fields.len() <= 32);
        let mut lookup = [NONE; MAX_FIELD as usize + 1];
        let mut i = 0;
        while i < fields.len() {
            assert!(fields[i].number > 0 && fields[i].number <= MAX_FIELD);
            assert!(i == 0 || fields[i].number > fields[i - 1].number);
            lookup[fields[i].number as usize] = i as u8;
            i += 1;
        }
        Self { name, fields, lookup }
    }

    /// The field of this number, `None` for an unknown one. Constant time: two array reads.
    #[inline]
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        let fields = self.fields;
        fields.get(usize::from(*self.lookup.get(number as usize)?))
    }

    /// The index of the field of this lowerCamelCase name, looked for from the index `first` on and then from the start.
    #[inline]
    pub(crate) fn position(&self, name: &[u8], first: usize) -> Option<usize> {
        let (fields, head) = (self.fields, head(name));
        let is_it = |field: &Field| {
            let same = field.head == head && field.json.len() == name.len();
            same && (name.len() <= size_of_val(&head) || field.json.as_bytes() == name)
        };
        let first = first.min(fields.len());
        let later = fields[first..].iter().position(is_it).map(|index| first + index);
        later.or_else(|| fields[..first].iter().position(is_it))
    }

    /// The field of this JSON name: lowerCamelCase or, as in the `.proto` file, snake_case. `None` for an unknown one.
    pub fn by_json(&self, name: &str) -> Option<&'static Field> {
        let fields = self.fields;
        fields.iter().find(|field| field.json == name || is_snake_case_of(name, field.json))
    }

    /// The field that had this JSON name before OTLP 0.15 called instrumentation libraries scopes.
    pub fn by_old_name(&self, name: &str) -> Option<&'static Field> {
        let rest =
            name.strip_prefix("instrumentationLibrary").or_else(|| name.strip_prefix("instrumentation_library"))?;
        let number = match (rest.trim_start_matches('_'), self.name) {
            ("Logs" | "logs", "ResourceLogs") | ("Spans" | "spans", "ResourceSpans") => SCOPE_ENTRY,
            ("Metrics" | "metrics", "ResourceMetrics") => SCOPE_ENTRY,
            ("", "ScopeLogs" | "ScopeSpans" | "ScopeMetrics") => SCOPE,
            _ => return None,
        };
        self.field(number)
    }

    /// Whether this is `AnyValue`, the one message through which OTLP recurses.
    #[inline]
    pub fn is_any_value(&self) -> bool {
        std::ptr::eq(self, &tables::ANY_VALUE)
    }

    /// Whether this is `KeyValue`, an attribute.
    #[inline]
    pub(crate) fn is_key_value(&self) -> bool {
        std::ptr::eq(self, &tables::KEY_VALUE)
    }
}

impl fmt::Debug for Message {
    /// Prints the name only: the tables are cyclic.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.name).finish()
    }
}

/// Whether a name is a lowerCamelCase one in snake_case.
fn is_snake_case_of(name: &str, camel: &str) -> bool {
    let mut name = name.bytes();
    let same = camel.bytes().all(|byte| match byte.is_ascii_uppercase() {
        true => name.next() == Some(b'_') && name.next() == Some(byte.to_ascii_lowercase()),
        false => name.next() == Some(byte),
    });
    same && name.next().is_none()
}

/// A number by which most names differ: the first bytes.
#[inline]
const fn head(name: &[u8]) -> u64 {
    if let Some(first) = name.first_chunk() {
        return u64::from_le_bytes(*first);
    }
    let (mut head, mut index) = (0, 0);
    while index < name.len() {
        head |= (name[index] as u64) << (8 * index);
        index += 1;
    }
    head
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// The number on the wire.
    pub number: u32,
    /// The name in OTLP/JSON, lowerCamelCase.
    pub json: &'static str,
    /// The type of the value, or of one element if the field is repeated.
    pub kind: Kind,
    /// Whether the field is a list. Lists of scalars are packed when written, and read packed or not.
    pub repeated: bool,
    /// Whether the field belongs to the message's `oneof`.
    pub oneof: bool,
    /// Whether the field is declared `optional`: a zero that is present differs from an absent one.
    pub optional: bool,
    /// The names of the numbers, if it is an enum.
    pub names: &'static [(&'static str, i32)],
    /// See [`head`].
    head: u64,
}

impl Field {
    const fn one(number: u32, json: &'static str, kind: Kind) -> Self {
        Self {
            number,
            json,
            kind,
            repeated: false,
            oneof: false,
            optional: false,
            names: &[],
            head: head(json.as_bytes()),
        }
    }

    const fn many(number: u32, json: &'static str, kind: Kind) -> Self {
        Self { repeated: true, ..Self::one(number, json, kind) }
    }

    const fn of(number: u32, json: &'static str, kind: Kind) -> Self {
        Self { oneof: true, ..Self::one(number, json, kind) }
    }

    const fn opt(number: u32, json: &'static str, kind: Kind) -> Self {
        Self { optional: true, ..Self::one(number, json, kind) }
    }

    const fn named(number: u32, json: &'static str, names: &'static [(&'static str, i32)]) -> Self {
        Self { names, ..Self::one(number, json, Kind::Enum) }
    }

    /// Whether presence is told apart from the default value: members of a oneof, `optional` fields and messages.
    pub fn has_presence(&self) -> bool {
        self.oneof || self.optional || (!self.repeated && matches!(self.kind, Kind::Message(_)))
    }
}

/// The type of a field: what the wire carries and how JSON writes it.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `bool`
    Bool,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `sint32` (zigzag)
    Sint32,
    /// Any enum. Open, as in proto3: unknown numbers are kept.
    Enum,
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed64`
    Sfixed64,
    /// `double`
    Double,
    /// `string`, UTF-8
    String,
    /// `bytes`, base64 in JSON
    Bytes,
    /// A trace id (16) or span id (8): `bytes` on the wire, hex in JSON. Empty means absent.
    Id(usize),
    /// A nested message
    Message(&'static Message),
}

impl Kind {
    /// The protobuf wire type of one value: 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes.
    #[inline]
    pub const fn wire_type(self) -> u8 {
        match self {
            Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Enum => 0,
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => 1,
            Kind::String | Kind::Bytes | Kind::Id(_) | Kind::Message(_) => 2,
            Kind::Fixed32 => 5,
        }
    }

    /// Whether a list of this kind may be packed into one length-delimited field: every kind that is not itself
    /// length-delimited.
    #[inline]
    pub const fn packable(self) -> bool {
        self.wire_type() != 2
    }
}

/// The `Export…ServiceRequest` of a signal.
pub fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &tables::LOGS_REQUEST,
        Signal::Traces => &tables::TRACES_REQUEST,
        Signal::Metrics => &tables::METRICS_REQUEST,
    }
}

/// The `Export…ServiceResponse` of a signal.
pub fn response(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &tables::LOGS_RESPONSE,
        Signal::Traces => &tables::TRACES_RESPONSE,
        Signal::Metrics => &tables::METRICS_RESPONSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dense lookup finds what a search of the fields finds, for every message of every request and response, and
    /// nothing for the numbers around them.
    #[test]
    fn lookup_agrees_with_the_field_list() {
        let mut seen: Vec<&'static Message> = Vec::new();
        let mut todo: Vec<&'static Message> = Vec::new();
        for signal in [Signal::Logs, Signal::Traces, Signal::Metrics] {
            todo.extend([request(signal), response(signal)]);
        }
        while let Some(message) = todo.pop() {
            if seen.iter().any(|known| std::ptr::eq(*known, message)) {
                continue;
            }
            seen.push(message);
            for number in (0..=40).chain([255, 256, u32::MAX]) {
                let found = message.field(number).map(|field| field.number);
                let expected = message.fields.iter().find(|field| field.number == number).map(|field| field.number);
                assert_eq!(found, expected, "{} field {number}", message.name);
            }
            for field in message.fields {
                assert_eq!(message.by_json(field.json).map(|found| found.number), Some(field.number));
                if let Kind::Message(inner) = field.kind {
                    todo.push(inner);
                }
            }
        }
        assert_eq!(seen.len(), 40, "messages reachable from the requests and responses");
    }
}
