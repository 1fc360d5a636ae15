//! The `service` section: pipelines, the budget, and the program's own telemetry.
//!
//! `extensions`, `pipelines` and `telemetry` are the OpenTelemetry Collector's, with its keys and defaults; `budget`,
//! `ingest`, `acknowledge` and `shutdown_timeout` are our own. Keys of the collector that have no effect here are
//! accepted, with a warning that says so.
//!
//! Invariant: the defaults below are the program's defaults. It does NOT check that what pipelines refer to exists: see
//! [`super::document`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::duration::GoDuration;
use super::id::{ComponentId, PipelineId};
use super::ordered::Ordered;
use super::size::ByteSize;
use super::validate::{Report, Validate};

/// `service`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// The extensions that run, in the order in which they start.
    pub extensions: Vec<ComponentId>,
    /// The pipelines, in the order in which they were written.
    pub pipelines: Ordered<PipelineId, PipelineConfig>,
    /// Logs, metrics and traces of the program itself.
    pub telemetry: TelemetryConfig,
    /// The bound on what is held in memory.
    pub budget: BudgetConfig,
    /// Whether requests are queued.
    pub ingest: Ingest,
    /// When success is answered; if it is not written, `durable` where an exporter has storage, else `queued`.
    pub acknowledge: Option<Acknowledge>,
    /// How long the lanes may drain at the end. Default 30 s.
    pub shutdown_timeout: GoDuration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        ServiceConfig {
            extensions: Vec::new(),
            pipelines: Ordered::default(),
            telemetry: TelemetryConfig::default(),
            budget: BudgetConfig::default(),
            ingest: Ingest::default(),
            acknowledge: None,
            shutdown_timeout: GoDuration::from_secs(30),
        }
    }
}

/// `service.pipelines.<signal>[/<name>]`: which components data passes, by id.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Where data comes in; at least one.
    pub receivers: Vec<ComponentId>,
    /// What it passes through, in this order.
    pub processors: Vec<ComponentId>,
    /// Where it goes, to each of them; at least one.
    pub exporters: Vec<ComponentId>,
}

/// `service.ingest`: what becomes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ingest {
    /// It is queued in the lanes. The default.
    #[default]
    Async,
    /// It is delivered before it is answered, and nothing is queued.
    Sync,
}

/// `service.acknowledge`: when success is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// When the request is in the queue, on its way to the disk at most: the collector's meaning.
    Queued,
    /// When the request is safe on disk; every exporter with a queue must have storage.
    Durable,
    /// When the backend has it.
    Delivered,
}

/// `service.budget`: the bound on everything that is held in memory on behalf of senders.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Bytes; at this much, everything is refused. Default 512 MiB.
    pub limit: ByteSize,
    /// The part of each limit from which on only priority records enter, above 0 up to 1. Default 0.9.
    pub soft_limit: f64,
    /// Records held at most; 0, the default, is no limit.
    pub max_records: u64,
    /// Requests held at most; 0, the default, is no limit.
    pub max_requests: u64,
    /// A span at least this long is a priority record. Default 500 ms.
    pub slow_threshold: GoDuration,
    /// Shares of senders.
    pub tenant: TenantConfig,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        BudgetConfig {
            limit: ByteSize::from_mib(512),
            soft_limit: 0.9,
            max_records: 0,
            max_requests: 0,
            slow_threshold: GoDuration::from_millis(500),
            tenant: TenantConfig::default(),
        }
    }
}

/// The largest of [`TenantConfig::weights`].
const MAX_WEIGHT: f64 = 1000.0;

/// `service.budget.tenant`: how senders are told apart, and what each may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// The request header that names the tenant, such as `X-Scope-OrgID`; none, the default: all senders are one.
    pub header: Option<String>,
    /// The part of the budget that one tenant may hold if nobody else holds anything, above 0 up to 1. Default 0.5.
    pub share: f64,
    /// Tenants that may hold so many times what the others may.
    pub weights: BTreeMap<String, f64>,
    /// Tenants that are told apart; all further ones count as one. Default 10 000.
    pub max_tenants: usize,
}

impl Default for TenantConfig {
    fn default() -> Self {
        TenantConfig { header: None, share: 0.5, weights: BTreeMap::new(), max_tenants: 10_000 }
    }
}

/// `service.telemetry`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The program's log.
    pub logs: LogsConfig,
    /// The program's metrics.
    pub metrics: MetricsConfig,
    /// The program's traces: accepted, without effect.
    pub traces: TracesConfig,
    /// Attributes of the program as a resource: a map of names to values (null drops one), or `attributes: [{name, value}]`.
    pub resource: BTreeMap<String, serde_json::Value>,
}

