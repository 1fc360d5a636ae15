//! How much one exporter may hold: the collector's `queue_size` under its `sizer`, and memory of the stock that all queues share.
//!
//! A [`Slot`] is taken before anything is enqueued and given back when the piece it stands for is settled, so "size" means
//! everything the exporter has not finished, in flight or not. An empty exporter takes one request of any size: nothing is
//! wedged for ever by being large.
//! Where an exporter has one lane its bound ([`Terms`]) is kept here, where it has many by whoever pushes into them.

use crate::budget::REQUEST_COST;
use crate::clock;
use crate::drain::DrainRate;
use crate::ledger::{Lack, Line, Place, Stock, Terms};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

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
    /// Bytes of the stock of an exporter that shares none with others.
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
    /// Places in the books: of requests, and of pieces that they were divided into. Requests that were sorted into one batch have one.
    pub places: u64,
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

/// The account of one exporter and signal.
#[derive(Debug)]
pub struct Capacity {
    config: CapacityConfig,
    stock: Stock,
    place: Place,
    /// Senders that wait for room in it.
    line: Arc<Line>,
    books: Mutex<Books>,
    rate: Mutex<DrainRate>,
}

#[derive(Debug, Default)]
struct Books {
    held: Held,
    /// Bytes that left it, towards a destination or because they were given up, since the beginning.
    drained: u64,
}

/// Room in an exporter's queue: owned by whoever has the piece it stands for, given back on drop.
#[derive(Debug)]
pub struct Slot {
    capacity: Arc<Capacity>,
    held: Held,
    /// Bytes that were given back before the slot.
    saved: u64,
    /// Whether its piece was taken in. What was refused after all never drains.
    entered: bool,
}

impl Held {
    /// What it takes of the memory that all queues share: every request and every piece has its place in the books beside
    /// its bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.bytes.saturating_add(self.places.saturating_mul(REQUEST_COST))
    }
}

impl Capacity {
    /// An empty account with a stock of its own.
    #[must_use]
    pub fn new(config: CapacityConfig) -> Arc<Capacity> {
        let stock = Stock::new(config.max_bytes);
        Capacity::within(config, stock, Place::OneOfMany)
    }

    /// An empty account within a stock that others use too; `CapacityConfig::max_bytes` has no effect. `place` is that of its lanes.
    #[must_use]
    pub fn within(config: CapacityConfig, stock: Stock, place: Place) -> Arc<Capacity> {
        let rate = Mutex::new(DrainRate::since(clock::now()));
        Arc::new(Capacity { config, stock, place, line: Arc::default(), books: Mutex::default(), rate })
    }

    /// Takes room for one request, if there is any; see [`Capacity::take_beside`].
    pub fn take(self: &Arc<Self>, records: u32, bytes: usize) -> Option<Slot> {
        self.take_beside(Held::default(), records, bytes, 1, None).ok()
    }

    /// The same where so much is kept elsewhere, which counts towards the size of the queue but is not in memory. With the terms of a
    /// lane that has the queue for itself its bound counts; without, only what no lane may pass. An empty queue takes a request of any size.
    /// A request that several pipelines bring takes its room `times` over, at once.
    pub(crate) fn take_beside(
        self: &Arc<Self>,
        stored: Held,
        records: u32,
        bytes: usize,
        times: u32,
        terms: Option<Terms>,
    ) -> Result<Slot, Lack> {
        let times = u64::from(times);
        let add =
            Held { requests: times, records: u64::from(records) * times, bytes: bytes as u64 * times, places: times };
        let mut books = self.books.lock();
        let (held, sizer) = (books.held, self.config.sizer);
        let is_empty = held.requests == 0;
        let size = stored.of(sizer).saturating_add(held.of(sizer)).saturating_add(add.of(sizer));
        if !(is_empty && stored.requests == 0) && size > self.config.size {
            return Err(Lack::Own);
        }
        let more = add.memory();
        let allows = |used| terms.is_none_or(|terms| terms.allows(held.memory(), more, self.stock.limit(), used));
        if !self.stock.take(more, allows) {
            if !is_empty {
                return Err(Lack::Shared);
            }
            self.stock.take_anyway(more);
        }
        books.held.requests += add.requests;
        books.held.records += add.records;
        books.held.bytes += add.bytes;
        books.held.places += add.places;
        Ok(self.slot(add))
    }

