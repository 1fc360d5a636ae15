//! What becomes of segments: marks are written, finished segments removed, nearly dead ones emptied by copying what is live.
//!
//! Invariant: the file of a segment goes before its marks, with the directory synced between: marks that are missing would make
//! everything in it live again.

use super::twins::At;
use super::{Segment, State, Store, StoreError, Writer};
use crate::spool::frame::{COPIED, FRAME_HEADER, Header, SEGMENT_HEADER};
use crate::spool::index::{Entry, Key};
use crate::spool::marks::Marks;
use std::io::{self, IoSlice};

/// An active segment in which nothing is live is replaced once it is this large.
const IDLE_BYTES: u64 = 1 << 20;

/// A piece on its way to another segment.
struct Moving {
    key: Key,
    id: u64,
    from: At,
    frame: u32,
    first: u64,
}

impl Moving {
    /// Where it lies now. None if it was finished meanwhile: the key may stand for another.
    fn place(&self, state: &State) -> Option<At> {
        state.index.get(self.key).filter(|entry| entry.id == self.id).map(|entry| (entry.segment, entry.offset))
    }
}

/// Pieces of about so many bytes; one at least, so that copying ends.
fn some_of<'a>(entries: impl Iterator<Item = (Key, &'a Entry)>, bytes: u64) -> Vec<Moving> {
    let (mut moving, mut size) = (vec![], 0);
    for (key, entry) in entries {
        if size >= bytes && !moving.is_empty() {
            break;
        }
        size += u64::from(entry.frame);
        let from = (entry.segment, entry.offset);
        moving.push(Moving { key, id: entry.id, from, frame: entry.frame, first: entry.first });
    }
    moving
}

impl Store {
    /// Writes the marks that are pending, and removes the segments in which nothing is live. What fails is tried again the next
    /// time.
    ///
    /// # Errors
    /// The disk cannot be written to; no mark is lost.
    pub fn flush_marks(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if self.is_closed() {
            return Ok(());
        }
        let mut result = Ok(());
        let over = self.finished(&writer);
        let pending: Vec<(u32, Marks)> = {
            let mut state = self.state.lock();
            let marked = state.segments.iter_mut().filter(|(n, s)| !s.pending.is_empty() && !over.contains(n));
            marked.map(|(number, s)| (*number, std::mem::take(&mut s.pending))).collect()
        };
        for (number, marks) in pending {
            match self.write_marks(number, &marks) {
                Ok(bytes) => {
                    let mut state = self.state.lock();
                    state.counts.written_bytes += bytes;
                    if let Some(segment) = state.segments.get_mut(&number) {
                        segment.marks_size = segment.marks_size.saturating_add(bytes);
                    }
                }
                Err(error) => {
                    self.state.lock().mark(number, |pending| pending.extend(marks));
                    result = Err(error);
                }
            }
        }
        // After the marks: what is removed may be what makes a frame in an older segment void. And whether or not they could be
        // written: this is what makes room on a full disk.
        self.remove_finished(&mut writer).and(result)
    }

    fn write_marks(&self, segment: u32, marks: &Marks) -> Result<u64, StoreError> {
        let path = self.path(segment, "marks");
        let bytes = marks.encode();
        let good = self.state.lock().segments.get(&segment).map_or(0, |segment| segment.marks_size);
        let written = self.disk.open(&path).and_then(|file| {
            // What is left of an attempt that failed would hide all that follows.
            if file.len()? > good {
                file.truncate(good)?;
            }
            file.append(&mut [IoSlice::new(&bytes)]).inspect_err(|_| drop(file.truncate(good)))
        });
        written.map_err(|source| StoreError::Io { action: "writing", path, source })?;
        Ok(bytes.len() as u64)
    }

    /// The segments that can go.
    fn finished(&self, writer: &Writer) -> Vec<u32> {
        let active = writer.active;
        let idle = IDLE_BYTES.min(self.config.segment_bytes);
        let state = self.state.lock();
        let doubled = state.twins.segments();
        let is_over = |number: &u32, segment: &Segment| {
            let is_written = active == Some(*number) && segment.size < idle;
            let is_used = segment.is_unreadable || is_written || doubled.contains(number);
            !is_used && state.index.live(*number).is_none()
        };
        state.segments.iter().filter(|(number, segment)| is_over(number, segment)).map(|(number, _)| *number).collect()
    }

    fn remove_finished(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let finished = self.finished(writer);
        if finished.is_empty() {
            return Ok(());
        }
        if writer.active.is_some_and(|active| finished.contains(&active)) {
            writer.active = None;
        }
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        for number in &finished {
            let path = self.path(*number, "seg");
            gone(self.disk.remove(&path)).map_err(|source| StoreError::Io { action: "removing", path, source })?;
        }
        let dir = &self.dir;
        self.disk.sync_dir(dir).map_err(|source| StoreError::Io { action: "syncing", path: dir.clone(), source })?;
        for number in finished {
            let path = self.path(number, "marks");
            gone(self.disk.remove(&path)).map_err(|source| StoreError::Io { action: "removing", path, source })?;
            self.state.lock().segments.remove(&number);
        }
        Ok(())
    }

