//! The keys of `load_balancing`: the collector's, those of the Sawmills fork that add batches and health, and ours.
//!
//! The collector has two levels of queue, retry and timeout: the exporter's own, which are off, and those of `protocol.otlp`,
//! which are on. Here there is one outlet, so there is one of each: the exporter's own if it is written, else
//! `protocol.otlp`'s. `num_consumers` counts for each backend, as it does there.

pub use batching::{Batcher, MetricBatcher};
pub use health::{ActiveProbe, EndpointHealth, ProbeKind};

use super::keys::RoutingKey;
use super::ring::RingKind;
use crate::exporters::otlp_client::{self, check_endpoint};
use crate::exporters::queue::{Partition, RetryOnFailure, SendingQueue, outlet_config};
use crate::resolvers::ResolverConfig;
use config::ComponentId;
use config::duration::GoDuration;
use config::validate::{Report, Validate};
use flow::Codec;
use flow::batcher::BatchConfig;
use flow::capacity::{CapacityConfig, Sizer};
use flow::gather::GatherConfig;
use flow::outlet::{MAX_LANES, OutletConfig};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::Signal;

mod batching;
mod health;

/// The port of a backend that comes without one.
pub const DEFAULT_PORT: u16 = 4317;

/// Sends that may be under way at once to all backends together. What bounds memory is the queue; this bounds open streams.
const WORKERS: usize = 1024;

/// The largest `load_factor`; one that large bounds nothing any more.
const MAX_LOAD_FACTOR: f64 = 100.0;

/// The largest weight of a backend.
const MAX_WEIGHT: u32 = 1000;

/// The keys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The time one attempt may take; 0: as `protocol.otlp` says.
    pub timeout: GoDuration,
    /// Retries; as `protocol.otlp` says if it is not written.
    pub retry_on_failure: Option<RetryOnFailure>,
    /// The queue; as `protocol.otlp` says if it is not written.
    pub sending_queue: Option<SendingQueue>,
    /// How backends are spoken to.
    pub protocol: Protocol,
    /// Where backends come from.
    pub resolver: ResolverConfig,
    /// What records are routed by; empty: by trace for traces, by service for logs and metrics.
    pub routing_key: String,
    /// The attributes of the routing key `attributes`.
    pub routing_attributes: Vec<String>,
    /// Batches per backend, for logs.
    pub log_batcher: Batcher,
    /// Batches per backend, for every signal without one of its own.
    pub batcher: Batcher,
    /// Batches per backend, for metrics.
    pub metric_batcher: MetricBatcher,
    /// How logs are routed.
    pub log_routing: LogRouting,
    /// Whether backends that fail are left out for a while.
    pub endpoint_health: EndpointHealth,
    /// `v2` (the collector's choice of backends, default) or `even`.
    pub ring: RingKind,
    /// Shares of backends, 1 for those that are not named; for the `even` ring.
    pub weights: BTreeMap<String, u32>,
    /// The most that a backend may own, as a multiple of its fair share; for the `v2` ring.
    pub load_factor: Option<f64>,
    /// How long a backend that was removed is still sent what was meant for it, before that is routed again.
    pub drain_timeout: GoDuration,
    /// Sends to one backend that may be under way at once; `num_consumers` if it is not given.
    pub max_in_flight: Option<u32>,
    /// Backends that have a lane of their own, for each signal; those beyond get nothing.
    pub max_lanes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            timeout: GoDuration::default(),
            retry_on_failure: None,
            sending_queue: None,
            protocol: Protocol::default(),
            resolver: ResolverConfig::default(),
            routing_key: String::new(),
            routing_attributes: Vec::new(),
            log_batcher: Batcher::default(),
            batcher: Batcher::default(),
            metric_batcher: MetricBatcher::default(),
            log_routing: LogRouting::default(),
            endpoint_health: EndpointHealth::default(),
            ring: RingKind::default(),
            weights: BTreeMap::new(),
            load_factor: None,
            drain_timeout: GoDuration::from_secs(30),
            max_in_flight: None,
            max_lanes: MAX_LANES,
        }
    }
}

