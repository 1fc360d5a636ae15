//! A chunk that still grows: records are split into its columns as they come.
//!
//! Fields of neighbouring records are mostly alike, so the slot of a field is guessed from the one before it, and looked up only where
//! the guess is wrong.

use super::columns::{Column, Hot, Ids, Kind, Layout, Rest, Run, Slot, Texts, Whole};
use super::parse::{Content, Parsed, Piece, TextPlace, plain_string, slice};
use crate::codec::{put_varint, zigzag};
use crate::hash::hash;
use foldhash::HashMap;
use wire::Signal;
use wire::field::{Fields, varint_len};

/// More slots than this a chunk does not get: a record that needs another is kept whole.
const MOST_SLOTS: usize = 2048;

/// Which record of which request.
pub(crate) type Place = (u64, u32);

/// A request as its records remember it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// Its number.
    pub request: u64,
    /// Its hash.
    pub hash: u64,
    /// The sender's position after it; 0 for none.
    pub position: u64,
    /// Nanoseconds since the epoch when it came.
    pub arrived: u64,
}

#[derive(Clone, Copy, Debug)]
enum Taken {
    /// The slot has no column.
    Implied,
    Number(u64),
    Bytes(u32, u32),
    /// Little-endian.
    Fixed(u64, u8),
}

/// A field on its way into a column.
#[derive(Clone, Copy, Debug)]
struct Part {
    slot: u16,
    taken: Taken,
}

/// Where slots, shapes, headers are found again.
#[derive(Clone, Debug, Default)]
struct Finder {
    slots: HashMap<u64, u16>,
    /// The slot that last came after each, by slot + 1.
    followers: Vec<u16>,
    shapes: HashMap<u64, u16>,
    resources: HashMap<u64, u16>,
    scopes: HashMap<u64, u16>,
    raw: Option<u16>,
    origins: HashMap<u32, u16>,
}

/// A growing chunk of one tenant, signal and service.
#[derive(Clone, Debug)]
pub(crate) struct OpenChunk {
    pub signal: Signal,
    pub hot: Hot,
    pub texts: Texts,
    pub ids: Ids,
    pub rest: Rest,
    /// Bytes of its records, and some for each.
    pub bytes: usize,
    pub min_time: u64,
    pub max_time: u64,
    /// The first request.
    pub first: u64,
    /// When the first request came.
    pub opened: u64,
    /// The last record.
    pub through: Place,
    /// The last request's.
    pub position: u64,
    /// The last request's.
    pub arrived: u64,
    finder: Finder,
    parts: Vec<Part>,
}

impl OpenChunk {
    pub fn new(signal: Signal, origin: &Origin) -> Self {
        let (hot, texts, ids, rest, finder, parts) = Default::default();
        OpenChunk {
            signal,
            hot,
            texts,
            ids,
            rest,
            bytes: 0,
            min_time: u64::MAX,
            max_time: 0,
            first: origin.request,
            opened: origin.arrived,
            through: (0, 0),
            position: 0,
            arrived: 0,
            finder,
            parts,
        }
    }

    /// About how much memory it takes with its tables, of which a chunk of one record has as many as any.
    pub fn weight(&self) -> usize {
        const TABLES: usize = 4096;
        self.bytes + TABLES
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.hot.len()
    }

    /// The number of a pair of headers.
    pub fn origin(&mut self, resource: &[u8], scope: &[u8]) -> u16 {
        let pair = (
            find_header(&mut self.rest.resources, &mut self.finder.resources, resource),
            find_header(&mut self.rest.scopes, &mut self.finder.scopes, scope),
        );
        let origins = &mut self.rest.origins;
        *self.finder.origins.entry(u32::from(pair.0) << 16 | u32::from(pair.1)).or_insert_with(|| {
            origins.push(pair);
            (origins.len() - 1) as u16
        })
    }

    /// Takes a record in. `parsed` is what it was taken apart into, `ordinal` which of its request's it is.
    pub fn push(&mut self, record: &[u8], parsed: &Parsed, headers: u16, origin: &Origin, ordinal: u32) {
        if !(parsed.is_plain && self.classify(record, parsed)) {
            self.parts.clear();
            let slot = self.raw_slot();
            self.parts.push(Part { slot, taken: Taken::Bytes(0, record.len() as u32) });
        }
        let shape = self.shape();
        self.take_parts(record);
        self.hot.times.push(parsed.time);
        self.hot.severities.push(parsed.severity);
        self.hot.shapes.push(shape);
        self.hot.origins.push(headers);
        self.texts.raw.extend_from_slice(parsed.text(record));
        self.texts.ends.push(self.texts.raw.len() as u32);
        self.ids.traces.push(parsed.trace);
        self.ids.spans.push(parsed.span);
        match self.hot.runs.last_mut() {
            Some(run) if run.request == origin.request && run.first + run.count == ordinal => run.count += 1,
            _ => self.hot.runs.push(Run { request: origin.request, hash: origin.hash, first: ordinal, count: 1 }),
        }
        self.bytes += record.len() + 64;
        self.min_time = self.min_time.min(parsed.time);
        self.max_time = self.max_time.max(parsed.time);
        self.through = (origin.request, ordinal);
        self.position = self.position.max(origin.position);
        self.arrived = self.arrived.max(origin.arrived);
    }

