//! Loki in, Loki out: pushes between processes, and what becomes of them when the other end refuses.

use crate::harness::process::Metrics;
use crate::harness::{Bywash, Load, Rules, Sink, http};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

const SERVICE: &str = "\
extensions:
  health_check: {endpoint: 127.0.0.1:0}
service:
  extensions: [health_check]
  telemetry:
    logs: {encoding: json}
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}
";

/// OTLP and Loki in, Loki out to `to`, with these lines besides below the exporter.
fn config(to: SocketAddr, keys: &[&str], service: &str) -> String {
    let mut yaml = String::from(
        "receivers:\n  otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}\n  \
         loki: {protocols: {http: {endpoint: 127.0.0.1:0}}, use_incoming_timestamp: true}\n",
    );
    write!(yaml, "exporters:\n  loki:\n    endpoint: http://{to}/loki/api/v1/push\n").unwrap();
    yaml += "    retry_on_failure: {initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s}\n";
    keys.iter().for_each(|key| writeln!(yaml, "    {key}").unwrap());
    yaml += SERVICE;
    yaml += service;
    yaml += "  pipelines:\n    logs: {receivers: [otlp, loki], exporters: [loki]}\n";
    yaml
}

const LOGS: [&str; 4] = ["--signal", "logs", "--rate", "0"];

/// Scenario: logs by OTLP into one Bywash, by Loki into a second, by Loki into the sink. Guarantee: each record arrives once, and nothing
/// is held afterwards.
#[tokio::test]
async fn loki_between_processes() {
    let mut sink = Sink::start(&["--loki", "127.0.0.1:0"]).await;
    let second = Bywash::start(&config(sink.loki[0], &["batch_wait: 50ms"], "")).await;
    let first = Bywash::start(&config(second.receiver("loki"), &["mapping: entries", "batch_wait: 50ms"], "")).await;
    let (load, summary) = Load::run(first.grpc, &[&LOGS[..], &["--requests", "200", "--records", "20"]].concat()).await;
    assert_eq!(summary.acked, 4000);
    sink.until("records", |n| n == 4000).await;
    for bywash in [first, second] {
        bywash.until("memory to be given back", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
        bywash.stop().await;
    }
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.acked, balance.distinct), (4000, 4000));
}

/// Scenario: the backend throttles, fails, comes back, and every seventh push fails. Guarantee: all is sent again until each record has arrived
/// once.
#[tokio::test]
async fn refusals_are_sent_again() {
    let mut sink = Sink::start(&["--loki", "127.0.0.1:0", "--throttle", "1s"]).await;
    let bywash =
        Bywash::start(&config(sink.loki[0], &["mapping: entries", "batch_size: 20KiB", "batch_wait: 50ms"], "")).await;
    let (load, summary) =
        Load::run(bywash.grpc, &[&LOGS[..], &["--requests", "100", "--records", "20"]].concat()).await;
    assert_eq!(summary.acked, 2000);
    sink.until("refused_requests", |n| n >= 1).await;
    sink.behave("mode=fail&failure=unavailable").await;
    sink.until("refused_requests", |n| n >= 4).await;
    sink.behave("mode=ok&fail_every=7").await;
    sink.until("records", |n| n == 2000).await;
    let retried = |m: &Metrics| m.sum("bywash_exporter_retried_records", &[]) > 0.0;
    bywash.until("retries to be counted", retried).await;
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.acked, balance.distinct), (2000, 2000));
}

/// Scenario: the backend answers 400. Guarantee: the push is sent once, its records are counted as failed, and the sender that waits is told.
#[tokio::test]
async fn a_400_is_final() {
    let mut sink = Sink::start(&["--loki", "127.0.0.1:0", "--fail", "reject"]).await;
    let bywash = Bywash::start(&config(sink.loki[0], &[], "  acknowledge: delivered\n")).await;
    let body = br#"{"streams": [{"stream": {"job": "a"}, "values": [["1700000000000000000", "x"], ["1700000000000000001", "y"]]}]}"#;
    let headers = [("content-type", "application/json")];
    let answer = http::request(bywash.receiver("loki"), "POST", "/loki/api/v1/push", &headers, body).await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("the sink was told to reject"), "{}", answer.text());
    let metrics = bywash.until("failures to be counted", |m| m.records("otelcol_exporter_send_failed", &[]) == 2).await;
    assert_eq!(metrics.sum("bywash_leaked_acknowledgements", &[]), 0.0);
    bywash.stop().await;
    let stats = sink.stop().await;
    assert_eq!((stats["requests"].as_u64(), stats["records"].as_u64()), (Some(1), Some(0)), "{stats}");
}

/// Scenario: two tenants, whose pushes come with their header; a backend that counts. Guarantee: a lane for each, and each record arrives.
#[tokio::test]
async fn tenants_have_lanes() {
    let mut sink = Sink::start(&["--loki", "127.0.0.1:0"]).await;
    let bywash = Bywash::start(&config(sink.loki[0], &["batch_wait: 50ms"], "")).await;
    for tenant in ["acme", "globex", "acme"] {
        let body = br#"{"streams": [{"stream": {"job": "a"}, "values": [["1700000000000000000", "x"]]}]}"#;
        let headers = [("content-type", "application/json"), ("x-scope-orgid", tenant)];
        let answer = http::request(bywash.receiver("loki"), "POST", "/loki/api/v1/push", &headers, body).await.unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    sink.until("records", |n| n == 3).await;
    let metrics = bywash.until("both lanes", |m| m.series("bywash_lane_state").len() >= 2).await;
    let lanes = metrics.series("bywash_lane_state").join(" ");
    assert!(lanes.contains("\"acme\"") && lanes.contains("\"globex\""), "{lanes}");
    bywash.stop().await;
    sink.stop().await;
}

/// Scenario: the example for Promtail and Alloy, with ports of the system's choice. Guarantee: a push goes through it.
#[tokio::test]
async fn the_example_runs() {
    let mut sink = Sink::start(&["--loki", "127.0.0.1:0"]).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/loki/gateway.yaml");
    let example = std::fs::read_to_string(root).unwrap();
    let example = example
        .replace("localhost:3500", "127.0.0.1:0")
        .replace("localhost:4317", "127.0.0.1:0")
        .replace("localhost:13133", "127.0.0.1:0")
        .replace("localhost:3100", &sink.loki[0].to_string())
        .replace("  extensions: [health_check]\n", &SERVICE[SERVICE.find("  extensions").unwrap()..]);
    let bywash = Bywash::start(&example).await;
    let (load, summary) = Load::run(bywash.grpc, &[&LOGS[..], &["--requests", "30", "--records", "10"]].concat()).await;
    assert_eq!(summary.acked, 300);
    sink.until("records", |n| n == 300).await;
    bywash.stop().await;
    let stats = sink.stop().await;
    assert_eq!(stats["logs"], 300);
    drop(load);
}
