//! What real clients, operators and their disks meet: every sender is answered, nothing inner is told, renamed and dropped queues are not
//! forgotten, and a reload turns nobody away.

use crate::harness::config::FAST_RETRY;
use crate::harness::{Bywash, Load, Pipeline, Rules, Sink, http, probe};
use flow::Attempt;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

const STORED: &str = "sending_queue: {storage: file_storage}";
const STORAGE: &str = "directory: storage, create_directory: true";
const THIRTY: [&str; 4] = ["--requests", "30", "--rate", "0"];
const PROTOBUF: &str = "application/x-protobuf";

fn says(lines: &[Value], message: &str) -> Value {
    lines.iter().find(|l| l["message"] == message).cloned().unwrap_or_else(|| panic!("not said: {message}\n{lines:#?}"))
}

/// Scenario: twenty senders wait for a backend that never answers when SIGTERM comes. Guarantee: each is answered with a delay before its
/// connection is cut, and the process ends in time.
#[tokio::test]
async fn senders_who_wait_are_answered_at_the_end() {
    let sink = Sink::start(&["--stall"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &["timeout: 0s"]);
    let yaml = pipeline.service("acknowledge: delivered").service("shutdown_timeout: 4s").yaml();
    let mut bywash = Bywash::start(&yaml).await;
    let waits = ["--requests", "20", "--in-flight", "20", "--rate", "0", "--timeout", "30s"];
    let mut load = Load::start(bywash.grpc, &waits);
    let over_http = tokio::spawn({
        let (address, body) = (bywash.http, probe::large_error(10));
        async move { http::post(address, "/v1/logs", PROTOBUF, &body).await }
    });
    bywash.until("all to wait", |m| m.sum("bywash_budget_requests", &[]) >= 21.0).await;
    let asked = Instant::now();
    bywash.process.signal("TERM");
    let answer = over_http.await.unwrap().expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    bywash.process.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(6));
    let summary = load.finish().await;
    assert_eq!((summary.refused, summary.failed), (200, 0), "{summary:?}");
}

/// Scenario: records wait on disk for a dead backend. A reload gives the exporter another directory, and SIGTERM ends the process. Guarantee:
/// the log says how many records stay, and its last line how many wait in all.
#[tokio::test]
async fn what_stays_on_disk_is_said() {
    let sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let exporter = || Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED]);
    let mut bywash = Bywash::start(&exporter().storage(STORAGE).yaml()).await;
    let (_load, summary) = Load::run(bywash.grpc, &THIRTY).await;
    assert_eq!(summary.acked, 300);
    bywash.reload(&exporter().storage("directory: other, create_directory: true").yaml()).await;
    let stays = "records stay in the queue on disk";
    let staying = || bywash.process.stderr.json().iter().filter(|l| l["message"] == stays).count();
    crate::harness::eventually("the reload to say what stays", async || (staying() >= 1).then_some(())).await;
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "3", "--rate", "0"]).await;
    assert_eq!(summary.acked, 30);
    bywash.process.signal("TERM");
    assert_eq!(bywash.process.ended().await, Some(0));
    let lines = bywash.process.stderr.json();
    let left: u64 = lines.iter().filter(|l| l["message"] == stays).map(|l| l["records"].as_u64().unwrap()).sum();
    assert_eq!(left, 330);
    assert_eq!(lines.last().unwrap()["message"], "stopped: records wait on disk for the next start");
    assert_eq!(says(&lines, "stopped: records wait on disk for the next start")["on_disk"], 330);
}

