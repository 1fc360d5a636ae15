//! The `bearertokenauth` and `basicauth` extensions: configurations from which receivers' authenticators are made.
//!
//! What they check is in [`crate::net::auth`]; what an htpasswd file may hold, in [`crate::net::htpasswd`]. Whatever the start would
//! refuse is refused when the configuration is read. They do NOT add credentials to what is sent: that is the exporters' `headers`.

use crate::config::{Report, Secret, Validate};
use crate::net::auth::{AuthError, Authenticator, Basic, Bearer, BearerConfig};
use crate::net::htpasswd::Htpasswd;
use serde::Deserialize;
use std::sync::Arc;

/// One authenticator's configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthConfig {
    /// Tokens.
    Bearer(BearerConfig),
    /// Names and passwords.
    Basic(BasicConfig),
}

impl AuthConfig {
    /// The authenticator.
    ///
    /// # Errors
    /// There is no credential, or its file cannot be read.
    pub fn build(&self) -> Result<Authenticator, AuthError> {
        match self {
            AuthConfig::Bearer(config) => Ok(Authenticator::Bearer(Arc::new(Bearer::new(config)?))),
            AuthConfig::Basic(config) => Ok(Authenticator::Basic(Arc::new(Basic::new(config.users()?)))),
        }
    }

    /// Whether it says who may send; otherwise it is for exporters.
    #[must_use]
    pub fn is_for_receivers(&self) -> bool {
        match self {
            AuthConfig::Bearer(_) => true,
            AuthConfig::Basic(config) => config.htpasswd.is_some(),
        }
    }
}

/// The `basicauth` extension: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicConfig {
    /// Who may send.
    pub htpasswd: Option<HtpasswdConfig>,
    /// What an exporter sends: an exporter that asks for it is refused.
    pub client_auth: Option<ClientAuth>,
}

/// Where the credentials are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HtpasswdConfig {
    /// In this file.
    pub file: String,
    /// In the configuration itself, besides the file; of one user, this comes first.
    pub inline: Secret,
    /// With an extension that keeps secrets: not supported.
    pub secret_provider: Option<serde_json::Value>,
}

/// The credential of an exporter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientAuth {
    /// The user's name.
    pub username: String,
    /// A file with it.
    pub username_file: String,
    /// The user's password.
    pub password: Secret,
    /// A file with it.
    pub password_file: String,
    /// With an extension that keeps secrets.
    pub secret_provider: Option<serde_json::Value>,
}

impl Validate for BasicConfig {
    fn validate(&self, report: &mut Report<'_>) {
        let Some(htpasswd) = &self.htpasswd else {
            if self.client_auth.is_none() {
                report.error("", "one of `htpasswd` and `client_auth` must be set");
            }
            return;
        };
        if self.client_auth.is_some() {
            report.error("client_auth", "only one of `htpasswd` and `client_auth` can be set");
        }
        if htpasswd.secret_provider.is_some() {
            report
                .error("htpasswd.secret_provider", "there are no extensions that keep secrets; use `file` or `inline`");
        } else if htpasswd.file.is_empty() && htpasswd.inline.is_empty() {
            report.error("htpasswd", "one of `file` and `inline` must be set");
        } else if let Err(error) = self.users() {
            error.tell(report);
        }
    }
}

impl BasicConfig {
    fn users(&self) -> Result<Htpasswd, AuthError> {
        let htpasswd = self.htpasswd.clone().unwrap_or_default();
        let wrong = |key| move |message| AuthError::Setting { key, message };
        let inline = htpasswd.inline.expose();
        if htpasswd.file.is_empty() {
            return Htpasswd::parse(inline).map_err(wrong("htpasswd.inline"));
        }
        let file = &htpasswd.file;
        let text = std::fs::read_to_string(file).map_err(|source| AuthError::File {
            key: "htpasswd.file",
            file: file.clone(),
            source,
        })?;
        if inline.is_empty() {
            return Htpasswd::parse(&text).map_err(wrong("htpasswd.file"));
        }
        Htpasswd::parse(inline).map_err(wrong("htpasswd.inline"))?;
        Htpasswd::parse(&format!("{text}\n{inline}")).map_err(wrong("htpasswd.file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::problems;
    use base64::Engine;

    fn basic(inline: &str, file: &str) -> Result<Authenticator, AuthError> {
        let htpasswd =
            HtpasswdConfig { inline: Secret::new(inline), file: file.to_owned(), ..HtpasswdConfig::default() };
        AuthConfig::Basic(BasicConfig { htpasswd: Some(htpasswd), client_auth: None }).build()
    }

    async fn opens(auth: &Authenticator, pair: &str) -> bool {
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        auth.allows(&http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().unwrap())])).await
    }

    /// Scenario: users in the configuration, in a file, in both. Guarantee: all of them open; of one user the configuration's password.
    #[tokio::test]
    async fn users_come_from_the_configuration_and_from_a_file() {
        let auth = basic("# who\nu:p:q\n", "").unwrap();
        assert!(opens(&auth, "u:p:q").await && !opens(&auth, "u:p").await);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "u:theirs\nv:w").unwrap();
        let auth = basic("u:ours", file.path().to_str().unwrap()).unwrap();
        assert!(opens(&auth, "u:ours").await && opens(&auth, "v:w").await && !opens(&auth, "u:theirs").await);
    }

    /// Scenario: what cannot be checked, read before a start and at it. Guarantee: both refuse the same, at the key, and never show the
    /// password.
    #[test]
    fn what_the_start_refuses_the_check_refuses() {
        for (text, key) in [
            ("htpasswd: {inline: hunter2}", "htpasswd.inline"),
            ("htpasswd: {inline: 'u:$apr1$hunter2'}", "htpasswd.inline"),
            ("htpasswd: {inline: 'u:hunter2', file: /nonexistent}", "htpasswd.file"),
            ("htpasswd: {file: /nonexistent}", "htpasswd.file"),
            ("htpasswd: {}", "htpasswd"),
            ("{}", ""),
            ("{htpasswd: {inline: 'u:hunter2'}, client_auth: {username: a, password: hunter2}}", "client_auth"),
        ] {
            let found = problems::<BasicConfig>(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].0 == key && !found[0].1.contains("hunter2"), "{text}: {found:?}");
        }
        assert_eq!(problems::<BasicConfig>("htpasswd: {inline: \"u:p\\nv:w\"}"), []);
        assert_eq!(problems::<BasicConfig>("client_auth: {username: a, password: b}"), [], "told by who asks for it");
        assert!(problems::<BearerConfig>("{}")[0].1.contains("no bearer token"));
        assert_eq!(problems::<BearerConfig>("filename: /nonexistent")[0].0, "filename");
        assert_eq!(problems::<BearerConfig>("token: a"), []);
    }
}
