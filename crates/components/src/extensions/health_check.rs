//! The `health_check` extension: one page that answers 200 while data is taken and 503 while it is not.
//!
//! The body is the collector's (`status`, `upSince`, `uptime`) with `reasons` added when it is not available. What decides is
//! in [`telemetry::health`]. It does NOT check destinations.

use config::optional;
use config::{GoDuration, Report, Validate};
use flow::clock::rfc3339;
use http::StatusCode;
use net::pages::Page;
use net::server::keys;
use net::tls::ServerTls;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use telemetry::health::Status;

/// The collector's keys and defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens. Default localhost:13133.
    pub endpoint: String,
    /// The path of the page. Default `/`.
    pub path: String,
    /// Fixed bodies in place of the JSON.
    pub response_body: Option<ResponseBody>,
    /// TLS of the listener.
    #[serde(deserialize_with = "optional::block")]
    pub tls: Option<ServerTls>,
    /// No effect: the page is honest about the pipelines in any case.
    pub check_collector_pipeline: Option<serde_json::Value>,
    /// No effect: the page is for everyone.
    pub auth: Option<serde_json::Value>,
    /// No effect.
    pub cors: Option<serde_json::Value>,
    /// No effect: request bodies are not read.
    pub max_request_body_size: Option<u64>,
    /// No effect.
    pub include_metadata: Option<bool>,
    /// No effect.
    pub response_headers: Option<serde_json::Value>,
    /// No effect: request bodies are not read.
    pub compression_algorithms: Option<Vec<String>>,
    /// No effect: connections have fixed bounds.
    pub read_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub read_header_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub write_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub idle_timeout: Option<GoDuration>,
    /// No effect: connections have fixed bounds.
    pub keepalive: Option<keys::Keepalive>,
    /// No effect: connections have fixed bounds.
    pub keep_alives_enabled: Option<bool>,
    /// `tcp`, `tcp4` or `tcp6`.
    pub transport: String,
    /// No effect on a listener.
    pub dialer: keys::Dialer,
    /// There are none here.
    pub middlewares: Vec<keys::Middleware>,
}

/// Fixed bodies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseBody {
    /// With 200.
    pub healthy: String,
    /// With 503.
    pub unhealthy: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: "localhost:13133".to_owned(),
            path: "/".to_owned(),
            response_body: None,
            tls: None,
            check_collector_pipeline: None,
            auth: None,
            cors: None,
            max_request_body_size: None,
            include_metadata: None,
            response_headers: None,
            compression_algorithms: None,
            read_timeout: None,
            read_header_timeout: None,
            write_timeout: None,
            idle_timeout: None,
            keepalive: None,
            keep_alives_enabled: None,
            transport: String::new(),
            dialer: keys::Dialer::default(),
            middlewares: Vec::new(),
        }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        keys::listener(&self.endpoint, &self.transport, &self.middlewares, report);
        if self.transport == "unix" {
            report.error("transport", "the page cannot be on a Unix socket");
        }
        if let Some(tls) = &self.tls {
            report.nested("tls", tls);
        }
        if !self.path.starts_with('/') {
            report.error("path", "must begin with a `/`");
        }
        for (key, why) in [
            ("check_collector_pipeline", "the page is honest about the pipelines in any case"),
            ("auth", "the page is for everyone"),
            ("cors", "the page is not for browsers of other origins"),
            ("max_request_body_size", "request bodies are not read"),
            ("include_metadata", "there is no pipeline behind the page"),
            ("response_headers", "the page has none"),
            ("compression_algorithms", "request bodies are not read"),
            ("read_timeout", "connections have fixed bounds"),
            ("read_header_timeout", "connections have fixed bounds"),
            ("write_timeout", "connections have fixed bounds"),
            ("idle_timeout", "connections have fixed bounds"),
            ("keepalive", "connections have fixed bounds"),
            ("keep_alives_enabled", "connections have fixed bounds"),
        ] {
            if report.is_in_use(key) {
                report.warning(key, format!("has no effect: {why}"));
            }
        }
    }
}

impl Config {
    /// The page for a path and a state of health.
    #[must_use]
    pub fn page(&self, path: &str, status: &Status) -> Option<Page> {
        if path != self.path {
            return None;
        }
        let available = status.is_available();
        let code = if available { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if let Some(fixed) = &self.response_body {
            return Some(Page::text(code, if available { &fixed.healthy } else { &fixed.unhealthy }));
        }
        let uptime = GoDuration(Duration::from_millis(u64::try_from(status.uptime.as_millis()).unwrap_or(u64::MAX)));
        let mut body = json!({
            "status": if available { "Server available" } else { "Server not available" },
            "upSince": rfc3339(status.began_at),
            "uptime": uptime.to_string(),
        });
        if !available {
            body["reasons"] = json!(status.reasons);
        }
        Some(Page { status: code, content_type: "application/json", body: body.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reasons: &[&str]) -> Status {
        Status {
            reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
            began_at: Duration::from_secs(1_700_000_000),
            uptime: Duration::from_millis(61_500),
        }
    }

    /// Scenario: available and not. Guarantee: 200 and 503 with the collector's body, the latter with the reasons.
    #[test]
    fn the_page_says_what_is_wrong() {
        let page = Config::default().page("/", &status(&[])).unwrap();
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.body, r#"{"status":"Server available","upSince":"2023-11-14T22:13:20Z","uptime":"1m1.5s"}"#);
        let page = Config::default().page("/", &status(&["draining"])).unwrap();
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        let body: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!((&body["status"], &body["reasons"]), (&"Server not available".into(), &json!(["draining"])));
    }

    /// Scenario: another path, fixed bodies. Guarantee: only that path has a page, and it has those bodies.
    #[test]
    fn path_and_bodies_can_be_set() {
        let fixed = ResponseBody { healthy: "fine".into(), unhealthy: "ill".into() };
        let config = Config { path: "/live".into(), response_body: Some(fixed), ..Config::default() };
        assert_eq!(config.page("/", &status(&[])), None);
        assert_eq!(config.page("/live", &status(&[])).unwrap().body, "fine");
        let page = config.page("/live", &status(&["starting"])).unwrap();
        assert_eq!((page.status, page.body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "ill"));
    }
}
