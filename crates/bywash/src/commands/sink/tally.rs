//! What the sink took: requests, records, and which ids, once or more than once.
//!
//! Invariants: `records = distinct + duplicates + anonymous + untracked`; the memory for ids is bounded ([`MAX_PAGES`]).
//! The file of ids has a JSON object per request taken, with its ids as ranges. Each line is written, whole, before its request is
//! answered: what a sink that was killed has answered stands in its file.

use crate::commands::load::generate::ID;
use flow::{Attempt, Payload};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use wire::key::{AnyValue, record_attributes};
use wire::{Index, Signal};

/// The attribute of the id after Loki.
const LOKI_ID: &str = "bywash_id";
/// Ids on a page.
const PAGE: u64 = 1 << 16;
/// Pages of 8 KiB: room for a thousand million ids that are neighbours.
const MAX_PAGES: usize = 1 << 14;

/// The counts; displays as one line of JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Requests that came.
    pub requests: u64,
    /// Requests of which nothing was taken.
    pub refused_requests: u64,
    /// Records taken.
    pub records: u64,
    /// Records refused within requests that were taken.
    pub rejected: u64,
    /// Bytes of the requests taken, decompressed, as protobuf.
    pub bytes: u64,
    /// Log records taken.
    pub logs: u64,
    /// Spans taken.
    pub traces: u64,
    /// Data points taken.
    pub metrics: u64,
    /// Different ids taken.
    pub distinct: u64,
    /// Records whose id was taken before.
    pub duplicates: u64,
    /// Records without an id.
    pub anonymous: u64,
    /// Records whose id is too far from all others to be remembered.
    pub untracked: u64,
    /// By backend.
    pub backends: Vec<BackendStats>,
}

/// One backend's part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackendStats {
    /// Requests that came.
    pub requests: u64,
    /// Requests of which nothing was taken.
    pub refused_requests: u64,
    /// Records taken.
    pub records: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// A set of ids, as pages of bits.
#[derive(Default)]
struct Ids(BTreeMap<u64, Box<[u64]>>);

/// Whether an id was there.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    No,
    Yes,
    NoRoom,
}

impl Ids {
    fn insert(&mut self, id: u64) -> Seen {
        let pages = self.0.len();
        let page = match self.0.entry(id / PAGE) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(_) if pages >= MAX_PAGES => return Seen::NoRoom,
            Entry::Vacant(page) => page.insert(vec![0; (PAGE / 64) as usize].into()),
        };
        let (word, bit) = (&mut page[(id % PAGE / 64) as usize], 1 << (id % 64));
        let seen = if *word & bit == 0 { Seen::No } else { Seen::Yes };
        *word |= bit;
        seen
    }
}

/// A line of the file of ids.
#[derive(Serialize)]
struct Line<'a> {
    backend: usize,
    signal: &'static str,
    records: u32,
    ids: &'a [[u64; 2]],
}

#[derive(Default)]
struct Open {
    stats: Stats,
    ids: Ids,
    index: Index,
    file: Option<File>,
    /// The line that is being made.
    line: Vec<u8>,
    /// The first failure to write the file.
    broken: Option<io::Error>,
}

/// See the module.
pub struct Tally(Mutex<Open>);

impl Tally {
    /// Nothing taken yet, by so many backends, with a file of ids or without.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn open(backends: usize, path: Option<&Path>) -> io::Result<Tally> {
        let file = path.map(File::create).transpose()?;
        let stats = Stats { backends: vec![BackendStats::default(); backends], ..Stats::default() };
        Ok(Tally(Mutex::new(Open { stats, file, ..Open::default() })))
    }

    /// Counts a request that came to a backend; gives its number there, from 1.
    pub fn arrived(&self, backend: usize) -> u64 {
        let stats = &mut self.0.lock().stats;
        stats.requests += 1;
        stats.backends[backend].requests += 1;
        stats.backends[backend].requests
    }

    /// Counts what became of it. Of a request that is taken in part all ids count as taken but the last ones.
    pub fn answered(&self, backend: usize, request: &Payload, attempt: &Attempt) {
        let open = &mut *self.0.lock();
        let rejected = match attempt {
            Attempt::Sent => 0,
            Attempt::Partial { rejected, .. } => u32::try_from(*rejected).unwrap_or(u32::MAX).min(request.records),
            Attempt::Retry { .. } | Attempt::Reject { .. } => {
                open.stats.refused_requests += 1;
                open.stats.backends[backend].refused_requests += 1;
                return;
            }
        };
        let taken = request.records - rejected;
        let stats = &mut open.stats;
        stats.rejected += u64::from(rejected);
        stats.records += u64::from(taken);
        stats.backends[backend].records += u64::from(taken);
        stats.bytes += request.len() as u64;
        match request.signal {
            Signal::Logs => stats.logs += u64::from(taken),
            Signal::Traces => stats.traces += u64::from(taken),
            Signal::Metrics => stats.metrics += u64::from(taken),
        }
        let ranges = open.note_ids(request, taken as usize);
        if let Some(file) = &mut open.file {
            let line = Line { backend, signal: request.signal.as_str(), records: taken, ids: &ranges };
            open.line.clear();
            let made = serde_json::to_writer(&mut open.line, &line).map_err(io::Error::from);
            open.line.push(b'\n');
            let written = made.and_then(|()| file.write_all(&open.line));
            if let Err(error) = written {
                open.broken.get_or_insert(error);
            }
        }
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.lock().stats.clone()
    }

    /// The counts at the end.
    ///
    /// # Errors
    /// Something of the file could not be written.
    pub fn close(&self) -> io::Result<Stats> {
        let mut open = self.0.lock();
        if let Some(error) = open.broken.take() {
            return Err(error);
        }
        Ok(open.stats.clone())
    }
}