    /// Finds a slot for every field. Whether there was room.
    fn classify(&mut self, record: &[u8], parsed: &Parsed) -> bool {
        self.parts.clear();
        let mut before = 0;
        for (at, piece) in parsed.pieces.iter().enumerate() {
            let Some(part) = self.part(record, parsed, at as u32, *piece, before) else { return false };
            before = usize::from(part.slot) + 1;
            self.parts.push(part);
        }
        true
    }

    #[inline]
    fn part(&mut self, record: &[u8], parsed: &Parsed, at: u32, piece: Piece, before: usize) -> Option<Part> {
        let is_log = self.signal == Signal::Logs;
        let (kind, taken) = match (piece.number, piece.content) {
            (6, Content::Bytes { from, to }) if is_log => return self.attribute(record, 6, from, to, before),
            (9, Content::Bytes { from, to }) if !is_log => return self.attribute(record, 9, from, to, before),
            (number, Content::Fixed64(value)) => match (number, is_log) {
                (1, true) | (7, false) if value == parsed.time => (Kind::Time, Taken::Implied),
                (11, true) | (8, false) => (Kind::Near, Taken::Number(zigzag(value.wrapping_sub(parsed.time) as i64))),
                _ => (Kind::Fixed64, Taken::Fixed(value, 8)),
            },
            (2, Content::Varint(value)) if is_log && value == u64::from(parsed.severity) => {
                (Kind::Severity, Taken::Implied)
            }
            (_, Content::Varint(value)) => (Kind::Varint, Taken::Number(value)),
            (_, Content::Fixed32(value)) => (Kind::Fixed32, Taken::Fixed(value.into(), 4)),
            (number, Content::Bytes { from, to }) => {
                let bytes = slice(record, from, to);
                let is_text = matches!(parsed.text, TextPlace::Field { piece, .. } if piece == at);
                match (number, is_log) {
                    (5, _) if is_text => (if is_log { Kind::TextValue } else { Kind::Text }, Taken::Implied),
                    (9, true) | (1, false) if parsed.trace != [0; 16] && bytes == parsed.trace => {
                        (Kind::Trace, Taken::Implied)
                    }
                    (10, true) | (2, false) if parsed.span != [0; 8] && bytes == parsed.span => {
                        (Kind::Span, Taken::Implied)
                    }
                    (4, false) if bytes.len() == 8 => (Kind::Id, Taken::Bytes(from, to)),
                    _ => (Kind::Bytes, Taken::Bytes(from, to)),
                }
            }
        };
        Some(Part { slot: self.slot(kind, piece.number, &[], before)?, taken })
    }

    /// An attribute with a key and a value in their usual order has a slot by its key; any other is bytes.
    #[inline]
    fn attribute(&mut self, record: &[u8], number: u32, from: u32, to: u32, before: usize) -> Option<Part> {
        let Some((key, value_from)) = plain_pair(record, from, to) else {
            let slot = self.slot(Kind::Bytes, number, &[], before)?;
            return Some(Part { slot, taken: Taken::Bytes(from, to) });
        };
        let value = slice(record, value_from, to);
        let (kind, taken) = value_of(value, value_from, to);
        Some(Part { slot: self.slot(kind, number, key, before)?, taken })
    }

    #[inline]
    fn slot(&mut self, kind: Kind, number: u32, key: &[u8], before: usize) -> Option<u16> {
        let is_it = |slot: &Slot| slot.kind == kind && slot.number == number && *slot.key == *key;
        if let Some(&guess) = self.finder.followers.get(before)
            && let Some(slot) = self.hot.slots.get(usize::from(guess))
            && is_it(slot)
        {
            return Some(guess);
        }
        let name = hash(u64::from(number) << 8 | kind as u64, key);
        let found = match self.finder.slots.get(&name) {
            // Two slots of one hash: the record is kept whole.
            Some(&slot) => is_it(&self.hot.slots[usize::from(slot)]).then_some(slot)?,
            None if self.hot.slots.len() >= MOST_SLOTS => return None,
            None => {
                let new = self.new_slot(Slot { kind, number, key: key.into() });
                self.finder.slots.insert(name, new);
                new
            }
        };
        self.finder.followers[before] = found;
        Some(found)
    }

