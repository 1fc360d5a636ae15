//! What is asked of every store, asked of both: the embedded one and PostgreSQL, through the same trait.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of a test may panic as the test itself may.

mod common;

use common::{NOW, SECOND, count, flat, logs, rows, settings, shared, span};
use postgres::Postgres;
use std::sync::Arc;
use std::time::Duration;
use store::disk::RealDisk;
use store::{Appended, Around, Buckets, Engine, Order, Query, Refused, ServiceQuery, Store, TraceQuery, parse};
use wire::Signal;
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;

/// Does the same with both engines. Both keep everything, make logs of failures, and take three tenants.
fn both(test: impl Fn(&dyn Engine)) {
    let dir = tempfile::tempdir().unwrap();
    let config = store::Config { max_age: None, failures_as_logs: true, max_tenants: 3, ..store::Config::default() };
    let (embedded, _) = Store::open(Arc::new(RealDisk), dir.path(), config, NOW).unwrap();
    test(&embedded);
    let server = shared();
    let config = postgres::Config { failures_as_logs: true, max_tenants: 3, ..settings(&server) };
    test(&Postgres::open(config).unwrap());
}

/// Scenario (R1): requests without records, and one that is empty. Guarantee: they are taken, and nothing is found.
#[test]
fn r01_a_request_without_records_is_taken() {
    both(|engine| {
        assert_eq!(engine.keep("t", Signal::Logs, &[], NOW).unwrap(), Appended::Stored(0));
        assert_eq!(engine.keep("t", Signal::Logs, &logs("cart", NOW, &[]), NOW).unwrap(), Appended::Stored(0));
        assert_eq!(count(engine, "t", Signal::Logs), 0);
    });
}

/// Scenario (R8): what is no OTLP, and metrics. Guarantee: refused for good, nothing of it is visible, nobody is shown it.
#[test]
fn r08_what_is_refused_is_not_there() {
    both(|engine| {
        let tail = engine.live().subscribe(&Query::new("t", Signal::Logs), 10, || {}).unwrap();
        let mut cut = logs("cart", NOW, &["one", "two"]);
        cut.truncate(cut.len() - 3);
        assert!(matches!(engine.keep("t", Signal::Logs, &cut, NOW), Err(Refused::Malformed(_))));
        assert!(matches!(engine.keep("t", Signal::Metrics, &[], NOW), Err(Refused::Signal(_))));
        assert_eq!((count(engine, "t", Signal::Logs), tail.take(10).rows.len()), (0, 0));
    });
}

/// Scenario (R9): a subscriber that panics and one that does not. Guarantee: rows are shown when they can be found, spans' logs with them, and
/// the panic harms nobody.
#[test]
fn r09_subscribers_are_shown_what_is_stored() {
    both(|engine| {
        let _bad = engine.live().subscribe(&Query::new("t", Signal::Logs), 10, || panic!("its own fault")).unwrap();
        let tail = engine.live().subscribe(&Query::new("t", Signal::Logs), 10, || {}).unwrap();
        engine.keep("t", Signal::Logs, &logs("cart", NOW, &["one", "two"]), NOW).unwrap();
        engine.keep("t", Signal::Traces, &span(1, 1, "cart", "GET", (NOW + 5, NOW + 9), 2), NOW).unwrap();
        let mut seen: Vec<_> = tail.take(10).rows;
        seen.reverse();
        assert_eq!(seen, rows(engine, &Query::new("t", Signal::Logs)));
        assert_eq!((seen.len(), engine.stats().panicked_subscribers), (3, 1));
    });
}

/// Scenario (R11): many threads send at once, each request twice. Guarantee: each record is there once, and all are counted.
#[test]
fn r11_threads_do_not_harm_each_other() {
    both(|engine| {
        std::thread::scope(|scope| {
            for thread in 0..16u64 {
                scope.spawn(move || {
                    for number in 0..10u64 {
                        let time = NOW + thread * SECOND + number * 1000;
                        let request = logs("cart", time, &["a", "b", "c"]);
                        assert_eq!(engine.keep("t", Signal::Logs, &request, NOW).unwrap(), Appended::Stored(3));
                        assert_eq!(engine.keep("t", Signal::Logs, &request, NOW).unwrap(), Appended::Repeated(3));
                    }
                });
            }
        });
        assert_eq!(count(engine, "t", Signal::Logs), 16 * 10 * 3);
        let stats = engine.stats();
        assert_eq!((stats.stored_records, stats.repeated_requests, stats.repeated_records), (480, 160, 480));
    });
}

