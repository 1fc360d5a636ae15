//! Metrics in, a page for Prometheus out.

use crate::harness::{Bywash, Load, Pipeline, eventually, http};
use std::collections::HashSet;
use std::path::Path;

/// A port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Scenario: the example, with ports of the system's choice, and metrics of the load generator; then a reload that changes the names.
/// Guarantee: each point is a series on a page that parses, no series stands twice, and the page is there all the time.
#[tokio::test]
async fn metrics_can_be_scraped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/prometheus.yaml");
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port()));
    let example = std::fs::read_to_string(root).unwrap();
    assert!(example.contains("localhost:8889"));
    let own = Pipeline::new().yaml();
    let service = own.split("service:\n").nth(1).unwrap().split("  pipelines:").next().unwrap();
    let example = example
        .replace("localhost:8889", &at.to_string())
        .replace(
            "      grpc:\n      http:\n",
            "      grpc: {endpoint: 127.0.0.1:0}\n      http: {endpoint: 127.0.0.1:0}\n",
        )
        .replace("service:\n", &format!("extensions:\n  health_check: {{endpoint: 127.0.0.1:0}}\nservice:\n{service}"));
    let bywash = Bywash::start(&example).await;
    let args = ["--signal", "metrics", "--requests", "50", "--records", "20", "--rate", "0"];
    let (_load, summary) = Load::run(bywash.grpc, &args).await;
    assert_eq!(summary.acked, 1000);
    let page = eventually("the page", async || http::get(at, "/metrics").await).await.text();
    let series: Vec<&str> =
        page.lines().filter(|l| l.starts_with("shop_") && !l.starts_with("shop_target_info")).collect();
    let distinct: HashSet<&str> = series.iter().map(|l| l.rsplit_once(' ').unwrap().0).collect();
    assert!(series.len() >= 1000 && distinct.len() == series.len(), "{} series\n{}", series.len(), &page[..2000]);
    bywash.reload(&example.replace("namespace: shop", "namespace: mall")).await;
    assert_eq!(http::get(at, "/metrics").await.unwrap().status, 200);
    let (_load, summary) = Load::run(bywash.grpc, &args).await;
    assert_eq!(summary.acked, 1000);
    assert!(http::get(at, "/metrics").await.unwrap().text().contains("\nmall_"));
    bywash.stop().await;
}
