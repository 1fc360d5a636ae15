//! A chunk made ready for the disk: columns packed into four frames, filters, and the entry of the index.
//!
//! The four frames are what queries read apart: *hot* (times, severities, shapes: a histogram), *texts*, *ids*, and the *rest*. Each is
//! one zstd frame.

use super::bloom::{Hashes, TRACE_BITS, WORD_BITS, key_hash, trace_hash, word_hash};
use super::columns::{Column, Hot, Ids, Kind, Layout, Rest, Slot, Texts, Whole};
use super::entry::{Entry, FRAMES, FilterState, Frame, count};
use super::open::OpenChunk;
use crate::codec::{put_bytes, put_varint, zigzag};
use crate::text;
use std::io;
use std::sync::Arc;
use wire::Signal;
use wire::key::{AnyValue, key_values};

/// Bytes that a buffer keeps for the next chunk.
const MOST_KEPT: usize = 4 << 20;

/// A chunk that is ready for the disk.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub signal: Signal,
    /// Its places are those in `frames` and `filters` until it is written.
    pub entry: Entry,
    /// What stands before the frames.
    pub head: Vec<u8>,
    pub frames: Vec<u8>,
    pub filters: Vec<u8>,
}

/// Makes chunks ready. It keeps its tables from chunk to chunk.
pub(crate) struct Sealer {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    folded: Vec<u8>,
    words: Hashes,
    traces: Hashes,
}

impl Sealer {
    /// One that compresses at a level of zstd.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(level: i32) -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(level)?;
        let (raw, packed, folded) = Default::default();
        Ok(Sealer { compressor, raw, packed, folded, words: Hashes::default(), traces: Hashes::default() })
    }

    /// Makes a chunk ready.
    ///
    /// # Errors
    /// Out of memory.
    pub fn seal(&mut self, chunk: &OpenChunk, service: Arc<[u8]>) -> io::Result<Sealed> {
        let whole = chunk.whole();
        let mut frames = Vec::new();
        let packed = [
            self.frame(&mut frames, |raw| put_hot(raw, whole.hot))?,
            self.frame(&mut frames, |raw| put_texts(raw, whole.texts))?,
            self.frame(&mut frames, |raw| put_ids(raw, whole.ids, &whole.hot.slots))?,
            self.frame(&mut frames, |raw| put_rest(raw, whole.rest, &whole.hot.slots))?,
        ];
        let filters = self.filters(&whole);
        let mut entry = Entry {
            service,
            records: chunk.len() as u32,
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            first: chunk.first,
            through: chunk.through,
            position: chunk.position,
            arrived: chunk.arrived,
            counts: count(&whole.hot.times, &whole.hot.severities),
            frames: packed,
            word_blocks: 0,
            trace_blocks: 0,
            filter_crc: 0,
            at: 0,
            frames_at: 0,
            filter_at: 0,
            filters: FilterState::default(),
        };
        let filters = filters.put(&mut entry);
        let mut head = Vec::new();
        entry.write_head(&mut head);
        Ok(Sealed { signal: chunk.signal, entry, head, frames, filters })
    }

    fn frame(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<Frame> {
        self.raw.clear();
        fill(&mut self.raw);
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.compressor.compress_to_buffer(&self.raw, &mut self.packed)?;
        out.extend_from_slice(&self.packed);
        let crc = crc32c::crc32c(&self.packed);
        let (stored, unpacked) = (self.packed.len() as u32, self.raw.len() as u32);
        // One very large record is no reason to keep as much memory.
        [&mut self.raw, &mut self.packed].into_iter().for_each(|buffer| buffer.shrink_to(MOST_KEPT));
        Ok(Frame { stored, unpacked, crc })
    }

    /// The filters of a chunk.
    pub fn filters(&mut self, whole: &Whole<'_>) -> Filters {
        self.words.clear();
        self.traces.clear();
        put_words(&mut self.words, &mut self.folded, whole.texts);
        put_attributes(&mut self.words, whole);
        let mut last = [0; 16];
        for id in &whole.ids.traces {
            if *id != last && *id != [0; 16] {
                self.traces.insert(trace_hash(id));
                last = *id;
            }
        }
        let mut bytes = Vec::new();
        let word_blocks = self.words.write(WORD_BITS, &mut bytes) as u32;
        let trace_blocks = self.traces.write(TRACE_BITS, &mut bytes) as u32;
        Filters { bytes, word_blocks, trace_blocks }
    }
}

