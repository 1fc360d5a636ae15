//! A fleet of fake backends, the list of them, and an exporter that balances over both.

use crate::exporters::Apart;
use crate::exporters::load_balancing::config::ProbeKind;
use crate::exporters::load_balancing::exporter::{Backend, LoadBalancing};
use crate::exporters::load_balancing::ring::{Ring, RingKind};
use crate::resolvers::{Resolution, Resolver};
use config::testing::decoded;
use flow::Budget;
use flow::{Ack, Attempt, Exporter, Kind, Outcome, Outgoing, Payload, Scope, Target, Why};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::metrics::load_balancing::{EndpointState, LoadBalancerState};
use tokio::sync::{oneshot, watch};
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;
use wire::{Index, Signal};

pub(super) const MS: fn(u64) -> Duration = Duration::from_millis;
pub(super) const S: fn(u64) -> Duration = Duration::from_secs;

/// What a backend does with a request.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    Take(Duration),
    Answer(Attempt),
    Stall,
    /// Its client cannot be made.
    NoClient,
}

pub(super) fn unavailable() -> Mode {
    let why = Why::new(Kind::Unavailable, "down");
    Mode::Answer(Attempt::Retry { after: None, why, scope: Scope::Target })
}

pub(super) fn rejects() -> Mode {
    Mode::Answer(Attempt::Reject { why: Why::new(Kind::Auth, "no") })
}

#[derive(Default)]
struct World {
    modes: HashMap<String, Mode>,
    taken: HashMap<String, Vec<Payload>>,
    tries: HashMap<String, Vec<Vec<String>>>,
    clients: HashSet<String>,
    in_flight: HashMap<String, (usize, usize)>,
}

/// The backends. One that is not spoken of takes everything at once.
#[derive(Clone, Default)]
pub(super) struct Fleet(Arc<Mutex<World>>);

impl Fleet {
    pub(super) fn set(&self, name: &str, mode: Mode) {
        self.0.lock().modes.insert(name.to_owned(), mode);
    }

    pub(super) fn taken(&self, name: &str) -> Vec<Payload> {
        self.0.lock().taken.get(name).cloned().unwrap_or_default()
    }

    /// The ids that a backend took, in order.
    pub(super) fn ids(&self, name: &str) -> Vec<String> {
        self.taken(name).iter().flat_map(ids).collect()
    }

    /// The ids that all backends took, sorted.
    pub(super) fn all_ids(&self) -> Vec<String> {
        let names: Vec<String> = self.0.lock().taken.keys().cloned().collect();
        let mut all: Vec<String> = names.iter().flat_map(|name| self.ids(name)).collect();
        all.sort();
        all
    }

    pub(super) fn tries(&self, name: &str) -> usize {
        self.0.lock().tries.get(name).map_or(0, Vec::len)
    }

    pub(super) fn clients(&self) -> Vec<String> {
        let mut all: Vec<String> = self.0.lock().clients.iter().cloned().collect();
        all.sort();
        all
    }

    /// The most requests that a backend had at once.
    pub(super) fn most_in_flight(&self, name: &str) -> usize {
        self.0.lock().in_flight.get(name).map_or(0, |(_, most)| *most)
    }

    fn mode(&self, name: &str) -> Mode {
        self.0.lock().modes.get(name).cloned().unwrap_or(Mode::Take(Duration::ZERO))
    }
}

struct Under(Fleet, String);

impl Drop for Under {
    fn drop(&mut self) {
        self.0.0.lock().in_flight.entry(self.1.clone()).or_default().0 -= 1;
    }
}

impl Exporter for Fleet {
    async fn send(&self, target: &Target, request: Payload, _: Instant) -> Attempt {
        let name = target.name().to_owned();
        {
            let mut world = self.0.lock();
            world.tries.entry(name.clone()).or_default().push(ids(&request));
            let (now, most) = world.in_flight.entry(name.clone()).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        let _under = Under(self.clone(), name.clone());
        match self.mode(&name) {
            Mode::Take(delay) => tokio::time::sleep(delay).await,
            Mode::Answer(attempt) => return attempt,
            Mode::Stall | Mode::NoClient => std::future::pending().await,
        }
        self.0.lock().taken.entry(name).or_default().push(request);
        Attempt::Sent
    }
}

impl Backend for Fleet {
    fn prepare(&self, target: &Target) -> Result<(), String> {
        if matches!(self.mode(target.name()), Mode::NoClient) {
            return Err("no client for you".to_owned());
        }
        self.0.lock().clients.insert(target.name().to_owned());
        Ok(())
    }

    fn retain(&self, used: impl Fn(&Target) -> bool) {
        self.0.lock().clients.retain(|name| used(&Target::new(name.as_str())));
    }

    async fn probe(&self, target: &Target, _: ProbeKind) -> Result<(), Why> {
        match self.mode(target.name()) {
            Mode::Take(_) => Ok(()),
            Mode::Stall => std::future::pending().await,
            _ => Err(Why::new(Kind::Unavailable, "down")),
        }
    }
}

pub(super) struct Feed(watch::Receiver<Option<Resolution>>);

impl Feed {
    pub(super) fn of(list: &watch::Receiver<Option<Resolution>>) -> Feed {
        Feed(list.clone())
    }
}

impl Resolver for Feed {
    fn kind(&self) -> &'static str {
        "dns"
    }

    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Resolution>> + Send + '_>> {
        Box::pin(async move {
            self.0.changed().await.ok()?;
            self.0.borrow_and_update().clone()
        })
    }
}

/// An exporter over a fleet.
pub(super) struct Bench {
    pub(super) fleet: Fleet,
    pub(super) balancer: LoadBalancing<Fleet>,
    pub(super) outlet: Arc<dyn Outgoing>,
    list: watch::Sender<Option<Resolution>>,
    names: Mutex<Vec<String>>,
}

