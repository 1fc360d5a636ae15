//! The `otlp_http` exporter (alias `otlphttp`): OTLP over HTTP, protobuf or JSON.
//!
//! The rules for answers are those of the OTLP specification (docs/specification.md, "OTLP/HTTP Response"): 429, 502, 503 and 504 may be
//! retried, with the delay of `Retry-After` if there is one; every other failure is permanent. An uncompressed protobuf body
//! goes out as it came in.
//!
//! It makes ONE attempt: queueing, batching, retrying and timing are the lane's. Redirects are not followed.

mod config;
#[cfg(test)]
mod tests;

pub use self::config::{Config, Encoding};

use super::BuildError;
use flow::{Attempt, Exporter, Kind, Payload, Scope, Target, Why};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use net::client::auth::{self, Credentials};
use net::client::compress::{Compression, compress};
use net::client::connect::{Resolve, SystemResolver};
use net::client::http::{Answer, Failure, HttpClient, HttpConfig, connect_timeout};
use net::client::partial::PartialSuccess;
use net::client::proxy::Proxies;
use net::client::url::Url;
use net::client::{USER_AGENT, retry_after, status, tidy};
use net::tls::client::ClientTls;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Chunks, Coding, Signal};

/// Between the HTTP/2 pings of a request under way, and the time to answer one, where the configuration says nothing: a
/// connection whose peer vanished must not hold all later requests.
const PING: Duration = Duration::from_secs(15);

/// The exporter. Clones share their connections.
#[derive(Clone)]
pub struct OtlpHttp {
    shared: Arc<Shared>,
    credentials: Option<Credentials>,
}

struct Shared {
    client: HttpClient,
    name: String,
    encoding: Encoding,
    compression: Compression,
    level: Option<i32>,
    headers: HeaderMap,
    logs: Option<Url>,
    traces: Option<Url>,
    metrics: Option<Url>,
}

impl OtlpHttp {
    /// An exporter that has not connected to anything yet.
    ///
    /// # Errors
    /// If a URL is wrong or the TLS material cannot be loaded.
    pub fn new(config: &Config) -> Result<OtlpHttp, BuildError> {
        OtlpHttp::with_resolver(config, Arc::new(SystemResolver))
    }

    /// The same with another source of addresses.
    ///
    /// # Errors
    /// If a URL is wrong or the TLS material cannot be loaded.
    pub fn with_resolver(config: &Config, resolver: Arc<dyn Resolve>) -> Result<OtlpHttp, BuildError> {
        let alpn: &[&[u8]] = if config.force_attempt_http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        let tls = match config.uses_tls() {
            true => Some(ClientTls::new(&config.tls, alpn, flow::clock::now()).map_err(|e| BuildError(e.to_string()))?),
            false => None,
        };
        let (max_idle, idle_timeout) = config.idle();
        let or = |d: Duration| if d.is_zero() { PING } else { d };
        let client = HttpClient::new(HttpConfig {
            tls: tls.map(Arc::new),
            resolver,
            max_idle,
            idle_timeout,
            ping_every: or(config.http2_read_idle_timeout.0),
            ping_timeout: or(config.http2_ping_timeout.0),
            proxies: Arc::new(Proxies::written(&config.proxy_url).map_err(BuildError)?),
            connect_timeout: connect_timeout(config.timeout.0),
        });
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let content_type =
            if config.encoding == Encoding::Json { "application/json" } else { "application/x-protobuf" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(name) = config.compression.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        headers.extend(config.headers.to_map());
        let url = |signal| config.url(signal).transpose().map_err(BuildError);
        let (logs, traces, metrics) = (url(Signal::Logs)?, url(Signal::Traces)?, url(Signal::Metrics)?);
        let name = [&logs, &traces, &metrics].into_iter().flatten().next();
        Ok(OtlpHttp {
            shared: Arc::new(Shared {
                client,
                name: name.and_then(|url| url.uri.authority()).map_or_else(String::new, |a| a.as_str().to_owned()),
                encoding: config.encoding,
                compression: config.compression,
                level: config.level(),
                headers,
                logs,
                traces,
                metrics,
            }),
            credentials: None,
        })
    }

    /// The same with these credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<Credentials>) -> OtlpHttp {
        OtlpHttp { credentials, ..self }
    }

    /// Its one target.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(self.shared.name.as_str())
    }

    /// Whether it has a URL for a signal.
    #[must_use]
    pub fn takes(&self, signal: Signal) -> bool {
        self.shared.url(signal).is_some()
    }
}