/// `service.telemetry.logs`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// The least severity that is logged. Default info.
    pub level: LogLevel,
    /// Development mode of the collector's logger: without effect.
    pub development: bool,
    /// How a line looks. Default console.
    pub encoding: LogEncoding,
    /// Leave out the source file: it is never logged here.
    pub disable_caller: bool,
    /// Leave out stack traces: they are never logged here.
    pub disable_stacktrace: bool,
    /// Bounds on repeated messages.
    pub sampling: Option<LogSampling>,
    /// Where the log goes: `stderr`, `stdout`, or a file. Default stderr.
    pub output_paths: Vec<String>,
    /// Where errors of the logger itself go. Default stderr.
    pub error_output_paths: Vec<String>,
    /// Fields added to every line.
    pub initial_fields: BTreeMap<String, serde_json::Value>,
    /// Export of the program's log by OTLP: without effect.
    pub processors: Vec<serde_json::Value>,
}

impl Default for LogsConfig {
    fn default() -> Self {
        LogsConfig {
            level: LogLevel::Info,
            development: false,
            encoding: LogEncoding::Console,
            disable_caller: false,
            disable_stacktrace: false,
            sampling: Some(LogSampling::default()),
            output_paths: vec!["stderr".to_owned()],
            error_output_paths: vec!["stderr".to_owned()],
            initial_fields: BTreeMap::new(),
            processors: Vec::new(),
        }
    }
}

/// `service.telemetry.logs.level`, in upper or lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator may want to read.
    Info,
    /// What an operator should look at.
    Warn,
    /// What failed. Also the collector's `dpanic`, `panic` and `fatal`.
    Error,
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(LogLevel::Debug),
            "info" | "" => Ok(LogLevel::Info),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "error" | "dpanic" | "panic" | "fatal" => Ok(LogLevel::Error),
            _ => Err(de::Error::unknown_variant(&text, &["debug", "info", "warn", "error"])),
        }
    }
}

/// `service.telemetry.logs.encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// Lines for people.
    #[default]
    Console,
    /// A JSON object per line.
    Json,
}

/// `service.telemetry.logs.sampling`: of equal messages within a tick, the first few and then every so many.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSampling {
    /// Whether to sample at all. Default true.
    pub enabled: bool,
    /// The time after which counting starts anew. Default 10 s.
    pub tick: GoDuration,
    /// Messages logged at first. Default 10.
    pub initial: u64,
    /// Of those after that, each so-many-th is logged. Default 100.
    pub thereafter: u64,
}

impl Default for LogSampling {
    fn default() -> Self {
        LogSampling { enabled: true, tick: GoDuration::from_secs(10), initial: 10, thereafter: 100 }
    }
}

/// `service.telemetry.metrics.level` and `service.telemetry.traces.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is measured.
    None,
    /// The essentials.
    Basic,
    /// The default.
    #[default]
    Normal,
    /// All there is.
    Detailed,
}

/// `service.telemetry.metrics`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// How much is measured. Default normal.
    pub level: Level,
    /// How the metrics are read; if absent, by Prometheus at localhost:8888.
    pub readers: Option<Vec<MetricReader>>,
    /// The old way to write the endpoint of Prometheus, `host:port`.
    pub address: Option<String>,
    /// Views of the collector's metric library: without effect.
    pub views: Vec<serde_json::Value>,
}

/// `service.telemetry.metrics.readers[]`: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricReader {
    /// The metrics are fetched.
    pub pull: Option<PullReader>,
    /// The metrics are sent: without effect.
    pub periodic: Option<serde_json::Value>,
}

/// `…readers[].pull`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullReader {
    /// By whom.
    pub exporter: PullExporter,
}

/// `…readers[].pull.exporter`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullExporter {
    /// By Prometheus.
    pub prometheus: Option<PrometheusReader>,
}

/// `…readers[].pull.exporter.prometheus`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusReader {
    /// Host to listen on. Default localhost.
    pub host: String,
    /// Port to listen on. Default 8888.
    pub port: u16,
    /// No labels of the scope. Default true.
    pub without_scope_info: bool,
    /// No `_total`. Default true.
    pub without_type_suffix: bool,
    /// No unit in the name. Default true.
    pub without_units: bool,
    /// No `target_info`. Default false.
    pub without_target_info: bool,
    /// Resource attributes as labels of every series: without effect.
    pub with_resource_constant_labels: Option<serde_json::Value>,
    /// How names are made fit for Prometheus: without effect.
    pub translation_strategy: Option<String>,
}

impl Default for PrometheusReader {
    fn default() -> Self {
        PrometheusReader {
            host: "localhost".to_owned(),
            port: 8888,
            without_scope_info: true,
            without_type_suffix: true,
            without_units: true,
            without_target_info: false,
            with_resource_constant_labels: None,
            translation_strategy: None,
        }
    }
}

