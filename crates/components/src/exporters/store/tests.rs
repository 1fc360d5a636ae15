use super::*;
use ::store::Query;
use bytes::Bytes;
use config::testing::{decoded, errors, failures};
use flow::{Meta, Payload};
use net::private_socket::AskError;
use serde_json::json;
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

/// Scenario: keys that cannot be. Guarantee: each is told at its key.
#[test]
fn keys_are_checked() {
    assert_eq!(errors(&decoded::<Config>("{}")), ["path"]);
    let wrong = decoded::<Config>("{path: a, retention: {bytes: 1MiB}, sending_queue: {num_consumers: 0}}");
    assert_eq!(errors(&wrong), ["retention.bytes", "sending_queue.num_consumers"]);
    assert!(errors(&decoded::<Config>("{path: a, retention: {age: 0s, bytes: 1GiB}}")).is_empty());
    assert_eq!(failures::<Config>("{path: a, driver: mysql}").len(), 1);
    assert!(errors(&decoded::<Config>("{path: a, api: {}}")).is_empty());
    assert_eq!(decoded::<Config>("{path: a, api: {}}").api.unwrap().endpoint, "localhost:4319");
    let by_token = |keys: &str| decoded::<Config>(&format!("{{path: a, api: {{endpoint: '0.0.0.0:4319', {keys}}}}}"));
    let tokens = tempfile::NamedTempFile::new().unwrap();
    let file = tokens.path().display();
    assert_eq!(errors(&by_token(&format!("tokens_file: '{file}'"))), ["api.tokens_file"], "no token in it");
    std::fs::write(tokens.path(), "alpha acme\n").unwrap();
    assert!(errors(&by_token(&format!("tokens_file: '{file}'"))).is_empty());
    assert_eq!(errors(&by_token("tokens: [{}]"))[..2], ["api.tokens[0].token_file", "api.tokens[0].tenants"]);
    for endpoint in ["'0.0.0.0:4319'", "'[::]:4319'", "'example.com:4319'", "':4319'"] {
        let open = decoded::<Config>(&format!("{{path: a, api: {{endpoint: {endpoint}}}}}"));
        assert_eq!(errors(&open), ["api.endpoint"], "{endpoint}");
    }
}

