//! Summaries of traces on disk: one file a tenant and part, to which a packed list is added now and then.
//!
//! A trace can be in several lists: they are joined when they are read. A list says up to which request it and those before it have
//! all spans, so after a crash no span counts twice.

use super::summary::{Generation, Head, Summary};
use crate::codec::{Damaged, Reader, put_bytes, put_varint};
use crate::disk::{Disk, DiskFile};
use crate::segment::Repairs;
use foldhash::HashMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"BYWSSUMS";
const VERSION: u16 = 1;
const HEADER: u64 = 16;
const FRAME_HEADER: usize = 56;
const MOST_UNPACKED: u32 = 1 << 28;

/// A list of summaries on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SumFrame {
    at: u64,
    stored: u32,
    unpacked: u32,
    crc: u32,
    /// The earliest start and the latest end of a trace in it.
    pub min_time: u64,
    pub max_time: u64,
    /// Up to this request everything is in this list or one before it.
    pub through: u64,
    /// The first request that something in it is of.
    first: u64,
}

/// The file.
pub(crate) struct SumFile {
    dir: PathBuf,
    len: u64,
    file: Option<Arc<dyn DiskFile>>,
    is_dirty: bool,
    /// It cannot be written.
    pub is_foreign: bool,
}

/// The path of the file in a tenant's folder.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("traces.sum")
}

fn header() -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header
}

impl SumFile {
    /// A new one, which is not there yet.
    pub fn new(dir: &Path) -> Self {
        SumFile { dir: dir.to_owned(), len: 0, file: None, is_dirty: false, is_foreign: false }
    }

    /// Opens the one in a directory. None if there is none. A last list whose requests are all in the journal, which has those from
    /// `journaled` on, is cut: it will be made again.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        journaled: u64,
        repairs: &mut Repairs,
    ) -> Option<(SumFile, Vec<SumFrame>)> {
        let mut sums = SumFile { is_dirty: true, ..SumFile::new(dir) };
        let mut frames = vec![];
        let file = match disk.read(&path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => {
                sums.is_foreign = true;
                repairs.foreign += 1;
                return Some((sums, frames));
            }
            Ok(file) => file,
        };
        let Ok(len) = file.len() else { return Some((SumFile { is_foreign: true, ..sums }, frames)) };
        let mut start = [0; HEADER as usize];
        let is_read = len < HEADER || file.read_at(&mut start, 0).is_ok();
        // Zeros are a header that was never synced.
        let is_new = start == [0; HEADER as usize];
        if !is_read || !is_new && start != header() {
            sums.is_foreign = true;
            repairs.foreign += 1;
            return Some((sums, frames));
        }
        sums.len = if is_new { 0 } else { HEADER };
        while !is_new && let Ok(frame) = read_frame(&*file, sums.len, len) {
            sums.len = frame.at + u64::from(frame.stored);
            frames.push(frame);
        }
        repairs.lost += u64::from(sums.len < len);
        if let Some(last) = frames.pop_if(|frame| frame.first >= journaled) {
            sums.len = last.at - FRAME_HEADER as u64;
        }
        Some((sums, frames))
    }

    /// Adds a list and makes it durable.
    ///
    /// # Errors
    /// Any of the disk's: then it is not there.
    pub fn write(&mut self, disk: &dyn Disk, generation: &Generation) -> io::Result<SumFrame> {
        let written = self.try_write(disk, generation);
        self.is_dirty |= written.is_err();
        written
    }

    fn try_write(&mut self, disk: &dyn Disk, generation: &Generation) -> io::Result<SumFrame> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                disk.make_dir(&self.dir)?;
                let file = disk.open(&path(&self.dir))?;
                disk.sync_dir(&self.dir)?;
                self.is_dirty = true;
                self.file.insert(file).clone()
            }
        };
        if self.is_dirty {
            file.truncate(self.len)?;
            if self.len == 0 {
                file.append(&mut [IoSlice::new(&header())])?;
                self.len = HEADER;
            }
            self.is_dirty = false;
        }
        let Generation { traces, first, last } = generation;
        let raw = encode(traces);
        let packed = zstd::bulk::compress(&raw, 1)?;
        let frame = SumFrame {
            at: self.len + FRAME_HEADER as u64,
            stored: packed.len() as u32,
            unpacked: raw.len() as u32,
            crc: crc32c::crc32c(&packed),
            min_time: traces.values().map(|trace| trace.start).min().unwrap_or(u64::MAX),
            max_time: traces.values().map(|trace| trace.end).max().unwrap_or_default(),
            through: *last,
            first: *first,
        };
        file.append(&mut [IoSlice::new(&frame.header()), IoSlice::new(&packed)])?;
        file.sync()?;
        self.len = frame.at + u64::from(frame.stored);
        Ok(frame)
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.len
    }
}

