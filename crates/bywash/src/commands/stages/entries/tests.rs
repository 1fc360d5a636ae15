//! Entries as they are read and written.

use super::*;

fn read(line: &str) -> Result<Entry, String> {
    entry(line.as_bytes(), &[("app".into(), "default".into())], Timestamp::EPOCH)
}

/// Scenario: entries with all keys, and with the line alone. Guarantee: what is missing is a default; labels of the entry win.
#[test]
fn entries_are_read() {
    let full = read(
        r#"{"line":"x","labels":{"app":"web","b":"1"},"timestamp":"2024-03-01T12:00:00.123456789Z","structured_metadata":{"t":"9"}}"#,
    )
    .unwrap();
    assert_eq!(full.labels.to_string(), r#"{app="web", b="1"}"#);
    assert_eq!(full.timestamp.to_string(), "2024-03-01T12:00:00.123456789Z");
    assert_eq!(full.metadata, [("t".into(), "9".into())]);
    let bare = read(r#"{"line":""}"#).unwrap();
    assert_eq!((bare.labels.to_string().as_str(), bare.timestamp), (r#"{app="default"}"#, Timestamp::EPOCH));
    for nanos in [r#"{"line":"","timestamp":1500000000000000001}"#, r#"{"line":"","timestamp":"1500000000000000001"}"#]
    {
        assert_eq!(read(nanos).unwrap().timestamp.to_string(), "2017-07-14T02:40:00.000000001Z");
    }
    assert!(
        read(r#"{"line":"","labels":null,"structured_metadata":null,"timestamp":null,"extracted":{"a":1}}"#).is_ok()
    );
}

/// Scenario: lines that are no entries. Guarantee: the reason is told, with a column.
#[test]
fn what_is_no_entry_is_refused() {
    for (line, why) in [
        ("{}", "line"),
        ("[]", "struct"),
        (r#"{"line":5}"#, "string"),
        (r#"{"line":"a""#, "EOF"),
        (r#"{"line":"a","labels":{"b":1}}"#, "string"),
        (r#"{"line":"a","timestamp":"yesterday"}"#, "yesterday"),
    ] {
        let error = read(line).err().unwrap();
        assert!(error.contains(why), "{line}: {error}");
    }
}

/// Scenario: an entry with all kinds of values and bytes that are not UTF-8. Guarantee: JSON on one line, numbers without a
/// fraction where they have none, one replacement character a bad byte; and it reads back as the same entry.
#[test]
fn entries_are_written_as_they_are_read() {
    let mut given = read(r#"{"line":"a\u0001\"é\nb","labels":{"q":"\\"},"structured_metadata":{"m":"1"}}"#).unwrap();
    for (name, number) in [("i", 7.0), ("f", 1.5), ("big", 12345678901234567890.0), ("e", 1e21), ("nan", f64::NAN)] {
        given.extracted.set_named(name.into(), Value::Number(number));
    }
    given.extracted.set_named("null".into(), Value::Null);
    given.extracted.set_named("yes".into(), Value::Bool(true));
    let text = json(&given, true);
    assert!(
        text.ends_with(
            r#""extracted":{"big":12345678901234567000,"e":1e+21,"f":1.5,"i":7,"nan":null,"null":null,"yes":true}}"#
        ),
        "{text}"
    );
    let again = read(&text).unwrap();
    assert_eq!((again.line, again.labels, again.metadata), (given.line, given.labels, given.metadata));
    assert_eq!(quoted(&Text::copy(b"\xe2\x80x")), "\"\u{fffd}\u{fffd}x\"");
    assert_eq!(quoted(&"a\u{2028}\u{85}b\n".into()), r#""a\u2028\u0085b\n""#);
}
