//! The keys of the `loki` exporter: those of the collector's former one (confighttp client, exporterhelper, lokiexporter), with its defaults, and
//! those of Promtail's client and Alloy's `loki.write` that it did not have.

use crate::exporters::queue::{RetryOnFailure, SendingQueue};
use config::duration::GoDuration;
use config::optional;
use config::size::ByteSize;
use config::validate::{Report, Validate};
use flow::batcher::BatchConfig;
use net::client::compress::Compression;
use net::client::extensions::{Auth, Middleware};
use net::client::headers::Headers;
use net::client::keepalive::{Cookies, Keepalive};
use net::client::proxy::Proxy;
use net::client::url::Url;
use net::tls::client::TlsConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::loki::check_tenant;
use wire::loki::send::{self, DefaultLabels};

/// The largest push before compression: a request that would become more is divided. A hundred times what a batch is, and what Loki takes.
pub(super) const MAX_PUSH: usize = 100 << 20;
/// `batch_size` and `batch_wait` when nothing is said of batches.
const BATCH_SIZE: ByteSize = ByteSize(1 << 20);
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The whole URL of the push API, such as `http://loki:3100/loki/api/v1/push`. Required.
    pub endpoint: String,
    /// Which of the labels `exporter`, `job`, `instance` and `level` records get without asking.
    pub default_labels_enabled: Labels,
    /// Labels of every stream; a stream's own label of that name comes first.
    pub external_labels: BTreeMap<String, String>,
    /// How records become entries: `auto` (default), `entries` or `hints`.
    pub mapping: Mapping,
    /// The lines of records without the hint `loki.format`: `json` (default), `logfmt` or `raw`.
    pub format: Format,
    /// Whether attributes that are not in the line leave as structured metadata.
    pub structured_metadata: bool,
    /// The tenant of records for which neither they, `headers` nor their sender name one.
    pub tenant_id: String,
    /// What makes a batch.
    pub batch_size: Option<ByteSize>,
    /// How long a batch may wait to become one.
    pub batch_wait: Option<GoDuration>,
    /// No effect: a push is always in snappy.
    pub compression: Compression,
    /// TLS for `https://` URLs.
    pub tls: TlsConfig,
    /// Sent with every request. `X-Scope-OrgID` is the tenant of all records that name none themselves.
    pub headers: Headers,
    /// The proxy for every request, in place of those of the environment.
    pub proxy_url: String,
    /// No effect: buffers are sized by what is sent.
    pub read_buffer_size: Option<i64>,
    /// No effect: buffers are sized by what is sent.
    pub write_buffer_size: Option<i64>,
    /// Connections kept when they have nothing to do. 0: no limit.
    pub max_idle_conns: u32,
    /// The same for each host. 0: as `max_idle_conns`.
    pub max_idle_conns_per_host: u32,
    /// How long they are kept. 0: for ever.
    pub idle_conn_timeout: GoDuration,
    /// A new connection for every request.
    pub disable_keep_alives: bool,
    /// The newer form of the keys about kept connections.
    pub keepalive: Option<Keepalive>,
    /// No effect: a push is always in snappy.
    pub compression_params: Option<serde_json::Value>,
    /// No effect: `num_consumers` bounds the connections.
    pub max_conns_per_host: Option<u32>,
    /// No effect: pings have fixed intervals.
    pub http2_read_idle_timeout: Option<GoDuration>,
    /// No effect: pings have fixed intervals.
    pub http2_ping_timeout: Option<GoDuration>,
    /// No effect: HTTP/2 is offered.
    pub force_attempt_http2: Option<bool>,
    /// Must stay off: cookies are not kept.
    #[serde(deserialize_with = "optional::block")]
    pub cookies: Option<Cookies>,
    /// An extension that adds credentials.
    #[serde(deserialize_with = "optional::block")]
    pub auth: Option<Auth>,
    /// An extension that wraps connections: not supported.
    #[serde(deserialize_with = "optional::block")]
    pub dialer_middleware: Option<Middleware>,
    /// Extensions that wrap requests: not supported.
    pub middlewares: Vec<Middleware>,
    /// The time one attempt may take.
    pub timeout: GoDuration,
    /// Tenants that have a lane of their own; those beyond are refused.
    pub max_lanes: u32,
    /// The queue.
    pub sending_queue: SendingQueue,
    /// The retries.
    pub retry_on_failure: RetryOnFailure,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            default_labels_enabled: Labels::default(),
            external_labels: BTreeMap::new(),
            mapping: Mapping::default(),
            format: Format::default(),
            structured_metadata: true,
            tenant_id: String::new(),
            batch_size: None,
            batch_wait: None,
            compression: Compression::Snappy,
            tls: TlsConfig::default(),
            headers: Headers::default(),
            proxy_url: String::new(),
            read_buffer_size: None,
            write_buffer_size: None,
            max_idle_conns: 100,
            max_idle_conns_per_host: 0,
            idle_conn_timeout: GoDuration(Duration::from_secs(90)),
            disable_keep_alives: false,
            keepalive: None,
            compression_params: None,
            max_conns_per_host: None,
            http2_read_idle_timeout: None,
            http2_ping_timeout: None,
            force_attempt_http2: None,
            cookies: None,
            auth: None,
            dialer_middleware: None,
            middlewares: Vec::new(),
            timeout: GoDuration(Duration::from_secs(30)),
            max_lanes: flow::outlet::MAX_LANES,
            sending_queue: SendingQueue::default(),
            retry_on_failure: RetryOnFailure::default(),
        }
    }
}

