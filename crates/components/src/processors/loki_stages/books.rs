//! What a `loki_stages` processor counts in one pipeline. The numbers go on over reloads.
//!
//! Every record is on the books: what came in and what was split off is what went out, was dropped for a reason, became part of
//! another, or is held back.

use flow::stats::Count;
use parking_lot::Mutex;
use stages::{Observer, Outcome, Text};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub struct Books {
    /// Records that came in.
    pub incoming: Count,
    /// Records that went out.
    pub outgoing: Count,
    /// By the place of the stage and the reason.
    dropped: Mutex<BTreeMap<(String, String), u64>>,
}

impl Books {
    /// Dropped records by the place of the stage and the reason.
    pub fn dropped(&self) -> Vec<((String, String), u64)> {
        self.dropped.lock().iter().map(|(key, n)| (key.clone(), *n)).collect()
    }

    /// Counts records dropped by the stage at this place.
    pub fn add_dropped(&self, stage: &str, reason: &str, n: u64) {
        if n > 0 {
            *self.dropped.lock().entry((stage.to_owned(), reason.to_owned())).or_default() += n;
        }
    }
}

/// What is dropped during one call. There are few stages that drop, and a call has many records: they are added up first.
#[derive(Default)]
pub struct Drops(Vec<Drop>);

struct Drop {
    /// The address of the stage's place, which stays where it is as long as its pipeline.
    at: usize,
    stage: String,
    reason: Text,
    n: u64,
}

impl Observer for Drops {
    #[inline]
    fn step(&mut self, path: &str, outcome: Outcome<'_>) {
        if let Outcome::Dropped(reason) = outcome {
            let at = path.as_ptr() as usize;
            match self.0.iter_mut().find(|drop| drop.at == at && drop.reason == *reason) {
                Some(drop) => drop.n += 1,
                None => self.0.push(Drop { at, stage: path.to_owned(), reason: reason.clone(), n: 1 }),
            }
        }
    }
}

impl Drops {
    /// Books what was dropped.
    pub fn book(self, books: &Books) {
        for Drop { stage, reason, n, .. } in self.0 {
            books.add_dropped(&stage, &reason.to_str_lossy(), n);
        }
    }
}
