//! Everything that runs, from the moment all of it listens to the moment all of it has ended.
//!
//! Start: exporters are built, pages and receivers bound, and only then is anything accepted; if one part cannot, nothing runs.
//! Stop: receivers end first and have half of the grace for it, so that the lanes still have time for what came in last; from then on
//! stages hold nothing back. Then the inlets close, what stages still hold comes out, and the lanes drain until the deadline. What is left then is settled as failed, counted and logged.

use crate::app::assemble::{self, AssembleError, LiveOutlet, LiveStage};
use crate::app::listening::{self, Bound, ListenError, Listening};
use crate::app::pages::{self, PageError, PagePlan, Pages};
use crate::app::plan::Plan;
use crate::app::registry::Registry;
use crate::app::storage::{StorageError, Storages};
use crate::app::summary::Summary;
use crate::web::losses::Losses;
use components::exporters::store::OpenStore;
use components::extensions::file_storage::control::LetterBoxes;
use flow::clock::since_epoch;
use flow::inlet::{InletConfig, Opening};
use flow::{Acknowledge, Budget, Releaser, task};
use net::seats::Seats;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use telemetry::health::{Health, Phase};
use telemetry::logs::Log;
use telemetry::metrics::store::StoreState;
use telemetry::metrics::{BudgetState, Snapshot};
use telemetry::process::ProcessStats;
use telemetry::writer;
use tokio::task::JoinSet;

/// What the parts of the program share.
pub struct Shared {
    /// The memory budget.
    pub budget: Budget,
    /// What connections and open calls take of it.
    pub seats: Seats,
    /// The health.
    pub health: Health,
    /// What runs.
    pub registry: Arc<Registry>,
    /// The queues on disk.
    pub storages: Storages,
    /// The log, if it was set up.
    pub log: Option<Log>,
    /// What brings out records that stages hold back.
    pub releaser: Arc<Releaser>,
    /// The counts of the live summary.
    pub summary: Summary,
    /// What was not stored.
    pub losses: Arc<Losses>,
    /// Attributes of the program as a resource.
    pub(super) resource: Mutex<Vec<(String, String)>>,
    /// Records in queues on disk that were closed and that nothing sends now.
    left_on_disk: AtomicU64,
}

impl Shared {
    /// Who knows of dead letters.
    #[must_use]
    pub fn letters(&self) -> Arc<dyn LetterBoxes> {
        self.registry.clone()
    }

    /// What the metrics page shows.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = flow::clock::now();
        Snapshot {
            now,
            uptime: self.health.uptime(now),
            resource: self.resource.lock().clone(),
            budget: BudgetState::of(&self.budget),
            receivers: self.registry.receivers(),
            listeners: self.registry.listeners(),
            exporters: self.registry.exporters(),
            load_balancers: self.registry.load_balancers(),
            limiters: self.registry.limiters(),
            files: self.registry.file_states(),
            stages: self.registry.stages(),
            stores: stores(),
            process: ProcessStats::read(),
            reloads: self.registry.reloads(),
            suppressed_lines: self.log.as_ref().map_or(0, Log::suppressed),
            dropped_lines: writer::dropped(),
            task_panics: task::panics(),
            leaked: flow::ack::leaked(),
        }
    }
}

/// The stores that are open.
fn stores() -> Vec<StoreState> {
    let state = |(exporter, store): (String, Arc<OpenStore>)| {
        let stats = store.stats();
        StoreState {
            exporter,
            records: stats.records,
            bytes: stats.bytes,
            chunks: stats.chunks,
            parts: stats.parts,
            tenants: stats.tenants,
            stored_records: stats.stored_records,
            repeated_requests: stats.repeated_requests,
            repeated_records: stats.repeated_records,
            refused_requests: stats.refused_requests,
            damaged_chunks: stats.damaged_chunks,
            removed_parts: stats.removed_parts,
            queries: store.asked(),
            missed_rows: stats.lost_rows,
        }
    };
    OpenStore::all().into_iter().map(state).collect()
}

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is kept on disk cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An exporter cannot be built.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// A page cannot listen.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Receivers cannot listen.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Listen(Vec<ListenError>),
}

