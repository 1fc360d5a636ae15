//! What no honest sender sends, against the real binary while honest senders are at work: every bad request gets a
//! clear answer or a closed connection, memory stays, the process lives, everything is counted, and not one honest
//! record is lost.
//!
//! The single cases, with the exact answers, are the receiver's own tests; here is the sum of them.

use crate::harness::probe::large_error;
use crate::harness::{Bywash, Load, Pipeline, Rules, Sink, http};
use bytes::Bytes;
use std::io::Write;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the process may grow by, with a load beside.
const GROWTH: u64 = 96 << 20;

/// A gibibyte of zeros, packed by `pack`.
fn bomb(mut pack: impl Write) {
    let block = vec![0; 1 << 20];
    (0..1024).for_each(|_| pack.write_all(&block).unwrap());
    pack.flush().unwrap();
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let fast = flate2::Compression::fast();
    let mut gzip = flate2::write::GzEncoder::new(vec![], fast);
    bomb(&mut gzip);
    let mut zlib = flate2::write::ZlibEncoder::new(vec![], fast);
    bomb(&mut zlib);
    let mut zstd = zstd::stream::write::Encoder::new(vec![], 1).unwrap();
    bomb(&mut zstd);
    // A snappy block that claims 4 GiB, with nothing behind.
    let snappy = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0xfe];
    vec![
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("zstd", zstd.finish().unwrap()),
        ("snappy", snappy),
    ]
}

fn nested_json(depth: usize) -> Vec<u8> {
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#).into_bytes()
}

/// Each with the statuses that are an answer to it; 0 is a closed connection.
fn bad_http() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let post = |path: &str, headers: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let protobuf = "content-type: application/x-protobuf\r\n";
    let json = "content-type: application/json\r\n";
    let mut all = vec![
        ("a length of 2^63", post("/v1/logs", protobuf, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), &[400][..]),
        ("a group", post("/v1/traces", protobuf, b"\x0b\x0c"), &[400]),
        ("noise", post("/v1/metrics", protobuf, &[0xff; 4096]), &[400]),
        ("JSON nested 10,000 deep", post("/v1/logs", json, &nested_json(10_000)), &[400]),
        ("1e400", post("/v1/metrics", json, br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"asDouble":1e400}]}}]}]}]}"#), &[400]),
        ("garbage behind JSON", post("/v1/logs", json, b"{} x"), &[400]),
        ("an id in base64", post("/v1/traces", json, br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"W47/94gVQoqCP8uTMn+sWg=="}]}]}]}"#), &[400]),
        ("UTF-16", post("/v1/logs", "content-type: application/json; charset=utf-16\r\n", b"\xff\xfe{\0}\0"), &[400, 415]),
        ("an unknown type", post("/v1/logs", "content-type: text/plain\r\n", b"hello"), &[415]),
        ("an unknown encoding", post("/v1/logs", &format!("{protobuf}content-encoding: br\r\n"), b"x"), &[415]),
        ("gzip that is none", post("/v1/logs", &format!("{protobuf}content-encoding: gzip\r\n"), b"not gzip"), &[400]),
        ("a wrong path", post("//v1/logs", protobuf, b""), &[404]),
        ("a path upwards", post("/%2e%2e/v1/logs", protobuf, b""), &[404]),
        ("a wrong method", b"PUT /v1/logs HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec(), &[405]),
        ("10,000 headers", post("/v1/logs", &(0..10_000).map(|i| format!("h{i}: x\r\n")).collect::<String>(), b""), &[431, 400, 0]),
        ("a header of a megabyte", post("/v1/logs", &format!("h: {}\r\n", "x".repeat(1 << 20)), b""), &[431, 400, 0]),
        ("two lengths", b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_vec(), &[400, 0]),
        ("a negative length", b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec(), &[400, 0]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400, 0]),
        ("a body that is announced too large", b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 99999999999\r\n\r\n".to_vec(), &[413]),
    ];
    for (encoding, body) in bombs() {
        let headers = format!("{protobuf}content-encoding: {encoding}\r\n");
        all.push((encoding, post("/v1/logs", &headers, &body), &[413, 400]));
    }
    all
}

