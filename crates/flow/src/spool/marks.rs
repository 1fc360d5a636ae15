//! What became of the pieces of one segment, in a file beside it.
//!
//! Marks live and die with their segment, so that they never outlive or pin anything else. They are written without a sync: what is
//! lost of them is sent twice. A damaged mark ends the reading of its file; those after it are lost with it.

use std::ops::Range;

const DONE: u8 = 1;
const TRIED: u8 = 2;
/// Marks in one frame at most.
const MOST: usize = 8192;
const HEADER: usize = 8;

/// What is known of a segment's pieces, by their offsets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Those that are done with.
    pub done: Vec<u32>,
    /// Those that were attempted, with the time of the first attempt in milliseconds since the epoch.
    pub tried: Vec<(u32, u64)>,
}

impl Marks {
    /// Nothing is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.tried.is_empty()
    }

    /// Takes over what `other` has.
    pub fn extend(&mut self, other: Marks) {
        self.done.extend(other.done);
        self.tried.extend(other.tried);
    }

    /// The bytes that say so.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![];
        for done in self.done.chunks(MOST) {
            frame(&mut out, DONE, done.len(), |out| done.iter().for_each(|at| out.extend(at.to_le_bytes())));
        }
        for tried in self.tried.chunks(MOST) {
            frame(&mut out, TRIED, tried.len(), |out| {
                for (at, first) in tried {
                    out.extend(at.to_le_bytes());
                    out.extend(first.to_le_bytes());
                }
            });
        }
        out
    }

    /// Reads marks, and says how many bytes of them are good.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> (Marks, usize) {
        let mut marks = Marks::default();
        let mut at = 0;
        while let Some((kind, body)) = next(bytes, at) {
            let items = bytes[body.clone()].chunks_exact(if kind == DONE { 4 } else { 12 });
            for item in items {
                let offset = u32::from_le_bytes([item[0], item[1], item[2], item[3]]);
                match item[4..].try_into() {
                    Ok(first) => marks.tried.push((offset, u64::from_le_bytes(first))),
                    Err(_) => marks.done.push(offset),
                }
            }
            at = body.end;
        }
        (marks, at)
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, count: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0, 0, 0, 0, kind, 0]);
    out.extend((count as u16).to_le_bytes());
    fill(out);
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

fn next(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let head = bytes.get(at..at + HEADER)?;
    let size = match head[4] {
        DONE => 4,
        TRIED => 12,
        _ => return None,
    };
    let body = at + HEADER..at + HEADER + size * usize::from(u16::from_le_bytes([head[6], head[7]]));
    let checked = bytes.get(at + 4..body.end)?;
    (crc32c::crc32c(checked) == u32::from_le_bytes([head[0], head[1], head[2], head[3]])).then_some((head[4], body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any marks, cut or damaged anywhere. Guarantee: whole they are read back; otherwise what was before the damage is, and nothing panics.
        #[test]
        fn marks_are_read_back(done in prop::collection::vec(any::<u32>(), 0..50), tried in prop::collection::vec(any::<(u32, u64)>(), 0..50), cut in 0usize..2000, flip in 0usize..2000) {
            let marks = Marks { done, tried };
            let bytes = marks.encode();
            prop_assert_eq!(Marks::decode(&bytes).1, bytes.len());
            prop_assert_eq!(&Marks::decode(&bytes).0, &marks);
            let (cut, good) = Marks::decode(&bytes[..cut.min(bytes.len())]);
            prop_assert!(good <= bytes.len() && marks.done.starts_with(&cut.done) && marks.tried.starts_with(&cut.tried));
            let mut flipped = bytes.clone();
            if let Some(byte) = flipped.get_mut(flip) {
                *byte ^= 4;
                let (read, _) = Marks::decode(&flipped);
                prop_assert!(marks.done.starts_with(&read.done) && marks.tried.starts_with(&read.tried));
            }
        }

        /// Scenario: arbitrary bytes. Guarantee: no panic.
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Marks::decode(&bytes);
        }
    }
}
