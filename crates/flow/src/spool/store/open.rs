//! Opening a store: which segments there are, what is live in them, and what is damaged.
//!
//! Segments are read from the newest to the oldest, so that a frame which was copied forward is known before the one it was copied
//! from. A mark makes a frame void, and with it all that it was copied from: a piece is marked where it was only after it was
//! synced where it went, or was done with. If neither frame is marked nothing says that the copy is durable, not even a sync: then the piece
//! has several places (`twins.rs`).

use super::{NO_SEGMENT, Place, Recovered, Segment, State, Store, StoreConfig, StoreError, Writer};
use crate::Target;
use crate::spool::disk::{Disk, DiskFile};
use crate::spool::frame::{self, COPIED, Found, Header, SEGMENT_HEADER, SegmentStart};
use crate::spool::index::{Key, New};
use crate::spool::marks::{Decoded, Marks};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Damaged places that are named; the others are counted.
const NAMED: usize = 100;

const LOST_MARKS: &str = "damaged marks: what they marked is sent again";

/// No segment holds so many pieces: a frame has 56 bytes, and offsets four. So what is written to a segment has ids below the next one's number
/// times as much.
const ID_BITS: u32 = 32;

/// No piece has an id above this: segments are numbered below 2^32. What says so all the same is not followed, so that ids never end.
const LAST_ID: u64 = u64::MAX - (1 << ID_BITS);

/// What reading all segments has found so far.
#[derive(Default)]
struct Reading {
    state: State,
    recovered: Recovered,
    /// The live pieces with their ids.
    live: Vec<(u64, Key)>,
    /// The copies: where they are in the index, or none if they are void, and so is what they were copied from.
    copies: HashMap<Identity, Option<Key>>,
    next_id: u64,
}

/// By what a copy and its original are known for the same: the id, the time and the checksum of the body, so that no number that was
/// used twice, whatever made that happen, costs a piece.
type Identity = (u64, u64, u32);

impl Reading {
    fn damage(&mut self, segment: u32, offset: u64, what: &'static str) {
        self.recovered.damaged_total += 1;
        if self.recovered.damaged.len() < NAMED {
            self.recovered.damaged.push(Place { segment, offset, what });
        }
    }
}

impl Store {
    /// Opens the store in a directory, or makes one.
    ///
    /// # Errors
    /// The directory is in use, or cannot be read or written to. Damage is no error, nor is a file that cannot be read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, config: StoreConfig) -> Result<(Store, Recovered), StoreError> {
        let fail = |action| move |source| StoreError::Io { action, path: dir.to_owned(), source };
        disk.make_dir(dir).map_err(fail("creating"))?;
        let lock = disk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StoreError::Locked(dir.to_owned()),
            _ => fail("locking")(error),
        })?;
        let names = disk.list(dir).map_err(fail("listing"))?;
        let numbers = |extension: &str| -> BTreeSet<u32> {
            names.iter().filter_map(|name| number(name.strip_suffix(extension)?)).collect()
        };
        let (segments, marks) = (numbers(".seg"), numbers(".marks"));
        // Who wrote last may have died between making a file and syncing it: nothing may be built on what a crash can still undo.
        let is_durable = disk.sync_dir(dir).is_ok();
        let mut reading = Reading::default();
        let mut active = None;
        for segment in segments.iter().rev() {
            let is_last = Some(segment) == segments.last();
            let file = SegmentFile {
                disk: disk.as_ref(),
                dir,
                number: *segment,
                is_last,
                has_marks: marks.contains(segment),
                is_durable,
            };
            let is_open = file.read(&mut reading);
            if is_open && reading.state.segments[segment].size < config.segment_bytes {
                active = Some(*segment);
            }
        }
        for orphan in marks.difference(&segments) {
            // Its segment is gone. If this fails, it is tried again at the next start.
            let _ = disk.remove(&dir.join(format!("{orphan:010}.marks")));
        }
        let Reading { state, mut recovered, mut live, next_id, .. } = reading;
        // What is written anew is to be newer than all its places.
        let active = active.filter(|_| state.twins.is_empty());
        live.sort_unstable();
        recovered.keys = live.into_iter().map(|(_, key)| key).collect();
        recovered.records = state.index.records;
        recovered.bytes = state.index.bytes;
        let next_segment = segments.union(&marks).max().map_or(1, |last| last + 1);
        // What is damaged may hide ids, and so may what can be read again at the next start. Then the number of the segment that comes
        // next tells; if that is the last one, all of it is known.
        let next_number = u64::from(active.unwrap_or(next_segment));
        let next_id = if recovered.damaged_total > 0 { next_id.max(next_number << ID_BITS) } else { next_id };
        let writer = Writer { active, next_segment, next_id, buffer: vec![] };
        let (state, writer) = (Mutex::new(state), Mutex::new(writer));
        Ok((Store { disk, dir: dir.to_owned(), config, state, writer, lock: Mutex::new(Some(lock)) }, recovered))
    }
}

