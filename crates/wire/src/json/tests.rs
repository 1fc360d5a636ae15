//! What must be read, what must be refused, and what is written, case by case. The properties against prost are in
//! `tests/oracle.rs`.

use super::*;
use crate::Signal;
use crate::schema;

const LIMIT: usize = 64 << 20;

fn read(signal: Signal, json: &str) -> Result<Vec<u8>, JsonError> {
    to_protobuf(schema::request(signal), json.as_bytes(), LIMIT)
}

/// The canonical JSON of what was read.
fn canonical(signal: Signal, json: &str) -> String {
    let protobuf = read(signal, json).unwrap_or_else(|error| panic!("{json}: {error}"));
    String::from_utf8(to_json(schema::request(signal), &protobuf).unwrap()).unwrap()
}

/// Wraps the members of one log record into a request.
fn log(members: &str) -> String {
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{members}}}]}}]}}]}}"#)
}

/// Wraps the members of one gauge data point into a request.
fn point(members: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{{{members}}}]}}}}]}}]}}]}}"#
    )
}

/// Wraps the members of one histogram data point into a request.
fn histogram(members: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{{members}}}]}}}}]}}]}}]}}"#
    )
}

#[track_caller]
fn same_log(given: &str, expected: &str) {
    assert_eq!(canonical(Signal::Logs, &log(given)), log(expected), "given {given}");
}

#[track_caller]
fn refused(signal: Signal, json: &str, reason: &str) {
    match read(signal, json) {
        Err(error @ JsonError::Invalid { .. }) => {
            let text = error.to_string();
            assert!(text.contains(reason), "{json}: {text:?} does not say {reason:?}");
        }
        other => panic!("{json}: {other:?}"),
    }
}

#[track_caller]
fn refused_log(members: &str, reason: &str) {
    refused(Signal::Logs, &log(members), reason);
}

