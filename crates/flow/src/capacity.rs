//! How much one exporter may hold: the collector's `queue_size` under its `sizer`, and a share of the process's budget.
//!
//! A [`Slot`] is taken before anything is enqueued and given back when the piece it stands for is settled, so "size" means
//! everything the exporter has not finished, in flight or not. An empty exporter takes one request of any size: nothing is
//! wedged for ever by being large.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// What `queue_size` counts. The collector's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sizer {
    /// Export requests as they came in.
    #[default]
    Requests,
    /// Log records, spans or data points.
    Items,
    /// Encoded bytes.
    Bytes,
}

/// The bounds of one exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityConfig {
    /// The collector's `queue_size`.
    pub size: u64,
    /// What it counts.
    pub sizer: Sizer,
    /// Bytes it may hold, whatever the sizer: its share of the budget.
    pub max_bytes: u64,
}

/// An amount in each of the units.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Requests, or the pieces that they were divided into.
    pub requests: u64,
    /// Log records, spans or data points.
    pub records: u64,
    /// Encoded bytes.
    pub bytes: u64,
}

impl Held {
    /// How much that is in the units of this sizer.
    #[must_use]
    pub fn of(&self, sizer: Sizer) -> u64 {
        match sizer {
            Sizer::Requests => self.requests,
            Sizer::Items => self.records,
            Sizer::Bytes => self.bytes,
        }
    }
}

/// The account of one exporter.
#[derive(Debug)]
pub struct Capacity {
    config: CapacityConfig,
    share: Share,
    held: Mutex<Held>,
}

/// A share of the process's budget, in bytes. The signals of one exporter have it in common, so that a dead destination holds no
/// more for being sent all three. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Share(Arc<ShareInner>);

#[derive(Debug)]
struct ShareInner {
    limit: AtomicU64,
    used: AtomicU64,
    freed: Notify,
    /// Senders that wait for room: without one, giving back needs no wake-up.
    waiting: AtomicU64,
}

impl Share {
    /// A share of so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Share {
        let [limit, used, waiting] = [limit, 0, 0].map(AtomicU64::new);
        Share(Arc::new(ShareInner { limit, used, freed: Notify::new(), waiting }))
    }

    /// Makes it larger or smaller: shares change when exporters come and go. What is held beyond it stays until it is settled.
    pub fn resize(&self, limit: u64) {
        self.0.limit.store(limit, Relaxed);
        self.0.freed.notify_waiters();
    }

    /// Its size in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Relaxed)
    }

    /// Bytes taken from it.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// The part of it that is taken, 0..=1 and beyond.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.used() as f64 / self.limit().max(1) as f64
    }

    /// Takes bytes; false, with nothing taken, if they do not fit.
    fn take(&self, bytes: u64) -> bool {
        let fits = self.0.used.fetch_add(bytes, Relaxed) + bytes <= self.limit();
        if !fits {
            self.0.used.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Relaxed);
        if self.0.waiting.load(Relaxed) > 0 {
            self.0.freed.notify_waiters();
        }
    }
}

/// Room in an exporter's queue, given back on drop.
#[derive(Debug)]
pub struct Slot {
    capacity: Arc<Capacity>,
    held: Held,
    /// Bytes that were given back before the slot.
    saved: u64,
}

impl Capacity {
    /// An empty account.
    #[must_use]
    pub fn new(config: CapacityConfig) -> Arc<Capacity> {
        let share = Share::new(config.max_bytes);
        Capacity::within(config, share)
    }

    /// An empty account within a share that others may use too; `CapacityConfig::max_bytes` has no effect.
    #[must_use]
    pub fn within(config: CapacityConfig, share: Share) -> Arc<Capacity> {
        Arc::new(Capacity { config, share, held: Mutex::default() })
    }

    /// Takes room for one request, if there is any.
    pub fn take(self: &Arc<Self>, records: u32, bytes: usize) -> Option<Slot> {
        self.take_beside(Held::default(), records, bytes)
    }

    /// The same where so much is kept elsewhere, which counts towards the size of the queue but is not in memory.
    pub fn take_beside(self: &Arc<Self>, stored: Held, records: u32, bytes: usize) -> Option<Slot> {
        let add = Held { requests: 1, records: u64::from(records), bytes: bytes as u64 };
        let mut held = self.held.lock();
        let sizer = self.config.sizer;
        let is_empty = held.requests == 0;
        if !(is_empty && stored.requests == 0) && stored.of(sizer) + held.of(sizer) + add.of(sizer) > self.config.size {
            return None;
        }
        if !self.share.take(add.bytes) {
            if !is_empty {
                return None;
            }
            self.share.0.used.fetch_add(add.bytes, Relaxed);
        }
        held.requests += 1;
        held.records += add.records;
        held.bytes += add.bytes;
        Some(Slot { capacity: self.clone(), held: add, saved: 0 })
    }