/// Scenario: records wait on disk under the exporter's deprecated name; the name is changed, over a restart and in a reload. Guarantee: the queue is
/// sent by the new name, once; while both names are configured each has its own.
#[tokio::test]
async fn a_renamed_exporter_goes_on_with_its_queue() {
    for reloads in [false, true] {
        let mut sink = Sink::start(&[]).await;
        sink.behave("mode=fail").await;
        let new = Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED]).storage(STORAGE).yaml();
        let old = new.replace("otlp_grpc/a", "otlp/a");
        let bywash = Bywash::start(&old).await;
        let (load, summary) = Load::run(bywash.grpc, &THIRTY).await;
        assert_eq!(summary.acked, 300);
        let bywash = if reloads {
            bywash.reload(&new).await;
            bywash
        } else {
            let dir = bywash.end().await;
            fs::write(dir.path().join("config.yaml"), &new).unwrap();
            Bywash::start_in(dir).await
        };
        sink.behave("mode=ok").await;
        sink.until("distinct", |n| n == 300).await;
        bywash.until("all to be delivered", |m| m.sum("bywash_spool_records", &[]) == 0.0).await;
        bywash.stop().await;
        let balance = sink.books(&[&load]).await.balance(Rules::default());
        assert_eq!((balance.distinct, balance.lost), (300, 0), "reloads: {reloads}");
    }
}

/// Scenario: the storage is removed under the running process. Guarantee: from then on senders are told to come back, without inner paths, and the
/// log says why; nothing is acknowledged into files that nobody can find.
#[tokio::test]
async fn a_removed_storage_acknowledges_nothing() {
    let sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let yaml = Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED]).storage(STORAGE).yaml();
    let mut bywash = Bywash::start(&yaml).await;
    let (_load, summary) = Load::run(bywash.grpc, &THIRTY).await;
    assert_eq!(summary.acked, 300);
    fs::remove_dir_all(bywash.dir.path().join("storage")).unwrap();
    for _ in 0..3 {
        let attempt = probe::grpc(bywash.grpc, probe::large_error(10)).await;
        let Attempt::Retry { after: Some(_), why, .. } = &attempt else { panic!("{attempt:?}") };
        assert!(!why.text.contains('/') && why.text.contains("cannot be written to disk"), "{why}");
    }
    says(&bywash.process.stderr.json(), "the queue cannot be written to disk");
    bywash.process.kill();
    bywash.process.ended().await;
}

/// Scenario: a storage with permissions of its own. Guarantee: every directory has them, those of the dead letters too; files and locks are the
/// owner's alone.
#[tokio::test]
async fn directories_and_files_have_their_permissions() {
    fn check(at: &std::path::Path) -> u32 {
        let mut seen = 0;
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::metadata(&path).unwrap();
            let expected = if found.is_dir() { 0o700 } else { 0o600 };
            if path.file_name().is_some_and(|name| name != "control.sock") {
                assert_eq!(found.permissions().mode() & 0o777, expected, "{}", path.display());
            }
            seen += 1 + if found.is_dir() { check(&path) } else { 0 };
        }
        seen
    }
    let sink = Sink::start(&[]).await;
    let storage = format!("{STORAGE}, directory_permissions: '0700'");
    let yaml = Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED]).storage(&storage).yaml();
    let bywash = Bywash::start(&yaml).await;
    let (_load, summary) = Load::run(bywash.grpc, &THIRTY).await;
    assert_eq!(summary.acked, 300);
    assert!(check(&bywash.dir.path().join("storage")) > 10);
    bywash.stop().await;
}

/// Scenario: a destination cannot be reached, another refuses with words of its own; senders wait. Guarantee: answers name neither hosts nor ports; the log does.
#[tokio::test]
async fn answers_hold_no_inner_names() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = Pipeline::new().grpc("a", nowhere, &[]).service("ingest: sync").yaml();
    let bywash = Bywash::start(&yaml).await;
    let answer = http::post(bywash.http, "/v1/logs", PROTOBUF, &probe::large_error(10)).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("the destination cannot be reached"), "{}", answer.text());
    assert!(!answer.text().contains("127.0.0.1") && !answer.text().contains(&nowhere.port().to_string()));
    bywash.stop().await;
}

