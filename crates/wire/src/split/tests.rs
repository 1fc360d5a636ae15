use super::*;
use crate::check::{CheckLimits, check};
use crate::testing::{Flat, any_request, flatten, signal};
use proptest::prelude::*;

/// A route that depends on the record alone.
fn by_bytes(record: &[u8], outputs: usize) -> usize {
    record.iter().fold(7usize, |hash, &byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % outputs
}

fn sound(signal: Signal, part: &Part) -> Result<(), TestCaseError> {
    let census = check(signal, &part.body, &CheckLimits::default());
    prop_assert_eq!(census.map(|census| census.records), Ok(part.records));
    prop_assert!(part.records > 0);
    Ok(())
}

proptest! {
    /// Scenario: a request divided by record over some outputs, with tables used before.
    /// Guarantee: each output gets exactly its records, in order, under the headers they had, in a sound request.
    #[test]
    fn records_arrive_once_and_in_order((signal, body) in any_request(), outputs in 1usize..6, earlier in any_request()) {
        let mut scratch = SplitScratch::new();
        let mut parts = Vec::new();
        for (signal, body) in [&earlier, &(signal, body.clone())] {
            parts.clear();
            let route = |record: &Record| by_bytes(record.bytes(), outputs);
            split_records(*signal, &body.clone().into(), outputs, &mut scratch, route, &mut parts).expect("sound");
        }
        let all = flatten(signal, &body);
        for output in 0..outputs {
            let expected: Vec<Flat> = all.iter().filter(|flat| by_bytes(&flat.record, outputs) == output).cloned().collect();
            let mut found = parts.iter().filter(|part| part.output == output);
            let part = found.next();
            prop_assert!(found.next().is_none());
            let got = part.map_or(Vec::new(), |part| flatten(signal, &part.body));
            prop_assert_eq!(got, expected);
        }
        for part in &parts {
            sound(signal, part)?;
        }
    }

    /// Scenario: a request divided by resource entry.
    /// Guarantee: as by record, and an entry is never torn.
    #[test]
    fn resources_arrive_once_and_in_order((signal, body) in any_request(), outputs in 1usize..5, routes in proptest::collection::vec(0usize..9, 3)) {
        let mut parts = Vec::new();
        let mut seen = 0;
        let mut expected = vec![Vec::new(); outputs];
        let route = |entry: &Entry| {
            let output = routes[seen % routes.len()];
            seen += 1;
            let records = entry.records().map(|record| record.bytes().to_vec());
            expected[output.min(outputs - 1)].extend(records);
            output
        };
        split_resources(signal, &body, outputs, &mut SplitScratch::new(), route, &mut parts).expect("sound");
        let mut all = flatten(signal, &body);
        let mut got = Vec::new();
        for part in &parts {
            sound(signal, part)?;
            let flat = flatten(signal, &part.body);
            let records: Vec<_> = flat.iter().map(|flat| flat.record.clone()).collect();
            prop_assert_eq!(&records, &expected[part.output]);
            got.extend(flat);
        }
        all.sort();
        got.sort();
        prop_assert_eq!(got, all);
    }

    /// Scenario: all records go to one output, whichever way they are divided.
    /// Guarantee: the request itself is the part, not a copy.
    #[test]
    fn one_output_is_not_copied((signal, body) in any_request(), output in 0usize..4) {
        let mut scratch = SplitScratch::new();
        let mut parts = Vec::new();
        split_records(signal, &body.clone().into(), 4, &mut scratch, |_| output, &mut parts).expect("sound");
        split_resources(signal, &body, 4, &mut scratch, |_| output, &mut parts).expect("sound");
        let expected = if flatten(signal, &body).is_empty() { 0 } else { 2 };
        prop_assert_eq!(parts.len(), expected);
        for part in parts {
            prop_assert_eq!((part.output, part.body.as_ptr(), part.body.len()), (output, body.as_ptr(), body.len()));
        }
    }

    /// Scenario: arbitrary and damaged bytes. Guarantee: no panic; on an error nothing is put out.
    #[test]
    fn damage_never_panics(signal in signal(), (_, body) in any_request(), at: prop::sample::Index, byte: u8, any: Vec<u8>) {
        let mut damaged = body.to_vec();
        if !damaged.is_empty() {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        let mut scratch = SplitScratch::new();
        for body in [Bytes::from(damaged), Bytes::from(any)] {
            let mut parts = Vec::new();
            let route = |record: &Record| by_bytes(record.bytes(), 3);
            if split_records(signal, &body.clone().into(), 3, &mut scratch, route, &mut parts).is_err() {
                prop_assert!(parts.is_empty());
            }
            let route = |entry: &Entry| entry.range().start;
            if split_resources(signal, &body, 3, &mut scratch, route, &mut parts).is_err() {
                prop_assert!(parts.is_empty());
            }
        }
    }
}

/// Scenario: the entries of an output are neighbours. Guarantee: it gets a slice of the request.
#[test]
fn neighbouring_resources_are_sliced() {
    let mut request = crate::build::MessageWriter::new();
    for i in 0..4 {
        request.resource_entry(&[], "s", |scope| {
            scope.log(&crate::build::Log { time: i + 1, ..Default::default() });
        });
    }
    let body = request.finish();
    let mut parts = Vec::new();
    let route = |entry: &Entry| usize::from(entry.range().start >= body.len() / 2);
    split_resources(Signal::Logs, &body, 2, &mut SplitScratch::new(), route, &mut parts).expect("sound");
    let half = body.len() / 2;
    assert_eq!(parts.len(), 2);
    for (part, expected) in parts.iter().zip([&body[..half], &body[half..]]) {
        assert_eq!((part.body.as_ptr(), part.body.len(), part.records), (expected.as_ptr(), half, 2));
    }
}

/// Scenario: a megabyte of resource attributes over records that go to a hundred outputs.
/// Guarantee: the request is not blown up to a hundred megabytes; no record is lost.
#[test]
fn headers_do_not_blow_up() {
    let mut request = crate::build::MessageWriter::new();
    let padding = vec![b'x'; 1 << 20];
    request.resource_entry(&[("large", crate::key::AnyValue::Str(&padding))], "", |scope| {
        for time in 1..=100 {
            scope.log(&crate::build::Log { time, ..Default::default() });
        }
    });
    let body = request.finish();
    let mut parts = Vec::new();
    let route = |record: &Record| (record.ordinal() + 7) % 100;
    split_records(Signal::Logs, &body.clone().into(), 100, &mut SplitScratch::new(), route, &mut parts).expect("sound");
    assert_eq!(parts, [Part { output: 7, body: body.clone(), records: 100 }]);
    let pieces = crate::limit::split_limit(Signal::Logs, &body, 1, 0);
    assert!(pieces.iter().map(|piece| piece.body.len()).sum::<usize>() < 20 * body.len());
    let all: Vec<Flat> = pieces.iter().flat_map(|piece| flatten(Signal::Logs, &piece.body)).collect();
    assert_eq!(all, flatten(Signal::Logs, &body));
}
