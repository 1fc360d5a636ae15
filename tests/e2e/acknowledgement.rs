//! When success is answered: `acknowledge: delivered`, and `ingest: sync`.

use crate::harness::config::FAST_RETRY;
use crate::harness::{Bywash, Load, Pipeline, Rules, Sink, eventually};

/// Scenario: `acknowledge: delivered` while the backend fails, then recovers. Guarantee: nothing is acked before the
/// backend has it.
#[tokio::test]
async fn delivered_means_delivered() {
    let mut sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY]).service("acknowledge: delivered");
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let mut load =
        Load::start(bywash.grpc, &["--requests", "8", "--in-flight", "8", "--rate", "0", "--timeout", "30s"]);
    bywash.until("the requests to be tried in vain", |m| m.sum("bywash_exporter_retried_records", &[]) > 200.0).await;
    assert!(load.process.is_alive(), "no request has an answer yet");
    assert!(load.process.stdout.all().is_empty());
    sink.behave("mode=ok").await;
    let summary = load.finish().await;
    assert_eq!(summary.acked, 80);
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!(balance.distinct, 80);
}

/// Scenario: `acknowledge: delivered`; the process is killed (SIGKILL) in the middle of the load. Guarantee: every
/// acked record has arrived.
#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_acked() {
    let mut sink = Sink::start(&["--delay", "3ms"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[]).service("acknowledge: delivered");
    let mut bywash = Bywash::start(&pipeline.yaml()).await;
    let mut load = Load::start(bywash.grpc, &["--duration", "3s", "--rate", "0", "--timeout", "1s"]);
    sink.until("records", |n| n > 2000).await;
    bywash.process.signal("KILL");
    assert_eq!(bywash.process.ended().await, None);
    let summary = load.finish().await;
    assert!(summary.acked >= 1000 && summary.failed > 0, "{summary:?}");
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!(balance.lost, 0);
}

/// Scenario: `acknowledge: delivered` and a backend that rejects for good, then one that takes some. Guarantee: the
/// sender is told of all, then of some.
#[tokio::test]
async fn rejections_reach_the_sender() {
    let mut sink = Sink::start(&["--fail", "reject"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[]).service("acknowledge: delivered");
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let (all, summary) = Load::run(bywash.grpc, &["--requests", "6", "--rate", "0"]).await;
    assert_eq!((summary.partial, summary.acked), (60, 0), "{summary:?}");
    sink.behave("mode=ok&partial=3").await;
    let (some, summary) =
        Load::run(bywash.grpc, &["--requests", "6", "--in-flight", "1", "--rate", "0", "--first-id", "1000"]).await;
    assert_eq!((summary.partial, summary.acked), (18, 42), "{summary:?}");
    let metrics = bywash.scrape().await;
    assert_eq!(metrics.records("otelcol_exporter_send_failed", &[]), 78);
    bywash.stop().await;
    sink.books(&[&all, &some]).await.balance(Rules::default());
}

/// Scenario: `ingest: sync` before a backend that fails, throttles, and takes. Guarantee: the sender is told at once
/// each time, and nothing is ever queued.
#[tokio::test]
async fn sync_queues_nothing() {
    let mut sink = Sink::start(&["--fail", "unavailable"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[]).service("ingest: sync");
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let (failed, summary) = Load::run(bywash.grpc, &["--requests", "9", "--rate", "0"]).await;
    assert_eq!(summary.refused, 90, "{summary:?}");
    sink.behave("mode=throttle&throttle=7s").await;
    let (throttled, summary) =
        Load::run(bywash.http, &["--protocol", "http", "--requests", "9", "--rate", "0", "--first-id", "1000"]).await;
    assert_eq!(summary.refused, 90, "{summary:?}");
    let metrics = bywash.scrape().await;
    assert_eq!(
        (metrics.sum("otelcol_exporter_queue_size", &[]), metrics.sum("bywash_budget_used_bytes", &[])),
        (0.0, 0.0)
    );
    sink.behave("mode=ok").await;
    let (taken, summary) = Load::run(bywash.grpc, &["--requests", "9", "--rate", "0", "--first-id", "2000"]).await;
    assert_eq!(summary.acked, 90, "{summary:?}");
    let metrics = bywash.scrape().await;
    assert_eq!(metrics.records("otelcol_receiver_accepted", &[]), 90);
    bywash.stop().await;
    let balance = sink.books(&[&failed, &throttled, &taken]).await.balance(Rules::default());
    assert_eq!((balance.distinct, balance.refused), (90, 180));
}

/// Scenario: `block_on_overflow` with a queue of one request and a backend that stalls for a while. Guarantee: senders
/// wait instead of being refused, and in the end everything is acked and delivered once.
#[tokio::test]
async fn senders_wait_for_room() {
    let mut sink = Sink::start(&["--stall"]).await;
    let queue = "sending_queue: {queue_size: 1, block_on_overflow: true}";
    let bywash =
        Bywash::start(&Pipeline::new().grpc("a", sink.grpc[0], &[queue, FAST_RETRY, "timeout: 60s"]).yaml()).await;
    let mut load = Load::start(
        bywash.grpc,
        &["--requests", "12", "--signal", "logs", "--in-flight", "4", "--rate", "0", "--timeout", "30s"],
    );
    sink.until("requests", |n| n == 1).await;
    eventually("the queue to be full", async || {
        let metrics = bywash.scrape().await;
        (metrics.sum("bywash_budget_requests", &[]) >= 4.0).then_some(())
    })
    .await;
    sink.behave("mode=ok").await;
    let summary = load.finish().await;
    assert_eq!(summary.acked, 120, "{summary:?}");
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    assert_eq!(sink.books(&[&load]).await.balance(Rules::default()).distinct, 120);
}