/// Scenario (R13): more tenants than there may be. Guarantee: the one too many is refused, the others are unharmed and see their own only.
#[test]
fn r13_tenants_are_bounded_and_apart() {
    both(|engine| {
        for tenant in ["a", "b", "c"] {
            engine.keep(tenant, Signal::Logs, &logs(tenant, NOW, &["x"]), NOW).unwrap();
        }
        let refused = engine.keep("d", Signal::Logs, &logs("d", NOW, &["x"]), NOW);
        assert!(matches!(refused, Err(Refused::TooManyTenants(3))));
        let found = rows(engine, &Query::new("b", Signal::Logs));
        assert_eq!(found.iter().map(|row| row.service.as_str()).collect::<Vec<_>>(), ["b"]);
        engine.delete_tenant("b", NOW).unwrap();
        assert_eq!((count(engine, "b", Signal::Logs), count(engine, "a", Signal::Logs)), (0, 1));
    });
}

/// Scenario (R15): a request is asked for as soon as it is answered. Guarantee: its rows are there.
#[test]
fn r15_what_is_answered_is_visible() {
    both(|engine| {
        for number in 0..20 {
            engine.keep("t", Signal::Logs, &logs("cart", NOW + number, &["x"]), NOW).unwrap();
            assert_eq!(count(engine, "t", Signal::Logs) as u64, number + 1);
        }
    });
}

/// Scenario (R17): a span that failed, one that did not. Guarantee: one ERROR log, within its trace.
#[test]
fn r17_a_failed_span_is_a_log() {
    both(|engine| {
        engine.keep("t", Signal::Traces, &span(1, 1, "cart", "GET", (NOW, NOW + 9), 2), NOW).unwrap();
        engine.keep("t", Signal::Traces, &span(1, 2, "cart", "SQL", (NOW, NOW + 5), 1), NOW).unwrap();
        let (found, _) = engine.trace("t", Signal::Logs, [1; 16], 10, &|| false);
        assert_eq!(found.iter().map(|row| (row.severity, &*row.text)).collect::<Vec<_>>(), [(17, "span failed: GET")]);
    });
}

/// Scenario (R18): spans of a trace in every order, with statuses that get better and worse, and the same trace of two tenants.
/// Guarantee: one row a trace and tenant, the same whatever the order, and a status only becomes worse.
#[test]
fn r18_any_order_gives_the_same_trace() {
    let parts = [
        span(7, 1, "gateway", "GET /", (NOW, NOW + 100), 0),
        span(7, 2, "cart", "load", (NOW + 10, NOW + 300), 2),
        span(7, 3, "a\0b", "sql", (NOW - 5, NOW + 20), 1),
    ];
    both(|engine| {
        let mut all = vec![];
        for (tenant, order) in [("a", [0, 1, 2]), ("b", [2, 1, 0]), ("c", [1, 0, 2])] {
            for part in order {
                engine.keep(tenant, Signal::Traces, &parts[part], NOW).unwrap();
            }
            all.push(engine.traces(&TraceQuery::new(tenant), &|| false));
        }
        assert_eq!((&all[0], &all[1]), (&all[1], &all[2]));
        let [trace] = &all[0].traces[..] else { panic!("{all:?}") };
        assert_eq!((trace.start, trace.end, trace.spans, trace.errors, trace.status), (NOW - 5, NOW + 300, 3, 1, 2));
        assert_eq!((&*trace.service, &*trace.operation, trace.has_root), ("gateway", "GET /", true));
        assert_eq!(trace.services, ["a\0b", "cart", "gateway"]);
        let found = |query: TraceQuery| engine.traces(&query, &|| false).traces.len();
        let base = TraceQuery::new("a");
        let with = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(found(TraceQuery { services: with(&["cart", "gateway"]), ..base.clone() }), 1);
        assert_eq!(found(TraceQuery { services: with(&["cart", "other"]), ..base.clone() }), 0);
        assert_eq!(found(TraceQuery { operation: Some("GET /".to_owned()), only_errors: true, ..base.clone() }), 1);
        assert_eq!(found(TraceQuery { operation: Some("sql".to_owned()), ..base.clone() }), 0);
        assert_eq!(found(TraceQuery { min_duration: 306, ..base.clone() }), 0);
        assert_eq!(found(TraceQuery { max_duration: 305, ..base }), 1);
    });
}

