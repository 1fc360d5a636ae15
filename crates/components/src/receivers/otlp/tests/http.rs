//! OTLP/HTTP: every status, and what a client can get wrong.

use super::*;
use ::http::header::{self, HeaderMap};
use ::http::{Method, Request, StatusCode};
use flow::Scope;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::compression::{Encoding, compress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const PROTOBUF: &str = "application/x-protobuf";
pub(super) const JSON: &str = "application/json";

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    fn content_type(&self) -> &str {
        self.headers[header::CONTENT_TYPE].to_str().unwrap()
    }

    /// A refusal with a `google.rpc.Status` in this content type.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, content_type: &str) {
        assert_eq!((self.status.as_u16(), self.content_type()), (status, content_type), "{self:?}");
        if content_type == JSON {
            let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
            assert!(body["code"].as_u64().is_some() && body["message"].as_str().is_some_and(|m| !m.is_empty()));
        } else {
            // code, then message.
            assert_eq!((self.body[0], self.body[2]), (0x08, 0x12), "{self:?}");
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) async fn exchange(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    read(client.send_request(request).await.unwrap()).await
}

pub(super) async fn read(response: ::http::Response<hyper::body::Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    Answer { status: head.status, headers: head.headers, body: bytes }
}

pub(super) fn request_to(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

pub(super) async fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    exchange(addr, request_to(path, headers, body)).await
}

/// Bytes as they are, and all that comes back until the server closes.
pub(super) async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    // The server may have closed before everything was written.
    let _ = tcp.write_all(bytes).await;
    let mut out = Vec::new();
    let _ = tcp.read_to_end(&mut out).await;
    String::from_utf8_lossy(&out).into_owned()
}

/// Scenario: a request of each signal, small and large, over HTTP/1.1. Guarantee: 200 with an empty answer in protobuf; the very bytes arrive.
#[tokio::test]
async fn protobuf_arrives_as_it_is() {
    let house = House::new().await;
    for signal in Signal::ALL {
        for (records, size) in [(1, 10), (500, 1000), (3, 1 << 20)] {
            let body = request(signal, records, size);
            let answer = post(house.http, &format!("/v1/{signal}"), &[("content-type", PROTOBUF)], body.clone()).await;
            assert_eq!((answer.status, answer.content_type(), answer.body.len()), (StatusCode::OK, PROTOBUF, 0));
            let taken = house.sink.taken.lock().pop().unwrap();
            assert_eq!((taken.signal, taken.records as usize), (signal, records));
            assert_eq!(taken.body.contiguous(), body);
        }
    }
    house.stop().await;
}

/// Scenario: an empty body. Guarantee: 200 for protobuf.
#[tokio::test]
async fn an_empty_request_is_a_success() {
    let house = House::new().await;
    let answer = post(house.http, "/v1/logs", &[("content-type", PROTOBUF)], "").await;
    assert_eq!(answer.status, StatusCode::OK);
    house.stop().await;
}

/// Scenario: a request in JSON. Guarantee: 200 with `{}` in JSON, and protobuf arrives.
#[tokio::test]
async fn json_is_transcoded() {
    let house = House::new().await;
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"xxxxxxxxxx"}}]}]}]}"#;
    let answer = post(house.http, "/v1/logs", &[("content-type", "application/json; charset=UTF-8")], body).await;
    assert_eq!((answer.status, answer.content_type(), answer.text().as_str()), (StatusCode::OK, JSON, "{}"));
    assert_eq!(house.taken()[0].body.contiguous(), logs(1));
    house.stop().await;
}

/// Scenario: HTTP/2 without TLS, with prior knowledge. Guarantee: the same service, many requests on one connection.
#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let house = House::new().await;
    let io = TokioIo::new(TcpStream::connect(house.http).await.unwrap());
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..10 {
        let request = request_to("http://localhost/v1/logs", &[("content-type", PROTOBUF)], logs(2));
        assert_eq!(read(client.clone().send_request(request).await.unwrap()).await.status, StatusCode::OK);
    }
    assert_eq!(house.taken().len(), 10);
    drop(client);
    house.stop().await;
}

