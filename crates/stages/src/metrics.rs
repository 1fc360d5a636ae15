//! What a pipeline counts: its stages' own counters, and the metrics that `metrics` stages make of log lines.
//!
//! Counters belong to the pipeline and vanish with it; a pipeline that replaces another takes over the values of the counters
//! they share. Names are those of the peer, so that dashboards keep working. Reading is [`crate::Pipeline::samples`]; writing
//! them in an exposition format is the program's.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a sample is a sample of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A bucket, sum or count of a histogram; the sample's name carries the suffix.
    Histogram,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name, with the suffix of a histogram's part.
    pub name: String,
    /// What it belongs to.
    pub kind: MetricKind,
    /// What it counts, in a sentence.
    pub help: String,
    /// Labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins again.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Name, and labels.
type Key = (&'static str, Vec<(&'static str, String)>);

/// The counters of a pipeline's stages.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<Key, (&'static str, Counter)>>);

impl Counters {
    /// The counter of this name and these labels. Stages that share them share it.
    pub fn get(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.lock().entry((name, labels)).or_insert_with(|| (help, Counter::default())).1.clone()
    }

    /// Counters that begin with the values of another pipeline's.
    pub fn continuing(old: &Counters) -> Self {
        Self(Mutex::new(old.0.lock().clone()))
    }

    /// All that are not zero.
    pub fn collect(&self, out: &mut Vec<Sample>) {
        for ((name, labels), (help, counter)) in self.0.lock().iter().filter(|(_, (_, counter))| counter.get() > 0) {
            out.push(Sample {
                name: (*name).to_owned(),
                kind: MetricKind::Counter,
                help: (*help).to_owned(),
                labels: labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                value: counter.get() as f64,
            });
        }
    }
}

/// Adds up samples of the same series (two stages may feed one metric); of gauges the last stays.
pub(crate) fn merge(samples: &mut Vec<Sample>) {
    samples.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
    samples.dedup_by(|later, first| {
        let same = later.name == first.name && later.labels == first.labels;
        if same {
            match first.kind {
                MetricKind::Gauge => first.value = later.value,
                _ => first.value += later.value,
            }
        }
        same
    });
}
