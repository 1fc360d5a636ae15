//! Compression, in pieces of any size.
//!
//! Invariants: what comes out is what the decompressor beside it takes, windows included. The states of deflate and zstd, which cost
//! a quarter of a megabyte each to set up, are used again; a state is handed back only after a message that was finished, so nothing
//! of one message gets into another.
//!
//! The default levels are chosen by measured sizes: see `docs/adr/0016`.

use super::states::{self, Deflate, Format, Zstd};
use super::{Encoding, MAX_WINDOW_LOG};
use bytes::Bytes;
use std::io::{self, Write};
use wire::Chunks;

/// The level of deflate when none is configured.
const DEFLATE_LEVEL: u32 = 4;
/// The level of zstd when none is configured.
const ZSTD_LEVEL: i32 = 1;

/// Compresses one message that is written piece by piece, so that whoever has other work can do it in between.
pub struct Compressor(Codec);

enum Codec {
    /// Formats that need the message whole, or not at all.
    Whole(Encoding, Vec<u8>),
    Deflate(Deflate),
    Zstd(Zstd),
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
}

impl Compressor {
    /// A compressor for a message of `size` bytes. `level` is the format's own; `None` is this program's default. Snappy and lz4
    /// have no levels.
    ///
    /// # Errors
    /// The level does not exist.
    pub fn new(encoding: Encoding, level: Option<i32>, size: usize) -> io::Result<Compressor> {
        // Telemetry shrinks to about a sixth; growing once or twice is cheaper than guessing high.
        let out = || Vec::with_capacity(size / 4 + 64);
        let deflate =
            |format| Ok::<_, io::Error>(Codec::Deflate(states::deflate(format, deflate_level(level)?, out())));
        Ok(Compressor(match encoding {
            Encoding::Identity | Encoding::Snappy => Codec::Whole(encoding, Vec::with_capacity(size)),
            Encoding::Gzip => deflate(Format::Gzip)?,
            Encoding::Zlib => deflate(Format::Zlib)?,
            Encoding::Deflate => deflate(Format::Raw)?,
            // Receivers refuse larger windows, this one among them.
            Encoding::Zstd => {
                Codec::Zstd(states::zstd(level.unwrap_or(ZSTD_LEVEL), zstd_window_log(size), size, out())?)
            }
            Encoding::SnappyFramed => Codec::Snappy(Box::new(snap::write::FrameEncoder::new(out()))),
            Encoding::Lz4 => Codec::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(out()))),
        }))
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The codec failed: for memory, memory is short.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Codec::Whole(_, whole) => whole.write_all(piece),
            Codec::Deflate(state) => state.write_all(piece),
            Codec::Zstd(state) => state.write_all(piece),
            Codec::Snappy(encoder) => encoder.write_all(piece),
            Codec::Lz4(encoder) => encoder.write_all(piece),
        }
    }

    /// The compressed message.
    ///
    /// # Errors
    /// As for [`Compressor::write`], or fewer or more bytes were written than promised.
    pub fn finish(self) -> io::Result<Bytes> {
        match self.0 {
            Codec::Whole(Encoding::Snappy, whole) => {
                snap::raw::Encoder::new().compress_vec(&whole).map_err(io::Error::other)
            }
            Codec::Whole(_, whole) => Ok(whole),
            Codec::Deflate(state) => state.finish(),
            Codec::Zstd(state) => state.finish(),
            Codec::Snappy(encoder) => encoder.into_inner().map_err(|e| io::Error::other(e.to_string())),
            Codec::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
        }
        .map(Bytes::from)
    }
}

/// Compresses a whole message at once.
///
/// # Errors
/// The level does not exist.
pub fn compress(encoding: Encoding, level: Option<i32>, body: &Chunks) -> io::Result<Bytes> {
    let mut compressor = Compressor::new(encoding, level, body.len())?;
    body.iter().try_for_each(|chunk| compressor.write(chunk))?;
    compressor.finish()
}

fn deflate_level(level: Option<i32>) -> io::Result<u32> {
    match level {
        None | Some(-1) => Ok(DEFLATE_LEVEL),
        Some(level @ 0..=9) => Ok(level.unsigned_abs()),
        Some(level) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no compression level {level}")))
        }
    }
}

fn zstd_window_log(len: usize) -> u32 {
    len.max(1 << 17).next_power_of_two().ilog2().min(MAX_WINDOW_LOG)
}
