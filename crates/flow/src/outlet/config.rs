//! How an outlet behaves: what the collector calls `sending_queue`, `retry_on_failure` and `timeout`, already resolved.

use crate::Codec;
use crate::batcher::BatchConfig;
use crate::capacity::CapacityConfig;
use crate::gather::GatherConfig;
use crate::retry::RetryConfig;
use std::time::Duration;

/// Lanes of an exporter with many targets, unless it says otherwise.
pub const MAX_LANES: u32 = 10_000;

/// How an exporter's outlet behaves: the collector's `sending_queue`, `retry_on_failure` and `timeout`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutletConfig {
    /// The component id, for messages.
    pub name: String,
    /// What it may hold.
    pub capacity: CapacityConfig,
    /// Sends that may be under way at once, over all lanes: `num_consumers`.
    pub workers: usize,
    /// Whether a sender waits for room instead of being refused.
    pub block_on_overflow: bool,
    /// Whether a sender waits for the outcome: `wait_for_result`, or no queue at all.
    pub wait_for_result: bool,
    /// There is no queue: a request whose sender has gone is not sent any more, and without retries a sender is told at once while the
    /// destination is halted.
    pub is_direct: bool,
    /// How batches form.
    pub batch: BatchConfig,
    /// When a failed request is tried again.
    pub retry: RetryConfig,
    /// The time one attempt may take. 0: no limit.
    pub timeout: Duration,
    /// Sends of one lane of a dynamic router that may be under way at once; none: half of `workers`.
    pub lane_in_flight: Option<usize>,
    /// Lanes of a dynamic router: targets beyond are refused.
    pub max_lanes: usize,
    /// A lane of a dynamic router ends after being idle for this long.
    pub lane_idle: Duration,
    /// How what waits is compressed.
    pub codec: Codec,
    /// How much is sorted at once, where records of senders that do not wait are sorted straight into open batches: for a router of
    /// many targets, where batches are formed. Whoever asks for that runs [`Outlet::keep`](crate::Outlet::keep).
    pub gather: Option<GatherConfig>,
}

impl OutletConfig {
    /// The collector's defaults for an exporter of this name; if it shares its memory with no other, within `max_bytes`.
    #[must_use]
    pub fn new(name: impl Into<String>, max_bytes: u64) -> OutletConfig {
        OutletConfig {
            name: name.into(),
            capacity: CapacityConfig { size: 1000, sizer: crate::capacity::Sizer::Requests, max_bytes },
            workers: 10,
            block_on_overflow: false,
            wait_for_result: false,
            is_direct: false,
            batch: BatchConfig::default(),
            retry: RetryConfig::default(),
            timeout: Duration::from_secs(5),
            lane_in_flight: None,
            max_lanes: MAX_LANES as usize,
            lane_idle: Duration::from_secs(300),
            codec: Codec::None,
            gather: None,
        }
    }
}
