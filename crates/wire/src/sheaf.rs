//! Records of many requests, copied together, become one request.
//!
//! A [`Sheaf`] is what grows for each destination while requests are divided: records of a [`Pile`] are appended as they come, and
//! [`Sheaf::finish`] writes them under their headers, each header once. Appending touches little memory, because there are
//! hundreds of sheaves and none of them is in the cache: the bytes are copied behind those that are there, a line of a log says under
//! which header they belong, and everything else is left for the end. If all are under one header they leave where they are;
//! otherwise they are put into order then. Records keep their order under each header.
//!
//! Of metrics it takes data points; those of metrics with equal headers and data of one kind under equal headers are put together. Metrics
//! without points come along with the record before them.
//!
//! It keeps its limits by a bound of its size that is a few bytes for each header above the truth: it may be full a little early,
//! never late.

use crate::chunks::Chunks;
use crate::field::{len_field_len, put_len_prefix};
use crate::index::{ROOT, trim_to};
use crate::pack::{Output, PackLimits, SLICE_FROM};
use crate::pile::{Class, Pick, Pile, REQUESTS, header};
use bytes::Bytes;
use known::Known;
use std::ops::Range;

/// The first and the largest piece of memory that records are copied into; each is twice the one before.
const PIECE: Range<usize> = 4096..64 * 1024;
/// What the tables keep room for when the sheaf is not in use: so many groups, eight runs and sixteen bytes of headers for each;
/// about 140 KiB together, after a batch that needed as much.
const KEPT: usize = 1024;
/// Records whose groups are looked for together.
const AHEAD: usize = 16;
/// The most that an entry takes beside its header: its tag (no number is above 11) and a length below 2^35.
const LENGTH: usize = 6;

/// An entry of the request: the request itself, a resource entry, a scope entry …
#[derive(Clone, Debug)]
struct Group {
    /// Its header: a range of `Sheaf::headers`.
    header: Range<usize>,
    /// Its field number in the entry above.
    number: u8,
    parent: u32,
}

/// Neighbouring records of one group. They never cross from one piece of memory to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    group: u32,
    len: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Sheaf {
    limits: PackLimits,
    records: usize,
    /// At least what it takes in the end.
    bound: usize,
    /// Copied records: pieces that are full, and the one that is being filled.
    full: Vec<Bytes>,
    open: Vec<u8>,
    /// The memory of those that are full.
    held: usize,
    /// What was copied, in order.
    log: Vec<Run>,
    /// The groups; one always stands after its parent.
    groups: Vec<Group>,
    headers: Vec<u8>,
    /// The groups that records are directly in, and those above.
    known: Known,
    above: Known,
}

impl Sheaf {
    /// An empty one.
    #[must_use]
    pub fn new(limits: PackLimits) -> Sheaf {
        Sheaf { limits, ..Sheaf::default() }
    }

    /// Copies records of a pile, all of one signal, and answers how many of them there is room for. An empty sheaf takes at least one.
    pub fn append(&mut self, pile: &Pile, picks: &[Pick]) -> usize {
        let mut appended = 0;
        // The groups of several records are found before the first of them is copied, so that the processor can wait for all at once.
        for picks in picks.chunks(AHEAD) {
            let mut groups = [ROOT; AHEAD];
            let taken = self.admit(pile, picks, &mut groups);
            for (&pick, &group) in picks[..taken].iter().zip(&groups) {
                self.copy(group, pile.record(pick));
            }
            appended += taken;
            if taken < picks.len() {
                break;
            }
        }
        appended
    }

