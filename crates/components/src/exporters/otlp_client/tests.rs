use super::*;
use bytes::{Bytes, BytesMut};
use config::testing::{decoded, problems};
use h2::Reason;
use net::client::auth::Unsignable;
use net::client::testing::{Answer, Names, Server, Setup, grpc, nowhere, raw, retry_info, says};
use std::io::Read;
use wire::Chunks;
use wire::field::{put_len_field, put_varint_field};

fn config(endpoint: impl std::fmt::Display) -> Config {
    decoded(&format!("{{endpoint: '{endpoint}', tls: {{insecure: true}}, compression: none}}"))
}

fn exporter(server: &Server) -> OtlpGrpc {
    OtlpGrpc::new(&config(server.address)).unwrap()
}

fn deadline() -> Instant {
    flow::clock::now() + Duration::from_secs(5)
}

fn logs(body: impl Into<Chunks>) -> Payload {
    Payload::new(Signal::Logs, body, 1)
}

async fn send(exporter: &OtlpGrpc, body: impl Into<Chunks>) -> Attempt {
    exporter.send(&exporter.target(), logs(body), deadline()).await
}

/// What a server's answer becomes.
async fn answered(answer: Answer) -> Attempt {
    let server = grpc(Setup::default(), move |_| answer.clone()).await;
    send(&exporter(&server), vec![0x0a, 0]).await
}

fn kind(attempt: &Attempt) -> (&'static str, Option<Kind>) {
    match attempt {
        Attempt::Sent => ("sent", None),
        Attempt::Partial { why, .. } => ("partial", Some(why.kind)),
        Attempt::Retry { why, .. } => ("retry", Some(why.kind)),
        Attempt::Reject { why } => ("reject", Some(why.kind)),
    }
}

/// Scenario: each signal is sent. Guarantee: it arrives at its own method, as it was, with the headers of gRPC.
#[tokio::test]
async fn every_signal_arrives_at_its_method() {
    let mut server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    let exporter = exporter(&server);
    let services = ["logs.v1.LogsService", "trace.v1.TraceService", "metrics.v1.MetricsService"];
    for (signal, service) in Signal::ALL.into_iter().zip(services) {
        let payload = Payload::new(signal, Bytes::from_static(b"\x0a\x00"), 1);
        assert_eq!(exporter.send(&exporter.target(), payload, deadline()).await, Attempt::Sent);
        let seen = server.next().await;
        assert_eq!(seen.head.uri.path(), format!("/opentelemetry.proto.collector.{service}/Export"));
        assert_eq!(seen.head.uri.authority().unwrap().as_str(), server.address.to_string());
        assert_eq!((&seen.message[..], seen.compressed), (&b"\x0a\x00"[..], false));
        assert_eq!(seen.head.headers["te"], "trailers");
        assert_eq!(seen.head.headers["content-type"], "application/grpc");
        assert!(seen.head.headers["user-agent"].to_str().unwrap().starts_with("Bywash/"));
        assert!(!seen.head.headers.contains_key("grpc-encoding"));
    }
    assert_eq!(server.connections(), 1);
}

/// Scenario: an empty request. Guarantee: it is sent as an empty message.
#[tokio::test]
async fn an_empty_request_is_a_message_too() {
    let mut server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    assert_eq!(send(&exporter(&server), Chunks::new()).await, Attempt::Sent);
    assert!(server.next().await.message.is_empty());
}

/// Scenario: codes, with and without RetryInfo. Guarantee: what the table in `status` says reaches the lane, delay included.
#[tokio::test]
async fn codes_and_delays_reach_the_lane() {
    assert_eq!(kind(&answered(Answer::Status(3, "bad", None)).await), ("reject", Some(Kind::BadData)));
    assert_eq!(kind(&answered(Answer::Status(8, "full", None)).await), ("reject", Some(Kind::Exhausted)));
    assert_eq!(kind(&answered(Answer::Status(16, "who", None)).await), ("retry", Some(Kind::Auth)));
    assert_eq!(kind(&answered(Answer::Status(14, "later", None)).await), ("retry", Some(Kind::Unavailable)));
    let after = Duration::from_millis(2500);
    let Attempt::Retry { after: told, why, .. } = answered(Answer::Status(8, "full", Some(retry_info(after)))).await
    else {
        panic!()
    };
    assert_eq!((told, why.kind, &*why.text), (Some(after), Kind::Throttled, "RESOURCE_EXHAUSTED: full"));
}

