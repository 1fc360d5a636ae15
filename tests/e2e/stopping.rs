//! SIGTERM under load: the process ends in time, and everything is delivered, refused or reported.

use crate::harness::{Bywash, Load, Pipeline, Rules, Sink};
use std::time::Duration;
use tokio::time::Instant;

/// Load that goes on for longer than the process does.
const LASTING: [&str; 6] = ["--duration", "4s", "--rate", "4000", "--timeout", "2s"];

/// Scenario: SIGTERM under load, with a slow but willing backend. Guarantee: the process ends well before the deadline,
/// and every record that was acked is delivered once.
#[tokio::test]
async fn everything_acked_is_delivered() {
    let mut sink = Sink::start(&["--delay", "20ms"]).await;
    let yaml = Pipeline::new().grpc("a", sink.grpc[0], &["sending_queue: {queue_size: 10000, num_consumers: 1}"]);
    let mut bywash = Bywash::start(&yaml.service("shutdown_timeout: 20s").yaml()).await;
    let mut load = Load::start(bywash.grpc, &LASTING);
    // More comes in than goes out, so there is a queue when the signal comes.
    bywash.until("a queue", |m| m.sum("otelcol_exporter_queue_size", &[]) > 60.0).await;
    let asked = Instant::now();
    bywash.process.signal("TERM");
    assert_eq!(bywash.process.ended().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "not before the deadline");
    let summary = load.finish().await;
    assert!(summary.acked > 0 && summary.failed + summary.refused > 0, "the load outlived the process: {summary:?}");
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!(balance.lost, 0);
}

/// Scenario: SIGTERM under load while the backend never answers. Guarantee: the process ends at its deadline and says
/// how many records it gives up: exactly those that were acked and never arrived.
#[tokio::test]
async fn what_cannot_be_delivered_is_reported() {
    let mut sink = Sink::start(&[]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &["timeout: 0s", "sending_queue: {queue_size: 100000}"]);
    let yaml = pipeline.service("shutdown_timeout: 2s").yaml();
    let mut bywash = Bywash::start(&yaml).await;
    let mut load = Load::start(bywash.grpc, &LASTING);
    sink.until("records", |n| n > 500).await;
    sink.behave("mode=stall").await;
    bywash.until("a queue", |m| m.sum("otelcol_exporter_queue_size", &[]) > 60.0).await;
    let asked = Instant::now();
    bywash.process.signal("TERM");
    assert_eq!(bywash.process.ended().await, Some(1), "an end that gave up records is no success");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "two seconds were allowed, {took:?} were taken");
    load.finish().await;
    let balance = sink.books(&[&load]).await.balance(Rules { acked_may_be_lost: true, ..Rules::default() });
    assert!(balance.lost > 0, "the backend stalled, so something must be left");
    let said = bywash.process.stderr.json();
    let last = said.iter().find(|l| l["message"] == "stopped: records could not be delivered in time").unwrap();
    assert_eq!(last["given_up"], balance.lost, "what the log reports is what is missing");
}

/// Scenario: senders wait for delivery (`acknowledge: delivered`) when SIGTERM comes, and the backend is slow.
/// Guarantee: what was under way is answered truthfully: acked is delivered, and nobody is left without an answer
/// before the process ends.
#[tokio::test]
async fn senders_who_wait_get_their_answer() {
    let mut sink = Sink::start(&["--delay", "100ms"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[]);
    let yaml = pipeline.service("acknowledge: delivered").service("shutdown_timeout: 10s").yaml();
    let mut bywash = Bywash::start(&yaml).await;
    let mut load = Load::start(bywash.grpc, &LASTING);
    sink.until("records", |n| n > 100).await;
    bywash.process.signal("TERM");
    assert_eq!(bywash.process.ended().await, Some(0));
    load.finish().await;
    let balance = sink.books(&[&load]).await.balance(Rules { refused_may_arrive: false, ..Rules::default() });
    assert_eq!(balance.lost, 0);
    assert!(balance.acked > 0);
}

/// Scenario: a second SIGTERM while it drains into a stalled backend with a minute to go. Guarantee: it ends at once.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let sink = Sink::start(&["--stall"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &["timeout: 0s"]).service("shutdown_timeout: 60s");
    let mut bywash = Bywash::start(&pipeline.yaml()).await;
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "10", "--rate", "0"]).await;
    assert_eq!(summary.acked, 100);
    bywash.process.signal("TERM");
    crate::harness::eventually("draining", async || (bywash.health_status().await != Some(200)).then_some(())).await;
    assert!(bywash.process.is_alive(), "it still drains");
    let asked = Instant::now();
    bywash.process.signal("TERM");
    bywash.process.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(10));
}
