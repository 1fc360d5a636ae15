//! Compression of what is sent, streaming over the chunks of a body.
//!
//! Works in steps of [`STEP`] bytes and lets other tasks run in between: a body of megabytes must not hold a worker of the
//! runtime for tens of milliseconds. Dropping the future ends the work.
//! It does NOT decompress, and it does not choose: what a protocol may use is the exporter's.

use bytes::{BufMut, Bytes, BytesMut, buf::Writer};
use serde::Deserialize;
use std::io::{self, Write};
use wire::Chunks;

/// Bytes compressed between two chances for other tasks: about a millisecond of gzip.
const STEP: usize = 64 * 1024;

/// How a body is compressed: the collector's names (configcompression).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Compression {
    /// Not at all.
    #[default]
    #[serde(rename = "none", alias = "")]
    None,
    /// RFC 1952.
    #[serde(rename = "gzip")]
    Gzip,
    /// RFC 8878.
    #[serde(rename = "zstd")]
    Zstd,
    /// Snappy: one block on HTTP, the framing format on gRPC (as the collector's codecs of that name do).
    #[serde(rename = "snappy")]
    Snappy,
    /// Snappy's framing format, on HTTP.
    #[serde(rename = "x-snappy-framed")]
    SnappyFramed,
    /// RFC 1950.
    #[serde(rename = "zlib")]
    Zlib,
    /// Also RFC 1950, which is what HTTP means by it.
    #[serde(rename = "deflate")]
    Deflate,
    /// LZ4's frame format.
    #[serde(rename = "lz4")]
    Lz4,
}

impl Compression {
    /// Its name on the wire; none if there is no compression.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
            Compression::Snappy => Some("snappy"),
            Compression::SnappyFramed => Some("x-snappy-framed"),
            Compression::Zlib => Some("zlib"),
            Compression::Deflate => Some("deflate"),
            Compression::Lz4 => Some("lz4"),
        }
    }
}

/// How hard to try. The defaults are Go's: 6 for gzip and zlib, 3 for zstd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level(pub Option<i32>);

type Out = Writer<BytesMut>;

enum Encoder {
    Gzip(flate2::write::GzEncoder<Out>),
    Zlib(flate2::write::ZlibEncoder<Out>),
    Zstd(zstd::stream::write::Encoder<'static, Out>),
    Snappy(Box<snap::write::FrameEncoder<Out>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Out>>),
}

impl Encoder {
    fn new(kind: Compression, level: Level, size: usize) -> io::Result<Option<Encoder>> {
        // Telemetry shrinks to about a sixth; growing the buffer once or twice is cheaper than guessing high.
        let out = BytesMut::with_capacity(size / 4 + 64).writer();
        let flate = flate2::Compression::new(level.0.and_then(|l| u32::try_from(l).ok()).map_or(6, |l| l.min(9)));
        Ok(Some(match kind {
            Compression::None | Compression::Snappy => return Ok(None),
            Compression::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(out, flate)),
            Compression::Zlib | Compression::Deflate => Encoder::Zlib(flate2::write::ZlibEncoder::new(out, flate)),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level.0.unwrap_or(3))?;
                encoder.set_pledged_src_size(Some(size as u64))?;
                Encoder::Zstd(encoder)
            }
            Compression::SnappyFramed => Encoder::Snappy(Box::new(snap::write::FrameEncoder::new(out))),
            Compression::Lz4 => Encoder::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(out))),
        }))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Gzip(e) => e.write_all(bytes),
            Encoder::Zlib(e) => e.write_all(bytes),
            Encoder::Zstd(e) => e.write_all(bytes),
            Encoder::Snappy(e) => e.write_all(bytes),
            Encoder::Lz4(e) => e.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Bytes> {
        let out = match self {
            Encoder::Gzip(e) => e.finish()?,
            Encoder::Zlib(e) => e.finish()?,
            Encoder::Zstd(e) => e.finish()?,
            Encoder::Snappy(e) => e.into_inner().map_err(|e| io::Error::other(e.to_string()))?,
            Encoder::Lz4(e) => e.finish().map_err(io::Error::other)?,
        };
        Ok(out.into_inner().freeze())
    }
}

/// The body, compressed. Without compression it is the body itself, shared.
///
/// # Errors
/// If the codec fails, which for a body in memory means that its level is invalid or memory is short.
pub async fn compress(kind: Compression, level: Level, body: &Chunks) -> io::Result<Chunks> {
    if kind == Compression::None {
        return Ok(body.clone());
    }
    let Some(mut encoder) = Encoder::new(kind, level, body.len())? else {
        let block = snap::raw::Encoder::new().compress_vec(&body.contiguous()).map_err(io::Error::other)?;
        return Ok(Chunks::from(block));
    };
    let mut done = 0;
    for chunk in body {
        for step in chunk.chunks(STEP) {
            encoder.write(step)?;
            done += step.len();
            if done >= STEP {
                done = 0;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(Chunks::from(encoder.finish()?))
}
