//! Several exporters in one pipeline: a dead one costs the others nothing.

use crate::harness::config::FAST_RETRY;
use crate::harness::{Books, Bywash, Load, Pipeline, Rules, Sink};

const REQUESTS: u64 = 300;
const RECORDS: u64 = 10;

/// Scenario: one of four backends accepts and never answers; its queue holds 20 requests. Guarantee: the three others
/// get everything once, the sender waits for none of it, and is told exactly how much the fourth missed.
#[tokio::test]
async fn one_of_four_exporters_dead() {
    let mut sink = Sink::start(&["--backends", "4"]).await;
    sink.behave("mode=stall&backend=3").await;
    let mut pipeline = Pipeline::new();
    for (i, backend) in sink.grpc.iter().enumerate() {
        let queue = if i == 3 { "sending_queue: {queue_size: 20}" } else { "sending_queue: {queue_size: 10000}" };
        pipeline = pipeline.grpc(&format!("b{i}"), *backend, &["timeout: 60s", FAST_RETRY, queue]);
    }
    let yaml = pipeline.service("shutdown_timeout: 1s").yaml();
    let mut bywash = Bywash::start(&yaml).await;
    let (requests, records) = (REQUESTS.to_string(), RECORDS.to_string());
    let args = ["--requests", &requests, "--records", &records, "--rate", "2000", "--signal", "logs"];
    let (load, summary) = Load::run(bywash.grpc, &args).await;

    assert_eq!((summary.refused, summary.failed), (0, 0));
    assert_eq!(summary.partial, (REQUESTS - 20) * RECORDS, "all but what the dead one's queue holds is reported");
    assert!(summary.p99_ms < 250.0, "the dead backend was waited for: p99 {} ms", summary.p99_ms);
    let sent = |i: usize| format!("exporter=\"otlp_grpc/b{i}\"");
    let metrics = bywash
        .until("three backends to have all", |m| {
            (0..3).all(|i| m.records("otelcol_exporter_sent", &[&sent(i)]) == REQUESTS * RECORDS)
        })
        .await;
    assert_eq!(metrics.records("otelcol_exporter_enqueue_failed", &[&sent(3)]), summary.partial);
    assert_eq!(metrics.records("otelcol_exporter_sent", &[&sent(3)]), 0);

    bywash.process.signal("TERM");
    assert_eq!(bywash.process.ended().await, Some(1), "what the dead one's queue held is given up, and that is said");
    sink.stop().await;
    for backend in 0..3 {
        let books = Books::of_backends(&[&load.ids], &sink.ids, |b| b == backend);
        let rules = Rules { refused_may_arrive: true, ..Rules::default() };
        assert_eq!(books.balance(rules).distinct, REQUESTS * RECORDS, "backend {backend}");
    }
}

/// Scenario: four backends of which one is down for a while and its queue has room. Guarantee: in the end each has
/// every record once.
#[tokio::test]
async fn a_backend_that_was_down_catches_up() {
    let mut sink = Sink::start(&["--backends", "4"]).await;
    sink.behave("mode=fail&backend=2").await;
    let mut pipeline = Pipeline::new();
    for (i, backend) in sink.grpc.iter().enumerate() {
        pipeline = pipeline.grpc(&format!("b{i}"), *backend, &[FAST_RETRY, "sending_queue: {queue_size: 10000}"]);
    }
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let (load, summary) = Load::run(bywash.grpc, &["--requests", "90", "--rate", "0"]).await;
    assert_eq!(summary.acked, 900);
    sink.until("records", |n| n == 2700).await;
    sink.behave("mode=ok&backend=2").await;
    sink.until("records", |n| n == 3600).await;
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    sink.stop().await;
    for backend in 0..4 {
        let balance = Books::of_backends(&[&load.ids], &sink.ids, |b| b == backend).balance(Rules::default());
        assert_eq!(balance.distinct, 900, "backend {backend}");
    }
}
