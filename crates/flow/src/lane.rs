//! One target: its queue, its batches, its breaker, its retries. The only event loop of this crate.
//!
//! A lane is one task. Pushing to it is a short lock and, only when the push can make something happen, a wake-up: while a batch
//! is still filling, or the target is halted, nobody is woken. A lane that has closed gives the item back to the pusher, who
//! routes it again: the race between routing and removal cannot lose data.
//!
//! Sends run as tasks of their own under permits that all lanes of the exporter share, of different pools for targets that are
//! proven, new, and failing ([`crate::permits`]); a send that merely waits gives its permit back. So black holes hold neither the
//! workers of the healthy nor the first contacts of the new. A halted lane holds no permit, and waits without a task ([`life`]).
//!
//! A lane of an exporter with storage holds most of what waits as keys of pieces on disk. What has just been written stays in
//! memory as well while the target passes and memory is plenty; the queue on disk (the *backlog*) comes after that, in order. A
//! request that failed goes back to being keys; it is read again within the send that tries it next, so that the memory of
//! halted targets is that of their keys, and the memory of what is read is bounded by the permits.
//!
//! Where records are sorted as they are routed, the last thing in the queue of a lane is a batch that is still open
//! ([`open_batch`]).
//!
//! It does not know protocols, routing or admission, and never decides to lose data: what it cannot deliver it settles as
//! `Failed` or `Rejected`, with a reason, counted.

use crate::alarms::Alarms;
use crate::batcher::BatchConfig;
pub use crate::batcher::Item;
use crate::breaker::State;
use crate::budget::{Budget, Fee};
use crate::capacity::{Capacity, Held};
use crate::exporter::{Attempt, Exporter, Scope};
use crate::ledger::{Line, Standing, Stands};
use crate::pace::Pace;
use crate::permits::Permits;
use crate::retry::RetryConfig;
use crate::scopes::{Nudge, Scopes};
use crate::spool::{Key, Spool};
use crate::stats::ExporterStats;
use crate::{Codec, Kind, Outcome, Payload, Target, Watch, Why, clock};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wire::Sheaf;

/// How long a lane that is put away waits for answers to what is on disk: what would have been delivered is not sent twice, and a
/// backend that never answers holds up no end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What the lanes of one exporter share.
pub struct Context<E> {
    pub(crate) exporter: E,
    pub(crate) stats: Arc<ExporterStats>,
    pub(crate) permits: Permits,
    /// What halts several lanes when a failure reaches further than one target.
    pub(crate) scopes: Scopes,
    /// Wakes lanes that rest.
    pub(crate) alarms: Arc<Alarms>,
    /// When those that are down are tried again, where there are many.
    pub(crate) pace: Arc<Pace>,
    /// The lanes there are: one that ends by itself leaves.
    pub(crate) roster: Arc<Roster>,
    /// How it stands with the only target, where there is only one.
    pub(crate) alone: Stands,
    pub(crate) retry: RetryConfig,
    pub(crate) batch: BatchConfig,
    pub(crate) timeout: Duration,
    pub(crate) limits: LaneLimits,
    pub(crate) codec: Codec,
    /// See [`OutletConfig::is_direct`](crate::outlet::OutletConfig::is_direct).
    pub(crate) is_direct: bool,
    pub(crate) watch: Arc<dyn Watch>,
    pub(crate) durable: Option<Durable>,
}

/// The lanes of an exporter by their targets. `None` once it is closed: nothing starts a lane after that.
pub(crate) type Roster = Mutex<Option<HashMap<Target, Lane>>>;

/// Leaves out a lane, if it is still the one of its target.
pub(crate) fn strike(roster: &Roster, target: &Target, lane: &Lane) {
    if let Some(lanes) = roster.lock().as_mut()
        && lanes.get(target).is_some_and(|l| l.is_same(lane))
    {
        lanes.remove(target);
    }
}

/// What the lanes of an exporter with storage use beside.
#[derive(Clone)]
pub(crate) struct Durable {
    pub(crate) spool: Arc<Spool>,
    /// What is read back is charged to the exporter,
    pub(crate) capacity: Arc<Capacity>,
    /// and to the process.
    pub(crate) budget: Budget,
}

/// What a lane that ended gives back.
#[derive(Debug, Default)]
pub struct Left {
    /// What is in memory, to be settled or routed again.
    pub items: Vec<Item>,
    /// What is on disk.
    pub keys: Vec<Key>,
}

