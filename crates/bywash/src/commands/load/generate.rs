//! What the load generator sends: requests whose every record carries its id.
//!
//! Ids are consecutive within a request and over all requests, whatever their signals, so a range names the records of a
//! request. An id stands in the attribute [`ID`] of the log record, span or data point, and in the body of a log record.
//! Requests are a function of their number and the time: two generators with the same settings send the same records.

use bytes::Bytes;
use std::fmt::Write;
use wire::Signal;
use wire::build::{Attribute, Log, MessageWriter, Point, Span};
use wire::key::AnyValue;

/// The attribute that holds a record's id, a whole number.
pub const ID: &str = "bywash.id";

/// Spans that share a trace.
const SPANS_PER_TRACE: u64 = 4;

const WORDS: [&str; 24] = [
    "accepted",
    "account",
    "basket",
    "cache",
    "checkout",
    "customer",
    "database",
    "delivered",
    "expired",
    "fetched",
    "gateway",
    "handler",
    "invoice",
    "latency",
    "missing",
    "order",
    "payment",
    "queue",
    "refused",
    "request",
    "shipment",
    "timeout",
    "upstream",
    "worker",
];

/// What requests look like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Their signals, in turns.
    pub signals: Vec<Signal>,
    /// Records in each.
    pub records: u32,
    /// The first id of the first request.
    pub first_id: u64,
    /// Values of `service.name`, one per request in turns.
    pub services: u64,
    /// Every so-many-th id is that of an error; 0: none.
    pub errors_every: u64,
    /// Bytes of a log record's body.
    pub body: usize,
}

/// A request with the ids it carries.
pub struct Request {
    /// Its signal.
    pub signal: Signal,
    /// The first id.
    pub first: u64,
    /// Encoded.
    pub body: Bytes,
}

impl Shape {
    /// The request of this number, from 0, whose records were made `now` nanoseconds after the epoch.
    #[must_use]
    pub fn request(&self, number: u64, now: u64) -> Request {
        let signal = self.signals[(number % self.signals.len() as u64) as usize];
        let first = self.first_id + number * u64::from(self.records);
        let service = format!("service-{}", number % self.services.max(1));
        let resource =
            [("service.name", AnyValue::Str(service.as_bytes())), ("telemetry.sdk.name", AnyValue::Str(b"bywash"))];
        let mut message = MessageWriter::with_capacity(self.records as usize * (self.body + 96) + 128);
        message.resource_entry(&resource, "bywash.load", |scope| {
            for id in first..first + u64::from(self.records) {
                match signal {
                    Signal::Logs => self.log(scope, id, now),
                    Signal::Traces => self.span(scope, id, first, now),
                    Signal::Metrics => point(scope, id, now),
                }
            }
        });
        Request { signal, first, body: message.finish() }
    }

    /// Whether the record of this id is an error.
    #[must_use]
    pub fn is_error(&self, id: u64) -> bool {
        self.errors_every > 0 && id.is_multiple_of(self.errors_every)
    }

    fn log(&self, scope: &mut MessageWriter, id: u64, now: u64) {
        let (severity_number, severity_text) = if self.is_error(id) { (17, "ERROR") } else { (9, "INFO") };
        let text = text(id, self.body);
        scope.log(&Log {
            time: now,
            observed_time: now,
            severity_number,
            severity_text,
            body: AnyValue::Str(text.as_bytes()),
            attributes: &attributes(id),
            ..Log::default()
        });
    }

    /// Spans of a few neighbouring ids are one trace, whose first is the parent of the others.
    fn span(&self, scope: &mut MessageWriter, id: u64, first: u64, now: u64) {
        let root = first.max(id - id % SPANS_PER_TRACE);
        let mut trace_id = [0x5b; 16];
        trace_id[8..].copy_from_slice(&root.wrapping_add(1).to_be_bytes());
        let (span_id, parent) = (id.wrapping_add(1).to_be_bytes(), root.wrapping_add(1).to_be_bytes());
        let micros = 1_000 + id % 50_000;
        scope.span(&Span {
            trace_id: &trace_id,
            span_id: &span_id,
            parent_span_id: if id == root { &[] } else { &parent },
            name: WORDS[(id % WORDS.len() as u64) as usize],
            kind: if id == root { 2 } else { 1 },
            start: now.saturating_sub(micros * 1_000),
            end: now,
            attributes: &attributes(id),
            status_code: if self.is_error(id) { 2 } else { 0 },
        });
    }
}

fn point(scope: &mut MessageWriter, id: u64, now: u64) {
    scope.gauge("bywash.load", "1", &[Point { time: now, value: (id % 1_000) as i64, attributes: &attributes(id) }]);
}

fn attributes(id: u64) -> [Attribute<'static>; 1] {
    [(ID, AnyValue::Int(id as i64))]
}

/// `bytes` bytes of words that begin with the id; shrinks under compression about as much as logs do.
fn text(id: u64, bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(id);
    let mut text = String::with_capacity(bytes + 16);
    // Writing to a string cannot fail.
    let _ = write!(text, "id={id}");
    while text.len() < bytes {
        let _ = write!(text, " {}={}", WORDS[random.usize(..WORDS.len())], random.u32(..100_000));
    }
    text.truncate(bytes.max(1));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{CheckLimits, Index, check, key};

    fn shape() -> Shape {
        Shape { signals: Signal::ALL.to_vec(), records: 10, first_id: 100, services: 2, errors_every: 5, body: 64 }
    }

    /// Scenario: a round of requests. Guarantee: each is sound OTLP, the ids are consecutive over all of them, and errors are where they are said to be.
    #[test]
    fn requests_are_sound_and_ids_consecutive() {
        let shape = shape();
        let strict = CheckLimits { strict_utf8: true, ..CheckLimits::default() };
        let mut seen = vec![];
        for number in 0..6 {
            let request = shape.request(number, 1_700_000_000_000_000_000);
            assert_eq!(check(request.signal, &request.body, &strict).expect("sound").records, 10);
            let mut index = Index::new();
            index.build(request.signal, &request.body).expect("sound");
            for record in index.records(&request.body) {
                let ids: Vec<_> = key::record_attributes(&record).filter(|(k, _)| *k == ID.as_bytes()).collect();
                let [(_, AnyValue::Int(id))] = ids[..] else { panic!("a record without one id: {ids:?}") };
                let is_error = match request.signal {
                    Signal::Logs => key::severity(record.bytes()).is_error(),
                    Signal::Traces => key::span_head(record.bytes()).is_error(),
                    Signal::Metrics => shape.is_error(id as u64),
                };
                assert_eq!(is_error, id % 5 == 0);
                seen.push(id as u64);
            }
        }
        assert_eq!(seen, (100..160).collect::<Vec<_>>());
    }

    /// Scenario: bodies of several lengths. Guarantee: exactly that long, and never empty.
    #[test]
    fn bodies_are_as_long_as_asked() {
        for bytes in [0, 1, 7, 300, 5_000] {
            assert_eq!(text(123_456, bytes).len(), bytes.max(1));
        }
    }
}
