//! Those who want to see records as they come: a live tail.
//!
//! Invariants: a subscriber is shown what is durable, and nothing else; each has a bounded buffer of its own, whose oldest rows go, and are
//! counted, when it is not emptied; nobody ever waits for a subscriber; one that panics when it is told is removed and counted. While
//! nobody subscribes it costs one look at a number.

use crate::facts::{Facts, Piece, pieces};
use crate::failures::failures;
use crate::query::{Cursor, Filter, Query, Row};
use crate::text::lossy;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use wire::Signal;

/// Subscribers at once.
const MOST_SUBSCRIBERS: usize = 64;
/// Rows that wait for one subscriber.
const MOST_ROWS: usize = 10_000;
/// Bytes of their records.
const MOST_BYTES: usize = 8 << 20;

/// Tells a subscriber that there is something to be taken. It must not wait for anything.
type Notify = dyn Fn() + Send + Sync;

struct Subscriber {
    filter: Filter,
    capacity: usize,
    waiting: Mutex<Waiting>,
    notify: Box<Notify>,
}

#[derive(Default)]
struct Waiting {
    rows: VecDeque<Row>,
    bytes: usize,
    lost: u64,
}

/// All subscribers of a store.
#[derive(Default)]
pub struct Live {
    subscribers: Mutex<Vec<Weak<Subscriber>>>,
    count: AtomicUsize,
    lost: AtomicU64,
    panics: AtomicU64,
}

/// A subscriber's end. It is none any more when this is dropped.
pub struct Subscription {
    subscriber: Arc<Subscriber>,
}

/// What a subscriber takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// In the order in which they came.
    pub rows: Vec<Row>,
    /// How many more there were since the last time, which did not fit.
    pub lost: u64,
}

/// There are as many subscribers as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are 64 subscribers already, which is the limit")]
pub struct TooManySubscribers;

/// A request that is durable.
pub struct Committed<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Logs or traces.
    pub signal: Signal,
    /// The OTLP export request.
    pub request: &'a [u8],
    /// Its number.
    pub number: u64,
    /// When it came, in nanoseconds since the epoch.
    pub arrived: u64,
    /// Whether log records are made of what its spans say of failures.
    pub with_failures: bool,
}

impl Live {
    /// Subscribes to what matches a question from now on; its times count, its limit and cursor do not. Up to `capacity` rows wait, at least
    /// one and at most 10 000. `notify` is called when there are new ones, on the thread that stored them: it must not wait.
    ///
    /// # Errors
    /// There are too many.
    pub fn subscribe(
        &self,
        query: &Query,
        capacity: usize,
        notify: impl Fn() + Send + Sync + 'static,
    ) -> Result<Subscription, TooManySubscribers> {
        let filter = Filter::new(&Query { after: None, ..query.clone() });
        let (capacity, waiting) = (capacity.clamp(1, MOST_ROWS), Mutex::default());
        let subscriber = Arc::new(Subscriber { filter, capacity, waiting, notify: Box::new(notify) });
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        if subscribers.len() >= MOST_SUBSCRIBERS {
            return Err(TooManySubscribers);
        }
        subscribers.push(Arc::downgrade(&subscriber));
        self.count.store(subscribers.len(), Relaxed);
        Ok(Subscription { subscriber })
    }

    /// How many rows were lost because their subscribers were too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// How many subscribers panicked, and were removed.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// Shows a request that is durable to those who want to see it.
    pub fn feed(&self, committed: &Committed<'_>) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut subscribers: Vec<Arc<Subscriber>> = vec![];
        self.subscribers.lock().retain(|subscriber| subscriber.upgrade().map(|its| subscribers.push(its)).is_some());
        self.count.store(subscribers.len(), Relaxed);
        let (tenant, signal) = (committed.tenant, committed.signal);
        let is_about = |its: &Subscriber, signal| its.filter.is_about(tenant, signal);
        subscribers.retain(|its| is_about(its, signal) || committed.with_failures && is_about(its, Signal::Logs));
        if subscribers.is_empty() {
            return;
        }
        let mut counts = vec![0; subscribers.len()];
        let mut failed = 0;
        // What was stored is sound.
        let _ = pieces(signal, committed.request, committed.arrived, |piece| {
            self.offer(&subscribers, &mut counts, signal, committed.number, &piece);
            if signal == Signal::Traces && committed.with_failures {
                for log in failures(piece.record) {
                    let facts = Facts::read(Signal::Logs, &log, committed.arrived);
                    let piece = Piece { ordinal: failed, record: &log, facts: &facts, ..piece };
                    self.offer(&subscribers, &mut counts, Signal::Logs, committed.number, &piece);
                    failed += 1;
                }
            }
        });
        for (subscriber, _) in subscribers.iter().zip(&counts).filter(|(_, count)| **count > 0) {
            if catch_unwind(AssertUnwindSafe(|| (subscriber.notify)())).is_err() {
                self.panics.fetch_add(1, Relaxed);
                self.subscribers.lock().retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(subscriber)));
            }
        }
    }

    fn offer(
        &self,
        subscribers: &[Arc<Subscriber>],
        counts: &mut [u64],
        signal: Signal,
        request: u64,
        piece: &Piece<'_>,
    ) {
        let Piece { service, resource, scope, record, facts, .. } = *piece;
        let cursor = Cursor { time: facts.time, request, record: piece.ordinal };
        let mut row = None;
        for (subscriber, count) in subscribers.iter().zip(counts) {
            let filter = &subscriber.filter;
            let is_wanted =
                filter.signal() == signal && filter.matches(cursor, service, facts, (resource, scope, record));
            if is_wanted {
                *count += 1;
                let row = row.get_or_insert_with(|| Row {
                    cursor,
                    severity: facts.severity,
                    service: lossy(service).into_owned(),
                    text: lossy(&facts.text).into_owned(),
                    resource: Bytes::copy_from_slice(resource),
                    scope: Bytes::copy_from_slice(scope),
                    record: Bytes::copy_from_slice(record),
                });
                let lost = subscriber.put(row.clone());
                self.lost.fetch_add(lost, Relaxed);
            }
        }
    }
}

