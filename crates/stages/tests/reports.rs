//! Cases after public bug reports: stages, entries, and what must come out. Keys that a case does not name are not compared.
//!
//! What a plain scalar is in YAML (`0123`, `1.10`) is decided by who reads the file, so the case about that runs through the
//! command only, which runs all of them.

#![allow(clippy::unwrap_used)] // A case that is not what it should be fails the test.

use serde_json::{Map, Value, json};
use stages::{Entry, Now, Pipeline, Stages, Text, Timestamp};
use std::path::Path;
use std::time::Instant;

/// About the reading of YAML.
const OF_THE_READER: &str = "s36-dryrun-scalars";

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pairs(value: &Value) -> Vec<(Text, Text)> {
    let map = value.as_object().cloned().unwrap_or_default();
    map.into_iter().map(|(name, value)| (name.into(), value.as_str().unwrap().into())).collect()
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

/// Scenario: every case. Guarantee: what comes out is what the case wants.
#[test]
#[allow(clippy::disallowed_methods)] // No case waits; the clock only has to begin somewhere.
fn reports_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/reports");
    let now = Now { wall: Timestamp::from_secs_nanos(1_700_000_000, 0), mono: Instant::now() };
    let mut count = 0;
    for case in std::fs::read_dir(folder).unwrap().map(|case| case.unwrap().path()) {
        count += 1;
        if case.ends_with(OF_THE_READER) {
            continue;
        }
        let yaml = std::fs::read_to_string(case.join("stages.yaml")).unwrap();
        let stages: Stages =
            serde_saphyr::from_str_with_options(&yaml, serde_saphyr::options! { strict_booleans: true }).unwrap();
        let pipeline = Pipeline::new(&stages).unwrap_or_else(|error| panic!("{case:?}: {error}"));
        let mut found = Vec::new();
        for entry in lines(&case.join("in.jsonl")) {
            let entry = Entry {
                line: entry["line"].as_str().unwrap().into(),
                labels: pairs(&entry["labels"]).into_iter().collect(),
                metadata: pairs(&entry["structured_metadata"]),
                timestamp: now.wall,
                ..Entry::default()
            };
            pipeline.process(entry, now, |entry| found.push(show(&entry)));
        }
        pipeline.finish(now, |entry| found.push(show(&entry)));
        let wanted = lines(&case.join("want.jsonl"));
        assert_eq!(found.len(), wanted.len(), "{case:?}: {found:?}");
        for (found, wanted) in found.iter().zip(&wanted) {
            for (key, value) in wanted.as_object().unwrap() {
                assert_eq!(&found[key], value, "{case:?}: {key}");
            }
        }
    }
    assert!(count >= 4, "{count}");
}
