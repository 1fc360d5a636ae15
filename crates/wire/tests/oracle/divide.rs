//! Cutting and merging against the multimap of (headers → records).

use crate::awkward::records;
use crate::{Request, checked, encoded, grouped, in_some_encoding, request_of};
use bytes::Bytes;
use otlp_oracle::trace::Span;
use otlp_oracle::whole;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use wire::{PackLimits, Packer, Part, Pile, Sheaf, Signal, SplitScratch, schema};
use wire::{split_limit, split_priority, split_records, split_resources};

/// What all parts hold together, and that each is a sound request of as many records as it says.
fn gathered(signal: Signal, parts: &[Part]) -> BTreeMap<usize, Vec<crate::Under>> {
    let mut by_output = BTreeMap::new();
    for part in parts {
        assert_eq!(checked(signal, &part.body).records, part.records);
        assert!(part.records > 0);
        let list = records(schema::request(signal), &part.body);
        assert!(by_output.insert(part.output, list).is_none(), "output {} twice", part.output);
    }
    by_output
}

proptest! {
    /// Split by record: each output holds exactly the records routed to it, under their headers, in order, unknown fields
    /// included; the scratch tables carry nothing over from the request before.
    #[test]
    fn split_by_record(requests in proptest::collection::vec((encoded(), any::<u64>()), 1..3), outputs in 1usize..6) {
        let mut scratch = SplitScratch::new();
        for ((request, bytes), seed) in requests {
            let signal = request.signal();
            let mut rng = fastrand::Rng::with_seed(seed);
            let routes: Vec<usize> = std::iter::repeat_with(|| rng.usize(..outputs)).take(request.census().records).collect();
            let mut parts = Vec::new();
            split_records(signal, &bytes.clone().into(), outputs, &mut scratch, |record| routes[record.ordinal()], &mut parts).unwrap();

            let mut expected: BTreeMap<usize, Vec<_>> = BTreeMap::new();
            for (under, route) in records(schema::request(signal), &bytes).into_iter().zip(&routes) {
                expected.entry(*route).or_default().push(under);
            }
            let found = gathered(signal, &parts);
            prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (found, expected) in found.into_values().zip(expected.into_values()) {
                prop_assert_eq!(found, expected);
            }
        }
    }

    /// Split by resource entry: each output holds the records of the entries routed to it.
    #[test]
    fn split_by_resource(requests in proptest::collection::vec((encoded(), any::<u64>()), 1..3), outputs in 1usize..6) {
        let mut scratch = SplitScratch::new();
        for ((request, bytes), seed) in requests {
            let signal = request.signal();
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut parts = Vec::new();
            // Which output each record goes to, by where its entry stands.
            let mut ranges = Vec::new();
            let route = |entry: &wire::Entry| {
                let output = rng.usize(..outputs);
                ranges.push((output, entry.records().len()));
                output
            };
            split_resources(signal, &bytes, outputs, &mut scratch, route, &mut parts).unwrap();

            let mut expected: BTreeMap<usize, Vec<_>> = BTreeMap::new();
            let mut list = records(schema::request(signal), &bytes).into_iter();
            for (output, count) in ranges {
                expected.entry(output).or_default().extend(list.by_ref().take(count));
            }
            prop_assert_eq!(list.next(), None);
            prop_assert_eq!(gathered(signal, &parts), expected);
        }
    }

    /// Split to a limit: the parts in their order are the request; none breaks a limit unless it holds a single record.
    #[test]
    fn split_to_a_limit((request, bytes) in encoded(), max_records in 0usize..6, max_bytes in prop_oneof![Just(0usize), 1usize..2000]) {
        let signal = request.signal();
        let parts = split_limit(signal, &bytes, max_records, max_bytes);
        if request.census().records == 0 {
            prop_assert_eq!(parts, vec![Part { output: 0, body: bytes, records: 0 }]);
            return Ok(());
        }
        for part in &parts {
            prop_assert!(max_records == 0 || part.records <= max_records);
            prop_assert!(max_bytes == 0 || part.body.len() <= max_bytes || part.records == 1);
        }
        let found: Vec<_> = gathered(signal, &parts).into_values().flatten().collect();
        prop_assert_eq!(found, records(schema::request(signal), &bytes));
    }

    /// Split by priority: exactly the records that a decode calls urgent are kept.
    #[test]
    fn split_by_priority((request, bytes) in encoded(), threshold in prop_oneof![Just(1u64), Just(500_000_000), any::<u64>()]) {
        let signal = request.signal();
        let urgent = urgent(&request, threshold);
        let found = split_priority(signal, &bytes, threshold);
        let kept = urgent.iter().filter(|yes| **yes).count();
        prop_assert_eq!((found.kept, found.shed), (kept, urgent.len() - kept));
        let all = records(schema::request(signal), &bytes);
        let expected: Vec<_> = all.into_iter().zip(urgent).filter(|(_, yes)| *yes).map(|(under, _)| under).collect();
        prop_assert_eq!(found.body.is_some(), kept > 0);
        if let Some(body) = found.body {
            prop_assert_eq!(checked(signal, &body).records, kept);
            prop_assert_eq!(records(schema::request(signal), &body), expected);
        }
    }

    /// Packed requests: the records of all of them under their headers, in order of arrival within equal headers; the
    /// announced length is the length; limits hold; a refused addition changes nothing; the tables are reused.
    #[test]
    fn packed(
        (signal, requests) in one_signal(),
        max_records in prop_oneof![Just(0usize), 1usize..40],
        max_bytes in prop_oneof![Just(0usize), 1usize..8000],
    ) {
        let mut packer = Packer::new(signal, PackLimits { max_records, max_bytes });
        for round in 0..2 {
            let mut taken = Vec::new();
            for (request, bytes) in &requests {
                let before = (packer.requests(), packer.records(), packer.encoded_len());
                if packer.try_add(bytes, request.census().records) {
                    taken.push(bytes.clone());
                } else {
                    prop_assert!(!taken.is_empty(), "the first request is always taken");
                    prop_assert_eq!((packer.requests(), packer.records(), packer.encoded_len()), before);
                }
                if taken.len() > 1 {
                    prop_assert!(max_bytes == 0 || packer.encoded_len() <= max_bytes);
                    prop_assert!(max_records == 0 || packer.records() <= max_records);
                }
            }
            let (len, count) = (packer.encoded_len(), packer.records());
            let merged = packer.finish().contiguous();
            prop_assert!(packer.is_empty());
            prop_assert_eq!(merged.len(), len, "round {}", round);
            prop_assert_eq!(checked(signal, &merged).records, count);
            let without_root = |(mut above, record): crate::Under| {
                above.remove(0);
                (above, record)
            };
            let found = records(schema::request(signal), &merged).into_iter().map(without_root);
            let expected = taken.iter().flat_map(|bytes| records(schema::request(signal), bytes)).map(without_root);
            let (mut found, mut expected) = (grouped(found), grouped(expected));
            // Headers that are equal only in normal form are not folded, and then their records need not keep their order.
            if requests.iter().any(|(request, bytes)| request.encode() != *bytes) {
                found.values_mut().chain(expected.values_mut()).for_each(|records| records.sort_unstable());
            }
            prop_assert_eq!(found, expected);
            if taken.len() > 1 {
                let sum: usize = taken.iter().map(Bytes::len).sum();
                prop_assert!(merged.len() <= sum, "folding never makes it larger: {} > {}", merged.len(), sum);
            }
        }
    }
}

