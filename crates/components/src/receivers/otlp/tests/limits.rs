//! Clients that are slow, many, or speak something else: nothing they do holds more than its share, and the next client is served.

use super::grpc::{Client, LOGS, finish, framed, head};
use super::http::{PROTOBUF, post, raw};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Reads until the server closes, and gives what came and how long it took, in seconds.
async fn until_closed(mut tcp: TcpStream) -> (Vec<u8>, u64) {
    let (start, mut out) = (Instant::now(), Vec::new());
    let _ = tcp.read_to_end(&mut out).await;
    (out, start.elapsed().as_secs())
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// The header block of a gRPC export, without compression of any kind.
fn header_block() -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", LOGS),
        (":authority", "x"),
        ("content-type", "application/grpc"),
    ];
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend_from_slice(&[0, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
        assert!(value.len() < 127);
        out.push(value.len() as u8);
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// Both listeners still serve.
async fn assert_serves(house: &House) {
    Client::connect(house.grpc).await.export(LOGS, &logs(1)).await.assert_ok();
    assert_eq!(post(house.http, "/v1/logs", &[("content-type", PROTOBUF)], logs(1)).await.status.as_u16(), 200);
}

/// Scenario: connections that say nothing, or only half a preface. Guarantee: closed after 10 s (gRPC) and 60 s (HTTP).
#[tokio::test(start_paused = true)]
async fn silent_connections_are_closed() {
    let house = House::new().await;
    for (addr, seconds) in [(house.grpc, 10), (house.http, 60)] {
        for first in [&b""[..], &PREFACE[..2]] {
            let mut tcp = TcpStream::connect(addr).await.unwrap();
            tcp.write_all(first).await.unwrap();
            let (_, after) = until_closed(tcp).await;
            assert_eq!(after, seconds, "{first:?}");
        }
    }
    house.stop().await;
}

/// Scenario: slow-loris: headers that never end. Guarantee: closed after `read_header_timeout`, counted from their beginning however they drip.
#[tokio::test(start_paused = true)]
async fn endless_headers_are_cut_off() {
    let house = House::new().await;
    let mut tcp = TcpStream::connect(house.http).await.unwrap();
    tcp.write_all(b"POST /v1/logs HTTP/1.1\r\n").await.unwrap();
    let start = Instant::now();
    let mut buf = [0; 100];
    loop {
        tokio::select! {
            _ = tcp.read(&mut buf) => break,
            () = tokio::time::sleep(Duration::from_secs(7)) => {
                let _ = tcp.write_all(b"x: y\r\n").await;
            }
        }
    }
    assert!(start.elapsed().as_secs() <= 67, "{:?}", start.elapsed());
    house.stop().await;
}

/// Scenario: slow-loris: a body that stops, and one that drips. Guarantee: 408 after 30 s without a byte; after `read_timeout` however it drips. What
/// was held is given back.
#[tokio::test(start_paused = true)]
async fn stalled_bodies_are_given_up() {
    let mut plan = Plan::default();
    plan.http.read_timeout = ::config::GoDuration(Duration::from_secs(100));
    let house = plan.build().await;
    let head = format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 1000\r\n\r\n");
    for (drips, seconds) in [(false, 30..=30), (true, 100..=103)] {
        let mut tcp = TcpStream::connect(house.http).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut first = [0; 12];
        loop {
            tokio::select! {
                n = tcp.read_exact(&mut first) => { n.unwrap(); break }
                () = tokio::time::sleep(Duration::from_secs(10)) => if drips { tcp.write_all(b"x").await.unwrap() },
            }
        }
        assert_eq!(&first, b"HTTP/1.1 408");
        assert!(seconds.contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        drop(tcp);
        house.settled().await;
    }
    house.stop().await;
}

/// Scenario: connections without requests. Guarantee: HTTP/1 and HTTP/2 connections are closed after being idle.
#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed() {
    let mut plan = Plan::default();
    plan.http.keepalive.idle_timeout = ::config::GoDuration(Duration::from_secs(20));
    let house = plan.build().await;
    let request = format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 0\r\n\r\n");
    let http2 = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    for bytes in [request.into_bytes(), http2] {
        let mut tcp = TcpStream::connect(house.http).await.unwrap();
        tcp.write_all(&bytes).await.unwrap();
        let (out, after) = until_closed(tcp).await;
        assert!(!out.is_empty() && (20..=62).contains(&after), "{after}");
    }
    house.stop().await;
}

/// Scenario: gRPC connections with `max_connection_idle`, `max_connection_age` and a ping that is not answered. Guarantee: each ends at its time.
#[tokio::test(start_paused = true)]
async fn grpc_connections_end_at_their_time() {
    let seconds = |s| ::config::GoDuration(Duration::from_secs(s));
    let parameters = |idle, age, time| config::ServerParameters {
        max_connection_idle: seconds(idle),
        max_connection_age: seconds(age),
        max_connection_age_grace: seconds(5),
        time: seconds(time),
        timeout: seconds(3),
    };
    for (parameters, answers, expected) in [
        (parameters(50, 0, 0), true, 50..=51),
        (parameters(0, 100, 0), true, 90..=111),
        (parameters(0, 0, 30), false, 33..=33),
    ] {
        let mut plan = Plan::default();
        plan.grpc.keepalive = Some(config::Keepalive { server_parameters: Some(parameters), ..Default::default() });
        let house = plan.build().await;
        let start = Instant::now();
        if answers {
            let client = Client::connect(house.grpc).await;
            client.export(LOGS, &logs(1)).await.assert_ok();
            while house.stats[0].1.open.get() > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } else {
            let mut tcp = TcpStream::connect(house.grpc).await.unwrap();
            tcp.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await.unwrap();
            until_closed(tcp).await;
        }
        assert!(expected.contains(&start.elapsed().as_secs()), "{:?} not in {expected:?}", start.elapsed());
        house.stop().await;
    }
}

/// Scenario: one connection more than is allowed. Guarantee: it is closed at once and counted; when another has ended, the next is served.
#[tokio::test]
async fn too_many_connections_are_refused() {
    let mut plan = Plan::default();
    plan.grpc.max_connections = 1;
    let house = plan.build().await;
    let first = Client::connect(house.grpc).await;
    first.export(LOGS, &logs(1)).await.assert_ok();
    let (out, _) = until_closed(TcpStream::connect(house.grpc).await.unwrap()).await;
    assert!(out.is_empty());
    assert_eq!(house.stats[0].1.refused.get(), 1);
    drop(first);
    while house.stats[0].1.open.get() > 0 {
        tokio::task::yield_now().await;
    }
    assert_serves(&house).await;
    house.stop().await;
}

/// Scenario: ten thousand requests at once on one connection, of which a thousand may be under way. Guarantee: every one is answered.
#[tokio::test]
async fn ten_thousand_streams() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let body = framed(0, &logs(1));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let (client, body) = (Client(client.0.clone()), body.clone());
        calls.spawn(async move { client.send(head(LOGS, &[]), vec![body]).await.unwrap().assert_ok() });
    }
    while let Some(result) = calls.join_next().await {
        result.unwrap();
    }
    assert_eq!(house.taken().len(), 10_000);
    drop(client);
    house.stop().await;
}

