//! What a route is decided by, read in place: ids, severity, status, times, names, attributes.
//!
//! Everything answers borrowed bytes and allocates nothing. Strings are bytes here: whether they are UTF-8 is `check`'s
//! question, and a hash does not care.
//!
//! A field that comes twice counts with its last occurrence, as protobuf rules for singular fields and oneofs (a nested
//! message that comes twice in an attribute value is not merged: its last occurrence counts too). An attribute whose key comes
//! twice, which OTLP forbids, also counts with its last occurrence.
//! Bytes that `check` would refuse are read up to the damage.

use crate::field::{Field, Fields, Value};
use crate::index::{Entry, Record};
use crate::signal::{RESOURCE, SCOPE, Signal};

/// Fields of a message that is sound, or up to its damage.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> + Clone {
    Fields::new(message).map_while(Result::ok)
}

/// The last length-delimited field of this number.
fn last_bytes<'a>(fields: impl Iterator<Item = Field<'a>>, number: u32) -> Option<&'a [u8]> {
    fields.filter(|field| field.number == number).filter_map(|field| field.bytes()).last()
}

/// The trace id of a log record or a span as it stands, 16 bytes in a sound request. `None` when absent or empty, and for
/// data points, which have none.
pub fn trace_id<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    if let Some(noted) = record.noted_trace() {
        return noted;
    }
    let number = match record.signal() {
        Signal::Logs => 9,
        Signal::Traces => 1,
        Signal::Metrics => return None,
    };
    last_bytes(fields(record.bytes()), number).filter(|id| !id.is_empty())
}

/// The severity of a log record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Severity<'a> {
    /// `SeverityNumber`; 0 is unspecified, 17 to 20 are ERROR, 21 to 24 FATAL.
    pub number: i32,
    /// The level as the source wrote it; may be empty.
    pub text: &'a [u8],
}

impl Severity<'_> {
    /// Whether it is an error or worse: number 17 and above, or the text is error, fatal or critical in any ASCII case.
    pub fn is_error(&self) -> bool {
        self.number >= 17
            || [&b"error"[..], b"fatal", b"critical"].iter().any(|text| self.text.eq_ignore_ascii_case(text))
    }
}

/// Reads the severity of an encoded `LogRecord`.
pub fn severity(log: &[u8]) -> Severity<'_> {
    let mut severity = Severity::default();
    for field in fields(log) {
        match (field.number, field.value) {
            (2, Value::Varint(number)) => severity.number = number as i32,
            (3, Value::Len(text)) => severity.text = text,
            _ => {}
        }
    }
    severity
}

/// What routing and admission look at in a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanHead<'a> {
    /// As it stands; empty when absent.
    pub trace_id: &'a [u8],
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub end: u64,
    /// `Status.code`: 0 unset, 1 ok, 2 error.
    pub status_code: i32,
}

impl SpanHead<'_> {
    /// How long the span lasted, in nanoseconds; 0 when its end lies before its start.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the status says ERROR.
    pub fn is_error(&self) -> bool {
        self.status_code == 2
    }
}

/// Reads the head of an encoded `Span`.
pub fn span_head(span: &[u8]) -> SpanHead<'_> {
    let mut head = SpanHead::default();
    for field in fields(span) {
        match (field.number, field.value) {
            (1, Value::Len(id)) => head.trace_id = id,
            (7, Value::Fixed64(time)) => head.start = time,
            (8, Value::Fixed64(time)) => head.end = time,
            // Two statuses merge, so a code that is not repeated stays.
            (15, Value::Len(status)) => {
                if let Some(code) = fields(status).filter(|field| field.number == 3).filter_map(|f| f.varint()).last() {
                    head.status_code = code as i32;
                }
            }
            _ => {}
        }
    }
    head
}

/// The name of a metric entry; empty when absent.
pub fn metric_name<'a>(metric: &Entry<'a>) -> &'a [u8] {
    last_bytes(metric.fields(), 1).unwrap_or_default()
}

