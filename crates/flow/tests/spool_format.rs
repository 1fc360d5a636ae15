//! Queues that older versions wrote are read: the files of each version of the format are kept beside this file, as that version
//! wrote them.
//!
//! What is in `spool-v1` is said here, in [`PIECES`], [`LIVE`] and [`LETTERS`]. A new version of the format gets a folder of its own
//! (`cargo test -p bywash-flow --test spool_format -- --ignored` writes it); those that there are, and what is said of them,
//! never change.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, wherever it stands")]

use flow::dead_letters::{DeadLetters, Filter, Letter, Which};
use flow::spool::disk::{Disk, RealDisk};
use flow::spool::frame::{COPIED, Found, SEGMENT_HEADER, SegmentStart, VERSION, read_segment_header, scan};
use flow::spool::store::Recovered;
use flow::spool::{DeadLettersConfig, Key, Piece, Store, StoreConfig};
use flow::{Kind, Meta, Payload, Target};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wire::Signal;

/// Small, so that a few pieces are several segments.
const SHAPE: StoreConfig = StoreConfig { segment_bytes: 1000 };
/// Letters of any age and number stay.
const BOUNDS: DeadLettersConfig = DeadLettersConfig { max_bytes: 0, max_age: Duration::ZERO };

const A: &str = "backend-a:4317";
const B: &str = "backend-b.example:4317";
const TENANT: Option<&str> = Some("größe");

/// The pieces of the logs, by their ids: of `0..PIECES` those in [`LIVE`] are live, the others are marked as done. They came in a
/// millisecond after the other from [`BEGIN`] on, in five segments. The payload of each is [`request`] of its id.
const PIECES: u64 = 48;
const BEGIN: u64 = 1_700_000_000_000;
/// Id, target and tenant of what is live, and when it was first attempted, as marks say.
const LIVE: [(u64, &str, Option<&str>, u64); 9] = [
    // Copied out of the first segment, which still holds it: nothing but the copy says that it is void there.
    (COPIED_ID, A, None, 1_700_000_100_001),
    (2, A, None, 0),
    (13, B, Some("t-1"), 0),
    // A tenant without a name is one.
    (17, B, Some(""), 0),
    (24, B, TENANT, 1_700_000_100_024),
    // It was taken while there was no target.
    (30, "", TENANT, 0),
    (35, B, None, 0),
    (41, B, None, 1_700_000_100_041),
    (46, B, None, 0),
];
const COPIED_ID: u64 = 1;

/// A dead letter. Its id is its place in the list, its payload is [`request`] of a hundred more.
struct Buried {
    target: &'static str,
    reason: Kind,
    text: &'static str,
    attempts: u32,
    is_discarded: bool,
}

const LETTERS: [Buried; 3] = [
    Buried { target: A, reason: Kind::BadData, text: "400: \"no\" – größe", attempts: 1, is_discarded: false },
    Buried { target: A, reason: Kind::Timeout, text: "", attempts: 2, is_discarded: true },
    Buried { target: B, reason: Kind::Expired, text: "too old", attempts: 70_000, is_discarded: false },
];
const BURIED_AT: u64 = 1_700_000_200_000;

fn field(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2, u8::try_from(body.len()).unwrap()], body].concat()
}

/// An export request of one record that is called by this number.
fn request(signal: Signal, number: u64) -> Vec<u8> {
    let name = format!("record {number}");
    let record = match signal {
        Signal::Logs => field(5, &field(1, name.as_bytes())),
        Signal::Traces => field(5, name.as_bytes()),
        Signal::Metrics => [field(1, name.as_bytes()), field(5, &field(1, &[]))].concat(),
    };
    field(1, &field(2, &field(2, &record)))
}

fn payload(signal: Signal, number: u64, tenant: Option<&str>) -> Payload {
    let meta = Arc::new(Meta { tenant: tenant.map(Arc::from), ..Meta::default() });
    Payload { meta, ..Payload::new(signal, request(signal, number), 1) }
}

fn letters() -> impl Iterator<Item = Letter> {
    (0..).zip(&LETTERS).map(|(n, buried)| Letter {
        payload: payload(Signal::Logs, 100 + n, TENANT),
        target: Target::new(buried.target),
        reason: buried.reason,
        text: buried.text.to_owned(),
        first: BURIED_AT - 1000,
        last: BURIED_AT - 1,
        attempts: buried.attempts,
        at: BURIED_AT + n,
    })
}

