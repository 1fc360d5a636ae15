use super::*;
use crate::spool::frame::FRAME_HEADER;
use crate::spool::testing::{Fault, SimDisk};
use proptest::prelude::*;
use wire::Signal;

const SEGMENT: &str = "/q/0000000001.seg";

fn open(disk: &SimDisk) -> Result<(Store, Recovered), StoreError> {
    Store::open(Arc::new(disk.clone()), Path::new("/q"), StoreConfig { segment_bytes: 10_000 })
}

fn piece(n: usize) -> Piece {
    let payload = Payload::new(Signal::Logs, Bytes::from(format!("payload {n:03}")), 1);
    Piece { payload, target: Target::new("a"), at: n as u64, first: 0, note: None }
}

/// A disk with ten pieces in a segment, and where their frames begin.
fn ten() -> (SimDisk, Vec<usize>) {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).unwrap();
    let mut offsets = vec![];
    for n in 0..10 {
        offsets.push(SEGMENT_HEADER + n * (FRAME_HEADER + 1 + 11));
        store.write(&[&piece(n)]).unwrap();
    }
    store.close();
    (disk, offsets)
}

/// What is live after a change to the segment, and what was found.
fn after(change: impl FnOnce(&mut Vec<u8>, &[usize])) -> (Vec<u64>, Recovered) {
    let (disk, offsets) = ten();
    disk.edit(Path::new(SEGMENT), |bytes| change(bytes, &offsets));
    let (store, found) = open(&disk).unwrap();
    let live = found.keys.iter().map(|key| store.read(*key).unwrap().at).collect();
    (live, found)
}

fn all_but(gone: u64) -> Vec<u64> {
    (0..10).filter(|n| *n != gone).collect()
}

/// Scenario: nothing is wrong. Guarantee: everything is found, in order.
#[test]
fn what_was_written_is_found() {
    let (live, found) = after(|_, _| {});
    assert_eq!((live, found.damaged_total, found.torn), ((0..10).collect(), 0, 0));
}

/// Scenario: a bit flips in the body, or in the header, of a frame. Guarantee: it alone is lost; counted, with its place.
#[test]
fn a_flipped_bit_costs_one_piece() {
    for at in [FRAME_HEADER + 5, 0, 5, 13, 30, 49] {
        let (live, found) = after(|bytes, offsets| bytes[offsets[4] + at] ^= 0x10);
        assert_eq!((live, found.damaged_total), (all_but(4), 1), "byte {at}");
        assert_eq!((found.damaged[0].segment, found.damaged[0].offset), (1, (SEGMENT_HEADER + 4 * 68) as u64));
    }
}

/// Scenario: a frame in the middle is zeroed. Guarantee: it alone is lost.
#[test]
fn a_zeroed_page_costs_what_was_in_it() {
    let (live, found) = after(|bytes, offsets| bytes[offsets[2]..offsets[3]].fill(0));
    assert_eq!((live, found.damaged_total), (all_but(2), 1));
}

/// Scenario: the file ends within its last frame. Guarantee: that was never acknowledged: it is torn, not damage, and writing goes on.
#[test]
fn a_torn_tail_is_no_damage() {
    let (live, found) = after(|bytes, _| bytes.truncate(bytes.len() - 7));
    assert_eq!((live, found.damaged_total, found.torn), (all_but(9), 0, 1));
}

/// Scenario: the header of the segment is damaged, or is of a newer version. Guarantee: its frames are found even so; those of a newer
/// version are left alone. The start does not fail, and nothing is removed.
#[test]
fn a_damaged_or_newer_segment_does_not_stop_the_start() {
    let (live, found) = after(|bytes, _| bytes[3] ^= 1);
    assert_eq!((live, found.damaged_total), ((0..10).collect(), 1));
    let (disk, _) = ten();
    disk.edit(Path::new(SEGMENT), |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    });
    let (store, found) = open(&disk).unwrap();
    assert_eq!((found.keys.len(), found.damaged_total), (0, 1));
    store.write(&[&piece(10)]).unwrap();
    store.flush_marks().unwrap();
    assert!(disk.names().contains(&"0000000001.seg".to_owned()), "{:?}", disk.names());
}

