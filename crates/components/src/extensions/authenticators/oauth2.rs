//! The `oauth2client` extension: an exporter shows a token that it fetches with its own credentials (RFC 6749, section 4.4).
//!
//! One token serves all exporters that name the extension. It is fetched when it is first needed, again in the background some time
//! before it expires, and again when a backend refuses it; whoever needs it meanwhile waits for the same answer. A server that gives no
//! token is no fault of the data: the credential is halted, and requests wait.
//!
//! Invariants: at most one request for a token is under way; it goes on though nobody waits any more, and ends by `timeout`; what is
//! read of an answer is bounded; neither token nor secret is ever in a message.

mod config;
#[cfg(test)]
mod tests;

pub use self::config::Config;

use ::config::Secret;
use base64::Engine;
use bytes::Bytes;
use flow::{Kind, Why, clock, task};
use futures_util::FutureExt;
use futures_util::future::Shared;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use net::auth::AuthError;
use net::client::auth::{Authenticator, Pending, Unsignable, Unsigned, secret_header};
use net::client::connect::SystemResolver;
use net::client::http::{Answer, HttpClient, HttpConfig, connect_timeout};
use net::client::proxy::Proxies;
use net::client::tidy;
use net::client::url::Url;
use net::secret_file::{SecretFile, whole};
use net::tls::client::ClientTls;
use parking_lot::Mutex;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a request for a token may take where `timeout` does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A token is not shown any more so long before it expires, or a tenth of its life: the way takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);
/// Between two tries to replace a token that is still good.
const PAUSE: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(15);

type Fetch = Shared<Pending<'static, Result<Arc<Token>, Unsignable>>>;

/// The extension at work. Clones are the same.
#[derive(Clone)]
pub struct OAuth2(Arc<Inner>);

struct Inner {
    config: Config,
    url: Url,
    client: HttpClient,
    id: SecretFile,
    secret: SecretFile,
    /// The server takes the client's credentials in the body, not in a header.
    in_body: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// The request under way.
    fetch: Option<Fetch>,
    /// When a token that is still good may be tried to be replaced again.
    again: Option<Instant>,
}

/// A token, and how long it is good.
struct Token {
    header: HeaderValue,
    /// When a new one is asked for; `None`: never.
    renew_at: Option<Instant>,
    /// When it is not shown any more; `None`: never.
    ends_at: Option<Instant>,
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuth2({})", self.0.url.uri)
    }
}

/// What the server of tokens answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    token_type: String,
    /// A number; some servers write it as a text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

/// What it answers if it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

impl Token {
    /// What was granted at this time, to be renewed by `buffer` before its end, or in the middle of its life if that is later.
    fn new(granted: &Granted, now: Instant, buffer: Duration) -> Result<Token, Unsignable> {
        let scheme = match granted.token_type.as_str() {
            "" => "Bearer",
            bearer if bearer.eq_ignore_ascii_case("bearer") => "Bearer",
            other => other,
        };
        let header = secret_header(format!("{scheme} {}", granted.access_token))?;
        let text = granted.expires_in.as_str().and_then(|text| text.parse().ok());
        let seconds = granted.expires_in.as_f64().or(text).filter(|seconds: &f64| *seconds > 0.0);
        let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let before = |early: Duration| life.and_then(|life| now.checked_add(life.saturating_sub(early)));
        let (half, tenth) = life.map_or((buffer, MARGIN), |life| (life / 2, life / 10));
        Ok(Token { header, renew_at: before(buffer.min(half)), ends_at: before(MARGIN.min(tenth)) })
    }
}

impl OAuth2 {
    /// Of a valid configuration. Nothing is asked for yet.
    ///
    /// # Errors
    /// A file cannot be read, or TLS cannot be set up.
    pub fn new(config: &Config) -> Result<OAuth2, AuthError> {
        let setting = |key| move |message: String| AuthError::Setting { key, message };
        let url = Url::parse(&config.token_url, "").map_err(setting("token_url"))?;
        let tls = match url.uri.scheme_str() {
            Some("https") => Some(Arc::new(
                ClientTls::new(&config.tls, &[b"h2", b"http/1.1"], clock::now())
                    .map_err(|e| AuthError::Setting { key: "tls", message: e.to_string() })?,
            )),
            _ => None,
        };
        let client = HttpClient::new(HttpConfig {
            tls,
            resolver: Arc::new(SystemResolver),
            max_idle: 1,
            idle_timeout: Some(PING),
            ping_every: PING,
            ping_timeout: PING,
            proxies: Arc::new(Proxies::of_environment()),
            connect_timeout: connect_timeout(config.timeout.0),
        });
        let id = Secret::new(config.client_id.as_str());
        let id = SecretFile::new("client_id_file", &id, &config.client_id_file, whole)?;
        let secret = SecretFile::new("client_secret_file", &config.client_secret, &config.client_secret_file, whole)?;
        let (in_body, state) = (AtomicBool::new(false), Mutex::default());
        Ok(OAuth2(Arc::new(Inner { config: config.clone(), url, client, id, secret, in_body, state })))
    }

