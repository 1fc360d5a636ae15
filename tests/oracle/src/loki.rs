//! Loki's push messages as prost understands them, and pushes worth trying.

#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated, but for the strategies")]

include!(concat!(env!("OUT_DIR"), "/loki.rs"));

use crate::generate::text;
use proptest::collection::vec;
use proptest::prelude::*;

/// A push of streams with some labels, of which some are equal, some internal, some without entries.
pub fn push() -> impl Strategy<Value = PushRequest> {
    vec(stream(), 0..5).prop_map(|streams| PushRequest { streams, format: String::new() })
}

fn stream() -> impl Strategy<Value = Stream> {
    let label = (proptest::sample::select(vec!["a", "job", "_x", "__tenant_id__", "Z9"]), text());
    let labels = vec(label, 0..4).prop_map(|pairs| {
        let pairs: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        format!("{{{}}}", pairs.join(", "))
    });
    (labels, vec(entry(), 0..6), any::<u64>()).prop_map(|(labels, entries, hash)| Stream { labels, entries, hash })
}

/// In double quotes, with escapes that both Go and Rust know.
fn quote(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn entry() -> impl Strategy<Value = Entry> {
    let seconds = prop_oneof![4 => 0i64..4_000_000_000, 1 => any::<i64>()];
    let time = proptest::option::weighted(0.9, (seconds, 0i32..1_000_000_000));
    let pair = (proptest::sample::select(vec!["trace_id", "user", "user", "k_1"]), text());
    let pair = pair.prop_map(|(name, value)| LabelPair { name: name.to_owned(), value });
    (time, text(), vec(pair, 0..4)).prop_map(|(time, line, structured_metadata)| Entry {
        timestamp: time.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
        line,
        structured_metadata,
        parsed: Vec::new(),
    })
}