/// Scenario: a client that opens more streams than it may, none of which is ever answered by the destination. Guarantee: those beyond the limit are refused,
/// what is held is bounded, and it is given back when the client goes.
#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let mut plan = Plan::default();
    plan.grpc.max_concurrent_streams = 10;
    let house = plan.build().await;
    house.set(Mode::Stall);
    let mut tcp = TcpStream::connect(house.grpc).await.unwrap();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    for i in 0..15 {
        bytes.extend(frame(HEADERS, 4, 2 * i + 1, &header_block()));
        bytes.extend(frame(0, 1, 2 * i + 1, &framed(0, &logs(1))));
    }
    tcp.write_all(&bytes).await.unwrap();
    let mut refused = 0;
    while refused < 5 {
        let mut head = [0; 9];
        tcp.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        tcp.read_exact(&mut payload).await.unwrap();
        // REFUSED_STREAM
        refused += usize::from(head[3] == RST_STREAM && payload == [0, 0, 0, 7]);
    }
    assert_eq!(house.budget.requests(), 10);
    drop(tcp);
    house.settled().await;
    house.set(Mode::Take);
    assert_serves(&house).await;
    house.stop().await;
}

/// Scenario: rapid reset: streams opened and cancelled as fast as they can be written, on both listeners. Guarantee: the connection is ended, memory stays, others are
/// served.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let house = House::new().await;
    for addr in [house.grpc, house.http] {
        let before = peak_rss();
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
        for i in 0..50_000u32 {
            bytes.extend(frame(HEADERS, 4, 2 * i + 1, &header_block()));
            bytes.extend(frame(RST_STREAM, 0, 2 * i + 1, &[0, 0, 0, 8]));
        }
        let (mut read, mut write) = tcp.split();
        let mut out = Vec::new();
        let _ = tokio::join!(write.write_all(&bytes), read.read_to_end(&mut out));
        // GOAWAY with ENHANCE_YOUR_CALM.
        assert!(out.windows(4).any(|w| w == [0, 0, 0, 0xb]));
        assert_memory_stays(before);
        assert_serves(&house).await;
    }
    house.settled().await;
    house.stop().await;
}

