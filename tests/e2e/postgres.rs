//! Logs and traces kept in PostgreSQL: what was acknowledged is found, once, whichever side is killed; a record that the server refuses
//! costs only itself.

#[path = "../../crates/postgres/tests/common/server.rs"]
mod server;

use crate::harness::config::FAST_RETRY;
use crate::harness::process::{Metrics, command};
use crate::harness::{Books, Bywash, Load, Rules, http};
use serde_json::{Value, json};
use server::Server;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// OTLP in at this address; all of it into the database, which answers at another.
fn config(server: &Server, grpc: SocketAddr, api: SocketAddr, service: &str) -> String {
    format!(
        "receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}
extensions:
  health_check: {{endpoint: '127.0.0.1:0'}}
  file_storage: {{directory: storage, create_directory: true}}
exporters:
  store:
    driver: postgres
    dsn: {}
    api: {{endpoint: '{api}'}}
    {FAST_RETRY}
{service}
  telemetry:
    logs: {{encoding: json}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [store]}}
    traces: {{receivers: [otlp], exporters: [store]}}
",
        server.url()
    )
}

fn sent(metrics: &Metrics) -> u64 {
    metrics.records("otelcol_exporter_sent", &[])
}

/// All rows of `/api/logs` or `/api/spans`, page by page.
async fn rows(api: SocketAddr, page: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let answer = http::get(api, &format!("/api/{page}?counts=false&limit=1000{cursor}")).await.unwrap();
        let mut answer: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(answer["complete"], true, "{answer}");
        all.append(answer["rows"].as_array_mut().unwrap());
        match answer["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Everything that is found, as a sink would have written it down.
async fn found(bywash: &Bywash, api: SocketAddr) -> PathBuf {
    let id = |row: &Value| row["attributes"]["bywash.id"].as_str().unwrap().parse::<u64>().unwrap();
    let mut lines = String::new();
    for page in ["logs", "spans"] {
        for row in rows(api, page).await {
            writeln!(lines, "{}", json!({"backend": 0, "ids": [[id(&row), id(&row)]]})).unwrap();
        }
    }
    let file = bywash.dir.path().join("found.ids");
    std::fs::write(&file, lines).unwrap();
    file
}

/// Scenario: logs and traces under load, whose senders try again; PostgreSQL is killed with -9 and started again, twice, the process once. The
/// process was started while there was no server.
/// Guarantee: lanes halt and go on; every record is acknowledged in the end, and found exactly once.
#[tokio::test]
async fn what_was_acknowledged_is_found_once() {
    let server = Server::start();
    let (grpc, api) = (free(), free());
    let dir = TempDir::new().unwrap();
    let text = config(&server, grpc, api, "service:\n  extensions: [health_check]\n  acknowledge: delivered");
    std::fs::write(dir.path().join("config.yaml"), text).unwrap();
    server.kill();
    let mut bywash = Bywash::start_in(dir).await;
    let args = ["--duration", "0", "--rate", "1000", "--in-flight", "8", "--retry", "--signal"];
    let mut logs = Load::start(bywash.grpc, &[&args[..], &["logs"]].concat());
    let mut traces = Load::start(bywash.grpc, &[&args[..], &["traces", "--first-id", "100000000"]].concat());
    let halted = |m: &Metrics| m.sum("bywash_exporter_retried_records", &["reason=\"unreachable\""]) > 0.0;
    bywash.until("a halt", halted).await;
    server.start_again();
    for _ in 0..2 {
        let before = sent(&bywash.scrape().await);
        bywash.until("records to be stored", |m| sent(m) > before + 1500).await;
        server.kill();
        let retried = |m: &Metrics| m.sum("bywash_exporter_retried_records", &[]);
        let before = retried(&bywash.scrape().await);
        bywash.until("a halt", |m| retried(m) > before).await;
        assert_eq!(bywash.health_status().await, Some(200), "it is no reason to be killed");
        server.start_again();
    }
    bywash = Bywash::start_in(bywash.kill().await).await;
    bywash.until("records to be stored", |m| sent(m) > 1000).await;
    let (a, b) = (logs.stop().await, traces.stop().await);
    assert_eq!((a.acked, b.acked), (a.sent, b.sent), "{a:?} {b:?}");
    let file = found(&bywash, api).await;
    let balance = Books::read(&[&logs.ids, &traces.ids], &[&file]).balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, a.sent + b.sent));
    bywash.stop().await;
}

/// Scenario: a constraint of the database refuses some records; with queues on disk.
/// Guarantee: each of these is a dead letter, alone; all others are stored; the dead letter can be sent when the constraint is gone.
#[tokio::test]
async fn a_record_that_is_refused_is_a_dead_letter() {
    let server = Server::start();
    let (grpc, api) = (free(), free());
    let service = "    sending_queue: {storage: file_storage}\nservice:\n  extensions: [health_check, file_storage]";
    let bywash = Bywash::start(&config(&server, grpc, api, service)).await;
    let http = bywash.receiver("otlp/http");
    let post = async |bodies: &[&str]| {
        let records: Vec<_> = bodies.iter().map(|body| json!({"body": {"stringValue": body}})).collect();
        let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
        let answer = http::post(http, "/v1/logs", "application/json", request.to_string().as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    post(&["first"]).await;
    bywash.until("the first", |m| sent(m) == 1).await;
    server.sql("ALTER TABLE bywash.logs ADD CONSTRAINT sober CHECK (body NOT LIKE '%poison%')");
    post(&["a", "poison one", "b", "c", "poison two", "d"]).await;
    post(&["e", "f"]).await;
    let dead = |m: &Metrics| m.sum("bywash_dead_letter_records", &[]);
    bywash.until("all that can be stored, and the dead letters", |m| sent(m) == 7 && dead(m) == 2.0).await;
    let bodies = async || {
        let mut bodies: Vec<String> =
            rows(api, "logs").await.iter().map(|row| row["body"].as_str().unwrap().to_owned()).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies().await, ["a", "b", "c", "d", "e", "f", "first"]);
    let (code, out, err) =
        command(&["dlq", "list", "--format", "json", "--config", "config.yaml"], bywash.dir.path()).await;
    assert_eq!(code, Some(0), "{err}");
    let letters: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(letters.iter().map(|letter| letter["records"].as_u64()).collect::<Vec<_>>(), [Some(1); 2], "{out}");
    assert!(letters.iter().all(|letter| letter["reason"] == "bad_data"), "{out}");
    server.sql("ALTER TABLE bywash.logs DROP CONSTRAINT sober");
    let (code, _, err) = command(&["dlq", "replay", "--all", "--config", "config.yaml"], bywash.dir.path()).await;
    assert_eq!(code, Some(0), "{err}");
    bywash.until("the dead letters to be stored", |m| sent(m) == 9).await;
    assert_eq!(bodies().await, ["a", "b", "c", "d", "e", "f", "first", "poison one", "poison two"]);
    bywash.stop().await;
}
