//! Lists of operators as they are written, on records as they come.

use crate::{Chain, Entry, Map, Out, Record, Tag, Tags, Value, Wrong};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};

/// A record's number and its source.
#[derive(Clone, Debug, PartialEq)]
struct From(u32, &'static str);

impl Tag for From {
    fn source(&self) -> &str {
        self.1
    }
}

#[allow(clippy::disallowed_methods, reason = "any instant will do")]
fn start() -> Instant {
    Instant::now()
}

fn chain(list: Json) -> Chain<From> {
    let (chain, wrong) = Chain::new(list.as_array().unwrap());
    chain.unwrap_or_else(|| panic!("{wrong:?}"))
}

fn wrong(list: Json) -> Vec<String> {
    let (chain, wrong): (Option<Chain<From>>, Vec<Wrong>) = Chain::new(list.as_array().unwrap());
    assert!(chain.is_none());
    wrong.into_iter().map(|wrong| format!("{}: {}", wrong.path, wrong.message)).collect()
}

fn record(body: &str) -> Record {
    // 2026-03-04T05:06:07Z
    Record::new(body.into(), Map::default(), Map::default(), 1_772_600_767_000_000_000)
}

/// What becomes of one record.
fn one(list: Json, record: Record) -> Option<Record> {
    let (mut chain, mut out) = (chain(list), Out::default());
    chain.run(Entry { record, tags: Tags::from_iter([From(1, "a")]) }, start(), &mut out);
    assert_eq!(out.sent.len() + out.passed.len(), 1, "it comes out once");
    out.sent.pop().map(|entry| entry.record)
}

fn attributes(record: &Record) -> Json {
    json(&Value::Map(record.attributes().clone()))
}

fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(is) => json!(is),
        Value::Int(n) => json!(n),
        Value::Double(n) => json!(n),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(bytes),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Map(map) => map.iter().map(|(key, value)| (key.to_owned(), json(value))).collect(),
    }
}

/// Scenario: a line with a time, a level and a message, and one parser for all of it. Guarantee: fields, time, severity
/// and scope of the record; the body stays.
#[test]
fn a_regex_takes_a_line_apart() {
    let list = json!([{"type": "regex_parser", "regex": r"^(?P<time>\S+ \S+) (?P<sev>[A-Z]+) \[(?P<who>.*?)\] (?P<msg>.*)$",
        "timestamp": {"parse_from": "attributes.time", "layout": "%Y-%m-%d %H:%M:%S,%L"},
        "severity": {"parse_from": "attributes.sev"}, "scope_name": {"parse_from": "attributes.who"}}]);
    let out = one(list, record("2026-03-04 05:06:07,250 WARNING [db] slow")).unwrap();
    assert_eq!(
        (out.time, out.severity, &*out.severity_text, &*out.scope),
        (1_772_600_767_250_000_000, 13, "WARNING", "db")
    );
    assert_eq!(out.attributes().get("msg"), Some(&"slow".into()));
    assert_eq!(out.body, "2026-03-04 05:06:07,250 WARNING [db] slow".into());
}

/// Scenario: JSON with numbers, nested, parsed to the body or to attributes. Guarantee: as the collector has it: plain
/// numbers unless `parse_ints`.
#[test]
fn json_becomes_fields() {
    let line = r#"{"a":1,"b":{"c":[true,null,2.5]},"a":3}"#;
    let out = one(json!([{"type": "json_parser"}]), record(line)).unwrap();
    assert_eq!(attributes(&out), json!({"a": 3.0, "b": {"c": [true, null, 2.5]}}));
    let out = one(json!([{"type": "json_parser", "parse_to": "body", "parse_ints": true}]), record(line)).unwrap();
    assert_eq!(json(&out.body)["a"], json!(3));
}

