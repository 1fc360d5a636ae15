//! The search for the bad records of one request that its destination refused: it is divided until they stand alone.
//!
//! One bad record among n costs 2·log₂ n calls. A search is bounded all the same: a destination that refuses everything must not be
//! asked about every record. What was refused is counted over all pieces of the request, and the search ends early as long as
//! nothing of it was taken.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Refusals after which a search ends that has found something good.
const MOST: u32 = 1024;

/// Refusals after which a search ends that has found nothing good,
const MOST_IN_VAIN: u32 = 64;

/// halved with each search in vain of the same destination, so many times: it is not the data then.
const MOST_HALVINGS: u32 = 5;

/// What the pieces of one request share.
#[derive(Debug, Default)]
pub struct Search {
    refused: AtomicU32,
    has_good: AtomicBool,
    was_in_vain: AtomicBool,
}

impl Search {
    /// A piece was refused. Whether to go on, after so many searches in vain before.
    pub fn refused(&self, in_vain: u32) -> bool {
        let refused = self.refused.fetch_add(1, Relaxed).saturating_add(1);
        refused <= if self.has_good() { MOST } else { MOST_IN_VAIN >> in_vain.min(MOST_HALVINGS) }
    }

    /// A piece was taken.
    pub fn taken(&self) {
        self.has_good.store(true, Relaxed);
    }

    /// Whether it ended without anything good; true once.
    pub fn ends_in_vain(&self) -> bool {
        !self.has_good() && !self.was_in_vain.swap(true, Relaxed)
    }

    fn has_good(&self) -> bool {
        self.has_good.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a destination that refuses every piece, again and again. Guarantee: each search in vain is shorter than the one before, and
    /// none is empty; one that finds something good goes on for longer.
    #[test]
    fn searches_in_vain_become_shorter() {
        let length = |in_vain: u32, search: Search| (0..2000).take_while(|_| search.refused(in_vain)).count();
        let lengths: Vec<_> = (0..8).map(|in_vain| length(in_vain, Search::default())).collect();
        assert_eq!(lengths, [64, 32, 16, 8, 4, 2, 2, 2]);
        let found = Search::default();
        found.taken();
        assert_eq!(length(7, found), 1024);
        let vain = Search::default();
        assert_eq!([vain.ends_in_vain(), vain.ends_in_vain()], [true, false]);
    }
}
