//! Pieces that lie on disk at several places, and nobody knows at which of them they are durable.
//!
//! After a sync that failed, what it was for can still be read, later syncs succeed, and a loss of power drops it all the same. So
//! of a copy that was found beside its original, or that could not be cut off after it failed, nothing can be told. All places
//! are kept until the piece is done with, or has been written anew by a sync that this process saw succeed; that is done
//! before any other copying, so that the disk is not pinned.
//!
//! Invariant: the place in the index is the oldest, so that a mark there makes none of the others void.

use crate::spool::index::Key;
use std::collections::{BTreeMap, BTreeSet};

/// A segment, and an offset in it.
pub type At = (u32, u32);

/// The places of pieces beside the one in the index.
#[derive(Debug, Default)]
pub struct Twins(BTreeMap<Key, BTreeSet<At>>);

impl Twins {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A piece lies here as well.
    pub fn add(&mut self, key: Key, at: At) {
        self.0.entry(key).or_default().insert(at);
    }

    /// All other places of a piece: it has one only from now on, or none.
    pub fn remove(&mut self, key: Key) -> BTreeSet<At> {
        self.0.remove(&key).unwrap_or_default()
    }

    /// The oldest other place of a piece, which is none of them any more.
    pub fn pop(&mut self, key: Key) -> Option<At> {
        let places = self.0.get_mut(&key)?;
        let oldest = places.pop_first();
        if places.is_empty() {
            self.0.remove(&key);
        }
        oldest
    }

    /// The pieces that have any.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.0.keys().copied()
    }

    /// The segments that hold any.
    pub fn segments(&self) -> BTreeSet<u32> {
        self.0.values().flatten().map(|(segment, _)| *segment).collect()
    }
}
