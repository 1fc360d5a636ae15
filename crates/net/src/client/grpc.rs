//! A unary gRPC client on HTTP/2: one request message, one answer.
//!
//! The message is a list of slices and is handed to HTTP/2 as it is: the frames are cut from it without copying, under the
//! peer's flow control, so that a large body costs no second buffer. (Runs of tiny slices are
//! [`joined`] first.) Dropping the call resets its stream and nothing else.
//!
//! Invariants: of an answer at most [`MAX_KEPT`] bytes are kept and [`MAX_ANSWER`] read, headers and trailers are capped by
//! the pool; an answer that is not gRPC never counts as delivered.
//! It does NOT retry, with one exception: a request that the peer says it has not looked at (GOAWAY, REFUSED_STREAM) goes to
//! another connection once. It does NOT keep time: the deadline is only passed on to the server.

use super::auth::{Credentials, Unsignable, Unsigned};
use super::compress::{Compression, compress};
use super::connect::{Dialer, MAX_ADDRESSES};
use super::join::joined;
use super::pool::{Lease, Pool, PoolConfig};
use super::status::{Code, Status};
use bytes::{BufMut, Bytes, BytesMut};
use flow::{Attempt, Kind, Origin, Scope, Why};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use std::time::{Duration, Instant};
use wire::{Chunks, ChunksBuf};

/// What is kept of an answer: `partial_success` is at its beginning.
const MAX_KEPT: usize = 64 * 1024;
/// What is read of an answer before its stream is reset: the OTLP specification's cap for responses.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Timeouts beyond this are no timeouts.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What a client says and how it connects.
pub struct GrpcConfig {
    /// Where to and how.
    pub dialer: Dialer,
    /// How its connections behave.
    pub pool: PoolConfig,
    /// The `:authority` of requests.
    pub authority: String,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// The `user-agent`.
    pub user_agent: String,
    /// How messages are compressed.
    pub compression: Compression,
}

/// A client of one endpoint. Its connections are made when they are needed.
pub struct GrpcClient {
    pool: Pool,
    authority: String,
    scheme: &'static str,
    headers: HeaderMap,
    compression: Compression,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server said so.
    Status(Status),
    /// No answer, or none that makes sense.
    Broken(Why),
    /// It was not sent: there is no credential for it.
    Unsigned(Unsignable),
}

impl Failure {
    fn broken(kind: Kind, text: impl AsRef<str>) -> Failure {
        Failure::Broken(Why::new(kind, super::tidy(text.as_ref())))
    }

    /// What the lane should do.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        match self {
            Failure::Status(status) => status.attempt(),
            Failure::Broken(why) if why.kind == Kind::TooLarge => Attempt::Reject { why: why.clone() },
            Failure::Broken(why) => Attempt::Retry { after: None, why: why.clone(), scope: Scope::Target },
            Failure::Unsigned(why) => why.clone().attempt(Scope::Target),
        }
    }
}

