//! What runs, for those who look at it: the metrics page, the health check, the summary at the end.
//!
//! Counters live as long as what they count is configured, over any number of reloads: those of a receiver are handed to its
//! successor, those of a closed outlet are added to its successor's. Invariant: it holds outlets weakly, so that it never keeps
//! one alive.

use crate::app::assemble::{LiveOutlet, LiveStage};
use crate::app::listening::Listening;
use crate::app::plan::{PipelinePlan, Plan};
use crate::web::Shape;
use components::exporters::load_balancing::LoadBalancing;
use components::extensions::file_storage::control::LetterBoxes;
use components::extensions::file_storage::letters::Boxed;
use components::processors::Built;
use components::receivers::file_log::FileStats;
use flow::outlet::OutletView;
use flow::stats::InletStats;
use flow::{Kind, Outgoing};
use net::listen::ListenStats;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use telemetry::metrics::files::FilesState;
use telemetry::metrics::load_balancing::LoadBalancerState;
use telemetry::metrics::stages::StagesState;
use telemetry::metrics::{ExporterState, ExporterTotals, LimiterState, ListenerState, ReceiverState, ReloadState};
use wire::Signal;

/// The kinds of refusals that are a memory limiter's.
const MEMORY: [Kind; 3] = [Kind::SoftLimit, Kind::HardLimit, Kind::TenantShare];

