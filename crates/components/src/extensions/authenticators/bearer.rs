//! `bearertokenauth` for exporters: the first of the tokens, in the header that receivers look for it in.
//!
//! Who may send is [`net::auth`]'s.

use config::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use net::auth::{AuthError, BearerConfig};
use net::client::auth::{Authenticator, Pending, Unsignable, Unsigned, secret_header};
use net::secret_file::{SecretFile, first_line};
use std::future::ready;

/// A token that is shown.
#[derive(Debug)]
pub struct Bearer {
    header: HeaderName,
    scheme: String,
    token: SecretFile,
}

impl Bearer {
    /// Of a valid configuration.
    ///
    /// # Errors
    /// The file of the token cannot be read.
    pub fn new(config: &BearerConfig) -> Result<Bearer, AuthError> {
        let header = HeaderName::from_bytes(config.header.as_bytes())
            .map_err(|_| AuthError::Setting { key: "header", message: "not a header name".into() })?;
        let token = config.tokens.first().unwrap_or(&config.token);
        let token = SecretFile::new("filename", token, &config.filename, first_line)?;
        Ok(Bearer { header, scheme: config.scheme.clone(), token })
    }

    fn value(&self, token: &Secret) -> Result<HeaderValue, Unsignable> {
        let space = if self.scheme.is_empty() { "" } else { " " };
        secret_header(format!("{}{space}{}", self.scheme, token.expose()))
    }
}

impl Authenticator for Bearer {
    fn sign<'a>(&'a self, _: Unsigned<'a>, headers: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>> {
        let value = self.value(&self.token.current());
        Box::pin(ready(value.map(|value| drop(headers.insert(&self.header, value)))))
    }

    /// The file may have changed since it was looked at.
    fn renew<'a>(&'a self, shown: &'a HeaderMap) -> Pending<'a, bool> {
        let value = self.value(&self.token.fresh());
        Box::pin(ready(value.is_ok_and(|value| shown.get(&self.header) != Some(&value))))
    }
}
