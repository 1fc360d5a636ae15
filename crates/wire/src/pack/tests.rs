use super::*;
use crate::check::{CheckLimits, check};
use crate::testing::{Flat, any_requests, flatten, log_request, signal};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The records of each (resource, scope) in order; for metrics the points of each.
fn grouped(flats: Vec<Flat>) -> BTreeMap<Vec<Vec<u8>>, Vec<Flat>> {
    let mut groups: BTreeMap<Vec<Vec<u8>>, Vec<Flat>> = BTreeMap::new();
    for flat in flats {
        groups.entry(flat.headers[..2].to_vec()).or_default().push(flat);
    }
    groups
}

fn records(signal: Signal, body: &[u8]) -> usize {
    check(signal, body, &CheckLimits::default()).expect("sound").records
}

proptest! {
    /// Scenario: requests added until a limit, over several rounds of one packer.
    /// Guarantee: the length is exact at every step, the limits hold, a refused request leaves no trace, and every record of
    /// the added requests is there once, under its headers, in order within them.
    #[test]
    fn packs_what_was_added((signal, bodies) in any_requests(12), max_records in 0usize..40, max_bytes in prop_oneof![Just(0usize), 1usize..20000]) {
        let mut packer = Packer::new(signal, PackLimits { max_records, max_bytes });
        let mut bodies = bodies.iter().peekable();
        while bodies.peek().is_some() {
            let (mut expected, mut count, mut requests) = (Vec::new(), 0, 0);
            while let Some(body) = bodies.peek() {
                let before = packer.encoded_len();
                if !packer.try_add(body, records(signal, body)) {
                    prop_assert!(requests > 0);
                    prop_assert_eq!(packer.encoded_len(), before);
                    let joined = pack_all(signal, expected_bodies(&expected), body);
                    let too_many = max_records != 0 && count + records(signal, body) > max_records;
                    let too_long = max_bytes != 0 && joined > max_bytes;
                    prop_assert!(too_many || too_long);
                    break;
                }
                expected.push((*body).clone());
                count += records(signal, body);
                requests += 1;
                bodies.next();
                prop_assert!(requests == 1 || max_records == 0 || count <= max_records);
                prop_assert!(requests == 1 || max_bytes == 0 || packer.encoded_len() <= max_bytes);
            }
            prop_assert_eq!((packer.records(), packer.requests()), (count, requests));
            let len = packer.encoded_len();
            let chunks = packer.finish();
            prop_assert_eq!(chunks.len(), len);
            prop_assert!(packer.is_empty() && packer.encoded_len() == 0);
            let merged = chunks.contiguous();
            prop_assert_eq!(records(signal, &merged), count);
            let flats = expected.iter().flat_map(|body| flatten(signal, body)).collect();
            prop_assert_eq!(grouped(flatten(signal, &merged)), grouped(flats));
        }
    }

    /// Scenario: several requests packed without limits. Guarantee: no header comes twice.
    #[test]
    fn equal_headers_come_once((signal, bodies) in any_requests(6)) {
        let mut packer = Packer::new(signal, PackLimits::default());
        for body in &bodies {
            prop_assert!(packer.try_add(body, records(signal, body)));
        }
        let shorter_or_equal = packer.encoded_len() <= bodies.iter().map(Bytes::len).sum();
        prop_assert!(shorter_or_equal);
        let merged = packer.finish().contiguous();
        if bodies.len() > 1 {
            let mut index = Index::new();
            index.build(signal, &merged).expect("sound");
            let mut seen = std::collections::BTreeSet::new();
            for resource in index.resources(&merged) {
                let header: Vec<u8> = resource.header().collect::<Vec<_>>().concat();
                for scope in resource.entries() {
                    prop_assert!(seen.insert((header.clone(), Some(scope.header().collect::<Vec<_>>().concat()))));
                }
                prop_assert!(seen.insert((header, None)));
            }
        }
    }

    /// Scenario: arbitrary bytes between sound requests. Guarantee: no panic, the length stays exact, and the bytes are kept.
    #[test]
    fn arbitrary_bytes_never_panic(signal in signal(), any in proptest::collection::vec(any::<Vec<u8>>(), 0..6), max_bytes in 0usize..300) {
        let mut packer = Packer::new(signal, PackLimits { max_records: 0, max_bytes });
        for bytes in any {
            packer.try_add(&Bytes::from(bytes), 1);
        }
        let len = packer.encoded_len();
        prop_assert_eq!(packer.finish().contiguous().len(), len);
    }
}

fn expected_bodies(bodies: &[Bytes]) -> impl Iterator<Item = &Bytes> {
    bodies.iter()
}

/// The length of these requests packed without limits.
fn pack_all<'a>(signal: Signal, bodies: impl Iterator<Item = &'a Bytes>, last: &'a Bytes) -> usize {
    let mut packer = Packer::new(signal, PackLimits::default());
    bodies.chain([last]).for_each(|body| assert!(packer.try_add(body, 0)));
    packer.encoded_len()
}

/// Scenario: one request only. Guarantee: it comes out as it came in, not copied.
#[test]
fn a_lone_request_is_handed_on() {
    let body = log_request("a", "b");
    let mut packer = Packer::new(Signal::Logs, PackLimits { max_records: 1, max_bytes: 1 });
    assert!(packer.try_add(&body, 1));
    assert!(!packer.try_add(&body, 1));
    let chunks = packer.finish();
    assert_eq!((chunks.count(), chunks.contiguous().as_ptr()), (1, body.as_ptr()));
}

/// Scenario: long and short runs. Guarantee: the long ones are slices of their requests, the short ones share one buffer.
#[test]
fn long_runs_are_not_copied() {
    let (short, long) = (log_request("a", "b"), log_request("a", &"c".repeat(SLICE_FROM)));
    let mut packer = Packer::new(Signal::Logs, PackLimits::default());
    for body in [&short, &short, &long, &short] {
        assert!(packer.try_add(body, 1));
    }
    let chunks = packer.finish();
    let own = long.as_ptr_range();
    let shared: Vec<bool> = chunks.iter().map(|chunk| own.contains(&chunk.as_ptr())).collect();
    assert_eq!(shared, [false, true, false]);
}

/// Scenario: more different headers than are remembered. Guarantee: nothing is lost.
#[test]
fn unremembered_headers_get_their_own_entries() {
    let mut packer = Packer::new(Signal::Logs, PackLimits::default());
    let total = MAX_FOLDED + 10;
    for round in 0..2 {
        for i in 0..total {
            assert!(packer.try_add(&log_request(&format!("s{i}"), &format!("{round}")), 1));
        }
    }
    assert!(packer.merged.known.len() <= MAX_FOLDED);
    let len = packer.encoded_len();
    let merged = packer.finish().contiguous();
    assert_eq!((merged.len(), records(Signal::Logs, &merged)), (len, 2 * total));
}
