//! Dead letters as text: a table for people, JSON for programs.
//!
//! Invariant: what comes from outside (targets, reasons) never brings control characters to a terminal.

use components::extensions::file_storage::letters::Row;
use config::GoDuration;
use flow::clock::rfc3339;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;
use wire::Signal;

/// Characters of a cell.
const MAX_CELL: usize = 60;

const HEADINGS: [&str; 8] = ["ID", "TARGET", "REASON", "ATTEMPTS", "RECORDS", "BYTES", "AGE", "TEXT"];

/// A table with a line for each letter.
pub(super) fn table(rows: &[Row], now: Duration) -> String {
    if rows.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row, now)));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row, now: Duration) -> [String; 8] {
    let age = Duration::from_secs(now.saturating_sub(Duration::from_millis(row.at)).as_secs());
    [
        printable(&row.id, usize::MAX),
        printable(&row.target, MAX_CELL),
        row.reason.clone(),
        row.attempts.to_string(),
        row.records.to_string(),
        row.bytes.to_string(),
        GoDuration(age).to_string(),
        printable(&row.text, MAX_CELL),
    ]
}

fn printable(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// An array with an object for each letter.
pub(super) fn json(rows: &[Row]) -> String {
    let all: Vec<Value> = rows.iter().map(about).collect();
    format!("{:#}\n", Value::Array(all))
}

fn about(row: &Row) -> Value {
    let time = |millis: u64| (millis > 0).then(|| rfc3339(Duration::from_millis(millis)));
    json!({
        "id": row.id,
        "exporter": row.exporter,
        "signal": row.signal,
        "target": row.target,
        "reason": row.reason,
        "text": row.text,
        "first_attempt": time(row.first),
        "last_attempt": time(row.last),
        "given_up": time(row.at),
        "attempts": row.attempts,
        "records": row.records,
        "bytes": row.bytes,
    })
}

/// One letter whole: an object with the request as OTLP JSON in `request`.
pub(super) fn letter(row: &Row, protobuf: &[u8]) -> String {
    let mut all = about(row);
    let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == row.signal);
    let json = signal.and_then(|signal| wire::json::to_json(wire::schema::request(signal), protobuf).ok());
    let request = json.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    all["request"] = request.unwrap_or_else(|| json!("this is not OTLP; --raw writes it as it is"));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{all:#}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: "otlp/a/logs/7".into(),
            exporter: "otlp/a".into(),
            signal: "logs".into(),
            target: "b:4317".into(),
            reason: "bad_data".into(),
            text: "no\x1b[2J".into(),
            first: 1_700_000_000_000,
            last: 0,
            at: 1_700_000_000_000,
            attempts: 2,
            records: 3,
            bytes: 400,
        }
    }

    /// Scenario: letters with a hostile text. Guarantee: a table with aligned columns and nothing that a terminal would obey.
    #[test]
    fn a_table_is_aligned_and_harmless() {
        let text = table(&[row()], Duration::from_secs(1_700_000_090));
        let expected = "ID             TARGET  REASON    ATTEMPTS  RECORDS  BYTES  AGE    TEXT\n\
                        otlp/a/logs/7  b:4317  bad_data  2         3        400    1m30s  no?[2J\n";
        assert_eq!(text, expected);
        assert_eq!(table(&[], Duration::ZERO), "no dead letters\n");
    }

    /// Scenario: the same as JSON, and one letter whole. Guarantee: times are RFC 3339 or null, and the records are OTLP JSON.
    #[test]
    fn json_has_times_and_records() {
        let all: Value = serde_json::from_str(&json(&[row()])).unwrap();
        assert_eq!(all[0]["first_attempt"], "2023-11-14T22:13:20Z");
        assert_eq!(all[0]["last_attempt"], Value::Null);
        assert_eq!(all[0]["text"], "no\x1b[2J");
        let request = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
        let protobuf = wire::json::to_protobuf(wire::schema::request(Signal::Logs), request, 1 << 20).unwrap();
        let shown: Value = serde_json::from_str(&letter(&row(), &protobuf)).unwrap();
        let body = &shown["request"]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"];
        assert_eq!(body["stringValue"], "x");
        let broken: Value = serde_json::from_str(&letter(&row(), &[0xff])).unwrap();
        assert!(broken["request"].as_str().is_some_and(|text| text.contains("--raw")));
    }
}