/// Scenario: the last segment has lost its header, or has no frame. Guarantee: what is written goes to another one: without a header, or with one that could not
/// be synced, it would be found with luck only.
#[test]
fn a_segment_without_a_sound_header_is_not_written_on() {
    let next = |change: fn(&mut Vec<u8>)| {
        let (disk, _) = ten();
        disk.edit(Path::new(SEGMENT), change);
        let (store, _) = open(&disk).unwrap();
        let key = store.write(&[&piece(10)]).unwrap()[0];
        let state = store.state.lock();
        state.index.get(key).unwrap().segment
    };
    assert_eq!(next(|_| {}), 1);
    assert_eq!(next(|bytes| bytes[3] ^= 1), 2);
    assert_eq!(next(|bytes| bytes.truncate(SEGMENT_HEADER)), 2);
}

/// Scenario: the header of a segment is damaged, and in that of its only frame two bits that hide each other from the checksum which needs no seed.
/// Guarantee: the piece is lost, not changed. If the frame is whole it is found, even if nothing is left of the segment's header.
#[test]
fn a_changed_piece_is_not_taken_for_one() {
    let change = |change: fn(&mut Vec<u8>)| {
        let disk = SimDisk::new(1);
        open(&disk).unwrap().0.write(&[&piece(7)]).unwrap();
        disk.edit(Path::new(SEGMENT), change);
        let (store, found) = open(&disk.revive()).unwrap();
        found.keys.iter().map(|key| store.read(*key).unwrap().at).collect::<Vec<u64>>()
    };
    let twice = |bytes: &mut Vec<u8>| {
        bytes[3] ^= 1;
        bytes[SEGMENT_HEADER + 21] ^= 4;
        bytes[SEGMENT_HEADER + 29] ^= 4;
    };
    assert_eq!(change(twice), [0; 0]);
    assert_eq!(change(|bytes| bytes[17] ^= 4), [7]);
    assert_eq!(change(|bytes| bytes[..SEGMENT_HEADER].fill(0)), [7]);
}

/// Scenario: nothing in a segment can be read, so that nothing tells the ids in it; pieces are written; then it can be read again. Guarantee: all are
/// found, in the order in which they were written.
#[test]
fn ids_begin_above_those_that_are_hidden() {
    let (disk, _) = ten();
    disk.spoil(Some(SEGMENT));
    let (store, found) = open(&disk).unwrap();
    assert!(found.keys.is_empty() && found.damaged_total > 0);
    store.write(&[&piece(10)]).unwrap();
    store.write(&[&piece(11)]).unwrap();
    store.close();
    disk.spoil(None);
    let (store, found) = open(&disk).unwrap();
    let found: Vec<u64> = found.keys.iter().map(|key| store.read(*key).unwrap().at).collect();
    assert_eq!(found, (0..12).collect::<Vec<_>>());
}

/// Scenario: nine of ten pieces are delivered one after the other, and the mark of one is damaged. Guarantee: that one is sent again, and no other; the
/// damage is counted, and marks that come later are read as well.
#[test]
fn a_damaged_mark_hides_no_other() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk).unwrap();
    let keys: Vec<Key> = (0..10).map(|n| store.write(&[&piece(n)]).unwrap()[0]).collect();
    for key in &keys[..9] {
        store.finish(*key);
        store.flush_marks().unwrap();
    }
    store.close();
    disk.edit(Path::new("/q/0000000001.marks"), |bytes| bytes[4 * 12 + 9] ^= 1);
    let (store, found) = open(&disk).unwrap();
    assert_eq!((numbers(&store), found.damaged_total), (vec![4, 9], 1));
    store.finish(found.keys[0]);
    store.flush_marks().unwrap();
    let (_, store) = restart(&disk, store, false);
    assert_eq!(numbers(&store), [9]);
}

