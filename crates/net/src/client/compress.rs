//! Compression of what is sent, streaming over the chunks of a body.
//!
//! Works in steps of [`STEP`] bytes and lets other tasks run in between: a body of megabytes must not hold a worker of the
//! runtime for tens of milliseconds. Dropping the future ends the work.
//! It does NOT choose: what a protocol may use is the exporter's.

use crate::compression::{Compressor, Encoding};
use serde::Deserialize;
use std::io;
use wire::{Chunks, Coding, Compressed};

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
    fn encoding(self) -> Encoding {
        match self {
            Compression::None => Encoding::Identity,
            Compression::Gzip => Encoding::Gzip,
            Compression::Zstd => Encoding::Zstd,
            Compression::Snappy => Encoding::Snappy,
            Compression::SnappyFramed => Encoding::SnappyFramed,
            Compression::Zlib | Compression::Deflate => Encoding::Zlib,
            Compression::Lz4 => Encoding::Lz4,
        }
    }

    /// The same, if what came in it can be sent on as it came.
    #[must_use]
    pub fn coding(self) -> Option<Coding> {
        self.encoding().coding()
    }

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

/// The body, compressed at the format's own `level` or, if there is none, the level that comes within a hundredth of the collector's
/// size: 4 for gzip and zlib, 1 for zstd (docs/adr/0016). Without compression it is the body itself, shared. Without a level, what came
/// compressed like this is sent on as it came (docs/adr/0017).
///
/// # Errors
/// If the level does not exist.
pub async fn compress(kind: Compression, level: Option<i32>, body: &Chunks) -> io::Result<Chunks> {
    if kind == Compression::None {
        return Ok(body.clone());
    }
    if level.is_none()
        && let Some(body) = as_it_came(kind, body)
    {
        return Ok(body);
    }
    let mut compressor = Compressor::new(kind.encoding(), level, body.len())?;
    let mut done = 0;
    for chunk in body {
        for step in chunk.chunks(STEP) {
            compressor.write(step)?;
            done += step.len();
            if done >= STEP {
                done = 0;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(Chunks::from(compressor.finish()?))
}

/// What a body came in, if all of it came so compressed.
fn as_it_came(kind: Compression, body: &Chunks) -> Option<Chunks> {
    let came = body.compressed();
    match (kind, came) {
        (_, []) => None,
        (Compression::Gzip, parts) => {
            let all = parts.iter().map(|came| match came {
                Compressed::Gzip(packed) => Some(gzip::Part::Packed(packed)),
                Compressed::Zstd(_) => None,
            });
            let parts: Vec<_> = all.collect::<Option<_>>()?;
            Some(gzip::join(&parts).into_iter().collect())
        }
        (Compression::Zstd, [Compressed::Zstd(frame)]) => Some(frame.clone().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::compression::{decompress, decompress_and_note};
    use bytes::Bytes;

    /// A body that came in so, and what it came in.
    fn came(encoding: Encoding, text: &[u8]) -> (Chunks, Bytes) {
        let wire = crate::compression::compress(encoding, Some(9), &Chunks::from(text.to_vec())).unwrap();
        let (plain, came) = decompress_and_note(encoding, &wire, 1 << 20, |_| Ok(())).unwrap();
        (Chunks::from(plain).with_compressed([came.unwrap()]), wire)
    }

    /// Scenario: bodies that came compressed leave in the same format, in another, and with a level. Guarantee: in the same they leave as they
    /// came, several of gzip as one; in another, or with a level, they are compressed; always it is the body.
    #[tokio::test]
    async fn what_came_compressed_leaves_as_it_came() {
        let (one, other) = (vec![b'a'; 5000], vec![b'b'; 7000]);
        for (kind, encoding) in [(Compression::Gzip, Encoding::Gzip), (Compression::Zstd, Encoding::Zstd)] {
            let (body, wire) = came(encoding, &one);
            assert_eq!(compress(kind, None, &body).await.unwrap().contiguous().as_ptr(), wire.as_ptr());
            for (kind, level) in [(kind, Some(1)), (Compression::Lz4, None), (Compression::None, None)] {
                let sent = compress(kind, level, &body).await.unwrap().contiguous();
                assert_ne!(sent.as_ptr(), wire.as_ptr());
                assert_eq!(decompress(kind.encoding(), &sent, 1 << 20, |_| Ok(())).unwrap(), one);
            }
            let (second, _) = came(encoding, &other);
            let both: Vec<Compressed> = [&body, &second].iter().flat_map(|body| body.compressed().to_vec()).collect();
            let merged = Chunks::from([&one[..], &other].concat()).with_compressed(both);
            let sent = compress(kind, None, &merged).await.unwrap().contiguous();
            assert_eq!(decompress(encoding, &sent, 1 << 20, |_| Ok(())).unwrap(), [&one[..], &other].concat());
            let is_one = encoding == Encoding::Gzip || gzip::zstd::frames(&sent) == Some(1);
            assert!(is_one, "several frames of zstd are sent as one");
        }
    }

    /// Scenario: half a megabyte in one slice, and another task that is ready. Guarantee: it gets its turns before the end.
    #[tokio::test]
    async fn other_tasks_run_in_between() {
        let turns = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let other = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        compress(Compression::Zstd, None, &Chunks::from(vec![7; 8 * STEP])).await.unwrap();
        assert!(turns.load(std::sync::atomic::Ordering::Relaxed) >= 7);
        other.abort();
    }
}
