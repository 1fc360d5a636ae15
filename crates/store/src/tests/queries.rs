//! Every question has the answer of the naive store.

use super::model::Model;
use super::shop::{self, SECOND, START};
use crate::query::{Buckets, Comparison, Condition, Cursor, Order, Query, Test, parse};
use crate::sim::SimDisk;
use crate::store::Store;
use crate::text::lossy;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use wire::Signal;

const DAY: u64 = 24 * 3600 * SECOND;
const ROOT: &str = "/store";

fn open(disk: &SimDisk, now: u64, threads: usize) -> Store {
    let config = crate::Config { query_threads: threads, max_age: None, ..shop::config() };
    Store::open(Arc::new(disk.clone()), Path::new(ROOT), config, now).expect("it opens").0
}

fn pick<'a, T: ?Sized>(random: &mut fastrand::Rng, from: &[&'a T]) -> &'a T {
    from[random.usize(0..from.len())]
}

fn test(random: &mut fastrand::Rng) -> Test {
    let texts = ["error", "Errors", "beta", "delta", "épsilon", "time-out", "out", "alpha gamma", "1", "", "x"];
    let keys = ["user.id", "status", "ok", "took", "pod", "service.name", "kind", "nothing"];
    let values = ["1", "3", "200", "500", "true", "false", "25", "62.5", "7", "cart", "strange"];
    let key = pick(random, &keys).to_owned();
    match random.u8(0..11) {
        0 => Test::Service((0..random.usize(1..3)).map(|_| pick(random, &shop::SERVICES).to_owned()).collect()),
        1 => Test::Severity { min: random.u8(0..20), max: random.u8(8..25) },
        2 => {
            let (min, max) = [(0, 24), (13, 24), (17, 20), (0, 0), (0, 12)][random.usize(0..5)];
            Test::Severity { min, max }
        }
        3 | 4 => Test::Phrase(pick(random, &texts).to_owned()),
        5 => Test::Substring(pick(random, &["rro", "Beta", "ELON", "ime-ou", "a", "7"]).to_owned()),
        6 => Test::Trace(shop::trace_id(random.u8(0..10))),
        7 => Test::Span(random.u64(1..3000).to_be_bytes()),
        8 => Test::Attribute { key, value: pick(random, &values).to_owned() },
        9 => Test::Exists { key },
        _ => {
            let all = [Comparison::Less, Comparison::AtMost, Comparison::More, Comparison::AtLeast];
            Test::Number { key, comparison: all[random.usize(0..4)], number: random.f64() * 500.0 }
        }
    }
}

fn query(random: &mut fastrand::Rng, now: u64) -> Query {
    let time = |random: &mut fastrand::Rng| match random.u8(0..3) {
        0 => START - 300 * SECOND + random.u64(0..1200 * SECOND),
        // Whole minutes.
        _ => (START / SECOND - 300 + random.u64(0..20) * 60) * SECOND,
    };
    let conditions = (0..[0, 1, 1, 1, 2, 2, 3][random.usize(0..7)])
        .map(|_| Condition { not: random.u8(0..4) == 0, test: test(random) })
        .collect();
    Query {
        tenant: pick(random, &["a", "a", "b"]).to_owned(),
        signal: if random.bool() { Signal::Logs } else { Signal::Traces },
        start: if random.bool() { 0 } else { time(random) },
        end: if random.bool() { now + 1 } else { time(random) },
        conditions,
        limit: [1, 3, 10, 1000][random.usize(0..4)],
        after: None,
        order: if random.bool() { Order::NewestFirst } else { Order::OldestFirst },
    }
}

/// All pages of a query are, one after the other, what the naive store answers.
fn check_search(store: &Store, model: &Model, query: &Query) {
    let expected: Vec<_> = model.matching(query).into_iter().map(|known| (known.cursor, &known.flat)).collect();
    let mut query = query.clone();
    let mut all = vec![];
    loop {
        let mut rows = vec![];
        let found = store.search(&query, &|| false, &mut |row| {
            rows.push(row);
            true
        });
        assert!(found.is_complete && found.rows == rows.len() && rows.len() <= query.limit);
        all.extend(rows);
        match found.next {
            Some(next) => query.after = Some(next.to_string().parse().expect("a cursor")),
            None => break,
        }
    }
    let found: Vec<_> = all
        .into_iter()
        .map(|row| {
            let (service, record) = (row.service.clone(), row.record.to_vec());
            // The request made of a row has just its record, with what stood above it.
            let again = shop::records(query.signal, &row.request());
            let flat = shop::Flat { service, resource: row.resource.to_vec(), scope: row.scope.to_vec(), record };
            assert_eq!(again, std::slice::from_ref(&flat));
            (row.cursor, flat)
        })
        .collect();
    let found: Vec<_> = found.iter().map(|(cursor, flat)| (*cursor, flat)).collect();
    let texts = |rows: &[(Cursor, &shop::Flat)]| {
        let texts = rows.iter().map(|(cursor, flat)| format!("{cursor} {}", lossy(&flat.record)));
        texts.collect::<BTreeSet<_>>()
    };
    let (found_texts, expected_texts) = (texts(&found), texts(&expected));
    let missing: Vec<_> = expected_texts.difference(&found_texts).collect();
    let strange: Vec<_> = found_texts.difference(&expected_texts).collect();
    assert!(missing.is_empty() && strange.is_empty(), "{query:?}: missing {missing:#?} strange {strange:#?}");
    assert!(found == expected, "in another order: {query:?}");
}

