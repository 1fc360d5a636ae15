//! Where everything is in a request: resource entries, scope entries, records, and the headers above them, as ranges.
//!
//! An [`Index`] is built in one pass over the framing and read through borrowed views ([`Entry`], [`Record`]); its tables
//! are reused from request to request, so that indexing allocates nothing once they have grown.
//!
//! ```text
//! request ─ resource entry ─ scope entry ─ log record | span
//!                                        └ metric ─ data ─ data point        for metrics the record is the data point
//! ```
//!
//! The header of an entry is all its fields but its children, wherever they stand: a `resource` that is absent, that comes
//! after the scopes or that comes twice, the schema URL, fields nobody knows. Joined in order these runs are again a valid
//! prefix of an entry, because protobuf merges by concatenation.
//!
//! A metric without points, or without data at all, holds no record. It is noted (`Index::bare`) and goes where the record before it goes,
//! or the first one if there is none before it, so that nothing a sender said is lost when a request is divided.
//!
//! Invariants: entries are listed level by level, each level in document order; the children of an entry are neighbours;
//! records are in document order. Records are framed, not looked into: that is `key`'s work, and `check`'s to refuse.

use crate::check::TRACE_ID;
use crate::field::{Fault, Field, Fields, Malformed};
use crate::signal::{DATA_POINT, RECORD, RESOURCE_ENTRY, SCOPE_ENTRY, Signal};
use std::ops::Range;
use std::sync::Arc;

/// The entry of the request itself, which is always there.
pub(crate) const ROOT: u32 = 0;
/// The depth of resource entries; the root's is 0.
const RESOURCE_DEPTH: u8 = 1;
const SCOPE_DEPTH: u8 = 2;
const METRIC_DEPTH: u8 = 3;
/// The depth of a metric's data.
pub(crate) const DATA_DEPTH: u8 = 4;

/// The tables of one request. Build it again for the next one.
#[derive(Clone, Debug)]
pub struct Index {
    signal: Signal,
    /// The depth of the entries whose children are leaves.
    leaf_depth: u8,
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: Vec<Leaf>,
    /// The headers of all entries, one after the other.
    pub(crate) runs: Vec<Extent>,
    /// Metrics without data and data without points, in document order.
    pub(crate) bare: Vec<u32>,
    /// Where the trace ids of the records begin, if that is known: see [`Chunks::traces`](crate::Chunks::traces).
    pub(crate) traces: Option<Arc<[u32]>>,
}

/// A range in four bytes less a side than `Range<usize>`: a body of tiny entries must not cost many times its size.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    pub start: u32,
    pub end: u32,
}

impl Extent {
    /// Of positions in a body or in a table, both of which `Index::scan` keeps below 2^32.
    fn new(range: Range<usize>) -> Self {
        Extent { start: range.start as u32, end: range.end as u32 }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// An entry: the request, a resource entry, a scope entry, a metric, a metric's data.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// All of it, tag included; for the request the whole body.
    pub extent: Extent,
    /// Where its payload begins; it ends with the extent.
    pub from: u32,
    /// Its header, in `Index::runs`.
    pub runs: Extent,
    /// Bytes of its header.
    pub header_len: u32,
    /// Its children, in `Index::leaves` if they are records, else in `Index::nodes`.
    pub children: Extent,
    /// The entry it is in; the root is its own.
    pub parent: u32,
    /// Its field number in its parent: none is above 11.
    pub number: u8,
    pub depth: u8,
    /// Whether its header fields stand in the order of their numbers.
    pub in_order: bool,
}

/// A record, or a run of neighbouring ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// All of it, tag included.
    pub extent: Extent,
    /// Where the payload begins (of the first, in a run).
    pub from: u32,
    pub parent: u32,
}

impl Node {
    /// An entry that is not scanned yet.
    fn new(extent: Extent, from: usize, parent: u32, number: u32, depth: u8) -> Self {
        let (runs, children) = Default::default();
        let (from, number) = (from as u32, number as u8);
        Node { extent, from, runs, header_len: 0, children, parent, number, depth, in_order: true }
    }
}

/// How many entries a table may keep room for when it is not in use.
const KEPT: usize = 16 * 1024;

/// Empties a table for reuse, or gives its memory back if it grew very large.
pub(crate) fn trim<T>(table: &mut Vec<T>) {
    trim_to(table, KEPT);
}

/// The same with a bound of one's own on the entries.
pub(crate) fn trim_to<T>(table: &mut Vec<T>, kept: usize) {
    table.clear();
    if table.capacity() > kept {
        *table = Vec::new();
    }
}

