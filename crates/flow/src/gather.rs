//! Requests that are divided over many targets together instead of one by one.
//!
//! Dividing costs something for each piece. A request of a hundred records over two hundred targets becomes pieces of one record
//! each; eighty such requests together become pieces of thirty. So where batches are formed anyway, and no sender waits, requests
//! are held for a moment and divided at once. What is gathered is bounded, by its size and by time.
//!
//! It does not divide: whoever takes what was gathered does. Invariant: requests keep their order.

use crate::batcher::Item;
use crate::{Ack, Batch, clock};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How much is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherConfig {
    /// Records that are enough for each target: more do not make the pieces much cheaper, and leave the cache.
    pub per_target: u64,
    /// Records that are enough, however many targets there are.
    pub records: u64,
    /// Bytes that are enough.
    pub bytes: u64,
    /// The longest that a request is held.
    pub wait: Duration,
}

#[derive(Default)]
struct Held {
    items: Vec<Item>,
    records: u64,
    bytes: u64,
    until: Option<Instant>,
    /// Nothing is held any more.
    closed: bool,
}

/// What became of a request.
#[allow(clippy::large_enum_variant)] // Moved once and never kept.
pub(crate) enum Added<'a> {
    /// It waits for others.
    Held,
    /// It is in this, with all others.
    Enough(Gathered<'a>),
    /// Nothing is held any more: it comes back.
    Closed(Item),
}

/// What is to be divided now. While it is, the end of the exporter waits: its senders were told that it was taken.
pub(crate) struct Gathered<'a> {
    pub(crate) item: Item,
    pub(crate) _turn: RwLockReadGuard<'a, ()>,
}

/// See the module.
pub(crate) struct Gather {
    config: GatherConfig,
    held: Mutex<Held>,
    begun: Notify,
    /// Read by those who divide what was gathered.
    turn: RwLock<()>,
}

impl Gather {
    pub(crate) fn new(config: GatherConfig) -> Gather {
        Gather { config, held: Mutex::default(), begun: Notify::new(), turn: RwLock::default() }
    }

    /// Adds a request, unless it is too late for that, and gives all of them as one if they are enough for so many targets.
    pub(crate) fn add(&self, item: Item, targets: usize) -> Added<'_> {
        let mut held = self.held.lock();
        if held.closed {
            return Added::Closed(item);
        }
        held.records += u64::from(item.batch.payload.records);
        held.bytes += item.batch.payload.len() as u64;
        held.items.push(item);
        let enough = self.config.records.min(self.config.per_target.saturating_mul(targets as u64));
        if held.records >= enough || held.bytes >= self.config.bytes {
            return self.gathered(&mut held).map_or(Added::Held, Added::Enough);
        }
        if held.items.len() == 1 {
            held.until = Some(clock::now() + self.config.wait);
            drop(held);
            self.begun.notify_one();
        }
        Added::Held
    }

    /// Everything that is held, as one.
    pub(crate) fn take(&self) -> Option<Gathered<'_>> {
        self.gathered(&mut self.held.lock())
    }

    /// The turn is taken under the lock of what is held, so that who closes finds it in one place or the other.
    fn gathered(&self, held: &mut Held) -> Option<Gathered<'_>> {
        let item = take(held)?;
        Some(Gathered { item, _turn: self.turn.read_recursive() })
    }

    /// Gives what is held, and holds nothing any more.
    pub(crate) fn close(&self) -> Option<Item> {
        let mut held = self.held.lock();
        let last = take(&mut held);
        held.closed = true;
        drop(held);
        // What was taken out before is divided by now.
        drop(self.turn.write());
        last
    }

    /// Waits until something has been held for long enough. One caller at a time.
    pub(crate) async fn due(&self) {
        loop {
            let until = self.held.lock().until;
            if until.is_some_and(|until| until <= clock::now()) {
                return;
            }
            tokio::select! {
                () = clock::sleep_until(until) => {}
                () = self.begun.notified() => {}
            }
        }
    }
}