/// What one lane may take of what it shares with others. A lane that has no siblings needs no limits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LaneLimits {
    /// Sends under way at once.
    pub(crate) in_flight: usize,
    /// A send that has no answer after this long gives its permit back and goes on without: what only waits needs no worker.
    pub(crate) patience: Option<Duration>,
    /// How long a lane may be idle before it ends.
    pub(crate) idle: Option<Duration>,
    /// Nothing is sent before what failed has been sent: where there is one worker, order holds.
    pub(crate) keeps_order: bool,
}

impl LaneLimits {
    /// For the only lane of an exporter.
    pub(crate) fn alone(workers: usize) -> LaneLimits {
        LaneLimits { in_flight: workers, patience: None, idle: None, keeps_order: workers == 1 }
    }

    /// For one of many, each with at most `in_flight` sends.
    pub(crate) fn among_many(in_flight: usize, idle: Duration, keeps_order: bool) -> LaneLimits {
        let patience = Some(Duration::from_millis(500));
        LaneLimits { in_flight: in_flight.max(1), patience, idle: Some(idle), keeps_order }
    }

    fn has_siblings(&self) -> bool {
        self.patience.is_some()
    }
}

impl<E: Exporter> Context<E> {
    /// One attempt within the timeout.
    pub(crate) async fn attempt(&self, target: &Target, payload: Payload) -> Attempt {
        let timeout = if self.timeout.is_zero() { Duration::from_secs(365 * 86400) } else { self.timeout };
        let deadline = clock::now() + timeout;
        self.stats.in_flight.add(1);
        let attempt = tokio::time::timeout_at(deadline.into(), self.exporter.send(target, payload, deadline)).await;
        self.stats.in_flight.sub(1);
        attempt.unwrap_or_else(|_| Attempt::Retry {
            after: None,
            why: Why::new(Kind::Timeout, format!("no answer within {timeout:?}")),
            scope: Scope::Target,
        })
    }

    /// Settles an item as failed, counted.
    pub(crate) fn give_up(&self, target: Option<&Target>, item: Item, why: Why) {
        if item.ticket.is_some() {
            // It stays on disk; dropping its ticket says that nobody works at it.
            return item.batch.ack.settle(Outcome::Delivered);
        }
        let records = u64::from(item.batch.payload.records);
        if let Some(target) = target {
            self.watch.lost(target, &why, records);
        }
        self.stats.failed.add(why.kind, records);
        item.batch.ack.settle(Outcome::failed(records, why));
    }
}

/// A look at a lane.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// Its target.
    pub target: Target,
    /// `passing`, `halted`, `probing` or `closing`.
    pub state: &'static str,
    /// Bytes it holds, in flight or not.
    pub bytes: u64,
    /// The same as they came, before they were packed.
    pub size: u64,
    /// Records it holds, in flight or not.
    pub records: u64,
    /// When the oldest record it holds was queued.
    pub oldest: Option<Instant>,
    /// Requests waiting for their next try.
    pub waiting: usize,
    /// Pieces that wait on disk only, those being tried again not among them.
    pub stored: usize,
}

impl LaneView {
    /// Both as one lane, in the state of this one.
    #[must_use]
    pub fn and(self, other: LaneView) -> LaneView {
        LaneView {
            bytes: self.bytes + other.bytes,
            size: self.size + other.size,
            records: self.records + other.records,
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
            waiting: self.waiting + other.waiting,
            ..self
        }
    }
}

/// What was pushed and not taken over by the task yet, and what the task has said about being woken.
struct Inbox {
    open: bool,
    queue: VecDeque<Item>,
    /// What records are written into as they come, behind all of `queue`.
    batch: Option<OpenBatch>,
    /// Where the next one is written.
    sheaf: Option<Box<Sheaf>>,
    /// Wake the task when a batch is begun: it does not know when the next one is due.
    wake_batch: bool,
    /// What waits on disk only, behind all of `queue`.
    backlog: VecDeque<Key>,
    /// Something waits on disk only, here or in the task: what is pushed comes after it, so it must wait there too.
    has_backlog: bool,
    /// Whether what is on disk is worth keeping in memory as well.
    keeps: bool,
    /// Wake the task when something is put into the backlog.
    wake_stored: bool,
    /// Bytes of the oldest pieces on disk that are to be given up for lack of room.
    evict: u64,
    /// Leave what is on disk where it is: the lane is not drained but put away.
    leaves_stored: bool,
    /// Until when answers to what is on disk are waited for then.
    answers_until: Option<Instant>,
    records: u64,
    bytes: u64,
    /// Wake the task once this much is in the inbox. `u64::MAX`: leave it asleep.
    wake_records: u64,
    wake_bytes: u64,
    /// Once this much is in the inbox, what is pushed will wait for long.
    stuck_bytes: u64,
    /// When a closing lane must have ended.
    deadline: Option<Instant>,
}

