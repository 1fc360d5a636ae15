//! The `loki` receiver: Loki's push API, in protobuf and JSON.
//!
//! | to change | open |
//! |---|---|
//! | keys and defaults | [`config`] |
//! | what is done with a push, and in which order | `push` |
//! | the words of an answer | `answer` |
//! | how a push becomes OTLP | [`wire::loki`] |
//!
//! Invariants: nothing of a body is read before its push is admitted; every byte that is kept of one is charged to its permit; every push is
//! answered or its connection ends. It queues nothing and retries nothing.

mod answer;
pub mod config;
mod push;
#[cfg(test)]
mod tests;

pub use self::config::Config;

use self::config::Http;
use super::BindError;
use ::config::ComponentId;
use flow::{Inlet, Stop, task};
use http::HeaderName;
use net::auth::Authenticator;
use net::listen::{ListenStats, Listener};
use net::origin::Kept;
use net::seats::Seats;
use net::server::cors::Cors;
use net::server::{Server, keys};
use net::tls::Acceptor;
use push::{Handle, Push};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the program gives a receiver.
pub struct Setup<'a> {
    /// Where pushes go.
    pub inlet: Inlet,
    /// The memory they are charged to, as calls and connections.
    pub seats: Seats,
    /// The authenticators by their component ids.
    pub authenticators: &'a HashMap<ComponentId, Authenticator>,
    /// The header that names a tenant with a share of the budget, where there are shares.
    pub tenant_header: Option<HeaderName>,
    /// What is asked of the origin of requests.
    pub wanted: Arc<[Arc<str>]>,
}

/// A receiver whose listener is open.
pub struct Loki {
    id: ComponentId,
    server: Arc<Server<Handle>>,
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
}

impl Loki {
    /// Opens the listener of a valid configuration. Nothing is accepted before [`Loki::run`].
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(id: ComponentId, config: &Config, setup: Setup<'_>) -> Result<Loki, BindError> {
        let default = Http::default();
        let http = config.protocols.http.as_ref().unwrap_or(&default);
        let find = |name: &ComponentId| {
            let missing = || BindError::Authenticator { endpoint: http.endpoint.clone(), id: name.clone() };
            setup.authenticators.get(name).cloned().ok_or_else(missing)
        };
        let push = Push {
            inlet: setup.inlet,
            seats: setup.seats.clone(),
            authenticator: http.auth.as_ref().map(|auth| find(&auth.authenticator)).transpose()?,
            share_header: setup.tenant_header,
            kept: Kept::new(&setup.wanted, http.include_metadata),
            encodings: keys::encodings(&http.compression_algorithms),
            max_body: keys::max_body(http.max_request_body_size),
            read_timeout: keys::timeout(http.read_timeout),
            keep_time: config.use_incoming_timestamp,
        };
        let keepalive = keys::keepalive(http.keepalive, http.keep_alives_enabled, http.idle_timeout);
        let server = Server {
            handler: Handle(Arc::new(push)),
            max_head: keys::max_head(http.max_header_list_size),
            header_timeout: keys::timeout(http.read_header_timeout),
            write_timeout: keys::timeout(http.write_timeout),
            idle_timeout: keys::timeout(keepalive.idle_timeout),
            keep_alive: keepalive.enabled,
            cors: http.cors.as_ref().and_then(Cors::new),
            extra_headers: keys::headers(&http.response_headers),
        };
        let tls = http.tls.as_ref().map(|tls| Acceptor::new(tls.clone(), &[b"h2", b"http/1.1"])).transpose();
        let tls = tls.map_err(|source| BindError::Tls { endpoint: http.endpoint.clone(), source })?.map(Arc::new);
        let listener =
            Listener::bind(&keys::endpoint(&http.endpoint, &http.transport), tls.clone(), http.max_connections).await?;
        let listener = listener.seated(setup.seats, server.max_head);
        Ok(Loki { id, server: Arc::new(server), listener, tls })
    }

    /// The address of its listener.
    ///
    /// # Errors
    /// The system's.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The counters of its listener.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenStats> {
        self.listener.stats()
    }

    /// Serves until a stop is requested and the pushes under way are answered, or its deadline has passed.
    pub async fn run(self, stop: Stop) {
        let Loki { id, server, listener, tls } = self;
        tracing::info!(receiver = %id, transport = "http", address = listener.place(), "listening");
        let calls = {
            let stop = stop.clone();
            listener.run(stop.clone(), move |io, peer, seat| server.clone().serve(io, peer, seat, stop.clone()))
        };
        let watch = async {
            if let Some(tls) = tls {
                task::again("tls", || tls.watch(&stop)).await;
            }
        };
        tokio::join!(calls, watch);
    }
}
