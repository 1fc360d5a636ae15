//! Backends of load balancing exporters: the collector's and the Sawmills fork's names.
//!
//! Of the fork's names those of its central queue are missing, because there is none. Reasons are ours, from closed lists.

use crate::exposition::Page;
use flow::lane::LaneView;
use std::collections::BTreeMap;
use std::time::Instant;
use wire::Signal;

/// One load balancing exporter.
#[derive(Clone, Debug)]
pub struct LoadBalancerState {
    /// Its id.
    pub exporter: String,
    /// `static`, `dns`, …
    pub resolver: &'static str,
    /// Resolutions that failed, and that succeeded.
    pub resolutions: [u64; 2],
    /// Changes of the ring.
    pub updates: u64,
    /// Backends that were resolved.
    pub resolved: u64,
    /// Backends in the ring.
    pub used: u64,
    /// Backends in quarantine.
    pub quarantined: u64,
    /// How often all backends came to be used because too many were quarantined.
    pub fail_opens: u64,
    /// Records routed again for which there was no backend, and for which there was one.
    pub rerouted: [u64; 2],
    /// When backends were last resolved.
    pub last_resolution: Option<Instant>,
    /// The backends that there are and were lately.
    pub endpoints: Vec<EndpointState>,
    /// What waits for them now: signal, address, lane.
    pub lanes: Vec<(Signal, String, LaneView)>,
}