/// Scenario: one of several segments cannot be opened at a start, be it the first, one between, or the last. Guarantee: the start succeeds and finds all others; the
/// segment is counted, with its number, and neither it nor its marks are touched while pieces are written, delivered and copied; the next start
/// finds its pieces, before those that were written since.
#[test]
fn a_segment_that_cannot_be_opened_is_left_alone() {
    let bytes_of = |disk: &SimDisk, number: u32| {
        let (mut segment, mut marks) = (vec![], vec![]);
        disk.edit(Path::new(&format!("/q/{number:010}.seg")), |bytes| segment.clone_from(bytes));
        disk.edit(Path::new(&format!("/q/{number:010}.marks")), |bytes| marks.clone_from(bytes));
        (segment, marks)
    };
    for refused in [1, 3, 5] {
        let disk = SimDisk::new(1);
        let (store, _) = open(&disk).unwrap();
        for n in 0..700 {
            let key = store.write(&[&piece(n)]).unwrap()[0];
            if n % 20 != 0 {
                store.finish(key);
            }
        }
        store.flush_marks().unwrap();
        store.close();
        let before = bytes_of(&disk, refused);
        disk.forbid(Some(Path::new(&format!("/q/{refused:010}.seg"))));
        let (store, found) = open(&disk).unwrap();
        assert_eq!((found.damaged_total, found.damaged[0].segment), (1, refused));
        assert!(found.keys.len() < 35 && found.keys.len() >= 27, "{}", found.keys.len());
        for n in 700..1400 {
            store.finish(store.write(&[&piece(n)]).unwrap()[0]);
            store.flush_marks().unwrap();
            while store.copy_forward(500).unwrap() {}
        }
        store.write(&[&piece(1400)]).unwrap();
        assert!(store.counts().copied_bytes > 0);
        store.close();
        assert_eq!(bytes_of(&disk, refused), before);
        disk.forbid(None);
        let (store, found) = open(&disk).unwrap();
        let expected: Vec<u64> = (0..700).step_by(20).chain([1400]).collect();
        let found: Vec<u64> = found.keys.iter().map(|key| store.read(*key).unwrap().at).collect();
        assert_eq!(found, expected, "segment {refused}");
    }
}

/// Scenario: files that are not ours, one of them with a name of ours; an empty segment; marks without a segment. Guarantee: the start does not
/// fail, and what is not ours is left alone.
#[test]
fn foreign_files_are_left_alone() {
    let (disk, _) = ten();
    disk.edit(Path::new("/q/README"), |bytes| bytes.extend(b"mine"));
    disk.edit(Path::new("/q/0000000009.seg"), |bytes| bytes.extend([b'x'; 100]));
    disk.edit(Path::new("/q/0000000008.seg"), |_| {});
    disk.edit(Path::new("/q/0000000007.marks"), |bytes| bytes.extend(b"what?"));
    let (store, found) = open(&disk).unwrap();
    assert_eq!(found.keys.len(), 10);
    store.write(&[&piece(10)]).unwrap();
    store.flush_marks().unwrap();
    let names = disk.names();
    for name in ["README", "0000000009.seg", "0000000001.seg"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
}

/// Scenario: files that are not ours have the last names that segments could have, or headers with the last ids. Guarantee: the start
/// does not fail; either what is written is found again, or writing is refused; nothing that was there is touched.
#[test]
fn numbers_do_not_end_in_the_middle() {
    for (name, works) in [
        ("4294967295.seg", true),
        ("4294967295.marks", true),
        ("4294967294.seg", false),
        ("4294967294.marks", true),
        ("9999999999.seg", true),
    ] {
        let (disk, _) = ten();
        disk.edit(&Path::new("/q").join(name), |bytes| bytes.extend([b'x'; 100]));
        let (store, found) = open(&disk).unwrap();
        assert_eq!((name, found.keys.len()), (name, 10));
        let written = store.write(&[&piece(10)]);
        assert_eq!(written.is_ok(), works, "{name}: {written:?}");
        drop(store);
        assert_eq!(open(&disk).unwrap().1.keys.len(), if works { 11 } else { 10 }, "{name}");
    }
    let (disk, _) = ten();
    let header = frame::segment_header(2, u64::MAX, 7);
    disk.edit(Path::new("/q/0000000002.seg"), |bytes| bytes.extend(header));
    for count in 11..13 {
        let (store, _) = open(&disk).unwrap();
        store.write(&[&piece(count)]).unwrap();
        drop(store);
        let (store, found) = open(&disk).unwrap();
        let read: Vec<u64> = found.keys.iter().map(|key| store.read(*key).unwrap().at).collect();
        assert_eq!((read.len(), read.is_sorted()), (count, true));
    }
}

/// Scenario: the directory is opened twice. Guarantee: the second is told that it is in use; after the first is closed it is free.
#[test]
fn a_directory_has_one_user() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Locked(dir)) if dir == Path::new("/q")));
    store.close();
    assert!(open(&disk).is_ok());
    assert!(matches!(store.write(&[&piece(1)]), Err(StoreError::Gone)));
}

