//! Who may send: the collector's `bearertokenauth` extension, and basic credentials.
//!
//! The app builds an [`Authenticator`] from an extension and hands it to the receivers that name it; a receiver asks it before it reads
//! anything else of a request. Every known credential is compared, each in constant time, so that an answer's timing says nothing
//! about which one was nearly right.
//!
//! It does not authorise: whoever is let in may send everything.

use crate::htpasswd::Htpasswd;
use arc_swap::ArcSwap;
use base64::Engine;
use config::{Report, Secret, Validate};
use flow::Stop;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use subtle::{Choice, ConstantTimeEq};

/// How often a token file is looked at.
const POLL: Duration = Duration::from_secs(5);

/// Credentials that cannot be put to use.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A setting is missing or wrong.
    #[error("{key}: {message}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The token file cannot be read.
    #[error("{key}: cannot read {file}: {source}")]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl AuthError {
    /// What only exporters can use.
    #[must_use]
    pub fn for_exporters() -> AuthError {
        AuthError::Setting { key: "", message: "it is for exporters only".into() }
    }

    /// What only receivers can use.
    #[must_use]
    pub fn for_receivers() -> AuthError {
        AuthError::Setting { key: "", message: "it is for receivers only".into() }
    }

    /// Tells a report: a file that is not there may only be absent from this machine.
    pub fn tell(self, report: &mut Report<'_>) {
        match self {
            AuthError::Setting { key, message } => report.error(key, message),
            AuthError::File { key, file, source } => {
                let text = format!("cannot read {file}: {source}");
                if source.kind() == ErrorKind::NotFound { report.absent(key, text) } else { report.error(key, text) }
            }
        }
    }
}

/// The `bearertokenauth` extension.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BearerConfig {
    /// The header that carries the token.
    pub header: String,
    /// What stands before the token in it. Empty: nothing.
    pub scheme: String,
    /// The token.
    pub token: Secret,
    /// More tokens, each as good as the other.
    pub tokens: Vec<Secret>,
    /// A file with one token in each line, looked at again when it changes. It takes the place of the others.
    pub filename: String,
    /// No effect: a token file must be there at the start.
    pub wait_for_token_file: Option<bool>,
    /// No effect: as above.
    pub retry_on_failure: Option<serde_json::Value>,
}

impl Validate for BearerConfig {
    /// The token file is read, as the start would.
    fn validate(&self, report: &mut Report<'_>) {
        for key in ["wait_for_token_file", "retry_on_failure"] {
            if report.is_in_use(key) {
                report.warning(
                    key,
                    "has no effect: the token file must be there at the start, and is looked at again when it changes",
                );
            }
        }
        if let Err(error) = Bearer::new(self) {
            error.tell(report);
        }
    }
}

impl Default for BearerConfig {
    fn default() -> Self {
        BearerConfig {
            header: "authorization".into(),
            scheme: "Bearer".into(),
            token: Secret::default(),
            tokens: Vec::new(),
            filename: String::new(),
            wait_for_token_file: None,
            retry_on_failure: None,
        }
    }
}

/// The tokens of a [`BearerConfig`].
#[derive(Debug)]
pub struct Bearer {
    header: HeaderName,
    scheme: String,
    filename: String,
    tokens: ArcSwap<Vec<Secret>>,
}

impl Bearer {
    /// Takes the tokens over, from the file if there is one.
    ///
    /// # Errors
    /// There is no token, or the file cannot be read.
    pub fn new(config: &BearerConfig) -> Result<Bearer, AuthError> {
        let header = HeaderName::from_bytes(config.header.as_bytes())
            .map_err(|_| AuthError::Setting { key: "header", message: "not a header name".into() })?;
        let tokens = if config.filename.is_empty() {
            std::iter::once(&config.token).chain(&config.tokens).filter(|t| !t.is_empty()).cloned().collect()
        } else {
            read_tokens(&config.filename)?
        };
        if tokens.is_empty() {
            return Err(AuthError::Setting {
                key: "token",
                message: "no bearer token: set token, tokens or filename".into(),
            });
        }
        let (scheme, filename) = (config.scheme.clone(), config.filename.clone());
        Ok(Bearer { header, scheme, filename, tokens: ArcSwap::from_pointee(tokens) })
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(&self.header).map(http::HeaderValue::as_bytes) else { return false };
        let Some(token) = after_scheme(value, &self.scheme) else { return false };
        let tokens = self.tokens.load();
        tokens.iter().fold(Choice::from(0), |any, t| any | t.expose().as_bytes().ct_eq(token)).into()
    }