/// One backend.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// Its address.
    pub endpoint: String,
    /// Milliseconds of attempts.
    pub latency: HistogramState,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that did not.
    pub failed: u64,
    /// Quarantines begun, by reason.
    pub quarantines: Vec<(&'static str, u64)>,
    /// Quarantines ended, by reason.
    pub unquarantines: Vec<(&'static str, u64)>,
    /// What it was sent, by signal.
    pub batches: Vec<(Signal, BatchState)>,
}

/// What a backend was sent of one signal.
#[derive(Clone, Debug)]
pub struct BatchState {
    /// Records per request.
    pub size: HistogramState,
    /// Bytes per request.
    pub bytes: HistogramState,
    /// Milliseconds that the oldest record of a request had waited, by the reason for which it was formed.
    pub ages: Vec<(&'static str, HistogramState)>,
    /// Attempts that failed.
    pub errors: u64,
    /// Records given up, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Requests taken.
    pub requests: u64,
    /// Bytes of those.
    pub request_bytes: u64,
    /// Records of those.
    pub items: u64,
}

/// Observations by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramState {
    /// For each bound the observations up to it.
    pub buckets: Vec<(f64, u64)>,
    /// All together.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

/// The names of one signal's batches.
struct Names {
    size: &'static str,
    bytes: &'static str,
    age: &'static str,
    flushes: &'static str,
    errors: &'static str,
    dropped: &'static str,
    overflows: &'static str,
    pending_records: &'static str,
    pending_bytes: &'static str,
    pending_compressed_bytes: &'static str,
    pending_age: &'static str,
    pending_age_max: &'static str,
}

macro_rules! names {
    ($signal:literal, $records:literal) => {
        Names {
            size: concat!("otelcol_loadbalancer_", $signal, "_batch_size"),
            bytes: concat!("otelcol_loadbalancer_", $signal, "_batch_bytes"),
            age: concat!("otelcol_loadbalancer_", $signal, "_batch_flush_oldest_", $records, "_age"),
            flushes: concat!("otelcol_loadbalancer_", $signal, "_batch_flush_total"),
            errors: concat!("otelcol_loadbalancer_", $signal, "_batch_flush_errors"),
            dropped: concat!("otelcol_loadbalancer_", $signal, "_batch_dropped_", $records, "s"),
            overflows: concat!("otelcol_loadbalancer_", $signal, "_batch_overflow_total"),
            pending_records: concat!("otelcol_loadbalancer_", $signal, "_batch_pending_", $records, "s"),
            pending_bytes: concat!("otelcol_loadbalancer_", $signal, "_batch_pending_bytes"),
            pending_compressed_bytes: concat!("otelcol_loadbalancer_", $signal, "_batch_pending_compressed_bytes"),
            pending_age: concat!("otelcol_loadbalancer_", $signal, "_batch_pending_oldest_", $records, "_age"),
            pending_age_max: concat!("otelcol_loadbalancer_", $signal, "_batch_pending_oldest_", $records, "_age_max"),
        }
    };
}

/// The fork has names for logs and metrics; those of traces are made in their likeness.
const fn names(signal: Signal) -> Names {
    match signal {
        Signal::Logs => names!("log", "record"),
        Signal::Traces => names!("trace", "span"),
        Signal::Metrics => names!("metric", "datapoint"),
    }
}

/// Shows load balancing exporters as they are at a moment.
pub fn render(page: &mut Page, states: &[LoadBalancerState], now: Instant) {
    for state in states {
        exporter(page, state, now);
        for endpoint in &state.endpoints {
            backend(page, state, endpoint);
            for (signal, batch) in &endpoint.batches {
                batches(page, state, endpoint, *signal, batch);
            }
        }
        pending(page, state, now);
    }
}

fn exporter(page: &mut Page, state: &LoadBalancerState, now: Instant) {
    let (exporter, resolver) = (("exporter", state.exporter.as_str()), ("resolver", state.resolver));
    for (n, success) in state.resolutions.iter().zip(["false", "true"]) {
        page.counter("otelcol_loadbalancer_num_resolutions", "Answers of the resolver.")
            .add(&[exporter, resolver, ("success", success)], *n);
    }
    page.gauge("otelcol_loadbalancer_num_backends", "Backends that were resolved.")
        .add(&[exporter, resolver], state.resolved);
    page.counter("otelcol_loadbalancer_num_backend_updates", "Changes of the backends in use.")
        .add(&[exporter, resolver], state.updates);
    page.gauge("otelcol_loadbalancer_num_selected_backends", "Backends that get new data.")
        .add(&[exporter], state.used);
    page.gauge("bywash_loadbalancer_quarantined_backends", "Backends in quarantine.")
        .add(&[exporter], state.quarantined);
    page.counter(
        "otelcol_loadbalancer_backend_fail_open_total",
        "Times that all backends came to be used because too many were in quarantine.",
    )
    .add(&[exporter], state.fail_opens);
    for (n, result) in state.rerouted.iter().zip(["no_backend", "success"]) {
        page.counter("otelcol_loadbalancer_backend_reroute_total", "Records routed again.")
            .add(&[exporter, ("result", result)], *n);
    }
    if let Some(at) = state.last_resolution {
        let age = now.saturating_duration_since(at).as_secs_f64() * 1000.0;
        page.gauge("otelcol_loadbalancer_resolver_stale_age", "Milliseconds since the resolver last succeeded.")
            .add(&[exporter, resolver], age);
    }
}

fn backend(page: &mut Page, state: &LoadBalancerState, e: &EndpointState) {
    let (exporter, endpoint) = (("exporter", state.exporter.as_str()), ("endpoint", e.endpoint.as_str()));
    let latency = &e.latency;
    page.histogram("otelcol_loadbalancer_backend_latency", "Milliseconds from the begin of an attempt to its end.")
        .observe(&[exporter, endpoint], &latency.buckets, latency.sum, latency.count);
    for (n, success) in [(e.failed, "false"), (e.succeeded, "true")] {
        page.counter("otelcol_loadbalancer_backend_outcome", "Attempts.")
            .add(&[exporter, endpoint, ("success", success)], n);
    }
    let families = [
        ("otelcol_loadbalancer_backend_quarantine_total", "Quarantines begun.", &e.quarantines),
        ("otelcol_loadbalancer_backend_unquarantine_total", "Quarantines ended.", &e.unquarantines),
    ];
    for (name, help, by_reason) in families {
        for (reason, n) in by_reason {
            page.counter(name, help).add(&[exporter, endpoint, ("reason", reason)], *n);
        }
    }
}

fn batches(page: &mut Page, state: &LoadBalancerState, e: &EndpointState, signal: Signal, batch: &BatchState) {
    let (exporter, endpoint) = (("exporter", state.exporter.as_str()), ("endpoint", e.endpoint.as_str()));
    let (labels, names) = ([exporter, endpoint], names(signal));
    let by_signal = [exporter, endpoint, ("signal", signal.as_str())];
    page.counter("otelcol_loadbalancer_backend_request_total", "Requests taken.").add(&by_signal, batch.requests);
    page.counter("otelcol_loadbalancer_backend_request_bytes", "Bytes of requests taken, before compression.")
        .add(&by_signal, batch.request_bytes);
    page.counter("otelcol_loadbalancer_backend_request_items", "Records of requests taken.")
        .add(&by_signal, batch.items);
    for (name, help, histogram) in
        [(names.size, "Records per request.", &batch.size), (names.bytes, "Bytes per request.", &batch.bytes)]
    {
        page.histogram(name, help).observe(&labels, &histogram.buckets, histogram.sum, histogram.count);
    }
    for (reason, age) in &batch.ages {
        let labels = [exporter, endpoint, ("reason", *reason)];
        if age.count > 0 {
            page.histogram(names.age, "Milliseconds that the oldest record of a request had waited.").observe(
                &labels,
                &age.buckets,
                age.sum,
                age.count,
            );
        }
        page.counter(names.flushes, "Requests formed.").add(&labels, age.count);
        if *reason == "size" {
            page.counter(names.overflows, "Requests formed because they were full.")
                .add(&[exporter, endpoint], age.count);
        }
    }
    page.counter(names.errors, "Attempts that failed.").add(&labels, batch.errors);
    for (reason, n) in &batch.dropped {
        page.counter(names.dropped, "Records given up.").add(&[exporter, endpoint, ("reason", reason)], *n);
    }
}

fn pending(page: &mut Page, state: &LoadBalancerState, now: Instant) {
    let exporter = ("exporter", state.exporter.as_str());
    let mut oldest: BTreeMap<&'static str, f64> = BTreeMap::new();
    for (signal, endpoint, lane) in &state.lanes {
        let (labels, names) = ([exporter, ("endpoint", endpoint.as_str())], names(*signal));
        let age = lane.oldest.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64() * 1000.0);
        page.gauge(names.pending_records, "Records that wait or are under way.").add(&labels, lane.records);
        page.gauge(names.pending_bytes, "Bytes that wait or are under way, as they came.").add(&labels, lane.size);
        page.gauge(names.pending_compressed_bytes, "The same as they are held in memory.").add(&labels, lane.bytes);
        page.gauge(names.pending_age, "Age of the oldest record in milliseconds.").add(&labels, age);
        let most = oldest.entry(names.pending_age_max).or_default();
        *most = most.max(age);
        page.gauge("otelcol_loadbalancer_backend_state", "The state that the lane of a backend is in.")
            .add(&[exporter, labels[1], ("signal", signal.as_str()), ("state", lane.state)], 1u64);
    }
    for (name, age) in oldest {
        page.gauge(name, "Age of the oldest record of all backends in milliseconds.").add(&[exporter], age);
    }
}
