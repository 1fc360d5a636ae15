//! A chunk that is looked into: each frame is read and unpacked when something asks for it, once.

use super::columns::{Column, Hot, Ids, Kind, Layout, Rest, Run, Slot, Texts, Whole};
use super::entry::{Entry, FRAMES};
use super::open::OpenChunk;
use super::write::Sealed;
use crate::codec::{Damaged, Reader, unzigzag};
use crate::disk::DiskFile;
use std::cell::OnceCell;
use std::sync::Arc;
use wire::Signal;

/// Where a chunk is.
#[derive(Clone)]
pub(crate) enum Source {
    /// It still grows; this is what it was when it was asked for.
    Open(Arc<OpenChunk>),
    /// It is on its way to the disk.
    Sealed(Arc<Sealed>),
    /// In a segment.
    File(Arc<dyn DiskFile>, Arc<Entry>),
}

/// A look into a chunk.
pub(crate) struct View {
    source: Source,
    signal: Signal,
    hot: OnceCell<Hot>,
    texts: OnceCell<Texts>,
    ids: OnceCell<Ids>,
    rest: OnceCell<Rest>,
    read: std::cell::Cell<u64>,
}

/// Puts a value in, if there is none yet, and lends it.
fn filled<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, Damaged>) -> Result<&T, Damaged> {
    if cell.get().is_none() {
        let _ = cell.set(make()?);
    }
    cell.get().ok_or(Damaged)
}

impl View {
    pub fn new(source: Source, signal: Signal) -> Self {
        let (hot, texts, ids, rest, read) = Default::default();
        View { source, signal, hot, texts, ids, rest, read }
    }

    /// What its records are.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Bytes that were read from disk.
    pub fn bytes_read(&self) -> u64 {
        self.read.get()
    }

    pub fn hot(&self) -> Result<&Hot, Damaged> {
        match &self.source {
            Source::Open(chunk) => Ok(&chunk.hot),
            _ => filled(&self.hot, || read_hot(&self.frame(0)?)),
        }
    }

    pub fn texts(&self) -> Result<&Texts, Damaged> {
        match &self.source {
            Source::Open(chunk) => Ok(&chunk.texts),
            _ => {
                let rows = self.rows();
                filled(&self.texts, || read_texts(self.frame(1)?, rows))
            }
        }
    }

    pub fn ids(&self) -> Result<&Ids, Damaged> {
        match &self.source {
            Source::Open(chunk) => Ok(&chunk.ids),
            _ => {
                let hot = self.hot()?;
                filled(&self.ids, || read_ids(&self.frame(2)?, hot))
            }
        }
    }

    pub fn rest(&self) -> Result<&Rest, Damaged> {
        match &self.source {
            Source::Open(chunk) => Ok(&chunk.rest),
            _ => {
                let hot = self.hot()?;
                filled(&self.rest, || read_rest(&self.frame(3)?, hot))
            }
        }
    }

    /// All of it.
    pub fn whole(&self) -> Result<Whole<'_>, Damaged> {
        let (hot, texts, ids, rest) = (self.hot()?, self.texts()?, self.ids()?, self.rest()?);
        let rows = hot.len();
        let is_sound = texts.ends.len() == rows && ids.traces.len() == rows && ids.spans.len() == rows;
        is_sound.then_some(Whole { signal: self.signal, hot, texts, ids, rest }).ok_or(Damaged)
    }

    fn rows(&self) -> usize {
        match &self.source {
            Source::Open(chunk) => chunk.len(),
            Source::Sealed(sealed) => sealed.entry.records as usize,
            Source::File(_, entry) => entry.records as usize,
        }
    }

    /// A frame, unpacked.
    fn frame(&self, number: usize) -> Result<Vec<u8>, Damaged> {
        let before = |entry: &Entry| entry.frames[..number].iter().map(|frame| u64::from(frame.stored)).sum::<u64>();
        match &self.source {
            Source::Open(_) => Err(Damaged),
            Source::Sealed(sealed) => {
                let from = before(&sealed.entry) as usize;
                let frame = sealed.entry.frames[number];
                unpack(&sealed.frames[from..from + frame.stored as usize], frame.unpacked)
            }
            Source::File(file, entry) => {
                let frame = entry.frames[number];
                let mut stored = vec![0; frame.stored as usize];
                file.read_at(&mut stored, entry.frames_at + before(entry)).map_err(|_| Damaged)?;
                self.read.set(self.read.get() + stored.len() as u64);
                if crc32c::crc32c(&stored) != frame.crc {
                    return Err(Damaged);
                }
                unpack(&stored, frame.unpacked)
            }
        }
    }
}

/// Unpacks what says that it is so many bytes, and no more.
fn unpack(stored: &[u8], unpacked: u32) -> Result<Vec<u8>, Damaged> {
    thread_local! {
        static UNPACKER: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { std::cell::RefCell::new(None) };
    }
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(zstd::bulk::Decompressor::new().map_err(|_| Damaged)?),
        };
        let mut raw = Vec::with_capacity(unpacked as usize);
        unpacker.decompress_to_buffer(stored, &mut raw).map_err(|_| Damaged)?;
        (raw.len() == unpacked as usize).then_some(raw).ok_or(Damaged)
    })
}

