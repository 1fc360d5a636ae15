//! The keys of the `otlp_http` exporter: the collector's (confighttp client, exporterhelper, otlphttpexporter), with its
//! defaults.

use crate::exporters::queue::{RetryOnFailure, SendingQueue};
use config::duration::GoDuration;
use config::optional;
use config::validate::{Report, Validate};
use net::client::compress::Compression;
use net::client::extensions::{Auth, Middleware};
use net::client::headers::Headers;
use net::client::keepalive::{Cookies, Keepalive};
use net::client::proxy::Proxy;
use net::client::url::Url;
use net::tls::client::TlsConfig;
use serde::Deserialize;
use std::time::Duration;
use wire::Signal;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL below which `/v1/logs`, `/v1/traces` and `/v1/metrics` are.
    pub endpoint: String,
    /// The whole URL for traces, in place of `endpoint`.
    pub traces_endpoint: String,
    /// The whole URL for metrics, in place of `endpoint`.
    pub metrics_endpoint: String,
    /// The whole URL for logs, in place of `endpoint`.
    pub logs_endpoint: String,
    /// No effect: there are no profiles here.
    pub profiles_endpoint: String,
    /// `proto` (default) or `json`.
    pub encoding: Encoding,
    /// `gzip` (default), `zstd`, `snappy`, `x-snappy-framed`, `zlib`, `deflate`, `lz4` or `none`.
    pub compression: Compression,
    /// How hard to compress.
    pub compression_params: CompressionParams,
    /// TLS for `https://` URLs.
    pub tls: TlsConfig,
    /// Sent with every request.
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
    /// No effect: `num_consumers` bounds the connections.
    pub max_conns_per_host: u32,
    /// How long they are kept. 0: for ever.
    pub idle_conn_timeout: GoDuration,
    /// A new connection for every request.
    pub disable_keep_alives: bool,
    /// The newer form of the keys about kept connections.
    pub keepalive: Option<Keepalive>,
    /// Between HTTP/2 pings while a request is under way. 0: 15 s.
    pub http2_read_idle_timeout: GoDuration,
    /// How long the peer has to answer one. 0: 15 s.
    pub http2_ping_timeout: GoDuration,
    /// Whether HTTP/2 is offered in the TLS handshake.
    pub force_attempt_http2: bool,
    /// Must stay off: cookies are not kept.
    pub cookies: Cookies,
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
    /// The queue.
    pub sending_queue: SendingQueue,
    /// The retries.
    pub retry_on_failure: RetryOnFailure,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            traces_endpoint: String::new(),
            metrics_endpoint: String::new(),
            logs_endpoint: String::new(),
            profiles_endpoint: String::new(),
            encoding: Encoding::Proto,
            compression: Compression::Gzip,
            compression_params: CompressionParams::default(),
            tls: TlsConfig::default(),
            headers: Headers::default(),
            proxy_url: String::new(),
            read_buffer_size: None,
            write_buffer_size: None,
            max_idle_conns: 100,
            max_idle_conns_per_host: 0,
            max_conns_per_host: 0,
            idle_conn_timeout: GoDuration(Duration::from_secs(90)),
            disable_keep_alives: false,
            keepalive: None,
            http2_read_idle_timeout: GoDuration::default(),
            http2_ping_timeout: GoDuration::default(),
            force_attempt_http2: true,
            cookies: Cookies::default(),
            auth: None,
            dialer_middleware: None,
            middlewares: Vec::new(),
            timeout: GoDuration(Duration::from_secs(30)),
            sending_queue: SendingQueue::default(),
            retry_on_failure: RetryOnFailure::default(),
        }
    }
}

/// How telemetry is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Protobuf: the bytes as they came in.
    #[default]
    Proto,
    /// OTLP/JSON.
    Json,
}

/// The collector's `compression_params`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionParams {
    /// The algorithm's own level; 0 is its default, as in the collector.
    pub level: i32,
}

impl Config {
    /// Whether it says where a signal goes.
    #[must_use]
    pub fn takes(&self, signal: Signal) -> bool {
        self.url(signal).is_some()
    }

    /// Where a signal goes: its own URL, or its path below the endpoint. `None` if neither is given.
    pub(super) fn url(&self, signal: Signal) -> Option<Result<Url, String>> {
        let own = match signal {
            Signal::Logs => &self.logs_endpoint,
            Signal::Traces => &self.traces_endpoint,
            Signal::Metrics => &self.metrics_endpoint,
        };
        match (own.as_str(), self.endpoint.as_str()) {
            ("", "") => None,
            ("", base) => Some(Url::parse(base, &format!("/v1/{signal}"))),
            (own, _) => Some(Url::parse(own, "")),
        }
    }

    pub(super) fn level(&self) -> Option<i32> {
        (self.compression_params.level != 0).then_some(self.compression_params.level)
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

    fn validate_endpoints(&self, report: &mut Report<'_>) {
        if Signal::ALL.iter().all(|signal| self.url(*signal).is_none()) {
            report.error("endpoint", "at least one endpoint must be specified");
        }
        let urls = [
            ("endpoint", &self.endpoint),
            ("traces_endpoint", &self.traces_endpoint),
            ("metrics_endpoint", &self.metrics_endpoint),
            ("logs_endpoint", &self.logs_endpoint),
        ];
        for (key, url) in urls {
            if !url.is_empty()
                && let Err(why) = Url::parse(url, "")
            {
                report.error(key, why);
            }
        }
        if !self.profiles_endpoint.is_empty() {
            report.warning("profiles_endpoint", "has no effect: there are no profiles here");
        }
    }

    pub(super) fn uses_tls(&self) -> bool {
        let urls = [&self.endpoint, &self.traces_endpoint, &self.metrics_endpoint, &self.logs_endpoint];
        urls.iter().any(|url| url.starts_with("https://"))
    }
}

impl Validate for Config {
    /// Files that it names are read.
    fn validate(&self, report: &mut Report<'_>) {
        self.validate_endpoints(report);
        if !self.proxy_url.is_empty()
            && let Err(why) = Proxy::parse(&self.proxy_url)
        {
            report.error("proxy_url", why);
        }
        if self.dialer_middleware.is_some() {
            report.error("dialer_middleware", "middlewares are not supported");
        }
        if !self.middlewares.is_empty() {
            report.error("middlewares", "middlewares are not supported");
        }
        if self.cookies.enabled {
            report.error("cookies.enabled", "cookies are not supported");
        }
        let levels = match self.compression {
            Compression::Gzip | Compression::Zlib | Compression::Deflate => -1..=9,
            Compression::Zstd => -7..=22,
            _ => 0..=0,
        };
        if !levels.contains(&self.compression_params.level) {
            let text = format!("the level must be within {} to {}", levels.start(), levels.end());
            report.error("compression_params.level", text);
        }
        let unused = [("read_buffer_size", self.read_buffer_size), ("write_buffer_size", self.write_buffer_size)];
        for (key, value) in unused {
            if value.is_some() {
                report.warning(key, "has no effect: buffers are sized by what is sent");
            }
        }
        if self.max_conns_per_host > 0 {
            report.warning("max_conns_per_host", "has no effect: `sending_queue.num_consumers` bounds the connections");
        }
        if self.uses_tls() {
            report.nested("tls", &self.tls);
        }
        report.nested("headers", &self.headers);
        report.nested("sending_queue", &self.sending_queue);
        report.nested("retry_on_failure", &self.retry_on_failure);
    }
}
