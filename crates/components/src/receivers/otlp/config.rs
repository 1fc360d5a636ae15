//! The `otlp` receiver's configuration: the collector's keys and defaults, and a few limits of our own.
//!
//! A null `grpc:` or `http:` block means "with defaults". What makes no sense is an error; a key that is set and can do nothing
//! here is a warning that says why.

use config::{GoDuration, Report, Secret, Validate, optional};
use net::compression::Encoding;
use net::listen::MAX_CONNECTIONS;
use net::server::keys::{self, AuthRef, Cors, Middleware};
use net::tls::ServerTls;
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
    /// `host:port`; with `transport: unix` the path of a socket.
    pub endpoint: String,
    /// `tcp` (default), `tcp4`, `tcp6` or `unix`.
    pub transport: String,
    /// Absent: plaintext.
    #[serde(deserialize_with = "optional::block")]
    pub tls: Option<ServerTls>,
    /// The largest message, before and after decompression, in MiB. 0: 4.
    pub max_recv_msg_size_mib: u64,
    /// Requests at once on one connection. 0: 256.
    pub max_concurrent_streams: u32,
    /// No effect: buffers grow with what arrives.
    pub read_buffer_size: u64,
    /// No effect: answers are written as they are.
    pub write_buffer_size: u64,
    /// When connections are pinged and closed.
    #[serde(deserialize_with = "optional::block")]
    pub keepalive: Option<Keepalive>,
    /// Who may send.
    #[serde(deserialize_with = "optional::block")]
    pub auth: Option<AuthRef>,
    /// Whether headers of the sender are kept that something asks for.
    pub include_metadata: bool,
    /// There are none here.
    pub middlewares: Vec<Middleware>,
    /// The largest head of a request in bytes, by HTTP/2's measure: names and values, and 32 for each header. 0: 8 KiB.
    pub max_header_list_size: u64,
    /// Connections at once.
    pub max_connections: usize,
    /// No effect on a listener.
    pub dialer: keys::Dialer,
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
            max_header_list_size: 0,
            max_connections: MAX_CONNECTIONS,
            dialer: keys::Dialer::default(),
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
    #[serde(deserialize_with = "optional::block")]
    pub server_parameters: Option<ServerParameters>,
    /// What clients may do: accepted without effect, since pings are answered one at a time and cost next to nothing.
    #[serde(deserialize_with = "optional::block")]
    pub enforcement_policy: Option<EnforcementPolicy>,
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
    /// Whether a connection serves more than one request, and how long it waits for the next one; `read_header_timeout` ends that wait
    /// as well, and whichever is shorter holds.
    pub keepalive: keys::Keepalive,
    /// The former `keepalive.idle_timeout`.
    pub idle_timeout: Option<GoDuration>,
    /// The former `keepalive.enabled`.
    pub keep_alives_enabled: Option<bool>,
    /// No effect on a listener.
    pub dialer: keys::Dialer,
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
    /// The largest head of a request in bytes, by HTTP/2's measure: names and values, and 32 for each header. 0: 8 KiB.
    pub max_header_list_size: u64,
    /// Connections at once.
    pub max_connections: usize,
    /// The status that answers overload: 429, or 503 for clients that retry only that (some SDKs).
    pub overload_status: u16,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            enabled: true,
            endpoint: "localhost:4318".into(),
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
            traces_url_path: "/v1/traces".into(),
            metrics_url_path: "/v1/metrics".into(),
            logs_url_path: "/v1/logs".into(),
            profiles_url_path: "/v1development/profiles".into(),
            max_header_list_size: 0,
            max_connections: MAX_CONNECTIONS,
            overload_status: 429,
        }
    }
}

impl Http {
    /// The largest body in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        keys::max_body(self.max_request_body_size)
    }

    /// The encodings that are taken.
    #[must_use]
    pub fn encodings(&self) -> Vec<Encoding> {
        keys::encodings(&self.compression_algorithms)
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        let Protocols { grpc, http } = &self.protocols;
        let (grpc, http) = (grpc.as_ref().filter(|g| g.enabled), http.as_ref().filter(|h| h.enabled));
        if grpc.is_none() && http.is_none() {
            report.error("protocols", "at least one of `grpc` and `http` is needed");
        }
        if let Some(grpc) = grpc {
            report.nested("protocols.grpc", grpc);
        }
        if let Some(http) = http {
            report.nested("protocols.http", http);
        }
    }
}

impl Validate for Grpc {
    fn validate(&self, report: &mut Report<'_>) {
        keys::listener(&self.endpoint, &self.transport, &self.middlewares, report);
        keys::head(self.max_header_list_size, report);
        if self.read_buffer_size > 0 {
            report.warning("read_buffer_size", "`read_buffer_size` has no effect: buffers grow with what arrives");
        }
        if self.write_buffer_size > 0 {
            report.warning("write_buffer_size", "`write_buffer_size` has no effect: answers are written as they are");
        }
        let policy = self.keepalive.as_ref().and_then(|k| k.enforcement_policy).unwrap_or_default();
        if policy != EnforcementPolicy::default() {
            report.warning(
                "keepalive.enforcement_policy",
                "`enforcement_policy` has no effect: pings of clients are not policed",
            );
        }
        if let Some(tls) = &self.tls {
            report.nested("tls", tls);
        }
    }
}

