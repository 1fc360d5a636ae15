//! Dead letters: what could not be delivered waits on disk for a person, who looks into it, sends it again or discards it.

use crate::harness::process::{Process, command};
use crate::harness::{Bywash, Load, Pipeline, Rules, Sink, eventually};
use serde_json::Value;
use std::path::Path;

/// Given up after two tries or so.
const SOON: &str = "retry_on_failure: {initial_interval: 20ms, max_interval: 40ms, max_elapsed_time: 100ms}";
const STORED: &str = "sending_queue: {storage: file_storage}";

fn pipeline(sink: &Sink) -> Pipeline {
    Pipeline::new().grpc("a", sink.grpc[0], &[SOON, STORED]).storage("directory: storage, create_directory: true")
}

async fn dlq(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    command(&[&["dlq", args[0], "--config", "config.yaml"], &args[1..]].concat(), dir).await
}

async fn listed(dir: &Path, args: &[&str]) -> Vec<Value> {
    let (code, out, err) = dlq(dir, &[&["list", "--format", "json"], args].concat()).await;
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).unwrap()
}

fn records(letters: &[Value]) -> u64 {
    letters.iter().map(|letter| letter["records"].as_u64().unwrap()).sum()
}

/// Scenario: a backend fails until records are given up, then recovers; a person lists the letters, looks into one, and sends
/// them again, all against the running process. Guarantee: each letter says why it is there; every record arrives, once; no letter is left.
#[tokio::test]
async fn letters_are_looked_into_and_sent_again() {
    let mut sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let bywash = Bywash::start(&pipeline(&sink).yaml()).await;
    let dir = bywash.dir.path();
    let (load, summary) = Load::run(bywash.grpc, &["--requests", "9", "--rate", "0"]).await;
    assert_eq!(summary.acked, 90, "what is on disk is acknowledged");
    bywash.until("the letters", |m| m.sum("bywash_dead_letter_records", &[]) == 90.0).await;

    let letters = listed(dir, &[]).await;
    assert_eq!(records(&letters), 90);
    let logs = letters.iter().find(|letter| letter["signal"] == "logs").unwrap();
    assert_eq!((&logs["exporter"], &logs["reason"]), (&"otlp_grpc/a".into(), &"expired".into()));
    assert!(logs["attempts"].as_u64().unwrap() >= 2, "{logs}");
    let id = logs["id"].as_str().unwrap();
    let (code, out, err) = dlq(dir, &["show", id]).await;
    assert_eq!(code, Some(0), "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert!(shown["request"]["resourceLogs"][0]["scopeLogs"][0]["logRecords"].is_array(), "{out}");
    let (code, ..) = dlq(dir, &["show", id, "--raw", "request.bin"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::metadata(dir.join("request.bin")).unwrap().len(), logs["bytes"].as_u64().unwrap());
    assert_eq!(listed(dir, &["--reason", "bad_data"]).await, [Value::Null; 0]);
    let (_, out, _) = dlq(dir, &["list", "--limit", "1"]).await;
    assert_eq!(out.lines().count(), 2, "{out}");

    sink.behave("mode=ok").await;
    let (code, out, err) = dlq(dir, &["replay", id, "otlp_grpc/a/logs/999999"]).await;
    assert_eq!(code, Some(1), "one of them is not there");
    assert!(out.starts_with("sent again: 1 dead letters") && err.contains("999999"), "{out}{err}");
    let (code, _, err) = dlq(dir, &["replay", "--all"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    sink.until("distinct", |n| n == 90).await;
    assert_eq!(listed(dir, &[]).await, [Value::Null; 0]);
    let metrics = bywash.scrape().await;
    assert_eq!(metrics.sum("bywash_dead_letter_removed_records", &["cause=\"replayed\""]), 90.0);
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.distinct, balance.lost), (90, 0));
}

/// Scenario: the same after the process has ended; one letter is discarded, the rest sent again. Guarantee: the next start sends exactly the
/// rest.
#[tokio::test]
async fn letters_of_a_process_that_ended_go_out_with_the_next() {
    let mut sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let config = pipeline(&sink).yaml();
    let mut bywash = Bywash::start(&config).await;
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "6", "--rate", "0", "--signal", "logs"]).await;
    assert_eq!(summary.acked, 60);
    bywash.until("the letters", |m| m.sum("bywash_dead_letter_records", &[]) == 60.0).await;
    bywash.process.signal("TERM");
    assert_eq!(bywash.process.ended().await, Some(0));
    let dir = bywash.dir.path();
    let letters = listed(dir, &[]).await;
    assert_eq!(records(&letters), 60);
    let first = letters[0]["id"].as_str().unwrap();
    let (code, out, err) = dlq(dir, &["discard", first]).await;
    assert_eq!(code, Some(0), "{err}");
    let left = 60 - letters[0]["records"].as_u64().unwrap();
    assert_eq!(out, format!("discarded: 1 dead letters, {} records\n", 60 - left));
    let (code, ..) = command(&["dlq", "replay", "--directory", "storage", "--all"], dir).await;
    assert_eq!(code, Some(0));
    sink.behave("mode=ok").await;
    let args = ["run", "--config", "config.yaml"].map(String::from);
    let mut next = Process::start("the next", &args, dir);
    sink.until("distinct", |n| n == left).await;
    next.signal("TERM");
    assert_eq!(next.ended().await, Some(0));
    assert_eq!(sink.stop().await["duplicates"], 0);
}

