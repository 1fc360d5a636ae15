//! Pushes held against full decodes: what prost reads of one side must stand in what prost reads of the other.

use super::{LogsRequest, checked};
use otlp_oracle::common::{AnyValue, KeyValue, any_value};
use otlp_oracle::generate;
use otlp_oracle::logs::LogRecord;
use otlp_oracle::loki::{Entry, LabelPair, PushRequest, push};
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use wire::Signal;
use wire::loki::labels;
use wire::loki::receive::{check, to_otlp};
use wire::loki::send::{Mapping, Sending, from_otlp};
use wire::loki::{Receiving, json};

const NOW: u64 = 1_700_000_000_000_000_000;
const HOW: Receiving = Receiving { now: NOW, keep_time: true, limit: usize::MAX };

fn string(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) })
}

fn pairs(text: &str) -> Pairs {
    let owned = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    labels::parse(text.as_bytes()).unwrap().iter().map(|(n, v)| (owned(n), owned(v))).collect()
}

fn nanos(entry: &Entry) -> u64 {
    let nanos = |t: &prost_types::Timestamp| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos);
    entry.timestamp.as_ref().map_or(NOW, |t| nanos(t).clamp(0, i128::from(u64::MAX)) as u64)
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue { key: name.to_owned(), value: string(value), ..KeyValue::default() }
}

/// The record that an entry must become.
fn expected(entry: &Entry) -> LogRecord {
    LogRecord {
        time_unix_nano: nanos(entry),
        observed_time_unix_nano: NOW,
        body: string(&entry.line),
        attributes: entry.structured_metadata.iter().map(|p| attribute(&p.name, &p.value)).collect(),
        ..LogRecord::default()
    }
}

type Pairs = Vec<(String, String)>;

/// The streams with entries: labels that leave, and entries.
fn streams(push: &PushRequest) -> Vec<(Pairs, &[Entry])> {
    let of = |s: &str| pairs(s).into_iter().filter(|(name, _)| !name.starts_with("__")).collect();
    push.streams.iter().filter(|s| !s.entries.is_empty()).map(|s| (of(&s.labels), s.entries.as_slice())).collect()
}

fn holds(push: &PushRequest, request: &LogsRequest) -> Result<(), TestCaseError> {
    let streams = streams(push);
    prop_assert_eq!(request.resource_logs.len(), streams.len());
    for (entry, (labels, entries)) in request.resource_logs.iter().zip(streams) {
        let attributes: Vec<KeyValue> = labels.iter().map(|(n, v)| attribute(n, v)).collect();
        prop_assert_eq!(&entry.resource.as_ref().unwrap().attributes, &attributes);
        let [scope] = &entry.scope_logs[..] else { panic!("one scope entry") };
        prop_assert_eq!(&scope.scope.as_ref().unwrap().name, wire::loki::SCOPE_NAME);
        prop_assert_eq!(&scope.log_records, &entries.iter().map(expected).collect::<Vec<_>>());
    }
    Ok(())
}

/// A push in JSON, in the form of today.
fn to_json(push: &PushRequest) -> String {
    let streams = push.streams.iter().map(|stream| {
        let values = stream.entries.iter().map(|entry| {
            let metadata: BTreeMap<_, _> = entry.structured_metadata.iter().map(|p| (&p.name, &p.value)).collect();
            serde_json::json!([nanos(entry).min(i64::MAX as u64).to_string(), entry.line, metadata])
        });
        let labels: BTreeMap<_, _> = pairs(&stream.labels).into_iter().collect();
        serde_json::json!({"stream": labels, "values": values.collect::<Vec<_>>()})
    });
    serde_json::json!({"streams": streams.collect::<Vec<_>>()}).to_string()
}

