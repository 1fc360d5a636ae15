//! Many requests become one, with equal headers sent once.
//!
//! A [`Packer`] collects requests of one signal until a limit is reached. Resource entries whose headers are equal byte for
//! byte (fields brought into the order of their numbers) become one entry, and within it so do scope entries; records keep
//! the order of their arrival inside a scope. Metrics are appended to their scope, not merged with equal ones.
//!
//! [`Packer::encoded_len`] is the exact size of what [`Packer::finish`] gives, kept up to date with every request, so that a
//! byte limit is a promise. A lone request is handed on as it came, and is not even looked into.
//! Records stay where they are until `finish`: long runs of them are then handed on as slices, short ones are copied into one
//! buffer together with the headers. Until then each request's memory is held.
//!
//! Entries without records vanish when requests are merged. Fields of the request itself that nobody knows are kept.
//! Once its tables have grown, adding a request allocates nothing.

use crate::chunks::Chunks;
use crate::field::{Fields, len_field_len, put_len_prefix};
use crate::index::{Index, Node, ROOT, trim};
use crate::signal::Signal;
use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::ops::Range;

/// Runs of records from this size on are sent as slices of their request rather than copied.
pub(crate) const SLICE_FROM: usize = 4096;
/// How many different headers are remembered for folding; later ones get entries of their own.
const MAX_FOLDED: usize = 4096;

/// What one packed request may hold; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackLimits {
    /// Records.
    pub max_records: usize,
    /// Encoded bytes.
    pub max_bytes: usize,
}

/// Collects requests into one.
#[derive(Debug)]
pub struct Packer {
    signal: Signal,
    limits: PackLimits,
    requests: usize,
    records: usize,
    /// The first request, while it is the only one.
    lone: Option<Bytes>,
    /// All requests, from the second one on.
    merged: Merged,
}

impl Packer {
    /// An empty packer.
    pub fn new(signal: Signal, limits: PackLimits) -> Self {
        Packer { signal, limits, requests: 0, records: 0, lone: None, merged: Merged::default() }
    }

    /// Adds a checked request that holds `records` records. Answers false, with nothing changed, if the packer is not empty
    /// and would exceed a limit; the first request is always taken.
    ///
    /// Bytes that `check` would refuse are appended as they are: concatenation is protobuf's own merge.
    pub fn try_add(&mut self, body: &Bytes, records: usize) -> bool {
        if self.requests == 0 {
            self.lone = Some(body.clone());
        } else {
            let or_none = |limit: usize| if limit == 0 { usize::MAX } else { limit };
            if self.records + records > or_none(self.limits.max_records) {
                return false;
            }
            if let Some(lone) = &self.lone
                && self.merged.bodies.is_empty()
            {
                self.merged.add(self.signal, lone, usize::MAX);
            }
            if !self.merged.add(self.signal, body, or_none(self.limits.max_bytes)) {
                return false;
            }
            self.lone = None;
        }
        self.requests += 1;
        self.records += records;
        true
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.requests == 0
    }

    /// How many requests were added.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// How many records were added.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The exact size of what `finish` would give.
    pub fn encoded_len(&self) -> usize {
        match &self.lone {
            Some(lone) => lone.len(),
            None => self.merged.len(),
        }
    }

    /// Forgets what was added and keeps the tables.
    pub fn clear(&mut self) {
        self.lone = None;
        self.merged.clear();
        (self.requests, self.records) = (0, 0);
    }

    /// The merged request. The packer is empty afterwards and keeps its tables for the next one.
    pub fn finish(&mut self) -> Chunks {
        let len = self.encoded_len();
        let chunks = match self.lone.take() {
            Some(lone) => Chunks::from(lone),
            None => self.merged.write(),
        };
        debug_assert_eq!(chunks.len(), len);
        self.clear();
        chunks
    }
}

const NONE: u32 = u32::MAX;

/// An entry of the merged request: the request itself, a resource entry, a scope entry.
#[derive(Clone, Debug)]
struct Group {
    /// Its header in canonical form: a range of `Merged::headers`.
    header: Range<usize>,
    /// The hash under which it is known; together with `same_hash` a chain.
    hash: u64,
    same_hash: u32,
    /// Its field number in the entry above; 0 for the request.
    number: u8,
    parent: u32,
    /// Bytes of its payload.
    size: usize,
    /// Lists of entries and of runs in it, linked by `next`.
    children: List,
    runs: List,
    /// The next entry in the same parent.
    next: u32,
    /// The child that was found last: most requests hit it again.
    recent: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

const EMPTY: List = List { first: NONE, last: NONE };

/// Neighbouring fields of one request, tags included: records of a scope, or unknown fields of the request.
#[derive(Clone, Debug)]
struct Run {
    body: u32,
    next: u32,
    start: usize,
    end: usize,
}

/// How to get back to before the current request.
#[derive(Debug, Default)]
struct Journal {
    /// Whether changes are noted: not when it is known beforehand that the request fits.
    on: bool,
    groups: usize,
    headers: usize,
    runs: usize,
    /// What entries were before they were changed, in the order of the changes.
    changed: Vec<(u32, Group)>,
}

/// The merged request as a tree of entries.
#[derive(Debug, Default)]
struct Merged {
    bodies: Vec<Bytes>,
    /// The request first; an entry always stands after its parent.
    groups: Vec<Group>,
    headers: Vec<u8>,
    runs: Vec<Run>,
    /// The last group of each hash.
    known: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    state: RandomState,
    index: Index,
    journal: Journal,
    /// A header that is being brought into its canonical form.
    canonical: Vec<u8>,
}

impl Merged {
    fn len(&self) -> usize {
        self.groups.first().map_or(0, |root| root.size)
    }

