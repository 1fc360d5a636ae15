//! Compression with a cap, for every receiver and every exporter. There is no other decompressor in the program.
//!
//! [`decompress`] never holds more than `cap` bytes of output (plus the constant state of one decoder), and asks `grow` for every
//! byte *before* it allocates it, so that a bomb meets the memory budget instead of the machine's memory.
//!
//! Formats, as the collector takes them: gzip with any number of members (by the crate `gzip`); `zlib` and `deflate` are both RFC 1950; zstd with a window of at
//! most [`MAX_WINDOW_LOG`] and no legacy frames; `snappy` is the block format, but a framed stream is recognised by its first
//! chunk (older collectors and their gRPC codec send that; no block can begin with it); lz4 is the frame format.
//!
//! It does not know HTTP or gRPC, and it does not decide who may send what.

pub use compressor::{Compressor, compress};

use bytes::Bytes;
use flow::Refusal;
use gzip::InflateError;
use std::io::Read;
use wire::{Coding, Compressed};

/// log2 of the largest zstd window that is accepted: 8 MiB, what RFC 8878 asks of every decoder.
pub const MAX_WINDOW_LOG: u32 = 23;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The bytes as they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, under either of its names, `zlib` and `deflate`.
    Zlib,
    /// RFC 1951, which has no name on the wire: what Go programs send as `deflate`.
    Deflate,
    /// RFC 8878.
    Zstd,
    /// Snappy's block format.
    Snappy,
    /// Snappy's stream format.
    SnappyFramed,
    /// The LZ4 frame format.
    Lz4,
}

impl Encoding {
    /// The encoding of this name as it stands in `content-encoding` or `grpc-encoding`; names have no case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Encoding> {
        const NAMES: [(&str, Encoding); 10] = [
            ("", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("x-gzip", Encoding::Gzip),
            ("zlib", Encoding::Zlib),
            ("deflate", Encoding::Zlib),
            ("zstd", Encoding::Zstd),
            ("snappy", Encoding::Snappy),
            ("x-snappy-framed", Encoding::SnappyFramed),
            ("lz4", Encoding::Lz4),
        ];
        let name = name.trim();
        NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, e)| *e)
    }

    /// The same, if what comes in it can be sent on as it came.
    #[must_use]
    pub fn coding(self) -> Option<Coding> {
        match self {
            Encoding::Gzip => Some(Coding::Gzip),
            Encoding::Zstd => Some(Coding::Zstd),
            _ => None,
        }
    }
}

/// Why nothing came out.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// More than the cap would come out.
    #[error("larger than the limit of {0} bytes after decompression")]
    TooLarge(usize),
    /// The bytes are not what the encoding says.
    #[error("cannot be decompressed: {0}")]
    Corrupt(String),
    /// The budget has no room.
    #[error("{}", .0.why)]
    Refused(Refusal),
}

/// Decompresses `input` to at most `cap` bytes. `grow` is asked for memory before it is taken; what it granted in sum is the
/// capacity of the returned bytes at its largest, so the caller shrinks its permit to the length afterwards.
///
/// # Errors
/// See [`DecompressError`]. Whatever was granted stays granted: the caller drops its permit.
pub fn decompress(
    encoding: Encoding,
    input: &Bytes,
    cap: usize,
    grow: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Bytes, DecompressError> {
    decompress_and_note(encoding, input, cap, grow).map(|(bytes, _)| bytes)
}

/// The same; gives, too, the input with what is known of it now, if it can be sent on as it came.
///
/// # Errors
/// As above.
pub fn decompress_and_note(
    encoding: Encoding,
    input: &Bytes,
    cap: usize,
    mut grow: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<(Bytes, Option<Compressed>), DecompressError> {
    let grow = &mut grow as &mut dyn FnMut(usize) -> Result<(), Refusal>;
    // What most telemetry comes to; only a guess for the first allocation.
    let guess = input.len().saturating_mul(4);
    let bytes = match encoding {
        Encoding::Identity if input.len() > cap => Err(DecompressError::TooLarge(cap)),
        Encoding::Identity => Ok(input.clone()),
        // No bytes are no stream of any format, but every collector takes them for an empty request.
        _ if input.is_empty() => Ok(Bytes::new()),
        Encoding::Gzip => return inflate(input, cap, grow),
        Encoding::Zlib => read_all(flate2::bufread::ZlibDecoder::new(&input[..]), guess, cap, grow),
        Encoding::Deflate => read_all(flate2::bufread::DeflateDecoder::new(&input[..]), guess, cap, grow),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&input[..]).map_err(corrupt)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(corrupt)?;
            let bytes = read_all(decoder, zstd_size(input).unwrap_or(guess), cap, grow)?;
            let is_one = gzip::zstd::frames(input) == Some(1);
            return Ok((bytes, is_one.then(|| Compressed::Zstd(input.clone()))));
        }
        Encoding::Snappy if !input.starts_with(SNAPPY_STREAM) => snappy_block(input, cap, grow),
        Encoding::Snappy | Encoding::SnappyFramed => {
            read_all(snap::read::FrameDecoder::new(&input[..]), guess, cap, grow)
        }
        Encoding::Lz4 => lz4(input, guess, cap, grow),
    };
    Ok((bytes?, None))
}

/// The first chunk of a framed snappy stream.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The smallest first allocation, and the step by which the cap is probed.
const STEP: usize = 4096;

type Grow<'a> = &'a mut dyn FnMut(usize) -> Result<(), Refusal>;

fn corrupt(error: impl std::fmt::Display) -> DecompressError {
    DecompressError::Corrupt(error.to_string())
}

