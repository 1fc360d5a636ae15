//! What is too old or too much goes by whole folders, a tenant goes at once, and a sender's second try is not stored twice.

use super::model::Model;
use super::shop::{self, SECOND, START};
use crate::query::Query;
use crate::sim::SimDisk;
use crate::store::{Appended, Refused, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::Signal;

const DAY: u64 = 24 * 3600 * SECOND;

fn open(disk: &SimDisk, config: crate::Config, now: u64) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new("/store"), config, now).expect("it opens").0
}

fn days(disk: &SimDisk) -> Vec<String> {
    let paths = disk.files().into_iter().filter_map(|(path, _)| {
        let name = path.components().nth(2)?.as_os_str().to_str()?.to_owned();
        name.contains('.').then_some(name)
    });
    let mut names: Vec<_> = paths.collect();
    names.sort();
    names.dedup();
    names
}

fn count(store: &Store, tenant: &str) -> usize {
    store.search(&Query { limit: 10_000, ..Query::new(tenant, Signal::Logs) }, &|| false, &mut |_| true).rows
}

/// Scenario: records arrive on five days, kept for two. Guarantee: a day's folder goes two days after it ended, and its records with it;
/// the rest stays, also after the store is opened again.
#[test]
fn days_go_by_age() {
    let disk = SimDisk::new(1);
    let config = crate::Config { max_age: Some(Duration::from_secs(2 * 24 * 3600)), ..shop::config() };
    let store = open(&disk, config.clone(), START);
    let (mut random, mut model) = (fastrand::Rng::with_seed(1), Model::default());
    for day in 0..5 {
        let now = START + day * DAY;
        store.tick(now).expect("a tick");
        for unique in 0..10 {
            let request = shop::request(&mut random, Signal::Logs, day * 100 + unique, now);
            model.append(&store, "a", Signal::Logs, &request, now);
        }
        store.tick(now + 60 * SECOND).expect("a tick");
        store.tick(now + 120 * SECOND).expect("a tick");
    }
    // The day of START ends ten minutes later, so it is too old two days and ten minutes after.
    assert_eq!(days(&disk), ["2026-11-30.0", "2026-12-01.0", "2026-12-02.0"]);
    let last_days = |known: &&super::model::Known| known.cursor.time >= START + 2 * DAY - 200 * SECOND;
    let kept = model.records.iter().filter(last_days).count();
    assert_eq!(count(&store, "a"), kept);
    assert_eq!(store.stats().removed_parts, 2);
    drop(store);
    let store = open(&disk, config, START + 4 * DAY);
    assert_eq!(count(&store, "a"), kept);
}

/// Scenario: more bytes arrive than may be kept, all on one day. Guarantee: the day is divided and its oldest parts go; what is left is
/// within the bound but for the part that is written, and the newest records are there.
#[test]
fn parts_go_by_bytes() {
    let disk = SimDisk::new(1);
    let most = 16 << 20;
    let config = crate::Config {
        max_bytes: Some(most),
        chunk_records: 1000,
        chunk_bytes: 1 << 20,
        open_bytes: 4 << 20,
        commit_bytes: 1 << 20,
        ..shop::config()
    };
    let store = open(&disk, config, START);
    let mut random = fastrand::Rng::with_seed(1);
    let mut last = 0;
    for unique in 0..600u64 {
        let mut request = wire::build::MessageWriter::new();
        request.resource_entry(&[], "", |scope| {
            for record in 0..20 {
                last = START + unique * 100 + record;
                let noise: Vec<u8> = (0..2000).map(|_| random.u8(..)).collect();
                let body = wire::key::AnyValue::Bytes(&noise);
                scope.log(&wire::build::Log { time: last, body, ..Default::default() });
            }
        });
        store.append("a", Signal::Logs, request.as_slice(), 0, START).expect("room");
        if unique % 20 == 0 {
            store.tick(START).expect("a tick");
        }
    }
    store.tick(START).expect("a tick");
    let stats = store.stats();
    assert!(stats.bytes <= most + most / 4 && stats.bytes > most / 2, "{} bytes", stats.bytes);
    assert!(stats.parts > 1 && stats.removed_parts > 3, "{stats:?}");
    let mut newest = 0;
    store.search(&Query { limit: 1, ..Query::new("a", Signal::Logs) }, &|| false, &mut |row| {
        newest = row.cursor.time;
        true
    });
    assert_eq!(newest, last);
}

/// Scenario: a tenant is deleted, with chunks everywhere, and sends again. Guarantee: all it had is gone, for good; the other's is there,
/// and what it sends afterwards too.
#[test]
fn a_tenant_is_deleted() {
    let disk = SimDisk::new(1);
    let store = open(&disk, shop::config(), START);
    let (mut random, mut model) = (fastrand::Rng::with_seed(1), Model::default());
    for unique in 0..30 {
        let request = shop::request(&mut random, Signal::Logs, unique, START);
        model.append(&store, ["a", "b"][unique as usize % 2], Signal::Logs, &request, START);
        if unique == 15 {
            store.tick(START + 40 * SECOND).expect("a tick");
        }
    }
    let kept = count(&store, "b");
    assert!(kept > 0 && count(&store, "a") > 0);
    store.delete_tenant("a", START).expect("a disk");
    assert_eq!((count(&store, "a"), count(&store, "b")), (0, kept));
    let request = shop::request(&mut random, Signal::Logs, 77, START);
    let Ok(Appended::Stored(fresh)) = store.append("a", Signal::Logs, &request, 0, START) else { panic!("refused") };
    store.sync().expect("a sync");
    drop(store);
    let disk = disk.crash();
    let store = open(&disk, shop::config(), START);
    assert_eq!((count(&store, "a"), count(&store, "b")), (fresh, kept));
    assert!(disk.files().iter().all(|(path, _)| !path.to_string_lossy().contains("/t-a/")));
}

