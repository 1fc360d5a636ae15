//! The durable queue of one exporter and signal: many requests share one sync, and a sender is told once its data is on disk.
//!
//! One task takes whatever was handed over since the last time, writes it as one group, syncs it, tells the senders, and passes
//! the pieces on to the lanes. The blocking work runs on tokio's blocking threads, one call at a time. The task also writes the
//! marks of what is done, moves what is given up to the dead letters, and copies live pieces out of nearly dead segments.
//!
//! Invariants: a sender is told of success only after the sync of its piece; a group that could not be synced was not written,
//! and its senders are told to come back; every live piece has one owner: a lane, or the list of the *loose* ones, which the
//! outlet takes over. A piece whose [`Ticket`] is dropped becomes loose again: at worst it is sent twice, never lost.
//!
//! If its task panics nothing more is taken, whoever waits is told to come back, and the program ends: what is on disk is whole, and
//! is sent after the next start.
//!
//! It does not decide when a piece is sent or given up (that is the lane's) nor how it lies on disk (that is the store's).

mod group;
mod letters;
mod loose;
mod replay;

use super::config::{StorageConfig, WhenFull};
use super::frame;
use super::stats::SpoolStats;
use super::store::{Key, Look, Piece, Store, StoreConfig, StoreError, Totals};
use super::view::SpoolView;
use crate::capacity::Held;
use crate::clock::{self, Calendar};
use crate::dead_letters::DeadLetters;
use crate::{Kind, Target, Why, task};
use arc_swap::ArcSwap;
use group::refuse;
pub use group::{Fresh, Incoming, Landing};
pub use letters::Burial;
use loose::Loose;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};
use wire::Signal;

/// How long the mark of a finished piece may wait to be written: what a crash can make be sent twice, beside what was under way.
const MARKS_WITHIN: Duration = Duration::from_millis(20);
/// How often dead letters are looked at for their age when nothing else happens.
const IDLE_ROUND: Duration = Duration::from_secs(600);
/// How long nothing is taken after the disk failed; the first request after that is the probe.
const TROUBLE: Duration = Duration::from_secs(1);
/// When a sender should come back while the disk fails.
const COME_BACK: Duration = Duration::from_secs(5);
/// Bytes of one group at most.
const GROUP_BYTES: usize = 16 << 20;
/// Bytes that are copied forward between two groups at most.
const COPY_BYTES: u64 = 4 << 20;
/// Dead letters that are written at once at most.
const BURIALS: usize = 256;

#[derive(Default)]
struct Orders {
    incoming: VecDeque<Incoming>,
    burials: VecDeque<Burial>,
    /// The burials that there are have failed, and are not tried before this.
    bury_at: Option<Instant>,
    closed: bool,
}

