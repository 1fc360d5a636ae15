//! The list of traces is that of a naive list of spans, wherever the spans are and however often they were interrupted.

use super::model::Model;
use super::shop::{self, SECOND, START};
use crate::sim::SimDisk;
use crate::store::Store;
use crate::trace::list::{Trace, TraceQuery};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use wire::Signal;
use wire::key::{last_text, span_head};

fn open(disk: &SimDisk, now: u64) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new("/store"), shop::config(), now).expect("it opens").0
}

/// Of a span: whether it has a parent, when it began, its service, its name.
type Head = (bool, u64, String, String);

/// All traces of a tenant, read span by span.
fn naive(model: &Model, tenant: &str) -> Vec<Trace> {
    let mut traces: BTreeMap<Vec<u8>, (Trace, Vec<Head>)> = BTreeMap::new();
    for known in model.records.iter().filter(|known| known.tenant == tenant && known.signal == Signal::Traces) {
        let head = span_head(&known.flat.record);
        let (trace, heads) = traces.entry(known.trace.clone()).or_insert_with(|| {
            let trace = Trace {
                id: known.trace.clone().try_into().expect("an id"),
                start: u64::MAX,
                end: 0,
                service: String::new(),
                operation: String::new(),
                has_root: false,
                services: vec![],
                spans: 0,
                errors: 0,
                status: 0,
            };
            (trace, vec![])
        });
        trace.start = trace.start.min(head.start);
        trace.end = trace.end.max(head.end);
        trace.spans += 1;
        trace.errors += u64::from(head.is_error());
        trace.status = trace.status.max(head.status_code as u8);
        trace.services.push(known.flat.service.clone());
        let has_parent = !last_text(&known.flat.record, 4).is_empty();
        heads.push((has_parent, head.start, known.flat.service.clone(), known.text.clone()));
    }
    let finished = traces.into_values().map(|(mut trace, heads)| {
        let (has_parent, _, service, operation) = heads.into_iter().min().expect("a span");
        (trace.has_root, trace.service, trace.operation) = (!has_parent, service, operation);
        trace.services.sort();
        trace.services.dedup();
        trace
    });
    let mut all: Vec<Trace> = finished.collect();
    all.sort_by_key(|trace| (std::cmp::Reverse(trace.start), trace.id));
    all
}

fn check(store: &Store, model: &Model, random: &mut fastrand::Rng) {
    let tenant = ["a", "b"][random.usize(0..2)];
    let all = naive(model, tenant);
    let mut query = TraceQuery { limit: random.usize(1..5), ..TraceQuery::new(tenant) };
    match random.u8(0..6) {
        0 => query.services = vec![shop::SERVICES[random.usize(0..4)].to_owned()],
        1 => query.operation = Some("GET /cart".to_owned()),
        2 => query.min_duration = random.u64(0..200 * SECOND),
        3 => query.only_errors = true,
        4 => (query.start, query.max_duration) = (START - random.u64(0..200 * SECOND), 150 * SECOND),
        _ => query.end = START - random.u64(0..200 * SECOND),
    }
    let passes = |trace: &&Trace| {
        let duration = trace.end - trace.start;
        query.start <= trace.start
            && trace.start < query.end
            && query.services.iter().all(|service| trace.services.contains(service))
            && query.operation.as_ref().is_none_or(|operation| *operation == trace.operation)
            && query.min_duration <= duration
            && duration <= query.max_duration
            && (!query.only_errors || trace.status == 2)
    };
    let expected: Vec<Trace> = all.iter().filter(passes).cloned().collect();
    let (mut found, mut page) = (vec![], query.clone());
    loop {
        let answer = store.traces(&page);
        assert!(answer.is_complete && answer.traces.len() <= page.limit);
        found.extend(answer.traces);
        page.after = answer.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected, "{query:?}");
    if let Some(trace) = all.first() {
        let spans = store.trace(tenant, Signal::Traces, trace.id, 1000);
        assert_eq!(spans.len() as u64, trace.spans);
        assert!(spans.is_sorted_by_key(|span| span.cursor));
        assert_eq!(store.trace_summary(tenant, trace.id).as_ref(), Some(trace));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Scenario: spans of nine traces in any order, with time, flushes, reopenings, and crashes after a sync between them.
    /// Guarantee: every list is that of the naive store: no span counts twice or is forgotten, and pages join.
    #[test]
    fn lists_equal_the_naive_ones(seed in any::<u64>(), requests in 1usize..40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut disk, mut model) = (SimDisk::new(seed), Model::default());
        let mut now = START;
        let mut store = open(&disk, now);
        for unique in 0..requests {
            let request = shop::request(&mut random, Signal::Traces, unique as u64, now);
            model.append(&store, ["a", "a", "b"][random.usize(0..3)], Signal::Traces, &request, now);
            match random.u8(0..10) {
                0 => {
                    now += random.u64(0..40 * SECOND);
                    store.tick(now).expect("a tick");
                }
                1 => store.flush(now).expect("a flush"),
                2 => {
                    store.sync().expect("a sync");
                    drop(store);
                    store = open(&disk, now);
                }
                3 => {
                    store.sync().expect("a sync");
                    disk = disk.crash();
                    store = open(&disk, now);
                }
                _ => {}
            }
        }
        for _ in 0..12 {
            check(&store, &model, &mut random);
        }
    }
}
