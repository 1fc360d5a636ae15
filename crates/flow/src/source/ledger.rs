//! How far each stream of a source has come: which ranges are settled, which are in flight, and what is still to be
//! read.
//!
//! Plain data without a clock, a lock or a disk. A stream is whatever has offsets: a file, a partition. Its
//! *generation* counts how often its offsets began anew (a file that was truncated): ranges of different generations
//! never meet. Ranges settle in any order; the position is the end of what is settled without a gap, and settled ranges
//! beyond it are remembered, so that only the gaps are read again.
//!
//! Invariants: the position only grows within a generation; it passes only what was settled. A stream holds one range
//! at least for each gap, so that its size is bounded by what is in flight.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Disjoint ranges that do not touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range; what it touches becomes one with it.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((s, e)) = self.0.range(..=end).next_back().map(|(s, e)| (*s, *e))
            && e >= start
        {
            self.0.remove(&s);
            (start, end) = (start.min(s), end.max(e));
        }
        self.0.insert(start, end);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        while let Some((s, e)) = self.0.range(..range.end).next_back().map(|(s, e)| (*s, *e))
            && e > range.start
            && !range.is_empty()
        {
            self.0.remove(&s);
            if s < range.start {
                self.0.insert(s, range.start);
            }
            if e > range.end {
                self.0.insert(range.end, e);
            }
        }
    }

    /// The ranges in their order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(start, end)| *start..*end)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out the first one if it begins at or before `at`, and gives its end.
    fn take_from(&mut self, at: u64) -> Option<u64> {
        let first = self.0.first_entry().filter(|first| *first.key() <= at)?;
        Some(first.remove())
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(all: T) -> Ranges {
        let mut ranges = Ranges::default();
        all.into_iter().for_each(|range| ranges.insert(range));
        ranges
    }
}

/// A part of a stream: what a batch was read from, with everything between its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The stream.
    pub stream: Arc<str>,
    /// Its generation when that was read.
    pub generation: u64,
    /// Its offsets.
    pub range: Range<u64>,
}

/// What is still to be read of a stream: everything from `from` on but `skip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The stream's generation.
    pub generation: u64,
    /// The position: everything before it is settled.
    pub from: u64,
    /// What is settled, or in flight, beyond it.
    pub skip: Vec<Range<u64>>,
    /// What the reader noted of the stream.
    pub note: Arc<[u8]>,
}

/// What is kept of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As in [`Standing`].
    pub generation: u64,
    /// Everything before it is settled.
    pub position: u64,
    /// What is settled beyond it.
    pub beyond: Ranges,
    /// What the reader noted.
    pub note: Arc<[u8]>,
}

#[derive(Debug)]
struct Stream {
    entry: Entry,
    /// Spans of this generation in flight. A range may be there twice, if a reader handed it over again.
    flying: Vec<Range<u64>>,
    /// Goes when nothing of it is in flight.
    is_over: bool,
}

/// The streams of a source. See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    streams: HashMap<Arc<str>, Stream>,
    /// Streams whose entry changed since it was last taken.
    dirty: HashSet<Arc<str>>,
}

