//! What the process says of itself: health through its phases, and the metrics page.

use crate::harness::{Bywash, Load, Pipeline, Sink, eventually, http};

/// Scenario: running, memory full, room again, draining. Guarantee: 200 exactly while data is taken, else 503 with the
/// reason.
#[tokio::test]
async fn health_is_honest() {
    let sink = Sink::start(&["--stall"]).await;
    let queue = "sending_queue: {queue_size: 1000000}";
    let pipeline =
        Pipeline::new().grpc("a", sink.grpc[0], &[queue, "timeout: 0s"]).service("budget: {max_requests: 20}");
    let mut bywash = Bywash::start(&pipeline.service("shutdown_timeout: 30s").yaml()).await;
    let (_fill, summary) =
        Load::run(bywash.grpc, &["--requests", "60", "--rate", "0", "--errors-every", "1", "--signal", "logs"]).await;
    assert!(summary.refused > 0, "{summary:?}");
    let answer = http::get(bywash.health, "/").await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(body["reasons"].as_array().is_some_and(|r| !r.is_empty()), "{body}");

    sink.behave("mode=ok").await;
    eventually("health", async || (bywash.health_status().await == Some(200)).then_some(())).await;

    sink.behave("mode=stall").await;
    let (_fill, _) = Load::run(bywash.grpc, &["--requests", "5", "--rate", "0", "--first-id", "5000"]).await;
    bywash.process.signal("TERM");
    eventually("draining to be seen", async || (bywash.health_status().await == Some(503)).then_some(())).await;
    sink.behave("mode=ok").await;
    assert_eq!(bywash.process.ended().await, Some(0));
}

/// Scenario: traffic of every signal on both transports, some of it malformed. Guarantee: the page has the collector's
/// names with its labels, and the numbers are those of the traffic.
#[tokio::test]
async fn the_page_has_the_collectors_names() {
    let sink = Sink::start(&[]).await;
    let bywash = Bywash::start(&Pipeline::new().grpc("a", sink.grpc[0], &[]).yaml()).await;
    Load::run(bywash.grpc, &["--requests", "30", "--rate", "0"]).await;
    Load::run(bywash.http, &["--protocol", "http", "--requests", "30", "--rate", "0", "--first-id", "1000"]).await;
    let answer = http::post(bywash.http, "/v1/logs", "application/x-protobuf", b"\x0a\x05nope").await.unwrap();
    assert_eq!(answer.status, 400);
    let metrics = bywash.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == 600).await;
    for signal in ["log_records", "spans", "metric_points"] {
        for transport in ["grpc", "http"] {
            let labels = ["receiver=\"otlp\"", &format!("transport=\"{transport}\"")];
            assert_eq!(metrics.sum(&format!("otelcol_receiver_accepted_{signal}"), &labels), 100.0);
            assert_eq!(metrics.sum(&format!("otelcol_receiver_refused_{signal}"), &labels), 0.0);
        }
        assert_eq!(metrics.sum(&format!("otelcol_exporter_sent_{signal}"), &["exporter=\"otlp_grpc/a\""]), 200.0);
        assert_eq!(metrics.sum(&format!("otelcol_exporter_send_failed_{signal}"), &[]), 0.0);
        assert_eq!(metrics.sum(&format!("otelcol_exporter_enqueue_failed_{signal}"), &[]), 0.0);
    }
    assert_eq!(metrics.sum("otelcol_receiver_requests", &["outcome=\"success\""]), 60.0);
    assert_eq!(metrics.sum("otelcol_receiver_requests", &["outcome=\"failure\"", "transport=\"http\""]), 1.0);
    assert_eq!(metrics.sum("otelcol_exporter_queue_capacity", &["data_type=\"logs\""]), 1000.0);
    assert!(metrics.sum("otelcol_process_memory_rss", &[]) > 1e6);
    let names = metrics.names();
    for name in [
        "otelcol_exporter_queue_size",
        "otelcol_exporter_in_flight_requests",
        "otelcol_process_uptime",
        "otelcol_process_cpu_seconds",
        "bywash_budget_used_bytes",
        "bywash_budget_limit_bytes",
        "bywash_exporter_oldest_record_age_seconds",
        "bywash_lane_state",
        "target_info",
    ] {
        assert!(names.contains(&name), "{name} is not on the page");
    }
    let other: Vec<_> =
        names.iter().filter(|n| !["otelcol_", "bywash_", "target_info"].iter().any(|p| n.starts_with(p))).collect();
    assert!(other.is_empty(), "{other:?}");
    bywash.stop().await;
}

/// Scenario: a thousand tenants and services send. Guarantee: the page does not grow with them.
#[tokio::test]
async fn labels_are_bounded() {
    let sink = Sink::start(&[]).await;
    let tenants = "budget: {tenant: {header: X-Scope-OrgID}}";
    let bywash = Bywash::start(&Pipeline::new().grpc("a", sink.grpc[0], &[]).service(tenants).yaml()).await;
    let series = async |first: &str, services: &str, tenant: &str| {
        let header = format!("X-Scope-OrgID={tenant}");
        let args =
            ["--requests", "300", "--rate", "0", "--services", services, "--first-id", first, "--header", &header];
        Load::run(bywash.grpc, &args).await;
        let metrics = bywash.scrape().await;
        metrics.names().iter().map(|n| metrics.series(n).len()).sum::<usize>()
    };
    let before = series("1", "1", "a").await;
    let after = series("100000", "300", "b").await;
    assert_eq!(before, after);
    bywash.stop().await;
}
