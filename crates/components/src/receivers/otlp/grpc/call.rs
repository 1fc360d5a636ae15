//! One call: from its headers to what it is answered.
//!
//! Nothing of the body is read before the request is admitted, and the body's buffers are let go before the call waits for anything
//! but the body. The sender's own deadline ends the call, and so does its cancelling.

use super::super::intake::{Admitted, Form, Packed};
use super::super::status::{Code, Status, response_protobuf};
use super::Server;
use super::frame::{self, FrameError, IDLE_TIMEOUT};
use super::reply::Reply;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, StatusCode, request};
use net::body::ReadBuffers;
use net::calls::HalfOpen;
use net::compression::Encoding;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use wire::Signal;

/// What a call needs.
pub(super) struct Call {
    pub server: Arc<Server>,
    pub buffers: Arc<ReadBuffers>,
    pub half_open: HalfOpen,
    pub respond: SendResponse<Bytes>,
    /// The sender's address.
    pub peer: IpAddr,
    /// Whether a stop was requested before it came.
    pub is_stopping: bool,
}

/// `grpc.health.v1.HealthCheckResponse { status: SERVING }`.
const SERVING: &[u8] = &[0x08, 1];
/// The same with `NOT_SERVING`.
const NOT_SERVING: &[u8] = &[0x08, 2];

/// The methods that are served.
enum Rpc {
    Export(Signal),
    Health,
}

impl Call {
    /// Runs it to its answer.
    pub async fn run(mut self, request: Request<RecvStream>) -> (SendResponse<Bytes>, Reply) {
        let (head, body) = request.into_parts();
        let reply = match timeout(&head.headers) {
            Err(status) => status.into(),
            Ok(None) => self.answer(head, body).await,
            Ok(Some(Duration::ZERO)) => late(),
            Ok(Some(limit)) => tokio::time::timeout(limit, self.answer(head, body)).await.unwrap_or_else(|_| late()),
        };
        (self.respond, reply)
    }