impl Bench {
    /// Logs by trace over these backends; `yaml` is added to the configuration.
    pub(super) async fn new(yaml: &str, names: &[&str]) -> Bench {
        let key = if yaml.contains("routing_key") { "" } else { "routing_key: traceID\n" };
        Bench::within(&format!("{key}{yaml}"), names, Signal::Logs, 1 << 30).await
    }

    pub(super) async fn within(yaml: &str, names: &[&str], signal: Signal, max_bytes: u64) -> Bench {
        Bench::apart(yaml, names, signal, max_bytes, Apart::default()).await
    }

    /// With requests that stay apart.
    pub(super) async fn apart(yaml: &str, names: &[&str], signal: Signal, max_bytes: u64, apart: Apart) -> Bench {
        let config = decoded(yaml);
        let (fleet, (list, heard)) = (Fleet::default(), watch::channel(None));
        let balancer = LoadBalancing::of("lb", &config, fleet.clone(), Box::new(move || Box::new(Feed::of(&heard))));
        let outlet = balancer.outlet(signal, Budget::of(max_bytes), None, &apart, None).unwrap();
        let bench = Bench { fleet, balancer, outlet, list, names: Mutex::default() };
        // The resolver listens only once its task runs.
        tick().await;
        if !names.is_empty() {
            bench.resolve(names).await;
        }
        bench
    }

    /// The list changes; returns when it is in use.
    pub(super) async fn resolve(&self, names: &[&str]) {
        *self.names.lock() = names.iter().map(|n| (*n).to_owned()).collect();
        self.list.send_replace(Some(Ok(self.names.lock().clone())));
        tick().await;
    }

    pub(super) async fn cannot_resolve(&self, why: &str) {
        self.list.send_replace(Some(Err(why.to_owned())));
        tick().await;
    }

    /// A trace that this backend owns while all are used.
    pub(super) fn trace_of(&self, name: &str) -> u32 {
        trace_of(&self.names.lock(), name)
    }

    /// Sends one record of each id, of a trace that this backend owns.
    pub(super) fn send(&self, name: &str, ids: &[&str]) -> oneshot::Receiver<Outcome> {
        let trace = self.trace_of(name);
        self.push(logs(&ids.iter().map(|id| (*id, trace)).collect::<Vec<_>>()))
    }

    pub(super) fn push(&self, payload: Payload) -> oneshot::Receiver<Outcome> {
        let (ack, told) = Ack::watched(None);
        let slot = self.outlet.reserve(&payload, false).unwrap();
        self.outlet.push(payload, slot, ack, true);
        told
    }

    /// The same for a sender that does not wait; what is lost at once.
    pub(super) fn leave(&self, payload: Payload) -> Outcome {
        let slot = self.outlet.reserve(&payload, false).unwrap();
        self.outlet.push(payload, slot, Ack::unwatched(None), false)
    }

    pub(super) fn view(&self) -> LoadBalancerState {
        self.balancer.view()
    }

    pub(super) fn endpoint(&self, name: &str) -> EndpointState {
        let address = format!("{name}:4317");
        self.view().endpoints.into_iter().find(|e| e.endpoint == address).unwrap()
    }

    pub(super) fn lanes(&self) -> Vec<String> {
        let mut all: Vec<String> = self.outlet.view().lanes.iter().map(|lane| lane.target.name().to_owned()).collect();
        all.sort();
        all
    }

    pub(super) async fn close(&self) {
        self.outlet.close(flow::clock::now()).await;
    }
}

pub(super) fn trace_of(names: &[String], name: &str) -> u32 {
    let ring = Ring::new(RingKind::V2, names.iter().map(|n| Target::new(n.as_str())).collect(), |_| 1);
    let owns = |trace: &u32| {
        let hex: String = id(*trace).iter().map(|b| format!("{b:02x}")).collect();
        ring.owner(hex.as_bytes()).is_some_and(|owner| owner.name() == name)
    };
    (1..10_000).find(owns).unwrap()
}

/// The id of a trace of this number.
pub(super) fn id(trace: u32) -> [u8; 16] {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&trace.to_be_bytes());
    id
}

/// Log records of one resource and scope: body and trace.
pub(super) fn logs(records: &[(&str, u32)]) -> Payload {
    let mut body = MessageWriter::new();
    body.resource_entry(&[("service.name", AnyValue::Str(b"checkout"))], "scope", |scope| {
        for (text, trace) in records {
            scope.log(&Log { body: AnyValue::Str(text.as_bytes()), trace_id: &id(*trace), ..Log::default() });
        }
    });
    Payload::new(Signal::Logs, body.finish(), u32::try_from(records.len()).unwrap())
}

/// The bodies of a request's records, in order.
pub(super) fn ids(payload: &Payload) -> Vec<String> {
    let body = payload.body.contiguous();
    let mut index = Index::new();
    index.build(payload.signal, &body).unwrap();
    let text = |record: wire::Record| {
        let body = wire::field::Fields::new(record.bytes()).map_while(Result::ok).find(|f| f.number == 5);
        match AnyValue::read(body.and_then(|f| f.bytes()).unwrap_or_default()) {
            AnyValue::Str(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        }
    };
    if payload.signal == Signal::Logs { index.records(&body).map(text).collect() } else { vec![] }
}

/// Lets every task that can run do so; no other time goes by than a millisecond of the paused clock.
pub(super) async fn tick() {
    tokio::time::sleep(MS(1)).await;
}

pub(super) fn sorted(ids: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().map(Into::into).collect();
    ids.sort();
    ids
}