impl Open {
    /// Looks into the first `taken` records, and gives their ids as ranges in the order in which they stand.
    fn note_ids(&mut self, request: &Payload, taken: usize) -> Vec<[u64; 2]> {
        let body = request.body.contiguous();
        let mut ranges: Vec<[u64; 2]> = vec![];
        if let Err(malformed) = self.index.build(request.signal, &body) {
            // The receiver has checked it, so this is a bug, and the books will show it.
            tracing::error!(%malformed, "a request that was checked cannot be indexed");
            return ranges;
        }
        for record in self.index.records(&body).take(taken) {
            let id = record_attributes(&record).find_map(|(key, value)| match value {
                AnyValue::Int(id) if key == ID.as_bytes() => Some(id as u64),
                // As structured metadata of Loki it is text, under a name that Loki takes.
                AnyValue::Str(id) if key == ID.as_bytes() || key == LOKI_ID.as_bytes() => {
                    std::str::from_utf8(id).ok()?.parse().ok()
                }
                _ => None,
            });
            let Some(id) = id else {
                self.stats.anonymous += 1;
                continue;
            };
            match self.ids.insert(id) {
                Seen::No => self.stats.distinct += 1,
                Seen::Yes => self.stats.duplicates += 1,
                Seen::NoRoom => self.stats.untracked += 1,
            }
            match ranges.last_mut() {
                Some([_, last]) if last.checked_add(1) == Some(id) => *last = id,
                _ => ranges.push([id, id]),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::load::generate::Shape;
    use flow::{Kind, Scope, Why};
    use proptest::prelude::*;

    fn request(shape: &Shape, number: u64) -> Payload {
        let request = shape.request(number, 1);
        Payload::new(request.signal, request.body, shape.records)
    }

    /// Scenario: requests that are taken, taken twice, taken in part, refused. Guarantee: counts, ids and the file say so,
    /// the file at once.
    #[test]
    fn the_counts_are_those_of_what_was_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids");
        let tally = Tally::open(2, Some(&path)).unwrap();
        let shape =
            Shape { signals: Signal::ALL.to_vec(), records: 4, first_id: 1, services: 1, errors_every: 0, body: 9 };
        let partial = Attempt::Partial { rejected: 1, why: Why::new(Kind::Partial, "") };
        let retry = Attempt::Retry { after: None, why: Why::new(Kind::Unavailable, ""), scope: Scope::Target };
        for (backend, number, attempt) in
            [(0, 0, &Attempt::Sent), (1, 0, &Attempt::Sent), (0, 1, &partial), (1, 2, &retry)]
        {
            tally.arrived(backend);
            tally.answered(backend, &request(&shape, number), attempt);
        }
        let lines = std::fs::read_to_string(path).unwrap();
        let stats = tally.close().unwrap();
        assert_eq!((stats.requests, stats.refused_requests, stats.records, stats.rejected), (4, 1, 11, 1));
        assert_eq!((stats.distinct, stats.duplicates, stats.anonymous), (7, 4, 0));
        assert_eq!((stats.logs, stats.traces, stats.metrics), (8, 3, 0));
        assert_eq!(
            (stats.backends[0].records, stats.backends[1].records, stats.backends[1].refused_requests),
            (7, 4, 1)
        );
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last, serde_json::json!({"backend": 0, "signal": "traces", "records": 3, "ids": [[5, 7]]}));
        assert_eq!(lines.lines().count(), 3);
    }

    /// Scenario: more distant ids than there are pages. Guarantee: the memory stays bounded and the rest is said to be untracked.
    #[test]
    fn the_memory_for_ids_is_bounded() {
        let mut ids = Ids::default();
        for page in 0..MAX_PAGES as u64 {
            assert_eq!(ids.insert(page * PAGE), Seen::No);
        }
        assert_eq!(ids.insert(u64::MAX), Seen::NoRoom);
        assert_eq!((ids.insert(0), ids.insert(1)), (Seen::Yes, Seen::No));
    }

    proptest! {
        /// Scenario: any ids. Guarantee: seen says whether it was there, as a set does.
        #[test]
        fn ids_are_a_set(list in prop::collection::vec(0u64..300_000, 0..300)) {
            let (mut ids, mut model) = (Ids::default(), std::collections::HashSet::new());
            for id in list {
                prop_assert_eq!(ids.insert(id) == Seen::No, model.insert(id));
            }
        }
    }
}
