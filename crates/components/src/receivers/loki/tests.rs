//! The receiver over real sockets, with a destination behind it that keeps what it takes.

use super::config::{Config, Http, Protocols};
use super::*;
use ::config::Located;
use ::config::path::Path;
use ::config::source::Source;
use ::config::{Diagnostics, decode_valid};
use bytes::Bytes;
use flow::inlet::{Funnel, InletConfig, Opening};
use flow::outlet::{Outlet, OutletConfig};
use flow::router::Direct;
use flow::{Attempt, Budget, BudgetConfig, Exporter, Kind, Payload, Scope, Stopper, Target, Why};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::Signal;
use wire::build::MessageWriter;
use wire::key::resource_attribute;

#[derive(Clone)]
struct Sink {
    taken: Arc<Mutex<Vec<Payload>>>,
    answer: Arc<Mutex<Attempt>>,
}

impl Exporter for Sink {
    async fn send(&self, _: &Target, request: Payload, _: std::time::Instant) -> Attempt {
        let answer = self.answer.lock().clone();
        if answer == Attempt::Sent {
            self.taken.lock().push(request);
        }
        answer
    }
}

struct House {
    addr: SocketAddr,
    inlet: Inlet,
    budget: Budget,
    sink: Sink,
    stopper: Stopper,
    running: tokio::task::JoinHandle<()>,
}

impl House {
    async fn new(change: impl FnOnce(&mut Config, &mut BudgetConfig)) -> House {
        let sink = Sink { taken: Arc::default(), answer: Arc::new(Mutex::new(Attempt::Sent)) };
        let outlet = Outlet::new(OutletConfig::new("sink", u64::MAX), sink.clone(), Direct(Target::new("sink")));
        let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: vec![Arc::new(outlet)] };
        let opening = Opening { funnels: vec![funnel], config: InletConfig { sync: true, ..InletConfig::default() } };
        let inlet = Inlet::new(Signal::Logs, opening, Arc::default());
        let http = Http { endpoint: "127.0.0.1:0".into(), ..Http::default() };
        let mut config =
            Config { protocols: Protocols { http: Some(http), ..Protocols::default() }, use_incoming_timestamp: true };
        let mut budget = BudgetConfig { bytes: 64 << 20, request_cost: 0, ..BudgetConfig::default() };
        change(&mut config, &mut budget);
        let budget = Budget::new(budget);
        let setup = Setup {
            inlet: inlet.clone(),
            seats: Seats::new(budget.clone()),
            authenticators: &HashMap::new(),
            wanted: Arc::new([]),
            tenant_header: None,
        };
        let loki = Loki::bind(ComponentId::unnamed("loki"), &config, setup).await.unwrap();
        let addr = loki.http_addr().unwrap();
        let (stopper, stop) = Stopper::new();
        House { addr, inlet, budget, sink, stopper, running: tokio::spawn(loki.run(stop)) }
    }

    /// The status of an answer, and all of it as text.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut tcp = TcpStream::connect(self.addr).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        // It may be answered, and closed, before it was sent.
        let _ = tcp.write_all(body).await;
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    async fn push(&self, headers: &str, body: &[u8]) -> (u16, String) {
        self.ask("POST", "/loki/api/v1/push", headers, body).await
    }

    fn refused(&self, kind: Kind) -> u64 {
        self.inlet.stats().refused_requests.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| n)
    }

    async fn stop(self) {
        self.stopper.stop(Duration::from_secs(10));
        self.running.await.unwrap();
        assert_eq!((self.budget.bytes(), self.budget.requests(), self.budget.records()), (0, 0, 0));
    }
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const JSON: &str = "content-type: application/json\r\n";

