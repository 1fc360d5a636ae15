//! Several requests whose records leave in another order than they came in.
//!
//! A [`Pile`] indexes requests and hands out a [`Pick`] for each of their records: sixteen bytes that can be sorted by whatever
//! decides where the record goes, and then be given to [`Sheaf::append`](crate::Sheaf::append) in their new order. Entries with
//! equal headers, of whatever request of the pile, are one class. A metric is of the kind of its data: what a metric is known by
//! includes which data field it has and the header of that (temporality, whether it is monotonic, what nobody knows), so that a gauge
//! and a sum of one name, or a delta and a cumulative sum, never become one metric of which a decoder would keep the last data only.
//!
//! A class is known by a [`Seal`]: 128 bits of keyed hashes (SipHash, with keys of this process) of its headers, which are looked at
//! once when a request comes and never again. Equal headers have equal seals; that different ones do is as likely as guessing a key.
//!
//! Tables are reused from pile to pile. It does not copy records and does not decide anything about them.

use crate::chunks::Chunks;
use crate::field::Malformed;
use crate::index::{DATA_DEPTH, Index, Node, ROOT, Records, trim};
use crate::pack::{Identity, canonicalize};
use crate::signal::Signal;
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};
use std::sync::LazyLock;

/// Requests whose tables are kept from pile to pile, and the entries that a table may have room for then: together some megabytes
/// at most, and a larger request does not notice that its tables are made anew.
const KEPT: usize = 256;
const SMALL: usize = 1024;

/// The two keys of the seals.
static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// What an entry, with those above it, is known by.
pub(crate) type Seal = u128;

/// A map by seals.
type BySeal<T> = HashMap<Seal, T, BuildHasherDefault<Identity>>;

/// One record of a pile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// Its request in the pile.
    pub(crate) request: u32,
    /// The class of the entry it is in.
    pub(crate) class: u32,
    /// Its range in the request, tag included.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Pick {
    /// Bytes of it.
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The class of the requests themselves, which is above all others.
pub(crate) const REQUESTS: u32 = 0;

/// Entries with equal headers under equal headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    pub(crate) seal: Seal,
    /// The class of the entries above.
    pub(crate) parent: u32,
    /// One of them.
    pub(crate) request: u32,
    pub(crate) node: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pile {
    /// Those in use, then those kept for reuse.
    indexes: Vec<Index>,
    bodies: Vec<Bytes>,
    classes: Vec<Class>,
    known: BySeal<u32>,
    canonical: Vec<u8>,
    /// Metrics without points: the request and the start of the record that each goes with, and its class. In that order.
    bare: Vec<(u32, u32, u32)>,
}

impl Pile {
    /// An empty pile; it grows with use.
    #[must_use]
    pub fn new() -> Pile {
        Pile::default()
    }

    /// Puts a request on it. False, with nothing changed, if it has fields beside its resource entries: nobody knows to which of
    /// its records they belong.
    ///
    /// # Errors
    /// Bytes that are not framed down to their records, which `check` would have refused.
    pub fn add(&mut self, signal: Signal, request: &Chunks) -> Result<bool, Malformed> {
        if self.indexes.len() == self.bodies.len() {
            self.indexes.push(Index::new());
        }
        let body = request.contiguous();
        let index = &mut self.indexes[self.bodies.len()];
        index.build_noted(signal, &body, request.traces())?;
        let is_plain = index.nodes[ROOT as usize].header_len == 0;
        if is_plain {
            self.bodies.push(body);
        }
        Ok(is_plain)
    }

    /// The requests on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    /// Takes the request off that was put on it last, if its picks were not asked for.
    pub fn pop(&mut self) {
        self.bodies.pop();
    }