/// Up to five requests of one signal.
fn one_signal() -> impl Strategy<Value = (Signal, Vec<(Request, Bytes)>)> {
    prop::sample::select(&Signal::ALL[..])
        .prop_flat_map(|signal| (Just(signal), proptest::collection::vec(in_some_encoding(request_of(signal)), 1..6)))
}

/// Which records have priority, in document order, by the decoded tree.
fn urgent(request: &Request, threshold: u64) -> Vec<bool> {
    let bad = |span: &Span| {
        let long = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) >= threshold;
        long || span.status.as_ref().is_some_and(|status| status.code == 2)
    };
    match request {
        Request::Logs(request) => {
            let scopes = request.resource_logs.iter().flat_map(|entry| &entry.scope_logs);
            let severe = |text: &str| ["error", "fatal", "critical"].contains(&text.to_ascii_lowercase().as_str());
            let urgent = scopes.flat_map(|scope| &scope.log_records);
            urgent.map(|record| record.severity_number >= 17 || severe(&record.severity_text)).collect()
        }
        Request::Traces(request) => {
            let scopes = request.resource_spans.iter().flat_map(|entry| &entry.scope_spans);
            let spans: Vec<&Span> = scopes.flat_map(|scope| &scope.spans).collect();
            let traces: HashSet<&[u8]> = spans
                .iter()
                .filter(|span| bad(span) && !span.trace_id.is_empty())
                .map(|span| &span.trace_id[..])
                .collect();
            spans.iter().map(|span| bad(span) || traces.contains(&span.trace_id[..])).collect()
        }
        Request::Metrics(_) => vec![false; request.census().records],
    }
}

