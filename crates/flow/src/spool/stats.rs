//! What a spool counts.

use crate::stats::{ByKind, Count};
use std::time::Duration;

/// The upper bounds of the sync latency's buckets, in seconds.
pub const SYNC_BUCKETS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// The counters of one spool. They only grow.
#[derive(Debug, Default)]
pub struct SpoolStats {
    /// Groups that were written and synced.
    pub syncs: Count,
    /// Records in them.
    pub synced_records: Count,
    /// Syncs by how long they took: one count for each of [`SYNC_BUCKETS`], not cumulated, and one for those that took longer.
    pub sync_buckets: [Count; SYNC_BUCKETS.len() + 1],
    /// Time all syncs took together, in microseconds.
    pub sync_micros: Count,
    /// Times the disk failed.
    pub failures: Count,
    /// Records that were there when it was opened.
    pub recovered: Count,
    /// Pieces that could not be read back and are lost.
    pub damaged: Count,
    /// Pieces that became dead letters, by reason.
    pub buried: ByKind,
}

impl SpoolStats {
    /// Counts a group of so many records whose write and sync took this long.
    pub fn synced(&self, took: Duration, records: u64) {
        self.syncs.add(1);
        self.synced_records.add(records);
        self.sync_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let seconds = took.as_secs_f64();
        let bucket = SYNC_BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(SYNC_BUCKETS.len());
        self.sync_buckets[bucket].add(1);
    }
}
