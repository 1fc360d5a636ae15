//! What comes out of each exporter is what went in: random requests of few names, over real sockets, record by record.

use super::decode;
use crate::exporters::build;
use crate::exporters::load_balancing::keys::RoutingKey;
use crate::net::client::testing::{Answer, Server, Setup, grpc, http};
use bytes::Bytes;
use flow::spool::{Spool, StorageConfig};
use flow::{Ack, Budget, BudgetConfig, Outgoing, Payload, Share};
use otlp_oracle::{LogsRequest, MetricsRequest, TracesRequest, generate, whole};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use std::collections::BTreeSet;
use std::time::Duration;
use wire::Signal;

const REQUESTS: usize = 24;

/// The records of requests, sorted, and what metrics there are.
#[derive(Debug, Default, PartialEq)]
struct Found {
    records: Vec<Vec<u8>>,
    metrics: BTreeSet<Vec<u8>>,
}

impl Found {
    fn add(&mut self, signal: Signal, body: &[u8]) {
        match signal {
            Signal::Logs => self.records.extend(whole::logs(&LogsRequest::decode(body).unwrap())),
            Signal::Traces => self.records.extend(whole::traces(&TracesRequest::decode(body).unwrap())),
            Signal::Metrics => {
                let request = MetricsRequest::decode(body).unwrap();
                self.records.extend(whole::metrics(&request));
                self.metrics.extend(whole::identities(&request));
            }
        }
    }

    fn sorted(mut self) -> Found {
        self.records.sort();
        self
    }
}

/// Requests with records, every other one of few names.
fn requests(signal: Signal, seed: [u8; 32]) -> Vec<Bytes> {
    fn some<T>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>, pool: fn(&mut T), n: usize) -> T {
        let mut request = strategy.new_tree(runner).unwrap().current();
        if n % 2 == 0 {
            pool(&mut request);
        }
        request
    }
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let mut all = vec![];
    while all.len() < REQUESTS {
        let n = all.len();
        let body = match signal {
            Signal::Logs => some(&mut runner, generate::logs(), whole::pool_logs, n).encode_to_vec(),
            Signal::Traces => some(&mut runner, generate::traces(), whole::pool_traces, n).encode_to_vec(),
            Signal::Metrics => some(&mut runner, generate::metrics(), whole::pool_metrics, n).encode_to_vec(),
        };
        if records(signal, &body) > 0 {
            all.push(body.into());
        }
    }
    all
}

fn records(signal: Signal, body: &[u8]) -> u32 {
    wire::check(signal, body, &wire::CheckLimits::default()).unwrap().records.try_into().unwrap()
}

/// Sends requests through an outlet and waits until it is empty. Nobody waits for an answer, so that batches form.
async fn send(outlet: &dyn Outgoing, signal: Signal, bodies: &[Bytes]) {
    let budget = Budget::new(BudgetConfig { bytes: 1 << 30, ..BudgetConfig::default() });
    for body in bodies {
        let payload = Payload::new(signal, body.clone(), records(signal, body));
        if outlet.is_durable() {
            let slot = outlet.reserve(&payload, true).unwrap();
            let (ack, told) = Ack::watched(None);
            outlet.store(payload, slot, ack, Ack::unwatched(None));
            assert_eq!(told.await.unwrap(), flow::Outcome::Delivered);
        } else {
            let slot = outlet.reserve(&payload, false).unwrap();
            outlet.push(payload, slot, Ack::unwatched(Some(budget.open_anyway(body.len()))), false);
        }
    }
    outlet.close(flow::clock::now() + Duration::from_secs(60)).await;
    assert_eq!(outlet.view().stats.failed.total(), 0);
}

/// Sends requests by an exporter of this configuration, whose queue is on disk if there is a place for it.
async fn through(kind: &str, yaml: &str, signal: Signal, bodies: &[Bytes], place: Option<&std::path::Path>) {
    let (config, found) = decode(kind, yaml);
    let built = build("x", &config.unwrap_or_else(|| panic!("{yaml}: {}", found.render(false)))).unwrap();
    let durable = place.map(|place| {
        let spool = Spool::open(StorageConfig::new(place), signal, "x").unwrap();
        (spool, Budget::new(BudgetConfig { bytes: 1 << 30, ..BudgetConfig::default() }))
    });
    let outlet = built.outlet(signal, Share::new(1 << 30), None, durable).unwrap();
    send(&*outlet, signal, bodies).await;
}

