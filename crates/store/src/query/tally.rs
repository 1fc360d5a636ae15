//! Counts of what matches, by time, severity and service.
//!
//! Where the index knows the answer no chunk is opened: when only services and whole classes of severities are asked for, and a chunk is
//! within the time and either within one bucket or the buckets are whole minutes.

use super::condition::Query;
use super::matching::matching;
use super::plan::Plan;
use super::source::Candidate;
use crate::chunk::entry::{CLASSES, MINUTE, class_of};
use crate::codec::Damaged;
use crate::store::Store;
use crate::text::lossy;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The most buckets.
const MOST_BUCKETS: usize = 10_000;

/// Spans of time of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// When the first begins, in nanoseconds since the epoch.
    pub start: u64,
    /// How long each is, in nanoseconds.
    pub width: u64,
    /// How many there are; at most 10 000 take effect.
    pub count: usize,
}

impl Buckets {
    /// Just one, for everything.
    pub const ONE: Buckets = Buckets { start: 0, width: u64::MAX, count: 1 };

    fn of(&self, time: u64) -> Option<usize> {
        let bucket = time.checked_sub(self.start)? / self.width.max(1);
        usize::try_from(bucket).ok().filter(|bucket| *bucket < self.count)
    }

    fn are_minutes(&self) -> bool {
        self.start.is_multiple_of(MINUTE) && self.width.is_multiple_of(MINUTE)
    }
}

/// Records counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By bucket, and in it by class of severity: none, trace, debug, info, warn, error, fatal. What is in no bucket is only in the rest.
    pub buckets: Vec<[u64; CLASSES]>,
    /// By service.
    pub services: BTreeMap<String, u64>,
    /// All that match.
    pub records: u64,
    /// Whether everything was looked at.
    pub is_complete: bool,
    /// Chunks that were opened.
    pub chunks: u64,
    /// Chunks that could not be read.
    pub damaged: u64,
}

/// What one chunk adds.
struct Part {
    cells: Vec<(usize, usize, u64)>,
    records: u64,
    is_opened: bool,
}

impl Store {
    /// Counts what matches; the limit and the cursor of the question count for nothing. `until` ends it early, as in [`Store::search`].
    pub fn tally(&self, query: &Query, buckets: Buckets, until: &(dyn Fn() -> bool + Sync)) -> Tally {
        let buckets = Buckets { count: buckets.count.min(MOST_BUCKETS), ..buckets };
        let plan = Plan::new(&Query { after: None, ..query.clone() });
        let (candidates, damaged) = self.candidates(&query.tenant, query.signal, |known| plan.wants(known));
        let tally = Tally { buckets: vec![[0; CLASSES]; buckets.count], damaged, ..Tally::default() };
        let tally = Mutex::new(tally);
        let is_whole = each(
            &candidates,
            self.config.query_threads,
            until,
            |candidate| count(&plan, candidate, &buckets),
            |candidate, part| {
                let mut tally = tally.lock();
                match part {
                    Ok(part) => {
                        part.cells.iter().for_each(|(bucket, class, count)| tally.buckets[*bucket][*class] += count);
                        tally.records += part.records;
                        tally.chunks += u64::from(part.is_opened);
                        if part.records > 0 {
                            *tally.services.entry(lossy(&candidate.service).into_owned()).or_default() += part.records;
                        }
                    }
                    Err(Damaged) => tally.damaged += 1,
                }
            },
        );
        let mut tally = tally.into_inner();
        self.counters.damaged.fetch_add(tally.damaged, Relaxed);
        tally.is_complete = is_whole && tally.damaged == 0;
        tally
    }
}

fn count(plan: &Plan, candidate: &Candidate, buckets: &Buckets) -> Result<Part, Damaged> {
    let mut part = Part { cells: vec![], records: 0, is_opened: false };
    let (min, max) = (candidate.min_time, candidate.max_time);
    let is_in_one = buckets.of(min).is_some() && buckets.of(min) == buckets.of(max);
    if let Some(classes) = plan.counts_by_class()
        && plan.covers(min, max)
        && (is_in_one || buckets.are_minutes())
    {
        candidate.counts(|minute, class, count| {
            if classes[class] {
                part.records += count;
                let time = if is_in_one { min } else { minute * MINUTE };
                part.cells.extend(buckets.of(time).map(|bucket| (bucket, class, count)));
            }
        });
        return Ok(part);
    }
    if !plan.may_match(candidate) {
        return Ok(part);
    }
    part.is_opened = true;
    let view = candidate.view();
    let rows = matching(plan, &view)?;
    let hot = view.hot()?;
    part.records = rows.len() as u64;
    for row in rows {
        let row = row as usize;
        let bucket = buckets.of(hot.times[row]);
        part.cells.extend(bucket.map(|bucket| (bucket, class_of(hot.severities[row]), 1)));
    }
    Ok(part)
}

/// So many chunks are looked into before other threads are asked to help.
const ALONE: usize = 24;

/// Does something with every chunk, on several threads if there are many. Whether all were done.
pub(crate) fn each<T>(
    candidates: &[Candidate],
    threads: usize,
    until: &(dyn Fn() -> bool + Sync),
    work: impl Fn(&Candidate) -> T + Sync,
    add: impl Fn(&Candidate, T) + Sync,
) -> bool {
    let (next, is_stopped, opened) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    let run = |most: usize| {
        while opened.load(Relaxed) < most {
            let Some(candidate) = candidates.get(next.fetch_add(1, Relaxed)) else { return };
            if is_stopped.load(Relaxed) || until() {
                is_stopped.store(true, Relaxed);
                return;
            }
            opened.fetch_add(1, Relaxed);
            add(candidate, work(candidate));
        }
    };
    run(ALONE);
    if threads > 1 && next.load(Relaxed) < candidates.len() {
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| run(usize::MAX));
            }
            run(usize::MAX);
        });
    } else {
        run(usize::MAX);
    }
    !is_stopped.load(Relaxed)
}
