//! How services fare: spans, failures, durations, log records of each, over a time.
//!
//! Log records are counted from the index where it knows the answer; of spans each chunk in the time is opened, for the durations.

use super::condition::Query;
use super::durations::Durations;
use super::matching::matching;
use super::plan::Plan;
use super::source::Candidate;
use super::tally::each;
use crate::chunk::columns::{Cell, Cursor, Hot, Kind};
use crate::chunk::entry::class_of;
use crate::chunk::read::View;
use crate::codec::{Damaged, unzigzag};
use crate::engine::Until;
use crate::store::Store;
use crate::text::lossy;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use wire::Signal;
use wire::key::span_head;

/// Classes of severities from this on are errors.
const ERROR: usize = 5;

/// Which services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceQuery {
    /// Whose.
    pub tenant: String,
    /// Spans that begin, and log records, at this time or later, in nanoseconds since the epoch.
    pub start: u64,
    /// And before this time.
    pub end: u64,
}

/// How a service fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its spans.
    pub spans: u64,
    /// Those that failed.
    pub errors: u64,
    /// How long they took.
    pub durations: Durations,
    /// Its log records.
    pub logs: u64,
    /// Those of severity ERROR and above.
    pub log_errors: u64,
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// By name; "" is that of records that name none.
    pub services: BTreeMap<String, Service>,
    /// Whether everything was looked at.
    pub is_complete: bool,
}

impl Store {
    /// Counts by service. `until` ends it early, as in [`Store::search`].
    pub fn services(&self, query: &ServiceQuery, until: Until<'_>) -> Services {
        let found = Mutex::new(Services { is_complete: true, ..Services::default() });
        for signal in [Signal::Traces, Signal::Logs] {
            let query = Query { start: query.start, end: query.end, ..Query::new(&query.tenant, signal) };
            let plan = Plan::new(&query);
            let (candidates, damaged) = self.candidates(&query.tenant, signal, |known| plan.wants(known));
            let count = |candidate: &Candidate| match signal {
                Signal::Logs => count_logs(&plan, candidate),
                _ => count_spans(&plan, candidate),
            };
            let is_whole = each(&candidates, self.config.query_threads, until, count, |candidate, counted| {
                let mut found = found.lock();
                match counted {
                    Ok(part) if part == Service::default() => {}
                    Ok(part) => {
                        let name = lossy(&candidate.service).into_owned();
                        found.services.entry(name).or_default().add(&part);
                    }
                    Err(Damaged) => {
                        self.counters.damaged.fetch_add(1, Relaxed);
                        found.is_complete = false;
                    }
                }
            });
            found.lock().is_complete &= is_whole && damaged == 0;
        }
        found.into_inner()
    }
}

impl Service {
    /// Takes other records of the same service in.
    pub fn add(&mut self, other: &Service) {
        self.spans += other.spans;
        self.errors += other.errors;
        self.durations.join(&other.durations);
        self.logs += other.logs;
        self.log_errors += other.log_errors;
    }
}

fn count_logs(plan: &Plan, candidate: &Candidate) -> Result<Service, Damaged> {
    let mut service = Service::default();
    let mut add = |class: usize, count: u64| {
        service.logs += count;
        service.log_errors += if class >= ERROR { count } else { 0 };
    };
    if plan.covers(candidate.min_time, candidate.max_time) {
        candidate.counts(|_, class, count| add(class, count));
        return Ok(service);
    }
    let view = candidate.view();
    let hot = view.hot()?;
    matching(plan, &view)?.into_iter().for_each(|row| add(class_of(hot.severities[row as usize]), 1));
    Ok(service)
}

fn count_spans(plan: &Plan, candidate: &Candidate) -> Result<Service, Damaged> {
    let view = candidate.view();
    let rows = matching(plan, &view)?;
    let hot = view.hot()?;
    let mut service = Service { spans: rows.len() as u64, ..Service::default() };
    service.errors = rows.iter().filter(|row| class_of(hot.severities[**row as usize]) >= ERROR).count() as u64;
    durations(&view, hot, &rows, &mut service.durations)?;
    Ok(service)
}

/// Takes in how long some spans took, whose rows ascend: the ends are a column of differences to the starts.
fn durations(view: &View, hot: &Hot, rows: &[u32], out: &mut Durations) -> Result<(), Damaged> {
    let rest = view.rest()?;
    let is_looked_at: Vec<bool> =
        hot.slots.iter().map(|slot| slot.kind == Kind::Raw || slot.number == 8 && slot.kind == Kind::Near).collect();
    let mut cursors = vec![Cursor::default(); hot.slots.len()];
    let mut wanted = rows.iter().map(|row| *row as usize).peekable();
    let mut row = 0;
    while let Some(&next) = wanted.peek() {
        let mut took = 0;
        for slot in hot.shape_slots[usize::from(hot.shapes[row])].iter().map(|slot| usize::from(*slot)) {
            let kind = hot.slots[slot].kind;
            if !is_looked_at[slot] {
                continue;
            }
            let column = rest.columns.get(slot).ok_or(Damaged)?;
            took = match cursors[slot].next(kind.layout(), column).ok_or(Damaged)? {
                Cell::Number(difference) => u64::try_from(unzigzag(difference)).unwrap_or_default(),
                Cell::Bytes(record) if row == next => span_head(record).duration(),
                Cell::Bytes(_) => 0,
            };
        }
        if row == next {
            out.add(Durations::bar(took), 1);
            wanted.next();
        }
        row += 1;
    }
    Ok(())
}
