//! Senders that open more than they finish: connections, heads, calls and bodies cost what the budget has, the process
//! stays within it and 64 MiB, and whoever finishes what it begins gets through or is told when to come again.

use crate::harness::cgroup::Cgroup;
use crate::harness::config::FAST_RETRY;
use crate::harness::process::Metrics;
use crate::harness::{Bywash, Load, Pipeline, Sink, eventually, http};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 64 * MIB;
/// What the process may need beyond its budget.
const BESIDES: u64 = 64 * MIB;
const GRPC: &str = "application/grpc";
const PROTOBUF: &str = "application/x-protobuf";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// A bywash of [`BUDGET`] before a sink, with an honest sender that comes back when it is asked to.
struct Scene {
    sink: Sink,
    bywash: Bywash,
    before: u64,
    honest: Load,
}

impl Scene {
    async fn new() -> Scene {
        let sink = Sink::start(&[]).await;
        let bywash = Bywash::start(&config(&sink)).await;
        let before = bywash.process.rss();
        let honest = Load::start(bywash.grpc, &["--duration", "0", "--rate", "300", "--retry", "--signal", "logs"]);
        sink.until("records", |n| n > 50).await;
        Scene { sink, bywash, before, honest }
    }

    /// The honest sender gets something through while the others are still there.
    async fn serves(&self) -> Metrics {
        let taken = |m: &Metrics| m.records("otelcol_receiver_accepted", &["transport=\"grpc\""]);
        let before = taken(&self.bywash.scrape().await);
        let metrics = self.bywash.until("honest records", |m| taken(m) > before + 50).await;
        // Whoever is not answered comes again: a new connection, and a whole request.
        eventually("an answer over HTTP", async || {
            let answer = http::post(self.bywash.http, "/v1/logs", "application/json", ONE.as_bytes()).await?;
            assert!([200, 429].contains(&answer.status), "{}", answer.text());
            (answer.status == 200).then_some(())
        })
        .await;
        metrics
    }

    /// Memory was within bounds, nothing honest was lost, and what was charged, and its memory, is given back.
    async fn ends_well(mut self) {
        self.honest.process.signal("INT");
        let summary = self.honest.finish().await;
        assert_eq!((summary.failed, summary.partial), (0, 0), "{summary:?}");
        self.bywash.settled().await;
        let metrics = self.bywash.until("calls to end", |m| m.sum("bywash_budget_call_bytes", &[]) == 0.0).await;
        assert!(metrics.sum("bywash_budget_connection_bytes", &[]) <= BUDGET as f64 / 4.0);
        let peak = self.bywash.process.peak_rss();
        println!("{} MiB before, {} MiB at the peak", self.before / MIB, peak / MIB);
        assert!(peak <= BUDGET + BESIDES, "{} MiB before, {} MiB at the peak", self.before / MIB, peak / MIB);
        gives_back(&self.bywash, self.before).await;
        self.bywash.stop().await;
        self.sink.stop().await;
    }
}

/// Memory falls to what it was before, and a little.
async fn gives_back(bywash: &Bywash, before: u64) {
    let bound = before + 24 * MIB;
    eventually("the memory to be given back", async || (bywash.process.rss() < bound).then_some(())).await;
}

const ONE: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;

fn config(sink: &Sink) -> String {
    // What the sink holds when it stalls is tried again soon.
    let keys = ["sending_queue: {queue_size: 1000000}", "timeout: 3s", FAST_RETRY];
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &keys);
    pipeline.service(&format!("budget: {{limit: {}MiB}}", BUDGET / MIB)).yaml()
}

