//! An HTTP client for POSTing bodies that are lists of slices: HTTP/1.1, and HTTP/2 where TLS agrees on it.
//!
//! Connections are kept and reused by hyper-util's pool; a new one resolves its host afresh. Bodies are written from the
//! slices themselves. Dropping a request closes its HTTP/1.1 connection or resets its HTTP/2 stream.
//!
//! Invariants: of an answer at most [`MAX_BODY`] bytes are read, and its headers are capped; redirects are not followed.
//! It does NOT retry (a kept connection that turns out to be closed before anything was written is replaced), keep time, or
//! judge answers.

use super::auth::{Credentials, Unsignable, Unsigned};
use super::connect::{CONNECT_TIMEOUT, Dialer, HostPort, Resolve, Stream};
use super::join::joined;
use super::proxy::Proxies;
use crate::tls::client::ClientTls;
use bytes::{Bytes, BytesMut};
use flow::{Kind, Origin, Why};
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::{Chunks, ChunksBuf};

/// What is read of an answer; the connection is closed if there is more.
pub const MAX_BODY: usize = 64 * 1024;

const MAX_HEADERS: usize = 64 * 1024;
const MAX_HEADER_LIST: u32 = 16 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How a client behaves.
#[derive(Clone)]
pub struct HttpConfig {
    /// TLS for `https://`; without it such URLs cannot be reached.
    pub tls: Option<Arc<ClientTls>>,
    /// Where names are looked up.
    pub resolver: Arc<dyn Resolve>,
    /// Connections kept when they have nothing to do. 0: none.
    pub max_idle: usize,
    /// How long they are kept. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// Pings while a request is under way on HTTP/2.
    pub ping_every: Duration,
    /// How long the peer has to answer one.
    pub ping_timeout: Duration,
    /// The proxies on the way.
    pub proxies: Arc<Proxies>,
    /// The longest that a connection may take, from its name to TLS; see [`connect_timeout`].
    pub connect_timeout: Duration,
}

/// How long a connection may take for requests that may take `timeout`: less than these, so that it is known for the reason when there
/// is none. 0 is no limit on requests.
#[must_use]
pub fn connect_timeout(timeout: Duration) -> Duration {
    if timeout.is_zero() { CONNECT_TIMEOUT } else { CONNECT_TIMEOUT.min(timeout * 3 / 4) }
}

/// A client. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<Connector, ChunksBody>,
    proxies: Arc<Proxies>,
}

/// An answer, its body cut at [`MAX_BODY`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Something went wrong on the way; whether the server has looked at the request is not known.
    Broken(Why),
    /// It was not sent: there is no credential for it.
    Unsigned(Unsignable),
}

impl HttpClient {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(config: HttpConfig) -> HttpClient {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(config.max_idle)
            .pool_idle_timeout(config.idle_timeout)
            .http1_max_buf_size(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_LIST)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(config.ping_every)
            .http2_keep_alive_timeout(config.ping_timeout)
            .build(Connector {
                tls: config.tls,
                resolver: config.resolver,
                proxies: config.proxies.clone(),
                timeout: config.connect_timeout,
            });
        HttpClient { client, proxies: config.proxies }
    }

    /// POSTs a body, of what came from this origin, with these credentials. If the server refuses those, and there are newer ones
    /// by then, it is sent once more.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post_as(
        &self,
        credentials: Option<&Credentials>,
        origin: &Origin,
        uri: &Uri,
        headers: HeaderMap,
        body: Chunks,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let Some(credentials) = credentials else {
            return self.post(uri.clone(), headers, body).await.map_err(Failure::Broken);
        };
        let size = body.len();
        let body = joined(body.into_iter(), size);
        let request = Unsigned { uri, body: &body, origin, deadline };
        let signed = async || credentials.signed(request, &headers).await.map_err(Failure::Unsigned);
        let post = async |headers| self.post(uri.clone(), headers, body.clone()).await.map_err(Failure::Broken);
        let shown = signed().await?;
        let answer = post(shown.clone()).await?;
        if answer.status == StatusCode::UNAUTHORIZED && credentials.renew(&shown, deadline).await {
            return post(signed().await?).await;
        }
        Ok(answer)
    }

    /// POSTs a body and reads the answer.
    ///
    /// # Errors
    /// What went wrong on the way; whether the server has looked at the request is not known then.
    pub async fn post(&self, uri: Uri, headers: HeaderMap, body: Chunks) -> Result<Answer, Why> {
        let size = body.len();
        let mut request = Request::new(ChunksBody(Some(ChunksBuf::from(joined(body.into_iter(), size)))));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        // What goes through a tunnel is none of the proxy's business; what does not, it must be asked for.
        if let Some(value) = self.proxies.authorization(&uri) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        *request.uri_mut() = uri;
        let (head, mut body) = self.client.request(request).await.map_err(|e| why(&e))?.into_parts();
        let mut kept = BytesMut::new();
        while kept.len() < MAX_BODY {
            // The status has been said: an answer that breaks off is an answer that is shorter.
            let Some(Ok(frame)) = body.frame().await else { break };
            if let Ok(data) = frame.into_data() {
                let room = (MAX_BODY - kept.len()).min(data.len());
                kept.extend_from_slice(&data[..room]);
            }
        }
        Ok(Answer { status: head.status, headers: head.headers, body: kept.freeze() })
    }
}

