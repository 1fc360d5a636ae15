//! One request becomes one request per output, by record or by resource entry.
//!
//! A record goes where the caller's function says, under a copy of the headers above it; each header is written once per
//! output and entry, and records of an output stay in their order. Two passes: the first finds the exact size of every
//! length on the way, the second copies ranges. Nothing is allocated per record; each output gets one buffer of exactly its
//! size. When all records go to one output the request itself is handed on.
//!
//! Metrics without points go with the record before them. What else has no records (empty entries) goes nowhere. Fields of the request itself that nobody knows go to every output.
//!
//! `Assembly` is the part that `priority` and `limit` share: leaves that were given an output, assembled into requests.

use crate::chunks::Chunks;
use crate::field::{Malformed, len_field_len, put_len_prefix};
use crate::index::{Entry, Index, ROOT, Record, trim};
use crate::signal::Signal;
use bytes::Bytes;

/// What one output gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The output.
    pub output: usize,
    /// A request of its own. May share the memory of the request it came from, and then pins all of it.
    pub body: Bytes,
    /// How many records it holds.
    pub records: usize,
}

/// Tables that are reused from split to split.
#[derive(Clone, Debug, Default)]
pub struct SplitScratch {
    index: Index,
    assembly: Assembly,
    /// Of `split_resources`: per output its share or `NONE`; the shares; per entry its share or `NONE`.
    last: Vec<u32>,
    shares: Vec<Share>,
    routes: Vec<u32>,
}

impl SplitScratch {
    /// Empty tables; they grow with use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives memory back after an unusually large request.
    fn trim(&mut self) {
        self.index.trim();
        trim(&mut self.routes);
        trim(&mut self.assembly.routes);
        trim(&mut self.assembly.pieces);
    }
}

/// Divides a request by record. `route` answers an output below `outputs` (more is taken for the last one). The parts are
/// appended to `out` in the order of their first records; there are none if the request has no records. A request that the
/// copies of its headers would blow up (to 16 times its size and a MiB) goes whole to the output of its first record.
///
/// # Errors
/// Bytes that are not framed down to their records, which `check` would have refused. `out` is then unchanged.
pub fn split_records(
    signal: Signal,
    request: &Chunks,
    outputs: usize,
    scratch: &mut SplitScratch,
    mut route: impl FnMut(&Record) -> usize,
    out: &mut Vec<Part>,
) -> Result<(), Malformed> {
    let SplitScratch { index, assembly, .. } = scratch;
    let body = request.contiguous();
    index.build_noted(signal, &body, request.traces())?;
    assembly.begin(outputs);
    for record in index.records(&body) {
        assembly.assign(route(&record));
    }
    assembly.finish(index, &body, out);
    scratch.trim();
    Ok(())
}

/// Divides a request by resource entry; otherwise as [`split_records`]. An output whose entries are neighbours gets a slice
/// of the request.
///
/// # Errors
/// As [`split_records`].
pub fn split_resources(
    signal: Signal,
    body: &Bytes,
    outputs: usize,
    scratch: &mut SplitScratch,
    mut route: impl FnMut(&Entry) -> usize,
    out: &mut Vec<Part>,
) -> Result<(), Malformed> {
    let SplitScratch { index, assembly, last, shares, routes } = scratch;
    index.build(signal, body)?;
    assembly.begin(outputs);
    if last.len() < assembly.outputs {
        last.resize(assembly.outputs, NONE);
    }
    for share in shares.drain(..) {
        last[share.output] = NONE;
    }
    routes.clear();
    for resource in index.resources(body) {
        let records = resource.records().len();
        if records == 0 {
            routes.push(NONE);
            continue;
        }
        let output = route(&resource).min(assembly.outputs - 1);
        if last[output] == NONE {
            last[output] = shares.len() as u32;
            let at = resource.range().start;
            shares.push(Share { output, records: 0, size: 0, range: at..at });
        }
        routes.push(last[output]);
        shares[last[output] as usize].add(&resource, records);
    }
    if let [only] = &shares[..] {
        out.push(Part { output: only.output, body: body.clone(), records: only.records });
        return Ok(());
    }
    // Fields beside the entries go to everyone, so then nothing is a mere slice.
    let common = index.nodes[ROOT as usize].header_len as usize;
    let is_slice = |share: &Share| common == 0 && share.size == share.range.len();
    let mut buffers: Vec<Vec<u8>> = Vec::with_capacity(shares.len());
    for share in shares.iter() {
        let mut buffer = Vec::new();
        if !is_slice(share) {
            buffer.reserve_exact(common + share.size);
            index.header(ROOT).for_each(|run| buffer.extend_from_slice(&body[run]));
        }
        buffers.push(buffer);
    }
    for (resource, &route) in index.resources(body).zip(routes.iter()) {
        if let Some(share) = shares.get(route as usize)
            && !is_slice(share)
        {
            buffers[route as usize].extend_from_slice(&body[resource.range()]);
        }
    }
    out.extend(shares.iter().zip(buffers).map(|(share, buffer)| Part {
        output: share.output,
        body: if is_slice(share) { body.slice(share.range.clone()) } else { Bytes::from(buffer) },
        records: share.records,
    }));
    scratch.trim();
    Ok(())
}