/// How fine the leaves of an index are.
#[derive(Clone, Copy, PartialEq)]
enum Grain {
    /// One leaf per log record, span or data point.
    Record,
    /// One leaf per uninterrupted run of log records, spans or metrics in a scope entry.
    Run,
}

impl Default for Index {
    fn default() -> Self {
        Index::new()
    }
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        let (nodes, leaves, runs, bare) = Default::default();
        Index { signal: Signal::Logs, leaf_depth: SCOPE_DEPTH, nodes, leaves, runs, bare, traces: None }
    }

    /// Indexes a request down to its records. On an error the index is of nothing.
    pub fn build(&mut self, signal: Signal, body: &[u8]) -> Result<(), Malformed> {
        self.signal = signal;
        self.leaf_depth = if signal == Signal::Metrics { METRIC_DEPTH + 1 } else { SCOPE_DEPTH };
        self.scan(body, Grain::Record)
    }

    /// The same of a request of which something may have been noted when it was checked.
    pub(crate) fn build_noted(
        &mut self,
        signal: Signal,
        body: &[u8],
        traces: Option<&Arc<[u32]>>,
    ) -> Result<(), Malformed> {
        self.build(signal, body)?;
        self.traces = traces.filter(|traces| traces.len() == self.leaves.len()).cloned();
        Ok(())
    }

    /// Indexes a request down to uninterrupted runs of what its scope entries hold.
    pub(crate) fn build_runs(&mut self, signal: Signal, body: &[u8]) -> Result<(), Malformed> {
        self.signal = signal;
        self.leaf_depth = SCOPE_DEPTH;
        self.scan(body, Grain::Run)
    }

    /// The signal of the indexed request.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// How many records there are.
    pub fn record_count(&self) -> usize {
        self.leaves.len()
    }

    /// The records in document order. `body` is the request the index was built of.
    pub fn records<'a>(&'a self, body: &'a [u8]) -> Records<'a> {
        self.records_in(body, 0..self.leaves.len())
    }

    /// The record of this [ordinal](Record::ordinal). `body` is the request the index was built of.
    pub fn record<'a>(&'a self, body: &'a [u8], ordinal: usize) -> Option<Record<'a>> {
        (ordinal < self.leaves.len()).then_some(Record { index: self, body, leaf: ordinal })
    }

    /// What stands in the request beside its resource entries: fields that nobody knows. `body` is the request the index was
    /// built of.
    pub fn rest<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let runs = self.nodes.first().map_or(0..0, |root| root.runs.range());
        self.runs[runs].iter().map(|run| &body[run.range()])
    }

    fn records_in<'a>(&'a self, body: &'a [u8], leaves: Range<usize>) -> Records<'a> {
        Records { index: self, body, leaves }
    }

    /// The resource entries in document order. `body` is the request the index was built of.
    pub fn resources<'a>(&'a self, body: &'a [u8]) -> impl ExactSizeIterator<Item = Entry<'a>> {
        let children = self.nodes.first().map_or(0..0, |root| root.children.range());
        children.map(move |node| Entry { index: self, body, node })
    }

    /// The ranges of an entry's header.
    pub(crate) fn header(&self, node: u32) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
        self.runs[self.nodes[node as usize].runs.range()].iter().map(|run| run.range())
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.leaves.clear();
        self.runs.clear();
        self.bare.clear();
        self.traces = None;
    }

    /// Entries that its largest table has room for.
    pub(crate) fn room(&self) -> usize {
        self.nodes.capacity().max(self.leaves.capacity()).max(self.runs.capacity())
    }

    /// Forgets the request, and gives memory back if that was unusually large.
    pub(crate) fn trim(&mut self) {
        trim(&mut self.nodes);
        trim(&mut self.leaves);
        trim(&mut self.runs);
        trim(&mut self.bare);
        self.traces = None;
    }

    fn scan(&mut self, body: &[u8], grain: Grain) -> Result<(), Malformed> {
        self.clear();
        // Every table entry stands for bytes of the body, so this bounds the tables too.
        if u32::try_from(body.len()).is_err() {
            return Err(Malformed { offset: 0, what: Fault::TooLarge });
        }
        self.nodes.push(Node::new(Extent::new(0..body.len()), 0, ROOT, 0, 0));
        let mut next = 0;
        while next < self.nodes.len() {
            if let Err(malformed) = self.scan_node(body, next, grain) {
                self.clear();
                return Err(malformed);
            }
            next += 1;
        }
        // Metrics without data were found a level before data without points.
        let nodes = &self.nodes;
        self.bare.sort_by_key(|&node| nodes[node as usize].extent.start);
        Ok(())
    }

    /// Sorts the fields of one entry into children and header.
    fn scan_node(&mut self, body: &[u8], at: usize, grain: Grain) -> Result<(), Malformed> {
        let Node { from, extent, depth, .. } = self.nodes[at];
        let parent = at as u32;
        let of_leaves = depth == self.leaf_depth;
        let first_run = self.runs.len();
        let first_child = if of_leaves { self.leaves.len() } else { self.nodes.len() };
        let (mut header_len, mut last_number, mut in_order) = (0, 0, true);
        let mut fields = Fields::within(body, from as usize..extent.end as usize);
        while let Some(field) = fields.next_field()? {
            if is_child(depth, field.number) {
                let Some(payload) = field.payload() else {
                    return Err(Malformed { offset: field.start, what: Fault::NotAMessage });
                };
                if of_leaves {
                    self.push_leaf(&field, payload.start, parent, first_child, grain);
                } else {
                    let extent = Extent::new(field.range());
                    self.nodes.push(Node::new(extent, payload.start, parent, field.number, depth + 1));
                }
            } else {
                let extent = Extent::new(field.range());
                header_len += extent.len() as u32;
                in_order &= last_number <= field.number;
                last_number = field.number;
                match self.runs.get_mut(first_run..).and_then(|runs| runs.last_mut()) {
                    Some(run) if run.end == extent.start => run.end = extent.end,
                    _ => self.runs.push(extent),
                }
            }
        }
        let children = Extent::new(first_child..if of_leaves { self.leaves.len() } else { self.nodes.len() });
        let runs = Extent::new(first_run..self.runs.len());
        if depth >= METRIC_DEPTH && children.len() == 0 {
            self.bare.push(parent);
        }
        let node = &mut self.nodes[at];
        (node.runs, node.header_len, node.children, node.in_order) = (runs, header_len, children, in_order);
        Ok(())
    }

    #[inline]
    fn push_leaf(&mut self, field: &Field, from: usize, parent: u32, first: usize, grain: Grain) {
        let extent = Extent::new(field.range());
        if grain == Grain::Run
            && self.leaves.len() > first
            && let Some(last) = self.leaves.last_mut()
            && last.extent.end == extent.start
        {
            last.extent.end = extent.end;
            return;
        }
        self.leaves.push(Leaf { extent, from: from as u32, parent });
    }

    /// Each of the bare entries with the leaf that it goes with, in order. There is none in a request without records.
    pub(crate) fn followers(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut next = 0;
        let bare = if self.leaves.is_empty() { &[][..] } else { &self.bare };
        bare.iter().map(move |&node| {
            let start = self.nodes[node as usize].extent.start;
            next += self.leaves[next..].iter().take_while(|leaf| leaf.extent.start < start).count();
            (next.saturating_sub(1) as u32, node)
        })
    }

    /// Whether the children of an entry are leaves.
    pub(crate) fn holds_leaves(&self, node: u32) -> bool {
        self.nodes[node as usize].depth == self.leaf_depth
    }

    /// The leaves below an entry, which are neighbours.
    pub(crate) fn leaves_below(&self, node: usize) -> Range<usize> {
        let Node { children, depth, .. } = &self.nodes[node];
        if *depth == self.leaf_depth {
            return children.range();
        }
        let mut below = children.range().map(|child| self.leaves_below(child)).filter(|leaves| !leaves.is_empty());
        match below.next() {
            Some(first) => first.start..below.next_back().map_or(first.end, |last| last.end),
            None => 0..0,
        }
    }

    /// The entry of this depth above a leaf.
    fn above(&self, leaf: usize, depth: u8) -> Option<usize> {
        let mut node = self.leaves[leaf].parent as usize;
        while self.nodes[node].depth > depth {
            node = self.nodes[node].parent as usize;
        }
        (self.nodes[node].depth == depth).then_some(node)
    }
}

