//! Inflating of whole bodies.

use crate::bits::Bits;
use crate::block::{Codes, inflate_blocks};
use crate::header::{TRAILER, check_trailer, skip_header};
use crate::output::Output;
use crate::{InflateError, Stop};

/// Members whose notes are kept: a body can have one for every twenty bytes.
pub const MAX_MEMBERS: usize = 32;

/// What is known of a member of a body once it was inflated: what it takes to join it with others.
///
/// A bit's place is counted from the first bit of the body, the lowest of its byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The byte at which the deflate stream begins.
    pub start: usize,
    /// The bit at which the last block of the stream begins: the one that says that it is the last.
    pub last_block: usize,
    /// The bit behind the stream.
    pub end: usize,
    /// CRC-32 of what was inflated.
    pub crc: u32,
    /// Bytes that were inflated.
    pub len: usize,
}

/// What was in a body.
#[derive(Debug)]
pub struct Inflated {
    /// The bytes of all members.
    pub bytes: Vec<u8>,
    /// The members; none if there are more than [`MAX_MEMBERS`].
    pub members: Vec<Member>,
}

/// Inflates a gzip body of at least one member to at most `cap` bytes.
///
/// `grow` is asked for memory before it is taken. What it granted in sum is what the returned bytes were allocated with at their
/// largest, which is up to 320 bytes more than `cap`; what is returned may have given some of it back.
///
/// A body is taken as Go's reader and flate2's `MultiGzDecoder` take it: members stand one behind the other with nothing between or
/// behind them, and all of their checksums and lengths are right. Codes that zlib refuses are refused.
///
/// # Errors
/// See [`InflateError`]. Whatever was granted stays granted.
pub fn inflate<E>(
    input: &[u8],
    cap: usize,
    mut grow: impl FnMut(usize) -> Result<(), E>,
) -> Result<Inflated, InflateError<E>> {
    let mut refusal = None;
    let mut ask = |more| grow(more).map_err(|error| refusal = Some(error)).is_ok();
    let result = inflate_members(input, cap, &mut ask);
    result.map_err(|stop| match (stop, refusal) {
        (_, Some(error)) => InflateError::Refused(error),
        (Stop::Corrupt(corrupt), None) => InflateError::Corrupt(corrupt),
        (Stop::TooLarge | Stop::Refused, None) => InflateError::TooLarge(cap),
    })
}

fn inflate_members(input: &[u8], cap: usize, ask: &mut dyn FnMut(usize) -> bool) -> Result<Inflated, Stop> {
    let mut at = skip_header(input, 0)?;
    let mut out = Output::new(guess(input), cap, ask)?;
    let mut codes = Codes::new();
    let (mut members, mut count) = (Vec::new(), 0);
    loop {
        let start = at;
        out.begin_member();
        let mut bits = Bits::new(input, start);
        let last_block = inflate_blocks(input, &mut bits, &mut codes, &mut out)?;
        let (crc, len) = (crc32fast::hash(out.member()), out.member().len());
        check_trailer(input, bits.next_byte(), crc, len)?;
        count += 1;
        if count <= MAX_MEMBERS {
            members.push(Member { start, last_block, end: bits.position(), crc, len });
        }
        at = bits.next_byte() + TRAILER;
        if at == input.len() {
            break;
        }
        at = skip_header(input, at)?;
    }
    if count > MAX_MEMBERS {
        members = Vec::new();
    }
    Ok(Inflated { bytes: out.finish(), members })
}

/// The length that a body ends with: right for one member under 4 GiB, and believed only if deflate could shrink that much to this: nothing
/// becomes less than a 1032nd.
fn guess(input: &[u8]) -> usize {
    let told = input.last_chunk::<4>().map_or(0, |told| u32::from_le_bytes(*told) as usize);
    if told / 1032 <= input.len() { told } else { input.len().saturating_mul(4) }
}
