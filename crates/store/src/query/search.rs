//! The newest records that match, or the oldest, page by page.
//!
//! Chunks are looked into from the newest on, by several threads. For the oldest first it is the same with all places turned round. Only the best rows are kept, as many as are asked for, and a chunk whose
//! newest record is older than the worst of them is not opened. A row is handed out as soon as nothing newer can come; its record is
//! taken out of its chunk only then. So the memory of a search is bounded by its limit, however much matches.

use super::condition::{Cursor, Order, Query};
use super::matching::matching;
use super::plan::Plan;
use super::source::Candidate;
use crate::chunk::read::View;
use crate::codec::Damaged;
use crate::store::Store;
use crate::text::lossy;
use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use wire::Signal;
use wire::build::MessageWriter;

/// The most rows of a page.
const MOST_ROWS: usize = 10_000;
/// So many chunks are looked into before other threads are asked to help.
const ALONE: usize = 24;
/// Chunks that are kept unpacked until their rows are handed out.
const MOST_VIEWS: usize = 32;

/// A record that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place in the order.
    pub cursor: Cursor,
    /// 1 to 24 as in OTLP, 0 for none.
    pub severity: u8,
    /// The name of its service; empty if it has none.
    pub service: String,
    /// Its text: the body of a log record, the name of a span.
    pub text: String,
    /// The encoded header of its resource entry: the `Resource`, the schema URL, fields nobody knows.
    pub resource: Bytes,
    /// The encoded header of its scope entry.
    pub scope: Bytes,
    /// The encoded `LogRecord` or `Span`, as it came.
    pub record: Bytes,
}

impl Row {
    /// An OTLP export request with just this record.
    #[must_use]
    pub fn request(&self) -> Bytes {
        let mut request = MessageWriter::new();
        request.message(1, |entry| {
            entry.raw(&self.resource).message(2, |scope| {
                scope.raw(&self.scope).bytes(2, &self.record);
            });
        });
        request.finish()
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows that were handed out.
    pub rows: usize,
    /// Where the next page begins, if this one is full or was stopped.
    pub next: Option<Cursor>,
    /// Whether everything was looked at that had to be: neither stopped nor unreadable.
    pub is_complete: bool,
    /// Chunks that were opened.
    pub chunks: u64,
    /// Chunks that could not be read.
    pub damaged: u64,
    /// Bytes that were read from disk.
    pub bytes: u64,
}

/// A row that is kept, by its rank: which chunk, which of its records.
type Kept = BTreeMap<Cursor, (usize, u32)>;

/// A chunk that was looked into, and which of its records match.
type Looked = (View, Vec<(Cursor, u32)>);

struct State<'a> {
    /// The next chunk to be looked into.
    next: usize,
    /// The edges of the chunks that are just being looked into.
    busy: Vec<u64>,
    kept: Kept,
    views: HashMap<usize, View>,
    found: Found,
    is_stopped: bool,
    sink: &'a mut (dyn FnMut(Row) -> bool + Send),
}

struct Search<'a> {
    plan: Plan,
    limit: usize,
    candidates: Vec<Candidate>,
    until: &'a (dyn Fn() -> bool + Sync),
    state: Mutex<State<'a>>,
}

impl Store {
    /// Searches, and hands out rows in the order of the question until `sink` answers false, the limit is reached, or `until` answers true, which is
    /// asked before each chunk: a time that is over, or an asker who has gone.
    pub fn search(
        &self,
        query: &Query,
        until: &(dyn Fn() -> bool + Sync),
        sink: &mut (dyn FnMut(Row) -> bool + Send),
    ) -> Found {
        let plan = Plan::new(query);
        let (mut candidates, damaged) = self.candidates(&query.tenant, query.signal, |known| plan.wants(known));
        candidates.sort_by_key(|candidate| std::cmp::Reverse(edge(query.order, candidate)));
        let found = Found { damaged, ..Found::default() };
        let (kept, views, busy) = Default::default();
        let state = State { next: 0, busy, kept, views, found, is_stopped: false, sink };
        let limit = query.limit.min(MOST_ROWS);
        let search = Search { plan, limit, candidates, until, state: Mutex::new(state) };
        search.work(ALONE);
        if !search.is_done(&search.state.lock()) {
            std::thread::scope(|scope| {
                for _ in 1..self.config.query_threads {
                    scope.spawn(|| search.work(usize::MAX));
                }
                search.work(usize::MAX);
            });
        }
        let mut state = search.state.lock();
        search.hand_out(&mut state);
        self.counters.damaged.fetch_add(state.found.damaged, Relaxed);
        state.found.is_complete = !state.is_stopped && state.found.damaged == 0;
        if state.found.rows < limit && !state.is_stopped {
            state.found.next = None;
        }
        state.found
    }

