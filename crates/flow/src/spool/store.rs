//! The pieces of one exporter and signal on disk: append-only segments with checksums, and an index of what is live.
//!
//! Synchronous, without a thread, a clock or a runtime. One caller at a time writes ([`Store::write`], [`Store::flush_marks`],
//! [`Store::copy_forward`]: a lock sees to it); everything else takes the short lock of the index and may be called at any time.
//!
//! Invariants: what [`Store::write`] gave keys for is on disk and found again after any crash, until it is finished; a group that
//! failed was not written (at worst it is found again after a crash: a duplicate). A segment is removed only when nothing in it
//! is live, and a frame made void only when its piece is done with, or was synced elsewhere by this process. Opening never fails for
//! damage: it is counted, and costs the frames it touches.
//!
//! It does not decide when to write, what is sent, or when a piece is given up.

mod forward;
mod open;
mod read;
mod twins;

use super::disk::{Disk, DiskFile};
use super::frame::{self, Header, SEGMENT_HEADER};
pub use super::index::Key;
use super::index::{Index, New};
use super::marks::Marks;
use crate::capacity::Held;
use crate::{Payload, Target};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twins::{At, Twins};

/// What is kept.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The data.
    pub payload: Payload,
    /// Where it is to go.
    pub target: Target,
    /// Milliseconds since the epoch when it was handed over.
    pub at: u64,
    /// Milliseconds since the epoch at the first attempt; 0 if there was none.
    pub first: u64,
    /// Anything that belongs to it: dead letters say here why they are some.
    pub note: Option<Bytes>,
}

/// The shape of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The size at which a segment is sealed and the next begun.
    pub segment_bytes: u64,
}

impl Default for StoreConfig {
    /// Segments of 64 MiB.
    fn default() -> Self {
        StoreConfig { segment_bytes: 64 << 20 }
    }
}

/// A place in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the segment.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u64,
    /// What is there.
    pub what: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in segment {} at byte {}", self.what, self.segment, self.offset)
    }
}

/// What opening found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The live pieces, the oldest first.
    pub keys: Vec<Key>,
    /// Records in them.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// The first hundred places that are damaged.
    pub damaged: Vec<Place>,
    /// How many there are.
    pub damaged_total: u64,
    /// Segments that end within a frame that was never acknowledged.
    pub torn: u64,
}

/// What is known of a piece without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its number, which it keeps for ever.
    pub id: u64,
    /// Where it is to go.
    pub target: Target,
    /// Records in it.
    pub records: u64,
    /// Bytes of its payload.
    pub bytes: u64,
    /// Milliseconds since the epoch when it was handed over.
    pub at: u64,
    /// Milliseconds since the epoch at the first attempt; 0 if there was none.
    pub first: u64,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Live pieces.
    pub pieces: u64,
    /// Their records.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Bytes of all files.
    pub disk_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Milliseconds since the epoch when the oldest was handed over.
    pub oldest: Option<u64>,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of payloads that were written.
    pub payload_bytes: u64,
    /// Bytes that were written to files, of whatever kind.
    pub written_bytes: u64,
    /// Bytes of frames that were copied forward.
    pub copied_bytes: u64,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The disk.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// The piece is damaged. It stays live until it is finished.
    #[error("damaged: {0}")]
    Damaged(Place),
    /// The piece is not live.
    #[error("it is not kept any more")]
    Gone,
    /// A piece is too large to be written, or its names are.
    #[error("too large to be kept on disk")]
    TooLarge,
}

impl StoreError {
    /// What is wrong with the disk, as a metric label: `full`, `read_only`, `removed` or `other`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            StoreError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "full",
                io::ErrorKind::ReadOnlyFilesystem => "read_only",
                io::ErrorKind::NotFound => "removed",
                _ => "other",
            },
            _ => "other",
        }
    }
}

/// A segment, whether or not anything in it is live.
struct Segment {
    file: Arc<dyn DiskFile>,
    /// Of the checksums of its frames' headers.
    seed: u32,
    /// Good bytes.
    size: u64,
    /// Bytes of its marks.
    marks_size: u64,
    /// What has not been written to its marks yet.
    pending: Marks,
    /// Some of it could not be read when it was opened: it is not removed, because the next start may read it.
    is_unreadable: bool,
    /// Some of it cannot be read: nothing is copied out of it for now.
    is_unmovable: bool,
}

#[derive(Default)]
struct State {
    index: Index,
    segments: BTreeMap<u32, Segment>,
    twins: Twins,
    counts: Counts,
}