/// What one output gets of the resource entries.
#[derive(Clone, Debug)]
struct Share {
    output: usize,
    records: usize,
    /// Bytes of its entries.
    size: usize,
    /// From its first entry to its last; as long as `size` if nothing lies between them.
    range: std::ops::Range<usize>,
}

impl Share {
    fn add(&mut self, entry: &Entry, records: usize) {
        self.records += records;
        self.size += entry.range().len();
        self.range.end = entry.range().end;
    }
}

/// The output of a leaf that is to be left out.
pub(crate) const LEAVE_OUT: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// How large the parts of a request may become together. Headers are copied to each part, so a request that is mostly header
/// could otherwise be blown up into as many times its size as there are parts; ordinary ones stay far below.
pub(crate) const fn most_growth(body: usize) -> usize {
    body.saturating_mul(16).saturating_add(1 << 20)
}

/// An entry as it appears in one output: the pieces of an output are its entries, sized before they are written.
#[derive(Clone, Copy, Debug)]
struct Piece {
    node: u32,
    /// The piece it is in; a root piece is its own.
    parent: u32,
    /// Bytes of its payload.
    size: usize,
    /// Where it is written to: place of its part among those of this split.
    part: u32,
    begun: bool,
}

/// Leaves on their way to outputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembly {
    outputs: usize,
    /// Per leaf its output, later its piece.
    routes: Vec<u32>,
    /// In the order in which they begin, parents before children.
    pieces: Vec<Piece>,
    /// Those of metrics without points, each with the leaf before which it is written.
    bare: Vec<(u32, u32)>,
    /// Per output the last piece of the lowest level; `NONE` outside of `finish`.
    last: Vec<u32>,
    /// Per part its output, its number of records and its buffer.
    parts: Vec<(u32, usize)>,
    buffers: Vec<Vec<u8>>,
}

impl Assembly {
    pub fn begin(&mut self, outputs: usize) {
        self.outputs = outputs.max(1);
        self.routes.clear();
    }

    /// The output of the next leaf.
    #[inline]
    pub fn assign(&mut self, output: usize) {
        self.routes.push(output.min(self.outputs - 1) as u32);
    }

    /// The next leaf goes nowhere.
    pub fn leave_out(&mut self) {
        self.routes.push(LEAVE_OUT);
    }

    /// Makes the parts of the assigned leaves. The body itself is the part when all go to one output, and when the copies of
    /// its headers would grow past [`most_growth`]: then it goes whole to the output of its first leaf.
    pub fn finish(&mut self, index: &Index, body: &Bytes, out: &mut Vec<Part>) {
        let first = self.routes.first().copied().unwrap_or(LEAVE_OUT);
        let mut whole = first != LEAVE_OUT && self.routes.iter().all(|&route| route == first);
        if !whole {
            let size = self.size(index);
            whole = first != LEAVE_OUT && size > most_growth(body.len());
        }
        if whole {
            out.push(Part { output: first as usize, body: body.clone(), records: self.routes.len() });
        } else {
            self.write(index, body, out);
        }
    }

    /// Makes the parts of the assigned leaves, each built anew: in its shortest form and without empty entries.
    pub fn rebuild(&mut self, index: &Index, body: &Bytes, out: &mut Vec<Part>) {
        self.size(index);
        self.write(index, body, out);
    }

    /// First pass: finds the pieces and their exact sizes; answers the size of all parts together.
    fn size(&mut self, index: &Index) -> usize {
        self.pieces.clear();
        self.parts.clear();
        self.bare.clear();
        if self.last.len() < self.outputs {
            self.last.resize(self.outputs, NONE);
        }
        let mut bare = index.bare.iter().peekable();
        let mut output = self.routes.first().copied().unwrap_or(LEAVE_OUT);
        for (n, leaf) in index.leaves.iter().enumerate() {
            while let Some(node) = bare.next_if(|node| index.nodes[**node as usize].extent.start < leaf.extent.start) {
                self.add_bare(index, *node, output, n);
            }
            output = self.routes[n];
            if output == LEAVE_OUT {
                continue;
            }
            let last = &mut self.last[output as usize];
            if *last == NONE || self.pieces[*last as usize].node != leaf.parent {
                *last = open(index, leaf.parent, *last, output, &mut self.pieces, &mut self.parts);
            }
            self.routes[n] = *last;
            let piece = &mut self.pieces[*last as usize];
            piece.size += leaf.extent.len();
            self.parts[piece.part as usize].1 += 1;
        }
        bare.for_each(|node| self.add_bare(index, *node, output, index.leaves.len()));
        let mut total = 0;
        for piece in (0..self.pieces.len()).rev() {
            let Piece { node, parent, size, .. } = self.pieces[piece];
            if node == ROOT {
                total += size;
            } else {
                self.pieces[parent as usize].size += len_field_len(index.nodes[node as usize].number.into(), size);
            }
        }
        for &(output, _) in &self.parts {
            self.last[output as usize] = NONE;
        }
        total
    }

