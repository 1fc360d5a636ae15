//! What stages hold back, on its way out when no request carries it along.
//!
//! One [`Releaser`] serves all pipelines of a process. [`Releaser::pass`] is a synchronous look at each: what is due goes through the
//! stages behind the one that held it, and into the exporters, with the memory and the duties of the requests it came with. A
//! pipeline none of whose exporters has room is left for later: what was acknowledged is not thrown away because a queue is full.
//! When some have room and others not, the full ones miss it and count it, as with any request.
//!
//! Invariants: of one pipeline at most one payload waits here; a pipeline that a reload took away stays until nothing can enter its
//! stages any more and nothing is left in them. It has no task and no clock: the program calls [`run`](Releaser::run) once.

use crate::inlet::{Acknowledge, Funnel, is_stored};
use crate::outlet::Outgoing;
use crate::stage::{Release, Staged};
use crate::{Ack, Kind, Outcome, Payload, Why, clock};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Between two looks.
const TICK: Duration = Duration::from_millis(200);
/// Between two looks while everything ends.
const END_TICK: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Default)]
pub struct Releaser {
    pipelines: Mutex<Vec<Pipeline>>,
    ending: AtomicBool,
    /// Something ends, or begins to be held.
    news: Notify,
}

/// A pipeline that may hold records back.
struct Pipeline {
    funnel: Funnel,
    acknowledge: Acknowledge,
    /// Its stages that hold, by place. Of a replaced pipeline those that its successor does not have.
    holders: Vec<usize>,
    /// Whether it was replaced.
    old: bool,
    /// What found no room.
    stuck: Option<Staged>,
}

impl Releaser {
    /// Takes note of the pipelines there are now; those that hold nothing back are left out. Of those before, what is not in the
    /// new one of the same name is emptied, through its own exporters. `acknowledge` says what the senders of what comes out hear of.
    pub fn replace(&self, funnels: Vec<Funnel>, acknowledge: Acknowledge) {
        let mut pipelines = self.pipelines.lock();
        let mut new: Vec<Pipeline> = funnels
            .into_iter()
            .map(|funnel| Pipeline::new(funnel, acknowledge))
            .filter(|pipeline| !pipeline.holders.is_empty())
            .collect();
        for mut old in pipelines.drain(..) {
            let successor = new.iter_mut().find(|new| !new.old && new.funnel.name == old.funnel.name);
            if let Some(new) = successor.filter(|_| !old.old) {
                let stays = |at: &usize| new.funnel.stages.iter().any(|s| Arc::ptr_eq(s, &old.funnel.stages[*at]));
                old.holders.retain(|at| !stays(at));
                new.stuck = old.stuck.take();
            }
            old.old = true;
            if !old.holders.is_empty() || old.stuck.is_some() {
                new.push(old);
            }
        }
        *pipelines = new;
        self.news.notify_one();
    }

    /// Looks at every pipeline. Whether anything is left that should have gone.
    pub fn pass(&self, what: Release) -> bool {
        let mut left = false;
        self.pipelines.lock().retain_mut(|pipeline| {
            // Counted first: what nobody can enter any more before the look is empty after it.
            let is_over = pipeline.old && pipeline.is_deserted();
            let rest = pipeline.pass(if pipeline.old { Release::All } else { what });
            left |= rest;
            rest || !is_over
        });
        left
    }

    /// Looks now and then until [`end`](Self::end) is done. To be run as a task.
    pub async fn run(self: Arc<Self>) {
        loop {
            let pause = match (self.ending.load(Relaxed), self.pipelines.lock().is_empty()) {
                (true, _) => Some(END_TICK),
                (false, false) => Some(TICK),
                (false, true) => None,
            };
            match pause {
                Some(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.news.notified() => {}
                },
                None => self.news.notified().await,
            }
            self.pass(if self.ending.load(Relaxed) { Release::All } else { Release::Due });
        }
    }

    /// From now on nothing is held back: senders that wait for what is held hear of it while receivers end.
    pub fn begin_end(&self) {
        self.ending.store(true, Relaxed);
        self.pass(Release::All);
        self.news.notify_one();
    }

