//! What stands around a record, how services fare, what a live tail sees, what spans say of failures: held against the naive store.

use super::model::Model;
use super::shop::{self, SECOND, START};
use crate::engine::Engine;
use crate::query::{Around, Durations, Filter, Query, Row, Service, ServiceQuery};
use crate::sim::{Fault, SimDisk};
use crate::store::{Appended, Store};
use crate::{Config, Facts, TraceQuery, failures};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wire::Signal;
use wire::key::span_head;

fn open(disk: &SimDisk, config: Config, now: u64) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new("/store"), config, now).expect("it opens").0
}

/// A store that was filled for some minutes, and what is in it.
fn filled(seed: u64, requests: usize) -> (fastrand::Rng, Store, Model) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (disk, mut model, mut now) = (SimDisk::new(seed), Model::default(), START);
    let store = open(&disk, Config { max_age: None, ..shop::config() }, now);
    for unique in 0..requests {
        let signal = if random.bool() { Signal::Logs } else { Signal::Traces };
        let request = shop::request(&mut random, signal, unique as u64, now);
        model.append(&store, ["a", "a", "b"][random.usize(0..3)], signal, &request, now);
        if random.u8(0..8) == 0 {
            now += random.u64(0..40 * SECOND);
            Store::tick(&store, now).expect("a tick");
        }
    }
    (random, store, model)
}

fn all(store: &Store, query: &Query) -> Vec<Row> {
    let mut rows = vec![];
    let ended = store.search(query, &|| false, &mut |row| {
        rows.push(row);
        true
    });
    assert!(ended.is_complete);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Scenario: a record of a filled store is asked for by its id, with some before and after it, of all services or its own.
    /// Guarantee: it and its neighbours by time are those of the naive list.
    #[test]
    fn a_record_is_found_again_with_its_neighbours(seed in any::<u64>(), requests in 1usize..30) {
        let (mut random, store, model) = filled(seed, requests);
        for _ in 0..10 {
            let signal = if random.bool() { Signal::Logs } else { Signal::Traces };
            let rows = all(&store, &Query { limit: 10_000, ..Query::new("a", signal) });
            let Some(at) = (!rows.is_empty()).then(|| random.usize(0..rows.len())) else { continue };
            let same_service = random.bool();
            let (before, after) = (random.usize(0..6), random.usize(0..6));
            let id = rows[at].id().to_string().parse().expect("an id");
            let asked = Around { tenant: "a".to_owned(), signal, id, before, after, same_service };
            let found = store.around(&asked, &|| false);
            prop_assert!(found.is_complete);
            prop_assert_eq!(found.row.as_ref(), Some(&rows[at]));
            let mut known = model.matching(&Query::new("a", signal));
            known.reverse();
            known.retain(|known| !same_service || known.flat.service == rows[at].service);
            let place = known.iter().position(|known| known.cursor == rows[at].cursor).expect("there");
            let cursors = |rows: &[Row]| rows.iter().map(|row| row.cursor).collect::<Vec<_>>();
            let expected: Vec<_> = known.iter().map(|known| known.cursor).collect();
            prop_assert_eq!(cursors(&found.before), &expected[place.saturating_sub(before)..place]);
            prop_assert_eq!(cursors(&found.after), &expected[place + 1..(place + 1 + after).min(expected.len())]);
        }
    }

    /// Scenario: services of a filled store over any time. Guarantee: counts are those of the naive list, and durations those of its spans.
    #[test]
    fn services_fare_as_in_the_naive_list(seed in any::<u64>(), requests in 1usize..40) {
        let (mut random, store, model) = filled(seed, requests);
        for _ in 0..5 {
            let start = if random.bool() { 0 } else { START - random.u64(0..300 * SECOND) };
            let end = if random.bool() { u64::MAX } else { START + random.u64(0..300 * SECOND) };
            let mut expected: BTreeMap<String, Service> = BTreeMap::new();
            for known in model.records.iter().filter(|known| known.tenant == "a") {
                if !(start..end).contains(&known.cursor.time) {
                    continue;
                }
                let service = expected.entry(known.flat.service.clone()).or_default();
                let failed = u64::from(known.severity >= 17);
                if known.signal == Signal::Traces {
                    service.spans += 1;
                    service.errors += failed;
                    service.durations.add(Durations::bar(span_head(&known.flat.record).duration()), 1);
                } else {
                    service.logs += 1;
                    service.log_errors += failed;
                }
            }
            let found = Engine::services(&store, &ServiceQuery { tenant: "a".to_owned(), start, end }, &|| false);
            prop_assert!(found.is_complete);
            prop_assert_eq!(found.services, expected);
        }
    }

    /// Scenario: each record of a filled store is held against a question by itself. Guarantee: those match that a search finds.
    #[test]
    fn one_record_is_judged_as_all_are(seed in any::<u64>(), requests in 1usize..20) {
        let (_, store, _) = filled(seed, requests);
        for text in ["error", "-beta", "status>=300", "user.id:3", "severity>=warn service:cart", "~rro pod:1", "ok:*", ""] {
            let conditions = crate::parse(text).expect("a query");
            for signal in [Signal::Logs, Signal::Traces] {
                let everything = Query { limit: 10_000, ..Query::new("a", signal) };
                let query = Query { conditions: conditions.clone(), ..everything.clone() };
                let filter = Filter::new(&query);
                let judged = all(&store, &everything).into_iter().filter(|row| {
                    let facts = Facts::read(signal, &row.record, row.cursor.time);
                    let bytes = (&row.resource[..], &row.scope[..], &row.record[..]);
                    filter.matches(row.cursor, row.service.as_bytes(), &facts, bytes)
                });
                prop_assert_eq!(judged.collect::<Vec<_>>(), all(&store, &query));
            }
        }
    }
}

