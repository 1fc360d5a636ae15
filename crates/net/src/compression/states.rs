//! The working states of compressors, kept for the next message.
//!
//! Invariants: at most [`KEPT`] states of each kind wait, whatever was in use at the same time; a state of zstd that grew for a large
//! window is not kept; a state waits only if its message was finished, and takes nothing of it along. The lock is held for
//! the search of a list of [`KEPT`], never while bytes are compressed.
//! It does not choose levels.

use flate2::Compress;
use flate2::write::ZlibEncoder;
use parking_lot::Mutex;
use std::io::{self, Write};
use zstd::stream::raw::{Encoder, Operation};
use zstd::stream::zio::Writer;
use zstd::zstd_safe::CParameter;

/// States of a kind that wait at most: those of deflate take 300 KiB each.
const KEPT: usize = 8;
/// States of zstd up to this log2 of a window wait: they take a little more than the window.
const KEPT_WINDOW_LOG: u32 = 21;

static DEFLATE: Mutex<Vec<DeflateState>> = Mutex::new(Vec::new());
static ZSTD: Mutex<Vec<Encoder<'static>>> = Mutex::new(Vec::new());

/// What stands around a deflate stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// Nothing.
    Raw,
}

struct DeflateState {
    format: Format,
    level: u32,
    /// The encoder of this name writes whatever its [`Compress`] makes: all three formats.
    encoder: ZlibEncoder<Vec<u8>>,
}

/// A message being deflated.
pub(super) struct Deflate(DeflateState);

/// Begins a message; it is written behind what is in `out`. The level is one of 0 to 9.
pub(super) fn deflate(format: Format, level: u32, out: Vec<u8>) -> Deflate {
    let waiting = {
        let mut waiting = DEFLATE.lock();
        let fits = waiting.iter().position(|s| s.format == format && s.level == level);
        fits.map(|at| waiting.swap_remove(at))
    };
    Deflate(match waiting {
        Some(mut state) => {
            *state.encoder.get_mut() = out;
            state
        }
        None => {
            let strength = flate2::Compression::new(level);
            let compress = match format {
                Format::Gzip => Compress::new_gzip(strength, 15),
                Format::Zlib => Compress::new(strength, true),
                Format::Raw => Compress::new(strength, false),
            };
            DeflateState { format, level, encoder: ZlibEncoder::new_with_compress(out, compress) }
        }
    })
}

impl Deflate {
    /// The next piece.
    pub(super) fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.0.encoder.write_all(piece)
    }

    /// The whole.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        let out = self.0.encoder.reset(Vec::new())?;
        keep(&DEFLATE, self.0);
        Ok(out)
    }
}

/// A message being compressed with zstd.
pub(super) struct Zstd {
    writer: Writer<Vec<u8>, Encoder<'static>>,
    window_log: u32,
}

/// Begins a message of `size` bytes.
///
/// # Errors
/// zstd refuses a parameter.
pub(super) fn zstd(level: i32, window_log: u32, size: usize, out: Vec<u8>) -> io::Result<Zstd> {
    let waiting = ZSTD.lock().pop();
    let mut encoder = match waiting {
        Some(encoder) => encoder,
        None => Encoder::new(level)?,
    };
    encoder.reinit()?;
    encoder.set_parameter(CParameter::CompressionLevel(level))?;
    encoder.set_parameter(CParameter::WindowLog(window_log))?;
    encoder.set_pledged_src_size(Some(size as u64))?;
    Ok(Zstd { writer: Writer::new(out, encoder), window_log })
}

impl Zstd {
    /// The next piece.
    pub(super) fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.writer.write_all(piece)
    }

    /// The whole.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.writer.finish()?;
        let (out, encoder) = self.writer.into_inner();
        if self.window_log <= KEPT_WINDOW_LOG {
            keep(&ZSTD, encoder);
        }
        Ok(out)
    }
}

fn keep<T>(waiting: &Mutex<Vec<T>>, state: T) {
    let mut waiting = waiting.lock();
    if waiting.len() == KEPT {
        // The one that waited longest without being wanted: levels that are no longer configured must not stay for good.
        let oldest = waiting.remove(0);
        waiting.push(state);
        drop(waiting);
        drop(oldest);
    } else {
        waiting.push(state);
    }
}