impl MetricsConfig {
    /// Where Prometheus fetches the metrics; none if they are not offered.
    pub fn prometheus(&self) -> Option<PrometheusReader> {
        if self.level == Level::None {
            return None;
        }
        if let Some(readers) = &self.readers {
            let pulled = readers.iter().find_map(|reader| reader.pull.as_ref()?.exporter.prometheus.clone());
            // Metrics are not sent yet: rather where the collector has them by default than nowhere.
            let pushed = readers.iter().any(|reader| reader.periodic.is_some());
            return pulled.or_else(|| pushed.then(PrometheusReader::default));
        }
        let mut reader = PrometheusReader::default();
        if let Some((host, port)) = self.address.as_deref().and_then(host_and_port) {
            (reader.host, reader.port) = (host, port);
        }
        Some(reader)
    }
}

/// Splits `host:port`; an empty host is every address, as in Go.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((if host.is_empty() { "0.0.0.0" } else { host }.to_owned(), port.parse().ok()?))
}

/// `service.telemetry.traces`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// How much is traced.
    pub level: Level,
    /// Where the traces go.
    pub processors: Vec<serde_json::Value>,
    /// How context is propagated.
    pub propagators: Vec<String>,
    /// Which traces are kept.
    pub sampler: Option<serde_json::Value>,
}

impl Validate for ServiceConfig {
    fn validate(&self, report: &mut Report<'_>) {
        report.nested("budget", &self.budget);
        report.nested("telemetry", &self.telemetry);
    }
}

impl Validate for BudgetConfig {
    fn validate(&self, report: &mut Report<'_>) {
        if self.limit.0 == 0 {
            report.error("limit", "the budget must be more than 0 bytes");
        }
        let part = |value: f64| value > 0.0 && value <= 1.0;
        if !part(self.soft_limit) {
            report.error("soft_limit", "a part of the limit: above 0, and 1 at most");
        }
        if !part(self.tenant.share) {
            report.error("tenant.share", "a part of the budget: above 0, and 1 at most");
        }
        for (name, weight) in &self.tenant.weights {
            if !(*weight > 0.0 && *weight <= MAX_WEIGHT) {
                report.error(
                    &format!("tenant.weights.{name}"),
                    "how many times what others may hold: above 0, and 1000 at most",
                );
            }
        }
        if self.tenant.max_tenants == 0 {
            report.error("tenant.max_tenants", "must be 1 at least");
        }
        if self.tenant.header.as_deref().is_some_and(|header| http::HeaderName::try_from(header).is_err()) {
            report.error("tenant.header", "not the name of an HTTP header");
        }
    }
}

/// Keys of the collector that are taken and change nothing, with the reason.
const WITHOUT_EFFECT: [(&str, &str); 7] = [
    ("logs.development", "there is one form of the log"),
    ("logs.disable_caller", "callers are not logged"),
    ("logs.disable_stacktrace", "stack traces are not logged"),
    ("logs.error_output_paths", "errors of the log itself go to standard error"),
    ("traces.level", "the program does not trace itself"),
    ("traces.propagators", "the program does not trace itself"),
    ("traces.sampler", "the program does not trace itself"),
];

impl Validate for TelemetryConfig {
    fn validate(&self, report: &mut Report<'_>) {
        for (key, why) in WITHOUT_EFFECT {
            if report.is_set(key) {
                report.warning(key, format!("has no effect here: {why}"));
            }
        }
        let mut without_effect = |key: &str, used: bool, why: &str| {
            if used {
                report.warning(key, format!("has no effect here: {why}"));
            }
        };
        without_effect("logs.processors", !self.logs.processors.is_empty(), "the log is not exported by OTLP");
        without_effect("metrics.views", !self.metrics.views.is_empty(), "metrics have one form");
        without_effect("traces.processors", !self.traces.processors.is_empty(), "the program does not trace itself");
        let readers = self.metrics.readers.iter().flatten().enumerate();
        for (i, reader) in readers {
            let key = format!("metrics.readers.{i}.periodic");
            let page = self.metrics.prometheus().map(|page| format!("{}:{}", page.host, page.port)).unwrap_or_default();
            let why = format!("metrics are not sent yet; they can be fetched at http://{page}/metrics");
            without_effect(&key, reader.periodic.is_some() && !page.is_empty(), &why);
        }
        if let Some(address) = &self.metrics.address {
            match host_and_port(address) {
                Some(_) => report.warning("metrics.address", "is deprecated; use `readers` instead"),
                None => report.error("metrics.address", "expected `host:port`"),
            }
        }
    }
}
