//! What an OTLP sender is answered, in the bytes of both transports.
//!
//! A [`Status`] is a `google.rpc.Status` with at most one detail, `RetryInfo`: OTLP makes a refusal retryable by that detail
//! (gRPC) or by the HTTP status, so both are derived here and nowhere else. The messages are so small that they are
//! written field by field.
//!
//! Rules from the OTLP specification ("OTLP/gRPC Throttling", "OTLP/HTTP Response", "Partial Success") and, for the
//! correspondence of gRPC and HTTP codes, the collector's receiver.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use flow::{Kind, Refusal};
use http::StatusCode;
use net::told::told;
use std::time::Duration;
use wire::Signal;
use wire::field::{put_len_field, put_varint_field};

/// The longest message that is answered, in bytes.
pub const MAX_MESSAGE: usize = 1024;

/// The gRPC codes that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Bad data: sending it again will not help.
    InvalidArgument = 3,
    /// The sender's own deadline passed.
    DeadlineExceeded = 4,
    /// Too much: with `RetryInfo` for now, without for ever.
    ResourceExhausted = 8,
    /// The method, the compression or the signal is not served.
    Unimplemented = 12,
    /// The framing is broken.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// No credential, or the wrong one.
    Unauthenticated = 16,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The gRPC code.
    pub code: Code,
    /// The HTTP status that says the same, or says it more precisely.
    pub http: StatusCode,
    /// For people, at most [`MAX_MESSAGE`] bytes.
    pub message: String,
    /// When to come back, if that helps.
    pub retry_after: Option<Duration>,
    /// The delay is not to be shortened for anyone: there is no memory for an earlier try.
    pub is_firm: bool,
}

impl Status {
    /// An answer that must not be retried, with the usual HTTP status of the code.
    pub fn new(code: Code, message: impl Into<String>) -> Status {
        let http = match code {
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
            Code::Unimplemented => StatusCode::NOT_FOUND,
            Code::Internal => StatusCode::BAD_REQUEST,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        };
        let mut message = message.into();
        shorten(&mut message);
        Status { code, http, message, retry_after: None, is_firm: false }
    }

    /// The request is broken: `INVALID_ARGUMENT`, 400.
    pub fn invalid(message: impl Into<String>) -> Status {
        Status::new(Code::InvalidArgument, message)
    }

    /// The request is larger than `limit` bytes: `RESOURCE_EXHAUSTED` without `RetryInfo`, 413.
    pub fn too_large(what: &str, limit: usize) -> Status {
        Status::new(Code::ResourceExhausted, format!("{what} is larger than the limit of {limit} bytes"))
    }

    /// The same with another HTTP status.
    #[must_use]
    pub fn with_http(mut self, http: StatusCode) -> Status {
        self.http = http;
        self
    }

    /// The `google.rpc.Status` in protobuf.
    #[must_use]
    pub fn to_protobuf(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.message.len() + 64);
        put_varint_field(&mut out, 1, self.code as u64);
        put_len_field(&mut out, 2, self.message.as_bytes());
        if let Some(info) = self.retry_info() {
            let mut any = Vec::new();
            put_len_field(&mut any, 1, RETRY_INFO.as_bytes());
            put_len_field(&mut any, 2, &info);
            put_len_field(&mut out, 3, &any);
        }
        out.into()
    }

    /// The `google.rpc.RetryInfo` in protobuf, present when there is a delay.
    fn retry_info(&self) -> Option<Vec<u8>> {
        let delay = self.retry_after?;
        let mut duration = Vec::new();
        put_varint_field(&mut duration, 1, delay.as_secs());
        put_varint_field(&mut duration, 2, u64::from(delay.subsec_nanos()));
        let mut info = Vec::new();
        put_len_field(&mut info, 1, &duration);
        Some(info)
    }

    /// The `google.rpc.Status` in protobuf's JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let mut status = serde_json::json!({ "code": self.code as u8, "message": self.message });
        if let Some(delay) = self.retry_after {
            status["details"] = serde_json::json!([{ "@type": RETRY_INFO, "retryDelay": json_duration(delay) }]);
        }
        status.to_string().into()
    }

    /// The value of `grpc-status-details-bin`, present when there is a detail.
    #[must_use]
    pub fn details_bin(&self) -> Option<String> {
        self.retry_after.map(|_| STANDARD_NO_PAD.encode(self.to_protobuf()))
    }

    /// The value of `google.rpc.retryinfo-bin`, where the SDK for Python looks for the delay instead of in the details.
    #[must_use]
    pub fn retry_info_bin(&self) -> Option<String> {
        self.retry_info().map(|info| STANDARD_NO_PAD.encode(info))
    }

    /// The value of `grpc-message`: percent-encoded as the gRPC protocol asks.
    #[must_use]
    pub fn grpc_message(&self) -> String {
        let mut out = String::with_capacity(self.message.len());
        for byte in self.message.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    }

    /// The value of `Retry-After`: whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|d| (d.as_secs() + u64::from(d.subsec_nanos() > 0)).max(1))
    }
}