    /// Copies live pieces out of the segment that is worth it most, at most about `bytes` of them. True if there is more to do.
    ///
    /// A segment is worth it if less than half of it is live, and the disk holds more than twice of what is live and a segment.
    ///
    /// # Errors
    /// The disk cannot be read or written to; everything is where it was.
    pub fn copy_forward(&self, bytes: u64) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        if self.is_closed() {
            return Ok(false);
        }
        let moving = self.to_move(&self.state.lock(), writer.active, bytes);
        if moving.is_empty() {
            return Ok(false);
        }
        let (active, seed) = self.active(&mut writer)?;
        let size = moving.iter().map(|moving| moving.frame as usize).sum();
        let mut buffer = vec![0; size];
        let mut rest = buffer.as_mut_slice();
        for moving in &moving {
            let (frame, others) = rest.split_at_mut(moving.frame as usize);
            rest = others;
            self.copy_frame(moving, seed, frame)?;
        }
        match self.append(&mut writer, active, &mut [IoSlice::new(&buffer)]) {
            Ok(begin) => self.relocate(active, begin, &moving),
            Err(error) => {
                self.leave(active, &moving);
                return Err(error);
            }
        }
        self.remove_finished(&mut writer)?;
        Ok(!self.to_move(&self.state.lock(), writer.active, 0).is_empty())
    }

    /// What is to be copied next, about so many bytes: what lies at several places, or else what is live in the segment that is
    /// worth it most.
    fn to_move(&self, state: &State, active: Option<u32>, bytes: u64) -> Vec<Moving> {
        let is_movable = |entry: &&Entry| state.segments.get(&entry.segment).is_some_and(|s| !s.is_unmovable);
        let entries = state.twins.keys().filter_map(|key| Some((key, state.index.get(key).filter(is_movable)?)));
        let twins = some_of(entries, bytes);
        if !twins.is_empty() {
            return twins;
        }
        self.worth_copying(state, active).map_or(vec![], |number| some_of(state.index.of(number), bytes))
    }

    /// Reads a frame to be written elsewhere. What is damaged at each of its places is copied as it is: whoever reads it finds that.
    fn copy_frame(&self, moving: &Moving, seed: u32, frame: &mut [u8]) -> Result<(), StoreError> {
        loop {
            let (file, old_seed, live_at, (number, offset)) = {
                let state = self.state.lock();
                let live_at = moving.place(&state);
                let from = live_at.unwrap_or(moving.from);
                let segment = state.segments.get(&from.0).ok_or(StoreError::Gone)?;
                (segment.file.clone(), segment.seed, live_at, from)
            };
            file.read_at(frame, offset.into()).map_err(|source| {
                if let Some(segment) = self.state.lock().segments.get_mut(&number) {
                    segment.is_unmovable = true;
                }
                StoreError::Io { action: "reading", path: self.path(number, "seg"), source }
            })?;
            let header = Header::decode(frame, old_seed);
            let is_whole = header.as_ref().is_some_and(|header| header.is_of(&frame[FRAME_HEADER..]));
            if !is_whole && live_at.is_some_and(|at| self.lies_elsewhere(moving.key, at)) {
                continue;
            }
            if let Some(mut header) = header {
                header.flags |= COPIED;
                header.first = moving.first;
                frame[..FRAME_HEADER].copy_from_slice(&header.encode(seed));
            }
            return Ok(());
        }
    }

    /// The pieces lie here from now on.
    fn relocate(&self, to: u32, mut offset: u64, moving: &[Moving]) {
        let mut state = self.state.lock();
        for moved in moving {
            let new = offset as u32;
            if let Some(from) = moved.place(&state) {
                state.index.relocate(moved.key, from, (to, new));
                // If an old segment cannot be removed, this is what makes it void there.
                state.void(moved.key, from);
                let first = state.index.get(moved.key).map_or(moved.first, |entry| entry.first);
                if first != moved.first {
                    // It was first attempted while it was copied.
                    state.mark(to, |marks| marks.tried.push((new, first)));
                }
            } else {
                // It was finished while it was copied.
                state.mark(to, |marks| marks.done.push(new));
            }
            state.counts.copied_bytes += u64::from(moved.frame);
            offset += u64::from(moved.frame);
        }
    }

    /// The pieces could not be written here. What could not be cut off may be found by the next start.
    fn leave(&self, to: u32, moving: &[Moving]) {
        let segment = self.state.lock().segments.get(&to).map(|segment| (segment.file.clone(), segment.size));
        let Some((file, mut offset)) = segment else { return };
        if file.len().is_ok_and(|len| len <= offset) {
            return;
        }
        let mut state = self.state.lock();
        for left in moving {
            let at = (to, offset as u32);
            match left.place(&state) {
                Some(_) => state.twins.add(left.key, at),
                None => state.mark(to, |marks| marks.done.push(at.1)),
            }
            offset += u64::from(left.frame);
        }
    }

    fn worth_copying(&self, state: &State, active: Option<u32>) -> Option<u32> {
        // What copying cannot give back does not count: what is finished goes by itself, what cannot be read stays.
        let is_worth = |number: u32, segment: &Segment| {
            Some(number) != active && !segment.is_unmovable && state.index.live(number).is_some()
        };
        let sealed = || state.segments.iter().filter(|(number, segment)| is_worth(**number, segment));
        let all: u64 = sealed().map(|(_, segment)| segment.size).sum();
        if all <= 2 * state.index.frames + self.config.segment_bytes {
            return None;
        }
        let live = |number: u32| state.index.live(number).map_or(0, |live| live.bytes);
        let ratio =
            |number: u32, segment: &Segment| live(number) as f64 / segment.size.max(SEGMENT_HEADER as u64) as f64;
        let mut candidates: Vec<(f64, u32)> = sealed().map(|(n, segment)| (ratio(*n, segment), *n)).collect();
        candidates.retain(|(ratio, _)| *ratio > 0.0 && *ratio < 0.5);
        candidates.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, number)| number)
    }
}
