//! What is counted: plain atomics that the program's metrics page reads.
//!
//! Counters only grow. Every record that enters is counted once on the way in (accepted or refused) and once on the way out
//! (sent, failed or shed), each with a bounded reason, so that the books of a running process can be checked from outside.

use crate::outcome::Kind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The total.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A gauge.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes `n` away.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Observations by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is beyond the last.
    counts: Box<[AtomicU64]>,
    /// In millionths.
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramView {
    /// For each bound the observations up to it.
    pub buckets: Vec<(f64, u64)>,
    /// All together.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

impl Histogram {
    /// An empty one. The bounds are ascending.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Adds an observation.
    pub fn observe(&self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Relaxed);
        self.sum.fetch_add((value * 1e6) as u64, Relaxed);
    }

    /// A look at it.
    #[must_use]
    pub fn view(&self) -> HistogramView {
        let mut count = 0;
        let mut below = self.counts.iter().map(|n| {
            count += n.load(Relaxed);
            count
        });
        let buckets = self.bounds.iter().copied().zip(&mut below).collect();
        below.for_each(drop);
        HistogramView { buckets, sum: self.sum.load(Relaxed) as f64 / 1e6, count }
    }
}

/// One counter for each reason.
#[derive(Debug, Default)]
pub struct ByKind([Count; Kind::ALL.len()]);

impl ByKind {
    /// Adds `n` for this reason.
    pub fn add(&self, kind: Kind, n: u64) {
        self.0[kind as usize].add(n);
    }

    /// The reasons that have occurred, with their totals.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.iter().map(|k| (*k, self.0[*k as usize].get())).filter(|(_, n)| *n > 0)
    }

    /// All reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(Count::get).sum()
    }
}

/// One receiver, transport and signal.
#[derive(Debug, Default)]
pub struct InletStats {
    /// Records taken in.
    pub accepted: Count,
    /// Requests of which everything was taken in.
    pub requests_accepted: Count,
    /// Requests of which nothing, or not everything, was taken in.
    pub requests_refused: Count,
    /// Requests that were malformed.
    pub requests_failed: Count,
    /// JSON requests without records in which a field was unknown: answered with success and a warning.
    pub not_understood: Count,
    /// Records turned away whole-request, by reason. Requests refused before they were read count no records here.
    pub refused: ByKind,
    /// Requests turned away, by reason.
    pub refused_requests: ByKind,
    /// Routine records shed while the rest of their request entered, by reason.
    pub shed: ByKind,
    /// Records whose sender was told, after waiting, that they were not delivered.
    pub failed: Count,
}

/// One exporter and signal.
#[derive(Debug, Default)]
pub struct ExporterStats {
    /// Records that the destination took.
    pub sent: Count,
    /// Records given up or refused by the destination, by reason.
    pub failed: ByKind,
    /// Records that found the queue full, by reason.
    pub enqueue_failed: ByKind,
    /// Requests that got an answer of success.
    pub requests: Count,
    /// Encoded bytes of those requests, before compression.
    pub bytes: Count,
    /// Tries that failed and will be repeated, by reason.
    pub retries: ByKind,
    /// Records that a destination refused while taking the rest of their request.
    pub partial: Count,
    /// Requests that are out now.
    pub in_flight: Gauge,
    /// Requests that wait for their next try.
    pub waiting: Gauge,
    /// Merged requests that were rejected and tried again in their parts.
    pub divided: Count,
    /// Panics of lanes; what they held was taken over.
    pub lane_panics: Count,
    /// Panics of sends; what they were to send is tried again.
    pub send_panics: Count,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: observations on, between and beyond the bounds. Guarantee: each counts up to its bound, and all in the sum.
    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 7.0].into_iter().for_each(|value| histogram.observe(value));
        let expected = HistogramView { buckets: vec![(1.0, 2), (2.0, 3)], sum: 10.0, count: 4 };
        assert_eq!(histogram.view(), expected);
    }
}
