//! What stands around a deflate stream in a gzip member (RFC 1952).

use crate::Corrupt;

const DEFLATE: u8 = 8;
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = !0 << 5;

/// The header of what is written here: no time, no name, and a system that is not told.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, DEFLATE, 0, 0, 0, 0, 0, 0, 0xff];

/// Bytes behind the stream: the checksum and the length.
pub(crate) const TRAILER: usize = 8;

/// Where the stream begins of the member that begins here.
pub(crate) fn skip_header(input: &[u8], at: usize) -> Result<usize, Corrupt> {
    let member = input.get(at..).unwrap_or_default();
    // Not a member at all, which is told even if what is there is too short for one.
    if !member.is_empty() && !member.starts_with(&HEADER[..member.len().min(3)]) {
        return Err(Corrupt::Header);
    }
    let flags = *member.get(3).ok_or(Corrupt::Truncated)?;
    if flags & RESERVED != 0 {
        return Err(Corrupt::Header);
    }
    let mut rest = member.get(HEADER.len()..).ok_or(Corrupt::Truncated)?;
    if flags & FEXTRA != 0 {
        let (size, extra) = rest.split_first_chunk::<2>().ok_or(Corrupt::Truncated)?;
        rest = extra.get(usize::from(u16::from_le_bytes(*size))..).ok_or(Corrupt::Truncated)?;
    }
    for flag in [FNAME, FCOMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(Corrupt::Truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FHCRC != 0 {
        let (told, behind) = rest.split_first_chunk::<2>().ok_or(Corrupt::Truncated)?;
        if crc32fast::hash(&member[..member.len() - rest.len()]) as u16 != u16::from_le_bytes(*told) {
            return Err(Corrupt::Checksum);
        }
        rest = behind;
    }
    Ok(input.len() - rest.len())
}

/// Whether this is what the trailer says that stands here.
pub(crate) fn check_trailer(input: &[u8], at: usize, crc: u32, len: usize) -> Result<(), Corrupt> {
    let trailer = input.get(at..).and_then(<[u8]>::first_chunk::<TRAILER>).ok_or(Corrupt::Truncated)?;
    match trailer {
        told if *told == self::trailer(crc, len) => Ok(()),
        told if told[..4] == crc.to_le_bytes() => Err(Corrupt::Length),
        _ => Err(Corrupt::Checksum),
    }
}

/// The trailer of so many bytes with this checksum.
pub(crate) fn trailer(crc: u32, len: usize) -> [u8; TRAILER] {
    let (mut trailer, len) = ([0; TRAILER], len as u32);
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&len.to_le_bytes());
    trailer
}
