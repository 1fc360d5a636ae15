//! `sending_queue`, `retry_on_failure` and `timeout` of every exporter: the collector's keys, defaults and rules
//! (exporterhelper), and the outlet they mean.
//!
//! It does NOT queue or retry: the flow crate does.

use config::ComponentId;
use config::duration::GoDuration;
use config::validate::{Report, Validate};
use flow::batcher::BatchConfig;
use flow::outlet::OutletConfig;
use flow::retry::RetryConfig;
use flow::{Codec, capacity};
use net::origin::check_keys;
use serde::Deserialize;
use std::time::Duration;

/// Sends that may be under way at once when there is no queue, whose senders each wait for their own: the collector has no
/// limit there; the memory budget is the one that counts.
const WORKERS_WITHOUT_QUEUE: usize = 256;

/// What sizes are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Export requests as they came in.
    Requests,
    /// Log records, spans or data points.
    Items,
    /// Encoded bytes.
    Bytes,
}

impl Sizer {
    fn as_str(self) -> &'static str {
        match self {
            Sizer::Requests => "requests",
            Sizer::Items => "items",
            Sizer::Bytes => "bytes",
        }
    }
}

/// The collector's `sending_queue`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SendingQueue {
    /// Without a queue every sender waits for the outcome.
    pub enabled: bool,
    /// Sends that may be under way at once.
    pub num_consumers: u32,
    /// What the queue holds at most, in units of the sizer, in flight or not.
    pub queue_size: u64,
    /// What `queue_size` counts; requests if it is not given.
    pub sizer: Option<Sizer>,
    /// Whether a sender waits for room instead of being refused.
    pub block_on_overflow: bool,
    /// Whether a sender waits for the outcome.
    pub wait_for_result: bool,
    /// The storage extension that keeps the queue on disk.
    pub storage: Option<ComponentId>,
    /// How batches form; none: requests are sent as they came.
    pub batch: Option<Batch>,
    /// How what waits for a stuck destination is compressed in memory.
    pub payload_compression: PayloadCompression,
    /// Replaced by `payload_compression`.
    pub compress_in_memory: Option<bool>,
}

/// The Sawmills fork's `payload_compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadCompression {
    /// As it came.
    #[default]
    None,
    /// Snappy.
    Snappy,
    /// Zstandard.
    Zstd,
}

impl PayloadCompression {
    /// The flow crate's form of it.
    #[must_use]
    pub fn codec(self) -> Codec {
        match self {
            PayloadCompression::None => Codec::None,
            PayloadCompression::Snappy => Codec::Snappy,
            PayloadCompression::Zstd => Codec::Zstd,
        }
    }
}

impl Default for SendingQueue {
    fn default() -> Self {
        SendingQueue {
            enabled: true,
            num_consumers: 10,
            queue_size: 1000,
            sizer: None,
            block_on_overflow: false,
            wait_for_result: false,
            storage: None,
            batch: None,
            payload_compression: PayloadCompression::None,
            compress_in_memory: None,
        }
    }
}

/// The collector's `sending_queue.batch`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// The collector's way to switch an optional section off.
    pub enabled: bool,
    /// How long a request may wait for a fuller batch.
    pub flush_timeout: GoDuration,
    /// What makes a batch, in units of the sizer.
    pub min_size: u64,
    /// What a batch never exceeds, in units of the sizer. 0: no limit.
    pub max_size: u64,
    /// `items` or `bytes`; if it is not given, the queue's own if that is given, else items.
    pub sizer: Option<Sizer>,
    /// Batches by metadata of the sender.
    pub partition: Partition,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            enabled: true,
            flush_timeout: GoDuration(Duration::from_millis(200)),
            min_size: 8192,
            max_size: 0,
            sizer: None,
            partition: Partition::default(),
        }
    }
}

/// The collector's `sending_queue.batch.partition`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Partition {
    /// Headers of the sender, which the receiver keeps with `include_metadata`: requests that differ in one of them never share a
    /// batch.
    pub metadata_keys: Vec<String>,
    /// No effect: lanes that have nothing to do end.
    pub cache_size: u64,
    /// No effect: as above.
    pub idle_timeout: GoDuration,
}