    /// A metric without points goes where the record before it goes; it is written before the leaf of this number.
    fn add_bare(&mut self, index: &Index, node: u32, output: u32, before: usize) {
        let Some(last) = self.last.get_mut(output as usize) else { return };
        *last = open(index, node, *last, output, &mut self.pieces, &mut self.parts);
        self.bare.push((before as u32, *last));
    }

    /// Second pass: copies the ranges. Neighbouring leaves that stay together are copied at once.
    fn write(&mut self, index: &Index, body: &[u8], out: &mut Vec<Part>) {
        let Assembly { routes, pieces, buffers, bare, .. } = self;
        buffers.clear();
        buffers.extend(pieces.iter().filter(|piece| piece.node == ROOT).map(|piece| Vec::with_capacity(piece.size)));
        let (mut run, mut run_piece) = (0..0, NONE);
        let mut flush = |pieces: &mut [Piece], piece: u32, run: std::ops::Range<usize>| {
            if let Some(found) = pieces.get(piece as usize) {
                let part = found.part as usize;
                if !found.begun {
                    begin(index, body, pieces, piece, &mut buffers[part]);
                }
                buffers[part].extend_from_slice(&body[run]);
            }
        };
        let mut bare = bare.iter().peekable();
        for (n, (&piece, leaf)) in routes.iter().zip(&index.leaves).enumerate() {
            while let Some((_, empty)) = bare.next_if(|(before, _)| *before as usize == n) {
                flush(pieces, run_piece, std::mem::take(&mut run));
                flush(pieces, *empty, 0..0);
                run_piece = NONE;
            }
            let leaf = leaf.extent.range();
            if piece == run_piece && leaf.start == run.end {
                run.end = leaf.end;
                continue;
            }
            flush(pieces, run_piece, run);
            (run, run_piece) = (leaf, piece);
        }
        flush(pieces, run_piece, run);
        bare.for_each(|(_, empty)| flush(pieces, *empty, 0..0));
        debug_assert!(buffers.iter().all(|buffer| buffer.len() == buffer.capacity()), "sizes were found wrong");
        for (&(output, records), buffer) in self.parts.iter().zip(self.buffers.drain(..)) {
            out.push(Part { output: output as usize, body: Bytes::from(buffer), records });
        }
    }
}

/// Opens the pieces that lead to `node` in an output whose last piece is `last`, as far as they are not open already; answers the
/// piece of `node`.
fn open(
    index: &Index,
    node: u32,
    last: u32,
    output: u32,
    pieces: &mut Vec<Piece>,
    parts: &mut Vec<(u32, usize)>,
) -> u32 {
    // What leads to `node` and what leads to `last` meet at an open piece, or nowhere.
    let depth = index.nodes[node as usize].depth;
    let depth_of = |piece: &Piece| index.nodes[piece.node as usize].depth;
    let mut above = last;
    while let Some(piece) = pieces.get(above as usize).filter(|piece| depth_of(piece) >= depth) {
        if piece.node == node {
            return above;
        }
        if node == ROOT {
            break;
        }
        above = piece.parent;
    }
    let header = index.nodes[node as usize].header_len as usize;
    let id = pieces.len() as u32;
    if node == ROOT {
        parts.push((output, 0));
        pieces.push(Piece { node, parent: id, size: header, part: parts.len() as u32 - 1, begun: false });
        return id;
    }
    let parent = open(index, index.nodes[node as usize].parent, above, output, pieces, parts);
    let part = pieces[parent as usize].part;
    let id = pieces.len() as u32;
    pieces.push(Piece { node, parent, size: header, part, begun: false });
    id
}

/// Writes the opening of a piece: those of the pieces above it that have not begun, tag and length, header.
fn begin(index: &Index, body: &[u8], pieces: &mut [Piece], piece: u32, buffer: &mut Vec<u8>) {
    let Piece { node, parent, size, .. } = pieces[piece as usize];
    if node != ROOT {
        if !pieces[parent as usize].begun {
            begin(index, body, pieces, parent, buffer);
        }
        put_len_prefix(buffer, index.nodes[node as usize].number.into(), size);
    }
    index.header(node).for_each(|run| buffer.extend_from_slice(&body[run]));
    pieces[piece as usize].begun = true;
}

#[cfg(test)]
mod tests;
