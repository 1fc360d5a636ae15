//! The chunks of one tenant and signal in one part of a day: three files that only grow.
//!
//! `.seg` has the chunks, `.flt` their filters, `.idx` their entries. They are written in this order and synced, each before the next,
//! so what an index has is on disk. When a segment is opened, its index is read; what lies in `.seg` behind the last entry is looked at
//! chunk by chunk, sound chunks are taken in and the rest is cut. So an index that is lost or damaged is made again, a damaged chunk
//! costs itself, and filters that are lost cost time. The format is described in `docs/store-format.md`.

use crate::chunk::entry::Entry;
use crate::chunk::write::Sealed;
use crate::codec::{Damaged, Reader, put_varint};
use crate::disk::{Disk, DiskFile};
use crate::journal::read_file;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Signal;

const VERSION: u16 = 1;
/// Bytes of the header of each file.
const HEADER: usize = 24;
const SEGMENT: &[u8; 8] = b"BYWSSEGM";
const FILTERS: &[u8; 8] = b"BYWSFILT";
const INDEX: &[u8; 8] = b"BYWSINDX";
/// The first bytes of a chunk.
const CHUNK: [u8; 4] = [0xc4, 0x0b, 0x57, 0x1e];
/// Bytes before the head of a chunk: magic, length, checksum.
const CHUNK_HEADER: usize = 12;
/// The longest head of a chunk.
const MOST_HEAD: usize = 16 << 20;
/// The chunk's filters are lost: it has to be looked into.
pub(crate) const NO_FILTER: u64 = u64::MAX;

/// What opening a segment found wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// Chunks that were found again without an entry.
    pub found: u64,
    /// Entries and chunks that were lost.
    pub lost: u64,
    /// Files that cannot be read, or are of another version: they are left alone.
    pub foreign: u64,
}

/// See the module.
pub(crate) struct Segment {
    dir: PathBuf,
    signal: Signal,
    /// Mixed into the checksums of heads and entries, so that no record can hold what is taken for a chunk.
    seed: u32,
    lens: [u64; 3],
    files: Option<[Arc<dyn DiskFile>; 3]>,
    /// More may be in the files than their lengths say.
    is_dirty: bool,
    /// It cannot be written: see [`Repairs::foreign`].
    pub is_foreign: bool,
    /// What is behind the names of its files: [`NEW`] while it is to take the place of another.
    suffix: &'static str,
}

/// Behind the names of files that are to take the place of others.
const NEW: &str = ".new";
/// What the three files are called, in the order in which they are written.
const KINDS: [&str; 3] = ["seg", "flt", "idx"];

fn path(dir: &Path, signal: Signal, kind: &str) -> PathBuf {
    dir.join(format!("{signal}.{kind}"))
}

/// The segment's file with the chunks.
pub(crate) fn chunks_path(dir: &Path, signal: Signal) -> PathBuf {
    path(dir, signal, "seg")
}

/// The segment's file with the filters.
pub(crate) fn filters_path(dir: &Path, signal: Signal) -> PathBuf {
    path(dir, signal, "flt")
}

fn header(magic: &[u8; 8], seed: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(magic);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&seed.to_le_bytes());
    let crc = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The seed of a file with a sound header; `Ok(None)` if the header is damaged.
fn read_header(bytes: &[u8], magic: &[u8; 8]) -> Result<Option<u32>, Damaged> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let mut reader = Reader::new(&header[8..]);
    let (version, _) = (reader.u16()?, reader.u16()?);
    let seed = reader.u32()?;
    if header[..8] != *magic || crc32c::crc32c(&header[..20]).to_le_bytes() != header[20..] {
        return Ok(None);
    }
    // A sound header of another version.
    if version != VERSION { Err(Damaged) } else { Ok(Some(seed)) }
}

impl Segment {
    /// A new one, which has no files yet. `seed` is a number nobody outside knows.
    pub fn new(dir: &Path, signal: Signal, seed: u32) -> Segment {
        Segment {
            dir: dir.to_owned(),
            signal,
            seed,
            lens: [0; 3],
            files: None,
            is_dirty: false,
            is_foreign: false,
            suffix: "",
        }
    }

    /// One that is to take the place of another in the end.
    pub fn successor(dir: &Path, signal: Signal, seed: u32) -> Segment {
        Segment { suffix: NEW, ..Segment::new(dir, signal, seed) }
    }