impl State {
    /// Notes something in the marks of a segment.
    fn mark(&mut self, segment: u32, note: impl FnOnce(&mut Marks)) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            note(&mut segment.pending);
        }
    }

    /// A piece is not needed any more where it was, nor anywhere else that it lies.
    fn void(&mut self, key: Key, (segment, offset): At) {
        self.mark(segment, |marks| marks.done.push(offset));
        for (segment, offset) in self.twins.remove(key) {
            self.mark(segment, |marks| marks.done.push(offset));
        }
    }
}

/// Who writes.
struct Writer {
    /// The segment that is written to.
    active: Option<u32>,
    next_segment: u32,
    next_id: u64,
    /// Headers and names of the group that is being written.
    buffer: Vec<u8>,
}

fn removed() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the file was removed from under the queue")
}

/// The number that no segment has, so that there is always a next one.
const NO_SEGMENT: u32 = u32::MAX;

/// See the module.
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: StoreConfig,
    state: Mutex<State>,
    writer: Mutex<Writer>,
    /// None once it is closed.
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

impl Store {
    fn path(&self, segment: u32, extension: &str) -> PathBuf {
        self.dir.join(format!("{segment:010}.{extension}"))
    }

    /// Writes and syncs a group: all of it, in this order, or nothing.
    ///
    /// # Errors
    /// Nothing was written. The next group goes to another segment.
    pub fn write(&self, pieces: &[&Piece]) -> Result<Vec<Key>, StoreError> {
        let mut writer = self.writer.lock();
        if self.is_closed() {
            return Err(StoreError::Gone);
        }
        let (active, seed) = self.active(&mut writer)?;
        let mut buffer = std::mem::take(&mut writer.buffer);
        buffer.clear();
        let mut heads = Vec::with_capacity(pieces.len());
        for (n, piece) in pieces.iter().enumerate() {
            let start = buffer.len();
            match frame::begin(piece, writer.next_id + n as u64, seed, &mut buffer) {
                Some(header) => heads.push((header, start..buffer.len())),
                None => {
                    writer.buffer = buffer;
                    return Err(StoreError::TooLarge);
                }
            }
        }
        let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(pieces.len() * 2);
        for (piece, (_, range)) in pieces.iter().zip(&heads) {
            parts.push(IoSlice::new(&buffer[range.clone()]));
            parts.extend(piece.payload.body.iter().map(|chunk| IoSlice::new(chunk)));
        }
        // Not even a group that fails gives its numbers back: what is left of it on disk must not be taken for others.
        writer.next_id += pieces.len() as u64;
        let offset = self.append(&mut writer, active, &mut parts)?;
        let headers: Vec<Header> = heads.into_iter().map(|(header, _)| header).collect();
        let keys = self.admit(active, offset, &headers, pieces);
        buffer.shrink_to(1 << 20);
        writer.buffer = buffer;
        Ok(keys)
    }

    /// Takes what has been written into the index.
    fn admit(&self, segment: u32, mut offset: u64, headers: &[Header], pieces: &[&Piece]) -> Vec<Key> {
        let mut state = self.state.lock();
        let mut keys = Vec::with_capacity(pieces.len());
        for (header, piece) in headers.iter().zip(pieces) {
            let new = New {
                id: header.id,
                segment,
                offset: offset as u32,
                frame: header.frame_len() as u32,
                bytes: header.payload_len(),
                records: header.records,
                target: &piece.target,
                at: piece.at,
                first: piece.first,
            };
            keys.push(state.index.insert(&new));
            state.counts.payload_bytes += u64::from(header.payload_len());
            offset += header.frame_len();
        }
        keys
    }