/// Scenario: keys of PostgreSQL that are right, wrong, or given to the other driver. Guarantee: each that is wrong is told at its key, a build
/// without PostgreSQL says so, and the password is in no text.
#[test]
fn keys_of_postgres_are_checked() {
    let built_in = cfg!(feature = "postgres");
    let good = "driver: postgres, dsn: 'postgres://u:geheim@h/d'";
    let errors_of = |keys: &str| errors(&decoded::<Config>(&format!("{{{keys}}}")));
    let alone: &[&str] = if built_in { &[] } else { &["driver"] };
    assert_eq!(errors_of(good), alone);
    assert_eq!(errors_of(&format!("{good}, tls: {{insecure: true}}, api: {{}}, timeout: 0s")), alone);
    let at = |key| if built_in { key } else { "driver" };
    assert_eq!(errors_of("driver: postgres"), [&["dsn"][..], alone].concat());
    assert_eq!(errors_of("driver: postgres, dsn: 'postgres://u:geheim@h/d?sslmode=verify-full'"), [at("dsn")]);
    assert_eq!(errors_of("driver: postgres, dsn: 'user=u password=geheim'"), [at("dsn")]);
    assert_eq!(errors_of(&format!("{good}, schema: 'a; drop'")), [at("schema")]);
    assert_eq!(errors_of(&format!("{good}, path: a")), [&["path"][..], alone].concat());
    assert_eq!(errors_of("path: a, dsn: x, schema: y, tls: {}"), ["dsn", "schema", "tls"]);
    let config = decoded::<Config>(&format!("{{{good}}}"));
    assert!(!format!("{config:?}").contains("geheim"));
    if !built_in {
        assert!(Store::new("store", &config).is_err_and(|error| error.0.contains("--features postgres")));
    }
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

fn answered(exporter: &Store, question: &str) -> Result<serde_json::Value, api::Wrong> {
    api::answer(exporter.store().store(), question, &|| false)
}

/// Scenario: logs and a span, asked for by every page: whole, page by page, by a word, as counts, names and values. Guarantee: what was sent is
/// answered, with its attributes, and nothing twice.
#[tokio::test]
async fn every_page_answers() {
    let dir = TempDir::new().unwrap();
    let exporter = Store::new("store", &config(&dir, "")).unwrap();
    for text in ["one alpha", "two beta", "three alpha"] {
        assert_eq!(send(&exporter, Payload::new(Signal::Logs, logs(text), 1)).await, Attempt::Sent);
    }
    assert_eq!(send(&exporter, Payload::new(Signal::Traces, spans(), 1)).await, Attempt::Sent);
    let all = answered(&exporter, "/api/logs").unwrap();
    assert_eq!((all["rows"].as_array().unwrap().len(), &all["complete"]), (3, &true.into()));
    assert_eq!((&all["total"], &all["counts"]["none"]), (&3.into(), &3.into()));
    assert_eq!(all["rows"][0]["resource"]["service.name"], "cart");
    let some = answered(&exporter, "/api/logs?q=alpha+service%3Acart&counts=false").unwrap();
    let bodies: Vec<_> = some["rows"].as_array().unwrap().iter().map(|row| row["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["three alpha", "one alpha"]);
    let (mut cursor, mut seen) = (String::new(), vec![]);
    loop {
        let page = answered(&exporter, &format!("/api/logs?limit=1{cursor}")).unwrap();
        let Some(row) = page["rows"].get(0) else { break };
        seen.push(row["body"].as_str().unwrap().to_owned());
        cursor = format!("&cursor={}", page["cursor"].as_str().unwrap());
    }
    assert_eq!(seen, ["three alpha", "two beta", "one alpha"]);
    assert_eq!(answered(&exporter, "/api/spans").unwrap()["rows"][0]["body"], "GET");
    let traces = answered(&exporter, "/api/traces").unwrap();
    let id = traces["traces"][0]["trace_id"].as_str().unwrap();
    assert_eq!((id, &traces["traces"][0]["operation"]), ("07".repeat(16).as_str(), &"GET".into()));
    let trace = answered(&exporter, &format!("/api/traces/{id}")).unwrap();
    assert_eq!(trace["spans"][0]["span_id"], "01".repeat(8));
    let histogram = answered(&exporter, &format!("/api/histogram?start=0&end={}&buckets=7", u64::MAX - 1)).unwrap();
    assert_eq!((histogram["buckets"].as_array().unwrap().len(), &histogram["services"]["cart"]), (7, &3.into()));
    assert_eq!(answered(&exporter, "/api/fields").unwrap()["fields"][0]["text"], "service.name");
    let values = answered(&exporter, "/api/fields?field=service.name").unwrap();
    assert_eq!((&values["values"][0]["text"], &values["values"][0]["records"]), (&"cart".into(), &3.into()));
    let id = all["rows"][1]["id"].as_str().unwrap();
    let around = answered(&exporter, &format!("/api/logs/around?id={id}&before=1&after=5&service=cart")).unwrap();
    assert_eq!((&around["row"], around["before"].as_array().unwrap().len()), (&all["rows"][1], 1));
    assert_eq!(around["after"], json!([all["rows"][0]]));
    let services = answered(&exporter, &format!("/api/services?end={}", 2_000_000_000u64)).unwrap();
    let of = |name: &str| services["services"].as_array().unwrap().iter().find(|s| s["name"] == name).cloned().unwrap();
    assert_eq!((&of("")["spans"], &of("")["rate"]), (&1.into(), &0.5.into()), "{services}");
}

/// Scenario: questions that are wrong in each way. Guarantee: each is told, and an expression with the place.
#[tokio::test]
async fn wrong_questions_are_told() {
    let dir = TempDir::new().unwrap();
    let exporter = Store::new("store", &config(&dir, "")).unwrap();
    for (question, status, at, part) in [
        ("/api/nothing", 404, None, "no such page"),
        ("/api/logs?q=a+severity%3E%3Dloud", 400, Some(12), "severity"),
        ("/api/logs?limit=x", 400, None, "`limit`"),
        ("/api/logs?colour=red", 400, None, "unknown parameter `colour`"),
        ("/api/logs?cursor=x", 400, None, "cursor"),
        ("/api/traces?cursor=x", 400, None, "cursor"),
        ("/api/traces/xyz", 400, None, "32"),
        ("/api/traces/00000000000000000000000000000001", 404, None, "no such trace"),
        ("/api/histogram", 400, None, "`start`"),
        ("/api/fields?signal=metrics", 400, None, "metrics"),
        ("/api/logs/around", 400, None, "`id`"),
        ("/api/logs/around?id=zz", 400, None, "id"),
        ("/api/logs/around?id=0000000000000001000000000000000100000000", 404, None, "no such record"),
        ("/api/services?limit=3", 400, None, "unknown parameter"),
    ] {
        let wrong = answered(&exporter, question).unwrap_err();
        assert!(wrong.status == status && wrong.error.contains(part), "{question}: {wrong:?}");
        assert_eq!(wrong.at.is_some(), at.is_some(), "{question}: {wrong:?}");
    }
}

/// Scenario: the socket of an open store is asked, rightly and wrongly, and after the store was closed. Guarantee: the same answers as
/// within the process; then nobody answers.
#[tokio::test]
async fn a_socket_answers_while_the_store_is_open() {
    let dir = TempDir::new().unwrap();
    let exporter = Store::new("store", &config(&dir, "")).unwrap();
    assert_eq!(send(&exporter, Payload::new(Signal::Logs, logs("hello"), 1)).await, Attempt::Sent);
    let path = exporter.store().path().to_owned();
    let answer = serve::ask(&path, "/api/logs?q=hello").await.unwrap();
    assert_eq!(answer, answered(&exporter, "/api/logs?q=hello").unwrap());
    let wrong = serve::ask(&path, "/api/logs?q=%22").await;
    assert!(matches!(wrong, Err(serve::AskError::Wrong(wrong)) if wrong.at.is_some()));
    drop(exporter);
    assert!(matches!(serve::ask(&path, "/api/logs").await, Err(serve::AskError::Socket(AskError::Nobody))));
}