    async fn answer(&mut self, head: request::Parts, body: RecvStream) -> Reply {
        if head.method != Method::POST {
            return Reply::NotGrpc(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !is_grpc(&head.headers) {
            return Reply::NotGrpc(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        match method(head.uri.path()) {
            Some(Rpc::Export(signal)) if self.server.intake.inlet(signal).is_connected() => {
                // The address may be a slice of what was read, and would keep all of that.
                let headers = head.headers;
                drop(head.uri);
                self.export(signal, &headers, body).await.unwrap_or_else(|reply| reply)
            }
            // That the program is ready is said elsewhere; a connection that works is healthy, until it is about to end.
            Some(Rpc::Health) if self.is_stopping => Reply::Message(Bytes::from_static(NOT_SERVING)),
            Some(Rpc::Health) => Reply::Message(Bytes::from_static(SERVING)),
            _ => Status::new(Code::Unimplemented, format!("unknown service or method {}", head.uri.path())).into(),
        }
    }

    async fn export(&mut self, signal: Signal, headers: &HeaderMap, mut body: RecvStream) -> Result<Reply, Reply> {
        let intake = &self.server.intake;
        let limit = self.server.max_message;
        let Admitted { mut call, mut permit, meta } = intake
            .admit(signal, headers, (self.peer, &self.half_open))
            .await
            .map_err(|status| match &intake.authenticator {
                Some(auth) if status.code == Code::Unauthenticated => Reply::unauthenticated(status, auth),
                _ => status.for_sender(headers).into(),
            })?;
        let encoding = encoding(headers).ok_or_else(|| {
            let message = format!("grpc-encoding is not supported; use one of {}", super::reply::ACCEPTED_ENCODINGS);
            Reply::Encoding(Box::new(intake.malformed(signal, Status::new(Code::Unimplemented, message))))
        })?;
        let message = frame::read(&mut body, limit, &self.buffers, (&mut call, &mut permit)).await.map_err(
            |error| match error {
                FrameError::TooLarge => intake.too_large(signal, "the message", limit).into(),
                FrameError::Refused(refusal) => intake.refused(signal, refusal).into(),
                FrameError::Broken(what) => intake.malformed(signal, Status::new(Code::Internal, what)).into(),
                FrameError::Idle => {
                    let message =
                        format!("nothing arrived for {} s, or the message is too slow", IDLE_TIMEOUT.as_secs());
                    Reply::from(intake.malformed(signal, Status::new(Code::DeadlineExceeded, message)))
                }
                FrameError::Gone => Reply::Gone,
            },
        )?;
        drop(body);
        let encoding = match (message.compressed, encoding) {
            (false, _) => Encoding::Identity,
            (true, Encoding::Identity) => {
                let status = Status::new(
                    Code::Internal,
                    "the message says that it is compressed, but there is no grpc-encoding",
                );
                return Err(intake.malformed(signal, status).into());
            }
            (true, encoding) => encoding,
        };
        let packed = Packed { signal, encoding, form: Form::Protobuf, body: message.body, limit };
        let unpacked = intake.unpack(packed, permit).await?;
        let mut offer = pin!(intake.offer(unpacked, meta));
        let respond = &mut self.respond;
        // What was queued stays queued when the sender hangs up; only its answer is not waited for.
        let accepted = poll_fn(|cx| match offer.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        });
        match accepted.await {
            None => Err(Reply::Gone),
            Some(result) => {
                let partial = result.map_err(|status| status.for_sender(headers))?;
                Ok(Reply::Message(response_protobuf(partial.as_ref())))
            }
        }
    }
}

fn late() -> Reply {
    Status::new(Code::DeadlineExceeded, "the sender's deadline has passed").into()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    match value.as_bytes().strip_prefix(b"application/grpc") {
        Some([]) => true,
        Some([b'+', format @ ..]) => format.split(|b| *b == b';').next() == Some(b"proto"),
        Some([b';', ..]) => true,
        _ => false,
    }
}

fn method(path: &str) -> Option<Rpc> {
    let signal = match path {
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        "/grpc.health.v1.Health/Check" => return Some(Rpc::Health),
        _ => return None,
    };
    Some(Rpc::Export(signal))
}

/// The encoding of compressed messages; `None` if it is not supported. lz4 is no gRPC encoding.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let Some(name) = headers.get("grpc-encoding") else { return Some(Encoding::Identity) };
    Encoding::parse(name.to_str().ok()?).filter(|e| !matches!(e, Encoding::Lz4))
}

/// `grpc-timeout`: at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    parse_timeout(value.as_bytes()).map(Some).ok_or_else(|| Status::new(Code::Internal, "malformed grpc-timeout"))
}

fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = digits.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
    Some(match unit {
        b'n' => Duration::from_nanos(n),
        b'u' => Duration::from_micros(n),
        b'm' => Duration::from_millis(n),
        b'S' => Duration::from_secs(n),
        b'M' => Duration::from_secs(n * 60),
        b'H' => Duration::from_secs(n * 3600),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: timeouts at the edges of the grammar. Guarantee: legal ones are exact, others are refused.
    #[test]
    fn timeouts_are_parsed_to_the_letter() {
        assert_eq!(parse_timeout(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse_timeout(b"0n"), Some(Duration::ZERO));
        assert_eq!(parse_timeout(b"10S"), Some(Duration::from_secs(10)));
        for bad in [&b""[..], b"S", b"10", b"100000000S", b"-1S", b"1s", b"1 S", b"1.5S"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }

    /// Scenario: content types. Guarantee: gRPC with protobuf is taken, with parameters or without, and nothing that merely begins alike.
    #[test]
    fn only_grpc_is_grpc() {
        let is = |value: &str| is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        assert!(
            is("application/grpc")
                && is("application/grpc+proto")
                && is("application/grpc;x=y")
                && is("application/grpc+proto;x")
        );
        assert!(!is("application/grpc-web") && !is("application/grpc+json") && !is("application/json") && !is(""));
    }
}
