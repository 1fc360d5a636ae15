//! Building messages from parts: for tests, the load generator, and receivers whose input is not OTLP.
//!
//! [`MessageWriter`] writes any protobuf message, nested ones included, in one buffer and in the shortest form. On top of it
//! stand the parts of an export request: attributes, a resource entry with one scope entry, log records, spans, gauges.
//! Fields at their default are left out, as proto3 does. Nothing here checks what it is given.

use crate::field::{
    put_fixed32_field, put_fixed64_field, put_len_field, put_len_prefix, put_varint, put_varint_field, varint_len,
};
use crate::key::AnyValue;
use crate::signal::{DATA_POINT, RECORD, RESOURCE, RESOURCE_ENTRY, SCOPE, SCOPE_ENTRY};
use bytes::Bytes;

/// Writes one message, field by field.
#[derive(Clone, Debug, Default)]
pub struct MessageWriter {
    buffer: Vec<u8>,
}

impl MessageWriter {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty message with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        MessageWriter { buffer: Vec::with_capacity(bytes) }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets what was written and keeps the room.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// The message.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.buffer)
    }

    /// A bool, an enum, an int32/64 (as its two's complement), a uint32/64.
    pub fn varint(&mut self, number: u32, value: u64) -> &mut Self {
        put_varint_field(&mut self.buffer, number, value);
        self
    }

    /// A fixed64 or sfixed64.
    pub fn fixed64(&mut self, number: u32, value: u64) -> &mut Self {
        put_fixed64_field(&mut self.buffer, number, value);
        self
    }

    /// A fixed32.
    pub fn fixed32(&mut self, number: u32, value: u32) -> &mut Self {
        put_fixed32_field(&mut self.buffer, number, value);
        self
    }

    /// A double.
    pub fn double(&mut self, number: u32, value: f64) -> &mut Self {
        self.fixed64(number, value.to_bits())
    }

    /// Bytes, a string, or an encoded message.
    pub fn bytes(&mut self, number: u32, value: impl AsRef<[u8]>) -> &mut Self {
        put_len_field(&mut self.buffer, number, value.as_ref());
        self
    }

    /// Fields that are encoded already.
    pub fn raw(&mut self, fields: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(fields);
        self
    }

    /// A nested message, written by `fill`.
    pub fn message(&mut self, number: u32, fill: impl FnOnce(&mut MessageWriter)) -> &mut Self {
        let at = self.open(number);
        fill(self);
        self.close(at);
        self
    }

    /// Begins a nested message and answers what [`Self::close`] wants to know. What is written until then is in it.
    pub(crate) fn open(&mut self, number: u32) -> usize {
        put_varint(&mut self.buffer, u64::from(number) << 3 | 2);
        self.buffer.push(0);
        self.buffer.len() - 1
    }

    /// Ends the nested message that was opened last.
    pub(crate) fn close(&mut self, at: usize) {
        let payload = self.buffer.len() - at - 1;
        let len = varint_len(payload as u64);
        // One byte was left for the length; a longer one moves the payload.
        self.buffer.resize(self.buffer.len() + len - 1, 0);
        self.buffer.copy_within(at + 1..at + 1 + payload, at + len);
        put_varint(&mut &mut self.buffer[at..at + len], payload as u64);
    }

    /// Tag and length of a nested message of `len` bytes, which the caller writes next.
    pub(crate) fn prefix(&mut self, number: u32, len: usize) {
        put_len_prefix(&mut self.buffer, number, len);
    }

    /// Forgets what was written from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
    }

    /// The message, to be written on.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.buffer
    }

    /// An attribute value as field `number`.
    pub fn value(&mut self, number: u32, value: AnyValue) -> &mut Self {
        self.message(number, |any| {
            match value {
                AnyValue::Empty => any,
                AnyValue::Str(text) => any.bytes(1, text),
                AnyValue::Bool(value) => any.varint(2, value.into()),
                AnyValue::Int(value) => any.varint(3, value as u64),
                AnyValue::Double(value) => any.double(4, value),
                AnyValue::Array(array) => any.bytes(5, array.as_bytes()),
                AnyValue::KvList(list) => any.bytes(6, list.as_bytes()),
                AnyValue::Bytes(bytes) => any.bytes(7, bytes),
            };
        })
    }

    /// A `KeyValue` as field `number`.
    pub fn attribute(&mut self, number: u32, key: impl AsRef<[u8]>, value: AnyValue) -> &mut Self {
        self.message(number, |pair| {
            pair.bytes(1, key).value(2, value);
        })
    }

    /// All `KeyValue`s of a list as field `number`.
    pub fn attributes(&mut self, number: u32, attributes: &[Attribute]) -> &mut Self {
        attributes.iter().for_each(|(key, value)| {
            self.attribute(number, key, *value);
        });
        self
    }

    /// One resource entry of an export request, with one scope entry whose records `records` writes with [`Self::log`],
    /// [`Self::span`] or [`Self::gauge`]. Several of them make a request of several resources.
    pub fn resource_entry(
        &mut self,
        resource: &[Attribute],
        scope_name: &str,
        records: impl FnOnce(&mut MessageWriter),
    ) -> &mut Self {
        self.message(RESOURCE_ENTRY, |entry| {
            entry.message(RESOURCE, |message| {
                message.attributes(1, resource);
            });
            entry.message(SCOPE_ENTRY, |scope| {
                if !scope_name.is_empty() {
                    scope.message(SCOPE, |message| {
                        message.bytes(1, scope_name);
                    });
                }
                records(scope);
            });
        })
    }

    /// A log record of a scope entry.
    pub fn log(&mut self, log: &Log) -> &mut Self {
        self.message(RECORD, |record| {
            record.nonzero_fixed64(1, log.time).nonzero_varint(2, log.severity_number.into());
            record.nonempty(3, log.severity_text.as_bytes());
            if log.body != AnyValue::Empty {
                record.value(5, log.body);
            }
            record.attributes(6, log.attributes).nonempty(9, log.trace_id).nonempty(10, log.span_id);
            record.nonzero_fixed64(11, log.observed_time);
        })
    }

    /// A span of a scope entry.
    pub fn span(&mut self, span: &Span) -> &mut Self {
        self.message(RECORD, |record| {
            record.nonempty(1, span.trace_id).nonempty(2, span.span_id).nonempty(4, span.parent_span_id);
            record.nonempty(5, span.name.as_bytes()).nonzero_varint(6, span.kind.into());
            record.nonzero_fixed64(7, span.start).nonzero_fixed64(8, span.end).attributes(9, span.attributes);
            if span.status_code != 0 {
                record.message(15, |status| {
                    status.varint(3, span.status_code.into());
                });
            }
        })
    }

    /// A metric of a scope entry: a gauge of whole numbers.
    pub fn gauge(&mut self, name: &str, unit: &str, points: &[Point]) -> &mut Self {
        self.message(RECORD, |metric| {
            metric.nonempty(1, name.as_bytes()).nonempty(3, unit.as_bytes()).message(5, |gauge| {
                for point in points {
                    gauge.message(DATA_POINT, |message| {
                        message.nonzero_fixed64(3, point.time).fixed64(6, point.value as u64);
                        message.attributes(7, point.attributes);
                    });
                }
            });
        })
    }

    fn nonempty(&mut self, number: u32, value: &[u8]) -> &mut Self {
        if !value.is_empty() {
            self.bytes(number, value);
        }
        self
    }

    fn nonzero_varint(&mut self, number: u32, value: u64) -> &mut Self {
        if value != 0 {
            self.varint(number, value);
        }
        self
    }

    fn nonzero_fixed64(&mut self, number: u32, value: u64) -> &mut Self {
        if value != 0 {
            self.fixed64(number, value);
        }
        self
    }
}