/// The collector's `retry_on_failure`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOnFailure {
    /// Whether a failed request is tried again at all.
    pub enabled: bool,
    /// The wait after the first failure.
    pub initial_interval: GoDuration,
    /// Each wait is spread by ± this part of itself.
    pub randomization_factor: f64,
    /// Each wait is this many times the one before.
    pub multiplier: f64,
    /// The longest wait.
    pub max_interval: GoDuration,
    /// A request is given up after this time, counted from its first attempt. 0: never.
    pub max_elapsed_time: GoDuration,
    /// Whether records whose credential the backend refuses are given up at once, as the collector does it.
    pub permanent_auth_errors: bool,
}

impl Default for RetryOnFailure {
    fn default() -> Self {
        let retry = RetryConfig::default();
        RetryOnFailure {
            enabled: retry.enabled,
            initial_interval: GoDuration(retry.initial_interval),
            randomization_factor: retry.randomization_factor,
            multiplier: retry.multiplier,
            max_interval: GoDuration(retry.max_interval),
            max_elapsed_time: GoDuration(retry.max_elapsed_time),
            permanent_auth_errors: retry.auth_is_final,
        }
    }
}

impl SendingQueue {
    fn sizer(&self) -> Sizer {
        self.sizer.unwrap_or(Sizer::Requests)
    }

    /// The storage extension of a queue that is on.
    #[must_use]
    pub fn stored_in(&self) -> Option<&ComponentId> {
        self.storage.as_ref().filter(|_| self.enabled)
    }

    /// What divides its batches.
    #[must_use]
    pub fn partition(&self) -> Option<&Partition> {
        self.batch().filter(|_| self.enabled).map(|batch| &batch.partition)
    }

    fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref().filter(|batch| batch.enabled)
    }

    fn batch_sizer(&self, batch: &Batch) -> Sizer {
        batch.sizer.or(self.sizer).unwrap_or(Sizer::Items)
    }
}

impl Validate for SendingQueue {
    /// A queue that is off is not looked at, as in the collector.
    fn validate(&self, report: &mut Report<'_>) {
        if !self.enabled {
            return;
        }
        if self.num_consumers == 0 {
            report.error("num_consumers", "`num_consumers` must be positive");
        }
        if self.queue_size == 0 {
            report.error("queue_size", "`queue_size` must be positive");
        }
        if self.storage.is_some() && self.wait_for_result {
            report.error("wait_for_result", "`wait_for_result` is not supported with a queue kept in `storage`");
        }
        if let Some(batch) = self.batch() {
            self.validate_batch(batch, report);
        }
        if self.compress_in_memory.is_some() {
            report
                .error("compress_in_memory", "compress_in_memory is not supported; use `payload_compression` instead");
        }
    }
}

impl SendingQueue {
    fn validate_batch(&self, batch: &Batch, report: &mut Report<'_>) {
        let (min, max, sizer) = (batch.min_size, batch.max_size, self.batch_sizer(batch));
        if sizer == Sizer::Requests {
            report.error("batch.sizer", "`batch` supports only the `items` and `bytes` sizers, found `requests`");
        } else if sizer == self.sizer() && min > self.queue_size {
            let (size, what) = (self.queue_size, sizer.as_str());
            let text =
                format!("`min_size` ({min}) must be less than or equal to `queue_size` ({size}): both count {what}");
            report.error("batch.min_size", text);
        }
        if sizer == Sizer::Bytes && batch.min_size == Batch::default().min_size && !report.is_set("batch.min_size") {
            let text = "with the sizer `bytes` the default `min_size` is 8192 bytes: batches of a few records; write `min_size`";
            report.warning("batch.sizer", text);
        }
        if batch.flush_timeout.is_zero() {
            report.error("batch.flush_timeout", "`flush_timeout` must be positive");
        }
        if max > 0 && max < min {
            let text = format!("`max_size` ({max}) must be greater than or equal to `min_size` ({min})");
            report.error("batch.max_size", text);
        }
        for key in ["batch.partition.cache_size", "batch.partition.idle_timeout"] {
            if report.is_in_use(key) {
                report.warning(
                    key,
                    "has no effect: what divides batches has lanes, and those end when they have been idle",
                );
            }
        }
        for (n, why) in check_keys(&batch.partition.metadata_keys) {
            report.error(&format!("batch.partition.metadata_keys.{n}"), why);
        }
    }
}

