//! The `otlp` receiver's configuration: the collector's keys and defaults, and a few limits of our own.
//!
//! A null `grpc:` or `http:` block means "with defaults". What a key cannot do here is said by [`Config::warnings`]; what makes no sense by
//! [`Config::validate`].

use crate::config::duration::GoDuration;
use crate::config::secret::Secret;
use crate::net::compression::Encoding;
use crate::net::listen::MAX_CONNECTIONS;
use crate::net::tls::ServerTls;
use crate::receivers::Problem;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The `otlp` receiver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// At least one of them.
    pub protocols: Protocols,
}

/// The transports.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protocols {
    /// OTLP/gRPC.
    pub grpc: Option<Grpc>,
    /// OTLP/HTTP.
    pub http: Option<Http>,
}

/// The collector's `configgrpc` server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grpc {
    /// False switches the whole block off.
    pub enabled: bool,
    /// `host:port`.
    pub endpoint: String,
    /// Only `tcp`.
    pub transport: String,
    /// Absent: plaintext.
    pub tls: Option<ServerTls>,
    /// The largest message, before and after decompression, in MiB. 0: 4.
    pub max_recv_msg_size_mib: u64,
    /// Requests at once on one connection. 0: 1000.
    pub max_concurrent_streams: u32,
    /// No effect: buffers grow with what arrives.
    pub read_buffer_size: u64,
    /// No effect: answers are written as they are.
    pub write_buffer_size: u64,
    /// When connections are pinged and closed.
    pub keepalive: Option<Keepalive>,
    /// Who may send.
    pub auth: Option<AuthRef>,
    /// No effect: only the tenant header is kept.
    pub include_metadata: bool,
    /// There are none here.
    pub middlewares: Vec<Middleware>,
    /// Connections at once.
    pub max_connections: usize,
}

impl Default for Grpc {
    fn default() -> Self {
        Grpc {
            enabled: true,
            endpoint: "localhost:4317".into(),
            transport: "tcp".into(),
            tls: None,
            max_recv_msg_size_mib: 0,
            max_concurrent_streams: 0,
            read_buffer_size: 0,
            write_buffer_size: 0,
            keepalive: None,
            auth: None,
            include_metadata: false,
            middlewares: Vec::new(),
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl Grpc {
    /// The largest message in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        let mib = if self.max_recv_msg_size_mib == 0 { 4 } else { self.max_recv_msg_size_mib };
        usize::try_from(mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
    }
}

/// `keepalive` of a gRPC server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keepalive {
    /// What the server does.
    pub server_parameters: ServerParameters,
    /// What clients may do: accepted without effect, since pings are answered one at a time and cost next to nothing.
    pub enforcement_policy: EnforcementPolicy,
}

/// `keepalive.server_parameters`. 0 is the default of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerParameters {
    /// A connection without requests is closed after this long. 0: never.
    pub max_connection_idle: GoDuration,
    /// A connection is closed after this long, give or take a tenth. 0: never.
    pub max_connection_age: GoDuration,
    /// Its requests may take this long then. 0: for ever.
    pub max_connection_age_grace: GoDuration,
    /// A ping is sent every so often. 0: two hours.
    pub time: GoDuration,
    /// It must be answered within this time. 0: 20 s.
    pub timeout: GoDuration,
}

/// `keepalive.enforcement_policy`: no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnforcementPolicy {
    /// No effect.
    pub min_time: GoDuration,
    /// No effect.
    pub permit_without_stream: bool,
}

/// The collector's `confighttp` server, with the paths of OTLP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// False switches the whole block off.
    pub enabled: bool,
    /// `host:port`.
    pub endpoint: String,
    /// Only `tcp`.
    pub transport: String,
    /// Absent: plaintext.
    pub tls: Option<ServerTls>,
    /// Absent: browsers of other origins may not send.
    pub cors: Option<Cors>,
    /// Who may send.
    pub auth: Option<AuthRef>,
    /// The largest body in bytes, before and after decompression. 0: 20 MiB.
    pub max_request_body_size: u64,
    /// No effect: only the tenant header is kept.
    pub include_metadata: bool,
    /// Added to every answer.
    pub response_headers: BTreeMap<String, Secret>,
    /// The encodings that are taken; "" is none.
    pub compression_algorithms: Vec<String>,
    /// For a whole request with its body. 0: no limit but that of progress.
    pub read_timeout: GoDuration,
    /// For the headers of a request, counted from the end of the last one. 0: no limit.
    pub read_header_timeout: GoDuration,
    /// An answer that cannot be written for this long ends the connection. 0: no limit.
    pub write_timeout: GoDuration,
    /// Between two requests. `read_header_timeout` ends the wait as well, and whichever is shorter holds. 0: no limit of its own.
    pub idle_timeout: GoDuration,
    /// Whether a connection serves more than one request.
    pub keep_alives_enabled: bool,
    /// There are none here.
    pub middlewares: Vec<Middleware>,
    /// The path of traces.
    pub traces_url_path: String,
    /// The path of metrics.
    pub metrics_url_path: String,
    /// The path of logs.
    pub logs_url_path: String,
    /// No effect: profiles are not served.
    pub profiles_url_path: String,
    /// Connections at once.
    pub max_connections: usize,
    /// The status that answers overload: 429, or 503 for clients that retry only that (some SDKs).
    pub overload_status: u16,
}

