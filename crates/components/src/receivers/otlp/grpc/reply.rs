//! The answer to one call, as HTTP/2 frames.
//!
//! A refusal is one HEADERS frame ("trailers only"); success is headers, one message and trailers. What is written has a bounded size.
//! It does not decide what is answered.

use super::super::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use net::auth::Authenticator;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const RETRY_INFO: HeaderName = HeaderName::from_static("google.rpc.retryinfo-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The encodings that are taken, as they are told to senders.
pub const ACCEPTED_ENCODINGS: &str = "identity,gzip,zstd,snappy,deflate";

/// What a call ends with.
#[derive(Debug)]
pub enum Reply {
    /// Success, with this message.
    Message(Bytes),
    /// A gRPC status.
    Status(Box<Status>),
    /// The sender may not send: the status, and what would let it.
    Unauthenticated(Box<Status>, &'static str),
    /// The encoding of the request is not known: the status, and what is.
    Encoding(Box<Status>),
    /// Not a gRPC request at all.
    NotGrpc(StatusCode),
    /// Nobody listens any more.
    Gone,
}

impl Reply {
    /// The refusal of an authenticator.
    pub fn unauthenticated(status: Status, authenticator: &Authenticator) -> Reply {
        Reply::Unauthenticated(Box::new(status), authenticator.challenge())
    }

    /// Hands the frames to HTTP/2. An error means that the sender is gone, which needs no handling.
    pub fn send(self, respond: SendResponse<Bytes>) {
        let _ = self.write(respond);
    }

    fn write(self, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
        let mut head = Response::new(());
        match self {
            Reply::Gone => respond.send_reset(h2::Reason::CANCEL),
            Reply::Message(message) => {
                head.headers_mut().insert(CONTENT_TYPE, GRPC);
                let mut stream = respond.send_response(head, false)?;
                stream.send_data(frame(&message), false)?;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                stream.send_trailers(trailers)?;
            }
            Reply::Status(status) => {
                describe(head.headers_mut(), &status);
                respond.send_response(head, true)?;
            }
            Reply::Unauthenticated(status, challenge) => {
                describe(head.headers_mut(), &status);
                head.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
                respond.send_response(head, true)?;
            }
            Reply::Encoding(status) => {
                describe(head.headers_mut(), &status);
                head.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED_ENCODINGS));
                respond.send_response(head, true)?;
            }
            Reply::NotGrpc(status) => {
                *head.status_mut() = status;
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    head.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                }
                respond.send_response(head, true)?;
            }
        }
        Ok(())
    }
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Reply::Status(Box::new(status))
    }
}

fn describe(headers: &mut HeaderMap, status: &Status) {
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code as u16));
    // Percent-encoded text and base64 are always legal values.
    if let Ok(message) = HeaderValue::try_from(status.grpc_message()) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if let Some(details) = status.details_bin().and_then(|d| HeaderValue::try_from(d).ok()) {
        headers.insert(GRPC_DETAILS, details);
    }
    if let Some(info) = status.retry_info_bin().and_then(|i| HeaderValue::try_from(i).ok()) {
        headers.insert(RETRY_INFO, info);
    }
}

/// The message behind its prefix. The usual one is empty and costs nothing.
fn frame(message: &Bytes) -> Bytes {
    if message.is_empty() {
        return Bytes::from_static(&[0; 5]);
    }
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}
