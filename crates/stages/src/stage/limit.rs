//! `limit`: a token bucket that drops entries, or asks the caller to slow down.
//!
//! The bucket starts full. Without `drop` nothing is lost: the entry goes on and the pipeline's answer says how long to wait
//! before the next one, so that the rate holds and the wait can be cancelled. With `by_label_name` each value of that label
//! has a bucket of its own, and entries without the label are not limited; buckets are remembered in two generations, the old
//! one forgotten when the young one is full.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::metrics::{Counter, MetricKind, Sample};
use crate::pipeline::{Builder, Context, Now};
use crate::text::Text;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest wait that is asked for at once.
const MAX_WAIT: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    rate: f64,
    #[serde(default)]
    burst: i64,
    #[serde(default)]
    drop: bool,
    #[serde(default)]
    by_label_name: String,
    #[serde(default)]
    max_distinct_labels: i64,
}

/// Tokens, and when they were counted.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

#[derive(Default)]
pub(super) struct Buckets {
    /// The bucket of all entries.
    one: Mutex<Option<Bucket>>,
    by_label: Mutex<ByLabel>,
}

#[derive(Default)]
struct ByLabel {
    young: HashMap<Text, Bucket>,
    old: HashMap<Text, Bucket>,
    dropped: HashMap<Text, u64>,
}

struct Limit {
    rate: f64,
    burst: f64,
    drop: bool,
    label: Option<Text>,
    max_labels: usize,
    buckets: Arc<Buckets>,
    dropped: Counter,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.rate.is_nan() || config.rate <= 0.0 || config.burst <= 0 {
        return Err(ConfigError::new(path, "rate and burst must be greater than zero"));
    }
    if !config.by_label_name.is_empty() && !config.drop {
        return Err(ConfigError::at(path, "by_label_name", "limiting by label needs drop: true"));
    }
    Ok(Box::new(Limit {
        rate: config.rate,
        burst: config.burst as f64,
        drop: config.drop,
        label: Some(config.by_label_name).filter(|name| !name.is_empty()).map(Text::from),
        max_labels: usize::try_from(config.max_distinct_labels).unwrap_or(0).max(10_000),
        buckets: builder.state("limit", value),
        dropped: builder.dropped(REASON),
    }))
}

const REASON: &str = "ratelimit_drop_stage";

impl Limit {
    /// Fills a bucket up to now.
    fn fill(&self, bucket: Option<Bucket>, now: Instant) -> Bucket {
        let tokens = bucket.map_or(self.burst, |bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + passed * self.rate).min(self.burst)
        });
        // Time that other threads have seen does not run backwards.
        Bucket { tokens, at: bucket.map_or(now, |bucket| bucket.at.max(now)) }
    }

    /// Takes a token if there is a whole one.
    fn take(&self, bucket: Option<Bucket>, now: Instant) -> (Bucket, bool) {
        let mut bucket = self.fill(bucket, now);
        let taken = bucket.tokens >= 1.0;
        if taken {
            bucket.tokens -= 1.0;
        }
        (bucket, taken)
    }

    /// Whether an entry with this value of the label may pass.
    fn take_labelled(&self, value: &Text, now: Instant) -> bool {
        let mut labels = self.buckets.by_label.lock();
        let known = labels.young.get(value).or_else(|| labels.old.get(value)).copied();
        let (bucket, taken) = self.take(known, now);
        match labels.young.get_mut(value) {
            Some(slot) => *slot = bucket,
            None => {
                if labels.young.len() >= self.max_labels {
                    labels.old = std::mem::take(&mut labels.young);
                    labels.dropped.clear();
                }
                labels.young.insert(value.detached(), bucket);
            }
        }
        if !taken {
            match labels.dropped.get_mut(value) {
                Some(count) => *count += 1,
                None => drop(labels.dropped.insert(value.detached(), 1)),
            }
        }
        taken
    }
}

impl Stage for Limit {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        let now = cx.now.mono;
        let passes = match &self.label {
            Some(label) => entry.labels.get(label).is_none_or(|value| self.take_labelled(value, now)),
            None if self.drop => {
                let mut slot = self.buckets.one.lock();
                let (bucket, taken) = self.take(*slot, now);
                *slot = Some(bucket);
                taken
            }
            None => {
                let mut slot = self.buckets.one.lock();
                let mut bucket = self.fill(*slot, now);
                bucket.tokens -= 1.0;
                *slot = Some(bucket);
                if bucket.tokens < 0.0 {
                    let wait = Duration::try_from_secs_f64(-bucket.tokens / self.rate).unwrap_or(MAX_WAIT);
                    cx.pace = cx.pace.max(wait.min(MAX_WAIT));
                }
                true
            }
        };
        if passes {
            return Verdict::Keep;
        }
        self.dropped.inc();
        Verdict::Drop(Text::from_static(REASON))
    }

    fn collect(&self, _: Now, out: &mut Vec<Sample>) {
        let Some(label) = &self.label else { return };
        for (value, count) in &self.buckets.by_label.lock().dropped {
            out.push(Sample {
                name: "loki_process_dropped_lines_by_label_total".to_owned(),
                kind: MetricKind::Counter,
                help: "A count of all log lines dropped as a result of a pipeline stage".to_owned(),
                labels: vec![
                    ("label_name".to_owned(), label.to_string()),
                    ("label_value".to_owned(), value.to_string()),
                ],
                value: *count as f64,
            });
        }
    }
}
