//! The examples of docs/stages.md: each is run, and every stage has one.
//!
//! An example is a block of YAML, the stages, and a block of text: `in:` entries, `out:` what comes out, `metric:` samples. Of
//! what comes out the keys that are shown are compared.

#![allow(clippy::unwrap_used)] // An example that cannot be read fails the test.

use serde_json::{Map, Value, json};
use stages::entry::Value as Extracted;
use stages::{Entry, Now, Pipeline, Stages, Text, Timestamp};
use std::time::Instant;

/// Every stage; `geoip` needs a database and is only described.
const STAGES: [&str; 31] = [
    "cri",
    "decolorize",
    "docker",
    "drop",
    "eventlogmessage",
    "geoip",
    "json",
    "label_drop",
    "label_keep",
    "labels",
    "limit",
    "logfmt",
    "luhn",
    "match",
    "metrics",
    "multiline",
    "output",
    "pack",
    "pattern",
    "regex",
    "replace",
    "sampling",
    "split_json",
    "static_labels",
    "structured_metadata",
    "structured_metadata_drop",
    "template",
    "tenant",
    "timestamp",
    "truncate",
    "windowsevent",
];

#[allow(clippy::disallowed_methods)] // No example waits; the clock only has to begin somewhere.
fn now() -> Now {
    Now { wall: Timestamp::from_secs_nanos(1_700_000_000, 0), mono: Instant::now() }
}

fn entry(case: &Value) -> Entry {
    let pairs = |key: &str| {
        let map = case[key].as_object().cloned().unwrap_or_default();
        map.into_iter().map(|(name, value)| (Text::from(name), Text::from(value.as_str().unwrap())))
    };
    Entry {
        line: case["line"].as_str().unwrap().into(),
        labels: pairs("labels").collect(),
        timestamp: Timestamp::EPOCH,
        metadata: pairs("structured_metadata").collect(),
        ..Entry::default()
    }
}

fn show(entry: &Entry) -> Value {
    let map = |pairs: &mut dyn Iterator<Item = &(Text, Text)>| -> Map<String, Value> {
        pairs.map(|(name, value)| (name.to_string(), json!(value.to_string()))).collect()
    };
    let extracted = entry.extracted.sorted().into_iter().map(|(name, value)| {
        let value = match value {
            Extracted::Null => Value::Null,
            Extracted::Bool(value) => json!(value),
            Extracted::Number(value) => json!(value),
            Extracted::Integer(value) => serde_json::from_slice(&value).unwrap(),
            Extracted::Text(value) => json!(value.to_string()),
        };
        (name.to_string(), value)
    });
    json!({
        "line": entry.line.to_string(),
        "labels": map(&mut entry.labels.iter()),
        "timestamp": entry.timestamp.to_string(),
        "structured_metadata": map(&mut entry.metadata.iter()),
        "extracted": extracted.collect::<Map<_, _>>(),
    })
}

/// The entries or samples after `key` in the text of an example.
fn lines<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix(key).map(str::trim))
}

fn run(yaml: &str, text: &str) {
    let stages: Stages =
        serde_saphyr::from_str_with_options(yaml, serde_saphyr::options! { strict_booleans: true }).unwrap();
    let pipeline = Pipeline::new(&stages).unwrap_or_else(|e| panic!("{yaml}: {e}"));
    let (now, mut out) = (now(), Vec::new());
    for line in lines(text, "in:") {
        pipeline.process(entry(&serde_json::from_str(line).unwrap()), now, |entry| out.push(show(&entry)));
    }
    pipeline.finish(now, |entry| out.push(show(&entry)));
    let expected: Vec<Value> = lines(text, "out:").map(|line| serde_json::from_str(line).unwrap()).collect();
    for found in out.iter_mut().zip(&expected).map(|(found, expected)| (found, expected.as_object().unwrap())) {
        // Labels and metadata that are not shown are not there.
        let (found, expected) = (found.0.as_object_mut().unwrap(), found.1);
        found.retain(|key, value| {
            expected.contains_key(key) || !(value == &json!({}) || key == "extracted" || key == "timestamp")
        });
    }
    assert_eq!(out, expected, "{yaml}\n{text}");
    let samples: Vec<String> = pipeline.samples(now).iter().map(|s| format!("{} {}", s.name, s.value)).collect();
    for metric in lines(text, "metric:") {
        let (name, value) = (metric.split('{').next().unwrap(), metric.rsplit(' ').next().unwrap());
        assert!(samples.contains(&format!("{name} {value}")), "{metric}: {samples:?}");
    }
}

/// Scenario: the example in Alloy's own syntax. Guarantee: its stages can be built and do what they say.
#[test]
fn the_example_of_alloys_syntax_holds() {
    let page = include_str!("../../../docs/stages.md");
    let text = page.split("```alloy\n").nth(1).unwrap().split("```").next().unwrap();
    let file = stages::alloy::read(text).unwrap();
    let Value::Array(list) = file.processes[0].stages.to_json() else { panic!("no list") };
    let pipeline = Pipeline::new(&Stages(list)).unwrap();
    let mut out = Vec::new();
    for line in [r#"{"level":"warn"}"#, r#"{"level":"info","message":"health"}"#] {
        let case = json!({"line": line, "labels": {"app": "web"}});
        pipeline.process(entry(&case), now(), |entry| out.push(show(&entry)));
    }
    assert_eq!(out.len(), 1);
    assert_eq!(out[0]["labels"], json!({"app": "web", "level": "warn"}));
}

/// Scenario: the page of stages. Guarantee: every stage has a section with an example, and each example comes out as shown.
#[test]
fn the_examples_hold() {
    let page = include_str!("../../../docs/stages.md");
    for stage in STAGES {
        let heading = format!("\n### `{stage}`\n");
        let section = page.split(&heading).nth(1).unwrap_or_else(|| panic!("{stage} has no section"));
        let section = section.split("\n##").next().unwrap();
        let mut examples = 0;
        for example in section.split("```yaml\n").skip(1) {
            let (yaml, rest) = example.split_once("```\n").unwrap();
            let text = rest.strip_prefix("```text\n").unwrap().split("```").next().unwrap();
            run(yaml, text);
            examples += 1;
        }
        assert!(examples > 0 || stage == "geoip", "{stage} has no example");
    }
}