    /// Takes memory for a copy of something that is kept elsewhere too, if at most half of the share is taken then: a copy is
    /// convenient, not necessary.
    pub fn take_copy(self: &Arc<Self>, bytes: u64) -> Option<Slot> {
        if self.share.used() + bytes > self.share.limit() / 2 || !self.share.take(bytes) {
            return None;
        }
        Some(self.copy(bytes))
    }

    /// Takes memory for a copy that is about to be sent, whatever is taken: without it nothing that is kept elsewhere could ever
    /// leave. The caller bounds how many there are.
    pub fn take_anyway(self: &Arc<Self>, bytes: u64) -> Slot {
        self.share.0.used.fetch_add(bytes, Relaxed);
        self.copy(bytes)
    }

    fn copy(self: &Arc<Self>, bytes: u64) -> Slot {
        self.held.lock().bytes += bytes;
        Slot { capacity: self.clone(), held: Held { requests: 0, records: 0, bytes }, saved: 0 }
    }

    /// Waits for room. Ends only when there is some: the caller bounds it by dropping the future.
    pub async fn wait(self: &Arc<Self>, records: u32, bytes: usize) -> Slot {
        self.share.0.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiter(&self.share.0.waiting);
        loop {
            let freed = self.share.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(slot) = self.take(records, bytes) {
                return slot;
            }
            freed.await;
        }
    }

    /// What the queue holds, in units of its sizer.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.held.lock().of(self.config.sizer)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held.lock().bytes
    }

    /// The share it is within.
    #[must_use]
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// The bounds it began with.
    #[must_use]
    pub fn config(&self) -> &CapacityConfig {
        &self.config
    }
}