/// Key and value.
pub type Attribute<'a> = (&'a str, AnyValue<'a>);

/// A log record to write; what is at its default is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Log<'a> {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Nanoseconds since the epoch.
    pub observed_time: u64,
    /// `SeverityNumber`.
    pub severity_number: u32,
    /// The level as the source writes it.
    pub severity_text: &'a str,
    /// The message.
    pub body: AnyValue<'a>,
    /// Attributes.
    pub attributes: &'a [Attribute<'a>],
    /// 16 bytes or none.
    pub trace_id: &'a [u8],
    /// 8 bytes or none.
    pub span_id: &'a [u8],
}

impl Default for Log<'_> {
    fn default() -> Self {
        Log {
            time: 0,
            observed_time: 0,
            severity_number: 0,
            severity_text: "",
            body: AnyValue::Empty,
            attributes: &[],
            trace_id: &[],
            span_id: &[],
        }
    }
}

/// A span to write; what is at its default is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span<'a> {
    /// 16 bytes.
    pub trace_id: &'a [u8],
    /// 8 bytes.
    pub span_id: &'a [u8],
    /// 8 bytes or none.
    pub parent_span_id: &'a [u8],
    /// What it is called.
    pub name: &'a str,
    /// `SpanKind`.
    pub kind: u32,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub end: u64,
    /// Attributes.
    pub attributes: &'a [Attribute<'a>],
    /// `Status.code`: 0 unset, 1 ok, 2 error.
    pub status_code: u32,
}

