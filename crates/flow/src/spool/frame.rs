//! How a piece lies in a segment, and how the frames of a segment are found again.
//!
//! A frame is a fixed header with a checksum of its own, then the body with another: a frame whose body is damaged is skipped by
//! its length, and only where a header is damaged the next one is searched for, by its magic number. So damage costs the frames
//! it touches and no others, and a scan reads every byte once, whatever is in it. The checksums of a segment's frame headers are
//! mixed with its *seed*, a random number that nobody outside knows: no payload can hold what is taken for a frame. The format is
//! described in `docs/spool-format.md`; all numbers are little-endian.

use super::disk::DiskFile;
use super::store::Piece;
use crate::payload::Meta;
use crate::{Payload, Target};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use wire::Signal;

/// The first bytes of every segment.
pub const SEGMENT_MAGIC: &[u8; 8] = b"BYWSPOOL";
/// The version that is written.
pub const VERSION: u16 = 1;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER: usize = 32;
/// The first bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = [0xb1, 0x57, 0xa5, 0x4b];
/// Where a segment's header has the seed.
const SEED: u64 = 16;
/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 56;
/// The frame was copied out of an older segment: a mark here makes that one's void as well.
pub const COPIED: u8 = 1;

/// The header of a segment.
#[must_use]
pub fn segment_header(segment: u32, first_id: u64, seed: u32) -> [u8; SEGMENT_HEADER] {
    let mut header = [0; SEGMENT_HEADER];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[10..12].copy_from_slice(&(SEGMENT_HEADER as u16).to_le_bytes());
    header[12..16].copy_from_slice(&segment.to_le_bytes());
    header[16..20].copy_from_slice(&seed.to_le_bytes());
    header[20..28].copy_from_slice(&first_id.to_le_bytes());
    let crc = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What the first bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentStart {
    /// A segment that can be read.
    Segment {
        /// The first id that it may hold.
        first_id: u64,
        /// The seed of its frames' headers.
        seed: u32,
    },
    /// A segment of a version that is not known yet.
    Newer(u16),
    /// Something else, or damage.
    Foreign,
}

/// Whether a file of this length, with these first bytes, was being made and never had a frame: its header was not synced.
#[must_use]
pub fn is_unfinished(header: &[u8; SEGMENT_HEADER], len: u64) -> bool {
    let known = SEGMENT_HEADER.min(usize::try_from(len).unwrap_or(SEGMENT_HEADER));
    let magic = &header[..known.min(SEGMENT_MAGIC.len())];
    let is_zero = header[..known].iter().all(|byte| *byte == 0);
    len <= SEGMENT_HEADER as u64 && (is_zero || known < SEGMENT_HEADER && SEGMENT_MAGIC.starts_with(magic))
}

/// Reads the header of a segment.
#[must_use]
pub fn read_segment_header(header: &[u8; SEGMENT_HEADER]) -> SegmentStart {
    let version = u16::from_le_bytes([header[8], header[9]]);
    if header[..8] != *SEGMENT_MAGIC {
        return SegmentStart::Foreign;
    }
    // In every version, so that damage is not taken for a newer one.
    if crc32c::crc32c(&header[..28]) != u32_at(header, 28) {
        return SegmentStart::Foreign;
    }
    if version > VERSION {
        return SegmentStart::Newer(version);
    }
    SegmentStart::Segment { first_id: u64_at(header, 20), seed: u32_at(header, 16) }
}

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The checksum of the body.
    pub body_crc: u32,
    /// Bytes of the body.
    pub body_len: u32,
    /// [`COPIED`] or 0.
    pub flags: u8,
    /// The signal of the payload.
    pub signal: Signal,
    /// The piece's number, which it keeps wherever it is copied to.
    pub id: u64,
    /// Milliseconds since the epoch when it was handed over.
    pub at: u64,
    /// Milliseconds since the epoch at the first attempt; 0 if there was none.
    pub first: u64,
    /// Records in it.
    pub records: u32,
    /// Bytes of the target's name.
    pub target_len: u16,
    /// Bytes of the tenant's name; `u16::MAX` if there is none.
    pub tenant_len: u16,
    /// Bytes of the note.
    pub note_len: u32,
}

/// No tenant, which is not the same as one without a name.
const NO_TENANT: u16 = u16::MAX;

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

