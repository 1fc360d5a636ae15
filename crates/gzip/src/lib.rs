#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod bits;
mod block;
mod code;
mod crc;
mod header;
mod inflate;
mod join;
mod output;
pub mod zstd;

pub use inflate::{Inflated, MAX_MEMBERS, Member, inflate};
pub use join::{Packed, Part, join};

/// Why a body is not gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// It ends too early.
    #[error("unexpected end")]
    Truncated,
    /// No member begins where one should.
    #[error("not a gzip header")]
    Header,
    /// A block of no known kind, or a stored block whose lengths differ.
    #[error("invalid block")]
    Block,
    /// A code that is none, or a word that is not in it.
    #[error("invalid code")]
    Code,
    /// A match with something before the beginning.
    #[error("invalid distance")]
    Distance,
    /// A checksum is not that of the bytes.
    #[error("wrong checksum")]
    Checksum,
    /// The length is not that of the bytes.
    #[error("wrong length")]
    Length,
}

/// Why nothing was inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError<E> {
    /// The body is not gzip.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// More than the cap would come out.
    #[error("larger than the limit of {0} bytes when inflated")]
    TooLarge(usize),
    /// Memory was refused.
    #[error("{0}")]
    Refused(E),
}

/// [`InflateError`] within this crate.
#[derive(Debug)]
enum Stop {
    Corrupt(Corrupt),
    TooLarge,
    Refused,
}

impl From<Corrupt> for Stop {
    fn from(corrupt: Corrupt) -> Stop {
        Stop::Corrupt(corrupt)
    }
}