impl SumFrame {
    fn header(&self) -> [u8; FRAME_HEADER] {
        let mut header = [0; FRAME_HEADER];
        header[..4].copy_from_slice(&self.stored.to_le_bytes());
        header[4..8].copy_from_slice(&self.unpacked.to_le_bytes());
        header[8..12].copy_from_slice(&self.crc.to_le_bytes());
        header[16..24].copy_from_slice(&self.min_time.to_le_bytes());
        header[24..32].copy_from_slice(&self.max_time.to_le_bytes());
        header[32..40].copy_from_slice(&self.through.to_le_bytes());
        header[40..48].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&header[..52]);
        header[52..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Whether it may have parts of traces that begin within a time. A trace lasts an hour at most here: what is further away is not
    /// counted to it.
    pub fn touches(&self, start: u64, end: u64) -> bool {
        const HOUR: u64 = 3600 * 1_000_000_000;
        self.max_time >= start.saturating_sub(HOUR) && self.min_time < end.saturating_add(HOUR)
    }

    /// Bytes of the list with its header.
    pub fn bytes(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.stored)
    }

    /// Reads the list.
    pub fn read(&self, file: &dyn DiskFile) -> Result<Vec<([u8; 16], Summary)>, Damaged> {
        let mut packed = vec![0; self.stored as usize];
        file.read_at(&mut packed, self.at).map_err(|_| Damaged)?;
        if crc32c::crc32c(&packed) != self.crc || self.unpacked > MOST_UNPACKED {
            return Err(Damaged);
        }
        decode(&zstd::bulk::decompress(&packed, self.unpacked as usize).map_err(|_| Damaged)?)
    }
}

fn read_frame(file: &dyn DiskFile, at: u64, len: u64) -> Result<SumFrame, Damaged> {
    let mut header = [0; FRAME_HEADER];
    file.read_at(&mut header, at).map_err(|_| Damaged)?;
    if crc32c::crc32c(&header[..52]).to_le_bytes() != header[52..] {
        return Err(Damaged);
    }
    let mut reader = Reader::new(&header);
    let (stored, unpacked, crc, _) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
    let (min_time, max_time) = (reader.u64()?, reader.u64()?);
    let (through, first) = (reader.u64()?, reader.u64()?);
    let at = at + FRAME_HEADER as u64;
    let frame = SumFrame { at, stored, unpacked, crc, min_time, max_time, through, first };
    if at + u64::from(stored) > len || stored == 0 { Err(Damaged) } else { Ok(frame) }
}

/// Strings that summaries share, numbered.
#[derive(Default)]
struct Table {
    numbers: HashMap<Arc<[u8]>, u64>,
    list: Vec<Arc<[u8]>>,
}

impl Table {
    fn number(&mut self, text: &Arc<[u8]>) -> u64 {
        *self.numbers.entry(text.clone()).or_insert_with(|| {
            self.list.push(text.clone());
            self.list.len() as u64 - 1
        })
    }
}

fn encode(traces: &HashMap<[u8; 16], Summary>) -> Vec<u8> {
    let mut table = Table::default();
    let mut rows: Vec<_> = traces.iter().collect();
    rows.sort_unstable_by_key(|(id, trace)| (trace.start, **id));
    let mut body = vec![];
    put_varint(&mut body, rows.len() as u64);
    let mut last = 0u64;
    for (id, trace) in rows {
        body.extend_from_slice(id);
        put_varint(&mut body, trace.start.wrapping_sub(last));
        last = trace.start;
        put_varint(&mut body, trace.end.wrapping_sub(trace.start));
        put_varint(&mut body, trace.spans);
        put_varint(&mut body, trace.errors);
        body.push(trace.status | u8::from(trace.head.has_parent) << 4);
        put_varint(&mut body, trace.head.start.wrapping_sub(trace.start));
        put_varint(&mut body, table.number(&trace.head.service));
        put_varint(&mut body, table.number(&trace.head.name));
        put_varint(&mut body, trace.services.len() as u64);
        trace.services.iter().for_each(|service| put_varint(&mut body, table.number(service)));
    }
    let mut out = vec![];
    put_varint(&mut out, table.list.len() as u64);
    table.list.iter().for_each(|text| put_bytes(&mut out, text));
    out.extend_from_slice(&body);
    out
}

fn decode(raw: &[u8]) -> Result<Vec<([u8; 16], Summary)>, Damaged> {
    let mut reader = Reader::new(raw);
    let texts = reader.count()?;
    let table: Vec<Arc<[u8]>> = (0..texts).map(|_| Ok(reader.len_bytes()?.into())).collect::<Result<_, _>>()?;
    let text = |number: u64| usize::try_from(number).ok().and_then(|number| table.get(number)).cloned().ok_or(Damaged);
    let count = reader.count()?;
    let mut rows = Vec::with_capacity(count);
    let mut start = 0u64;
    for _ in 0..count {
        let id = reader.array()?;
        start = start.wrapping_add(reader.varint()?);
        let end = start.wrapping_add(reader.varint()?);
        let (spans, errors) = (reader.varint()?, reader.varint()?);
        let bits = reader.u8()?;
        let head = Head {
            has_parent: bits & 16 != 0,
            start: start.wrapping_add(reader.varint()?),
            service: text(reader.varint()?)?,
            name: text(reader.varint()?)?,
        };
        let services = reader.count()?;
        let services: Vec<_> = (0..services).map(|_| text(reader.varint()?)).collect::<Result<_, _>>()?;
        rows.push((id, Summary { start, end, spans, errors, status: bits & 3, head, services }));
    }
    Ok(rows)
}