fn partial(rejected: u64, message: &str, padding: usize) -> Vec<u8> {
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    put_varint_field(&mut inner, 1, rejected);
    put_len_field(&mut inner, 2, message.as_bytes());
    put_len_field(&mut outer, 1, &inner);
    put_len_field(&mut outer, 99, &vec![b'x'; padding]);
    outer
}

/// Scenario: the server refuses some records, or only warns, in small and in large answers. Guarantee: the count arrives.
#[tokio::test]
async fn partial_success_is_counted() {
    for padding in [0, 3 << 20] {
        let attempt = answered(Answer::Ok(partial(7, "old", padding))).await;
        assert_eq!(attempt, Attempt::Partial { rejected: 7, why: Why::new(Kind::Partial, "old") });
    }
    let attempt = answered(Answer::Ok(partial(0, "hm", 0))).await;
    assert_eq!(attempt, Attempt::Partial { rejected: 0, why: Why::new(Kind::Partial, "hm") });
}

/// Scenario: answers of proxies and web servers. Guarantee: gRPC's mapping; a web page is never taken for success.
#[tokio::test]
async fn http_answers_are_not_success() {
    for (status, expected) in [
        (502, ("retry", Some(Kind::Unavailable))),
        (429, ("retry", Some(Kind::Unavailable))),
        (401, ("retry", Some(Kind::Auth))),
        (404, ("reject", Some(Kind::Unimplemented))),
        (500, ("reject", Some(Kind::Other))),
        (200, ("retry", Some(Kind::Protocol))),
    ] {
        assert_eq!(kind(&answered(Answer::Http(status, "<html>")).await), expected, "{status}");
    }
}

/// Scenario: the ways an answer can break off or bloat. Guarantee: each is retried, none is success, none hangs or fills memory.
#[tokio::test]
async fn broken_answers_are_retried() {
    for (answer, expected) in [
        (Answer::Cut(10), Kind::Protocol),
        (Answer::Huge(6 << 20), Kind::Protocol),
        (Answer::Bloated, Kind::Protocol),
        (Answer::Reset(Reason::INTERNAL_ERROR), Kind::Protocol),
        (Answer::Reset(Reason::CANCEL), Kind::Unavailable),
        (Answer::ResetEarly(Reason::ENHANCE_YOUR_CALM), Kind::Throttled),
        (Answer::Hangup, Kind::Unreachable),
    ] {
        assert_eq!(kind(&answered(answer.clone()).await), ("retry", Some(expected)), "{answer:?}");
    }
}

/// Scenario: a body larger than the server takes is refused before it was read, while its window is closed. Guarantee: the status is
/// heard, and the connection serves the next request.
#[tokio::test]
async fn a_refusal_before_the_end_of_the_body_is_heard() {
    let text = "grpc: received message larger than max (5 vs. 4)";
    let answer = move |n| if n == 0 { Answer::Early(8, text) } else { Answer::Ok(vec![]) };
    let mut server = grpc(Setup { window: Some(65_535), ..Setup::default() }, answer).await;
    let exporter = exporter(&server);
    assert_eq!(kind(&send(&exporter, vec![7; 8 << 20]).await), ("reject", Some(Kind::TooLarge)));
    assert_eq!(send(&exporter, vec![1]).await, Attempt::Sent);
    assert_eq!(server.next().await.connection, 1);
}