/// The durable queue. See the module.
pub struct Spool {
    signal: Signal,
    store: Arc<Store>,
    dead: Option<Arc<DeadLetters>>,
    directory: PathBuf,
    config: ArcSwap<StorageConfig>,
    calendar: Calendar,
    orders: Mutex<Orders>,
    wake: Notify,
    /// There are marks to be written.
    dirty: AtomicBool,
    loose: Mutex<Loose>,
    loosened: Notify,
    landing: Mutex<Option<Weak<dyn Landing>>>,
    /// Counts who attached, so that those before know that it is not their turn any more.
    turn: AtomicU64,
    /// Something was finished.
    freed: Notify,
    /// Until when nothing is taken, because the disk failed, and why.
    trouble: Mutex<Option<(Instant, Why, &'static str)>>,
    stats: SpoolStats,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Spool {
    /// Opens the spool that `config` names, with what it holds. Blocks while it reads; must be called within a runtime.
    ///
    /// # Errors
    /// The directory is in use by another process, or cannot be read or written. Damage is no error.
    pub fn open(config: StorageConfig, signal: Signal, name: &str) -> Result<Arc<Spool>, StoreError> {
        Spool::open_on(Arc::new(super::disk::RealDisk), Calendar::new(), config, signal, name)
    }

    /// The same on any file layer and with any calendar.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_on(
        disk: Arc<dyn super::disk::Disk>,
        calendar: Calendar,
        config: StorageConfig,
        signal: Signal,
        name: &str,
    ) -> Result<Arc<Spool>, StoreError> {
        let shape = StoreConfig { segment_bytes: config.segment_bytes };
        let (store, recovered) = Store::open(disk.clone(), &config.directory, shape)?;
        let dead = match config.dead_letters {
            Some(bounds) => Some(Arc::new(DeadLetters::open(disk, &config.directory.join("dead"), bounds)?)),
            None => None,
        };
        for place in &recovered.damaged {
            tracing::error!(exporter = name, %signal, segment = place.segment, offset = place.offset, what = %place.what, "damaged record in the spool");
        }
        let pieces = recovered.keys.len();
        if pieces > 0 || recovered.damaged_total > 0 {
            let (records, bytes) = (recovered.records, recovered.bytes);
            let damaged = recovered.damaged_total;
            tracing::info!(exporter = name, %signal, pieces, records, bytes, damaged, "spool recovered");
        }
        let keys = recovered.keys.into();
        let stats = SpoolStats::default();
        stats.recovered.add(recovered.records);
        stats.damaged.add(recovered.damaged_total);
        stats.torn.add(recovered.torn);
        let spool = Arc::new(Spool {
            signal,
            store: Arc::new(store),
            dead,
            directory: config.directory.clone(),
            config: ArcSwap::from_pointee(config),
            calendar,
            orders: Mutex::default(),
            wake: Notify::new(),
            dirty: AtomicBool::new(false),
            loose: Mutex::new(Loose { keys, busy: false }),
            loosened: Notify::new(),
            landing: Mutex::new(None),
            turn: AtomicU64::new(0),
            freed: Notify::new(),
            trouble: Mutex::new(None),
            stats,
            task: Mutex::new(None),
        });
        spool.loosened.notify_one();
        let broken = spool.clone();
        let task = task::vital("spool", spool.clone().run(), move || broken.refuse_all());
        *spool.task.lock() = Some(task);
        Ok(spool)
    }

    /// The signal of what it holds.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// How it was configured.
    #[must_use]
    pub fn config(&self) -> Arc<StorageConfig> {
        self.config.load_full()
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Sets other bounds. The directory, and whether there are dead letters, stay as they were when it was opened.
    pub fn configure(&self, config: StorageConfig) {
        if let (Some(dead), Some(bounds)) = (&self.dead, config.dead_letters) {
            dead.configure(bounds);
        }
        self.config.store(Arc::new(config));
    }

    /// Times on disk.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> &SpoolStats {
        &self.stats
    }

    /// What could finally not be delivered.
    #[must_use]
    pub fn dead_letters(&self) -> Option<&Arc<DeadLetters>> {
        self.dead.as_ref()
    }

    /// What it holds.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.store.totals()
    }

    /// What it holds, as the queue of an exporter counts it.
    #[must_use]
    pub fn held(&self) -> Held {
        self.store.held()
    }

    /// Why the disk is not written to at present.
    #[must_use]
    pub fn trouble(&self) -> Option<Why> {
        self.trouble.lock().as_ref().map(|(_, why, _)| why.clone())
    }

    /// Whether so many more bytes may be kept.
    ///
    /// # Errors
    /// The disk failed a moment ago, or the spool is full.
    pub fn room(&self, bytes: usize) -> Result<(), Why> {
        if let Some((until, why, _)) = self.trouble.lock().as_ref()
            && clock::now() < *until
        {
            return Err(why.clone());
        }
        let (held, limit) = (self.store.held().bytes, self.config.load().max_bytes);
        // An empty spool takes a request of any size: nothing is wedged for ever by being large.
        if limit == 0 || held == 0 || held + bytes as u64 <= limit {
            return Ok(());
        }
        Err(Why::new(Kind::QueueFull, "the queue on disk is full"))
    }

