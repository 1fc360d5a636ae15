//! Logs and traces kept on this machine: what was acknowledged is found, once, whatever happens to the process and its disk.

use crate::disk_trouble::SmallDisk;
use crate::harness::config::FAST_RETRY;
use crate::harness::process::{Metrics, command};
use crate::harness::{Books, Bywash, Load, Pipeline, Rules, http, network};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The example, with a port of ours, a path of ours and these keys, and what the harness asks for.
fn config(grpc: u16, path: &str, keys: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/store.yaml");
    let own = Pipeline::new().yaml();
    let service = own.split("service:\n").nth(1).unwrap().split("  pipelines:").next().unwrap();
    let example = std::fs::read_to_string(root).unwrap();
    let changed = example
        .replace(
            "      grpc:\n      http:\n",
            &format!("      grpc: {{endpoint: '127.0.0.1:{grpc}'}}\n      http: {{endpoint: '127.0.0.1:0'}}\n"),
        )
        .replace("    path: bywash-store\n", &format!("    path: {path}\n    {keys}\n"))
        .replace("service:\n", &format!("extensions:\n  health_check: {{endpoint: 127.0.0.1:0}}\nservice:\n{service}"));
    assert!(changed.contains(path) && changed.contains(&grpc.to_string()));
    changed
}

async fn query(dir: &Path, path: &str, args: &[&str]) -> Vec<Value> {
    let all = [&["query", "--path", path, "--json", "--limit", "10000000"][..], args].concat();
    let (code, out, err) = command(&all, dir).await;
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything that is found, as a sink would have written it down.
async fn found(dir: &Path, path: &str) -> PathBuf {
    let id = |row: &Value| row["attributes"]["bywash.id"].as_str().unwrap().parse::<u64>().unwrap();
    let mut lines = String::new();
    for args in [&[][..], &["--traces"]] {
        let rows = query(dir, path, args).await;
        let times: Vec<_> = rows.iter().map(|row| row["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "the newest come first");
        rows.iter().for_each(|row| lines += &format!("{}\n", json!({"backend": 0, "ids": [[id(row), id(row)]]})));
    }
    let file = dir.join("found.ids");
    std::fs::write(&file, lines).unwrap();
    file
}

fn sent(metrics: &Metrics) -> u64 {
    metrics.records("otelcol_exporter_sent", &[])
}

/// Scenario: logs and traces under load, whose senders try again; the process is killed in the middle, twice, and started again; then it ends in
/// order. Guarantee: every record is acknowledged in the end, and found exactly once: by the running process, and in the directory alone; over
/// TCP the same is answered.
#[tokio::test]
async fn what_was_acknowledged_is_found_once() {
    let dir = TempDir::new().unwrap();
    let port = port();
    let api = SocketAddr::from(([127, 0, 0, 1], self::port()));
    let keys = format!("api: {{endpoint: '{api}'}}");
    std::fs::write(dir.path().join("config.yaml"), config(port, "kept/store", &keys)).unwrap();
    let mut bywash = Bywash::start_in(dir).await;
    let args = ["--duration", "0", "--rate", "1000", "--in-flight", "8", "--retry", "--signal"];
    let mut logs = Load::start(bywash.grpc, &[&args[..], &["logs"]].concat());
    let mut traces = Load::start(bywash.grpc, &[&args[..], &["traces", "--first-id", "100000000"]].concat());
    for _ in 0..2 {
        bywash.until("records to be stored", |m| sent(m) > 1500).await;
        bywash = Bywash::start_in(bywash.kill().await).await;
    }
    bywash.until("records to be stored", |m| sent(m) > 500).await;
    let (a, b) = (logs.stop().await, traces.stop().await);
    assert_eq!((a.acked, b.acked), (a.sent, b.sent), "{a:?} {b:?}");
    let all = a.sent + b.sent;
    let balance = |found: &Path| Books::read(&[&logs.ids, &traces.ids], &[found]).balance(Rules::default());
    let running = balance(&found(bywash.dir.path(), "kept/store").await);
    assert_eq!((running.lost, running.distinct), (0, all));

    let page = http::get(api, "/api/logs?q=severity%3E%3Derror&limit=3").await.unwrap();
    let page: Value = serde_json::from_str(&page.text()).unwrap();
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["total"]), (3, &page["counts"]["error"]));
    let errors = query(bywash.dir.path(), "kept/store", &["severity>=error"]).await;
    assert_eq!(page["total"], errors.len());
    assert!(!errors.is_empty() && errors.iter().all(|row| row["severity"] == "error"), "{:?}", errors.first());
    let (code, out, err) = command(&["query", "--path", "kept/store", "severity>=loud"], bywash.dir.path()).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("  severity>=loud\n            ^\n"), "{err}");

    let dir = bywash.end().await;
    let alone = balance(&found(dir.path(), "kept/store").await);
    assert_eq!((alone.lost, alone.distinct), (0, all));
    let (code, _, err) = command(&["query", "--path", "elsewhere"], dir.path()).await;
    assert!(code == Some(1) && err.contains("holds no store"), "{code:?} {err}");
    assert!(!dir.path().join("elsewhere").exists());
}

