//! HTTP servers of receivers: HTTP/1.1 and HTTP/2 on one port, by hyper.
//!
//! Which of the two a connection speaks is told by ALPN, or by its first bytes on a plaintext port. What a request is answered is its
//! [`Handler`]'s business, which also decides when its body is asked for; that is what `Expect: 100-continue` waits for.
//!
//! Invariants: a connection that does not make progress (headers, body, reading of answers) ends; so does one that is idle.
//!
//! How a body is read is in [`body`], which keys such a server has in [`keys`], cross-origin rules in [`cors`], the guard of a socket in
//! [`guard`].

pub mod body;
pub mod cors;
mod guard;
pub mod keys;

use super::body::ReadBuffers;
use super::calls::HalfOpen;
use super::listen::{Io, hesitating};
use super::seats::Seat;
use super::socket::FIRST;
use bytes::Bytes;
use cors::Cors;
use flow::Stop;
use guard::Guard;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Headers in one request.
const MAX_HEADERS: usize = 100;
/// What HTTP/1 reads ahead of a body at most, in bytes.
const MAX_AHEAD: u32 = 64 << 10;
/// The largest body that is passed over where a request is answered without it.
const SMALL_BODY: usize = 4 << 10;
/// Requests at once on one HTTP/2 connection.
pub const MAX_STREAMS: u32 = 256;
/// What one request, and one connection, may have under way before it is read, as multiples of what the connection reads ahead.
pub const STREAM_WINDOW: u32 = 4;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 8;
/// Pings on HTTP/2, so that a vanished client does not keep its connection.
const PING_EVERY: Duration = Duration::from_secs(60);
/// A client that was told to go has this long to do so, once its requests are answered.
const LEAVE: Duration = Duration::from_secs(3);
/// The pause between two looks at a connection's first bytes.
const PEEK_PAUSE: Duration = Duration::from_millis(5);
/// The first bytes of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to any request but a browser's preflight.
    fn answer(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// What all connections of one listener share.
pub struct Server<H> {
    /// What answers.
    pub handler: H,
    /// The head of one request, in bytes; for HTTP/2 after decompression.
    pub max_head: u32,
    /// For the headers of a request, counted from the end of the last one. `None`: no limit.
    pub header_timeout: Option<Duration>,
    /// An answer that cannot be written for this long ends the connection. `None`: no limit.
    pub write_timeout: Option<Duration>,
    /// Between two requests. `None`: no limit of its own.
    pub idle_timeout: Option<Duration>,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// Which browsers may send. `None`: those of no other origin.
    pub cors: Option<Cors>,
    /// Added to every answer.
    pub extra_headers: HeaderMap,
}

/// What the requests of one connection share.
pub struct Connection {
    peer: IpAddr,
    seat: Seat,
    half_open: HalfOpen,
    buffers: ReadBuffers,
    /// Requests under way, and requests so far.
    active: AtomicUsize,
    served: AtomicU64,
    /// An answer was given before its request was read to the end.
    unread: Arc<AtomicBool>,
}

impl Connection {
    fn new(seat: Seat, peer: SocketAddr) -> Connection {
        let (half_open, buffers, unread) = (HalfOpen::default(), ReadBuffers::default(), Arc::default());
        let (active, served) = (AtomicUsize::new(0), AtomicU64::new(0));
        Connection { peer: peer.ip(), seat, half_open, buffers, active, served, unread }
    }

    /// The address at its other end.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The count of its half-open calls.
    #[must_use]
    pub fn half_open(&self) -> &HalfOpen {
        &self.half_open
    }

    /// A request is under way, and its body is waited for, or has come.
    fn is_busy(&self) {
        self.seat.is_busy(self.active.load(Relaxed), &self.half_open);
    }

    /// Says whether there is something of the request under way that was not read.
    pub fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl<H: Handler> Server<H> {
    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, mut io: Io, peer: SocketAddr, seat: Seat, stop: Stop) {
        let first_bytes = async {
            match self.header_timeout {
                Some(limit) => tokio::time::timeout(limit, version(&mut io, peer)).await.unwrap_or_default(),
                None => version(&mut io, peer).await,
            }
        };
        // A connection that was opened ahead of time and never used must not hold up the end.
        let version = tokio::select! {
            version = first_bytes => version,
            () = hesitating(&stop) => None,
        };
        let Some(version) = version else { return };
        let ahead = seat.ahead();
        let shared = Arc::new(Connection::new(seat, peer));
        let io = TokioIo::new(Guard::new(io, self.write_timeout, shared.unread.clone()));
        let service = {
            let (server, shared) = (self.clone(), shared.clone());
            service_fn(move |request| server.clone().handle(request, shared.clone()))
        };
        let result = match version {
            Version::Http1 => {
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
                builder.keep_alive(self.keep_alive).max_headers(MAX_HEADERS).max_header_size(self.max_head as usize);
                builder.max_buf_size(ahead.min(MAX_AHEAD.max(self.max_head)) as usize);
                self.drive(builder.serve_connection(io, service), &shared, &stop, |c| c.graceful_shutdown()).await
            }
            Version::Http2 => {
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
                builder.max_concurrent_streams(MAX_STREAMS).max_header_list_size(self.max_head).max_frame_size(ahead);
                builder
                    .initial_stream_window_size(STREAM_WINDOW * ahead)
                    .initial_connection_window_size(CONNECTION_WINDOW * ahead);
                self.drive(builder.serve_connection(io, service), &shared, &stop, |c| c.graceful_shutdown()).await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "http connection failed");
        }
    }

    /// Runs a connection; a stop, or being idle, lets it finish what is under way and close.
    async fn drive<C>(
        &self,
        connection: C,
        shared: &Connection,
        stop: &Stop,
        finish: impl Fn(Pin<&mut C>),
    ) -> Result<(), hyper::Error>
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return result,
            () = leaving(shared, stop) => {}
            () = self.idle(shared) => {}
        }
        finish(connection.as_mut());
        tokio::select! {
            result = connection => result,
            () = done(shared) => Ok(()),
        }
    }

    /// Ends when nothing was asked for during `idle_timeout`.
    async fn idle(&self, shared: &Connection) {
        let Some(limit) = self.idle_timeout else { return std::future::pending().await };
        loop {
            let before = shared.served.load(Relaxed);
            tokio::time::sleep(limit).await;
            if shared.active.load(Relaxed) == 0 && shared.served.load(Relaxed) == before {
                return;
            }
        }
    }

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        shared: Arc<Connection>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let _active = Active::new(shared.clone());
        let origin = request.headers().get(http::header::ORIGIN).cloned();
        let ends = request.version() <= http::Version::HTTP_11 && !is_small(request.headers());
        let preflight = self.cors.as_ref().and_then(|cors| cors.preflight(&request));
        let mut response = match preflight {
            Some(response) => response,
            None => {
                let mut response = self.handler.answer(request, &shared).await;
                if let (Some(cors), Some(origin)) = (&self.cors, &origin) {
                    cors.expose(origin, response.headers_mut());
                }
                response
            }
        };
        response.headers_mut().extend(self.extra_headers.clone());
        if ends && shared.unread.load(Relaxed) {
            // What is left of the request is not read: a client must know that nothing more goes by this connection.
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Ends when a stop was requested; a moment later on a connection that has not been used yet, whose first request may be on its way.
async fn leaving(shared: &Connection, stop: &Stop) {
    stop.requested().await;
    if shared.served.load(Relaxed) == 0 && shared.active.load(Relaxed) == 0 {
        hesitating(stop).await;
    }
}

/// Whether a body comes with its head, so that the connection can go on without anybody having read it.
fn is_small(headers: &HeaderMap) -> bool {
    let length = headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= SMALL_BODY)
}