    /// Takes over the tokens of a changed file until a stop is requested. A bad file changes nothing.
    pub async fn watch(&self, stop: &Stop) {
        if self.filename.is_empty() {
            return;
        }
        let mut stamp = stamp(&self.filename).await;
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                _ = stop.requested() => return,
            }
            let now = self::stamp(&self.filename).await;
            if now != stamp {
                stamp = now;
                self.reload();
            }
        }
    }

    /// Reads the token file now; whether the new tokens are in force.
    pub fn reload(&self) -> bool {
        match read_tokens(&self.filename) {
            Ok(tokens) if !tokens.is_empty() => {
                self.tokens.store(Arc::new(tokens));
                tracing::info!(file = self.filename, "bearer tokens loaded");
                true
            }
            Ok(_) => {
                tracing::warn!(file = self.filename, "the token file is empty: the old tokens stay in force");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the token file is bad: the old tokens stay in force");
                false
            }
        }
    }
}

/// Basic authentication: who sends names a user and gives that user's password.
#[derive(Debug)]
pub struct Basic {
    users: Htpasswd,
}

impl Basic {
    /// With these users.
    #[must_use]
    pub fn new(users: Htpasswd) -> Basic {
        Basic { users }
    }

    async fn allows(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let Some(encoded) = value.and_then(|v| after_scheme(v, "Basic")) else { return false };
        let Ok(given) = base64::engine::general_purpose::STANDARD.decode(encoded) else { return false };
        let Ok(given) = String::from_utf8(given) else { return false };
        let Some((user, password)) = given.split_once(':') else { return false };
        self.users.allows(user, password).await
    }
}

/// What a receiver asks.
#[derive(Clone, Debug)]
pub enum Authenticator {
    /// A token.
    Bearer(Arc<Bearer>),
    /// Names and passwords.
    Basic(Arc<Basic>),
}

impl Authenticator {
    /// Whether the sender of these headers may send.
    pub async fn allows(&self, headers: &HeaderMap) -> bool {
        match self {
            Authenticator::Bearer(bearer) => bearer.allows(headers),
            Authenticator::Basic(basic) => basic.allows(headers).await,
        }
    }

    /// What the credential in these headers, which was right, says of its sender under this name.
    #[must_use]
    pub fn attribute(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        let Authenticator::Basic(_) = self else { return None };
        let value = headers.get(http::header::AUTHORIZATION)?.as_bytes();
        let raw = std::str::from_utf8(after_scheme(value, "Basic")?).ok()?;
        if name == "raw" {
            return Some(raw.to_owned());
        }
        let pair = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(raw).ok()?).ok()?;
        Some(pair.split_once(':')?.0.to_owned()).filter(|_| name == "username")
    }

    /// The value of `WWW-Authenticate` for those who may not.
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        match self {
            Authenticator::Bearer(_) => "Bearer",
            Authenticator::Basic(_) => "Basic realm=\"bywash\"",
        }
    }
}

/// What follows the scheme, whose name has no case (RFC 9110 §11.1).
fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    if scheme.is_empty() {
        return Some(value);
    }
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let token = rest.strip_prefix(b" ")?;
    name.eq_ignore_ascii_case(scheme.as_bytes()).then_some(token.trim_ascii())
}

fn read_tokens(file: &str) -> Result<Vec<Secret>, AuthError> {
    let text = std::fs::read_to_string(file).map_err(|source| AuthError::File {
        key: "filename",
        file: file.to_owned(),
        source,
    })?;
    Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| Secret::from(l.to_owned())).collect())
}