/// Scenario: a second process is started on the directory of the first. Guarantee: it refuses at once, says why, and the first is
/// undisturbed.
#[tokio::test]
async fn a_directory_belongs_to_one_process() {
    let sink = Sink::start(&[]).await;
    let bywash = Bywash::start(&pipeline(&sink).yaml()).await;
    let (code, _, err) = command(&["run", "--config", "config.yaml"], bywash.dir.path()).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("storage file_storage: storage is in use by another process"), "{err}");
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "3", "--rate", "0"]).await;
    assert_eq!(summary.acked, 30);
    sink.until("distinct", |n| n == 30).await;
    assert_eq!(listed(bywash.dir.path(), &[]).await, [Value::Null; 0]);
    bywash.stop().await;
}

/// Scenario: a reload changes the exporter of a queue on disk while its backend fails. Guarantee: the successor takes over what waits, and nothing
/// is lost or refused.
#[tokio::test]
async fn a_changed_exporter_takes_over_what_waits() {
    let mut sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let patient = |name: &str| {
        let retry =
            format!("retry_on_failure: {{initial_interval: {name}, max_interval: 100ms, max_elapsed_time: 0s}}");
        Pipeline::new()
            .grpc("a", sink.grpc[0], &[&retry, STORED])
            .storage("directory: storage, create_directory: true")
            .yaml()
    };
    let bywash = Bywash::start(&patient("50ms")).await;
    let (load, summary) = Load::run(bywash.grpc, &["--requests", "9", "--rate", "0"]).await;
    assert_eq!(summary.acked, 90);
    bywash.rewrite(&patient("60ms"));
    bywash.process.signal("HUP");
    eventually("the reload", async || {
        let lines = bywash.process.stderr.json();
        lines.iter().any(|l| l["message"] == "the new configuration is in use").then_some(())
    })
    .await;
    sink.behave("mode=ok").await;
    sink.until("distinct", |n| n == 90).await;
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.distinct, balance.lost), (90, 0));
}

/// Scenario: a reload changes the exporter of a queue on disk, and then fails because a port is taken; the backend recovers. Guarantee: the exporter that
/// stays in use sends what waits and what comes after.
#[tokio::test]
async fn a_reload_that_fails_leaves_the_queue_where_it_was() {
    let mut sink = Sink::start(&[]).await;
    sink.behave("mode=fail").await;
    let retry = |wait: &str| {
        format!("retry_on_failure: {{initial_interval: {wait}, max_interval: 100ms, max_elapsed_time: 0s}}")
    };
    let text = |wait: &str| {
        let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[&retry(wait), STORED]);
        pipeline.storage("directory: storage, create_directory: true").yaml()
    };
    let bywash = Bywash::start(&text("50ms")).await;
    let (before, summary) = Load::run(bywash.grpc, &["--requests", "9", "--rate", "0"]).await;
    assert_eq!(summary.acked, 90);
    let taken = format!("http: {{endpoint: {}}}", sink.http[0]);
    bywash.rewrite(&text("60ms").replace("http: {endpoint: 127.0.0.1:0}", &taken));
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &["outcome=\"failure\""]) == 1.0).await;
    let (after, summary) = Load::run(bywash.grpc, &["--requests", "9", "--rate", "0", "--first-id", "1000"]).await;
    assert_eq!(summary.acked, 90);
    sink.behave("mode=ok").await;
    sink.until("distinct", |n| n == 180).await;
    bywash.stop().await;
    let balance = sink.books(&[&before, &after]).await.balance(Rules::default());
    assert_eq!((balance.distinct, balance.lost), (180, 0));
}