/// A checksum of a frame's header that needs no seed: where the seed is lost it is guessed from a frame, and then a flipped bit in
/// that frame would only make another seed.
fn parity(b: &[u8]) -> u8 {
    b[8..19].iter().chain(&b[20..FRAME_HEADER]).fold(0, |all, byte| all ^ byte)
}

impl Header {
    /// Its bytes in a segment of this seed.
    #[must_use]
    pub fn encode(&self, seed: u32) -> [u8; FRAME_HEADER] {
        let mut b = [0; FRAME_HEADER];
        b[..4].copy_from_slice(&FRAME_MAGIC);
        b[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        b[12..16].copy_from_slice(&self.body_len.to_le_bytes());
        b[16] = 1;
        b[17] = self.flags;
        b[18] = match self.signal {
            Signal::Logs => 1,
            Signal::Traces => 2,
            Signal::Metrics => 3,
        };
        b[20..28].copy_from_slice(&self.id.to_le_bytes());
        b[28..36].copy_from_slice(&self.at.to_le_bytes());
        b[36..44].copy_from_slice(&self.first.to_le_bytes());
        b[44..48].copy_from_slice(&self.records.to_le_bytes());
        b[48..50].copy_from_slice(&self.target_len.to_le_bytes());
        b[50..52].copy_from_slice(&self.tenant_len.to_le_bytes());
        b[52..56].copy_from_slice(&self.note_len.to_le_bytes());
        b[19] = parity(&b);
        let crc = crc32c::crc32c(&b[8..]) ^ seed;
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads a header. None if it is not one of a segment of this seed.
    #[must_use]
    pub fn decode(b: &[u8], seed: u32) -> Option<Header> {
        Header::guess(b).filter(|(_, its)| *its == seed).map(|(header, _)| header)
    }

    /// Reads what looks like a header, and gives the seed with which it is one.
    #[must_use]
    pub fn guess(b: &[u8]) -> Option<(Header, u32)> {
        if b.len() < FRAME_HEADER || b[..4] != FRAME_MAGIC {
            return None;
        }
        if parity(b) != b[19] {
            return None;
        }
        let seed = crc32c::crc32c(&b[8..FRAME_HEADER]) ^ u32_at(b, 4);
        let signal = match (b[16], b[18]) {
            (1, 1) => Signal::Logs,
            (1, 2) => Signal::Traces,
            (1, 3) => Signal::Metrics,
            _ => return None,
        };
        let header = Header {
            body_crc: u32_at(b, 8),
            body_len: u32_at(b, 12),
            flags: b[17],
            signal,
            id: u64_at(b, 20),
            at: u64_at(b, 28),
            first: u64_at(b, 36),
            records: u32_at(b, 44),
            target_len: u16_at(b, 48),
            tenant_len: u16_at(b, 50),
            note_len: u32_at(b, 52),
        };
        (header.names_len() <= header.body_len as usize).then_some((header, seed))
    }

    fn tenant(&self) -> usize {
        if self.tenant_len == NO_TENANT { 0 } else { self.tenant_len.into() }
    }

    /// Bytes of the body before the payload.
    fn names_len(&self) -> usize {
        usize::from(self.target_len) + self.tenant() + self.note_len as usize
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn payload_len(&self) -> u32 {
        self.body_len - self.names_len() as u32
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.body_len)
    }

    /// Whether this is the body, undamaged.
    #[must_use]
    pub fn is_of(&self, body: &[u8]) -> bool {
        body.len() == self.body_len as usize && crc32c::crc32c(body) == self.body_crc
    }

    /// The piece in a body that was verified.
    #[must_use]
    pub fn piece(&self, body: &Bytes) -> Piece {
        let target_len = usize::from(self.target_len);
        let (note_at, payload_at) = (target_len + self.tenant(), self.names_len());
        let text = |range: &[u8]| String::from_utf8_lossy(range).into_owned();
        let tenant = (self.tenant_len != NO_TENANT).then(|| Arc::from(text(&body[target_len..note_at])));
        let target = Target::new(text(&body[..target_len]));
        let origin = target.origin();
        let is_known = tenant.is_some() || !origin.is_empty();
        let meta = if is_known { Arc::new(Meta { tenant, origin }) } else { Meta::none() };
        Piece {
            payload: Payload { meta, ..Payload::new(self.signal, body.slice(payload_at..), self.records) },
            target,
            at: self.at,
            first: self.first,
            note: (self.note_len > 0).then(|| body.slice(note_at..payload_at)),
        }
    }
}

/// Bytes of the body of a piece's frame; none if it, or one of its names, is larger than the format can say.
pub fn body_len(piece: &Piece) -> Option<u32> {
    let tenant = piece.payload.meta.tenant.as_deref().unwrap_or_default();
    let names = [piece.target.name().len(), tenant.len()];
    let note = piece.note.as_deref().unwrap_or_default();
    let all = names.iter().sum::<usize>() + note.len() + piece.payload.len();
    u32::try_from(all).ok().filter(|_| names.iter().all(|name| *name < NO_TENANT.into()))
}

/// Puts the header and names of a piece behind what is in `out`: the payload follows them on disk. None if it cannot be written.
pub fn begin(piece: &Piece, id: u64, seed: u32, out: &mut Vec<u8>) -> Option<Header> {
    let (target, tenant) = (piece.target.name().as_bytes(), piece.payload.meta.tenant.as_deref());
    let note = piece.note.as_deref().unwrap_or_default();
    let body_len = body_len(piece)?;
    let mut crc = crc32c::crc32c(target);
    for part in [tenant.unwrap_or_default().as_bytes(), note] {
        crc = crc32c::crc32c_append(crc, part);
    }
    for chunk in piece.payload.body.iter() {
        crc = crc32c::crc32c_append(crc, chunk);
    }
    let header = Header {
        body_crc: crc,
        body_len,
        flags: 0,
        signal: piece.payload.signal,
        id,
        at: piece.at,
        first: piece.first,
        records: piece.payload.records,
        target_len: target.len() as u16,
        tenant_len: tenant.map_or(NO_TENANT, |t| t.len() as u16),
        note_len: note.len() as u32,
    };
    out.extend_from_slice(&header.encode(seed));
    for part in [target, tenant.unwrap_or_default().as_bytes(), note] {
        out.extend_from_slice(part);
    }
    Some(header)
}

/// What a scan finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole frame.
    Frame {
        /// Where it begins.
        offset: u64,
        /// Its header.
        header: Header,
        /// The name of its target.
        target: Vec<u8>,
    },
    /// Bytes that are no frame.
    Damaged {
        /// Where they begin.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file ends before a frame does, here.
    Torn {
        /// Where the frame begins.
        offset: u64,
    },
}

/// The bytes of a file that are looked at.
struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    /// Where `bytes` begins in the file.
    start: u64,
    bytes: Vec<u8>,
    /// What is looked at begins here in `bytes`.
    at: usize,
    /// Sectors that could not be read.
    unreadable: u64,
    /// Bytes that may still be read for guesses, so that a scan stays linear.
    guesses: u64,
    /// What is left of the seed in a damaged header.
    remains: [u8; 4],
}

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;
/// Bytes that are given up when they cannot be read: they are zeroes then, which are no frame.
const SECTOR: usize = 4096;
/// After so many of them the rest of a file is given up: each can take seconds.
const PATIENCE: u64 = 64;

impl Window<'_> {
    fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The next `n` bytes; fewer at the end of the file.
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        if self.bytes.len() - self.at < n {
            self.bytes.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
            let have = self.bytes.len();
            let left = self.len - self.start - have as u64;
            let more = usize::try_from(left).unwrap_or(usize::MAX).min((n - have).max(BLOCK));
            self.bytes.resize(have + more, 0);
            let from = self.start + have as u64;
            if self.file.read_at(&mut self.bytes[have..], from).is_err() {
                self.salvage(have, from)?;
            }
        }
        let end = (self.at + n).min(self.bytes.len());
        Ok(&self.bytes[self.at..end])
    }

    /// Reads what can be read of a block that cannot.
    fn salvage(&mut self, have: usize, mut from: u64) -> io::Result<()> {
        for sector in self.bytes[have..].chunks_mut(SECTOR) {
            if let Err(error) = self.file.read_at(sector, from) {
                sector.fill(0);
                self.unreadable += 1;
                if self.unreadable > PATIENCE {
                    return Err(error);
                }
            }
            from += sector.len() as u64;
        }
        Ok(())
    }
}

