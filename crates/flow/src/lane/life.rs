//! How a lane lives: it works, rests, is woken, breaks and is mended, and ends.
//!
//! A lane has a task only while there is something to do. One that can do nothing but wait for an instant or for a scope rests: its
//! state lies beside its inbox, and whoever nudges it starts the task again. Ten thousand halted lanes are ten thousand small
//! structs and two maps of those to be woken.
//!
//! A panic in the task is a bug, and costs nobody a record that it did not have in its hands: it is counted and logged, what the lane
//! held goes back to its queue, in order, and a new worker takes over. Since what it holds may be the reason, it waits between breaks;
//! after [`MANY`] in a row, with no answer between, what it holds is given up, counted, and the lane goes on with what comes.
//!
//! Invariants: there is one worker of a lane, running, resting or being mended; a nudge is never lost (`seat`); `ended` is told once.

use super::worker::{Turn, Worker};
use super::{Durable, Item, Lane, Left, Shared, strike};
use crate::exporter::Exporter;
use crate::scopes::Nudge;
use crate::spool::Key;
use crate::task::{self, caught};
use crate::{Kind, Why, clock};
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// The task looks at what there is before it rests.
const WORKS: u8 = 0;
/// Something changed since the task last looked.
const NUDGED: u8 = 1;
/// There is no task.
const RESTS: u8 = 2;

/// Between the first break and the next worker,
const SHORT: Duration = Duration::from_millis(100);
/// and after more of them.
const LONG: Duration = Duration::from_secs(1);
/// So many breaks in a row are not chance.
const MANY: u32 = 3;

/// A worker that rests.
trait Resting: Send {
    /// Goes on.
    fn resume(self: Box<Self>);
}

/// See the module.
#[derive(Default)]
pub(super) struct Life {
    seat: AtomicU8,
    pub(super) wake: Notify,
    resting: Mutex<Option<Box<dyn Resting>>>,
    left: Mutex<Option<Left>>,
    has_ended: Notify,
}

impl Life {
    /// What was nudged before this is seen after it.
    pub(super) fn look(&self) {
        self.seat.swap(WORKS, AcqRel);
    }

    /// Waits until the lane has ended; the first to ask gets what is left.
    pub(super) async fn ended(&self) -> Left {
        loop {
            let mut ended = pin!(self.has_ended.notified());
            ended.as_mut().enable();
            if let Some(left) = self.left.lock().as_mut() {
                return std::mem::take(left);
            }
            ended.await;
        }
    }

    fn end(&self, left: Left) {
        *self.left.lock() = Some(left);
        self.has_ended.notify_waiters();
    }

    /// Lays the worker down. If it was nudged meanwhile it goes on at once.
    fn lay_down<E: Exporter>(&self, worker: Box<Worker<E>>) {
        *self.resting.lock() = Some(worker);
        if self.seat.compare_exchange(WORKS, RESTS, AcqRel, Acquire).is_err()
            && let Some(worker) = self.resting.lock().take()
        {
            worker.resume();
        }
    }
}

impl Nudge for Shared {
    fn nudge(&self) {
        if self.life.seat.swap(NUDGED, AcqRel) == RESTS {
            let worker = self.life.resting.lock().take();
            return worker.into_iter().for_each(|worker| worker.resume());
        }
        self.life.wake.notify_one();
    }
}

impl<E: Exporter> Resting for Worker<E> {
    fn resume(self: Box<Self>) {
        task::spawn("lane", live(self));
    }
}

/// Starts the task of a lane.
pub(super) fn start<E: Exporter>(worker: Worker<E>) {
    task::spawn("lane", live(Box::new(worker)));
}

/// Runs a worker until it rests or has ended.
async fn live<E: Exporter>(mut worker: Box<Worker<E>>) {
    loop {
        match caught(worker.run()).await {
            Some(Turn::Rest) => {
                let shared = worker.shared.clone();
                return shared.life.lay_down(worker);
            }
            Some(Turn::End) => {
                let shared = worker.shared.clone();
                strike(&worker.context.roster, &shared.target, &Lane(shared.clone()));
                let left = caught((*worker).leave()).await.unwrap_or_default();
                return shared.life.end(left);
            }
            None => worker = Box::new(mend(worker).await),
        }
    }
}

/// A worker in place of one that broke.
async fn mend<E: Exporter>(mut broken: Box<Worker<E>>) -> Worker<E> {
    let (shared, context, breaks) = (broken.shared.clone(), broken.context.clone(), broken.breaks + 1);
    context.stats.lane_panics.add(1);
    tracing::error!(target = %shared.target, breaks, "the task of a lane panicked; another takes over what it held");
    let breaker = std::mem::take(&mut broken.breaker);
    // Nothing of what is whole is lost if what is left is damaged too: acknowledgements that are dropped tell so.
    let left = caught((*broken).leave()).await.unwrap_or_default();
    match breaks < MANY {
        true => shared.take_back(left),
        false => {
            let why = Why::new(Kind::Other, "the lane broke again and again while it held this");
            left.items.into_iter().for_each(|item| context.give_up(Some(&shared.target), item, why.clone()));
            shared.loosen(&context.durable, left.keys);
        }
    }
    tokio::time::sleep(if breaks == 1 { SHORT } else { LONG }).await;
    let mut worker = Worker::new(shared, context);
    (worker.breaker, worker.breaks) = (breaker, breaks % MANY);
    worker.idle_since = clock::now();
    worker
}

impl Shared {
    /// Puts what a broken worker held before everything that was pushed since.
    fn take_back(&self, left: Left) {
        let stored = left.keys.len();
        let mut inbox = self.inbox.lock();
        for item in left.items.into_iter().rev() {
            self.remember(&item);
            inbox.queue.push_front(item);
        }
        left.keys.into_iter().rev().for_each(|key| inbox.backlog.push_front(key));
        inbox.has_backlog |= stored > 0;
    }

    /// Nobody works at these pieces any more.
    fn loosen(&self, durable: &Option<Durable>, keys: Vec<Key>) {
        let Some(durable) = durable else { return };
        let records = keys.iter().filter_map(|key| durable.spool.look(*key)).map(|look| look.records).sum();
        self.records.fetch_sub(records, Relaxed);
        durable.spool.loosen(keys);
    }

    fn remember(&self, item: &Item) {
        let held = item.slot.held();
        let sums = [
            (&self.bytes, held.bytes),
            (&self.requests, held.requests),
            (&self.places, held.places),
            (&self.saved, item.slot.saved()),
            (&self.records, item.batch.payload.records.into()),
        ];
        for (sum, n) in sums {
            sum.fetch_add(n, Relaxed);
        }
    }

    /// Whom to nudge.
    pub(super) fn sleeper(self: &Arc<Shared>) -> std::sync::Weak<dyn Nudge> {
        Arc::downgrade(self) as _
    }
}
