//! The `otlp` receiver: OTLP over gRPC and HTTP, in protobuf and JSON.
//!
//! | to change | open |
//! |---|---|
//! | keys and defaults | [`config`] |
//! | admission, decompression and the check, for both transports | `intake` |
//! | the words of an answer: `google.rpc.Status`, `RetryInfo`, `partial_success` | [`status`] |
//! | what a sender that cannot wait is told | `patience` |
//! | gRPC | `grpc` |
//! | HTTP | `http` |
//!
//! Invariants: nothing of a body is read before its request is admitted; every byte that is kept of one is charged to its permit;
//! every request is answered or its connection ends. It queues nothing and retries nothing.

pub mod config;
mod grpc;
mod http;
mod intake;
mod patience;
pub mod status;

pub use self::config::Config;

use super::{BindError, Inlets};
use ::config::ComponentId;
use ::http::HeaderName;
use flow::{Stop, task};
use intake::Intake;
use net::auth::Authenticator;
use net::listen::{ListenStats, Listener};
use net::origin::Kept;
use net::seats::Seats;
use net::server::keys::{self, AuthRef};
use net::tls::{Acceptor, ServerTls};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the program gives a receiver.
pub struct Setup<'a> {
    /// Where gRPC requests go.
    pub grpc: Inlets,
    /// Where HTTP requests go.
    pub http: Inlets,
    /// The memory they are charged to, as calls and connections.
    pub seats: Seats,
    /// The authenticators by their component ids.
    pub authenticators: &'a HashMap<ComponentId, Authenticator>,
    /// The header that names a tenant, where tenants are told apart.
    pub tenant_header: Option<HeaderName>,
    /// What is asked of the origin of requests.
    pub wanted: Arc<[Arc<str>]>,
}

struct Transport<S> {
    server: Arc<S>,
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
}

/// A receiver whose listeners are open.
pub struct Otlp {
    id: ComponentId,
    grpc: Option<Transport<grpc::Server>>,
    http: Option<Transport<http::Server>>,
}

impl Otlp {
    /// Opens the listeners of a valid configuration. Nothing is accepted before [`Otlp::run`].
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(id: ComponentId, config: &Config, setup: Setup<'_>) -> Result<Otlp, BindError> {
        let intake = |endpoint: &str, auth: Option<&AuthRef>, include_metadata: bool, inlets: Inlets| {
            let authenticator =
                auth.map(|auth| setup.authenticators.get(&auth.authenticator).cloned().ok_or(&auth.authenticator));
            let authenticator = authenticator
                .transpose()
                .map_err(|id| BindError::Authenticator { endpoint: endpoint.to_owned(), id: id.clone() })?;
            let (seats, tenant_header) = (setup.seats.clone(), setup.tenant_header.clone());
            Ok::<_, BindError>(Intake {
                inlets,
                seats,
                authenticator,
                tenant_header,
                kept: Kept::new(&setup.wanted, include_metadata),
                limits: wire::CheckLimits::default(),
            })
        };
        let grpc = match config.protocols.grpc.as_ref().filter(|c| c.enabled) {
            None => None,
            Some(c) => {
                let intake = intake(&c.endpoint, c.auth.as_ref(), c.include_metadata, setup.grpc)?;
                let server = Arc::new(grpc::Server::new(c, intake));
                let tls = acceptor(&c.endpoint, c.tls.as_ref(), &[b"h2"])?;
                let listener =
                    Listener::bind(&keys::endpoint(&c.endpoint, &c.transport), tls.clone(), c.max_connections).await?;
                let listener = listener.seated(setup.seats.clone(), keys::max_head(c.max_header_list_size));
                Some(Transport { server, listener, tls })
            }
        };
        let http = match config.protocols.http.as_ref().filter(|c| c.enabled) {
            None => None,
            Some(c) => {
                let intake = intake(&c.endpoint, c.auth.as_ref(), c.include_metadata, setup.http)?;
                let server = Arc::new(http::server(c, intake));
                let tls = acceptor(&c.endpoint, c.tls.as_ref(), &[b"h2", b"http/1.1"])?;
                let listener =
                    Listener::bind(&keys::endpoint(&c.endpoint, &c.transport), tls.clone(), c.max_connections).await?;
                let listener = listener.seated(setup.seats.clone(), keys::max_head(c.max_header_list_size));
                Some(Transport { server, listener, tls })
            }
        };
        Ok(Otlp { id, grpc, http })
    }

    /// The address of the gRPC listener.
    ///
    /// # Errors
    /// There is none, or the system's.
    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |t| t.listener.local_addr())
    }

    /// The address of the HTTP listener.
    ///
    /// # Errors
    /// There is none, or the system's.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.http.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |t| t.listener.local_addr())
    }

    /// The counters of the listeners, by transport.
    #[must_use]
    pub fn stats(&self) -> Vec<(&'static str, Arc<ListenStats>)> {
        let grpc = self.grpc.as_ref().map(|t| ("grpc", t.listener.stats()));
        grpc.into_iter().chain(self.http.as_ref().map(|t| ("http", t.listener.stats()))).collect()
    }

    /// Serves until a stop is requested and the requests under way are answered, or its deadline has passed.
    pub async fn run(self, stop: Stop) {
        let Otlp { id, grpc, http } = self;
        let grpc = async {
            let Some(Transport { server, listener, tls }) = grpc else { return };
            tracing::info!(receiver = %id, transport = "grpc", address = listener.place(), "listening");
            let calls = {
                let stop = stop.clone();
                listener.run(stop.clone(), move |io, peer, seat| server.clone().serve(io, peer, seat, stop.clone()))
            };
            tokio::join!(calls, watch(tls, &stop));
        };
        let http = async {
            let Some(Transport { server, listener, tls }) = http else { return };
            tracing::info!(receiver = %id, transport = "http", address = listener.place(), "listening");
            let calls = {
                let stop = stop.clone();
                listener.run(stop.clone(), move |io, peer, seat| server.clone().serve(io, peer, seat, stop.clone()))
            };
            tokio::join!(calls, watch(tls, &stop));
        };
        tokio::join!(grpc, http);
    }
}

fn acceptor(
    endpoint: &str,
    tls: Option<&ServerTls>,
    alpn: &[&'static [u8]],
) -> Result<Option<Arc<Acceptor>>, BindError> {
    let acceptor = tls.map(|tls| Acceptor::new(tls.clone(), alpn)).transpose();
    let acceptor = acceptor.map_err(|source| BindError::Tls { endpoint: endpoint.to_owned(), source })?;
    Ok(acceptor.map(Arc::new))
}

async fn watch(tls: Option<Arc<Acceptor>>, stop: &Stop) {
    if let Some(tls) = tls {
        task::again("tls", || tls.watch(stop)).await;
    }
}

#[cfg(test)]
mod tests;