/// A refusal: overload is `RESOURCE_EXHAUSTED` + `RetryInfo` or 429, trouble further down `UNAVAILABLE` + `RetryInfo` or 503,
/// and what will never fit `RESOURCE_EXHAUSTED` alone or 413.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let Some(delay) = refusal.retry_after else {
            return Status::new(Code::ResourceExhausted, told(&refusal.why));
        };
        let overload = match refusal.why.kind {
            Kind::SoftLimit
            | Kind::HardLimit
            | Kind::TenantShare
            | Kind::QueueFull
            | Kind::LaneFull
            | Kind::LaneLimit
            | Kind::Throttled => true,
            Kind::NoTarget
            | Kind::Stopping
            | Kind::Unreachable
            | Kind::Timeout
            | Kind::Unavailable
            | Kind::BadData
            | Kind::TooLarge
            | Kind::Exhausted
            | Kind::Auth
            | Kind::Unimplemented
            | Kind::Protocol
            | Kind::Partial
            | Kind::Expired
            | Kind::Disk
            | Kind::Damaged
            | Kind::Policy
            | Kind::Leaked
            | Kind::Other => false,
        };
        let (code, http) = if overload {
            (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS)
        } else {
            (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE)
        };
        let is_firm = refusal.why.kind == Kind::HardLimit;
        Status { retry_after: Some(delay), is_firm, ..Status::new(code, told(&refusal.why)).with_http(http) }
    }
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// What a sender is told beside OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Records that were left out; 0: it is a warning only.
    records: u64,
    /// For people, at most [`MAX_MESSAGE`] bytes.
    message: String,
}

impl Partial {
    /// Some records were left out.
    #[must_use]
    pub fn new(records: u64, mut message: String) -> Partial {
        shorten(&mut message);
        Partial { records, message }
    }

    /// No record was left out, but something is wrong.
    #[must_use]
    pub fn warning(message: String) -> Partial {
        Partial::new(0, message)
    }
}

/// The `Export…ServiceResponse` in protobuf: empty unless records were left out, or there is something to warn of.
#[must_use]
pub fn response_protobuf(partial: Option<&Partial>) -> Bytes {
    let Some(Partial { records, message }) = partial else { return Bytes::new() };
    let mut partial = Vec::with_capacity(message.len() + 16);
    if *records > 0 {
        put_varint_field(&mut partial, 1, *records);
    }
    put_len_field(&mut partial, 2, message.as_bytes());
    let mut out = Vec::with_capacity(partial.len() + 4);
    put_len_field(&mut out, 1, &partial);
    out.into()
}

/// The `Export…ServiceResponse` in OTLP/JSON.
#[must_use]
pub fn response_json(signal: Signal, partial: Option<&Partial>) -> Bytes {
    let Some(Partial { records, message }) = partial else { return Bytes::from_static(b"{}") };
    let rejected = match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
    };
    let mut partial = serde_json::json!({ "errorMessage": message });
    if *records > 0 {
        partial[rejected] = records.to_string().into();
    }
    serde_json::json!({ "partialSuccess": partial }).to_string().into()
}

