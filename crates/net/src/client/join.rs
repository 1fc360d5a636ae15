//! Joins tiny slices before they are written: a write of thousands of pieces is slower than copying them together.
//!
//! Invariant: the bytes and their order stay. Slices larger than [`SMALL`] are never copied.

use bytes::{Bytes, BytesMut};
use wire::Chunks;

/// Slices up to this size are joined with their neighbours.
pub const SMALL: usize = 2048;
/// The size of what they are joined to.
pub const JOINED: usize = 64 * 1024;

/// The same bytes, `size` of them, with runs of small slices joined.
pub fn joined(chunks: impl Iterator<Item = Bytes>, size: usize) -> Chunks {
    let mut out = Chunks::new();
    let mut run = BytesMut::new();
    // The last small slice is only copied once a second one follows it.
    let mut alone: Option<Bytes> = None;
    let flush = |alone: &mut Option<Bytes>, run: &mut BytesMut, out: &mut Chunks| {
        out.extend(alone.take());
        out.push(run.split().freeze());
    };
    for chunk in chunks {
        if chunk.len() > SMALL {
            flush(&mut alone, &mut run, &mut out);
            out.push(chunk);
            continue;
        }
        if run.is_empty() && alone.is_none() {
            alone = Some(chunk);
            continue;
        }
        if run.len() + chunk.len() > JOINED {
            flush(&mut alone, &mut run, &mut out);
        }
        if run.is_empty() {
            run.reserve(JOINED.min(size));
        }
        if let Some(first) = alone.take() {
            run.extend_from_slice(&first);
        }
        run.extend_from_slice(&chunk);
    }
    flush(&mut alone, &mut run, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: slices of any sizes. Guarantee: the same bytes; large slices are shared; no two small ones stay neighbours
        /// unless they would be too large together.
        #[test]
        fn bytes_stay_and_tiny_slices_are_joined(sizes in proptest::collection::vec(prop_oneof![1usize..100, 2000..2100usize, 3000..70_000usize], 0..60)) {
            let chunks: Vec<Bytes> = sizes.iter().enumerate().map(|(n, size)| Bytes::from(vec![n as u8; *size])).collect();
            let whole: Chunks = chunks.iter().cloned().collect();
            let out = joined(chunks.iter().cloned(), whole.len());
            prop_assert_eq!(&out, &whole);
            for large in chunks.iter().filter(|c| c.len() > SMALL) {
                prop_assert!(out.iter().any(|c| c.as_ptr() == large.as_ptr()));
            }
            let list: Vec<&Bytes> = out.iter().collect();
            for pair in list.windows(2) {
                prop_assert!(pair.iter().any(|c| c.len() > SMALL) || pair[0].len() + pair[1].len() > JOINED);
            }
        }
    }
}
