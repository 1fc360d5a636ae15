//! Tokens of a real server: when they are asked for, how often, and what becomes of refusals.

use super::*;
use crate::extensions::authenticators::testing::shown;
use ::config::testing::{decoded, problems};
use flow::Origin;
use net::client::testing::raw;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

/// A server of tokens that answers from a list, once it may.
struct Tokens {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    may_answer: Arc<Semaphore>,
    _server: Box<dyn std::any::Any>,
}

fn granted(token: &str, life: u64) -> (u16, String) {
    (200, format!(r#"{{"access_token": "{token}", "token_type": "bearer", "expires_in": {life}}}"#))
}

async fn server(answers: Vec<(u16, String)>) -> Tokens {
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let (requests, may_answer) = (Arc::new(Mutex::new(vec![])), Arc::new(Semaphore::new(1000)));
    let (to, may) = (requests.clone(), may_answer.clone());
    let (address, server) = raw(move |mut tcp, _| {
        let (answers, to, may) = (answers.clone(), to.clone(), may.clone());
        async move {
            let mut request = vec![];
            loop {
                let text = String::from_utf8_lossy(&request).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                        to.lock().push(text);
                        break;
                    }
                }
                let mut part = [0; 1024];
                let n = tcp.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..n]);
            }
            may.acquire().await.unwrap().forget();
            let (status, body) = answers.lock().pop_front().unwrap_or((503, String::new()));
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            tcp.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    })
    .await;
    Tokens { address, requests, may_answer, _server: Box::new(server) }
}

impl Tokens {
    fn client(&self, keys: &str) -> OAuth2 {
        let yaml = format!("{{client_id: 'i d', client_secret: s/1, token_url: 'http://{}/t'{keys}}}", self.address);
        OAuth2::new(&decoded(&yaml)).unwrap()
    }

    fn asked(&self) -> usize {
        self.requests.lock().len()
    }
}

async fn show(client: &OAuth2) -> Result<HeaderMap, Unsignable> {
    shown(client, &Origin::default(), HeaderMap::new()).await
}

async fn token(client: &OAuth2) -> String {
    show(client).await.unwrap()["authorization"].to_str().unwrap().to_owned()
}