/// Scenario: one target takes nothing while ten times the size of a segment goes to others. Guarantee: the disk holds at most twice of what is
/// live and two segments, at every step, and nothing is lost.
#[test]
fn a_poisoned_target_does_not_pin_the_disk() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    let mut poisoned = vec![];
    for n in 0..2_000 {
        let key = store.write(&[&piece(n)]).unwrap()[0];
        if n % 20 == 0 {
            poisoned.push((key, n as u64))
        } else {
            store.finish(key)
        }
        store.flush_marks().unwrap();
        while store.copy_forward(4_000).unwrap() {}
        store.flush_marks().unwrap();
        let live = poisoned.len() as u64 * 68;
        let (disk, marks) =
            (store.totals().disk_bytes, store.state.lock().segments.values().map(|s| s.marks_size).sum::<u64>());
        assert!(disk - marks <= 2 * live + 2 * 10_000 + 200, "{disk} bytes on disk for {live} live ones");
    }
    for (key, n) in poisoned {
        assert_eq!(store.read(key).unwrap().at, n);
    }
    assert!(store.counts().copied_bytes > 0);
}

/// A store of several segments in which one piece in twenty is live, and the first attempt to copy some forward: the copies are written, but
/// neither synced nor cut off again.
fn failed_copy(seed: u64) -> (SimDisk, Store, Vec<u64>) {
    let disk = SimDisk::new(seed);
    let (store, _) = open(&disk).unwrap();
    let keys: Vec<Key> = (0..700).map(|n| store.write(&[&piece(n)]).unwrap()[0]).collect();
    let is_live = |n: &usize| n.is_multiple_of(20);
    (0..700).filter(|n| !is_live(n)).for_each(|n| store.finish(keys[n]));
    store.flush_marks().unwrap();
    disk.fault(Some(Fault::Stuck));
    assert!(matches!(store.copy_forward(500), Err(StoreError::Io { action: "writing", .. })));
    disk.fault(None);
    (disk, store, (0..700).filter(is_live).map(|n| n as u64).collect())
}

fn restart(disk: &SimDisk, store: Store, power: bool) -> (SimDisk, Store) {
    store.close();
    if power {
        disk.crash();
    }
    let disk = disk.revive();
    let (store, _) = open(&disk).unwrap();
    (disk, store)
}

/// What is live, by the number of each piece, in order.
fn numbers(store: &Store) -> Vec<u64> {
    let mut all: Vec<u64> = store.live().into_iter().map(|key| store.read(key).unwrap().at).collect();
    all.sort_unstable();
    all
}

/// Fails unless all of these are there, once. What was finished may be there again after a loss of power.
fn assert_kept(store: &Store, live: &[u64], context: &str) {
    let mut all = numbers(store);
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "{context}: something is there twice");
    let lost: Vec<&u64> = live.iter().filter(|n| all.binary_search(n).is_err()).collect();
    assert!(lost.is_empty(), "{context}: {lost:?} are lost");
}

/// Scenario: copies are written whose sync fails, and cutting them off as well; the process starts again; then power is lost, with or without
/// marks written and pieces copied before. Guarantee: the copies, which later syncs do not bring to disk, void nothing: every piece is there, once.
#[test]
fn a_copy_whose_sync_failed_voids_nothing() {
    for seed in 0..40 {
        for works in 0..3 {
            let (disk, store, live) = failed_copy(seed);
            let (disk, store) = restart(&disk, store, false);
            assert_eq!(numbers(&store), live);
            for _ in 0..works {
                store.flush_marks().unwrap();
                store.copy_forward(300).unwrap();
                store.flush_marks().unwrap();
            }
            store.write(&[&piece(700)]).unwrap();
            let (_, store) = restart(&disk, store, true);
            assert_kept(&store, &[live, vec![700]].concat(), &format!("seed {seed}, {works} rounds"));
        }
    }
}

/// Scenario: the same, without the restart: the copying works the next time; power is lost. Guarantee: every piece is there, once.
#[test]
fn a_copy_that_works_after_one_that_failed_is_enough() {
    for seed in 0..40 {
        let (disk, store, live) = failed_copy(seed);
        while store.copy_forward(500).unwrap() {}
        let (disk, store) = restart(&disk, store, false);
        assert_eq!(numbers(&store), live);
        store.flush_marks().unwrap();
        let (_, store) = restart(&disk, store, true);
        assert_kept(&store, &live, &format!("seed {seed}"));
    }
}