proptest! {
    /// Scenario: any push. Guarantee: the OTLP request is sound, holds its streams and entries in their order, and takes no more room than
    /// was announced.
    #[test]
    fn a_push_becomes_otlp(push in push()) {
        let bytes = push.encode_to_vec();
        let census = check(&bytes).unwrap();
        let entries: usize = push.streams.iter().map(|s| s.entries.len()).sum();
        prop_assert_eq!((census.streams, census.entries), (push.streams.len(), entries));
        let received = to_otlp(&bytes, &HOW, census.otlp_bytes).unwrap();
        prop_assert!(received.body.len() <= census.otlp_bytes, "{} > {}", received.body.len(), census.otlp_bytes);
        prop_assert_eq!((received.records, checked(Signal::Logs, &received.body).records), (entries, entries));
        holds(&push, &LogsRequest::decode(received.body.as_slice()).unwrap())?;
    }

    /// Scenario: the same push in JSON. Guarantee: the same, each name once.
    #[test]
    fn a_json_push_becomes_otlp(mut push in push()) {
        for entry in push.streams.iter_mut().flat_map(|s| &mut s.entries) {
            let unique: BTreeMap<_, _> = entry.structured_metadata.drain(..).map(|p| (p.name, p.value)).collect();
            entry.structured_metadata = unique.into_iter().map(|(name, value)| LabelPair { name, value }).collect();
            let nanos = nanos(entry).min(i64::MAX as u64);
            let (seconds, nanos) = ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as i32);
            entry.timestamp = Some(prost_types::Timestamp { seconds, nanos });
        }
        for stream in &mut push.streams {
            let sorted: BTreeMap<_, _> = pairs(&stream.labels).into_iter().collect();
            let mut labels = b"{".to_vec();
            for (name, value) in &sorted {
                labels::write_pair(&mut labels, name.as_bytes(), value.as_bytes());
                labels.push(b',');
            }
            labels.push(b'}');
            stream.labels = String::from_utf8(labels).unwrap();
        }
        let received = json::to_otlp(to_json(&push).as_bytes(), &HOW).unwrap();
        checked(Signal::Logs, &received.body);
        holds(&push, &LogsRequest::decode(received.body.as_slice()).unwrap())?;
    }

    /// Scenario: a push that went through OTLP. Guarantee: it leaves as it came: each stream with its labels and its entries in their order;
    /// equal streams are joined, those without a label left out.
    #[test]
    fn a_push_comes_back(push in push()) {
        let bytes = push.encode_to_vec();
        let otlp = to_otlp(&bytes, &HOW, 0).unwrap();
        let pushed = from_otlp(&otlp.body, &Sending::default(), NOW).unwrap();
        let mut wanted: Vec<(Pairs, Vec<Entry>)> = Vec::new();
        let mut left_out = 0;
        for (mut labels, entries) in streams(&push) {
            if labels.is_empty() {
                left_out += entries.len();
                continue;
            }
            labels.sort();
            let at = wanted.iter().position(|(known, _)| *known == labels).unwrap_or_else(|| {
                wanted.push((labels, Vec::new()));
                wanted.len() - 1
            });
            wanted[at].1.extend(entries.iter().map(|entry| {
                let mut entry = entry.clone();
                // A record without a time takes that of its observation.
                let nanos = match nanos(&entry) { 0 => NOW, nanos => nanos };
                let (seconds, nanos) = ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as i32);
                entry.timestamp = Some(prost_types::Timestamp { seconds, nanos });
                let mut seen = Vec::new();
                entry.structured_metadata.retain(|pair| {
                    let first = !seen.contains(&pair.name);
                    seen.push(pair.name.clone());
                    first
                });
                entry
            }));
        }
        prop_assert_eq!(pushed.left_out, left_out);
        prop_assert_eq!(pushed.entries, wanted.iter().map(|(_, entries)| entries.len()).sum::<usize>());
        let found = PushRequest::decode(pushed.body.as_slice()).unwrap();
        let found: Vec<_> = found.streams.into_iter().map(|s| (pairs(&s.labels), s.entries)).collect();
        prop_assert_eq!(found, wanted);
    }

    /// Scenario: any logs request, by each mapping. Guarantee: no panic; the push is sound, every record is an entry or counted, and no
    /// stream stands there twice.
    #[test]
    fn any_logs_become_a_push(request in generate::logs(), mapping in 0usize..3) {
        let mapping = [Mapping::Auto, Mapping::Entries, Mapping::Hints][mapping];
        let records: usize = request.resource_logs.iter().flat_map(|r| &r.scope_logs).map(|s| s.log_records.len()).sum();
        let pushed = from_otlp(&request.encode_to_vec(), &Sending { mapping, ..Sending::default() }, NOW).unwrap();
        prop_assert_eq!(pushed.entries + pushed.left_out, records);
        let push = PushRequest::decode(pushed.body.as_slice()).unwrap();
        prop_assert_eq!(push.streams.iter().map(|s| s.entries.len()).sum::<usize>(), pushed.entries);
        let labels: std::collections::BTreeSet<_> = push.streams.iter().map(|s| &s.labels).collect();
        prop_assert_eq!(labels.len(), push.streams.len());
        push.streams.iter().for_each(|s| drop(pairs(&s.labels)));
        prop_assert_eq!(check(&pushed.body).unwrap().entries, pushed.entries);
    }

    /// Scenario: a push with random damage, and arbitrary bytes. Guarantee: no panic; what the check accepts is transcoded or refused for its
    /// labels.
    #[test]
    fn damaged_pushes_are_refused(push in push(), at in any::<prop::sample::Index>(), byte in any::<u8>(), noise: Vec<u8>) {
        let mut bytes = push.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [bytes, noise] {
            if let Ok(census) = check(&bytes)
                && let Ok(received) = to_otlp(&bytes, &HOW, 0)
            {
                prop_assert!(received.body.len() <= census.otlp_bytes);
                prop_assert_eq!(checked(Signal::Logs, &received.body).records, census.entries);
            }
            let _ = json::to_otlp(&bytes, &HOW);
        }
    }
}