/// `max_request_body_size` when it is not set.
const MAX_BODY: u64 = 20 << 20;

/// `compression_algorithms` when it is not set.
const ALGORITHMS: [&str; 7] = ["", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4"];

impl Default for Http {
    fn default() -> Self {
        Http {
            enabled: true,
            endpoint: "localhost:4318".into(),
            transport: "tcp".into(),
            tls: None,
            cors: None,
            auth: None,
            max_request_body_size: MAX_BODY,
            include_metadata: false,
            response_headers: BTreeMap::new(),
            compression_algorithms: ALGORITHMS.map(String::from).to_vec(),
            read_timeout: GoDuration::default(),
            read_header_timeout: GoDuration(Duration::from_secs(60)),
            write_timeout: GoDuration(Duration::from_secs(30)),
            idle_timeout: GoDuration(Duration::from_secs(60)),
            keep_alives_enabled: true,
            middlewares: Vec::new(),
            traces_url_path: "/v1/traces".into(),
            metrics_url_path: "/v1/metrics".into(),
            logs_url_path: "/v1/logs".into(),
            profiles_url_path: "/v1development/profiles".into(),
            max_connections: MAX_CONNECTIONS,
            overload_status: 429,
        }
    }
}

impl Http {
    /// The largest body in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        let bytes = if self.max_request_body_size == 0 { MAX_BODY } else { self.max_request_body_size };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The encodings that are taken.
    #[must_use]
    pub fn encodings(&self) -> Vec<Encoding> {
        self.compression_algorithms.iter().filter_map(|name| algorithm(name)).collect()
    }
}

/// `compression_algorithms` also knows "none".
fn algorithm(name: &str) -> Option<Encoding> {
    if name == "none" { Some(Encoding::Identity) } else { Encoding::parse(name) }
}

/// `cors` of an HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins such as `https://a.example`, each with at most one `*` anywhere in it; `*` alone is every origin.
    pub allowed_origins: Vec<String>,
    /// Headers a browser may send beyond the safelisted ones; `*` is any. Content-Type and Origin, Accept, X-Requested-With always may.
    pub allowed_headers: Vec<String>,
    /// Headers of the answer that a script may read.
    pub exposed_headers: Vec<String>,
    /// Seconds for which a browser may remember a preflight's answer.
    pub max_age: u64,
}

/// `auth` of a server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthRef {
    /// The id of the extension.
    pub authenticator: String,
    /// No effect: credentials are taken from headers only.
    pub request_params: Vec<String>,
}

/// An element of `middlewares`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Middleware {
    /// The id of the extension.
    pub id: String,
}

