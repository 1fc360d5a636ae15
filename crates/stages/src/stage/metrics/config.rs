//! The configuration of metrics, in both forms.

use crate::config::{ConfigError, GoDuration, read};
use crate::metrics::MetricKind;
use crate::pipeline::Builder;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How long a series may be silent unless the metric says otherwise.
const MAX_IDLE: Duration = Duration::from_secs(300);
/// The buckets of a histogram that names none: Prometheus's.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What an entry does to a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Inc,
    Dec,
    Set,
    Add,
    Sub,
    Observe,
}

/// One metric.
#[derive(Debug)]
pub struct Spec {
    /// With its prefix.
    pub name: String,
    pub kind: MetricKind,
    pub description: String,
    pub source: String,
    pub max_idle: Duration,
    pub action: Action,
    /// The text that the source must have, if any.
    pub value: String,
    pub match_all: bool,
    pub count_entry_bytes: bool,
    pub buckets: Vec<f64>,
}

/// A metric as Promtail writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promtail {
    r#type: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    prefix: String,
    source: Option<String>,
    max_idle_duration: Option<GoDuration>,
    #[serde(default)]
    config: Value,
}

/// What a metric does.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Details {
    action: String,
    value: Option<String>,
    match_all: Option<bool>,
    count_entry_bytes: Option<bool>,
    buckets: Option<Vec<f64>>,
}

/// A metric as Alloy writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alloy {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    prefix: String,
    source: Option<String>,
    max_idle_duration: Option<GoDuration>,
    #[serde(default)]
    action: String,
    value: Option<String>,
    match_all: Option<bool>,
    count_entry_bytes: Option<bool>,
    buckets: Option<Vec<f64>>,
}

/// Reads the metrics of a stage. What is wrong with any of them is told to the builder.
pub fn read_all(value: &Value, path: &str, builder: &mut Builder) -> Result<Vec<Spec>, ConfigError> {
    let mut specs = Vec::new();
    let mut add = |spec: Result<Spec, ConfigError>, builder: &mut Builder| specs.extend(builder.or_refuse(spec));
    match value {
        Value::Array(blocks) => {
            for (i, block) in blocks.iter().enumerate() {
                let path = format!("{path}[{i}]");
                let single = block.as_object().filter(|block| block.len() == 1).and_then(|block| block.iter().next());
                let spec = match single {
                    Some((kind, block)) => alloy(kind, block, &format!("{path}.{kind}"), builder),
                    None => Err(ConfigError::new(&path, "expected one of counter, gauge and histogram")),
                };
                add(spec, builder);
            }
        }
        Value::Object(metrics) => {
            for (name, metric) in metrics {
                let path = format!("{path}.{name}");
                match (name.strip_prefix("metric."), metric) {
                    (Some(kind), Value::Array(blocks)) => {
                        for block in blocks {
                            let spec = alloy(kind, block, &path, builder);
                            add(spec, builder);
                        }
                    }
                    (Some(kind), block) => {
                        let spec = alloy(kind, block, &path, builder);
                        add(spec, builder);
                    }
                    (None, metric) => {
                        let spec = promtail(name, metric, &path, builder);
                        add(spec, builder);
                    }
                }
            }
        }
        Value::Null => {}
        _ => return Err(ConfigError::new(path, "expected a map of metrics")),
    }
    Ok(specs)
}

fn promtail(name: &str, value: &Value, path: &str, builder: &mut Builder) -> Result<Spec, ConfigError> {
    let metric: Promtail = read(value, path, builder)?;
    let details_path = format!("{path}.config");
    let details: Details = read(&metric.config, &details_path, builder)?;
    let common = (own_or(&metric.prefix, &builder.options.metric_prefix), metric.source, metric.max_idle_duration);
    let mut spec = spec(name, &metric.r#type, common, details, path, &details_path)?;
    spec.description = metric.description;
    Ok(spec)
}

fn alloy(kind: &str, value: &Value, path: &str, builder: &mut Builder) -> Result<Spec, ConfigError> {
    let metric: Alloy = read(value, path, builder)?;
    let details = Details {
        action: metric.action,
        value: metric.value,
        match_all: metric.match_all,
        count_entry_bytes: metric.count_entry_bytes,
        buckets: metric.buckets,
    };
    let kind = kind.strip_prefix("metric.").unwrap_or(kind);
    let common = (own_or(&metric.prefix, &builder.options.metric_prefix), metric.source, metric.max_idle_duration);
    let mut spec = spec(&metric.name, kind, common, details, path, path)?;
    spec.description = metric.description;
    Ok(spec)
}

fn own_or<'a>(own: &'a str, default: &'a str) -> &'a str {
    if own.is_empty() { default } else { own }
}

/// Prefix, source and idle time.
type Common<'a> = (&'a str, Option<String>, Option<GoDuration>);

