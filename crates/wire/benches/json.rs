//! What OTLP/JSON costs in each direction, beside prost's decode and encode of the same request and serde_json's parse of
//! the same text into a tree.
//!
//! `cargo bench -p bywash-wire --bench json` prints the best of many rounds, for a request of 1,000 log records of about
//! 430 bytes. Rates of a busy machine mean nothing: that is why the best counts.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use otlp_oracle::LogsRequest;
use otlp_oracle::common::{AnyValue, KeyValue, any_value::Value};
use otlp_oracle::logs::{LogRecord, ResourceLogs, ScopeLogs};
use otlp_oracle::resource::Resource;
use prost::Message as _;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wire::json::{to_json, to_protobuf};
use wire::{Signal, schema};

const RECORDS: u64 = 1000;
const ROUNDS: usize = 60;

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) })
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: text(value), key_strindex: 0 }
}

fn request() -> LogsRequest {
    let body = "0123456789abcdef GET /api/v1/items/17 200 5ms lorem ipsum dolor sit amet ".repeat(2);
    let record = |i: u64| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000 + i,
        observed_time_unix_nano: 1_700_000_000_000_000_000 + i,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: text(&body),
        attributes: (0..5).map(|key| pair(&format!("attribute.key.{key}"), "some attribute value")).collect(),
        trace_id: u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes().to_vec(),
        span_id: i.to_be_bytes().to_vec(),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: (0..RECORDS).map(record).collect(), ..ScopeLogs::default() };
    let resource = Resource { attributes: vec![pair("service.name", "checkout")], ..Resource::default() };
    let entry = ResourceLogs { resource: Some(resource), scope_logs: vec![scope], ..ResourceLogs::default() };
    LogsRequest { resource_logs: vec![entry] }
}

/// Prints the best round of `run`, which handles the request once and reads `bytes` bytes.
fn time<T>(name: &str, bytes: usize, mut run: impl FnMut() -> T) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::ZERO);
    let (nanos, records) = (best.as_nanos() as f64, RECORDS as f64);
    println!("{name:<34} {:>8.1} ns/record {:>8.0} MB/s of input", nanos / records, bytes as f64 * 1e3 / nanos);
}

fn main() {
    let request = request();
    let protobuf = request.encode_to_vec();
    let message = schema::request(Signal::Logs);
    let json = to_json(message, &protobuf).unwrap();
    println!("a record is {} bytes as protobuf, {} as JSON", protobuf.len() / 1000, json.len() / 1000);
    time("to_protobuf", json.len(), || to_protobuf(message, black_box(&json), 64 << 20).unwrap());
    time("to_json", protobuf.len(), || to_json(message, black_box(&protobuf)).unwrap());
    time("prost: decode", protobuf.len(), || LogsRequest::decode(black_box(protobuf.as_slice())).unwrap());
    time("prost: encode", protobuf.len(), || black_box(&request).encode_to_vec());
    time("serde_json: parse to a tree", json.len(), || {
        serde_json::from_slice::<serde_json::Value>(black_box(&json)).unwrap()
    });
    time("serde_json: parse and forget", json.len(), || {
        serde_json::from_slice::<serde::de::IgnoredAny>(black_box(&json)).unwrap()
    });
}
