//! Cutting and merging of any accepted request: no record is lost, none is doubled, every part is accepted.

#![no_main]

use bytes::Bytes;
use bywash_fuzz::strict;
use libfuzzer_sys::fuzz_target;
use wire::key::trace_id;
use wire::{CheckLimits, Chunks, PackLimits, Packer, Part, Pile, Sheaf, Signal, SplitScratch, check, check_and_note};
use wire::{split_limit, split_priority, split_records, split_resources};

/// The parts are accepted, hold what they say, and hold `records` together.
fn conserved(signal: Signal, utf8: bool, parts: &[Part], records: usize) {
    for part in parts {
        let limits = CheckLimits { strict_utf8: utf8, ..CheckLimits::default() };
        assert_eq!(check(signal, &part.body, &limits).map(|census| census.records), Ok(part.records));
    }
    assert_eq!(parts.iter().map(|part| part.records).sum::<usize>(), records);
}

/// Records that are sorted into two sheaves, twice over, come out as accepted requests within the limits; once their trace ids were noted
/// by the check, and are those that one finds.
fn sheaves(signal: Signal, body: &Bytes, route: impl Fn(usize) -> usize, limits: PackLimits, records: usize) {
    let (mut pile, mut picks) = (Pile::new(), Vec::new());
    let mut traces = Vec::new();
    check_and_note(signal, body, &CheckLimits::default(), &mut traces).expect("checked");
    let noted = Chunks::noted(body.clone(), traces.into());
    let mut ids: Vec<Vec<Option<Vec<u8>>>> = Vec::new();
    for request in [body.clone().into(), noted] {
        if !pile.add(signal, &request).expect("checked") {
            return;
        }
        pile.pick(&mut picks);
        ids.push(pile.records().map(|record| trace_id(&record).map(<[u8]>::to_vec)).collect());
    }
    assert_eq!(ids[0], ids[1]);
    let (even, odd): (Vec<_>, Vec<_>) = picks.iter().enumerate().partition(|(ordinal, _)| route(*ordinal) % 2 == 0);
    let mut found = 0;
    for picks in [even, odd] {
        let (picks, mut sheaf) = (picks.into_iter().map(|(_, pick)| *pick).collect::<Vec<_>>(), Sheaf::new(limits));
        let mut left = &picks[..];
        while !left.is_empty() {
            left = &left[sheaf.append(&pile, left)..];
            let (count, bound) = (sheaf.records(), sheaf.bound());
            let (request, held) = sheaf.finish();
            let request = request.contiguous();
            assert!(request.len() <= bound && request.len() <= held && count > 0);
            assert!(count == 1 || limits.max_records == 0 || count <= limits.max_records);
            assert!(count == 1 || limits.max_bytes == 0 || request.len() <= limits.max_bytes);
            assert_eq!(check(signal, &request, &CheckLimits::default()).map(|census| census.records), Ok(count));
            found += count;
        }
    }
    assert_eq!(found, 2 * records);
}

fuzz_target!(|input: &[u8]| {
    let Some((signal, rest)) = bywash_fuzz::signal(input) else { return };
    let Some(([outputs, seed, max_records, max_bytes], body)) = rest.split_first_chunk() else { return };
    let outputs = usize::from(outputs % 8) + 1;
    let (max_records, max_bytes) = (usize::from(*max_records), usize::from(*max_bytes) * 8);
    let route = |ordinal: usize| (ordinal * 7 + usize::from(*seed) * ordinal * ordinal) % outputs;
    let body = Bytes::copy_from_slice(body);
    let Ok(census) = check(signal, &body, &CheckLimits::default()) else { return };
    let utf8 = strict(signal, &body).is_ok();

    let mut scratch = SplitScratch::new();
    let mut parts = Vec::new();
    split_records(signal, &body.clone().into(), outputs, &mut scratch, |record| route(record.ordinal()), &mut parts).expect("checked");
    conserved(signal, utf8, &parts, census.records);
    let mut packer = Packer::new(signal, PackLimits::default());
    for part in &parts {
        assert!(packer.try_add(&part.body, part.records), "there is no limit");
    }
    let len = packer.encoded_len();
    let merged = packer.finish().contiguous();
    assert_eq!(merged.len(), len);
    assert_eq!(check(signal, &merged, &CheckLimits::default()).map(|census| census.records), Ok(census.records));

    parts.clear();
    split_resources(signal, &body, outputs, &mut scratch, |entry| route(entry.range().start), &mut parts)
        .expect("checked");
    conserved(signal, utf8, &parts, census.records);

    sheaves(signal, &body, route, PackLimits { max_records, max_bytes }, census.records);

    let limited = split_limit(signal, &body, max_records, max_bytes);
    conserved(signal, utf8, &limited, census.records);
    if census.records > 0 {
        for part in &limited {
            assert!(max_records == 0 || part.records <= max_records);
            assert!(max_bytes == 0 || part.body.len() <= max_bytes || part.records == 1);
        }
    }

    let priority = split_priority(signal, &body, 500_000_000);
    assert_eq!(priority.kept + priority.shed, census.records);
    if let Some(urgent) = priority.body {
        let found = check(signal, &urgent, &CheckLimits::default());
        assert_eq!(found.map(|census| census.records), Ok(priority.kept));
    }

    let mut packer = Packer::new(signal, PackLimits { max_records, max_bytes });
    let (mut requests, mut records) = (0, 0);
    for part in std::iter::repeat_n(&Part { output: 0, body: body.clone(), records: census.records }, 3).chain(&limited)
    {
        if packer.try_add(&part.body, part.records) {
            requests += 1;
            records += part.records;
            assert!(requests == 1 || max_bytes == 0 || packer.encoded_len() <= max_bytes);
        }
    }
    let len = packer.encoded_len();
    let merged = packer.finish().contiguous();
    assert_eq!(merged.len(), len);
    assert_eq!(check(signal, &merged, &CheckLimits::default()).map(|census| census.records), Ok(records));
});
