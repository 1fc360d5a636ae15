use super::*;
use bytes::Bytes;
use config::testing::{decoded, problems};
use wire::Signal;

fn payload(signal: Signal, json: &str) -> Payload {
    let body = wire::json::to_protobuf(wire::schema::request(signal), json.as_bytes(), 1 << 20).unwrap();
    Payload::new(signal, Bytes::from(body), 2)
}

const LOGS: &str = r#"{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
    "scopeLogs": [{"logRecords": [
        {"severityText": "WARN", "body": {"stringValue": "out of\nstock"}, "attributes": [{"key": "sku", "value": {"intValue": "7"}}]},
        {"body": {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": true}}]}}}]}]}]}"#;

/// Scenario: log records. Guarantee: counts, a line for each, or all of it, by verbosity.
#[test]
fn verbosity_decides_how_much_is_shown() {
    let request = payload(Signal::Logs, LOGS);
    assert_eq!(lines::of(&request, Verbosity::Basic), [format!("2 log_records, {} bytes", request.len())]);
    let normal = lines::of(&request, Verbosity::Normal);
    assert_eq!(normal.len(), 2);
    assert_eq!(normal[0], "WARN out of stock sku=7 service.name=cart");
    assert!(normal[1].ends_with("service.name=cart") && normal[1].contains("boolValue"));
    let detailed = lines::of(&request, Verbosity::Detailed);
    assert!(detailed.len() == 1 && detailed[0].contains("\"sku\""));
}

/// Scenario: spans and data points. Guarantee: a line for each, with name and ids or value.
#[test]
fn spans_and_points_have_lines_too() {
    let spans = r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "get", "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708"}]}]}]}"#;
    assert_eq!(
        lines::of(&payload(Signal::Traces, spans), Verbosity::Normal),
        ["get 0102030405060708090a0b0c0d0e0f10 0102030405060708"]
    );
    let points = r#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "sum": {"dataPoints": [{"asInt": "3"}, {"asDouble": 0.5, "attributes": [{"key": "k", "value": {"stringValue": "v"}}]}]}}]}]}]}"#;
    assert_eq!(lines::of(&payload(Signal::Metrics, points), Verbosity::Normal), ["m 3", "m 0.5 k=v"]);
}

/// Scenario: a body that is not OTLP. Guarantee: it is shown as such, not refused.
#[test]
fn what_is_not_otlp_is_said_to_be_so() {
    let request = Payload::new(Signal::Logs, Bytes::from_static(&[0xff, 0xff]), 1);
    assert!(lines::of(&request, Verbosity::Detailed)[0].contains("not OTLP"));
}

/// Scenario: ten requests in one second, then one in the next, with 2 shown and then every third. Guarantee: exactly those.
#[test]
fn sampling_shows_the_first_and_then_every_so_many() {
    let (mut sampler, t0) = (Sampler::new(2, 3), flow_now());
    let shown: Vec<bool> = (0..10).map(|_| sampler.shows(t0)).collect();
    assert_eq!(shown, [true, true, false, false, true, false, false, true, false, false]);
    assert!(sampler.shows(t0 + Duration::from_secs(1)));
    let mut none = Sampler::new(0, 0);
    assert!(!none.shows(t0));
    let mut all = Sampler::new(2, 1);
    assert!((0..10).all(|_| all.shows(t0)));
}

/// Any instant will do.
fn flow_now() -> Instant {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async { flow::clock::now() })
}

/// Scenario: the output is a file, then a folder that cannot be written. Guarantee: lines are appended; data is taken either way.
#[tokio::test]
async fn lines_are_appended_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let output_paths = vec![path.to_str().unwrap().to_owned(), folder.path().to_str().unwrap().to_owned()];
    let config = Config { use_internal_logger: false, output_paths, ..Config::default() };
    let debug = Debug::new("debug", &config);
    for _ in 0..2 {
        assert_eq!(debug.send(&debug.target(), payload(Signal::Logs, LOGS), flow::clock::now()).await, Attempt::Sent);
    }
    telemetry::writer::flush(Duration::from_secs(10));
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 2);
}

/// Scenario: the keys of the collector. Guarantee: read; the queue is off unless it is written.
#[test]
fn the_queue_is_off_unless_written() {
    assert!(!decoded::<Config>("verbosity: detailed").queue().enabled);
    assert!(decoded::<Config>("sending_queue:").queue().enabled);
    assert_eq!(problems::<Config>("{use_internal_logger: false, output_paths: []}")[0].0, "output_paths");
    assert_eq!(problems::<Config>("verbosity: loud").len(), 1);
}