    /// Whether a lane that has the queue for itself would get room for a request on these terms. Nothing is taken.
    pub(crate) fn allows(&self, bytes: usize, terms: Terms) -> bool {
        let held = self.held();
        let more = Held { requests: 1, bytes: bytes as u64, places: 1, ..Held::default() }.memory();
        held.requests == 0 || terms.allows(held.memory(), more, self.stock.limit(), self.stock.used())
    }

    fn slot(self: &Arc<Self>, held: Held) -> Slot {
        Slot { capacity: self.clone(), held, saved: 0, entered: false }
    }

    /// Takes memory for a copy of something that is kept elsewhere too, if at most half of all memory is taken then: a copy is
    /// convenient, not necessary.
    pub fn take_copy(self: &Arc<Self>, bytes: u64) -> Option<Slot> {
        let half = self.stock.limit() / 2;
        self.stock.take(bytes, |used| used + bytes <= half).then(|| self.copy(bytes))
    }

    /// Takes memory for a copy that is about to be sent, whatever is taken: without it nothing that is kept elsewhere could ever
    /// leave. The caller bounds how many there are.
    pub fn take_anyway(self: &Arc<Self>, bytes: u64) -> Slot {
        self.stock.take_anyway(bytes);
        self.copy(bytes)
    }

    fn copy(self: &Arc<Self>, bytes: u64) -> Slot {
        self.books.lock().held.bytes += bytes;
        self.slot(Held { bytes, ..Held::default() })
    }

    /// Waits for what `attempt` takes of it, in the order that senders come. Ends only when there is some: the caller bounds it by dropping the future.
    pub(crate) async fn wait<T>(&self, attempt: impl FnMut() -> Result<T, Lack>) -> T {
        self.stock.wait(&self.line, attempt).await
    }

    /// What it holds.
    #[must_use]
    pub fn held(&self) -> Held {
        self.books.lock().held
    }

    /// What the queue holds, in units of its sizer.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.held().of(self.config.sizer)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held().bytes
    }

    /// The stock it is within.
    #[must_use]
    pub fn stock(&self) -> &Stock {
        &self.stock
    }

    /// The bounds it began with.
    #[must_use]
    pub fn config(&self) -> &CapacityConfig {
        &self.config
    }

    /// Whether its lane has siblings.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Counts bytes that left its queue on disk: they are done with.
    pub fn drained(&self, bytes: u64) {
        self.books.lock().drained += bytes;
        self.stock.drain(bytes);
    }

    /// When a sender that found it full should come back: when a tenth of what it holds should have left, by what left it lately.
    #[must_use]
    pub fn retry_delay(&self) -> Duration {
        let books = self.books.lock();
        let (held, drained) = (books.held.bytes, books.drained);
        drop(books);
        let mut rate = self.rate.lock();
        let now = clock::now();
        rate.observe(now, drained);
        rate.delay(now, drained, (held / 10).max(1), fastrand::f64())
    }

    fn give_back(&self, back: Held, is_drained: bool) {
        let mut books = self.books.lock();
        books.held.requests -= back.requests;
        books.held.records -= back.records;
        books.held.bytes -= back.bytes;
        books.held.places -= back.places;
        if is_drained {
            books.drained += back.bytes;
        }
        drop(books);
        if is_drained {
            self.stock.drain(back.bytes);
        }
        self.stock.give_back(back.memory(), Some(&self.line));
    }
}

