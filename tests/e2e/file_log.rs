//! Files in, OTLP out: each line once, whatever becomes of the files, the process and the destination.

use crate::harness::backend::Backend;
use crate::harness::{Bywash, eventually};
use otlp_oracle::LogsRequest;
use otlp_oracle::common::any_value::Value;
use prost::Message;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tempfile::TempDir;

const STORAGE: &str = "storage: file_storage";

/// A configuration that reads `logs/*` of the folder and sends to a backend.
fn yaml(backend: &Backend, keys: &[&str]) -> String {
    let keys = keys.iter().map(|key| format!("    {key}\n")).collect::<String>();
    format!(
        "receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}, http: {{endpoint: 127.0.0.1:0}}}}}}
  file_log:
    include: [logs/*]
    poll_interval: 20ms
    start_at: beginning
{keys}extensions:
  health_check: {{endpoint: 127.0.0.1:0}}
  file_storage: {{directory: storage, create_directory: true}}
exporters:
  otlp_http:
    endpoint: http://{}
    compression: none
    retry_on_failure: {{initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s}}
service:
  extensions: [health_check, file_storage]
  shutdown_timeout: 5s
  telemetry:
    logs: {{encoding: json}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines:
    logs: {{receivers: [otlp, file_log], exporters: [otlp_http]}}
",
        backend.address
    )
}

async fn folder(backend: &Backend, keys: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    fs::write(dir.path().join("config.yaml"), yaml(backend, keys)).unwrap();
    dir
}

async fn healthy() -> Backend {
    Backend::start(|_| (200, "{}".to_owned())).await
}

/// What lines a backend has taken, and how often each.
fn lines(backend: &Backend) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for seen in backend.taken().iter().filter(|seen| seen.path == "/v1/logs") {
        let request = LogsRequest::decode(seen.body.as_slice()).unwrap();
        let records = request.resource_logs.into_iter().flat_map(|r| r.scope_logs).flat_map(|s| s.log_records);
        for record in records {
            match record.body.and_then(|body| body.value) {
                Some(Value::StringValue(text)) => *all.entry(text).or_default() += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    all
}

/// Waits until so many different lines have come.
async fn until(backend: &Backend, count: usize) -> BTreeMap<String, usize> {
    eventually("lines", async || Some(lines(backend)).filter(|lines| lines.len() >= count)).await
}

/// Appends numbered lines.
fn write(path: &Path, numbers: std::ops::Range<u64>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let text: String = numbers.map(|n| format!("line {n}\n")).collect();
    file.write_all(text.as_bytes()).unwrap();
}

fn is_each_once(lines: &BTreeMap<String, usize>, count: u64) -> bool {
    lines.len() as u64 == count && (0..count).all(|n| lines.get(&format!("line {n}")) == Some(&1))
}

/// Scenario (27): a file is written, moved away and begun anew, copied and emptied, and written on, while it is read.
/// Guarantee: each line comes once, with the name of its file.
#[tokio::test]
async fn rotation_costs_and_repeats_nothing() {
    let backend = healthy().await;
    let bywash = Bywash::start_in(folder(&backend, &[STORAGE]).await).await;
    let log = bywash.dir.path().join("logs/a.log");
    write(&log, 0..100);
    until(&backend, 100).await;
    write(&log, 100..150);
    fs::rename(&log, bywash.dir.path().join("logs/a.log.1")).unwrap();
    write(&log, 150..300);
    until(&backend, 300).await;
    fs::copy(&log, bywash.dir.path().join("logs/a.log.2")).unwrap();
    OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
    write(&log, 300..400);
    until(&backend, 400).await;
    // What is open is told after each look.
    let counted = bywash.until("all to be counted", |m| {
        m.sum("otelcol_receiver_accepted_log_records", &["receiver=\"file_log\"", "transport=\"file\""]) == 400.0
            && m.sum("otelcol_fileconsumer_open_files", &["receiver=\"file_log\""]) >= 1.0
    });
    counted.await;
    bywash.stop().await;
    assert!(is_each_once(&lines(&backend), 400), "{:?}", lines(&backend));
    assert!(backend.taken().iter().any(|seen| seen.holds("log.file.name") && seen.holds("a.log")));
}

/// Scenario (14, 25): an ordered end and a start, with lines written and a file moved meanwhile; then a reload under way.
/// Guarantee: each line comes once.
#[tokio::test]
async fn an_end_and_a_reload_repeat_nothing() {
    let backend = healthy().await;
    let bywash = Bywash::start_in(folder(&backend, &[STORAGE]).await).await;
    let log = bywash.dir.path().join("logs/a.log");
    write(&log, 0..1500);
    until(&backend, 1500).await;
    let dir = bywash.end().await;
    let log = dir.path().join("logs/a.log");
    write(&log, 1500..1600);
    fs::rename(&log, dir.path().join("logs/a.log.1")).unwrap();
    write(&log, 1600..1700);
    let bywash = Bywash::start_in(dir).await;
    until(&backend, 1700).await;
    write(&log, 1700..1900);
    bywash.reload(&yaml(&backend, &[STORAGE, "include_file_path: true"])).await;
    write(&log, 1900..2000);
    until(&backend, 2000).await;
    bywash.stop().await;
    assert!(is_each_once(&lines(&backend), 2000));
}

/// Scenario (14): the process is killed five times while lines are written. Guarantee: every line comes; what comes
/// twice was under way, or read within the second before.
#[tokio::test]
async fn a_crash_loses_nothing() {
    let backend = healthy().await;
    let mut dir = folder(&backend, &[STORAGE]).await;
    for round in 0..5u64 {
        let bywash = Bywash::start_in(dir).await;
        write(&bywash.dir.path().join("logs/a.log"), round * 500..round * 500 + 500);
        until(&backend, usize::try_from(round * 500 + 1).unwrap()).await;
        dir = bywash.kill().await;
    }
    let bywash = Bywash::start_in(dir).await;
    let lines = until(&backend, 2500).await;
    bywash.stop().await;
    let repeated = lines.values().filter(|times| **times > 1).count();
    assert_eq!(lines.len(), 2500);
    assert!(lines.values().all(|times| *times <= 6), "{repeated} lines came more than once");
}

/// Scenario (27, 30): the destination is down while more is written than may be in flight, and the file is moved away
/// meanwhile; then it is well again. Guarantee: the receiver waits, memory stays flat, and each line comes once.
#[tokio::test]
async fn a_dead_destination_holds_the_files_back() {
    let is_well = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let (well, count) = (is_well.clone(), asked.clone());
    let backend = Backend::start(move |_| {
        count.fetch_add(1, Relaxed);
        (if well.load(Relaxed) { 200 } else { 503 }, "{}".to_owned())
    })
    .await;
    let bywash = Bywash::start_in(folder(&backend, &[STORAGE]).await).await;
    let log = bywash.dir.path().join("logs/a.log");
    write(&log, 0..20_000);
    eventually("a try", async || (asked.load(Relaxed) > 3).then_some(())).await;
    bywash.until("the rest to wait in the file", |m| m.sum("bywash_file_unread_bytes", &[]) > 0.0).await;
    let before = bywash.process.rss();
    fs::rename(&log, bywash.dir.path().join("logs/a.log.1")).unwrap();
    write(&log, 20_000..60_000);
    let tries = asked.load(Relaxed);
    eventually("more tries", async || (asked.load(Relaxed) > tries + 10).then_some(())).await;
    assert!(bywash.process.rss() < before + (16 << 20), "{before} {}", bywash.process.rss());
    is_well.store(true, Relaxed);
    until(&backend, 60_000).await;
    bywash.stop().await;
    assert!(is_each_once(&lines(&backend), 60_000));
}

/// Scenario: a pipe, a directory, a loop of links and a file that may not be read, beside a good one. Guarantee: each is
/// told in the log with what can be done; the good one is read.
#[tokio::test]
async fn what_is_no_file_is_told() {
    let backend = healthy().await;
    let dir = folder(&backend, &[STORAGE, "include: ['logs/**/*']"]).await;
    // The key is there already: replaced.
    let text = fs::read_to_string(dir.path().join("config.yaml")).unwrap().replace("    include: [logs/*]\n", "");
    fs::write(dir.path().join("config.yaml"), text).unwrap();
    let logs = dir.path().join("logs");
    let pipe = std::process::Command::new("mkfifo").arg(logs.join("pipe")).status().unwrap();
    assert!(pipe.success());
    fs::create_dir(logs.join("folder")).unwrap();
    std::os::unix::fs::symlink("..", logs.join("folder/loop")).unwrap();
    write(&logs.join("good"), 0..10);
    let bywash = Bywash::start_in(dir).await;
    until(&backend, 10).await;
    for trouble in ["not_a_file", "loop"] {
        eventually("the notice", async || {
            let said = bywash.process.stderr.json();
            let is_it = |l: &serde_json::Value| l["trouble"] == trouble && l["remedy"].as_str().is_some();
            said.iter().any(is_it).then_some(())
        })
        .await;
    }
    bywash.until("them to be counted", |m| m.sum("bywash_file_troubles", &["reason=\"not_a_file\""]) > 0.0).await;
    bywash.stop().await;
    assert!(is_each_once(&lines(&backend), 10));
}

/// Scenario: JSON lines and a trace of several lines through operators. Guarantee: what the collector would send.
#[tokio::test]
async fn operators_work_on_lines() {
    let backend = healthy().await;
    let operators = "operators: [{type: recombine, combine_field: body, is_first_entry: \"body matches '^[^ ]'\", \
                     force_flush_period: 100ms}, {type: regex_parser, regex: '^(?P<sev>[A-Z]+) ', \
                     severity: {parse_from: attributes.sev}}]";
    let keys = [STORAGE, "preserve_leading_whitespaces: true", operators];
    let bywash = Bywash::start_in(folder(&backend, &keys).await).await;
    fs::write(bywash.dir.path().join("logs/a"), "ERROR one\n at x\n at y\nINFO two\n").unwrap();
    let lines = until(&backend, 2).await;
    assert_eq!(lines.keys().collect::<Vec<_>>(), ["ERROR one\n at x\n at y", "INFO two"]);
    let request = LogsRequest::decode(backend.taken()[0].body.as_slice()).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs[0].log_records[0].severity_number, 17);
    bywash.stop().await;
}