/// The number in the name of a file, if it is one of ours.
fn number(stem: &str) -> Option<u32> {
    let number = (stem.len() == 10 && stem.bytes().all(|b| b.is_ascii_digit())).then(|| stem.parse().ok())?;
    number.filter(|number| *number < NO_SEGMENT)
}

/// A segment that is to be read.
struct SegmentFile<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    number: u32,
    is_last: bool,
    has_marks: bool,
    /// The entries of the directory survive a crash.
    is_durable: bool,
}

impl SegmentFile<'_> {
    fn path(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{:010}.{extension}", self.number))
    }

    /// Reads it. Whether it may be written to again: only the last one, and only if all of it is as it was written.
    fn read(&self, reading: &mut Reading) -> bool {
        let SegmentFile { number, is_last, is_durable, .. } = *self;
        let path = self.path("seg");
        let opened = self.disk.open(&path).and_then(|file| file.len().map(|len| (file, len)));
        let (file, len) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "a segment cannot be opened: it is left alone until the next start");
                reading.damage(number, 0, "a segment that cannot be opened, left alone");
                return false;
            }
        };
        let seed = match self.read_start(file.as_ref(), len, reading) {
            Some(SegmentStart::Segment { first_id, seed }) => {
                reading.next_id = reading.next_id.max(first_id.min(LAST_ID));
                Some(seed)
            }
            Some(SegmentStart::Newer(_)) => {
                reading.damage(number, 0, "a segment of a newer version, left alone");
                return false;
            }
            // The frames have checksums of their own: those of a segment of ours are found even so.
            Some(SegmentStart::Foreign) => {
                reading.damage(number, 0, "no header of a segment");
                None
            }
            None => return false,
        };
        let (marks, marks_size) = self.read_marks(reading).unwrap_or_else(|error| {
            let file = self.path("marks");
            tracing::error!(%error, file = %file.display(), "marks cannot be read: what they marked is sent again");
            reading.damage(number, 0, "marks that cannot be read: what they marked is sent again");
            // Nothing of it is cut off.
            (Marks::default(), u64::MAX)
        });
        let has_header = seed.is_some();
        let last_mark = marks.done.iter().chain(marks.tried.iter().map(|(at, _)| at)).max().copied();
        let mut frames = Frames::new(number, marks);
        let scanned = frame::scan(file.as_ref(), seed, |found| frames.take(reading, found));
        let (seed, is_unreadable) = match scanned {
            Ok((found, unreadable)) => (found.or(seed), unreadable > 0),
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "the rest of a segment cannot be read");
                reading.damage(number, 0, "the rest of a segment cannot be read");
                (seed, true)
            }
        };
        // Without a seed it is not ours to write to or to remove, whatever it is.
        let Some(seed) = seed else { return false };
        // It is only written on if nothing is behind its last frame, and no mark is for what will come there. And if it has a frame: who
        // could not sync its header wrote none.
        let is_open = is_last
            && is_durable
            && has_header
            && frames.is_whole
            && frames.count > 0
            && !is_unreadable
            && last_mark.is_none_or(|last| u64::from(last) < len)
            && file.sync().is_ok();
        let (pending, is_unmovable) = (frames.pending, is_unreadable);
        let segment = Segment { file, seed, size: len, marks_size, pending, is_unreadable, is_unmovable };
        reading.state.segments.insert(number, segment);
        is_open
    }

    /// What it begins with. None if it was being made, and is removed.
    fn read_start(&self, file: &dyn DiskFile, len: u64, reading: &mut Reading) -> Option<SegmentStart> {
        let mut header = [0; SEGMENT_HEADER];
        let known = SEGMENT_HEADER.min(usize::try_from(len).unwrap_or(SEGMENT_HEADER));
        if let Err(error) = file.read_at(&mut header[..known], 0) {
            tracing::error!(%error, file = %self.path("seg").display(), "the header of a segment cannot be read");
            // The seed can be told from the frames.
            return Some(SegmentStart::Foreign);
        }
        if frame::is_unfinished(&header, len) {
            // Nothing in it was ever acknowledged. If this fails, it is tried again at the next start.
            reading.recovered.torn += 1;
            let _ = self.disk.remove(&self.path("seg"));
            return None;
        }
        Some(frame::read_segment_header(&header))
    }

    fn read_marks(&self, reading: &mut Reading) -> io::Result<(Marks, u64)> {
        if !self.has_marks {
            return Ok((Marks::default(), 0));
        }
        let file = self.disk.open(&self.path("marks"))?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0)?;
        let Decoded { marks, good, gaps } = Marks::decode(&bytes);
        for _ in 0..gaps {
            reading.damage(self.number, 0, LOST_MARKS);
        }
        if good < bytes.len() {
            // What is behind the last whole one would be in the way of those that follow.
            let _ = file.truncate(good as u64);
            if bytes.len() - good > 8 {
                reading.damage(self.number, good as u64, LOST_MARKS);
            }
        }
        Ok((marks, good as u64))
    }
}