impl Shared {
    fn url(&self, signal: Signal) -> Option<&Url> {
        match signal {
            Signal::Logs => self.logs.as_ref(),
            Signal::Traces => self.traces.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
        }
    }

    /// The body as it is sent.
    async fn encode(&self, request: &Payload) -> Result<Chunks, Why> {
        let json;
        let body = match self.encoding {
            Encoding::Proto => &request.body,
            Encoding::Json => {
                let message = wire::schema::request(request.signal);
                json = wire::json::to_json(message, &request.body.contiguous())
                    .map(Chunks::from)
                    .map_err(|e| Why::new(Kind::BadData, format!("cannot be written as JSON: {e}")))?;
                &json
            }
        };
        let compressed = compress(self.compression, self.level, body).await;
        compressed.map_err(|e| Why::new(Kind::Other, format!("cannot compress: {e}")))
    }
}

impl Exporter for OtlpHttp {
    fn scopes(&self, target: &Target) -> Vec<Scope> {
        self.credentials.iter().map(|credentials| credentials.scope(target)).collect()
    }

    /// Whoever names a level wants it.
    fn coding(&self) -> Option<Coding> {
        let is_plain = self.shared.encoding == Encoding::Proto && self.shared.level.is_none();
        self.shared.compression.coding().filter(|_| is_plain)
    }

    async fn send(&self, target: &Target, request: Payload, deadline: Instant) -> Attempt {
        let shared = &self.shared;
        let Some(url) = shared.url(request.signal) else {
            return Attempt::Reject {
                why: Why::new(Kind::Unimplemented, format!("no endpoint for {}", request.signal)),
            };
        };
        let body = match shared.encode(&request).await {
            Ok(body) => body,
            Err(why) => return Attempt::Reject { why },
        };
        let mut headers = shared.headers.clone();
        if let (Some(value), false) = (&url.authorization, headers.contains_key(AUTHORIZATION)) {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let credentials = self.credentials.as_ref();
        let scope = || auth::scope(credentials, target, &shared.name);
        match shared.client.post_as(credentials, &target.origin(), &url.uri, headers, body, deadline).await {
            Ok(answer) => match judge(&answer) {
                // It is the credential that is wrong, not the data.
                Attempt::Reject { why } if why.kind == Kind::Auth => {
                    Attempt::Retry { after: None, why, scope: scope() }
                }
                attempt => attempt,
            },
            Err(Failure::Unsigned(why)) => why.attempt(scope()),
            Err(Failure::Broken(why)) => Attempt::Retry { after: None, why, scope: Scope::Target },
        }
    }
}

/// What an answer means.
fn judge(answer: &Answer) -> Attempt {
    let is_json = answer.headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if answer.status.is_success() {
        let partial = if is_json { PartialSuccess::from_json } else { PartialSuccess::from_protobuf };
        return partial(&answer.body).attempt();
    }
    let code = answer.status.as_u16();
    let text = match message(answer, is_json) {
        Some(message) if !message.is_empty() => format!("HTTP {code}: {message}"),
        _ => format!("HTTP {code}"),
    };
    let kind = match code {
        429 | 502 | 503 | 504 => {
            let after = answer.headers.get(RETRY_AFTER);
            let after = after.and_then(|value| retry_after::parse(value.as_bytes(), flow::clock::since_epoch()));
            let kind = if code == 429 || after.is_some() { Kind::Throttled } else { Kind::Unavailable };
            let after = after.filter(|d| !d.is_zero());
            return Attempt::Retry { after, why: Why::new(kind, text), scope: Scope::Target };
        }
        // What a server says that stopped reading: the collector's answers 400 for it.
        400 if status::speaks_of_size(&text) => Kind::TooLarge,
        400 => Kind::BadData,
        401 | 403 => Kind::Auth,
        404 => Kind::Unimplemented,
        413 => Kind::TooLarge,
        _ => Kind::Other,
    };
    Attempt::Reject { why: Why::new(kind, text) }
}

/// The server's text: of a `google.rpc.Status`, as the specification has it, or plain.
fn message(answer: &Answer, is_json: bool) -> Option<String> {
    if is_json {
        #[derive(serde::Deserialize)]
        struct Status {
            message: String,
        }
        return serde_json::from_slice::<Status>(&answer.body).ok().map(|status| tidy(&status.message));
    }
    let content_type = answer.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if content_type.starts_with("application/x-protobuf") || content_type.starts_with("application/protobuf") {
        return status::status_message(&answer.body);
    }
    content_type.starts_with("text/plain").then(|| tidy(String::from_utf8_lossy(&answer.body).trim()))
}
