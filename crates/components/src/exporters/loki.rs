//! The `loki` exporter: log records as pushes to Loki, in protobuf and snappy.
//!
//! The rules for answers are those of Loki's own clients: 429 and 5xx may be retried, with the delay of `Retry-After` if there is one, and
//! so may broken connections; 401 and 403 are retried as well, because they tell of the credential and not of the data. Every other failure is
//! final. A 400 is never sent again, nor in parts: Loki has stored the entries that were valid, and says how many were not.
//!
//! Requests stay OTLP until they are sent: queues and batches hold what came in, and [`wire::loki::send`] makes the push. What that
//! leaves out is counted as rejected.
//!
//! It makes ONE attempt: queueing, batching, retrying and timing are the lane's; there is a lane for each tenant (`tenants`).

mod config;
mod tenants;
#[cfg(test)]
mod tests;

pub use self::config::{Config, Format, Labels, Mapping};

use super::BuildError;
use flow::batcher::BatchConfig;
use flow::router::Router;
use flow::{Attempt, Exporter, Kind, Payload, Scope, Target, Why};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use net::client::auth::{self, Credentials};
use net::client::compress::{Compression, compress};
use net::client::connect::{Resolve, SystemResolver};
use net::client::http::{Answer, Failure, HttpClient, HttpConfig, connect_timeout};
use net::client::proxy::Proxies;
use net::client::url::Url;
use net::client::{USER_AGENT, retry_after, tidy};
use net::tls::client::ClientTls;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenants::{BAD_TENANT, NO_TENANT, TenantRouter};
use wire::Chunks;
use wire::loki::send::{SendError, Sending, from_otlp};

/// The header that names the tenant.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
/// Between the HTTP/2 pings of a push under way, and the time to answer one.
const PING: Duration = Duration::from_secs(15);

/// The exporter. Clones share their connections.
#[derive(Clone)]
pub struct Loki {
    shared: Arc<Shared>,
    credentials: Option<Credentials>,
}

struct Shared {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    sending: Sending,
    config: Config,
    /// The tenant in the headers.
    fixed: Option<String>,
}

impl Loki {
    /// An exporter that has not connected to anything yet.
    ///
    /// # Errors
    /// If the URL is wrong or the TLS material cannot be loaded.
    pub fn new(config: &Config) -> Result<Loki, BuildError> {
        Loki::with_resolver(config, Arc::new(SystemResolver))
    }

    /// The same with another source of addresses.
    ///
    /// # Errors
    /// If the URL is wrong or the TLS material cannot be loaded.
    pub fn with_resolver(config: &Config, resolver: Arc<dyn Resolve>) -> Result<Loki, BuildError> {
        let url = config.url().map_err(BuildError)?;
        let alpn: &[&[u8]] = &[b"h2", b"http/1.1"];
        let tls = match config.uses_tls() {
            true => Some(ClientTls::new(&config.tls, alpn, flow::clock::now()).map_err(|e| BuildError(e.to_string()))?),
            false => None,
        };
        let (max_idle, idle_timeout) = config.idle();
        let client = HttpClient::new(HttpConfig {
            tls: tls.map(Arc::new),
            resolver,
            max_idle,
            idle_timeout,
            ping_every: PING,
            ping_timeout: PING,
            proxies: Arc::new(Proxies::written(&config.proxy_url).map_err(BuildError)?),
            connect_timeout: connect_timeout(config.timeout.0),
        });
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.extend(config.headers.to_map());
        if let (Some(value), false) = (&url.authorization, headers.contains_key(AUTHORIZATION)) {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let fixed = headers.remove(TENANT).and_then(|value| value.to_str().ok().map(str::to_owned));
        let (sending, config) = (config.sending(), config.clone());
        let shared = Arc::new(Shared { client, url, headers, sending, config, fixed });
        Ok(Loki { shared, credentials: None })
    }

    /// The same with these credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<Credentials>) -> Loki {
        Loki { credentials, ..self }
    }

    /// Whether tenants are sent for with a credential that is not their own.
    fn has_credential(&self) -> bool {
        self.credentials.is_some() || self.shared.headers.contains_key(AUTHORIZATION)
    }

    /// Who waits if that is refused.
    fn scope(&self, target: &Target) -> Scope {
        auth::scope(self.credentials.as_ref(), target, &self.shared.authority())
    }

    /// What finds the tenant of each record.
    #[must_use]
    pub fn router(&self) -> impl Router + use<> {
        TenantRouter { fixed: self.shared.fixed.clone(), default: self.shared.config.tenant_id.clone() }
    }

    /// Tenants that may have a lane.
    #[must_use]
    pub fn max_lanes(&self) -> usize {
        self.shared.config.max_lanes as usize
    }

    /// How batches form; `pipeline` is what a `batch` processor asks for.
    #[must_use]
    pub fn batching(&self, pipeline: Option<BatchConfig>) -> BatchConfig {
        self.shared.config.batching(pipeline)
    }
}

impl Shared {
    fn authority(&self) -> Arc<str> {
        self.url.uri.authority().map_or("", |authority| authority.as_str()).into()
    }
}