/// Scenario: CONTINUATION without end, settings without end, pings without end, none of whose answers are read. Guarantee: memory stays, others are served.
#[tokio::test]
async fn floods_of_frames_are_survived() {
    let house = House::new().await;
    let continuation = frame(CONTINUATION, 0, 1, &[0; 1000]).repeat(1000);
    let open = [frame(HEADERS, 0, 1, &header_block()), continuation].concat();
    let floods = [
        open,
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(100_000),
        frame(PING, 0, 0, &[0; 8]).repeat(100_000),
    ];
    for addr in [house.grpc, house.http] {
        for flood in &floods {
            let before = peak_rss();
            let mut tcp = TcpStream::connect(addr).await.unwrap();
            let bytes = [PREFACE, &frame(SETTINGS, 0, 0, b""), flood].concat();
            // What the server does not take any more, it does not take; the others are served meanwhile.
            tokio::select! {
                _ = tcp.write_all(&bytes) => {}
                () = async { for _ in 0..5 { assert_serves(&house).await } } => {}
            }
            assert_memory_stays(before);
            assert_serves(&house).await;
        }
    }
    house.settled().await;
    house.stop().await;
}

/// Scenario: a client that allows not one byte of an answer. Guarantee: its answers wait, bounded by its streams; others are served.
#[tokio::test]
async fn a_zero_window_holds_up_nobody_else() {
    let house = House::new().await;
    for addr in [house.grpc, house.http] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
        for i in 0..100 {
            bytes.extend(frame(HEADERS, 4, 2 * i + 1, &header_block()));
            bytes.extend(frame(0, 1, 2 * i + 1, &framed(0, &logs(1))));
        }
        tcp.write_all(&bytes).await.unwrap();
        assert_serves(&house).await;
    }
    house.settled().await;
    house.stop().await;
}

/// Scenario: ten thousand headers, and a header of a megabyte, over HTTP/1 and HTTP/2. Guarantee: 431 or a closed connection.
#[tokio::test]
async fn oversized_headers_are_refused() {
    let house = House::new().await;
    for headers in ["x: y\r\n".repeat(10_000), format!("x: {}\r\n", "y".repeat(1 << 20))] {
        let request = format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        let answer = raw(house.http, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
    }
    let client = Client::connect(house.grpc).await;
    let long = "y".repeat(20_000);
    let mut ready = client.0.clone().ready().await.unwrap();
    let (response, _stream) = ready.send_request(head(LOGS, &[("x", &long)]), true).unwrap();
    match finish(response).await {
        Ok(answer) => assert_eq!(answer.http.as_u16(), 431),
        Err(error) => assert!(error.is_reset() || error.is_go_away() || error.is_io(), "{error}"),
    }
    assert_serves(&house).await;
    house.stop().await;
}

/// Scenario: other protocols on the ports: TLS, HTTP/1 on the gRPC port, noise. Guarantee: closed at once, others are served.
#[tokio::test]
async fn other_protocols_are_closed() {
    let house = House::new().await;
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    for addr in [house.grpc, house.http] {
        for bytes in [&hello[..], b"\x00\x01\x02\x03noise\r\n\r\n"] {
            let answer = raw(addr, bytes).await;
            assert!(!answer.contains("200 OK"));
        }
    }
    raw(house.grpc, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_serves(&house).await;
    house.stop().await;
}

/// Scenario: a client that hangs up in the middle of its body, by closing one half and by vanishing. Guarantee: what was held is given back.
#[tokio::test]
async fn clients_that_vanish_leave_nothing_behind() {
    let house = House::new().await;
    let head =
        format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 1000\r\n\r\nabc");
    for half in [true, false] {
        let mut tcp = TcpStream::connect(house.http).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        while house.budget.bytes() == 0 {
            tokio::task::yield_now().await;
        }
        if half {
            tcp.shutdown().await.unwrap();
        } else {
            drop(tcp);
        }
        house.settled().await;
    }
    house.stop().await;
}
