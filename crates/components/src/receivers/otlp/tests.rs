//! The receiver over real sockets. What both transports share is here; the tests are grouped by transport and by encoding.

mod grpc;
mod http;
mod json;
mod limits;
mod protobuf;
mod tls;

use super::*;
use crate::receivers::otlp::config::{Config, Grpc, Http, Protocols};
use bytes::Bytes;
use flow::inlet::{Funnel, InletConfig, Opening};
use flow::outlet::{Outlet, OutletConfig};
use flow::router::Direct;
use flow::{Attempt, Budget, BudgetConfig, Exporter, Inlet, Kind, Payload, Stopper, Target, Why};
use parking_lot::Mutex;
use std::time::Duration;
use wire::Signal;
use wire::field::{put_fixed64_field, put_len_field};

/// What the destination behind the receiver does.
#[derive(Clone, Debug)]
enum Mode {
    Take,
    Answer(Attempt),
    Stall,
}

/// A destination that keeps what it takes.
#[derive(Clone)]
struct Sink {
    taken: Arc<Mutex<Vec<Payload>>>,
    mode: Arc<Mutex<Mode>>,
}

impl Exporter for Sink {
    async fn send(&self, _: &Target, request: Payload, _: std::time::Instant) -> Attempt {
        let mode = self.mode.lock().clone();
        match mode {
            Mode::Take => {
                self.taken.lock().push(request);
                Attempt::Sent
            }
            Mode::Answer(attempt) => attempt,
            Mode::Stall => std::future::pending().await,
        }
    }
}

/// A receiver with everything behind it.
struct House {
    grpc: SocketAddr,
    http: SocketAddr,
    inlets: Inlets,
    budget: Budget,
    sink: Sink,
    stats: Vec<(&'static str, Arc<ListenStats>)>,
    stopper: Stopper,
    running: tokio::task::JoinHandle<()>,
}

/// How a house differs from the usual one.
struct Plan {
    grpc: Grpc,
    http: Http,
    budget: BudgetConfig,
    /// Signals without a pipeline.
    unconnected: Vec<Signal>,
    authenticators: HashMap<ComponentId, Authenticator>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            grpc: Grpc { endpoint: "127.0.0.1:0".into(), ..Grpc::default() },
            http: Http { endpoint: "127.0.0.1:0".into(), ..Http::default() },
            budget: BudgetConfig {
                bytes: 64 << 20,
                request_cost: 0,
                tenants: Some(Arc::default()),
                ..BudgetConfig::default()
            },
            unconnected: vec![],
            authenticators: HashMap::new(),
        }
    }
}

impl Plan {
    async fn build(self) -> House {
        let sink = Sink { taken: Arc::default(), mode: Arc::new(Mutex::new(Mode::Take)) };
        // The answer waits for the one attempt, so that nothing is under way once it is there.
        let config = InletConfig { sync: true, ..InletConfig::default() };
        let inlet = |signal: Signal| {
            let outlet = Outlet::new(
                OutletConfig { timeout: Duration::from_secs(3600), ..OutletConfig::new("sink", u64::MAX) },
                sink.clone(),
                Direct(Target::new("sink")),
            );
            let funnel = Funnel { name: signal.to_string(), stages: vec![], outlets: vec![Arc::new(outlet)] };
            let funnels = if self.unconnected.contains(&signal) { vec![] } else { vec![funnel] };
            Inlet::new(signal, Opening { funnels, config: config.clone() }, Arc::default())
        };
        let inlets =
            Inlets { logs: inlet(Signal::Logs), traces: inlet(Signal::Traces), metrics: inlet(Signal::Metrics) };
        let budget = Budget::new(self.budget);
        let config = Config { protocols: Protocols { grpc: Some(self.grpc), http: Some(self.http) } };
        let setup = Setup {
            grpc: inlets.clone(),
            http: inlets.clone(),
            seats: Seats::new(budget.clone()),
            authenticators: &self.authenticators,
            tenant_header: Some(HeaderName::from_static("x-scope-orgid")),
            wanted: Arc::new([]),
        };
        let otlp = Otlp::bind(ComponentId::unnamed("otlp"), &config, setup).await.unwrap();
        let (grpc, http, stats) = (otlp.grpc_addr().unwrap(), otlp.http_addr().unwrap(), otlp.stats());
        let (stopper, stop) = Stopper::new();
        House { grpc, http, inlets, budget, sink, stats, stopper, running: tokio::spawn(otlp.run(stop)) }
    }
}

impl House {
    async fn new() -> House {
        Plan::default().build().await
    }

    fn taken(&self) -> Vec<Payload> {
        self.sink.taken.lock().clone()
    }

    fn set(&self, mode: Mode) {
        *self.sink.mode.lock() = mode;
    }

    /// Requests that were malformed, over all signals.
    fn malformed(&self) -> u64 {
        Signal::ALL.iter().map(|s| self.inlets.of(*s).stats().requests_failed.get()).sum()
    }

    /// Requests that were refused for this reason, over all signals.
    fn refused(&self, kind: Kind) -> u64 {
        let of = |s: &Signal| {
            self.inlets.of(*s).stats().refused_requests.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| n)
        };
        Signal::ALL.iter().map(of).sum()
    }

    /// Waits until the budget is empty: what a client sees of a cancelled request is over before the server has noticed.
    async fn settled(&self) {
        while (self.budget.bytes(), self.budget.requests()) != (0, 0) {
            tokio::task::yield_now().await;
        }
    }

    /// Stops it and checks that every byte was given back.
    async fn stop(self) {
        self.stopper.stop(Duration::from_secs(10));
        self.running.await.unwrap();
        assert_eq!((self.budget.bytes(), self.budget.requests(), self.budget.records()), (0, 0, 0));
        for (transport, stats) in &self.stats {
            assert_eq!(stats.open.get(), 0, "{transport}");
        }
    }
}

fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_len_field(&mut out, number, payload);
    out
}

/// A request of `records` records of this signal, each about `size` bytes.
fn request(signal: Signal, records: usize, size: usize) -> Bytes {
    let text = "x".repeat(size);
    let record = match signal {
        Signal::Logs => field(5, &field(1, text.as_bytes())),
        Signal::Traces => [field(1, &[7; 16]), field(2, &[7; 8]), field(5, text.as_bytes())].concat(),
        Signal::Metrics => {
            let mut point = Vec::new();
            put_fixed64_field(&mut point, 4, 1.0f64.to_bits());
            point
        }
    };
    let body = match signal {
        Signal::Metrics => {
            let points = field(1, &record).repeat(records);
            field(2, &[field(1, text.as_bytes()), field(5, &points)].concat())
        }
        _ => field(2, &record).repeat(records),
    };
    field(1, &field(2, &body)).into()
}

fn logs(records: usize) -> Bytes {
    request(Signal::Logs, records, 10)
}

fn why(kind: Kind) -> Why {
    Why::new(kind, "said the sink")
}

/// The peak of this process's memory has hardly risen since. Other tests share it, so the bound is wide: what it must catch is gigabytes.
#[track_caller]
fn assert_memory_stays(before: u64) {
    let risen = peak_rss().saturating_sub(before);
    assert!(risen < 256 << 20, "{} MiB", risen >> 20);
}

/// Peak memory of this process in bytes.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