/// Scenario: something else listens: an HTTP/1 server, noise, zeros, one that closes at once, or nobody. Guarantee: retried, with a reason.
#[tokio::test]
async fn what_does_not_speak_http2_is_retried() {
    for text in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        &[0; 100],
        b"SSH-2.0-x\r\n",
    ] {
        let exporter = OtlpGrpc::new(&config(says(text).await)).unwrap();
        assert!(matches!(send(&exporter, vec![1]).await, Attempt::Retry { .. }), "{text:?}");
    }
    let (closes, _) = raw(|_, _| async {}).await;
    for _ in 0..20 {
        let attempt = send(&OtlpGrpc::new(&config(closes)).unwrap(), vec![1]).await;
        assert_eq!(kind(&attempt), ("retry", Some(Kind::Unreachable)));
    }
    let attempt = send(&OtlpGrpc::new(&config(nowhere().await)).unwrap(), vec![1]).await;
    assert_eq!(kind(&attempt), ("retry", Some(Kind::Unreachable)));
}

/// Scenario: a send is dropped while the server stalls. Guarantee: its stream is reset, and the same connection serves the next.
#[tokio::test]
async fn a_dropped_send_harms_nobody() {
    let mut server = grpc(Setup::default(), |n| if n == 0 { Answer::Stall } else { Answer::Ok(vec![]) }).await;
    let exporter = exporter(&server);
    let stalled = tokio::spawn({
        let exporter = exporter.clone();
        async move { send(&exporter, vec![1]).await }
    });
    server.next().await;
    stalled.abort();
    assert!(stalled.await.is_err());
    assert_eq!(send(&exporter, vec![2]).await, Attempt::Sent);
    assert_eq!(server.next().await.connection, 1);
}

/// Scenario: many more sends at once than the server allows streams. Guarantee: all are delivered on one connection.
#[tokio::test]
async fn sends_beyond_the_servers_streams_wait() {
    let mut server = grpc(Setup { max_streams: Some(2), ..Setup::default() }, |_| Answer::Ok(vec![])).await;
    let exporter = exporter(&server);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..50u8 {
        let exporter = exporter.clone();
        all.spawn(async move { send(&exporter, vec![n]).await });
    }
    assert!(all.join_all().await.iter().all(|a| *a == Attempt::Sent));
    let mut seen = Vec::new();
    for _ in 0..50 {
        let request = server.next().await;
        seen.push((request.connection, request.message[0]));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..50u8).map(|n| (1, n)).collect::<Vec<_>>());
}

/// Scenario: 6 MiB in one slice, and in 15,000 small ones, through windows of 64 KiB. Guarantee: every byte arrives in order.
#[tokio::test]
async fn large_bodies_pass_through_small_windows() {
    let mut server = grpc(Setup { window: Some(65_535), ..Setup::default() }, |_| Answer::Ok(vec![])).await;
    let exporter = exporter(&server);
    let whole: Bytes = (0..6 << 20).map(|n: u32| (n % 251) as u8).collect::<Vec<u8>>().into();
    let pieces: Chunks = (0..whole.len()).step_by(419).map(|at| whole.slice(at..whole.len().min(at + 419))).collect();
    for body in [Chunks::from(whole.clone()), pieces] {
        assert_eq!(send(&exporter, body).await, Attempt::Sent);
        assert!(server.next().await.message == whole);
    }
}

/// Scenario: each compression. Guarantee: it is named, the flag is set, and the collector's codec of that name gives the body back.
#[tokio::test]
async fn compressed_bodies_can_be_read_by_the_collectors_codecs() {
    let mut server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    let body: Vec<u8> = b"telemetry ".repeat(50_000);
    for name in ["gzip", "zstd", "snappy"] {
        let yaml = format!("{{endpoint: '{}', tls: {{insecure: true}}, compression: {name}}}", server.address);
        assert_eq!(send(&OtlpGrpc::new(&decoded(&yaml)).unwrap(), body.clone()).await, Attempt::Sent);
        let seen = server.next().await;
        assert_eq!((seen.head.headers["grpc-encoding"].to_str().unwrap(), seen.compressed), (name, true));
        assert!(seen.message.len() < body.len() / 5);
        let mut plain = Vec::new();
        match name {
            "gzip" => flate2::read::GzDecoder::new(&seen.message[..]).read_to_end(&mut plain).unwrap(),
            "zstd" => zstd::stream::read::Decoder::new(&seen.message[..]).unwrap().read_to_end(&mut plain).unwrap(),
            _ => snap::read::FrameDecoder::new(&seen.message[..]).read_to_end(&mut plain).unwrap(),
        };
        assert!(plain == body, "{name}");
    }
}

