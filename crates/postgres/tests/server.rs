//! What only PostgreSQL can do to us: it is killed, refuses rows, is shared, is gone.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of a test may panic as the test itself may.

mod common;

use common::{NOW, SECOND, Server, count, logs, rows, settings, shared, span};
use parking_lot::Mutex;
use postgres::{Config, OpenError, Postgres};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use store::{Appended, Engine, Query, Refused, TraceQuery};
use wire::Signal;

/// Scenario (R24, R25): PostgreSQL is killed with -9 three times in the middle of writes by several threads; what was not answered is sent again, as
/// a lane does. Guarantee: acknowledged rows missing 0, twice 0; traces count each span once.
#[test]
fn r25_postgres_killed_with_9_in_the_middle_of_writes_loses_and_doubles_nothing() {
    let server = Server::start();
    let store = Postgres::open(settings(&server)).unwrap();
    let (is_over, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeMap::<String, u32>::new()));
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, is_over, acknowledged, failed) = (&store, &is_over, &acknowledged, &failed);
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Relaxed) {
                        return;
                    }
                    let text = format!("{thread}-{number}");
                    let log = logs("cart", NOW + number, &[&text]);
                    let part = span(thread + 1, 1, "cart", &text, (NOW, NOW + 9), 1);
                    for (signal, request) in [(Signal::Logs, log), (Signal::Traces, part)] {
                        while let Err(refused) = store.keep("t", signal, &request, NOW) {
                            assert!(matches!(refused, Refused::Disk(_)), "{refused}");
                            *failed.lock() += 1;
                        }
                    }
                    acknowledged.lock().insert(text, 0);
                }
            });
        }
        for _ in 0..3 {
            let before = acknowledged.lock().len();
            while acknowledged.lock().len() < before + 40 {
                std::thread::yield_now();
            }
            server.kill_and_start();
        }
        let before = acknowledged.lock().len();
        while acknowledged.lock().len() < before + 40 {
            std::thread::yield_now();
        }
        is_over.store(true, Relaxed);
    });
    let expected = acknowledged.into_inner();
    for signal in [Signal::Logs, Signal::Traces] {
        let mut found = expected.clone();
        for row in rows(&store, &Query { limit: 1000, ..Query::new("t", signal) }) {
            *found.get_mut(&row.text).expect("only what was acknowledged") += 1;
        }
        let missing = found.values().filter(|count| **count == 0).count();
        let twice = found.values().filter(|count| **count > 1).count();
        assert_eq!((missing, twice), (0, 0), "of {} ({signal})", found.len());
    }
    let spans: u64 = store.traces(&TraceQuery::new("t"), &|| false).traces.iter().map(|trace| trace.spans).sum();
    assert_eq!(spans, expected.len() as u64);
}

