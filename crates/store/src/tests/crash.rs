//! Whatever happens to the machine, what was synced is there once, and a request is there whole or not at all.

use super::shop::{self, Flat, SECOND, START, everything};
use crate::sim::{Fault, SimDisk};
use crate::store::{Appended, Store};
use crate::text::lossy;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use wire::Signal;

const ROOT: &str = "/store";
const TENANTS: [&str; 2] = ["a", "b/.."];

#[derive(Clone, Debug)]
enum Act {
    Append {
        tenant: usize,
        spans: bool,
    },
    /// The last request once more.
    Again,
    Sync,
    Tick {
        seconds: u64,
    },
    Flush,
    /// The next day begins, and what is rewritten is.
    Rewrite,
    Delete {
        tenant: usize,
    },
    Fault(u8),
    /// The power goes after so many operations of the disk.
    Power(usize),
    Crash,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..2usize, any::<bool>()).prop_map(|(tenant, spans)| Act::Append { tenant, spans }),
        1 => Just(Act::Again),
        5 => Just(Act::Sync),
        4 => prop_oneof![0..3u64, 20..40u64, 500..700u64].prop_map(|seconds| Act::Tick { seconds }),
        1 => Just(Act::Flush),
        1 => Just(Act::Rewrite),
        1 => (0..2usize).prop_map(|tenant| Act::Delete { tenant }),
        1 => (0..6u8).prop_map(Act::Fault),
        1 => (0..60usize).prop_map(Act::Power),
        1 => Just(Act::Crash),
        1 => Just(Act::Reopen),
    ]
}

/// A request that was put in.
struct Put {
    tenant: usize,
    signal: Signal,
    records: Vec<Flat>,
    is_synced: bool,
    /// It was taken back: the tenant was deleted, surely or perhaps.
    is_deleted: Option<bool>,
}

struct Test {
    disk: SimDisk,
    store: Option<Store>,
    random: fastrand::Rng,
    now: u64,
    puts: Vec<Put>,
    /// When it came, too.
    last: Option<(usize, Signal, Vec<u8>, u64)>,
}

