//! Loki's stages on OTLP logs: the books of what they drop and hold, and their state over reloads.

use crate::harness::process::Metrics;
use crate::harness::{Bywash, Load, Pipeline, Sink, http};
use std::net::SocketAddr;

/// A configuration whose logs go through these stages.
fn staged(pipeline: &Pipeline, stages: &str) -> String {
    let yaml =
        pipeline.yaml().replace("logs: {receivers: [otlp],", "logs: {receivers: [otlp], processors: [loki_stages],");
    format!(
        "processors:\n  loki_stages:\n    stages:\n{}{yaml}",
        stages.lines().map(|line| format!("      {line}\n")).collect::<String>()
    )
}

/// Sends one log line of an application; the status of the answer.
async fn send(to: SocketAddr, line: &str) -> Option<u16> {
    let body = serde_json::json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "app", "value": {"stringValue": "web"}}]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": "1700000000000000000", "body": {"stringValue": line}}]}],
    }]});
    let answer = http::post(to, "/v1/logs", "application/json", body.to_string().as_bytes()).await;
    answer.map(|answer| answer.status)
}

fn dropped(metrics: &Metrics) -> u64 {
    metrics.sum("bywash_processor_dropped_records", &[]) as u64
}

/// Scenario: load through stages that drop some lines by chance and some by a limit. Guarantee: what was sent is what arrived and what
/// the metrics say was dropped, by stage and reason; the other signals pass.
#[tokio::test]
async fn what_stages_drop_is_reported() {
    let mut sink = Sink::start(&[]).await;
    let stages = "- sampling: {rate: 0.5}\n- match:\n    selector: '{nothing=\"\"}'\n    stages:\n    - limit: {rate: 0.001, burst: 100, drop: yes}\n";
    let bywash = Bywash::start(&staged(&Pipeline::new().grpc("a", sink.grpc[0], &[]), stages)).await;
    let (_, summary) = Load::run(bywash.grpc, &["--requests", "100", "--rate", "0", "--signal", "logs"]).await;
    assert_eq!((summary.acked, summary.refused, summary.failed), (summary.sent, 0, 0), "{summary:?}");
    let metrics = bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    assert_eq!(metrics.sum("otelcol_processor_incoming_items", &[]) as u64, summary.sent);
    assert_eq!(metrics.sum("otelcol_processor_outgoing_items", &[]), 100.0);
    assert_eq!(dropped(&metrics), summary.sent - 100);
    let by = |labels: &[&str]| metrics.sum("bywash_processor_dropped_records", labels) as u64;
    let sampled = by(&["stage=\"[0].sampling\"", "reason=\"sampling_stage\""]);
    let limited = by(&["stage=\"[1].match.stages[0].limit\"", "reason=\"ratelimit_drop_stage\""]);
    assert!(sampled > 0 && limited > 0 && sampled + limited == dropped(&metrics));
    assert_eq!(metrics.sum("loki_process_dropped_lines_total", &["reason=\"sampling_stage\""]) as u64, sampled);
    let (_, spans) = Load::run(bywash.grpc, &["--requests", "10", "--rate", "0", "--signal", "traces"]).await;
    bywash.stop().await;
    let stats = sink.stop().await;
    assert_eq!(stats["records"], 100 + spans.acked);
}