/// Scenario: requests without records. Guarantee: they are valid; the empty object is the empty message.
#[test]
fn empty_requests_are_valid() {
    for signal in Signal::ALL {
        assert_eq!(read(signal, "{}"), Ok(Vec::new()));
        assert_eq!(read(signal, " {\n} \n"), Ok(Vec::new()));
        assert_eq!(read(signal, "\u{feff}{}"), Ok(Vec::new()), "a byte order mark is skipped");
    }
    assert_eq!(canonical(Signal::Logs, r#"{"resourceLogs":[{},{}]}"#), r#"{"resourceLogs":[{},{}]}"#);
    assert_eq!(canonical(Signal::Logs, r#"{"resourceLogs":null}"#), "{}");
    assert_eq!(canonical(Signal::Logs, r#"{"resourceLogs":[]}"#), "{}");
}

/// Scenario: a body that is no object, or more than one. Guarantee: refused with a reason, not read as empty.
#[test]
fn bodies_that_are_no_object_are_refused() {
    for empty in ["", " \r\n\t", "\u{feff}"] {
        refused(Signal::Traces, empty, "the body is empty");
    }
    refused(Signal::Traces, "null", "expected an object (ExportTraceServiceRequest)");
    refused(Signal::Traces, "[]", "expected an object");
    refused(Signal::Traces, "7", "expected an object");
    refused(Signal::Traces, "{} {}", "trailing characters");
    refused(Signal::Traces, "{}x", "trailing characters");
    refused(Signal::Traces, "{", "EOF");
    refused(Signal::Traces, r#"{"resourceSpans":[}"#, "expected value");
    refused(Signal::Traces, r#"{"resourceSpans":[],}"#, "trailing comma");
}

/// Scenario: bytes that are not UTF-8, such as UTF-16. Guarantee: refused.
#[test]
fn other_encodings_are_refused() {
    for encode in [u16::to_le_bytes, u16::to_be_bytes] {
        for text in ["\u{feff}{}", "{\"a\":1}"] {
            let utf16: Vec<u8> = text.encode_utf16().flat_map(encode).collect();
            assert!(to_protobuf(schema::request(Signal::Logs), &utf16, LIMIT).is_err());
        }
    }
}

/// Scenario: an error deep in a request. Guarantee: line, column and path name the place.
#[test]
fn errors_name_the_place() {
    let json = "{\"resourceLogs\": [{}, {\"scopeLogs\": [\n{\"logRecords\": [{}, {}, {\"traceId\": \"xyz\"}]}]}]}";
    let error = read(Signal::Logs, json).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 41, in resourceLogs[1].scopeLogs[0].logRecords[2].traceId: \
         an id of 32 hex digits is expected, not 3 characters"
    );
    assert_eq!(read(Signal::Logs, "x").unwrap_err().to_string(), "line 1, column 1: expected value");
}

/// Scenario: an error that quotes a megabyte of the sender's text. Guarantee: the description stays short.
#[test]
fn descriptions_are_bounded() {
    let json = log(&format!(r#""severityNumber":"{}""#, "é".repeat(1 << 20)));
    match read(Signal::Logs, &json) {
        Err(JsonError::Invalid { what, .. }) => assert!(what.len() <= MAX_WHAT && what.len() > MAX_WHAT - 4),
        other => panic!("{other:?}"),
    }
}

/// Scenario: ids in hex of either case, empty, absent. Guarantee: the same bytes; written in lower case; empty is absent.
#[test]
fn ids_are_hex() {
    let lower = r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#;
    same_log(r#""traceId":"5B8EFFF798038103d269b633813FC60C","spanId":"EEE19B7EC3C1B174""#, lower);
    same_log(r#""traceId":"","spanId":null"#, "");
    let protobuf = read(Signal::Logs, &log(lower)).unwrap();
    let trace_id = [0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c];
    assert!(protobuf.windows(18).any(|window| window[..2] == [9 << 3 | 2, 16] && window[2..] == trace_id));
}

/// Scenario: ids in base64 (what protojson would write) or of a wrong length. Guarantee: refused, and base64 is named.
#[test]
fn other_ids_are_refused() {
    refused_log(r#""traceId":"W47/95gDgQPSabYzgT/GDA==""#, "this one is base64");
    refused_log(r#""traceId":"W47/95gDgQPSabYzgT/GDA""#, "this one is base64");
    refused_log(r#""spanId":"7uGbfsPBsXQ=""#, "(16 digits) in OTLP/JSON, this one is base64");
    refused_log(r#""traceId":"5b8efff798038103d269b633813fc60""#, "32 hex digits is expected, not 31");
    refused_log(r#""spanId":"eee19b7ec3c1b17400""#, "16 hex digits is expected, not 18");
    refused_log(r#""traceId":"5b8efff798038103d269b633813fc60g""#, "must consist of hex digits");
    refused_log(r#""spanId":"ééééééé0""#, "16 hex digits");
    refused_log(r#""spanId":"éééééééé""#, "must consist of hex digits");
    refused_log(r#""spanId":7"#, "expected a hex string");
}

/// Scenario: bytes values in each base64 dialect. Guarantee: all are read, and written standard with padding.
#[test]
fn bytes_are_base64() {
    for given in ["+/8=", "-_8=", "+/8", "-_8", "+/9"] {
        same_log(&format!(r#""body":{{"bytesValue":"{given}"}}"#), r#""body":{"bytesValue":"+/8="}"#);
    }
    same_log(r#""body":{"bytesValue":""}"#, r#""body":{"bytesValue":""}"#);
    refused_log(r#""body":{"bytesValue":"+_8="}"#, "not base64");
    refused_log(r#""body":{"bytesValue":"a"}"#, "not base64");
    refused_log(r#""body":{"bytesValue":[1]}"#, "expected a base64 string");
}

/// Scenario: enums by number, known or not, and by name. Guarantee: both are taken, but no names of others and no numbers in quotes.
#[test]
fn enums_are_integers_or_names() {
    same_log(r#""severityNumber":17"#, r#""severityNumber":17"#);
    same_log(r#""severityNumber":99"#, r#""severityNumber":99"#);
    same_log(r#""severityNumber":-1"#, r#""severityNumber":-1"#);
    same_log(r#""severityNumber":0"#, "");
    same_log(r#""severityNumber":"SEVERITY_NUMBER_ERROR""#, r#""severityNumber":17"#);
    same_log(r#""severity_number":"SEVERITY_NUMBER_UNSPECIFIED""#, "");
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":KIND,"status":{"code":CODE}}]}]}]}"#;
    let span = |kind: &str, code: &str| span.replace("KIND", kind).replace("CODE", code);
    assert_eq!(canonical(Signal::Traces, &span(r#""SPAN_KIND_CONSUMER""#, r#""STATUS_CODE_ERROR""#)), span("5", "2"));
    for bad in ["17", "INFO", "severity_number_info", "SPAN_KIND_SERVER", ""] {
        refused_log(&format!(r#""severityNumber":"{bad}""#), "an enum as a 32-bit integer or by its name");
    }
    refused_log(r#""severityNumber":2147483648"#, "out of range");
    refused_log(r#""severityNumber":true"#, "expected an enum");
}

/// Scenario: integers as numbers, strings, and in float notation. Guarantee: the same value; 64 bits are written as strings.
#[test]
fn integers_are_numbers_or_strings() {
    for given in ["1000", "\"1000\"", "1e3", "1000.0", "\"1e3\"", "\"1000.0\"", "10.00e2"] {
        same_log(&format!(r#""timeUnixNano":{given}"#), r#""timeUnixNano":"1000""#);
        same_log(&format!(r#""flags":{given}"#), r#""flags":1000"#);
        same_log(&format!(r#""body":{{"intValue":{given}}}"#), r#""body":{"intValue":"1000"}"#);
    }
    for (given, written) in [
        ("18446744073709551615", "18446744073709551615"),
        ("\"18446744073709551615\"", "18446744073709551615"),
        ("1.7e18", "1700000000000000000"),
    ] {
        same_log(&format!(r#""timeUnixNano":{given}"#), &format!(r#""timeUnixNano":"{written}""#));
    }
    for given in ["-9223372036854775808", "\"-9223372036854775808\"", "\"9223372036854775807\"", "-0"] {
        let written = given.trim_matches('"').replace("-0", "0");
        same_log(&format!(r#""body":{{"intValue":{given}}}"#), &format!(r#""body":{{"intValue":"{written}"}}"#));
    }
    same_log(r#""timeUnixNano":"0""#, "");
}

/// Scenario: integers that do not fit their field, or are none. Guarantee: refused, never truncated.
#[test]
fn integers_out_of_range_are_refused() {
    refused_log(r#""timeUnixNano":-1"#, "out of range");
    refused_log(r#""timeUnixNano":18446744073709551616"#, "out of range");
    refused_log(r#""timeUnixNano":"18446744073709551616""#, "invalid value");
    refused_log(r#""flags":4294967296"#, "out of range");
    refused_log(r#""droppedAttributesCount":-1"#, "out of range");
    refused_log(r#""body":{"intValue":9223372036854775808}"#, "out of range");
    refused_log(r#""body":{"intValue":"-9223372036854775809"}"#, "invalid value");
    refused_log(r#""body":{"intValue":-9223372036854775809}"#, "out of range");
    refused_log(r#""body":{"intValue":1e300}"#, "out of range");
    refused_log(r#""timeUnixNano":1.5"#, "invalid type: floating point `1.5`");
    for text in ["", " 1", "1 ", "+1", "0x10", "1_000", "one", "01", "1.", ".5", "NaN", "null", "--1", "-"] {
        refused_log(&format!(r#""timeUnixNano":"{text}""#), "invalid value");
    }
    refused_log(r#""timeUnixNano":true"#, "invalid type: boolean");
    refused_log(r#""timeUnixNano":{}"#, "invalid type: map");
}

/// Scenario: doubles as numbers, strings and the three names. Guarantee: all are read; the names are written back.
#[test]
fn doubles_may_be_strings() {
    for (given, written) in [
        ("1", "1.0"),
        ("\"1.5\"", "1.5"),
        ("-0.0", "-0.0"),
        ("0", "0.0"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        ("0.1", "0.1"),
        ("9007199254740993", "9007199254740992.0"),
        ("\"NaN\"", "\"NaN\""),
        ("\"Infinity\"", "\"Infinity\""),
        ("\"-Infinity\"", "\"-Infinity\""),
    ] {
        let json = canonical(Signal::Metrics, &point(&format!(r#""asDouble":{given}"#)));
        assert_eq!(json, point(&format!(r#""asDouble":{written}"#)), "given {given}");
    }
    for (bad, reason) in [
        ("1e400", "number out of range"),
        ("-1e400", "number out of range"),
        ("\"1e400\"", "invalid value"),
        ("NaN", "expected"),
        ("\"nan\"", "invalid value"),
        ("\"inf\"", "invalid value"),
        ("\"\"", "invalid value"),
        ("true", "invalid type"),
    ] {
        refused(Signal::Metrics, &point(&format!(r#""asDouble":{bad}"#)), reason);
    }
}

/// Scenario: booleans. Guarantee: only `true` and `false`.
#[test]
fn booleans_are_literals() {
    same_log(r#""body":{"boolValue":false}"#, r#""body":{"boolValue":false}"#);
    for bad in ["0", "1", "\"true\"", "1.0"] {
        refused_log(&format!(r#""body":{{"boolValue":{bad}}}"#), "expected true or false");
    }
}

/// Scenario: lists of scalars, empty, and with elements that are the default. Guarantee: every element is kept.
#[test]
fn packed_lists_keep_their_elements() {
    let json = r#""count":"3","sum":0.0,"bucketCounts":["0","3","0"],"explicitBounds":[0.0,1.5],"min":0.0"#;
    let given = r#""min":0,"explicitBounds":[0,"1.5"],"bucketCounts":[0,"3",0],"count":3,"sum":0,"max":null"#;
    assert_eq!(canonical(Signal::Metrics, &histogram(given)), histogram(json));
    assert_eq!(canonical(Signal::Metrics, &histogram(r#""bucketCounts":[]"#)), histogram(""));
    refused(Signal::Metrics, &histogram(r#""bucketCounts":[1,null]"#), "invalid type: null");
    refused(Signal::Metrics, &histogram(r#""bucketCounts":[1,-1]"#), "bucketCounts[1]");
    refused(Signal::Metrics, &histogram(r#""bucketCounts":7"#), "expected an array");
}

/// Scenario: null for fields, and as an element of a list. Guarantee: absent; an empty message or text, as with the collector; an error among
/// numbers.
#[test]
fn null_is_absent() {
    same_log(r#""body":null,"attributes":null,"timeUnixNano":null,"severityText":null"#, "");
    same_log(r#""body":{"stringValue":null}"#, r#""body":{}"#);
    same_log(r#""body":{"stringValue":null,"intValue":1}"#, r#""body":{"intValue":"1"}"#);
    same_log(r#""attributes":[null,{"key":"a"}]"#, r#""attributes":[{},{"key":"a"}]"#);
    same_log(r#""body":{"arrayValue":{"values":[null]}}"#, r#""body":{"arrayValue":{"values":[{}]}}"#);
    assert_eq!(
        canonical(Signal::Logs, r#"{"resourceLogs":[null,{"scopeLogs":[null,{"logRecords":[null]}]}]}"#),
        r#"{"resourceLogs":[{},{"scopeLogs":[{},{"logRecords":[{}]}]}]}"#
    );
}

/// Scenario: unknown keys of any shape. Guarantee: ignored, and where the first of them stands is told.
#[test]
fn unknown_fields_are_ignored() {
    same_log(
        r#""SeverityText":"x","severity_Text":"x","deprecated":{"a":[1,-2,3.5,null,true,"s",{"b":{}}]},
            "x":1,"x":2,"severityText":"kept","":[] "#,
        r#""severityText":"kept""#,
    );
    assert_eq!(canonical(Signal::Logs, r#"{"resource_log":[7],"resourceSpans":[{}]}"#), "{}");
    // Text inside an unknown field is not looked at beyond its grammar, but numbers must be numbers.
    refused_log(r#""x":1e400"#, "number out of range");
    refused_log(r#""x":[1,"#, "");
    let unknown = |json: &str| to_protobuf_and_note(schema::request(Signal::Logs), json.as_bytes(), LIMIT).unwrap().1;
    assert_eq!(unknown(r#"{"resourceLog":[],"x":1}"#).as_deref(), Some("resourceLog"));
    let inside = r#"{"resourceLogs":[{},{"scopelogs":[{"a":1}]}]}"#;
    assert_eq!(unknown(inside).as_deref(), Some("resourceLogs[1].scopelogs"));
    assert_eq!(unknown(&log(r#""severityText":"x""#)), None);
    let long = unknown(&format!(r#"{{"{}":1}}"#, "é".repeat(1000))).unwrap();
    assert!(long.len() <= 64 && long.starts_with('é'));
}

/// Scenario: the names of the .proto files, and those of instrumentation libraries. Guarantee: they are what they say.
#[test]
fn other_spellings_are_known() {
    let snake = r#"{"resource_logs":[{"scope_logs":[{"log_records":[{"time_unix_nano":"5","severity_text":"x",
        "body":{"kvlist_value":{"values":[{"key":"k","value":{"int_value":1}}]}},"dropped_attributes_count":2,
        "trace_id":"5b8efff798038103d269b633813fc60c"}]}],"schema_url":"u"}]}"#;
    let camel = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5","severityText":"x","body":{"kvlistValue":{"values":[{"key":"k","value":{"intValue":"1"}}]}},"droppedAttributesCount":2,"traceId":"5b8efff798038103d269b633813fc60c"}]}],"schemaUrl":"u"}]}"#;
    assert_eq!(canonical(Signal::Logs, snake), camel);
    for (signal, one, many) in [
        (Signal::Logs, "Logs", "logRecords"),
        (Signal::Traces, "Spans", "spans"),
        (Signal::Metrics, "Metrics", "metrics"),
    ] {
        let old = format!(
            r#"{{"resource{one}":[{{"instrumentationLibrary{one}":[{{"instrumentationLibrary":{{"name":"l"}},"{many}":[{{}}]}}]}}]}}"#
        );
        let now = format!(r#"{{"resource{one}":[{{"scope{one}":[{{"scope":{{"name":"l"}},"{many}":[{{}}]}}]}}]}}"#);
        assert_eq!(canonical(signal, &old), now);
        let snake = old.replace("instrumentationLibrary", "instrumentation_library");
        let snake = snake.replace(&format!("library{one}"), &format!("library_{}", one.to_lowercase()));
        assert_eq!(canonical(signal, &snake), now);
    }
}

/// Scenario: a known key twice: texts, defaults, lists, messages, members of a oneof. Guarantee: as with the collector the last text counts, also
/// an empty one; lists are put together, messages merged.
#[test]
fn of_duplicate_keys_the_last_counts() {
    same_log(r#""severityText":"a","severityText":"b""#, r#""severityText":"b""#);
    same_log(r#""severityText":"a","severityText":"","flags":1,"flags":0"#, "");
    same_log(r#""traceId":"5b8efff798038103d269b633813fc60c","trace_id":"""#, "");
    same_log(r#""attributes":[{"key":"a"}],"attributes":[{"key":"b"}]"#, r#""attributes":[{"key":"a"},{"key":"b"}]"#);
    same_log(r#""body":{"intValue":1,"intValue":2}"#, r#""body":{"intValue":"2"}"#);
    same_log(r#""body":{"stringValue":"a"},"body":{"intValue":1}"#, r#""body":{"intValue":"1"}"#);
    same_log(r#""severityText":"\u0061","\u0073everityNumber":1"#, r#""severityNumber":1,"severityText":"a""#);
    same_log(r#""severityText":"a","\u0073everityText":"b""#, r#""severityText":"b""#);
}

/// Scenario: two members of a oneof, also a list twice. Guarantee: the last counts, and nothing of the other is left.
#[test]
fn the_last_member_of_a_oneof_counts() {
    same_log(r#""body":{"intValue":1,"stringValue":"a"}"#, r#""body":{"stringValue":"a"}"#);
    same_log(r#""body":{"stringValue":"","boolValue":false,"intValue":null}"#, r#""body":{"boolValue":false}"#);
    let list = |n: u8| format!(r#""arrayValue":{{"values":[{{"intValue":"{n}"}}]}}"#);
    same_log(&format!(r#""body":{{{},{}}}"#, list(1), list(2)), &format!(r#""body":{{{}}}"#, list(2)));
    assert_eq!(
        canonical(Signal::Metrics, &point(r#""asInt":"1","flags":3,"asDouble":1"#)),
        point(r#""asDouble":1.0,"flags":3"#)
    );
    let metric =
        |members: &str| format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{members}}}]}}]}}]}}"#);
    let both =
        metric(r#""gauge":{"dataPoints":[{"asInt":"1"}]},"name":"n","sum":{"dataPoints":[{"asInt":"2"}]},"unit":"u""#);
    let last = metric(r#""name":"n","unit":"u","sum":{"dataPoints":[{"asInt":"2"}]}"#);
    assert_eq!(canonical(Signal::Metrics, &both), last);
}

/// Scenario: escapes, surrogate pairs, NUL, lone surrogates, bytes that are not UTF-8, raw control characters. Guarantee: text survives, what is
/// broken of it becomes U+FFFD, in names that nobody knows too; the illegal is refused.
#[test]
fn strings_are_unicode() {
    same_log(r#""severityText":"\ud83d\ude00\u00e9\/\n\u0000""#, "\"severityText\":\"😀é/\\n\\u0000\"");
    for (lone, mended) in [
        (r"\ud800", "\u{fffd}"),
        (r"a\udc00", "a\u{fffd}"),
        (r"\ud800\ud800", "\u{fffd}\u{fffd}"),
        (r"\ud800\u0041", "\u{fffd}A"),
    ] {
        same_log(&format!(r#""severityText":"{lone}""#), &format!(r#""severityText":"{mended}""#));
        same_log(&format!(r#""{lone}":"{lone}""#), "");
    }
    let mut bytes = log(r#""severityText":"a?b","x?":"?""#).into_bytes();
    bytes.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    let protobuf = to_protobuf(schema::request(Signal::Logs), &bytes, LIMIT).unwrap();
    let found = to_json(schema::request(Signal::Logs), &protobuf).unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), log("\"severityText\":\"a\u{fffd}b\""));
    refused_log("\"severityText\":\"a\nb\"", "control character");
    refused_log(r#""severityText":"\x41""#, "invalid escape");
    refused_log(r#""severityText":1"#, "expected a string");
}

/// An AnyValue nested `levels` deep, in arrays and key-value lists by turns.
fn nested(levels: usize) -> String {
    let mut value = r#"{"intValue":"1"}"#.to_owned();
    for level in 1..levels {
        value = match level % 2 {
            0 => format!(r#"{{"arrayValue":{{"values":[{value}]}}}}"#),
            _ => format!(r#"{{"kvlistValue":{{"values":[{{"key":"k","value":{value}}}]}}}}"#),
        };
    }
    value
}

/// Scenario: attribute values nested to the limit and past it. Guarantee: 64 levels pass both ways, 65 are refused.
#[test]
fn value_nesting_is_bounded() {
    let deepest = log(&format!(r#""body":{}"#, nested(schema::MAX_VALUE_DEPTH)));
    assert_eq!(canonical(Signal::Logs, &deepest), deepest);
    refused_log(&format!(r#""body":{}"#, nested(schema::MAX_VALUE_DEPTH + 1)), "nested deeper than 64 levels");
    refused_log(&format!(r#""body":{}"#, nested(10_000)), "nested deeper than 64 levels");
    // Beside each other, not inside: the count goes down again.
    let values = vec![nested(schema::MAX_VALUE_DEPTH - 1); 3].join(",");
    let wide = log(&format!(r#""body":{{"arrayValue":{{"values":[{values}]}}}}"#));
    assert_eq!(canonical(Signal::Logs, &wide), wide);
}

/// Scenario: 10,000 nested arrays or objects at the top, in a known and in an unknown field. Guarantee: an error, on the
/// two megabytes of stack that a test or a runtime thread has.
#[test]
fn hostile_nesting_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |levels| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        refused(Signal::Logs, &format!(r#"{{"resourceLogs":{}}}"#, nested(10_000)), "invalid type");
        refused(Signal::Logs, &format!(r#"{{"x":{}}}"#, nested(10_000)), "unknown field is nested deeper than 128");
        refused(Signal::Logs, &format!(r#"{{"x":{}}}"#, nested(129)), "nested deeper than 128");
        assert_eq!(read(Signal::Logs, &format!(r#"{{"x":{}}}"#, nested(128))), Ok(Vec::new()));
        refused(Signal::Logs, &open.repeat(10_000), if open == "[" { "expected an object" } else { "nested" });
    }
}

/// Scenario: small JSON that is large as protobuf, and a limit that is met exactly. Guarantee: the limit holds.
#[test]
fn output_is_bounded() {
    let request = schema::request(Signal::Metrics);
    let json = histogram(&format!(r#""bucketCounts":[{}]"#, vec!["0"; 10_000].join(",")));
    let size = to_protobuf(request, json.as_bytes(), LIMIT).unwrap().len();
    assert!(size > 80_000);
    assert_eq!(to_protobuf(request, json.as_bytes(), size).map(|bytes| bytes.len()), Ok(size));
    assert_eq!(to_protobuf(request, json.as_bytes(), size - 1), Err(JsonError::TooLarge { limit: size - 1 }));
    let many = format!(r#"{{"resourceMetrics":[{}]}}"#, vec!["{}"; 1000].join(","));
    assert_eq!(to_protobuf(request, many.as_bytes(), 1000), Err(JsonError::TooLarge { limit: 1000 }));
}

/// Scenario: messages of every length around the steps of the length's own length. Guarantee: lengths are minimal and right.
#[test]
fn lengths_are_minimal() {
    for len in [0, 1, 100, 117, 118, 119, 120, 125, 126, 127, 128, 129, 16_370, 16_383, 16_384, 16_385, 2_097_152] {
        let text = "a".repeat(len);
        let mut value = vec![1 << 3 | 2];
        crate::field::put_varint(&mut value, len as u64);
        value.extend(text.as_bytes());
        let mut expected = Vec::new();
        let mut inner = value;
        for tag in [5, 2, 2, 1] {
            expected.clear();
            crate::field::put_len_field(&mut expected, tag, &inner);
            inner.clone_from(&expected);
        }
        assert_eq!(read(Signal::Logs, &log(&format!(r#""body":{{"stringValue":"{text}"}}"#))), Ok(expected));
    }
}

/// Scenario: the responses of all signals. Guarantee: written in their canonical shape, and read back.
#[test]
fn responses_are_transcoded() {
    for (signal, key) in [
        (Signal::Logs, "rejectedLogRecords"),
        (Signal::Traces, "rejectedSpans"),
        (Signal::Metrics, "rejectedDataPoints"),
    ] {
        let json = format!(r#"{{"partialSuccess":{{"{key}":"7","errorMessage":"full"}}}}"#);
        let protobuf = to_protobuf(schema::response(signal), json.as_bytes(), LIMIT).unwrap();
        assert_eq!(protobuf, [10, 8, 8, 7, 18, 4, b'f', b'u', b'l', b'l']);
        assert_eq!(to_json(schema::response(signal), &protobuf).unwrap(), json.as_bytes());
        assert_eq!(to_json(schema::response(signal), &[]).unwrap(), b"{}");
    }
}

/// Wraps the fields of one log record into a request, in protobuf.
fn record(fields: &[u8]) -> Vec<u8> {
    let mut bytes = fields.to_vec();
    for tag in [2, 2, 1] {
        let mut outer = Vec::new();
        crate::field::put_len_field(&mut outer, tag, &bytes);
        bytes = outer;
    }
    bytes
}

fn written(fields: &[u8]) -> Result<String, crate::field::Malformed> {
    to_json(schema::request(Signal::Logs), &record(fields)).map(|json| String::from_utf8(json).unwrap())
}

/// Scenario: legal encodings that no common encoder writes. Guarantee: protobuf's own rules: the last scalar counts,
/// messages in pieces are merged, another oneof member clears the first, unknown fields do not matter.
#[test]
fn unusual_encodings_are_written_canonically() {
    // severityText twice, after a higher field; an unknown field 31 between them.
    let fields = [&[8 << 3 | 5, 7, 0, 0, 0][..], &[26, 1, b'a'], &[0xf8, 0x01, 5], &[26, 1, b'b']].concat();
    assert_eq!(written(&fields).unwrap(), log(r#""severityText":"b","flags":7"#));
    // body in two pieces: an array of one value, then an array of another one.
    let piece = |text: u8| vec![5 << 3 | 2, 7, 5 << 3 | 2, 5, 10, 3, 10, 1, text];
    let both = [piece(b'a'), piece(b'b')].concat();
    let array = r#""body":{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}"#;
    assert_eq!(written(&both).unwrap(), log(array));
    // The same with an integer between them: the first array is cleared.
    let cleared = [piece(b'a'), vec![5 << 3 | 2, 2, 3 << 3, 9], piece(b'b')].concat();
    assert_eq!(written(&cleared).unwrap(), log(r#""body":{"arrayValue":{"values":[{"stringValue":"b"}]}}"#));
    // A text that is not UTF-8.
    assert_eq!(written(&[26, 3, b'a', 0xff, b'b']).unwrap(), log("\"severityText\":\"a\u{fffd}b\""));
}

/// Scenario: protobuf that is not such a message. Guarantee: an error, no panic.
#[test]
fn malformed_protobuf_is_refused() {
    use crate::field::Fault;
    assert_eq!(written(&[26]).unwrap_err().what, Fault::Truncated);
    assert_eq!(written(&[24, 1]).unwrap_err().what, Fault::WrongType { message: "LogRecord", field: "severityText" });
    assert_eq!(
        written(&[10, 1, 0]).unwrap_err().what,
        Fault::WrongType { message: "LogRecord", field: "timeUnixNano" }
    );
    assert_eq!(written(&[27, 28]).unwrap_err().what, Fault::Group);
}

/// A body of arrays (field 5, in field 1) or of key-value lists (6, 2, 1), `levels` of `AnyValue` deep, in protobuf.
fn deep_body(levels: usize, tags: &[u32]) -> Vec<u8> {
    let mut value = vec![3 << 3, 1];
    for tag in tags.iter().cycle().take((levels - 1) * tags.len()).chain(&[5]) {
        let mut outer = Vec::new();
        crate::field::put_len_field(&mut outer, *tag, &value);
        value = outer;
    }
    value
}

/// Scenario: values as deep as any check lets through, one deeper, and 10,000 deep. Guarantee: written, or refused, on the
/// two megabytes of stack that a test or a runtime thread has.
#[test]
fn written_nesting_is_bounded() {
    use crate::check::MAX_DEPTH;
    for tags in [&[1, 5][..], &[2, 1, 6]] {
        assert!(written(&deep_body(MAX_DEPTH, tags)).is_ok());
        for levels in [MAX_DEPTH + 1, 10_000] {
            assert_eq!(written(&deep_body(levels, tags)).unwrap_err().what, crate::field::Fault::Depth);
        }
    }
}
