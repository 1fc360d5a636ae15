//! What is known of a chunk without opening it: its entry in the index.

use super::open::Place;
use crate::codec::{Damaged, Reader, put_bytes, put_varint, unzigzag, zigzag};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Classes of severities: none, trace, debug, info, warn, error, fatal.
pub const CLASSES: usize = 7;
/// Nanoseconds of a minute.
pub(crate) const MINUTE: u64 = 60_000_000_000;
/// Frames of a chunk.
pub(crate) const FRAMES: usize = 4;
/// The largest frame, unpacked.
pub(crate) const MOST_UNPACKED: u32 = 1 << 29;

/// The class of a severity.
#[inline]
pub(crate) fn class_of(severity: u8) -> usize {
    usize::from(severity.min(24).div_ceil(4))
}

/// A frame of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes in the file.
    pub stored: u32,
    /// Bytes unpacked.
    pub unpacked: u32,
    /// Checksum of the bytes in the file.
    pub crc: u32,
}

/// A chunk in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub service: Arc<[u8]>,
    pub records: u32,
    pub min_time: u64,
    pub max_time: u64,
    /// The number of the first request.
    pub first: u64,
    /// The last record: all before it of this tenant, signal and service are in this chunk or an earlier one.
    pub through: Place,
    /// The highest position of the sender.
    pub position: u64,
    /// When the last request came.
    pub arrived: u64,
    /// How many records there are by minute and class, encoded.
    pub counts: Box<[u8]>,
    pub frames: [Frame; FRAMES],
    /// Blocks of the filter of words.
    pub word_blocks: u32,
    /// Blocks of the filter of trace ids, which follows.
    pub trace_blocks: u32,
    /// Checksum of both filters.
    pub filter_crc: u32,
    /// Where the chunk begins in the segment.
    pub at: u64,
    /// Where its first frame begins in the segment.
    pub frames_at: u64,
    /// Where its filters begin in their file.
    pub filter_at: u64,
    /// What is known of its filters on disk.
    pub filters: FilterState,
}

/// Whether the filters of a chunk on disk are what was written: looked at when they are first asked.
#[derive(Default)]
pub(crate) struct FilterState(AtomicU8);

impl FilterState {
    const UNKNOWN: u8 = 0;
    const SOUND: u8 = 1;
    const DAMAGED: u8 = 2;
}

impl Clone for FilterState {
    fn clone(&self) -> Self {
        FilterState(AtomicU8::new(self.0.load(Relaxed)))
    }
}

impl PartialEq for FilterState {
    /// What is known of a chunk makes it no other.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for FilterState {}

impl std::fmt::Debug for FilterState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilterState")
    }
}

impl Entry {
    /// Writes what stands before the frames of a chunk: all but the places.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.service);
        for number in [
            self.records.into(),
            self.min_time,
            self.max_time.wrapping_sub(self.min_time),
            self.first,
            self.through.0,
            self.through.1.into(),
            self.position,
            self.arrived,
            self.word_blocks.into(),
            self.trace_blocks.into(),
        ] {
            put_varint(out, number);
        }
        out.extend_from_slice(&self.filter_crc.to_le_bytes());
        put_bytes(out, &self.counts);
        for frame in &self.frames {
            put_varint(out, frame.stored.into());
            put_varint(out, frame.unpacked.into());
            out.extend_from_slice(&frame.crc.to_le_bytes());
        }
    }

    /// Reads what [`Entry::write_head`] wrote.
    pub fn read_head(head: &[u8]) -> Result<Entry, Damaged> {
        let mut reader = Reader::new(head);
        let service = reader.len_bytes()?.into();
        let records = reader.number()?;
        let min_time = reader.varint()?;
        let max_time = min_time.checked_add(reader.varint()?).ok_or(Damaged)?;
        let first = reader.varint()?;
        let through = (reader.varint()?, reader.number()?);
        let position = reader.varint()?;
        let arrived = reader.varint()?;
        let (word_blocks, trace_blocks) = (reader.number()?, reader.number()?);
        let filter_crc = reader.u32()?;
        let counts = reader.len_bytes()?.into();
        let mut frames = [Frame::default(); FRAMES];
        for frame in &mut frames {
            *frame = Frame { stored: reader.number()?, unpacked: reader.number()?, crc: reader.u32()? };
            if frame.unpacked > MOST_UNPACKED {
                return Err(Damaged);
            }
        }
        Ok(Entry {
            service,
            records,
            min_time,
            max_time,
            first,
            through,
            position,
            arrived,
            counts,
            frames,
            word_blocks,
            trace_blocks,
            filter_crc,
            at: 0,
            frames_at: 0,
            filter_at: 0,
            filters: FilterState::default(),
        })
    }

    /// Bytes of all frames.
    pub fn stored(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.stored)).sum()
    }

    /// Whether its filters may be believed. `read` reads both; it is called until it has succeeded once.
    pub fn has_sound_filters(&self, read: impl FnOnce(&mut [u8]) -> io::Result<()>) -> bool {
        let known = self.filters.0.load(Relaxed);
        if known != FilterState::UNKNOWN {
            return known == FilterState::SOUND;
        }
        let mut bytes = vec![0; usize::try_from(self.filter_len()).unwrap_or_default()];
        if read(&mut bytes).is_err() {
            return false;
        }
        let is_sound = crc32c::crc32c(&bytes) == self.filter_crc;
        self.filters.0.store(if is_sound { FilterState::SOUND } else { FilterState::DAMAGED }, Relaxed);
        is_sound
    }

    /// Bytes of both filters.
    pub fn filter_len(&self) -> u64 {
        (u64::from(self.word_blocks) + u64::from(self.trace_blocks)) * super::bloom::BLOCK as u64
    }

    /// How many records there are: minute, class, count.
    pub fn counts(&self) -> Counts<'_> {
        Counts { reader: Reader::new(&self.counts), minute: 0 }
    }

    /// Which classes there are, as bits.
    pub fn classes(&self) -> u8 {
        self.counts().fold(0, |all, (_, class, _)| all | 1 << class)
    }
}