fn check_tally(store: &Store, model: &Model, query: &Query, random: &mut fastrand::Rng) {
    let width = [60 * SECOND, 300 * SECOND, 7 * SECOND, 1 << 40][random.usize(0..4)];
    let start = (START / SECOND - 300) * SECOND + if random.bool() { 0 } else { random.u64(0..SECOND * 90) };
    let buckets = Buckets { start, width, count: random.usize(0..30) };
    let tally = store.tally(query, buckets, &|| false);
    let (cells, services) = model.tally(query, buckets);
    assert!(tally.is_complete);
    assert_eq!((tally.records, tally.services), (services.values().sum(), services), "{query:?}");
    assert_eq!(tally.buckets, cells, "{query:?} {buckets:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(170))]

    /// Scenario: requests of two tenants in open chunks, packed ones and segments, with reopenings between; forty random questions.
    /// Guarantee: rows in order, pages, histograms and counts are those of a naive list of records.
    #[test]
    fn every_query_equals_the_naive_one(seed in any::<u64>(), requests in 1usize..50) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, mut model) = (SimDisk::new(seed), Model::default());
        let threads = random.usize(1..4);
        let mut now = START;
        let mut store = open(&disk, now, threads);
        for unique in 0..requests {
            let signal = if random.bool() { Signal::Logs } else { Signal::Traces };
            let request = shop::request(&mut random, signal, unique as u64, now);
            model.append(&store, ["a", "a", "b"][random.usize(0..3)], signal, &request, now);
            match random.u8(0..12) {
                0 => {
                    now += random.u64(0..40 * SECOND);
                    store.tick(now).expect("a tick");
                }
                1 => store.flush(now).expect("a flush"),
                2 => {
                    store.sync().expect("a sync");
                    drop(store);
                    store = open(&disk, now, threads);
                }
                3 => now += random.u64(0..60 * SECOND),
                4 => {
                    // The day is over, and what was on it is rewritten.
                    now += DAY;
                    store.tick(now).expect("a tick");
                    while store.rewrite(&|| false).expect("a disk").is_done {}
                }
                _ => {}
            }
        }
        prop_assert_eq!(store.stats().records, model.records.len() as u64);
        for _ in 0..20 {
            let query = query(&mut random, now);
            check_search(&store, &model, &query);
            check_tally(&store, &model, &query, &mut random);
        }
    }
}

/// Scenario: a question in the language; one that is stopped at once; one whose asker has enough after two rows.
/// Guarantee: the first finds its record; the second says that it is not complete; the third goes on from where it ended.
#[test]
fn searches_can_be_written_and_stopped() {
    let (disk, mut model) = (SimDisk::new(1), Model::default());
    let store = open(&disk, START, 2);
    let mut random = fastrand::Rng::with_seed(5);
    for unique in 0..60 {
        let request = shop::request(&mut random, Signal::Logs, unique, START);
        model.append(&store, "a", Signal::Logs, &request, START);
    }
    let conditions = parse("severity>=warn -service:cart status>=300 ~a").expect("a query");
    let query = Query { conditions, limit: 1000, ..Query::new("a", Signal::Logs) };
    assert!(model.matching(&query).len() > 3);
    check_search(&store, &model, &query);
    let stopped = store.search(&query, &|| true, &mut |_| true);
    assert!(!stopped.is_complete && stopped.rows == 0);
    assert!(!store.tally(&query, Buckets::ONE, &|| true).is_complete);
    let mut rows = vec![];
    let found = store.search(&query, &|| false, &mut |row| {
        rows.push(row.cursor);
        rows.len() < 2
    });
    assert_eq!((found.rows, found.next), (2, rows.last().copied()));
    let rest = Query { after: found.next, ..query };
    check_search(&store, &model, &rest);
}

/// Scenario: names and values are asked for. Guarantee: those of the records are answered, the most frequent first.
#[test]
fn names_and_values_are_offered() {
    let (disk, mut model) = (SimDisk::new(1), Model::default());
    let store = open(&disk, START, 1);
    let mut random = fastrand::Rng::with_seed(5);
    for unique in 0..12 {
        let request = shop::request(&mut random, Signal::Logs, unique, START);
        model.append(&store, "a", Signal::Logs, &request, START);
    }
    let query = Query::new("a", Signal::Logs);
    let names: Vec<_> = store.fields(&query).into_iter().map(|value| value.text).collect();
    for name in ["service.name", "pod", "user.id", "status", "ok", "took"] {
        assert!(names.iter().any(|there| there == name), "{name}");
    }
    let values = store.values(&query, "pod", 10);
    let all: u64 = values.iter().map(|value| value.records).sum();
    assert_eq!(all, model.records.len() as u64);
    assert!(values.is_sorted_by_key(|value| std::cmp::Reverse(value.records)));
    let (_, services) = model.tally(&query, Buckets::ONE);
    let offered = store.values(&query, "service", 10);
    assert_eq!(
        offered.into_iter().map(|value| (value.text, value.records)).collect::<std::collections::BTreeMap<_, _>>(),
        services
    );
}