impl Inbox {
    /// Whether nothing was pushed that is not on disk.
    fn has_nothing_new(&self) -> bool {
        self.queue.is_empty() && self.batch.is_none()
    }

    /// Queues an item. Whether the task is to be woken for it.
    fn put(&mut self, item: Item) -> bool {
        let is_formed = item.formed.is_some() && self.wake_records < u64::MAX;
        self.records += u64::from(item.batch.payload.records);
        self.bytes += item.slot.bytes();
        self.queue.push_back(item);
        let wake = is_formed || self.records >= self.wake_records || self.bytes >= self.wake_bytes;
        if wake {
            (self.wake_records, self.wake_bytes) = (u64::MAX, u64::MAX);
        }
        wake
    }
}

struct Shared {
    target: Target,
    inbox: Mutex<Inbox>,
    life: Life,
    /// Bytes of everything pushed and not settled.
    bytes: AtomicU64,
    /// Requests of these, and places in the books.
    requests: AtomicU64,
    places: AtomicU64,
    /// Bytes that packing saved of these.
    saved: AtomicU64,
    /// Records of the same.
    records: AtomicU64,
    view: Mutex<(State, Option<Instant>, usize)>,
    /// How it stands with the target, for whoever asks for room.
    stands: Stands,
    /// Senders that wait for room in this lane.
    line: Arc<Line>,
    /// What it is charged.
    _fee: Option<Fee>,
    /// Pieces in the task's own backlog.
    stored: AtomicU64,
}

/// A piece on disk on its way into a lane.
// It is moved once and never kept: a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Stored {
    /// It is in memory too.
    Copied(Item),
    /// It is not; so many records are in it.
    Only(Key, u64),
}

impl Stored {
    fn records(&self) -> u64 {
        match self {
            Stored::Copied(item) => u64::from(item.batch.payload.records),
            Stored::Only(_, records) => *records,
        }
    }

    /// Gives its memory back.
    pub fn forget(self) -> Option<Key> {
        match self {
            Stored::Copied(item) => item.forget().ok(),
            Stored::Only(key, _) => Some(key),
        }
    }
}

/// The handle of a lane. Cheap to clone.
#[derive(Clone)]
pub struct Lane(Arc<Shared>);

impl Lane {
    /// Starts the task of a lane.
    pub fn start<E: Exporter>(target: Target, context: Arc<Context<E>>) -> Lane {
        Lane::paid(target, context, None)
    }

    /// The same, with what it is charged.
    pub(crate) fn paid<E: Exporter>(target: Target, context: Arc<Context<E>>, fee: Option<Fee>) -> Lane {
        let shared = Arc::new(Shared {
            target,
            inbox: Mutex::new(Inbox {
                open: true,
                queue: VecDeque::new(),
                batch: None,
                sheaf: None,
                wake_batch: true,
                backlog: VecDeque::new(),
                has_backlog: false,
                keeps: true,
                wake_stored: true,
                evict: 0,
                leaves_stored: false,
                answers_until: None,
                records: 0,
                bytes: 0,
                wake_records: 0,
                wake_bytes: 0,
                stuck_bytes: u64::MAX,
                deadline: None,
            }),
            life: Life::default(),
            bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            places: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            records: AtomicU64::new(0),
            view: Mutex::new((State::Passing, None, 0)),
            stands: Stands::default(),
            line: Arc::default(),
            _fee: fee,
            stored: AtomicU64::new(0),
        });
        life::start(worker::Worker::new(shared.clone(), context));
        Lane(shared)
    }

    /// Queues an item. Never waits.
    ///
    /// # Errors
    /// The lane is closing: the item comes back.
    pub fn push(&self, item: Item) -> Result<(), Item> {
        let inbox = self.0.inbox.lock();
        if !inbox.open {
            return Err(item);
        }
        self.enqueue(inbox, item);
        Ok(())
    }

    fn enqueue(&self, mut inbox: MutexGuard<'_, Inbox>, item: Item) {
        let held = Held { records: u64::from(item.batch.payload.records), ..item.slot.held() };
        let saved = item.slot.saved();
        let wake = inbox.put(item);
        drop(inbox);
        self.count(held, saved);
        if wake {
            self.0.nudge();
        }
    }

