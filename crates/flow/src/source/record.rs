//! How entries lie on disk: checksummed frames of some entries each.
//!
//! ```text
//! file:   "BYWPOS" version(1) 0
//! frame:  marker(4) length(4) crc32c over length and body(4) body
//! body:   entries: kind(1) name(2+n); if it is set: generation(8) position(8) ranges(2+16n) note(4+n)
//! ```
//!
//! Numbers are little-endian. Behind what is damaged the next whole frame is searched for, so that damage costs the
//! frames that it touches. The marker is in no text (a control character, and a byte that no character begins with), so
//! that no name or note is taken for a frame.

use super::ledger::{Entry, Ranges};
use std::sync::Arc;

/// Bytes of a file's header.
pub const HEADER: usize = 8;
/// The longest name of a stream.
pub const LONGEST_NAME: usize = 4096;
/// The longest note.
pub const LONGEST_NOTE: usize = 64 << 10;

const MAGIC: &[u8; 6] = b"BYWPOS";
const VERSION: u8 = 1;
const MARKER: [u8; 4] = [0xb5, b'P', b'O', 0x1e];
const FRAME_HEADER: usize = 12;
/// A frame is closed at this size: what damage can cost beyond what it touches.
const FRAME_BYTES: usize = 32 << 10;
const LONGEST_FRAME: usize = 2 * (FRAME_BYTES + LONGEST_NOTE + LONGEST_NAME);
/// Settled ranges beyond the position that are kept. Those beyond are read again after a restart.
const MOST_RANGES: usize = 1024;
const SET: u8 = 1;
const GONE: u8 = 2;
/// So many times of a file's bytes are looked at for frames behind what is damaged.
const GUESSES: usize = 4;

/// A change of one entry.
pub type Change = (Arc<str>, Option<Entry>);

/// A file's header.
#[must_use]
pub fn header() -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..6].copy_from_slice(MAGIC);
    out[6] = VERSION;
    out
}

/// Writes changes as frames. Names and notes are bounded by whoever takes them in: what is too long is cut.
pub fn encode(changes: &[Change], out: &mut Vec<u8>) {
    let mut changes = changes.iter().peekable();
    while changes.peek().is_some() {
        let start = out.len();
        out.extend([0; FRAME_HEADER]);
        for change in changes.by_ref() {
            entry(change, out);
            if out.len() - start >= FRAME_BYTES {
                break;
            }
        }
        let len = u32::try_from(out.len() - start - FRAME_HEADER).unwrap_or(u32::MAX).to_le_bytes();
        let crc = checksum(len, &out[start + FRAME_HEADER..]);
        out[start..start + 4].copy_from_slice(&MARKER);
        out[start + 4..start + 8].copy_from_slice(&len);
        out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    }
}

fn checksum(len: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len), body)
}

fn entry((name, entry): &Change, out: &mut Vec<u8>) {
    out.push(if entry.is_some() { SET } else { GONE });
    out.extend((name.len().min(LONGEST_NAME) as u16).to_le_bytes());
    out.extend(&name.as_bytes()[..name.len().min(LONGEST_NAME)]);
    let Some(entry) = entry else { return };
    out.extend(entry.generation.to_le_bytes());
    out.extend(entry.position.to_le_bytes());
    out.extend((entry.beyond.len().min(MOST_RANGES) as u16).to_le_bytes());
    for range in entry.beyond.iter().take(MOST_RANGES) {
        out.extend(range.start.to_le_bytes());
        out.extend(range.end.to_le_bytes());
    }
    let note = &entry.note[..entry.note.len().min(LONGEST_NOTE)];
    out.extend((note.len() as u32).to_le_bytes());
    out.extend(note);
}

/// What was read of a file.
#[derive(Debug, Default)]
pub struct Read {
    /// The changes, in the order in which they were written.
    pub changes: Vec<Change>,
    /// Stretches that are damaged, the end that a crash tore among them.
    pub damaged: u64,
    /// Whether the header is whole.
    pub is_ours: bool,
    /// The version, if it is not one that is known here.
    pub newer: Option<u8>,
}

/// Reads a file.
#[must_use]
pub fn decode(bytes: &[u8]) -> Read {
    let mut read = Read { is_ours: bytes.starts_with(MAGIC) && bytes.len() >= HEADER, ..Read::default() };
    if read.is_ours && bytes[6] != VERSION {
        read.newer = Some(bytes[6]);
        return read;
    }
    if bytes.len() < HEADER {
        return read;
    }
    let (mut at, mut good, mut guesses) = (HEADER, HEADER, GUESSES * bytes.len());
    while at + FRAME_HEADER <= bytes.len() {
        let Some(body) = frame(bytes, at, &mut guesses) else {
            at += 1;
            continue;
        };
        read.damaged += u64::from(at > good);
        at += FRAME_HEADER + body.len();
        good = at;
        entries(body, &mut read.changes);
    }
    read.damaged += u64::from(good < bytes.len());
    read
}

