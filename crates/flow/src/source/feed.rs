//! A source, and whoever reads it.
//!
//! A [`Source`] lives as long as its name is in the configuration: it has the positions and what is in flight. The
//! reader attaches to it and gets a [`Feed`]; after a reload the next reader attaches, sees what is still to be read
//! (what is in flight is not), and the feed before it is over. So a reload neither loses nor repeats anything.
//!
//! Invariants: one feed at a time hands over; what is in flight is within [`SourceConfig::batches`] and
//! [`SourceConfig::bytes`], but one batch of any size. Batches enter the queues in the order in which they were
//! submitted; one that is tried again may come later.

use super::flight::Flight;
use super::ledger::{Span, Standing};
use super::positions::Positions;
use crate::inlet::Inlet;
use crate::retry::RetryConfig;
use crate::stats::{ByKind, Count};
use crate::{Budget, Payload, Stop, Why, clock, task};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A line of the log for the same cause at most this often.
const QUIET: Duration = Duration::from_secs(10);

/// How a source behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Batches in flight at most.
    pub batches: usize,
    /// Bytes of payload in flight at most; one batch of any size is let through.
    pub bytes: u64,
    /// When a batch that failed is handed over again. With `max_elapsed_time` 0 it is never given up: the source waits.
    pub retry: RetryConfig,
    /// How long a position that moved may wait to be written: what a crash can make be read twice, beside what was in
    /// flight.
    pub flush: Duration,
}

impl Default for SourceConfig {
    /// 16 batches, 16 MiB; tried again for ever, after a second at first and 30 seconds at most; positions are written
    /// every second.
    fn default() -> Self {
        let (initial_interval, max_elapsed_time) = (Duration::from_secs(1), Duration::ZERO);
        let retry = RetryConfig { initial_interval, max_elapsed_time, ..RetryConfig::default() };
        SourceConfig { batches: 16, bytes: 16 << 20, retry, flush: Duration::from_secs(1) }
    }
}

/// What a source has counted.
#[derive(Debug, Default)]
pub struct SourceStats {
    /// Records delivered, or durably queued.
    pub delivered: Count,
    /// Records dropped for good, by reason.
    pub dropped: ByKind,
    /// Records handed over again, by the reason of the failure.
    pub repeated: ByKind,
    /// Records that were in flight when everything ended: they are read again.
    pub abandoned: Count,
    /// Times that positions could not be written.
    pub flush_failed: Count,
}

/// A batch and where it was read.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The records.
    pub payload: Payload,
    /// Everything that they were read from, and what is between them. Spans of several streams, and of several
    /// generations of one, may be in one batch: each settles by itself.
    pub spans: Vec<Span>,
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Everything ends.
    #[error("stopping")]
    Stopping,
    /// Another feed has taken over.
    #[error("another reader has taken over")]
    Replaced,
}

#[derive(Debug, Default)]
struct Flying {
    batches: usize,
    bytes: u64,
    /// A feed is handing a batch over.
    is_entering: bool,
    is_paused: bool,
}

struct Inner {
    name: String,
    inlet: Inlet,
    budget: Budget,
    positions: Positions,
    stop: Stop,
    config: ArcSwap<SourceConfig>,
    stats: SourceStats,
    flying: Mutex<Flying>,
    /// Which feed's turn it is.
    turn: AtomicU64,
    /// Something of the above changed.
    news: Notify,
    /// Of the last line about failures.
    said: Mutex<Option<Instant>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

/// The right to hand over what a source has. Given up by attaching again.
pub struct Feed {
    source: Source,
    turn: u64,
}

impl Source {
    /// A source of this name (a component id) that hands over to `inlet` until `stop`.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        inlet: Inlet,
        budget: Budget,
        positions: Positions,
        stop: Stop,
        config: SourceConfig,
    ) -> Source {
        Source(Arc::new(Inner {
            name: name.into(),
            inlet,
            budget,
            positions,
            stop,
            config: ArcSwap::from_pointee(config),
            stats: SourceStats::default(),
            flying: Mutex::default(),
            turn: AtomicU64::new(0),
            news: Notify::new(),
            said: Mutex::new(None),
        }))
    }

