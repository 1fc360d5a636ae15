//! `metrics`: counters, gauges and histograms of what is in the lines.
//!
//! A metric's series are made of the entry's labels at this place, without names that Prometheus cannot have and without
//! `__*`; entries that differ only in those feed one series. Series are bounded ([`Options::max_series`] for each metric, what
//! does not fit is counted) and vanish when nothing came for `max_idle_duration`. A negative `add` to a counter is counted as a
//! failure, nothing else.
//!
//! [`Options::max_series`]: crate::Options::max_series
//!
//! Promtail's form is a map of names, Alloy's a list of `counter`, `gauge` and `histogram` blocks.

mod config;

use super::{Stage, Verdict};
use crate::config::{ConfigError, is_legacy_name};
use crate::entry::{Entry, Labels, Symbol, Value};
use crate::go::{duration, number};
use crate::metrics::{Counter, MetricKind, Sample};
use crate::pipeline::{Builder, Context, Now};
use crate::text::Text;
use config::{Action, Spec};
use foldhash::fast::FixedState;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// One series.
struct Series {
    labels: Vec<(Text, Text)>,
    /// The bits of the value, or of a histogram's sum.
    value: AtomicU64,
    /// A histogram's count for each bucket, and for what is above all.
    buckets: Vec<AtomicU64>,
    /// When something came last, as milliseconds after the metric's beginning.
    last: AtomicU64,
}

impl Series {
    fn update(&self, change: impl Fn(f64) -> f64) {
        let apply = |bits| Some(change(f64::from_bits(bits)).to_bits());
        let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, apply);
    }
}

/// The series of one stage, by metric and labels.
#[derive(Default)]
pub(super) struct Memory {
    metrics: Mutex<HashMap<String, Arc<Family>>>,
}

/// The series of one metric.
struct Family {
    seed: FixedState,
    begun: OnceLock<Instant>,
    series: RwLock<HashMap<u64, Vec<Arc<Series>>>>,
    /// When idle series were last looked for because there was no room, as milliseconds after the beginning.
    swept: AtomicU64,
}

/// Between two looks for idle series.
const SWEEP: Duration = Duration::from_secs(1);

struct Metric {
    spec: Spec,
    source: Symbol,
    family: Arc<Family>,
}

struct Metrics {
    metrics: Vec<Metric>,
    max_series: usize,
    failures: Counter,
    refused: Counter,
}

/// What became of an observation.
#[derive(Clone, Copy, PartialEq)]
enum Recorded {
    /// It fed a series, or was none of the metric's.
    Done,
    /// It cannot be.
    Failed,
    /// There are too many series.
    Refused,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let memory: Arc<Memory> = builder.state("metrics", value);
    let mut metrics: Vec<Metric> = Vec::new();
    for spec in config::read_all(value, path, builder)? {
        if metrics.iter().any(|metric| metric.spec.name == spec.name) {
            builder.refuse(ConfigError::new(path, format!("the metric {} is defined twice", spec.name)));
            continue;
        }
        let family = Arc::clone(memory.metrics.lock().entry(spec.name.clone()).or_insert_with(|| {
            Arc::new(Family {
                seed: FixedState::with_seed(fastrand::u64(..)),
                begun: OnceLock::new(),
                series: RwLock::default(),
                swept: AtomicU64::new(0),
            })
        }));
        metrics.push(Metric { source: builder.symbol(&spec.source, path)?, spec, family });
    }
    Ok(Box::new(Metrics {
        metrics,
        max_series: builder.options.max_series,
        failures: builder.books.failures.clone(),
        refused: builder.books.refused_series.clone(),
    }))
}

/// The labels that make a series.
fn visible(labels: &Labels) -> impl Iterator<Item = &(Text, Text)> {
    labels.iter().filter(|(name, _)| !name.starts_with(b"__") && is_legacy_name(name))
}

impl Family {
    /// Time since the first entry.
    fn passed(&self, now: Now) -> Duration {
        now.mono.saturating_duration_since(*self.begun.get_or_init(|| now.mono))
    }

    /// The series of these labels; `None` where there are too many.
    fn series(&self, labels: &Labels, buckets: usize, max: usize, max_idle: Duration, now: Now) -> Option<Arc<Series>> {
        let mut hasher = self.seed.build_hasher();
        visible(labels).for_each(|label| label.hash(&mut hasher));
        let key = hasher.finish();
        let same = |series: &&Arc<Series>| series.labels.iter().eq(visible(labels));
        if let Some(known) = self.series.read().get(&key).and_then(|all| all.iter().find(same)) {
            return Some(Arc::clone(known));
        }
        let mut all = self.series.write();
        if let Some(known) = all.get(&key).and_then(|all| all.iter().find(same)) {
            return Some(Arc::clone(known));
        }
        if all.len() >= max {
            let (passed, swept) = (self.passed(now), Duration::from_millis(self.swept.load(Ordering::Relaxed)));
            if passed.saturating_sub(swept) >= SWEEP {
                self.swept.store(passed.as_millis() as u64, Ordering::Relaxed);
                forget_idle(&mut all, passed, max_idle);
            }
            if all.len() >= max {
                return None;
            }
        }
        let series = Arc::new(Series {
            labels: visible(labels).map(|(name, value)| (name.detached(), value.detached())).collect(),
            value: AtomicU64::new(0f64.to_bits()),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            last: AtomicU64::new(0),
        });
        all.entry(key).or_default().push(Arc::clone(&series));
        Some(series)
    }
}

