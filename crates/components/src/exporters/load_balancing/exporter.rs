//! The exporter, put together: one set of backends for all signals, one outlet for each.
//!
//! Tasks: one that asks the resolver, one that keeps the backends, one that probes (if asked to), and per outlet one that follows
//! changes: it retires the lanes of backends that are gone or quarantined, in the background, so that routing never waits, and gives
//! up what has had no backend for too long. They
//! begin with the first outlet and end with the last one that is closed. Drains end with their outlet, by its deadline.

use super::backends::Backends;
use super::config::{Config, DEFAULT_PORT, ProbeKind};
use super::probe;
use super::ring::Shape;
use super::router::RingRouter;
use super::stats::Stats;
use crate::exporters::otlp_client::{self, OtlpGrpc};
use crate::exporters::{Apart, BuildError};
use crate::resolvers::{Resolution, Resolver};
use flow::batcher::{BatchConfig, Request};
use flow::capacity::Slot;
use flow::dead_letters::LetterBox;
use flow::lane::LaneView;
use flow::origin::Partitioned;
use flow::outlet::OutletView;
use flow::spool::Spool;
use flow::task::{self, Restarts};
use flow::watch::Cause;
use flow::{
    Ack, Attempt, Budget, Exporter, Kind, Outcome, Outgoing, Outlet, Payload, Scope, Target, Watch, Why, clock,
};
use net::client::auth::Credentials;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use telemetry::metrics::load_balancing::LoadBalancerState;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use wire::Signal;

/// How long sends to a quarantined backend may still take, at most, before what it holds is routed again.
const LEAVE: Duration = Duration::from_secs(1);
/// How long a backend whose quarantine is over has to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How often the counters of backends that are gone are looked through.
const SWEEP: Duration = Duration::from_secs(60);

/// How backends are spoken to. Clones share their clients.
pub trait Backend: Exporter + Clone {
    /// Makes the client of a backend. Must not wait.
    ///
    /// # Errors
    /// Why there cannot be one.
    fn prepare(&self, target: &Target) -> Result<(), String>;
    /// Forgets the clients of all but these.
    fn retain(&self, used: impl Fn(&Target) -> bool);
    /// Asks whether a backend is there. The caller bounds the time.
    fn probe(&self, target: &Target, kind: ProbeKind) -> impl Future<Output = Result<(), Why>> + Send;
}

impl Backend for OtlpGrpc {
    fn prepare(&self, target: &Target) -> Result<(), String> {
        OtlpGrpc::prepare(self, target).map_err(|e| e.0)
    }

    fn retain(&self, used: impl Fn(&Target) -> bool) {
        OtlpGrpc::retain(self, used);
    }

    async fn probe(&self, target: &Target, kind: ProbeKind) -> Result<(), Why> {
        match kind {
            ProbeKind::TcpConnect => self.check_connect(target).await,
            // The caller drops this before; the deadline is what the server is told.
            ProbeKind::GrpcHealth => self.check_health(target, clock::now() + Duration::from_secs(10)).await,
        }
    }
}

/// The exporter. Clones share everything.
pub struct LoadBalancing<B: Backend = OtlpGrpc> {
    shared: Arc<Shared<B>>,
}

impl<B: Backend> Clone for LoadBalancing<B> {
    fn clone(&self) -> Self {
        LoadBalancing { shared: self.shared.clone() }
    }
}

/// The ring of the moment, divided by where requests came from.
type Router = Partitioned<RingRouter>;

/// Makes the resolver whenever the tasks begin.
type MakeResolver = Box<dyn Fn() -> Box<dyn Resolver> + Send + Sync>;

struct Shared<B> {
    name: String,
    config: Config,
    backend: B,
    backends: Arc<Backends>,
    stats: Arc<Stats>,
    resolver: MakeResolver,
    life: Mutex<Weak<Life>>,
    outlets: Mutex<Vec<(Signal, Weak<dyn Outgoing>)>>,
}