    /// Behaves so from now on.
    pub fn configure(&self, config: SourceConfig) {
        self.0.config.store(Arc::new(config));
        self.0.news.notify_waiters();
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> &SourceStats {
        &self.0.stats
    }

    /// Its positions.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.0.positions
    }

    /// Batches and bytes in flight.
    #[must_use]
    pub fn in_flight(&self) -> (usize, u64) {
        let flying = self.0.flying.lock();
        (flying.batches, flying.bytes)
    }

    /// Takes nothing more until [`Source::resume`]. What is in flight goes on.
    pub fn pause(&self) {
        self.0.flying.lock().is_paused = true;
    }

    /// Goes on.
    pub fn resume(&self) {
        self.0.flying.lock().is_paused = false;
        self.0.news.notify_waiters();
    }

    /// Takes over from whichever feed there was, once what that one is handing over has entered or was given back.
    pub async fn attach(&self) -> Feed {
        let turn = self.0.turn.fetch_add(1, Relaxed) + 1;
        self.0.news.notify_waiters();
        self.until(|| (!self.0.flying.lock().is_entering).then_some(())).await;
        Feed { source: self.clone(), turn }
    }

    /// Waits until nothing is in flight, or for the deadline; gives the batches that are left.
    pub async fn settled(&self, deadline: Instant) -> usize {
        let empty = self.until(|| (self.in_flight().0 == 0).then_some(()));
        let _ = tokio::time::timeout_at(deadline.into(), empty).await;
        self.in_flight().0
    }

    /// Writes positions now and then, and once more when everything has ended. To be run as a task.
    pub async fn keep_positions(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.config().flush) => self.flush().await,
                deadline = self.0.stop.requested() => {
                    self.settled(deadline).await;
                    return self.flush().await;
                }
            }
        }
    }

    /// Writes positions that changed, on a thread that may block. A failure is counted and logged, and tried again with
    /// the next flush.
    pub async fn flush(&self) {
        if !self.0.positions.is_dirty() {
            return;
        }
        let source = self.clone();
        let written = tokio::task::spawn_blocking(move || source.0.positions.flush()).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.0.stats.flush_failed.add(1);
        tracing::error!(
            source = self.0.name,
            error,
            "positions cannot be written: a crash would make more be read again"
        );
    }

    /// Waits until `look` gives something.
    async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut news = pin!(self.0.news.notified());
            news.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            news.await;
        }
    }

    pub(super) fn inlet(&self) -> &Inlet {
        &self.0.inlet
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.0.stop
    }

    pub(super) fn config(&self) -> Arc<SourceConfig> {
        self.0.config.load_full()
    }

    pub(super) fn flying(&self, batches: usize, bytes: u64) {
        let mut flying = self.0.flying.lock();
        flying.batches += batches;
        flying.bytes += bytes;
    }

    pub(super) fn landed(&self, batches: usize, bytes: u64) {
        let mut flying = self.0.flying.lock();
        flying.batches -= batches;
        flying.bytes -= bytes;
        drop(flying);
        self.0.news.notify_waiters();
    }

    pub(super) fn count_delivered(&self, records: u64, lost: u64) {
        self.0.stats.delivered.add(records.saturating_sub(lost));
        self.0.inlet.count_pulled(records, lost);
    }

    pub(super) fn count_dropped(&self, why: &Why, records: u64) {
        self.0.stats.dropped.add(why.kind, records);
        tracing::error!(source = self.0.name, records, %why, "records dropped: they are not read again");
    }

    pub(super) fn count_repeat(&self, why: &Why, records: u64) {
        self.0.stats.repeated.add(why.kind, records);
        let now = clock::now();
        let mut said = self.0.said.lock();
        if said.is_none_or(|at| now.saturating_duration_since(at) >= QUIET) {
            *said = Some(now);
            tracing::warn!(source = self.0.name, records, %why, "held back: what was read is handed over again later");
        }
    }

    pub(super) fn count_abandoned(&self, records: u64) {
        self.0.stats.abandoned.add(records);
    }
}

