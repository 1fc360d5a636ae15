//! A request as lines of text.

use super::Verbosity;
use flow::Payload;
use serde_json::Value;
use wire::Signal;

/// The lines for one request.
pub(super) fn of(request: &Payload, verbosity: Verbosity) -> Vec<String> {
    let counts = || format!("{} {}, {} bytes", request.records, request.signal.record_noun(), request.len());
    if verbosity == Verbosity::Basic {
        return vec![counts()];
    }
    let message = wire::schema::request(request.signal);
    let Ok(json) = wire::json::to_json(message, &request.body.contiguous()) else {
        return vec![format!("{} (not OTLP)", counts())];
    };
    if verbosity == Verbosity::Detailed {
        return vec![String::from_utf8_lossy(&json).into_owned()];
    }
    serde_json::from_slice(&json).map_or_else(|_| vec![counts()], |all| records(request.signal, &all))
}

/// A line for each record.
fn records(signal: Signal, all: &Value) -> Vec<String> {
    let (resources, scopes, records) = match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for resource in each(all, resources) {
        let about = attributes(&resource["resource"]["attributes"]);
        for record in each(&resource, scopes).iter().flat_map(|scope| each(scope, records)) {
            match signal {
                Signal::Logs => lines.push(log(&record, &about)),
                Signal::Traces => lines.push(span(&record, &about)),
                Signal::Metrics => points(&record, &about, &mut lines),
            }
        }
    }
    lines
}

fn log(record: &Value, about: &str) -> String {
    let body = any(&record["body"]);
    line([text(&record["severityText"]), body, attributes(&record["attributes"]), about.to_owned()])
}

fn span(record: &Value, about: &str) -> String {
    let parts = ["name", "traceId", "spanId"].map(|key| text(&record[key]));
    let [name, trace, id] = parts;
    line([name, trace, id, attributes(&record["attributes"]), about.to_owned()])
}

fn points(metric: &Value, about: &str, lines: &mut Vec<String>) {
    let name = text(&metric["name"]);
    let data = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"].map(|kind| &metric[kind]["dataPoints"]);
    for point in data.iter().filter_map(|points| points.as_array()).flatten() {
        let value =
            ["asInt", "asDouble", "sum", "count"].iter().find_map(|key| point.get(*key)).map_or(String::new(), text);
        lines.push(line([name.clone(), value, attributes(&point["attributes"]), about.to_owned()]));
    }
}

fn line<const N: usize>(parts: [String; N]) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ").replace(['\n', '\r'], " ")
}

fn attributes(list: &Value) -> String {
    let pair = |pair: &Value| format!("{}={}", text(&pair["key"]), any(&pair["value"]));
    let all: Vec<String> = list.as_array().into_iter().flatten().map(pair).collect();
    all.join(" ")
}

/// An `AnyValue`: a scalar bare, the rest as JSON.
fn any(value: &Value) -> String {
    match value.as_object().and_then(|members| members.values().next()) {
        Some(inner) => text(inner),
        None => String::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
