use super::*;
use flow::Kind;
use flow::dead_letters::{DIRECTORY, DeadLetters, Letter};
use flow::spool::DeadLettersConfig;
use flow::{Payload, Target};
use std::time::Duration;
use wire::Signal;

fn bury(directory: &Path, records: u32) {
    let none = DeadLettersConfig { max_bytes: 0, max_age: Duration::ZERO };
    let dead = DeadLetters::open(Arc::new(RealDisk), &directory.join(DIRECTORY), none).unwrap();
    let letter = Letter {
        payload: Payload::new(Signal::Logs, b"x".to_vec(), records),
        target: Target::new("t"),
        reason: Kind::Expired,
        text: String::new(),
        first: 0,
        last: 0,
        attempts: 1,
        at: 1,
    };
    dead.bury(vec![letter]).unwrap();
}

fn rows(answer: Answer) -> Vec<Row> {
    match answer {
        Answer::Letters(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn all() -> Request {
    Request::List(Query { limit: 9, ..Query::default() })
}

/// Scenario: a directory without a process, with letters of two exporters, an empty queue and strangers. Guarantee: all letters are found
/// under the exporters' ids, and looking makes nothing.
#[tokio::test]
async fn a_directory_without_a_process_is_opened() {
    let root = tempfile::tempdir().unwrap();
    bury(&root.path().join("otlp%2Fa/logs"), 2);
    bury(&root.path().join("otlp/traces"), 3);
    std::fs::create_dir_all(root.path().join("otlp/metrics")).unwrap();
    std::fs::create_dir_all(root.path().join("lost+found")).unwrap();
    let found = rows(ask(root.path(), all()).await.unwrap());
    let of: Vec<(&str, u64)> = found.iter().map(|row| (row.exporter.as_str(), row.records)).collect();
    assert_eq!(of, [("otlp", 3), ("otlp/a", 2)]);
    assert!(!root.path().join("otlp/metrics").join(DIRECTORY).exists());
    let counts = ask(root.path(), Request::Replay(Selection::Ids(vec![found[1].id.clone()]))).await.unwrap();
    assert!(matches!(counts, Answer::Done(Counts { letters: 1, records: 2, .. })), "{counts:?}");
    assert_eq!(rows(ask(root.path(), all()).await.unwrap()).len(), 1);
}

/// Scenario: a directory that a process holds without answering, and one that is missing. Guarantee: errors that name the directory.
#[tokio::test]
async fn a_directory_that_cannot_be_had_is_named() {
    let root = tempfile::tempdir().unwrap();
    let held = hold::try_hold(root.path()).unwrap();
    let error = format!("{:#}", ask(root.path(), all()).await.unwrap_err());
    assert!(error.contains("in use by another process") && error.contains("control.sock"), "{error}");
    drop(held);
    assert_eq!(rows(ask(root.path(), all()).await.unwrap()), []);
    let missing = root.path().join("none");
    let error = format!("{:#}", ask(&missing, all()).await.unwrap_err());
    assert!(error.contains(missing.to_str().unwrap()), "{error}");
}