/// The tasks that all outlets share, for as long as there is one.
struct Life(Vec<AbortHandle>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl LoadBalancing<OtlpGrpc> {
    /// The exporter called `name`, which shows these credentials. Nothing is resolved or connected to yet.
    ///
    /// # Errors
    /// If the TLS material cannot be loaded.
    pub fn new(name: &str, config: &Config, credentials: Option<Credentials>) -> Result<LoadBalancing, BuildError> {
        let backend = OtlpGrpc::with_default_port(&config.protocol.otlp, DEFAULT_PORT)?.with_credentials(credentials);
        let resolver = config.resolver.clone();
        Ok(LoadBalancing::of(name, config, backend, Box::new(move || resolver.build())))
    }
}

impl<B: Backend> LoadBalancing<B> {
    /// The same with another way to speak to backends and to find them.
    #[must_use]
    pub fn of(name: &str, config: &Config, backend: B, resolver: MakeResolver) -> LoadBalancing<B> {
        let stats = Arc::<Stats>::default();
        let health = config.endpoint_health.clone();
        let shape = Shape { kind: config.ring, weights: config.weights.clone(), load_factor: config.load_factor };
        let backends = Arc::new(Backends::new(name, shape, health, stats.clone()));
        let shared = Shared {
            name: name.to_owned(),
            config: config.clone(),
            backend,
            backends,
            stats,
            resolver,
            life: Mutex::default(),
            outlets: Mutex::default(),
        };
        LoadBalancing { shared: Arc::new(shared) }
    }

    /// The outlet for one signal, within the budget of the process, with what is to stay `apart`. What waits is kept in
    /// `durable`, if there is one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If this signal cannot be routed by the configured key.
    pub fn outlet(
        &self,
        signal: Signal,
        budget: Budget,
        pipeline_batch: Option<BatchConfig>,
        apart: &Apart,
        durable: Option<Arc<Spool>>,
    ) -> Result<Arc<dyn Outgoing>, BuildError> {
        let Shared { name, config, backend, backends, stats, .. } = &*self.shared;
        let key = config.key(signal).map_err(BuildError)?;
        let life = self.shared.live();
        let ignore_trace_id = signal == Signal::Logs && config.log_routing.ignore_trace_id;
        let router = RingRouter::new(backends.clone(), key, config.routing_attributes.clone(), ignore_trace_id);
        let router = Partitioned::new(router, apart.names.clone());
        let sender = Sender { backend: backend.clone(), backends: backends.clone(), stats: stats.clone() };
        let listener = Listener { signal, backends: backends.clone(), stats: stats.clone() };
        let config = config.outlet(name, signal, budget.stock().limit(), pipeline_batch);
        let outlet = match durable {
            Some(spool) => Outlet::durable(config, budget, sender, router, Arc::new(listener), spool),
            None => Arc::new(Outlet::watched(config, budget, sender, router, Arc::new(listener))),
        };
        let (stop, stopped) = watch::channel(());
        task::spawn("routes", follow(self.shared.clone(), outlet.clone(), backends.follow(), stopped));
        let outlet: Arc<dyn Outgoing> = Arc::new(Balanced { outlet, running: Mutex::new(Some((life, stop))) });
        let mut outlets = self.shared.outlets.lock();
        outlets.retain(|(_, outlet)| outlet.strong_count() > 0);
        outlets.push((signal, Arc::downgrade(&outlet)));
        Ok(outlet)
    }

    /// A look at its backends, for the metrics page.
    #[must_use]
    pub fn view(&self) -> LoadBalancerState {
        let address = |target: &Target| otlp_client::address(target.base().name(), DEFAULT_PORT);
        let mut view = self.shared.stats.view(&self.shared.name, self.shared.config.resolver.kind(), address);
        let mut lanes: BTreeMap<(&'static str, String), (Signal, LaneView)> = BTreeMap::new();
        for (signal, outlet) in self.shared.outlets.lock().iter() {
            for lane in outlet.upgrade().map(|outlet| outlet.view().lanes).unwrap_or_default() {
                let place = (signal.as_str(), address(&lane.target));
                // While a reload closes an outlet, a backend has a lane of that one and a lane of its successor.
                let before = lanes.remove(&place).map(|(_, before)| before);
                lanes.insert(place, (*signal, before.into_iter().fold(lane, LaneView::and)));
            }
        }
        view.lanes = lanes.into_iter().map(|((_, address), (signal, lane))| (signal, address, lane)).collect();
        view
    }
}

impl<B: Backend> Shared<B> {
    /// The tasks of the outlets, begun if there are none.
    fn live(self: &Arc<Self>) -> Arc<Life> {
        let mut life = self.life.lock();
        if let Some(life) = life.upgrade() {
            return life;
        }
        let resolver = (self.resolver)();
        if let Some(known) = resolver.known() {
            self.backends.resolved(clock::now(), Ok(known));
        }
        self.backends.refresh(clock::now(), |target| self.backend.prepare(target));
        let (answers, heard) = mpsc::channel(1);
        let (mut first, shared) = (Some(resolver), self.clone());
        let resolving = move || resolve(first.take().unwrap_or_else(|| (shared.resolver)()), answers.clone());
        let mut tasks = vec![
            task::keep("resolver", resolving).abort_handle(),
            task::spawn("backends", keep(self.clone(), heard)).abort_handle(),
        ];
        let probes = &self.config.endpoint_health.active_probe;
        if self.config.endpoint_health.enabled && probes.enabled {
            let (probes, backends, backend) = (probes.clone(), self.backends.clone(), self.backend.clone());
            let probing = move || probe::run(probes.clone(), backends.clone(), backend.clone());
            tasks.push(task::keep("probe", probing).abort_handle());
        }
        let new = Arc::new(Life(tasks));
        *life = Arc::downgrade(&new);
        new
    }
}

/// Passes on what the resolver says.
async fn resolve(mut resolver: Box<dyn Resolver>, answers: mpsc::Sender<Resolution>) {
    while let Some(answer) = resolver.next().await {
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

/// Makes the snapshots, and asks backends whose quarantine is over. Goes on after a panic, with the same resolver.
async fn keep<B: Backend>(shared: Arc<Shared<B>>, mut answers: mpsc::Receiver<Resolution>) {
    let mut restarts = Restarts::new("backends");
    while task::caught(make_snapshots(&shared, &mut answers)).await.is_none() {
        restarts.pause().await;
    }
}

async fn make_snapshots<B: Backend>(shared: &Arc<Shared<B>>, answers: &mut mpsc::Receiver<Resolution>) {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut questions = JoinSet::new();
    loop {
        let now = clock::now();
        for target in shared.backends.to_be_asked(now) {
            let backend = shared.backend.clone();
            questions.spawn(async move {
                let answer = tokio::time::timeout(ANSWER, backend.probe(&target, ProbeKind::GrpcHealth)).await;
                (target, matches!(answer, Ok(Ok(()))))
            });
        }
        let again = shared.backends.refresh(now, |target| shared.backend.prepare(target));
        tokio::select! {
            Some(answer) = answers.recv() => shared.backends.resolved(clock::now(), answer),
            Some(asked) = questions.join_next() => {
                if let Some((target, is_there)) = task::ended("question", asked) {
                    shared.backends.answered(clock::now(), &target, is_there);
                }
            }
            () = shared.backends.news() => {}
            () = clock::sleep_until(again) => {}
            _ = sweep.tick() => {
                let snapshot = shared.backends.snapshot();
                shared.stats.expire(clock::now(), |target| snapshot.is_resolved(target));
            }
        }
    }
}

/// Retires the lanes of backends that are not used any more, until the outlet is closed; then waits for the drains.
async fn follow<B: Backend>(
    shared: Arc<Shared<B>>,
    outlet: Arc<Outlet<Sender<B>, Router>>,
    mut changed: watch::Receiver<u64>,
    mut stopped: watch::Receiver<()>,
) {
    let mut drains = JoinSet::new();
    let mut kept = pin!(task::again("gather", || outlet.keep()));
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(ended) = drains.join_next() => drop(task::ended("drain", ended)),
            () = &mut kept => {}
            news = changed.changed() => {
                if news.is_err() {
                    break;
                }
                drains.spawn(retire(shared.clone(), outlet.clone()));
            }
        }
    }
    while let Some(ended) = drains.join_next().await {
        task::ended("drain", ended);
    }
}

/// One change: what waits for backends that are gone is sent for a while yet, what waits for quarantined ones leaves at once.
async fn retire<B: Backend>(shared: Arc<Shared<B>>, outlet: Arc<Outlet<Sender<B>, Router>>) {
    let snapshot = shared.backends.snapshot().clone();
    let gone = outlet.retire(|target| snapshot.is_resolved(&target.base()), shared.config.drain_timeout.0);
    let health = &shared.config.endpoint_health;
    if health.enabled && health.reroute_on_failure {
        let is_sick = |target: &Target| {
            let backend = target.base();
            snapshot.is_resolved(&backend) && !snapshot.is_used(&backend)
        };
        // Before it may be tried again, so that what leaves it does not come back to it.
        let leave = LEAVE.min(health.quarantine_duration.0 / 2);
        tokio::join!(gone, outlet.retire(|target| !is_sick(target), leave));
    } else {
        gone.await;
    }
    let now = shared.backends.snapshot().clone();
    shared.backend.retain(|target| now.is_resolved(target));
}

/// Sends, and counts what became of it.
pub struct Sender<B> {
    backend: B,
    backends: Arc<Backends>,
    stats: Arc<Stats>,
}

impl<B: Backend> Exporter for Sender<B> {
    fn scopes(&self, target: &Target) -> Vec<Scope> {
        self.backend.scopes(target)
    }

    async fn send(&self, target: &Target, request: Payload, deadline: Instant) -> Attempt {
        let began = clock::now();
        // Counted even if the lane drops this at the deadline.
        let (backends, stats, backend) = (&*self.backends, &*self.stats, &target.base());
        let mut counted = Counted { backends, stats, backend, request: request.clone(), began, is_over: false };
        let attempt = self.backend.send(target, request, deadline).await;
        counted.end(&attempt);
        attempt
    }
}

/// An attempt that is counted as failed if it is dropped.
struct Counted<'a> {
    backends: &'a Backends,
    stats: &'a Stats,
    backend: &'a Target,
    request: Payload,
    began: Instant,
    is_over: bool,
}

impl Counted<'_> {
    fn end(&mut self, attempt: &Attempt) {
        self.is_over = true;
        let now = clock::now();
        let took = now.saturating_duration_since(self.began);
        self.stats.backend(self.backend).attempted(took, &self.request, attempt);
        self.backends.tried(now, self.backend, attempt);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let why = Why::new(flow::Kind::Timeout, "");
            self.end(&Attempt::Retry { after: None, why, scope: Scope::Target });
        }
    }
}