async fn stamp(file: &str) -> Option<(u64, Option<SystemTime>)> {
    tokio::fs::metadata(file).await.ok().map(|m| (m.len(), m.modified().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().unwrap())])
    }

    fn bearer(config: BearerConfig) -> Authenticator {
        Authenticator::Bearer(Arc::new(Bearer::new(&config).unwrap()))
    }

    /// Scenario: two tokens; right, nearly right, missing and misplaced ones. Guarantee: only a whole token behind its scheme opens.
    #[tokio::test]
    async fn only_a_whole_token_opens() {
        let auth = bearer(BearerConfig {
            token: "alpha".to_owned().into(),
            tokens: vec!["beta".to_owned().into()],
            ..Default::default()
        });
        for good in ["Bearer alpha", "bearer beta"] {
            assert!(auth.allows(&headers(good)).await, "{good}");
        }
        for bad in
            ["Bearer alph", "Bearer alphaa", "Bearer ", "Bearer", "alpha", "Basic alpha", "Bearer alpha beta", ""]
        {
            assert!(!auth.allows(&headers(bad)).await, "{bad}");
        }
        assert!(!auth.allows(&HeaderMap::new()).await);
    }

    /// Scenario: no token at all. Guarantee: an error, not an open door.
    #[test]
    fn no_token_is_an_error() {
        assert!(Bearer::new(&BearerConfig::default()).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        let filename = file.path().to_str().unwrap().to_owned();
        assert!(Bearer::new(&BearerConfig { filename, ..Default::default() }).is_err());
    }

    /// Scenario: another scheme in another header. Guarantee: both are honoured.
    #[tokio::test]
    async fn header_and_scheme_are_configurable() {
        let config = BearerConfig {
            header: "x-key".into(),
            scheme: String::new(),
            token: "k".to_owned().into(),
            ..Default::default()
        };
        let auth = bearer(config);
        assert!(auth.allows(&HeaderMap::from_iter([(HeaderName::from_static("x-key"), "k".parse().unwrap())])).await);
        assert!(!auth.allows(&headers("k")).await);
    }

    /// Scenario: the token file changes, then becomes empty. Guarantee: the new token opens and the old does not; an empty file changes nothing.
    #[tokio::test(start_paused = true)]
    async fn a_changed_token_file_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "old\n").unwrap();
        let bearer =
            Bearer::new(&BearerConfig { filename: path.to_str().unwrap().into(), ..Default::default() }).unwrap();
        assert!(bearer.allows(&headers("Bearer old")));
        std::fs::write(&path, "new-1\nnew-2\n").unwrap();
        assert!(bearer.reload());
        assert!(bearer.allows(&headers("Bearer new-2")) && !bearer.allows(&headers("Bearer old")));
        std::fs::write(&path, "").unwrap();
        assert!(!bearer.reload());
        assert!(bearer.allows(&headers("Bearer new-1")));
    }

    /// Scenario: basic credentials, right and wrong. Guarantee: only the pair opens.
    #[tokio::test]
    async fn basic_credentials_are_a_pair() {
        let auth = Authenticator::Basic(Arc::new(Basic::new(Htpasswd::parse("u:p:q\nv:w").unwrap())));
        let encoded = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        assert!(auth.allows(&headers(&encoded("u:p:q"))).await && auth.allows(&headers(&encoded("v:w"))).await);
        for bad in ["u:p", "x:p:q", "", "u", "u:w"] {
            assert!(!auth.allows(&headers(&encoded(bad))).await);
        }
        assert!(!auth.allows(&headers("Basic !!!")).await);
    }

    /// Scenario: the configuration is printed. Guarantee: no token in it.
    #[test]
    fn tokens_never_print() {
        let config = BearerConfig { token: "hush".to_owned().into(), ..Default::default() };
        assert!(!format!("{config:?} {:?}", bearer(config.clone())).contains("hush"));
    }
}