/// The name of a scope entry's instrumentation scope; empty when absent.
pub fn scope_name<'a>(scope: &Entry<'a>) -> &'a [u8] {
    last_bytes(header_messages(scope, SCOPE).flat_map(fields), 1).unwrap_or_default()
}

/// The version of a scope entry's instrumentation scope; empty when absent.
pub fn scope_version<'a>(scope: &Entry<'a>) -> &'a [u8] {
    last_bytes(header_messages(scope, SCOPE).flat_map(fields), 2).unwrap_or_default()
}

/// The string, bytes or message in a field of an encoded message; empty when absent.
pub fn last_text(message: &[u8], number: u32) -> &[u8] {
    last_bytes(fields(message), number).unwrap_or_default()
}

/// The number in a field of an encoded message; 0 when absent.
pub fn last_varint(message: &[u8], number: u32) -> u64 {
    fields(message).filter(|field| field.number == number).filter_map(|field| field.varint()).last().unwrap_or_default()
}

/// The payloads of a header's message field, which may come more than once; joined they are the message.
fn header_messages<'a>(entry: &Entry<'a>, number: u32) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
    entry.fields().filter(move |field| field.number == number).filter_map(|field| field.bytes())
}

/// The attributes of a resource entry's resource: key and value, in order.
pub fn resource_attributes<'a>(resource: &Entry<'a>) -> impl Iterator<Item = (&'a [u8], AnyValue<'a>)> + use<'a> {
    header_messages(resource, RESOURCE).flat_map(|message| key_values(message, 1))
}

/// The attributes of a scope entry's instrumentation scope: key and value, in order.
pub fn scope_attributes<'a>(scope: &Entry<'a>) -> impl Iterator<Item = (&'a [u8], AnyValue<'a>)> + use<'a> {
    header_messages(scope, SCOPE).flat_map(|message| key_values(message, 3))
}

/// The attributes of a log record, span or data point: key and value, in order.
pub fn record_attributes<'a>(record: &Record<'a>) -> impl Iterator<Item = (&'a [u8], AnyValue<'a>)> + use<'a> {
    key_values(record.bytes(), attributes_number(record))
}

/// The field number of the attributes of a log record, span or data point.
pub fn attributes_number(record: &Record) -> u32 {
    match (record.signal(), record.data().map(|data| data.number())) {
        (Signal::Logs, _) => 6,
        (Signal::Traces, _) => 9,
        // Histogram, ExponentialHistogram, and Gauge, Sum and Summary.
        (Signal::Metrics, Some(9)) => 9,
        (Signal::Metrics, Some(10)) => 1,
        (Signal::Metrics, _) => 7,
    }
}

/// The value of an attribute of a resource entry's resource, such as `service.name`.
pub fn resource_attribute<'a>(resource: &Entry<'a>, key: &[u8]) -> Option<AnyValue<'a>> {
    header_messages(resource, RESOURCE).filter_map(|message| attribute(message, 1, key)).last()
}

/// The value of an attribute of a scope entry's instrumentation scope.
pub fn scope_attribute<'a>(scope: &Entry<'a>, key: &[u8]) -> Option<AnyValue<'a>> {
    header_messages(scope, SCOPE).filter_map(|message| attribute(message, 3, key)).last()
}

/// The value of an attribute in the `KeyValue` field `number` of an encoded message. Values of other keys are not looked at.
pub fn attribute<'a>(message: &'a [u8], number: u32, key: &[u8]) -> Option<AnyValue<'a>> {
    let pairs = fields(message).filter(|field| field.number == number).filter_map(|field| field.bytes());
    pairs.map(raw_key_value).filter(|(name, _)| *name == key).last().map(|(_, value)| AnyValue::read(value))
}