/// Passes on what the lanes of a signal live through.
struct Listener {
    signal: Signal,
    backends: Arc<Backends>,
    stats: Arc<Stats>,
}

impl Watch for Listener {
    fn formed(&self, target: &Target, request: &Request, age: Duration, cause: Cause) {
        self.stats.backend(&target.base()).batches(self.signal).formed(&request.payload, age, cause);
    }

    fn halted(&self, target: &Target, why: &Why) {
        self.backends.halted(clock::now(), &target.base(), why);
    }

    fn passing(&self, target: &Target) {
        self.backends.passing(&target.base());
    }

    fn lost(&self, target: &Target, why: &Why, records: u64) {
        self.stats.backend(&target.base()).batches(self.signal).dropped.add(why.kind, records);
    }

    fn rerouted(&self, records: u64, found: bool) {
        self.stats.rerouted(records, found);
    }
}

/// An outlet that ends what follows it when it is closed.
struct Balanced<B: Backend> {
    outlet: Arc<Outlet<Sender<B>, Router>>,
    running: Mutex<Option<(Arc<Life>, watch::Sender<()>)>>,
}

impl<B: Backend> Outgoing for Balanced<B> {
    fn name(&self) -> &str {
        self.outlet.name()
    }

    fn waits(&self) -> bool {
        self.outlet.waits()
    }

