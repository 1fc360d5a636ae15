//! What the metrics page shows: every name is written by something that happened.

use super::fleet::*;
use flow::Outcome;
use std::time::Duration;
use telemetry::exposition::Page;
use telemetry::metrics::load_balancing::render;
use wire::Signal;

fn page(b: &Bench) -> String {
    let mut page = Page::new();
    render(&mut page, &[b.view()], flow::clock::now());
    page.finish()
}

fn has(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|l| l == *line), "{line} in\n{page}");
    }
}

/// Scenario: two backends, one of which takes batches while the other fails, is quarantined, and loses what it had; the resolver fails once.
/// Guarantee: the collector's and the fork's numbers are those of what happened.
#[tokio::test(start_paused = true)]
async fn every_number_is_of_something_that_happened() {
    let yaml = "log_batcher: {enabled: true, max_records: 2, flush_interval: 100ms}\nendpoint_health: {enabled: true}\n\
                retry_on_failure: {initial_interval: 1s, max_interval: 1s, randomization_factor: 0, max_elapsed_time: 5s}";
    let b = Bench::new(yaml, &["a", "b"]).await;
    b.fleet.set("a", Mode::Take(MS(30)));
    b.fleet.set("b", unavailable());
    assert_eq!(b.send("a", &["1", "2"]).await.unwrap(), Outcome::Delivered);
    assert_eq!(b.send("a", &["3"]).await.unwrap(), Outcome::Delivered);
    b.leave(logs(&[("4", b.trace_of("a"))]));
    let lost = b.send("b", &["5"]);
    assert!(matches!(lost.await.unwrap(), Outcome::Failed { .. }));
    b.cannot_resolve("SERVFAIL").await;
    let bytes: usize = b.fleet.taken("a").iter().map(flow::Payload::len).sum();
    let page = page(&b);
    has(
        &page,
        &[
            "otelcol_loadbalancer_num_resolutions{exporter=\"lb\",resolver=\"static\",success=\"true\"} 1",
            "otelcol_loadbalancer_num_resolutions{exporter=\"lb\",resolver=\"static\",success=\"false\"} 1",
            "otelcol_loadbalancer_num_backends{exporter=\"lb\",resolver=\"static\"} 2",
            "otelcol_loadbalancer_num_backend_updates{exporter=\"lb\",resolver=\"static\"} 2",
            "otelcol_loadbalancer_num_selected_backends{exporter=\"lb\"} 1",
            "bywash_loadbalancer_quarantined_backends{exporter=\"lb\"} 1",
            "otelcol_loadbalancer_backend_fail_open_total{exporter=\"lb\"} 0",
            "otelcol_loadbalancer_backend_reroute_total{exporter=\"lb\",result=\"success\"} 0",
            "otelcol_loadbalancer_backend_outcome{exporter=\"lb\",endpoint=\"a:4317\",success=\"true\"} 3",
            "otelcol_loadbalancer_backend_outcome{exporter=\"lb\",endpoint=\"b:4317\",success=\"true\"} 0",
            "otelcol_loadbalancer_backend_latency_bucket{exporter=\"lb\",endpoint=\"a:4317\",le=\"20\"} 0",
            "otelcol_loadbalancer_backend_latency_bucket{exporter=\"lb\",endpoint=\"a:4317\",le=\"50\"} 3",
            "otelcol_loadbalancer_backend_quarantine_total{exporter=\"lb\",endpoint=\"b:4317\",reason=\"unavailable\"} 1",
            "otelcol_loadbalancer_backend_request_total{exporter=\"lb\",endpoint=\"a:4317\",signal=\"logs\"} 3",
            "otelcol_loadbalancer_backend_request_items{exporter=\"lb\",endpoint=\"a:4317\",signal=\"logs\"} 4",
            &format!(
                "otelcol_loadbalancer_backend_request_bytes{{exporter=\"lb\",endpoint=\"a:4317\",signal=\"logs\"}} {bytes}"
            ),
            "otelcol_loadbalancer_log_batch_size_count{exporter=\"lb\",endpoint=\"a:4317\"} 3",
            "otelcol_loadbalancer_log_batch_size_sum{exporter=\"lb\",endpoint=\"a:4317\"} 4",
            &format!("otelcol_loadbalancer_log_batch_bytes_sum{{exporter=\"lb\",endpoint=\"a:4317\"}} {bytes}"),
            "otelcol_loadbalancer_log_batch_flush_total{exporter=\"lb\",endpoint=\"a:4317\",reason=\"size\"} 1",
            "otelcol_loadbalancer_log_batch_flush_total{exporter=\"lb\",endpoint=\"a:4317\",reason=\"direct\"} 1",
            "otelcol_loadbalancer_log_batch_flush_total{exporter=\"lb\",endpoint=\"a:4317\",reason=\"timeout\"} 1",
            "otelcol_loadbalancer_log_batch_overflow_total{exporter=\"lb\",endpoint=\"a:4317\"} 1",
            "otelcol_loadbalancer_log_batch_flush_errors{exporter=\"lb\",endpoint=\"a:4317\"} 0",
            "otelcol_loadbalancer_log_batch_dropped_records{exporter=\"lb\",endpoint=\"b:4317\",reason=\"expired\"} 1",
            "otelcol_loadbalancer_log_batch_pending_records{exporter=\"lb\",endpoint=\"a:4317\"} 0",
        ],
    );
    assert!(page.contains("otelcol_loadbalancer_resolver_stale_age{exporter=\"lb\",resolver=\"static\"} "), "{page}");
    assert!(page.contains("otelcol_loadbalancer_log_batch_flush_oldest_record_age_count"), "{page}");
    b.close().await;
}

/// Scenario: data waits for a backend that does not answer; batches of metrics and traces. Guarantee: it shows with its age; each signal has its
/// own names.
#[tokio::test(start_paused = true)]
async fn what_waits_is_shown_with_its_age() {
    let b = Bench::new("timeout: 60s", &["a"]).await;
    b.fleet.set("a", Mode::Stall);
    let _told = b.push(logs(&[("1", 1), ("2", 1)]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let page = page(&b);
    has(
        &page,
        &[
            "otelcol_loadbalancer_log_batch_pending_records{exporter=\"lb\",endpoint=\"a:4317\"} 2",
            "otelcol_loadbalancer_log_batch_pending_oldest_record_age{exporter=\"lb\",endpoint=\"a:4317\"} 2000",
            "otelcol_loadbalancer_log_batch_pending_oldest_record_age_max{exporter=\"lb\"} 2000",
            "otelcol_loadbalancer_backend_state{exporter=\"lb\",endpoint=\"a:4317\",signal=\"logs\",state=\"passing\"} 1",
        ],
    );
    b.close().await;
    for (signal, name) in [(Signal::Metrics, "metric_batch_size_count"), (Signal::Traces, "trace_batch_size_count")] {
        let b = Bench::within("{}", &["a"], signal, 1 << 30).await;
        let empty = flow::Payload::new(signal, bytes::Bytes::new(), 0);
        assert_eq!(b.push(empty).await.unwrap(), Outcome::Delivered);
        let page = super::metrics::page(&b);
        assert!(page.contains(name), "{name} in\n{page}");
        b.close().await;
    }
}
