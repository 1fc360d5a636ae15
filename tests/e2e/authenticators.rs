//! What exporters show to say who sends: to real servers that look at it, and with data of several senders on its way.

use crate::harness::backend::Backend;
use crate::harness::{Bywash, Pipeline, eventually, http};
use ::http::{HeaderMap, HeaderName};
use config::Secret;
use net::client::sigv4;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

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
    eventually("a halt", async || bywash.process.stderr.json().iter().any(halted).then_some(())).await;
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

/// A server that grants tokens, `token-1`, `token-2` and so on, of this life in seconds, and remembers when.
async fn tokens(life: u64) -> (Backend, Arc<Mutex<Vec<Instant>>>) {
    let granted = Arc::new(Mutex::new(vec![]));
    let to = granted.clone();
    let server = Backend::start(move |seen| {
        // `bywash:hunter2`.
        let is_fine = seen.header("authorization") == "Basic Ynl3YXNoOmh1bnRlcjI="
            && seen.path == "/oauth/token"
            && seen.holds("grant_type=client_credentials&scope=write");
        if !is_fine {
            return (401, json!({"error": "invalid_client"}).to_string());
        }
        to.lock().push(Instant::now());
        let token = format!("token-{}", to.lock().len());
        (200, json!({"access_token": token, "token_type": "bearer", "expires_in": life}).to_string())
    })
    .await;
    (server, granted)
}

fn oauth2(tokens: &Backend) -> String {
    let url = format!("http://{}/oauth/token", tokens.address);
    format!("{{client_id: bywash, client_secret: hunter2, token_url: '{url}', scopes: [write]}}")
}

/// Scenario: tokens that live for four seconds, of an extension that three exporters share, while data flows until five were granted. Guarantee: each
/// is replaced before its end: no backend ever sees one that has expired, and no more are asked for than needed.
#[tokio::test]
async fn tokens_are_replaced_before_their_end() {
    let (tokens, granted) = tokens(4).await;
    let times = granted.clone();
    let backend = Backend::start(move |seen| {
        let number = seen.header("authorization").strip_prefix("Bearer token-").and_then(|n| n.parse::<usize>().ok());
        let granted = number.and_then(|number| times.lock().get(number - 1).copied());
        (if granted.is_some_and(|at| at.elapsed().as_secs() < 4) { 200 } else { 401 }, "{}".to_owned())
    })
    .await;
    let key = "auth: {authenticator: oauth2client}";
    let pipeline = Pipeline::new().http("a", backend.address, &[key, RETRY]).http("b", backend.address, &[key, RETRY]);
    let bywash = Bywash::start(&with(&pipeline, &[("oauth2client", &oauth2(&tokens))])).await;
    let mut sent = 0;
    eventually("five tokens", async || {
        send(&bywash, "x", &[]).await;
        sent += 1;
        (granted.lock().len() >= 5).then_some(())
    })
    .await;
    bywash.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == 2 * sent).await;
    assert!(backend.seen().iter().all(|seen| seen.status == 200), "an expired token was shown");
    let granted = granted.lock().clone();
    assert!(granted.windows(2).all(|two| two[1].duration_since(two[0]).as_millis() >= 1500), "too many tokens");
    bywash.stop().await;
}

/// Scenario: a backend revokes a token; then the server grants none for a while, and the backend has revoked the second one too. Guarantee: the
/// first time the request is sent again with a new token at once; the second time the credential is halted, everything waits, and
/// arrives once there is a token; neither secret nor token is logged.
#[tokio::test]
async fn a_revoked_token_is_replaced() {
    let (grants, is_up) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(true)));
    let (number, up) = (grants.clone(), is_up.clone());
    let tokens = Backend::start(move |_| {
        if !*up.lock() {
            return (503, String::new());
        }
        *number.lock() += 1;
        (200, json!({"access_token": format!("token-{}", number.lock()), "expires_in": 3600}).to_string())
    })
    .await;
    let wanted = Arc::new(Mutex::new("Bearer token-1".to_owned()));
    let backend = Backend::guarded(wanted.clone()).await;
    let pipeline = Pipeline::new().http("a", backend.address, &["auth: {authenticator: oauth2client}", RETRY]);
    let bywash = Bywash::start(&with(&pipeline, &[("oauth2client", &oauth2(&tokens))])).await;
    send(&bywash, "first", &[]).await;
    backend.took(1).await;
    *wanted.lock() = "Bearer token-2".to_owned();
    send(&bywash, "second", &[]).await;
    assert!(backend.took(2).await[1].holds("second"));
    assert_eq!(backend.seen().iter().map(|seen| seen.status).collect::<Vec<_>>(), [200, 401, 200]);
    (*wanted.lock(), *is_up.lock()) = ("Bearer token-3".to_owned(), false);
    send(&bywash, "third", &[]).await;
    let halted = |line: &serde_json::Value| line["scope"] == "credential" && line["name"] == "oauth2client";
    eventually("a halt", async || bywash.process.stderr.json().iter().any(halted).then_some(())).await;
    *is_up.lock() = true;
    assert!(backend.took(3).await[2].holds("third"));
    assert_eq!(*grants.lock(), 3);
    assert!(!bywash.process.stderr.all().iter().any(|line| line.contains("hunter2") || line.contains("token-")));
    bywash.stop().await;
}