/// Scenario: the same bytes again, at once, after nine minutes, after eleven, of another tenant, after the store was opened again.
/// Guarantee: within ten minutes they are one request of a tenant, and counted.
#[test]
fn a_second_try_is_dropped() {
    let disk = SimDisk::new(1);
    let store = open(&disk, shop::config(), START);
    let request = shop::request(&mut fastrand::Rng::with_seed(8), Signal::Logs, 1, START);
    let records = shop::records(Signal::Logs, &request).len();
    assert!(records > 0);
    let minutes = |minutes: u64| START + minutes * 60 * SECOND;
    let append = |store: &Store, tenant: &str, now| store.append(tenant, Signal::Logs, &request, 3, now).expect("room");
    assert_eq!(append(&store, "a", START), Appended::Stored(records));
    assert_eq!(append(&store, "a", START), Appended::Repeated(records));
    assert_eq!(append(&store, "b", START), Appended::Stored(records));
    assert_eq!(append(&store, "a", minutes(9)), Appended::Repeated(records));
    assert_eq!(append(&store, "a", minutes(11)), Appended::Stored(records));
    let stats = store.stats();
    assert_eq!((stats.repeated_requests, stats.repeated_records), (2, 2 * records as u64));
    assert_eq!(store.sync().expect("a sync"), [3, 0]);
    store.flush(minutes(11)).expect("a flush");
    drop(store);
    let store = open(&disk, shop::config(), minutes(12));
    assert_eq!(append(&store, "a", minutes(13)), Appended::Repeated(records));
    assert_eq!(store.sync().expect("a sync"), [3, 0]);
}

/// Scenario: metrics, a fourth tenant of three, a name that is no folder's, bytes that are no request.
/// Guarantee: each is refused with its reason, counted, and nothing of it is stored.
#[test]
fn what_cannot_be_stored_is_refused() {
    let store = open(&SimDisk::new(1), shop::config(), START);
    let empty: &[u8] = &[];
    for tenant in ["a", "b", "c"] {
        store.append(tenant, Signal::Logs, empty, 0, START).expect("room");
    }
    let refused =
        |tenant: &str, signal, request: &[u8]| store.append(tenant, signal, request, 0, START).expect_err("no");
    assert!(matches!(refused("a", Signal::Metrics, empty), Refused::Signal(Signal::Metrics)));
    assert!(matches!(refused("d", Signal::Logs, empty), Refused::TooManyTenants(3)));
    assert!(matches!(refused(&"x".repeat(300), Signal::Logs, empty), Refused::TenantName));
    assert!(matches!(refused("a", Signal::Logs, &[0x0a, 0x7f]), Refused::Malformed(_)));
    assert_eq!((store.stats().refused_requests, store.stats().stored_records), (4, 0));
}

/// Scenario: a day is over; it is rewritten, once with an end that comes early. Guarantee: the early end changes nothing; then chunks are
/// fewer and bytes less, every record is there, and there is nothing more to rewrite; a second opening finds it so.
#[test]
fn a_day_that_is_over_is_rewritten_once() {
    let disk = SimDisk::new(1);
    let config = crate::Config { rewrite_records: 8000, max_age: None, ..shop::config() };
    let store = open(&disk, config.clone(), START);
    let (mut random, mut model) = (fastrand::Rng::with_seed(1), Model::default());
    for unique in 0..60 {
        let request = shop::request(&mut random, Signal::Logs, unique, START);
        model.append(&store, "a", Signal::Logs, &request, START);
    }
    assert!(!store.rewrite(&|| false).expect("a disk").is_done, "the day is not over");
    store.tick(START + DAY).expect("a tick");
    let before = store.stats();
    assert!(!store.rewrite(&|| true).expect("a disk").is_done);
    assert_eq!(store.stats(), before);
    let rewritten = store.rewrite(&|| false).expect("a disk");
    assert!(rewritten.is_done && rewritten.after < rewritten.before, "{rewritten:?}");
    let after = store.stats();
    assert!(after.bytes < before.bytes && after.chunks == 4 && before.chunks > 20, "{before:?} {after:?}");
    assert!(!store.rewrite(&|| false).expect("a disk").is_done);
    assert_eq!(count(&store, "a"), model.records.len());
    assert!(disk.files().iter().all(|(path, _)| !path.to_string_lossy().ends_with(".new")));
    drop(store);
    let store = open(&disk, config, START + DAY);
    assert_eq!((count(&store, "a"), store.stats().chunks), (model.records.len(), 4));
}