impl Test {
    fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let mut test = Test { disk: SimDisk::new(seed), store: None, random, now: START, puts: vec![], last: None };
        test.open();
        test
    }

    fn open(&mut self) {
        self.store = None;
        let open = |disk: &SimDisk, now| {
            let config = crate::Config { max_age: None, ..shop::config() };
            Store::open(Arc::new(disk.clone()), Path::new(ROOT), config, now)
        };
        let mut opened = open(&self.disk, self.now);
        if self.disk.is_down() {
            // The power went meanwhile.
            drop(opened);
            self.disk = self.disk.crash();
            opened = open(&self.disk, self.now);
        }
        self.disk.die_after(usize::MAX);
        let (store, opened) = opened.expect("it opens");
        assert_eq!(opened.foreign, 0);
        self.store = Some(store);
        self.compare();
    }

    fn act(&mut self, act: &Act) {
        let Some(store) = &self.store else { return };
        match act {
            Act::Append { tenant, spans } => {
                let signal = if *spans { Signal::Traces } else { Signal::Logs };
                let request = shop::request(&mut self.random, signal, self.puts.len() as u64, self.now);
                let records = shop::records(signal, &request);
                let count = records.len();
                match store.append(TENANTS[*tenant], signal, &request, self.puts.len() as u64 + 1, self.now) {
                    Ok(appended) => {
                        assert_eq!(appended, Appended::Stored(count));
                        self.puts.push(Put { tenant: *tenant, signal, records, is_synced: false, is_deleted: None });
                        self.last = Some((*tenant, signal, request, self.now));
                    }
                    Err(error) => assert!(matches!(error, crate::Refused::Disk(_)), "{error}"),
                }
            }
            Act::Again => {
                let Some((tenant, signal, request, at)) = &self.last else { return };
                if self.now - at > 600 * SECOND {
                    return;
                }
                let again = store.append(TENANTS[*tenant], *signal, request, 0, self.now);
                // One without records is remembered nowhere but in the journal.
                assert!(matches!(again, Ok(Appended::Repeated(_) | Appended::Stored(0)) | Err(_)), "{again:?}");
            }
            Act::Sync => {
                if store.sync().is_ok() {
                    self.puts.iter_mut().for_each(|put| put.is_synced = true);
                }
            }
            Act::Tick { seconds } => {
                self.now += seconds * SECOND;
                let _ = store.tick(self.now);
            }
            Act::Flush => drop(store.flush(self.now)),
            Act::Rewrite => {
                self.now += 24 * 3600 * SECOND;
                let _ = store.tick(self.now);
                while store.rewrite(&|| false).is_ok_and(|rewritten| rewritten.is_done) {}
            }
            Act::Delete { tenant } => {
                let is_done = store.delete_tenant(TENANTS[*tenant], self.now).is_ok();
                let its = self.puts.iter_mut().filter(|put| put.tenant == *tenant);
                its.for_each(|put| put.is_deleted = Some(is_done || put.is_deleted == Some(true)));
                self.last = None;
            }
            Act::Fault(fault) => {
                let faults = [Fault::Full, Fault::Sync, Fault::Stuck, Fault::Read];
                self.disk.fault(faults.get(usize::from(*fault)).copied());
            }
            Act::Power(operations) => self.disk.die_after(*operations),
            Act::Crash => {
                self.disk = self.disk.crash();
                self.last = None;
                return self.open();
            }
            Act::Reopen => {
                if self.disk.is_down() {
                    return;
                }
                self.disk.fault(None);
                // The process ends without a word; the machine goes on.
                self.store = None;
                if self.puts.last().is_some_and(|put| !put.is_synced) {
                    self.last = None;
                }
                return self.open();
            }
        }
        if self.disk.is_down() {
            self.disk = self.disk.crash();
            self.last = None;
            self.open();
        }
    }

    /// What is there is what was put in: what was synced all, of the rest each request whole or not at all. What is there then stays.
    fn compare(&mut self) {
        let Some(store) = &self.store else { return };
        for (tenant, name) in TENANTS.iter().enumerate() {
            for signal in [Signal::Logs, Signal::Traces] {
                let there = everything(store, name, signal);
                let mut requests: Vec<(u64, Vec<Flat>)> = vec![];
                for ((request, _), flat) in there {
                    match requests.last_mut() {
                        Some((last, flats)) if *last == request => flats.push(flat),
                        _ => requests.push((request, vec![flat])),
                    }
                }
                let mut requests = requests.into_iter().map(|(_, flats)| flats).peekable();
                let its = |put: &Put| put.tenant == tenant && put.signal == signal && !put.records.is_empty();
                self.puts.retain_mut(|put| {
                    if !its(put) {
                        return true;
                    }
                    if put.is_deleted != Some(true) && requests.next_if(|flats| *flats == put.records).is_some() {
                        put.is_synced = true;
                        return true;
                    }
                    let texts: Vec<_> = put.records.iter().map(|flat| lossy(&flat.record)).collect();
                    assert!(!put.is_synced || put.is_deleted.is_some(), "a synced request is lost: {texts:?}");
                    false
                });
                let strange: Vec<_> = requests.flatten().map(|flat| lossy(&flat.record).into_owned()).collect();
                assert!(strange.is_empty(), "there is what was not put in, or twice, or a part of it: {strange:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Scenario: requests of two tenants, syncs, time, deletions, a disk that is full, fails to sync or to read, power cuts at any operation.
    /// Guarantee: after every opening, what was synced is there, once, byte by byte; of what was not a request is there whole or not at
    /// all; what was deleted is not there; and it opens.
    #[test]
    fn nothing_synced_is_ever_lost(seed in any::<u64>(), acts in proptest::collection::vec(act(), 1..60)) {
        let mut test = Test::new(seed);
        acts.iter().for_each(|act| test.act(act));
        test.act(&Act::Crash);
        test.act(&Act::Reopen);
    }
}