/// Scenario: requests are signed for Amazon with keys of the environment. Guarantee: what arrived is what was signed: the signature can be made
/// again of the headers and the body that the server got, and of nothing else.
#[tokio::test]
async fn what_arrives_is_what_was_signed() {
    let backend = Backend::start(|_| (200, "{}".to_owned())).await;
    let pipeline =
        Pipeline::new().http("a", backend.address, &["auth: {authenticator: sigv4auth}", "compression: gzip"]);
    let dir = TempDir::new().unwrap();
    let yaml = with(&pipeline, &[("sigv4auth", "{region: eu-west-1, service: aps}")]);
    std::fs::write(dir.path().join("config.yaml"), yaml).unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "session")];
    let bywash = Bywash::start_with(dir, &keys).await;
    send(&bywash, "signed", &[]).await;
    let seen = backend.took(1).await.remove(0);
    let (scope, signature) = seen.header("authorization").split_once(", SignedHeaders=").unwrap();
    let date = seen.header("x-amz-date");
    assert_eq!(scope, format!("AWS4-HMAC-SHA256 Credential=AKID/{}/eu-west-1/aps/aws4_request", &date[..8]));
    let names = signature.split_once(", Signature=").unwrap().0;
    assert_eq!(names, "content-encoding;content-type;host;x-amz-date;x-amz-security-token");
    let signed = names.split(';').map(|name| (HeaderName::try_from(name).unwrap(), seen.header(name).parse().unwrap()));
    let (headers, uri) =
        (HeaderMap::from_iter(signed), format!("http://{}{}", backend.address, seen.path).parse().unwrap());
    let hash = sigv4::hash([&seen.body[..]].into_iter());
    let request = sigv4::Request { method: "POST", uri: &uri, headers: &headers, body_hash: &hash };
    let secret = Secret::new("hunter2");
    let signer = sigv4::Signer { access_key: "AKID", secret_key: &secret, region: "eu-west-1", service: "aps" };
    assert_eq!(signer.authorization(&request, epoch(date)), seen.header("authorization"));
    bywash.stop().await;
}

/// The time since the epoch of a date of Amazon's, such as `20150830T123600Z`; looked for within a day.
fn epoch(date: &str) -> Duration {
    let now = flow::clock::since_epoch().as_secs();
    let seconds = (now - 3600..=now + 3600).find(|seconds| sigv4::date(Duration::from_secs(*seconds)) == date);
    Duration::from_secs(seconds.expect("it was signed just now"))
}

/// Scenario: attributes and resources take a header, the sender's address and its user, of a receiver that checks passwords. Guarantee: the
/// records say who sent them.
#[tokio::test]
async fn records_say_who_sent_them() {
    let backend = Backend::start(|_| (200, "{}".to_owned())).await;
    let pipeline = Pipeline::new().http("a", backend.address, &["encoding: json", RETRY]);
    let yaml = with(&pipeline, &[("basicauth/in", "{htpasswd: {inline: 'ann:secret'}}")])
        .replace("include_metadata: true}", "include_metadata: true, auth: {authenticator: basicauth/in}}")
        .replace("receivers: [otlp], ", "receivers: [otlp], processors: [resource, attributes], ")
        + "processors:\n  \
           resource: {attributes: [{key: team, action: upsert, from_context: metadata.x-team}]}\n  \
           attributes:\n    actions:\n      \
           - {key: from, action: insert, from_context: client.address}\n      \
           - {key: user, action: insert, from_context: auth.username}\n      \
           - {key: zone, action: insert, from_context: X-Zone, default_value: none}\n";
    let bywash = Bywash::start(&yaml).await;
    // `ann:secret`.
    send(&bywash, "x", &[("authorization", "Basic YW5uOnNlY3JldA=="), ("X-Team", "red"), ("X-Team", "blue")]).await;
    let seen = backend.took(1).await.remove(0);
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    let entry = &body["resourceLogs"][0];
    let value = |list: &serde_json::Value, key: &str| {
        let pair = list.as_array().unwrap().iter().find(|pair| pair["key"] == key);
        pair.unwrap()["value"]["stringValue"].as_str().unwrap().to_owned()
    };
    assert_eq!(value(&entry["resource"]["attributes"], "team"), "red;blue");
    let record = &entry["scopeLogs"][0]["logRecords"][0]["attributes"];
    for (key, expected) in [("from", "127.0.0.1"), ("user", "ann"), ("zone", "none")] {
        assert_eq!(value(record, key), expected);
    }
    bywash.stop().await;
}