    /// Makes room for records, and finds or makes the group of each; answers how many there is room for.
    fn admit(&mut self, pile: &Pile, picks: &[Pick], groups: &mut [u32; AHEAD]) -> usize {
        let or_none = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let (max_records, max_bytes) = (or_none(self.limits.max_records), or_none(self.limits.max_bytes));
        let mut last = None;
        for (n, (pick, group)) in picks.iter().zip(groups).enumerate() {
            let known = match last {
                Some((class, group)) if class == pick.class => Some(group),
                _ => self.known.get(pile.class(pick.class).seal),
            };
            let missing =
                |class| if self.known.get(pile.class(class).seal).is_some() { 0 } else { self.missing(pile, class) };
            let bare: usize = pile.followers(*pick).map(missing).sum();
            let added = pick.len() + bare + if known.is_some() { 0 } else { self.missing(pile, pick.class) };
            let is_over = self.records >= max_records || self.bound + added > max_bytes;
            if is_over && self.records > 0 {
                return n;
            }
            *group = known.unwrap_or_else(|| self.new_group(pile, pick.class));
            last = Some((pick.class, *group));
            for class in pile.followers(*pick) {
                if self.known.get(pile.class(class).seal).is_none() {
                    self.new_group(pile, class);
                }
            }
            self.records += 1;
            self.bound += pick.len();
        }
        picks.len()
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The most bytes that its request may have.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Memory that it takes: copied records with what is kept free for the next ones, headers and tables.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
            + self.open.capacity()
            + self.headers.capacity()
            + self.full.capacity() * size_of::<Bytes>()
            + self.log.capacity() * size_of::<Run>()
            + self.groups.capacity() * size_of::<Group>()
            + self.known.held()
            + self.above.held()
    }

    /// The most bytes that a class that is not known, and those above it, as far as they are not known either, would add.
    fn missing(&self, pile: &Pile, mut class: u32) -> usize {
        let mut missing = 0;
        while class != REQUESTS {
            let Class { parent, request, node, .. } = pile.class(class);
            missing += pile.request(request).0.nodes[node as usize].header_len as usize + LENGTH;
            class = parent;
            if self.above.get(pile.class(class).seal).is_some() {
                break;
            }
        }
        missing
    }

    /// The group of a class that records are directly in and that is not known, made with what is missing above it.
    fn new_group(&mut self, pile: &Pile, class: u32) -> u32 {
        let group = self.make_group(pile, class);
        self.known.insert(pile.class(class).seal, group);
        group
    }

    fn make_group(&mut self, pile: &Pile, class: u32) -> u32 {
        if class == REQUESTS {
            self.groups.push(Group { header: 0..0, number: 0, parent: ROOT });
            return ROOT;
        }
        let Class { parent, request, node, .. } = pile.class(class);
        let seal = pile.class(parent).seal;
        let parent = self.above.get(seal).unwrap_or_else(|| {
            let group = self.make_group(pile, parent);
            self.above.insert(seal, group);
            group
        });
        let (index, body) = pile.request(request);
        let (start, group) = (self.headers.len(), self.groups.len() as u32);
        self.headers.extend_from_slice(header(index, body, node, &mut Vec::new()));
        let header = start..self.headers.len();
        self.bound += header.len() + LENGTH;
        self.groups.push(Group { header, number: index.nodes[node as usize].number, parent });
        group
    }

    fn copy(&mut self, group: u32, record: &[u8]) {
        let is_new = self.open.capacity() - self.open.len() < record.len();
        if is_new {
            let twice = (self.open.capacity() * 2).clamp(PIECE.start, PIECE.end);
            self.seal_piece();
            self.open = Vec::with_capacity(twice.max(record.len()));
        }
        self.open.extend_from_slice(record);
        match self.log.last_mut() {
            Some(last) if last.group == group && !is_new => last.len += record.len() as u32,
            _ => self.log.push(Run { group, len: record.len() as u32 }),
        }
    }

    fn seal_piece(&mut self) {
        if !self.open.is_empty() {
            self.held += self.open.capacity();
            self.full.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }

    /// The request, and the most memory that it holds: records that leave where they are hold their piece of memory, whatever else was in
    /// it. The sheaf is empty afterwards and keeps its tables for the next one, unless they are large.
    pub fn finish(&mut self) -> (Chunks, usize) {
        self.seal_piece();
        let request = if self.groups.is_empty() { (Chunks::new(), 0) } else { self.write() };
        trim_to(&mut self.full, KEPT);
        trim_to(&mut self.log, 8 * KEPT);
        trim_to(&mut self.groups, KEPT);
        trim_to(&mut self.headers, 16 * KEPT);
        self.known.clear();
        self.above.clear();
        (self.records, self.bound, self.held) = (0, 0, 0);
        request
    }

    /// The sizes of the groups' payloads.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.groups.iter().map(|group| group.header.len()).collect();
        self.log.iter().for_each(|run| sizes[run.group as usize] += run.len as usize);
        for group in (1..self.groups.len()).rev() {
            let Group { number, parent, .. } = self.groups[group];
            sizes[parent as usize] += len_field_len(number.into(), sizes[group]);
        }
        sizes
    }