/// Says that a batch is being handed over, until it is dropped.
struct Entering<'a>(&'a Source);

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.0.0.flying.lock().is_entering = false;
        self.0.0.news.notify_waiters();
    }
}

impl Feed {
    /// The source.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The streams that are known, with what is still to be read of each.
    #[must_use]
    pub fn streams(&self) -> Vec<(Arc<str>, Standing)> {
        self.source.positions().with(|ledger| {
            let names: Vec<Arc<str>> = ledger.names().cloned().collect();
            names.into_iter().filter_map(|name| ledger.standing(&name).map(|standing| (name, standing))).collect()
        })
    }

    /// A stream is read from `at` on, if it is new or this is a later generation of it. `note` is whatever the reader
    /// needs to find it again. Names are up to [`LONGEST_NAME`](super::record::LONGEST_NAME) bytes, notes up to
    /// [`LONGEST_NOTE`](super::record::LONGEST_NOTE): what is longer is not kept.
    pub fn begin(&self, stream: &Arc<str>, generation: u64, at: u64, about: &[u8]) {
        self.source.positions().with(|ledger| ledger.begin(stream, generation, at, about.into()));
    }

    /// The reader needs something else to find a stream again.
    pub fn note(&self, stream: &Arc<str>, about: &[u8]) {
        self.source.positions().with(|ledger| ledger.note(stream, about.into()));
    }

    /// A stream will not be read any more: its position goes when nothing of it is in flight.
    pub fn forget(&self, stream: &Arc<str>) {
        self.source.positions().with(|ledger| ledger.forget(stream));
    }

    /// Passes over a part of a stream that holds no record.
    pub fn skip(&self, span: &Span) {
        self.source.positions().with(|ledger| {
            ledger.hand(span);
            ledger.settle(span);
        });
    }

    /// Hands over a batch: waits for room in flight, for memory and for room in every queue, and until then holds back
    /// whoever reads. Ends when the batch is queued. What becomes of it moves the position by itself. Dropping the
    /// future abandons a batch that is not queued yet.
    ///
    /// # Errors
    /// Nothing was taken, and nothing more will be.
    pub async fn submit(&mut self, pulled: Pulled) -> Result<(), Ended> {
        let source = self.source.clone();
        let bytes = pulled.payload.len() as u64;
        let room = source.until(|| match (self.is_over(), self.has_room(bytes)) {
            (true, _) => Some(Err(Ended::Replaced)),
            (false, room) => room.then_some(Ok(())),
        });
        let over = source.until(|| self.is_over().then_some(()));
        tokio::select! {
            biased;
            _ = source.0.stop.requested() => return Err(Ended::Stopping),
            room = room => room?,
        }
        let entering = Entering(&source);
        source.0.flying.lock().is_entering = true;
        // Looked at again: whoever attached before that does not wait for us.
        if self.is_over() {
            return Err(Ended::Replaced);
        }
        let flight = Flight::launch(&source, pulled);
        let admitted = tokio::select! {
            biased;
            admitted = flight.admit() => admitted,
            _ = source.0.stop.requested() => return Err(Ended::Stopping),
            () = over => return Err(Ended::Replaced),
        };
        drop(entering);
        if let Some((flight, taken)) = admitted {
            task::spawn("pulled", flight.follow(taken));
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.source.0.turn.load(Relaxed) != self.turn
    }

    fn has_room(&self, bytes: u64) -> bool {
        let config = self.source.config();
        let flying = self.source.0.flying.lock();
        let fits = flying.batches < config.batches.max(1) && flying.bytes + bytes <= config.bytes;
        !flying.is_paused && (fits || flying.batches == 0)
    }
}