/// Scenario: pieces that lie on disk twice after copies that failed are delivered, before or after a restart. Guarantee: they are done with: the
/// next start finds neither the original nor the copy.
#[test]
fn what_is_done_is_done_wherever_it_lies() {
    for restarts in [false, true] {
        let (mut disk, mut store, live) = failed_copy(1);
        if restarts {
            (disk, store) = restart(&disk, store, false);
        }
        // One piece stays in each segment, so that all the files do.
        let finished: Vec<Key> =
            store.live().into_iter().filter(|key| store.read(*key).unwrap().at % 40 == 0).collect();
        finished.into_iter().for_each(|key| store.finish(key));
        store.flush_marks().unwrap();
        let (_, store) = restart(&disk, store, false);
        let left: Vec<u64> = live.into_iter().filter(|n| n % 40 != 0).collect();
        assert_eq!(numbers(&store), left, "restarted: {restarts}");
    }
}

/// Scenario: of pieces that lie on disk twice the place that is used is damaged after the start. Guarantee: they are read, and copied, from the other.
#[test]
fn what_lies_on_disk_twice_is_read_where_it_is_whole() {
    let (disk, store, live) = failed_copy(1);
    let (disk, store) = restart(&disk, store, false);
    let twins: Vec<Key> = store.state.lock().twins.keys().collect();
    for key in &twins {
        let entry = *store.state.lock().index.get(*key).unwrap();
        disk.edit(&store.path(entry.segment, "seg"), |bytes| bytes[entry.offset as usize + FRAME_HEADER + 3] ^= 1);
    }
    assert!(twins.len() > 2, "{twins:?}");
    assert!(store.read(twins[0]).is_ok());
    while store.copy_forward(500).unwrap() {}
    assert_eq!(numbers(&store), live);
    let (_, store) = restart(&disk, store, false);
    assert_eq!(numbers(&store), live);
}

/// Scenario: what copies that failed have left lies on disk twice, at a start. Guarantee: it is written anew, and the disk is within twice of what
/// is live and two segments again.
#[test]
fn what_lies_on_disk_twice_does_not_stay_so() {
    let (disk, store, live) = failed_copy(1);
    let (_, store) = restart(&disk, store, false);
    store.flush_marks().unwrap();
    while store.copy_forward(500).unwrap() {}
    store.flush_marks().unwrap();
    assert_eq!(numbers(&store), live);
    let marks: u64 = store.state.lock().segments.values().map(|segment| segment.marks_size).sum();
    let (disk, live) = (store.totals().disk_bytes - marks, live.len() as u64 * 68);
    assert!(disk <= 2 * live + 2 * 10_000, "{disk} bytes on disk for {live} live ones");
    assert!(store.state.lock().twins.is_empty());
}

proptest! {
    /// Scenario: segments and marks of arbitrary bytes, some with a header of ours. Guarantee: opening ends without a panic, what is live can be
    /// asked for, and the next start finds as much.
    #[test]
    fn anything_can_be_opened(bytes in prop::collection::vec(any::<u8>(), 0..2000), marks in prop::collection::vec(any::<u8>(), 0..100), ours in any::<bool>(), seed in any::<u32>()) {
        let disk = SimDisk::new(1);
        disk.edit(Path::new(SEGMENT), |file| {
            if ours {
                file.extend(frame::segment_header(1, 0, seed));
            }
            file.extend(&bytes);
        });
        disk.edit(Path::new("/q/0000000001.marks"), |file| file.extend(&marks));
        let found = |disk: &SimDisk| {
            let (store, found) = open(disk).unwrap();
            found.keys.iter().for_each(|key| drop(store.read(*key)));
            store.close();
            found.keys.len()
        };
        prop_assert_eq!(found(&disk), found(&disk));
    }
}

/// Scenario: the directory is removed while the store is open, written to all the same, and made again. Guarantee: nothing is taken into a
/// file without a name; what was taken before can still be read; when the directory is back, so is the store.
#[test]
fn a_removed_directory_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("queue");
    let (store, _) = Store::open(Arc::new(crate::spool::disk::RealDisk), &dir, StoreConfig::default()).unwrap();
    let before = store.write(&[&piece(1)]).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    for n in [2, 3] {
        let error = store.write(&[&piece(n)]).unwrap_err();
        assert_eq!(error.kind(), "removed", "{error}");
    }
    assert!(store.read(before[0]).is_ok());
    std::fs::create_dir(&dir).unwrap();
    assert!(store.write(&[&piece(4)]).is_ok());
}
