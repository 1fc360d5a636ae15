//! The queues on disk that the program has open, over reloads.
//!
//! A directory is held from the moment a configuration names it until none does; a queue is open from the moment an outlet needs it
//! until the last outlet on it has ended, so that an exporter and its successor share one. Invariant: nothing on disk is opened
//! twice, by this process or another.

use crate::app::plan::{Plan, StoragePlan};
use components::extensions::file_storage::control::{self, Control, LetterBoxes};
use components::extensions::file_storage::hold::{self, Held, HoldError};
use components::extensions::file_storage::names;
use flow::spool::{Spool, StorageConfig, StoreError};
use flow::{Stopper, task};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use wire::Signal;

/// Where the queue of an exporter keeps its dead letters.
const LETTERS: &str = "dead";
/// Between two looks at a queue that is being closed.
const LOOK: Duration = Duration::from_millis(20);

/// A storage that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Its directory cannot be held.
    #[error("storage {id}: {source}")]
    Hold {
        /// The extension.
        id: String,
        /// Why not.
        #[source]
        source: HoldError,
    },
    /// The queue of an exporter cannot be opened.
    #[error("exporter {exporter}: the queue of {signal} on disk: {source}")]
    Open {
        /// The exporter.
        exporter: String,
        /// What it sends.
        signal: Signal,
        /// Why not.
        #[source]
        source: StoreError,
    },
}

/// See the module.
#[derive(Default)]
pub struct Storages {
    directories: Mutex<Vec<Directory>>,
    spools: Mutex<HashMap<PathBuf, Weak<Inner>>>,
}

/// A directory that is held, with whoever answers for it.
struct Directory {
    held: Held,
    stopper: Stopper,
    task: Option<JoinHandle<()>>,
}

/// What stays in a queue on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Where.
    pub directory: PathBuf,
    /// Records.
    pub records: u64,
}

/// The use of an open queue. The last one closes it.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner(Option<Arc<Spool>>);

impl Lease {
    /// The queue.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn spool(&self) -> &Arc<Spool> {
        // It is only taken out by whoever has the last lease, which that consumes.
        self.0.0.as_ref().expect("a lease has its spool")
    }

    /// Ends the use, and waits for the end of the queue if it was the last. Gives what nobody sends then.
    pub async fn release(self) -> Option<LeftBehind> {
        let spool = Arc::into_inner(self.0)?.0.take()?;
        spool.close().await;
        Some(LeftBehind { directory: spool.directory().to_owned(), records: spool.totals().records })
    }
}

impl Drop for Inner {
    /// A lease that nobody released: a plan that came to nothing.
    fn drop(&mut self) {
        if let Some(spool) = self.0.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            task::spawn("close", async move { spool.close().await });
        }
    }
}

/// Directories that were taken for a plan which is not in use yet.
#[derive(Default)]
pub struct Taken(Vec<Held>);

impl Storages {
    /// Takes the directories of a plan that are not held yet, and makes those of its queues.
    ///
    /// # Errors
    /// One cannot be held; none that was not held before is then.
    pub async fn take(&self, plan: &Plan) -> Result<Taken, StorageError> {
        let mut taken = vec![];
        for storage in &plan.storages {
            let failed = |source| StorageError::Hold { id: storage.id.to_string(), source };
            if !self.holds(storage) {
                taken.push(hold::hold(&storage.config).await.map_err(failed)?);
            }
            // Validated before.
            let mode = storage.config.mode().unwrap_or(0o750);
            let below = |directory: &&PathBuf| directory.starts_with(&storage.config.directory);
            let directories: Vec<PathBuf> = directories(plan).collect();
            for directory in directories.iter().filter(below) {
                hold::make(directory, mode).map_err(failed)?;
            }
            let letters = plan.outlets.iter().filter_map(|outlet| outlet.storage.as_ref());
            for storage in letters.filter(|s| s.dead_letters.is_some() && below(&&s.directory)) {
                hold::make(&storage.directory.join(LETTERS), mode).map_err(failed)?;
            }
        }
        Ok(Taken(taken))
    }

    fn holds(&self, storage: &StoragePlan) -> bool {
        self.directories.lock().iter().any(|d| d.held.directory() == Path::new(&storage.config.directory))
    }