    /// The part of its bound that is taken, 0..=1 and beyond; 0 if there is no bound.
    #[must_use]
    pub fn fill(&self) -> f64 {
        match self.config.load().max_bytes {
            0 => 0.0,
            limit => self.store.held().bytes as f64 / limit as f64,
        }
    }

    /// What is done when it is full.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.config.load().when_full
    }

    /// The target that holds most of it.
    #[must_use]
    pub fn fattest(&self) -> Option<Target> {
        self.store.fattest()
    }

    /// Hands something over to be kept. Never waits: what is handed over is bounded by the room it holds. What the format cannot hold is
    /// refused here, so that nothing else of its group is.
    pub fn store(&self, incoming: Incoming) {
        if frame::body_len(&incoming.piece).is_none() {
            return self.reject(incoming);
        }
        let mut orders = self.orders.lock();
        if orders.closed {
            drop(orders);
            return refuse(incoming, &Why::new(Kind::Stopping, "the exporter is stopping"), None);
        }
        orders.incoming.push_back(incoming);
        drop(orders);
        self.wake.notify_one();
    }

    /// A piece is done with.
    pub fn finish(&self, key: Key) {
        self.store.finish(key);
        self.freed.notify_waiters();
        self.mark();
    }

    /// Waits until `take` gives something: asked at once, and whenever a piece is done with. The caller bounds it by dropping the
    /// future.
    pub async fn until<T>(&self, take: impl Fn() -> Option<T>) -> T {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(taken) = take() {
                return taken;
            }
            // The end of a trouble is no event: it is looked for.
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(TROUBLE) => {}
            }
        }
    }

    /// Notes when a piece was first attempted, if that is not known yet.
    pub fn tried(&self, key: Key, first: Instant) {
        if self.store.look(key).is_some_and(|look| look.first == 0) {
            self.store.tried(key, self.calendar.millis(first));
            self.mark();
        }
    }

    fn mark(&self) {
        if !self.dirty.swap(true, Relaxed) {
            self.wake.notify_one();
        }
    }

    /// What is known of a piece without reading it.
    #[must_use]
    pub fn look(&self, key: Key) -> Option<Look> {
        self.store.look(key)
    }

    /// Gives a piece up: it becomes a dead letter.
    pub fn bury(&self, burial: Burial) {
        if burial.why.kind == Kind::Expired {
            self.stats.expired.add(burial.records);
        }
        self.orders.lock().burials.push_back(burial);
        self.wake.notify_one();
    }

    /// Reads pieces back, on a blocking thread. What is damaged is left out: it is counted and done with.
    ///
    /// # Errors
    /// These pieces cannot be read now; nothing is lost.
    pub async fn load(self: &Arc<Self>, keys: Vec<Key>) -> Result<Vec<(Key, Piece)>, (Vec<Key>, Why)> {
        let spool = self.clone();
        let all = keys.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut pieces = Vec::with_capacity(keys.len());
            let (mut unread, mut failed) = (vec![], None);
            for key in keys {
                match spool.store.read(key) {
                    Ok(piece) => pieces.push((key, piece)),
                    Err(StoreError::Damaged(place)) => {
                        tracing::error!(segment = place.segment, offset = place.offset, what = %place.what, "damaged record in the spool");
                        spool.stats.damaged.add(1);
                    }
                    Err(StoreError::Gone) => {}
                    Err(error) => {
                        unread.push(key);
                        failed = Some(Why::new(Kind::Disk, error.to_string()));
                    }
                }
            }
            failed.map_or(Ok(pieces), |why| Err((unread, why)))
        });
        read.await.unwrap_or_else(|error| Err((all, Why::new(Kind::Other, error.to_string()))))
    }

    /// Ends it: what was handed over is still written, and so are all marks. What it holds stays on disk.
    pub async fn close(&self) {
        self.orders.lock().closed = true;
        self.wake.notify_one();
        self.loosened.notify_waiters();
        let task = self.task.lock().take();
        if let Some(task) = task {
            task::ended("spool", task.await);
        }
        // Others may still hold it; the directory is free for the next one all the same.
        self.store.close();
        if let Some(dead) = &self.dead {
            dead.close();
        }
    }

    async fn run(self: Arc<Self>) {
        let mut tended = clock::now();
        loop {
            let (group, burials, closed) = self.take_orders();
            let has_work = !group.is_empty() || !burials.is_empty();
            if !group.is_empty() {
                self.write(group).await;
            }
            if !burials.is_empty() {
                self.write_letters(burials).await;
            }
            let tend_at = tended + if self.dirty.load(Relaxed) { MARKS_WITHIN } else { IDLE_ROUND };
            if clock::now() >= tend_at {
                self.tend().await;
                tended = clock::now();
                continue;
            }
            if has_work {
                continue;
            }
            if closed {
                return self.tend().await;
            }
            let until = self.orders.lock().bury_at.map_or(tend_at, |at| at.min(tend_at));
            tokio::select! {
                () = self.wake.notified() => {}
                () = clock::sleep_until(Some(until)) => {}
            }
        }
    }

    fn take_orders(&self) -> (Vec<Incoming>, Vec<Burial>, bool) {
        let mut orders = self.orders.lock();
        let mut bytes = 0;
        let fits = |incoming: &&Incoming| {
            bytes += incoming.piece.payload.len();
            bytes <= GROUP_BYTES
        };
        let count = orders.incoming.iter().take_while(fits).count().max(1).min(orders.incoming.len());
        let group = orders.incoming.drain(..count).collect();
        let is_due = orders.closed || orders.bury_at.is_none_or(|at| clock::now() >= at);
        let count = if is_due { orders.burials.len().min(BURIALS) } else { 0 };
        if is_due {
            orders.bury_at = None;
        }
        (group, orders.burials.drain(..count).collect(), orders.closed)
    }

    /// A look at it.
    #[must_use]
    pub fn view(&self) -> SpoolView {
        let (totals, counts, stats) = (self.store.totals(), self.store.counts(), &self.stats);
        let now = self.calendar.millis(clock::now());
        SpoolView {
            records: totals.records,
            pieces: totals.pieces,
            bytes: totals.bytes,
            max_bytes: self.config.load().max_bytes,
            disk_bytes: totals.disk_bytes,
            segments: totals.segments,
            oldest_age: totals.oldest.map(|oldest| Duration::from_millis(now.saturating_sub(oldest))),
            sync_seconds: stats.sync_seconds.view(),
            sync_records: stats.sync_records.view(),
            recovered_records: stats.recovered.get(),
            damaged: stats.damaged.get(),
            torn: stats.torn.get(),
            expired_records: stats.expired.get(),
            copied_bytes: counts.copied_bytes,
            written_bytes: counts.written_bytes,
            stored_bytes: counts.payload_bytes,
            failed_syncs: stats.failures.get(),
            trouble: self.trouble.lock().as_ref().map(|trouble| trouble.2),
            dead: self.dead.as_ref().map(|dead| dead.view()),
        }
    }

    /// Writes marks, removes finished segments and copies forward.
    async fn tend(self: &Arc<Self>) {
        self.dirty.store(false, Relaxed);
        let spool = self.clone();
        let now = self.calendar.millis(clock::now());
        let tended = tokio::task::spawn_blocking(move || {
            spool.store.flush_marks()?;
            if let Some(dead) = &spool.dead {
                dead.expire(now)?;
            }
            Ok(spool.store.copy_forward(COPY_BYTES))
        });
        match tended.await {
            Ok(Ok(Ok(false))) => {}
            Ok(Ok(Ok(true))) => self.mark(),
            // That takes space, but nothing that is taken in depends on it: a place that cannot be read halts nobody.
            Ok(Ok(Err(error))) => {
                self.stats.failures.add(1);
                tracing::error!(directory = %self.directory.display(), %error, "an old segment cannot be emptied");
            }
            Ok(Err(error)) => {
                self.disk_failed(&error);
                self.mark();
            }
            Err(error) => resume(error),
        }
    }
}

/// Work on another thread panicked: so does the task. It cannot know what became of the disk's files.
fn resume(error: JoinError) {
    // Otherwise the runtime ends, and the task with it.
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