/// The body of the frame that begins here, if one does.
fn frame<'a>(bytes: &'a [u8], at: usize, guesses: &mut usize) -> Option<&'a [u8]> {
    let head = bytes.get(at..at + FRAME_HEADER)?;
    let number = |from: usize| Some(u32::from_le_bytes(head.get(from..from + 4)?.try_into().ok()?));
    let len = number(4)? as usize;
    if head[..4] != MARKER || len > LONGEST_FRAME {
        return None;
    }
    let body = bytes.get(at + FRAME_HEADER..at + FRAME_HEADER + len)?;
    *guesses = guesses.checked_sub(len)?;
    (checksum((len as u32).to_le_bytes(), body) == number(8)?).then_some(body)
}

fn entries(mut body: &[u8], out: &mut Vec<Change>) {
    while let Some(change) = next(&mut body) {
        out.push(change);
    }
}

fn next(body: &mut &[u8]) -> Option<Change> {
    let kind = take(body, 1)?[0];
    let len = number(body, 2)? as usize;
    let name: Arc<str> = std::str::from_utf8(take(body, len)?).ok()?.into();
    if kind != SET {
        return (kind == GONE).then_some((name, None));
    }
    let (generation, position) = (number(body, 8)?, number(body, 8)?);
    let count = number(body, 2)?;
    let mut beyond = Ranges::default();
    for _ in 0..count {
        let range = number(body, 8)?..number(body, 8)?;
        beyond.insert(range);
    }
    let len = usize::try_from(number(body, 4)?).ok()?;
    let note = take(body, len)?.into();
    Some((name, Some(Entry { generation, position, beyond, note })))
}

fn take<'a>(body: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = body.split_at_checked(len)?;
    *body = rest;
    Some(head)
}

fn number(body: &mut &[u8], len: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(take(body, len)?);
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let entry = (
            any::<u64>(),
            any::<u64>(),
            prop::collection::vec((0u64..1000, 1u64..9), 0..5),
            prop::collection::vec(any::<u8>(), 0..50),
        )
            .prop_map(|(generation, position, ranges, note)| Entry {
                generation,
                position,
                beyond: ranges.into_iter().map(|(start, len)| start..start + len).collect(),
                note: note.into(),
            });
        prop::collection::vec(("[a-z/]{0,20}".prop_map(Arc::from), prop::option::of(entry)), 0..20)
    }

    proptest! {
        /// Scenario: any changes in several groups. Guarantee: they are read back in their order.
        #[test]
        fn changes_are_read_back(groups in prop::collection::vec(changes(), 0..6)) {
            let mut bytes = header().to_vec();
            groups.iter().for_each(|group| encode(group, &mut bytes));
            let read = decode(&bytes);
            prop_assert_eq!((read.changes, read.damaged, read.is_ours), (groups.concat(), 0, true));
        }

        /// Scenario: groups, of which any stretch behind the header is changed. Guarantee: those it touches are lost
        /// and no others.
        #[test]
        fn damage_costs_what_it_touches(
            groups in prop::collection::vec(changes(), 1..6),
            at in any::<prop::sample::Index>(),
            len in 1usize..40,
        ) {
            let mut bytes = header().to_vec();
            let mut places = vec![];
            for group in &groups {
                let start = bytes.len();
                encode(group, &mut bytes);
                places.push(start..bytes.len());
            }
            prop_assume!(bytes.len() > HEADER);
            let at = HEADER + at.index(bytes.len() - HEADER);
            let hit = at..(at + len).min(bytes.len());
            bytes[hit.clone()].iter_mut().for_each(|byte| *byte ^= 0x55);
            let is_whole = |place: &std::ops::Range<usize>| place.end <= hit.start || place.start >= hit.end;
            let whole = groups.iter().zip(&places).filter(|(_, place)| is_whole(place));
            let left: Vec<Change> = whole.flat_map(|(group, _)| group.clone()).collect();
            let read = decode(&bytes);
            prop_assert_eq!(read.changes, left);
            prop_assert!(read.damaged > 0);
        }

        /// Scenario: any bytes. Guarantee: no panic, and reading ends.
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(decode(&bytes));
            drop(decode(&[&header()[..], &MARKER, &bytes].concat()));
        }
    }
}