/// Scenario: under load the disk is full, and later has room again. Guarantee: the lanes halt and the process lives; data is taken again without a
/// restart; every acknowledged record is found, once.
#[test]
fn a_full_disk_halts_and_recovers() {
    network::within("store::a_full_disk_halts_and_recovers", async || {
        let dir = TempDir::new().unwrap();
        let disk = SmallDisk::mount(dir.path());
        std::fs::write(dir.path().join("config.yaml"), config(port(), "storage/store", FAST_RETRY)).unwrap();
        let bywash = Bywash::start_in(dir).await;
        let args = ["--duration", "0", "--rate", "300", "--in-flight", "4", "--signal", "logs"];
        let mut load = Load::start(bywash.grpc, &args);
        bywash.until("records to be stored", |m| sent(m) > 100).await;
        disk.fill();
        let halted = |m: &Metrics| m.sum("bywash_exporter_retried_records", &["reason=\"disk\""]) > 0.0;
        bywash.until("a halt", halted).await;
        assert_eq!(bywash.health_status().await, Some(200), "it is no reason to be killed");
        disk.relieve();
        let before = sent(&bywash.scrape().await);
        bywash.until("data to be taken again", |m| sent(m) > before + 100).await;
        let summary = load.stop().await;
        bywash.settled().await;
        let rules = Rules { refused_may_arrive: true, ..Rules::default() };
        let file = found(bywash.dir.path(), "storage/store").await;
        let balance = Books::read(&[&load.ids], &[&file]).balance(rules);
        assert!(balance.lost == 0 && summary.acked > 200, "{summary:?}");
        let dir = bywash.end().await;
        drop((disk, dir));
    });
}

/// Scenario: reloads change the retention and the queue while logs come in. Guarantee: no sender is refused, and everything is there, once.
#[tokio::test]
async fn a_reload_keeps_the_store_open() {
    let port = port();
    let bywash = Bywash::start(&config(port, "store", "timeout: 10s")).await;
    let args = ["--duration", "0", "--rate", "1000", "--in-flight", "8", "--signal", "logs"];
    let mut load = Load::start(bywash.grpc, &args);
    for keys in ["timeout: 20s", "sending_queue: {num_consumers: 3}", "timeout: 10s"] {
        let before = sent(&bywash.scrape().await);
        bywash.reload(&config(port, "store", keys).replace("age: 168h", "age: 24h")).await;
        bywash.until("records to be stored", |m| sent(m) != before).await;
    }
    let summary = load.stop().await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    let file = found(bywash.dir.path(), "store").await;
    let balance = Books::read(&[&load.ids], &[&file]).balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, summary.sent));
    bywash.stop().await;
}