/// Up to six requests of one signal, of few names, with unknown fields and fields in any order in some of them.
fn of_few_names() -> impl Strategy<Value = (Signal, Vec<(Request, Bytes)>)> {
    let pooled = |signal| {
        request_of(signal).prop_map(|mut request| {
            match &mut request {
                Request::Logs(request) => whole::pool_logs(request),
                Request::Traces(request) => whole::pool_traces(request),
                Request::Metrics(request) => whole::pool_metrics(request),
            }
            let bytes = Bytes::from(request.encode());
            (request, bytes)
        })
    };
    prop::sample::select(&Signal::ALL[..])
        .prop_flat_map(move |signal| (Just(signal), proptest::collection::vec(pooled(signal), 1..7)))
}

/// What a decoder finds in requests: their records, sorted, and what metrics there are.
fn decoded<'a>(signal: Signal, bodies: impl IntoIterator<Item = &'a Bytes>) -> (Vec<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let (mut all, mut metrics) = (Vec::new(), BTreeSet::new());
    for body in bodies {
        match Request::decode(signal, body) {
            Request::Logs(request) => all.extend(whole::logs(&request)),
            Request::Traces(request) => all.extend(whole::traces(&request)),
            Request::Metrics(request) => {
                all.extend(whole::metrics(&request));
                metrics.extend(whole::identities(&request));
            }
        }
    }
    all.sort();
    (all, metrics)
}

proptest! {
    /// Scenario: requests of few names, so that everything that can be merged is: sorted into batches, divided by record, cut to a
    /// limit, merged. Guarantee: a decoder finds the same records in what came out as in what went in, whole, byte by byte, and the
    /// same metrics, those without points included.
    #[test]
    fn a_decoder_finds_the_same_records((signal, requests) in of_few_names(), outputs in 1usize..4, limit in 0usize..20, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Requests without records go nowhere, and that is decided elsewhere.
        let bodies: Vec<Bytes> =
            requests.iter().filter(|(request, _)| request.census().records > 0).map(|(_, bytes)| bytes.clone()).collect();
        let expected = decoded(signal, &bodies);

        let mut sheaves: Vec<Sheaf> =
            (0..outputs).map(|_| Sheaf::new(PackLimits { max_records: limit, max_bytes: 0 })).collect();
        let mut sorted = Vec::new();
        for bodies in bodies.chunks(2) {
            let (mut pile, mut picks) = (Pile::new(), Vec::new());
            for body in bodies {
                prop_assert!(pile.add(signal, &body.clone().into()).unwrap());
                pile.pick(&mut picks);
            }
            for pick in picks {
                let sheaf = &mut sheaves[rng.usize(..outputs)];
                if sheaf.append(&pile, &[pick]) == 0 {
                    sorted.push(sheaf.finish().0.contiguous());
                    prop_assert_eq!(sheaf.append(&pile, &[pick]), 1);
                }
            }
        }
        sorted.extend(sheaves.iter_mut().map(|sheaf| sheaf.finish().0.contiguous()));
        prop_assert_eq!(decoded(signal, &sorted), expected.clone(), "sorted into batches");

        let (mut scratch, mut parts) = (SplitScratch::new(), Vec::new());
        for body in &bodies {
            let route = |_: &wire::Record| rng.usize(..outputs);
            split_records(signal, &body.clone().into(), outputs, &mut scratch, route, &mut parts).unwrap();
        }
        prop_assert_eq!(decoded(signal, parts.iter().map(|part| &part.body)), expected.clone(), "divided by record");

        let mut parts = Vec::new();
        bodies.iter().for_each(|body| parts.extend(split_limit(signal, body, limit, 500)));
        for part in &parts {
            prop_assert!(limit == 0 || part.records <= limit);
            prop_assert!(part.body.len() <= 500 || part.records == 1);
        }
        prop_assert_eq!(decoded(signal, parts.iter().map(|part| &part.body)), expected.clone(), "cut to a limit");

        let mut packer = Packer::new(signal, PackLimits::default());
        bodies.iter().for_each(|body| assert!(packer.try_add(body, 1)));
        prop_assert_eq!(decoded(signal, [&packer.finish().contiguous()]), expected, "merged");
    }
}