    /// Counts what it holds now as well.
    fn count(&self, held: Held, saved: u64) {
        self.0.bytes.fetch_add(held.bytes, Relaxed);
        self.0.records.fetch_add(held.records, Relaxed);
        let rare = [(&self.0.requests, held.requests), (&self.0.places, held.places), (&self.0.saved, saved)];
        for (sum, n) in rare.into_iter().filter(|(_, n)| *n > 0) {
            sum.fetch_add(n, Relaxed);
        }
    }

    /// How it stands with its target.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.stands.get()
    }

    /// What it holds in memory, in flight or not.
    #[must_use]
    pub fn held(&self) -> Held {
        let [requests, records, bytes, places] =
            [&self.0.requests, &self.0.records, &self.0.bytes, &self.0.places].map(|sum| sum.load(Relaxed));
        Held { requests, records, bytes, places }
    }

    /// Where senders stand that wait for room in it.
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.0.line
    }

    /// Queues a piece that is on disk, with its records, and with itself if it is still in memory. Whether it stays there the lane
    /// decides. Never waits.
    ///
    /// # Errors
    /// The lane is closing: all of it comes back.
    pub fn push_stored(&self, stored: Stored) -> Result<(), Stored> {
        let mut inbox = self.0.inbox.lock();
        if !inbox.open {
            return Err(stored);
        }
        match stored {
            Stored::Copied(item) if inbox.keeps && !inbox.has_backlog => {
                self.enqueue(inbox, item);
                return Ok(());
            }
            stored => {
                self.0.records.fetch_add(stored.records(), Relaxed);
                inbox.backlog.extend(stored.forget());
            }
        }
        inbox.has_backlog = true;
        let wake = std::mem::take(&mut inbox.wake_stored);
        drop(inbox);
        if wake {
            self.0.nudge();
        }
        Ok(())
    }

    /// Gives up so many bytes of the oldest that it has on disk, for lack of room.
    pub fn evict(&self, bytes: u64) {
        self.0.inbox.lock().evict += bytes;
        self.0.nudge();
    }

    /// Takes no more items and ends as soon as what is in memory only is sent, at `deadline` at the latest. What is on disk stays
    /// there; answers to what is on its way are waited for a little.
    pub fn put_away(&self, deadline: Instant) {
        let mut inbox = self.0.inbox.lock();
        inbox.leaves_stored = true;
        inbox.answers_until = Some(clock::now() + LAST_ANSWERS);
        drop(inbox);
        self.close(deadline);
    }

    /// Whether what is pushed now will wait for long: the target is halted, or takes data and has much before it.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        let inbox = self.0.inbox.lock();
        inbox.bytes >= inbox.stuck_bytes
    }

    /// Bytes it holds, in flight or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// Its target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Takes no more items, sends what it has until `deadline`, then ends.
    pub fn close(&self, deadline: Instant) {
        let mut inbox = self.0.inbox.lock();
        inbox.open = false;
        inbox.deadline = Some(inbox.deadline.map_or(deadline, |d| d.min(deadline)));
        drop(inbox);
        self.0.nudge();
    }

    /// Waits until a closed lane has ended and gives what it could not send, to be settled or routed again. Only the first
    /// caller gets it.
    pub async fn ended(self) -> Left {
        self.0.life.ended().await
    }

    /// A number that no other lane has while this one is kept.
    #[must_use]
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Whether both are the same lane.
    #[must_use]
    pub fn is_same(&self, other: &Lane) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A look at it.
    #[must_use]
    pub fn view(&self) -> LaneView {
        let (state, oldest, waiting) = *self.0.view.lock();
        let inbox = self.0.inbox.lock();
        LaneView {
            target: self.0.target.clone(),
            state: match state {
                _ if !inbox.open => "closing",
                // What it shares with others does not pass.
                State::Passing if self.standing() == Standing::Stuck => "halted",
                State::Passing => "passing",
                State::Halted { .. } => "halted",
                State::Probing => "probing",
            },
            bytes: self.bytes(),
            size: self.bytes() + self.0.saved.load(Relaxed),
            records: self.0.records.load(Relaxed),
            oldest: [oldest, inbox.queue.front().map(|i| i.at), inbox.batch.as_ref().map(|b| b.at)]
                .into_iter()
                .flatten()
                .min(),
            waiting,
            stored: self.0.stored.load(Relaxed) as usize + inbox.backlog.len(),
        }
    }
}

mod answer;
mod direct;
mod divide;
mod life;
mod open_batch;
mod stored;
mod worker;

use life::Life;
use open_batch::OpenBatch;
pub(crate) use open_batch::Sorted;

#[cfg(test)]
mod tests;
