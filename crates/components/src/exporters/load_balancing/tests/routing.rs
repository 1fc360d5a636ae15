//! Which backend a record goes to.

use super::fleet::*;
use crate::exporters::otlp_client::{address, check_endpoint};
use flow::{Outcome, Payload};
use wire::Signal;
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;

/// Scenario: endpoints without a port, in every notation. Guarantee: the default port, IPv6 included; with a port they stay.
#[test]
fn item_30_the_default_port_is_right_for_ipv6() {
    for (endpoint, expected) in [
        ("[fd00::1]", "[fd00::1]:4317"),
        ("fd00::1", "[fd00::1]:4317"),
        ("::1", "[::1]:4317"),
        ("10.0.0.1", "10.0.0.1:4317"),
        ("host", "host:4317"),
        ("host:55", "host:55"),
        ("[fd00::1]:55", "[fd00::1]:55"),
        ("http://host:55", "host:55"),
    ] {
        assert_eq!(check_endpoint(endpoint, Some(4317)), Ok(()), "{endpoint}");
        assert_eq!(address(endpoint, 4317), expected);
    }
}

/// One log record with these attributes in its resource.
fn log_of(resource: &[(&str, AnyValue)]) -> Payload {
    let mut body = MessageWriter::new();
    body.resource_entry(resource, "s", |s| {
        s.log(&Log { body: AnyValue::Str(b"x"), ..Log::default() });
    });
    Payload::new(Signal::Logs, body.finish(), 1)
}

/// Where one record goes.
async fn owner(b: &Bench, names: &[&str], payload: Payload) -> String {
    let before: Vec<usize> = names.iter().map(|name| b.fleet.tries(name)).collect();
    assert_eq!(b.push(payload).await.unwrap(), Outcome::Delivered);
    let went = names.iter().zip(before).find(|(name, before)| b.fleet.tries(name) > *before);
    went.unwrap().0.to_string()
}

/// Scenario: attribute values that read alike when joined, of different types, or missing. Guarantee: keys that differ, so that over many
/// backends they have owners of their own.
#[tokio::test(start_paused = true)]
async fn item_32_keys_that_read_alike_differ() {
    let names: Vec<String> = (0..200).map(|n| format!("b{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let yaml = "routing_key: attributes\nrouting_attributes: [a, b]";
    let b = Bench::within(yaml, &names, Signal::Logs, 1 << 30).await;
    let text = |t: &'static str| AnyValue::Str(t.as_bytes());
    let variants: [&[(&str, AnyValue)]; 6] = [
        &[("a", text("foo")), ("b", text("bar"))],
        &[("a", text("foob")), ("b", text("ar"))],
        &[("a", AnyValue::Int(1))],
        &[("a", AnyValue::Bool(true))],
        &[("b", AnyValue::Int(1))],
        &[],
    ];
    let mut owners = vec![];
    for variant in variants {
        owners.push(owner(&b, &names, log_of(variant)).await);
    }
    owners.sort();
    owners.dedup();
    assert_eq!(owners.len(), variants.len());
    b.close().await;
}

/// Scenario: logs without a trace id, by service and by attribute, at two instances with their lists in different order.
/// Guarantee: all records of one key reach one backend, the same at both.
#[tokio::test(start_paused = true)]
async fn item_33_a_key_has_one_backend_at_every_instance() {
    let (names, turned) = (["a", "b", "c", "d"], ["d", "b", "a", "c"]);
    for yaml in ["routing_key: service", "routing_key: attributes\nrouting_attributes: [service.name]"] {
        let one = Bench::within(yaml, &names, Signal::Logs, 1 << 30).await;
        let two = Bench::within(yaml, &turned, Signal::Logs, 1 << 30).await;
        for n in 0..20 {
            let service = format!("service-{n}");
            let log = || log_of(&[("service.name", AnyValue::Str(service.as_bytes()))]);
            let first = owner(&one, &names, log()).await;
            assert_eq!(owner(&one, &names, log()).await, first);
            assert_eq!(owner(&two, &names, log()).await, first);
        }
        one.close().await;
        two.close().await;
    }
}

/// Scenario: logs without a trace id, and `ignore_trace_id`. Guarantee: scope entries are spread over the backends.
#[tokio::test(start_paused = true)]
async fn logs_without_a_trace_are_spread() {
    let names = ["a", "b", "c", "d"];
    let b = Bench::within("log_routing: {ignore_trace_id: true}", &names, Signal::Logs, 1 << 30).await;
    for _ in 0..100 {
        assert_eq!(b.push(logs(&[("x", 7), ("y", 7)])).await.unwrap(), Outcome::Delivered);
    }
    let counts: Vec<usize> = names.iter().map(|name| b.fleet.tries(name)).collect();
    assert!(counts.iter().all(|n| *n > 5) && counts.iter().sum::<usize>() == 100, "{counts:?}");
    b.close().await;
}

/// Scenario: more addresses than Cloud Map gives at once. Guarantee: all of them are used.
#[tokio::test(start_paused = true)]
async fn more_than_a_hundred_backends_are_all_used() {
    let names: Vec<String> = (0..250).map(|n| format!("10.0.0.{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let b = Bench::new("ring: even", &names).await;
    let records: Vec<_> = (0..5000).map(|n| ("x", n)).collect();
    assert_eq!(b.push(logs(&records)).await.unwrap(), Outcome::Delivered);
    assert!(names.iter().all(|name| b.fleet.tries(name) == 1));
    b.close().await;
}