type DoorKey = (String, &'static str, Signal);

/// See the module.
#[derive(Default)]
pub struct Registry(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    doors: BTreeMap<DoorKey, Arc<InletStats>>,
    listeners: BTreeMap<(String, &'static str), Arc<ListenStats>>,
    /// What receivers of files have counted.
    files: BTreeMap<String, Arc<FileStats>>,
    exporters: BTreeMap<(String, Signal), Generations>,
    /// The exporters that balance over backends, by id.
    balancers: BTreeMap<String, LoadBalancing>,
    /// The stages of pipelines.
    stages: Vec<LiveStage>,
    /// The pipelines, and where the receivers listen.
    shapes: Vec<Shape>,
    addresses: Vec<(String, String)>,
    /// Each limiter and signal with the receivers before it.
    limiters: BTreeMap<(String, Signal), Vec<String>>,
    reloads: ReloadState,
    /// Records that closed outlets could not deliver in time.
    given_up: u64,
}

/// The outlets that an exporter had for one signal.
#[derive(Default)]
struct Generations {
    /// The present one last; those before it are closing.
    live: Vec<Weak<dyn Outgoing>>,
    /// Those that are closed.
    past: ExporterTotals,
    /// Whether it is in the configuration.
    wanted: bool,
    /// Where it keeps what waits.
    directory: Option<PathBuf>,
}

impl Registry {
    /// The counters of a receiver on a transport for a signal: the same ones whenever it is asked.
    pub fn door(&self, receiver: &str, transport: &'static str, signal: Signal) -> Arc<InletStats> {
        self.0.lock().doors.entry((receiver.to_owned(), transport, signal)).or_default().clone()
    }

    /// What a receiver of files counts: the same whenever it is asked.
    pub fn files(&self, receiver: &str) -> Arc<FileStats> {
        self.0.lock().files.entry(receiver.to_owned()).or_default().clone()
    }

    /// The receivers of files.
    pub fn file_states(&self) -> Vec<FilesState> {
        let files: Vec<_> = self.0.lock().files.iter().map(|(id, stats)| (id.clone(), stats.clone())).collect();
        let state = |(receiver, stats): (String, Arc<FileStats>)| {
            let view = stats.view();
            let troubles = tail::Trouble::ALL.map(tail::Trouble::as_str).into_iter().zip(view.troubles).collect();
            FilesState {
                receiver,
                files: view.files,
                open: view.open,
                left_out: view.left_out,
                unread_bytes: view.unread_bytes,
                lost_bytes: view.lost_bytes,
                emptied: view.emptied,
                moved: view.moved,
                operator_failures: view.failures,
                troubles,
            }
        };
        files.into_iter().map(state).collect()
    }

    /// Takes note of a listener that was opened: it takes the place of the one before it.
    pub fn listener(&self, receiver: &str, transport: &'static str, stats: Arc<ListenStats>) {
        self.0.lock().listeners.insert((receiver.to_owned(), transport), stats);
    }

    /// Takes note of what runs now.
    pub fn update(&self, plan: &Plan, outlets: &[LiveOutlet], stages: &[LiveStage]) {
        let mut inner = self.0.lock();
        let is_planned = |receiver: &str| plan.receivers.iter().any(|r| r.id.to_string() == receiver);
        inner.doors.retain(|(receiver, ..), _| is_planned(receiver));
        inner.listeners.retain(|(receiver, _), _| is_planned(receiver));
        inner.files.retain(|receiver, _| is_planned(receiver));
        inner.exporters.values_mut().for_each(|e| e.wanted = false);
        for outlet in outlets {
            let entry = inner.exporters.entry((outlet.plan.id.to_string(), outlet.plan.signal)).or_default();
            entry.wanted = true;
            entry.directory = outlet.plan.storage.as_ref().map(|storage| storage.directory.clone());
            let weak = Arc::downgrade(&outlet.outgoing);
            if !entry.live.iter().any(|known| known.ptr_eq(&weak)) {
                entry.live.push(weak);
            }
        }
        inner.exporters.retain(|_, e| e.wanted || !e.live.is_empty());
        let balancer = |outlet: &LiveOutlet| Some((outlet.plan.id.to_string(), outlet.balancer.clone()?));
        inner.balancers = outlets.iter().filter_map(balancer).collect();
        inner.stages = stages.to_vec();
        inner.shapes = plan.pipelines.iter().map(|pipeline| shape(plan, pipeline)).collect();
        inner.limiters.clear();
        for pipeline in &plan.pipelines {
            for limiter in &pipeline.limiters {
                let before = inner.limiters.entry((limiter.to_string(), pipeline.signal)).or_default();
                for receiver in pipeline.receivers.iter().map(ToString::to_string) {
                    if !before.contains(&receiver) {
                        before.push(receiver);
                    }
                }
            }
        }
    }

    /// Takes note of where receivers listen.
    pub fn listens(&self, receivers: &[Listening]) {
        let key = |receiver: &Listening, transport: &str| {
            let kind = &receiver.plan.id.kind;
            if kind == "otlp" || kind == "loki" { format!("{kind}_{transport}") } else { receiver.plan.id.to_string() }
        };
        let each = |receiver: &Listening| {
            let named = receiver.addresses.iter().map(|(transport, at)| {
                let place = if *transport == "http" { format!("http://{at}") } else { at.to_string() };
                (key(receiver, transport), place)
            });
            named.collect::<Vec<_>>()
        };
        self.0.lock().addresses = receivers.iter().flat_map(each).collect();
    }

    /// Where receivers listen: what is spoken there, and the address.
    pub fn addresses(&self) -> Vec<(String, String)> {
        self.0.lock().addresses.clone()
    }

    /// The pipelines.
    pub fn shapes(&self) -> Vec<Shape> {
        self.0.lock().shapes.clone()
    }

    /// Takes note that an outlet is closed: its counters become the past of its successor. Gives the records that it could not
    /// deliver in time.
    pub fn closed(&self, outlet: &LiveOutlet) -> u64 {
        let stats = outlet.outgoing.view().stats;
        let given_up = stats.failed.iter().filter(|(kind, _)| *kind == Kind::Stopping).map(|(_, n)| n).sum();
        let mut inner = self.0.lock();
        inner.given_up += given_up;
        let key = (outlet.plan.id.to_string(), outlet.plan.signal);
        if let Some(entry) = inner.exporters.get_mut(&key) {
            let weak = Arc::downgrade(&outlet.outgoing);
            entry.live.retain(|known| !known.ptr_eq(&weak));
            entry.past.add(&stats);
            if !entry.wanted && entry.live.is_empty() {
                inner.exporters.remove(&key);
            }
        }
        given_up
    }

    /// Records that closed outlets could not deliver in time, all together.
    pub fn given_up(&self) -> u64 {
        self.0.lock().given_up
    }

    /// Takes note of a configuration that was put to use at this time since the epoch. The first one is no reload.
    pub fn configured(&self, first: bool, at: Duration) {
        let reloads = &mut self.0.lock().reloads;
        reloads.succeeded += u64::from(!first);
        (reloads.last_successful, reloads.last_success) = (true, at);
    }

    /// Takes note of a reload that changed nothing.
    pub fn not_configured(&self) {
        let reloads = &mut self.0.lock().reloads;
        reloads.failed += 1;
        reloads.last_successful = false;
    }

    /// The exporters that balance over backends.
    pub fn load_balancers(&self) -> Vec<LoadBalancerState> {
        let balancers: Vec<LoadBalancing> = self.0.lock().balancers.values().cloned().collect();
        balancers.iter().map(LoadBalancing::view).collect()
    }

    /// The stages of pipelines.
    pub fn stages(&self) -> Vec<StagesState> {
        // Their own locks are not taken with this one.
        let stages = self.0.lock().stages.clone();
        let state = |live: &LiveStage| {
            let mut state = StagesState {
                processor: live.plan.id.to_string(),
                pipeline: live.pipeline.to_string(),
                signal: live.signal,
                ..StagesState::default()
            };
            let stage = match &live.stage {
                Built::LokiStages(stage) => stage,
                Built::Plain(stage) => {
                    (state.incoming, state.outgoing) = (stage.records(), stage.records());
                    return state;
                }
            };
            let (books, pipeline) = (stage.books(), stage.pipeline());
            StagesState {
                incoming: books.incoming.get(),
                outgoing: books.outgoing.get(),
                dropped: books.dropped(),
                held: stage.held() as u64,
                joined: pipeline.joined(),
                split: pipeline.split(),
                failures: pipeline.failures(),
                refused_series: pipeline.refused_series(),
                samples: stage.samples(),
                ..state
            }
        };
        stages.iter().map(state).collect()
    }

    /// What became of reloads.
    pub fn reloads(&self) -> ReloadState {
        self.0.lock().reloads.clone()
    }

    /// The receivers.
    pub fn receivers(&self) -> Vec<ReceiverState> {
        let state = |((receiver, transport, signal), stats): (&DoorKey, &Arc<InletStats>)| ReceiverState {
            receiver: receiver.clone(),
            transport,
            signal: *signal,
            stats: stats.clone(),
        };
        self.0.lock().doors.iter().map(state).collect()
    }

    /// The listeners of the receivers.
    pub fn listeners(&self) -> Vec<ListenerState> {
        let state = |((receiver, transport), stats): (&(String, &'static str), &Arc<ListenStats>)| ListenerState {
            receiver: receiver.clone(),
            transport,
            stats: stats.clone(),
        };
        self.0.lock().listeners.iter().map(state).collect()
    }

    /// The exporters; those that are being closed count with their successors.
    pub fn exporters(&self) -> Vec<ExporterState> {
        // The views are taken without the lock: a lane's own is behind it.
        let all: Vec<_> = {
            let inner = self.0.lock();
            let live = |e: &Generations| e.live.iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
            inner.exporters.iter().map(|(key, e)| (key.clone(), e.past.clone(), live(e))).collect()
        };
        let mut states = vec![];
        for ((exporter, signal), mut totals, live) in all {
            let views: Vec<OutletView> = live.iter().map(|outlet| outlet.view()).collect();
            views.iter().for_each(|view| totals.add(&view.stats));
            states.push(ExporterState {
                exporter,
                signal,
                totals,
                queue_size: views.iter().map(|v| v.queue_size).sum(),
                queue_capacity: views.last().map_or(0, |v| v.queue_capacity),
                bytes: views.iter().map(|v| v.bytes).sum(),
                // Generations of an exporter share what is on disk.
                spool: views.iter().rev().find_map(|v| v.spool.clone()),
                halted_scopes: [0, 1, 2].map(|scope| views.iter().map(|v| v.halted_scopes[scope]).sum()),
                lanes: views.into_iter().flat_map(|v| v.lanes).collect(),
            });
        }
        states
    }

    /// The memory limiters, as a view of the receivers' counters.
    pub fn limiters(&self) -> Vec<LimiterState> {
        let inner = self.0.lock();
        let mut states = vec![];
        for ((processor, signal), receivers) in &inner.limiters {
            let doors =
                inner.doors.iter().filter(|((receiver, _, of), _)| of == signal && receivers.contains(receiver));
            let mut state = LimiterState { processor: processor.clone(), signal: *signal, accepted: 0, refused: 0 };
            for (_, stats) in doors {
                let all = stats.shed.iter().chain(stats.refused.iter());
                state.refused += all.filter(|(kind, _)| MEMORY.contains(kind)).map(|(_, n)| n).sum::<u64>();
                state.accepted += stats.accepted.get();
            }
            states.push(state);
        }
        states
    }
}

fn shape(plan: &Plan, pipeline: &PipelinePlan) -> Shape {
    Shape {
        id: pipeline.id.to_string(),
        signal: pipeline.signal,
        receivers: pipeline.receivers.iter().map(ToString::to_string).collect(),
        processors: pipeline.stages.iter().map(|stage| stage.id.to_string()).collect(),
        exporters: pipeline.outlets.iter().map(|at| plan.outlets[*at].id.to_string()).collect(),
    }
}

impl LetterBoxes for Registry {
    fn boxes(&self, directory: &Path) -> Vec<Boxed> {
        let inner = self.0.lock();
        let kept =
            inner.exporters.iter().filter(|(_, e)| e.directory.as_ref().is_some_and(|d| d.starts_with(directory)));
        let boxed = |((exporter, signal), e): (&(String, Signal), &Generations)| {
            let letters = e.live.iter().rev().filter_map(Weak::upgrade).find_map(|outlet| outlet.letters())?;
            Some(Boxed { exporter: exporter.clone(), signal: *signal, letters })
        };
        kept.filter_map(boxed).collect()
    }
}