/// What a row takes.
fn size(row: &Row) -> usize {
    row.record.len() + row.resource.len() + row.scope.len() + row.text.len()
}

impl Subscriber {
    /// How many older rows had to go.
    fn put(&self, row: Row) -> u64 {
        let mut waiting = self.waiting.lock();
        waiting.bytes += size(&row);
        waiting.rows.push_back(row);
        let mut lost = 0;
        while waiting.rows.len() > self.capacity || waiting.bytes > MOST_BYTES {
            let Some(oldest) = waiting.rows.pop_front() else { break };
            waiting.bytes -= size(&oldest).min(waiting.bytes);
            lost += 1;
        }
        waiting.lost += lost;
        lost
    }
}

impl Subscription {
    /// Takes up to so many of the rows that wait.
    #[must_use]
    pub fn take(&self, most: usize) -> News {
        let mut waiting = self.subscriber.waiting.lock();
        let count = most.min(waiting.rows.len());
        let rows: Vec<Row> = waiting.rows.drain(..count).collect();
        waiting.bytes -= rows.iter().map(size).sum::<usize>().min(waiting.bytes);
        News { rows, lost: std::mem::take(&mut waiting.lost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;
    use wire::build::{Log, MessageWriter};
    use wire::key::AnyValue;

    fn request(texts: &[&str]) -> Bytes {
        let mut request = MessageWriter::new();
        request.resource_entry(&[("service.name", AnyValue::Str(b"cart"))], "", |scope| {
            for text in texts {
                scope.log(&Log { time: 5, body: AnyValue::Str(text.as_bytes()), ..Log::default() });
            }
        });
        request.finish()
    }

    fn feed(live: &Live, tenant: &str, number: u64, texts: &[&str]) {
        let (request, signal) = (request(texts), Signal::Logs);
        live.feed(&Committed { tenant, signal, request: &request, number, arrived: 9, with_failures: false });
    }

    fn texts(news: &News) -> Vec<&str> {
        news.rows.iter().map(|row| row.text.as_str()).collect()
    }

    /// Scenario: two subscribers with different questions, another tenant, more rows than one has room for.
    /// Guarantee: each is told, gets what matches in its order, and the one without room loses the oldest and knows how many.
    #[test]
    fn subscribers_see_what_matches() {
        let live = Live::default();
        let told = Arc::new(AtomicUsize::new(0));
        let tell = told.clone();
        let query = Query { conditions: parse("alpha").expect("a query"), ..Query::new("t", Signal::Logs) };
        let some = live.subscribe(&query, 100, move || _ = tell.fetch_add(1, Relaxed)).expect("room");
        let all = live.subscribe(&Query::new("t", Signal::Logs), 2, || {}).expect("room");
        feed(&live, "t", 1, &["one alpha", "two beta", "three Alpha"]);
        feed(&live, "other", 2, &["four alpha"]);
        feed(&live, "t", 3, &["five beta"]);
        assert_eq!(told.load(Relaxed), 1);
        assert_eq!(texts(&some.take(1)), ["one alpha"]);
        assert_eq!(texts(&some.take(9)), ["three Alpha"]);
        let news = all.take(9);
        assert_eq!((texts(&news), news.lost, live.lost()), (vec!["three Alpha", "five beta"], 2, 2));
        assert_eq!(news.rows[1].cursor, Cursor { time: 5, request: 3, record: 0 });
        assert_eq!(all.take(9), News::default());
    }

    /// Scenario (R9): a subscriber that panics when it is told, beside one that does not; then both are dropped.
    /// Guarantee: the panic is counted and harms nobody, the one that panicked is told no more, and nothing is looked at for nobody.
    #[test]
    fn r09_a_subscriber_that_panics_is_removed() {
        let live = Live::default();
        let query = Query::new("t", Signal::Logs);
        let bad = live.subscribe(&query, 9, || panic!("the subscriber's own fault")).expect("room");
        let good = live.subscribe(&query, 9, || {}).expect("room");
        feed(&live, "t", 1, &["one"]);
        feed(&live, "t", 2, &["two"]);
        assert_eq!((live.panics(), texts(&bad.take(9)), texts(&good.take(9))), (1, vec!["one"], vec!["one", "two"]));
        drop((bad, good));
        feed(&live, "t", 3, &["three"]);
        assert_eq!(live.count.load(Relaxed), 0);
    }

    /// Scenario: more subscribers than there may be, and one that leaves. Guarantee: the one too many is refused until there is room.
    #[test]
    fn subscribers_are_bounded() {
        let live = Live::default();
        let subscribe = || live.subscribe(&Query::new("t", Signal::Logs), 1, || {});
        let mut all: Vec<_> = (0..MOST_SUBSCRIBERS).map(|_| subscribe().expect("room")).collect();
        assert!(subscribe().is_err());
        all.pop();
        assert!(subscribe().is_ok());
    }
}
