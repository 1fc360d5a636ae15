//! The `basicauth` extension: who may send to a receiver, or what an exporter shows.
//!
//! What receivers check is in [`net::auth`]; what an htpasswd file may hold, in [`net::htpasswd`].

use base64::Engine;
use config::{Report, Secret, Validate};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use net::auth::AuthError;
use net::client::auth::{Authenticator, Pending, Unsignable, Unsigned, secret_header};
use net::htpasswd::Htpasswd;
use net::secret_file::{SecretFile, whole};
use serde::Deserialize;
use std::future::ready;

/// The `basicauth` extension: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicConfig {
    /// Who may send.
    pub htpasswd: Option<HtpasswdConfig>,
    /// What an exporter shows.
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
    /// A file with it, which comes first and is looked at again.
    pub username_file: String,
    /// The user's password.
    pub password: Secret,
    /// A file with it, which comes first and is looked at again.
    pub password_file: String,
    /// With an extension that keeps secrets: not supported.
    pub secret_provider: Option<serde_json::Value>,
    /// In a store of Amazon: not supported.
    pub aws_secrets_manager: Option<serde_json::Value>,
}

impl Validate for BasicConfig {
    fn validate(&self, report: &mut Report<'_>) {
        match (&self.htpasswd, &self.client_auth) {
            (None, None) => report.error("", "one of `htpasswd` and `client_auth` must be set"),
            (Some(_), Some(_)) => report.error("client_auth", "only one of `htpasswd` and `client_auth` can be set"),
            (None, Some(client)) => report.nested("client_auth", client),
            (Some(_), None) => {}
        }
        let Some(htpasswd) = &self.htpasswd else { return };
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

impl Validate for ClientAuth {
    fn validate(&self, report: &mut Report<'_>) {
        let text = "there are no extensions that keep secrets; use `username_file` and `password_file`";
        for (key, is_set) in [
            ("secret_provider", self.secret_provider.is_some()),
            ("aws_secrets_manager", self.aws_secrets_manager.is_some()),
        ] {
            if is_set {
                report.error(key, text);
            }
        }
        if let Err(error) = Basic::new(self) {
            error.tell(report);
        }
    }
}

impl BasicConfig {
    /// Who may send.
    ///
    /// # Errors
    /// There is nobody, or the file cannot be read.
    pub fn users(&self) -> Result<Htpasswd, AuthError> {
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

/// A name and a password that are shown.
#[derive(Debug)]
pub struct Basic {
    username: SecretFile,
    password: SecretFile,
}

impl Basic {
    /// Of a configuration.
    ///
    /// # Errors
    /// A file cannot be read, or the name cannot be one.
    pub fn new(config: &ClientAuth) -> Result<Basic, AuthError> {
        let name = Secret::new(config.username.as_str());
        let username = SecretFile::new("username_file", &name, &config.username_file, whole)?;
        if username.current().expose().contains(':') {
            let key = if config.username_file.is_empty() { "username" } else { "username_file" };
            return Err(AuthError::Setting { key, message: "a name cannot have a colon".into() });
        }
        let password = SecretFile::new("password_file", &config.password, &config.password_file, whole)?;
        Ok(Basic { username, password })
    }

    fn value(username: &Secret, password: &Secret) -> Result<HeaderValue, Unsignable> {
        let pair = format!("{}:{}", username.expose(), password.expose());
        secret_header(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
    }
}

impl Authenticator for Basic {
    fn sign<'a>(&'a self, _: Unsigned<'a>, headers: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>> {
        let value = Basic::value(&self.username.current(), &self.password.current());
        Box::pin(ready(value.map(|value| drop(headers.insert(AUTHORIZATION, value)))))
    }

    /// The files may have changed since they were looked at.
    fn renew<'a>(&'a self, shown: &'a HeaderMap) -> Pending<'a, bool> {
        let value = Basic::value(&self.username.fresh(), &self.password.fresh());
        Box::pin(ready(value.is_ok_and(|value| shown.get(AUTHORIZATION) != Some(&value))))
    }
}