impl Config {
    /// Everything that is wrong and serde cannot see. TLS files are looked at when the receiver is bound.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |key: &str, message: String| problems.push(Problem::new(format!("protocols{key}"), message));
        let Protocols { grpc, http } = &self.protocols;
        let (grpc, http) = (grpc.as_ref().filter(|g| g.enabled), http.as_ref().filter(|h| h.enabled));
        if grpc.is_none() && http.is_none() {
            add("", "must specify at least one of grpc and http".into());
        }
        if let Some(g) = grpc {
            common(".grpc", &g.endpoint, &g.transport, g.auth.as_ref(), &g.middlewares, &mut add);
        }
        if let Some(h) = http {
            common(".http", &h.endpoint, &h.transport, h.auth.as_ref(), &h.middlewares, &mut add);
            let paths = [&h.traces_url_path, &h.metrics_url_path, &h.logs_url_path];
            for (key, path) in ["traces_url_path", "metrics_url_path", "logs_url_path"].iter().zip(paths) {
                if !path.starts_with('/') {
                    add(&format!(".http.{key}"), format!("{path:?} does not begin with a slash"));
                } else if paths.iter().filter(|p| **p == path).count() > 1 {
                    add(&format!(".http.{key}"), format!("{path:?} is the path of another signal too"));
                }
            }
            for name in h.compression_algorithms.iter().filter(|name| algorithm(name).is_none()) {
                let known = &ALGORITHMS[1..];
                add(".http.compression_algorithms", format!("{name:?} is not known; use {}", known.join(", ")));
            }
            for (name, value) in &h.response_headers {
                let legal = http::HeaderName::try_from(name).is_ok() && http::HeaderValue::from_str(value.expose()).is_ok();
                if !legal {
                    add(".http.response_headers", format!("{name:?} or its value is not a legal header"));
                }
            }
            if !matches!(h.overload_status, 429 | 503) {
                add(".http.overload_status", "must be 429 or 503".into());
            }
        }
        problems
    }

    /// Keys that are set and have no effect here, each with the reason.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings = Vec::new();
        let mut warn = |set: bool, key: &str, why: &str| {
            if set {
                warnings.push(Problem::new(format!("protocols.{key}"), format!("has no effect: {why}")));
            }
        };
        let metadata = "only the tenant header is kept";
        if let Some(g) = &self.protocols.grpc {
            warn(g.read_buffer_size > 0, "grpc.read_buffer_size", "buffers grow with what arrives");
            warn(g.write_buffer_size > 0, "grpc.write_buffer_size", "answers are written as they are");
            warn(g.include_metadata, "grpc.include_metadata", metadata);
            let policy = g.keepalive.as_ref().map(|k| k.enforcement_policy).unwrap_or_default();
            warn(policy != EnforcementPolicy::default(), "grpc.keepalive.enforcement_policy", "pings of clients are not policed");
            for key in g.tls.iter().flat_map(ServerTls::without_effect) {
                warn(true, &format!("grpc.tls.{key}"), "it is a client's setting");
            }
        }
        if let Some(h) = &self.protocols.http {
            warn(h.include_metadata, "http.include_metadata", metadata);
            let profiles = h.profiles_url_path != Http::default().profiles_url_path;
            warn(profiles, "http.profiles_url_path", "profiles are not served");
            let params = h.auth.as_ref().is_some_and(|a| !a.request_params.is_empty());
            warn(params, "http.auth.request_params", "credentials are taken from headers only");
            for key in h.tls.iter().flat_map(ServerTls::without_effect) {
                warn(true, &format!("http.tls.{key}"), "it is a client's setting");
            }
        }
        warnings
    }
}

fn common(
    block: &str,
    endpoint: &str,
    transport: &str,
    auth: Option<&AuthRef>,
    middlewares: &[Middleware],
    add: &mut impl FnMut(&str, String),
) {
    let port = endpoint.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        add(&format!("{block}.endpoint"), format!("{endpoint:?} is not host:port"));
    }
    if !matches!(transport, "tcp" | "tcp4" | "tcp6" | "") {
        add(&format!("{block}.transport"), format!("{transport:?} is not supported; use tcp"));
    }
    if auth.is_some_and(|a| a.authenticator.is_empty()) {
        add(&format!("{block}.auth.authenticator"), "is missing".into());
    }
    for middleware in middlewares {
        add(&format!("{block}.middlewares"), format!("there is no middleware extension {:?}", middleware.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: nothing is enabled. Guarantee: one clear error.
    #[test]
    fn a_protocol_is_needed() {
        let off = Grpc { enabled: false, ..Grpc::default() };
        for config in [Config::default(), Config { protocols: Protocols { grpc: Some(off), http: None } }] {
            let problems = config.validate();
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].key, "protocols");
        }
    }

    /// Scenario: the defaults of both transports. Guarantee: they are the collector's, valid, and warn of nothing.
    #[test]
    fn defaults_are_the_collectors() {
        let config = Config { protocols: Protocols { grpc: Some(Grpc::default()), http: Some(Http::default()) } };
        assert_eq!((config.validate(), config.warnings()), (vec![], vec![]));
        let Protocols { grpc: Some(grpc), http: Some(http) } = config.protocols else { unreachable!() };
        assert_eq!((grpc.endpoint.as_str(), grpc.max_message()), ("localhost:4317", 4 << 20));
        assert_eq!((http.endpoint.as_str(), http.max_body()), ("localhost:4318", 20 << 20));
    }

    /// Scenario: several mistakes in one block. Guarantee: all are told, each at its key.
    #[test]
    fn every_mistake_is_told_at_its_key() {
        let http = Http {
            endpoint: "localhost".into(),
            transport: "udp".into(),
            logs_url_path: "logs".into(),
            traces_url_path: "/v1/metrics".into(),
            compression_algorithms: vec!["br".into()],
            overload_status: 500,
            auth: Some(AuthRef::default()),
            middlewares: vec![Middleware { id: "x".into() }],
            ..Http::default()
        };
        let problems = Config { protocols: Protocols { grpc: None, http: Some(http) } }.validate();
        let keys: Vec<_> = problems.iter().map(|p| p.key.trim_start_matches("protocols.http.")).collect();
        let expected = [
            "endpoint",
            "transport",
            "auth.authenticator",
            "middlewares",
            "traces_url_path",
            "metrics_url_path",
            "logs_url_path",
            "compression_algorithms",
            "overload_status",
        ];
        assert_eq!(keys, expected);
    }
}
