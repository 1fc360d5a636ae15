//! `log_batcher`, `metric_batcher` and `batcher`: the fork's keys, and what they mean to a lane.

use crate::exporters::queue::PayloadCompression;
use config::duration::GoDuration;
use config::validate::{Report, Validate};
use flow::batcher::BatchConfig;
use serde::Deserialize;

/// The fork's `log_batcher`, for any signal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batcher {
    /// Off: every request is sent by itself.
    pub enabled: bool,
    /// Records that a request never exceeds, and at which it is sent.
    pub max_records: u64,
    /// Encoded bytes that a request never exceeds (unless a single record does), and at which it is sent.
    pub max_bytes: u64,
    /// How long a record may wait for a fuller request.
    pub flush_interval: GoDuration,
    /// How what waits is compressed; `none`: as the queue says.
    pub payload_compression: PayloadCompression,
}

impl Default for Batcher {
    fn default() -> Self {
        Batcher {
            enabled: false,
            max_records: 512,
            max_bytes: 1024 * 1024,
            flush_interval: GoDuration::from_millis(100),
            payload_compression: PayloadCompression::None,
        }
    }
}

/// The fork's `metric_batcher`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricBatcher {
    /// Off: every request is sent by itself.
    pub enabled: bool,
    /// Data points that a request never exceeds, and at which it is sent.
    pub max_datapoints: u64,
    /// Encoded bytes that a request never exceeds (unless a single data point does), and at which it is sent.
    pub max_bytes: u64,
    /// How long a data point may wait for a fuller request.
    pub flush_interval: GoDuration,
    /// No effect: what failed stays in the exporter's queue.
    pub max_retry_buffer_multiplier: Option<i64>,
    /// How what waits is compressed; `none`: as the queue says.
    pub payload_compression: PayloadCompression,
}

impl Default for MetricBatcher {
    fn default() -> Self {
        MetricBatcher {
            enabled: false,
            max_datapoints: 8192,
            max_bytes: 2 * 1024 * 1024,
            flush_interval: GoDuration::from_millis(200),
            max_retry_buffer_multiplier: None,
            payload_compression: PayloadCompression::None,
        }
    }
}

fn batch(max_records: u64, max_bytes: u64, flush_interval: GoDuration) -> BatchConfig {
    BatchConfig {
        enabled: true,
        min_records: max_records,
        min_bytes: max_bytes,
        max_records: usize::try_from(max_records).unwrap_or(usize::MAX),
        max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        flush_interval: flush_interval.0,
    }
}

impl Batcher {
    /// The flow crate's form of it.
    #[must_use]
    pub fn config(&self) -> BatchConfig {
        batch(self.max_records, self.max_bytes, self.flush_interval)
    }
}

impl MetricBatcher {
    /// The flow crate's form of it.
    #[must_use]
    pub fn config(&self) -> BatchConfig {
        batch(self.max_datapoints, self.max_bytes, self.flush_interval)
    }
}

fn must_be_positive(report: &mut Report<'_>, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, is_zero)| *is_zero) {
        report.error(key, format!("{key} must be greater than 0 when batching is enabled"));
    }
}

impl Validate for Batcher {
    /// A batcher that is off is not looked at, as in the fork.
    fn validate(&self, report: &mut Report<'_>) {
        if self.enabled {
            let zero = self.flush_interval.is_zero();
            must_be_positive(
                report,
                &[("max_records", self.max_records == 0), ("max_bytes", self.max_bytes == 0), ("flush_interval", zero)],
            );
        }
    }
}

impl Validate for MetricBatcher {
    fn validate(&self, report: &mut Report<'_>) {
        if self.enabled {
            let zero = self.flush_interval.is_zero();
            must_be_positive(
                report,
                &[
                    ("max_datapoints", self.max_datapoints == 0),
                    ("max_bytes", self.max_bytes == 0),
                    ("flush_interval", zero),
                ],
            );
        }
        if self.max_retry_buffer_multiplier.is_some() {
            let text = "has no effect: what failed stays in the exporter's queue";
            report.warning("max_retry_buffer_multiplier", text);
        }
    }
}