/// Scenario: headers, authority and user agent are configured. Guarantee: they are sent, beside the time that is left.
#[tokio::test]
async fn configured_headers_and_the_deadline_are_sent() {
    let mut server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    let yaml = format!(
        "{{endpoint: 'http://{}/', compression: none, authority: 'a.example:1', user_agent: x/1, \
         headers: {{Authorization: 'Bearer t'}}}}",
        server.address
    );
    assert_eq!(send(&OtlpGrpc::new(&decoded(&yaml)).unwrap(), vec![1]).await, Attempt::Sent);
    let head = server.next().await.head;
    assert_eq!(head.uri.authority().unwrap(), "a.example:1");
    assert_eq!(
        (&head.headers["user-agent"], &head.headers["authorization"]),
        (&"x/1".parse().unwrap(), &"Bearer t".parse().unwrap())
    );
    let left = head.headers["grpc-timeout"].to_str().unwrap().strip_suffix('u').unwrap().parse::<u64>().unwrap();
    assert!((1_000_000..=5_000_000).contains(&left), "{left}");
}

/// Scenario: the server restarts between two sends. Guarantee: the second goes out on a new connection.
#[tokio::test]
async fn a_closed_connection_is_replaced() {
    let server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    let exporter = exporter(&server);
    assert_eq!(send(&exporter, vec![1]).await, Attempt::Sent);
    let at = Some(server.address);
    drop(server);
    let client = exporter.client(&exporter.target()).unwrap();
    while client.grpc.pool().ready() > 0 {
        tokio::task::yield_now().await;
    }
    let mut server = grpc(Setup { at, ..Setup::default() }, |_| Answer::Ok(vec![])).await;
    assert_eq!(send(&exporter, vec![2]).await, Attempt::Sent);
    assert_eq!(&server.next().await.message[..], [2]);
}

/// Scenario: the server says goodbye to a request it has not looked at. Guarantee: it is sent again at once, on a new connection.
#[tokio::test]
async fn a_request_not_looked_at_goes_to_another_connection() {
    let mut server = grpc(Setup::default(), |n| if n == 0 { Answer::Refuse } else { Answer::Ok(vec![]) }).await;
    assert_eq!(send(&exporter(&server), vec![1]).await, Attempt::Sent);
    assert_eq!(server.next().await.connection, 2);
}

/// Scenario: one exporter, two targets, one of which is forgotten. Guarantee: each has its own connections; a forgotten one
/// connects anew.
#[tokio::test]
async fn every_target_has_its_own_client() {
    let (mut a, mut b) =
        (grpc(Setup::default(), |_| Answer::Ok(vec![])).await, grpc(Setup::default(), |_| Answer::Ok(vec![])).await);
    let exporter = OtlpGrpc::new(&config("")).unwrap();
    let (to_a, to_b) = (Target::new(a.address.to_string()), Target::new(b.address.to_string()));
    for target in [&to_a, &to_b, &to_a] {
        assert_eq!(exporter.send(target, logs(vec![1]), deadline()).await, Attempt::Sent);
    }
    assert_eq!((a.next().await.connection, a.next().await.connection, b.next().await.connection), (1, 1, 1));
    exporter.retain(|target| *target != to_a);
    assert_eq!(exporter.send(&to_a, logs(vec![1]), deadline()).await, Attempt::Sent);
    assert_eq!(a.next().await.connection, 2);
    let nonsense = exporter.send(&Target::new("no port"), logs(vec![1]), deadline()).await;
    assert_eq!(kind(&nonsense), ("retry", Some(Kind::Unreachable)));
}

/// Scenario: the name moves to another address while the old server goes. Guarantee: the next sends arrive at the new one.
#[tokio::test]
async fn a_name_that_moves_is_followed() {
    let (old, mut new) =
        (grpc(Setup::default(), |_| Answer::Ok(vec![])).await, grpc(Setup::default(), |_| Answer::Ok(vec![])).await);
    let names = Names::of(&[old.address]);
    let exporter = OtlpGrpc::with_resolver(&config("backend:4317"), Arc::new(names.clone())).unwrap();
    assert_eq!(send(&exporter, vec![1]).await, Attempt::Sent);
    names.change(&[new.address]);
    drop(old);
    let client = exporter.client(&exporter.target()).unwrap();
    while client.grpc.pool().ready() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(&exporter, vec![2]).await, Attempt::Sent);
    assert_eq!(&new.next().await.message[..], [2]);
}