impl Validate for Http {
    fn validate(&self, report: &mut Report<'_>) {
        keys::listener(&self.endpoint, &self.transport, &self.middlewares, report);
        keys::head(self.max_header_list_size, report);
        keys::http(&self.compression_algorithms, &self.response_headers, self.auth.as_ref(), report);
        keys::old_keepalive(report);
        let paths = [
            ("traces_url_path", &self.traces_url_path),
            ("metrics_url_path", &self.metrics_url_path),
            ("logs_url_path", &self.logs_url_path),
        ];
        for (key, path) in paths {
            if !path.starts_with('/') {
                report.error(key, format!("the path `{path}` does not begin with a slash"));
            } else if paths.iter().filter(|(_, other)| *other == path).count() > 1 {
                report.error(key, format!("the path `{path}` is that of another signal too"));
            }
        }
        if !matches!(self.overload_status, 429 | 503) {
            report.error("overload_status", "must be 429 or 503");
        }
        if report.is_set("profiles_url_path") {
            report.warning("profiles_url_path", "`profiles_url_path` has no effect: profiles are not served");
        }
        if let Some(tls) = &self.tls {
            report.nested("tls", tls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::path::Path;
    use config::source::Source;
    use config::{Diagnostics, Located, decode_valid};

    /// Reads a configuration; what was found, and the value if it is sound.
    fn read(text: &str) -> (Option<Config>, String) {
        let mut found = Diagnostics::new();
        found.absent_files_are_warnings();
        let node = config::parse::parse(&Source::new("test.yaml", text), &mut found).unwrap();
        let config = decode_valid(&Located { node: &node, path: Path::root() }, &mut found);
        (config, found.to_string())
    }

    /// Scenario: nothing is enabled, in two ways. Guarantee: an error that says what is needed.
    #[test]
    fn a_protocol_is_needed() {
        for text in ["protocols:\n", "protocols:\n  grpc:\n    enabled: false\n"] {
            let (config, found) = read(text);
            assert!(config.is_none() && found.contains("at least one of `grpc` and `http` is needed"), "{found}");
        }
    }

    /// Scenario: two empty blocks. Guarantee: both transports with the collector's defaults, and not a word.
    #[test]
    fn an_empty_block_means_defaults() {
        let (config, found) = read("protocols:\n  grpc:\n  http:\n");
        assert_eq!(found, "");
        let protocols = config.unwrap().protocols;
        assert_eq!((&protocols.grpc, &protocols.http), (&Some(Grpc::default()), &Some(Http::default())));
        let (grpc, http) = (Grpc::default(), Http::default());
        assert_eq!((grpc.endpoint.as_str(), grpc.max_message()), ("localhost:4317", 4 << 20));
        assert_eq!((http.endpoint.as_str(), http.max_body()), ("localhost:4318", 20 << 20));
    }

    /// Scenario: every key of the collector. Guarantee: all are taken; those without effect are warned about.
    #[test]
    fn every_key_of_the_collector_is_taken() {
        let (config, found) = read(include_str!("tests/all_keys.yaml"));
        let config = config.unwrap_or_else(|| panic!("{found}"));
        for key in ["read_buffer_size", "enforcement_policy", "profiles_url_path", "request_params", "ca_file"] {
            assert!(found.contains(&format!("`{key}` has no effect")), "{key}: {found}");
        }
        let grpc = config.protocols.grpc.unwrap();
        assert_eq!((grpc.max_message(), grpc.max_concurrent_streams), (16 << 20, 7));
        assert_eq!(grpc.keepalive.unwrap().server_parameters.unwrap().max_connection_age.0, Duration::from_secs(90));
    }

    /// Scenario: several mistakes in one block. Guarantee: all are told.
    #[test]
    fn every_mistake_is_told() {
        let (config, found) = read(
            "protocols:\n  http:\n    endpoint: localhost\n    transport: udp\n    logs_url_path: logs\n    \
             traces_url_path: /v1/metrics\n    compression_algorithms: [br]\n    overload_status: 500\n    \
             middlewares: [{id: x}]\n    response_headers: {\"a b\": c}\n",
        );
        assert!(config.is_none());
        let expected = [
            "`localhost` is not of the form host:port",
            "transport `udp`",
            "`logs` does not begin",
            "`/v1/metrics` is that of another",
            "`br` is not known",
            "429 or 503",
            "middleware extension `x`",
            "`a b` or its value",
        ];
        for text in expected {
            assert!(found.contains(text), "{text}: {found}");
        }
    }
}