    /// Empties everything, once nothing can enter any more. What finds no room until the deadline is settled as failed, and counted
    /// by the exporters that had none.
    pub async fn end(&self, deadline: Instant) {
        self.ending.store(true, Relaxed);
        while self.pass(Release::All) && clock::now() < deadline {
            tokio::time::sleep(END_TICK).await;
        }
        let rest = std::mem::take(&mut *self.pipelines.lock());
        for mut pipeline in rest {
            while pipeline.pass(Release::All) {
                if let Some(staged) = pipeline.stuck.take() {
                    let stored = |outlet: &Arc<dyn Outgoing>| is_stored(outlet, pipeline.acknowledge);
                    let records = u64::from(staged.payload.records);
                    let refused = |outlet: &Arc<dyn Outgoing>| {
                        let why = outlet.reserve(&staged.payload, stored(outlet)).err()?;
                        outlet.count_missed(why.kind, records);
                        Some(why)
                    };
                    let why = pipeline.funnel.outlets.iter().filter_map(refused).last();
                    let why = why.unwrap_or_else(|| Why::new(Kind::Stopping, "the program is ending"));
                    tracing::error!(pipeline = %pipeline.funnel.name, records, "held records were given up");
                    staged.settle(&Outcome::failed(records, why));
                }
            }
        }
    }
}

impl Pipeline {
    fn new(funnel: Funnel, acknowledge: Acknowledge) -> Pipeline {
        let holders = (0..funnel.stages.len()).filter(|at| funnel.stages[*at].holds()).collect();
        Pipeline { funnel, acknowledge, holders, old: false, stuck: None }
    }

    /// Whether nobody else has its stages.
    fn is_deserted(&self) -> bool {
        self.holders.iter().all(|at| Arc::strong_count(&self.funnel.stages[*at]) == 1)
    }

    /// Lets go of what it holds; whether something is left for want of room.
    fn pass(&mut self, what: Release) -> bool {
        if let Some(staged) = self.stuck.take()
            && !self.push(staged)
        {
            return true;
        }
        for at in self.holders.clone() {
            if what == Release::Due && !self.has_room() {
                // Not even asked for: it is kept where it is, and merges there with what comes.
                return false;
            }
            while let Some(staged) = self.released(at, what) {
                if staged.payload.records > 0 && !self.push(staged) {
                    return true;
                }
            }
        }
        false
    }

    /// What a stage lets go, after the stages behind it.
    fn released(&self, at: usize, what: Release) -> Option<Staged> {
        let mut staged = self.funnel.stages[at].release(what)?;
        for later in &self.funnel.stages[at + 1..] {
            later.apply(&mut staged);
        }
        Some(staged)
    }

    fn has_room(&self) -> bool {
        let something = Payload::new(wire::Signal::Logs, bytes::Bytes::new(), 1);
        self.funnel.outlets.iter().any(|outlet| {
            let stored = is_stored(outlet, self.acknowledge);
            now(outlet.wait(&something, stored, 1)).is_some()
        })
    }

    /// Enqueues at every exporter that has room; keeps it if none has.
    fn push(&mut self, staged: Staged) -> bool {
        let outlets = &self.funnel.outlets;
        let stored = |outlet: &Arc<dyn Outgoing>| is_stored(outlet, self.acknowledge);
        let slots: Vec<_> = outlets.iter().map(|outlet| now(outlet.wait(&staged.payload, stored(outlet), 1))).collect();
        if !outlets.is_empty() && slots.iter().all(Option::is_none) {
            self.stuck = Some(staged);
            return false;
        }
        for (outlet, slot) in outlets.iter().zip(slots) {
            match slot.map_or_else(|| outlet.reserve(&staged.payload, stored(outlet)), Ok) {
                // What stages made is no slice of the request: its own memory is nobody else's to give back.
                Ok(slot) if stored(outlet) => {
                    outlet.store(staged.payload.clone(), slot, staged.ack(), Ack::unwatched(None));
                }
                Ok(slot) => drop(outlet.push(staged.payload.clone(), slot, staged.ack(), true)),
                Err(why) => {
                    outlet.count_missed(why.kind, staged.payload.records.into());
                    let missed = Outcome::Dropped { records: u64::from(staged.payload.records), why };
                    staged.ack().settle(missed);
                }
            }
        }
        true
    }
}

/// What a future gives without waiting.
fn now<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests;