/// Calls of gRPC, or of OTLP over HTTP, on one connection, with heads of nearly 8 KiB, which never send a body.
async fn open_calls(to: SocketAddr, content_type: &str, calls: usize) -> Option<impl Sized> {
    let path = if content_type == GRPC { LOGS } else { "/v1/logs" };
    let stream = TcpStream::connect(to).await.ok()?;
    let (client, connection) = h2::client::handshake(stream).await.ok()?;
    let driver = tokio::spawn(connection);
    let mut open = vec![];
    for _ in 0..calls {
        let Ok(Ok(mut ready)) = tokio::time::timeout(Duration::from_secs(1), client.clone().ready()).await else {
            break;
        };
        let mut request = ::http::Request::post(format!("http://{to}{path}")).header("content-type", content_type);
        for i in 0..7 {
            request = request.header(format!("x-large-{i}"), "x".repeat(1000));
        }
        let Ok(call) = ready.send_request(request.body(()).unwrap(), false) else { break };
        open.push(call);
    }
    Some((driver, client, open))
}

/// Opens connections, writes this on each, and keeps them.
async fn half_sent(to: SocketAddr, connections: usize, bytes: Bytes) -> Vec<TcpStream> {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let bytes = bytes.clone();
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(to).await.ok()?;
            stream.write_all(&bytes).await.ok()?;
            Some(stream)
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// The beginning of a head of 7 KiB.
fn half_a_head() -> Bytes {
    format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\n{}", format!("x: {}\r\n", "y".repeat(1000)).repeat(7)).into()
}

/// A whole head, and the beginning of the body it announces.
fn half_a_body(bytes: usize) -> Bytes {
    let head =
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000000\r\n\r\n";
    [head.as_bytes(), &vec![0; bytes]].concat().into()
}

/// Scenario: forty connections open all the calls they may, with large heads, and send no bodies; twice. Guarantee:
/// they are charged, the oldest have to go when memory is short, the second time takes no more memory than the first;
/// see the module.
#[tokio::test]
async fn open_calls_are_within_the_budget() {
    let scene = Scene::new().await;
    let mut peaks = vec![];
    for _ in 0..2 {
        let mut open = (vec![], vec![]);
        for _ in 0..20 {
            open.0.push(open_calls(scene.bywash.grpc, GRPC, 250).await);
            open.1.push(open_calls(scene.bywash.http, PROTOBUF, 250).await);
        }
        let metrics = scene.serves().await;
        assert!(metrics.sum("bywash_budget_call_bytes", &[]) > 4e6, "the calls are not charged");
        for transport in ["transport=\"grpc\"", "transport=\"http\""] {
            let gone = metrics.sum("bywash_receiver_refused_requests", &["reason=\"hard_limit\"", transport]);
            assert!(gone > 0.0, "none had to go: {transport}");
        }
        peaks.push(scene.bywash.process.peak_rss());
        drop(open);
        scene
            .bywash
            .until("calls to end", |m| m.sum("bywash_receiver_connections", &["transport=\"http\""]) == 0.0)
            .await;
    }
    assert!(peaks[1] < peaks[0] + 16 * MIB, "{peaks:?}");
    scene.ends_well().await;
}

/// Scenario: two thousand connections send half a head each. Guarantee: the oldest are closed for those that come; see
/// the module.
#[tokio::test]
async fn half_sent_heads_are_within_the_budget() {
    let scene = Scene::new().await;
    let open = half_sent(scene.bywash.http, 2000, half_a_head()).await;
    let closed = |m: &Metrics| m.sum("bywash_receiver_connections_closed", &["reason=\"half_open\""]);
    // Some of them may still wait to be accepted.
    scene.bywash.until("the oldest to be closed", |m| closed(m) > 1000.0).await;
    let metrics = scene.serves().await;
    assert!(metrics.sum("bywash_receiver_connections", &["transport=\"http\""]) < 1000.0);
    drop(open);
    scene.ends_well().await;
}

/// Scenario: connections send half a body each: much of it, then from more connections than there are seats.
/// Guarantee: the oldest make room; see the module.
#[tokio::test]
async fn half_sent_bodies_are_within_the_budget() {
    let scene = Scene::new().await;
    let open = half_sent(scene.bywash.http, 300, half_a_body(400_000)).await;
    let metrics = scene.serves().await;
    assert!(metrics.sum("bywash_receiver_refused_requests", &["reason=\"hard_limit\""]) > 0.0);
    // More connections than there are seats, and none but half-open requests on any.
    let more = half_sent(scene.bywash.http, 600, half_a_body(4000)).await;
    let mut calls = vec![];
    for _ in 0..200 {
        calls.push(open_calls(scene.bywash.grpc, GRPC, 1).await);
    }
    let metrics = scene.serves().await;
    assert!(metrics.sum("bywash_receiver_connections_closed", &["reason=\"half_open\""]) > 300.0);
    drop((more, calls));
    drop(open);
    scene.ends_well().await;
}

/// Scenario: JSON of small records comes faster than a stalled backend lets it go, and the backend recovers.
/// Guarantee: senders are told to come again; see the module.
#[tokio::test]
async fn json_of_small_records_is_within_the_budget() {
    let mut sink = Sink::start(&["--stall"]).await;
    let bywash = Bywash::start(&config(&sink)).await;
    let before = bywash.process.rss();
    flood_with_json(bywash.http).await;
    let peak = bywash.process.peak_rss();
    println!("{} MiB before, {} MiB at the peak", before / MIB, peak / MIB);
    assert!(peak <= BUDGET + BESIDES, "{} MiB before, {} MiB at the peak", before / MIB, peak / MIB);
    sink.behave("mode=ok").await;
    bywash.settled().await;
    gives_back(&bywash, before).await;
    bywash.stop().await;
    sink.stop().await;
}

/// Sends bodies of small records, several at once, until they are refused.
async fn flood_with_json(to: SocketAddr) {
    let record = format!(r#"{{"severityNumber":17,"body":{{"stringValue":"{}"}}}}"#, "x".repeat(60));
    let records = vec![record.as_str(); 10_000].join(",");
    let body: Bytes = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#).into();
    let mut senders = JoinSet::new();
    for _ in 0..4 {
        let body = body.clone();
        senders.spawn(async move {
            let mut refused = 0;
            while refused < 5 {
                let answer = http::post(to, "/v1/logs", "application/json", &body).await.expect("an answer");
                match answer.status {
                    200 => {}
                    429 => refused += 1,
                    other => panic!("{other}: {}", answer.text()),
                }
            }
        });
    }
    senders.join_all().await;
}

/// Scenario: all of it at once in a control group of the budget and 64 MiB. Guarantee: the process lives and serves.
#[tokio::test]
async fn it_lives_in_a_group_of_its_budget() {
    let group = match Cgroup::new("bywash", BUDGET + BESIDES) {
        Ok(group) => group,
        Err(why) => return println!("skipped: {why}"),
    };
    let sink = Sink::start(&[]).await;
    let mut bywash = Bywash::start_within(&group, &config(&sink)).await;
    let heads = half_sent(bywash.http, 1500, half_a_head()).await;
    let mut calls = vec![];
    for _ in 0..20 {
        calls.push(open_calls(bywash.grpc, GRPC, 250).await);
    }
    let bodies = half_sent(bywash.http, 100, half_a_body(400_000)).await;
    sink.behave("mode=stall").await;
    flood_with_json(bywash.http).await;
    assert!(bywash.process.is_alive());
    sink.behave("mode=ok").await;
    drop((heads, calls, bodies));
    bywash.settled().await;
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "50", "--rate", "0", "--retry"]).await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    bywash.stop().await;
    drop(group);
}

/// Scenario: a silent connection when there is room for all. Guarantee: it is left alone, and charged while it is
/// there.
#[tokio::test]
async fn a_connection_is_charged_while_it_lives() {
    let sink = Sink::start(&[]).await;
    let bywash = Bywash::start(&config(&sink)).await;
    let mut silent = TcpStream::connect(bywash.http).await.unwrap();
    bywash.until("the charge", |m| m.sum("bywash_budget_connection_bytes", &[]) > 0.0).await;
    silent.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    bywash.until("the end of the charge", |m| m.sum("bywash_budget_connection_bytes", &[]) == 0.0).await;
    bywash.stop().await;
}
