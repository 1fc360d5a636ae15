//! The mapping of log records stands in two places: the crate `stages` has it for entries, the crate `wire` for Loki's pushes. Neither may import the
//! other, so this test holds them against each other.

// Helpers of a test may panic as the test itself may.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use otlp_oracle::generate;
use otlp_oracle::loki::{PushRequest, push};
use proptest::prelude::*;
use prost::Message as _;
use stages::Timestamp;
use stages::entry::{Entry, Labels, otlp};
use std::collections::BTreeMap;
use wire::loki::receive::to_otlp;
use wire::loki::send::{Mapping, Sending, from_otlp};
use wire::loki::{Receiving, labels};
use wire::signal::RESOURCE;
use wire::{Index, Signal};

const NOW: u64 = 1_700_000_000_000_000_000;

/// The entries of an OTLP request as `stages` reads them.
fn entries(body: &Bytes) -> Vec<Entry> {
    let mut index = Index::new();
    index.build(Signal::Logs, body).unwrap();
    let one = |record: wire::Record<'_>| {
        let resource = record.resource();
        let parts = resource.fields().filter(|field| field.number == RESOURCE).filter_map(|field| field.bytes());
        let resource = Bytes::from(parts.collect::<Vec<_>>().concat());
        otlp::entry(
            &Bytes::copy_from_slice(record.bytes()),
            &otlp::labels(&resource),
            Timestamp::from_unix_nanos(NOW as i64),
        )
    };
    index.records(body).map(one).collect()
}

/// What of an entry Loki knows: labels, nanoseconds, line, structured metadata.
type Plain = (Vec<(String, String)>, u64, String, Vec<(String, String)>);

fn text(text: &stages::text::Text) -> String {
    text.to_str_lossy().into_owned()
}

fn label_pairs(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn plain(entry: &Entry) -> Plain {
    let metadata = entry.metadata.iter().map(|(name, value)| (text(name), text(value))).collect();
    (label_pairs(&entry.labels), entry.timestamp.as_unix_nanos(), text(&entry.line), metadata)
}

/// The entries of a push as Loki reads them.
fn pushed(push: &PushRequest) -> Vec<Plain> {
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let of = |labels: &str| -> Vec<(String, String)> {
        let pairs = labels::parse(labels.as_bytes()).unwrap();
        pairs.iter().map(|(n, v)| (string(n), string(v))).filter(|(n, _)| !n.starts_with("__")).collect()
    };
    let mut all = Vec::new();
    for stream in &push.streams {
        let mut labels = of(&stream.labels);
        labels.sort();
        for entry in &stream.entries {
            let time = entry
                .timestamp
                .as_ref()
                .map_or(i128::from(NOW), |t| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos));
            let mut metadata: Vec<(String, String)> = Vec::new();
            for pair in &entry.structured_metadata {
                if !metadata.iter().any(|(name, _)| *name == pair.name) {
                    metadata.push((pair.name.clone(), pair.value.clone()));
                }
            }
            all.push((labels.clone(), time.clamp(0, i128::from(u64::MAX)) as u64, entry.line.clone(), metadata));
        }
    }
    all
}

proptest! {
    /// Scenario: any push. Guarantee: its entries are those that `stages` sees in its OTLP form.
    #[test]
    fn stages_see_what_was_pushed(push in push()) {
        let how = Receiving { now: NOW, keep_time: true, limit: usize::MAX };
        let received = to_otlp(&push.encode_to_vec(), &how, 0).unwrap();
        let mut wanted = pushed(&push);
        // A time of nothing is that of the observation.
        wanted.iter_mut().filter(|entry| entry.1 == 0).for_each(|entry| entry.1 = NOW);
        prop_assert_eq!(entries(&received.body.into()).iter().map(plain).collect::<Vec<_>>(), wanted);
    }

    /// Scenario: any logs, under the mapping of entries. Guarantee: what leaves is what `stages` sees, but for names that Loki would refuse, and what only
    /// Loki has a place for.
    #[test]
    fn what_leaves_is_what_stages_see(request in generate::logs()) {
        let body = Bytes::from(request.encode_to_vec());
        let sending = Sending { mapping: Mapping::Entries, ..Sending::default() };
        let push = from_otlp(&body, &sending, NOW).unwrap();
        let found = pushed(&PushRequest::decode(push.body.as_slice()).unwrap());
        let key = |labels: &[(String, String)], time: u64, line: &str| format!("{labels:?} {time} {line:?}");
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for (labels, time, line, _) in &found {
            *counts.entry(key(labels, *time, line)).or_default() += 1;
        }
        let legal = |name: &str| {
            let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(is_letter) {
                return name.to_owned();
            }
            let mut out = Vec::new();
            labels::normalize(&mut out, name.as_bytes());
            let name = String::from_utf8(out).unwrap();
            if name.starts_with("__") { format!("key{name}") } else { name }
        };
        for entry in entries(&body).iter().map(plain) {
            // In the order of the attributes: of two names that become one the first counts, and here they are sorted.
            let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, value) in entry.0.iter().filter(|(name, _)| !name.is_empty() && !name.starts_with("__")) {
                labels.entry(legal(name)).or_default().push(value.clone());
            }
            if labels.is_empty() || labels.values().any(|values| values.len() > 1) {
                continue;
            }
            let labels: Vec<_> = labels.into_iter().map(|(name, mut values)| (name, values.remove(0))).collect();
            let time = if entry.1 == 0 { NOW } else { entry.1 };
            let count = counts.entry(key(&labels, time, &entry.2)).or_default();
            *count -= 1;
            prop_assert!(*count >= 0, "missing: {labels:?} {:?}", entry.2);
        }
    }
}