/// A data point to write.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point<'a> {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// The value.
    pub value: i64,
    /// Attributes.
    pub attributes: &'a [Attribute<'a>],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Census, CheckLimits, check};
    use crate::index::Index;
    use crate::key::{record_attributes, resource_attribute, severity, span_head, trace_id};
    use crate::signal::Signal;

    /// Scenario: a nested message whose length needs one, two and three bytes.
    /// Guarantee: the length is right, in its shortest form, and the payload untouched.
    #[test]
    fn nested_lengths_fit() {
        for len in [0, 1, 127, 128, 16383, 16384] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut nested = MessageWriter::new();
            nested.message(1, |message| {
                message.raw(&payload);
            });
            let mut flat = MessageWriter::new();
            flat.bytes(1, &payload);
            assert_eq!(nested.finish(), flat.finish());
        }
    }

    /// Scenario: a request of each signal, as the load generator makes them.
    /// Guarantee: it passes the strict check, and what was put in is read back.
    #[test]
    fn built_requests_are_sound() {
        let strict = CheckLimits { strict_utf8: true, ..CheckLimits::default() };
        let resource = [("service.name", AnyValue::Str(b"shop"))];
        let attributes = [("n", AnyValue::Int(-7)), ("ok", AnyValue::Bool(true)), ("x", AnyValue::Double(0.5))];
        let (trace, span) = ([7; 16], [8; 8]);
        for signal in Signal::ALL {
            let mut request = MessageWriter::new();
            request.resource_entry(&resource, "gen", |scope| {
                match signal {
                    Signal::Logs => scope.log(&Log {
                        time: 5,
                        severity_number: 17,
                        severity_text: "ERROR",
                        body: AnyValue::Str("grüß".as_bytes()),
                        attributes: &attributes,
                        trace_id: &trace,
                        span_id: &span,
                        ..Log::default()
                    }),
                    Signal::Traces => scope.span(&Span {
                        trace_id: &trace,
                        span_id: &span,
                        name: "GET /",
                        start: 10,
                        end: 30,
                        attributes: &attributes,
                        status_code: 2,
                        ..Span::default()
                    }),
                    Signal::Metrics => scope.gauge("g", "1", &[Point { time: 1, value: -1, attributes: &attributes }]),
                };
            });
            let body = request.finish();
            assert_eq!(check(signal, &body, &strict), Ok(Census { resources: 1, scopes: 1, records: 1 }));
            let mut index = Index::new();
            index.build(signal, &body).expect("sound");
            let record = index.records(&body).next().expect("a record");
            let service = resource_attribute(&record.resource(), b"service.name");
            assert_eq!(service, Some(AnyValue::Str(b"shop")));
            let read: Vec<_> = record_attributes(&record).collect();
            assert_eq!(read, attributes.map(|(key, value)| (key.as_bytes(), value)));
            match signal {
                Signal::Logs => assert!(severity(record.bytes()).is_error()),
                Signal::Traces => assert_eq!(span_head(record.bytes()).duration(), 20),
                Signal::Metrics => {}
            }
            assert_eq!(trace_id(&record), (signal != Signal::Metrics).then_some(&trace[..]));
        }
    }
}
