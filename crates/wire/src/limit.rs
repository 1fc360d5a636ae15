//! One request becomes several that each hold to a limit of records and of bytes.
//!
//! Records are taken in order until the next one would break a limit; the sizes are exact, headers and all lengths included.
//! A single record that is larger than the limit under its headers goes alone: it cannot be made smaller here. A metric is
//! divided by its data points; one without points stays with the record before it. Linear time: the price of the next record is found from the lengths above it.
//! A request that is mostly header is cut only until its pieces together are many times its size; the rest then stays
//! together, over the limits, because memory has a limit too.

use crate::field::len_field_len;
use crate::index::{Index, ROOT};
use crate::signal::Signal;
use crate::split::{Assembly, Part, most_growth};
use bytes::Bytes;
use smallvec::SmallVec;

/// Divides a request into pieces of at most `max_records` records and `max_bytes` bytes each; 0 is no limit. A request that
/// fits is answered as it is. The outputs of the parts count from 0.
///
/// Bytes that `check` would refuse are answered as one part with 0 records: it cannot be known where to cut them.
pub fn split_limit(signal: Signal, body: &Bytes, max_records: usize, max_bytes: usize) -> Vec<Part> {
    let or_none = |limit: usize| if limit == 0 { usize::MAX } else { limit };
    let (max_records, max_bytes) = (or_none(max_records), or_none(max_bytes));
    let mut index = Index::new();
    let records = index.build(signal, body).map_or(0, |()| index.record_count());
    // With no record there is nothing to cut between.
    if records == 0 || (records <= max_records && body.len() <= max_bytes) {
        return vec![Part { output: 0, body: body.clone(), records }];
    }
    let mut assembly = Assembly::default();
    assembly.begin(records);
    let mut piece = Filling::default();
    let (mut output, mut held, mut made) = (0, 0, 0);
    let mut bare = index.followers().peekable();
    for (n, leaf) in index.leaves.iter().enumerate() {
        let len = leaf.extent.len();
        // With it go metrics without points, which usually are none.
        let with_it: SmallVec<[u32; 8]> =
            std::iter::from_fn(|| bare.next_if(|(of, _)| *of as usize == n)).map(|(_, node)| node).collect();
        let add = |piece: &mut Filling| {
            piece.add(&index, leaf.parent, len);
            with_it.iter().for_each(|&node| piece.add(&index, node, 0));
        };
        let mut with = piece;
        let is_full = held == max_records
            || match with_it.is_empty() {
                true => piece.len_with(&index, leaf.parent, len) > max_bytes,
                false => {
                    add(&mut with);
                    with.open[0].1 > max_bytes
                }
            };
        if held > 0 && is_full && made < most_growth(body.len()) {
            made += piece.open[0].1;
            (piece.depth, output, held) = (0, output + 1, 0);
        }
        add(&mut piece);
        held += 1;
        assembly.assign(output);
    }
    let mut parts = Vec::with_capacity(output + 1);
    assembly.rebuild(&index, body, &mut parts);
    parts
}

/// The deepest entry is a metric's data.
const DEPTHS: usize = 5;

/// The exact size of a request that records are appended to, as the open entries from the request down to the last record's.
#[derive(Clone, Copy, Default)]
struct Filling {
    /// Node and bytes so far of the open entry at each depth.
    open: [(u32, usize); DEPTHS],
    /// How many are open.
    depth: usize,
}

impl Filling {
    /// What the request would measure with one more record of `len` bytes in entry `node`.
    fn len_with(&self, index: &Index, node: u32, len: usize) -> usize {
        let (mut node, mut added, mut depth) = (node, len, index.nodes[node as usize].depth as usize);
        loop {
            let entry = &index.nodes[node as usize];
            let number = entry.number.into();
            let before = match self.open[..self.depth].get(depth) {
                Some(&(open, bytes)) if open == node => Some(bytes),
                _ => None,
            };
            let (bytes, after) = (before.unwrap_or(0), before.unwrap_or(entry.header_len as usize) + added);
            if node == ROOT {
                return after;
            }
            added = len_field_len(number, after) - before.map_or(0, |_| len_field_len(number, bytes));
            (node, depth) = (entry.parent, depth - 1);
        }
    }

    /// Appends a record of `len` bytes in entry `node`.
    fn add(&mut self, index: &Index, node: u32, len: usize) {
        let (mut node, mut added) = (node, len);
        let deepest = index.nodes[node as usize].depth as usize;
        for depth in (0..=deepest).rev() {
            let entry = &index.nodes[node as usize];
            let number = entry.number.into();
            let (open, bytes) = &mut self.open[depth];
            let was_open = depth < self.depth && *open == node;
            let before = if was_open { *bytes } else { 0 };
            let after = added + if was_open { before } else { entry.header_len as usize };
            (*open, *bytes) = (node, after);
            added = len_field_len(number, after) - if was_open { len_field_len(number, before) } else { 0 };
            node = entry.parent;
        }
        self.depth = deepest + 1;
    }
}

#[cfg(test)]
mod tests;