    /// All spans of a trace, or all log records that were written within it, the oldest first, up to a limit.
    pub fn trace(&self, tenant: &str, signal: Signal, id: [u8; 16], limit: usize) -> Vec<Row> {
        let test = super::condition::Test::Trace(id);
        let conditions = vec![super::condition::Condition { not: false, test }];
        let query = Query { conditions, limit, ..Query::new(tenant, signal) };
        let mut rows = vec![];
        self.search(&query, &|| false, &mut |row| {
            rows.push(row);
            true
        });
        rows.reverse();
        rows
    }
}

/// What of a chunk comes first: the greater, the earlier it is looked into.
fn edge(order: Order, candidate: &Candidate) -> u64 {
    match order {
        Order::NewestFirst => candidate.max_time,
        Order::OldestFirst => !candidate.min_time,
    }
}

/// A place turned round if the oldest come first, so that the greatest is always the best. Twice is once.
fn ranked(order: Order, cursor: Cursor) -> Cursor {
    match order {
        Order::NewestFirst => cursor,
        Order::OldestFirst => Cursor { time: !cursor.time, request: !cursor.request, record: !cursor.record },
    }
}

impl Search<'_> {
    fn edge(&self, candidate: &Candidate) -> u64 {
        edge(self.plan.order, candidate)
    }

    /// Whether no chunk is left that has to be looked into.
    fn is_done(&self, state: &State<'_>) -> bool {
        let Some(next) = self.candidates.get(state.next) else { return true };
        let worst = state.kept.first_key_value().map(|(cursor, _)| cursor.time);
        let is_full = state.found.rows + state.kept.len() >= self.limit;
        state.is_stopped || self.limit == 0 || is_full && worst.is_none_or(|worst| self.edge(next) < worst)
    }

    /// Looks into chunks, until there are no more or so many are done.
    fn work(&self, most: usize) {
        for _ in 0..most {
            let mut state = self.state.lock();
            if self.is_done(&state) {
                return;
            }
            if (self.until)() {
                state.is_stopped = true;
                return;
            }
            let number = state.next;
            state.next += 1;
            let candidate = &self.candidates[number];
            state.busy.push(self.edge(candidate));
            drop(state);
            let looked = self.look(candidate);
            let mut state = self.state.lock();
            if let Some(done) = state.busy.iter().position(|edge| *edge == self.edge(candidate)) {
                state.busy.swap_remove(done);
            }
            match looked {
                Ok(None) => {}
                Ok(Some((view, rows))) => self.keep(&mut state, number, view, &rows),
                Err(Damaged) => state.found.damaged += 1,
            }
            self.hand_out(&mut state);
        }
    }

    fn look(&self, candidate: &Candidate) -> Result<Option<Looked>, Damaged> {
        if !self.plan.may_match(candidate) {
            return Ok(None);
        }
        let view = candidate.view();
        let rows = matching(&self.plan, &view)?;
        let found = places_of(&view, rows)?;
        Ok(Some((view, found)))
    }

    fn keep(&self, state: &mut State<'_>, number: usize, view: View, rows: &[(Cursor, u32)]) {
        state.found.chunks += 1;
        state.found.bytes += view.bytes_read();
        let room = self.limit - state.found.rows.min(self.limit);
        let mut is_kept = false;
        for (cursor, row) in rows {
            let cursor = &ranked(self.plan.order, *cursor);
            if state.kept.len() >= room {
                if state.kept.first_key_value().is_none_or(|(worst, _)| cursor <= worst) {
                    continue;
                }
                state.kept.pop_first();
            }
            state.kept.insert(*cursor, (number, *row));
            is_kept = true;
        }
        if is_kept && state.views.len() < MOST_VIEWS {
            state.views.insert(number, view);
        }
    }

    /// Hands out the rows that nothing can come before any more.
    fn hand_out(&self, state: &mut State<'_>) {
        let next = if self.is_done(state) { None } else { self.candidates.get(state.next) };
        let newest = state.busy.iter().copied().chain(next.map(|candidate| self.edge(candidate))).max();
        let mut ready = vec![];
        while let Some(entry) = state.kept.last_entry() {
            if state.is_stopped || newest.is_some_and(|newest| entry.key().time <= newest) {
                break;
            }
            let (rank, place) = entry.remove_entry();
            ready.push((ranked(self.plan.order, rank), place));
        }
        if ready.is_empty() {
            return;
        }
        let mut rows = self.take_out(state, &ready);
        for (cursor, place) in ready {
            let Some(row) = rows.remove(&place) else { continue };
            state.found.rows += 1;
            state.found.next = Some(cursor);
            if !(state.sink)(row) {
                state.is_stopped = true;
                return;
            }
        }
        let needed: HashSet<usize> = state.kept.values().map(|(number, _)| *number).collect();
        state.views.retain(|number, _| needed.contains(number));
    }

    /// Takes records out of their chunks.
    fn take_out(&self, state: &mut State<'_>, ready: &[(Cursor, (usize, u32))]) -> HashMap<(usize, u32), Row> {
        let mut by_chunk: BTreeMap<usize, Vec<(u32, Cursor)>> = BTreeMap::new();
        ready.iter().for_each(|(cursor, (number, row))| by_chunk.entry(*number).or_default().push((*row, *cursor)));
        let mut rows = HashMap::default();
        for (number, mut wanted) in by_chunk {
            wanted.sort_unstable_by_key(|(row, _)| *row);
            let candidate = &self.candidates[number];
            let view = state.views.remove(&number).unwrap_or_else(|| candidate.view());
            if take_rows(&view, candidate, &wanted, |row, taken| drop(rows.insert((number, row), taken))).is_err() {
                state.found.damaged += 1;
            }
            state.views.insert(number, view);
        }
        rows
    }
}