/// Counts a sender that waits, until it has room or goes away.
struct Waiter<'a>(&'a AtomicU64);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Slot {
    /// Bytes it stands for. The pieces of a split slot add up to the whole, even if their payloads repeat headers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held.bytes
    }

    /// Takes a part of this slot for a piece of its request. The request itself stays counted once, with what remains.
    #[must_use]
    pub fn split(&mut self, records: u32, bytes: usize) -> Slot {
        let records = u64::from(records).min(self.held.records);
        let bytes = (bytes as u64).min(self.held.bytes);
        let saved = self.saved * records / self.held.records.max(1);
        self.held.records -= records;
        self.held.bytes -= bytes;
        self.saved -= saved;
        Slot { capacity: self.capacity.clone(), held: Held { requests: 0, records, bytes }, saved }
    }

    /// A slot of the same account that stands for nothing yet.
    #[must_use]
    pub fn nothing(&self) -> Slot {
        Slot { capacity: self.capacity.clone(), held: Held::default(), saved: 0 }
    }

    /// Hands a part of what it stands for over to another slot of the same account, as [`Slot::split`] does, and says how many bytes
    /// that were.
    pub fn hand_over(&mut self, to: &mut Slot, records: usize, bytes: usize) -> u64 {
        debug_assert!(Arc::ptr_eq(&self.capacity, &to.capacity));
        let (records, bytes) = ((records as u64).min(self.held.records), (bytes as u64).min(self.held.bytes));
        self.held.records -= records;
        self.held.bytes -= bytes;
        to.held.records += records;
        to.held.bytes += bytes;
        bytes
    }

    /// Stands for what `other`, of the same account, stood for as well.
    pub fn absorb(&mut self, mut other: Slot) {
        other.hand_over_rest(self);
    }

    /// Hands all that is left over to another slot of the same account, the count of its request with it; says how many bytes that
    /// were.
    pub fn hand_over_rest(&mut self, to: &mut Slot) -> u64 {
        debug_assert!(Arc::ptr_eq(&self.capacity, &to.capacity));
        let held = std::mem::take(&mut self.held);
        to.held.requests += held.requests;
        to.held.records += held.records;
        to.held.bytes += held.bytes;
        to.saved += std::mem::take(&mut self.saved);
        held.bytes
    }

    /// Stands for only so many bytes from now on, and gives the rest back. Says how many those are.
    pub fn shrink(&mut self, bytes: u64) -> u64 {
        let back = self.held.bytes.saturating_sub(bytes);
        self.held.bytes -= back;
        self.saved += back;
        self.capacity.held.lock().bytes -= back;
        self.capacity.share.give_back(back);
        back
    }

    /// Bytes that it gave back so far.
    #[must_use]
    pub fn saved(&self) -> u64 {
        self.saved
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.capacity.held.lock();
        held.requests -= self.held.requests;
        held.records -= self.held.records;
        held.bytes -= self.held.bytes;
        drop(held);
        self.capacity.share.give_back(self.held.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(size: u64, sizer: Sizer) -> Arc<Capacity> {
        Capacity::new(CapacityConfig { size, sizer, max_bytes: 1000 })
    }

    /// Scenario: a queue of two requests. Guarantee: the third is refused until one is given back.
    #[test]
    fn a_full_queue_refuses_until_something_is_given_back() {
        let c = capacity(2, Sizer::Requests);
        let a = c.take(1, 1).unwrap();
        let _b = c.take(1, 1).unwrap();
        assert!(c.take(1, 1).is_none());
        drop(a);
        assert!(c.take(1, 1).is_some());
    }

    /// Scenario: one request larger than the bounds. Guarantee: an empty queue takes it, a busy one does not.
    #[test]
    fn an_empty_queue_takes_a_request_of_any_size() {
        let c = capacity(10, Sizer::Items);
        let big = c.take(50, 5000).unwrap();
        assert!(c.take(1, 1).is_none());
        drop(big);
        assert_eq!((c.size(), c.bytes()), (0, 0));
    }

    /// Scenario: an exporter's share is halved while it is full, and grows again. Guarantee: it keeps what it has, takes nothing until it is
    /// below the new share, and takes more under the larger one.
    #[test]
    fn a_share_can_change() {
        let c = capacity(100, Sizer::Requests);
        let a = c.take(1, 600).unwrap();
        c.share().resize(500);
        assert!(c.take(1, 1).is_none());
        c.share().resize(2000);
        let _b = c.take(1, 1400).unwrap();
        assert!(c.take(1, 1).is_none());
        drop(a);
        assert_eq!(c.bytes(), 1400);
    }

    /// Scenario: two signals of one exporter, one of which stalls. Guarantee: together they hold no more than the share.
    #[test]
    fn signals_have_their_share_in_common() {
        let (share, config) = (Share::new(1000), CapacityConfig { size: 100, sizer: Sizer::Requests, max_bytes: 0 });
        let (logs, traces) = (Capacity::within(config.clone(), share.clone()), Capacity::within(config, share.clone()));
        let held = logs.take(1, 800).unwrap();
        let _one = traces.take(1, 100).unwrap();
        assert!(traces.take(1, 200).is_none());
        drop(held);
        assert!(traces.take(1, 200).is_some());
        assert_eq!(share.used(), 100);
    }

    /// Scenario: a slot is split over two pieces. Guarantee: the whole is given back only when both are.
    #[test]
    fn a_split_slot_is_given_back_piece_by_piece() {
        let c = capacity(10, Sizer::Items);
        let mut a = c.take(10, 100).unwrap();
        let piece = a.split(4, 40);
        drop(a);
        assert_eq!((c.size(), c.bytes()), (4, 40));
        drop(piece);
        assert_eq!((c.size(), c.bytes()), (0, 0));
    }

    /// Scenario: what a slot stands for is compressed, then divided. Guarantee: the bytes are free at once, and the pieces add up to what is left
    /// and to what was saved.
    #[test]
    fn a_slot_can_shrink() {
        let c = capacity(10, Sizer::Items);
        let mut a = c.take(10, 1000).unwrap();
        assert_eq!((a.shrink(300), a.shrink(400)), (700, 0));
        assert_eq!((c.size(), c.bytes(), c.share().used()), (10, 300, 300));
        let b = a.split(4, 120);
        assert_eq!((a.bytes() + b.bytes(), a.saved() + b.saved()), (300, 700));
        drop((a, b));
        assert_eq!((c.size(), c.bytes(), c.share().used()), (0, 0, 0));
    }

    /// Scenario: a sender waits for room and another gives its own back. Guarantee: the waiter wakes up with the room.
    #[tokio::test(start_paused = true)]
    async fn a_waiting_sender_gets_the_room_that_is_given_back() {
        let c = capacity(1, Sizer::Requests);
        let first = c.take(1, 1).unwrap();
        let waiter = tokio::spawn({
            let c = c.clone();
            async move { c.wait(1, 1).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let slot = waiter.await.unwrap();
        assert_eq!(c.size(), 1);
        drop(slot);
        assert_eq!(c.share().0.waiting.load(Relaxed), 0);
    }
}