/// Scenario: a store with something of everything, asked for lists by somebody who goes after the first look.
/// Guarantee: each answer comes, and says that it is not complete.
#[test]
fn every_question_can_be_ended() {
    let (_, store, _) = filled(7, 60);
    Store::flush(&store, START + 900 * SECOND).expect("a disk");
    let engine: &dyn Engine = &store;
    let looks = AtomicUsize::new(0);
    let until = || looks.fetch_add(1, Relaxed) > 0;
    let query = Query::new("a", Signal::Logs);
    let ended = |is_complete: bool| {
        assert!(!is_complete);
        looks.store(0, Relaxed);
    };
    ended(engine.fields(&query, &until).is_complete);
    ended(engine.values(&query, "user.id", 10, &until).is_complete);
    ended(engine.services(&ServiceQuery { tenant: "a".to_owned(), start: 1, end: u64::MAX }, &until).is_complete);
    looks.store(1, Relaxed);
    ended(engine.traces(&TraceQuery::new("a"), &until).is_complete);
    assert!(engine.traces(&TraceQuery::new("a"), &|| false).is_complete);
}

/// Scenario (R9): a subscriber while requests are kept, one of them twice, and while the disk fails.
/// Guarantee: it sees each record that is durable, once, under the id by which it is found again; nothing of what failed.
#[test]
fn r09_subscribers_see_what_is_durable() {
    let disk = SimDisk::new(3);
    let store = open(&disk, Config { max_age: None, ..shop::config() }, START);
    let mut random = fastrand::Rng::with_seed(3);
    let tail = store.live().subscribe(&Query::new("a", Signal::Logs), 1000, || {}).expect("room");
    let requests: Vec<_> = (0..9).map(|unique| shop::request(&mut random, Signal::Logs, unique, START)).collect();
    for request in requests.iter().chain(&requests[..2]) {
        store.keep("a", Signal::Logs, request, START).expect("kept");
    }
    let mut seen = tail.take(1000).rows;
    seen.sort_by_key(|row| std::cmp::Reverse(row.cursor));
    assert_eq!(seen, all(&store, &Query { limit: 1000, ..Query::new("a", Signal::Logs) }));
    assert!(!seen.is_empty());
    disk.fault(Some(Fault::Sync));
    let more = shop::request(&mut random, Signal::Logs, 99, START);
    assert!(store.keep("a", Signal::Logs, &more, START).is_err());
    assert_eq!(tail.take(1000).rows, vec![]);
}

/// Scenario (R17): spans, some of which failed, are kept by a store that makes logs of failures; it is killed, opened again, and flushed.
/// Guarantee: there are as many log records as failures at all times, each once, within its trace.
#[test]
fn r17_failures_are_logs_once() {
    let disk = SimDisk::new(5);
    let config = Config { failures_as_logs: true, max_age: None, ..shop::config() };
    let mut store = open(&disk, config.clone(), START);
    let mut random = fastrand::Rng::with_seed(5);
    let mut expected = 0;
    for unique in 0..40 {
        let request = shop::request(&mut random, Signal::Traces, unique, START);
        let spans = shop::records(Signal::Traces, &request);
        expected += spans.iter().map(|span| failures(&span.record).len()).sum::<usize>();
        let appended = store.keep("a", Signal::Traces, &request, START).expect("kept");
        assert_eq!(appended, Appended::Stored(spans.len()));
        if unique % 9 == 0 {
            drop(store);
            store = open(&disk, config.clone(), START);
        }
        let logs = all(&store, &Query { limit: 1000, ..Query::new("a", Signal::Logs) });
        assert_eq!(logs.len(), expected);
        assert!(logs.iter().all(|log| log.severity == 17 && log.text.starts_with("span failed: ")));
    }
    assert!(expected > 10);
    Store::flush(&store, START).expect("a disk");
    drop(store);
    let store = open(&disk, config, START);
    assert_eq!(all(&store, &Query { limit: 1000, ..Query::new("a", Signal::Logs) }).len(), expected);
}
