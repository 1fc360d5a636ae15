//! Protobuf as hostile or careless senders write it. The check itself is tested where it lives; here it is seen through the door.

use super::http::{PROTOBUF, post};
use super::*;
use wire::field::{put_varint, put_varint_field};

/// Sends it as logs; the HTTP status.
async fn send(house: &House, body: impl Into<Bytes>) -> u16 {
    post(house.http, "/v1/logs", &[("content-type", PROTOBUF)], body).await.status.as_u16()
}

/// A request with one log record of these fields.
fn record(fields: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, fields)))
}

/// An attribute with this `AnyValue`.
fn attribute(value: &[u8]) -> Vec<u8> {
    field(6, &[field(1, b"k"), field(2, value)].concat())
}

/// Scenario: lengths that no message has: 2^63, one past the end, an endless varint. Guarantee: 400, counted.
#[tokio::test]
async fn impossible_lengths() {
    let house = House::new().await;
    let mut huge = vec![0x0a];
    put_varint(&mut huge, 1 << 63);
    for body in [
        huge,
        vec![0x0a, 5, 1, 2, 3, 4],
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        vec![0x0a],
    ] {
        assert_eq!(send(&house, body).await, 400);
    }
    assert_eq!((house.malformed(), house.taken().len()), (4, 0));
    house.stop().await;
}

/// Scenario: groups, field number 0, unknown wire types. Guarantee: 400.
#[tokio::test]
async fn what_protobuf_forbids() {
    let house = House::new().await;
    for body in [&b"\x0b\x0c"[..], b"\x0c", b"\x02\x00", b"\x0e", b"\x0f\x00"] {
        assert_eq!(send(&house, body).await, 400);
        assert_eq!(send(&house, record(body)).await, 400);
    }
    house.stop().await;
}

/// Scenario: attribute values nested 10,000 deep, as lists and as maps. Guarantee: 400, and no stack overflows.
#[tokio::test]
async fn bottomless_nesting() {
    let house = House::new().await;
    let (mut list, mut map) = (field(1, b"x"), field(1, b"x"));
    for _ in 0..10_000 {
        list = field(5, &field(1, &list));
        map = field(6, &field(1, &[field(1, b"k"), field(2, &map)].concat()));
    }
    for value in [list, map] {
        assert_eq!(send(&house, record(&field(5, &value))).await, 400);
        assert_eq!(send(&house, record(&attribute(&value))).await, 400);
    }
    house.stop().await;
}

/// Scenario: ten megabytes of unknown fields. Guarantee: taken as they are: unknown fields survive.
#[tokio::test]
async fn unknown_fields_survive() {
    let house = House::new().await;
    let unknown = field(4000, &[7; 1000]).repeat(10_000);
    let body: Bytes = [record(&unknown), field(77, b"top")].concat().into();
    assert_eq!(send(&house, body.clone()).await, 200);
    assert_eq!(house.taken()[0].body.contiguous(), body);
    house.stop().await;
}

/// Scenario: trace ids of 0, 15, 16 and 17 bytes, span ids of 0, 7 and 8. Guarantee: absent and right ones are taken, others are 400.
#[tokio::test]
async fn ids_have_one_length() {
    let house = House::new().await;
    for (len, status) in [(0, 200), (15, 400), (16, 200), (17, 400)] {
        assert_eq!(send(&house, record(&field(9, &vec![1; len]))).await, status, "{len}");
    }
    for (len, status) in [(0, 200), (7, 400), (8, 200)] {
        assert_eq!(send(&house, record(&field(10, &vec![1; len]))).await, status, "{len}");
    }
    house.stop().await;
}

/// Scenario: values at their edges: times of 0 and u64::MAX, severity 99, the least integer, NaN, invalid UTF-8, duplicate keys. Guarantee: the shape is
/// sound, so all are taken as they are.
#[tokio::test]
async fn odd_values_are_the_senders_business() {
    let house = House::new().await;
    let mut times = Vec::new();
    put_fixed64_field(&mut times, 1, 0);
    put_fixed64_field(&mut times, 11, u64::MAX);
    let mut severity = Vec::new();
    put_varint_field(&mut severity, 2, 99);
    let mut least = Vec::new();
    put_varint_field(&mut least, 3, i64::MIN as u64);
    let mut nan = Vec::new();
    put_fixed64_field(&mut nan, 4, f64::NAN.to_bits());
    let bodies = [
        times,
        severity,
        attribute(&least),
        attribute(&nan),
        field(5, &field(1, b"\xff\xfe")),
        attribute(&least).repeat(2),
    ];
    for fields in &bodies {
        assert_eq!(send(&house, record(fields)).await, 200);
    }
    let taken = house.taken();
    assert!(taken.iter().zip(&bodies).all(|(taken, fields)| taken.body.contiguous() == record(fields)));
    house.stop().await;
}

/// Scenario: a million attributes on one record; a million empty scopes; empty entries at every level. Guarantee: taken, in bounded time, and counted right.
#[tokio::test]
async fn very_many_little_things() {
    let house = House::new().await;
    assert_eq!(send(&house, record(&attribute(b"").repeat(1_000_000))).await, 200);
    assert_eq!(house.taken()[0].records, 1);
    let scopes = field(1, &field(2, b"").repeat(1_000_000));
    assert_eq!(send(&house, scopes).await, 200);
    for empty in
        [field(1, b""), field(1, &field(1, b"")), field(1, &field(2, b"")), field(1, &field(2, &field(1, b"")))]
    {
        assert_eq!(send(&house, empty).await, 200);
    }
    // Requests without records end here: there is nothing to deliver.
    assert_eq!(house.taken().len(), 1);
    house.stop().await;
}

/// Scenario: packed and unpacked lists of a histogram, and a packed list with half an element. Guarantee: the first two are taken, the last is 400.
#[tokio::test]
async fn lists_may_be_packed_or_not() {
    let house = House::new().await;
    let mut unpacked = Vec::new();
    put_fixed64_field(&mut unpacked, 6, 1);
    put_fixed64_field(&mut unpacked, 6, 2);
    let (packed, half) = (field(6, &[0; 16]), field(6, &[0; 12]));
    for (point, status) in [(unpacked, 200), (packed, 200), (half, 400)] {
        let metric = field(2, &field(9, &field(1, &point)));
        let answer = post(house.http, "/v1/metrics", &[("content-type", PROTOBUF)], field(1, &field(2, &metric))).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    assert_eq!(house.taken().iter().map(|p| p.records).sum::<u32>(), 2);
    house.stop().await;
}

/// Scenario: two requests written one behind the other. Guarantee: that is one request with the records of both.
#[tokio::test]
async fn concatenated_requests_are_one() {
    let house = House::new().await;
    assert_eq!(send(&house, [logs(2), logs(3)].concat()).await, 200);
    assert_eq!(house.taken()[0].records, 5);
    house.stop().await;
}
