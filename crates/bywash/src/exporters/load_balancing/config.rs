//! The keys of `load_balancing`: the collector's, those of the Sawmills fork that add batches and health, and ours.
//!
//! The collector has two levels of queue, retry and timeout: the exporter's own, which are off, and those of `protocol.otlp`,
//! which are on. Here there is one outlet, so there is one of each: the exporter's own if it is written, else
//! `protocol.otlp`'s. `num_consumers` counts for each backend, as it does there.

use super::keys::RoutingKey;
use super::ring::RingKind;
use crate::config::ComponentId;
use crate::config::duration::GoDuration;
use crate::config::validate::{Report, Validate};
use crate::exporters::otlp_client::{self, check_endpoint};
use crate::exporters::queue::{PayloadCompression, RetryOnFailure, SendingQueue, outlet_config};
use crate::resolvers::ResolverConfig;
use flow::batcher::BatchConfig;
use flow::capacity::{CapacityConfig, Sizer};
use flow::outlet::OutletConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::Signal;

/// The port of a backend that comes without one.
pub const DEFAULT_PORT: u16 = 4317;

/// Sends that may be under way at once to all backends together. What bounds memory is the queue; this bounds open streams.
const WORKERS: usize = 1024;

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
    /// Not supported yet.
    pub load_factor: Option<f64>,
    /// How long a backend that was removed is still sent what was meant for it, before that is routed again.
    pub drain_timeout: GoDuration,
    /// Sends to one backend that may be under way at once; `num_consumers` if it is not given.
    pub max_in_flight: Option<u32>,
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
    /// Must be `none`.
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
    /// Must be `none`.
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

/// The fork's `log_routing`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogRouting {
    /// Logs are spread at random, scope entry by scope entry, whatever their trace.
    pub ignore_trace_id: bool,
    /// Not supported.
    pub record_striping_enabled: bool,
}

/// The fork's `endpoint_health`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointHealth {
    /// Whether a backend that fails loses its keys for a while.
    pub enabled: bool,
    /// For how long.
    pub quarantine_duration: GoDuration,
    /// Whether what waits for such a backend is routed again.
    pub reroute_on_failure: bool,
    /// No effect: `max_elapsed_time` bounds how long a record is tried, over all backends.
    pub max_reroute_attempts: Option<u64>,
    /// With fewer healthy backends than this, all are used.
    pub min_eligible_backends: u32,
    /// With more than this part of the backends quarantined, all are used.
    pub max_quarantined_percent: u32,
    /// Probes that do not wait for data.
    pub active_probe: ActiveProbe,
}

impl Default for EndpointHealth {
    fn default() -> Self {
        EndpointHealth {
            enabled: false,
            quarantine_duration: GoDuration::from_secs(30),
            reroute_on_failure: false,
            max_reroute_attempts: None,
            min_eligible_backends: 1,
            max_quarantined_percent: 100,
            active_probe: ActiveProbe::default(),
        }
    }
}

/// The fork's `endpoint_health.active_probe`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActiveProbe {
    /// Whether backends are probed.
    pub enabled: bool,
    /// How.
    #[serde(rename = "type")]
    pub kind: ProbeKind,
    /// Between rounds.
    pub interval: GoDuration,
    /// The longest that one probe may take.
    pub timeout: GoDuration,
    /// Each interval is spread by ± this part of itself.
    pub jitter: String,
    /// Probes under way at once.
    pub max_concurrency: u32,
    /// Failures in a row that quarantine a backend.
    pub fall: u32,
    /// Successes in a row that bring it back.
    pub rise: u32,
}

/// How a backend is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ProbeKind {
    /// A TCP connection.
    #[default]
    #[serde(rename = "tcp_connect")]
    TcpConnect,
    /// `grpc.health.v1.Health/Check` on the data's own connection; a server without that service is there if it answers.
    #[serde(rename = "grpc_health")]
    GrpcHealth,
}