/// The collector's `default_labels_enabled`: what is not named is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Labels {
    /// `exporter="OTLP"`.
    pub exporter: bool,
    /// `job`, of `service.namespace` and `service.name`.
    pub job: bool,
    /// `instance`, of `service.instance.id`.
    pub instance: bool,
    /// `level`, of the severity.
    pub level: bool,
}

impl Default for Labels {
    fn default() -> Self {
        Labels { exporter: true, job: true, instance: true, level: true }
    }
}

/// How records become entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mapping {
    /// What came in as a Loki stream leaves as one; the rest by hints.
    #[default]
    Auto,
    /// All resource attributes are labels, the body is the line, log attributes are structured metadata.
    Entries,
    /// As the collector's former exporter.
    Hints,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An object.
    #[default]
    Json,
    /// Pairs.
    Logfmt,
    /// The body.
    Raw,
}

impl Config {
    /// Where it pushes to.
    pub(super) fn url(&self) -> Result<Url, String> {
        Url::parse(&self.endpoint, "")
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// What is kept of idle connections: how many, and how long.
    pub(super) fn idle(&self) -> (usize, Option<Duration>) {
        let old = Keepalive {
            enabled: !self.disable_keep_alives,
            idle_conn_timeout: self.idle_conn_timeout,
            max_idle_conns: self.max_idle_conns,
            max_idle_conns_per_host: self.max_idle_conns_per_host,
        };
        self.keepalive.as_ref().unwrap_or(&old).idle()
    }

    /// How batches form: by the exporter's own keys, else as the pipeline's `batch` processor says, else as Promtail's do.
    pub(super) fn batching(&self, pipeline: Option<BatchConfig>) -> BatchConfig {
        let own = self.batch_size.is_some() || self.batch_wait.is_some();
        if let Some(pipeline) = pipeline.filter(|_| !own) {
            return pipeline;
        }
        let size = self.batch_size.unwrap_or(BATCH_SIZE);
        BatchConfig {
            enabled: true,
            min_records: 0,
            min_bytes: size.0,
            max_records: 0,
            max_bytes: size.bytes(),
            flush_interval: self.batch_wait.map_or(BATCH_WAIT, |wait| wait.0),
        }
    }

    /// What becomes of a request.
    pub(super) fn sending(&self) -> send::Sending {
        let Labels { exporter, job, instance, level } = self.default_labels_enabled;
        send::Sending {
            mapping: match self.mapping {
                Mapping::Auto => send::Mapping::Auto,
                Mapping::Entries => send::Mapping::Entries,
                Mapping::Hints => send::Mapping::Hints,
            },
            defaults: DefaultLabels { exporter, job, instance, level },
            external: self.external_labels.clone().into_iter().collect(),
            format: match self.format {
                Format::Json => send::Format::Json,
                Format::Logfmt => send::Format::Logfmt,
                Format::Raw => send::Format::Raw,
            },
            structured_metadata: self.structured_metadata,
            limit: MAX_PUSH,
        }
    }
}

/// Whether Loki takes a name for a label.
fn is_label(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Validate for Config {
    /// Files that it names are read.
    fn validate(&self, report: &mut Report<'_>) {
        if self.endpoint.is_empty() {
            report.error("endpoint", "\"endpoint\" must be a valid URL, such as http://loki:3100/loki/api/v1/push");
        } else if let Err(why) = self.url() {
            report.error("endpoint", why);
        }
        for name in self.external_labels.keys().filter(|name| !is_label(name)) {
            report
                .error("external_labels", format!("`{name}` is no label name: letters, digits and _, no digit first"));
        }
        if let Err(why) = check_tenant(&self.tenant_id) {
            report.error("tenant_id", why);
        }
        if self.batch_size == Some(ByteSize(0)) {
            report.error("batch_size", "`batch_size` must be positive");
        }
        if self.max_lanes == 0 {
            report.error("max_lanes", "`max_lanes` must be positive");
        }
        if self.batch_wait.is_some_and(GoDuration::is_zero) {
            report.error("batch_wait", "`batch_wait` must be positive");
        }
        if !matches!(self.compression, Compression::Snappy | Compression::None) {
            report.warning("compression", "`compression` has no effect: a push is always in snappy");
        }
        if !self.proxy_url.is_empty()
            && let Err(why) = Proxy::parse(&self.proxy_url)
        {
            report.error("proxy_url", why);
        }
        if self.cookies.is_some() {
            report.error("cookies", "cookies are not supported");
        }
        for (key, why) in [
            ("compression_params", "a push is always in snappy"),
            ("max_conns_per_host", "`sending_queue.num_consumers` bounds the connections"),
            ("http2_read_idle_timeout", "pings have fixed intervals"),
            ("http2_ping_timeout", "pings have fixed intervals"),
            ("force_attempt_http2", "HTTP/2 is offered in any case"),
        ] {
            if report.is_set(key) {
                report.warning(key, format!("has no effect: {why}"));
            }
        }
        if self.dialer_middleware.is_some() {
            report.error("dialer_middleware", "middlewares are not supported");
        }
        if !self.middlewares.is_empty() {
            report.error("middlewares", "middlewares are not supported");
        }
        for (key, value) in [("read_buffer_size", self.read_buffer_size), ("write_buffer_size", self.write_buffer_size)]
        {
            if value.is_some() {
                report.warning(key, "has no effect: buffers are sized by what is sent");
            }
        }
        if self.uses_tls() {
            report.nested("tls", &self.tls);
        }
        report.nested("headers", &self.headers);
        report.nested("sending_queue", &self.sending_queue);
        report.nested("retry_on_failure", &self.retry_on_failure);
    }
}
