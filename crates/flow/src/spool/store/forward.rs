//! What becomes of segments: marks are written, finished segments removed, nearly dead ones emptied by copying what is live.
//!
//! Invariant: the file of a segment goes before its marks, with the directory synced between: marks that are missing would make
//! everything in it live again.

use super::{Segment, State, Store, StoreError, Writer};
use crate::spool::disk::DiskFile;
use crate::spool::frame::{COPIED, FRAME_HEADER, Header, SEGMENT_HEADER};
use crate::spool::index::Key;
use crate::spool::marks::Marks;
use std::io::{self, IoSlice};

/// An active segment in which nothing is live is replaced once it is this large.
const IDLE_BYTES: u64 = 1 << 20;

/// A piece on its way to another segment.
struct Moving {
    key: Key,
    offset: u32,
    frame: u32,
    first: u64,
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
        let is_over = |number: &u32, segment: &Segment| {
            let is_used = segment.is_unreadable || active == Some(*number) && segment.size < idle;
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
        let Some((number, file, old_seed)) = ({
            let state = self.state.lock();
            self.worth_copying(&state, writer.active)
                .map(|n| (n, state.segments[&n].file.clone(), state.segments[&n].seed))
        }) else {
            return Ok(false);
        };
        let (active, seed) = self.active(&mut writer)?;
        let (mut moving, mut size) = (vec![], 0);
        {
            let state = self.state.lock();
            for (key, entry) in state.index.of(number) {
                // One at least, so that it ends.
                if size >= bytes && !moving.is_empty() {
                    break;
                }
                size += u64::from(entry.frame);
                moving.push(Moving { key, offset: entry.offset, frame: entry.frame, first: entry.first });
            }
        }
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut rest = buffer.as_mut_slice();
        for moving in &moving {
            let (frame, others) = rest.split_at_mut(moving.frame as usize);
            rest = others;
            self.copy_frame(file.as_ref(), number, moving, (old_seed, seed), frame)?;
        }
        let begin = self.append(&mut writer, active, &mut [IoSlice::new(&buffer)])?;
        self.relocate(number, active, begin, &moving);
        self.remove_finished(&mut writer)?;
        let state = self.state.lock();
        Ok(self.worth_copying(&state, writer.active).is_some())
    }

    /// Reads a frame to be written elsewhere. Its body is not verified: what is damaged is found by whoever reads it.
    fn copy_frame(
        &self,
        file: &dyn DiskFile,
        from: u32,
        moving: &Moving,
        seeds: (u32, u32),
        frame: &mut [u8],
    ) -> Result<(), StoreError> {
        file.read_at(frame, moving.offset.into()).map_err(|source| {
            if let Some(segment) = self.state.lock().segments.get_mut(&from) {
                segment.is_unmovable = true;
            }
            StoreError::Io { action: "reading", path: self.path(from, "seg"), source }
        })?;
        if let Some(mut header) = Header::decode(frame, seeds.0) {
            header.flags |= COPIED;
            header.first = moving.first;
            frame[..FRAME_HEADER].copy_from_slice(&header.encode(seeds.1));
        }
        Ok(())
    }

    fn relocate(&self, from: u32, to: u32, mut offset: u64, moving: &[Moving]) {
        let mut state = self.state.lock();
        for moved in moving {
            let new = offset as u32;
            if state.index.relocate(moved.key, (from, moved.offset), (to, new)) {
                // If the old segment cannot be removed, this is what makes it void there.
                state.mark(from, |marks| marks.done.push(moved.offset));
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
