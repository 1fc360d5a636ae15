//! The `store` exporter: logs and traces are kept in a directory of this machine, in the embedded store (the crate `store`), or in
//! PostgreSQL (the crate `postgres`, with the feature of that name).
//!
//! | to change | open |
//! |---|---|
//! | which stores are open, and what is done every second | `open` |
//! | what is special to PostgreSQL: its keys, how it is reached | `postgres` |
//! | what can be asked of one, and what is answered | [`api`] |
//! | how records look as JSON | [`rows`] |
//! | how it is asked beside all else | `asking` |
//! | who may ask a running one: its socket | [`serve`] |
//!
//! Over TCP it is asked by the program's page (`web` of the program), which listens where [`Api`] says.
//!
//! Success is answered after the store's journal is synced, or the transaction committed. Requests that come at the same time share one:
//! whoever syncs or commits takes along what the others have brought meanwhile.
//!
//! Each tenant is a target of its own, so that no batch is of two.

pub mod api;
mod asking;
mod open;
mod postgres;
pub mod rows;
pub mod serve;
#[cfg(test)]
mod tests;

use super::BuildError;
use super::queue::{RetryOnFailure, SendingQueue};
use config::duration::GoDuration;
use config::optional;
use config::secret::Secret;
use config::size::ByteSize;
use config::validate::{Report, Validate};
use flow::router::{Router, Routes};
use flow::{Attempt, Exporter, Kind, Payload, Scope, Target, Why};
use net::auth::AuthError;
use net::host;
use net::server::keys;
use net::tls::ServerTls;
use net::tls::client::TlsConfig;
use net::tokens::{TokenConfig, Tokens};
use open::Handle;
pub use open::OpenStore;
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The tenant of records whose sender named none.
pub const DEFAULT_TENANT: &str = "default";
/// The target of tenants whose name has a brace, which names of targets may not have.
const BAD_TENANT: &str = "(illegal tenant)";
/// The smallest bound on bytes that a store can keep to.
const LEAST_BYTES: ByteSize = ByteSize::from_mib(16);

/// The keys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What keeps the data.
    pub driver: Driver,
    /// Of the embedded one: the directory, which is made if it is not there. Required. One process at a time uses it.
    pub path: String,
    /// Of PostgreSQL: how it is reached, as libpq has it. Required.
    pub dsn: Secret,
    /// Of PostgreSQL: the schema with the tables.
    pub schema: String,
    /// Of PostgreSQL: its TLS.
    #[serde(deserialize_with = "optional::block")]
    pub tls: Option<TlsConfig>,
    /// What is removed, and when.
    pub retention: Retention,
    /// Where programs on this machine may ask over HTTP.
    #[serde(deserialize_with = "optional::block")]
    pub api: Option<Api>,
    /// The time one attempt may take. A disk that is slow takes its time.
    pub timeout: GoDuration,
    /// The queue.
    pub sending_queue: SendingQueue,
    /// The retries.
    pub retry_on_failure: RetryOnFailure,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            driver: Driver::Embedded,
            path: String::new(),
            dsn: Secret::default(),
            schema: "bywash".to_owned(),
            tls: None,
            retention: Retention::default(),
            api: None,
            timeout: GoDuration(Duration::from_secs(30)),
            sending_queue: SendingQueue::default(),
            retry_on_failure: RetryOnFailure::default(),
        }
    }
}

/// What keeps the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// Files in a directory.
    #[default]
    Embedded,
    /// A PostgreSQL server.
    Postgres,
}

/// Where questions are answered over HTTP, and the page is served.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// As `host:port`; without `tokens` on this machine.
    pub endpoint: String,
    /// A file with a token and its tenants in each line: who may ask, and whose data each may see.
    pub tokens_file: String,
    /// More tokens, each in a file of its own. Without any all programs of this machine may ask, for everything.
    pub tokens: Vec<TokenConfig>,
    /// TLS of the listener.
    #[serde(deserialize_with = "optional::block")]
    pub tls: Option<ServerTls>,
}

impl Default for Api {
    fn default() -> Self {
        Api { endpoint: "localhost:4319".to_owned(), tokens_file: String::new(), tokens: vec![], tls: None }
    }
}

impl Api {
    /// Who may ask, if anybody is asked for a token.
    ///
    /// # Errors
    /// A file cannot be read or is wrong.
    pub fn tokens(&self) -> Result<Option<Tokens>, AuthError> {
        let is_open = self.tokens_file.is_empty() && self.tokens.is_empty();
        if is_open { Ok(None) } else { Tokens::new(&self.tokens_file, &self.tokens).map(Some) }
    }
}

