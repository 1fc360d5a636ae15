//! What a merged request came in: what all of its parts came in, where that can be joined and is worth it.
//!
//! It does not join: that is for whoever sends it.

use super::Item;
use wire::{Chunks, Coding, Compressed};

/// Average size from which requests that came compressed are joined as they are. From it on, what is joined is no more than about a tenth
/// larger than what is compressed together: of smaller ones, too much is said again in each.
const WORTH_JOINING: usize = 24 << 10;

/// The body that these parts were merged to, with what they came in if all of them came as gzip and are large enough. What is joined has
/// the headers that merging folds, so it must keep within `max_bytes` (0: no limit) by itself.
pub(super) fn came_in(merged: Chunks, parts: &[Item], max_bytes: usize) -> Chunks {
    let bytes: usize = parts.iter().map(Item::size).sum();
    if bytes < WORTH_JOINING * parts.len() || (max_bytes > 0 && bytes > max_bytes) {
        return merged;
    }
    let mut all: Vec<Compressed> = Vec::with_capacity(parts.len());
    for part in parts {
        let came = part.batch.payload.body.compressed();
        if came.is_empty() || came.iter().any(|one| one.coding() != Coding::Gzip) {
            return merged;
        }
        all.extend_from_slice(came);
    }
    merged.with_compressed(all)
}