fn small(reader: &mut Reader<'_>, rows: usize, count: usize) -> Result<Vec<u16>, Damaged> {
    let values: Vec<u16> = match count <= 256 {
        true => reader.bytes(rows)?.iter().map(|byte| (*byte).into()).collect(),
        false => {
            let bytes = reader.bytes(rows.checked_mul(2).ok_or(Damaged)?)?;
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
        }
    };
    values.iter().all(|value| usize::from(*value) < count).then_some(values).ok_or(Damaged)
}

fn read_hot(raw: &[u8]) -> Result<Hot, Damaged> {
    let mut reader = Reader::new(raw);
    let rows = reader.count()?;
    let mut slots = vec![];
    for _ in 0..reader.count()? {
        let kind = *Kind::ALL.get(usize::from(reader.u8()?)).ok_or(Damaged)?;
        slots.push(Slot { kind, number: reader.number()?, key: reader.len_bytes()?.into() });
    }
    let mut shape_slots: Vec<Box<[u16]>> = vec![];
    for _ in 0..reader.count()? {
        let len = reader.count()?;
        let shape: Result<Box<[u16]>, _> = (0..len).map(|_| reader.number()).collect();
        shape_slots.push(shape?);
    }
    if shape_slots.iter().flatten().any(|slot| usize::from(*slot) >= slots.len()) {
        return Err(Damaged);
    }
    let origins = reader.number()?;
    let mut runs = vec![];
    let (mut request, mut records) = (0u64, 0usize);
    for _ in 0..reader.count()? {
        request = request.wrapping_add(reader.varint()?);
        let run = Run { request, hash: 0, first: reader.number()?, count: reader.number()? };
        records += run.count as usize;
        runs.push(run);
    }
    for run in &mut runs {
        run.hash = reader.u64()?;
    }
    let severities = reader.bytes(rows)?.to_vec();
    let shapes = small(&mut reader, rows, shape_slots.len())?;
    let record_origins = small(&mut reader, rows, origins)?;
    let mut times = Vec::with_capacity(rows);
    let mut time = 0u64;
    for _ in 0..rows {
        time = time.wrapping_add(unzigzag(reader.varint()?) as u64);
        times.push(time);
    }
    if records != rows {
        return Err(Damaged);
    }
    Ok(Hot { times, severities, shapes, origins: record_origins, runs, shape_slots, slots })
}

fn read_texts(raw: Vec<u8>, rows: usize) -> Result<Texts, Damaged> {
    let mut reader = Reader::new(&raw);
    let mut ends = Vec::with_capacity(rows.min(raw.len()));
    let mut end = 0u32;
    for _ in 0..rows {
        end = end.checked_add(reader.number()?).ok_or(Damaged)?;
        ends.push(end);
    }
    let rest = reader.rest().len();
    if rest != end as usize {
        return Err(Damaged);
    }
    let from = raw.len() - rest;
    Ok(Texts { ends, raw, from })
}

fn read_present<const N: usize>(reader: &mut Reader<'_>, rows: usize) -> Result<Vec<[u8; N]>, Damaged> {
    let present = reader.bytes(rows.div_ceil(8))?;
    let is_present = |row: usize| present[row / 8] & 1 << (row % 8) != 0;
    (0..rows).map(|row| if is_present(row) { reader.array() } else { Ok([0; N]) }).collect()
}

fn read_ids(raw: &[u8], hot: &Hot) -> Result<Ids, Damaged> {
    let mut reader = Reader::new(raw);
    let traces = read_present(&mut reader, hot.len())?;
    let spans = read_present(&mut reader, hot.len())?;
    let mut columns = vec![Column::default(); hot.slots.len()];
    for (slot, column) in hot.slots.iter().zip(&mut columns) {
        if slot.kind == Kind::Id {
            column.bytes = reader.len_bytes()?.to_vec();
        }
    }
    Ok(Ids { traces, spans, columns })
}

fn read_headers(reader: &mut Reader<'_>) -> Result<Vec<Box<[u8]>>, Damaged> {
    let count = reader.count()?;
    (0..count).map(|_| Ok(reader.len_bytes()?.into())).collect()
}

fn read_rest(raw: &[u8], hot: &Hot) -> Result<Rest, Damaged> {
    let mut reader = Reader::new(raw);
    let resources = read_headers(&mut reader)?;
    let scopes = read_headers(&mut reader)?;
    let mut origins = vec![];
    for _ in 0..reader.count()? {
        origins.push((reader.number()?, reader.number()?));
    }
    let mut columns = vec![Column::default(); hot.slots.len()];
    for (slot, column) in hot.slots.iter().zip(&mut columns) {
        if slot.kind == Kind::Id || slot.kind.layout() == Layout::None {
            continue;
        }
        let lens = reader.count()?;
        column.lens = (0..lens).map(|_| reader.number()).collect::<Result<_, _>>()?;
        column.bytes = reader.len_bytes()?.to_vec();
    }
    Ok(Rest { resources, scopes, origins, columns })
}

const _: () = assert!(FRAMES == 4);
