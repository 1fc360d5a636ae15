//! The protobuf that comes out: fields, and messages whose length is known when they end.
//!
//! The bytes of a length are kept free when its message begins, as many as the last message of that field needed, and
//! the content is moved when that was wrong: lengths are as short as they can be. Invariant: what is written never
//! passes the limit by more than one field.

use crate::field::{put_varint, varint_len};
use crate::schema::Kind;

/// What has been written.
pub(super) struct Output {
    bytes: Vec<u8>,
    limit: usize,
    /// What open messages keep free for their lengths beyond one byte each, which the limit does not count.
    slack: usize,
    /// How many messages are open.
    depth: usize,
    /// How long the last length was, by depth and field number; messages below [`DEPTHS`] share.
    widths: [u8; DEPTHS * NUMBERS],
}

const DEPTHS: usize = 4;
/// Field numbers are at most 16.
const NUMBERS: usize = 16;

/// A message that has begun.
pub(super) struct Open {
    at: usize,
    width: usize,
    slot: usize,
}

impl Output {
    /// For a message of which the JSON is `json` bytes, and the protobuf at most `limit`.
    pub fn new(json: usize, limit: usize) -> Self {
        // What most requests stay below. One entry with one scope is all there is in most.
        let expected = json / 4 * 3;
        let mut widths = [1; DEPTHS * NUMBERS];
        widths[1] = varint_len(expected as u64) as u8;
        widths[NUMBERS + 2] = widths[1];
        Output { bytes: Vec::with_capacity(expected.min(limit)), limit, slack: 0, depth: 0, widths }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is more than the limit allows.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.bytes.len() - self.slack > self.limit
    }

    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Takes bytes out.
    pub fn remove(&mut self, range: std::ops::Range<usize>) {
        self.bytes.drain(range);
    }

    #[inline]
    fn tag(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number << 3) | u64::from(wire_type));
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        if value < 0x80 {
            self.bytes.push(value as u8);
        } else {
            put_varint(&mut self.bytes, value);
        }
    }

    /// Writes what a wire type 0, 1 or 5 carries.
    #[inline]
    pub fn scalar(&mut self, kind: Kind, bits: u64) {
        match kind.wire_type() {
            1 => self.bytes.extend_from_slice(&bits.to_le_bytes()),
            5 => self.bytes.extend_from_slice(&(bits as u32).to_le_bytes()),
            _ => self.varint(bits),
        }
    }

    /// The same, with its tag.
    #[inline]
    pub fn scalar_field(&mut self, number: u32, kind: Kind, bits: u64) {
        self.tag(number, kind.wire_type());
        self.scalar(kind, bits);
    }

    /// Writes tag and length of a field of `len` bytes.
    #[inline]
    pub fn prefix(&mut self, number: u32, len: usize) {
        if number < 16 && len < 0x80 {
            self.bytes.extend_from_slice(&[(number << 3 | 2) as u8, len as u8]);
        } else {
            self.tag(number, 2);
            self.varint(len as u64);
        }
    }

    /// Writes a field of these bytes.
    #[inline]
    pub fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        self.prefix(number, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Begins a message, or a packed list.
    #[inline]
    pub fn open(&mut self, number: u32) -> Open {
        self.tag(number, 2);
        let slot = self.depth.min(DEPTHS - 1) * NUMBERS + number as usize % NUMBERS;
        let (at, width) = (self.bytes.len(), usize::from(self.widths[slot]));
        self.depth += 1;
        self.slack += width - 1;
        self.bytes.extend_from_slice(&[0; MAX_WIDTH][..width]);
        Open { at, width, slot }
    }

    /// Ends a message.
    #[inline]
    pub fn close(&mut self, open: Open) {
        let Open { at, width, slot } = open;
        self.depth -= 1;
        self.slack -= width - 1;
        let (from, end) = (at + width, self.bytes.len());
        let len = end - from;
        let needed = varint_len(len as u64);
        if needed != width {
            self.widths[slot] = needed as u8;
            if needed > width {
                self.bytes.resize(end + needed - width, 0);
            }
            self.bytes.copy_within(from..end, at + needed);
            self.bytes.truncate(at + needed + len);
        }
        if needed == 1 {
            self.bytes[at] = len as u8;
        } else {
            let mut slot = &mut self.bytes[at..at + needed];
            put_varint(&mut slot, len as u64);
        }
    }

    /// The bytes, without the slack of growing: what is kept is kept for long.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }
}

/// The longest varint.
const MAX_WIDTH: usize = 10;
