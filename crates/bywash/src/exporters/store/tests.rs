use super::*;
use crate::config::testing::{decoded, errors, failures};
use ::store::Query;
use bytes::Bytes;
use flow::{Meta, Payload};
use tempfile::TempDir;
use wire::Signal;
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;

const DAY: u64 = 24 * 3600 * 1_000_000_000;

fn config(dir: &TempDir, more: &str) -> Config {
    decoded(&format!("{{path: '{}'{more}}}", dir.path().join("store").display()))
}

fn logs(text: &str) -> Bytes {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(b"cart"))], "", |scope| {
        scope.log(&Log { body: AnyValue::Str(text.as_bytes()), ..Log::default() });
    });
    request.finish()
}

fn spans() -> Bytes {
    let mut request = MessageWriter::new();
    request.resource_entry(&[], "", |scope| {
        scope.span(&Span { trace_id: &[7; 16], span_id: &[1; 8], name: "GET", start: 1, end: 2, ..Span::default() });
    });
    request.finish()
}

fn of_tenant(tenant: &str, text: &str) -> Payload {
    Payload { meta: Arc::new(Meta::of_tenant(tenant)), ..Payload::new(Signal::Logs, logs(text), 1) }
}

async fn send(exporter: &Store, request: Payload) -> Attempt {
    let target = exporter.router().only(&request).unwrap();
    exporter.send(&target, request, flow::clock::now() + Duration::from_secs(5)).await
}

fn texts(store: &OpenStore, tenant: &str, signal: Signal) -> Vec<String> {
    let mut texts = vec![];
    store.store().search(&Query::new(tenant, signal), &|| false, &mut |row| {
        texts.push(row.text);
        true
    });
    texts
}

/// Scenario: keys that cannot be. Guarantee: each is told at its key, and what is planned is called so.
#[test]
fn keys_are_checked() {
    assert_eq!(errors(&decoded::<Config>("{}")), ["path"]);
    let wrong =
        decoded::<Config>("{driver: postgres, path: a, retention: {bytes: 1MiB}, sending_queue: {num_consumers: 0}}");
    assert_eq!(errors(&wrong), ["driver", "retention.bytes", "sending_queue.num_consumers"]);
    assert!(errors(&decoded::<Config>("{path: a, retention: {age: 0s, bytes: 1GiB}}")).is_empty());
    assert_eq!(failures::<Config>("{path: a, driver: mysql}").len(), 1);
}

/// Scenario: logs and spans of two tenants and of none; the exporter goes, and another comes. Guarantee: each is found with its tenant and
/// signal, before and after; the directory is free in between.
#[tokio::test]
async fn what_was_sent_is_found() {
    let dir = TempDir::new().unwrap();
    let exporter = Store::new("store", &config(&dir, "")).unwrap();
    assert_eq!(send(&exporter, of_tenant("a", "of a")).await, Attempt::Sent);
    assert_eq!(send(&exporter, of_tenant("b/c", "of b")).await, Attempt::Sent);
    assert_eq!(send(&exporter, Payload::new(Signal::Traces, spans(), 1)).await, Attempt::Sent);
    let check = |exporter: &Store| {
        let store = exporter.store();
        assert_eq!(texts(store, "a", Signal::Logs), ["of a"]);
        assert_eq!(texts(store, "b/c", Signal::Logs), ["of b"]);
        assert_eq!(texts(store, DEFAULT_TENANT, Signal::Traces), ["GET"]);
        assert!(texts(store, DEFAULT_TENANT, Signal::Logs).is_empty());
    };
    check(&exporter);
    drop(exporter);
    check(&Store::new("another", &config(&dir, "")).unwrap());
}

/// Scenario: the same request again, bytes that are no request, and a tenant with a brace. Guarantee: the first is stored once; the others
/// are refused for good.
#[tokio::test]
async fn what_cannot_be_stored_is_refused() {
    let dir = TempDir::new().unwrap();
    let exporter = Store::new("store", &config(&dir, "")).unwrap();
    for _ in 0..2 {
        assert_eq!(send(&exporter, Payload::new(Signal::Logs, logs("once"), 1)).await, Attempt::Sent);
    }
    assert_eq!(texts(exporter.store(), DEFAULT_TENANT, Signal::Logs), ["once"]);
    let bad = Payload::new(Signal::Logs, Bytes::from_static(&[0x0a, 0xff]), 1);
    for payload in [bad, of_tenant("a{b}", "x")] {
        let attempt = send(&exporter, payload).await;
        assert!(matches!(&attempt, Attempt::Reject { why } if why.kind == Kind::BadData), "{attempt:?}");
    }
}

/// Scenario: a second configuration of the same exporter with the same path, and another exporter with it. Guarantee: the former shares
/// the store, and its retention is in force; the latter is refused, by the name of the first.
#[tokio::test]
async fn a_path_has_one_store() {
    let dir = TempDir::new().unwrap();
    let first = Store::new("store", &config(&dir, "")).unwrap();
    let second = Store::new("store", &config(&dir, ", retention: {age: 24h}")).unwrap();
    assert!(Arc::ptr_eq(first.store(), second.store()));
    assert!(Store::new("store/other", &config(&dir, "")).is_err_and(|error| error.0.contains("store keeps its data")));
    let (store, now) = (second.store(), open::now());
    store.take(DEFAULT_TENANT, Signal::Logs, &logs("old"), now).unwrap();
    store.store().flush(now).unwrap();
    // The day is left at the next one's first writing, and goes a day after its end.
    store.take(DEFAULT_TENANT, Signal::Logs, &logs("new"), now + DAY).unwrap();
    store.tick(now + DAY);
    store.tick(now + 2 * DAY - 60_000_000_000);
    store.take(DEFAULT_TENANT, Signal::Logs, &logs("newer"), now + 3 * DAY).unwrap();
    store.tick(now + 3 * DAY);
    let left = texts(store, DEFAULT_TENANT, Signal::Logs);
    assert!(left.contains(&"newer".to_owned()) && !left.contains(&"old".to_owned()), "{left:?}");
}

/// Scenario: many requests at once. Guarantee: all are there, and threads that wait for the disk are bounded.
#[tokio::test]
async fn requests_share_syncs() {
    let dir = TempDir::new().unwrap();
    let exporter = Store::new("store", &config(&dir, "")).unwrap();
    let sends: Vec<_> = (0..200)
        .map(|n| {
            let (exporter, payload) = (exporter.clone(), Payload::new(Signal::Logs, logs(&format!("n{n}")), 1));
            tokio::spawn(async move { send(&exporter, payload).await })
        })
        .collect();
    for sent in sends {
        assert_eq!(sent.await.unwrap(), Attempt::Sent);
    }
    assert_eq!(exporter.store().store().stats().records, 200);
}