/// Scenario: many requests at once, and one more later. Guarantee: one token for all of them, asked for once, as the standard says.
#[tokio::test]
async fn a_token_is_asked_for_once() {
    let server = server(vec![granted("one", 3600)]).await;
    let client = server.client(", scopes: [a, 'b c'], endpoint_params: {audience: 'x&y'}");
    let all = futures_util::future::join_all((0..20).map(|_| token(&client))).await;
    assert!(all.iter().all(|shown| shown == "Bearer one"));
    assert_eq!((token(&client).await.as_str(), server.asked()), ("Bearer one", 1));
    let request = server.requests.lock()[0].clone();
    assert!(request.starts_with("POST /t HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
    // `i+d:s%2F1`.
    assert!(request.contains("authorization: Basic aStkOnMlMkYx\r\n"), "{request}");
    assert!(request.ends_with("grant_type=client_credentials&scope=a+b+c&audience=x%26y"), "{request}");
}

/// Scenario: a server that takes the client's credentials in the body only, asked twice. Guarantee: it is found out, and kept in mind.
#[tokio::test]
async fn credentials_go_into_the_body_if_need_be() {
    let refused = (401, r#"{"error": "invalid_client"}"#.to_owned());
    let server = server(vec![refused, granted("one", 3600), granted("two", 3600)]).await;
    let client = server.client("");
    let first = show(&client).await.unwrap();
    assert!(client.renew(&first).await);
    assert_eq!(token(&client).await, "Bearer two");
    let requests = server.requests.lock().clone();
    assert_eq!(requests.len(), 3);
    for request in &requests[1..] {
        assert!(
            request.ends_with("&client_id=i+d&client_secret=s%2F1") && !request.contains("authorization:"),
            "{request}"
        );
    }
}

/// Scenario: a token near its end while the server is slow; then past its end. Guarantee: the old one is shown until the new one is there,
/// and nobody waits; past its end all wait for the new one.
#[tokio::test]
async fn a_token_is_replaced_before_its_end() {
    let server = server(vec![granted("one", 100), granted("two", 100), granted("three", 100)]).await;
    let client = server.client(", expiry_buffer: 60s");
    assert_eq!(token(&client).await, "Bearer one");
    let ahead = |by: u64| {
        let mut state = client.0.state.lock();
        let token = state.token.take().unwrap();
        let earlier = |at: Option<Instant>| at.and_then(|at| at.checked_sub(Duration::from_secs(by)));
        let (header, renew_at, ends_at) = (token.header.clone(), earlier(token.renew_at), earlier(token.ends_at));
        state.token = Some(Arc::new(Token { header, renew_at, ends_at }));
    };
    // The buffer is longer than half of its life, which counts then.
    ahead(49);
    assert_eq!((token(&client).await.as_str(), server.asked()), ("Bearer one", 1));
    ahead(2);
    server.may_answer.forget_permits(1000);
    assert_eq!(token(&client).await, "Bearer one");
    let fetch = client.0.state.lock().fetch.clone().unwrap();
    server.may_answer.add_permits(10);
    assert!(fetch.await.is_ok());
    assert_eq!(token(&client).await, "Bearer two");
    ahead(91);
    assert_eq!((token(&client).await.as_str(), server.asked()), ("Bearer three", 3));
}

/// Scenario: a backend refuses a token, for many requests at once; then again. Guarantee: one new token for all of them; whoever still
/// shows the first one is told that there is a newer one, without another request.
#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = server(vec![granted("one", 3600), granted("two", 3600), granted("two", 3600)]).await;
    let client = server.client("");
    let first = show(&client).await.unwrap();
    let renewed = futures_util::future::join_all((0..10).map(|_| client.renew(&first))).await;
    assert!(renewed.iter().all(|is_newer| *is_newer));
    assert_eq!((token(&client).await.as_str(), server.asked()), ("Bearer two", 2));
    assert!(client.renew(&first).await && server.asked() == 2);
    // The same token again is nothing newer.
    let second = show(&client).await.unwrap();
    assert!(!client.renew(&second).await && server.asked() == 3);
}

/// Scenario: a server that refuses, fails, grants nothing, or says too much; then grants. Guarantee: each is a failure of the credential that may be
/// tried again, without a secret in it; the next request asks anew.
#[tokio::test]
async fn no_token_is_no_fault_of_the_data() {
    let refused = (403, r#"{"error": "denied", "error_description": "no way"}"#.to_owned());
    let answers = vec![
        refused,
        (500, String::new()),
        (200, "{}".to_owned()),
        (200, format!("{{\"access_token\": \"{}\"", "x".repeat(1 << 20))),
        granted("one", 0),
        granted("two", 0),
    ];
    let server = server(answers).await;
    let client = server.client("");
    for (kind, text) in [
        (Kind::Auth, "HTTP 403 denied no way"),
        (Kind::Unavailable, "HTTP 500"),
        (Kind::Protocol, "no `access_token`"),
        (Kind::Protocol, "no `access_token`"),
    ] {
        let Unsignable::Later(why) = show(&client).await.unwrap_err() else { panic!("not for good") };
        assert!(why.kind == kind && why.text.contains(text) && !why.text.contains("s/1"), "{why}");
    }
    // Without a life it is good until a backend refuses it.
    assert_eq!((token(&client).await, token(&client).await), ("Bearer one".to_owned(), "Bearer one".to_owned()));
}

/// Scenario: whoever waited for a token gives up before the answer. Guarantee: the request goes on, and the next one has the token.
#[tokio::test]
async fn a_request_goes_on_without_whoever_began_it() {
    let server = server(vec![granted("one", 3600)]).await;
    server.may_answer.forget_permits(1000);
    let client = server.client("");
    {
        let mut first = Box::pin(token(&client));
        assert!(futures_util::poll!(&mut first).is_pending());
    }
    server.may_answer.add_permits(1);
    assert_eq!((token(&client).await.as_str(), server.asked()), ("Bearer one", 1));
}

/// Scenario: what is missing, contradictory, or of the grant that is not known. Guarantee: an error or a warning at the key.
#[test]
fn what_cannot_work_is_told() {
    let fine = "client_id: a, client_secret: hunter2, token_url: 'https://a/t'";
    assert_eq!(problems::<Config>(&format!("{{{fine}}}")), []);
    for (keys, key) in [
        ("client_secret: a, token_url: 'http://a'", "client_id"),
        ("client_id: a, token_url: 'http://a'", "client_secret"),
        ("client_id: a, client_secret: b", "token_url"),
        ("client_id: a, client_secret: b, token_url: nowhere", "token_url"),
        ("client_id: a, client_secret_file: /nonexistent, token_url: 'http://a'", "client_secret_file"),
        (&format!("{fine}, grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'"), "grant_type"),
        (&format!("{fine}, iss: a"), "iss"),
        (&format!("{fine}, scopes: [a], endpoint_params: {{scope: b}}"), "endpoint_params.scope"),
        (&format!("{fine}, tls: {{min_version: '9'}}"), "tls.min_version"),
    ] {
        let found = problems::<Config>(&format!("{{{keys}}}"));
        assert!(
            found.iter().any(|(at, _)| at == key) && !format!("{found:?}").contains("hunter2"),
            "{keys}: {found:?}"
        );
    }
}