impl GrpcClient {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// If the user agent cannot be a header.
    pub fn new(config: GrpcConfig) -> Result<GrpcClient, http::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(USER_AGENT, HeaderValue::try_from(config.user_agent)?);
        // The collector's snappy on gRPC is the framing format, under the name of the block format.
        let compression =
            if config.compression == Compression::Snappy { Compression::SnappyFramed } else { config.compression };
        if let Some(name) = config.compression.name() {
            headers.insert(HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(name));
        }
        headers.extend(config.headers);
        let scheme = if config.dialer.tls.is_some() { "https" } else { "http" };
        Ok(GrpcClient {
            pool: Pool::new(config.dialer, config.pool),
            authority: config.authority,
            scheme,
            headers,
            compression,
        })
    }

    /// The address of a method, such as `/package.Service/Method`, to call it by.
    ///
    /// # Errors
    /// If authority or path cannot be part of a URI.
    pub fn method(&self, path: &'static str) -> Result<Uri, http::Error> {
        Uri::builder().scheme(self.scheme).authority(self.authority.as_str()).path_and_query(path).build()
    }

    /// Its connections.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Sends one message and waits for the answer's message, which may be cut at [`MAX_KEPT`].
    ///
    /// # Errors
    /// What the server said, or what went wrong on the way.
    pub async fn call(&self, method: &Uri, message: &Chunks, deadline: Instant) -> Result<Bytes, Failure> {
        self.call_as(None, &Origin::default(), method, message, deadline).await
    }

    /// The same with these credentials, of what came from this origin. If the server refuses the credentials, and there are newer ones
    /// by then, it is sent once more.
    ///
    /// # Errors
    /// What the server said, or what went wrong on the way.
    pub async fn call_as(
        &self,
        credentials: Option<&Credentials>,
        origin: &Origin,
        method: &Uri,
        message: &Chunks,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let body = compress(self.compression, None, message)
            .await
            .map_err(|e| Failure::broken(Kind::Other, format!("cannot compress: {e}")))?;
        let body = framed(body, self.compression != Compression::None)?;
        let Some(credentials) = credentials else {
            return self.exchange(method, &body, &self.headers, deadline).await;
        };
        let request = Unsigned { uri: method, body: &body, origin, deadline };
        let signed = async || credentials.signed(request, &self.headers).await.map_err(Failure::Unsigned);
        let headers = signed().await?;
        match self.exchange(method, &body, &headers, deadline).await {
            Err(Failure::Status(status))
                if status.code == Code::Unauthenticated && credentials.renew(&headers, deadline).await =>
            {
                self.exchange(method, &body, &signed().await?, deadline).await
            }
            other => other,
        }
    }

    async fn exchange(
        &self,
        method: &Uri,
        body: &Chunks,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        match self.once(method, body, headers, deadline).await {
            Err((Failure::Broken(_), Seen::Not)) => {
                self.once(method, body, headers, deadline).await.map_err(|(failure, _)| failure)
            }
            other => other.map_err(|(failure, _)| failure),
        }
    }

    async fn once(
        &self,
        method: &Uri,
        body: &Chunks,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Bytes, (Failure, Seen)> {
        let (mut lease, mut sender) = self.ready().await.map_err(|why| (Failure::Broken(why), Seen::Maybe))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        if let Some(timeout) = timeout_header(deadline.saturating_duration_since(flow::clock::now())) {
            request.headers_mut().insert(HeaderName::from_static("grpc-timeout"), timeout);
        }
        let result = match sender.send_request(request, false) {
            Ok((answer, mut stream)) => {
                // The whole body at once: it is shared, not copied, and HTTP/2 cuts it by frame size and window. It fails if the
                // stream has ended, be it because the server has answered without waiting for it: the answer tells which.
                let _ = stream.send_data(ChunksBuf::from(body.clone()), true);
                receive(answer, &mut lease).await
            }
            Err(e) => Err(Broken::Http2(e)),
        };
        result.map_err(|broken| match broken {
            Broken::Known(failure) => (failure, Seen::Maybe),
            Broken::Http2(e) => {
                if e.is_go_away() || e.is_io() {
                    self.pool.retire(&lease);
                }
                if e.is_remote() {
                    lease.answered();
                }
                (Failure::broken(kind_of(&e), format!("{}: {e}", lease.address())), seen(&e))
            }
        })
    }

    /// A connection that takes requests. One that has been closed since it was last used is put away; a server that closes
    /// every connection at once is given up after as many as there can be.
    async fn ready(&self) -> Result<(Lease, SendRequest<ChunksBuf>), Why> {
        let mut last = Why::new(Kind::Unreachable, "no connection");
        for _ in 0..=MAX_ADDRESSES {
            let mut lease = self.pool.acquire().await?;
            match lease.sender().ready().await {
                Ok(sender) => return Ok((lease, sender)),
                Err(e) => {
                    last = Why::new(kind_of(&e), super::tidy(&format!("{}: {e}", lease.address())));
                    lease.answered();
                    self.pool.retire(&lease);
                }
            }
        }
        Err(last)
    }
}

/// Whether the server may have looked at a request that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    Maybe,
}

/// How an exchange broke off.
enum Broken {
    Http2(h2::Error),
    Known(Failure),
}

