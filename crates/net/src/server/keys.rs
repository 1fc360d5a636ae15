//! The collector's `confighttp` server: the keys that every HTTP receiver has, with their defaults and rules.
//!
//! Each receiver has its own struct, because unknown keys are errors and serde cannot have both that and a shared struct within another.

use crate::compression::Encoding;
use crate::socket;
use config::{ComponentId, GoDuration, Report, Secret};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// `max_request_body_size` when it is not set, in bytes.
pub const MAX_BODY: u64 = 20 << 20;

/// `max_header_list_size` when it is not set, and the least and the most that it may be, in bytes.
pub const MAX_HEAD: u32 = 8 << 10;
const HEADS: std::ops::RangeInclusive<u64> = 1 << 10..=256 << 10;

/// `max_header_list_size` in bytes; 0 is its default.
#[must_use]
pub fn max_head(size: u64) -> u32 {
    if size == 0 { MAX_HEAD } else { u32::try_from(size).unwrap_or(u32::MAX) }
}

/// The rule of `max_header_list_size`.
pub fn head(size: u64, report: &mut Report<'_>) {
    if size != 0 && !HEADS.contains(&size) {
        report.error("max_header_list_size", "must be 0 (for 8192), or from 1024 to 262144 bytes");
    }
}

/// `compression_algorithms` when it is not set.
pub const ALGORITHMS: [&str; 7] = ["", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4"];

/// `max_request_body_size` in bytes; 0 is its default.
#[must_use]
pub fn max_body(size: u64) -> usize {
    usize::try_from(if size == 0 { MAX_BODY } else { size }).unwrap_or(usize::MAX)
}

/// The encodings that `compression_algorithms` lists.
#[must_use]
pub fn encodings(algorithms: &[String]) -> Vec<Encoding> {
    algorithms.iter().filter_map(|name| algorithm(name)).collect()
}

/// `compression_algorithms` also knows "none".
fn algorithm(name: &str) -> Option<Encoding> {
    if name == "none" { Some(Encoding::Identity) } else { Encoding::parse(name) }
}

/// `response_headers` as they are sent; what is no legal header, which validation reports, is left out.
#[must_use]
pub fn headers(pairs: &BTreeMap<String, Secret>) -> HeaderMap {
    let legal = |(name, value): (&String, &Secret)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.expose()).ok()?))
    };
    pairs.iter().filter_map(legal).collect()
}

/// A timeout of which 0 is none.
#[must_use]
pub fn timeout(limit: GoDuration) -> Option<Duration> {
    (!limit.0.is_zero()).then_some(limit.0)
}

/// `keepalive` of an HTTP server: connections that serve more than one request.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keepalive {
    /// False: a connection serves one request.
    pub enabled: bool,
    /// Between two requests. 0: no limit of its own.
    pub idle_timeout: GoDuration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { enabled: true, idle_timeout: GoDuration::from_secs(60) }
    }
}

/// The keys that `keepalive` took the place of, both of which the collector has removed in 0.165.
#[must_use]
pub fn keepalive(new: Keepalive, keep_alives_enabled: Option<bool>, idle_timeout: Option<GoDuration>) -> Keepalive {
    Keepalive {
        enabled: keep_alives_enabled.unwrap_or(new.enabled),
        idle_timeout: idle_timeout.unwrap_or(new.idle_timeout),
    }
}

/// Tells of the keys that `keepalive` took the place of.
pub fn old_keepalive(report: &mut Report<'_>) {
    for (key, new) in
        [("keep_alives_enabled", "keepalive: {enabled: …}"), ("idle_timeout", "keepalive: {idle_timeout: …}")]
    {
        match (report.is_set(key), report.is_set("keepalive")) {
            (false, _) => {}
            (true, true) => report.error(key, format!("cannot be set together with `keepalive`; write `{new}`")),
            (true, false) => report.warning(key, format!("was removed from the collector; write `{new}`")),
        }
    }
}

/// `dialer`, which an address has in the collector: of a listener it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dialer {
    /// No effect.
    pub timeout: GoDuration,
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthRef {
    /// The id of the extension.
    pub authenticator: ComponentId,
    /// No effect: credentials are taken from headers only.
    #[serde(default)]
    pub request_params: Vec<String>,
}

/// An element of `middlewares`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Middleware {
    /// The id of the extension.
    pub id: ComponentId,
}

/// The rules of an HTTP server's keys.
pub fn http(
    algorithms: &[String],
    response_headers: &BTreeMap<String, Secret>,
    auth: Option<&AuthRef>,
    report: &mut Report<'_>,
) {
    for name in algorithms.iter().filter(|name| algorithm(name).is_none()) {
        let known = ALGORITHMS[1..].join(", ");
        report.error("compression_algorithms", format!("`{name}` is not known; there are {known}"));
    }
    for (name, value) in response_headers {
        if HeaderName::try_from(name).is_err() || HeaderValue::from_str(value.expose()).is_err() {
            report.error("response_headers", format!("`{name}` or its value is no legal header"));
        }
    }
    if auth.is_some_and(|a| !a.request_params.is_empty()) {
        report
            .warning("auth.request_params", "`request_params` has no effect: credentials are taken from headers only");
    }
}

/// The endpoint that `endpoint` and `transport` mean; of those that are wrong, which validation reports, as it is written.
#[must_use]
pub fn endpoint(endpoint: &str, transport: &str) -> String {
    socket::endpoint(endpoint, transport).unwrap_or_else(|_| endpoint.to_owned())
}

/// The rules of any server's keys.
pub fn listener(endpoint: &str, transport: &str, middlewares: &[Middleware], report: &mut Report<'_>) {
    if let Err((key, message)) = socket::endpoint(endpoint, transport) {
        report.error(key, message);
        if let (Err((_, message)), "transport") = (socket::endpoint(endpoint, "tcp"), key) {
            report.error("endpoint", message);
        }
    }
    if report.is_set("dialer") {
        report.warning("dialer", "has no effect: nothing is dialled by a listener");
    }
    for middleware in middlewares {
        report.error("middlewares", format!("there is no middleware extension `{}`", middleware.id));
    }
}