/// The two filters of a chunk, one after the other.
pub(crate) struct Filters {
    bytes: Vec<u8>,
    word_blocks: u32,
    trace_blocks: u32,
}

impl Filters {
    /// Notes them in the entry, and gives their bytes.
    pub fn put(self, entry: &mut Entry) -> Vec<u8> {
        (entry.word_blocks, entry.trace_blocks) = (self.word_blocks, self.trace_blocks);
        entry.filter_crc = crc32c::crc32c(&self.bytes);
        self.bytes
    }
}

fn put_words(words: &mut Hashes, folded: &mut Vec<u8>, texts: &Texts) {
    let is_ascii = texts.bytes().is_ascii();
    if is_ascii {
        folded.clear();
        folded.extend_from_slice(texts.bytes());
        folded.make_ascii_lowercase();
    }
    let mut from = 0;
    for (row, &end) in texts.ends.iter().enumerate() {
        if is_ascii {
            text::words(&folded[from..end as usize], |word| words.insert(word_hash(word)));
            from = end as usize;
        } else {
            folded.clear();
            text::fold_into(texts.get(row), folded);
            text::words(folded, |word| words.insert(word_hash(word)));
        }
    }
}

fn put_attributes(words: &mut Hashes, whole: &Whole<'_>) {
    let attributes = if whole.signal == Signal::Logs { 6 } else { 9 };
    for resource in &whole.rest.resources {
        header_pairs(resource, 1).for_each(|(key, value)| words.insert_attribute(key, value));
    }
    for scope in &whole.rest.scopes {
        header_pairs(scope, 3).for_each(|(key, value)| words.insert_attribute(key, value));
    }
    for (slot, column) in whole.hot.slots.iter().zip(&whole.rest.columns) {
        put_column(words, slot, column, attributes);
    }
}

/// The attributes in the resource or scope of a header, which may come in pieces.
pub(crate) fn header_pairs(header: &[u8], number: u32) -> impl Iterator<Item = (&[u8], AnyValue<'_>)> {
    let pieces = wire::field::Fields::new(header).map_while(Result::ok).filter(|field| field.number == 1);
    pieces.filter_map(|field| field.bytes()).flat_map(move |message| key_values(message, number))
}

/// The values of one slot, as far as they are attributes.
fn put_column(words: &mut Hashes, slot: &Slot, column: &Column, attributes: u32) {
    let key = &*slot.key;
    let seed = key_hash(key);
    let mut cursor = super::columns::Cursor::default();
    let cells = std::iter::from_fn(|| cursor.next(slot.kind.layout(), column));
    match slot.kind {
        Kind::AttributeText => {
            let mut from = 0;
            for len in &column.lens {
                let to = from + *len as usize;
                words.insert_text(key, seed, &column.bytes[from..to]);
                from = to;
            }
        }
        Kind::AttributeInt | Kind::AttributeBool => {
            for cell in cells {
                let super::columns::Cell::Number(number) = cell else { continue };
                let value = match slot.kind {
                    Kind::AttributeInt => AnyValue::Int(number as i64),
                    _ => AnyValue::Bool(number != 0),
                };
                words.insert_attribute(key, value);
            }
        }
        Kind::AttributeDouble | Kind::AttributeOther if !column.bytes.is_empty() || !column.lens.is_empty() => {
            words.insert(super::bloom::any_hash(key));
        }
        // Attributes of an unusual encoding, and those of records that are kept whole.
        Kind::Bytes if slot.number == attributes => {
            for cell in cells {
                let super::columns::Cell::Bytes(pair) = cell else { continue };
                let mut message = vec![];
                wire::field::put_len_field(&mut message, attributes, pair);
                key_values(&message, attributes).for_each(|(key, value)| words.insert_attribute(key, value));
            }
        }
        Kind::Raw => {
            for cell in cells {
                let super::columns::Cell::Bytes(record) = cell else { continue };
                key_values(record, attributes).for_each(|(key, value)| words.insert_attribute(key, value));
            }
        }
        _ => {}
    }
}