fn spec(
    name: &str,
    kind: &str,
    (prefix, source, max_idle): Common<'_>,
    details: Details,
    path: &str,
    details_path: &str,
) -> Result<Spec, ConfigError> {
    let refuse = |key: &str, why: &str| Err(ConfigError::at(details_path, key, why));
    let kind = match kind.to_ascii_lowercase().as_str() {
        "counter" => MetricKind::Counter,
        "gauge" => MetricKind::Gauge,
        "histogram" => MetricKind::Histogram,
        other => {
            return Err(ConfigError::at(path, "type", format!("must be counter, gauge or histogram, not \"{other}\"")));
        }
    };
    let full = format!("{prefix}{name}");
    if name.is_empty()
        || full.starts_with(|c: char| c.is_ascii_digit())
        || !full.bytes().all(|b| b == b'_' || b == b':' || b.is_ascii_alphanumeric())
    {
        return Err(ConfigError::new(path, format!("invalid metric name: \"{full}\"")));
    }
    let max_idle = match max_idle {
        None => MAX_IDLE,
        Some(idle) if idle.get() < Duration::from_secs(1) => {
            return Err(ConfigError::at(path, "max_idle_duration", "must be at least 1s"));
        }
        Some(idle) => idle.get(),
    };
    let (match_all, bytes) = (details.match_all.unwrap_or(false), details.count_entry_bytes.unwrap_or(false));
    let value = details.value.unwrap_or_default();
    let action = match (kind, details.action.to_ascii_lowercase().as_str()) {
        (MetricKind::Histogram, "") => Action::Observe,
        (MetricKind::Counter | MetricKind::Gauge, "inc") => Action::Inc,
        (MetricKind::Counter | MetricKind::Gauge, "add") => Action::Add,
        (MetricKind::Gauge, "set") => Action::Set,
        (MetricKind::Gauge, "dec") => Action::Dec,
        (MetricKind::Gauge, "sub") => Action::Sub,
        (MetricKind::Counter, _) => return refuse("action", "must be inc or add"),
        (MetricKind::Gauge, _) => return refuse("action", "must be set, inc, dec, add or sub"),
        (MetricKind::Histogram, _) => return refuse("action", "a histogram has no action"),
    };
    if kind != MetricKind::Counter && (match_all || bytes) {
        return refuse("match_all", "only counters have match_all and count_entry_bytes");
    }
    if kind != MetricKind::Histogram && details.buckets.is_some() {
        return refuse("buckets", "only histograms have buckets");
    }
    if match_all && !value.is_empty() {
        return refuse("match_all", "cannot be set together with value");
    }
    if bytes && !(match_all && action == Action::Add) {
        return refuse("count_entry_bytes", "needs match_all: true and action: add");
    }
    let mut buckets = details.buckets.filter(|b| !b.is_empty()).unwrap_or_else(|| BUCKETS.to_vec());
    if !buckets.is_sorted_by(|a, b| a < b) {
        return refuse("buckets", "must be in increasing order");
    }
    buckets.retain(|bound| bound.is_finite());
    Ok(Spec {
        name: full,
        kind,
        description: String::new(),
        source: source.filter(|source| !source.is_empty()).unwrap_or_else(|| name.to_owned()),
        max_idle,
        action,
        value,
        match_all,
        count_entry_bytes: bytes,
        buckets,
    })
}
