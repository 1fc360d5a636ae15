//! Records and traces as JSON.
//!
//! Times are RFC 3339 with nanoseconds; whole numbers that may be longer than a double has room for are text.

use ::store::{Row, Trace};
use flow::clock::rfc3339;
use serde_json::{Map, Value, json};
use std::time::Duration;
use wire::Signal;

/// The classes of severities, in the order of [`::store::Tally::buckets`].
pub(super) const CLASSES: [&str; 7] = ["none", "trace", "debug", "info", "warn", "error", "fatal"];

/// A log record or span.
pub(super) fn row(signal: Signal, row: &Row) -> Value {
    let message = wire::schema::request(signal);
    // What a store gives was checked when it came in.
    let request = wire::json::to_json(message, &row.request()).unwrap_or_default();
    let request: Value = serde_json::from_slice(&request).unwrap_or_default();
    let (entry, scope, record) = match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        _ => ("resourceSpans", "scopeSpans", "spans"),
    };
    let entry = &request[entry][0];
    let scope = &entry[scope][0];
    let record = &scope[record][0];
    let mut shown = json!({
        "time": time(row.cursor.time),
        "cursor": row.cursor.to_string(),
        "severity": class(row.severity),
        "severity_number": row.severity,
        "service": row.service,
        "body": row.text,
        "attributes": attributes(&record["attributes"]),
        "resource": attributes(&entry["resource"]["attributes"]),
        "scope": scope["scope"]["name"].as_str().unwrap_or_default(),
        "trace_id": record["traceId"].as_str().unwrap_or_default(),
        "span_id": record["spanId"].as_str().unwrap_or_default(),
    });
    if signal == Signal::Traces {
        shown["parent_span_id"] = record["parentSpanId"].as_str().unwrap_or_default().into();
        shown["kind"] = record["kind"].clone();
        shown["status"] = record["status"].clone();
        shown["end"] = nanos(&record["endTimeUnixNano"]).map_or(Value::Null, |end| time(end).into());
        shown["events"] = record["events"].clone();
    }
    shown
}

/// A trace in a list.
pub(super) fn trace(trace: &Trace) -> Value {
    let status = ["unset", "ok", "error"][usize::from(trace.status.min(2))];
    json!({
        "trace_id": hex(&trace.id),
        "start": time(trace.start),
        "duration_ns": trace.end.saturating_sub(trace.start).to_string(),
        "service": trace.service,
        "operation": trace.operation,
        "has_root": trace.has_root,
        "services": trace.services,
        "spans": trace.spans,
        "errors": trace.errors,
        "status": status,
    })
}

/// A point in time with its nanoseconds.
pub(super) fn time(nanos: u64) -> String {
    let whole = rfc3339(Duration::from_nanos(nanos));
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), nanos % 1_000_000_000)
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The class of a severity.
fn class(severity: u8) -> &'static str {
    CLASSES[usize::from(severity.div_ceil(4).min(6))]
}

fn nanos(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64())
}

/// A list of attributes as an object; of two with one name, the later.
fn attributes(list: &Value) -> Value {
    let pair = |pair: &Value| (pair["key"].as_str().unwrap_or_default().to_owned(), plain(&pair["value"]));
    Value::Object(list.as_array().into_iter().flatten().map(pair).collect::<Map<_, _>>())
}

/// An `AnyValue` without its type.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|members| members.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "arrayValue" => inner["values"].as_array().into_iter().flatten().map(plain).collect(),
        "kvlistValue" => attributes(&inner["values"]),
        _ => inner.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: all severities, and a point in time. Guarantee: the classes are those of OTLP, and no nanosecond is lost.
    #[test]
    fn severities_and_times_are_told() {
        let all: Vec<_> = (0..=24).map(class).collect();
        assert_eq!(
            (all[0], all[1], all[4], all[5], all[16], all[17], all[24]),
            ("none", "trace", "trace", "debug", "warn", "error", "fatal")
        );
        assert_eq!(time(1_735_689_599_000_000_007), "2024-12-31T23:59:59.000000007Z");
    }
}
