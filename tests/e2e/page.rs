//! The page of the store: the first run without a configuration, what is seen as it comes, and the end.

use crate::harness::process::{Process, command};
use crate::harness::{Bywash, Load, eventually, http, network};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

async fn asked(address: SocketAddr, path: &str) -> Value {
    let answer = http::get(address, path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

/// A stream of events, from its head on.
async fn stream(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, ": hello").await;
    stream
}

/// Reads until a text has come; everything that came.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut all, mut buffer) = (String::new(), vec![0; 16 << 10]);
    while !all.contains(text) {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("`{text}` never came: {all}")).unwrap();
        assert!(read > 0, "it ended before `{text}`: {all}");
        all.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    all
}

/// Scenario: `bywash` without arguments, by a user with a folder for states; the demonstration sends to it. Guarantee: it says where to send,
/// where to look and where it is kept, and it is so: the page is there, whole and guarded; logs, traces and services are found; what is kept
/// is where it said, and found after the end.
#[test]
fn the_first_run_shows_what_comes() {
    network::within("page::the_first_run_shows_what_comes", async || {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let dir = TempDir::new().unwrap();
        let state = dir.path().join("state");
        let variables = [("XDG_STATE_HOME", state.to_str().unwrap())];
        let mut process = Process::start_with("bywash", &[], dir.path(), &variables);
        eventually("readiness", async || {
            http::get(local(4319), "/ready").await.filter(|answer| answer.status == 200).map(drop)
        })
        .await;
        eventually("its first words", async || {
            let said = process.stdout.all().join("\n");
            let kept = format!("kept in  {}", state.join("bywash/store").display());
            let places =
                ["send to  127.0.0.1:4317 (OTLP/gRPC), http://127.0.0.1:4318", "look at  http://127.0.0.1:4319"];
            places.iter().chain(&[kept.as_str()]).all(|line| said.contains(line)).then_some(())
        })
        .await;
        let page = http::get(local(4319), "/").await.unwrap();
        assert!(page.status == 200 && page.text().contains("src/main.js"), "{}", page.text());
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
        let arguments = ["load", "--demo", "--duration", "3s"].map(str::to_owned);
        let mut demo = Process::start("demo", &arguments, dir.path());
        assert_eq!(demo.ended().await, Some(0));
        let services = asked(local(4319), "/api/services").await;
        assert!(services["services"].as_array().unwrap().len() >= 4, "{services}");
        assert!(!asked(local(4319), "/api/traces").await["traces"].as_array().unwrap().is_empty());
        let logs = asked(local(4319), "/api/logs?limit=1000").await;
        let found = logs["rows"].as_array().unwrap().len();
        assert!(found > 5, "{logs}");
        let me = asked(local(4319), "/api/me").await;
        assert_eq!((&me["where"]["otlp_grpc"], &me["needs_token"]), (&"127.0.0.1:4317".into(), &false.into()));
        process.signal("TERM");
        assert_eq!(process.ended().await, Some(0));
        let store = state.join("bywash/store");
        let arguments = ["query", "--path", store.to_str().unwrap(), "--json", "--limit", "1000"];
        let (code, out, err) = command(&arguments, dir.path()).await;
        assert_eq!((code, out.lines().count()), (Some(0), found), "{err}");
    });
}

/// Scenario: the tail and the pipeline are followed while records come; then SIGTERM. Guarantee: a record is seen within a second of its
/// acknowledgement; a state comes each second; both streams end with the process, and in time.
#[tokio::test]
async fn what_comes_is_seen_at_once() {
    let dir = TempDir::new().unwrap();
    let api = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{store: {{path: store, api: {{endpoint: '{api}'}}}}}}
extensions: {{health_check: {{endpoint: '127.0.0.1:0'}}}}
service:
  extensions: [health_check]
  telemetry:
    logs: {{encoding: json}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [store]}}}}
"
    );
    std::fs::write(dir.path().join("config.yaml"), config).unwrap();
    let mut bywash = Bywash::start_in(dir).await;
    let (mut tail, mut live) = (stream(api, "/api/tail").await, stream(api, "/api/pipeline/live").await);
    read_until(&mut live, "event: state").await;
    let (_, summary) = Load::run(bywash.grpc, &["--requests", "1", "--signal", "logs"]).await;
    let acknowledged = Instant::now();
    assert_eq!(summary.acked, 10, "{summary:?}");
    let seen = read_until(&mut tail, "event: rows").await;
    assert!(acknowledged.elapsed() < Duration::from_secs(1), "{:?}", acknowledged.elapsed());
    assert!(seen.contains("service-0"), "{seen}");
    bywash.process.signal("TERM");
    for stream in [&mut tail, &mut live] {
        let mut rest = vec![];
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a stream outlives the process");
    }
    assert_eq!(bywash.process.ended().await, Some(0));
}
