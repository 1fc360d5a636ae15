//! A message as it came: compressed.
//!
//! What arrives compressed and leaves compressed, unchanged or merged with others, need not be compressed again. So whoever decompressed a
//! message may keep what it came in beside it ([`Chunks::with_compressed`](crate::Chunks::with_compressed)). It is a note that belongs to the
//! bytes, as that of the trace ids is: whatever changes, divides or routes them makes others, which have none.
//!
//! It does not compress, and does not know who may be sent what.

use bytes::Bytes;

/// How messages that can be sent on as they came are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Compressed bytes, with what is known of them.
#[derive(Clone, Debug)]
pub enum Compressed {
    /// A gzip body that can be joined with others.
    Gzip(gzip::Packed),
    /// One zstd frame. Others can only stand behind it as frames of their own, which some readers pass over without a word.
    Zstd(Bytes),
}

impl Compressed {
    /// How they are compressed.
    #[must_use]
    pub fn coding(&self) -> Coding {
        match self {
            Compressed::Gzip(_) => Coding::Gzip,
            Compressed::Zstd(_) => Coding::Zstd,
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn held(&self) -> usize {
        match self {
            Compressed::Gzip(packed) => packed.body().len(),
            Compressed::Zstd(frame) => frame.len(),
        }
    }
}