/// Scenario: every encoding the collector takes, and garbage under each name. Guarantee: 200; 400, counted.
#[tokio::test]
async fn encodings_are_taken() {
    let house = House::new().await;
    let body = request(Signal::Logs, 1000, 100);
    for (name, encoding) in [
        ("gzip", Encoding::Gzip),
        ("zlib", Encoding::Zlib),
        ("deflate", Encoding::Zlib),
        ("zstd", Encoding::Zstd),
        ("snappy", Encoding::Snappy),
        ("snappy", Encoding::SnappyFramed),
        ("x-snappy-framed", Encoding::SnappyFramed),
        ("lz4", Encoding::Lz4),
        ("identity", Encoding::Identity),
    ] {
        let packed = compress(encoding, None, &body.clone().into()).unwrap();
        let headers = [("content-type", PROTOBUF), ("content-encoding", name)];
        assert_eq!(post(house.http, "/v1/logs", &headers, packed.clone()).await.status, StatusCode::OK, "{name}");
        assert_eq!(house.sink.taken.lock().pop().unwrap().body.contiguous(), body);
        for bad in [&b"garbage!"[..], &packed[..packed.len() - 5]] {
            post(house.http, "/v1/logs", &headers, Bytes::copy_from_slice(bad)).await.assert_refused(400, PROTOBUF);
        }
    }
    assert_eq!(house.malformed(), 18);
    house.stop().await;
}