impl Validate for Api {
    fn validate(&self, report: &mut Report<'_>) {
        keys::listener(&self.endpoint, "tcp", &[], report);
        for (at, token) in self.tokens.iter().enumerate() {
            report.nested(&format!("tokens.{at}"), token);
        }
        match self.tokens() {
            Ok(None) if !host::is_of_this_machine(&self.endpoint) => report.error(
                "endpoint",
                "other machines reach this address, and nobody would be asked who it is: set `tokens_file` or `tokens`, \
                 or listen on `localhost`, `127.0.0.1` or `[::1]`",
            ),
            Ok(_) => {}
            Err(error) => error.tell(report),
        }
        if let Some(tls) = &self.tls {
            report.nested("tls", tls);
        }
    }
}

/// What is removed, and when. Whole days go, or large parts of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// A day goes so long after its end. 0: never.
    pub age: GoDuration,
    /// The oldest goes while all take more than this. None: no bound.
    pub bytes: Option<ByteSize>,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { age: GoDuration(Duration::from_secs(7 * 24 * 3600)), bytes: None }
    }
}

impl Retention {
    fn max_age(self) -> Option<Duration> {
        Some(self.age.0).filter(|age| !age.is_zero())
    }

    fn max_bytes(self) -> Option<u64> {
        self.bytes.map(|bytes| bytes.0)
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.driver == Driver::Embedded && self.path.is_empty() {
            report.error("path", "`path` is required: the directory of the store");
        }
        postgres::validate(self, report);
        if self.retention.bytes.is_some_and(|bytes| bytes.0 < LEAST_BYTES.0) {
            report.error("retention.bytes", "`bytes` must be at least 16MiB; leave it out to set no bound");
        }
        if let Some(api) = &self.api {
            report.nested("api", api);
        }
        report.nested("sending_queue", &self.sending_queue);
        report.nested("retry_on_failure", &self.retry_on_failure);
    }
}

/// The exporter. Clones, and other exporters of the same path that a reload puts in its place, share one store.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
    /// All that is kept in one directory halts together when its disk fails.
    scope: Scope,
}

impl Store {
    /// The exporter with this component id; its store is open from now on. Must be called within a runtime.
    ///
    /// # Errors
    /// The directory cannot be used, or another process or exporter uses it.
    pub fn new(name: &str, config: &Config) -> Result<Store, BuildError> {
        let handle = open::open(name, config).map_err(BuildError)?;
        let scope = Scope::Endpoint(handle.store.path().display().to_string().into());
        Ok(Store { handle, scope })
    }

    /// Chooses the tenants.
    #[must_use]
    pub fn router(&self) -> TenantRouter {
        TenantRouter
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<OpenStore> {
        &self.handle.store
    }
}

/// Chooses the tenant that the sender named.
#[derive(Clone, Copy, Debug)]
pub struct TenantRouter;

impl Router for TenantRouter {
    fn route(&self, payload: Payload, out: &mut Routes) {
        out.push((target(&payload), payload));
    }

    fn only(&self, payload: &Payload) -> Option<Target> {
        Some(target(payload))
    }
}

fn target(payload: &Payload) -> Target {
    match payload.meta.tenant.as_deref() {
        None | Some("") => Target::new(DEFAULT_TENANT),
        Some(name) if name.contains(['{', '}']) => Target::new(BAD_TENANT),
        Some(name) => Target::new(name),
    }
}

impl Exporter for Store {
    async fn send(&self, target: &Target, request: Payload, _: Instant) -> Attempt {
        let tenant = target.base();
        if tenant.name() == BAD_TENANT {
            return Attempt::Reject { why: Why::new(Kind::BadData, "the tenant's name has a brace") };
        }
        let (signal, body) = (request.signal, request.body.contiguous());
        let taken =
            open::on_thread(&self.handle.store, move |store| store.take(tenant.name(), signal, &body, open::now()));
        match taken.await {
            Some(Ok(())) => Attempt::Sent,
            Some(Err(refused)) => answer(&refused, &self.scope),
            None => {
                let why = Why::new(Kind::Stopping, "the process is stopping");
                Attempt::Retry { after: None, why, scope: Scope::Target }
            }
        }
    }

    fn scopes(&self, _: &Target) -> Vec<Scope> {
        vec![self.scope.clone()]
    }
}

/// What a refusal means to the lane.
fn answer(refused: &::store::Refused, scope: &Scope) -> Attempt {
    use ::store::Refused;
    let kind = match refused {
        Refused::Disk(error) => {
            let why = match error.kind() {
                // Of a database.
                io::ErrorKind::NotConnected => Why::new(Kind::Unreachable, error.to_string()),
                io::ErrorKind::TimedOut => Why::new(Kind::Timeout, error.to_string()),
                _ => Why::new(Kind::Disk, refused.to_string()),
            };
            return Attempt::Retry { after: None, why, scope: scope.clone() };
        }
        Refused::TooLarge => Kind::TooLarge,
        Refused::TooManyTenants(_) => Kind::LaneLimit,
        // The lane looks for the record that it is for, in parts of the request.
        Refused::Record(_) => Kind::BadData,
        Refused::Signal(_) | Refused::TenantName | Refused::Malformed(_) => Kind::BadData,
    };
    Attempt::Reject { why: Why::new(kind, refused.to_string()) }
}
