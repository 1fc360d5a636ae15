use super::*;
use ::config::testing::{decoded, problems};
use bytes::Bytes;
use net::client::testing::{Authority, HttpAnswer, Names, Server, Setup, http, nowhere, raw, says};
use std::io::Read;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::field::{put_len_field, put_varint_field};

fn exporter(server: &Server, more: &str) -> OtlpHttp {
    OtlpHttp::new(&decoded(&format!("{{endpoint: 'http://{}', compression: none{more}}}", server.address))).unwrap()
}

fn deadline() -> Instant {
    flow::clock::now() + Duration::from_secs(5)
}

async fn send(exporter: &OtlpHttp, signal: Signal, body: impl Into<Chunks>) -> Attempt {
    exporter.send(&exporter.target(), Payload::new(signal, body, 1), deadline()).await
}

fn ok() -> HttpAnswer {
    Some((200, vec![("content-type", "application/x-protobuf".into())], Bytes::new()))
}

/// What a server's answer becomes.
async fn answered(status: u16, headers: Vec<(&'static str, String)>, body: impl Into<Bytes>) -> Attempt {
    let body: Bytes = body.into();
    let server = http(Setup::default(), move |_| Some((status, headers.clone(), body.clone()))).await;
    send(&exporter(&server, ""), Signal::Logs, vec![0x0a, 0]).await
}

fn kind(attempt: &Attempt) -> (&'static str, Option<Kind>) {
    match attempt {
        Attempt::Sent => ("sent", None),
        Attempt::Partial { why, .. } => ("partial", Some(why.kind)),
        Attempt::Retry { why, .. } => ("retry", Some(why.kind)),
        Attempt::Reject { why } => ("reject", Some(why.kind)),
    }
}

/// Scenario: each signal is sent. Guarantee: POSTed to its path as it was, with length and type, on one kept connection.
#[tokio::test]
async fn every_signal_is_posted_to_its_path() {
    let mut server = http(Setup::default(), |_| ok()).await;
    let exporter = exporter(&server, "");
    for signal in Signal::ALL {
        assert_eq!(send(&exporter, signal, vec![0x0a, 0]).await, Attempt::Sent);
        let seen = server.next().await;
        assert_eq!((seen.head.method.as_str(), seen.head.uri.path()), ("POST", &*format!("/v1/{signal}")));
        assert_eq!(&seen.message[..], [0x0a, 0]);
        assert_eq!(seen.head.headers["content-type"], "application/x-protobuf");
        assert_eq!(seen.head.headers["content-length"], "2");
        assert_eq!(seen.head.headers["host"], server.address.to_string());
        assert!(seen.head.headers["user-agent"].to_str().unwrap().starts_with("Bywash/"));
        assert!(!seen.head.headers.contains_key("content-encoding"));
    }
    assert_eq!(server.connections(), 1);
}

/// Scenario: every status. Guarantee: 429, 502, 503 and 504 are retried, all else is permanent, with its kind.
#[tokio::test]
async fn statuses_are_retried_as_the_specification_lists_them() {
    for (status, expected) in [
        (202, ("sent", None)),
        (302, ("reject", Some(Kind::Other))),
        (400, ("reject", Some(Kind::BadData))),
        (401, ("retry", Some(Kind::Auth))),
        (403, ("retry", Some(Kind::Auth))),
        (404, ("reject", Some(Kind::Unimplemented))),
        (408, ("reject", Some(Kind::Other))),
        (413, ("reject", Some(Kind::TooLarge))),
        (429, ("retry", Some(Kind::Throttled))),
        (500, ("reject", Some(Kind::Other))),
        (502, ("retry", Some(Kind::Unavailable))),
        (503, ("retry", Some(Kind::Unavailable))),
        (504, ("retry", Some(Kind::Unavailable))),
    ] {
        assert_eq!(kind(&answered(status, vec![], "").await), expected, "{status}");
    }
}

/// Scenario: `Retry-After` in seconds, as a date, as nonsense. Guarantee: honoured, honoured, ignored.
#[tokio::test]
async fn retry_after_is_honoured() {
    let after = |text: String| async move {
        match answered(503, vec![("retry-after", text)], "").await {
            Attempt::Retry { after, .. } => after.map(|d| d.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(after("17".into()).await, Some(17));
    let date = std::time::UNIX_EPOCH + flow::clock::since_epoch() + Duration::from_secs(1000);
    assert!(after(httpdate::fmt_http_date(date)).await.is_some_and(|s| (990..=1000).contains(&s)));
    assert_eq!(after("0".into()).await, None);
    assert_eq!(after("soon".into()).await, None);
}

/// Scenario: the server's text as google.rpc.Status in both encodings, as plain text, as a web page. Guarantee: told, except the page.
#[tokio::test]
async fn the_servers_text_is_told() {
    let text = |content_type: &'static str, body: Vec<u8>| async move {
        match answered(400, vec![("content-type", content_type.into())], body).await {
            Attempt::Reject { why } => why.text.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let mut status = Vec::new();
    put_len_field(&mut status, 2, b"no ids");
    assert_eq!(text("application/x-protobuf", status).await, "HTTP 400: no ids");
    assert_eq!(
        text("application/json; charset=utf-8", br#"{"code": 3, "message": "no ids"}"#.to_vec()).await,
        "HTTP 400: no ids"
    );
    assert_eq!(text("text/plain", b"no ids\n".to_vec()).await, "HTTP 400: no ids");
    assert_eq!(text("text/html", b"<html>".to_vec()).await, "HTTP 400");
    assert_eq!(text("application/json", b"nonsense".to_vec()).await, "HTTP 400");
}

/// Scenario: a server stops reading a body that is too large for it and says so with 400, as the collector's does. Guarantee: it is a matter of
/// the size, as 413 is.
#[tokio::test]
async fn a_400_about_the_size_is_about_the_size() {
    let answer = answered(400, vec![("content-type", "text/plain".into())], "http: request body too large").await;
    assert_eq!(kind(&answer), ("reject", Some(Kind::TooLarge)));
}

/// Scenario: some records are refused, told in both encodings, also within a large body. Guarantee: the count arrives.
#[tokio::test]
async fn partial_success_is_counted() {
    let (mut inner, mut protobuf) = (Vec::new(), Vec::new());
    put_varint_field(&mut inner, 1, 3);
    put_len_field(&mut inner, 2, b"old");
    put_len_field(&mut protobuf, 1, &inner);
    let expected = Attempt::Partial { rejected: 3, why: Why::new(Kind::Partial, "old") };
    let json = r#"{"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "old"}}"#;
    assert_eq!(answered(200, vec![("content-type", "application/json".into())], json).await, expected);
    assert_eq!(answered(200, vec![], protobuf.clone()).await, expected);
    put_len_field(&mut protobuf, 99, &vec![0; 1 << 20]);
    assert_eq!(answered(200, vec![], protobuf).await, expected);
}

/// Scenario: each compression. Guarantee: it is named, and the body comes back.
#[tokio::test]
async fn compressed_bodies_come_back() {
    let mut server = http(Setup::default(), |_| ok()).await;
    let body: Vec<u8> = b"telemetry ".repeat(50_000);
    for name in ["gzip", "zstd", "snappy", "x-snappy-framed", "zlib", "deflate", "lz4"] {
        let yaml = format!("{{endpoint: 'http://{}', compression: {name}}}", server.address);
        assert_eq!(send(&OtlpHttp::new(&decoded(&yaml)).unwrap(), Signal::Logs, body.clone()).await, Attempt::Sent);
        let seen = server.next().await;
        assert_eq!(seen.head.headers["content-encoding"], name);
        assert!(seen.message.len() < body.len() / 5);
        let (mut plain, input) = (Vec::new(), &seen.message[..]);
        match name {
            "gzip" => flate2::read::GzDecoder::new(input).read_to_end(&mut plain).unwrap(),
            "zstd" => zstd::stream::read::Decoder::new(input).unwrap().read_to_end(&mut plain).unwrap(),
            "snappy" => snap::raw::Decoder::new().decompress_vec(input).map(|v| plain = v).map(|()| 0).unwrap(),
            "x-snappy-framed" => snap::read::FrameDecoder::new(input).read_to_end(&mut plain).unwrap(),
            "lz4" => lz4_flex::frame::FrameDecoder::new(input).read_to_end(&mut plain).unwrap(),
            _ => flate2::read::ZlibDecoder::new(input).read_to_end(&mut plain).unwrap(),
        };
        assert!(plain == body, "{name}");
    }
}

/// Scenario: JSON is configured. Guarantee: the same telemetry arrives as OTLP/JSON.
#[tokio::test]
async fn json_is_the_same_telemetry() {
    let mut server = http(Setup::default(), |_| ok()).await;
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
    let body = wire::json::to_protobuf(wire::schema::request(Signal::Logs), json.as_bytes(), 1000).unwrap();
    assert_eq!(send(&exporter(&server, ", encoding: json"), Signal::Logs, body).await, Attempt::Sent);
    let seen = server.next().await;
    assert_eq!(seen.head.headers["content-type"], "application/json");
    assert_eq!(&seen.message[..], json.as_bytes());
    let broken = send(&exporter(&server, ", encoding: json"), Signal::Logs, vec![0xff]).await;
    assert_eq!(kind(&broken), ("reject", Some(Kind::BadData)));
}

/// Scenario: whole URLs for signals, a path and a query below the endpoint, credentials in the URL. Guarantee: each is used.
#[tokio::test]
async fn urls_are_used_as_written() {
    let mut server = http(Setup::default(), |_| ok()).await;
    let at = server.address;
    let yaml = format!(
        "{{endpoint: 'http://us%65r:p@{at}/base/?k=v', traces_endpoint: 'http://{at}/t?x=1', compression: none, \
         headers: {{x-a: b}}}}"
    );
    let exporter = OtlpHttp::new(&decoded(&yaml)).unwrap();
    assert_eq!(send(&exporter, Signal::Logs, vec![]).await, Attempt::Sent);
    let head = server.next().await.head;
    assert_eq!(head.uri, "/base/v1/logs?k=v");
    assert_eq!(head.headers["authorization"], "Basic dXNlcjpw");
    assert_eq!(head.headers["x-a"], "b");
    assert_eq!(send(&exporter, Signal::Traces, vec![]).await, Attempt::Sent);
    let head = server.next().await.head;
    assert_eq!(head.uri, "/t?x=1");
    assert!(!head.headers.contains_key("authorization"));
}

/// Scenario: 6 MiB in one slice and in many. Guarantee: every byte arrives, on HTTP/1.1 and on HTTP/2 over TLS.
#[tokio::test]
async fn large_bodies_arrive_whole() {
    let ca = Authority::new();
    let whole: Bytes = (0..6 << 20).map(|n: u32| (n % 251) as u8).collect::<Vec<u8>>().into();
    let pieces: Chunks = (0..whole.len()).step_by(419).map(|at| whole.slice(at..whole.len().min(at + 419))).collect();
    for (alpn, version) in [(&[][..], http::Version::HTTP_11), (&[&b"h2"[..], b"http/1.1"][..], http::Version::HTTP_2)]
    {
        let tls = Some(ca.server("backend.test", None, alpn));
        let mut server = http(Setup { tls, ..Setup::default() }, |_| ok()).await;
        let pem = ca.pem.trim_end().replace('\n', "\n    ");
        let yaml = format!("endpoint: https://backend.test\ncompression: none\ntls:\n  ca_pem: |\n    {pem}\n");
        let exporter = OtlpHttp::with_resolver(&decoded(&yaml), Arc::new(Names::of(&[server.address]))).unwrap();
        for body in [Chunks::from(whole.clone()), pieces.clone()] {
            assert_eq!(send(&exporter, Signal::Logs, body).await, Attempt::Sent);
            let seen = server.next().await;
            assert_eq!(seen.head.version, version);
            assert!(seen.message == whole);
        }
        assert_eq!(server.connections(), 1);
    }
}

/// Scenario: nobody listens, noise, a hang-up, a server with an unknown certificate. Guarantee: retried, with a reason.
#[tokio::test]
async fn what_cannot_be_reached_is_retried() {
    let to = |address: std::net::SocketAddr| {
        OtlpHttp::new(&decoded(&format!("{{endpoint: 'http://{address}', compression: none}}"))).unwrap()
    };
    let attempt = send(&to(nowhere().await), Signal::Logs, vec![1]).await;
    assert_eq!(kind(&attempt), ("retry", Some(Kind::Unreachable)));
    let attempt = send(&to(says(b"SSH-2.0-x\r\n\r\n").await), Signal::Logs, vec![1]).await;
    assert_eq!(kind(&attempt).0, "retry");
    let (noise, _) = raw(|mut tcp, _| async move {
        let _ = tcp.read(&mut [0; 4096]).await;
        let _ = tcp.write_all(b"\xff\xfe noise \r\n\r\n").await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(kind(&send(&to(noise), Signal::Logs, vec![1]).await), ("retry", Some(Kind::Protocol)));
    let server = http(Setup::default(), |_| None).await;
    // It is there, and breaks the connection: that may be for this one request.
    let attempt = send(&exporter(&server, ""), Signal::Logs, vec![1]).await;
    assert_eq!(kind(&attempt), ("retry", Some(Kind::Unavailable)));
    let tls = Some(Authority::new().server("localhost", None, &[]));
    let server = http(Setup { tls, ..Setup::default() }, |_| ok()).await;
    let other = Authority::new().pem.trim_end().replace('\n', "\n    ");
    let yaml = format!("endpoint: https://localhost\ntls:\n  ca_pem: |\n    {other}\n");
    let strict = OtlpHttp::with_resolver(&decoded(&yaml), Arc::new(Names::of(&[server.address]))).unwrap();
    assert_eq!(kind(&send(&strict, Signal::Logs, vec![1]).await), ("retry", Some(Kind::Unreachable)));
}

/// Scenario: a body larger than the server takes is refused before it was read. Guarantee: the status is heard.
#[tokio::test]
async fn a_refusal_before_the_end_of_the_body_is_heard() {
    let (address, _) = raw(|mut tcp, _| async move {
        let _ = tcp.read(&mut [0; 4096]).await;
        let head = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let _ = tcp.write_all(head).await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let exporter = OtlpHttp::new(&decoded(&format!("{{endpoint: 'http://{address}', compression: none}}"))).unwrap();
    let attempt = send(&exporter, Signal::Logs, vec![7; 8 << 20]).await;
    assert_eq!(kind(&attempt), ("reject", Some(Kind::TooLarge)));
}

/// Scenario: an answer of four gibibytes, as announced, that goes on for ever. Guarantee: 64 KiB are read, the connection is closed.
#[tokio::test]
async fn an_endless_answer_is_cut() {
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let (address, _) = raw(move |mut tcp, _| {
        let closed = closed.clone();
        async move {
            let mut request = vec![0; 4096];
            let _ = tcp.read(&mut request).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4294967296\r\n\r\n";
            tcp.write_all(head).await.unwrap();
            let mut written = 0usize;
            while tcp.write_all(&[0; 8192]).await.is_ok() {
                written += 8192;
            }
            closed.send(written).await.unwrap();
        }
    })
    .await;
    let exporter = OtlpHttp::new(&decoded(&format!("{{endpoint: 'http://{address}', compression: none}}"))).unwrap();
    assert_eq!(send(&exporter, Signal::Logs, vec![1]).await, Attempt::Sent);
    // What the sockets' buffers take beside the 64 KiB is the kernel's.
    assert!(was_closed.recv().await.unwrap() < 64 << 20);
}

/// Scenario: the server closes the kept connection, then the name moves. Guarantee: the next request goes to the new address.
#[tokio::test]
async fn a_name_that_moves_is_followed() {
    let (old, mut new) = (http(Setup::default(), |_| ok()).await, http(Setup::default(), |_| ok()).await);
    let names = Names::of(&[old.address]);
    let config = decoded("{endpoint: 'http://backend', compression: none}");
    let exporter = OtlpHttp::with_resolver(&config, Arc::new(names.clone())).unwrap();
    assert_eq!(send(&exporter, Signal::Logs, vec![1]).await, Attempt::Sent);
    names.change(&[nowhere().await, new.address]);
    drop(old);
    // The end of the old connection may be seen before or after the next request is on its way.
    let mut attempt = send(&exporter, Signal::Logs, vec![2]).await;
    if let Attempt::Retry { .. } = attempt {
        attempt = send(&exporter, Signal::Logs, vec![2]).await;
    }
    assert_eq!(attempt, Attempt::Sent);
    assert_eq!(&new.next().await.message[..], [2]);
}

/// Scenario: keep-alive is off, in the old and in the new notation. Guarantee: a connection for each request.
#[tokio::test]
async fn keep_alive_can_be_switched_off() {
    for more in [", disable_keep_alives: true", ", keepalive: {enabled: false}"] {
        let server = http(Setup::default(), |_| ok()).await;
        let exporter = exporter(&server, more);
        for _ in 0..3 {
            assert_eq!(send(&exporter, Signal::Logs, vec![1]).await, Attempt::Sent);
        }
        assert_eq!(server.connections(), 3, "{more}");
    }
}

/// Scenario: all keys of the collector, and every mistake at once. Guarantee: accepted with warnings; each mistake at its key.
#[test]
fn the_collectors_keys_are_accepted_and_mistakes_told() {
    let yaml = "
endpoint: https://otel:4318
traces_endpoint: http://t:1
metrics_endpoint: http://m:1
logs_endpoint: http://l:1
encoding: json
compression: zlib
compression_params: {level: 3}
tls: {insecure_skip_verify: true}
headers: {a: b}
read_buffer_size: 1
write_buffer_size: 1
max_idle_conns: 5
max_idle_conns_per_host: 2
max_conns_per_host: 3
idle_conn_timeout: 10s
http2_read_idle_timeout: 10s
http2_ping_timeout: 3s
force_attempt_http2: false
cookies: {enabled: false}
timeout: 3s
sending_queue:
retry_on_failure:";
    let paths: Vec<String> = problems::<Config>(yaml).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["read_buffer_size", "write_buffer_size", "max_conns_per_host"]);
    assert_eq!(decoded::<Config>(yaml).idle(), (2, Some(Duration::from_secs(10))));
    let bad = "
logs_endpoint: ftp://x
traces_endpoint: 'a b'
compression: gzip
compression_params: {level: 30}
proxy_url: socks5://p:1
cookies: {enabled: true}
headers: {te: x}
sending_queue: {queue_size: 0}";
    let mut paths: Vec<String> = problems::<Config>(bad).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    let expected = [
        "compression_params.level",
        "cookies.enabled",
        "headers.te",
        "logs_endpoint",
        "proxy_url",
        "sending_queue.queue_size",
        "traces_endpoint",
    ];
    assert_eq!(paths, expected);
    assert_eq!(problems::<Config>("{}")[0].0, "endpoint");
}
