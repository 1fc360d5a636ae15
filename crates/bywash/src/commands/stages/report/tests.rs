//! The table and the JSON, as reviewed.

use super::super::trace::Trace;
use super::*;
use stages::{Entry, Now, Stages, Timestamp};

const STAGES: &str = r#"[
  {"cri": {}},
  {"json": {"expressions": {"level": null, "n": null}}},
  {"labels": {"level": null}},
  {"label_drop": ["stream"]},
  {"match": {"selector": "{level=\"debug\"}", "action": "drop"}},
  {"split_json": {"source": "n"}},
  {"output": {"source": "level"}},
  {"structured_metadata": {"flags": null}}
]"#;

fn run(format: Format, colour: bool) -> String {
    let pipeline = Pipeline::new(&Stages(serde_json::from_str(STAGES).unwrap())).unwrap();
    let wall = Timestamp::from_secs_nanos(1_700_000_000, 0);
    #[allow(clippy::disallowed_methods, reason = "no stage of this test waits")]
    let now = Now { wall, mono: std::time::Instant::now() };
    let mut report = Report::new(format, colour, &pipeline);
    let mut out = Vec::new();
    for line in [
        "2024-05-06T07:08:09Z stdout F {\"level\":\"warn\\u001b[31m\",\"n\":7}",
        "2024-05-06T07:08:09Z stdout F {\"level\":\"debug\"}",
        "2024-05-06T07:08:09Z stdout F {\"level\":\"info\",\"n\":[1,{\"a\":2}]}",
        "not a container's",
        "2024-05-06T07:08:09Z stdout P begun",
    ] {
        let entry = Entry {
            line: line.into(),
            labels: [("app", "shop")].into_iter().collect(),
            timestamp: wall,
            ..Entry::default()
        };
        let mut trace = Trace::new(Some(&entry));
        let pace = pipeline.process_observed(entry, now, &mut trace, drop);
        report.show(&trace.done(), pace, &mut out).unwrap();
    }
    let mut trace = Trace::new(None);
    pipeline.finish_observed(now, &mut trace, drop);
    report.show(&trace.done(), Duration::ZERO, &mut out).unwrap();
    let metrics = ["a_total 1".to_owned()];
    report.end(&pipeline, Some(&metrics), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Scenario: lines that are changed, dropped, split, left alone and held back. Guarantee: the table is as reviewed.
#[test]
fn the_table_is_as_reviewed() {
    insta::assert_snapshot!("table", run(Format::Table, false));
}

/// Scenario: the same on a terminal. Guarantee: colours, and no escape that came from a line.
#[test]
fn colours_are_ours_alone() {
    let text = run(Format::Table, true);
    assert!(text.contains("\x1b[32m+\x1b[0m"));
    assert!(!text.contains("\x1b[31m\""), "{text}");
    assert!(text.contains("\\u{1b}[31m") || text.contains("\\u001b[31m"));
}

/// Scenario: the same as JSON. Guarantee: as reviewed, and each line is a JSON object.
#[test]
fn the_json_is_as_reviewed() {
    let text = run(Format::Json, false);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Map<String, Json>>(line).is_ok()));
    insta::assert_snapshot!("json", text);
}
