use super::super::actions::tests::{blocks, message, object, read};
use super::*;
use flow::Payload;
use serde_json::{Value, json};
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;

const PAGE: &str = include_str!("../../../../../docs/processors/attributes.md");

fn config(yaml: &str) -> Config {
    let (config, found) = read(yaml);
    config.unwrap_or_else(|| panic!("{yaml}: {found}"))
}

/// Rewrites the field number of attributes, which the tests write as 1.
fn attributes(number: u32, attributes: &Value) -> Vec<u8> {
    let mut out = MessageWriter::new();
    let message = message(attributes);
    for field in wire::field::Fields::new(&message).map(Result::unwrap) {
        out.bytes(number, field.bytes().unwrap());
    }
    out.finish().to_vec()
}

/// Runs a processor on a request of one record, whose message ends with these attributes; what they become.
fn run(config: &Config, signal: Signal, number: u32, before: &Value, head: impl Fn(&mut MessageWriter)) -> Value {
    let mut body = MessageWriter::new();
    body.message(1, |entry| {
        entry.message(1, |resource| {
            resource.attribute(1, "service.name", AnyValue::Str(b"shop")).attribute(1, "n", AnyValue::Int(3));
        });
        entry.message(2, |scope| {
            scope.message(1, |library| {
                library.bytes(1, "lib").bytes(2, "1.2");
            });
            scope.message(2, |record| {
                head(record);
                record.raw(&attributes(number, before));
            });
        });
    });
    let mut staged = Staged::new(Payload::new(signal, body.finish(), 1), vec![]);
    Attributes::new(config).apply(&mut staged);
    let body = staged.payload.body.contiguous();
    let mut index = wire::Index::new();
    index.build(signal, &body).unwrap();
    let record = index.records(&body).next().unwrap();
    let mut pairs = MessageWriter::new();
    for pair in key_values(&record) {
        pairs.bytes(1, pair);
    }
    object(&pairs.finish())
}

/// The encoded pairs of a record.
fn key_values<'a>(record: &wire::Record<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let number = wire::key::attributes_number(record);
    wire::field::Fields::new(record.bytes())
        .map(Result::unwrap)
        .filter(move |f| f.number == number)
        .filter_map(|f| f.bytes())
}

fn log(config: &Config, before: &Value) -> Value {
    run(config, Signal::Logs, 6, before, |record| {
        record.fixed64(1, 5).varint(2, 13).bytes(3, "WARN").value(5, AnyValue::Str(b"disk full"));
    })
}

fn span(config: &Config, before: &Value) -> Value {
    run(config, Signal::Traces, 9, before, |record| {
        record.bytes(1, [1; 16]).bytes(5, "GET /users").varint(6, 2);
    })
}

/// Scenario: the examples of the page. Guarantee: they are in order; the first does what the page says.
#[test]
fn the_page_is_right() {
    let yaml = blocks(PAGE, "yaml");
    assert!(yaml.len() >= 2);
    let configs: Vec<Config> = yaml
        .iter()
        .map(|block| {
            let body = block.split_once("processors:\n").unwrap().1.split_once(":\n").unwrap().1;
            config(body)
        })
        .collect();
    let example: Value = serde_json::from_str(blocks(PAGE, "json")[0]).unwrap();
    assert_eq!(log(&configs[0], &example["before"]), example["after"]);
    assert_eq!(span(&configs[1], &json!({"http.target": "/users"}))["http.target"], json!("/users"));
}

/// Scenario: a data point of each kind. Guarantee: its attributes are found where that kind has them.
#[test]
fn points_of_every_kind_change() {
    let config = config("actions: [{key: a, action: upsert, value: new}]");
    for (kind, number) in [(5, 7), (7, 7), (9, 9), (10, 1), (11, 7)] {
        let mut body = MessageWriter::new();
        body.message(1, |entry| {
            entry.message(2, |scope| {
                scope.message(2, |metric| {
                    metric.bytes(1, "m").message(kind, |data| {
                        data.message(1, |point| {
                            point.fixed64(3, 9).attribute(number, "a", AnyValue::Int(1));
                        });
                        data.varint(2, 2);
                    });
                });
            });
        });
        let mut staged = Staged::new(Payload::new(Signal::Metrics, body.finish(), 1), vec![]);
        Attributes::new(&config).apply(&mut staged);
        let body = staged.payload.body.contiguous();
        let mut index = wire::Index::new();
        index.build(Signal::Metrics, &body).unwrap();
        let record = index.records(&body).next().unwrap();
        let found: Vec<_> = wire::key::record_attributes(&record).collect();
        assert_eq!(found, [(&b"a"[..], AnyValue::Str(b"new"))], "{kind}");
        assert_eq!(record.data().unwrap().fields().count(), 1);
    }
}

