//! What is sent arrives: every signal, over every protocol and compression, once.

use crate::harness::{Books, Bywash, Load, Pipeline, Rules, Sink};
use std::path::Path;

/// Every way in, into one pipeline.
const WAYS_IN: [&[&str]; 5] = [
    &["--protocol", "grpc"],
    &["--protocol", "grpc", "--compression", "gzip"],
    &["--protocol", "grpc", "--compression", "zstd"],
    &["--protocol", "http/protobuf", "--compression", "gzip"],
    &["--protocol", "http/json", "--compression", "zstd"],
];
const REQUESTS: u64 = 60;
const RECORDS: u64 = 7;

/// Sends through `pipeline` by every way in, and checks that all of it arrives once, on one way out.
async fn passes(pipeline: Pipeline, mut sink: Sink) {
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let (requests, records) = (REQUESTS.to_string(), RECORDS.to_string());
    let mut loads = vec![];
    for (i, way) in WAYS_IN.iter().enumerate() {
        let to = if way.contains(&"grpc") { bywash.grpc } else { bywash.http };
        let first = (1 + i as u64 * REQUESTS * RECORDS).to_string();
        let own = ["--requests", &requests, "--records", &records, "--rate", "0", "--first-id", &first];
        let (load, summary) = Load::run(to, &[&own, *way].concat()).await;
        assert_eq!((summary.sent, summary.acked), (REQUESTS * RECORDS, REQUESTS * RECORDS), "{way:?}");
        loads.push(load);
    }
    let sent = REQUESTS * RECORDS * WAYS_IN.len() as u64;
    bywash.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == sent).await;
    // What is sent is counted a moment before it is settled; once everything is settled nothing is held.
    let metrics = bywash.until("memory to be given back", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    assert_eq!(metrics.records("otelcol_receiver_accepted", &[]), sent);
    assert_eq!(metrics.sum("bywash_leaked_acknowledgements", &[]), 0.0);
    bywash.stop().await;
    let stats = sink.stop().await;
    let third = sent / 3;
    assert_eq!([&stats["logs"], &stats["traces"], &stats["metrics"]], [third, third, third]);
    assert_eq!(stats["anonymous"], 0);
    let balance =
        Books::read(&loads.iter().map(|l| l.ids.as_path()).collect::<Vec<_>>(), &[&sink.ids]).balance(Rules::default());
    assert_eq!((balance.acked, balance.distinct), (sent, sent));
}

/// Scenario: all signals by every way in, out over gRPC as they came. Guarantee: each record arrives once.
#[tokio::test]
async fn grpc_out() {
    let sink = Sink::start(&[]).await;
    passes(Pipeline::new().grpc("a", sink.grpc[0], &[]), sink).await;
}

/// Scenario: the same, compressed with zstd and in batches. Guarantee: each record arrives once.
#[tokio::test]
async fn grpc_out_in_batches_of_zstd() {
    let sink = Sink::start(&[]).await;
    let batch =
        "sending_queue: {queue_size: 100000, sizer: items, batch: {min_size: 100, max_size: 250, flush_timeout: 50ms}}";
    passes(Pipeline::new().grpc("a", sink.grpc[0], &["compression: zstd", batch]), sink).await;
}

/// Scenario: out over HTTP in protobuf with gzip. Guarantee: each record arrives once.
#[tokio::test]
async fn http_out_with_gzip() {
    let sink = Sink::start(&[]).await;
    passes(Pipeline::new().http("a", sink.http[0], &["compression: gzip"]), sink).await;
}

/// Scenario: out over HTTP in JSON. Guarantee: each record arrives once.
#[tokio::test]
async fn http_out_in_json() {
    let sink = Sink::start(&[]).await;
    passes(Pipeline::new().http("a", sink.http[0], &["encoding: json"]), sink).await;
}

/// Scenario: batches of at most 250 records are asked for, of requests with 7. Guarantee: far fewer requests go out
/// than came in, none of them larger.
#[tokio::test]
async fn batches_are_formed() {
    let mut sink = Sink::start(&[]).await;
    let batch = "sending_queue: {queue_size: 100000, sizer: items, batch: {min_size: 200, max_size: 250, flush_timeout: 100ms}}";
    let bywash = Bywash::start(&Pipeline::new().grpc("a", sink.grpc[0], &[batch]).yaml()).await;
    let (load, summary) =
        Load::run(bywash.grpc, &["--requests", "400", "--records", "7", "--rate", "0", "--signal", "logs"]).await;
    assert_eq!(summary.acked, 2800);
    sink.until("records", |n| n == 2800).await;
    bywash.stop().await;
    let stats = sink.stop().await;
    let requests = stats["requests"].as_u64().unwrap();
    assert!((2800 / 250..=200).contains(&requests), "{requests} requests");
    assert!(largest(&sink.ids) <= 250);
    Books::read(&[&load.ids], &[&sink.ids]).balance(Rules::default());
}

fn largest(ids: &Path) -> u64 {
    let text = std::fs::read_to_string(ids).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    lines.map(|l| l["records"].as_u64().unwrap()).max().unwrap()
}

/// Scenario: the same requests once directly and once through Bywash. Guarantee: not a byte of them is changed in
/// length.
#[tokio::test]
async fn requests_are_forwarded_byte_for_byte() {
    let (mut direct, mut behind) = (Sink::start(&[]).await, Sink::start(&[]).await);
    let bywash = Bywash::start(&Pipeline::new().grpc("a", behind.grpc[0], &[]).yaml()).await;
    for to in [direct.grpc[0], bywash.grpc] {
        let (_, summary) = Load::run(to, &["--requests", "100", "--records", "9", "--rate", "0"]).await;
        assert_eq!(summary.acked, 900);
    }
    behind.until("records", |n| n == 900).await;
    bywash.stop().await;
    let (direct, behind) = (direct.stop().await, behind.stop().await);
    assert_eq!((&direct["bytes"], &direct["requests"]), (&behind["bytes"], &behind["requests"]));
}

/// Scenario: batches of several megabytes go to a second Bywash, which takes no message above 4 MiB. Guarantee: they are
/// divided until they fit, and each record arrives once.
#[tokio::test]
async fn batches_too_large_for_the_backend_are_divided() {
    let mut sink = Sink::start(&[]).await;
    let second = Bywash::start(&Pipeline::new().grpc("a", sink.grpc[0], &[]).yaml()).await;
    let batch = "sending_queue: {queue_size: 100000, sizer: items, batch: {min_size: 20000, flush_timeout: 2s}}";
    let first = Bywash::start(&Pipeline::new().grpc("a", second.grpc, &[batch]).yaml()).await;
    let args = ["--signal", "logs", "--requests", "200", "--records", "100", "--body", "600", "--rate", "0"];
    let (load, summary) = Load::run(first.grpc, &args).await;
    assert_eq!(summary.acked, 20_000, "{summary:?}");
    let metrics = first.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == 20_000).await;
    assert!(metrics.sum("bywash_exporter_divided_requests", &[]) >= 1.0, "no batch was too large");
    sink.until("records", |n| n == 20_000).await;
    first.stop().await;
    second.stop().await;
    sink.books(&[&load]).await.balance(Rules::default());
}