/// One item out of many: the bytes of concatenated requests are their merged request.
fn take(held: &mut Held) -> Option<Item> {
    let closed = held.closed;
    let mut items = std::mem::replace(held, Held { closed, ..Held::default() }).items.into_iter();
    let mut first = items.next()?;
    if items.len() == 0 {
        return Some(first);
    }
    let mut acks = Vec::with_capacity(items.len() + 1);
    let Item { batch: Batch { mut payload, ack }, .. } = first;
    acks.push(ack);
    for Item { batch, slot, .. } in items {
        payload.records = payload.records.saturating_add(batch.payload.records);
        payload.body.append(batch.payload.body);
        acks.push(batch.ack);
        first.slot.absorb(slot);
    }
    first.batch = Batch { payload, ack: Ack::join(acks) };
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Capacity, CapacityConfig, Sizer};
    use crate::testing::{ids, logs};
    use crate::{Kind, Outcome, Why};
    use std::sync::Arc;
    use tokio::sync::oneshot;

    const CONFIG: GatherConfig =
        GatherConfig { per_target: 1, records: 9, bytes: 1 << 20, wait: Duration::from_millis(10) };

    fn item(capacity: &Arc<Capacity>, names: &[&str]) -> (Item, oneshot::Receiver<Outcome>) {
        let payload = logs("s", names);
        let slot = capacity.take(payload.records, payload.len()).unwrap();
        let (ack, heard) = Ack::watched(None);
        let batch = Batch { payload, ack };
        (Item { batch, packed: None, slot, at: clock::now(), waits: false, tried: None, ticket: None }, heard)
    }

    fn capacity() -> Arc<Capacity> {
        Capacity::new(CapacityConfig { size: 100, sizer: Sizer::Requests, max_bytes: 1 << 20 })
    }

    /// Scenario: requests until they are enough. Guarantee: they become one, in order, with the room of all, and each sender hears of the outcome.
    #[tokio::test(start_paused = true)]
    async fn requests_become_one() {
        let (gather, capacity) = (Gather::new(CONFIG), capacity());
        let (a, heard_a) = item(&capacity, &["1", "2"]);
        let (b, heard_b) = item(&capacity, &["3", "4", "5"]);
        assert!(matches!(gather.add(a, 5), Added::Held));
        let Added::Enough(Gathered { item: both, .. }) = gather.add(b, 5) else { panic!("it is held") };
        assert_eq!(ids(&both.batch.payload), ["1", "2", "3", "4", "5"]);
        assert_eq!((both.batch.payload.records, both.slot.bytes(), capacity.size()), (5, capacity.bytes(), 2));
        let failed = Outcome::failed(5, Why::new(Kind::Timeout, ""));
        both.batch.ack.settle(failed.clone());
        drop(both.slot);
        assert_eq!((heard_a.await.unwrap(), heard_b.await.unwrap()), (failed.clone(), failed));
        assert_eq!((capacity.size(), capacity.bytes()), (0, 0));
        assert!(gather.take().is_none());
    }

    /// Scenario: one request and no other. Guarantee: it is due after the wait.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_held_for_long() {
        let (gather, capacity) = (Gather::new(CONFIG), capacity());
        let (a, _heard) = item(&capacity, &["1"]);
        let start = clock::now();
        assert!(matches!(gather.add(a, 5), Added::Held));
        gather.due().await;
        let due = gather.take().unwrap().item;
        assert_eq!(clock::now() - start, CONFIG.wait);
        due.batch.ack.settle(Outcome::Delivered);
    }

    /// Scenario: the exporter ends while a sender is still inside. Guarantee: what was held comes out, and nothing is held after that.
    #[tokio::test(start_paused = true)]
    async fn a_closed_one_holds_nothing() {
        let (gather, capacity) = (Gather::new(CONFIG), capacity());
        let ((a, _heard), (b, _too)) = (item(&capacity, &["1"]), item(&capacity, &["2"]));
        assert!(matches!(gather.add(a, 5), Added::Held));
        let last = gather.close().unwrap();
        assert!(gather.take().is_none());
        let Added::Closed(next) = gather.add(b, 5) else { panic!("it is held") };
        assert_eq!((ids(&last.batch.payload), ids(&next.batch.payload)), (vec!["1".to_owned()], vec!["2".to_owned()]));
        [last, next].into_iter().for_each(|item| item.batch.ack.settle(Outcome::Delivered));
    }

    /// Scenario: the exporter ends while somebody divides what was gathered. Guarantee: the end waits for that.
    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_being_divided() {
        let (gather, capacity) = (Gather::new(CONFIG), capacity());
        let (a, _heard) = item(&capacity, &["1", "2", "3", "4", "5"]);
        let Added::Enough(Gathered { item, _turn }) = gather.add(a, 5) else { panic!("it is held") };
        std::thread::scope(|scope| {
            let end = scope.spawn(|| gather.close().is_none());
            while !gather.held.lock().closed {
                std::thread::yield_now();
            }
            assert!(!end.is_finished());
            item.batch.ack.settle(Outcome::Delivered);
            drop(_turn);
            assert!(end.join().unwrap());
        });
    }
}
