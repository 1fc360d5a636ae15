//! What comes out of each exporter is what went in: random requests of few names, over real sockets, record by record.

use super::decode;
use crate::exporters::Apart;
use crate::exporters::build;
use bytes::Bytes;
use flow::spool::{Spool, StorageConfig};
use flow::{Ack, Budget, BudgetConfig, Outcome, Outgoing, Payload};
use futures_util::future::select_all;
use net::client::testing::{Answer, Server, Setup, grpc, http};
use otlp_oracle::{LogsRequest, MetricsRequest, TracesRequest, generate, whole};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use std::collections::BTreeSet;
use std::time::Duration;
use wire::Signal;

const REQUESTS: usize = 24;

/// The records of requests, and what metrics there are.
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
}

/// Requests with records, every other one of few names.
fn requests(signal: Signal, seed: [u8; 32]) -> Vec<Bytes> {
    fn some<T>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>, pool: fn(&mut T), n: usize) -> T {
        let mut request = strategy.new_tree(runner).unwrap().current();
        if n.is_multiple_of(2) {
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

/// Hands requests to an outlet. Nobody waits for an answer, so that batches form.
async fn send(outlet: &dyn Outgoing, signal: Signal, bodies: &[Bytes]) {
    let budget = Budget::new(BudgetConfig { bytes: 1 << 30, ..BudgetConfig::default() });
    for body in bodies {
        let payload = Payload::new(signal, body.clone(), records(signal, body));
        if outlet.is_durable() {
            let slot = outlet.reserve(&payload, true).unwrap();
            let (ack, told) = Ack::watched(None);
            outlet.store(payload, slot, ack, Ack::unwatched(None));
            assert_eq!(told.await.unwrap(), Outcome::Delivered);
        } else {
            let slot = outlet.reserve(&payload, false).unwrap();
            outlet.push(payload, slot, Ack::unwatched(Some(budget.open_anyway(body.len()))), false);
        }
    }
}

/// A way for requests: an exporter, and the servers it sends to.
struct Way<'a> {
    kind: &'a str,
    yaml: String,
    servers: Vec<Server>,
    is_json: bool,
    /// Where its queue is on disk.
    place: Option<&'a std::path::Path>,
}

impl Way<'_> {
    /// Sends requests this way until so many records have arrived and nothing is left; what the servers were sent.
    async fn pass(mut self, signal: Signal, bodies: &[Bytes], wanted: usize) -> Found {
        let (config, found) = decode(self.kind, &self.yaml);
        let config = config.unwrap_or_else(|| panic!("{}: {}", self.yaml, found.render(false)));
        let durable = self.place.map(|place| Spool::open(StorageConfig::new(place), signal, "x").unwrap());
        let built = build("x", &config, None).unwrap();
        let outlet = built.outlet(signal, Budget::of(1 << 30), None, &Apart::default(), durable).unwrap();
        send(&*outlet, signal, bodies).await;
        let mut found = Found::default();
        while found.records.len() < wanted {
            let next = select_all(self.servers.iter_mut().map(|server| Box::pin(server.next())));
            let (seen, ..) = tokio::time::timeout(Duration::from_secs(60), next).await.unwrap();
            self.add(signal, seen.message, &mut found);
        }
        outlet.close(flow::clock::now() + Duration::from_secs(60)).await;
        for n in 0..self.servers.len() {
            while let Ok(seen) = self.servers[n].seen.try_recv() {
                self.add(signal, seen.message, &mut found);
            }
        }
        assert_eq!(outlet.view().stats.failed.total(), 0);
        found.records.sort();
        found
    }

    fn add(&self, signal: Signal, message: Bytes, found: &mut Found) {
        match self.is_json {
            true => {
                let request = wire::schema::request(signal);
                found.add(signal, &wire::json::to_protobuf(request, &message, usize::MAX).unwrap());
            }
            false => found.add(signal, &message),
        }
    }
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
        expected.records.sort();
        let wanted = expected.records.len();
        let same = |found: Found, way: &str| {
            assert!(found.records == expected.records, "{signal} by {way}, seed {seed:?}: records differ");
            assert!(found.metrics == expected.metrics, "{signal} by {way}, seed {seed:?}: metrics differ");
        };

        let disk = tempfile::tempdir().unwrap();
        let place = disk.path().join("q");
        for place in [None, Some(&*place)] {
            let servers = takers(1).await;
            let at = servers[0].address;
            let yaml = format!("{{endpoint: '{at}', tls: {{insecure: true}}, compression: none, {BATCH}}}");
            let way = Way { kind: "otlp_grpc", yaml, servers, is_json: false, place };
            same(way.pass(signal, &bodies, wanted).await, if place.is_some() { "a queue on disk" } else { "gRPC" });
        }

        for encoding in ["proto", "json"] {
            let servers = vec![http(Setup::default(), |_| Some((200, vec![], Bytes::new()))).await];
            let at = servers[0].address;
            let yaml = format!("{{endpoint: 'http://{at}', compression: none, encoding: {encoding}, {BATCH}}}");
            let way = Way { kind: "otlp_http", yaml, servers, is_json: encoding == "json", place: None };
            same(way.pass(signal, &bodies, wanted).await, encoding);
        }

        let mut ways = 0;
        for key in ["traceID", "service", "resource", "metric", "streamID", "attributes"] {
            for batcher in ["{enabled: true, max_records: 30, flush_interval: 1ms}", "{enabled: false}"] {
                let servers = takers(3).await;
                let names = servers.iter().map(|s| format!("'{}'", s.address)).collect::<Vec<_>>().join(", ");
                let attributes = if key == "attributes" { "routing_attributes: [service.name]," } else { "" };
                let yaml = format!(
                    "{{routing_key: {key}, {attributes} resolver: {{static: {{hostnames: [{names}]}}}}, batcher: {batcher}, \
                     protocol: {{otlp: {{tls: {{insecure: true}}, compression: none}}}}}}"
                );
                let fits = |config: crate::exporters::ExporterConfig| config.refuses(signal).is_none();
                if !decode("load_balancing", &yaml).0.is_some_and(fits) {
                    continue;
                }
                ways += 1;
                let way = Way { kind: "load_balancing", yaml, servers, is_json: false, place: None };
                same(way.pass(signal, &bodies, wanted).await, &format!("balancing by {key}, batcher {batcher}"));
            }
        }
        // Three keys for traces, four for logs, five for metrics, each with and without batches.
        assert_eq!(ways, 2 * [4, 3, 5][signal as usize]);
    }
}