/// Ends when nothing is under way and the client has had time to go.
async fn done(shared: &Connection) {
    loop {
        tokio::time::sleep(LEAVE).await;
        if shared.active.load(Relaxed) == 0 {
            return;
        }
    }
}

/// A request under way.
struct Active(Arc<Connection>);

impl Active {
    fn new(connection: Arc<Connection>) -> Active {
        connection.active.fetch_add(1, Relaxed);
        connection.is_busy();
        Active(connection)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Relaxed) == 1 {
            self.0.seat.is_idle();
        }
        self.0.served.fetch_add(1, Relaxed);
    }
}

/// What the client speaks; `None` if it is not HTTP or says nothing.
async fn version(io: &mut Io, peer: SocketAddr) -> Option<Version> {
    let stream = match io {
        Io::Tls(_) if io.alpn() == Some(b"h2") => return Some(Version::Http2),
        Io::Tls(_) => return Some(Version::Http1),
        Io::Plain(stream) => stream,
    };
    let mut first = [0; FIRST];
    loop {
        let n = stream.peek(&mut first).await.ok()?;
        match &first[..n] {
            [] => return None,
            // A TLS record with a handshake.
            [0x16, ..] => {
                tracing::debug!(%peer, "a tls client on a plaintext port");
                return None;
            }
            bytes if !PREFACE.starts_with(bytes) => return Some(Version::Http1),
            // No method of HTTP/1 begins like this.
            [b'P', b'R', b'I', ..] => return Some(Version::Http2),
            // A client that writes letter by letter.
            _ => tokio::time::sleep(PEEK_PAUSE).await,
        }
    }
}