/// Scenario: endpoints in every notation of the collector. Guarantee: address and TLS as meant; the rest is refused.
#[test]
fn endpoints_mean_what_they_say() {
    let of = |endpoint: &str, tls: &str| {
        let config: Config = decoded(&format!("{{endpoint: '{endpoint}', tls: {tls}}}"));
        parse_endpoint(&config.endpoint, None).map(|(at, _)| (at.authority(), config.uses_tls()))
    };
    let ok = |at: &str, tls| Ok((at.to_owned(), tls));
    assert_eq!(of("h:1", "{}"), ok("h:1", true));
    assert_eq!(of("h:1", "{insecure: true}"), ok("h:1", false));
    assert_eq!(of("h:1", "{insecure: true, ca_file: x}"), ok("h:1", true));
    assert_eq!(of("http://h:1", "{}"), ok("h:1", false));
    assert_eq!(of("http://h:1", "{ca_file: x}"), ok("h:1", true));
    assert_eq!(of("https://h:1", "{insecure: true}"), ok("h:1", true));
    assert_eq!(of("dns:///h:1", "{}"), ok("h:1", true));
    assert_eq!(of("dns:h:1", "{}"), ok("h:1", true));
    assert_eq!(of("passthrough:///[::1]:1", "{}"), ok("[::1]:1", true));
    for bad in ["h", "h:x", "dns://8.8.8.8/h:1", "unix:///x", "http://h:1/path", "ftp://h:1"] {
        assert!(of(bad, "{}").is_err(), "{bad}");
    }
}

/// Scenario: all keys of the collector at once. Guarantee: accepted; those without effect are warned of, nothing is an error.
#[test]
fn the_collectors_keys_are_accepted() {
    let yaml = "
endpoint: otel:4317
compression: zstd
tls: {insecure: true, insecure_skip_verify: true, server_name_override: x, include_system_ca_certs_pool: true}
keepalive: {time: 20s, timeout: 5s, permit_without_stream: true}
read_buffer_size: 123
write_buffer_size: 345
wait_for_ready: true
headers: {X-Scope-OrgID: a}
user_agent: me
balancer_name: pick_first
authority: x:1
timeout: 10s
sending_queue: {enabled: true, num_consumers: 2, queue_size: 10, sizer: items, batch: {min_size: 5}}
retry_on_failure: {enabled: true, initial_interval: 10s, randomization_factor: 0.7, multiplier: 1.3, max_interval: 60s, max_elapsed_time: 10m}";
    let paths: Vec<String> = problems::<Config>(yaml).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["read_buffer_size", "write_buffer_size"]);
    assert_eq!(decoded::<Config>("keepalive: {time: 1s}").keepalive.pings().unwrap().every, Duration::from_secs(10));
    assert_eq!(decoded::<Config>("keepalive: {enabled: false}").keepalive.pings(), None);
    assert_eq!(decoded::<Config>("{}").compression, Compression::Gzip);
    assert_eq!(decoded::<Config>("compression: ''").compression, Compression::None);
}

/// Scenario: mistakes in every part. Guarantee: all are told at once, each at its key.
#[test]
fn every_mistake_is_told_at_its_key() {
    let yaml = "
endpoint: ''
compression: lz4
tls: {min_version: '1.1', ca_pem: x, ca_file: y}
headers: {'a b': x}
balancer_name: grpclb
authority: 'a b'
middlewares: [{id: x}]
sending_queue: {num_consumers: 0}
retry_on_failure: {multiplier: -1}";
    let mut paths: Vec<String> = problems::<Config>(yaml).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    let expected = [
        "authority",
        "balancer_name",
        "compression",
        "headers.a b",
        "middlewares",
        "retry_on_failure.multiplier",
        "sending_queue.num_consumers",
        "tls.ca_pem",
    ];
    assert_eq!(paths, expected);
}