/// Scenario: encodings that are unknown, double, nested or switched off. Guarantee: 415, except that nested gzip is simply no protobuf: 400.
#[tokio::test]
async fn other_encodings_are_refused() {
    let mut plan = Plan::default();
    plan.http.compression_algorithms.retain(|a| a != "zstd");
    let house = plan.build().await;
    for name in ["br", "gzip, gzip", "gzip,gzip", "zstd", "*"] {
        let headers = [("content-type", JSON), ("content-encoding", name)];
        post(house.http, "/v1/logs", &headers, "{}").await.assert_refused(415, JSON);
    }
    let double = [("content-type", PROTOBUF), ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    post(house.http, "/v1/logs", &double, "").await.assert_refused(415, PROTOBUF);
    let once = compress(Encoding::Gzip, None, &logs(10).into()).unwrap();
    let twice = compress(Encoding::Gzip, None, &once.into()).unwrap();
    post(house.http, "/v1/logs", &[("content-type", PROTOBUF), ("content-encoding", "gzip")], twice)
        .await
        .assert_refused(400, PROTOBUF);
    house.stop().await;
}

/// Scenario: paths and methods that are not served. Guarantee: 404; 405 with Allow; never a redirect.
#[tokio::test]
async fn what_is_not_served_is_said() {
    let house = Plan { unconnected: vec![Signal::Traces], ..Plan::default() }.build().await;
    for path in [
        "/",
        "//v1/logs",
        "/v1/logs/",
        "/v1/%6cogs",
        "/v1/../v1/logs",
        "/v1/logs/%2e%2e/logs",
        "/V1/logs",
        "/v1/traces",
    ] {
        post(house.http, path, &[("content-type", JSON)], "{}").await.assert_refused(404, JSON);
    }
    // A query is no part of the path, and any Host is as good as another: nothing is decided by it.
    let head = format!(
        "POST /v1/logs?x=y HTTP/1.1\r\nhost: evil.example\r\ncontent-type: {PROTOBUF}\r\nconnection: close\r\n\r\n"
    );
    assert!(raw(house.http, head.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let mut request = request_to("/v1/logs", &[], "");
        *request.method_mut() = method;
        let answer = exchange(house.http, request).await;
        answer.assert_refused(405, PROTOBUF);
        assert_eq!(answer.headers[header::ALLOW], "POST");
    }
    house.stop().await;
}

/// Scenario: content types that are not OTLP's. Guarantee: 415, with a body in protobuf.
#[tokio::test]
async fn other_content_types_are_refused() {
    let house = House::new().await;
    for content_type in
        ["text/plain", "application/json; charset=utf-16", "application/grpc", "", "application/x-www-form-urlencoded"]
    {
        post(house.http, "/v1/logs", &[("content-type", content_type)], "{}").await.assert_refused(415, PROTOBUF);
    }
    post(house.http, "/v1/logs", &[], "{}").await.assert_refused(415, PROTOBUF);
    assert_eq!(house.malformed(), 6);
    house.stop().await;
}

/// Scenario: bodies beyond the limit: announced, chunked, and only after decompression. Guarantee: 413; the limit itself is allowed.
#[tokio::test]
async fn oversized_bodies_are_refused() {
    let mut plan = Plan::default();
    plan.http.max_request_body_size = 100_000;
    let house = plan.build().await;
    let headers = [("content-type", PROTOBUF)];
    // The announcement alone is enough: no body follows.
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100001\r\nconnection: close\r\n\r\n";
    assert!(raw(house.http, head.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    let mut chunked = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..30 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.extend_from_slice(&[b'x'; 0x1000]);
        chunked.extend_from_slice(b"\r\n");
    }
    assert!(raw(house.http, &chunked).await.starts_with("HTTP/1.1 413 "));
    let packed = compress(Encoding::Gzip, None, &request(Signal::Logs, 1, 100_001).into()).unwrap();
    post(house.http, "/v1/logs", &[("content-type", PROTOBUF), ("content-encoding", "gzip")], packed)
        .await
        .assert_refused(413, PROTOBUF);
    assert_eq!(house.refused(Kind::TooLarge), 3);
    let most = request(Signal::Logs, 1, 99_975);
    assert!((99_990..=100_000).contains(&most.len()));
    assert_eq!(post(house.http, "/v1/logs", &headers, most).await.status, StatusCode::OK);
    house.stop().await;
}

/// Scenario: bombs of every encoding: 1 MB or less that would become gigabytes. Guarantee: 413, nothing is passed on, memory stays, and so does the process.
#[tokio::test]
async fn bombs_are_refused() {
    let house = Plan {
        budget: BudgetConfig { bytes: 64 << 20, request_cost: 0, ..BudgetConfig::default() },
        ..Plan::default()
    }
    .build()
    .await;
    let gigabyte = |name: &str| -> Bytes {
        // The same block over and over: what one member or frame inflates to, and then the next.
        let encoding = Encoding::parse(name).unwrap();
        let block = compress(encoding, None, &vec![0; 64 << 20].into()).unwrap();
        match name {
            "gzip" | "zstd" => block.repeat(16).into(),
            _ => block,
        }
    };
    for name in ["gzip", "zlib", "zstd", "snappy", "x-snappy-framed", "lz4"] {
        let bomb = gigabyte(name);
        let before = peak_rss();
        let answer =
            post(house.http, "/v1/logs", &[("content-type", PROTOBUF), ("content-encoding", name)], bomb).await;
        answer.assert_refused(413, PROTOBUF);
        assert_memory_stays(before);
    }
    let preamble = Bytes::from_static(b"\xff\xff\xff\xff\x0f\x00a");
    post(house.http, "/v1/logs", &[("content-type", PROTOBUF), ("content-encoding", "snappy")], preamble)
        .await
        .assert_refused(413, PROTOBUF);
    assert!(house.taken().is_empty());
    house.stop().await;
}

/// Scenario: the budget is full; then a body that does not fit. Guarantee: 429 with Retry-After and RetryInfo, before the body is asked for; counted.
#[tokio::test]
async fn overload_is_answered_at_the_door() {
    let house =
        Plan { budget: BudgetConfig { bytes: 100_000, request_cost: 0, ..BudgetConfig::default() }, ..Plan::default() }
            .build()
            .await;
    let mut permit = house.budget.open(None).unwrap();
    permit.grow(60_000).unwrap();
    let answer = post(house.http, "/v1/logs", &[("content-type", PROTOBUF)], request(Signal::Logs, 1, 50_000)).await;
    answer.assert_refused(429, PROTOBUF);
    // Connections have a quarter of it.
    permit.grow(14_000).unwrap();
    // The client waits for permission to send its body, and never gets it.
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    let answer = raw(house.http, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    let after: u64 = lower.split("retry-after: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert!(after >= 1 && lower.contains("retryinfo") && lower.contains("content-type: application/json"));
    assert_eq!(house.refused(Kind::HardLimit), 2);
    drop(permit);
    house.stop().await;
}

/// Scenario: overload where 503 is configured. Guarantee: 503 with Retry-After.
#[tokio::test]
async fn the_status_of_overload_is_configurable() {
    let mut plan =
        Plan { budget: BudgetConfig { bytes: 10, request_cost: 0, ..BudgetConfig::default() }, ..Plan::default() };
    plan.http.overload_status = 503;
    let house = plan.build().await;
    let mut permit = house.budget.open(None).unwrap();
    permit.grow(10).unwrap();
    let answer = post(house.http, "/v1/logs", &[("content-type", JSON)], "{}").await;
    answer.assert_refused(503, JSON);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    drop(permit);
    house.stop().await;
}

/// Scenario: a client that asks before it sends. Guarantee: 100 once admitted, then 200.
#[tokio::test]
async fn permission_to_send_comes_after_admission() {
    let house = House::new().await;
    let mut tcp = TcpStream::connect(house.http).await.unwrap();
    let body = logs(1);
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    tcp.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    tcp.write_all(&body).await.unwrap();
    let mut rest = String::new();
    tcp.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK"), "{rest}");
    house.stop().await;
}

/// Scenario: the destination refuses the data, and is down. Guarantee: a partial success in either encoding; 503 with Retry-After.
#[tokio::test]
async fn the_fate_downstream_is_answered() {
    let house = House::new().await;
    house.set(Mode::Answer(Attempt::Reject { why: why(Kind::BadData) }));
    let answer = post(house.http, "/v1/traces", &[("content-type", PROTOBUF)], request(Signal::Traces, 3, 1)).await;
    assert_eq!((answer.status, &answer.body[2..4]), (StatusCode::OK, &[0x08, 3][..]));
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x"}]}]}]}"#;
    let answer = post(house.http, "/v1/traces", &[("content-type", JSON)], span).await;
    assert_eq!(answer.text(), r#"{"partialSuccess":{"errorMessage":"bad_data: said the sink","rejectedSpans":"1"}}"#);
    house.set(Mode::Answer(Attempt::Retry {
        after: Some(Duration::from_millis(2500)),
        why: why(Kind::Unavailable),
        scope: Scope::Target,
    }));
    let answer = post(house.http, "/v1/traces", &[("content-type", JSON)], span).await;
    answer.assert_refused(503, JSON);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    house.stop().await;
}

/// Scenario: credentials are asked for. Guarantee: 401 with a challenge, in the request's content type; the right ones open.
#[tokio::test]
async fn credentials_are_asked_for() {
    let id: ComponentId = "bearertokenauth/in".parse().unwrap();
    let config = net::auth::BearerConfig { token: "s3cret".to_owned().into(), ..Default::default() };
    let auth = Authenticator::Bearer(Arc::new(net::auth::Bearer::new(&config).unwrap()));
    let mut plan = Plan { authenticators: HashMap::from([(id.clone(), auth)]), ..Plan::default() };
    plan.http.auth = Some(AuthRef { authenticator: id, request_params: vec![] });
    let house = plan.build().await;
    for wrong in ["Bearer other", "Basic s3cret", "Bearer", ""] {
        let answer = post(house.http, "/v1/logs", &[("content-type", JSON), ("authorization", wrong)], "{}").await;
        answer.assert_refused(401, JSON);
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
    }
    assert_eq!(house.refused(Kind::Auth), 4);
    let answer =
        post(house.http, "/v1/logs", &[("content-type", JSON), ("authorization", "Bearer s3cret")], "{}").await;
    assert_eq!(answer.status, StatusCode::OK);
    house.stop().await;
}

/// Scenario: browsers of an allowed and of another origin. Guarantee: the preflight and the answer carry the headers for the first only; configured
/// headers are on every answer.
#[tokio::test]
async fn browsers_of_allowed_origins_may_send() {
    let mut plan = Plan::default();
    plan.http.cors =
        Some(net::server::keys::Cors { allowed_origins: vec!["https://a.example".into()], ..Default::default() });
    plan.http.response_headers.insert("x-served-by".into(), "bywash".to_owned().into());
    let house = plan.build().await;
    for (origin, allowed) in [("https://a.example", true), ("https://b.example", false)] {
        let mut preflight =
            request_to("/v1/logs", &[("origin", origin), ("access-control-request-method", "POST")], "");
        *preflight.method_mut() = Method::OPTIONS;
        let answer = exchange(house.http, preflight).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), allowed);
        let answer = post(house.http, "/v1/logs", &[("content-type", JSON), ("origin", origin)], "{}").await;
        assert_eq!(answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), allowed);
        assert_eq!(answer.headers["x-served-by"], "bywash");
    }
    house.stop().await;
}

/// Scenario: lengths that lie: two that differ, negative, with chunks as well, missing, longer than the body that comes, shorter. Guarantee: 400 or a closed
/// connection, and nothing is passed on but what a correct reading holds.
#[tokio::test]
async fn lying_lengths_are_refused() {
    let house = House::new().await;
    let send = async |headers: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\nconnection: close\r\n{headers}\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let mut tcp = TcpStream::connect(house.http).await.unwrap();
        tcp.write_all(&bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut out = Vec::new();
        let _ = tcp.read_to_end(&mut out).await;
        String::from_utf8_lossy(&out).into_owned()
    };
    let body = logs(1);
    for headers in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 5 5\r\n",
        "transfer-encoding: gzip\r\n",
    ] {
        let answer = send(headers, &body).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{headers}: {answer}");
    }
    // Longer than what comes before the client is gone.
    let answer = send("content-length: 1000\r\n", &body).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{answer}");
    assert!(house.taken().is_empty());
    // Shorter: the rest is no part of the request, whose first bytes are broken protobuf.
    assert!(send("content-length: 3\r\n", &body).await.starts_with("HTTP/1.1 400 "));
    // Absent: an empty request.
    assert!(send("", b"").await.starts_with("HTTP/1.1 200 "));
    // Length and chunks: either refused, or read as chunks; never as the length says.
    let answer = send("content-length: 3\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(house.taken().is_empty());
    house.settled().await;
    house.stop().await;
}

/// Scenario: a chunked body that is broken, and one that ends half-way. Guarantee: 400 or a closed connection.
#[tokio::test]
async fn broken_chunks_are_refused() {
    let house = House::new().await;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    for body in ["zz\r\n", "ffffffffffffffffff\r\nx", "5\r\nabcdefgh\r\n0\r\n\r\n"] {
        let answer = raw(house.http, format!("{head}{body}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{body}: {answer}");
    }
    assert!(house.taken().is_empty());
    house.settled().await;
    house.stop().await;
}

/// Scenario: a refusal while the client still writes a large body. Guarantee: the client can read the answer: the connection is not reset under it.
#[tokio::test]
async fn an_early_answer_reaches_a_writing_client() {
    let house = House::new().await;
    let mut tcp = TcpStream::connect(house.http).await.unwrap();
    let head =
        format!("POST /v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 8000000\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..1000 {
        tcp.write_all(&[0; 8000]).await.unwrap();
    }
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    house.stop().await;
}

/// Scenario: an answer, and then the next request on the same connection, also after a refusal whose body was small. Guarantee: the connection lives on.
#[tokio::test]
async fn connections_are_kept() {
    let house = House::new().await;
    let io = TokioIo::new(TcpStream::connect(house.http).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for (path, status) in [("/v1/logs", 200), ("/nothing", 404), ("/v1/logs", 200)] {
        client.ready().await.unwrap();
        let answer =
            read(client.send_request(request_to(path, &[("content-type", PROTOBUF)], logs(1))).await.unwrap()).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    assert_eq!(house.stats[1].1.accepted.get(), 1);
    house.stop().await;
}