    fn blocks(&self) -> bool {
        self.outlet.blocks()
    }

    fn is_short(&self, payload: &Payload) -> bool {
        self.outlet.is_short(payload)
    }

    fn is_at_ease(&self, payload: &Payload) -> bool {
        self.outlet.is_at_ease(payload)
    }

    fn count_missed(&self, kind: Kind, records: u64) {
        self.outlet.count_missed(kind, records);
    }

    fn retry_delay(&self) -> Duration {
        self.outlet.retry_delay()
    }

    fn is_durable(&self) -> bool {
        self.outlet.is_durable()
    }

    fn reserve_times(&self, payload: &Payload, stored: bool, times: u32) -> Result<Slot, Why> {
        self.outlet.reserve_times(payload, stored, times)
    }

    fn wait<'a>(
        &'a self,
        payload: &Payload,
        stored: bool,
        times: u32,
    ) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>> {
        self.outlet.wait(payload, stored, times)
    }

    fn store(&self, payload: Payload, slot: Slot, told: Ack, held: Ack) {
        self.outlet.store(payload, slot, told, held);
    }

    fn letters(&self) -> Option<Arc<dyn LetterBox>> {
        self.outlet.letters()
    }

    fn take_over(self: Arc<Self>) {
        self.outlet.clone().take_over();
    }

    fn push(&self, payload: Payload, slot: Slot, ack: Ack, waits: bool) -> Outcome {
        self.outlet.push(payload, slot, ack, waits)
    }

    fn send_now(&self, payload: Payload) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        self.outlet.send_now(payload)
    }

    fn view(&self) -> OutletView {
        self.outlet.view()
    }

    fn close(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // Backends that come or go while the last data leaves still matter; whoever follows them ends after that.
            let running = self.running.lock().take();
            self.outlet.close(deadline).await;
            drop(running);
        })
    }
}