impl Default for ActiveProbe {
    fn default() -> Self {
        ActiveProbe {
            enabled: false,
            kind: ProbeKind::default(),
            interval: GoDuration::from_secs(5),
            timeout: GoDuration::from_millis(250),
            jitter: "20%".to_owned(),
            max_concurrency: 4,
            fall: 2,
            rise: 2,
        }
    }
}

impl ActiveProbe {
    /// The jitter as a part of one.
    fn spread(&self) -> Option<f64> {
        let percent: f64 = self.jitter.trim().strip_suffix('%')?.trim().parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
    }

    /// One interval, spread.
    #[must_use]
    pub fn next_interval(&self) -> Duration {
        let spread = self.spread().unwrap_or_default();
        self.interval.0.mul_f64(1.0 - spread + 2.0 * spread * fastrand::f64())
    }
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
        if report.is_set("protocol.otlp.sending_queue.queue_size") && self.queue() == &self.protocol.otlp.sending_queue
        {
            let text = "has no effect: the memory budget bounds what waits for backends; \
                        to bound their requests together, use the exporter's own `sending_queue`";
            report.warning("protocol.otlp.sending_queue.queue_size", text);
        }
    }
}

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
        if self.load_factor.is_some() {
            report.error("load_factor", "bounded load is not supported yet");
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

    /// Whether its queue is on.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.queue().enabled
    }

    /// The batches of a signal: its own keys before the common ones.
    fn batches(&self, signal: Signal) -> Option<BatchConfig> {
        let common = || self.batcher.enabled.then(|| self.batcher.config());
        match signal {
            Signal::Logs if self.log_batcher.enabled => Some(self.log_batcher.config()),
            Signal::Metrics if self.metric_batcher.enabled => Some(self.metric_batcher.config()),
            _ => common(),
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
        OutletConfig {
            capacity: if is_own { base.capacity.clone() } else { unbounded },
            batch: self.batches(signal).unwrap_or_else(|| base.batch.clone()),
            lane_in_flight: Some(in_flight),
            workers: WORKERS.max(in_flight),
            ..base
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
    fn config(&self) -> BatchConfig {
        batch(self.max_records, self.max_bytes, self.flush_interval)
    }
}

impl MetricBatcher {
    fn config(&self) -> BatchConfig {
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
            report.nested("payload_compression", &self.payload_compression);
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
            report.nested("payload_compression", &self.payload_compression);
        }
        if self.max_retry_buffer_multiplier.is_some() {
            let text = "has no effect: what failed stays in the exporter's queue";
            report.warning("max_retry_buffer_multiplier", text);
        }
    }
}

impl Validate for EndpointHealth {
    fn validate(&self, report: &mut Report<'_>) {
        if self.enabled && self.quarantine_duration.is_zero() {
            report.error("quarantine_duration", "must be greater than 0");
        }
        if self.min_eligible_backends == 0 {
            report.error("min_eligible_backends", "must be at least 1");
        }
        if !(1..=100).contains(&self.max_quarantined_percent) {
            report.error("max_quarantined_percent", "must be from 1 to 100");
        }
        if self.max_reroute_attempts.is_some() {
            let text = "has no effect: `max_elapsed_time` bounds how long a record is tried, over all backends";
            report.warning("max_reroute_attempts", text);
        }
        if self.active_probe.enabled && !self.enabled {
            report.error("active_probe.enabled", "requires endpoint_health.enabled=true");
        }
        report.nested("active_probe", &self.active_probe);
    }
}

impl Validate for ActiveProbe {
    fn validate(&self, report: &mut Report<'_>) {
        if !self.enabled {
            return;
        }
        let zeros = [
            ("interval", self.interval.is_zero()),
            ("timeout", self.timeout.is_zero()),
            ("max_concurrency", self.max_concurrency == 0),
            ("fall", self.fall == 0),
            ("rise", self.rise == 0),
        ];
        for (key, _) in zeros.iter().filter(|(_, is_zero)| *is_zero) {
            report.error(key, "must be greater than 0");
        }
        if self.timeout >= self.interval {
            report.error("timeout", "must be less than interval");
        }
        if self.spread().is_none() {
            report.error("jitter", "must be from \"0%\" to \"100%\"");
        }
    }
}

#[cfg(test)]
mod tests;
