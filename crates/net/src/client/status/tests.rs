use super::*;
use crate::client::testing::retry_info_bytes;
use proptest::prelude::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_str(v).unwrap())).collect()
}

/// Scenario: every code without RetryInfo. Guarantee: retried or rejected, and labelled, as the OTLP specification lists them.
#[test]
fn codes_are_retried_as_the_specification_lists_them() {
    for n in 0..18 {
        let status = Status::from_headers(&headers(&[("grpc-status", &n.to_string()), ("grpc-message", "m")])).unwrap();
        let expected = match n {
            0 => (None, None),
            1 | 10 | 11 | 14 | 15 => (Some(true), Some(Kind::Unavailable)),
            4 => (Some(true), Some(Kind::Timeout)),
            3 => (Some(false), Some(Kind::BadData)),
            7 | 16 => (Some(true), Some(Kind::Auth)),
            8 => (Some(false), Some(Kind::Exhausted)),
            12 => (Some(false), Some(Kind::Unimplemented)),
            _ => (Some(false), Some(Kind::Other)),
        };
        let got = match status.attempt() {
            Attempt::Sent => (None, None),
            Attempt::Retry { after: None, why, scope: Scope::Target } => (Some(true), Some(why.kind)),
            Attempt::Reject { why } => (Some(false), Some(why.kind)),
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expected, "{n}");
    }
}

/// Scenario: RESOURCE_EXHAUSTED with and without RetryInfo, and about the size. Guarantee: throttled, for the lane to find out, too large.
#[test]
fn resource_exhausted_is_a_delay_a_shortage_or_a_size() {
    let of = |message: &str, retry| Status { code: Code::ResourceExhausted, message: message.into(), retry }.attempt();
    let after = Some(Duration::from_secs(3));
    let why = |kind, text: &str| Why::new(kind, text);
    let busy = "RESOURCE_EXHAUSTED: busy";
    assert_eq!(of("busy", after), Attempt::Retry { after, why: why(Kind::Throttled, busy), scope: Scope::Target });
    let soon = Attempt::Retry { after: None, why: why(Kind::Throttled, busy), scope: Scope::Target };
    assert_eq!(of("busy", Some(Duration::ZERO)), soon);
    assert_eq!(of("busy", None), Attempt::Reject { why: why(Kind::Exhausted, busy) });
    for text in [
        "grpc: received message larger than max (5 vs. 4)",
        "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
        "gRPC message exceeds maximum size 4: 5",
    ] {
        assert!(matches!(of(text, None), Attempt::Reject { why } if why.kind == Kind::TooLarge), "{text}");
    }
}

/// Scenario: UNAVAILABLE that says ten years. Guarantee: passed on as it is; the lane caps it.
#[test]
fn a_servers_wish_is_passed_on() {
    let ten_years = Duration::from_secs(10 * 365 * 86_400);
    let details = crate::client::testing::retry_info(ten_years);
    let status =
        Status::from_headers(&headers(&[("grpc-status", "14"), ("grpc-status-details-bin", &details)])).unwrap();
    assert!(
        matches!(status.attempt(), Attempt::Retry { after, why, .. } if after == Some(ten_years) && why.kind == Kind::Throttled)
    );
}

/// Scenario: details with padding, with junk, and beyond the cap. Guarantee: read, ignored, ignored.
#[test]
fn details_that_cannot_be_read_are_ignored() {
    let bare = crate::client::testing::retry_info(Duration::from_millis(1500));
    let padded = format!("{bare}{}", "=".repeat((4 - bare.len() % 4) % 4));
    let retry = |details: &str| {
        let status = Status::from_headers(&headers(&[("grpc-status", "14"), ("grpc-status-details-bin", details)]));
        status.unwrap().retry
    };
    assert_eq!(retry(&bare), Some(Duration::from_millis(1500)));
    assert_eq!(retry(&padded), Some(Duration::from_millis(1500)));
    assert_eq!(retry("!!!"), None);
    assert_eq!(retry(""), None);
    assert_eq!(retry(&"A".repeat(MAX_DETAILS + 4)), None);
}

/// Scenario: messages with escapes, broken escapes, control characters and great length. Guarantee: readable and bounded.
#[test]
fn messages_are_decoded_and_tidied() {
    let message =
        |text: &str| Status::from_headers(&headers(&[("grpc-status", "3"), ("grpc-message", text)])).unwrap().message;
    assert_eq!(message("a%20b%C3%A9"), "a bé");
    assert_eq!(message("100%"), "100%");
    assert_eq!(message("%zz%4"), "%zz%4");
    assert_eq!(message("a%0Ab%1b[31m"), "a b [31m");
    assert!(message(&"x".repeat(10_000)).len() < 600);
}

/// Scenario: codes that are no codes. Guarantee: UNKNOWN, which is not retried.
#[test]
fn what_is_no_code_is_unknown() {
    for text in ["17", "-1", "", "abc", "99999999999999999999"] {
        assert_eq!(Code::from_header(text.as_bytes()), Code::Unknown, "{text}");
    }
    assert!(Status::from_headers(&HeaderMap::new()).is_none());
}

/// Scenario: HTTP statuses of proxies. Guarantee: gRPC's own mapping.
#[test]
fn http_statuses_stand_for_codes() {
    let of = |n| Code::from_http(StatusCode::from_u16(n).unwrap());
    assert_eq!(
        [400, 401, 403, 404].map(of),
        [Code::Internal, Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented]
    );
    assert_eq!([429, 502, 503, 504].map(of), [Code::Unavailable; 4]);
    assert_eq!([302, 500, 418].map(of), [Code::Unknown; 3]);
}

proptest! {
    /// Scenario: any delay. Guarantee: it is read back; negative parts mean no delay.
    #[test]
    fn retry_info_is_read_back(seconds in any::<i64>(), nanos in -5i32..1_000_000_000) {
        let bytes = retry_info_bytes(seconds as u64, i64::from(nanos) as u64);
        let expected = match (u64::try_from(seconds), u32::try_from(nanos)) {
            (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
            _ => Duration::ZERO,
        };
        prop_assert_eq!(retry_info(&bytes), Some(expected));
    }

    /// Scenario: any bytes, and real ones that are cut. Guarantee: no panic.
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0usize..80) {
        let _ = (retry_info(&bytes), status_message(&bytes));
        let real = retry_info_bytes(5, 5);
        let _ = retry_info(&real[..cut.min(real.len())]);
    }

    /// Scenario: any message bytes. Guarantee: percent-decoding never panics and gives no more than it got.
    #[test]
    fn any_text_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        // A broken byte becomes U+FFFD, three bytes.
        prop_assert!(percent_decode(&bytes).len() <= 3 * bytes.len());
    }
}
