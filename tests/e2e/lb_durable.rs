//! Load balancing with a queue on disk: what waits for each backend outlives a crash, and the backend itself.

use crate::harness::fleet::{self, Fleet};
use crate::harness::process::Metrics;
use crate::harness::{Bywash, Load, Pipeline, Rules};
use std::net::SocketAddr;

const KEYS: [&str; 3] = [
    "sending_queue: {storage: file_storage}",
    "batcher: {enabled: true, max_records: 200, flush_interval: 20ms}",
    "routing_key: service",
];

fn config(backends: &[SocketAddr]) -> String {
    Pipeline::new().balanced(backends, &KEYS).storage("directory: storage, create_directory: true").yaml()
}

fn on_disk(metrics: &Metrics) -> u64 {
    metrics.sum("bywash_spool_records", &[]) as u64
}

/// Records of all signals that wait for a backend.
fn waiting(metrics: &Metrics, backend: SocketAddr) -> u64 {
    let endpoint = format!("endpoint=\"{backend}\"");
    let of = |signal: &str, item: &str| {
        metrics.sum(&format!("otelcol_loadbalancer_{signal}_batch_pending_{item}"), &[&endpoint]) as u64
    };
    of("log", "records") + of("trace", "spans") + of("metric", "datapoints")
}

/// Item 34. Scenario: both backends are dead, what was acknowledged waits for them on disk, the process is killed; it starts again with a list in
/// which one of them, which is well now, is left. Guarantee: nothing was acknowledged that is not on disk; all of it is delivered to the
/// one that is left, also what was for the other, every id once; nothing stays on disk.
#[tokio::test]
async fn item_34_what_waits_on_disk_outlives_a_crash_and_its_backend() {
    let [left, gone] = [(); 2].map(|()| fleet::address());
    let mut fleet = Fleet::dead_at(&[left, gone]);
    let bywash = Bywash::start(&config(&fleet.addresses())).await;
    let args = ["--requests", "90", "--rate", "0", "--services", "50"];
    let (load, summary) = Load::run(bywash.grpc, &args).await;
    assert_eq!(summary.acked, 900, "{summary:?}");
    let all_wait = |m: &Metrics| waiting(m, left) + waiting(m, gone) == 900;
    let metrics = bywash.until("everything to wait for its backend", all_wait).await;
    assert_eq!(on_disk(&metrics), 900);
    let for_the_other = waiting(&metrics, gone);
    assert!((1..900).contains(&for_the_other), "each is to have some: {for_the_other}");

    let dir = bywash.kill().await;
    std::fs::write(dir.path().join("config.yaml"), config(&[left])).unwrap();
    fleet.revive(0).await;
    let bywash = Bywash::start_in(dir).await;
    let metrics = bywash.until("all to be delivered", |m| on_disk(m) == 0).await;
    assert_eq!(metrics.sum("bywash_spool_recovered_records", &[]), 900.0);
    let rerouted = metrics.sum("otelcol_loadbalancer_backend_reroute_total", &["result=\"success\""]);
    assert_eq!(rerouted as u64, for_the_other, "what was for the other, and nothing else");
    drop(bywash.end().await);
    let balance = fleet.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, 900));
}
