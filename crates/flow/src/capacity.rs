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

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    requests: u64,
    records: u64,
    bytes: u64,
}

impl Held {
    fn of(&self, sizer: Sizer) -> u64 {
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
    held: Mutex<Held>,
    freed: Notify,
    /// Senders that wait for room: without one, giving back needs no wake-up.
    waiting: AtomicU64,
}

/// Room in an exporter's queue, given back on drop.
#[derive(Debug)]
pub struct Slot {
    capacity: Arc<Capacity>,
    held: Held,
}

impl Capacity {
    /// An empty account.
    #[must_use]
    pub fn new(config: CapacityConfig) -> Arc<Capacity> {
        Arc::new(Capacity { config, held: Mutex::default(), freed: Notify::new(), waiting: AtomicU64::new(0) })
    }

    /// Takes room for one request, if there is any.
    pub fn take(self: &Arc<Self>, records: u32, bytes: usize) -> Option<Slot> {
        let add = Held { requests: 1, records: u64::from(records), bytes: bytes as u64 };
        let mut held = self.held.lock();
        let sizer = self.config.sizer;
        let fits =
            held.of(sizer) + add.of(sizer) <= self.config.size && held.bytes + add.bytes <= self.config.max_bytes;
        if !fits && held.requests > 0 {
            return None;
        }
        held.requests += 1;
        held.records += add.records;
        held.bytes += add.bytes;
        Some(Slot { capacity: self.clone(), held: add })
    }

    /// Waits for room. Ends only when there is some: the caller bounds it by dropping the future.
    pub async fn wait(self: &Arc<Self>, records: u32, bytes: usize) -> Slot {
        self.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiter(&self.waiting);
        loop {
            let freed = self.freed.notified();
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

    /// The bounds.
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
        self.held.records -= records;
        self.held.bytes -= bytes;
        Slot { capacity: self.capacity.clone(), held: Held { requests: 0, records, bytes } }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.capacity.held.lock();
        held.requests -= self.held.requests;
        held.records -= self.held.records;
        held.bytes -= self.held.bytes;
        drop(held);
        if self.capacity.waiting.load(Relaxed) > 0 {
            self.capacity.freed.notify_waiters();
        }
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
        assert_eq!(c.waiting.load(Relaxed), 0);
    }
}