impl Ledger {
    /// One with these entries, none of them changed.
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = (Arc<str>, Entry)>) -> Ledger {
        let stream = |entry| Stream { entry, flying: vec![], is_over: false };
        let streams = entries.into_iter().map(|(name, entry)| (name, stream(entry))).collect();
        Ledger { streams, dirty: HashSet::new() }
    }

    /// A stream is read from `at` on. Of a known one a higher generation begins anew there; the same one stays where it
    /// is. A lower one changes nothing.
    pub fn begin(&mut self, name: &Arc<str>, generation: u64, at: u64, note: Arc<[u8]>) {
        if let Some(stream) = self.streams.get_mut(name) {
            if generation < stream.entry.generation {
                return;
            }
            stream.is_over = false;
            if generation == stream.entry.generation {
                return self.note(name, note);
            }
        }
        let entry = Entry { generation, position: at, beyond: Ranges::default(), note };
        self.streams.insert(name.clone(), Stream { entry, flying: vec![], is_over: false });
        self.dirty.insert(name.clone());
    }

    /// The reader notes something else of a stream.
    pub fn note(&mut self, name: &Arc<str>, note: Arc<[u8]>) {
        if let Some(stream) = self.streams.get_mut(name)
            && stream.entry.note != note
        {
            stream.entry.note = note;
            self.dirty.insert(name.clone());
        }
    }

    /// The stream will not be read any more. Its position goes once nothing of it is in flight.
    pub fn forget(&mut self, name: &Arc<str>) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.is_over = true;
            self.tidy(name);
        }
    }

    /// A part of a stream was handed over.
    pub fn hand(&mut self, span: &Span) {
        if let Some(stream) = self.present(span) {
            stream.flying.push(span.range.clone());
        }
    }

    /// What was handed over is delivered, or dropped for good.
    pub fn settle(&mut self, span: &Span) {
        let Some(stream) = self.present(span) else { return };
        stream.land(&span.range);
        let entry = &mut stream.entry;
        entry.beyond.insert(span.range.clone());
        while let Some(end) = entry.beyond.take_from(entry.position) {
            entry.position = entry.position.max(end);
        }
        self.dirty.insert(span.stream.clone());
        self.tidy(&span.stream);
    }

    /// What was handed over is not: it is to be read again.
    pub fn abandon(&mut self, span: &Span) {
        let Some(stream) = self.present(span) else { return };
        stream.land(&span.range);
        self.tidy(&span.stream);
    }

    /// The stream of a span, if it is of its present generation.
    fn present(&mut self, span: &Span) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(&span.stream)?;
        (stream.entry.generation == span.generation && !span.range.is_empty()).then_some(stream)
    }

    fn tidy(&mut self, name: &Arc<str>) {
        if self.streams.get(name).is_some_and(|stream| stream.is_over && stream.flying.is_empty()) {
            self.streams.remove(name);
            self.dirty.insert(name.clone());
        }
    }

    /// What is still to be read of a stream; none if it is not known.
    #[must_use]
    pub fn standing(&self, name: &str) -> Option<Standing> {
        let Stream { entry, flying, .. } = self.streams.get(name).filter(|stream| !stream.is_over)?;
        let mut skip = entry.beyond.clone();
        flying.iter().for_each(|range| skip.insert(range.clone()));
        skip.remove(0..entry.position);
        let (generation, from) = (entry.generation, entry.position);
        Some(Standing { generation, from, skip: skip.iter().collect(), note: entry.note.clone() })
    }

    /// All streams.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.streams.iter().filter(|(_, stream)| !stream.is_over).map(|(name, _)| name)
    }

    /// How many streams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.streams.iter().map(|(name, stream)| (name, &stream.entry))
    }

    /// Whether anything changed since it was last taken.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// What changed since this was last asked; nothing in place of an entry that is gone.
    pub fn take_changes(&mut self) -> Vec<(Arc<str>, Option<Entry>)> {
        let entry = |name: &Arc<str>| self.streams.get(name).map(|stream| stream.entry.clone());
        let changes = self.dirty.iter().map(|name| (name.clone(), entry(name))).collect();
        self.dirty.clear();
        changes
    }

    /// What was taken was not written.
    pub fn keep_changes(&mut self, changes: impl IntoIterator<Item = Arc<str>>) {
        self.dirty.extend(changes);
    }
}

