//! The store's answers over TCP, for programs and pages on this machine: the same as on the socket.
//!
//! Invariants: it listens on a loopback address only, and answers only to who asked for this machine by name: a page on the web that has its
//! own name point here (DNS rebinding) is refused. No other origin may read an answer. Connections, heads and times are bounded.

use super::open::OpenStore;
use super::serve;
use bytes::Bytes;
use flow::{Stop, Stopper, task};
use http::header::HOST;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use net::listen::{BindError, Io, Listener};
use net::pages::{MAX_CONNECTIONS, speak};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a connection may last, whatever happens on it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// An open listener.
pub(super) struct Server {
    pub endpoint: String,
    /// Dropped with the server, which ends it.
    _stopper: Stopper,
}

/// Answers at an endpoint. Must be called within a runtime.
///
/// # Errors
/// The endpoint is taken.
pub(super) fn open(store: &Arc<OpenStore>, endpoint: &str) -> Result<Arc<Server>, BindError> {
    let listener = Listener::bind_now(endpoint, None, MAX_CONNECTIONS)?;
    let address = listener.local_addr().ok().map(tracing::field::display);
    tracing::info!(page = "store", address, "listening");
    let (stopper, stop) = Stopper::new();
    let store = Arc::downgrade(store);
    task::spawn("page", listener.run(stop.clone(), move |io, _, _| connection(io, stop.clone(), store.clone())));
    Ok(Arc::new(Server { endpoint: endpoint.to_owned(), _stopper: stopper }))
}

async fn connection(io: Io, stop: Stop, store: Weak<OpenStore>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let store = store.upgrade();
        async move { Ok::<_, Infallible>(answer(&request, store).await) }
    });
    speak(io, stop, CONNECTION_TIMEOUT, service).await;
}

async fn answer<B>(request: &Request<B>, store: Option<Arc<OpenStore>>) -> Response<Full<Bytes>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_of_this_machine(host) {
        return serve::refused(StatusCode::FORBIDDEN, "ask for localhost");
    }
    serve::respond(request, store).await
}

/// Whether a host, perhaps with a port, is a name or address of the loopback.
pub(super) fn is_of_this_machine(host: &str) -> bool {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names and addresses with and without ports. Guarantee: only those of the loopback are of this machine.
    #[test]
    fn only_the_loopback_is_of_this_machine() {
        for host in ["localhost", "localhost:4319", "LocalHost:1", "127.0.0.1:0", "127.3.2.1", "[::1]:4319", "[::1]"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in [
            "",
            ":4319",
            "0.0.0.0:4319",
            "[::]:4319",
            "evil.example:4319",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
        ] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