/// Scenario: pairs and columns, with quotes. Guarantee: fields.
#[test]
fn pairs_and_columns_become_fields() {
    let out = one(json!([{"type": "key_value_parser"}]), record(r#"a=1 b="two words" c='x=y'"#)).unwrap();
    assert_eq!(attributes(&out), json!({"a": "1", "b": "two words", "c": "x=y"}));
    let list = json!([{"type": "key_value_parser", "delimiter": ":", "pair_delimiter": "|"}]);
    assert_eq!(attributes(&one(list, record("a: 1|b : 2")).unwrap()), json!({"a": "1", "b": "2"}));
    let list = json!([{"type": "csv_parser", "header": "a,b,c"}]);
    assert_eq!(
        attributes(&one(list, record(r#"1,"x, ""y""",3"#)).unwrap()),
        json!({"a": "1", "b": "x, \"y\"", "c": "3"})
    );
    let list = json!([{"type": "csv_parser", "header_attribute": "h", "delimiter": "\t", "ignore_quotes": true}]);
    let mut with_header = record("1\t\"2");
    with_header.set(&crate::Field::attribute("h"), "x\ty".into()).unwrap();
    assert_eq!(attributes(&one(list, with_header).unwrap()), json!({"h": "x\ty", "x": "1", "y": "\"2"}));
}

/// Scenario: levels by name, number and range, known and not. Guarantee: the number of each; the text stays.
#[test]
fn levels_become_severities() {
    let of = |body: &str, mapping: Json| {
        let list = json!([{"type": "severity_parser", "parse_from": "body", "mapping": mapping}]);
        let out = one(list, record(body)).unwrap();
        (out.severity, out.severity_text)
    };
    let mapping = json!({"error": ["4xx", "oops"], "fatal": {"min": 500, "max": 599}, "info": 3});
    for (body, severity) in
        [("ERROR", 17), ("err2", 18), ("Warning", 13), ("404", 17), ("OOPS", 17), ("503", 21), ("3", 9), ("strange", 0)]
    {
        assert_eq!(of(body, mapping.clone()), (severity, body.to_owned()), "{body}");
    }
}

/// Scenario: times in every form, and one without a year around New Year. Guarantee: the instant.
#[test]
fn times_are_read_in_every_form() {
    let of = |keys: Json, body: &str| {
        let mut operator = json!({"type": "time_parser", "parse_from": "body"});
        operator.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        one(json!([operator]), record(body)).unwrap().time
    };
    for (keys, body, time) in [
        (json!({"layout": "%d/%b/%Y:%H:%M:%S %z"}), "04/Mar/2026:06:06:07 +0100", 1_772_600_767_000_000_000),
        (
            json!({"layout": "2006-01-02T15:04:05.999Z07:00", "layout_type": "gotime"}),
            "2026-03-04T05:06:07.5Z",
            1_772_600_767_500_000_000,
        ),
        (
            json!({"layout": "%Y-%m-%d %H:%M:%S", "location": "Europe/Berlin"}),
            "2026-03-04 06:06:07",
            1_772_600_767_000_000_000,
        ),
        (json!({"layout": "s", "layout_type": "epoch"}), "1772600767", 1_772_600_767_000_000_000),
        (json!({"layout": "ms", "layout_type": "epoch"}), "1772600767001", 1_772_600_767_001_000_000),
        (json!({"layout": "s.us", "layout_type": "epoch"}), "1772600767.000250", 1_772_600_767_000_250_000),
        (json!({"layout": "%b %e %H:%M:%S"}), "Mar  4 05:06:07", 1_772_600_767_000_000_000),
        (json!({"layout": "%b %d %H:%M:%S"}), "Dec 31 23:59:59", 1_767_225_599_000_000_000),
    ] {
        assert_eq!(of(keys, body), time, "{body}");
    }
}

/// Scenario: lines of Docker, containerd and CRI-O, in one chain, of two pods, whose parts come mixed. Guarantee: time,
/// stream, text and pod of each; parts become one record with the places of all.
#[test]
fn lines_of_containers_are_put_together() {
    let mut chain = chain(json!([{"type": "container"}]));
    let mut out = Out::default();
    let paths = ["/var/log/pods/ns_web-0_0a1b-2c/app/3.log", "/var/log/pods/ns_db-0_ff/db/0.log"];
    for (n, (at, line)) in [
        (0, "2026-03-04T05:06:07.25Z stdout P one "),
        (1, "2026-03-04T06:06:07+01:00 stderr F other"),
        (0, "2026-03-04T05:06:07.26Z stdout F two"),
        (1, r#"{"log":"hello\n","stream":"stdout","time":"2026-03-04T05:06:07Z","attrs":{"x":"y"}}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = record(line);
        record.set(&crate::Field::attribute("log.file.path"), paths[at].into()).unwrap();
        let tags = Tags::from_iter([From(n as u32, ["a", "b"][at])]);
        chain.run(Entry { record, tags }, start(), &mut out);
    }
    let seen: Vec<(&str, u64, u32)> =
        out.sent.iter().map(|e| (e.record.body.text().unwrap(), e.record.time % 1_000_000_000, e.tags[0].0)).collect();
    assert_eq!(seen, [("other", 0, 1), ("one two", 250_000_000, 0), ("hello\n", 0, 3)]);
    assert_eq!(out.sent[1].tags.len(), 2);
    let pod = json(&Value::Map(out.sent[1].record.resource().clone()));
    assert_eq!(
        pod,
        json!({"k8s.namespace.name": "ns", "k8s.pod.name": "web-0", "k8s.pod.uid": "0a1b-2c",
        "k8s.container.name": "app", "k8s.container.restart_count": "3"})
    );
    assert_eq!(out.sent[2].record.attributes().get("log.iostream"), Some(&"stdout".into()));
    assert_eq!(out.sent[0].record.attributes().get("logtag"), Some(&"F".into()));
    assert!(out.sent[0].record.attributes().get("time").is_none());
}

/// Scenario: traces of two sources mixed, the last of them without an end. Guarantee: each is joined by itself; the
/// last comes out when its time is over, with the places of all its lines.
#[test]
fn entries_that_belong_together_are_joined() {
    let mut chain =
        chain(json!([{"type": "recombine", "combine_field": "body", "is_first_entry": "body matches '^[^\\\\s]'"}]));
    let (mut out, now) = (Out::default(), start());
    for (n, (source, line)) in
        [("a", "A"), ("b", "B"), ("a", " 1"), ("b", " x"), ("a", " 2"), ("a", "A2")].into_iter().enumerate()
    {
        chain.run(Entry { record: record(line), tags: Tags::from_iter([From(n as u32, source)]) }, now, &mut out);
    }
    let texts = |out: &Out<From>| -> Vec<String> {
        out.sent.iter().map(|e| e.record.body.text().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&out), ["A\n 1\n 2"]);
    assert_eq!(out.sent[0].tags.iter().map(|tag| tag.0).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(chain.due(), Some(now + Duration::from_secs(5)));
    chain.flush(now + Duration::from_secs(4), false, &mut out);
    assert_eq!(out.sent.len(), 1);
    chain.flush(now + Duration::from_secs(5), false, &mut out);
    let mut rest = texts(&out)[1..].to_vec();
    rest.sort();
    assert_eq!(rest, ["A2", "B\n x"]);
    assert_eq!(chain.due(), None);
}

/// Scenario: a recombine whose mark never comes. Guarantee: what it holds is let out at its bound.
#[test]
fn what_is_held_is_bounded() {
    let mut chain = chain(
        json!([{"type": "recombine", "combine_field": "body", "is_last_entry": "false", "max_unmatched_batch_size": 10, "max_sources": 3}]),
    );
    let mut out = Out::default();
    for n in 0..25 {
        chain.run(Entry { record: record("x"), tags: Tags::from_iter([From(n, "a")]) }, start(), &mut out);
    }
    assert_eq!(out.sent.len(), 2);
    for source in ["b", "c", "d"] {
        chain.run(Entry { record: record("x"), tags: Tags::from_iter([From(0, source)]) }, start(), &mut out);
    }
    assert_eq!(out.sent.len(), 5, "a, b and c made room for d");
}

/// Scenario: fields are moved, copied, added, kept, flattened and taken out. Guarantee: the record is as the collector
/// would have it.
#[test]
fn fields_go_where_they_should() {
    let list = json!([
        {"type": "json_parser"},
        {"type": "move", "from": "attributes.msg", "to": "body"},
        {"type": "copy", "from": "attributes.host", "to": "resource[\"host.name\"]"},
        {"type": "add", "field": "attributes.env", "value": "prod"},
        {"type": "add", "field": "attributes.who", "value": "EXPR(attributes.host + \"/\" + attributes.env)"},
        {"type": "flatten", "field": "attributes.nested"},
        {"type": "remove", "field": "attributes.secret"},
        {"type": "regex_replace", "field": "attributes.who", "regex": "^(\\w+)/", "replace_with": "${1}-"},
        {"type": "retain", "fields": ["attributes.env", "attributes.who", "attributes.x"]},
    ]);
    let out = one(list, record(r#"{"msg":"m","host":"h","secret":"s","nested":{"x":"y"},"other":1}"#)).unwrap();
    assert_eq!(attributes(&out), json!({"env": "prod", "who": "h-prod", "x": "y"}));
    assert_eq!((out.body.clone(), out.resource().get("host.name")), ("m".into(), Some(&"h".into())));
    let out = one(json!([{"type": "unquote", "field": "body"}]), record(r#""a\tb""#)).unwrap();
    assert_eq!(out.body, "a\tb".into());
    let list = json!([{"type": "regex_replace", "field": "body", "regex_name": "ansi_control_sequences"}]);
    assert_eq!(one(list, record("\u{1b}[31mred\u{1b}[0m")).unwrap().body, "red".into());
}

/// Scenario: ids in hex, in attributes and in the body. Guarantee: those of the record; what is none is an error.
#[test]
fn ids_are_taken() {
    let list = json!([{"type": "json_parser", "parse_to": "body", "trace": {}}]);
    let line = r#"{"trace_id":"0102030405060708090a0b0c0d0e0f10","span_id":"0102030405060708","trace_flags":"01"}"#;
    let out = one(list, record(line)).unwrap();
    assert_eq!((out.trace_id.len(), out.span_id.len(), out.flags), (16, 8, 1));
    let list = json!([{"type": "trace_parser", "trace_id": {"parse_from": "body"}, "on_error": "drop"}]);
    assert!(one(list, record("0102")).is_none());
}

/// Scenario: routes to operators behind, with and without a default; filters. Guarantee: the way that the expressions
/// tell; what ends is told to have ended.
#[test]
fn routes_lead_on() {
    let list = |default: Option<&str>| {
        json!([
            {"type": "router", "routes": [{"expr": "body startsWith 'a'", "output": "as"}, {"expr": "body startsWith 'b'", "output": "bs"}], "default": default},
            {"type": "add", "id": "as", "field": "attributes.is", "value": "a", "output": "end"},
            {"type": "add", "id": "bs", "field": "attributes.is", "value": "b"},
            {"type": "noop", "id": "end"},
            {"type": "filter", "expr": "body endsWith '!'"},
        ])
    };
    let way =
        |body: &str, default: Option<&str>| one(list(default), record(body)).map(|out| attributes(&out)["is"].clone());
    assert_eq!(way("a1", None), Some(json!("a")));
    assert_eq!(way("b1", None), Some(json!("b")));
    assert_eq!(way("c1", None), None);
    assert_eq!(way("c1", Some("end")), Some(Json::Null));
    assert_eq!(way("a!", None), None);
    let (mut half, mut out) = (chain(json!([{"type": "filter", "expr": "true", "drop_ratio": 0.25}])), Out::default());
    for n in 0..100 {
        half.run(Entry { record: record("x"), tags: Tags::from_iter([From(n, "a")]) }, start(), &mut out);
    }
    assert_eq!((out.sent.len(), out.passed.len()), (75, 25));
}

/// Scenario: records that an operator fails on, in each mode; conditions that hold and do not. Guarantee: sent on or
/// ended, counted, told unless quiet; the next operator works on.
#[test]
fn failures_do_what_on_error_says() {
    for (mode, is_sent, is_told) in
        [("send", true, true), ("drop", false, true), ("send_quiet", true, false), ("drop_quiet", false, false)]
    {
        let mut chain = chain(json!([
            {"type": "json_parser", "on_error": mode, "if": "body != 'skip'"},
            {"type": "add", "field": "attributes.after", "value": true},
        ]));
        let mut out = Out::default();
        for body in ["no json", "{}", "skip", "[1]"] {
            chain.run(Entry { record: record(body), tags: Tags::from_iter([From(1, "a")]) }, start(), &mut out);
        }
        assert_eq!(out.sent.len(), if is_sent { 4 } else { 2 }, "{mode}");
        assert!(out.sent.iter().all(|entry| entry.record.attributes().get("after").is_some()));
        assert_eq!((chain.failures(), chain.take_troubles().first().map(|t| t.times)), (2, is_told.then_some(2)));
    }
}

/// Scenario: a list with one mistake in each operator. Guarantee: all of them are told, each at its place.
#[test]
fn mistakes_are_told_with_their_place() {
    let found = wrong(json!([
        {"type": "regex_parser", "regex": "("},
        {"type": "regex_parser", "regex": "abc"},
        {"type": "json_parser", "parse_form": "body"},
        {"type": "time_parser", "parse_from": "message", "layout": "%Y"},
        {"type": "time_parser", "parse_from": "body", "layout": "%Y-%Q"},
        {"type": "severity_parser"},
        {"type": "uri_parser"},
        {"type": "regexparser"},
        {"type": "move", "from": "body", "to": "attributes.x", "if": "len(body) > 1"},
        {"type": "noop", "output": "nowhere"},
        {"type": "json_parser", "timestamp": {"parse_from": "body", "layout": "s", "layout_type": "unix"}},
        {"type": "recombine", "combine_field": "body"},
        {"type": "router", "routes": [{"expr": "true", "output": "json_parser"}]},
        {"type": "add", "field": "attributes.x"},
    ]));
    for (path, word) in [
        ("0.regex", "regular expression"),
        ("1.regex", "named group"),
        ("2.parse_form", "unknown key `parse_form`"),
        ("3.parse_from", "a field begins with"),
        ("4.layout", "`%Q`"),
        ("5", "`parse_from` is missing"),
        ("6.type", "use `regex_parser`"),
        ("7.type", "there is no operator `regexparser`"),
        ("8.if", "`len`"),
        ("9.output", "no operator with the id `nowhere`"),
        ("10.timestamp.layout_type", "`gotime`"),
        ("11.type", "`is_first_entry`"),
        ("12.routes.0.output", "does not stand behind"),
        ("13", "`value` is missing"),
    ] {
        assert!(
            found.iter().any(|f| f.starts_with(&format!("{path}: ")) && f.contains(word)),
            "{path} {word}: {found:#?}"
        );
    }
}

mod any {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any lines through a chain that parses, joins, filters and routes. Guarantee: each place comes out
        /// exactly once, whatever the lines are.
        #[test]
        fn every_place_comes_out_once(lines in prop::collection::vec(("\\PC{0,30}", 0usize..3), 0..60)) {
            let mut chain = chain(json!([
                {"type": "container", "add_metadata_from_filepath": false},
                {"type": "json_parser", "if": "body startsWith '{'", "on_error": "drop"},
                {"type": "recombine", "combine_field": "body", "is_first_entry": "body matches '^\\\\w'", "max_batch_size": 3, "max_sources": 2},
                {"type": "filter", "expr": "body contains 'a'"},
                {"type": "key_value_parser", "on_error": "send_quiet"},
            ]));
            let (mut out, now) = (Out::default(), start());
            for (n, (line, source)) in lines.iter().enumerate() {
                let tags = Tags::from_iter([From(n as u32, ["a", "b", "c"][*source])]);
                chain.run(Entry { record: record(line), tags }, now, &mut out);
            }
            chain.flush(now, true, &mut out);
            let tags = out.sent.into_iter().map(|entry| entry.tags).chain(out.passed);
            let mut all: Vec<u32> = tags.flatten().map(|tag| tag.0).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lines.len() as u32).collect::<Vec<_>>());
        }
    }
}