/// How long settling what is left may take beyond the deadline.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Records that were queued and could not be delivered in time.
    pub given_up: u64,
}

/// Everything that runs.
pub struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Plan,
    pub(super) outlets: Vec<LiveOutlet>,
    pub(super) stages: Vec<LiveStage>,
    pub(super) receivers: Vec<Listening>,
    pub(super) pages: Pages,
    /// What a reload replaced and is ending.
    pub(super) ending: JoinSet<()>,
    /// The releaser at work.
    releasing: JoinSet<()>,
}

impl Service {
    /// Starts what is planned. `lenient`: a page that cannot listen is a warning.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub async fn start(plan: Plan, log: Option<Log>, lenient: bool) -> Result<Service, StartError> {
        let budget = Budget::new(plan.budget.clone());
        let shared = Arc::new(Shared {
            health: Health::new(budget.clone(), flow::clock::now(), since_epoch()),
            seats: Seats::new(budget.clone()),
            budget,
            registry: Arc::default(),
            storages: Storages::default(),
            log,
            releaser: Arc::default(),
            summary: Summary::default(),
            losses: Arc::default(),
            resource: Mutex::new(plan.resource.clone()),
            left_on_disk: AtomicU64::new(0),
        });
        let stages = assemble::stages(&plan, &[])?;
        let taken = shared.storages.take(&plan).await?;
        let spools = shared.storages.open_all(&plan).await?;
        let outlets = assemble::outlets(&plan, &[], &shared.summary, &spools, &shared.budget)?;
        drop(spools);
        let mut pages = Pages::default();
        let wanted = PagePlan::all(&plan);
        let mut bound_pages = vec![];
        for page in &wanted {
            match pages::bind(page).await {
                Ok(page) => bound_pages.push(page),
                Err(error) if lenient => tracing::warn!(%error, "running without this page"),
                Err(error) => return Err(error.into()),
            }
        }
        pages.change(&wanted, bound_pages, &shared);
        let receivers = match bind_all(&plan, &shared).await {
            Ok(bound) => bound,
            Err(errors) => {
                pages.stop().await;
                return Err(StartError::Listen(errors));
            }
        };
        for receiver in &receivers {
            receiver.inlets.reopen(|signal| assemble::opening(&plan, &receiver.plan.id, signal, &outlets, &stages));
        }
        shared.registry.update(&plan, &outlets, &stages);
        shared.storages.switch(&plan, taken, &shared.letters());
        let funnels = plan.pipelines.iter().map(|p| assemble::funnel(p, &outlets, &stages));
        shared.releaser.replace(funnels.collect(), plan.inlet.acknowledge);
        let mut releasing = JoinSet::new();
        let releaser = shared.releaser.clone();
        releasing.spawn(task::again("releaser", move || releaser.clone().run()));
        shared.registry.configured(true, since_epoch());
        let receivers: Vec<_> = receivers.into_iter().map(|receiver| receiver.start(&shared.registry)).collect();
        shared.registry.listens(&receivers);
        shared.health.enter(Phase::Running);
        announce(&plan);
        Ok(Service { shared, plan, outlets, stages, receivers, pages, ending: JoinSet::new(), releasing })
    }

    /// What the parts share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What runs.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The receivers.
    #[must_use]
    pub fn receivers(&self) -> &[Listening] {
        &self.receivers
    }

    /// The pages.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Ends everything within `grace`.
    pub async fn stop(self, grace: Duration) -> Ended {
        let Service { shared, plan, outlets, stages, receivers, pages, mut ending, releasing } = self;
        let deadline = flow::clock::now() + grace;
        shared.health.enter(Phase::Draining);
        tracing::info!(?grace, records = shared.budget.records(), "stopping");
        receivers.iter().for_each(|receiver| receiver.stop(grace / 2));
        shared.releaser.begin_end();
        let inlets: Vec<_> = receivers.iter().map(|receiver| receiver.inlets.clone()).collect();
        for receiver in receivers {
            receiver.ended().await;
        }
        for inlets in &inlets {
            inlets.reopen(|_| Opening { funnels: vec![], config: InletConfig::default() });
        }
        shared.releaser.end(flow::clock::now() + deadline.saturating_duration_since(flow::clock::now()) / 2).await;
        drop((releasing, stages));
        for outlet in outlets {
            ending.spawn(close(outlet, shared.clone(), deadline));
        }
        let all_ended = async {
            while let Some(ended) = ending.join_next().await {
                task::ended("drain", ended);
            }
        };
        // What a reload with a longer timeout left behind must not hold up this end.
        if tokio::time::timeout_at((deadline + LAST_WORDS).into(), all_ended).await.is_err() {
            tracing::error!("replaced exporters did not end in time");
            ending.detach_all();
        }
        for inlets in inlets {
            inlets.end().await;
        }
        let left = shared.budget.records();
        if left > 0 {
            tracing::error!(records = left, "records are unaccounted for");
        }
        let given_up = shared.registry.given_up() + left;
        shared.storages.stop().await;
        pages.stop().await;
        let on_disk = shared.left_on_disk.load(Relaxed);
        if given_up > 0 {
            tracing::error!(given_up, on_disk, grace = ?plan.shutdown_timeout, "stopped: records could not be delivered in time");
        } else if on_disk > 0 {
            tracing::warn!(on_disk, "stopped: records wait on disk for the next start");
        } else {
            tracing::info!("stopped: everything taken in was delivered or settled");
        }
        Ended { given_up }
    }
}

