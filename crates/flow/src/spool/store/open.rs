//! Opening a store: which segments there are, what is live in them, and what is damaged.
//!
//! Segments are read from the newest to the oldest, so that a frame which was copied forward is known before the one it was copied
//! from, which is void.

use super::{Place, Recovered, Segment, State, Store, StoreConfig, StoreError, Writer};
use crate::Target;
use crate::spool::disk::Disk;
use crate::spool::frame::{self, COPIED, Found, SEGMENT_HEADER, SegmentStart};
use crate::spool::index::{Key, New};
use crate::spool::marks::Marks;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Damaged places that are named; the others are counted.
const NAMED: usize = 100;

/// What reading all segments has found so far.
#[derive(Default)]
struct Reading {
    state: State,
    recovered: Recovered,
    /// The live pieces with their ids.
    live: Vec<(u64, Key)>,
    /// Ids that were copied forward.
    copied: HashSet<u64>,
    next_id: u64,
}

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
    /// The directory is in use, or cannot be read or written to. Damage is no error.
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
        let mut reading = Reading::default();
        let mut active = None;
        for segment in segments.iter().rev() {
            let is_last = Some(segment) == segments.last();
            let file =
                SegmentFile { disk: disk.as_ref(), dir, number: *segment, is_last, has_marks: marks.contains(segment) };
            let is_open = file.read(&mut reading)?;
            if is_open && reading.state.segments[segment].size < config.segment_bytes {
                active = Some(*segment);
            }
        }
        for orphan in marks.difference(&segments) {
            // Its segment is gone. If this fails, it is tried again at the next start.
            let _ = disk.remove(&dir.join(format!("{orphan:010}.marks")));
        }
        let Reading { state, mut recovered, mut live, next_id, .. } = reading;
        live.sort_unstable();
        recovered.keys = live.into_iter().map(|(_, key)| key).collect();
        recovered.records = state.index.records;
        recovered.bytes = state.index.bytes;
        let next_segment = segments.union(&marks).max().map_or(1, |last| last + 1);
        let writer = Writer { active, next_segment, next_id, buffer: vec![] };
        let (state, writer) = (Mutex::new(state), Mutex::new(writer));
        Ok((Store { disk, dir: dir.to_owned(), config, state, writer, lock: Mutex::new(Some(lock)) }, recovered))
    }
}

/// The number in the name of a file, if it is one of ours.
fn number(stem: &str) -> Option<u32> {
    (stem.len() == 10 && stem.bytes().all(|b| b.is_ascii_digit())).then(|| stem.parse().ok())?
}

/// A segment that is to be read.
struct SegmentFile<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    number: u32,
    is_last: bool,
    has_marks: bool,
}

impl SegmentFile<'_> {
    /// Reads it. Whether it may be written to again: only the last one, whose end is cut where it is torn.
    fn read(&self, reading: &mut Reading) -> Result<bool, StoreError> {
        let SegmentFile { disk, dir, number, is_last, .. } = *self;
        let path = dir.join(format!("{number:010}.seg"));
        let fail = |source| StoreError::Io { action: "reading", path: path.clone(), source };
        let file = disk.open(&path).map_err(fail)?;
        let len = file.len().map_err(fail)?;
        let mut header = [0; SEGMENT_HEADER];
        if len < SEGMENT_HEADER as u64 {
            // It was being made; nothing in it was ever acknowledged.
            reading.recovered.torn += 1;
            disk.remove(&path).map_err(fail)?;
            return Ok(false);
        }
        file.read_at(&mut header, 0).map_err(fail)?;
        let start = frame::read_segment_header(&header);
        let is_foreign = start == SegmentStart::Foreign;
        match start {
            SegmentStart::Segment(first_id) => reading.next_id = reading.next_id.max(first_id),
            SegmentStart::Newer(_) => {
                reading.damage(number, 0, "a segment of a newer version, left alone");
                return Ok(false);
            }
            // The frames have checksums of their own: those of a segment of ours are found even so.
            SegmentStart::Foreign => reading.damage(number, 0, "no header of a segment"),
        }
        let marks_path = dir.join(format!("{number:010}.marks"));
        let (marks, marks_size) = self.read_marks(reading).map_err(|source| StoreError::Io {
            action: "reading",
            path: marks_path,
            source,
        })?;
        let done: HashSet<u32> = marks.done.into_iter().collect();
        let tried: HashMap<u32, u64> = marks.tried.into_iter().collect();
        let mut pending = Marks::default();
        let mut end = SEGMENT_HEADER as u64;
        let mut good = true;
        let mut damage_at = None;
        let (mut torn, mut frames) = (false, 0u64);
        frame::scan(file.as_ref(), |found| match found {
            Found::Torn { .. } => torn = true,
            Found::Damaged { offset, what } => {
                damage_at = Some(offset);
                good = false;
                reading.damage(number, offset, what);
            }
            Found::Frame { offset, header, target } => {
                frames += 1;
                damage_at = None;
                end = offset + header.frame_len();
                reading.next_id = reading.next_id.max(header.id + 1);
                let is_void = reading.copied.contains(&header.id);
                if header.flags & COPIED != 0 {
                    reading.copied.insert(header.id);
                }
                let place = u32::try_from(offset).unwrap_or(u32::MAX);
                if done.contains(&place) {
                    return;
                }
                if is_void {
                    pending.done.push(place);
                    return;
                }
                let first = tried.get(&place).copied().filter(|_| header.first == 0).unwrap_or(header.first);
                let new = New {
                    id: header.id,
                    segment: number,
                    offset: place,
                    frame: u32::try_from(header.frame_len()).unwrap_or(u32::MAX),
                    bytes: header.payload_len(),
                    records: header.records,
                    target: &Target::new(String::from_utf8_lossy(&target).into_owned()),
                    at: header.at,
                    first,
                };
                reading.live.push((header.id, reading.state.index.insert(&new)));
            }
        })
        .map_err(fail)?;
        reading.recovered.torn += u64::from(torn);
        if is_foreign && frames == 0 {
            // Whatever it is, it is not ours to write to or to remove.
            return Ok(false);
        }
        // What is behind the last frame is cut off, so that the next one follows it.
        let is_clean = good || damage_at.is_none();
        let is_open = is_last && is_clean && (end == len || file.truncate(end).is_ok());
        let size = if is_open { end } else { len };
        reading.state.segments.insert(number, Segment { file, size, marks_size, pending });
        Ok(is_open)
    }

    fn read_marks(&self, reading: &mut Reading) -> io::Result<(Marks, u64)> {
        if !self.has_marks {
            return Ok((Marks::default(), 0));
        }
        let file = self.disk.open(&self.dir.join(format!("{:010}.marks", self.number)))?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0)?;
        let (marks, good) = Marks::decode(&bytes);
        if good < bytes.len() {
            // Marks that follow would not be read behind what is damaged.
            file.truncate(good as u64)?;
            if bytes.len() - good > 8 {
                reading.damage(self.number, good as u64, "damaged marks: what they marked is sent again");
            }
        }
        Ok((marks, good as u64))
    }
}