impl From<h2::Error> for Broken {
    fn from(e: h2::Error) -> Broken {
        Broken::Http2(e)
    }
}

fn seen(e: &h2::Error) -> Seen {
    let not = e.is_remote()
        && (e.reason() == Some(Reason::REFUSED_STREAM) || (e.is_go_away() && e.reason() == Some(Reason::NO_ERROR)));
    if not { Seen::Not } else { Seen::Maybe }
}

fn kind_of(e: &h2::Error) -> Kind {
    match e.reason() {
        None => Kind::Unreachable,
        // It was us who broke off: the peer does not keep to HTTP/2, or to our limits.
        Some(_) if !e.is_remote() => Kind::Protocol,
        Some(_) if e.is_go_away() => Kind::Unavailable,
        Some(Reason::ENHANCE_YOUR_CALM) => Kind::Throttled,
        Some(Reason::REFUSED_STREAM | Reason::CANCEL | Reason::NO_ERROR) => Kind::Unavailable,
        Some(_) => Kind::Protocol,
    }
}

/// Reads the answer to its end.
async fn receive(answer: h2::client::ResponseFuture, lease: &mut Lease) -> Result<Bytes, Broken> {
    let (head, mut body) = answer.await?.into_parts();
    lease.answered();
    if let Some(status) = Status::from_headers(&head.headers) {
        return finish(status, Bytes::new());
    }
    if head.status != StatusCode::OK {
        let text = format!("HTTP status {} without a gRPC status", head.status.as_u16());
        return Err(Broken::Known(Failure::Status(Status::new(Code::from_http(head.status), text))));
    }
    let is_grpc = head.headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return Err(Broken::Known(Failure::broken(Kind::Protocol, "the answer is not gRPC")));
    }
    let kept = read(&mut body).await?;
    let trailers = body.trailers().await?;
    match trailers.as_ref().and_then(Status::from_headers) {
        Some(status) => finish(status, message_of(kept)),
        None => Err(Broken::Known(Failure::broken(Kind::Protocol, "the answer ends without a gRPC status"))),
    }
}

fn finish(status: Status, message: Bytes) -> Result<Bytes, Broken> {
    if status.code == Code::Ok { Ok(message) } else { Err(Broken::Known(Failure::Status(status))) }
}

/// The beginning of the answer's body.
async fn read(body: &mut RecvStream) -> Result<Bytes, Broken> {
    let (mut kept, mut all) = (BytesMut::new(), 0);
    while let Some(data) = body.data().await {
        let data = data?;
        all += data.len();
        if all > MAX_ANSWER {
            return Err(Broken::Known(Failure::broken(Kind::Protocol, "the answer is larger than 4 MiB")));
        }
        let room = MAX_KEPT.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(&data[..room]);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(kept.freeze())
}

/// The first message in the body of an answer. A compressed one, which we never asked for, cannot be read.
fn message_of(body: Bytes) -> Bytes {
    match body.get(..5) {
        Some(&[0, a, b, c, d]) => {
            let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            body.slice(5..body.len().min(len.saturating_add(5)))
        }
        _ => Bytes::new(),
    }
}

/// The message with gRPC's prefix of five bytes.
fn framed(body: Chunks, compressed: bool) -> Result<Chunks, Failure> {
    let Ok(len) = u32::try_from(body.len()) else {
        return Err(Failure::broken(Kind::TooLarge, "a gRPC message cannot be larger than 4 GiB"));
    };
    let mut prefix = BytesMut::with_capacity(5);
    prefix.put_u8(u8::from(compressed));
    prefix.put_u32(len);
    let size = body.len() + 5;
    Ok(joined(std::iter::once(prefix.freeze()).chain(body), size))
}

/// `grpc-timeout`: at most eight digits and a unit. None beyond a day: there is no limit then.
fn timeout_header(left: Duration) -> Option<HeaderValue> {
    if left > LONGEST {
        return None;
    }
    let text = match left.as_micros() {
        micros @ 0..=99_999_999 => format!("{}u", micros.max(1)),
        micros => format!("{}m", micros / 1000),
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests;
