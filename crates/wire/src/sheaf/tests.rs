use super::*;
use crate::check::{CheckLimits, check};
use crate::testing::{Flat, any_requests, flatten, log_request};
use crate::{Index, Signal};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn records(signal: Signal, body: &[u8]) -> usize {
    check(signal, body, &CheckLimits::default()).expect("sound").records
}

proptest! {
    /// Scenario: records of many requests, appended one request's picks after the other's, to several sheaves by turns, each emptied
    /// when it is full. Guarantee: the size is known to within a few bytes a header, the limits hold, no header comes twice, no record is lost or comes twice, each is under its
    /// headers, and in order within them.
    #[test]
    fn appends_what_was_picked(
        (signal, bodies) in any_requests(12),
        sheaves in 1usize..4,
        seed: u64,
        max_records in 0usize..40,
        max_bytes in prop_oneof![Just(0usize), 1usize..20000],
    ) {
        let limits = PackLimits { max_records, max_bytes };
        let mut open: Vec<(Sheaf, Vec<Flat>)> = (0..sheaves).map(|_| (Sheaf::new(limits), vec![])).collect();
        let (mut random, mut pile) = (seed, Pile::new());
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        for bodies in bodies.chunks(3) {
            pile.clear();
            let mut sorted: Vec<Vec<(Pick, Flat)>> = vec![vec![]; sheaves];
            for body in bodies {
                if !pile.add(signal, &body.clone().into()).expect("sound") {
                    continue;
                }
                let mut picks = vec![];
                pile.pick(&mut picks);
                picks.into_iter().zip(flatten(signal, body)).for_each(|picked| sorted[next(sheaves)].push(picked));
            }
            for ((sheaf, expected), sorted) in open.iter_mut().zip(sorted) {
                let (picks, flats): (Vec<_>, Vec<_>) = sorted.into_iter().unzip();
                let (mut picks, mut flats) = (&picks[..], &flats[..]);
                while !picks.is_empty() {
                    let was_empty = sheaf.is_empty();
                    let taken = sheaf.append(&pile, picks);
                    prop_assert!(taken > 0 || !was_empty);
                    expected.extend_from_slice(&flats[..taken]);
                    (picks, flats) = (&picks[taken..], &flats[taken..]);
                    let count = expected.len();
                    prop_assert_eq!(sheaf.records(), count);
                    prop_assert!(count == 1 || max_records == 0 || count <= max_records);
                    prop_assert!(count == 1 || max_bytes == 0 || sheaf.bound() <= max_bytes);
                    prop_assert!(sheaf.held() >= expected.iter().map(|flat| flat.record.len()).sum());
                    if !picks.is_empty() {
                        check_finished(signal, sheaf, std::mem::take(expected))?;
                    }
                }
            }
        }
        for (sheaf, expected) in &mut open {
            check_finished(signal, sheaf, std::mem::take(expected))?;
        }
    }
}

/// Empties a sheaf and compares what comes out of it.
fn check_finished(signal: Signal, sheaf: &mut Sheaf, expected: Vec<Flat>) -> Result<(), TestCaseError> {
    let (bound, count) = (sheaf.bound(), sheaf.records());
    let headers: std::collections::BTreeSet<&[Vec<u8>]> =
        expected.iter().flat_map(|flat| (1..=flat.headers.len()).map(|depth| &flat.headers[..depth])).collect();
    let slack = headers.len() * LENGTH;
    let before = sheaf.held();
    let (merged, held) = sheaf.finish();
    let kept = sheaf.held();
    prop_assert!(merged.len() <= held && held <= before + merged.len(), "{} {held} {before}", merged.len());
    prop_assert!(kept < 160 * 1024, "{kept}");
    let merged = merged.contiguous();
    prop_assert!(merged.len() <= bound && bound <= merged.len() + slack, "{} {bound} {slack}", merged.len());
    prop_assert!(sheaf.is_empty());
    if count > 0 {
        prop_assert_eq!(records(signal, &merged), count);
    }
    let by_headers = |flats: Vec<Flat>| {
        let mut groups: BTreeMap<Vec<Vec<u8>>, Vec<Vec<u8>>> = BTreeMap::new();
        flats.into_iter().for_each(|flat| groups.entry(flat.headers).or_default().push(flat.record));
        groups
    };
    let mut index = Index::new();
    index.build(signal, &merged).expect("sound");
    let (mut resources, mut scopes) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for resource in index.resources(&merged) {
        let header: Vec<u8> = resource.header().collect::<Vec<_>>().concat();
        for scope in resource.entries() {
            prop_assert!(scopes.insert((header.clone(), scope.header().collect::<Vec<_>>().concat())));
        }
        prop_assert!(resources.insert(header));
    }
    prop_assert_eq!(by_headers(flatten(signal, &merged)), by_headers(expected));
    Ok(())
}