/// Scenario: an administrator's constraint refuses some rows of some requests that are written together.
/// Guarantee: these requests are refused for good and whole, each for its own row; their neighbours are stored, and nothing is counted or shown
/// that is not there.
#[test]
fn rows_that_are_refused_are_found() {
    let server = shared();
    let config = settings(&server);
    let store = Postgres::open(config.clone()).unwrap();
    store.tick(NOW).unwrap();
    server.sql(&format!("ALTER TABLE {}.logs ADD CONSTRAINT sober CHECK (body NOT LIKE '%poison%')", config.schema));
    let tail = store.live().subscribe(&Query::new("t", Signal::Logs), 100, || {}).unwrap();
    std::thread::scope(|scope| {
        for number in 0..12u64 {
            let store = &store;
            scope.spawn(move || {
                let last = if number % 3 == 0 { format!("poison {number}") } else { "well".to_owned() };
                let request = logs("cart", NOW + number * 100, &["good", "fine", &last]);
                // A refused request is refused again, however often it comes.
                for _ in 0..2 {
                    match store.keep("t", Signal::Logs, &request, NOW) {
                        Err(Refused::Record(why)) => assert!(number % 3 == 0 && why.contains("sober"), "{why}"),
                        Ok(Appended::Stored(3) | Appended::Repeated(3)) => assert_ne!(number % 3, 0),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_eq!((count(&store, "t", Signal::Logs), tail.take(100).rows.len()), (24, 24));
    assert_eq!(store.tally(&Query::new("t", Signal::Logs), store::Buckets::ONE, &|| false).records, 24);
}

/// Scenario: two processes open the same schema at once and send the same requests at the same time.
/// Guarantee: the tables are made once, each request is stored by one of them, and both see everything.
#[test]
fn several_processes_share_a_database() {
    let server = shared();
    let config = settings(&server);
    let open = || Postgres::open(config.clone()).unwrap();
    let stores = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let stored: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .map(|store| {
                scope.spawn(move || {
                    let requests = (0..30).map(|number| span(number % 5 + 1, number, "cart", "GET", (NOW, NOW + 9), 2));
                    let kept = requests.map(|request| store.keep("t", Signal::Traces, &request, NOW).unwrap());
                    kept.filter(|kept| *kept == Appended::Stored(1)).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(stored, 30);
    for store in &stores {
        assert_eq!(count(store, "t", Signal::Traces), 30);
        let traces = store.traces(&TraceQuery::new("t"), &|| false).traces;
        assert_eq!(traces.iter().map(|trace| (trace.spans, trace.errors)).collect::<Vec<_>>(), [(6, 6); 5]);
    }
}

/// Scenario: there is no server; tables of a version that is not known; a server that is killed and started, while nobody writes.
/// Guarantee: the first two are told, one as what may be tried again; after the last everything goes on.
#[test]
fn a_server_that_is_gone_is_told() {
    let nobody = Config { url: "host=/nonexistent user=x dbname=x".to_owned(), ..Config::default() };
    assert!(matches!(Postgres::open(nobody), Err(OpenError::Unavailable(_))));
    let server = Server::start();
    let config = settings(&server);
    let store = Postgres::open(config.clone()).unwrap();
    store.keep("t", Signal::Logs, &logs("cart", NOW, &["x"]), NOW).unwrap();
    server.kill_and_start();
    assert_eq!(count(&store, "t", Signal::Logs), 1);
    store.keep("t", Signal::Logs, &logs("cart", NOW + 1, &["x"]), NOW).unwrap();
    server.sql(&format!("UPDATE {}.version SET number = 99", config.schema));
    assert!(Postgres::open(config).is_err_and(|error| error.to_string().contains("version 99")));
    drop(server);
    let refused = store.keep("t", Signal::Logs, &logs("cart", NOW + 2, &["x"]), NOW);
    let Err(Refused::Disk(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert!(!store.search(&Query::new("t", Signal::Logs), &|| false, &mut |_| true).is_complete);
}

/// How many log records a second are stored durably, in requests of 100 by eight senders. Run it with `--release -- --ignored --nocapture speed`.
#[test]
#[ignore = "it measures"]
#[allow(clippy::disallowed_methods)] // It measures.
fn speed() {
    let server = Server::start();
    let store = Postgres::open(settings(&server)).unwrap();
    let body = "order 17c2 of user u-9912 was declined by payment after 231 ms: insufficient funds, retry in 30 s, attempt 2 of 5";
    let start = std::time::Instant::now();
    let (senders, requests) = (8u64, 400u64);
    std::thread::scope(|scope| {
        for sender in 0..senders {
            let store = &store;
            scope.spawn(move || {
                for number in 0..requests {
                    let texts = [body; 100];
                    let service = format!("service-{}", (sender * requests + number) % 16);
                    let request = logs(&service, NOW + sender * SECOND + number * 1000, &texts);
                    store.keep("t", Signal::Logs, &request, NOW).unwrap();
                }
            });
        }
    });
    let took = start.elapsed();
    let records = senders * requests * 100;
    println!("{records} records in {took:?}: {:.0} a second", records as f64 / took.as_secs_f64());
    assert_eq!(store.stats().stored_records, records);
}