fn put_small(out: &mut Vec<u8>, values: &[u16], count: usize) {
    match count <= 256 {
        true => out.extend(values.iter().map(|value| *value as u8)),
        false => values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes())),
    }
}

fn put_hot(out: &mut Vec<u8>, hot: &Hot) {
    put_varint(out, hot.len() as u64);
    put_varint(out, hot.slots.len() as u64);
    for slot in &hot.slots {
        out.push(slot.kind as u8);
        put_varint(out, slot.number.into());
        put_bytes(out, &slot.key);
    }
    put_varint(out, hot.shape_slots.len() as u64);
    for shape in &hot.shape_slots {
        put_varint(out, shape.len() as u64);
        shape.iter().for_each(|slot| put_varint(out, (*slot).into()));
    }
    let origins = hot.origins.iter().max().map_or(0, |most| usize::from(*most) + 1);
    put_varint(out, origins as u64);
    put_varint(out, hot.runs.len() as u64);
    let mut last = 0;
    for run in &hot.runs {
        put_varint(out, run.request.wrapping_sub(last));
        put_varint(out, run.first.into());
        put_varint(out, run.count.into());
        last = run.request;
    }
    hot.runs.iter().for_each(|run| out.extend_from_slice(&run.hash.to_le_bytes()));
    out.extend_from_slice(&hot.severities);
    put_small(out, &hot.shapes, hot.shape_slots.len());
    put_small(out, &hot.origins, origins);
    let mut last = 0u64;
    for &time in &hot.times {
        put_varint(out, zigzag(time.wrapping_sub(last) as i64));
        last = time;
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &Texts) {
    let mut last = 0;
    for &end in &texts.ends {
        put_varint(out, u64::from(end - last));
        last = end;
    }
    out.extend_from_slice(texts.bytes());
}

fn put_present<const N: usize>(out: &mut Vec<u8>, ids: &[[u8; N]]) {
    let from = out.len();
    out.resize(from + ids.len().div_ceil(8), 0);
    for (row, id) in ids.iter().enumerate().filter(|(_, id)| **id != [0; N]) {
        out[from + row / 8] |= 1 << (row % 8);
        out.extend_from_slice(id);
    }
}

fn put_ids(out: &mut Vec<u8>, ids: &Ids, slots: &[Slot]) {
    put_present(out, &ids.traces);
    put_present(out, &ids.spans);
    for (slot, column) in slots.iter().zip(&ids.columns) {
        if slot.kind == Kind::Id {
            put_bytes(out, &column.bytes);
        }
    }
}

fn put_rest(out: &mut Vec<u8>, rest: &Rest, slots: &[Slot]) {
    for headers in [&rest.resources, &rest.scopes] {
        put_varint(out, headers.len() as u64);
        headers.iter().for_each(|header| put_bytes(out, header));
    }
    put_varint(out, rest.origins.len() as u64);
    for (resource, scope) in &rest.origins {
        put_varint(out, (*resource).into());
        put_varint(out, (*scope).into());
    }
    for (slot, column) in slots.iter().zip(&rest.columns) {
        if slot.kind == Kind::Id || slot.kind.layout() == Layout::None {
            continue;
        }
        put_varint(out, column.lens.len() as u64);
        column.lens.iter().for_each(|len| put_varint(out, (*len).into()));
        put_bytes(out, &column.bytes);
    }
}

const _: () = assert!(FRAMES == 4);
