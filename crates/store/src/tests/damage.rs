//! Damage on disk costs what it touches. The store opens, answers, and takes in whatever happened to its files.

use super::model::Model;
use super::shop::{self, SECOND, START, everything};
use crate::query::Query;
use crate::sim::SimDisk;
use crate::store::{Opened, Store};
use proptest::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Signal;

fn open(disk: &SimDisk, now: u64) -> (Store, Opened) {
    Store::open(Arc::new(disk.clone()), Path::new("/store"), shop::config(), now).expect("it opens")
}

/// A store with requests in segments, and a list of what is in it.
fn filled(disk: &SimDisk, requests: u64, random: &mut fastrand::Rng) -> Model {
    let mut model = Model::default();
    let (store, _) = open(disk, START);
    for unique in 0..requests {
        let signal = if unique % 3 == 0 { Signal::Traces } else { Signal::Logs };
        let request = shop::request(random, signal, unique, START);
        model.append(&store, "a", signal, &request, START);
        if random.u8(0..4) == 0 {
            store.tick(START + unique * SECOND).expect("a tick");
        }
    }
    store.flush(START).expect("a flush");
    drop(store);
    // What the journal still has would only be made again.
    paths(disk, ".log").iter().for_each(|path| disk.erase(path));
    model
}

fn paths(disk: &SimDisk, end: &str) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

fn records(store: &Store) -> usize {
    [Signal::Logs, Signal::Traces].into_iter().map(|signal| everything(store, "a", signal).len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Scenario: bytes of any file are changed, files are cut or removed, several at once; then the store is opened, asked, written, opened.
    /// Guarantee: it opens and answers; what it gives is what was put in, none of it twice; what is put in afterwards is there.
    #[test]
    fn damage_never_stops_it(seed in any::<u64>(), hits in 1usize..5) {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new(seed);
        let mut model = filled(&disk, 25, &mut random);
        for _ in 0..hits {
            let files = disk.files();
            let (path, len) = &files[random.usize(0..files.len())];
            match random.u8(0..6) {
                0 => disk.erase(path),
                1 => disk.edit(path, |bytes| bytes.truncate(random.usize(0..=*len))),
                2 => disk.edit(path, |bytes| bytes.extend((0..random.usize(0..90)).map(|_| random.u8(..)))),
                _ if *len > 0 => disk.edit(path, |bytes| {
                    let from = random.usize(0..bytes.len());
                    let to = (from + random.usize(1..40)).min(bytes.len());
                    bytes[from..to].iter_mut().for_each(|byte| *byte = byte.wrapping_add(random.u8(1..)));
                }),
                _ => {}
            }
        }
        let (store, _) = open(&disk, START);
        let fresh = shop::request(&mut random, Signal::Logs, 1_000_000, START);
        let before = model.records.len();
        let appended = store.append("a", Signal::Logs, &fresh, 0, START);
        prop_assert!(appended.is_ok());
        let flats = shop::records(Signal::Logs, &fresh);
        store.sync().expect("a sync");
        store.flush(START).expect("a flush");
        drop(store);
        let (store, _) = open(&disk, START);
        let known: HashSet<Vec<u8>> = model.records.drain(..before).map(|known| known.flat.record).collect();
        let mut found = 0;
        for signal in [Signal::Logs, Signal::Traces] {
            let there = everything(&store, "a", signal);
            let places: HashSet<_> = there.iter().map(|(place, _)| *place).collect();
            prop_assert_eq!(places.len(), there.len(), "something is there twice");
            for (_, flat) in there {
                let is_fresh = flats.contains(&flat);
                found += usize::from(is_fresh);
                prop_assert!(is_fresh || known.contains(&flat.record));
            }
        }
        prop_assert_eq!(found, flats.len());
        // Questions are answered; what cannot be read they say.
        let rows = store.search(&Query { limit: 1000, ..Query::new("a", Signal::Logs) }, &|| false, &mut |_| true);
        prop_assert!(rows.rows >= flats.len());
    }
}

/// Scenario: all indexes are lost; all filters are lost; the last entry of an index is torn.
/// Guarantee: everything is found again, and searches find what they found.
#[test]
fn indexes_and_filters_are_not_needed() {
    let mut random = fastrand::Rng::with_seed(3);
    let disk = SimDisk::new(3);
    let model = filled(&disk, 40, &mut random);
    let query =
        Query { conditions: crate::parse("error").expect("a query"), limit: 1000, ..Query::new("a", Signal::Logs) };
    let expected = model.matching(&query).len();
    assert!(expected > 2);
    let check = |is_found: bool| {
        let (store, opened) = open(&disk, START);
        assert_eq!((opened.foreign, opened.found > 0), (0, is_found));
        assert_eq!(records(&store), model.records.len());
        let found = store.search(&query, &|| false, &mut |_| true);
        assert!(found.is_complete);
        assert_eq!(found.rows, expected);
    };
    paths(&disk, ".idx").iter().for_each(|path| disk.erase(path));
    check(true);
    check(false);
    paths(&disk, ".flt").iter().for_each(|path| disk.erase(path));
    check(false);
    paths(&disk, ".idx").iter().for_each(|path| disk.edit(path, |bytes| bytes.truncate(bytes.len() - 1)));
    check(true);
    check(false);
}

/// Scenario: a byte in the middle of one chunk's frames is changed.
/// Guarantee: that chunk is lost and counted, all others are there.
#[test]
fn a_damaged_chunk_costs_itself() {
    let mut random = fastrand::Rng::with_seed(4);
    let disk = SimDisk::new(4);
    let model = filled(&disk, 40, &mut random);
    let path = paths(&disk, "logs.seg").remove(0);
    let (store, _) = open(&disk, START);
    let at = store.catalog.read().entries().find(|(_, _, place, _)| *place == 0).map(|its| its.3.frames_at + 5);
    disk.edit(&path, |bytes| bytes[at.expect("a chunk") as usize] ^= 1);
    let all = records(&store);
    assert!(model.records.len() - 7 - 6 <= all && all < model.records.len(), "{all} of {}", model.records.len());
    let found = store.search(&Query { limit: 1000, ..Query::new("a", Signal::Logs) }, &|| false, &mut |_| true);
    assert!(!found.is_complete && found.damaged == 1);
    assert_eq!(store.stats().damaged_chunks, 1);
}

/// Scenario: every bit of the filters is lost, or some are, while the files keep their lengths.
/// Guarantee: a filter that is not what was written is not believed: every search finds all that it found before.
#[test]
fn damaged_filters_hide_nothing() {
    let mut random = fastrand::Rng::with_seed(6);
    for number in 0..8 {
        let disk = SimDisk::new(number);
        let model = filled(&disk, 25, &mut random);
        for path in paths(&disk, ".flt") {
            disk.edit(&path, |bytes| {
                for byte in bytes.iter_mut().skip(24) {
                    if number == 0 || random.u8(0..3) == 0 {
                        *byte &= random.u8(..);
                    }
                }
            });
        }
        let (store, opened) = open(&disk, START);
        assert_eq!(opened.lost, 0);
        for text in ["error", "alpha", "user.id:3", "status:200", "trace:01070000000000000000000000000000"] {
            let conditions = crate::parse(text).expect("a query");
            for signal in [Signal::Logs, Signal::Traces] {
                let query = Query { conditions: conditions.clone(), limit: 1000, ..Query::new("a", signal) };
                let found = store.search(&query, &|| false, &mut |_| true);
                assert_eq!((found.rows, found.is_complete), (model.matching(&query).len(), true), "{text}");
            }
        }
    }
}