/// The collector's `protocol`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// OTLP over gRPC; the endpoint is each backend's own.
    pub otlp: otlp_client::Config,
}

/// The fork's `log_routing`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogRouting {
    /// Logs are spread at random, scope entry by scope entry, whatever their trace.
    pub ignore_trace_id: bool,
    /// Not supported.
    pub record_striping_enabled: bool,
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        report.nested("protocol.otlp", &self.protocol.otlp);
        report.nested("resolver", &self.resolver);
        for (n, name) in self.resolver.static_list.iter().flat_map(|list| &list.hostnames).enumerate() {
            if let Err(why) = check_endpoint(name, Some(DEFAULT_PORT)) {
                report.error(&format!("resolver.static.hostnames.{n}"), why);
            }
        }
        if let Some(queue) = &self.sending_queue {
            report.nested("sending_queue", queue);
        }
        if let Some(retry) = &self.retry_on_failure {
            report.nested("retry_on_failure", retry);
        }
        self.validate_routing(report);
        report.nested("log_batcher", &self.log_batcher);
        report.nested("batcher", &self.batcher);
        report.nested("metric_batcher", &self.metric_batcher);
        report.nested("endpoint_health", &self.endpoint_health);
        self.validate_ring(report);
        if self.max_in_flight == Some(0) {
            report.error("max_in_flight", "must be greater than 0");
        }
        if self.max_lanes == 0 {
            report.error("max_lanes", "must be greater than 0");
        }
        if report.is_set("protocol.otlp.sending_queue.queue_size") && self.queue() == &self.protocol.otlp.sending_queue
        {
            let text = "has no effect: the memory budget bounds what waits for backends; \
                        to bound their requests together, use the exporter's own `sending_queue`";
            report.warning("protocol.otlp.sending_queue.queue_size", text);
        }
    }
}

/// What is sorted over the backends at once where batches are formed: little enough to stay in the cache of a core and to hold up
/// nobody for long, and not to be noticed beside their interval.
const GATHER: GatherConfig =
    GatherConfig { per_target: 32, records: 2048, bytes: 768 << 10, wait: Duration::from_millis(10) };

impl Config {
    fn validate_routing(&self, report: &mut Report<'_>) {
        let key = RoutingKey::named(&self.routing_key);
        if key.is_none() && !self.routing_key.is_empty() {
            report.error("routing_key", format!("unsupported routing_key: {:?}", self.routing_key));
        }
        if key == Some(RoutingKey::Attributes) && self.routing_attributes.is_empty() {
            let text = "routing_attributes must be specified when routing_key is \"attributes\"";
            report.error("routing_attributes", text);
        }
        if key != Some(RoutingKey::Attributes) && !self.routing_attributes.is_empty() {
            let text = format!(
                "routing_attributes can only be used when routing_key is \"attributes\"; got {:?}",
                self.routing_key
            );
            report.error("routing_attributes", text);
        }
        if self.log_routing.ignore_trace_id && !matches!(key, None | Some(RoutingKey::TraceId)) {
            report.warning("log_routing.ignore_trace_id", "has no effect: logs are not routed by trace");
        }
        if self.log_routing.record_striping_enabled {
            report.error(
                "log_routing.record_striping_enabled",
                "is not supported; `ignore_trace_id` spreads logs at random",
            );
        }
    }

    fn validate_ring(&self, report: &mut Report<'_>) {
        if !self.weights.is_empty() && self.ring != RingKind::Even {
            report.error("weights", "weights need `ring: even`: the collector's ring has none");
        }
        for (name, weight) in &self.weights {
            if !(1..=MAX_WEIGHT).contains(weight) {
                report.error("weights", format!("the weight of {name} must be from 1 to {MAX_WEIGHT}"));
            }
        }
        match self.load_factor {
            Some(factor) if !(1.0..=MAX_LOAD_FACTOR).contains(&factor) => {
                report.error("load_factor", format!("must be from 1 to {MAX_LOAD_FACTOR}"));
            }
            Some(_) if self.ring == RingKind::Even => {
                report.warning("load_factor", "has no effect: with `ring: even` every backend owns its fair share");
            }
            _ => {}
        }
    }