    /// The records of the request that was put on it last, in order.
    pub fn records(&self) -> Records<'_> {
        static NOTHING: LazyLock<(Index, Bytes)> = LazyLock::new(Default::default);
        let last = self.bodies.last().map(|body| (&self.indexes[self.bodies.len() - 1], body));
        let (index, body) = last.unwrap_or((&NOTHING.0, &NOTHING.1));
        index.records(body)
    }

    /// The index and the bytes of a request.
    pub(crate) fn request(&self, request: u32) -> (&Index, &Bytes) {
        (&self.indexes[request as usize], &self.bodies[request as usize])
    }

    pub(crate) fn class(&self, class: u32) -> Class {
        self.classes[class as usize]
    }

    /// The bytes of a record, tag included.
    pub(crate) fn record(&self, pick: Pick) -> &[u8] {
        &self.bodies[pick.request as usize][pick.start as usize..pick.end as usize]
    }

    /// Appends a pick for each record of the request that was put on it last, in order.
    pub fn pick(&mut self, picks: &mut Vec<Pick>) {
        let Some(request) = self.bodies.len().checked_sub(1) else { return };
        let (mut node, mut class) = (ROOT, 0);
        picks.reserve(self.indexes[request].leaves.len());
        for leaf in 0..self.indexes[request].leaves.len() {
            let leaf = self.indexes[request].leaves[leaf];
            // No record is in the request itself.
            if node != leaf.parent {
                node = leaf.parent;
                class = self.classify(request as u32, node);
            }
            picks.push(Pick { request: request as u32, class, start: leaf.extent.start, end: leaf.extent.end });
        }
        let bare: Vec<(u32, u32)> = self.indexes[request].followers().collect();
        for (leaf, node) in bare {
            let start = self.indexes[request].leaves[leaf as usize].extent.start;
            let class = self.classify(request as u32, node);
            self.bare.push((request as u32, start, class));
        }
    }

    /// The classes of the metrics without points that go with a record.
    pub(crate) fn followers(&self, pick: Pick) -> impl Iterator<Item = u32> + '_ {
        let of = move |(request, start, _): &(u32, u32, u32)| (*request, *start).cmp(&(pick.request, pick.start));
        let from = if self.bare.is_empty() { 0 } else { self.bare.partition_point(|bare| of(bare).is_lt()) };
        self.bare[from..].iter().take_while(move |bare| of(bare).is_eq()).map(|(_, _, class)| *class)
    }

    /// The class of an entry.
    fn classify(&mut self, request: u32, node: u32) -> u32 {
        self.classify_by(request, node, 0)
    }

    /// The same of an entry that something below it tells apart from others with its header.
    fn classify_by(&mut self, request: u32, node: u32, below: Seal) -> u32 {
        if self.classes.is_empty() {
            self.classes.push(Class { seal: 0, parent: REQUESTS, request, node: ROOT });
        }
        if node == ROOT {
            return REQUESTS;
        }
        let Node { parent, depth, .. } = self.indexes[request as usize].nodes[node as usize];
        let kind = if depth == DATA_DEPTH { self.seal(request, node, 0, 0) } else { 0 };
        let parent = self.classify_by(request, parent, kind);
        let seal = self.seal(request, node, self.classes[parent as usize].seal, below);
        *self.known.entry(seal).or_insert_with(|| {
            self.classes.push(Class { seal, parent, request, node });
            self.classes.len() as u32 - 1
        })
    }

    /// The seal of an entry by its header and number, what is above it and what is below it.
    fn seal(&mut self, request: u32, node: u32, above: Seal, below: Seal) -> Seal {
        let mut canonical = std::mem::take(&mut self.canonical);
        let (index, body) = self.request(request);
        let number = index.nodes[node as usize].number;
        let header = header(index, body, node, &mut canonical);
        let [high, low] = [0, 1].map(|key| KEYS[key].hash_one((above, below, number, header)));
        self.canonical = canonical;
        Seal::from(high) << 64 | Seal::from(low)
    }

    /// Takes everything off it, and gives memory back after unusually large requests.
    pub fn clear(&mut self) {
        self.indexes.retain(|index| index.room() <= SMALL);
        self.indexes.iter_mut().for_each(|index| index.traces = None);
        self.indexes.truncate(KEPT);
        trim(&mut self.bodies);
        trim(&mut self.classes);
        trim(&mut self.bare);
        self.known.clear();
        self.known.shrink_to(SMALL);
    }
}