/// Scenario: a large request is refused for want of room before its body was read, over HTTP/1.1 with keep-alive. Guarantee: 429 says that the
/// connection is at its end.
#[tokio::test]
async fn an_early_refusal_says_that_it_closes() {
    let sink = Sink::start(&["--stall"]).await;
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &["timeout: 0s"]);
    let yaml = pipeline.service("shutdown_timeout: 100ms").service("budget: {max_requests: 3}").yaml();
    let mut bywash = Bywash::start(&yaml).await;
    let body = probe::large_error(100_000);
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let mut last = None;
    for _ in 0..5 {
        let closing = [&request[..], b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"].concat();
        last = http::raw(bywash.http, &closing).await;
    }
    let answer = last.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.header("connection"), "close");
    bywash.process.kill();
    bywash.process.ended().await;
}

/// Scenario: clients connect anew for every request while a reload changes keys of the receiver. Guarantee: every one of them is answered.
#[tokio::test]
async fn a_changed_receiver_refuses_no_connection() {
    let sink = Sink::start(&[]).await;
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (grpc, http) = (free(), free());
    let yaml = |keys: &str| {
        let ports = Pipeline::new().grpc("a", sink.grpc[0], &[]).yaml();
        let ports =
            ports.replacen("grpc: {endpoint: 127.0.0.1:0}", &format!("grpc: {{endpoint: 127.0.0.1:{grpc}}}"), 1);
        ports.replacen("http: {endpoint: 127.0.0.1:0}", &format!("http: {{endpoint: 127.0.0.1:{http}{keys}}}"), 1)
    };
    let bywash = Bywash::start(&yaml("")).await;
    let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (is_over, asked, address) = (is_over.clone(), asked.clone(), bywash.http);
            tokio::spawn(async move {
                let body = probe::large_error(10);
                while !is_over.load(Relaxed) {
                    let answer = http::post(address, "/v1/logs", PROTOBUF, &body).await;
                    let n = asked.fetch_add(1, Relaxed);
                    assert_eq!(answer.map(|a| a.status), Some(200), "request {n}");
                }
            })
        })
        .collect();
    for size in 1..6 {
        let before = asked.load(Relaxed);
        bywash.reload(&yaml(&format!(", max_request_body_size: {}", size << 20))).await;
        crate::harness::eventually("requests", async || (asked.load(Relaxed) > before + 50).then_some(())).await;
    }
    is_over.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    bywash.stop().await;
}

/// Scenario: a `memory_limiter` is written; the backend is down while much more comes than fits, mostly routine records, from senders that
/// come back. Guarantee: nothing is shed: what does not fit is refused, comes again, and arrives once; the log has the words that operators'
/// alerts look for.
#[tokio::test]
async fn a_written_limiter_loses_nothing_in_an_outage() {
    let mut sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let queue = "sending_queue: {queue_size: 1000000}";
    let yaml = Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, queue]).yaml();
    let yaml = yaml.replace("exporters: [otlp", "processors: [memory_limiter], exporters: [otlp");
    let limiter = "processors: {memory_limiter: {check_interval: 1s, limit_mib: 4, spike_limit_mib: 3}}\n";
    let bywash = Bywash::start(&format!("{limiter}{yaml}")).await;
    let args =
        ["--signal", "logs", "--requests", "400", "--rate", "0", "--body", "1000", "--retry", "--in-flight", "16"];
    let mut load = Load::start(bywash.grpc, &args);
    let refused = |m: &crate::harness::process::Metrics| m.sum("bywash_receiver_refused_requests", &["soft_limit"]);
    bywash.until("refusals", |m| refused(m) > 20.0).await;
    sink.behave("mode=ok").await;
    let summary = load.finish().await;
    assert_eq!((summary.acked, summary.partial), (4000, 0), "{summary:?}");
    bywash.settled().await;
    let said = says(&bywash.process.stderr.json(), "Memory usage is above soft limit. Refusing data.");
    assert_eq!(said["reason"], "soft_limit");
    bywash.stop().await;
    assert_eq!(sink.books(&[&load]).await.balance(Rules::default()).distinct, 4000);
}