/// A gRPC request by hand: its `grpc-status`, or `None` if the stream or the connection was ended.
async fn grpc(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: Bytes) -> Option<u32> {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = ::http::Request::post(format!("http://{to}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (answer, mut send) = client.send_request(request.body(()).unwrap(), false).unwrap();
    // The server may refuse before it has read everything.
    let _ = send.send_data(body, true);
    let status = async {
        let (head, mut body) = answer.await.ok()?.into_parts();
        let of = |headers: &::http::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
        if let Some(status) = of(&head.headers) {
            return Some(status);
        }
        while let Some(data) = body.data().await {
            let _ = body.flow_control().release_capacity(data.ok()?.len());
        }
        of(&body.trailers().await.ok()??)
    };
    let status = tokio::time::timeout(std::time::Duration::from_secs(20), status).await.expect("no answer");
    driver.abort();
    status
}

fn framed(flag: u8, len: u32, body: &[u8]) -> Bytes {
    [&[flag][..], &len.to_be_bytes(), body].concat().into()
}

/// Scenario: the bad-input list over HTTP and gRPC, under load. Guarantee: see the module.
#[tokio::test]
async fn bad_requests_harm_nobody() {
    const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let mut sink = Sink::start(&[]).await;
    let mut bywash = Bywash::start(&Pipeline::new().grpc("a", sink.grpc[0], &[]).yaml()).await;
    let before = bywash.process.rss();
    let mut honest = Load::start(bywash.grpc, &["--duration", "0", "--rate", "500"]);
    sink.until("records", |n| n > 50).await;

    for (what, request, allowed) in bad_http() {
        let status = http::raw(bywash.http, &request).await.map_or(0, |a| a.status);
        assert!(allowed.contains(&status), "{what}: {status}");
    }
    let packed = bombs();
    let of = |encoding: &str| packed.iter().find(|(e, _)| *e == encoding).unwrap().1.clone();
    let large = large_error(5 << 20);
    let cases = [
        ("broken protobuf", LOGS, vec![], framed(0, 3, b"\x0a\x05n"), Some(3)),
        ("larger than the limit", LOGS, vec![], framed(0, large.len() as u32, &large), Some(8)),
        ("a frame of 4 GiB", LOGS, vec![], framed(0, u32::MAX, b"x"), Some(8)),
        (
            "a gzip bomb",
            LOGS,
            vec![("grpc-encoding", "gzip")],
            framed(1, of("gzip").len() as u32, &of("gzip")),
            Some(8),
        ),
        (
            "a zstd bomb",
            LOGS,
            vec![("grpc-encoding", "zstd")],
            framed(1, of("zstd").len() as u32, &of("zstd")),
            Some(8),
        ),
        ("compressed with nothing", LOGS, vec![], framed(1, 1, b"x"), Some(13)),
        ("an unknown encoding", LOGS, vec![("grpc-encoding", "br")], framed(1, 1, b"x"), Some(12)),
        (
            "an unknown method",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Import",
            vec![],
            framed(0, 0, b""),
            Some(12),
        ),
        ("a timeout of ages", LOGS, vec![("grpc-timeout", "99999999H")], framed(0, 0, b""), Some(0)),
    ];
    for (what, path, headers, body, expected) in cases {
        assert_eq!(grpc(bywash.grpc, path, &headers, body).await, expected, "{what}");
    }
    rapid_reset(bywash.grpc).await;
    for address in [bywash.grpc, bywash.http] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&[0; 1024]).await;
        let _ = stream.take(1 << 16).read_to_end(&mut vec![]).await;
    }

    assert!(bywash.process.is_alive());
    let grown = bywash.process.peak_rss().saturating_sub(before);
    assert!(grown < GROWTH, "grew by {} MiB", grown >> 20);
    honest.process.signal("INT");
    let summary = honest.finish().await;
    assert_eq!((summary.refused, summary.partial, summary.failed), (0, 0, 0));
    let metrics = bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    assert!(metrics.sum("otelcol_receiver_requests", &["outcome=\"failure\"", "transport=\"http\""]) >= 8.0);
    assert!(metrics.sum("otelcol_receiver_requests", &["outcome=\"failure\"", "transport=\"grpc\""]) >= 1.0);
    assert!(metrics.sum("bywash_receiver_refused_requests", &["reason=\"too_large\""]) >= 6.0);
    bywash.stop().await;
    let balance = sink.books(&[&honest]).await.balance(Rules::default());
    assert_eq!(balance.distinct, summary.sent);
}

/// Opens streams and cancels them as fast as they can be written, until the server has had enough or ten thousand were.
async fn rapid_reset(to: SocketAddr) {
    let stream = TcpStream::connect(to).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    for _ in 0..10_000 {
        let Ok(mut ready) = client.clone().ready().await else { break };
        let request = ::http::Request::post(format!("http://{to}/x/y")).body(()).unwrap();
        let Ok((_, mut send)) = ready.send_request(request, false) else { break };
        send.send_reset(h2::Reason::CANCEL);
    }
    driver.abort();
}