impl Validate for RetryOnFailure {
    /// Retries that are off are not looked at, as in the collector.
    fn validate(&self, report: &mut Report<'_>) {
        if !self.enabled {
            return;
        }
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            report.error("randomization_factor", "'randomization_factor' must be within [0, 1]");
        }
        if !self.multiplier.is_finite() || self.multiplier < 0.0 {
            report.error("multiplier", "'multiplier' must be a non-negative number");
        }
        let longest = self.initial_interval.max(self.max_interval);
        if !self.max_elapsed_time.is_zero() && self.max_elapsed_time < longest {
            let what = if self.max_interval == longest { "max_interval" } else { "initial_interval" };
            report.error("max_elapsed_time", format!("'max_elapsed_time' must not be less than '{what}'"));
        }
    }
}

impl RetryOnFailure {
    /// The flow crate's form of it.
    #[must_use]
    pub fn config(&self) -> RetryConfig {
        RetryConfig {
            enabled: self.enabled,
            initial_interval: self.initial_interval.0,
            randomization_factor: self.randomization_factor,
            multiplier: self.multiplier,
            max_interval: self.max_interval.0,
            max_elapsed_time: self.max_elapsed_time.0,
            auth_is_final: self.permanent_auth_errors,
        }
    }
}

impl Batch {
    fn config(&self, sizer: Sizer) -> BatchConfig {
        let max = usize::try_from(self.max_size).unwrap_or(usize::MAX);
        let (records, bytes) =
            if sizer == Sizer::Bytes { ((0, 0), (self.min_size, max)) } else { ((self.min_size, max), (0, 0)) };
        BatchConfig {
            enabled: true,
            min_records: records.0,
            min_bytes: bytes.0,
            max_records: records.1,
            max_bytes: bytes.1,
            flush_interval: self.flush_timeout.0,
        }
    }
}

/// The outlet that these keys mean, for the exporter called `name`, holding at most `max_bytes` of memory whatever its sizer.
///
/// `pipeline_batch` is what a `batch` processor of the pipeline asks for; the exporter's own `sending_queue.batch` comes
/// before it. Without a queue every sender waits for the outcome of its own request, and nothing is batched.
#[must_use]
pub fn outlet_config(
    name: &str,
    timeout: GoDuration,
    queue: &SendingQueue,
    retry: &RetryOnFailure,
    max_bytes: u64,
    pipeline_batch: Option<BatchConfig>,
) -> OutletConfig {
    let base = OutletConfig { timeout: timeout.0, retry: retry.config(), ..OutletConfig::new(name, max_bytes) };
    if !queue.enabled {
        return OutletConfig {
            capacity: capacity::CapacityConfig { size: u64::MAX, sizer: capacity::Sizer::Bytes, max_bytes },
            workers: WORKERS_WITHOUT_QUEUE,
            wait_for_result: true,
            is_direct: true,
            retry: if retry.enabled { base.retry.clone() } else { without_retries(&base.retry) },
            ..base
        };
    }
    let sizer = match queue.sizer() {
        Sizer::Requests => capacity::Sizer::Requests,
        Sizer::Items => capacity::Sizer::Items,
        Sizer::Bytes => capacity::Sizer::Bytes,
    };
    OutletConfig {
        capacity: capacity::CapacityConfig { size: queue.queue_size, sizer, max_bytes },
        workers: usize::try_from(queue.num_consumers).unwrap_or(usize::MAX),
        block_on_overflow: queue.block_on_overflow,
        wait_for_result: queue.wait_for_result,
        codec: queue.payload_compression.codec(),
        batch: queue.batch().map(|batch| batch.config(queue.batch_sizer(batch))).or(pipeline_batch).unwrap_or_default(),
        ..base
    }
}

