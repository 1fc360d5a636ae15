//! Compression, in pieces of any size.
//!
//! Invariant: what comes out is what the decompressor beside it takes, windows included.

use super::{Encoding, MAX_WINDOW_LOG};
use bytes::Bytes;
use std::io::{self, Write};
use wire::Chunks;

/// Compresses one message that is written piece by piece, so that whoever has other work can do it in between.
pub struct Compressor(Codec);

enum Codec {
    /// Formats that need the message whole, or not at all.
    Whole(Encoding, Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zlib(flate2::write::ZlibEncoder<Vec<u8>>),
    Deflate(flate2::write::DeflateEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
}

impl Compressor {
    /// A compressor for a message of `size` bytes. `level` is the format's own; `None` is its default. Snappy and lz4 have no
    /// levels.
    ///
    /// # Errors
    /// The level does not exist.
    pub fn new(encoding: Encoding, level: Option<i32>, size: usize) -> io::Result<Compressor> {
        // Telemetry shrinks to about a sixth; growing once or twice is cheaper than guessing high.
        let out = Vec::with_capacity(size / 4 + 64);
        Ok(Compressor(match encoding {
            Encoding::Identity | Encoding::Snappy => Codec::Whole(encoding, Vec::with_capacity(size)),
            Encoding::Gzip => Codec::Gzip(flate2::write::GzEncoder::new(out, deflate_level(level)?)),
            Encoding::Zlib => Codec::Zlib(flate2::write::ZlibEncoder::new(out, deflate_level(level)?)),
            Encoding::Deflate => Codec::Deflate(flate2::write::DeflateEncoder::new(out, deflate_level(level)?)),
            Encoding::Zstd => {
                let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
                encoder.set_pledged_src_size(Some(size as u64))?;
                // Receivers refuse larger windows, this one among them.
                encoder.window_log(zstd_window_log(size))?;
                Codec::Zstd(encoder)
            }
            Encoding::SnappyFramed => Codec::Snappy(Box::new(snap::write::FrameEncoder::new(out))),
            Encoding::Lz4 => Codec::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(out))),
        }))
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The codec failed: for memory, memory is short.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Codec::Whole(_, whole) => whole.write_all(piece),
            Codec::Gzip(encoder) => encoder.write_all(piece),
            Codec::Zlib(encoder) => encoder.write_all(piece),
            Codec::Deflate(encoder) => encoder.write_all(piece),
            Codec::Zstd(encoder) => encoder.write_all(piece),
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
            Codec::Gzip(encoder) => encoder.finish(),
            Codec::Zlib(encoder) => encoder.finish(),
            Codec::Deflate(encoder) => encoder.finish(),
            Codec::Zstd(encoder) => encoder.finish(),
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

fn deflate_level(level: Option<i32>) -> io::Result<flate2::Compression> {
    match level {
        None | Some(-1) => Ok(flate2::Compression::default()),
        Some(level @ 0..=9) => Ok(flate2::Compression::new(level.unsigned_abs())),
        Some(level) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no compression level {level}")))
        }
    }
}

fn zstd_window_log(len: usize) -> u32 {
    len.max(1 << 17).next_power_of_two().ilog2().min(MAX_WINDOW_LOG)
}
