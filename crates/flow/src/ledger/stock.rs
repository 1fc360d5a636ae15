//! What all queues of the process hold together, and who waits for room in them.
//!
//! Those who wait for one queue stand in a [`Line`], in the order they came. Only the first of a line tries; when it has its room the next one is
//! woken. Whoever gives room back wakes the first of its own line, and the first of each other line that lacks what all share: as many wake-ups as
//! there are full exporters, not as there are senders.
//!
//! That somebody waits is one bit of the very number that room is taken from. So giving back and asking whether somebody waits are one step
//! on one variable, and no wake-up is missed, whatever the machine's memory order: `tests/waiters.rs` tries all of them.
//! It knows nothing of targets: on which terms room is taken its callers say.

use super::sync::{Arc, AtomicU64, Mutex};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::task::{Poll, Waker};

/// Somebody waits.
const WAITED_FOR: u64 = 1 << 63;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: AtomicU64,
    /// With the bit that says that somebody waits.
    used: AtomicU64,
    /// Bytes that left queues, towards a destination or because they were given up, since the beginning.
    drained: AtomicU64,
    /// The lines in which somebody stands.
    lines: Mutex<Vec<Arc<Line>>>,
}

/// What the first of a line lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Room in its own queue.
    Own,
    /// What all queues share, or it is not known yet.
    Shared,
}

/// Who waits for room in one queue.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<Standers>);

#[derive(Debug, Default)]
struct Standers {
    queue: VecDeque<(u64, Option<Waker>)>,
    next: u64,
    /// What the first of them lacks.
    lack: Option<Lack>,
}

impl Stock {
    /// A stock of at most so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Stock {
        let [limit, used, drained] = [limit, 0, 0].map(AtomicU64::new);
        Stock(Arc::new(Inner { limit, used, drained, lines: Mutex::new(Vec::new()) }))
    }

    /// Makes it larger or smaller. What is held beyond it stays until it is settled.
    pub fn resize(&self, limit: u64) {
        self.0.limit.store(limit, Relaxed);
        if self.0.used.fetch_add(0, AcqRel) & WAITED_FOR != 0 {
            self.wake(None);
        }
    }

    /// What it holds at most.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Relaxed)
    }

    /// What it holds.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Acquire) & !WAITED_FOR
    }

    /// Bytes that left queues, towards a destination or because they were given up, since the beginning.
    #[must_use]
    pub fn drained(&self) -> u64 {
        self.0.drained.load(Relaxed)
    }

    /// Counts bytes that left.
    pub fn drain(&self, bytes: u64) {
        self.0.drained.fetch_add(bytes, Relaxed);
    }

    /// Takes `n`, if that stays within the limit and `allows` says so of what is held before. Else nothing was taken.
    pub(crate) fn take(&self, n: u64, allows: impl Fn(u64) -> bool) -> bool {
        let fits = |used: u64| used.saturating_add(n) <= self.limit() && allows(used);
        // Who cannot have it does not touch it: others would see too much taken meanwhile.
        if !fits(self.used()) {
            return false;
        }
        let before = self.0.used.fetch_add(n, AcqRel) & !WAITED_FOR;
        if !fits(before) {
            self.give_back(n, None);
            return false;
        }
        true
    }

    /// Takes `n`, whatever the limit.
    pub(crate) fn take_anyway(&self, n: u64) {
        self.0.used.fetch_add(n, AcqRel);
    }

    /// Gives `n` back. `line` is that of the queue which held it.
    pub(crate) fn give_back(&self, n: u64, line: Option<&Line>) {
        if self.0.used.fetch_sub(n, AcqRel) & WAITED_FOR != 0 {
            self.wake(line);
        }
    }

    fn wake(&self, own: Option<&Line>) {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter() {
            line.wake(own.is_some_and(|own| std::ptr::eq(own, &**line)));
        }
    }

    /// Waits in `line` until `attempt` has what it wants. Ends only then: the caller bounds it by dropping the future, whose place the
    /// next one takes.
    pub(crate) async fn wait<T>(&self, line: &Arc<Line>, mut attempt: impl FnMut() -> Result<T, Lack>) -> T {
        let place = Place { stock: self, line, number: self.enter(line) };
        poll_fn(|context| {
            if !line.is_turn(place.number, context.waker()) {
                return Poll::Pending;
            }
            match attempt() {
                Ok(taken) => Poll::Ready(taken),
                Err(lack) => {
                    line.lacks(place.number, lack);
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn enter(&self, line: &Arc<Line>) -> u64 {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.iter().any(|known| Arc::ptr_eq(known, line)) {
            lines.push(line.clone());
        }
        let number = line.enter();
        // From here on whoever gives back looks for those who wait, and finds this one.
        self.0.used.fetch_or(WAITED_FOR, AcqRel);
        number
    }

    fn leave(&self, line: &Arc<Line>, number: u64) {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if line.leave(number) {
            lines.retain(|known| !Arc::ptr_eq(known, line));
        }
        if lines.is_empty() {
            self.0.used.fetch_and(!WAITED_FOR, AcqRel);
        }
    }

    /// Whether somebody waits anywhere.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.used.load(Acquire) & WAITED_FOR != 0
    }
}

/// A place in a line, given up on drop.
struct Place<'a> {
    stock: &'a Stock,
    line: &'a Arc<Line>,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.stock.leave(self.line, self.number);
    }
}

impl Line {
    fn standers(&self) -> impl std::ops::DerefMut<Target = Standers> + '_ {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> u64 {
        let mut standers = self.standers();
        let number = standers.next;
        standers.next += 1;
        standers.queue.push_back((number, None));
        number
    }

    /// Whether this one is the first; it will be woken in either case.
    fn is_turn(&self, number: u64, waker: &Waker) -> bool {
        let mut standers = self.standers();
        let Some(at) = standers.place_of(number) else { return false };
        standers.queue[at].1 = Some(waker.clone());
        let first = at == 0;
        if first {
            // Until it has tried, anything may help it.
            standers.lack = Some(Lack::Shared);
        }
        first
    }

    fn lacks(&self, number: u64, lack: Lack) {
        let mut standers = self.standers();
        if standers.queue.front().is_some_and(|(first, _)| *first == number) {
            standers.lack = Some(lack);
        }
    }

    /// Takes a place out and wakes who is first now. Whether nobody is left.
    fn leave(&self, number: u64) -> bool {
        let mut standers = self.standers();
        let place = standers.place_of(number);
        place.and_then(|at| standers.queue.remove(at));
        if place == Some(0) {
            standers.lack = Some(Lack::Shared);
            standers.wake();
        }
        standers.queue.is_empty()
    }

    fn wake(&self, is_own: bool) {
        let mut standers = self.standers();
        if is_own || standers.lack != Some(Lack::Own) {
            standers.wake();
        }
    }
}

impl Standers {
    /// Numbers ascend.
    fn place_of(&self, number: u64) -> Option<usize> {
        self.queue.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.queue.front_mut().and_then(|(_, waker)| waker.take()) {
            waker.wake();
        }
    }
}