/// A pile of one request, and its records.
fn pile_of(body: &Bytes) -> (Pile, Vec<Pick>) {
    let (mut pile, mut picks) = (Pile::new(), vec![]);
    assert!(pile.add(Signal::Logs, &body.clone().into()).expect("sound"));
    pile.pick(&mut picks);
    (pile, picks)
}

/// Scenario: records that come one by one, more than one piece of memory holds, all under equal headers.
/// Guarantee: they leave as one slice for each piece, not copied again.
#[test]
fn appended_records_are_copied_once() {
    let body = log_request("a", &"c".repeat(1000));
    let (pile, picks) = pile_of(&body);
    let mut sheaf = Sheaf::new(PackLimits::default());
    for _ in 0..200 {
        assert_eq!(sheaf.append(&pile, &picks), 1);
    }
    assert!(sheaf.held() >= 200 * 1000 && sheaf.held() <= 300 * 1000, "{}", sheaf.held());
    let (chunks, held) = sheaf.finish();
    assert!(held >= chunks.len() && held <= 300 * 1000, "{held}");
    // The headers with the first piece, which is short; 8, 16, 32 and then 64 KiB.
    assert_eq!((chunks.count(), records(Signal::Logs, &chunks.contiguous())), (7, 200));
}

/// Scenario: a header of half the limit, already there when further records come. Guarantee: it is not reckoned twice.
#[test]
fn a_large_header_does_not_end_a_batch() {
    let body = log_request(&"s".repeat(1000), "b");
    let (pile, picks) = pile_of(&body);
    let mut sheaf = Sheaf::new(PackLimits { max_records: 0, max_bytes: 1500 });
    let taken = (0..100).take_while(|_| sheaf.append(&pile, &picks) == 1).count();
    let record = pile.record(picks[0]).len();
    assert!(taken * record > 300 && sheaf.bound() <= 1500 && sheaf.bound() + record + 40 > 1500, "{taken}");
}

/// Scenario: tiny records, each under a large header of its own; then records of which only the long runs leave where they are.
/// Guarantee: headers and tables are counted as memory, and so is what a piece holds beside the records that leave in it.
#[test]
fn all_memory_is_counted() {
    let mut sheaf = Sheaf::new(PackLimits::default());
    for n in 0..100 {
        let (pile, picks) = pile_of(&log_request(&format!("{n}{}", "s".repeat(2000)), "b"));
        assert_eq!(sheaf.append(&pile, &picks), 1);
    }
    assert!(sheaf.held() >= 100 * 2000, "{}", sheaf.held());
    let (request, held) = sheaf.finish();
    assert_eq!(held, request.len());
    assert_eq!(
        sheaf.held(),
        sheaf.full.capacity() * size_of::<Bytes>()
            + sheaf.log.capacity() * size_of::<Run>()
            + sheaf.groups.capacity() * size_of::<Group>()
            + sheaf.known.held()
            + sheaf.above.held()
    );
    let (long, short) = (log_request("a", &"x".repeat(5000)), log_request("b", &"y".repeat(3000)));
    for _ in 0..50 {
        for body in [&long, &short] {
            let (pile, picks) = pile_of(body);
            assert_eq!(sheaf.append(&pile, &picks), 1);
        }
    }
    let (request, held) = sheaf.finish();
    // The pieces hold both kinds; the short ones are in the buffer once more.
    assert!(request.count() > 1 && held >= 50 * (5000 + 2 * 3000), "{held}");
}
