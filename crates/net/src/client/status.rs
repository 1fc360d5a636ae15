//! What a gRPC answer means: the code, the text, the delay the server asks for, and whether trying again may help.
//!
//! The rules are those of the OTLP specification (docs/specification.md, "Failures" of OTLP/gRPC), which are the collector's
//! too: CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and DATA_LOSS may be retried, RESOURCE_EXHAUSTED if
//! the server says when (RetryInfo), nothing else. Beyond them, RESOURCE_EXHAUSTED that says neither when nor that the message is too
//! large is [`Kind::Exhausted`]: a collector that is short of memory answers so.
//!
//! Invariants: nothing a server writes is trusted to be well-formed or short; details that cannot be read are ignored.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flow::{Attempt, Kind, Scope, Why};
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use wire::field::{Fields, Value};

/// The longest `grpc-status-details-bin` that is looked into, in base64 characters.
const MAX_DETAILS: usize = 8 * 1024;

/// Padding is optional in gRPC's binary headers.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

impl Code {
    /// The code of a `grpc-status` value. What gRPC does not know is UNKNOWN.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Code {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        number.and_then(|n| CODES.get(n)).map_or(Code::Unknown, |(code, _)| *code)
    }

    /// The code that stands for an HTTP status without gRPC's own (grpc/doc/http-grpc-status-mapping.md).
    #[must_use]
    pub fn from_http(status: StatusCode) -> Code {
        match status.as_u16() {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        CODES[self as usize].1
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: Code,
    /// The server's text, tidied.
    pub message: String,
    /// RetryInfo: when to come back, as the server wishes; zero if it did not say.
    pub retry: Option<Duration>,
}

impl Status {
    /// A status of our own making.
    pub fn new(code: Code, message: impl Into<String>) -> Status {
        Status { code, message: message.into(), retry: None }
    }

    /// The status in trailers (or in the headers of an answer that has nothing else), if it is there.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Status> {
        let code = Code::from_header(headers.get("grpc-status")?.as_bytes());
        let message =
            headers.get("grpc-message").map_or_else(String::new, |text| super::tidy(&percent_decode(text.as_bytes())));
        let details = headers.get("grpc-status-details-bin").filter(|text| text.len() <= MAX_DETAILS);
        let retry = details.and_then(|text| BASE64.decode(text.as_bytes()).ok()).and_then(|bytes| retry_info(&bytes));
        Some(Status { code, message, retry })
    }

    /// What the lane should do. `Code::Ok` is [`Attempt::Sent`].
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        let text = if self.message.is_empty() {
            self.code.as_str().to_owned()
        } else {
            format!("{}: {}", self.code.as_str(), self.message)
        };
        let reject = |kind| Attempt::Reject { why: Why::new(kind, text.as_str()) };
        let retry = |kind| Attempt::Retry {
            after: self.retry.filter(|d| !d.is_zero()),
            why: Why::new(kind, text.as_str()),
            scope: Scope::Target,
        };
        match self.code {
            Code::Ok => Attempt::Sent,
            Code::ResourceExhausted if self.retry.is_some() => retry(Kind::Throttled),
            Code::ResourceExhausted if speaks_of_size(&self.message) => reject(Kind::TooLarge),
            Code::ResourceExhausted => reject(Kind::Exhausted),
            Code::Unavailable if self.retry.is_some() => retry(Kind::Throttled),
            Code::DeadlineExceeded => retry(Kind::Timeout),
            Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => {
                retry(Kind::Unavailable)
            }
            Code::InvalidArgument => reject(Kind::BadData),
            // It is the credential that is wrong, not the data.
            Code::Unauthenticated | Code::PermissionDenied => retry(Kind::Auth),
            Code::Unimplemented => reject(Kind::Unimplemented),
            _ => reject(Kind::Other),
        }
    }
}

/// Whether a refusal is about this message's size: the words of Go, Java, C++ and tonic servers have these.
pub fn speaks_of_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["larger than max", "too large", "message length", "exceeds maximum", "message size", "size limit"]
        .iter()
        .any(|words| message.contains(words))
}

/// Undoes the percent-encoding of `grpc-message`; broken escapes stay as they are, broken UTF-8 is replaced.
pub fn percent_decode(text: &[u8]) -> String {
    let hex = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, tail @ ..] = rest {
        match rest {
            [b'%', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The delay of the first `google.rpc.RetryInfo` in a `google.rpc.Status`: zero if it has none or a negative one.
#[must_use]
pub fn retry_info(status: &[u8]) -> Option<Duration> {
    for details in fields(status, 3) {
        let (mut name, mut value) = (&[][..], &[][..]);
        for field in Fields::new(details).map_while(Result::ok) {
            match (field.number, field.value) {
                (1, Value::Len(bytes)) => name = bytes,
                (2, Value::Len(bytes)) => value = bytes,
                _ => {}
            }
        }
        if name.rsplit(|b| *b == b'/').next() == Some(b"google.rpc.RetryInfo") {
            return Some(fields(value, 1).last().map_or(Duration::ZERO, delay));
        }
    }
    None
}

/// The text of a `google.rpc.Status`.
#[must_use]
pub fn status_message(status: &[u8]) -> Option<String> {
    fields(status, 2).last().map(|text| super::tidy(&String::from_utf8_lossy(text)))
}

/// All values of one length-delimited field, as far as the message can be read.
fn fields(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).map_while(Result::ok).filter(move |f| f.number == number).filter_map(|f| f.bytes())
}

/// A `google.protobuf.Duration`, zero if it is negative.
fn delay(duration: &[u8]) -> Duration {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for field in Fields::new(duration).map_while(Result::ok) {
        match (field.number, field.varint()) {
            (1, Some(value)) => seconds = value as i64,
            (2, Some(value)) => nanos = value as i32,
            _ => {}
        }
    }
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) => Duration::from_secs(seconds).saturating_add(Duration::from_nanos(u64::from(nanos))),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