fn push(entries: usize) -> Vec<u8> {
    let mut push = MessageWriter::new();
    push.message(1, |stream| {
        stream.bytes(1, r#"{job="a"}"#);
        for i in 0..entries {
            stream.message(2, |entry| {
                entry.message(1, |time| {
                    time.varint(1, 1_700_000_000).varint(2, i as u64);
                });
                entry.bytes(2, format!("line {i}"));
            });
        }
    });
    push.finish().to_vec()
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn json(entries: usize) -> Vec<u8> {
    let values: Vec<_> = (0..entries).map(|i| serde_json::json!([i.to_string(), format!("line {i}")])).collect();
    serde_json::json!({"streams": [{"stream": {"job": "a"}, "values": values}]}).to_string().into_bytes()
}

fn deflated<W>(bytes: &[u8], mut encoder: W, finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>) -> Vec<u8>
where
    W: std::io::Write,
{
    encoder.write_all(bytes).unwrap();
    finish(encoder).unwrap()
}

/// Scenario: a push in every form and encoding that Loki takes, on both paths. Guarantee: 204 without a body, and the entries are there with their
/// labels, as one sound request each.
#[tokio::test]
async fn every_form_is_taken() {
    let house = House::new(|_, _| {}).await;
    let level = flate2::Compression::default();
    let gzip = |b: &[u8]| deflated(b, flate2::write::GzEncoder::new(vec![], level), |e| e.finish());
    let zlib = |b: &[u8]| deflated(b, flate2::write::ZlibEncoder::new(vec![], level), |e| e.finish());
    let raw = |b: &[u8]| deflated(b, flate2::write::DeflateEncoder::new(vec![], level), |e| e.finish());
    let (packed, text) = (snappy(&push(3)), json(3));
    let cases = [
        (PROTOBUF.to_owned(), packed.clone()),
        (format!("{PROTOBUF}content-encoding: snappy\r\n"), packed.clone()),
        (String::new(), packed.clone()),
        (format!("{PROTOBUF}content-encoding: gzip\r\n"), gzip(&packed)),
        (JSON.to_owned(), text.clone()),
        ("content-type: application/json; charset=utf-8\r\ncontent-encoding: gzip\r\n".to_owned(), gzip(&text)),
        (format!("{JSON}content-encoding: deflate\r\n"), zlib(&text)),
        (format!("{JSON}content-encoding: deflate\r\n"), raw(&text)),
    ];
    for (i, (headers, body)) in cases.iter().enumerate() {
        let path = ["/loki/api/v1/push", "/api/prom/push"][i % 2];
        let (status, answer) = house.ask("POST", path, headers, body).await;
        assert_eq!(status, 204, "{headers}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    let taken = house.sink.taken.lock().clone();
    assert_eq!(taken.len(), cases.len());
    for payload in taken {
        let body = payload.body.contiguous();
        assert_eq!(wire::check(Signal::Logs, &body, &wire::CheckLimits::default()).unwrap().records, 3);
        let mut index = wire::Index::new();
        index.build(Signal::Logs, &body).unwrap();
        let record = index.records(&body).next().unwrap();
        let job = resource_attribute(&record.resource(), b"job").and_then(|v| v.as_str());
        assert_eq!((payload.records, job), (3, Some(&b"a"[..])));
    }
    house.stop().await;
}

/// The bodies of the records of what was taken last, and the job of their resource.
fn lines(house: &House) -> (Vec<String>, Option<String>) {
    let payload = house.sink.taken.lock().pop().unwrap();
    let body = payload.body.contiguous();
    let mut index = wire::Index::new();
    index.build(Signal::Logs, &body).unwrap();
    let text = |record: wire::Record<'_>| {
        let value = wire::key::AnyValue::read(wire::key::last_text(record.bytes(), 5));
        String::from_utf8(value.as_str().unwrap_or_default().to_vec()).unwrap()
    };
    let job = index.records(&body).next().and_then(|record| {
        let job = resource_attribute(&record.resource(), b"job")?;
        Some(String::from_utf8(job.as_str()?.to_vec()).unwrap())
    });
    (index.records(&body).map(text).collect(), job)
}

/// Scenario: the paths that Promtail's and Alloy's clients and OTLP exporters use beside Loki's own; lines without labels; bodies that do not belong
/// there. Guarantee: 204 and the entries are there; OTLP stays what it is; the rest is 415 or 400.
#[tokio::test]
async fn other_paths_are_served() {
    let house = House::new(|_, _| {}).await;
    let (status, answer) = house.ask("POST", "/api/v1/push", PROTOBUF, &snappy(&push(2))).await;
    assert_eq!((status, lines(&house)), (204, (vec!["line 0".into(), "line 1".into()], Some("a".into()))), "{answer}");
    for path in ["/loki/api/v1/raw", "/api/v1/raw"] {
        let (status, answer) = house.ask("POST", path, "content-type: text/plain\r\n", b"one\r\n\ntwo").await;
        assert_eq!((status, lines(&house)), (204, (vec!["one".into(), "two".into()], None)), "{answer}");
    }
    assert_eq!(house.ask("POST", "/loki/api/v1/raw", "", b"").await.0, 204);
    let mut otlp = MessageWriter::new();
    otlp.resource_entry(&[("job", wire::key::AnyValue::Str(b"otlp"))], "lib", |scope| {
        scope.log(&wire::build::Log { body: wire::key::AnyValue::Str(b"x"), ..Default::default() });
    });
    let otlp = otlp.finish();
    assert_eq!(house.ask("POST", "/otlp/v1/logs", PROTOBUF, &otlp).await.0, 204);
    assert_eq!(house.sink.taken.lock()[0].body.contiguous(), otlp);
    assert_eq!(lines(&house), (vec!["x".into()], Some("otlp".into())));
    let json = br#"{"resource_logs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"y"}}]}]}]}"#;
    assert_eq!(house.ask("POST", "/otlp/v1/logs", JSON, json).await.0, 204);
    assert_eq!(lines(&house).0, ["y"]);
    assert_eq!(house.ask("POST", "/otlp/v1/logs", "", b"").await.0, 415);
    assert_eq!(house.ask("POST", "/otlp/v1/logs", "content-type: application/octet-stream\r\n", b"").await.0, 415);
    assert_eq!(house.ask("POST", "/otlp/v1/logs", PROTOBUF, &[0x0a, 9]).await.0, 400);
    assert_eq!(house.ask("POST", "/otlp/v1/logs", JSON, b"[]").await.0, 400);
    house.stop().await;
}

/// Scenario: a push without labels, an entry with the old key `timestamp`, half an emoji. Guarantee: taken.
#[tokio::test]
async fn careless_clients_are_served() {
    let house = House::new(|_, _| {}).await;
    let json = br#"{"streams":[{"labels":"","entries":[{"timestamp":"2023-01-01T00:00:00Z","line":"a\ud83d"}]},{"values":[["1","b"]]}]}"#;
    assert_eq!(house.push(JSON, json).await.0, 204);
    assert_eq!(lines(&house), (vec!["a\u{fffd}".into(), "b".into()], None));
    house.stop().await;
}

/// Scenario: senders with a tenant, without one, and with names that Loki refuses. Guarantee: the name goes along, or 400.
#[tokio::test]
async fn the_tenant_goes_along() {
    let house = House::new(|_, _| {}).await;
    let packed = snappy(&push(1));
    for (tenant, status) in
        [("acme-1", 204), ("", 204), ("a|b", 400), ("../x", 400), ("..", 400), (&"x".repeat(151), 400)]
    {
        let headers = format!("{PROTOBUF}X-Scope-OrgID: {tenant}\r\n");
        assert_eq!(house.push(&headers, &packed).await.0, status, "{tenant}");
    }
    let tenants: Vec<_> = house.sink.taken.lock().iter().map(|p| p.meta.tenant.as_deref().map(str::to_owned)).collect();
    assert_eq!(tenants, [Some("acme-1".to_owned()), None]);
    house.stop().await;
}

/// Scenario: everything that is wrong with a push. Guarantee: the status that Loki's clients understand, a text, and a count; nothing arrives.
#[tokio::test]
async fn wrong_pushes_are_refused() {
    let house = House::new(|config, _| config.protocols.http.as_mut().unwrap().max_request_body_size = 10_000).await;
    let labels = {
        let mut push = MessageWriter::new();
        push.message(1, |stream| {
            stream.bytes(1, "{job=}");
        });
        snappy(&push.finish())
    };
    let large = snappy(&vec![0; 20_000]);
    let cases: [(&str, &[u8], u16, &str); 9] = [
        (PROTOBUF, b"\xff\xff\xff", 400, "cannot be decompressed"),
        (PROTOBUF, &snappy(b"\x0a\xff"), 400, "malformed protobuf"),
        (PROTOBUF, &labels, 400, "couldn't parse labels"),
        (JSON, b"{", 400, "line 1"),
        ("content-type: text/plain\r\n", b"x", 415, "415 unsupported media type"),
        ("content-encoding: br\r\n", b"x", 415, "encoding"),
        (PROTOBUF, &large, 413, "decompressed push is larger"),
        (JSON, &[b' '; 10_001], 413, "the body is larger"),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", b"{}", 400, "cannot be decompressed"),
    ];
    for (headers, body, status, text) in cases {
        let (found, answer) = house.push(headers, body).await;
        assert_eq!(found, status, "{text}: {answer}");
        assert!(answer.contains(text) && answer.contains("text/plain"), "{text}: {answer}");
    }
    assert_eq!((house.inlet.stats().requests_failed.get(), house.refused(Kind::TooLarge)), (7, 2));
    let (status, answer) = house.ask("GET", "/loki/api/v1/push", "", b"").await;
    assert_eq!((status, answer.contains("allow: POST")), (405, true));
    assert_eq!(house.ask("POST", "/loki/api/v1/query", "", b"").await.0, 404);
    let (status, answer) = house.ask("GET", "/ready", "", b"").await;
    assert_eq!((status, answer.ends_with("ready\n")), (200, true));
    assert!(house.sink.taken.lock().is_empty());
    house.stop().await;
}

/// Scenario: the destination is away, throttles, refuses some for good, refuses all. Guarantee: 503 and 429 with `Retry-After`, which clients send again;
/// 400, which they do not.
#[tokio::test]
async fn trouble_behind_is_told() {
    let house = House::new(|_, _| {}).await;
    let packed = snappy(&push(3));
    let retry = |kind, after| Attempt::Retry { after, why: Why::new(kind, "said the sink"), scope: Scope::Target };
    let cases = [
        (retry(Kind::Unavailable, None), 503, "retry-after: 1"),
        (retry(Kind::Throttled, Some(Duration::from_secs(7))), 429, "retry-after: 7"),
        (
            Attempt::Partial { rejected: 1, why: Why::new(Kind::Partial, "too old") },
            400,
            "1 of 3 entries were not taken",
        ),
        (Attempt::Reject { why: Why::new(Kind::BadData, "too old") }, 400, "too old"),
    ];
    for (attempt, status, text) in cases {
        *house.sink.answer.lock() = attempt;
        let (found, answer) = house.push(PROTOBUF, &packed).await;
        assert_eq!((found, answer.contains(text)), (status, true), "{answer}");
    }
    house.stop().await;
}

/// Scenario: a bomb of snappy, and a push that becomes far larger as OTLP, under a small budget. Guarantee: refused before the memory is taken, and
/// all of it is given back.
#[tokio::test]
async fn the_budget_bounds_what_a_push_becomes() {
    let house = House::new(|_, budget| budget.bytes = 1 << 20).await;
    let bomb = snappy(&vec![0; 8 << 20]);
    assert_eq!(house.push(PROTOBUF, &bomb).await.0, 413);
    let mut push = MessageWriter::new();
    push.message(1, |stream| {
        stream.bytes(1, "{}");
        for _ in 0..100_000 {
            stream.bytes(2, []);
        }
    });
    assert_eq!(house.push(PROTOBUF, &snappy(&push.finish())).await.0, 413);
    assert_eq!(house.refused(Kind::TooLarge), 2);
    house.stop().await;
}

/// Scenario: entries with a time of their own, and a receiver that is told to use its own, which is the default. Guarantee: that of arrival.
#[tokio::test]
async fn the_time_of_arrival_is_the_default() {
    assert!(!Config::default().use_incoming_timestamp);
    for keep in [false, true] {
        let house = House::new(|config, _| config.use_incoming_timestamp = keep).await;
        assert_eq!(house.push(PROTOBUF, &snappy(&push(1))).await.0, 204);
        let body: Bytes = house.sink.taken.lock()[0].body.contiguous();
        let mut index = wire::Index::new();
        index.build(Signal::Logs, &body).unwrap();
        let record = index.records(&body).next().unwrap();
        let fields = wire::field::Fields::new(record.bytes()).map(Result::unwrap);
        let time = fields.filter(|f| f.number == 1).find_map(|f| f.fixed64()).unwrap();
        assert_eq!(time == 1_700_000_000_000_000_000, keep);
        house.stop().await;
    }
}

fn read(text: &str) -> (Option<Config>, String) {
    let mut found = Diagnostics::new();
    let node = ::config::parse::parse(&Source::new("test.yaml", text), &mut found).unwrap();
    let config = decode_valid(&Located { node: &node, path: Path::root() }, &mut found);
    (config, found.to_string())
}

/// Scenario: the collector's keys, an empty block, none, and gRPC. Guarantee: defaults of the collector; what is not served is an error.
#[test]
fn the_keys_are_the_collectors() {
    let (config, found) = read("protocols:\n  http:\nuse_incoming_timestamp: true\n");
    let config = config.unwrap_or_else(|| panic!("{found}"));
    assert_eq!((found.as_str(), &config.protocols.http), ("", &Some(Http::default())));
    assert_eq!(Http::default().endpoint, "localhost:3500");
    let all = "protocols: {http: {endpoint: 0.0.0.0:3100, cors: {allowed_origins: ['*']}, max_request_body_size: 5, \
               auth: {authenticator: basicauth}, compression_algorithms: ['', gzip], include_metadata: true}}";
    let (config, found) = read(all);
    assert!(config.is_some() && found.is_empty(), "{found}");
    for (text, expected) in [
        ("protocols:\n", "must specify at least one protocol"),
        ("protocols: {http: {enabled: false}}", "must specify at least one protocol"),
        ("protocols:\n  http:\n  grpc:\n", "Loki's push over gRPC is not supported"),
        ("protocols: {http: {endpoint: x}}", "host:port"),
        ("protocols: {http: {port: 1}}", "port"),
    ] {
        let (config, found) = read(text);
        assert!(config.is_none() && found.contains(expected), "{text}: {found}");
    }
}