/// Scenario: a block of lines is held and a metric counts, a reload adds a stage behind them, another one takes all stages away.
/// Guarantee: the block and the value go on after the first; after the second the block comes out and the metric is gone.
#[tokio::test]
async fn state_survives_a_reload() {
    let mut sink = Sink::start(&[]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[]);
    let stages = "- metrics:\n    lines: {type: Counter, config: {match_all: yes, action: inc}}\n- multiline: {firstline: '^S', max_wait_time: 10m}\n";
    let bywash = Bywash::start(&staged(&pipeline, stages)).await;
    let held = |m: &Metrics| m.sum("bywash_processor_held_records", &[]);
    let lines = |m: &Metrics| m.sum("loki_process_custom_lines", &["app=\"web\"", "processor=\"loki_stages\""]);
    assert_eq!((send(bywash.http, "S 1").await, send(bywash.http, "  2").await), (Some(200), Some(200)));
    let metrics = bywash.until("a block", |m| held(m) == 1.0).await;
    assert_eq!(lines(&metrics), 2.0);
    bywash.rewrite(&staged(&pipeline, &format!("{stages}- static_labels: {{x: y}}\n")));
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &["outcome=\"success\""]) == 1.0).await;
    assert_eq!(send(bywash.http, "  3").await, Some(200));
    let metrics = bywash.scrape().await;
    assert_eq!((held(&metrics), lines(&metrics), metrics.sum("bywash_processor_joined_records", &[])), (1.0, 3.0, 2.0));
    assert_eq!(sink.stats().await["records"], 0);
    bywash.rewrite(&pipeline.yaml());
    bywash.process.signal("HUP");
    sink.until("records", |n| n == 1).await;
    let metrics = bywash.scrape().await;
    assert!(!metrics.names().iter().any(|name| name.starts_with("loki_process_")));
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    assert_eq!(sink.stop().await["records"], 1);
}

/// Scenario: `acknowledge: delivered` and a line that begins a block; then one that is held when the process is told to end, and one that is
/// held when it is killed. Guarantee: success is answered when the block has arrived, by its time or at the end, and never when it is lost.
#[tokio::test]
async fn a_held_line_is_not_acknowledged() {
    let mut sink = Sink::start(&[]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[]).service("acknowledge: delivered");
    let stages = |wait: &str| staged(&pipeline, &format!("- multiline: {{firstline: '^S', max_wait_time: {wait}}}\n"));
    let mut bywash = Bywash::start(&stages("1s")).await;
    assert_eq!(send(bywash.http, "S 1").await, Some(200));
    assert_eq!(sink.stats().await["records"], 1, "it had arrived before the answer");
    bywash.rewrite(&stages("10m"));
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &["outcome=\"success\""]) == 1.0).await;
    let to = bywash.http;
    let ended = tokio::spawn(async move { send(to, "S 2").await });
    bywash.until("a block", |m| m.sum("bywash_processor_held_records", &[]) == 1.0).await;
    assert!(!ended.is_finished());
    bywash.process.signal("TERM");
    assert_eq!(ended.await.unwrap(), Some(200));
    assert_eq!(bywash.process.ended().await, Some(0));
    sink.until("records", |n| n == 2).await;

    let mut bywash = Bywash::start(&stages("10m")).await;
    let to = bywash.http;
    let killed = tokio::spawn(async move { send(to, "S 3").await });
    bywash.until("a block", |m| m.sum("bywash_processor_held_records", &[]) == 1.0).await;
    bywash.process.signal("KILL");
    assert_eq!(killed.await.unwrap(), None);
    bywash.process.ended().await;
    assert_eq!(sink.stop().await["records"], 2);
}

/// Scenario: a `limit` that holds its source back gets more than its rate. Guarantee: the sender is told when to come back; nothing is lost.
#[tokio::test]
async fn a_limit_holds_its_source_back() {
    let mut sink = Sink::start(&[]).await;
    let stages = "- limit: {rate: 0.1, burst: 1}\n";
    let bywash = Bywash::start(&staged(&Pipeline::new().grpc("a", sink.grpc[0], &[]), stages)).await;
    assert_eq!(send(bywash.http, "one").await, Some(200));
    assert_eq!(send(bywash.http, "two, on credit").await, Some(200));
    let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"three"}}]}]}]}"#;
    let answer = http::post(bywash.http, "/v1/logs", "application/json", body).await.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    let metrics = bywash.scrape().await;
    assert_eq!(metrics.sum("bywash_receiver_refused_records", &["reason=\"throttled\""]), 1.0);
    bywash.stop().await;
    assert_eq!(sink.stop().await["records"], 2);
}