/// The places of records, which ascend, in the order of rows.
fn places_of(view: &View, rows: Vec<u32>) -> Result<Vec<(Cursor, u32)>, Damaged> {
    let hot = view.hot()?;
    let mut places = hot.places();
    let mut next = 0;
    let place = |row: u32| {
        let (request, record) = places.nth(row as usize - next).ok_or(Damaged)?;
        next = row as usize + 1;
        Ok((Cursor { time: hot.times[row as usize], request, record }, row))
    };
    rows.into_iter().map(place).collect()
}

fn take_rows(
    view: &View,
    candidate: &Candidate,
    wanted: &[(u32, Cursor)],
    mut each: impl FnMut(u32, Row),
) -> Result<(), Damaged> {
    let whole = view.whole()?;
    let service = lossy(&candidate.service);
    let mut headers: HashMap<u16, (Bytes, Bytes)> = HashMap::default();
    let numbers: Vec<u32> = wanted.iter().map(|(row, _)| *row).collect();
    let mut cursors = wanted.iter().map(|(_, cursor)| *cursor);
    whole.records(&numbers, |row, record| {
        let (Some(cursor), Some((resource, scope))) = (cursors.next(), whole.headers(row)) else { return };
        let copied = || (Bytes::copy_from_slice(resource), Bytes::copy_from_slice(scope));
        let (resource, scope) = headers.entry(whole.hot.origins[row]).or_insert_with(copied).clone();
        let found = Row {
            cursor,
            severity: whole.hot.severities[row],
            service: service.clone().into_owned(),
            text: lossy(whole.texts.get(row)).into_owned(),
            resource,
            scope,
            record: Bytes::copy_from_slice(record),
        };
        each(row as u32, found);
    })
}
