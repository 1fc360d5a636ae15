//! The conformance cases: configurations and entries with what Alloy's own stages make of them.
//!
//! `cases/stages.json` is a copy of the shared set in which the few cases that encode a fault of the peer are changed, with a
//! note that begins "we are right". Each case runs in a pipeline of its own; all that differ are printed before the test
//! fails. A case's metrics are compared as exposition lines.
//!
//! `cases/neighbours.json` holds many more, made by running the peer on what lies beside the shared cases: each function of
//! templates and of JMESPath, layouts, edges of each parser, wrong configurations. What is empty is left out in it, and a
//! timestamp that is left out is [`USUAL`]. Cases where we differ on purpose are not in it: docs/stages.md lists them.

#![allow(clippy::print_stdout)] // All that differ are shown before the test fails.
#![allow(clippy::unwrap_used)] // A case that is not what it should be fails the test.

use serde_json::{Map, Value, json};
use stages::entry::{Value as Extracted, timestamp};
use stages::{Entry, Labels, Now, Pipeline, Sample, Stages, Text, Timestamp};
use std::time::Instant;

#[allow(clippy::disallowed_methods)] // No case waits; the clock only has to begin somewhere.
fn now() -> Now {
    Now { wall: instant("2025-06-01T00:00:00Z"), mono: Instant::now() }
}

fn instant(text: &str) -> Timestamp {
    stages::go::time::rfc3339(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
}

/// The timestamp of entries that name none.
const USUAL: &str = "2024-03-01T12:00:00.123456789Z";

/// An entry with all keys.
fn whole(entry: &Value) -> Value {
    let mut whole = json!({"line": "", "labels": {}, "timestamp": USUAL, "structured_metadata": {}});
    for (key, value) in entry.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

fn entry(case: &Value) -> Entry {
    let case = &whole(case);
    let pairs = |key: &str| {
        let map = case[key].as_object().cloned().unwrap_or_default();
        map.into_iter().map(|(name, value)| (Text::from(name), Text::from(value.as_str().unwrap())))
    };
    Entry {
        line: case["line"].as_str().unwrap().into(),
        labels: pairs("labels").collect::<Labels>(),
        timestamp: instant(case["timestamp"].as_str().unwrap()),
        metadata: pairs("structured_metadata").collect(),
        ..Entry::default()
    }
}

fn show(entry: &Entry) -> Value {
    let map = |pairs: &mut dyn Iterator<Item = &(Text, Text)>| -> Map<String, Value> {
        pairs.map(|(name, value)| (name.to_string(), json!(value.to_string()))).collect()
    };
    json!({
        "line": entry.line.to_string(),
        "labels": map(&mut entry.labels.iter()),
        "timestamp": entry.timestamp.to_string(),
        "structured_metadata": map(&mut entry.metadata.iter()),
    })
}

fn show_extracted(entry: &Entry) -> Value {
    let show = |value: Extracted| match value {
        Extracted::Null => Value::Null,
        Extracted::Bool(value) => json!(value),
        Extracted::Number(value) => json!(value),
        Extracted::Integer(value) => serde_json::from_slice(&value).unwrap(),
        Extracted::Text(value) => json!(value.to_string()),
    };
    Value::Object(entry.extracted.sorted().into_iter().map(|(name, value)| (name.to_string(), show(value))).collect())
}

/// All numbers as floats, so that 1 equals 1.0 and -0.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.0),
        Value::Array(values) => values.iter().map(floats).collect(),
        Value::Object(values) => {
            Value::Object(values.iter().map(|(name, value)| (name.clone(), floats(value))).collect())
        }
        other => other.clone(),
    }
}

fn line(sample: &Sample) -> String {
    let labels: Vec<String> = sample
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={}", stages::go::quote::quote(value.as_bytes())))
        .collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    format!("{}{labels} {}", sample.name, stages::go::number::format_g(sample.value))
}

/// YAML as Go reads it: `n`, `yes` and the like are text.
fn yaml(text: &str) -> Result<Stages, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

/// What differs, in words; nothing if the case holds.
fn differences(case: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let config: Stages = match yaml(case["stage_yaml"].as_str().unwrap()) {
        Ok(config) => config,
        Err(error) => return vec![format!("the YAML is not a list of stages: {error}")],
    };
    let pipeline = match (Pipeline::new(&config), case.get("config_error")) {
        (Err(_), Some(_)) => return found,
        (Ok(_), Some(error)) => return vec![format!("accepted, but must be refused: {error}")],
        (Err(error), None) => return vec![format!("refused: {error}")],
        (Ok(pipeline), None) => pipeline,
    };
    let now = now();
    let mut out = Vec::new();
    let more = case["in_more"].as_array().cloned().unwrap_or_default();
    for input in std::iter::once(&case["in"]).chain(&more) {
        pipeline.process(entry(input), now, |entry| out.push(entry));
    }
    pipeline.finish(now, |entry| out.push(entry));
    let expected: Vec<Value> = case["out"].as_array().unwrap().iter().map(whole).collect();
    let shown: Vec<Value> = out.iter().map(show).collect();
    if shown != expected {
        let lines = |entries: &[Value]| entries.iter().map(|e| format!("\n      {e}")).collect::<String>();
        found.push(format!("out differs\n    expected:{}\n    found:{}", lines(&expected), lines(&shown)));
    }
    if let Some(expected) = case.get("out_extracted").and_then(Value::as_array) {
        let shown: Vec<Value> = out.iter().map(|entry| floats(&show_extracted(entry))).collect();
        let expected: Vec<Value> = expected.iter().map(floats).collect();
        if shown != expected {
            found.push(format!("extracted differs\n    expected: {expected:?}\n    found:    {shown:?}"));
        }
    }
    let mut metrics: Vec<String> = pipeline.samples(now).iter().filter(|s| s.value != 0.0).map(line).collect();
    metrics.sort();
    if let Some(expected) = case.get("metrics").and_then(Value::as_array) {
        let expected: Vec<&str> = expected.iter().filter_map(Value::as_str).collect();
        if metrics != expected {
            found.push(format!("metrics differ\n    expected: {expected:?}\n    found:    {metrics:?}"));
        }
    }
    found
}

/// Every case comes out as the peer's stages make it, or as our note says.
#[test]
fn cases_hold() {
    hold(include_str!("cases/stages.json"), 289);
}

/// What lies beside the cases comes out as the peer's stages make it.
#[test]
fn neighbours_hold() {
    hold(include_str!("cases/neighbours.json"), 2_700);
}

fn hold(cases: &str, at_least: usize) {
    let cases: Vec<Value> = serde_json::from_str(cases).unwrap();
    assert!(cases.len() >= at_least);
    let mut failed = 0;
    for case in &cases {
        let found = differences(case);
        if !found.is_empty() {
            failed += 1;
            println!(
                "--- {} ({})\n  {}",
                case["id"],
                case["note"],
                case["stage_yaml"].as_str().unwrap().trim().replace('\n', "\n  ")
            );
            for difference in found {
                println!("  {difference}");
            }
        }
    }
    let total = cases.len();
    assert_eq!(failed, 0, "{failed} of {total} cases differ");
}

/// The timestamps of the cases are read and written by the code that is tested; a known one holds both to the calendar.
#[test]
fn timestamps_are_anchored() {
    assert_eq!(instant("2024-02-29T00:00:00Z").secs(), timestamp::days_from_civil(2024, 2, 29) * 86_400);
    assert_eq!(instant("2024-02-29T00:00:00Z").secs(), 1_709_164_800);
}