    fn write(&self) -> (Chunks, usize) {
        let sizes = self.sizes();
        let sorted = self.sort();
        let long: usize = sorted.runs.iter().map(Placed::len).filter(|&len| len >= SLICE_FROM).sum();
        let mut out = Output { buffer: Vec::with_capacity(sizes[ROOT as usize] - long), slices: Vec::new() };
        self.write_group(ROOT, &sizes, &sorted, &mut out);
        debug_assert!(out.buffer.len() == out.buffer.capacity(), "sizes were found wrong");
        let held = out.buffer.len() + if out.slices.is_empty() { 0 } else { self.held };
        let chunks = out.into_chunks();
        debug_assert_eq!(chunks.len(), sizes[ROOT as usize]);
        (chunks, held)
    }

    fn write_group(&self, id: u32, sizes: &[usize], sorted: &Sorted, out: &mut Output) {
        let group = &self.groups[id as usize];
        if id != ROOT {
            put_len_prefix(&mut out.buffer, group.number.into(), sizes[id as usize]);
        }
        out.buffer.extend_from_slice(&self.headers[group.header.clone()]);
        for run in &sorted.runs[sorted.runs_of(id)] {
            let piece = &self.full[run.piece as usize];
            match run.len() < SLICE_FROM {
                true => out.buffer.extend_from_slice(&piece[run.start as usize..run.end as usize]),
                false => out.slices.push((out.buffer.len(), piece.slice(run.start as usize..run.end as usize))),
            }
        }
        for &child in &sorted.children[sorted.children_of(id)] {
            self.write_group(child, sizes, sorted, out);
        }
    }

    /// Brings runs and groups into the order in which they are written.
    fn sort(&self) -> Sorted {
        let mut run_ends = vec![0; self.groups.len()];
        let mut child_ends = vec![0; self.groups.len()];
        self.log.iter().for_each(|run| run_ends[run.group as usize] += 1);
        self.groups.iter().skip(1).for_each(|group| child_ends[group.parent as usize] += 1);
        for ends in [&mut run_ends, &mut child_ends] {
            let mut start = 0;
            ends.iter_mut().for_each(|end| start += std::mem::replace(end, start));
        }
        let mut runs = vec![Placed::default(); self.log.len()];
        let (mut piece, mut start) = (0, 0);
        for run in &self.log {
            let end = &mut run_ends[run.group as usize];
            runs[*end as usize] = Placed { piece, start, end: start + run.len };
            (*end, start) = (*end + 1, start + run.len);
            if start as usize == self.full[piece as usize].len() {
                (piece, start) = (piece + 1, 0);
            }
        }
        let mut children = vec![0; self.groups.len().saturating_sub(1)];
        for (id, group) in self.groups.iter().enumerate().skip(1) {
            let end = &mut child_ends[group.parent as usize];
            children[*end as usize] = id as u32;
            *end += 1;
        }
        Sorted { runs, run_ends, children, child_ends }
    }
}

/// A run with its place.
#[derive(Clone, Copy, Debug, Default)]
struct Placed {
    piece: u32,
    start: u32,
    end: u32,
}

impl Placed {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Runs and children group by group, with where those of each group end.
struct Sorted {
    runs: Vec<Placed>,
    run_ends: Vec<u32>,
    children: Vec<u32>,
    child_ends: Vec<u32>,
}

impl Sorted {
    fn runs_of(&self, group: u32) -> Range<usize> {
        range_of(&self.run_ends, group)
    }

    fn children_of(&self, group: u32) -> Range<usize> {
        range_of(&self.child_ends, group)
    }
}

fn range_of(ends: &[u32], group: u32) -> Range<usize> {
    let start = group.checked_sub(1).map_or(0, |before| ends[before as usize]);
    start as usize..ends[group as usize] as usize
}

mod known;

#[cfg(test)]
mod tests;