/// The header of an entry, with its fields in the order of their numbers; in `canonical` if it does not stand so in the request.
pub(crate) fn header<'a>(index: &Index, body: &'a [u8], node: u32, canonical: &'a mut Vec<u8>) -> &'a [u8] {
    let in_order = index.nodes[node as usize].in_order;
    let mut runs = index.header(node);
    match (runs.len(), runs.next()) {
        (_, None) => &[],
        (1, Some(only)) if in_order => &body[only],
        _ => {
            canonicalize(index.header(node), in_order, body, canonical);
            canonical
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::any_requests;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any requests, on one pile after the other. Guarantee: there is a pick for each record, in order, with its
        /// bytes, and picks are of one class exactly if they are under equal headers.
        #[test]
        fn each_record_is_picked_once((signal, bodies) in any_requests(6), again: bool) {
            let mut pile = Pile::new();
            for _ in 0..=usize::from(again) {
                let (mut picks, mut expected) = (vec![], vec![]);
                for body in &bodies {
                    if !pile.add(signal, &body.clone().into()).expect("sound") {
                        continue;
                    }
                    pile.pick(&mut picks);
                    for record in pile.records() {
                        let entries = [Some(record.resource()), Some(record.scope()), record.metric(), record.data()];
                        let header = |entry: crate::Entry| {
                            let mut canonical = vec![];
                            (entry.number(), header(&pile.indexes[pile.len() - 1], body, entry.id() as u32, &mut canonical).to_vec())
                        };
                        let headers: Vec<_> = entries.into_iter().flatten().map(header).collect();
                        expected.push((body[record.range()].to_vec(), headers));
                    }
                }
                prop_assert_eq!(picks.len(), expected.len());
                let (mut by_class, mut by_headers) = (HashMap::new(), HashMap::new());
                for (pick, (bytes, headers)) in picks.iter().zip(expected) {
                    prop_assert_eq!(pile.record(*pick), bytes);
                    prop_assert_eq!(by_class.entry(pick.class).or_insert_with(|| headers.clone()), &headers);
                    prop_assert_eq!(*by_headers.entry(headers).or_insert(pick.class), pick.class);
                }
                pile.clear();
                prop_assert!(pile.is_empty() && pile.records().len() == 0);
            }
        }
    }

    /// Scenario: a request of many records among small ones. Guarantee: what is kept for the next pile stays small.
    #[test]
    fn large_tables_are_not_kept() {
        let mut pile = Pile::new();
        // Resource entries of one scope entry of one empty record each.
        let many = Bytes::from([0x0a, 4, 0x12, 2, 0x12, 0].repeat(10 * SMALL));
        for body in [Bytes::new(), many, Bytes::new()] {
            assert!(pile.add(Signal::Logs, &body.into()).expect("sound"));
        }
        assert!(pile.indexes.iter().any(|index| index.room() > SMALL));
        pile.clear();
        assert!(pile.indexes.len() == 2 && pile.indexes.iter().all(|index| index.room() <= SMALL));
    }

    /// Scenario: a request is taken off again; one has a field that nobody knows. Guarantee: what is left is as if they had not come.
    #[test]
    fn what_is_taken_off_leaves_no_trace() {
        let mut pile = Pile::new();
        assert!(pile.add(Signal::Logs, &Chunks::new()).expect("sound"));
        assert!(!pile.add(Signal::Logs, &vec![0x38, 1].into()).expect("sound"));
        assert!(pile.add(Signal::Logs, &vec![0x38].into()).is_err());
        assert_eq!(pile.len(), 1);
        pile.pop();
        assert!(pile.is_empty());
    }
}