    /// Appends to the active segment and syncs it. Gives where it begins. On failure nothing was appended, and the segment is not
    /// written to any more: nobody knows what is behind its good bytes.
    fn append(&self, writer: &mut Writer, active: u32, parts: &mut [IoSlice<'_>]) -> Result<u64, StoreError> {
        let (file, size) = {
            let state = self.state.lock();
            let segment = state.segments.get(&active).ok_or(StoreError::Gone)?;
            (segment.file.clone(), segment.size)
        };
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let written = file.append(parts).and_then(|()| file.sync()).and_then(|()| file.has_name());
        // A file that somebody removed takes what is written to it, and loses it with the process.
        let kept = written.and_then(|has_name| if has_name { Ok(()) } else { Err(removed()) });
        if let Err(source) = kept {
            writer.active = None;
            // Best effort: what is left is at worst found again as duplicates.
            let _ = file.truncate(size);
            return Err(StoreError::Io { action: "writing", path: self.path(active, "seg"), source });
        }
        let mut state = self.state.lock();
        state.counts.written_bytes += bytes;
        if let Some(segment) = state.segments.get_mut(&active) {
            segment.size = size + bytes;
        }
        Ok(size)
    }

    /// The segment to write to: the present one, or a new one if that is full or was given up.
    /// With the seed of its checksums.
    fn active(&self, writer: &mut Writer) -> Result<(u32, u32), StoreError> {
        if let Some(active) = writer.active
            && let Some(segment) = self.state.lock().segments.get(&active)
            && segment.size < self.config.segment_bytes
        {
            return Ok((active, segment.seed));
        }
        writer.active = None;
        let number = writer.next_segment;
        let path = self.path(number, "seg");
        let fail = |source| StoreError::Io { action: "creating", path: path.clone(), source };
        if number == NO_SEGMENT {
            return Err(fail(io::Error::other("all numbers of segments are used: is there a file that is not ours?")));
        }
        // A number is never used twice, not even if this fails: what is left of the file is then somebody else's.
        writer.next_segment += 1;
        let file = self.disk.open(&path).map_err(fail)?;
        let seed = fastrand::u32(..);
        let header = frame::segment_header(number, writer.next_id, seed);
        let made = file.append(&mut [IoSlice::new(&header)]).and_then(|()| file.sync());
        if let Err(error) = made.and_then(|()| self.disk.sync_dir(&self.dir)) {
            let _ = self.disk.remove(&path);
            return Err(fail(error));
        }
        let size = SEGMENT_HEADER as u64;
        let mut state = self.state.lock();
        state.counts.written_bytes += size;
        state.segments.insert(
            number,
            Segment {
                file,
                seed,
                size,
                marks_size: 0,
                pending: Marks::default(),
                is_unreadable: false,
                is_unmovable: false,
            },
        );
        // Another try for those that could not be read.
        state.segments.values_mut().for_each(|segment| segment.is_unmovable = segment.is_unreadable);
        writer.active = Some(number);
        Ok((number, seed))
    }

    /// Lets go of the directory: from now on nothing is written any more. Everything live stays there.
    pub fn close(&self) {
        let _writer = self.writer.lock();
        self.lock.lock().take();
    }

    fn is_closed(&self) -> bool {
        self.lock.lock().is_none()
    }

    /// A piece is done with: its key is void from now on.
    pub fn finish(&self, key: Key) {
        let mut state = self.state.lock();
        let removed = state.index.remove(key);
        debug_assert!(removed.is_some(), "finished twice");
        if let Some(entry) = removed {
            state.void(key, (entry.segment, entry.offset));
        }
    }

    /// Notes when a piece was first attempted, unless that is known already.
    pub fn tried(&self, key: Key, first: u64) {
        let mut state = self.state.lock();
        if let Some((segment, offset)) = state.index.tried(key, first) {
            state.mark(segment, |marks| marks.tried.push((offset, first)));
        }
    }

    /// The piece is to go to another target than it was written for. Not written to disk.
    pub fn retarget(&self, key: Key, target: &Target) {
        self.state.lock().index.retarget(key, target);
    }

    /// What is live, as the queue of an exporter counts it. Asked for each request: it visits no segment.
    #[must_use]
    pub fn held(&self) -> Held {
        let state = self.state.lock();
        let index = &state.index;
        Held { requests: index.pieces, records: index.records, bytes: index.bytes, places: 0 }
    }

    /// What it holds. Visits every segment.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let state = self.state.lock();
        let index = &state.index;
        Totals {
            pieces: index.pieces,
            records: index.records,
            bytes: index.bytes,
            disk_bytes: state
                .segments
                .values()
                .map(|s| s.size.saturating_add(s.marks_size))
                .fold(0, u64::saturating_add),
            segments: state.segments.len() as u64,
            oldest: index.oldest(),
        }
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// The target that has most bytes.
    #[must_use]
    pub fn fattest(&self) -> Option<Target> {
        self.state.lock().index.fattest()
    }

    /// The live pieces: of each segment in the order in which they were written.
    #[must_use]
    pub fn live(&self) -> Vec<Key> {
        let state = self.state.lock();
        state.segments.keys().flat_map(|segment| state.index.of(*segment).map(|(key, _)| key)).collect()
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
