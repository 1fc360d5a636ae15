//! Pushes in JSON, and the collector's rules for what leaves.

use super::send::{DefaultLabels, Format, Mapping, Sending, from_otlp};
use super::*;
use crate::build::{Attribute, Log, MessageWriter};
use crate::field::{Fields, Value};
use crate::index::Index;
use crate::key::{AnyValue, record_attributes, resource_attributes};
use crate::signal::Signal;

const HOW: Receiving = Receiving { now: 77, keep_time: true, limit: 1 << 20 };

/// Labels, time, line and structured metadata of each record of an OTLP request, as text.
fn records(body: &[u8]) -> Vec<String> {
    let mut index = Index::new();
    index.build(Signal::Logs, body).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = |list: Vec<(&[u8], AnyValue<'_>)>| {
        list.iter().map(|(n, v)| format!("{}={}", text(n), text(v.as_str().unwrap()))).collect::<Vec<_>>().join(",")
    };
    let one = |record: crate::Record<'_>| {
        let log = stream::Log::read(record.bytes());
        let labels = pairs(resource_attributes(&record.resource()).collect());
        let metadata = pairs(record_attributes(&record).collect());
        format!("{labels}|{}|{}|{metadata}", log.time, text(log.body.as_str().unwrap()))
    };
    index.records(body).map(one).collect()
}

/// Label string and entries (line and structured metadata) of each stream of a push, as text.
fn streams(push: &[u8]) -> Vec<(String, Vec<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let all = |message: &'_ [u8], number| -> Vec<Vec<u8>> {
        let fields = Fields::new(message).map(Result::unwrap).filter(|f| f.number == number);
        fields.map(|f| if let Value::Len(bytes) = f.value { bytes.to_vec() } else { panic!("a message") }).collect()
    };
    let entry = |entry: Vec<u8>| {
        let mut out = all(&entry, number::LINE).first().map(|line| text(line)).unwrap_or_default();
        for pair in all(&entry, number::METADATA) {
            out += &format!(" {}={}", text(&all(&pair, number::NAME)[0]), text(&all(&pair, number::VALUE)[0]));
        }
        out
    };
    let one = |stream: Vec<u8>| {
        (text(&all(&stream, number::LABELS)[0]), all(&stream, number::ENTRIES).into_iter().map(entry).collect())
    };
    all(push, number::STREAMS).into_iter().map(one).collect()
}

/// Scenario: JSON as clients of both versions write it, with what must be ignored. Guarantee: the entries, in order.
#[test]
fn both_forms_of_json_are_read() {
    let json = r#"{"x": [1], "streams": [
        {"values": [["1700000000000000001", "one", {"user": "u", "gone": null}], [2, "two\n"]], "stream": {"job": "a", "__x": "y"}},
        {"labels": "{job=\"b\"}", "entries": [{"line": "three", "ts": "1970-01-01T00:00:00.000000003Z", "z": {}}, {"ts": "4", "line": "4"}]},
        {"stream": {"empty": "x"}, "values": []}]}"#;
    let received = json::to_otlp(json.as_bytes(), &HOW).unwrap();
    assert_eq!(received.records, 4);
    assert_eq!(
        records(&received.body),
        ["job=a|1700000000000000001|one|user=u", "job=a|2|two\n|", "job=b|3|three|", "job=b|4|4|"]
    );
    assert_eq!(json::to_otlp(b"{}", &HOW).unwrap().records, 0);
    let now = json::to_otlp(json.as_bytes(), &Receiving { keep_time: false, ..HOW }).unwrap();
    assert!(records(&now.body).iter().all(|r| r.contains("|77|")));
}