/// Scenario: each property that can be included, once so that it matches and once so that it does not; both blocks together. Guarantee: only what is
/// included and not excluded changes.
#[test]
fn records_are_chosen() {
    let of = |block: &str| config(&format!("actions: [{{key: x, action: insert, value: 1}}]\n{block}"));
    let before = json!({"a": "one", "n": 5});
    let changes_log = |block: &str| log(&of(block), &before) != before;
    let changes_span = |block: &str| span(&of(block), &before) != before;
    assert!(changes_log("") && changes_span(""));
    for (properties, expected) in [
        ("attributes: [{key: a}]", true),
        ("attributes: [{key: a, value: one}, {key: n, value: 5}]", true),
        ("attributes: [{key: n, value: '5'}]", false),
        ("attributes: [{key: a}, {key: z}]", false),
        ("resources: [{key: n, value: 3}]", true),
        ("resources: [{key: n, value: 4}]", false),
        ("libraries: [{name: lib}]", true),
        ("libraries: [{name: lib, version: '1.2'}]", true),
        ("libraries: [{name: lib, version: ''}]", false),
    ] {
        for changes in [&changes_log as &dyn Fn(&str) -> bool, &changes_span] {
            assert_eq!(changes(&format!("include: {{match_type: strict, {properties}}}")), expected, "{properties}");
            assert_eq!(changes(&format!("exclude: {{match_type: strict, {properties}}}")), !expected, "{properties}");
        }
    }
    for (properties, expected) in [
        ("match_type: strict, log_bodies: [disk full]", true),
        ("match_type: strict, log_bodies: [disk]", false),
        ("match_type: regexp, log_bodies: ['^disk']", true),
        ("match_type: regexp, log_severity_texts: ['(?i)warn']", true),
        ("match_type: strict, log_severity_texts: [warn]", false),
        ("match_type: strict, log_severity_number: {min: 13}", true),
        ("match_type: strict, log_severity_number: {min: 17}", false),
        ("match_type: regexp, attributes: [{key: n, value: '^5$'}]", true),
    ] {
        assert_eq!(changes_log(&format!("include: {{{properties}}}")), expected, "{properties}");
    }
    for (properties, expected) in [
        ("match_type: strict, services: [shop]", true),
        ("match_type: regexp, services: ['sho$']", false),
        ("match_type: strict, span_names: [GET /users]", true),
        ("match_type: regexp, span_names: [POST]", false),
        ("match_type: strict, span_kinds: [SPAN_KIND_SERVER]", true),
        ("match_type: strict, span_kinds: [SPAN_KIND_CLIENT]", false),
        ("match_type: strict, services: [shop], span_names: [other]", false),
    ] {
        assert_eq!(changes_span(&format!("include: {{{properties}}}")), expected, "{properties}");
    }
    let both = "include: {match_type: strict, services: [shop]}\nexclude: {match_type: strict, attributes: [{key: a}]}";
    assert!(!changes_span(both));
}

/// Scenario: blocks that cannot be, and properties that a signal does not have. Guarantee: an error that says what can be.
#[test]
fn wrong_blocks_are_refused() {
    let with = |block: &str| format!("actions: [{{key: x, action: delete}}]\ninclude: {{{block}}}");
    for (block, expected) in [
        ("services: [a]", "must be `strict` or `regexp`"),
        ("match_type: expr", "must be `strict` or `regexp`"),
        ("match_type: regexp, services: ['(']", "invalid regular expression"),
        ("match_type: regexp, attributes: [{key: a, value: 1}]", "must be a text"),
        ("match_type: strict, attributes: [{value: 1}]", "needs a `key`"),
        ("match_type: strict, span_kinds: [server]", "SPAN_KIND_SERVER"),
        ("match_type: strict, service: [a]", "services"),
    ] {
        let (config, found) = read::<Config>(&with(block));
        assert!(config.is_none() && found.contains(expected), "{block}: {found}");
    }
    for (signal, block, expected) in [
        (Signal::Logs, "match_type: strict, services: [a]", Some("`services` cannot be matched in logs")),
        (Signal::Traces, "match_type: strict, metric_names: [a]", Some("`metric_names` cannot be matched in traces")),
        (
            Signal::Metrics,
            "match_type: strict, attributes: [{key: a}]",
            Some("`attributes` cannot be matched in metrics"),
        ),
        (Signal::Logs, "match_type: strict", Some("needs something to match")),
        (Signal::Metrics, "match_type: strict, metric_names: [a], resources: [{key: b}]", None),
        (Signal::Traces, "match_type: strict, services: [a]", None),
    ] {
        let found = config(&with(block)).refuses(signal);
        assert_eq!(found.is_some(), expected.is_some(), "{block}: {found:?}");
        assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{block}");
    }
}

/// Scenario: of two log records one is included. Guarantee: the other has no attribute more.
#[test]
fn what_is_excluded_keeps_its_bytes() {
    let mut body = MessageWriter::new();
    body.resource_entry(&[], "s", |scope| {
        scope.log(&Log { time: 1, ..Log::default() });
        scope.log(&Log { time: 2, severity_number: 17, ..Log::default() });
    });
    let config = config(
        "actions: [{key: x, action: insert, value: 1}]\ninclude: {match_type: strict, log_severity_number: {min: 17}}",
    );
    let mut staged = Staged::new(Payload::new(Signal::Logs, body.finish(), 2), vec![]);
    Attributes::new(&config).apply(&mut staged);
    let body = staged.payload.body.contiguous();
    let mut index = wire::Index::new();
    index.build(Signal::Logs, &body).unwrap();
    let counts: Vec<usize> = index.records(&body).map(|record| wire::key::record_attributes(&record).count()).collect();
    assert_eq!(counts, [0, 1]);
}
