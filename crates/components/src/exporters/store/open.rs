//! The stores that are open: one for each directory or database, shared by the exporters of successive configurations.
//!
//! An exporter that a reload replaces and its successor have the same store; what is said of retention last, by an exporter that still
//! lives, is in force. The last of them closes the store: what is in memory is written to segments, and the directory is free. A database
//! that is reached in another way than before, by another password perhaps, is opened anew beside the old one.
//!
//! Invariants: nothing of this waits for a disk or a database on a task: threads do, and of those a store has a bound, so that a disk that hangs does
//! not take all threads of the process.

use super::{Config, Driver, Retention, postgres, serve};
use ::store::disk::RealDisk;
use ::store::{Engine, Refused, Stats, Store};
use flow::{Stop, Stopper, task};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;
use wire::Signal;

/// Threads that wait for the disk of one store.
const MOST_THREADS: usize = 32;
/// Questions that are answered at once.
const MOST_QUESTIONS: usize = 4;
/// Between two looks at what is to be written or removed.
const TICK: Duration = Duration::from_secs(1);

/// All stores of the process.
static STORES: Mutex<Vec<Weak<OpenStore>>> = Mutex::new(Vec::new());

/// A store that is open for as long as this lives.
pub struct OpenStore {
    path: PathBuf,
    store: Arc<dyn Engine>,
    /// The keys that its engine was made by.
    made_by: Config,
    handles: Mutex<Vec<Weak<Handle>>>,
    threads: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    /// Questions that were asked.
    asked: AtomicU64,
    /// What is told of it, which takes too long to be made for everybody who looks.
    stats: Mutex<Stats>,
    /// Whether it was said in the log that it cannot write.
    is_told: AtomicBool,
    /// Dropped with the store, which ends its socket.
    _stopper: Stopper,
}

/// What an exporter holds.
pub(super) struct Handle {
    exporter: String,
    retention: Retention,
    pub store: Arc<OpenStore>,
}