    /// What records of this signal are routed by.
    ///
    /// # Errors
    /// In the collector's words, if the signal has no such key.
    pub fn key(&self, signal: Signal) -> Result<RoutingKey, String> {
        let key = match RoutingKey::named(&self.routing_key) {
            Some(key) => key,
            None if signal == Signal::Logs && self.log_routing.ignore_trace_id => RoutingKey::TraceId,
            None => RoutingKey::default_for(signal),
        };
        if key.fits(signal) { Ok(key) } else { Err(format!("unsupported routing_key: {:?} for {signal}", key.name())) }
    }

    /// The queue in force.
    fn queue(&self) -> &SendingQueue {
        self.sending_queue.as_ref().filter(|queue| queue.enabled).unwrap_or(&self.protocol.otlp.sending_queue)
    }

    /// The storage extension of its queue, with the key that names it. Either level will do: there is one queue.
    #[must_use]
    pub fn stored_in(&self) -> Option<(&'static str, &ComponentId)> {
        let own = self.sending_queue.as_ref().and_then(SendingQueue::stored_in);
        let inner = self.protocol.otlp.sending_queue.stored_in();
        let inner = || inner.map(|id| ("protocol.otlp.sending_queue.storage", id));
        own.map(|id| ("sending_queue.storage", id)).or_else(inner)
    }

    /// What divides its batches.
    #[must_use]
    pub fn partition(&self) -> Option<&Partition> {
        self.queue().partition()
    }

    /// Whether its queue is on.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.queue().enabled
    }

    /// The batches of a signal and how what waits for them is compressed: its own keys before the common ones.
    fn batches(&self, signal: Signal) -> Option<(BatchConfig, Codec)> {
        let (logs, metrics, all) = (&self.log_batcher, &self.metric_batcher, &self.batcher);
        match signal {
            Signal::Logs if logs.enabled => Some((logs.config(), logs.payload_compression.codec())),
            Signal::Metrics if metrics.enabled => Some((metrics.config(), metrics.payload_compression.codec())),
            _ => all.enabled.then(|| (all.config(), all.payload_compression.codec())),
        }
    }

    /// The outlet of a signal that these keys mean. `pipeline_batch` is what a `batch` processor of the pipeline asks for.
    #[must_use]
    pub fn outlet(
        &self,
        name: &str,
        signal: Signal,
        max_bytes: u64,
        pipeline_batch: Option<BatchConfig>,
    ) -> OutletConfig {
        let otlp = &self.protocol.otlp;
        let (queue, retry) = (self.queue(), self.retry_on_failure.as_ref().unwrap_or(&otlp.retry_on_failure));
        let timeout = if self.timeout.is_zero() { otlp.timeout } else { self.timeout };
        let base = outlet_config(name, timeout, queue, retry, max_bytes, pipeline_batch);
        let is_own = self.sending_queue.as_ref().is_some_and(|queue| queue.enabled);
        // The collector's queue of each backend; all of them together are bounded by memory alone.
        let unbounded = CapacityConfig { size: u64::MAX, sizer: Sizer::Bytes, max_bytes };
        let in_flight = self.max_in_flight.map_or(base.workers, |n| n as usize);
        let (batch, codec) = self.batches(signal).unwrap_or_else(|| (base.batch.clone(), base.codec));
        OutletConfig {
            capacity: if is_own { base.capacity.clone() } else { unbounded },
            gather: batch.enabled.then_some(GATHER),
            batch,
            codec: if codec == Codec::None { base.codec } else { codec },
            lane_in_flight: Some(in_flight),
            max_lanes: self.max_lanes as usize,
            workers: WORKERS.max(in_flight),
            ..base
        }
    }
}

#[cfg(test)]
mod tests;
