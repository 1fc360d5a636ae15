//! The mapping against prost, and there and back.

use super::*;
use otlp_oracle::common::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any};
use otlp_oracle::logs::LogRecord;
use otlp_oracle::resource::Resource;
use proptest::prelude::*;
use prost::Message;

/// When records are read.
const NOW: Timestamp = Timestamp::EPOCH;

fn of(value: Any) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn pair(name: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: name.into(), value, ..KeyValue::default() }
}

fn string(text: &str) -> Option<AnyValue> {
    of(Any::StringValue(text.into()))
}

fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn sample() -> LogRecord {
    LogRecord {
        time_unix_nano: 1_700_000_000_000_000_005,
        severity_number: 9,
        body: string("hello"),
        attributes: vec![
            pair("user", string("u1")),
            pair("n", of(Any::IntValue(-7))),
            pair(
                "list",
                of(Any::ArrayValue(ArrayValue {
                    values: vec![string("a").unwrap(), of(Any::DoubleValue(1.5)).unwrap()],
                })),
            ),
            pair("raw", of(Any::BytesValue(b"\x01\x02".to_vec()))),
            pair("none", None),
        ],
        trace_id: vec![1; 16],
        ..LogRecord::default()
    }
}

/// Every kind of value has the text the table says.
#[test]
fn values_have_texts() {
    let record = bytes(&sample());
    let labels: Labels = [("service.name", "shop")].into_iter().collect();
    let entry = entry(&record, &labels, NOW);
    assert_eq!(entry.line, "hello");
    assert_eq!(entry.timestamp.as_unix_nanos(), 1_700_000_000_000_000_005);
    assert_eq!(entry.labels, labels);
    let texts: Vec<(String, String)> = entry.metadata.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let expected = [("user", "u1"), ("n", "-7"), ("list", "[\"a\",1.5]"), ("raw", "AQI="), ("none", "")];
    assert_eq!(texts, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    let map = KeyValueList { values: vec![pair("k", of(Any::BoolValue(true))), pair("z", None)] };
    let structured = LogRecord { body: of(Any::KvlistValue(map)), observed_time_unix_nano: 7, ..LogRecord::default() };
    let entry = self::entry(&bytes(&structured), &labels, NOW);
    assert_eq!(entry.line, "{\"k\":true,\"z\":null}");
    assert_eq!(entry.timestamp.as_unix_nanos(), 7);
}

/// What a stage changes is changed, and nothing else: types, ids and order of the rest stay.
#[test]
fn changes_are_written_back_alone() {
    let before = sample();
    let encoded = bytes(&before);
    let mut entry = entry(&encoded, &Labels::default(), NOW);
    entry.line = "HELLO".into();
    entry.timestamp = Timestamp::from_unix_nanos(5);
    entry.set_metadata("user".into(), "u2".into());
    entry.set_metadata("new".into(), "x".into());
    entry.metadata.retain(|(name, _)| *name != "raw");
    let Change::Changed(after) = record(&entry, &encoded, NOW) else { panic!("unchanged") };
    let after = LogRecord::decode(after.as_slice()).unwrap();
    assert_eq!((after.body, after.time_unix_nano), (string("HELLO"), 5));
    assert_eq!((after.trace_id, after.severity_number), (before.trace_id, 9));
    let kept: Vec<KeyValue> = before.attributes.iter().filter(|a| a.key != "user" && a.key != "raw").cloned().collect();
    assert_eq!(after.attributes[..3], kept);
    assert_eq!(after.attributes[3..], [pair("user", string("u2")), pair("new", string("x"))]);
}

/// Labels go back to their resource the same way.
#[test]
fn labels_are_written_back() {
    let message = Resource {
        attributes: vec![pair("a", string("1")), pair("n", of(Any::IntValue(2)))],
        dropped_attributes_count: 3,
        ..Resource::default()
    };
    let encoded = bytes(&message);
    let mut labels = self::labels(&encoded);
    assert_eq!(resource(&labels, &encoded), Change::Unchanged);
    labels.set("b".into(), "x".into());
    labels.remove(b"a");
    let Change::Changed(after) = resource(&labels, &encoded) else { panic!("unchanged") };
    let after = Resource::decode(after.as_slice()).unwrap();
    assert_eq!(after.attributes, [pair("n", of(Any::IntValue(2))), pair("b", string("x"))]);
    assert_eq!(after.dropped_attributes_count, 3);
}

/// Scenario: a record without any time. Guarantee: it is of the time at which it is read, and its bytes stay while nobody changes that.
#[test]
fn a_record_without_time_is_of_now() {
    let encoded = bytes(&LogRecord { body: string("x"), ..LogRecord::default() });
    let now = Timestamp::from_unix_nanos(1_700_000_000_000_000_009);
    let mut entry = entry(&encoded, &Labels::default(), now);
    assert_eq!(entry.timestamp, now);
    assert_eq!(record(&entry, &encoded, now), Change::Unchanged);
    entry.timestamp = now.plus_nanos(1);
    let Change::Changed(after) = record(&entry, &encoded, now) else { panic!("unchanged") };
    assert_eq!(LogRecord::decode(after.as_slice()).unwrap().time_unix_nano, 1_700_000_000_000_000_010);
}

proptest! {
    /// An entry that nothing changed leaves its record alone; one whose line changed reads back as it was set.
    #[test]
    fn there_and_back(body in ".{0,20}", names in prop::collection::vec("[a-c]{0,2}", 0..4), line in ".{0,20}", time in any::<u64>()) {
        let attributes = names.iter().map(|name| pair(name, string(name))).collect();
        let message = LogRecord { time_unix_nano: time, body: string(&body), attributes, ..LogRecord::default() };
        let encoded = bytes(&message);
        let mut entry = entry(&encoded, &Labels::default(), NOW);
        prop_assert_eq!(record(&entry, &encoded, NOW), Change::Unchanged);
        entry.line = line.as_str().into();
        let after = match record(&entry, &encoded, NOW) {
            Change::Unchanged => encoded,
            Change::Changed(after) => Bytes::from(after),
        };
        let again = self::entry(&after, &Labels::default(), NOW);
        prop_assert_eq!(again.line, line.as_str());
        prop_assert_eq!(again.timestamp, entry.timestamp);
        prop_assert_eq!(again.metadata, entry.metadata);
    }

    /// No bytes panic.
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = Bytes::from(bytes);
        let mut entry = entry(&bytes, &labels(&bytes), NOW);
        entry.line = "x".into();
        record(&entry, &bytes, NOW);
        resource(&Labels::default(), &bytes);
    }
}
