//! What exporters show to say who sends: to real servers that look at it, and with data of several senders on its way.

use crate::harness::backend::Backend;
use crate::harness::{Bywash, Pipeline, http};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;

const RETRY: &str = "retry_on_failure: {initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s}";

/// A log record with this text, sent with these headers.
async fn send(bywash: &Bywash, text: &str, headers: &[(&str, &str)]) {
    let record = json!({"body": {"stringValue": text}, "timeUnixNano": "1"});
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string();
    let headers: Vec<_> = [("content-type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
    let answer = http::request(bywash.http, "POST", "/v1/logs", &headers, body.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The configuration of a pipeline, with these extensions, each a line of YAML, and with the headers of senders.
fn with(pipeline: &Pipeline, extensions: &[(&str, &str)]) -> String {
    let mut yaml = pipeline
        .yaml()
        .replace("http: {endpoint: 127.0.0.1:0}", "http: {endpoint: 127.0.0.1:0, include_metadata: true}");
    for (name, keys) in extensions {
        yaml = yaml.replacen("extensions:\n", &format!("extensions:\n  {name}: {keys}\n"), 1);
        yaml = yaml.replacen("extensions: [", &format!("extensions: [{name}, "), 1);
    }
    yaml
}

/// Scenario: the token of an exporter is in a file; file and backend change to another one while data flows. Guarantee: the backend refuses
/// the old token once, the new one is read at once and the same request is sent again with it; nothing is lost, and no token is logged.
#[tokio::test]
async fn a_token_in_a_file_is_rotated() {
    let wanted = Arc::new(Mutex::new("Bearer hunter-one".to_owned()));
    let backend = Backend::guarded(wanted.clone()).await;
    let dir = TempDir::new().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "hunter-one\n").unwrap();
    let pipeline = Pipeline::new().http("a", backend.address, &["auth: {authenticator: bearertokenauth}", RETRY]);
    let yaml = with(&pipeline, &[("bearertokenauth", &format!("{{filename: {}}}", token.display()))]);
    let bywash = Bywash::start(&yaml).await;
    send(&bywash, "first", &[]).await;
    assert!(backend.took(1).await[0].holds("first"));
    std::fs::write(&token, "hunter-two-two\n").unwrap();
    *wanted.lock() = "Bearer hunter-two-two".to_owned();
    send(&bywash, "second", &[]).await;
    assert!(backend.took(2).await[1].holds("second"));
    let statuses: Vec<u16> = backend.seen().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [200, 401, 200]);
    let metrics = bywash.settled().await;
    assert_eq!(metrics.records("otelcol_exporter_sent", &[]), 2);
    assert!(!bywash.process.stderr.all().iter().any(|line| line.contains("hunter")));
    bywash.stop().await;
}

/// Scenario: a backend that refuses the credential, for two exporters' worth of requests, and then takes it. Guarantee: the credential is
/// halted by its name, not the target; everything arrives once it passes.
#[tokio::test]
async fn a_refused_credential_is_halted_by_name() {
    let wanted = Arc::new(Mutex::new("nothing".to_owned()));
    let backend = Backend::guarded(wanted.clone()).await;
    let pipeline = Pipeline::new().http("a", backend.address, &["auth: {authenticator: basicauth/to}", RETRY]);
    let yaml = with(&pipeline, &[("basicauth/to", "{client_auth: {username: u, password: p}}")]);
    let bywash = Bywash::start(&yaml).await;
    send(&bywash, "kept", &[]).await;
    let halted = |line: &serde_json::Value| line["scope"] == "credential" && line["name"] == "basicauth/to";
    crate::harness::eventually("a halt", async || bywash.process.stderr.json().iter().any(halted).then_some(())).await;
    *wanted.lock() = "Basic dTpw".to_owned();
    assert!(backend.took(1).await[0].holds("kept"));
    bywash.stop().await;
}

/// The requests of two teams and of nobody, one after the other.
async fn send_of_teams(bywash: &Bywash, rounds: usize) {
    for round in 0..rounds {
        send(bywash, &format!("red-{round}."), &[("X-Team", "red")]).await;
        send(bywash, &format!("blue-{round}."), &[("X-Team", "blue")]).await;
        send(bywash, &format!("grey-{round}."), &[]).await;
    }
}

/// Each request holds records of the team in its header only, and every record arrived.
fn assert_apart(backend: &Backend, rounds: usize) {
    let taken = backend.taken();
    for seen in &taken {
        let team = seen.header("x-scope-orgid");
        for other in ["red", "blue", "grey"] {
            assert_eq!(seen.holds(&format!("{other}-")), other == team, "{team}");
        }
    }
    for round in 0..rounds {
        for team in ["red", "blue", "grey"] {
            let of = format!("{team}-{round}.");
            assert_eq!(taken.iter().filter(|seen| seen.holds(&of)).count(), 1, "{of}");
        }
    }
}

const TEAMS: &str = "{headers: [{key: X-Scope-OrgID, from_context: X-Team, default_value: grey}]}";

/// Scenario: requests of two teams and of nobody, by turns, into large batches. Guarantee: they are batched, each batch is of one team and
/// says which, and whoever names none goes by the default.
#[tokio::test]
async fn teams_stay_apart_in_batches() {
    let backend = Backend::start(|_| (200, "{}".to_owned())).await;
    let keys =
        ["auth: {authenticator: headers_setter}", "sending_queue: {batch: {min_size: 1000, flush_timeout: 1s}}", RETRY];
    let bywash =
        Bywash::start(&with(&Pipeline::new().http("a", backend.address, &keys), &[("headers_setter", TEAMS)])).await;
    send_of_teams(&bywash, 10).await;
    bywash.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == 30).await;
    assert_apart(&backend, 10);
    assert!(backend.taken().len() < 15, "{} requests are no batches", backend.taken().len());
    bywash.stop().await;
}

/// Scenario: the same with the queue on disk and a backend that is down; the process is killed, and the backend comes back after the next
/// start. Guarantee: every record arrives with the header of its team: what divides batches is on disk too.
#[tokio::test]
async fn teams_stay_apart_on_disk() {
    let is_up = Arc::new(Mutex::new(false));
    let backend = {
        let is_up = is_up.clone();
        Backend::start(move |_| (if *is_up.lock() { 200 } else { 503 }, "{}".to_owned())).await
    };
    let keys = [
        "auth: {authenticator: headers_setter}",
        "sending_queue: {storage: file_storage, batch: {min_size: 1000, flush_timeout: 200ms}}",
        RETRY,
    ];
    let pipeline =
        Pipeline::new().storage("directory: queue, create_directory: true").http("a", backend.address, &keys);
    let bywash = Bywash::start(&with(&pipeline, &[("headers_setter", TEAMS)])).await;
    send_of_teams(&bywash, 5).await;
    let dir = bywash.kill().await;
    *is_up.lock() = true;
    let bywash = Bywash::start_in(dir).await;
    bywash.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == 15).await;
    assert_apart(&backend, 5);
    bywash.stop().await;
}