impl Exporter for Loki {
    fn scopes(&self, target: &Target) -> Vec<Scope> {
        let at = self.shared.authority();
        match self.has_credential() {
            true => vec![self.scope(target), Scope::Endpoint(at)],
            false => vec![Scope::Endpoint(at)],
        }
    }

    async fn send(&self, target: &Target, request: Payload, deadline: Instant) -> Attempt {
        let shared = &self.shared;
        let mut headers = shared.headers.clone();
        match target.base().name() {
            NO_TENANT => {}
            BAD_TENANT => {
                let why = Why::new(Kind::Auth, "the record names a tenant that Loki cannot have");
                return Attempt::Reject { why };
            }
            name => match HeaderValue::from_str(name) {
                Ok(value) => drop(headers.insert(TENANT, value)),
                Err(_) => return Attempt::Reject { why: Why::new(Kind::Auth, "the tenant is no legal header") },
            },
        }
        let now = u64::try_from(flow::clock::since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let pushed = match from_otlp(&request.body.contiguous(), &shared.sending, now) {
            Ok(pushed) => pushed,
            Err(error @ SendError::TooLarge(_)) => {
                return Attempt::Reject { why: Why::new(Kind::TooLarge, error.to_string()) };
            }
            Err(SendError::Malformed(error)) => {
                return Attempt::Reject { why: Why::new(Kind::BadData, error.to_string()) };
            }
        };
        let left_out = u64::try_from(pushed.left_out).unwrap_or(u64::MAX);
        if pushed.entries > 0 {
            let body = match compress(Compression::Snappy, None, &Chunks::from(pushed.body)).await {
                Ok(body) => body,
                Err(e) => return Attempt::Reject { why: Why::new(Kind::Other, format!("cannot compress: {e}")) },
            };
            let credentials = self.credentials.as_ref();
            let attempt = match shared
                .client
                .post_as(credentials, &target.origin(), &shared.url.uri, headers, body, deadline)
                .await
            {
                Ok(answer) => match judge(&answer, u64::from(request.records)) {
                    // Whose credential it is that was refused: the one of all tenants, or this tenant's right to push.
                    Attempt::Retry { after, why, .. } if answer.status == 401 && self.has_credential() => {
                        Attempt::Retry { after, why, scope: self.scope(target) }
                    }
                    attempt => attempt,
                },
                // Without a connection no tenant can be served.
                Err(Failure::Unsigned(why)) => why.attempt(self.scope(target)),
                Err(Failure::Broken(why)) if why.kind == Kind::Unreachable => {
                    Attempt::Retry { after: None, why, scope: Scope::Endpoint(shared.authority()) }
                }
                Err(Failure::Broken(why)) => Attempt::Retry { after: None, why, scope: Scope::Target },
            };
            match attempt {
                Attempt::Sent => {}
                Attempt::Partial { rejected, why } => {
                    return Attempt::Partial { rejected: rejected.saturating_add(left_out), why };
                }
                other => return other,
            }
        }
        match left_out {
            0 => Attempt::Sent,
            rejected => Attempt::Partial { rejected, why: Why::new(Kind::BadData, pushed.why) },
        }
    }
}

/// What an answer to so many records means.
fn judge(answer: &Answer, records: u64) -> Attempt {
    if answer.status.is_success() {
        return Attempt::Sent;
    }
    let code = answer.status.as_u16();
    let said = tidy(String::from_utf8_lossy(&answer.body).trim());
    let text = if said.is_empty() { format!("HTTP {code}") } else { format!("HTTP {code}: {said}") };
    let reject = |kind| Attempt::Reject { why: Why::new(kind, text.as_str()) };
    match code {
        429 | 500..=599 => {
            let after = answer.headers.get(RETRY_AFTER);
            let after = after.and_then(|value| retry_after::parse(value.as_bytes(), flow::clock::since_epoch()));
            let kind = if code == 429 || after.is_some() { Kind::Throttled } else { Kind::Unavailable };
            Attempt::Retry { after: after.filter(|d| !d.is_zero()), why: Why::new(kind, text), scope: Scope::Target }
        }
        401 | 403 => Attempt::Retry { after: None, why: Why::new(Kind::Auth, text), scope: Scope::Target },
        // Not `BadData`: that would be sent again in parts, and what was stored would come twice.
        400 => match ignored(&answer.body).filter(|rejected| *rejected < records) {
            Some(rejected) => Attempt::Partial { rejected, why: Why::new(Kind::Partial, text) },
            None => reject(Kind::Partial),
        },
        413 => reject(Kind::TooLarge),
        _ => reject(Kind::Unimplemented),
    }
}

/// How many entries Loki says it left out: "total ignored: 2 out of 5 for stream: …", once for each stream.
fn ignored(body: &[u8]) -> Option<u64> {
    const WORDS: &str = "total ignored: ";
    let text = String::from_utf8_lossy(body);
    let mut total = None;
    for (at, _) in text.match_indices(WORDS) {
        let rest = &text[at + WORDS.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..end].parse().ok().filter(|_| rest[end..].starts_with(" out of "))?;
        total = Some(total.unwrap_or(0u64).saturating_add(count));
    }
    total
}