fn why(e: &Error) -> Why {
    let mut text = e.to_string();
    // A connection that breaks says nothing about the endpoint: it may be this one request that it breaks at.
    let (mut kind, mut source) = (if e.is_connect() { Kind::Unreachable } else { Kind::Unavailable }, e.source());
    while let Some(cause) = source {
        if let Some(Unreachable(why)) = cause.downcast_ref() {
            return why.clone();
        }
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
            || cause.downcast_ref::<h2::Error>().is_some_and(|e| e.is_library())
        {
            kind = Kind::Protocol;
        }
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Why::new(kind, super::tidy(&text))
}

/// A body that is there as a whole.
struct ChunksBody(Option<ChunksBuf>);

impl Body for ChunksBody {
    type Data = ChunksBuf;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<ChunksBuf>, Infallible>>> {
        Poll::Ready(self.0.take().map(|buf| Ok(Frame::data(buf))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |buf| bytes::Buf::remaining(buf) as u64))
    }
}

#[derive(Clone)]
struct Connector {
    tls: Option<Arc<ClientTls>>,
    resolver: Arc<dyn Resolve>,
    proxies: Arc<Proxies>,
    timeout: Duration,
}

/// A connection to a server, or to a proxy that is asked for it.
struct Way {
    stream: Stream,
    is_proxy: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreachable(Why);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Way>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Way>, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let is_tls = uri.scheme_str() == Some("https");
        let authority = uri.authority().map_or("", |a| a.as_str());
        let at = HostPort::parse(authority, Some(if is_tls { 443 } else { 80 }));
        let (tls, resolver, proxies) =
            (self.tls.clone().filter(|_| is_tls), self.resolver.clone(), self.proxies.clone());
        let timeout = self.timeout;
        Box::pin(async move {
            let at = at.map_err(|e| Unreachable(Why::new(Kind::Unreachable, e)))?;
            if is_tls && tls.is_none() {
                return Err(Unreachable(Why::new(Kind::Unreachable, "no TLS is set up for https")));
            }
            let proxy = proxies.on_the_way(&at, is_tls).cloned();
            let is_proxy = proxy.is_some() && !is_tls;
            let authority = at.authority();
            let dialer = Dialer { at, tls, resolver, proxy, tunnel: is_tls };
            let too_slow = |_| {
                let text = format!("no connection to {authority} within {timeout:?}");
                Unreachable(Why::new(Kind::Unreachable, text))
            };
            let stream = tokio::time::timeout(timeout, dial_any(&dialer)).await.map_err(too_slow)??;
            Ok(TokioIo::new(Way { stream, is_proxy }))
        })
    }
}

/// A connection to the first address that has one.
async fn dial_any(dialer: &Dialer) -> Result<Stream, Unreachable> {
    let mut last = Why::new(Kind::Unreachable, "no address");
    for address in dialer.resolve().await.map_err(Unreachable)? {
        match dialer.dial(address).await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(Unreachable(last))
}

impl Connection for Way {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxy);
        if self.stream.alpn() == Some(b"h2") { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Way {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Way {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::proxy::Proxy;
    use super::super::testing::{Names, raw};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Scenario: plain HTTP by a proxy with credentials, to a name that nobody else knows. Guarantee: the proxy is asked for the whole
    /// URL, with its credentials; the backend's own headers go along.
    #[tokio::test]
    async fn a_proxy_is_asked_for_plain_http() {
        let (to, mut requests) = tokio::sync::mpsc::channel(10);
        let (address, _server) = raw(move |mut tcp, _| {
            let to = to.clone();
            async move {
                let mut request = vec![];
                while !request.ends_with(b"hello") {
                    let mut part = [0; 1024];
                    let n = tcp.read(&mut part).await.unwrap();
                    request.extend_from_slice(&part[..n]);
                }
                tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                to.send(String::from_utf8(request).unwrap()).await.unwrap();
            }
        })
        .await;
        let client = HttpClient::new(HttpConfig {
            tls: None,
            resolver: Arc::new(Names::of(&[])),
            max_idle: 1,
            idle_timeout: None,
            ping_every: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(15),
            proxies: Arc::new(Proxies::only(Proxy::parse(&format!("http://u:p@{address}")).unwrap())),
            connect_timeout: CONNECT_TIMEOUT,
        });
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, "own".parse().unwrap())]);
        let uri = Uri::from_static("http://backend.invalid:4318/v1/logs");
        let answer = client.post(uri, headers, Bytes::from_static(b"hello").into()).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let request = requests.recv().await.unwrap();
        assert!(request.starts_with("POST http://backend.invalid:4318/v1/logs HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("proxy-authorization: Basic dTpw\r\n"), "{request}");
        assert!(
            request.contains("authorization: own\r\n") && request.contains("host: backend.invalid:4318\r\n"),
            "{request}"
        );
    }
}