    fn clear(&mut self) {
        trim(&mut self.bodies);
        trim(&mut self.groups);
        trim(&mut self.headers);
        trim(&mut self.runs);
        trim(&mut self.journal.changed);
        trim(&mut self.canonical);
        self.known.clear();
    }

    /// Adds a request unless the whole would become larger than `max_bytes`.
    fn add(&mut self, signal: Signal, body: &Bytes, max_bytes: usize) -> bool {
        if self.groups.is_empty() {
            self.groups.push(Group::new(0..0, 0, 0, ROOT));
        }
        let mut index = std::mem::take(&mut self.index);
        let sound = index.build_runs(signal, body).is_ok();
        // No length that grows by the addition can take more than nine bytes more.
        let at_most = self.len() + body.len() + 10 * index.nodes.len();
        self.begin(at_most > max_bytes);
        if sound {
            self.add_entries(&index, body);
        } else {
            self.push_run(ROOT, 0..body.len());
        }
        index.trim();
        self.index = index;
        if self.len() > max_bytes {
            self.roll_back();
            return false;
        }
        self.bodies.push(body.clone());
        true
    }

    fn add_entries(&mut self, index: &Index, body: &[u8]) {
        for run in index.header(ROOT) {
            self.push_run(ROOT, run);
        }
        let (mut scope_node, mut scope) = (NONE, NONE);
        let (mut resource_node, mut resource) = (NONE, NONE);
        for leaf in &index.leaves {
            if leaf.parent != scope_node {
                scope_node = leaf.parent;
                let node = &index.nodes[scope_node as usize];
                if node.parent != resource_node {
                    resource_node = node.parent;
                    resource = self.fold(ROOT, index, resource_node, body);
                }
                scope = self.fold(resource, index, scope_node, body);
            }
            self.push_run(scope, leaf.extent.range());
        }
    }

    /// The group in `parent` that has this entry's header, found or made.
    fn fold(&mut self, parent: u32, index: &Index, node: u32, body: &[u8]) -> u32 {
        let mut canonical = std::mem::take(&mut self.canonical);
        let Node { number, in_order, .. } = index.nodes[node as usize];
        let mut runs = index.header(node);
        let header: &[u8] = match (runs.len(), runs.next()) {
            (_, None) => &[],
            (1, Some(only)) if in_order => &body[only],
            _ => {
                canonicalize(index.header(node), in_order, body, &mut canonical);
                &canonical
            }
        };
        let group = self.find_or_make(parent, number, header);
        self.canonical = canonical;
        group
    }

    fn find_or_make(&mut self, parent: u32, number: u8, header: &[u8]) -> u32 {
        let recent = self.groups[parent as usize].recent;
        if self.is(recent, parent, header) {
            return recent;
        }
        let hash = self.state.hash_one((parent, header));
        let head = self.known.get(&hash).copied().unwrap_or(NONE);
        let mut found = head;
        while found != NONE && !self.is(found, parent, header) {
            found = self.groups[found as usize].same_hash;
        }
        if found == NONE {
            found = self.groups.len() as u32;
            let at = self.headers.len();
            self.headers.extend_from_slice(header);
            let mut group = Group::new(at..self.headers.len(), hash, number, parent);
            group.same_hash = head;
            self.grow(parent, len_field_len(number.into(), header.len()));
            self.groups.push(group);
            let siblings = &mut self.groups[parent as usize].children;
            let previous = std::mem::replace(&mut siblings.last, found);
            match previous {
                NONE => siblings.first = found,
                // Not journaled: a rolled back `next` is cut off by the parent's `last`.
                _ => self.groups[previous as usize].next = found,
            }
            if self.known.len() < MAX_FOLDED {
                self.known.insert(hash, found);
            }
        }
        self.groups[parent as usize].recent = found;
        found
    }

    fn is(&self, group: u32, parent: u32, header: &[u8]) -> bool {
        let Some(group) = self.groups.get(group as usize) else { return false };
        group.parent == parent && group.number != 0 && self.headers[group.header.clone()] == *header
    }