/// Reads a segment from its first frame on. If its header is damaged there is no seed: the first whole frame tells it then. Gives
/// the seed if it is known in the end, and how many sectors could not be read.
///
/// # Errors
/// So much of the file cannot be read that the rest was given up.
pub fn scan(
    file: &dyn DiskFile,
    mut seed: Option<u32>,
    mut found: impl FnMut(Found),
) -> io::Result<(Option<u32>, u64)> {
    let len = file.len()?;
    let start = (SEGMENT_HEADER as u64).min(len);
    let mut remains = [0; 4];
    if seed.is_none() && file.read_at(&mut remains, SEED).is_err() {
        remains.fill(0);
    }
    let mut window = Window { file, len, start, bytes: vec![], at: 0, unreadable: 0, guesses: 4 * len, remains };
    loop {
        let offset = window.offset();
        if seed.is_none() {
            seed = guess(&mut window)?;
        }
        let head = window.peek(FRAME_HEADER)?;
        if head.is_empty() {
            return Ok((seed, window.unreadable));
        }
        let Some(header) = decode(head, seed) else {
            if head.len() < FRAME_HEADER && FRAME_MAGIC.starts_with(&head[..head.len().min(4)]) {
                found(Found::Torn { offset });
                return Ok((seed, window.unreadable));
            }
            found(Found::Damaged { offset, what: "not a frame" });
            if !resynchronise(&mut window, &mut seed)? {
                return Ok((seed, window.unreadable));
            }
            continue;
        };
        if offset + header.frame_len() > len {
            found(Found::Torn { offset });
            return Ok((seed, window.unreadable));
        }
        let frame = window.peek(FRAME_HEADER + header.body_len as usize)?;
        let body = &frame[FRAME_HEADER..];
        if header.is_of(body) {
            let target = body[..usize::from(header.target_len)].to_vec();
            window.at += FRAME_HEADER + header.body_len as usize;
            found(Found::Frame { offset, header, target });
        } else {
            window.at += FRAME_HEADER + header.body_len as usize;
            found(Found::Damaged { offset, what: "the checksum of a frame is wrong" });
        }
    }
}

