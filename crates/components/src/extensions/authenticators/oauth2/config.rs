//! The keys of `oauth2client`: the collector's, with its defaults.

use super::{OAuth2, encoded};
use config::{GoDuration, Report, Secret, Validate};
use net::tls::client::TlsConfig;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The grant that is known here.
const GRANT: &str = "client_credentials";

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The client's id.
    pub client_id: String,
    /// A file with it, which comes first and is looked at again.
    pub client_id_file: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// A file with it, which comes first and is looked at again.
    pub client_secret_file: String,
    /// The URL of the server that grants tokens.
    pub token_url: String,
    /// What the token is to be good for.
    pub scopes: Vec<String>,
    /// More parameters of the request.
    pub endpoint_params: BTreeMap<String, Vec<Secret>>,
    /// TLS of an `https://` URL.
    pub tls: TlsConfig,
    /// The longest that a request may take. 0: 30 s.
    pub timeout: GoDuration,
    /// So long before its end a token is replaced, but not before the middle of its life.
    pub expiry_buffer: GoDuration,
    /// Must be `client_credentials`.
    pub grant_type: String,
    /// Only of the other grant: no effect.
    pub audience: Option<serde_json::Value>,
    /// As above.
    pub iss: Option<serde_json::Value>,
    /// As above.
    pub claims: Option<serde_json::Value>,
    /// As above.
    pub signature_algorithm: Option<serde_json::Value>,
    /// As above.
    pub client_certificate_key: Secret,
    /// As above.
    pub client_certificate_key_file: Option<String>,
    /// As above.
    pub client_certificate_key_id: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            client_id: String::new(),
            client_id_file: String::new(),
            client_secret: Secret::default(),
            client_secret_file: String::new(),
            token_url: String::new(),
            scopes: vec![],
            endpoint_params: BTreeMap::new(),
            tls: TlsConfig::default(),
            timeout: GoDuration::default(),
            expiry_buffer: GoDuration(std::time::Duration::from_secs(300)),
            grant_type: GRANT.to_owned(),
            audience: None,
            iss: None,
            claims: None,
            signature_algorithm: None,
            client_certificate_key: Secret::default(),
            client_certificate_key_file: None,
            client_certificate_key_id: None,
        }
    }
}

/// Keys of a grant by a signed statement.
const JWT: [&str; 7] = [
    "audience",
    "iss",
    "claims",
    "signature_algorithm",
    "client_certificate_key",
    "client_certificate_key_file",
    "client_certificate_key_id",
];

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        let before = [
            ("client_id", self.client_id.is_empty() && self.client_id_file.is_empty(), "no ClientID provided"),
            (
                "client_secret",
                self.client_secret.is_empty() && self.client_secret_file.is_empty(),
                "no ClientSecret provided",
            ),
            ("token_url", self.token_url.is_empty(), "no TokenURL provided"),
        ];
        before.iter().filter(|(_, is_missing, _)| *is_missing).for_each(|(key, _, why)| report.error(key, *why));
        if self.grant_type != GRANT && !self.grant_type.is_empty() {
            report.error("grant_type", "only `client_credentials` is supported: statements are not signed here");
        }
        for key in JWT {
            if report.is_in_use(key) {
                let text = "has no effect: it belongs to the grant by a signed statement, which is not supported";
                report.warning(key, text);
            }
        }
        if self.endpoint_params.contains_key("scope") && !self.scopes.is_empty() {
            report.error("endpoint_params.scope", "cannot be set together with `scopes`");
        }
        if self.token_url.starts_with("https://") {
            report.nested("tls", &self.tls);
        }
        if before.iter().all(|(_, is_missing, _)| !is_missing)
            && let Err(error) = OAuth2::new(self)
        {
            error.tell(report);
        }
    }
}

impl Config {
    /// The body of a request, without the client's credentials. `endpoint_params` may name another grant, as in the collector.
    pub(super) fn form(&self) -> String {
        let mut pairs = vec![];
        if !self.endpoint_params.contains_key("grant_type") {
            pairs.push(format!("grant_type={GRANT}"));
        }
        if !self.scopes.is_empty() {
            pairs.push(format!("scope={}", encoded(&self.scopes.join(" "))));
        }
        for (name, values) in &self.endpoint_params {
            pairs.extend(values.iter().map(|value| format!("{}={}", encoded(name), encoded(value.expose()))));
        }
        pairs.join("&")
    }
}