/// Protobuf's JSON form of a duration: seconds with 0, 3, 6 or 9 decimals.
fn json_duration(d: Duration) -> String {
    match d.subsec_nanos() {
        0 => format!("{}s", d.as_secs()),
        n if n % 1_000_000 == 0 => format!("{}.{:03}s", d.as_secs(), n / 1_000_000),
        n if n % 1_000 == 0 => format!("{}.{:06}s", d.as_secs(), n / 1_000),
        n => format!("{}.{n:09}s", d.as_secs()),
    }
}

fn shorten(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
        message.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Why;

    fn refusal(kind: Kind, retry_after: Option<Duration>) -> Status {
        Refusal { why: Why::new(kind, "busy"), retry_after }.into()
    }

    /// Scenario: an overload with a delay. Guarantee: the bytes are those of the official schema: code 8, message, `RetryInfo` of 1.5 s.
    #[test]
    fn an_overload_carries_retry_info() {
        let status = refusal(Kind::HardLimit, Some(Duration::from_millis(1500)));
        let mut expected = vec![0x08, 8, 0x12, 16];
        expected.extend_from_slice(b"hard_limit: busy");
        let duration = [0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
        expected.extend_from_slice(&[0x1a, 2 + 40 + 2 + 10, 0x0a, 40]);
        expected.extend_from_slice(RETRY_INFO.as_bytes());
        expected.extend_from_slice(&[0x12, 10, 0x0a, 8]);
        expected.extend_from_slice(&duration);
        assert_eq!(status.to_protobuf(), expected);
        assert_eq!(status.http, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(status.retry_after_seconds(), Some(2));
        assert_eq!(
            status.to_json(),
            r#"{"code":8,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}],"message":"hard_limit: busy"}"#
        );
        assert!(status.details_bin().is_some_and(|d| !d.contains('=')));
    }

    /// Scenario: a refusal that time cannot heal. Guarantee: no `RetryInfo`, no `Retry-After`, 413.
    #[test]
    fn too_large_is_not_retryable() {
        let status = refusal(Kind::TooLarge, None);
        assert_eq!((status.code, status.http), (Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!((status.details_bin(), status.retry_after_seconds()), (None, None));
    }

    /// Scenario: the destination is in trouble while the sender waits. Guarantee: `UNAVAILABLE` and 503, with the delay.
    #[test]
    fn trouble_downstream_is_unavailable() {
        for kind in [Kind::Stopping, Kind::Unreachable, Kind::Unavailable, Kind::Timeout] {
            let status = refusal(kind, Some(Duration::from_millis(1)));
            assert_eq!((status.code, status.http), (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE));
            assert_eq!(status.retry_after_seconds(), Some(1));
        }
    }

    /// Scenario: everything was taken; some was not; all was, but there is a warning. Guarantee: `partial_success` is unset; says how many and
    /// why; says why alone.
    #[test]
    fn a_partial_success_is_reported_in_both_encodings() {
        assert!(response_protobuf(None).is_empty());
        assert_eq!(response_json(Signal::Logs, None), "{}");
        let some = Partial::new(300, told(&Why::new(Kind::SoftLimit, "x")));
        assert_eq!(&response_protobuf(Some(&some))[..], b"\x0a\x12\x08\xac\x02\x12\x0dsoft_limit: x");
        assert_eq!(
            response_json(Signal::Traces, Some(&some)),
            r#"{"partialSuccess":{"errorMessage":"soft_limit: x","rejectedSpans":"300"}}"#
        );
        let warning = Partial::warning("x".repeat(2 * MAX_MESSAGE));
        assert_eq!(response_protobuf(Some(&warning)).len(), MAX_MESSAGE + 6);
        let json = response_json(Signal::Logs, Some(&Partial::warning("x".to_owned())));
        assert_eq!(json, r#"{"partialSuccess":{"errorMessage":"x"}}"#);
    }

    /// Scenario: a message of any length and script. Guarantee: it is cut at a character within the limit and is a legal header.
    #[test]
    fn messages_are_short_and_legal_in_headers() {
        let status = Status::invalid("ü%\n".repeat(1000));
        assert!(status.message.len() <= MAX_MESSAGE && status.message.len() > MAX_MESSAGE - 4);
        assert!(status.grpc_message().starts_with("%C3%BC%25%0A"));
        assert!(http::HeaderValue::from_str(&status.grpc_message()).is_ok());
    }
}
