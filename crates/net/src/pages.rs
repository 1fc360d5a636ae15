//! The small HTTP server behind `/metrics` and the health check: HTTP/1.1, `GET` and `HEAD` only.
//!
//! Its pages are made synchronously and whole. Invariants: connections, request heads and the time of a connection are
//! bounded, so that whoever reaches the port can cost no more than that. It does NOT read request bodies.

use crate::listen::{Io, Listener};
use bytes::Bytes;
use flow::Stop;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;

/// Connections at once.
pub const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one connection may last, whatever happens on it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an answer may still be written once the server stops.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// 200, or what else there is to say.
    pub status: StatusCode,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl Page {
    /// A page with status 200.
    #[must_use]
    pub fn ok(content_type: &'static str, body: String) -> Page {
        Page { status: StatusCode::OK, content_type, body }
    }

    /// A short text of some other status.
    #[must_use]
    pub fn text(status: StatusCode, body: &str) -> Page {
        Page { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }
}

/// Serves pages until a stop is requested. `page` is asked with the path; `None` is a 404.
pub async fn serve<P>(listener: Listener, stop: Stop, page: P)
where
    P: Fn(&str) -> Option<Page> + Clone + Send + Sync + 'static,
{
    let stopping = stop.clone();
    listener.run(stop, move |io, _, _| connection(io, stopping.clone(), page.clone())).await;
}

async fn connection<P>(io: Io, stop: Stop, page: P)
where
    P: Fn(&str) -> Option<Page> + Clone + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &page);
        async move { Ok::<_, Infallible>(response) }
    });
    speak(io, stop, CONNECTION_TIMEOUT, service).await;
}

/// Answers on a connection until it, its `lifetime` or a stop ends it. Heads are bounded, and the time that they take.
pub async fn speak<S>(io: Io, stop: Stop, lifetime: Duration, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    // Whatever ends a connection is the client's affair: there is nobody to tell.
    tokio::select! {
        _ = tokio::time::timeout(lifetime, connection.as_mut()) => {}
        _ = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LAST_WORDS, connection).await;
        }
    }
}

fn answer<B>(request: &Request<B>, page: &impl Fn(&str) -> Option<Page>) -> Response<Full<Bytes>> {
    let known = matches!(*request.method(), Method::GET | Method::HEAD);
    let page = match known {
        true => page(request.uri().path()).unwrap_or_else(|| Page::text(StatusCode::NOT_FOUND, "not found\n")),
        false => Page::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
    };
    // hyper leaves the body out of an answer to HEAD.
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = page.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    if !known {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Stopper;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// A server of one page, and what it answers to these bytes.
    async fn exchange(request: &str) -> String {
        let listener = Listener::bind("127.0.0.1:0", None, MAX_CONNECTIONS).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = Stopper::new();
        let page = |path: &str| (path == "/metrics").then(|| Page::ok("text/plain", "a 1\n".to_owned()));
        let server = tokio::spawn(serve(listener, stop, page));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        stopper.stop(Duration::ZERO);
        server.await.unwrap();
        answer
    }

    fn request(method: &str, path: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    /// Scenario: the page, its head alone, another path, another method. Guarantee: 200, 200 without a body, 404, 405 with `Allow`.
    #[tokio::test]
    async fn only_get_and_head_of_known_pages() {
        let page = exchange(&request("GET", "/metrics?x=y")).await;
        assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("\r\n\r\na 1\n"), "{page}");
        let head = exchange(&request("HEAD", "/metrics")).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(exchange(&request("GET", "/")).await.starts_with("HTTP/1.1 404 "));
        let post = exchange(&request("POST", "/metrics")).await;
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    }

    /// Scenario: a head larger than the limit. Guarantee: a clear 4xx, and the connection ends.
    #[tokio::test]
    async fn a_huge_head_is_refused() {
        let answer = exchange(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD + 1))).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    /// Scenario: a client sends half a head and then nothing. Guarantee: its connection ends.
    #[tokio::test(start_paused = true)]
    async fn a_slow_head_ends_the_connection() {
        let start = flow::clock::now();
        let answer = exchange("GET / HTTP/1.1\r\nHo").await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(flow::clock::now() - start <= CONNECTION_TIMEOUT);
    }
}
