//! One exporter over several backends: what dies is relieved, and nothing is lost or sent twice.

use crate::harness::{Books, Bywash, Load, Pipeline, Rules, Sink};

const BATCHED: &str = "batcher: {enabled: true, max_records: 200, flush_interval: 20ms}";
const HEALTH: &str = "endpoint_health: {enabled: true, quarantine_duration: 1s, reroute_on_failure: true}";

/// Scenario: logs, traces and metrics over four backends, all healthy. Guarantee: every record arrives once; every backend has a share; the page
/// counts what each took.
#[tokio::test]
async fn four_backends_share_the_load() {
    let mut sink = Sink::start(&["--backends", "4"]).await;
    let yaml = Pipeline::new().balanced(&sink.grpc, &[BATCHED, "max_in_flight: 2"]).yaml();
    let bywash = Bywash::start(&yaml).await;
    let (load, summary) = Load::run(bywash.grpc, &["--requests", "300", "--rate", "0", "--services", "50"]).await;
    assert_eq!(summary.acked, 3000);
    sink.until("records", |n| n == 3000).await;
    let metrics = bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    assert_eq!(metrics.sum("otelcol_loadbalancer_backend_request_items", &[]), 3000.0);
    assert_eq!(metrics.sum("otelcol_loadbalancer_num_backends", &[]), 4.0);
    bywash.stop().await;
    sink.stop().await;
    let share = |b: usize| Books::of_backends(&[&load.ids], &sink.ids, |x| x == b);
    for backend in 0..4 {
        assert!((0..3000).any(|id| share(backend).has(id)), "backend {backend} has nothing");
    }
    assert_eq!(Books::read(&[&load.ids], &[&sink.ids]).balance(Rules::default()).distinct, 3000);
}

/// Scenario: one of four backends fails for a while, under load. Guarantee: its keys, and what waits for it, are served by the others; it is used
/// again when it is back; every record arrives once.
#[tokio::test]
async fn a_backend_that_fails_is_relieved_and_comes_back() {
    let mut sink = Sink::start(&["--backends", "4"]).await;
    let bywash = Bywash::start(&Pipeline::new().balanced(&sink.grpc, &[BATCHED, HEALTH]).yaml()).await;
    let args = ["--requests", "600", "--rate", "3000", "--services", "50"];
    let mut load = Load::start(bywash.grpc, &args);
    sink.until("records", |n| n >= 500).await;
    sink.behave("mode=fail&backend=1").await;
    bywash.until("a quarantine", |m| m.sum("otelcol_loadbalancer_backend_quarantine_total", &[]) >= 1.0).await;
    let found = ["result=\"success\""];
    bywash.until("rerouting", |m| m.sum("otelcol_loadbalancer_backend_reroute_total", &found) > 0.0).await;
    sink.behave("mode=ok&backend=1").await;
    assert_eq!(load.finish().await.acked, 6000);
    sink.until("records", |n| n == 6000).await;
    bywash.until("four backends in use", |m| m.sum("otelcol_loadbalancer_num_selected_backends", &[]) == 4.0).await;
    let metrics = bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    assert_eq!(metrics.sum("otelcol_loadbalancer_backend_request_items", &[]), 6000.0);
    bywash.stop().await;
    sink.stop().await;
    assert_eq!(Books::read(&[&load.ids], &[&sink.ids]).balance(Rules::default()).distinct, 6000);
}
