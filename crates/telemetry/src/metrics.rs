//! The metrics page: what a moment of the program looks like, and under which names.
//!
//! A [`Snapshot`] is plain data; [`render`] turns it into text. Names and labels are the OpenTelemetry Collector's wherever it
//! has one (without `_total`, as its own default reader writes them), and `bywash_…` for what it lacks.
//!
//! Invariant: the label sets are bounded by the configuration, whatever the input: reasons are a closed list, and of lanes,
//! which come and go with the data, at most [`MAX_LANES`] per exporter and signal are shown one by one, and the series of `metrics`
//! stages are bounded by those.

mod exporters;
pub mod files;
pub mod load_balancing;
mod program;
mod receivers;
mod spool;
pub mod stages;
pub mod store;

use crate::exposition::Page;
use crate::process::ProcessStats;
use flow::lane::LaneView;
use flow::spool::SpoolView;
use flow::stats::{ByKind, ExporterStats, InletStats};
use flow::{Kind, Level};
use net::listen::ListenStats;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Signal;

/// Lanes of one exporter and signal that are shown one by one: those with the oldest records.
pub const MAX_LANES: usize = 100;

/// One moment of the program.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub now: Instant,
    /// Since the program began.
    pub uptime: Duration,
    /// Attributes of the program as a resource.
    pub resource: Vec<(String, String)>,
    /// Its memory budget.
    pub budget: BudgetState,
    /// Its receivers, one per transport and signal.
    pub receivers: Vec<ReceiverState>,
    /// The listeners of its receivers.
    pub listeners: Vec<ListenerState>,
    /// Its exporters, one per signal.
    pub exporters: Vec<ExporterState>,
    /// Its load balancing exporters.
    pub load_balancers: Vec<load_balancing::LoadBalancerState>,
    /// Its memory limiters, one per signal.
    pub limiters: Vec<LimiterState>,
    /// Its receivers that read files.
    pub files: Vec<files::FilesState>,
    /// Its processors that run stages, one per pipeline.
    pub stages: Vec<stages::StagesState>,
    /// Its stores.
    pub stores: Vec<store::StoreState>,
    /// What the operating system says.
    pub process: Option<ProcessStats>,
    /// What became of reloads.
    pub reloads: ReloadState,
    /// Lines that the log left out.
    pub suppressed_lines: u64,
    /// Lines that were not written, by output.
    pub dropped_lines: Vec<(String, u64)>,
    /// Panics of tasks that belong to no exporter, by task.
    pub task_panics: Vec<(&'static str, u64)>,
    /// Acknowledgements dropped unsettled.
    pub leaked: u64,
}

/// The memory budget.
#[derive(Clone, Debug)]
pub struct BudgetState {
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes that may be in use.
    pub limit: u64,
    /// The part of each limit from which on only priority records enter.
    pub soft: f64,
    /// Records in use.
    pub records: u64,
    /// Records that may be in use; 0 is no limit.
    pub max_records: u64,
    /// Requests in use.
    pub requests: u64,
    /// Requests that may be in use; 0 is no limit.
    pub max_requests: u64,
    /// Tenants with an account.
    pub tenants: u64,
    /// Who may enter.
    pub level: Level,
    /// Of those bytes, what open calls take beside their bodies.
    pub call_bytes: u64,
    /// What connections, and what lanes, take off the limit.
    pub connection_bytes: u64,
    /// See `connection_bytes`.
    pub lane_bytes: u64,
}

impl BudgetState {
    /// A budget as it is now.
    #[must_use]
    pub fn of(budget: &flow::Budget) -> BudgetState {
        let config = budget.config();
        BudgetState {
            bytes: budget.bytes(),
            limit: config.bytes,
            soft: config.soft,
            records: budget.records(),
            max_records: config.records,
            requests: budget.requests(),
            max_requests: config.requests,
            tenants: budget.tenants() as u64,
            level: budget.level(),
            call_bytes: budget.call_bytes(),
            connection_bytes: budget.connection_bytes(),
            lane_bytes: budget.lane_bytes(),
        }
    }
}

/// A receiver on one transport, for one signal.
#[derive(Clone, Debug)]
pub struct ReceiverState {
    /// Its id.
    pub receiver: String,
    /// `grpc` or `http`.
    pub transport: &'static str,
    /// What it takes.
    pub signal: Signal,
    /// Its counters.
    pub stats: Arc<InletStats>,
}

