use super::*;
use crate::key;
use crate::testing::{Flat, any_request, flatten, signal};
use proptest::prelude::*;

/// Which records have priority, by the words of the definition.
fn expected(signal: Signal, all: &[Flat], slow: u64) -> Vec<bool> {
    let own = |flat: &Flat| match signal {
        Signal::Logs => {
            let severity = key::severity(&flat.record);
            let text = String::from_utf8_lossy(severity.text).to_ascii_lowercase();
            severity.number >= 17 || ["error", "fatal", "critical"].contains(&text.as_str())
        }
        Signal::Traces => {
            let head = key::span_head(&flat.record);
            head.status_code == 2 || head.end.saturating_sub(head.start) >= slow
        }
        Signal::Metrics => false,
    };
    let trace = |flat: &Flat| key::span_head(&flat.record).trace_id.to_vec();
    let with_trace = |flat: &Flat| {
        signal == Signal::Traces
            && !trace(flat).is_empty()
            && all.iter().any(|other| trace(other) == trace(flat) && own(other))
    };
    all.iter().map(|flat| own(flat) || with_trace(flat)).collect()
}

proptest! {
    /// Scenario: any request, any threshold. Guarantee: the kept records are those of the definition, in order, under their
    /// headers; the counts are right; what is kept whole is not copied.
    #[test]
    fn keeps_what_has_priority((signal, body) in any_request(), millis in 0u64..1000) {
        let slow = millis * 1_000_000;
        let all = flatten(signal, &body);
        let expected = expected(signal, &all, slow);
        let kept: Vec<Flat> = all.iter().zip(&expected).filter(|(_, kept)| **kept).map(|(flat, _)| flat.clone()).collect();
        let got = split_priority(signal, &body, slow);
        prop_assert_eq!((got.kept, got.shed), (kept.len(), all.len() - kept.len()));
        if let Some(same) = got.body.as_ref().filter(|_| kept.len() == all.len()) {
            prop_assert_eq!(same.as_ptr(), body.as_ptr());
        }
        prop_assert_eq!(got.body.map(|body| flatten(signal, &body)), (!kept.is_empty()).then_some(kept));
    }

    /// Scenario: arbitrary bytes. Guarantee: no panic.
    #[test]
    fn arbitrary_bytes_never_panic(signal in signal(), any: Vec<u8>) {
        let got = split_priority(signal, &Bytes::from(any), 0);
        prop_assert_eq!(got.body.is_some(), got.kept > 0);
    }
}