/// Scenario: a merged request of several slices. Guarantee: the prefix counts all of them and nothing is lost between.
#[tokio::test]
async fn slices_are_one_message() {
    let mut server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    let slices = [10usize, 5000, 3, 3, 70_000, 1];
    let body: Chunks = slices.iter().enumerate().map(|(n, size)| Bytes::from(vec![n as u8; *size])).collect();
    assert_eq!(send(&exporter(&server), body.clone()).await, Attempt::Sent);
    let mut whole = BytesMut::new();
    body.iter().for_each(|slice| whole.extend_from_slice(slice));
    assert!(server.next().await.message == whole);
}

/// Gives out a token by number; a refusal of the present one brings the next.
struct Numbered(std::sync::atomic::AtomicU32);

impl net::client::auth::Authenticator for Numbered {
    fn sign<'a>(
        &'a self,
        request: net::client::auth::Unsigned<'a>,
        headers: &'a mut http::HeaderMap,
    ) -> net::client::auth::Pending<'a, Result<(), Unsignable>> {
        let team = request.origin.values("metadata.x-team").next().unwrap_or("nobody");
        let number = self.0.load(std::sync::atomic::Ordering::SeqCst);
        headers.insert("authorization", format!("{team}-{number}").parse().unwrap());
        Box::pin(std::future::ready(if number < 10 {
            Ok(())
        } else {
            Err(Unsignable::later(Kind::Unavailable, "no more numbers"))
        }))
    }

    fn renew<'a>(&'a self, _: &'a http::HeaderMap) -> net::client::auth::Pending<'a, bool> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(std::future::ready(true))
    }

    fn varies(&self) -> bool {
        true
    }
}

/// Scenario: a credential that a server refuses once, then for ever, then one that cannot be had; of data of one team and of nobody.
/// Guarantee: the request is sent again once with the next one; then the credential, by name and origin, is what fails; what cannot be
/// signed is not sent.
#[tokio::test]
async fn a_refused_credential_is_renewed_once() {
    let refuses = Arc::new(Mutex::new(1));
    let left = refuses.clone();
    let mut server = grpc(Setup::default(), move |_| {
        let mut left = left.lock();
        match *left {
            0 => Answer::Ok(vec![]),
            _ => {
                *left -= 1;
                Answer::Status(16, "no", None)
            }
        }
    })
    .await;
    let numbered = Arc::new(Numbered(std::sync::atomic::AtomicU32::new(0)));
    let credentials = Some(Credentials::new("numbered", numbered.clone()));
    let exporter = exporter(&server).with_credentials(credentials);
    let origin = Origin::new([("metadata.x-team".into(), "red".into())]);
    let target = exporter.target().within(&origin);
    assert_eq!(exporter.send(&target, logs(vec![0x0a, 0]), deadline()).await, Attempt::Sent);
    for shown in ["red-0", "red-1"] {
        assert_eq!(server.next().await.head.headers["authorization"], shown);
    }
    assert_eq!(exporter.clients(), 1, "a backend has one client, whoever the data is of");
    *refuses.lock() = 1000;
    let scope = Scope::Credential("numbered{metadata.x-team=\"red\"}".into());
    let attempt = exporter.send(&target, logs(vec![0x0a, 0]), deadline()).await;
    assert!(
        matches!(&attempt, Attempt::Retry { why, scope: of, .. } if why.kind == Kind::Auth && *of == scope),
        "{attempt:?}"
    );
    assert_eq!(exporter.scopes(&target), std::slice::from_ref(&scope));
    numbered.0.store(10, std::sync::atomic::Ordering::SeqCst);
    let attempt = exporter.send(&target, logs(vec![0x0a, 0]), deadline()).await;
    let expected = Why::new(Kind::Unavailable, "no more numbers");
    assert_eq!(attempt, Attempt::Retry { after: None, why: expected, scope });
    let attempt = exporter.send(&exporter.target(), logs(vec![0x0a, 0]), deadline()).await;
    assert!(matches!(attempt, Attempt::Retry { scope: Scope::Credential(name), .. } if &*name == "numbered"));
}
