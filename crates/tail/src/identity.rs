//! Whether two files are one, and whether a file is still what it was.
//!
//! What is open is the same as long as device, inode and birth agree: a rename changes none of them. What is *in* a
//! file is known again by its first bytes ([`Fingerprint`]) and by those before a place in it ([`Check`]): they tell a
//! file that was emptied and filled again from one that grew, a used inode from a file that was kept, and a copy from a
//! new file. Two files with the same first bytes are two files.

use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;
use xxhash_rust::xxh64::xxh64;

/// Bytes before a place that are looked at.
pub const CHECKED: u64 = 256;

/// Which file of the file system it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Its device.
    pub device: u64,
    /// Its inode, which another file may get when this one is gone.
    pub inode: u64,
    /// Nanoseconds between the epoch and its making, where the file system tells: no two files of an inode have the
    /// same.
    pub birth: Option<u64>,
}

impl Identity {
    /// Of what was looked at.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Identity {
        let birth = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let birth = birth.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Identity { device: metadata.dev(), inode: metadata.ino(), birth }
    }

    /// Whether both are one, as far as both tell.
    #[must_use]
    pub fn is_same(&self, other: &Identity) -> bool {
        let births_agree = match (self.birth, other.birth) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.device == other.device && self.inode == other.inode && births_agree
    }
}

/// The first bytes of a file, as far as there were any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many.
    pub len: u32,
    /// Their hash.
    pub hash: u64,
}

impl Fingerprint {
    /// Of these first bytes.
    #[must_use]
    pub fn of(head: &[u8]) -> Fingerprint {
        Fingerprint { len: u32::try_from(head.len()).unwrap_or(u32::MAX), hash: xxh64(head, 0) }
    }

    /// Whether a file that begins with `head` begins as this one did. Of nothing nothing is known.
    #[must_use]
    pub fn begins(&self, head: &[u8]) -> bool {
        self.len == 0 || head.get(..self.len as usize).is_some_and(|head| xxh64(head, 0) == self.hash)
    }
}

/// The bytes before a place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The place.
    pub at: u64,
    /// The hash of the bytes before it, [`CHECKED`] or as many as there are.
    pub hash: u64,
}

impl Check {
    /// Of the bytes that end at a place.
    #[must_use]
    pub fn of(at: u64, before: &[u8]) -> Check {
        let from = before.len().saturating_sub(usize::try_from(CHECKED.min(at)).unwrap_or(0));
        Check { at, hash: xxh64(&before[from..], 0) }
    }

    /// The bytes that it is about: where they begin, and how many.
    #[must_use]
    pub fn place(&self) -> (u64, usize) {
        let len = self.at.min(CHECKED);
        (self.at - len, usize::try_from(len).unwrap_or(0))
    }

    /// Whether these bytes are those.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.at == 0 || bytes.len() == self.place().1 && xxh64(bytes, 0) == self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a short file that grew, one of other content, an empty one. Guarantee: only what begins as before is
    /// known again.
    #[test]
    fn first_bytes_are_known_again() {
        let short = Fingerprint::of(b"line 1\n");
        assert!(short.begins(b"line 1\nline 2\n") && !short.begins(b"line 2\n") && !short.begins(b"line"));
        assert!(Fingerprint::of(b"").begins(b"anything"));
    }

    /// Scenario: places near the beginning and far from it. Guarantee: the bytes before them count, at most so many.
    #[test]
    fn bytes_before_a_place_are_known_again() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        for at in [0u64, 5, 256, 999] {
            let check = Check::of(at, &bytes[..at as usize]);
            let (from, len) = check.place();
            assert!(check.holds(&bytes[from as usize..][..len]));
            assert!(at == 0 || !check.holds(&vec![0xee; len]));
        }
    }
}