    /// Appends fields of the current request to an entry.
    fn push_run(&mut self, group: u32, range: Range<usize>) {
        self.grow(group, range.len());
        let at = self.runs.len() as u32;
        self.runs.push(Run { body: self.bodies.len() as u32, next: NONE, start: range.start, end: range.end });
        let list = &mut self.groups[group as usize].runs;
        let previous = std::mem::replace(&mut list.last, at);
        match previous {
            NONE => list.first = at,
            _ => self.runs[previous as usize].next = at,
        }
    }

    /// Makes an entry's payload larger, and with it those above; notes what they were.
    fn grow(&mut self, mut group: u32, mut added: usize) {
        loop {
            if self.journal.on && (group as usize) < self.journal.groups {
                self.journal.changed.push((group, self.groups[group as usize].clone()));
            }
            let entry = &mut self.groups[group as usize];
            let before = entry.size;
            entry.size += added;
            if group == ROOT {
                return;
            }
            added = len_field_len(entry.number.into(), entry.size) - len_field_len(entry.number.into(), before);
            group = entry.parent;
        }
    }

    fn begin(&mut self, journal: bool) {
        self.journal.on = journal;
        self.journal.groups = self.groups.len();
        self.journal.headers = self.headers.len();
        self.journal.runs = self.runs.len();
        self.journal.changed.clear();
    }

    fn roll_back(&mut self) {
        while self.groups.len() > self.journal.groups
            && let Some(group) = self.groups.pop()
        {
            // Not known when there was no room for it.
            if self.known.get(&group.hash).is_some_and(|&head| head as usize == self.groups.len()) {
                match group.same_hash {
                    NONE => self.known.remove(&group.hash),
                    older => self.known.insert(group.hash, older),
                };
            }
        }
        for (group, before) in self.journal.changed.drain(..).rev() {
            self.groups[group as usize] = before;
        }
        self.headers.truncate(self.journal.headers);
        self.runs.truncate(self.journal.runs);
    }
}

impl Merged {
    /// The whole request: headers and short runs in one buffer, long runs as slices between its parts.
    fn write(&self) -> Chunks {
        let long = self.runs.iter().map(Run::len).filter(|&len| len >= SLICE_FROM).sum::<usize>();
        let mut out = Output { buffer: Vec::with_capacity(self.len() - long), slices: Vec::new() };
        if !self.groups.is_empty() {
            self.write_group(ROOT, &mut out);
        }
        out.into_chunks()
    }

    fn write_group(&self, group: u32, out: &mut Output) {
        let group = &self.groups[group as usize];
        if group.number != 0 {
            put_len_prefix(&mut out.buffer, group.number.into(), group.size);
        }
        out.buffer.extend_from_slice(&self.headers[group.header.clone()]);
        let mut next = group.runs.first;
        while next != NONE {
            let run = &self.runs[next as usize];
            let body = &self.bodies[run.body as usize];
            match run.len() < SLICE_FROM {
                true => out.buffer.extend_from_slice(&body[run.start..run.end]),
                false => out.slices.push((out.buffer.len(), body.slice(run.start..run.end))),
            }
            next = if next == group.runs.last { NONE } else { run.next };
        }
        let mut next = group.children.first;
        while next != NONE {
            self.write_group(next, out);
            next = if next == group.children.last { NONE } else { self.groups[next as usize].next };
        }
    }
}

impl Group {
    fn new(header: Range<usize>, hash: u64, number: u8, parent: u32) -> Self {
        let size = header.len();
        let (same_hash, next, recent) = (NONE, NONE, NONE);
        Group { header, hash, same_hash, number, parent, size, children: EMPTY, runs: EMPTY, next, recent }
    }
}

impl Run {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// What is being written: one buffer, and the slices that go between its parts.
pub(crate) struct Output {
    pub(crate) buffer: Vec<u8>,
    /// Each with its place in the buffer.
    pub(crate) slices: Vec<(usize, Bytes)>,
}

impl Output {
    pub(crate) fn into_chunks(self) -> Chunks {
        let buffer = Bytes::from(self.buffer);
        let mut chunks = Chunks::new();
        let mut at = 0;
        for (place, slice) in self.slices {
            chunks.push(buffer.slice(at..place));
            chunks.push(slice);
            at = place;
        }
        chunks.push(buffer.slice(at..));
        chunks
    }
}

/// Brings a header into one piece with its fields in the order of their numbers.
pub(crate) fn canonicalize(runs: impl Iterator<Item = Range<usize>>, in_order: bool, body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if in_order {
        runs.for_each(|run| out.extend_from_slice(&body[run]));
        return;
    }
    // The runs were framed when the index was built: no error can come. The sort is stable.
    let fields = runs.flat_map(|run| Fields::within(body, run).map_while(Result::ok));
    let mut fields: Vec<(u32, Range<usize>)> = fields.map(|field| (field.number, field.range())).collect();
    fields.sort_by_key(|(number, _)| *number);
    fields.into_iter().for_each(|(_, range)| out.extend_from_slice(&body[range]));
}

/// The keys are hashes already.
#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0 << 8 | u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests;
