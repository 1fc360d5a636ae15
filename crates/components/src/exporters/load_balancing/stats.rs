//! What is counted of backends: the numbers behind the collector's and the fork's `otelcol_loadbalancer_…` metrics.
//!
//! Plain atomics. Counters of a backend live as long as it is resolved, and [`KEPT`] longer, so that a page read now and then
//! sees the last of them; after that they are gone, so that churn cannot grow the page. Labels are bounded: reasons are closed
//! lists.
//!
//! It does NOT render: the telemetry module does.

use flow::stats::{ByKind, Count};
use flow::watch::Cause;
use flow::{Attempt, Payload, Target};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use telemetry::metrics::load_balancing::{BatchState, EndpointState, HistogramState, LoadBalancerState};
use wire::Signal;

/// How long the counters of a backend that is gone are kept.
pub const KEPT: Duration = Duration::from_secs(300);

/// The collector's bounds for latencies, in milliseconds.
const LATENCY: &[f64] = &[5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
/// The bounds that OpenTelemetry has by default.
const DEFAULT: &[f64] =
    &[0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];

/// Observations by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// In thousandths.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    fn observe(&self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Relaxed);
        self.sum.fetch_add((value * 1000.0) as u64, Relaxed);
    }

    fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// A look at it.
    #[must_use]
    pub fn view(&self) -> HistogramState {
        let mut below = 0;
        let counts = self.counts.iter().map(|count| {
            below += count.load(Relaxed);
            below
        });
        let buckets = self.bounds.iter().copied().zip(counts).collect();
        HistogramState { buckets, sum: self.sum.load(Relaxed) as f64 / 1000.0, count: self.count() }
    }
}

/// The batches of one signal for one backend.
#[derive(Debug)]
pub struct Batches {
    /// Records per request.
    pub size: Histogram,
    /// Encoded bytes per request.
    pub bytes: Histogram,
    /// Milliseconds that the oldest record of a request had waited, by the reason for which it was formed.
    pub age: [Histogram; Cause::ALL.len()],
    /// Attempts that failed.
    pub errors: Count,
    /// Records given up, by reason.
    pub dropped: ByKind,
    /// Requests that backends took.
    pub requests: Count,
    /// Encoded bytes of those.
    pub request_bytes: Count,
    /// Records of those.
    pub items: Count,
}

impl Batches {
    fn new() -> Batches {
        let default = || Histogram::new(DEFAULT);
        Batches {
            size: default(),
            bytes: default(),
            age: Cause::ALL.map(|_| default()),
            errors: Count::default(),
            dropped: ByKind::default(),
            requests: Count::default(),
            request_bytes: Count::default(),
            items: Count::default(),
        }
    }

    /// A request was formed.
    pub fn formed(&self, payload: &Payload, age: Duration, cause: Cause) {
        self.size.observe(f64::from(payload.records));
        self.bytes.observe(payload.len() as f64);
        self.age[cause as usize].observe(age.as_secs_f64() * 1000.0);
    }

    /// A look at it; `None` if there was never anything.
    fn view(&self) -> Option<BatchState> {
        let dropped: Vec<_> = self.dropped.iter().map(|(kind, n)| (kind.as_str(), n)).collect();
        if self.size.count() == 0 && self.requests.get() == 0 && dropped.is_empty() {
            return None;
        }
        Some(BatchState {
            size: self.size.view(),
            bytes: self.bytes.view(),
            ages: Cause::ALL.iter().map(|cause| (cause.as_str(), self.age[*cause as usize].view())).collect(),
            errors: self.errors.get(),
            dropped,
            requests: self.requests.get(),
            request_bytes: self.request_bytes.get(),
            items: self.items.get(),
        })
    }
}

/// One backend.
#[derive(Debug)]
pub struct BackendStats {
    /// Milliseconds from the begin of an attempt to its end.
    pub latency: Histogram,
    /// Attempts that succeeded.
    pub succeeded: Count,
    /// Attempts that did not.
    pub failed: Count,
    /// By signal, in the order of [`Signal::ALL`].
    batches: [Batches; Signal::ALL.len()],
    /// Quarantines begun, by reason.
    quarantines: Mutex<HashMap<&'static str, u64>>,
    /// Quarantines ended, by reason.
    unquarantines: Mutex<HashMap<&'static str, u64>>,
    /// Since when it is not resolved any more.
    gone: Mutex<Option<Instant>>,
}

impl BackendStats {
    fn new() -> BackendStats {
        BackendStats {
            latency: Histogram::new(LATENCY),
            succeeded: Count::default(),
            failed: Count::default(),
            batches: Signal::ALL.map(|_| Batches::new()),
            quarantines: Mutex::default(),
            unquarantines: Mutex::default(),
            gone: Mutex::default(),
        }
    }

    /// The batches of a signal.
    #[must_use]
    pub fn batches(&self, signal: Signal) -> &Batches {
        let at = Signal::ALL.iter().position(|s| *s == signal).unwrap_or_default();
        &self.batches[at]
    }

