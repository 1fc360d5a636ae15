//! What a span says of a failure, as log records: each event named `exception` is one; a span that failed without one is one.
//!
//! So a search for errors in the logs finds what a service only wrote into its spans. The time is the event's, or the span's end; the
//! severity is ERROR; the body is the exception's message, or the status's. The attributes are those of the event, and `span.name`; the
//! ids are the span's.

use wire::build::MessageWriter;
use wire::field::{Field, Fields};
use wire::key::{AnyValue, attribute, last_text, span_head};

const EXCEPTION: &[u8] = b"exception";
const ERROR: u64 = 17;

fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::new(message).map_while(Result::ok)
}

/// The encoded `LogRecord`s of an encoded `Span`: mostly none.
#[must_use]
pub fn failures(span: &[u8]) -> Vec<Vec<u8>> {
    let events = fields(span).filter(|field| field.number == 11).filter_map(|field| field.bytes());
    let mut logs: Vec<_> =
        events.filter(|event| last_text(event, 2) == EXCEPTION).map(|event| of_exception(span, event)).collect();
    if logs.is_empty() && span_head(span).is_error() {
        logs.push(of_status(span));
    }
    logs
}

fn of_exception(span: &[u8], event: &[u8]) -> Vec<u8> {
    let time = fields(event).filter(|field| field.number == 1).filter_map(|field| field.fixed64()).last();
    let text = |key: &[u8]| match attribute(event, 3, key) {
        Some(AnyValue::Str(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let body = text(b"exception.message").or_else(|| text(b"exception.type")).unwrap_or(EXCEPTION);
    let pairs: Vec<&[u8]> = fields(event).filter(|field| field.number == 3).filter_map(|field| field.bytes()).collect();
    log(span, time.unwrap_or_default(), body, &pairs, EXCEPTION)
}

fn of_status(span: &[u8]) -> Vec<u8> {
    let statuses = fields(span).filter(|field| field.number == 15).filter_map(|field| field.bytes());
    let message = statuses.map(|status| last_text(status, 2)).filter(|text| !text.is_empty()).last();
    match message {
        Some(message) => log(span, 0, message, &[], b""),
        None => {
            let body = [b"span failed: ", last_text(span, 5)].concat();
            log(span, 0, &body, &[], b"")
        }
    }
}

fn log(span: &[u8], time: u64, body: &[u8], pairs: &[&[u8]], event: &[u8]) -> Vec<u8> {
    let head = span_head(span);
    let time = [time, head.end, head.start].into_iter().find(|time| *time > 0).unwrap_or_default();
    let mut log = MessageWriter::new();
    log.fixed64(1, time).varint(2, ERROR).bytes(3, "ERROR").value(5, AnyValue::Str(body));
    for pair in pairs {
        log.bytes(6, pair);
    }
    log.attribute(6, "span.name", AnyValue::Str(last_text(span, 5)));
    log.bytes(9, head.trace_id).bytes(10, last_text(span, 2));
    if !event.is_empty() {
        log.bytes(12, event);
    }
    log.as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use wire::Signal;

    fn span(status: u64, message: &str, events: &[(&str, u64, &str)]) -> Vec<u8> {
        let mut span = MessageWriter::new();
        span.bytes(1, [7; 16]).bytes(2, [8; 8]).bytes(5, "GET /").fixed64(7, 100).fixed64(8, 200);
        for (name, time, text) in events {
            span.message(11, |event| {
                event.fixed64(1, *time).bytes(2, name);
                event.attribute(3, "exception.message", AnyValue::Str(text.as_bytes()));
            });
        }
        span.message(15, |its| {
            its.bytes(2, message).varint(3, status);
        });
        span.as_slice().to_vec()
    }

    /// Scenario (R17): spans that failed and did not, with and without exceptions and other events.
    /// Guarantee: a failed span without an exception is one ERROR log, one with exceptions is one for each and no more, and a sound span
    /// without exceptions is none.
    #[test]
    fn r17_a_failure_is_one_log() {
        let texts = |span: &[u8]| -> Vec<(u64, u8, String)> {
            let facts = failures(span).into_iter().map(|log| {
                let facts = Facts::read(Signal::Logs, &log, 1);
                assert_eq!((facts.trace, facts.span), ([7; 16], [8; 8]));
                (facts.time, facts.severity, String::from_utf8(facts.text).expect("text"))
            });
            facts.collect()
        };
        assert_eq!(texts(&span(0, "", &[("message", 1, "x")])), []);
        assert_eq!(texts(&span(2, "", &[])), [(200, 17, "span failed: GET /".to_owned())]);
        assert_eq!(texts(&span(2, "no stock", &[("message", 1, "x")])), [(200, 17, "no stock".to_owned())]);
        let two = span(2, "no stock", &[("exception", 150, "first"), ("exception", 160, "second")]);
        assert_eq!(texts(&two), [(150, 17, "first".to_owned()), (160, 17, "second".to_owned())]);
        assert_eq!(texts(&span(1, "", &[("exception", 0, "caught")])), [(200, 17, "caught".to_owned())]);
    }
}