/// Scenario (R19): requests that were stored are sent again, within the window and long after it.
/// Guarantee: within it nothing changes; after it they are new.
#[test]
fn r19_what_comes_again_changes_nothing() {
    both(|engine| {
        let (log, part) = (logs("cart", NOW, &["x"]), span(1, 1, "cart", "GET", (NOW, NOW + 9), 1));
        for now in [NOW, NOW + 599 * SECOND] {
            engine.keep("t", Signal::Logs, &log, now).unwrap();
            engine.keep("t", Signal::Traces, &part, now).unwrap();
            assert_eq!((count(engine, "t", Signal::Logs), count(engine, "t", Signal::Traces)), (1, 1));
            assert_eq!(engine.traces(&TraceQuery::new("t"), &|| false).traces[0].spans, 1);
        }
        assert_eq!(engine.keep("t", Signal::Logs, &log, NOW + 700 * SECOND).unwrap(), Appended::Stored(1));
    });
}

/// Scenario (R23): records of three days, with times of their own, and a bound on age. Guarantee: whole days of arrival go, whatever time the
/// records bear; what came today stays; new ones are taken meanwhile.
#[test]
fn r23_days_that_are_too_old_go() {
    const DAY: u64 = 24 * 3600 * SECOND;
    both(|engine| {
        for day in 0..3 {
            let now = NOW + day * DAY + SECOND;
            engine.tick(now).unwrap();
            engine.keep("t", Signal::Logs, &logs("cart", 5 + day, &["old by its own time"]), now).unwrap();
            engine.keep("t", Signal::Traces, &span(day as u8 + 1, 1, "cart", "GET", (NOW, NOW + 9), 1), now).unwrap();
            engine.flush(now).unwrap();
        }
        let now = NOW + 2 * DAY + 2 * SECOND;
        engine.tick(now).unwrap();
        assert_eq!(count(engine, "t", Signal::Logs), 3);
        engine.set_retention(Some(Duration::from_secs(24 * 3600)), None);
        engine.tick(now).unwrap();
        let times: Vec<_> = rows(engine, &Query::new("t", Signal::Logs)).iter().map(|row| row.cursor.time).collect();
        assert_eq!((times, count(engine, "t", Signal::Traces)), (vec![7, 6], 2));
        assert_eq!(engine.traces(&TraceQuery::new("t"), &|| false).traces.len(), 2);
        engine.keep("t", Signal::Logs, &logs("cart", 9, &["new"]), now).unwrap();
        assert_eq!((count(engine, "t", Signal::Logs), engine.stats().removed_parts), (3, 1));
    });
}

/// Scenario: what PostgreSQL's types cannot hold: NUL, nanoseconds just before midnight, the largest unsigned number, NaN, a field nobody
/// knows, a length longer than needed. Guarantee: every engine gives back the bytes that came, and finds them.
#[test]
fn every_byte_comes_back() {
    both(|engine| {
        let mut request = MessageWriter::new();
        request.resource_entry(&[("service.name", AnyValue::Str(b"a\0b"))], "lib", |scope| {
            for time in [1, NOW - 1, NOW - 999, u64::MAX - 1] {
                let attributes = [("d", AnyValue::Double(f64::NAN)), ("nul\0", AnyValue::Str(b"x\0y"))];
                let body = AnyValue::Str(b"with \0 in it, 50% of_it\\");
                scope.log(&Log { time, body, attributes: &attributes, ..Log::default() });
            }
            scope.bytes(2, [0x10, 0x89, 0x80, 0x00, 0xa0, 0x06, 0x07]);
        });
        let request = request.finish();
        engine.keep("t", Signal::Logs, &request, NOW).unwrap();
        let mut expected = vec![];
        store::pieces(Signal::Logs, &request, NOW, |piece| {
            expected.push((piece.facts.time, piece.resource.to_vec(), piece.scope.to_vec(), piece.record.to_vec()));
        })
        .unwrap();
        expected.sort();
        expected.reverse();
        let found = rows(engine, &Query { limit: 2, ..Query::new("t", Signal::Logs) });
        let bytes =
            found.iter().map(|row| (row.cursor.time, row.resource.to_vec(), row.scope.to_vec(), row.record.to_vec()));
        assert_eq!(bytes.collect::<Vec<_>>(), expected);
        assert_eq!((&*found[0].text, &*found[0].service), ("with \0 in it, 50% of_it\\", "a\0b"));
        for (text, expected) in
            [("~\"50% of_it\\\\\"", 4), ("~50_", 0), ("d:NaN", 4), ("\"in it\"", 4), ("service:\"a\0b\"", 5)]
        {
            let query = Query { conditions: parse(text).unwrap(), ..Query::new("t", Signal::Logs) };
            assert_eq!(rows(engine, &query).len(), expected, "{text}");
        }
    });
}