impl Stream {
    fn land(&mut self, range: &Range<u64>) {
        if let Some(at) = self.flying.iter().position(|flying| flying == range) {
            self.flying.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]

    use super::*;
    use proptest::prelude::*;

    fn span(generation: u64, range: Range<u64>) -> Span {
        Span { stream: "f".into(), generation, range }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.begin(&"f".into(), 0, 0, Arc::new([]));
        ledger
    }

    fn position(ledger: &Ledger) -> (u64, u64) {
        let entry = ledger.entries().next().unwrap().1;
        (entry.generation, entry.position)
    }

    /// Scenario (25): of 30 bytes 0..6 and 14..19 are settled. Guarantee: what is to be read is the gap and the tail,
    /// and nothing twice.
    #[test]
    fn only_the_gap_and_the_tail_are_read() {
        let mut ledger = ledger();
        for range in [0..6, 14..19] {
            ledger.hand(&span(0, range.clone()));
            ledger.settle(&span(0, range));
        }
        let standing = ledger.standing("f").unwrap();
        assert_eq!((standing.from, standing.skip), (6, vec![14..19]));
    }

    /// Scenario (26): a file is truncated while a range of its old content is in flight, which settles late. Guarantee:
    /// nothing of the new content's position changes.
    #[test]
    fn generations_never_mix() {
        let mut ledger = ledger();
        ledger.hand(&span(0, 0..100));
        ledger.begin(&"f".into(), 1, 0, Arc::new([]));
        ledger.hand(&span(1, 0..10));
        ledger.settle(&span(0, 0..100));
        assert_eq!(position(&ledger), (1, 0));
        assert_eq!(ledger.standing("f").unwrap().skip, [0..10]);
        ledger.settle(&span(1, 0..10));
        assert_eq!(position(&ledger), (1, 10));
        ledger.begin(&"f".into(), 0, 0, Arc::new([]));
        assert_eq!(position(&ledger), (1, 10));
    }

    /// Scenario: a stream is over while something is in flight. Guarantee: it goes when that has settled, not before.
    #[test]
    fn a_stream_goes_when_it_is_empty() {
        let mut ledger = ledger();
        ledger.hand(&span(0, 0..10));
        ledger.forget(&"f".into());
        assert_eq!((ledger.len(), ledger.standing("f")), (1, None));
        ledger.settle(&span(0, 0..10));
        assert!(ledger.is_empty());
        assert_eq!(ledger.take_changes(), [("f".into(), None)]);
    }

    proptest! {
        /// Scenario: any ranges put in and taken out. Guarantee: the set is that of their offsets, in disjoint ranges
        /// that do not touch.
        #[test]
        fn ranges_are_sets(ops in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..60)) {
            let (mut ranges, mut model) = (Ranges::default(), std::collections::BTreeSet::new());
            for (is_in, start, len) in ops {
                if is_in {
                    ranges.insert(start..start + len);
                    model.extend(start..start + len);
                } else {
                    ranges.remove(start..start + len);
                    model.retain(|at| !(start..start + len).contains(at));
                }
            }
            let all: Vec<Range<u64>> = ranges.iter().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(all.into_iter().flatten().eq(model));
        }

        /// Scenario: parts of a stream are handed over, settle, are abandoned and read again in any order, over several
        /// generations. Guarantee: the position is the first offset that is not settled, whatever came late from
        /// before; what is to be read is what is neither settled nor in flight; once everything has settled the
        /// position is the end.
        #[test]
        fn the_position_is_the_first_unsettled_offset(
            ops in prop::collection::vec((0u8..8, any::<prop::sample::Index>(), 1u64..9), 1..80)
        ) {
            let (mut ledger, mut flying) = (ledger(), Vec::<Span>::new());
            let (mut generation, mut settled) = (0, std::collections::BTreeSet::<u64>::new());
            for (op, which, len) in ops {
                match op {
                    0..=3 => {
                        // The next stretch that is to be read.
                        let standing = ledger.standing("f").unwrap();
                        let mut from = standing.from;
                        for skip in &standing.skip {
                            if from < skip.start { break }
                            from = skip.end;
                        }
                        let next = standing.skip.iter().find(|skip| skip.start >= from);
                        let limit = next.map_or(u64::MAX, |skip| skip.start);
                        let span = span(generation, from..(from + len).min(limit));
                        ledger.hand(&span);
                        flying.push(span);
                    }
                    4 | 5 if !flying.is_empty() => {
                        let span = flying.swap_remove(which.index(flying.len()));
                        ledger.settle(&span);
                        if span.generation == generation { settled.extend(span.range) }
                    }
                    6 if !flying.is_empty() => ledger.abandon(&flying.swap_remove(which.index(flying.len()))),
                    7 => {
                        generation += 1;
                        settled.clear();
                        ledger.begin(&"f".into(), generation, 0, Arc::new([]));
                    }
                    _ => {}
                }
                let first = (0..).find(|at| !settled.contains(at)).unwrap();
                prop_assert_eq!(position(&ledger), (generation, first));
                let mut taken = settled.clone();
                let present = flying.iter().filter(|span| span.generation == generation);
                taken.extend(present.flat_map(|span| span.range.clone()));
                let standing = ledger.standing("f").unwrap();
                let skipped: Vec<u64> = (0..standing.from).chain(standing.skip.into_iter().flatten()).collect();
                prop_assert!(skipped.into_iter().eq(taken));
            }
        }
    }
}
