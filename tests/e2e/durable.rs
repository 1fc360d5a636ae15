//! Queues on disk over ordered ends, crashes and reloads: what waits stays there, and goes out when it can.

use crate::harness::config::FAST_RETRY;
use crate::harness::process::{Metrics, command};
use crate::harness::{Bywash, Load, Pipeline, Rules, Sink, eventually};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const STORED: &str = "sending_queue: {storage: file_storage}";
const STORAGE: &str = "directory: storage, create_directory: true";
const THIRTY: [&str; 4] = ["--requests", "30", "--rate", "0"];

fn is_delivered(metrics: &Metrics) -> bool {
    metrics.sum("bywash_spool_records", &[]) == 0.0
}

/// Scenario: SIGTERM with a minute to go, while the backend refuses, or answers nothing, and records wait on disk; then a start with the
/// backend well. Guarantee: it ends within seconds and calls it a success; the next start delivers everything, once.
#[tokio::test]
async fn the_end_does_not_wait_for_a_dead_backend() {
    for mode in ["fail", "stall"] {
        let mut sink = Sink::start(&[]).await;
        sink.behave(&format!("mode={mode}")).await;
        let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED, "timeout: 50s"]);
        let yaml = pipeline.storage(STORAGE).service("shutdown_timeout: 60s").yaml();
        let bywash = Bywash::start(&yaml).await;
        let (load, summary) = Load::run(bywash.grpc, &THIRTY).await;
        assert_eq!(summary.acked, 300, "{mode}: {summary:?}");
        sink.until("requests", |n| n > 0).await;
        let asked = Instant::now();
        let dir = bywash.end().await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(20), "{mode}: {took:?} for an end with nothing to hope for");
        sink.behave("mode=ok").await;
        let bywash = Bywash::start_in(dir).await;
        sink.until("distinct", |n| n == 300).await;
        bywash.until("all to be delivered", is_delivered).await;
        bywash.stop().await;
        let balance = sink.books(&[&load]).await.balance(Rules::default());
        assert_eq!((balance.distinct, balance.lost), (300, 0), "{mode}");
    }
}

/// Scenario: under load the backend of an exporter is dead; reloads change its batching, then send it to another backend. Guarantee: no sender
/// is refused, and everything, also what was on disk before, is delivered there, once.
#[tokio::test]
async fn reloads_under_load_keep_what_is_on_disk() {
    let mut sink = Sink::start(&["--backends", "2"]).await;
    sink.behave("mode=fail&backend=0").await;
    let to = |backend: usize, queue: &str| {
        let queue = format!("sending_queue: {{storage: file_storage, num_consumers: 3{queue}}}");
        Pipeline::new().grpc("a", sink.grpc[backend], &[FAST_RETRY, &queue]).storage(STORAGE).yaml()
    };
    let bywash = Bywash::start(&to(0, "")).await;
    let mut load = Load::start(bywash.grpc, &["--duration", "0", "--rate", "1000", "--timeout", "20s"]);
    let waits = |n: f64| move |m: &Metrics| m.sum("bywash_spool_records", &[]) > n;
    bywash.until("records on disk", waits(300.0)).await;
    bywash.reload(&to(0, ", batch: {min_size: 50, max_size: 80, flush_timeout: 20ms}")).await;
    bywash.until("more records on disk", waits(600.0)).await;
    bywash.reload(&to(1, ", batch: {min_size: 20, max_size: 40, flush_timeout: 20ms}")).await;
    sink.until("records", |n| n > 1000).await;
    let summary = load.stop().await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    bywash.until("all to be delivered", is_delivered).await;
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.distinct, balance.lost), (summary.sent, 0));
}

/// Scenario: an exporter with records on disk is removed by a reload, and added again by another; meanwhile its backend recovers. Guarantee: while
/// it is away nothing of it is sent and the log says that its queue waits; afterwards all of it is delivered, once, and what came in meanwhile is not.
#[tokio::test]
async fn an_exporter_that_comes_back_finds_its_queue() {
    let mut sink = Sink::start(&["--backends", "2"]).await;
    sink.behave("mode=fail&backend=0").await;
    let other = Pipeline::new().grpc("b", sink.grpc[1], &[STORED]).storage(STORAGE);
    let both = other.clone().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED]).yaml();
    let bywash = Bywash::start(&both).await;
    let (before, summary) = Load::run(bywash.grpc, &THIRTY).await;
    assert_eq!(summary.acked, 300);
    bywash.reload(&other.yaml()).await;
    eventually("the log to name the queue", async || {
        let said = bywash.process.stderr.json();
        let of_a = |l: &Value| l["directory"].as_str().is_some_and(|d| d.contains("otlp_grpc%2Fa"));
        said.iter()
            .any(|l| l["message"] == "no exporter uses this queue: what it holds is not sent" && of_a(l))
            .then_some(())
    })
    .await;
    sink.behave("mode=ok").await;
    let (_meanwhile, summary) =
        Load::run(bywash.grpc, &["--requests", "30", "--rate", "0", "--first-id", "1000"]).await;
    assert_eq!(summary.acked, 300);
    let of = |stats: &Value, backend: usize| stats["backends"][backend]["records"].as_u64().unwrap();
    let stats = sink.until("records", |n| n >= 600).await;
    assert_eq!((of(&stats, 0), of(&stats, 1)), (0, 600));
    bywash.reload(&both).await;
    sink.until("records", |n| n >= 900).await;
    bywash.until("all to be delivered", is_delivered).await;
    bywash.stop().await;
    let stats = sink.stop().await;
    assert_eq!((of(&stats, 0), of(&stats, 1)), (300, 600));
    let books = crate::harness::Books::of_backends(&[&before.ids], &sink.ids, |b| b == 0);
    assert_eq!(books.balance(Rules::default()).distinct, 300);
}

/// Scenario: records are tried in vain, the process is killed and started again. Guarantee: their time to be delivered goes on from the first
/// attempt before the crash; at its end they are dead letters that say so.
#[tokio::test]
async fn the_time_to_deliver_outlives_a_crash() {
    let sink = Sink::start(&["--fail", "unavailable"]).await;
    let retry = "retry_on_failure: {initial_interval: 20ms, max_interval: 40ms, max_elapsed_time: 6s}";
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[retry, STORED]).storage(STORAGE);
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "1", "--rate", "0", "--signal", "logs"]).await;
    assert_eq!(summary.acked, 10);
    let age = |m: &Metrics| m.sum("bywash_spool_oldest_record_age_seconds", &[]);
    bywash.until("two seconds to pass", |m| age(m) >= 2.0).await;
    assert!(bywash.scrape().await.sum("bywash_exporter_retried_records", &[]) > 0.0);
    let dir = bywash.kill().await;
    let bywash = Bywash::start_in(dir).await;
    bywash.until("the letters", |m| m.sum("bywash_dead_letter_records", &[]) == 10.0).await;
    let (code, out, err) =
        command(&["dlq", "list", "--directory", "storage", "--format", "json"], bywash.dir.path()).await;
    assert_eq!(code, Some(0), "{err}");
    let letters: Vec<Value> = serde_json::from_str(&out).unwrap();
    let log = bywash.process.stderr.json();
    let started = log[0]["timestamp"].as_str().unwrap();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    let first = letter["first_attempt"].as_str().unwrap();
    assert!(first < started, "first tried {first}, started again {started}: {letter}");
    assert_eq!((&letter["reason"], &letter["records"]), (&"expired".into(), &10.into()));
    bywash.stop().await;
}