    /// Puts a plan to use: `taken` is held from now on and answered for, and what the plan does not name is given back.
    pub fn switch(&self, plan: &Plan, taken: Taken, boxes: &Arc<dyn LetterBoxes>) {
        let mut directories = self.directories.lock();
        let is_planned =
            |d: &Directory| plan.storages.iter().any(|s| d.held.directory() == Path::new(&s.config.directory));
        for gone in directories.extract_if(.., |d| !is_planned(d)) {
            gone.stopper.stop(Duration::ZERO);
        }
        for directory in directories.iter() {
            warn_of_unused(&directory.held, plan, |path| self.holds_data(path));
        }
        for held in taken.0 {
            warn_of_unused(&held, plan, |_| true);
            let (stopper, stop) = Stopper::new();
            let served = Control::bind(held.directory());
            let task = match served {
                Ok(control) => {
                    let (control, boxes) = (Arc::new(control), boxes.clone());
                    Some(task::keep("control", move || control.clone().serve(boxes.clone(), stop.clone())))
                }
                Err(error) => {
                    let path = control::path(held.directory());
                    tracing::warn!(path = %path.display(), %error, "dead letters cannot be looked after while this runs");
                    None
                }
            };
            directories.push(Directory { held, stopper, task });
        }
    }

    /// Whether the queue in a directory is open and not empty.
    fn holds_data(&self, directory: &Path) -> bool {
        let open = self.spools.lock().get(directory).and_then(Weak::upgrade);
        open.is_some_and(|inner| inner.0.as_ref().is_some_and(|spool| spool.totals().pieces > 0))
    }

    /// The queue of an outlet: the one that is open already, or a new one.
    ///
    /// # Errors
    /// It cannot be opened, or another process had it for as long as is to be waited.
    pub async fn open(&self, exporter: &str, signal: Signal, storage: &StorageConfig) -> Result<Lease, StorageError> {
        let until = flow::clock::now() + storage.lock_timeout;
        loop {
            let open = self.spools.lock().get(&storage.directory).and_then(Weak::upgrade);
            if let Some(inner) = open {
                return Ok(Lease(inner));
            }
            let (config, name) = (storage.clone(), exporter.to_owned());
            let opened = tokio::task::spawn_blocking(move || Spool::open(config, signal, &name)).await;
            let failed = |source| StorageError::Open { exporter: exporter.to_owned(), signal, source };
            match opened {
                Ok(Ok(spool)) => {
                    let own = names::encode(exporter);
                    if let Some(old) = storage.directory.parent().and_then(Path::file_name).filter(|n| **n != *own) {
                        let (records, old) = (spool.totals().records, old.to_string_lossy());
                        tracing::info!(exporter, %signal, %old, records, "the exporter goes on with the queue it had by its old name");
                    }
                    let inner = Arc::new(Inner(Some(spool)));
                    self.spools.lock().insert(storage.directory.clone(), Arc::downgrade(&inner));
                    return Ok(Lease(inner));
                }
                // The one before it, of this process or another, may be ending.
                Ok(Err(StoreError::Locked { .. })) if flow::clock::now() < until => tokio::time::sleep(LOOK).await,
                Ok(Err(error)) => return Err(failed(error)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
    }

    /// The queues of a plan's outlets, in their order.
    ///
    /// # Errors
    /// See [`Storages::open`].
    pub async fn open_all(&self, plan: &Plan) -> Result<Vec<Option<Lease>>, StorageError> {
        let mut leases = vec![];
        for outlet in &plan.outlets {
            leases.push(match &outlet.storage {
                Some(storage) => Some(self.open(&outlet.id.to_string(), outlet.signal, storage).await?),
                None => None,
            });
        }
        self.spools.lock().retain(|_, spool| spool.strong_count() > 0);
        Ok(leases)
    }

    /// Gives all directories back.
    pub async fn stop(&self) {
        let directories = std::mem::take(&mut *self.directories.lock());
        for directory in directories {
            directory.stopper.stop(Duration::ZERO);
            if let Some(task) = directory.task {
                task::ended("control", task.await);
            }
        }
    }
}

fn directories(plan: &Plan) -> impl Iterator<Item = PathBuf> + '_ {
    plan.outlets.iter().filter_map(|outlet| Some(outlet.storage.as_ref()?.directory.clone()))
}

/// Says which queues nobody sends any more, of those that matter.
fn warn_of_unused(held: &Held, plan: &Plan, matters: impl Fn(&Path) -> bool) {
    let used: Vec<PathBuf> = directories(plan).collect();
    match hold::unused(held, &used) {
        Ok(unused) => {
            for directory in unused.iter().filter(|directory| matters(directory)) {
                tracing::warn!(directory = %directory.display(), "no exporter uses this queue: what it holds is not sent");
            }
        }
        Err(error) => tracing::warn!(directory = %held.directory().display(), %error, "the storage cannot be read"),
    }
}