/// Whether a field of an entry at this depth is a child rather than part of its header.
#[inline(always)]
fn is_child(depth: u8, number: u32) -> bool {
    match depth {
        0 => number == RESOURCE_ENTRY,
        RESOURCE_DEPTH => number == SCOPE_ENTRY,
        SCOPE_DEPTH => number == RECORD,
        // Gauge, Sum, Histogram, ExponentialHistogram, Summary.
        METRIC_DEPTH => matches!(number, 5 | 7 | 9 | 10 | 11),
        _ => number == DATA_POINT,
    }
}

/// A resource entry, a scope entry, a metric or a metric's data, seen in place.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    index: &'a Index,
    body: &'a [u8],
    node: usize,
}

impl<'a> Entry<'a> {
    /// The place of this entry in the index: equal for equal entries of one index, so that what was computed for one need
    /// not be computed again for its next record.
    pub fn id(&self) -> usize {
        self.node
    }

    /// Its field number in the entry above; tells what a metric's data is (5 gauge, 7 sum, …).
    pub fn number(&self) -> u32 {
        self.index.nodes[self.node].number.into()
    }

    /// Its full range in the request, tag included.
    pub fn range(&self) -> Range<usize> {
        self.index.nodes[self.node].extent.range()
    }

    /// The runs of its header: everything but its children.
    pub fn header(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let body = self.body;
        self.index.header(self.node as u32).map(move |run| &body[run])
    }