fn decode(head: &[u8], seed: Option<u32>) -> Option<Header> {
    Header::decode(head, seed?)
}

/// The seed, if a whole frame begins here.
fn guess(window: &mut Window<'_>) -> io::Result<Option<u32>> {
    let most = (window.len - window.offset()).min(window.guesses);
    let guess = Header::guess(window.peek(FRAME_HEADER)?).filter(|(header, _)| header.frame_len() <= most);
    let Some((header, seed)) = guess else {
        return Ok(None);
    };
    window.guesses -= header.frame_len();
    let remains = window.remains;
    let is_first = window.offset() == SEGMENT_HEADER as u64;
    let end = FRAME_HEADER + header.body_len as usize;
    let (frame, next) = window.peek(end + FRAME_HEADER)?.split_at(end);
    let next = Header::guess(next).map(|(_, its)| its);
    let is_trusted = is_vouched(remains, seed, is_first, next);
    Ok((is_trusted && header.is_of(&frame[FRAME_HEADER..])).then_some(seed))
}

/// Whether a seed can be believed that was told from a frame, whose header has a checksum of eight bits without it. Either the header of the
/// segment still has it, or the next frame has the same: no payload knows the one, nor is followed by the other. Or it is the
/// first frame, where no payload begins, and nothing speaks against it: neither the next frame nor all that is left in the header.
fn is_vouched(remains: [u8; 4], seed: u32, is_first: bool, next: Option<u32>) -> bool {
    let its = seed.to_le_bytes();
    let may_be = remains == [0; 4] || remains.iter().zip(its).any(|(left, its)| *left == its);
    remains == its || next.map_or(is_first && may_be, |next| next == seed)
}

/// Goes on to the next header that is whole. False at the end of the file.
fn resynchronise(window: &mut Window<'_>, seed: &mut Option<u32>) -> io::Result<bool> {
    window.at += 1;
    loop {
        let block = window.peek(BLOCK)?;
        if block.len() < FRAME_HEADER {
            return Ok(false);
        }
        let next = block.windows(4).position(|four| four == FRAME_MAGIC);
        let Some(next) = next else {
            // The magic number may begin in the last bytes.
            window.at += block.len() - 3;
            continue;
        };
        window.at += next;
        let head = window.peek(FRAME_HEADER)?;
        if head.len() < FRAME_HEADER {
            return Ok(false);
        }
        if seed.is_none() {
            *seed = guess(window)?;
        }
        if decode(window.peek(FRAME_HEADER)?, *seed).is_some() {
            return Ok(true);
        }
        window.at += 1;
    }
}

#[cfg(test)]
mod tests;
