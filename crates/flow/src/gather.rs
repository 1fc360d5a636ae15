//! Requests that are sorted into batches together instead of one by one.
//!
//! Visiting a lane costs something, however little is written into its batch. A request of a hundred records over two hundred
//! targets visits eighty lanes, for a record each; twenty such requests together visit each lane once, for ten. So where batches are
//! formed anyway, and no sender waits, requests are held for a moment. What is gathered is bounded, by its size and by time.
//!
//! It does not sort: whoever takes what was gathered does. Invariant: requests keep their order.

use crate::batcher::Item;
use crate::clock;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How much is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherConfig {
    /// Records that are enough for each target,
    pub per_target: u64,
    /// and for all of them: whoever comes last sorts them, and shall not be held up for long.
    pub records: u64,
    /// Bytes that are enough, however many targets there are: more leaves the cache.
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
// It is moved once and never kept: a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Added<'a> {
    /// It waits for others.
    Held,
    /// It is the last of these.
    Enough(Gathered<'a>),
    /// Nothing is held any more: it comes back.
    Closed(Item),
}

/// What is to be sorted now. While it is, the end of the exporter waits: its senders were told that it was taken.
pub(crate) struct Gathered<'a> {
    pub(crate) items: Vec<Item>,
    pub(crate) _turn: RwLockReadGuard<'a, ()>,
}

/// See the module.
pub(crate) struct Gather {
    config: GatherConfig,
    held: Mutex<Held>,
    begun: Notify,
    /// Read by those who sort what was gathered.
    turn: RwLock<()>,
}

impl Gather {
    pub(crate) fn new(config: GatherConfig) -> Gather {
        Gather { config, held: Mutex::default(), begun: Notify::new(), turn: RwLock::default() }
    }

    /// Adds a request, unless it is too late for that, and gives all of them if they are enough for so many targets.
    pub(crate) fn add(&self, item: Item, targets: usize) -> Added<'_> {
        let mut held = self.held.lock();
        if held.closed {
            return Added::Closed(item);
        }
        held.records += u64::from(item.batch.payload.records);
        held.bytes += item.batch.payload.len() as u64;
        held.items.push(item);
        let enough = self.config.per_target.saturating_mul(targets as u64).min(self.config.records);
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

    /// Everything that is held.
    pub(crate) fn take(&self) -> Option<Gathered<'_>> {
        self.gathered(&mut self.held.lock())
    }

    /// The turn is taken under the lock of what is held, so that who closes finds it in one place or the other.
    fn gathered(&self, held: &mut Held) -> Option<Gathered<'_>> {
        let items = take(held);
        (!items.is_empty()).then(|| Gathered { items, _turn: self.turn.read_recursive() })
    }

    /// Gives what is held, and holds nothing any more.
    pub(crate) fn close(&self) -> Vec<Item> {
        let mut held = self.held.lock();
        let last = take(&mut held);
        held.closed = true;
        drop(held);
        // What was taken out before is sorted by now.
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

fn take(held: &mut Held) -> Vec<Item> {
    let closed = held.closed;
    std::mem::replace(held, Held { closed, ..Held::default() }).items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Capacity, CapacityConfig, Sizer};
    use crate::testing::{ids, logs};
    use crate::{Ack, Batch, Outcome};

    const CONFIG: GatherConfig =
        GatherConfig { per_target: 1, records: 8, bytes: 1 << 20, wait: Duration::from_millis(10) };

    fn item(names: &[&str]) -> Item {
        let config = CapacityConfig { size: 100, sizer: Sizer::Requests, max_bytes: 1 << 20 };
        let payload = logs("s", names);
        let slot = Capacity::new(config).take(payload.records, payload.len()).unwrap();
        Item::new(Batch { payload, ack: Ack::unwatched(None) }, slot, clock::now(), false)
    }

    /// The ids in them, in order; they are settled.
    fn ids_of(items: Vec<Item>) -> Vec<String> {
        let of = |item: Item| {
            item.batch.ack.settle(Outcome::Delivered);
            ids(&item.batch.payload)
        };
        items.into_iter().flat_map(of).collect()
    }

    /// Scenario: requests until they are enough. Guarantee: all of them come out, in order, and nothing is held after that.
    #[tokio::test(start_paused = true)]
    async fn requests_come_out_together() {
        let gather = Gather::new(CONFIG);
        assert!(matches!(gather.add(item(&["1", "2"]), 5), Added::Held));
        let Added::Enough(Gathered { items, .. }) = gather.add(item(&["3", "4", "5"]), 5) else { panic!("it is held") };
        assert_eq!((items.len(), ids_of(items)), (2, ["1", "2", "3", "4", "5"].map(str::to_owned).to_vec()));
        assert!(gather.take().is_none());
    }

    /// Scenario: more targets than there are records that may be held. Guarantee: those are enough.
    #[tokio::test(start_paused = true)]
    async fn no_more_is_held_than_may_be() {
        let gather = Gather::new(CONFIG);
        assert!(matches!(gather.add(item(&["1", "2", "3", "4", "5", "6", "7"]), 100), Added::Held));
        let Added::Enough(Gathered { items, .. }) = gather.add(item(&["8"]), 100) else { panic!("it is held") };
        assert_eq!(ids_of(items).len(), 8);
    }

    /// Scenario: one request and no other. Guarantee: it is due after the wait.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_held_for_long() {
        let gather = Gather::new(CONFIG);
        let start = clock::now();
        assert!(matches!(gather.add(item(&["1"]), 5), Added::Held));
        gather.due().await;
        assert_eq!(clock::now() - start, CONFIG.wait);
        assert_eq!(ids_of(gather.take().unwrap().items), ["1"]);
    }

    /// Scenario: the exporter ends while a sender is still inside. Guarantee: what was held comes out, and nothing is held after that.
    #[tokio::test(start_paused = true)]
    async fn a_closed_one_holds_nothing() {
        let gather = Gather::new(CONFIG);
        assert!(matches!(gather.add(item(&["1"]), 5), Added::Held));
        let last = gather.close();
        assert!(gather.take().is_none());
        let Added::Closed(next) = gather.add(item(&["2"]), 5) else { panic!("it is held") };
        assert_eq!((ids_of(last), ids_of(vec![next])), (vec!["1".to_owned()], vec!["2".to_owned()]));
    }

    /// Scenario: the exporter ends while somebody sorts what was gathered. Guarantee: the end waits for that.
    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_being_sorted() {
        let gather = Gather::new(CONFIG);
        let Added::Enough(Gathered { items, _turn }) = gather.add(item(&["1", "2", "3", "4", "5"]), 5) else {
            panic!("it is held")
        };
        std::thread::scope(|scope| {
            let end = scope.spawn(|| gather.close().is_empty());
            while !gather.held.lock().closed {
                std::thread::yield_now();
            }
            assert!(!end.is_finished());
            ids_of(items);
            drop(_turn);
            assert!(end.join().unwrap());
        });
    }
}