/// See [`Entry::counts`].
pub(crate) struct Counts<'a> {
    reader: Reader<'a>,
    minute: u64,
}

impl Iterator for Counts<'_> {
    type Item = (u64, usize, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.reader.varint().ok()?;
        self.minute = self.minute.wrapping_add(unzigzag(step) as u64);
        let class = self.reader.u8().ok()?;
        Some((self.minute, usize::from(class).min(CLASSES - 1), self.reader.varint().ok()?))
    }
}

/// Counts records by minute and class.
pub(crate) fn count(times: &[u64], severities: &[u8]) -> Box<[u8]> {
    /// Further back it is not worth looking: equal ones are joined in the end.
    const LOOK_BACK: usize = 24;
    let mut counts: Vec<((u64, u8), u64)> = vec![];
    for (time, severity) in times.iter().zip(severities) {
        let name = (time / MINUTE, class_of(*severity) as u8);
        match counts.iter_mut().rev().take(LOOK_BACK).find(|(there, _)| *there == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts.sort_unstable();
    counts.dedup_by(|later, first| {
        let is_same = later.0 == first.0;
        if is_same {
            first.1 += later.1;
        }
        is_same
    });
    let (mut out, mut last) = (vec![], 0u64);
    for ((minute, class), count) in counts {
        put_varint(&mut out, zigzag(minute.wrapping_sub(last) as i64));
        out.push(class);
        put_varint(&mut out, count);
        last = minute;
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an entry with every number at its largest. Guarantee: it comes back from its bytes, and a cut one is damaged.
    #[test]
    fn entries_come_back() {
        let entry = Entry {
            service: Arc::from(&b"checkout"[..]),
            records: 1000,
            min_time: 5,
            max_time: u64::MAX,
            first: 1,
            through: (u64::MAX, u32::MAX),
            position: u64::MAX,
            arrived: 9,
            counts: count(&[1, MINUTE * 3, 2, u64::MAX], &[0, 9, 9, 24]),
            frames: [Frame { stored: u32::MAX, unpacked: MOST_UNPACKED, crc: 3 }; FRAMES],
            word_blocks: 7,
            trace_blocks: 8,
            filter_crc: 4,
            at: 0,
            frames_at: 0,
            filter_at: 0,
            filters: FilterState::default(),
        };
        let mut head = vec![];
        entry.write_head(&mut head);
        assert_eq!(Entry::read_head(&head).as_ref(), Ok(&entry));
        assert_eq!(Entry::read_head(&head[..head.len() - 1]), Err(Damaged));
        let counts: Vec<_> = entry.counts().collect();
        assert_eq!(counts, [(0, 0, 1), (0, 3, 1), (3, 3, 1), (u64::MAX / MINUTE, 6, 1)]);
        assert_eq!(entry.classes(), 0b100_1001);
    }
}