/// Scenario: JSON that is none, or not that of a push. Guarantee: an error that says where and what.
#[test]
fn wrong_json_is_refused() {
    let cases = [
        ("", "EOF"),
        ("[]", "an array where a push request"),
        (r#"{"streams": {}}"#, "an object where an array of streams"),
        (r#"{"streams": [1]}"#, "a number where a stream"),
        (r#"{"streams": []} x"#, "trailing characters"),
        (r#"{"streams": [], "streams": []}"#, "twice"),
        (r#"{"streams": [{"stream": {"a": 1}}]}"#, "expected a string"),
        (r#"{"streams": [{"stream": {}, "values": [["x", "y"]]}]}"#, "neither nanoseconds nor"),
        (r#"{"streams": [{"stream": {}, "values": [["1"]]}]}"#, "ends where a line"),
        (r#"{"streams": [{"stream": {}, "values": [["1", "x", {}, 4]]}]}"#, "at most three"),
        (r#"{"streams": [{"labels": "{a=}", "entries": []}]}"#, "couldn't parse labels"),
    ];
    for (json, expected) in cases {
        let error = json::to_otlp(json.as_bytes(), &HOW).unwrap_err().to_string();
        assert!(error.starts_with("line ") && error.contains(expected), "{json}: {error}");
    }
    let deep = format!("{{\"x\": {}", "[".repeat(100_000));
    assert!(json::to_otlp(deep.as_bytes(), &HOW).is_err());
}

/// Scenario: many empty entries, whose OTLP form is many times larger. Guarantee: too large in both forms; memory stays near the limit.
#[test]
fn the_result_is_bounded() {
    let json = format!("{{\"streams\":[{{\"stream\":{{}},\"values\":[{}[1,\"\"]]}}]}}", "[1,\"\"],".repeat(1000));
    let how = Receiving { limit: 10_000, ..HOW };
    assert_eq!(json::to_otlp(json.as_bytes(), &how), Err(PushError::TooLarge { limit: 10_000 }));
    let mut push = MessageWriter::new();
    push.message(number::STREAMS, |stream| {
        stream.bytes(number::LABELS, "{}");
        (0..1000).for_each(|_| {
            stream.bytes(number::ENTRIES, []);
        });
    });
    let push = push.finish();
    assert_eq!(receive::to_otlp(&push, &how, 0), Err(PushError::TooLarge { limit: 10_000 }));
    let census = receive::check(&push).unwrap();
    assert!(census.otlp_bytes > 10_000 && census.entries == 1000);
}

/// Scenario: labels behind the entries, labels twice, lines that are not UTF-8. Guarantee: the last labels count; the lines are mended.
#[test]
fn awkward_pushes_are_read() {
    let mut push = MessageWriter::new();
    push.message(number::STREAMS, |stream| {
        stream.message(number::ENTRIES, |entry| {
            entry.bytes(number::LINE, b"a\xffb");
        });
        stream.bytes(number::LABELS, "{a=\"1\"}").bytes(number::LABELS, "{a=\"\\xff\"}").varint(number::HASH, 9);
    });
    push.bytes(2, "format");
    let received = receive::to_otlp(&push.finish(), &HOW, 0).unwrap();
    assert_eq!(records(&received.body), ["a=\u{fffd}|77|a\u{fffd}b|"]);
}

fn logs(resource: &[Attribute<'_>], scope: &str, log: &Log<'_>) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(resource, scope, |scope| {
        scope.log(log);
    });
    request.finish().to_vec()
}

const RESOURCE: [Attribute<'static>; 4] = [
    ("service.name", AnyValue::Str(b"cart")),
    ("service.namespace", AnyValue::Str(b"shop")),
    ("service.instance.id", AnyValue::Str(b"i-1")),
    ("host.name", AnyValue::Str(b"h1")),
];

/// Scenario: a record of an application, with the defaults. Guarantee: labels and line are those of the collector's exporter.
#[test]
fn the_defaults_are_the_collectors() {
    let log = Log {
        time: 5,
        severity_number: 9,
        severity_text: "Info",
        body: AnyValue::Str(b"hi <you>"),
        attributes: &[("user", AnyValue::Int(7))],
        trace_id: &[0xab; 16],
        ..Log::default()
    };
    let push = from_otlp(&logs(&RESOURCE, "lib", &log), &Sending::default(), 1).unwrap();
    let line = concat!(
        r#"{"body":"hi \u003cyou\u003e","traceid":"abababababababababababababababab","severity":"Info","attributes":{"user":7},"#,
        r#""resources":{"host.name":"h1","service.instance.id":"i-1","service.name":"cart","service.namespace":"shop"},"#,
        r#""instrumentation_scope":{"name":"lib"}}"#
    );
    let labels = r#"{exporter="OTLP", instance="i-1", job="shop/cart", level="INFO"}"#;
    assert_eq!(streams(&push.body), [(labels.to_owned(), vec![line.to_owned()])]);
}

/// Scenario: hints in resource and record, default labels off, external labels. Guarantee: what they name becomes labels and leaves the
/// line; hints leave nothing; a stream's own label comes before an external one.
#[test]
fn hints_make_labels() {
    let mut resource = RESOURCE.to_vec();
    resource.push(("loki.resource.labels", AnyValue::Str(b"host.name, none")));
    resource.push(("loki.format", AnyValue::Str(b"logfmt")));
    let mut map = MessageWriter::new();
    map.attribute(1, "id", AnyValue::Str(b"42"));
    let map = map.finish();
    let attributes = [
        ("loki.attribute.labels", AnyValue::Str(b"event.domain,user.id")),
        ("event.domain", AnyValue::Str(b"web")),
        ("user", AnyValue::KvList(crate::key::KvList::new(&map))),
    ];
    let log =
        Log { time: 5, severity_number: 17, body: AnyValue::Str(b"a=1 b"), attributes: &attributes, ..Log::default() };
    let how = Sending {
        defaults: DefaultLabels { exporter: false, job: false, instance: false, level: true },
        external: vec![("cluster".into(), "c".into()), ("host_name".into(), "x".into())],
        ..Sending::default()
    };
    let push = from_otlp(&logs(&resource, "", &log), &how, 1).unwrap();
    let labels = r#"{cluster="c", event_domain="web", host_name="h1", level="ERROR", user_id="42"}"#;
    let line = "a=1 b attribute_user_id=42 resource_service.name=cart resource_service.namespace=shop resource_service.instance.id=i-1";
    assert_eq!(streams(&push.body), [(labels.to_owned(), vec![line.to_owned()])]);
}

/// Scenario: the format raw, a format that does not exist, and a record without labels. Guarantee: the body with the attributes beside it;
/// the others are left out and counted.
#[test]
fn formats_and_empty_streams() {
    let attributes = [("user", AnyValue::Bool(true)), ("level", AnyValue::Str(b"mine"))];
    let log = Log { time: 5, severity_number: 17, body: AnyValue::Int(3), attributes: &attributes, ..Log::default() };
    let raw = Sending { format: Format::Raw, ..Sending::default() };
    let push = from_otlp(&logs(&[], "", &log), &raw, 1).unwrap();
    assert_eq!(
        streams(&push.body),
        [(r#"{exporter="OTLP", level="mine"}"#.to_owned(), vec!["3 user=true".to_owned()])]
    );
    let off = Sending { structured_metadata: false, ..raw.clone() };
    assert_eq!(streams(&from_otlp(&logs(&[], "", &log), &off, 1).unwrap().body)[0].1, ["3"]);
    let wrong = from_otlp(&logs(&[("loki.format", AnyValue::Str(b"xml"))], "", &log), &raw, 1).unwrap();
    assert_eq!((wrong.left_out, wrong.entries, wrong.body.len()), (1, 0, 0));
    assert!(wrong.why.contains("loki.format"));
    let none = DefaultLabels { exporter: false, job: false, instance: false, level: false };
    let bare = from_otlp(&logs(&[], "", &log), &Sending { defaults: none, ..raw }, 1).unwrap();
    assert_eq!((bare.left_out, bare.why), (1, "a record without any label is no Loki entry"));
}

/// Scenario: entries by request: names that Loki does not take, internal labels, ids. Guarantee: all of the resource are labels under legal
/// names, internal ones and hints stay, ids are structured metadata.
#[test]
fn entries_keep_their_labels() {
    let resource = [
        ("service.name", AnyValue::Str(b"cart")),
        ("__tenant_id__", AnyValue::Str(b"t")),
        ("loki.tenant", AnyValue::Str(b"x")),
        ("_a", AnyValue::Int(1)),
        ("", AnyValue::Int(1)),
    ];
    let attributes = [("a.b", AnyValue::Str(b"1")), ("a.b", AnyValue::Str(b"2"))];
    let log = Log { time: 5, span_id: &[1; 8], attributes: &attributes, severity_text: "warn", ..Log::default() };
    let push = from_otlp(&logs(&resource, "x", &log), &Sending { mapping: Mapping::Entries, ..Sending::default() }, 1)
        .unwrap();
    let entry = " a_b=1 span_id=0101010101010101 severity_text=warn";
    assert_eq!(streams(&push.body), [(r#"{_a="1", service_name="cart"}"#.to_owned(), vec![entry.to_owned()])]);
}

/// Scenario: a large resource that every line repeats. Guarantee: the limit ends it.
#[test]
fn repeated_resources_are_bounded() {
    let big = "x".repeat(10_000);
    let mut request = MessageWriter::new();
    request.resource_entry(&[("big", AnyValue::Str(big.as_bytes()))], "", |scope| {
        (0..10_000).for_each(|_| {
            scope.log(&Log { time: 1, ..Log::default() });
        });
    });
    let how = Sending { limit: 1 << 20, ..Sending::default() };
    assert_eq!(from_otlp(&request.finish(), &how, 1), Err(send::SendError::TooLarge(1 << 20)));
}

/// Scenario: what clients write beside the documented forms: the key `timestamp`, no labels at all, half an emoji, bytes that are not UTF-8.
/// Guarantee: it is taken, and what is broken becomes U+FFFD.
#[test]
fn old_and_careless_clients_are_understood() {
    let how = Receiving { now: 7, keep_time: true, limit: usize::MAX };
    let json = br#"{"streams": [
        {"labels": "", "entries": [{"timestamp": "1970-01-01T00:00:00.000000003Z", "line": "a\ud83d"}]},
        {"values": [["4", "b\ud83d\ude00"]]}]}"#;
    let received = json::to_otlp(json, &how).unwrap();
    let mut index = crate::Index::new();
    index.build(crate::Signal::Logs, &received.body).unwrap();
    let logs: Vec<_> = index
        .records(&received.body)
        .map(|record| crate::key::AnyValue::read(body_of(record.bytes())).as_str().unwrap().to_vec())
        .collect();
    assert_eq!(logs, ["a\u{fffd}".as_bytes(), "b😀".as_bytes()]);
    assert!(index.records(&received.body).all(|record| resource_attributes(&record.resource()).next().is_none()));
    let both = br#"{"streams": [{"entries": [{"timestamp": "1", "ts": "1", "line": ""}]}]}"#;
    assert!(json::to_otlp(both, &how).unwrap_err().to_string().contains("ts and timestamp are the same"));
    let broken = json::to_otlp(b"{\"streams\": [{\"values\": [[\"4\", \"b\xff\"]]}]}", &how).unwrap();
    assert!(broken.body.windows(4).any(|window| window == "b\u{fffd}".as_bytes()));
    let mut push = crate::build::MessageWriter::new();
    push.message(1, |stream| {
        stream.message(2, |entry| {
            entry.bytes(2, "x");
        });
    });
    assert_eq!(receive::to_otlp(&push.finish(), &how, 100).unwrap().records, 1);
}

/// The encoded body of a log record.
fn body_of(record: &[u8]) -> &[u8] {
    crate::field::Fields::new(record)
        .map_while(Result::ok)
        .find(|field| field.number == 5)
        .and_then(|field| field.bytes())
        .unwrap()
}

/// Scenario: lines of text with both line ends, empty ones, none at the end. Guarantee: a record for each that is not empty, of the time of arrival.
#[test]
fn raw_lines_are_records() {
    let how = Receiving { now: 7, keep_time: true, limit: usize::MAX };
    let received = raw::to_otlp(b"a\r\n\n\r\nb b\n\xff", &how).unwrap();
    assert_eq!(received.records, 3);
    let census = crate::check(crate::Signal::Logs, &received.body, &crate::CheckLimits::default()).unwrap();
    assert_eq!(census.records, 3);
    let mut index = crate::Index::new();
    index.build(crate::Signal::Logs, &received.body).unwrap();
    let lines: Vec<_> = index
        .records(&received.body)
        .map(|record| crate::key::AnyValue::read(body_of(record.bytes())).as_str().unwrap().to_vec())
        .collect();
    assert_eq!(lines, ["a".as_bytes(), "b b".as_bytes(), "\u{fffd}".as_bytes()]);
    assert_eq!(raw::to_otlp(b"\n\n", &how).unwrap(), Received { body: vec![], records: 0 });
}