fn fixture(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/spool-v{version}"))
}

fn open(dir: &Path) -> (Store, Recovered) {
    Store::open(Arc::new(RealDisk), dir, SHAPE).unwrap()
}

fn open_letters(dir: &Path) -> DeadLetters {
    DeadLetters::open(Arc::new(RealDisk), &dir.join("logs/dead"), BOUNDS).unwrap()
}

/// A copy of the files of version 1, because whoever opens a queue writes to it.
fn copy() -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(&from, &to).unwrap();
            }
        }
    }
    let dir = TempDir::new().unwrap();
    copy(&fixture(1), dir.path());
    dir
}

/// The ids of the frames in the segments of a queue, in order, and of those that are copies.
fn frames(dir: &Path) -> (Vec<u64>, Vec<u64>) {
    let mut names = RealDisk.list(dir).unwrap();
    names.sort();
    let (mut ids, mut copies) = (vec![], vec![]);
    for name in names.iter().filter(|name| name.ends_with(".seg")) {
        let file = RealDisk.open(&dir.join(name)).unwrap();
        let mut header = [0; SEGMENT_HEADER];
        file.read_at(&mut header, 0).unwrap();
        let SegmentStart::Segment { seed, .. } = read_segment_header(&header) else { panic!("{name}") };
        let (_, unreadable) = scan(file.as_ref(), Some(seed), |found| {
            let Found::Frame { header, .. } = found else { panic!("{name}: {found:?}") };
            ids.push(header.id);
            if header.flags & COPIED != 0 {
                copies.push(header.id);
            }
        })
        .unwrap();
        assert_eq!(unreadable, 0, "{name}");
    }
    (ids, copies)
}

/// Scenario: a queue of version 1 in several segments: pieces for several targets and tenants, live, tried, done and copied forward.
/// Guarantee: exactly the live ones are found, whole, the oldest first; nothing counts as damaged.
#[test]
fn the_pieces_of_version_1_are_read() {
    let dir = copy();
    let (store, found) = open(&dir.path().join("logs"));
    assert_eq!((found.damaged_total, found.torn), (0, 0), "{:?}", found.damaged);
    let ids: Vec<u64> = found.keys.iter().map(|key| store.look(*key).unwrap().id).collect();
    assert_eq!(ids, LIVE.map(|(id, ..)| id));
    for (key, (id, target, tenant, first)) in found.keys.iter().zip(LIVE) {
        let (look, piece) = (store.look(*key).unwrap(), store.read(*key).unwrap());
        let written = (target, BEGIN + id, first);
        assert_eq!((look.target.name(), look.at, look.first), written, "{id}");
        assert_eq!((piece.target.name(), piece.at, piece.first), written, "{id}");
        assert_eq!((piece.payload.signal, piece.payload.records, look.records), (Signal::Logs, 1, 1), "{id}");
        assert_eq!(piece.payload.meta.tenant.as_deref(), tenant, "{id}");
        assert_eq!(piece.payload.body.contiguous(), request(Signal::Logs, id), "{id}");
        assert!(piece.note.is_none(), "{id}");
    }
}

/// Scenario: the same, with the other signals, each in a queue of its own. Guarantee: as above.
#[test]
fn every_signal_of_version_1_is_read() {
    let dir = copy();
    for (signal, number) in [(Signal::Traces, 40), (Signal::Metrics, 41)] {
        let (store, found) = open(&dir.path().join(signal.to_string()));
        assert_eq!((found.keys.len(), found.damaged_total, found.torn), (1, 0, 0), "{signal}");
        let piece = store.read(found.keys[0]).unwrap();
        assert_eq!((piece.payload.signal, piece.target.name()), (signal, A));
        assert_eq!(piece.payload.body.contiguous(), request(signal, number));
    }
}

/// Scenario: the same files. Guarantee: what is not found live was there and is known to be done, or void: the files hold every piece, and the
/// copied one twice.
#[test]
fn what_is_done_is_told_from_what_was_never_there() {
    let (mut ids, copies) = frames(&fixture(1).join("logs"));
    assert_eq!(copies, [COPIED_ID]);
    assert_eq!(ids.iter().filter(|id| **id == COPIED_ID).count(), 2);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..PIECES).collect::<Vec<_>>());
    let letters = frames(&fixture(1).join("logs/dead"));
    assert_eq!(letters, ((0..LETTERS.len() as u64).collect(), vec![]));
}

