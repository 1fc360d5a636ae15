//! The `prometheus` exporter: a page of the last value of every series, for Prometheus to scrape.
//!
//! | to change | open |
//! |---|---|
//! | what metrics and labels are called | `names` |
//! | which series there are, and what their values are | `series` |
//! | how labels come of resource, scope and point | `labels` |
//! | how the page is written | `page` |
//! | how it is served | `serve` |
//!
//! It never refuses a request: what cannot be shown is counted as refused records (`partial`), and named once in the log.

mod labels;
mod names;
mod page;
mod series;
mod serve;
#[cfg(test)]
mod tests;

use super::BuildError;
use super::queue::SendingQueue;
use config::validate::{Report, Validate};
use config::{GoDuration, Secret};
use flow::{Attempt, Exporter, Kind, Payload, Target, Why};
use labels::{Labelling, Scratch};
pub use names::Strategy;
use net::server::keys;
use net::tls::ServerTls;
use parking_lot::Mutex;
use serde::Deserialize;
use series::{Keeping, Refused, Store, Told};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Signal;
use wire::point::{metric_head, point};

/// The collector's keys and defaults (prometheusexporter 0.165), and `max_series`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the page is, as `host:port`. Required.
    pub endpoint: String,
    /// TLS of the listener.
    pub tls: Option<ServerTls>,
    /// Put before every name, with `_`.
    pub namespace: String,
    /// Labels of every series.
    pub const_labels: BTreeMap<String, String>,
    /// Whether samples carry the time that their source said.
    pub send_timestamps: bool,
    /// After how long without news a series is gone. 0: never.
    pub metric_expiration: GoDuration,
    /// Whether scrapers that ask for OpenMetrics get it.
    pub enable_open_metrics: bool,
    /// Attributes of the resource as labels.
    pub resource_to_telemetry_conversion: Conversion,
    /// Which attributes of the resource are labels, by patterns.
    pub resource_constant_labels: Option<Chosen>,
    /// Leaves out the labels of the scope.
    pub without_scope_info: bool,
    /// How names are made.
    pub translation_strategy: Option<Strategy>,
    /// The old way to ask for names without suffixes.
    pub add_metric_suffixes: Option<bool>,
    /// Series at most; what is beyond is counted and not shown. Bywash's own key.
    pub max_series: usize,
    /// A queue, which this exporter only has if it is written.
    pub sending_queue: Option<SendingQueue>,
    /// No effect.
    pub cors: Option<serde_json::Value>,
    /// No effect: the page reads no bodies.
    pub max_request_body_size: Option<u64>,
    /// No effect.
    pub include_metadata: Option<bool>,
    /// Headers of the answer.
    pub response_headers: BTreeMap<String, Secret>,
    /// No effect: the page reads no bodies.
    pub compression_algorithms: Option<Vec<String>>,
    /// No effect: connections have fixed bounds.
    pub read_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub read_header_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub write_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub idle_timeout: Option<GoDuration>,
}

/// `resource_to_telemetry_conversion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conversion {
    /// Whether attributes of the resource are labels of its series.
    pub enabled: bool,
    /// Leaves out those that `job` and `instance` are made of.
    pub exclude_service_attributes: bool,
}

/// `resource_constant_labels`: attributes by patterns with `*` and `?`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chosen {
    /// Those that are labels.
    pub included: Vec<String>,
    /// Those of them that are not.
    pub excluded: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            tls: None,
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            send_timestamps: false,
            metric_expiration: GoDuration(Duration::from_secs(300)),
            enable_open_metrics: false,
            resource_to_telemetry_conversion: Conversion::default(),
            resource_constant_labels: None,
            without_scope_info: false,
            translation_strategy: None,
            add_metric_suffixes: None,
            max_series: 1_000_000,
            sending_queue: None,
            cors: None,
            max_request_body_size: None,
            include_metadata: None,
            response_headers: BTreeMap::new(),
            compression_algorithms: None,
            read_timeout: None,
            read_header_timeout: None,
            write_timeout: None,
            idle_timeout: None,
        }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        keys::listener(&self.endpoint, "tcp", &[], report);
        keys::http(&[], &self.response_headers, None, report);
        if self.max_series == 0 {
            report.error("max_series", "`max_series` must be positive");
        }
        for name in self.const_labels.keys() {
            if names::label(name, Strategy::default()).as_deref() != Some(name) {
                report.error("const_labels", format!("`{name}` is no label name"));
            }
        }
        if self.resource_constant_labels.is_some() && self.resource_to_telemetry_conversion.enabled {
            let text = "only one of `resource_constant_labels` and `resource_to_telemetry_conversion` can be used";
            report.error("resource_constant_labels", text);
        }
        match (self.add_metric_suffixes, self.translation_strategy) {
            (Some(_), Some(_)) => {
                report.warning("add_metric_suffixes", "has no effect beside `translation_strategy`");
            }
            (Some(false), None) => report.warning(
                "add_metric_suffixes",
                "names have no suffixes, as asked for; the collector ignores this key since 0.154: use \
                 `translation_strategy: UnderscoreEscapingWithoutSuffixes`",
            ),
            _ => {}
        }
        for (key, why) in [
            ("cors", "the page is not for browsers of other origins"),
            ("max_request_body_size", "request bodies are not read"),
            ("include_metadata", "there is no pipeline behind the page"),
            ("compression_algorithms", "request bodies are not read"),
            ("read_timeout", "connections have fixed bounds"),
            ("read_header_timeout", "connections have fixed bounds"),
            ("write_timeout", "connections have fixed bounds"),
            ("idle_timeout", "connections have fixed bounds"),
        ] {
            if report.is_set(key) {
                report.warning(key, format!("has no effect: {why}"));
            }
        }
        if let Some(queue) = &self.sending_queue {
            report.nested("sending_queue", queue);
        }
    }
}

