//! What is kept of a file over a restart, in any format that the caller likes.

use crate::file::Tracked;
use crate::identity::{Check, Fingerprint, Identity};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// By what a file, and how far it was read, is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// The name of its stream: it stays with the content, wherever that is moved.
    pub id: String,
    /// Where it was last.
    pub path: PathBuf,
    /// Which file it was.
    pub identity: Identity,
    /// How often its offsets began anew.
    pub generation: u64,
    /// Its first bytes.
    pub fingerprint: Fingerprint,
    /// Bytes that were read of it. They may lie behind or before the position that was kept: they are evidence, not a
    /// place.
    pub check: Check,
    /// Whether it is gzip.
    #[serde(default)]
    pub is_packed: bool,
    /// What the caller noted of it: what a header said, for instance.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub memo: String,
}

/// A file of an earlier run, or of the reader before this one.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// What was kept.
    pub state: FileState,
    /// Everything before this offset was delivered.
    pub from: u64,
    /// What was delivered, or is under way, beyond it, in its order.
    pub skip: Vec<Range<u64>>,
}

impl FileState {
    pub(crate) fn of(file: &Tracked) -> FileState {
        FileState {
            id: file.id.to_string(),
            path: file.path.to_path_buf(),
            identity: file.identity,
            generation: file.generation,
            fingerprint: file.fingerprint,
            check: file.check,
            is_packed: file.is_packed,
            memo: file.memo.clone(),
        }
    }
}
