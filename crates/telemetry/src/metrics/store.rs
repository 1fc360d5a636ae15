//! Stores on this machine.

use crate::exposition::Page;

/// A store, as plain numbers. How much there is may be a second old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreState {
    /// The exporter that keeps its data in it.
    pub exporter: String,
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
    /// Requests that had been taken before.
    pub repeated_requests: u64,
    /// Their records.
    pub repeated_records: u64,
    /// Requests that were refused.
    pub refused_requests: u64,
    /// Chunks that could not be read.
    pub damaged_chunks: u64,
    /// Parts that were removed.
    pub removed_parts: u64,
    /// Questions that were asked.
    pub queries: u64,
    /// Rows that live tails were too slow for.
    pub missed_rows: u64,
}

pub(super) fn render(page: &mut Page, stores: &[StoreState]) {
    for store in stores {
        let labels = [("exporter", store.exporter.as_str())];
        for (name, help, value) in [
            ("bywash_store_records", "Records that can be found.", store.records),
            ("bywash_store_bytes", "Bytes of all parts on disk.", store.bytes),
            ("bywash_store_chunks", "Chunks on disk.", store.chunks),
            ("bywash_store_parts", "Days, and parts of days, on disk.", store.parts),
            ("bywash_store_tenants", "Tenants that sent something.", store.tenants),
        ] {
            page.gauge(name, help).add(&labels, value);
        }
        for (name, help, value) in [
            ("bywash_store_stored_records", "Records that were taken.", store.stored_records),
            (
                "bywash_store_repeated_requests",
                "Requests that had been taken before, and were not stored again.",
                store.repeated_requests,
            ),
            ("bywash_store_repeated_records", "Their records.", store.repeated_records),
            ("bywash_store_refused_requests", "Requests that were refused.", store.refused_requests),
            ("bywash_store_damaged_chunks", "Chunks that questions could not read.", store.damaged_chunks),
            ("bywash_store_removed_parts", "Parts that retention removed.", store.removed_parts),
            ("bywash_store_queries", "Questions that were asked.", store.queries),
            ("bywash_store_missed_rows", "Rows that went by readers of live tails unseen.", store.missed_rows),
        ] {
            page.counter(name, help).add(&labels, value);
        }
    }
}
