//! What the store counts.

use crate::store::{Appended, Refused};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was counted since the store was opened, and how much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that can be found.
    pub records: u64,
    /// Bytes of all parts on disk.
    pub bytes: u64,
    /// Chunks on disk.
    pub chunks: u64,
    /// Days, and parts of days, on disk.
    pub parts: u64,
    /// Tenants that sent something.
    pub tenants: u64,
    /// Records that were taken.
    pub stored_records: u64,
    /// Requests that had been taken before, and were dropped.
    pub repeated_requests: u64,
    /// Their records.
    pub repeated_records: u64,
    /// Requests that were refused.
    pub refused_requests: u64,
    /// Chunks that queries could not read.
    pub damaged_chunks: u64,
    /// Days, and parts of days, that were removed.
    pub removed_parts: u64,
    /// Rows that subscribers were too slow for.
    pub lost_rows: u64,
    /// Subscribers that panicked.
    pub panicked_subscribers: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    stored: AtomicU64,
    repeated: AtomicU64,
    repeated_records: AtomicU64,
    refused: AtomicU64,
    pub damaged: AtomicU64,
    pub removed_parts: AtomicU64,
}

impl Counters {
    pub fn count(&self, appended: &Result<(Appended, u64), Refused>) {
        match appended {
            Ok((Appended::Stored(records), _)) => {
                self.stored.fetch_add(*records as u64, Relaxed);
            }
            Ok((Appended::Repeated(records), _)) => {
                self.repeated.fetch_add(1, Relaxed);
                self.repeated_records.fetch_add(*records as u64, Relaxed);
            }
            Err(_) => {
                self.refused.fetch_add(1, Relaxed);
            }
        }
    }

    pub fn stats(&self) -> Stats {
        Stats {
            stored_records: self.stored.load(Relaxed),
            repeated_requests: self.repeated.load(Relaxed),
            repeated_records: self.repeated_records.load(Relaxed),
            refused_requests: self.refused.load(Relaxed),
            damaged_chunks: self.damaged.load(Relaxed),
            removed_parts: self.removed_parts.load(Relaxed),
            ..Stats::default()
        }
    }
}
