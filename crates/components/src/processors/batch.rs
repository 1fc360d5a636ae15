//! The `batch` processor, mapped: what it asks for is asked of the lanes of every exporter of its pipeline.
//!
//! | key | what it means here |
//! |---|---|
//! | `timeout` | a request waits at most this long for a fuller batch; 0 sends at once |
//! | `send_batch_size` | so many records make a batch; 0 sends at once |
//! | `send_batch_max_size` | a request never holds more records; 0 is no limit |
//! | `metadata_keys` | requests that differ in one of these headers of their senders have lanes of their own |
//! | `metadata_cardinality_limit` | so many combinations of their values have one at once; what is beyond is refused |
//!
//! An exporter's own `sending_queue.batch` comes before it. Unlike in the collector nothing is lost between processor and
//! queue: records wait for their batch in the queue itself, counted against it.

use config::{GoDuration, Report, Validate};
use flow::batcher::BatchConfig;
use net::origin::check_keys;
use serde::Deserialize;

/// The collector's keys and defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a request may wait for a fuller batch. Default 200 ms.
    pub timeout: GoDuration,
    /// Records that make a batch. Default 8192.
    pub send_batch_size: u64,
    /// Records that a request never exceeds. Default 0: no limit.
    pub send_batch_max_size: u64,
    /// Headers of the sender, which the receiver keeps with `include_metadata`: requests that differ in one of them never share a
    /// batch, nor a lane.
    pub metadata_keys: Vec<String>,
    /// So many combinations of their values have a lane at once. Default 1000; 0: as many as there may be lanes.
    pub metadata_cardinality_limit: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            timeout: GoDuration::from_millis(200),
            send_batch_size: 8192,
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            report.error("send_batch_max_size", "must not be less than `send_batch_size`");
        }
        if self.metadata_keys.is_empty() && report.is_set("metadata_cardinality_limit") {
            report.warning("metadata_cardinality_limit", "has no effect without `metadata_keys`");
        }
        for (n, why) in check_keys(&self.metadata_keys) {
            report.error(&format!("metadata_keys.{n}"), why);
        }
    }
}

impl Config {
    /// What the lanes are asked for.
    #[must_use]
    pub fn batching(&self) -> BatchConfig {
        BatchConfig {
            enabled: true,
            min_records: if self.timeout.is_zero() { 0 } else { self.send_batch_size },
            min_bytes: 0,
            max_records: usize::try_from(self.send_batch_max_size).unwrap_or(usize::MAX),
            max_bytes: 0,
            flush_interval: self.timeout.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Scenario: the defaults, and each key at 0. Guarantee: the lanes are asked for the same; 0 means at once, or no limit.
    #[test]
    fn the_keys_are_mapped() {
        let batching = Config::default().batching();
        assert_eq!((batching.enabled, batching.min_records, batching.max_records), (true, 8192, 0));
        assert_eq!(batching.flush_interval, Duration::from_millis(200));
        assert_eq!(Config { timeout: GoDuration::default(), ..Config::default() }.batching().min_records, 0);
        assert_eq!(Config { send_batch_size: 0, ..Config::default() }.batching().min_records, 0);
        assert_eq!(Config { send_batch_max_size: 10_000, ..Config::default() }.batching().max_records, 10_000);
    }
}