    /// The slot of records that are kept whole: there is always room for it.
    fn raw_slot(&mut self) -> u16 {
        let raw = self.finder.raw.unwrap_or_else(|| self.new_slot(Slot { kind: Kind::Raw, number: 0, key: [].into() }));
        self.finder.raw = Some(raw);
        raw
    }

    fn new_slot(&mut self, slot: Slot) -> u16 {
        let number = self.hot.slots.len() as u16;
        self.hot.slots.push(slot);
        self.rest.columns.push(Column::default());
        self.ids.columns.push(Column::default());
        self.finder.followers.resize(self.hot.slots.len() + 1, 0);
        number
    }

    /// All of it.
    pub fn whole(&self) -> Whole<'_> {
        Whole { signal: self.signal, hot: &self.hot, texts: &self.texts, ids: &self.ids, rest: &self.rest }
    }

    /// The number of the shape of the parts.
    fn shape(&mut self) -> u16 {
        let parts = &self.parts;
        let name = parts.iter().fold(0u64, |all, part| {
            (all ^ u64::from(part.slot) ^ 0x9e37).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29)
        });
        let is_it = |shape: &[u16]| shape.len() == parts.len() && shape.iter().zip(parts).all(|(a, b)| *a == b.slot);
        let shapes = &mut self.hot.shape_slots;
        match self.finder.shapes.get(&name) {
            Some(&shape) if is_it(&shapes[usize::from(shape)]) => shape,
            _ => {
                let shape = shapes.len() as u16;
                shapes.push(parts.iter().map(|part| part.slot).collect());
                self.finder.shapes.insert(name, shape);
                shape
            }
        }
    }

    fn take_parts(&mut self, record: &[u8]) {
        for part in &self.parts {
            let slot = usize::from(part.slot);
            let kind = self.hot.slots[slot].kind;
            let column = match kind {
                Kind::Id => &mut self.ids.columns[slot],
                _ => &mut self.rest.columns[slot],
            };
            match part.taken {
                Taken::Implied => {}
                Taken::Number(value) => put_varint(&mut column.bytes, value),
                Taken::Fixed(value, width) => {
                    column.bytes.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
                }
                Taken::Bytes(from, to) => {
                    column.bytes.extend_from_slice(slice(record, from, to));
                    if kind.layout() == Layout::Bytes {
                        column.lens.push(to - from);
                    }
                }
            }
        }
    }
}

/// The number of a header in a list.
fn find_header(headers: &mut Vec<Box<[u8]>>, finder: &mut HashMap<u64, u16>, header: &[u8]) -> u16 {
    if let Some(last) = headers.last()
        && **last == *header
    {
        return (headers.len() - 1) as u16;
    }
    let name = hash(0, header);
    match finder.get(&name) {
        Some(&found) if *headers[usize::from(found)] == *header => found,
        _ => {
            headers.push(header.into());
            let new = (headers.len() - 1) as u16;
            finder.insert(name, new);
            new
        }
    }
}

/// Key and place of the value of an encoded `KeyValue` that has just these, in this order, in the shortest form.
#[inline]
fn plain_pair(record: &[u8], from: u32, to: u32) -> Option<(&[u8], u32)> {
    let end = to as usize;
    let mut fields = Fields::within(record, from as usize..end);
    let key = fields.next_field().ok()??;
    let value = fields.next_field().ok()??;
    if key.number != 1 || value.number != 2 || value.end != end {
        return None;
    }
    let (key_bytes, value_bytes) = (key.bytes()?, value.bytes()?);
    let is_short = |len: usize, start: usize, end: usize| 1 + varint_len(len as u64) + len == end - start;
    let is_plain = is_short(key_bytes.len(), key.start, key.end) && is_short(value_bytes.len(), value.start, value.end);
    is_plain.then_some((key_bytes, to - value_bytes.len() as u32))
}

/// The kind of an encoded `AnyValue` at a place of the record, and what is kept of it.
#[inline]
fn value_of(value: &[u8], from: u32, to: u32) -> (Kind, Taken) {
    let other = (Kind::AttributeOther, Taken::Bytes(from, to));
    match value.first() {
        Some(0x0a) => match plain_string(value) {
            Some(text) => (Kind::AttributeText, Taken::Bytes(to - text.len() as u32, to)),
            None => other,
        },
        Some(tag @ (0x10 | 0x18)) => match Fields::new(value).next_field() {
            Ok(Some(field)) if field.end == value.len() => match field.varint() {
                Some(number) if 1 + varint_len(number) == value.len() => {
                    let kind = if *tag == 0x10 { Kind::AttributeBool } else { Kind::AttributeInt };
                    (kind, Taken::Number(number))
                }
                _ => other,
            },
            _ => other,
        },
        Some(0x21) if value.len() == 9 => (Kind::AttributeDouble, Taken::Bytes(from + 1, to)),
        _ => other,
    }
}
