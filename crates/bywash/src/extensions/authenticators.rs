//! The `bearertokenauth` and `basicauth` extensions: configurations from which receivers' authenticators are made.
//!
//! What they check is in [`crate::net::auth`]. For `basicauth`, `htpasswd` holds one `user:password` pair in plain text; hashes
//! are refused rather than compared as text. They do NOT add credentials to what is sent: that is the exporters' `headers`.

use crate::config::{Report, Secret, Validate};
use crate::net::auth::{AuthError, Authenticator, Basic, Bearer, BearerConfig};
use serde::Deserialize;
use std::sync::Arc;

/// One authenticator's configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthConfig {
    /// Tokens.
    Bearer(BearerConfig),
    /// A name and a password.
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
            AuthConfig::Basic(config) => Ok(Authenticator::Basic(Arc::new(config.credential()?))),
        }
    }
}

/// The `basicauth` extension.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicConfig {
    /// Who may send.
    pub htpasswd: Option<Htpasswd>,
    /// For exporters: not supported.
    pub client_auth: Option<serde_json::Value>,
}

/// Where the credential is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Htpasswd {
    /// In this file.
    pub file: String,
    /// In the configuration itself. It takes precedence.
    pub inline: Secret,
}

impl Validate for BasicConfig {
    fn validate(&self, report: &mut Report<'_>) {
        match &self.htpasswd {
            None => report.error("", "`htpasswd` is missing: it holds the credential of those who may send"),
            Some(htpasswd) if htpasswd.file.is_empty() && htpasswd.inline.is_empty() => {
                report.error("htpasswd", "one of `file` and `inline` must be set");
            }
            Some(_) => {}
        }
        if self.client_auth.is_some() {
            report.error("client_auth", "not supported; credentials of exporters go into their `headers`");
        }
    }
}

impl BasicConfig {
    fn credential(&self) -> Result<Basic, AuthError> {
        let htpasswd = self.htpasswd.clone().unwrap_or_default();
        if !htpasswd.inline.is_empty() {
            return parse(htpasswd.inline.expose());
        }
        let text = std::fs::read_to_string(&htpasswd.file)
            .map_err(|source| AuthError::File { file: htpasswd.file.clone(), source })?;
        parse(&text)
    }
}

fn parse(text: &str) -> Result<Basic, AuthError> {
    let wrong = |message: &str| AuthError::Setting { key: "htpasswd", message: message.to_owned() };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(wrong("exactly one `user:password` line is supported"));
    };
    let (username, password) = line.split_once(':').ok_or_else(|| wrong("a line is `user:password`"))?;
    if username.is_empty() || password.is_empty() {
        return Err(wrong("neither the user nor the password may be empty"));
    }
    if ["$2", "$apr1$", "$5$", "$6$", "{SHA}"].iter().any(|mark| password.starts_with(mark)) {
        return Err(wrong("hashed passwords are not supported; use a plain one by `${file:…}`, or bearertokenauth"));
    }
    Ok(Basic { username: username.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(inline: &str) -> Result<Authenticator, AuthError> {
        let htpasswd = Htpasswd { inline: Secret::new(inline), ..Htpasswd::default() };
        AuthConfig::Basic(BasicConfig { htpasswd: Some(htpasswd), client_auth: None }).build()
    }

    /// Scenario: one plain pair. Guarantee: exactly that pair opens.
    #[test]
    fn a_plain_pair_opens() {
        let auth = basic("# who\nu:p:q\n").unwrap();
        let header = |value: &str| http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().unwrap())]);
        assert!(auth.allows(&header("Basic dTpwOnE=")), "u:p:q");
        assert!(!auth.allows(&header("Basic dTpw")), "u:p");
    }

    /// Scenario: no pair, two, a hash, an unreadable file. Guarantee: an error that never shows the password.
    #[test]
    fn what_cannot_be_checked_is_an_error() {
        for bad in ["", "hunter2", "a:hunter2\nb:hunter2", "u:$2y$05$hunter2", ":hunter2", "u:"] {
            let error = basic(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let htpasswd = Htpasswd { file: "/nonexistent".into(), ..Htpasswd::default() };
        let config = BasicConfig { htpasswd: Some(htpasswd), client_auth: None };
        assert!(AuthConfig::Basic(config).build().unwrap_err().to_string().contains("/nonexistent"));
    }
}