    /// An attempt ended.
    pub fn attempted(&self, took: Duration, payload: &Payload, attempt: &Attempt) {
        self.latency.observe(took.as_secs_f64() * 1000.0);
        let batches = self.batches(payload.signal);
        match attempt {
            Attempt::Sent | Attempt::Partial { .. } => {
                self.succeeded.add(1);
                batches.requests.add(1);
                batches.request_bytes.add(payload.len() as u64);
                batches.items.add(payload.records.into());
            }
            Attempt::Retry { .. } | Attempt::Reject { .. } => {
                self.failed.add(1);
                batches.errors.add(1);
            }
        }
    }

    /// It lost its keys.
    pub fn quarantined(&self, reason: &'static str) {
        *self.quarantines.lock().entry(reason).or_default() += 1;
    }

    /// It got them back.
    pub fn unquarantined(&self, reason: &'static str) {
        *self.unquarantines.lock().entry(reason).or_default() += 1;
    }

    /// A look at it.
    fn view(&self, endpoint: String) -> EndpointState {
        let [quarantines, unquarantines] = [&self.quarantines, &self.unquarantines].map(|by| {
            let mut all: Vec<_> = by.lock().iter().map(|(reason, n)| (*reason, *n)).collect();
            all.sort_unstable();
            all
        });
        let batches = Signal::ALL.into_iter().zip(&self.batches);
        EndpointState {
            endpoint,
            latency: self.latency.view(),
            succeeded: self.succeeded.get(),
            failed: self.failed.get(),
            quarantines,
            unquarantines,
            batches: batches.filter_map(|(signal, batches)| Some((signal, batches.view()?))).collect(),
        }
    }
}

/// One exporter.
#[derive(Debug, Default)]
pub struct Stats {
    backends: RwLock<HashMap<Target, Arc<BackendStats>>>,
    resolutions: [Count; 2],
    updates: Count,
    resolved: AtomicU64,
    used: AtomicU64,
    quarantined: AtomicU64,
    fail_opens: Count,
    failing_open: AtomicBool,
    rerouted: [Count; 2],
    last_resolution: Mutex<Option<Instant>>,
}

impl Stats {
    /// The counters of a backend.
    #[must_use]
    pub fn backend(&self, target: &Target) -> Arc<BackendStats> {
        if let Some(stats) = self.backends.read().get(target) {
            return stats.clone();
        }
        self.backends.write().entry(target.clone()).or_insert_with(|| Arc::new(BackendStats::new())).clone()
    }

    /// A resolver answered.
    pub fn resolution(&self, now: Instant, succeeded: bool) {
        self.resolutions[usize::from(succeeded)].add(1);
        if succeeded {
            *self.last_resolution.lock() = Some(now);
        }
    }

    /// The ring changed.
    pub fn updated(&self) {
        self.updates.add(1);
    }

    /// How many backends are quarantined.
    pub fn quarantined(&self, n: usize) {
        self.quarantined.store(n as u64, Relaxed);
    }

    /// How many backends there are, and how many are used.
    pub fn backends(&self, resolved: &[Target], used: usize) {
        self.resolved.store(resolved.len() as u64, Relaxed);
        self.used.store(used as u64, Relaxed);
        resolved.iter().for_each(|target| drop(self.backend(target)));
    }

    /// Whether all backends are used because too many are quarantined. True if that begins now.
    pub fn fails_open(&self, now: bool) -> bool {
        let begins = now && !self.failing_open.swap(now, Relaxed);
        if begins {
            self.fail_opens.add(1);
        }
        self.failing_open.store(now, Relaxed);
        begins
    }

    /// Records were routed again.
    pub fn rerouted(&self, records: u64, found: bool) {
        self.rerouted[usize::from(found)].add(records);
    }

    /// Forgets backends that have been gone for long.
    pub fn expire(&self, now: Instant, is_resolved: impl Fn(&Target) -> bool) {
        self.backends.write().retain(|target, stats| {
            let mut gone = stats.gone.lock();
            if is_resolved(target) {
                *gone = None;
                return true;
            }
            now.saturating_duration_since(*gone.get_or_insert(now)) < KEPT
        });
    }

    /// A look at it. `address` is what a backend is called there.
    #[must_use]
    pub fn view(
        &self,
        exporter: &str,
        resolver: &'static str,
        address: impl Fn(&Target) -> String,
    ) -> LoadBalancerState {
        let mut endpoints: Vec<_> = self.backends.read().iter().map(|(t, stats)| stats.view(address(t))).collect();
        endpoints.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        LoadBalancerState {
            exporter: exporter.to_owned(),
            resolver,
            resolutions: [self.resolutions[0].get(), self.resolutions[1].get()],
            updates: self.updates.get(),
            resolved: self.resolved.load(Relaxed),
            used: self.used.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            fail_opens: self.fail_opens.get(),
            rerouted: [self.rerouted[0].get(), self.rerouted[1].get()],
            last_resolution: *self.last_resolution.lock(),
            endpoints,
            lanes: vec![],
        }
    }
}