    /// The fields of its header, in the order in which they stand.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + Clone + use<'a> {
        // The runs were framed when the index was built: no error can come.
        self.header().flat_map(|run| Fields::new(run).map_while(Result::ok))
    }

    /// The entries directly in it: scope entries of a resource entry, metrics of a scope entry. Empty when it holds records.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'a>> + use<'a> {
        let Entry { index, body, node } = *self;
        let Node { children, depth, .. } = &index.nodes[node];
        (if *depth == index.leaf_depth { 0..0 } else { children.range() }).map(move |node| Entry { index, body, node })
    }

    /// All records below it, in order.
    pub fn records(&self) -> Records<'a> {
        self.index.records_in(self.body, self.index.leaves_below(self.node))
    }
}

/// Neighbouring records, in order.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    index: &'a Index,
    body: &'a [u8],
    leaves: Range<usize>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let leaf = self.leaves.next()?;
        Some(Record { index: self.index, body: self.body, leaf })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.leaves.size_hint()
    }
}

impl ExactSizeIterator for Records<'_> {}

/// A log record, a span or a data point, seen in place with what stands above it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    index: &'a Index,
    body: &'a [u8],
    leaf: usize,
}

impl<'a> Record<'a> {
    /// The signal of the request.
    pub fn signal(&self) -> Signal {
        self.index.signal
    }

    /// Which record of the request it is, from 0.
    pub fn ordinal(&self) -> usize {
        self.leaf
    }

    /// The encoded `LogRecord`, `Span` or data point.
    pub fn bytes(&self) -> &'a [u8] {
        let leaf = &self.index.leaves[self.leaf];
        &self.body[leaf.from as usize..leaf.extent.end as usize]
    }

    /// Its full range in the request, tag included.
    pub fn range(&self) -> Range<usize> {
        self.index.leaves[self.leaf].extent.range()
    }

    /// Its trace id, if it is known whether it has one and where.
    #[inline]
    pub(crate) fn noted_trace(&self) -> Option<Option<&'a [u8]>> {
        let at = *self.index.traces.as_ref()?.get(self.leaf)? as usize;
        Some((at > 0).then(|| self.body.get(at..at + TRACE_ID)).flatten())
    }

    /// The resource entry it is in.
    pub fn resource(&self) -> Entry<'a> {
        self.above(RESOURCE_DEPTH)
    }

    /// The scope entry it is in.
    pub fn scope(&self) -> Entry<'a> {
        self.above(SCOPE_DEPTH)
    }

    /// The metric it is a point of; `None` for logs and traces.
    pub fn metric(&self) -> Option<Entry<'a>> {
        let node = self.index.above(self.leaf, METRIC_DEPTH)?;
        Some(Entry { index: self.index, body: self.body, node })
    }

    /// The metric's data (gauge, sum, …) it is a point of; `None` for logs and traces.
    pub fn data(&self) -> Option<Entry<'a>> {
        let node = self.index.above(self.leaf, METRIC_DEPTH + 1)?;
        Some(Entry { index: self.index, body: self.body, node })
    }

    /// Every record has a resource entry and a scope entry above it; the root stands in for none.
    fn above(&self, depth: u8) -> Entry<'a> {
        let node = self.index.above(self.leaf, depth).unwrap_or(ROOT as usize);
        Entry { index: self.index, body: self.body, node }
    }
}

#[cfg(test)]
mod tests;
