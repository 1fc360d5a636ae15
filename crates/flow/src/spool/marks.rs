//! What became of the pieces of one segment, in a file beside it.
//!
//! Marks live and die with their segment, so that they never outlive or pin anything else. They are written without a sync: what is
//! lost of them is sent twice. Behind what is damaged the next whole mark is searched for: damage costs the marks that it touches.

use std::ops::Range;

const DONE: u8 = 1;
const TRIED: u8 = 2;
/// Marks in one frame at most.
const MOST: usize = 8192;
const HEADER: usize = 8;
/// Marks begin at multiples of this: all their parts are.
const ALIGNED: usize = 4;
/// So many times of a file's bytes are looked at for marks behind what is damaged.
const GUESSES: usize = 4;

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

    /// Reads marks.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Decoded {
        let mut decoded = Decoded::default();
        // So that reading stays linear, whatever is in the file.
        let mut guesses = GUESSES * bytes.len();
        let mut at = 0;
        while at + HEADER <= bytes.len() {
            let Some((kind, body)) = next(bytes, at, &mut guesses) else {
                at += ALIGNED;
                continue;
            };
            decoded.gaps += u64::from(at > decoded.good);
            for item in bytes[body.clone()].chunks_exact(if kind == DONE { 4 } else { 12 }) {
                let offset = u32::from_le_bytes([item[0], item[1], item[2], item[3]]);
                match item[4..].try_into() {
                    Ok(first) => decoded.marks.tried.push((offset, u64::from_le_bytes(first))),
                    Err(_) => decoded.marks.done.push(offset),
                }
            }
            at = body.end;
            decoded.good = at;
        }
        decoded
    }
}

/// What was read of the marks of a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The marks.
    pub marks: Marks,
    /// Where the last whole one ends.
    pub good: usize,
    /// Places before that where something is damaged.
    pub gaps: u64,
}

fn frame(out: &mut Vec<u8>, kind: u8, count: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0, 0, 0, 0, kind, 0]);
    out.extend((count as u16).to_le_bytes());
    fill(out);
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The mark that begins here, if one does. Takes the bytes it looks at out of `guesses` if that is none.
fn next(bytes: &[u8], at: usize, guesses: &mut usize) -> Option<(u8, Range<usize>)> {
    let head = bytes.get(at..at + HEADER)?;
    let size = match (head[4], head[5]) {
        (DONE, 0) => 4,
        (TRIED, 0) => 12,
        _ => return None,
    };
    let body = at + HEADER..at + HEADER + size * usize::from(u16::from_le_bytes([head[6], head[7]]));
    let checked = bytes.get(at + 4..body.end).filter(|_| !body.is_empty())?;
    let left = guesses.checked_sub(checked.len())?;
    if crc32c::crc32c(checked) == u32::from_le_bytes([head[0], head[1], head[2], head[3]]) {
        return Some((head[4], body));
    }
    *guesses = left;
    None
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
            let whole = Marks::decode(&bytes);
            prop_assert_eq!((whole.good, whole.gaps), (bytes.len(), 0));
            prop_assert_eq!(&whole.marks, &marks);
            let Decoded { marks: cut, good, gaps } = Marks::decode(&bytes[..cut.min(bytes.len())]);
            prop_assert!(good <= bytes.len() && marks.done.starts_with(&cut.done) && marks.tried.starts_with(&cut.tried) && gaps == 0);
            let mut flipped = bytes.clone();
            if let Some(byte) = flipped.get_mut(flip) {
                *byte ^= 4;
                let read = Marks::decode(&flipped).marks;
                prop_assert!(marks.done.starts_with(&read.done) && marks.tried.starts_with(&read.tried));
            }
        }

        /// Scenario: marks written one after the other, and any stretch of the file zeroed or changed. Guarantee: those that it touches are lost, and
        /// no others; the damage is counted if any follow; none is read that was not written.
        #[test]
        fn damage_costs_the_marks_it_touches(groups in prop::collection::vec(prop::collection::vec(any::<u32>(), 1..20), 1..20), at in 0usize..2000, len in 1usize..200, change in any::<Option<u8>>()) {
            let (mut bytes, mut places) = (vec![], vec![]);
            for done in &groups {
                let start = bytes.len();
                bytes.extend(Marks { done: done.clone(), tried: vec![] }.encode());
                places.push(start..bytes.len());
            }
            let at = at % bytes.len();
            let hit = at..(at + len).min(bytes.len());
            let before = bytes.clone();
            bytes[hit.clone()].iter_mut().for_each(|byte| *byte = change.map_or(0, |change| *byte ^ change));
            let is_hit = |place: &&Range<usize>| before[(*place).clone()] != bytes[(*place).clone()];
            let left: Vec<u32> = groups.iter().zip(&places).filter(|(_, place)| !is_hit(place)).flat_map(|(done, _)| done.clone()).collect();
            let read = Marks::decode(&bytes);
            prop_assert_eq!(read.marks.done, left);
            let good = places.iter().rev().find(|place| !is_hit(place)).map_or(0, |place| place.end);
            prop_assert_eq!(read.good, good);
            prop_assert_eq!(read.gaps > 0, places.iter().any(|place| is_hit(&place) && place.start < good));
        }

        /// Scenario: arbitrary bytes. Guarantee: no panic.
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Marks::decode(&bytes);
        }
    }

    /// Scenario: a file of 16 MiB in which a mark seems to begin everywhere. Guarantee: reading it ends after looking a few times at each byte; what is
    /// before that is read.
    #[test]
    fn damage_is_not_read_for_ever() {
        let mut bytes = Marks { done: vec![7], tried: vec![] }.encode();
        bytes.extend([DONE, 0, 0xff, 0x1f].repeat(4 << 20));
        let read = Marks::decode(&bytes);
        assert_eq!((read.marks.done, read.good), (vec![7], HEADER + 4));
    }
}