/// The store of a configuration, for the exporter of this name. Must be called within a runtime.
///
/// # Errors
/// The directory cannot be used, or another process or exporter uses it.
pub(super) fn open(exporter: &str, config: &Config) -> Result<Arc<Handle>, String> {
    let failed = |error: io::Error| format!("{}: {}", config.path, said(&error));
    let path = match config.driver {
        Driver::Embedded => {
            std::fs::create_dir_all(&config.path).map_err(failed)?;
            Path::new(&config.path).canonicalize().map_err(failed)?
        }
        Driver::Postgres => postgres::place(config)?,
    };
    let mut stores = STORES.lock();
    stores.retain(|store| store.strong_count() > 0);
    let there: Vec<_> = stores.iter().filter_map(Weak::upgrade).filter(|store| store.path == path).collect();
    let others = there.iter().filter_map(|store| store.current()).find(|other| other.exporter != exporter);
    if let Some(other) = others {
        return Err(format!("the exporter {} keeps its data in {} already", other.exporter, path.display()));
    }
    let store = match there.into_iter().find(|store| store.is_made_by(config)) {
        Some(store) => store,
        None => {
            let engine: Arc<dyn Engine> = match config.driver {
                Driver::Embedded => Arc::new(embedded(&path, config.retention, now()).map_err(failed)?),
                Driver::Postgres => postgres::open(config)?,
            };
            let (store, stop) = OpenStore::new(path, engine, config);
            let store = Arc::new(store);
            if let Err(error) = store.listen(stop) {
                let socket = serve::path(store.path());
                tracing::warn!(socket = %socket.display(), %error, "`bywash query` cannot ask this process");
            }
            let weak = Arc::downgrade(&store);
            task::keep("store", move || tick(weak.clone()));
            stores.push(Arc::downgrade(&store));
            store
        }
    };
    drop(stores);
    let (exporter, retention) = (exporter.to_owned(), config.retention);
    let handle = Arc::new(Handle { exporter, retention, store });
    handle.store.handles.lock().push(Arc::downgrade(&handle));
    Ok(handle)
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "another process uses this directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Opens the store of a directory.
fn embedded(path: &Path, retention: Retention, now: u64) -> io::Result<Store> {
    let config = ::store::Config {
        max_age: retention.max_age(),
        max_bytes: retention.max_bytes(),
        ..::store::Config::default()
    };
    let (store, found) = Store::open(Arc::new(RealDisk), path, config, now)?;
    tracing::info!(path = %path.display(), replayed = found.replayed, "the store is open");
    if (found.lost, found.foreign) != (0, 0) {
        let (lost, foreign) = (found.lost, found.foreign);
        tracing::error!(path = %path.display(), lost, foreign, "the store was damaged: what could be read is there");
    }
    Ok(store)
}

/// Nanoseconds since the epoch.
pub(super) fn now() -> u64 {
    u64::try_from(flow::clock::since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

/// Does something that waits for the disk. None if the runtime ends; a panic goes on here.
pub(super) async fn on_thread<T: Send + 'static>(
    store: &Arc<OpenStore>,
    what: impl FnOnce(&OpenStore) -> T + Send + 'static,
) -> Option<T> {
    let store = store.clone();
    let permit = store.threads.clone().acquire_owned().await.ok()?;
    let done = tokio::task::spawn_blocking(move || {
        let done = what(&store);
        // Not before the store, which may be the last of its kind and write.
        drop(store);
        drop(permit);
        done
    });
    match done.await {
        Ok(done) => Some(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

/// Looks after a store for as long as it is open.
async fn tick(store: Weak<OpenStore>) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(store) = store.upgrade() else { return };
        on_thread(&store, |store| store.tick(now())).await;
    }
}

impl OpenStore {
    fn new(path: PathBuf, store: Arc<dyn Engine>, config: &Config) -> (OpenStore, Stop) {
        let (stopper, stop) = Stopper::new();
        let open = OpenStore {
            path,
            store,
            made_by: config.clone(),
            handles: Mutex::default(),
            threads: Arc::new(Semaphore::new(MOST_THREADS)),
            questions: Arc::new(Semaphore::new(MOST_QUESTIONS)),
            asked: AtomicU64::new(0),
            stats: Mutex::default(),
            is_told: AtomicBool::new(false),
            _stopper: stopper,
        };
        (open, stop)
    }

    /// Its directory; of a database its address, without what is secret.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds, for questions.
    #[must_use]
    pub fn store(&self) -> &dyn Engine {
        &*self.store
    }

    /// Whether these keys are of the same store, reached in the same way.
    fn is_made_by(&self, config: &Config) -> bool {
        config.driver == Driver::Embedded || postgres::is_same(config, &self.made_by)
    }

    /// Answers in its directory, if it has one.
    fn listen(self: &Arc<Self>, stop: Stop) -> io::Result<()> {
        match self.made_by.driver {
            Driver::Embedded => serve::listen(self, stop),
            Driver::Postgres => Ok(()),
        }
    }

    /// All that are open, with the exporters that keep their data in them.
    #[must_use]
    pub fn all() -> Vec<(String, Arc<OpenStore>)> {
        let stores: Vec<_> = STORES.lock().iter().filter_map(Weak::upgrade).collect();
        stores.into_iter().filter_map(|store| Some((store.current()?.exporter.clone(), store))).collect()
    }

    /// The store of the exporter of this name, if that is at work.
    #[must_use]
    pub fn of_exporter(exporter: &str) -> Option<Arc<OpenStore>> {
        OpenStore::all().into_iter().find_map(|(name, store)| (name == exporter).then_some(store))
    }

    /// A turn to ask. None if the runtime ends.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.questions.clone().acquire_owned().await.ok();
        self.asked.fetch_add(1, Relaxed);
        permit
    }

    /// What it has counted, and how much there was at the last tick.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.stats.lock()
    }

    /// How many questions were asked since it was opened.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// The exporter that was built last and still lives.
    fn current(&self) -> Option<Arc<Handle>> {
        let mut handles = self.handles.lock();
        handles.retain(|handle| handle.strong_count() > 0);
        handles.iter().rev().find_map(Weak::upgrade)
    }

    /// Takes a request in; it is durable when this has succeeded, and is shown to those who look.
    pub(super) fn take(&self, tenant: &str, signal: Signal, body: &[u8], now: u64) -> Result<(), Refused> {
        self.store.keep(tenant, signal, body, now).map(drop)
    }

    /// What is done every second.
    pub(super) fn tick(&self, now: u64) {
        if let Some(handle) = self.current() {
            self.store.set_retention(handle.retention.max_age(), handle.retention.max_bytes());
        }
        let ticked = self.store.tick(now);
        *self.stats.lock() = self.store.stats();
        match ticked {
            Ok(()) => self.is_told.store(false, Relaxed),
            // Once: senders are told meanwhile.
            Err(error) if !self.is_told.swap(true, Relaxed) => {
                tracing::error!(path = %self.path.display(), %error, "the store cannot write");
            }
            Err(_) => {}
        }
    }
}

impl Drop for OpenStore {
    /// Writes what is in memory, so that the next start has nothing to replay. If that fails the journal has it.
    fn drop(&mut self) {
        if self.made_by.driver == Driver::Embedded
            && let Err(error) = std::fs::remove_file(serve::path(&self.path))
        {
            tracing::debug!(%error, "the store's socket was gone");
        }
        if let Err(error) = self.store.flush(now()) {
            tracing::warn!(path = %self.path.display(), %error, "the store stays in its journal");
        }
    }
}