    /// Takes the place of the one that is there. After a crash in between each of the three files is the old or the new one; what does not
    /// belong together has different seeds, and is made again from the chunks. Whether the filters are in their place.
    ///
    /// # Errors
    /// Any of the disk's: then nothing has changed. What fails when the chunks are in their place only costs filters and index.
    pub fn replace(&self, disk: &dyn Disk) -> io::Result<bool> {
        let rename = |kind| disk.rename(&self.named(kind, NEW), &self.named(kind, ""));
        rename(KINDS[0])?;
        let has_filters = rename(KINDS[1]).is_ok();
        let _ = rename(KINDS[2]).and_then(|()| disk.sync_dir(&self.dir));
        Ok(has_filters)
    }

    /// Removes the files of one that was to take the place of another.
    pub fn remove_successor(disk: &dyn Disk, dir: &Path, signal: Signal) {
        let successor = Segment::successor(dir, signal, 0);
        // There may be none.
        KINDS.iter().for_each(|kind| drop(disk.remove(&successor.named(kind, NEW))));
    }

    fn named(&self, kind: &str, suffix: &str) -> PathBuf {
        path(&self.dir, self.signal, &format!("{kind}{suffix}"))
    }

    /// Opens the one in a directory, repairs it, and gives its entries. None if it has no files. Chunks without an entry whose requests are
    /// in the journal, which has all from `journaled` on, are not looked for: they will be made again.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        signal: Signal,
        (seed, journaled): (u32, u64),
    ) -> Option<(Segment, Vec<Entry>, Repairs)> {
        let mut segment = Segment::new(dir, signal, seed);
        let mut repairs = Repairs::default();
        let files = [chunks_path(dir, signal), filters_path(dir, signal), path(dir, signal, "idx")];
        let chunks = match disk.read(&files[0]) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // An index without chunks is what is left of a removal.
                files.iter().for_each(|file| drop(disk.remove(file)));
                return None;
            }
            file => file,
        };
        let opened = chunks.map_err(|_| Damaged).and_then(|chunks| {
            let index = read_file(disk, &files[2]).unwrap_or_default();
            segment.read(&*chunks, &index, journaled, &mut repairs)
        });
        let Ok((mut entries, is_whole)) = opened else {
            segment.is_foreign = true;
            repairs.foreign += 1;
            return Some((segment, vec![], repairs));
        };
        let is_whole = segment.look_for_filters(disk, &mut entries) && is_whole;
        if !is_whole && segment.write_index(disk, &entries).is_err() {
            segment.is_foreign = true;
        }
        segment.is_dirty = true;
        Some((segment, entries, repairs))
    }

    /// The entries, and whether the index is just what they are.
    fn read(
        &mut self,
        chunks: &dyn DiskFile,
        index: &[u8],
        journaled: u64,
        repairs: &mut Repairs,
    ) -> Result<(Vec<Entry>, bool), Damaged> {
        let len = chunks.len().map_err(|_| Damaged)?;
        let mut start = vec![0; HEADER.min(usize::try_from(len).unwrap_or(HEADER))];
        chunks.read_at(&mut start, 0).map_err(|_| Damaged)?;
        let (own, indexed) = (read_header(&start, SEGMENT)?, read_header(index, INDEX)?);
        if len < HEADER as u64 || indexed.is_none() && start.iter().all(|byte| *byte == 0) {
            // It was being made: its header was never synced.
            return Ok((vec![], false));
        }
        // If neither says what the seed is, nothing in it can be told from what records hold.
        self.seed = own.or(indexed).ok_or(Damaged)?;
        let (mut entries, index_len) = match indexed {
            Some(_) => self.read_index(index),
            None => (vec![], 0),
        };
        let mut is_whole = own.is_some() && index_len == index.len() && index_len > 0;
        let before = entries.len();
        entries.retain(|entry| entry.frames_at + entry.stored() <= len);
        repairs.lost += (before - entries.len()) as u64;
        is_whole &= before == entries.len();
        let known = entries.iter().map(|entry| entry.frames_at + entry.stored()).max().unwrap_or(HEADER as u64);
        let (mut end, mut found) = self.find_chunks(chunks, known, len, repairs);
        // Those at the end that are cut.
        while found.last().is_some_and(|entry| entry.first >= journaled) {
            end = found.pop().map_or(end, |entry| entry.at);
        }
        found.retain(|entry| entry.first < journaled);
        repairs.found += found.len() as u64;
        entries.append(&mut found);
        is_whole &= before == entries.len();
        self.lens = [end, HEADER as u64, index_len as u64];
        Ok((entries, is_whole))
    }

    /// The entries of an index, and how much of it is sound.
    fn read_index(&self, index: &[u8]) -> (Vec<Entry>, usize) {
        let mut entries = vec![];
        let mut reader = Reader::new(&index[HEADER..]);
        let mut sound = HEADER;
        while let Ok(entry) = self.read_entry(&mut reader) {
            sound = index.len() - reader.rest().len();
            entries.push(entry);
        }
        (entries, sound)
    }

    fn read_entry(&self, reader: &mut Reader<'_>) -> Result<Entry, Damaged> {
        let len = reader.u32()? as usize;
        let crc = reader.u32()?;
        let frame = reader.bytes(len)?;
        if crc32c::crc32c(frame) ^ self.seed != crc {
            return Err(Damaged);
        }
        let mut frame = Reader::new(frame);
        let (at, frames_at, filter_at) = (frame.varint()?, frame.varint()?, frame.varint()?);
        let entry = Entry::read_head(frame.rest())?;
        let _ = frames_at.checked_add(entry.stored()).ok_or(Damaged)?;
        Ok(Entry { at, frames_at, filter_at, ..entry })
    }

    fn put_entry(&self, out: &mut Vec<u8>, entry: &Entry, head: &[u8]) {
        let mut frame = vec![];
        [entry.at, entry.frames_at, entry.filter_at].iter().for_each(|place| put_varint(&mut frame, *place));
        frame.extend_from_slice(head);
        out.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        out.extend_from_slice(&(crc32c::crc32c(&frame) ^ self.seed).to_le_bytes());
        out.extend_from_slice(&frame);
    }

    /// Looks for sound chunks from `at` on; where the last one ends, and their entries.
    fn find_chunks(&self, chunks: &dyn DiskFile, mut at: u64, len: u64, repairs: &mut Repairs) -> (u64, Vec<Entry>) {
        let (mut end, mut entries) = (at, vec![]);
        while let Some(next) = find_magic(chunks, at, len) {
            match self.read_chunk(chunks, next, len) {
                Ok(entry) => {
                    end = entry.frames_at + entry.stored();
                    at = end;
                    entries.push(entry);
                }
                Err(Damaged) => {
                    at = next + 1;
                    repairs.lost += 1;
                }
            }
        }
        (end, entries)
    }

    /// The entry of a chunk, if all of it is sound.
    fn read_chunk(&self, chunks: &dyn DiskFile, at: u64, len: u64) -> Result<Entry, Damaged> {
        let read = |at: u64, count: u64| {
            if at.checked_add(count).is_none_or(|end| end > len) {
                return Err(Damaged);
            }
            let mut bytes = vec![0; usize::try_from(count).map_err(|_| Damaged)?];
            chunks.read_at(&mut bytes, at).map_err(|_| Damaged)?;
            Ok(bytes)
        };
        let start = read(at, CHUNK_HEADER as u64)?;
        let mut reader = Reader::new(&start[4..]);
        let (head_len, crc) = (reader.u32()?, reader.u32()?);
        if head_len as usize > MOST_HEAD {
            return Err(Damaged);
        }
        let head = read(at + CHUNK_HEADER as u64, head_len.into())?;
        if crc32c::crc32c(&head) ^ self.seed != crc {
            return Err(Damaged);
        }
        let entry = Entry::read_head(&head)?;
        let frames_at = at + CHUNK_HEADER as u64 + u64::from(head_len);
        let mut frame_at = frames_at;
        for frame in &entry.frames {
            if crc32c::crc32c(&read(frame_at, frame.stored.into())?) != frame.crc {
                return Err(Damaged);
            }
            frame_at += u64::from(frame.stored);
        }
        Ok(Entry { at, frames_at, filter_at: NO_FILTER, ..entry })
    }

    /// Entries whose filters are not where they should be have none; those of chunks found again may be there. Whether all are there.
    fn look_for_filters(&mut self, disk: &dyn Disk, entries: &mut [Entry]) -> bool {
        let filters = disk.read(&filters_path(&self.dir, self.signal)).ok();
        let len = filters.as_ref().and_then(|file| file.len().ok()).unwrap_or_default();
        let mut start = [0; HEADER];
        let is_sound = filters.as_ref().is_some_and(|file| {
            file.read_at(&mut start, 0).is_ok() && read_header(&start, FILTERS) == Ok(Some(self.seed))
        });
        let (mut end, mut are_all_there) = (HEADER as u64, true);
        for entry in entries.iter_mut() {
            let filter_len = entry.filter_len();
            if entry.filter_at == NO_FILTER && filter_len > 0 {
                let mut bytes = vec![0; filter_len as usize];
                let there = filters.as_ref().filter(|_| end + filter_len <= len);
                if there.is_some_and(|file| file.read_at(&mut bytes, end).is_ok())
                    && crc32c::crc32c(&bytes) == entry.filter_crc
                {
                    entry.filter_at = end;
                }
            }
            let is_there = is_sound && entry.filter_at.checked_add(filter_len).is_some_and(|end| end <= len);
            if is_there {
                end = end.max(entry.filter_at + filter_len);
            } else if filter_len > 0 {
                are_all_there &= entry.filter_at == NO_FILTER;
                entry.filter_at = NO_FILTER;
            }
        }
        self.lens[1] = if is_sound { end } else { 0 };
        are_all_there
    }

    /// Writes the index anew.
    fn write_index(&mut self, disk: &dyn Disk, entries: &[Entry]) -> io::Result<()> {
        let mut bytes = header(INDEX, self.seed).to_vec();
        for entry in entries {
            let mut head = vec![];
            entry.write_head(&mut head);
            self.put_entry(&mut bytes, entry, &head);
        }
        let file = disk.open(&path(&self.dir, self.signal, "idx"))?;
        file.truncate(0)?;
        file.append(&mut [IoSlice::new(&bytes)])?;
        file.sync()?;
        self.lens[2] = bytes.len() as u64;
        Ok(())
    }

    /// Opens the files for writing, with just so much in them as is known.
    fn prepare(&mut self, disk: &dyn Disk) -> io::Result<[Arc<dyn DiskFile>; 3]> {
        let files = match &self.files {
            Some(files) => files.clone(),
            None => {
                disk.make_dir(&self.dir)?;
                let open = |kind| disk.open(&self.named(kind, self.suffix));
                let files = [open(KINDS[0])?, open(KINDS[1])?, open(KINDS[2])?];
                disk.sync_dir(&self.dir)?;
                self.is_dirty = true;
                self.files.insert(files).clone()
            }
        };
        if self.is_dirty {
            for ((file, len), magic) in files.iter().zip(&mut self.lens).zip([SEGMENT, FILTERS, INDEX]) {
                file.truncate(*len)?;
                if *len == 0 {
                    file.append(&mut [IoSlice::new(&header(magic, self.seed))])?;
                    *len = HEADER as u64;
                }
            }
            self.is_dirty = false;
        }
        Ok(files)
    }

    /// Writes chunks and makes them durable; their entries.
    ///
    /// # Errors
    /// Any of the disk's: then none of them is there.
    pub fn write(&mut self, disk: &dyn Disk, sealed: &[Arc<Sealed>]) -> io::Result<Vec<Entry>> {
        let files = self.prepare(disk)?;
        let written = self.write_to(&files, sealed);
        self.is_dirty |= written.is_err();
        written
    }

    fn write_to(&mut self, files: &[Arc<dyn DiskFile>; 3], sealed: &[Arc<Sealed>]) -> io::Result<Vec<Entry>> {
        let (mut lens, mut entries) = (self.lens, vec![]);
        let (mut starts, mut index) = (vec![], vec![]);
        for chunk in sealed {
            let mut start = [0; CHUNK_HEADER];
            start[..4].copy_from_slice(&CHUNK);
            start[4..8].copy_from_slice(&(chunk.head.len() as u32).to_le_bytes());
            start[8..].copy_from_slice(&(crc32c::crc32c(&chunk.head) ^ self.seed).to_le_bytes());
            starts.push(start);
            let frames_at = lens[0] + (CHUNK_HEADER + chunk.head.len()) as u64;
            let entry = Entry { at: lens[0], frames_at, filter_at: lens[1], ..chunk.entry.clone() };
            lens[0] = frames_at + chunk.frames.len() as u64;
            lens[1] += chunk.filters.len() as u64;
            self.put_entry(&mut index, &entry, &chunk.head);
            entries.push(entry);
        }
        for (chunks, starts) in sealed.chunks(256).zip(starts.chunks(256)) {
            let each = chunks.iter().zip(starts);
            let mut parts: Vec<_> =
                each.flat_map(|(chunk, start)| [&start[..], &chunk.head, &chunk.frames].map(IoSlice::new)).collect();
            files[0].append(&mut parts)?;
            let mut parts: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(&chunk.filters)).collect();
            files[1].append(&mut parts)?;
        }
        files[0].sync()?;
        files[1].sync()?;
        files[2].append(&mut [IoSlice::new(&index)])?;
        files[2].sync()?;
        lens[2] += index.len() as u64;
        self.lens = lens;
        Ok(entries)
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.lens.iter().sum()
    }
}

/// Where the next chunk may begin.
fn find_magic(chunks: &dyn DiskFile, mut at: u64, len: u64) -> Option<u64> {
    const WINDOW: u64 = 1 << 20;
    while at + CHUNK_HEADER as u64 <= len {
        let count = WINDOW.min(len - at);
        let mut window = vec![0; count as usize];
        // What cannot be read is passed over.
        let found = chunks.read_at(&mut window, at).ok().and_then(|()| memchr::memmem::find(&window, &CHUNK));
        if let Some(found) = found {
            return Some(at + found as u64);
        }
        at += count.saturating_sub(CHUNK.len() as u64 - 1).max(1);
    }
    None
}