/// A listener of a receiver.
#[derive(Clone, Debug)]
pub struct ListenerState {
    /// The receiver's id.
    pub receiver: String,
    /// `grpc` or `http`.
    pub transport: &'static str,
    /// Its counters.
    pub stats: Arc<ListenStats>,
}

/// An exporter, for one signal.
#[derive(Clone, Debug)]
pub struct ExporterState {
    /// Its id.
    pub exporter: String,
    /// What it sends.
    pub signal: Signal,
    /// What it has counted.
    pub totals: ExporterTotals,
    /// What its queue holds, in units of its sizer.
    pub queue_size: u64,
    /// What its queue may hold, in units of its sizer.
    pub queue_capacity: u64,
    /// Bytes it holds.
    pub bytes: u64,
    /// Its lanes.
    pub lanes: Vec<LaneView>,
    /// What lanes share and that does not pass now, in the order of [`Scope::SHARED`](flow::Scope::SHARED).
    pub halted_scopes: [u64; 3],
    /// What it keeps on disk, if it does.
    pub spool: Option<SpoolView>,
}

/// A memory limiter, for one signal.
#[derive(Clone, Debug)]
pub struct LimiterState {
    /// Its id.
    pub processor: String,
    /// What passes through it.
    pub signal: Signal,
    /// Records let through.
    pub accepted: u64,
    /// Records turned away for want of memory.
    pub refused: u64,
}

/// What became of reloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadState {
    /// Reloads that were put to use.
    pub succeeded: u64,
    /// Reloads that left everything as it was.
    pub failed: u64,
    /// Whether the last one succeeded; the first start counts.
    pub last_successful: bool,
    /// When a configuration was last put to use, since the epoch.
    pub last_success: Duration,
}

/// The counters of an exporter as plain numbers, so that those of its predecessors can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExporterTotals {
    /// Records that the destination took.
    pub sent: u64,
    /// Records given up or refused by the destination, by reason.
    pub failed: Reasons,
    /// Records that found no room, by reason.
    pub enqueue_failed: Reasons,
    /// Requests that were taken.
    pub requests: u64,
    /// Encoded bytes of those.
    pub request_bytes: u64,
    /// Records whose request failed and was tried again, once per try, by reason.
    pub retried: Reasons,
    /// Records refused within requests that were taken.
    pub partial: u64,
    /// Requests tried again in their parts.
    pub divided: u64,
    /// Panics of lanes.
    pub lane_panics: u64,
    /// Panics of sends.
    pub send_panics: u64,
    /// Requests out now.
    pub in_flight: u64,
    /// Requests waiting for their next try.
    pub waiting: u64,
}

/// A number for each reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons([u64; Kind::ALL.len()]);

impl Default for Reasons {
    fn default() -> Self {
        Reasons([0; Kind::ALL.len()])
    }
}

impl Reasons {
    fn add(&mut self, by: &ByKind) {
        for (kind, n) in by.iter() {
            self.0[kind as usize] += n;
        }
    }

    /// The reasons that have occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.iter().map(|kind| (*kind, self.0[*kind as usize])).filter(|(_, n)| *n > 0)
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl ExporterTotals {
    /// Adds what an exporter has counted.
    pub fn add(&mut self, stats: &ExporterStats) {
        self.sent += stats.sent.get();
        self.failed.add(&stats.failed);
        self.enqueue_failed.add(&stats.enqueue_failed);
        self.requests += stats.requests.get();
        self.request_bytes += stats.bytes.get();
        self.retried.add(&stats.retries);
        self.partial += stats.partial.get();
        self.divided += stats.divided.get();
        self.lane_panics += stats.lane_panics.get();
        self.send_panics += stats.send_panics.get();
        self.in_flight += stats.in_flight.get();
        self.waiting += stats.waiting.get();
    }
}

/// The page of a moment.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = Page::new();
    receivers::render(&mut page, snapshot);
    files::render(&mut page, &snapshot.files);
    exporters::render(&mut page, snapshot);
    spool::render(&mut page, snapshot);
    load_balancing::render(&mut page, &snapshot.load_balancers, snapshot.now);
    store::render(&mut page, &snapshot.stores);
    program::render(&mut page, snapshot);
    // Last: a metric that a user names gives way to the program's own.
    stages::render(&mut page, &snapshot.stages);
    page.finish()
}

#[cfg(test)]
mod tests;