impl Config {
    /// Its queue: off unless written.
    #[must_use]
    pub fn queue(&self) -> SendingQueue {
        self.sending_queue.clone().unwrap_or(SendingQueue { enabled: false, ..SendingQueue::default() })
    }

    fn strategy(&self) -> Strategy {
        self.translation_strategy.unwrap_or(match self.add_metric_suffixes {
            Some(false) => Strategy::UnderscoreEscapingWithoutSuffixes,
            _ => Strategy::default(),
        })
    }
}

/// The exporter. Clones share their series.
#[derive(Clone)]
pub struct Prometheus {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    labelling: Labelling,
    /// Shown by the server for as long as this lives.
    source: Arc<serve::Source>,
    scratch: Mutex<Vec<Scratch>>,
}

impl Prometheus {
    /// The exporter with this component id; its page is there from now on. Must be called within a runtime.
    ///
    /// # Errors
    /// The endpoint is taken, or the certificate cannot be loaded.
    pub fn new(name: &str, config: &Config) -> Result<Prometheus, BuildError> {
        let keeping = Keeping {
            namespace: config.namespace.clone(),
            strategy: config.strategy(),
            expiration: config.metric_expiration.0,
            max_series: config.max_series,
        };
        let source = serve::show(name, config, Store::new(keeping)).map_err(BuildError)?;
        let labelling = Labelling::new(config);
        let shared = Shared { name: name.to_owned(), labelling, source, scratch: Mutex::default() };
        Ok(Prometheus { shared: Arc::new(shared) })
    }

    /// Its one target.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new("prometheus")
    }

    /// Takes the points of a request in. Gives how many are not shown, and why the first of them is not.
    fn take(&self, body: &[u8], scratch: &mut Scratch, now: Instant) -> (u64, Option<Refused>) {
        let Shared { labelling, source, name, .. } = &*self.shared;
        let (store, mut refused, mut why) = (&source.store, 0, None);
        if scratch.index.build(Signal::Metrics, body).is_err() {
            return (0, None);
        }
        let Scratch { index, texts } = scratch;
        let mut family = None;
        for record in index.records(body) {
            let Some(head) = metric_head(&record) else { continue };
            let data = record.data().map(|data| data.id());
            if family.as_ref().is_none_or(|(id, _)| *id != data) {
                let named = store.name(&head).map(|(name, kind)| (store.family(&name, kind, head.description), kind));
                family = Some((data, named));
            }
            let told = match &family {
                Some((_, Ok((family, kind)))) => {
                    let resource = labelling.write(&record, texts);
                    let point = point(head.kind, record.bytes());
                    let told = Told { head: &head, point, labels: &texts.labels, resource };
                    store.tell(family, *kind, told, now)
                }
                Some((_, Err(why))) => Err((*why, false)),
                None => continue,
            };
            if let Err((reason, is_new)) = told {
                refused += 1;
                why.get_or_insert(reason);
                if is_new {
                    let metric = String::from_utf8_lossy(head.name);
                    tracing::warn!(exporter = name, %metric, labels = texts.labels, why = reason.as_str(), "not shown");
                }
            }
        }
        labelling.tell_targets(store, index, body, texts, now);
        (refused, why)
    }
}

impl Exporter for Prometheus {
    async fn send(&self, _: &Target, request: Payload, _: Instant) -> Attempt {
        let now = flow::clock::now();
        let mut scratch = self.shared.scratch.lock().pop().unwrap_or_default();
        let (rejected, why) = self.take(&request.body.contiguous(), &mut scratch, now);
        self.shared.scratch.lock().push(scratch);
        self.shared.source.store.sweep(now);
        match why {
            None => Attempt::Sent,
            Some(why) => Attempt::Partial { rejected, why: Why::new(Kind::Partial, why.as_str()) },
        }
    }
}