/// The waits of a breaker whose senders neither wait nor are retried for: they give up after some 10 s, so that a destination must be asked
/// again soon after it came back.
fn without_retries(retry: &RetryConfig) -> RetryConfig {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(4));
    let (first, longest) = (retry.initial_interval.min(least), retry.max_interval.min(most));
    RetryConfig { initial_interval: first, max_interval: longest, ..retry.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::testing::{decoded, errors, problems};

    fn queue(yaml: &str) -> SendingQueue {
        decoded(yaml)
    }

    fn outlet(queue: &SendingQueue, pipeline: Option<BatchConfig>) -> OutletConfig {
        outlet_config("x", GoDuration(Duration::from_secs(5)), queue, &RetryOnFailure::default(), 1 << 20, pipeline)
    }

    /// Scenario: nothing is written. Guarantee: the collector's defaults, without batches.
    #[test]
    fn the_defaults_are_the_collectors() {
        let config = outlet(&queue("{}"), None);
        assert_eq!(config, OutletConfig::new("x", 1 << 20));
        assert!(!config.batch.enabled);
        assert!(problems::<SendingQueue>("{}").is_empty());
    }

    /// Scenario: `batch: {}` under each sizer. Guarantee: items unless the queue's own sizer says otherwise; requests are refused.
    #[test]
    fn a_batch_counts_items_or_what_the_queue_counts() {
        let batch = outlet(&queue(r#"{"batch": {"max_size": 9000}}"#), None).batch;
        assert_eq!(
            (batch.enabled, batch.min_records, batch.min_bytes, batch.max_records, batch.max_bytes),
            (true, 8192, 0, 9000, 0)
        );
        let batch = outlet(&queue(r#"{"sizer": "bytes", "queue_size": 100000, "batch": {}}"#), None).batch;
        assert_eq!((batch.min_records, batch.min_bytes, batch.max_records, batch.max_bytes), (0, 8192, 0, 0));
        assert_eq!(errors(&queue(r#"{"sizer": "requests", "batch": {}}"#)), ["batch.sizer"]);
        assert!(!outlet(&queue(r#"{"batch": {"enabled": false}}"#), None).batch.enabled);
    }

    /// Scenario: a `batch` processor in the pipeline. Guarantee: it is used unless the exporter has its own.
    #[test]
    fn the_exporters_own_batch_comes_first() {
        let pipeline = BatchConfig { enabled: true, min_records: 7, ..BatchConfig::default() };
        assert_eq!(outlet(&queue("{}"), Some(pipeline.clone())).batch.min_records, 7);
        assert_eq!(outlet(&queue(r#"{"batch": {}}"#), Some(pipeline)).batch.min_records, 8192);
    }

    /// Scenario: the queue is off, with nonsense beside. Guarantee: no error, senders wait, nothing is batched.
    #[test]
    fn without_a_queue_senders_wait() {
        let off = queue(r#"{"enabled": false, "queue_size": 0, "batch": {}}"#);
        assert!(errors(&off).is_empty());
        let config = outlet(&off, Some(BatchConfig { enabled: true, ..BatchConfig::default() }));
        assert!(config.wait_for_result && !config.batch.enabled);
        assert_eq!(config.capacity.size, u64::MAX);
    }

    /// Scenario: each rule of the collector is broken. Guarantee: an error at its key; all at once.
    #[test]
    fn every_rule_of_the_collector_is_checked() {
        assert_eq!(errors(&queue("{num_consumers: 0, queue_size: 0}")), ["num_consumers", "queue_size"]);
        let stored = queue("{storage: file_storage, wait_for_result: true}");
        assert_eq!(errors(&stored), ["wait_for_result"]);
        assert_eq!(stored.stored_in(), Some(&ComponentId::unnamed("file_storage")));
        assert_eq!(queue("{storage: file_storage, enabled: false}").stored_in(), None);
        let bad = "{sizer: items, queue_size: 10, batch: {flush_timeout: 0s, min_size: 20, max_size: 15, \
                   partition: {metadata_keys: ['a b']}}}";
        assert_eq!(
            errors(&queue(bad)),
            ["batch.min_size", "batch.flush_timeout", "batch.max_size", "batch.partition.metadata_keys[0]"]
        );
        let retry: RetryOnFailure = decoded("{randomization_factor: 1.5, multiplier: -1, max_elapsed_time: 1s}");
        assert_eq!(errors(&retry), ["randomization_factor", "multiplier", "max_elapsed_time"]);
        assert!(errors(&decoded::<RetryOnFailure>("max_elapsed_time: 0")).is_empty());
        assert!(errors(&decoded::<RetryOnFailure>("{enabled: false, multiplier: -1}")).is_empty());
        for wrong in ["sizer: pounds", "queue_sise: 1", "queue_size: -1", "batch: {flush_timeout: 5}"] {
            assert_eq!(problems::<SendingQueue>(wrong).len(), 1, "{wrong}");
        }
    }
}