    /// The token to show.
    async fn token(&self) -> Result<Arc<Token>, Unsignable> {
        let fetch = {
            let (now, mut state) = (clock::now(), self.0.state.lock());
            let has = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            match state.token.clone() {
                Some(token) if !has(token.ends_at) => {
                    if has(token.renew_at) && state.again.is_none_or(|again| again <= now) {
                        drop(self.fetch(&mut state));
                    }
                    return Ok(token);
                }
                _ => self.fetch(&mut state),
            }
        };
        fetch.await
    }

    /// The request under way; if there is none, it begins.
    fn fetch(&self, state: &mut State) -> Fetch {
        // One that is over and still here was broken off.
        if let Some(fetch) = state.fetch.as_ref().filter(|fetch| fetch.peek().is_none()) {
            return fetch.clone();
        }
        let this = self.clone();
        let task = task::spawn("token", async move {
            let granted = this.0.ask().await.map(Arc::new);
            let mut state = this.0.state.lock();
            state.fetch = None;
            match &granted {
                Ok(token) => (state.token, state.again) = (Some(token.clone()), None),
                Err(_) => state.again = Some(clock::now() + PAUSE),
            }
            drop(state);
            if let Err(Unsignable::Later(why) | Unsignable::Never(why)) = &granted {
                tracing::warn!(url = %this.0.url.uri, %why, "no token was granted");
            }
            granted
        });
        let ended = async move {
            task.await.unwrap_or_else(|_| Err(Unsignable::later(Kind::Other, "the request for a token was broken off")))
        };
        let fetch: Fetch = (Box::pin(ended) as Pending<'static, _>).shared();
        state.fetch = Some(fetch.clone());
        fetch
    }
}

impl Inner {
    /// Asks for a token: with the client's credentials in a header, as the standard wants it, or in the body, as some servers do. Which
    /// of them the server takes is found out.
    async fn ask(&self) -> Result<Token, Unsignable> {
        let in_body = self.in_body.load(Relaxed);
        let answer = self.post(in_body).await?;
        if matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
            let other = self.post(!in_body).await?;
            if other.status.is_success() {
                self.in_body.store(!in_body, Relaxed);
                return self.granted(&other);
            }
        }
        self.granted(&answer)
    }

    async fn post(&self, in_body: bool) -> Result<Answer, Unsignable> {
        let (id, secret) = (self.id.current(), self.secret.current());
        let (id, secret) = (encoded(id.expose()), encoded(secret.expose()));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(net::client::USER_AGENT));
        let mut form = self.config.form();
        if in_body {
            form.push_str(&format!("&client_id={id}&client_secret={secret}"));
        } else {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
            headers.insert(AUTHORIZATION, secret_header(format!("Basic {pair}"))?);
        }
        let timeout = if self.config.timeout.is_zero() { TIMEOUT } else { self.config.timeout.0 };
        let answer = self.client.post(self.url.uri.clone(), headers, Bytes::from(form).into());
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer.map_err(|why| self.later(why.kind, &why.text)),
            Err(_) => Err(self.later(Kind::Timeout, &format!("no answer within {timeout:?}"))),
        }
    }

    fn granted(&self, answer: &Answer) -> Result<Token, Unsignable> {
        let code = answer.status.as_u16();
        if !answer.status.is_success() {
            let Refused { error, error_description } = serde_json::from_slice(&answer.body).unwrap_or_default();
            let kind = if matches!(code, 400 | 401 | 403) { Kind::Auth } else { Kind::Unavailable };
            return Err(self.later(kind, &format!("HTTP {code} {error} {error_description}")));
        }
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| self.later(Kind::Protocol, "the answer has no `access_token`"))?;
        Token::new(&granted, clock::now(), self.config.expiry_buffer.0)
    }

    fn later(&self, kind: Kind, text: &str) -> Unsignable {
        let text = tidy(text.trim());
        Unsignable::Later(Why::new(kind, format!("no token from {}: {text}", self.url.uri)))
    }
}

/// A text as it stands in a form (`application/x-www-form-urlencoded`).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Authenticator for OAuth2 {
    fn sign<'a>(&'a self, _: Unsigned<'a>, headers: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>> {
        Box::pin(async move {
            let token = self.token().await?;
            headers.insert(AUTHORIZATION, token.header.clone());
            Ok(())
        })
    }

    /// If the refused token is the present one, another is asked for.
    fn renew<'a>(&'a self, shown: &'a HeaderMap) -> Pending<'a, bool> {
        Box::pin(async move {
            let is_other = |token: &Token| shown.get(AUTHORIZATION) != Some(&token.header);
            let fetch = {
                let mut state = self.0.state.lock();
                if state.token.as_ref().is_some_and(|token| is_other(token)) {
                    return true;
                }
                self.fetch(&mut state)
            };
            fetch.await.is_ok_and(|token| is_other(&token))
        })
    }
}