/// Scenario: dead letters of version 1, one of them discarded. Guarantee: the others are found with everything that is known of them.
#[test]
fn the_dead_letters_of_version_1_are_read() {
    let dir = copy();
    let dead = open_letters(dir.path());
    assert_eq!(dead.view().damaged, 0);
    let found: Vec<u64> = dead.list(&Filter::default(), usize::MAX).unwrap().iter().map(|letter| letter.id).collect();
    let is_kept = |n: &usize| !LETTERS[*n].is_discarded;
    assert_eq!(found, (0..LETTERS.len()).filter(is_kept).map(|n| n as u64).collect::<Vec<_>>());
    for (n, expected) in letters().enumerate().filter(|(n, _)| is_kept(n)) {
        let letter = dead.read(n as u64).unwrap().unwrap();
        assert_eq!((&letter.target, letter.reason, &letter.text), (&expected.target, expected.reason, &expected.text));
        assert_eq!((letter.first, letter.last, letter.at), (expected.first, expected.last, expected.at));
        assert_eq!(letter.attempts, expected.attempts);
        assert_eq!((letter.payload.signal, letter.payload.records), (Signal::Logs, 1));
        assert_eq!(letter.payload.meta, expected.payload.meta);
        assert_eq!(letter.payload.body.contiguous(), expected.payload.body.contiguous());
    }
}

/// Scenario: a queue of version 1 is gone on with: a piece is added, then all are finished, and it is opened again. Guarantee: the new piece has a new
/// number; in the end nothing is live.
#[test]
fn a_queue_of_version_1_is_gone_on_with() {
    let dir = copy();
    let dir = dir.path().join("logs");
    let (store, found) = open(&dir);
    let new = Piece { payload: payload(Signal::Logs, 99, None), target: Target::new(A), at: 1, first: 0, note: None };
    let key = store.write(&[&new]).unwrap()[0];
    assert_eq!(store.look(key).unwrap().id, PIECES);
    store.close();
    drop(store);
    let (store, again) = open(&dir);
    assert_eq!((again.keys.len(), again.damaged_total, again.torn), (found.keys.len() + 1, 0, 0));
    again.keys.into_iter().for_each(|key| store.finish(key));
    store.flush_marks().unwrap();
    store.close();
    drop(store);
    let (_, empty) = open(&dir);
    assert_eq!((empty.keys.len(), empty.damaged_total, empty.torn), (0, 0, 0));
}

fn write_logs(dir: &Path) {
    let (store, _) = open(dir);
    let live = |id| LIVE.into_iter().find(|(live, ..)| *live == id);
    let piece = |id| {
        let (_, target, tenant, _) = live(id).unwrap_or((id, A, None, 0));
        let payload = payload(Signal::Logs, id, tenant);
        Piece { payload, target: Target::new(target), at: BEGIN + id, first: 0, note: None }
    };
    let keys: Vec<Key> = (0..PIECES).flat_map(|id| store.write(&[&piece(id)]).unwrap()).collect();
    for (id, key) in (0..).zip(keys) {
        match live(id) {
            Some((.., 0)) => {}
            Some((.., first)) => store.tried(key, first),
            None => store.finish(key),
        }
    }
    store.flush_marks().unwrap();
    // One piece and no more; the mark that makes it void where it was is never written.
    store.copy_forward(1).unwrap();
    store.close();
}

/// Writes the files of the present version of the format, if there are none yet.
#[test]
#[ignore = "writes into the source tree; to be run once for each version of the format"]
fn write_the_files_of_this_version() {
    let dir = fixture(VERSION);
    assert!(!dir.exists(), "{} is there: it never changes", dir.display());
    write_logs(&dir.join("logs"));
    for (signal, number) in [(Signal::Traces, 40), (Signal::Metrics, 41)] {
        let (store, _) = open(&dir.join(signal.to_string()));
        let (payload, target) = (payload(signal, number, None), Target::new(A));
        store.write(&[&Piece { payload, target, at: 1_700_000_000_000, first: 0, note: None }]).unwrap();
    }
    let dead = open_letters(&dir);
    dead.bury(letters().collect()).unwrap();
    let ids = (0..LETTERS.len()).filter(|n| LETTERS[*n].is_discarded).map(|n| n as u64);
    dead.discard(&Which::Ids(ids.collect())).unwrap();
    dead.close();
    for queue in ["logs", "logs/dead", "traces", "metrics"] {
        fs::remove_file(dir.join(queue).join("lock")).unwrap();
    }
}
