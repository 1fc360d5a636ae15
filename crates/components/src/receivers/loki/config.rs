//! The `loki` receiver's configuration: the collector's keys and defaults.
//!
//! A null `http:` block means "with defaults". The collector's `grpc` block is an error: Loki's push over gRPC is not served here.

use config::{GoDuration, Report, Secret, Validate, optional};
use net::listen::MAX_CONNECTIONS;
use net::server::keys::{self, AuthRef, Cors, Middleware};
use net::tls::ServerTls;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::time::Duration;

/// The `loki` receiver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How it is reached.
    pub protocols: Protocols,
    /// Whether entries keep the time that the sender wrote; otherwise they get that of their arrival.
    pub use_incoming_timestamp: bool,
}

/// The transports.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protocols {
    /// Loki's push API.
    pub http: Option<Http>,
    /// Not supported.
    pub grpc: Anything,
}

/// A block that is not looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Anything, D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|_| Anything)
    }
}

/// The collector's `confighttp` server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// False switches the whole block off.
    pub enabled: bool,
    /// `host:port`; with `transport: unix` the path of a socket.
    pub endpoint: String,
    /// `tcp` (default), `tcp4`, `tcp6` or `unix`.
    pub transport: String,
    /// Absent: plaintext.
    #[serde(deserialize_with = "optional::block")]
    pub tls: Option<ServerTls>,
    /// Absent: browsers of other origins may not send.
    #[serde(deserialize_with = "optional::block")]
    pub cors: Option<Cors>,
    /// Who may send.
    #[serde(deserialize_with = "optional::block")]
    pub auth: Option<AuthRef>,
    /// The largest body in bytes, before and after decompression. 0: 20 MiB.
    pub max_request_body_size: u64,
    /// Whether headers of the sender are kept that something asks for.
    pub include_metadata: bool,
    /// Added to every answer.
    pub response_headers: BTreeMap<String, Secret>,
    /// The encodings that are taken; "" is none.
    pub compression_algorithms: Vec<String>,
    /// For a whole request with its body. 0: ten minutes.
    pub read_timeout: GoDuration,
    /// For the headers of a request, counted from the end of the last one. 0: no limit.
    pub read_header_timeout: GoDuration,
    /// An answer that cannot be written for this long ends the connection. 0: no limit.
    pub write_timeout: GoDuration,
    /// Whether a connection serves more than one request, and how long it waits for the next one.
    pub keepalive: keys::Keepalive,
    /// The former `keepalive.idle_timeout`.
    pub idle_timeout: Option<GoDuration>,
    /// The former `keepalive.enabled`.
    pub keep_alives_enabled: Option<bool>,
    /// No effect on a listener.
    pub dialer: keys::Dialer,
    /// There are none here.
    pub middlewares: Vec<Middleware>,
    /// The largest head of a request in bytes, by HTTP/2's measure: names and values, and 32 for each header. 0: 8 KiB.
    pub max_header_list_size: u64,
    /// Connections at once.
    pub max_connections: usize,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            enabled: true,
            endpoint: "localhost:3500".into(),
            transport: "tcp".into(),
            tls: None,
            cors: None,
            auth: None,
            max_request_body_size: keys::MAX_BODY,
            include_metadata: false,
            response_headers: BTreeMap::new(),
            compression_algorithms: keys::ALGORITHMS.map(String::from).to_vec(),
            read_timeout: GoDuration::default(),
            read_header_timeout: GoDuration(Duration::from_secs(60)),
            write_timeout: GoDuration(Duration::from_secs(30)),
            keepalive: keys::Keepalive::default(),
            idle_timeout: None,
            keep_alives_enabled: None,
            dialer: keys::Dialer::default(),
            middlewares: Vec::new(),
            max_header_list_size: 0,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if report.is_set("protocols.grpc") {
            let text = "Loki's push over gRPC is not supported; use `http`, which every Loki client speaks";
            report.error("protocols.grpc", text);
        }
        match self.protocols.http.as_ref().filter(|http| http.enabled) {
            Some(http) => report.nested("protocols.http", http),
            None => {
                report.error("protocols", "must specify at least one protocol when using the Loki receiver: `http`")
            }
        }
    }
}

impl Validate for Http {
    fn validate(&self, report: &mut Report<'_>) {
        keys::listener(&self.endpoint, &self.transport, &self.middlewares, report);
        keys::head(self.max_header_list_size, report);
        keys::http(&self.compression_algorithms, &self.response_headers, self.auth.as_ref(), report);
        keys::old_keepalive(report);
        if let Some(tls) = &self.tls {
            report.nested("tls", tls);
        }
    }
}