/// The frames of a segment, as they are found.
struct Frames {
    number: u32,
    done: HashSet<u32>,
    tried: HashMap<u32, u64>,
    /// What has to be marked.
    pending: Marks,
    /// So many were found.
    count: u64,
    /// There is nothing else in the segment.
    is_whole: bool,
}

impl Frames {
    fn new(number: u32, marks: Marks) -> Frames {
        let (done, tried) = (marks.done.into_iter().collect(), marks.tried.into_iter().collect());
        Frames { number, done, tried, pending: Marks::default(), count: 0, is_whole: true }
    }

    fn take(&mut self, reading: &mut Reading, found: Found) {
        self.is_whole &= matches!(found, Found::Frame { .. });
        match found {
            Found::Torn { .. } => reading.recovered.torn += 1,
            Found::Damaged { offset, what } => reading.damage(self.number, offset, what),
            Found::Frame { offset, header, target } => self.take_frame(reading, offset, &header, &target),
        }
    }

    fn take_frame(&mut self, reading: &mut Reading, offset: u64, header: &Header, target: &[u8]) {
        self.count += 1;
        reading.next_id = reading.next_id.max(header.id.saturating_add(1).min(LAST_ID));
        let identity = (header.id, header.at, header.body_crc);
        let copy = reading.copies.get(&identity).copied();
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let is_done = self.done.contains(&offset);
        let key = match copy {
            Some(None) if !is_done => {
                self.pending.done.push(offset);
                None
            }
            _ if is_done => None,
            Some(Some(copy)) => {
                self.take_twin(&mut reading.state, copy, offset, header);
                Some(copy)
            }
            _ => Some(self.take_piece(reading, offset, header, target)),
        };
        if header.flags & COPIED != 0 {
            reading.copies.insert(identity, key);
        }
    }

    /// A piece that was not found in a newer segment.
    fn take_piece(&self, reading: &mut Reading, offset: u32, header: &Header, target: &[u8]) -> Key {
        let new = New {
            id: header.id,
            segment: self.number,
            offset,
            frame: u32::try_from(header.frame_len()).unwrap_or(u32::MAX),
            bytes: header.payload_len(),
            records: header.records,
            target: &Target::new(String::from_utf8_lossy(target).into_owned()),
            at: header.at,
            first: self.first(offset, header),
        };
        let key = reading.state.index.insert(&new);
        reading.live.push((header.id, key));
        key
    }

    /// A piece that was found in a newer segment as well: nobody knows whether that is durable. The older place is its first.
    fn take_twin(&self, state: &mut State, copy: Key, offset: u32, header: &Header) {
        let Some(at) = state.index.get(copy).map(|entry| (entry.segment, entry.offset)) else { return };
        state.twins.add(copy, at);
        state.index.relocate(copy, at, (self.number, offset));
        match self.first(offset, header) {
            0 => {}
            first => drop(state.index.tried(copy, first)),
        }
    }

    fn first(&self, offset: u32, header: &Header) -> u64 {
        self.tried.get(&offset).copied().filter(|_| header.first == 0).unwrap_or(header.first)
    }
}