const WORDS: [&str; 8] = ["alpha", "Beta", "gamma", "delta_x", "ÉPSILON", "fail", "fails", "time-out"];

/// A request of log records or spans, of every kind.
fn random_request(random: &mut fastrand::Rng, signal: Signal, unique: u64) -> Vec<u8> {
    let mut request = MessageWriter::new();
    for _ in 0..random.usize(1..4) {
        let service = ["cart", "checkout", "payment"][random.usize(0..3)];
        let pod = random.u8(0..3).to_string();
        let resource = [("service.name", AnyValue::Str(service.as_bytes())), ("pod", AnyValue::Str(pod.as_bytes()))];
        request.resource_entry(&resource, "lib", |scope| {
            for _ in 0..random.usize(0..8) {
                let time = NOW - random.u64(0..300 * SECOND);
                let words: Vec<_> = (0..random.usize(0..5)).map(|_| WORDS[random.usize(0..WORDS.len())]).collect();
                let body = words.join([" ", ", ", "x"][random.usize(0..3)]);
                let status = random.i64(0..4) * 100 + 200;
                let user = random.u8(0..6).to_string();
                let attributes = [
                    ("user.id", AnyValue::Str(user.as_bytes())),
                    ("status", AnyValue::Int(status)),
                    ("ok", AnyValue::Bool(status < 400)),
                    ("took", AnyValue::Double(status as f64 / 8.0)),
                ];
                let attributes = &attributes[..random.usize(0..=4)];
                let (trace_id, span_id) = ([random.u8(1..5); 16], [random.u8(1..200); 8]);
                if signal == Signal::Logs {
                    let has_trace = random.bool();
                    scope.log(&Log {
                        time,
                        severity_number: random.u32(0..25),
                        body: AnyValue::Str(body.as_bytes()),
                        attributes,
                        trace_id: if has_trace { &trace_id } else { &[] },
                        span_id: if has_trace { &span_id } else { &[] },
                        ..Log::default()
                    });
                } else {
                    scope.span(&wire::build::Span {
                        trace_id: &trace_id,
                        span_id: &span_id,
                        parent_span_id: if random.bool() { &[9; 8] } else { &[] },
                        name: &body,
                        start: time,
                        end: time + random.u64(0..5 * SECOND),
                        attributes,
                        status_code: random.u32(0..3),
                        ..Default::default()
                    });
                }
            }
        });
    }
    request.varint(77, unique);
    request.finish().to_vec()
}

const QUESTIONS: [&str; 24] = [
    "",
    "fail",
    "-fail",
    "\"alpha beta\"",
    "épsilon",
    "~LON",
    "~pha",
    "service:cart",
    "-service:cart",
    "severity>=error",
    "severity:warn fail",
    "-severity>=warn",
    "user.id:3",
    "status:200",
    "status>=300",
    "-status<400",
    "ok:true",
    "took:25",
    "took:*",
    "-took:*",
    "pod:1 beta",
    "trace:01010101010101010101010101010101",
    "span:0707070707070707",
    "out -ok:false",
];

