//! OTLP/JSON as hostile or careless senders write it.

use super::http::{JSON, PROTOBUF, post};
use super::*;

/// Sends it as traces; the HTTP status. A refusal must be JSON.
async fn send(house: &House, body: impl Into<Bytes>) -> u16 {
    let answer = post(house.http, "/v1/traces", &[("content-type", JSON)], body).await;
    match answer.status.as_u16() {
        200 => assert_eq!(answer.text(), "{}"),
        status => answer.assert_refused(status, JSON),
    }
    answer.status.as_u16()
}

/// A request with one span of these members.
fn span(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#)
}

/// What became of the one span.
fn taken(house: &House) -> Vec<u8> {
    let body = house.sink.taken.lock().pop().unwrap().body.contiguous();
    let mut at = &body[..];
    // Three levels, each shorter than 128 bytes.
    for _ in 0..3 {
        at = &at[2..];
    }
    at.to_vec()
}

/// Scenario: ids in hex of either case, in base64, of wrong lengths. Guarantee: hex is taken, the others are 400.
#[tokio::test]
async fn ids_are_hex() {
    let house = House::new().await;
    for id in ["5B8EFFF798038103D269B633813FC60C", "5b8efff798038103d269b633813fc60c"] {
        assert_eq!(send(&house, span(&format!(r#""traceId":"{id}""#))).await, 200);
        assert_eq!(taken(&house)[2..4], [0x5b, 0x8e]);
    }
    for id in
        ["W47/95gDgQPSabYzgT/GDA==", "5b8e", "5b8efff798038103d269b633813fc60g", "5b8efff798038103d269b633813fc60c00"]
    {
        assert_eq!(send(&house, span(&format!(r#""traceId":"{id}""#))).await, 400, "{id}");
    }
    assert_eq!(send(&house, span(r#""traceId":17"#)).await, 400);
    house.stop().await;
}

/// Scenario: 64-bit integers as numbers and strings; enums as numbers and names; numbers that are none or too large. Guarantee: both forms of both
/// are taken, as by the collector, the rest is 400.
#[tokio::test]
async fn numbers_are_numbers_or_strings() {
    let house = House::new().await;
    for time in ["1544712660000000000", r#""1544712660000000000""#] {
        assert_eq!(send(&house, span(&format!(r#""startTimeUnixNano":{time}"#))).await, 200);
        assert_eq!(taken(&house)[1..], 1_544_712_660_000_000_000u64.to_le_bytes());
    }
    for kind in ["3", r#""SPAN_KIND_CLIENT""#] {
        assert_eq!(send(&house, span(&format!(r#""kind":{kind}"#))).await, 200);
        assert_eq!(taken(&house), [6 << 3, 3]);
    }
    for bad in [
        r#""kind":"CLIENT""#,
        r#""startTimeUnixNano":-1"#,
        r#""startTimeUnixNano":1e400"#,
        r#""startTimeUnixNano":"x""#,
    ] {
        assert_eq!(send(&house, span(bad)).await, 400, "{bad}");
    }
    house.stop().await;
}

/// Scenario: keys in snake_case, unknown keys. Guarantee: those are known, these are ignored, as the specification demands.
#[tokio::test]
async fn other_keys() {
    let house = House::new().await;
    let body = r#"{"resource_spans":[{"instrumentation_library_spans":[{"spans":[{"name":"n","x":[{"y":null},1e3,"s",true]}]}]}]}"#;
    assert_eq!(send(&house, body).await, 200);
    assert_eq!(taken(&house), field(5, b"n"));
    house.stop().await;
}

/// Scenario: requests in which nothing is understood, at the top and further down; one that is empty, one with a record and an unknown field.
/// Guarantee: the first are answered with a warning that names the place, and counted; the others are not.
#[tokio::test]
async fn what_is_not_understood_is_told() {
    let house = House::new().await;
    let not_understood = || house.inlets.of(Signal::Traces).stats().not_understood.get();
    for (n, (body, place)) in [
        (r#"{"resourceLogs":[{"scopeLogs":[]}]}"#, "resourceLogs"),
        (r#"{"resourceSpans":[{"scopeSpan":[{"spans":[{}]}]}]}"#, "resourceSpans[0].scopeSpan"),
    ]
    .iter()
    .enumerate()
    {
        let answer = post(house.http, "/v1/traces", &[("content-type", JSON)], *body).await;
        let expected =
            format!(r#"{{"partialSuccess":{{"errorMessage":"nothing was understood: unknown field {place}"}}}}"#);
        assert_eq!((answer.status.as_u16(), answer.text()), (200, expected));
        assert_eq!(not_understood() as usize, n + 1);
    }
    for body in ["{}".to_owned(), r#"{"resourceSpans":[]}"#.into(), span(r#""x":1"#)] {
        assert_eq!(send(&house, body).await, 200);
    }
    assert_eq!((not_understood(), house.taken().len()), (2, 1));
    house.stop().await;
}

/// Scenario: values and unknown fields nested 10,000 deep. Guarantee: 400, and no stack overflows.
#[tokio::test]
async fn bottomless_nesting() {
    let house = House::new().await;
    let value = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(10_000), "]}}".repeat(10_000));
    assert_eq!(send(&house, span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))).await, 400);
    assert_eq!(send(&house, format!(r#"{{"x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000))).await, 400);
    assert_eq!(send(&house, "[".repeat(1 << 20)).await, 400);
    house.stop().await;
}

/// Scenario: half an emoji, bytes that are not UTF-8, keys twice, `null` in a list. Guarantee: taken, as by the collector; what is broken is U+FFFD.
#[tokio::test]
async fn careless_texts() {
    let house = House::new().await;
    for (body, name) in [
        (span(r#""name":"a\ud83d""#).into_bytes(), "a\u{fffd}"),
        ([&b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"a\xff\"}]}]}]}"[..]].concat(), "a\u{fffd}"),
        (span(r#""name":"a","name":"b""#).into_bytes(), "b"),
    ] {
        assert_eq!(send(&house, body).await, 200);
        let found = taken(&house);
        assert!(found.ends_with(&field(5, name.as_bytes())), "{found:?}");
    }
    assert_eq!(send(&house, r#"{"resourceSpans":[null,{"scopeSpans":[null,{"spans":[null]}]}]}"#).await, 200);
    assert_eq!(house.taken().pop().map(|payload| payload.records), Some(1));
    house.stop().await;
}

/// Scenario: texts that are not this JSON: garbage behind, `null`, nothing, lists, other types. Guarantee: 400, counted.
#[tokio::test]
async fn broken_texts() {
    let house = House::new().await;
    let bad = [
        format!("{} x", span("")),
        format!("{}{}", span(""), span("")),
        "null".into(),
        String::new(),
        "[]".into(),
        "1".into(),
        r#"{"resourceSpans":{}}"#.into(),
        "{".into(),
        r#"{"resourceSpans":[{]}"#.into(),
    ];
    for body in &bad {
        assert_eq!(send(&house, body.clone()).await, 400, "{body}");
    }
    let utf16: Vec<u8> = span("").encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(send(&house, utf16).await, 400);
    assert_eq!(send(&house, span("").replace("spans\"", "\u{0}spans\"")).await, 400);
    assert_eq!((house.malformed() as usize, house.taken().len()), (bad.len() + 2, 0));
    house.stop().await;
}

/// Scenario: a byte order mark. Guarantee: skipped.
#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let house = House::new().await;
    assert_eq!(send(&house, format!("\u{feff}{}", span(r#""name":"n""#))).await, 200);
    assert_eq!(house.taken().len(), 1);
    house.stop().await;
}

/// Scenario: protobuf under the name of JSON and the reverse. Guarantee: 400, in the content type that was claimed.
#[tokio::test]
async fn swapped_content_types() {
    let house = House::new().await;
    assert_eq!(send(&house, request(Signal::Traces, 1, 5)).await, 400);
    post(house.http, "/v1/traces", &[("content-type", PROTOBUF)], span("")).await.assert_refused(400, PROTOBUF);
    house.stop().await;
}

/// Scenario: JSON that is larger as protobuf (a list of doubles), beyond the limit. Guarantee: 413, and nothing stays charged.
#[tokio::test]
async fn json_may_not_outgrow_the_limit() {
    let mut plan = Plan::default();
    plan.http.max_request_body_size = 100_000;
    let house = plan.build().await;
    let bounds = vec!["1"; 40_000].join(",");
    let body = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"explicitBounds":[{bounds}]}}]}}}}]}}]}}]}}"#
    );
    post(house.http, "/v1/metrics", &[("content-type", JSON)], body).await.assert_refused(413, JSON);
    house.stop().await;
}