/// Opens the listeners of all receivers, or says everything that is in the way.
async fn bind_all(plan: &Plan, shared: &Shared) -> Result<Vec<Bound>, Vec<ListenError>> {
    let (mut bound, mut errors) = (vec![], vec![]);
    for receiver in &plan.receivers {
        let inlets = listening::ReceiverInlets::default();
        match listening::bind(receiver, inlets, &shared.seats, &shared.registry).await {
            Ok(receiver) => bound.push(receiver),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(bound) } else { Err(errors) }
}

/// Ends an outlet by the deadline, and says what was given up.
pub(super) async fn close(outlet: LiveOutlet, shared: Arc<Shared>, deadline: Instant) {
    outlet.outgoing.close(deadline).await;
    let given_up = shared.registry.closed(&outlet);
    if let Some(lease) = outlet.spool {
        drop(outlet.outgoing);
        if let Some(left) = lease.release().await.filter(|left| left.records > 0) {
            tracing::info!(
                exporter = %outlet.plan.id, signal = %outlet.plan.signal, directory = %left.directory.display(),
                records = left.records, "records stay in the queue on disk"
            );
            shared.left_on_disk.fetch_add(left.records, Relaxed);
        }
    }
    if given_up > 0 {
        tracing::error!(exporter = %outlet.plan.id, signal = %outlet.plan.signal, given_up, "queued records were given up");
    }
}

/// The start-up line: what runs, and what an answer of success means.
fn announce(plan: &Plan) {
    let means = match plan.inlet.acknowledge {
        _ if plan.inlet.sync => "data acknowledged is delivered; nothing is queued",
        Acknowledge::Queued => "data acknowledged is in memory until delivered; a crash loses what is queued",
        Acknowledge::Durable => "data acknowledged is on disk, or in memory for exporters without storage",
        Acknowledge::Delivered => "data acknowledged is delivered",
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pipelines = plan.pipelines.len(),
        budget_mib = plan.budget.bytes >> 20,
        acknowledge = means,
        "ready"
    );
}