/// Scenario: the same hundred random requests in both engines; questions of every kind, over times that are and are not whole minutes, in both
/// orders, page by page. Guarantee: both answer the same: rows, counts, histograms, traces, services, names, values, surroundings.
#[test]
fn both_engines_answer_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let config = store::Config { max_age: None, failures_as_logs: true, ..store::Config::default() };
    let (embedded, _) = Store::open(Arc::new(RealDisk), dir.path(), config, NOW).unwrap();
    let server = shared();
    let postgres = Postgres::open(postgres::Config { failures_as_logs: true, ..settings(&server) }).unwrap();
    let engines: [&dyn Engine; 2] = [&embedded, &postgres];
    let mut random = fastrand::Rng::with_seed(11);
    for unique in 0..100 {
        let signal = if random.bool() { Signal::Logs } else { Signal::Traces };
        let request = random_request(&mut random, signal, unique);
        for engine in engines {
            engine.keep("t", signal, &request, NOW).unwrap();
        }
    }
    for signal in [Signal::Logs, Signal::Traces] {
        for text in QUESTIONS {
            let minute = |random: &mut fastrand::Rng| NOW - random.u64(0..6) * 60 * SECOND;
            let (start, end) = match random.u8(0..4) {
                0 => (0, u64::MAX),
                1 => (minute(&mut random) - 200 * SECOND, minute(&mut random)),
                2 => (NOW - random.u64(0..300 * SECOND), NOW - random.u64(0..60 * SECOND)),
                _ => (0, NOW),
            };
            let order = if random.bool() { Order::NewestFirst } else { Order::OldestFirst };
            let limit = [3, 20, 1000][random.usize(0..3)];
            let conditions = parse(text).unwrap();
            let query = Query { conditions, start, end, order, limit, ..Query::new("t", signal) };
            let [ours, theirs] = engines.map(|engine| rows(engine, &query).iter().map(flat).collect::<Vec<_>>());
            assert!(ours == theirs, "{text} {query:?}: {} and {} rows", ours.len(), theirs.len());
            for buckets in [
                Buckets::ONE,
                Buckets { start: NOW - 360 * SECOND, width: 60 * SECOND, count: 7 },
                Buckets { start: NOW - 333 * SECOND, width: 7 * SECOND, count: 40 },
            ] {
                let [ours, theirs] = engines.map(|engine| {
                    let tally = engine.tally(&query, buckets, &|| false);
                    (tally.buckets, tally.services, tally.records, tally.is_complete)
                });
                assert_eq!(ours, theirs, "{text} {query:?} {buckets:?}");
            }
        }
        let query = Query::new("t", signal);
        let [ours, theirs] = engines.map(|engine| engine.fields(&query, &|| false));
        assert_eq!(ours, theirs);
        for key in ["user.id", "status", "took", "ok", "pod", "service.name"] {
            let [ours, theirs] = engines.map(|engine| engine.values(&query, key, 100, &|| false));
            assert_eq!(ours, theirs, "{key}");
        }
        let found = engines.map(|engine| rows(engine, &Query { limit: 1000, ..query.clone() }));
        for at in [0, 5, found[0].len() / 2, found[0].len() - 1] {
            for same_service in [false, true] {
                let [ours, theirs] = [0, 1].map(|which| {
                    let id = found[which][at].id();
                    let asked = Around { tenant: "t".to_owned(), signal, id, before: 3, after: 4, same_service };
                    let around = engines[which].around(&asked, &|| false);
                    let flat = |rows: &[store::Row]| rows.iter().map(flat).collect::<Vec<_>>();
                    (flat(&around.before), around.row.as_ref().map(common::flat), flat(&around.after))
                });
                assert_eq!(ours, theirs);
            }
        }
    }
    let query = ServiceQuery { tenant: "t".to_owned(), start: NOW - 250 * SECOND, end: NOW - 3 };
    let [ours, theirs] = engines.map(|engine| engine.services(&query, &|| false));
    assert_eq!(ours, theirs);
    let mut query = TraceQuery { limit: 2, ..TraceQuery::new("t") };
    loop {
        let [ours, theirs] = engines.map(|engine| engine.traces(&query, &|| false));
        assert_eq!(ours, theirs);
        let Some(next) = ours.next else { break };
        query.after = Some(next);
    }
}

/// Scenario: every question is asked by somebody who has gone. Guarantee: each ends at once, and says that it is not complete.
#[test]
fn every_question_can_be_ended() {
    both(|engine| {
        engine.keep("t", Signal::Logs, &logs("cart", NOW, &["x"]), NOW).unwrap();
        engine.keep("t", Signal::Traces, &span(1, 1, "cart", "GET", (NOW, NOW + 9), 1), NOW).unwrap();
        engine.flush(NOW).unwrap();
        let (query, gone) = (Query::new("t", Signal::Logs), || true);
        let search = engine.search(&query, &gone, &mut |_| true);
        let tally = engine.tally(&query, Buckets::ONE, &gone);
        let services = engine.services(&ServiceQuery { tenant: "t".to_owned(), start: 1, end: u64::MAX }, &gone);
        let traces = engine.traces(&TraceQuery::new("t"), &gone);
        let complete = [
            search.is_complete,
            tally.is_complete,
            services.is_complete,
            traces.is_complete,
            engine.fields(&query, &gone).is_complete,
            engine.values(&query, "text", 9, &gone).is_complete,
        ];
        assert_eq!(complete, [false; 6]);
    });
}
