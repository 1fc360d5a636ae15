//! What a spool counts.

use crate::stats::{Count, Histogram};
use std::time::Duration;

/// Upper bounds for the time of a sync, in seconds.
const SECONDS: &[f64] = &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
/// Upper bounds for the records of a sync.
const RECORDS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

/// The counters of one spool. They only grow.
#[derive(Debug)]
pub struct SpoolStats {
    /// Seconds that a group took from its first write to the end of its sync.
    pub sync_seconds: Histogram,
    /// Records that shared one sync.
    pub sync_records: Histogram,
    /// Times the disk failed.
    pub failures: Count,
    /// Records that were there when it was opened.
    pub recovered: Count,
    /// Places that are damaged, and segments that could not be read when it was opened.
    pub damaged: Count,
    /// Ends of segments that were never synced.
    pub torn: Count,
    /// Records that were given up because of their age.
    pub expired: Count,
}

impl Default for SpoolStats {
    fn default() -> Self {
        SpoolStats {
            sync_seconds: Histogram::new(SECONDS),
            sync_records: Histogram::new(RECORDS),
            failures: Count::default(),
            recovered: Count::default(),
            damaged: Count::default(),
            torn: Count::default(),
            expired: Count::default(),
        }
    }
}

impl SpoolStats {
    /// Counts a group of so many records whose write and sync took this long.
    pub fn synced(&self, took: Duration, records: u64) {
        self.sync_seconds.observe(took.as_secs_f64());
        self.sync_records.observe(records as f64);
    }
}
