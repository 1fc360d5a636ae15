//! The page and its API, on the listener of a store's `api`: who asks, what is answered, and the files of the page.
//!
//! | to change | open |
//! |---|---|
//! | which paths there are | [`routes`] |
//! | what is asked of every request: token, host, origin, body | [`server`] |
//! | what an answer carries | [`answer`] |
//! | the files of the page | [`files`] |
//! | streams of events | [`events`] |
//! | who asks, and what there is to ask | [`me`] |
//! | records as they come | [`tail`] |
//! | all that matches, as a file | [`export`] |
//! | the pipeline while it works | [`state`] |
//! | what was not stored | [`losses`] |
//! | dead letters | [`letters`] |
//! | trying stages | [`trial`] |
//!
//! Questions to the store itself are answered by [`components::exporters::store::api`]. Of the program it knows what [`Pipeline`] says.
//!
//! Invariants: whoever may see the data of some tenants is shown nothing of others; connections, streams, bodies and answers are bounded;
//! nobody who reads slowly holds up anything but himself.

pub mod answer;
pub mod events;
pub mod export;
pub mod files;
pub mod letters;
pub mod losses;
pub mod me;
pub mod routes;
pub mod server;
pub mod state;
pub mod tail;
pub mod trial;

#[cfg(test)]
mod tests;

use arc_swap::ArcSwap;
use components::exporters::store::{Api, OpenStore};
use components::extensions::file_storage::letters::Boxed;
use flow::{Stop, clock};
use losses::Losses;
use net::host;
use net::tokens::Tokens;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::health::Status;
use telemetry::metrics::stages::StagesState;
use telemetry::metrics::{BudgetState, ExporterState, ReceiverState};
use tokio::sync::Semaphore;
use wire::Signal;

/// Streams and exports at once.
pub const MOST_STREAMS: usize = 64;
/// Between two looks at what the program counts.
const TICK: Duration = Duration::from_secs(1);

/// What runs, at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The memory budget.
    pub budget: BudgetState,
    /// The receivers, one per transport and signal.
    pub receivers: Vec<ReceiverState>,
    /// The processors, one per pipeline.
    pub processors: Vec<StagesState>,
    /// The exporters, one per signal.
    pub exporters: Vec<ExporterState>,
}

/// A pipeline as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its id.
    pub id: String,
    /// What it carries.
    pub signal: Signal,
    /// Where it begins.
    pub receivers: Vec<String>,
    /// What it passes, in order.
    pub processors: Vec<String>,
    /// Where it ends.
    pub exporters: Vec<String>,
}

/// The program, as far as its page shows it.
pub trait Pipeline: Send + Sync {
    /// What runs now.
    fn state(&self) -> State;
    /// The pipelines.
    fn shapes(&self) -> Vec<Shape>;
    /// Where it listens: what is spoken there, as in `otlp_grpc`, and the address.
    fn addresses(&self) -> Vec<(String, String)>;
    /// The dead letters of all exporters.
    fn letters(&self) -> Vec<Boxed>;
    /// Whether it takes data.
    fn health(&self) -> Status;
}

/// Whom it asks for a token, and what it shows.
struct Site {
    /// The exporter whose store it is.
    exporter: String,
    /// None: nobody is asked.
    tokens: Option<Tokens>,
    /// Whether it is for this machine only.
    is_local: bool,
    /// No token can be right: their files were bad at the start.
    is_shut: bool,
}

/// A text, and when it was made.
type Shown = Option<(Instant, Arc<str>)>;

/// A page that is served.
pub struct Web {
    pipeline: Arc<dyn Pipeline>,
    losses: Arc<Losses>,
    site: ArcSwap<Site>,
    streams: Arc<Semaphore>,
    /// The last state that was shown, and to whom: all of it, or without what belongs to tenants.
    shown: Mutex<[Shown; 2]>,
}

impl Web {
    /// The page of the store of an exporter.
    #[must_use]
    pub fn new(pipeline: Arc<dyn Pipeline>, losses: Arc<Losses>, exporter: &str, config: &Api) -> Arc<Web> {
        Arc::new(Web {
            pipeline,
            losses,
            site: ArcSwap::from_pointee(Site::new(exporter, config)),
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            shown: Mutex::default(),
        })
    }

    /// Shows another store, or asks for other tokens, from the next request on.
    pub fn configure(&self, exporter: &str, config: &Api) {
        self.site.store(Arc::new(Site::new(exporter, config)));
    }

    /// The store, if it is open.
    fn store(&self) -> Option<Arc<OpenStore>> {
        OpenStore::of_exporter(&self.site.load().exporter)
    }

    /// Looks after what changes by itself, until a stop is requested.
    async fn look_after(&self, stop: &Stop) {
        let mut every = tokio::time::interval(TICK);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                _ = stop.requested() => return,
            }
            self.losses.sample(&self.pipeline.state(), nanos());
            if let Some(tokens) = &self.site.load().tokens {
                tokens.look_if_due(clock::now());
            }
        }
    }
}

impl Site {
    fn new(exporter: &str, config: &Api) -> Site {
        let (exporter, is_local) = (exporter.to_owned(), host::is_of_this_machine(&config.endpoint));
        match config.tokens() {
            Ok(tokens) => Site { exporter, tokens, is_local, is_shut: false },
            Err(error) => {
                tracing::error!(%error, "the tokens of the page cannot be read: nobody may ask");
                Site { exporter, tokens: None, is_local, is_shut: true }
            }
        }
    }
}

/// Nanoseconds since the epoch.
fn nanos() -> u64 {
    u64::try_from(clock::since_epoch().as_nanos()).unwrap_or(u64::MAX)
}
