//! Compressed bodies joined to one, without compressing again.
//!
//! A deflate stream is a row of blocks, the last of which says so, and a match reaches back at most to where its member began. So streams
//! that stand one behind the other are one stream, once the last block of each but the last does not say so any more, and once each
//! begins at a byte, which an empty stored block sees to. One bit is cleared in a copy of its byte; all else of a stream is shared.
//!
//! What comes out is *one* gzip member: some readers take only the first of several. Where requests are joined as protobuf, concatenated
//! bytes are the merged request. Joined requests are larger than what compressing them together would give, for none of them knows the
//! words of the one before it.

use crate::crc::combine;
use crate::header::{HEADER, TRAILER, trailer};
use crate::inflate::{Inflated, Member};
use bytes::Bytes;
use std::sync::Arc;

/// The smallest block: an empty one with the fixed code.
const SMALLEST_BLOCK: usize = 10;

/// The longest stored block.
const LONGEST_STORED: usize = 0xffff;

/// Up to this length a piece is copied: a slice of its own costs more.
const COPY_UP_TO: usize = 128;

/// A gzip body that was inflated, and what was noted of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Packed {
    body: Bytes,
    members: Arc<[Member]>,
}

impl Packed {
    /// The body from which this was inflated; `None` if its members were too many to be noted, or if it is another body.
    #[must_use]
    pub fn new(body: Bytes, inflated: &Inflated) -> Option<Packed> {
        let members = &inflated.members;
        let is_sound = members.iter().all(|m| m.start * 8 <= m.last_block && m.last_block + SMALLEST_BLOCK <= m.end);
        let end = members.last()?.end.div_ceil(8) + TRAILER;
        (is_sound && end == body.len()).then(|| Packed { body, members: members.as_slice().into() })
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes that were inflated from it.
    #[must_use]
    pub fn plain_len(&self) -> usize {
        self.members.iter().map(|member| member.len).sum()
    }
}

/// A part of what is joined.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Compressed bytes.
    Packed(&'a Packed),
    /// Bytes as they are, which stay so. Meant for the few bytes between others: they are copied.
    Plain(&'a [u8]),
}

/// Joins these parts to one gzip member, which comes in pieces. A body of one member alone, with nothing
/// in its header that need not be there, is that body itself.
#[must_use]
pub fn join(parts: &[Part]) -> Vec<Bytes> {
    if let [Part::Packed(packed)] = parts
        && let [member] = &*packed.members
        && member.start == HEADER.len()
    {
        return vec![packed.body.clone()];
    }
    let mut joined = Joined::default();
    joined.glue.extend(HEADER);
    for (at, part) in parts.iter().enumerate() {
        let is_last = at == parts.len() - 1;
        match part {
            Part::Packed(packed) => {
                for (at, member) in packed.members.iter().enumerate() {
                    joined.append(&packed.body, member, is_last && at == packed.members.len() - 1);
                }
            }
            Part::Plain(bytes) => joined.store(bytes, is_last),
        }
    }
    if parts.is_empty() {
        joined.store(&[], true);
    }
    joined.finish()
}

/// A member in the making.
#[derive(Default)]
struct Joined {
    /// All that is not shared, in the order in which it comes.
    glue: Vec<u8>,
    /// What is shared, and how much of the glue stands before it.
    shared: Vec<(usize, Bytes)>,
    crc: u32,
    len: usize,
}

impl Joined {
    /// Appends the stream of a member.
    fn append(&mut self, body: &Bytes, member: &Member, is_last: bool) {
        self.crc = combine(self.crc, member.crc, member.len);
        self.len = self.len.wrapping_add(member.len);
        let (whole, bits) = (member.end / 8, member.end % 8);
        if is_last {
            self.share(body.slice(member.start..member.end.div_ceil(8)));
            return;
        }
        // The shortest block has more than eight bits, so the last byte of the stream is another one.
        let flag = member.last_block / 8;
        self.share(body.slice(member.start..flag));
        self.glue.push(body[flag] & !(1 << (member.last_block % 8)));
        self.share(body.slice(flag + 1..whole));
        if bits > 0 {
            // A stored block begins with three zeros, and ends its byte.
            self.glue.push(body[whole] & ((1 << bits) - 1));
            if bits > 5 {
                self.glue.push(0);
            }
            self.glue.extend(stored_lengths(0));
        }
    }

    /// Appends bytes in stored blocks.
    fn store(&mut self, bytes: &[u8], is_last: bool) {
        self.crc = combine(self.crc, crc32fast::hash(bytes), bytes.len());
        self.len = self.len.wrapping_add(bytes.len());
        let blocks = bytes.len().div_ceil(LONGEST_STORED).max(usize::from(is_last));
        let mut rest = bytes;
        for left in (0..blocks).rev() {
            let (block, behind) = rest.split_at(rest.len().min(LONGEST_STORED));
            self.glue.push(u8::from(is_last && left == 0));
            self.glue.extend(stored_lengths(block.len() as u16));
            self.glue.extend_from_slice(block);
            rest = behind;
        }
    }

    fn share(&mut self, piece: Bytes) {
        if piece.len() <= COPY_UP_TO {
            self.glue.extend_from_slice(&piece);
        } else {
            self.shared.push((self.glue.len(), piece));
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.glue.extend(trailer(self.crc, self.len));
        let glue = Bytes::from(self.glue);
        let (mut pieces, mut from) = (Vec::with_capacity(2 * self.shared.len() + 1), 0);
        for (to, piece) in self.shared {
            if to > from {
                pieces.push(glue.slice(from..to));
                from = to;
            }
            pieces.push(piece);
        }
        pieces.push(glue.slice(from..));
        pieces
    }
}

/// What a stored block of this length has before its bytes, behind its first three bits.
fn stored_lengths(len: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (len.to_le_bytes(), (!len).to_le_bytes());
    [a, b, c, d]
}