/// Reads to the end, in a buffer that doubles until `cap`.
fn read_all(mut from: impl Read, guess: usize, cap: usize, grow: Grow) -> Result<Bytes, DecompressError> {
    let mut out: Vec<u8> = Vec::new();
    let mut len = 0;
    loop {
        if len == out.len() {
            if len == cap {
                // Full to the brim: only the end may follow.
                return match from.read(&mut [0; 1]).map_err(corrupt)? {
                    0 => Ok(finish(out, len)),
                    _ => Err(DecompressError::TooLarge(cap)),
                };
            }
            let size = if len == 0 { guess.max(STEP) } else { len.saturating_mul(2) }.min(cap);
            grow(size - len).map_err(DecompressError::Refused)?;
            out.reserve_exact(size - len);
            out.resize(size, 0);
        }
        match from.read(&mut out[len..]).map_err(corrupt)? {
            0 => return Ok(finish(out, len)),
            n => len += n,
        }
    }
}

/// Gives back what was allocated in vain when that is worth a copy.
fn finish(mut out: Vec<u8>, len: usize) -> Bytes {
    out.truncate(len);
    if out.capacity() - len > STEP + len / 8 {
        out.shrink_to_fit();
    }
    Bytes::from(out)
}

/// All members of a gzip body.
fn inflate(input: &Bytes, cap: usize, grow: Grow) -> Result<(Bytes, Option<Compressed>), DecompressError> {
    let inflated = gzip::inflate(input, cap, grow).map_err(|error| match error {
        InflateError::TooLarge(cap) => DecompressError::TooLarge(cap),
        InflateError::Refused(refusal) => DecompressError::Refused(refusal),
        InflateError::Corrupt(error) => corrupt(error),
    })?;
    let packed = gzip::Packed::new(input.clone(), &inflated);
    Ok((inflated.bytes.into(), packed.map(Compressed::Gzip)))
}

/// The content size in a zstd frame's header. Not bounded by any ratio, so it is believed only within what is usual.
fn zstd_size(input: &[u8]) -> Option<usize> {
    let size = zstd::zstd_safe::get_frame_content_size(input).ok().flatten()?;
    usize::try_from(size).ok().filter(|s| s / 64 <= input.len()).map(|s| s + 1)
}

fn snappy_block(input: &[u8], cap: usize, grow: Grow) -> Result<Bytes, DecompressError> {
    let size = snap::raw::decompress_len(input).map_err(corrupt)?;
    if size > cap {
        return Err(DecompressError::TooLarge(cap));
    }
    // A copy of 64 bytes takes three bytes, so no honest block claims more than this.
    if size / 64 > input.len() {
        return Err(corrupt("the length in the preamble cannot be true"));
    }
    grow(size).map_err(DecompressError::Refused)?;
    let mut out = vec![0; size];
    let n = snap::raw::Decoder::new().decompress(input, &mut out).map_err(corrupt)?;
    out.truncate(n);
    Ok(out.into())
}

/// The frame decoder takes an end of input between two blocks for the end of the stream, so the end mark is looked for here.
fn lz4(input: &[u8], guess: usize, cap: usize, grow: Grow) -> Result<Bytes, DecompressError> {
    let mut rest = input;
    let out = read_all(lz4_flex::frame::FrameDecoder::new(&mut rest), guess, cap, grow)?;
    if rest.is_empty() && !is_whole_lz4(input) {
        return Err(corrupt("truncated lz4 frame"));
    }
    Ok(out)
}

/// Whether the input ends where a frame does: after its end mark, found by walking from block to block. The decoder has read it all
/// already, so that what is walked here is sound up to its end.
fn is_whole_lz4(mut input: &[u8]) -> bool {
    const LEGACY: [u8; 4] = 0x184c_2102u32.to_le_bytes();
    const FRAME: [u8; 4] = 0x184d_2204u32.to_le_bytes();
    while !input.is_empty() {
        let after = match input.split_first_chunk::<4>() {
            Some((&FRAME, rest)) => lz4_frame(rest),
            // A legacy frame has no end mark: it ends with the input.
            Some((&LEGACY, _)) => return true,
            // A skippable frame, or what the decoder leaves alone.
            Some((_, rest)) => lz4_block(rest, 0).map(|(_, rest)| rest),
            None => None,
        };
        match after {
            Some(rest) => input = rest,
            None => return false,
        }
    }
    true
}

/// What follows a frame, its magic number read; `None` if it does not end.
fn lz4_frame(input: &[u8]) -> Option<&[u8]> {
    let flags = *input.first()?;
    let has = |bit: u8, size: usize| if flags & 1 << bit != 0 { size } else { 0 };
    // Flags, block descriptor, content size, dictionary id, header checksum.
    let mut rest = input.get(2 + has(3, 8) + has(0, 4) + 1..)?;
    loop {
        let (size, after) = lz4_block(rest, has(4, 4))?;
        rest = after;
        if size == 0 {
            return rest.get(has(2, 4)..);
        }
    }
}

/// A block's size and what follows it; the end mark is a block of no size, and without a checksum.
fn lz4_block(input: &[u8], checksum: usize) -> Option<(usize, &[u8])> {
    let (size, rest) = input.split_first_chunk::<4>()?;
    // The highest bit says that the block is not compressed.
    let size = (u32::from_le_bytes(*size) & !(1 << 31)) as usize;
    Some((size, rest.get(size + if size == 0 { 0 } else { checksum }..)?))
}

mod compressor;
mod states;
#[cfg(test)]
mod tests;