/// The pairs of the `KeyValue` field `number` of an encoded message, in order.
pub fn key_values(message: &[u8], number: u32) -> impl Iterator<Item = (&[u8], AnyValue<'_>)> + Clone {
    let pairs = fields(message).filter(move |field| field.number == number).filter_map(|field| field.bytes());
    pairs.map(raw_key_value).map(|(key, value)| (key, AnyValue::read(value)))
}

/// Key and encoded value of an encoded `KeyValue`; empty when absent.
fn raw_key_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(pair) {
        match (field.number, field.value) {
            (1, Value::Len(bytes)) => key = bytes,
            (2, Value::Len(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, value)
}

/// An attribute value, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// Absent, or of a kind this crate does not know.
    Empty,
    /// `string_value`.
    Str(&'a [u8]),
    /// `bool_value`.
    Bool(bool),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `bytes_value`.
    Bytes(&'a [u8]),
    /// `array_value`.
    Array(Array<'a>),
    /// `kvlist_value`.
    KvList(KvList<'a>),
}

impl<'a> AnyValue<'a> {
    /// Reads an encoded `AnyValue`.
    pub fn read(message: &'a [u8]) -> Self {
        let mut value = AnyValue::Empty;
        for field in fields(message) {
            value = match (field.number, field.value) {
                (1, Value::Len(bytes)) => AnyValue::Str(bytes),
                (2, Value::Varint(raw)) => AnyValue::Bool(raw != 0),
                (3, Value::Varint(raw)) => AnyValue::Int(raw as i64),
                (4, Value::Fixed64(raw)) => AnyValue::Double(f64::from_bits(raw)),
                (5, Value::Len(bytes)) => AnyValue::Array(Array(bytes)),
                (6, Value::Len(bytes)) => AnyValue::KvList(KvList(bytes)),
                (7, Value::Len(bytes)) => AnyValue::Bytes(bytes),
                _ => value,
            };
        }
        value
    }

    /// The bytes of a string; `None` for every other kind.
    pub fn as_str(&self) -> Option<&'a [u8]> {
        match self {
            AnyValue::Str(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// An encoded `ArrayValue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a>(&'a [u8]);

impl<'a> Array<'a> {
    /// An `ArrayValue` that is encoded already.
    pub fn new(encoded: &'a [u8]) -> Self {
        Array(encoded)
    }

    /// It as encoded.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Its values in order.
    pub fn iter(&self) -> impl Iterator<Item = AnyValue<'a>> + Clone + use<'a> {
        fields(self.0).filter(|field| field.number == 1).filter_map(|field| field.bytes()).map(AnyValue::read)
    }
}

/// An encoded `KeyValueList`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvList<'a>(&'a [u8]);

impl<'a> KvList<'a> {
    /// A `KeyValueList` that is encoded already.
    pub fn new(encoded: &'a [u8]) -> Self {
        KvList(encoded)
    }

    /// It as encoded.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Its pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], AnyValue<'a>)> + Clone + use<'a> {
        key_values(self.0, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Log, MessageWriter};
    use crate::index::Index;

    fn message(fill: impl FnOnce(&mut MessageWriter)) -> MessageWriter {
        let mut writer = MessageWriter::new();
        fill(&mut writer);
        writer
    }

    /// Scenario: severities around the border, as number and as text.
    /// Guarantee: 17 and above, and the three words in any case, are errors; nothing else is.
    #[test]
    fn errors_are_known_by_number_or_text() {
        for (number, text, expected) in [
            (16, "", false),
            (17, "", true),
            (24, "", true),
            (0, "Error", true),
            (9, "FATAL", true),
            (0, "critical", true),
            (0, "errors", false),
            (0, "err", false),
        ] {
            let log = message(|log| {
                log.varint(2, number).bytes(3, text);
            });
            assert_eq!(severity(log.as_slice()).is_error(), expected, "{number} {text}");
        }
    }

    /// Scenario: singular fields that come twice. Guarantee: the last occurrence counts; statuses merge.
    #[test]
    fn the_last_occurrence_counts() {
        let span = message(|span| {
            span.bytes(1, [1; 16]).bytes(15, [0x18, 2]).bytes(1, [2; 16]).bytes(15, [0x12, 1, b'x']);
        });
        let head = span_head(span.as_slice());
        assert_eq!((head.trace_id, head.status_code), (&[2; 16][..], 2));
        let pairs = message(|list| {
            list.attribute(6, "a", AnyValue::Int(1)).attribute(6, "b", AnyValue::Int(2));
            list.attribute(6, "a", AnyValue::Int(3));
        });
        assert_eq!(attribute(pairs.as_slice(), 6, b"a"), Some(AnyValue::Int(3)));
        assert_eq!(attribute(pairs.as_slice(), 6, b"c"), None);
        let value = message(|value| {
            value.bytes(1, "x").varint(3, 4);
        });
        assert_eq!(AnyValue::read(value.as_slice()), AnyValue::Int(4));
    }

    /// Scenario: values of every kind, written and read. Guarantee: they come back, nested ones with their elements.
    #[test]
    fn values_come_back() {
        let array = message(|array| {
            array.value(1, AnyValue::Str(b"x")).value(1, AnyValue::Empty);
        });
        let list = message(|list| {
            list.attribute(1, "k", AnyValue::Bool(true));
        });
        for value in [
            AnyValue::Empty,
            AnyValue::Str(b""),
            AnyValue::Bool(false),
            AnyValue::Int(i64::MIN),
            AnyValue::Double(-0.5),
            AnyValue::Bytes(&[0, 255]),
            AnyValue::Array(Array::new(array.as_slice())),
            AnyValue::KvList(KvList::new(list.as_slice())),
        ] {
            let pair = message(|pairs| {
                pairs.attribute(4, "key", value);
            });
            let read: Vec<_> = key_values(pair.as_slice(), 4).collect();
            assert_eq!(read, [(&b"key"[..], value)]);
        }
        let values: Vec<_> = Array::new(array.as_slice()).iter().collect();
        assert_eq!(values, [AnyValue::Str(b"x"), AnyValue::Empty]);
        let pairs: Vec<_> = KvList::new(list.as_slice()).iter().collect();
        assert_eq!(pairs, [(&b"k"[..], AnyValue::Bool(true))]);
    }

    /// Scenario: a resource that comes in two halves around its scope entry, and a scope with a name and an attribute.
    /// Guarantee: attributes of both halves are found; the scope's too.
    #[test]
    fn divided_headers_are_read_whole() {
        let half = |key: &str| {
            message(|resource| {
                resource.attribute(1, key, AnyValue::Str(key.as_bytes()));
            })
        };
        let request = message(|request| {
            request.message(1, |entry| {
                entry.bytes(1, half("first").as_slice());
                entry.message(2, |scope| {
                    scope.message(1, |head| {
                        head.bytes(1, "lib").attribute(3, "a", AnyValue::Int(1));
                    });
                    scope.log(&Log { trace_id: &[5; 16], ..Log::default() });
                });
                entry.bytes(1, half("second").as_slice());
            });
        });
        let mut index = Index::new();
        index.build(Signal::Logs, request.as_slice()).expect("sound");
        let record = index.records(request.as_slice()).next().expect("a record");
        for key in [&b"first"[..], b"second"] {
            assert_eq!(resource_attribute(&record.resource(), key), Some(AnyValue::Str(key)));
        }
        assert_eq!(resource_attributes(&record.resource()).count(), 2);
        assert_eq!(scope_name(&record.scope()), b"lib");
        assert_eq!(scope_attribute(&record.scope(), b"a"), Some(AnyValue::Int(1)));
        assert_eq!(trace_id(&record), Some(&[5; 16][..]));
        assert!(record.metric().is_none());
    }
}
