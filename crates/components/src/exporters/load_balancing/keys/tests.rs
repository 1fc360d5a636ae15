use super::*;
use wire::build::{Log, MessageWriter, Span};
use wire::key::{Array, KvList};

/// The keys of a request's records.
fn keys(signal: Signal, key: RoutingKey, attributes: &[&str], body: &MessageWriter) -> Vec<Vec<u8>> {
    keys_of(signal, key, attributes, false, body)
}

fn keys_of(signal: Signal, key: RoutingKey, names: &[&str], ignore: bool, body: &MessageWriter) -> Vec<Vec<u8>> {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let mut index = wire::Index::new();
    index.build(signal, body.as_slice()).unwrap();
    let mut keys = Keys::new(key, &names, ignore);
    let mut out = vec![];
    index
        .records(body.as_slice())
        .map(|record| {
            keys.write(&record, &mut out);
            out.clone()
        })
        .collect()
}

fn request(fill: impl FnOnce(&mut MessageWriter)) -> MessageWriter {
    let mut writer = MessageWriter::new();
    fill(&mut writer);
    writer
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

const CHECKOUT: &[(&str, AnyValue<'static>)] = &[("service.name", AnyValue::Str(b"checkout"))];

/// Scenario: spans with an id, with none. Guarantee: the raw 16 bytes; an absent id is 16 zeros.
#[test]
fn traces_are_routed_by_the_bytes_of_their_id() {
    let body = request(|w| {
        w.resource_entry(&[], "s", |s| {
            s.span(&Span { trace_id: &[7; 16], ..Span::default() }).span(&Span::default());
        });
    });
    assert_eq!(keys(Signal::Traces, RoutingKey::TraceId, &[], &body), [vec![7; 16], vec![0; 16]]);
}

/// Scenario: logs with an id, without, with zeros, in two scopes; then with the id ignored. Guarantee: 32 hexadecimal digits; those
/// without share a random key with their scope entry, and two scopes do not share theirs.
#[test]
fn logs_are_routed_by_the_text_of_their_trace_id() {
    let body = request(|w| {
        for _ in 0..2 {
            w.resource_entry(&[], "s", |s| {
                s.log(&Log { trace_id: &[0xab; 16], ..Log::default() });
                s.log(&Log::default()).log(&Log { trace_id: &[0; 16], ..Log::default() });
            });
        }
    });
    let found = keys(Signal::Logs, RoutingKey::TraceId, &[], &body);
    assert_eq!(text(&found[0]), "ab".repeat(16));
    assert_eq!((found[1].len(), &found[1]), (8, &found[2]));
    assert_eq!(found[4], found[5]);
    assert_ne!(found[1], found[4]);
    let found = keys_of(Signal::Logs, RoutingKey::TraceId, &[], true, &body);
    assert_eq!((&found[0], &found[1]), (&found[1], &found[2]));
    assert_ne!(found[0], found[3]);
}

/// Scenario: `service` for every signal, with a name, a name that is no text, none. Guarantee: a segment for traces, the bare
/// value for the others; what is missing is empty.
#[test]
fn the_service_is_a_segment_for_traces_and_bare_for_others() {
    let resources: [&[(&str, AnyValue)]; 3] = [CHECKOUT, &[("service.name", AnyValue::Int(5))], &[]];
    let body = request(|w| {
        for resource in resources {
            w.resource_entry(resource, "s", |s| {
                s.log(&Log::default());
            });
        }
    });
    let found = keys(Signal::Logs, RoutingKey::Service, &[], &body);
    assert_eq!(found.iter().map(|k| text(k)).collect::<Vec<_>>(), ["checkout", "", ""]);
    let found = keys(Signal::Traces, RoutingKey::Service, &[], &body);
    let expected = ["service.name=checkout|", "service.name=5|", "service.name=|"];
    assert_eq!(found.iter().map(|k| text(k)).collect::<Vec<_>>(), expected);
}

/// Scenario: resources with no attribute, one, and one of every kind in any order, whose hashes were computed by another program
/// from the collector's rules. Guarantee: the same hashes.
#[test]
fn a_resource_is_its_hash() {
    let map = request(|w| {
        w.attribute(1, "z", AnyValue::Int(1)).attribute(1, "y", AnyValue::Str(b"q"));
    });
    let list = request(|w| {
        w.value(1, AnyValue::Str(b"p")).value(1, AnyValue::Int(2));
    });
    let every: &[(&str, AnyValue)] = &[
        ("i", AnyValue::Empty),
        ("h", AnyValue::Array(Array::new(list.as_slice()))),
        ("g", AnyValue::KvList(KvList::new(map.as_slice()))),
        ("a", AnyValue::Str(b"x")),
        ("b", AnyValue::Bool(true)),
        ("c", AnyValue::Bool(false)),
        ("d", AnyValue::Int(-7)),
        ("e", AnyValue::Double(1.5)),
        ("f", AnyValue::Bytes(&[1, 2])),
    ];
    let body = request(|w| {
        for resource in [&[][..], CHECKOUT, every] {
            w.resource_entry(resource, "s", |s| {
                s.log(&Log::default());
            });
        }
    });
    let found = keys(Signal::Logs, RoutingKey::Resource, &[], &body);
    let expected = ["resource/88201fb960ff6465", "resource/9d126046fdb6c015", "resource/ad8aec77dceeb84b"];
    assert_eq!(found.iter().map(|k| text(k)).collect::<Vec<_>>(), expected);
}

/// Scenario: a gauge, a cumulative monotonic sum and a delta histogram of one scope, whose identities were computed by another
/// program from the collector's rules. Guarantee: the same identities; the metric's name; a service without a name.
#[test]
fn metrics_are_routed_by_name_and_stream() {
    let core = [("core", AnyValue::Str(b"0"))];
    let body = request(|w| {
        w.message(1, |entry| {
            entry.message(1, |resource| {
                resource.attributes(1, CHECKOUT);
            });
            entry.message(2, |scope| {
                scope.message(1, |s| {
                    s.bytes(1, "lib").bytes(2, "1.2");
                });
                let metric = |data: u32, fill: &dyn Fn(&mut MessageWriter)| {
                    request(|m| {
                        m.bytes(1, "cpu").bytes(3, "1").message(data, |d| fill(d));
                    })
                };
                let point = |d: &mut MessageWriter| {
                    d.message(1, |p| {
                        p.attributes(7, &core);
                    });
                };
                scope.bytes(2, metric(5, &point).as_slice());
                scope.bytes(
                    2,
                    metric(7, &|d| {
                        point(d);
                        d.varint(2, 2).varint(3, 1);
                    })
                    .as_slice(),
                );
                scope.bytes(
                    2,
                    metric(9, &|d| {
                        d.message(1, |_| {}).varint(2, 1);
                    })
                    .as_slice(),
                );
            });
        });
    });
    let found = keys(Signal::Metrics, RoutingKey::StreamId, &[], &body);
    let expected = ["stream/1084a7453a128c72", "stream/da45b869510b81cc", "stream/c126a5f0b2b29b25"];
    assert_eq!(found.iter().map(|k| text(k)).collect::<Vec<_>>(), expected);
    assert_eq!(keys(Signal::Metrics, RoutingKey::Metric, &[], &body), [b"cpu", b"cpu", b"cpu"]);
    assert_eq!(keys(Signal::Metrics, RoutingKey::Service, &[], &body), [b"checkout", b"checkout", b"checkout"]);
    assert_eq!(text(&keys(Signal::Metrics, RoutingKey::Attributes, &["core"], &body)[0]), "core=0|");
}

/// Scenario: attributes in the resource, the scope and the record; the pseudo attributes of spans and logs; one that is nowhere.
/// Guarantee: the first place that has it counts, and every name leaves its segment.
#[test]
fn attributes_are_found_from_the_outside_in() {
    let body = request(|w| {
        w.resource_entry(&[("a", AnyValue::Str(b"outer"))], "s", |s| {
            let attributes = &[("a", AnyValue::Str(b"inner")), ("b", AnyValue::Bool(true))];
            s.span(&Span { name: "GET /", kind: 2, attributes, ..Span::default() });
        });
    });
    let found = keys(Signal::Traces, RoutingKey::Attributes, &["a", "b", "span.kind", "span.name", "no"], &body);
    assert_eq!(text(&found[0]), "a=outer|b=true|span.kind=Server|span.name=GET /|no=|");
    let body = request(|w| {
        w.resource_entry(&[], "s", |s| {
            s.log(&Log { severity_text: "WARN", body: AnyValue::Str(b"boo"), ..Log::default() });
        });
    });
    let found = keys(Signal::Logs, RoutingKey::Attributes, &["log.severity", "log.body", "span.name"], &body);
    assert_eq!(text(&found[0]), "log.severity=WARN|log.body=boo|span.name=|");
}

/// Scenario: values of every kind in a segment. Guarantee: the collector's text of each.
#[test]
fn values_are_written_as_the_collector_writes_them() {
    let map = request(|w| {
        w.attribute(1, "z", AnyValue::Int(1)).attribute(1, "y", AnyValue::Bool(false));
    });
    let list = request(|w| {
        w.value(1, AnyValue::Str(b"p")).value(1, AnyValue::Double(2.5));
    });
    for (value, expected) in [
        (AnyValue::Str(b"x"), "x"),
        (AnyValue::Int(-42), "-42"),
        (AnyValue::Bool(true), "true"),
        (AnyValue::Bytes(&[0xfb, 0xff]), "+/8="),
        (AnyValue::KvList(KvList::new(map.as_slice())), "{y:false,z:1}"),
        (AnyValue::Array(Array::new(list.as_slice())), "[p,2.5]"),
        (AnyValue::Empty, ""),
    ] {
        let mut out = vec![];
        put_text(&value, &mut out);
        assert_eq!(text(&out), expected);
    }
}

/// Scenario: numbers around the borders of Go's shortest form. Guarantee: the same text.
#[test]
fn numbers_are_written_as_go_writes_them() {
    for (number, expected) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (123_456.0, "123456"),
        (1_000_000.0, "1e+06"),
        (1_234_567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.000_012_5, "1.25e-05"),
        (1e100, "1e+100"),
        (-2.5e-7, "-2.5e-07"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        assert_eq!(go_float(number), expected);
    }
}

/// Scenario: all names, and one that does not exist. Guarantee: they read back, and each signal has the collector's keys.
#[test]
fn every_signal_has_the_collectors_keys() {
    let names = ["traceID", "service", "resource", "metric", "streamID", "attributes"];
    let fits =
        |signal| names.iter().filter(|n| RoutingKey::named(n).unwrap().fits(signal)).copied().collect::<Vec<_>>();
    assert_eq!(fits(Signal::Traces), ["traceID", "service", "attributes"]);
    assert_eq!(fits(Signal::Logs), ["traceID", "service", "resource", "attributes"]);
    assert_eq!(fits(Signal::Metrics), ["service", "resource", "metric", "streamID", "attributes"]);
    assert!(names.iter().all(|n| RoutingKey::named(n).unwrap().name() == *n));
    assert_eq!(RoutingKey::named("traceid"), None);
}