/// What a server has been sent.
fn arrived(servers: &mut [Server], signal: Signal, is_json: bool) -> Found {
    let mut found = Found::default();
    for server in servers {
        while let Ok(seen) = server.seen.try_recv() {
            let body = match is_json {
                true => {
                    wire::json::to_protobuf(wire::schema::request(signal), &seen.message, usize::MAX).unwrap().into()
                }
                false => seen.message,
            };
            found.add(signal, &body);
        }
    }
    found.sorted()
}

async fn takers(n: usize) -> Vec<Server> {
    let mut servers = vec![];
    for _ in 0..n {
        servers.push(grpc(Setup::default(), |_| Answer::Ok(vec![])).await);
    }
    servers
}

const BATCH: &str = "sending_queue: {batch: {min_size: 40, max_size: 60, flush_timeout: 1ms}}";

/// Scenario: random requests of every signal, half of them of few names, sent by each exporter in batches: OTLP over gRPC, over HTTP in protobuf and in JSON, by
/// way of a queue on disk, and balanced over three backends by every key that the signal has. Guarantee: what arrives are the same records, whole, byte by
/// byte, and of metrics the same ones, those without points included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exporter_sends_the_same_records() {
    for signal in Signal::ALL {
        let seed: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        let bodies = requests(signal, seed);
        let mut expected = Found::default();
        bodies.iter().for_each(|body| expected.add(signal, body));
        let expected = expected.sorted();
        let same = |found: Found, way: &str| {
            assert!(found.records == expected.records, "{signal} by {way}, seed {seed:?}: records differ");
            assert!(found.metrics == expected.metrics, "{signal} by {way}, seed {seed:?}: metrics differ");
        };

        let mut servers = takers(1).await;
        let yaml =
            format!("{{endpoint: '{}', tls: {{insecure: true}}, compression: none, {BATCH}}}", servers[0].address);
        through("otlp_grpc", &yaml, signal, &bodies, None).await;
        same(arrived(&mut servers, signal, false), "gRPC");
        let disk = tempfile::tempdir().unwrap();
        through("otlp_grpc", &yaml, signal, &bodies, Some(&disk.path().join("q"))).await;
        same(arrived(&mut servers, signal, false), "a queue on disk");

        for encoding in ["proto", "json"] {
            let taken = |_| Some((200, vec![], Bytes::new()));
            let mut servers = vec![http(Setup::default(), taken).await];
            let at = servers[0].address;
            let yaml = format!("{{endpoint: 'http://{at}', compression: none, encoding: {encoding}, {BATCH}}}");
            through("otlp_http", &yaml, signal, &bodies, None).await;
            same(arrived(&mut servers, signal, encoding == "json"), encoding);
        }

        for key in ["traceID", "service", "resource", "metric", "streamID", "attributes"] {
            if !RoutingKey::named(key).unwrap().fits(signal) {
                continue;
            }
            for batcher in ["{enabled: true, max_records: 30, flush_interval: 1ms}", "{enabled: false}"] {
                let mut servers = takers(3).await;
                let names = servers.iter().map(|s| format!("'{}'", s.address)).collect::<Vec<_>>().join(", ");
                let attributes = if key == "attributes" { "routing_attributes: [service.name]," } else { "" };
                let yaml = format!(
                    "{{routing_key: {key}, {attributes} resolver: {{static: {{hostnames: [{names}]}}}}, batcher: {batcher}, \
                     protocol: {{otlp: {{tls: {{insecure: true}}, compression: none}}}}}}"
                );
                through("load_balancing", &yaml, signal, &bodies, None).await;
                same(arrived(&mut servers, signal, false), &format!("balancing by {key}, batcher {batcher}"));
            }
        }
    }
}