/// Leaves out the series to which nothing came for `max_idle`.
fn forget_idle(all: &mut HashMap<u64, Vec<Arc<Series>>>, passed: Duration, max_idle: Duration) {
    all.retain(|_, same| {
        same.retain(|series| {
            let last = Duration::from_millis(series.last.load(Ordering::Relaxed));
            passed.saturating_sub(last) <= max_idle
        });
        !same.is_empty()
    });
}

/// A value as a number: text as Go's floats, else as durations in seconds.
fn to_number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(value) => Some(*value),
        Value::Integer(text) | Value::Text(text) => {
            let text = text.as_str()?;
            number::parse_float(text).or_else(|| Some(duration::parse(text).ok()? as f64 / 1e9))
        }
    }
}

impl Metric {
    /// Feeds the metric.
    fn record(&self, entry: &Entry, now: Now, max_series: usize) -> Recorded {
        let length = Value::Number(entry.line.len() as f64);
        let value = match (self.spec.match_all, self.spec.count_entry_bytes) {
            (true, true) => Some(&length),
            (true, false) => None,
            (false, _) => match entry.extracted.get(self.source) {
                Some(value) => Some(value),
                None => return Recorded::Done,
            },
        };
        if !self.spec.value.is_empty() {
            let text = value.and_then(Value::to_text);
            if text.is_none_or(|text| text != self.spec.value.as_str()) {
                return Recorded::Done;
            }
        }
        let number = match self.spec.action {
            Action::Inc => 1.0,
            Action::Dec => -1.0,
            _ => match value.and_then(to_number) {
                Some(number) => number,
                None => return Recorded::Done,
            },
        };
        let is_counter = self.spec.kind == MetricKind::Counter;
        if is_counter && (number < 0.0 || number.is_nan()) {
            return Recorded::Failed;
        }
        let buckets = if self.spec.kind == MetricKind::Histogram { self.spec.buckets.len() + 1 } else { 0 };
        let series = self.family.series(&entry.labels, buckets, max_series, self.spec.max_idle, now);
        let Some(series) = series else { return Recorded::Refused };
        match self.spec.action {
            Action::Set => series.update(|_| number),
            Action::Sub => series.update(|old| old - number),
            Action::Observe => {
                let bucket = self.spec.buckets.partition_point(|bound| *bound < number);
                if let Some(bucket) = series.buckets.get(bucket) {
                    bucket.fetch_add(1, Ordering::Relaxed);
                }
                series.update(|old| old + number);
            }
            Action::Inc | Action::Dec | Action::Add => series.update(|old| old + number),
        }
        let passed = self.family.passed(now).as_millis() as u64;
        series.last.fetch_max(passed, Ordering::Relaxed);
        Recorded::Done
    }

    fn collect(&self, now: Now, out: &mut Vec<Sample>) {
        let passed = self.family.passed(now);
        let mut all = self.family.series.write();
        forget_idle(&mut all, passed, self.spec.max_idle);
        for series in all.values().flatten() {
            let labels: Vec<(String, String)> =
                series.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let mut push = |suffix: &str, labels: Vec<(String, String)>, value: f64| {
                out.push(Sample {
                    name: format!("{}{suffix}", self.spec.name),
                    kind: self.spec.kind,
                    help: self.spec.description.clone(),
                    labels,
                    value,
                });
            };
            let value = f64::from_bits(series.value.load(Ordering::Relaxed));
            if self.spec.kind != MetricKind::Histogram {
                push("", labels, value);
                continue;
            }
            let mut count = 0;
            let bounds = self.spec.buckets.iter().copied().chain([f64::INFINITY]);
            for (bound, bucket) in bounds.zip(&series.buckets) {
                count += bucket.load(Ordering::Relaxed);
                let mut labels = labels.clone();
                labels.push(("le".to_owned(), number::format_g(bound)));
                push("_bucket", labels, count as f64);
            }
            push("_sum", labels.clone(), value);
            push("_count", labels, count as f64);
        }
    }
}

impl Stage for Metrics {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        for metric in &self.metrics {
            match metric.record(entry, cx.now, self.max_series) {
                Recorded::Done => {}
                Recorded::Failed => self.failures.inc(),
                Recorded::Refused => self.refused.inc(),
            }
        }
        Verdict::Keep
    }

    fn collect(&self, now: Now, out: &mut Vec<Sample>) {
        for metric in &self.metrics {
            metric.collect(now, out);
        }
    }
}