impl Slot {
    /// Bytes it stands for. The pieces of a split slot add up to the whole, even if their payloads repeat headers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held.bytes
    }

    /// What it stands for.
    #[must_use]
    pub fn held(&self) -> Held {
        self.held
    }

    /// Its piece takes a place of its own in the books, beside its request.
    pub fn count_piece(&mut self) {
        self.held.places += 1;
        self.capacity.books.lock().held.places += 1;
        self.capacity.stock.take_anyway(REQUEST_COST);
    }

    /// What it stands for is queued now: when it is given back, so much has left the queue.
    pub fn enter(&mut self) {
        self.entered = true;
    }

    /// What it stands for is refused after all: it never leaves the queue, because it was never in it.
    pub fn refuse(&mut self) {
        self.entered = false;
    }

    /// Stands for a request of another size from now on, whatever is taken: what became of it between the door and the queue.
    pub fn resize(&mut self, records: u32, bytes: usize) {
        let new = Held { records: u64::from(records), bytes: bytes as u64, ..self.held };
        let old = std::mem::replace(&mut self.held, new);
        if old == new {
            return;
        }
        let mut books = self.capacity.books.lock();
        books.held.records = books.held.records + new.records - old.records;
        books.held.bytes = books.held.bytes + new.bytes - old.bytes;
        drop(books);
        match new.bytes.checked_sub(old.bytes) {
            Some(more) => self.capacity.stock.take_anyway(more),
            None => self.capacity.stock.give_back(old.bytes - new.bytes, Some(&self.capacity.line)),
        }
    }

    /// Takes the room of one request of so many out of that of several.
    #[must_use]
    pub fn one_of(&mut self, times: u32) -> Slot {
        let of = |all: u64| all / u64::from(times.max(1));
        let held = Held {
            requests: of(self.held.requests),
            records: of(self.held.records),
            bytes: of(self.held.bytes),
            places: of(self.held.places),
        };
        self.held.requests -= held.requests;
        self.held.records -= held.records;
        self.held.bytes -= held.bytes;
        self.held.places -= held.places;
        Slot { capacity: self.capacity.clone(), held, saved: 0, entered: self.entered }
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
        let held = Held { records, bytes, ..Held::default() };
        Slot { capacity: self.capacity.clone(), held, saved, entered: self.entered }
    }

    /// A slot of the same account that stands for nothing yet.
    #[must_use]
    pub fn nothing(&self) -> Slot {
        Slot { capacity: self.capacity.clone(), held: Held::default(), saved: 0, entered: self.entered }
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

    /// Stands for what `other`, of the same account, stood for as well, in one place with it.
    pub fn absorb(&mut self, mut other: Slot) {
        let places = std::mem::take(&mut other.held.places);
        self.capacity.give_back(Held { places, ..Held::default() }, false);
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
        to.held.places += held.places;
        to.saved += std::mem::take(&mut self.saved);
        held.bytes
    }

    /// Stands for only so many bytes from now on, and gives the rest back. Says how many those are.
    pub fn shrink(&mut self, bytes: u64) -> u64 {
        let back = self.held.bytes.saturating_sub(bytes);
        self.held.bytes -= back;
        self.saved += back;
        self.capacity.give_back(Held { bytes: back, ..Held::default() }, false);
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
        self.capacity.give_back(self.held, self.entered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Standing;

    fn capacity(size: u64, sizer: Sizer) -> Arc<Capacity> {
        Capacity::new(CapacityConfig { size, sizer, max_bytes: 10_000 })
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
        let big = c.take(50, 50_000).unwrap();
        assert!(c.take(1, 1).is_none());
        drop(big);
        assert_eq!((c.size(), c.bytes()), (0, 0));
    }

    /// Scenario: the stock is halved while it is full, and grows again. Guarantee: what is held stays, nothing is taken until it is
    /// below the new limit, and more under the larger one.
    #[test]
    fn a_stock_can_change() {
        let c = capacity(100, Sizer::Requests);
        let a = c.take(1, 6_000).unwrap();
        c.stock().resize(5_000);
        assert!(c.take(1, 1).is_none());
        c.stock().resize(20_000);
        let _b = c.take(1, 12_000).unwrap();
        assert!(c.take(1, 2_000).is_none());
        drop(a);
        assert_eq!(c.bytes(), 12_000);
    }

    /// Scenario: two signals of one exporter, one of which stalls. Guarantee: together they hold no more than there is, each request with its
    /// place in the books.
    #[test]
    fn signals_have_their_memory_in_common() {
        let (stock, config) = (Stock::new(10_000), CapacityConfig { size: 100, sizer: Sizer::Requests, max_bytes: 0 });
        let within = |config| Capacity::within(config, stock.clone(), Place::OneOfMany);
        let (logs, traces) = (within(config.clone()), within(config));
        let held = logs.take(1, 8_000).unwrap();
        let _one = traces.take(1, 100).unwrap();
        assert!(traces.take(1, 1_000).is_none());
        drop(held);
        assert!(traces.take(1, 1_000).is_some());
        assert_eq!(stock.used(), 100 + REQUEST_COST);
    }

    /// Scenario: one lane has an exporter to itself, stuck, then passing. Guarantee: it stops at its bound, and goes on to the larger one.
    #[test]
    fn a_lane_alone_stops_at_its_bound() {
        let config = CapacityConfig { size: 1 << 20, sizer: Sizer::Requests, max_bytes: 0 };
        let c = Capacity::within(config, Stock::new(1_000_000), Place::Alone);
        let fill = |standing| {
            let terms = Some(Terms { standing, place: Place::Alone, soft: 1.0 });
            let take = || c.take_beside(Held::default(), 1, 488, 1, terms).ok();
            std::iter::from_fn(take).collect::<Vec<_>>()
        };
        let stuck = fill(Standing::Stuck);
        assert_eq!(stuck.len(), 500);
        assert_eq!(stuck.len() + fill(Standing::Passing).len(), 889);
    }

    /// Scenario: what is queued is settled; what was refused after all is not; a stage makes a request smaller, then larger. Guarantee: only the first drains,
    /// and the books are right all the time.
    #[test]
    fn only_what_was_queued_drains() {
        let c = capacity(10, Sizer::Items);
        let (mut queued, mut refused, passed_over) =
            (c.take(1, 100).unwrap(), c.take(1, 100).unwrap(), c.take(1, 100).unwrap());
        queued.enter();
        refused.enter();
        refused.refuse();
        queued.resize(3, 70);
        assert_eq!((c.size(), c.bytes()), (5, 270));
        queued.resize(2, 80);
        drop((queued, refused, passed_over));
        let drained = c.books.lock().drained;
        assert_eq!((drained, c.held(), c.stock().used()), (80, Held::default(), 0));
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
        assert_eq!((c.size(), c.bytes(), c.stock().used()), (10, 300, 300 + REQUEST_COST));
        let b = a.split(4, 120);
        assert_eq!((a.bytes() + b.bytes(), a.saved() + b.saved()), (300, 700));
        drop((a, b));
        assert_eq!((c.size(), c.bytes(), c.stock().used()), (0, 0, 0));
    }

    /// Scenario: a sender waits for room and another gives its own back. Guarantee: the waiter wakes up with the room.
    #[tokio::test(start_paused = true)]
    async fn a_waiting_sender_gets_the_room_that_is_given_back() {
        let c = capacity(1, Sizer::Requests);
        let first = c.take(1, 1).unwrap();
        let waiter = tokio::spawn({
            let c = c.clone();
            async move { c.wait(|| c.take(1, 1).ok_or(Lack::Own)).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let slot = waiter.await.unwrap();
        assert_eq!(c.size(), 1);
        drop(slot);
        assert!(!c.stock().is_waited_for());
    }
}
