//! What is live in a spool and where it lies, in as little memory as can be: 56 bytes a piece.
//!
//! A slab in chunks, so that it never moves; the pieces of one segment are a list through it, in the order in which they were
//! written. A plain struct: it does no I/O and knows no lock.
//!
//! Invariants: an entry is live from [`Index::insert`] to [`Index::remove`]; the totals are the sums over the live ones.

use crate::Target;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

/// A live piece. Whoever holds it owns the piece. After it was finished it stands for nothing: its place may be used again, but the
/// key of the new piece there has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    place: NonZeroU32,
    /// The low half of the piece's number.
    number: u32,
}

/// No entry.
const NONE: u32 = u32::MAX;
const CHUNK: usize = 4096;

/// Where a piece lies and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The number of the piece.
    pub id: u64,
    /// The segment.
    pub segment: u32,
    /// Where its frame begins there.
    pub offset: u32,
    /// Bytes of the frame.
    pub frame: u32,
    /// Bytes of the payload.
    pub bytes: u32,
    /// Records in it.
    pub records: u32,
    target: u32,
    /// Milliseconds since the epoch when it was handed over.
    pub at: u64,
    /// Milliseconds since the epoch at the first attempt; 0 if there was none.
    pub first: u64,
    next: u32,
    /// The one before in the list of its segment; of a free entry its own index, so that it is known for one.
    previous: u32,
}

#[derive(Debug, Default)]
struct Interned {
    target: Option<Target>,
    pieces: u32,
    bytes: u64,
}

/// The live pieces of one segment.
#[derive(Debug)]
pub struct Live {
    head: u32,
    tail: u32,
    /// How many there are.
    pub pieces: u32,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Default for Live {
    fn default() -> Self {
        Live { head: NONE, tail: NONE, pieces: 0, bytes: 0 }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    chunks: Vec<Box<[Entry]>>,
    free: Vec<u32>,
    used: u32,
    targets: Vec<Interned>,
    free_targets: Vec<u32>,
    by_name: HashMap<Target, u32>,
    segments: BTreeMap<u32, Live>,
    /// Live pieces.
    pub pieces: u64,
    /// Their records.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Bytes of their frames.
    pub frames: u64,
}

/// A piece that begins to live.
pub struct New<'a> {
    /// Its number.
    pub id: u64,
    /// The segment.
    pub segment: u32,
    /// Where its frame begins.
    pub offset: u32,
    /// Bytes of the frame.
    pub frame: u32,
    /// Bytes of the payload.
    pub bytes: u32,
    /// Records in it.
    pub records: u32,
    /// Where it is to go.
    pub target: &'a Target,
    /// When it was handed over.
    pub at: u64,
    /// When it was first attempted.
    pub first: u64,
}

impl Index {
    fn slot(&self, at: u32) -> &Entry {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    fn slot_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    fn key(at: u32, id: u64) -> Key {
        // One more than the place, so that it is never 0; there are fewer than u32::MAX places.
        Key { place: NonZeroU32::MIN.saturating_add(at), number: id as u32 }
    }

    fn place(key: Key) -> u32 {
        key.place.get() - 1
    }

    /// The entry of a live piece.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Entry> {
        let at = Index::place(key);
        if at >= self.used {
            return None;
        }
        Some(self.slot(at)).filter(|entry| entry.previous != at && entry.id as u32 == key.number)
    }

    /// The target of an entry.
    #[must_use]
    pub fn target(&self, entry: &Entry) -> Option<Target> {
        self.targets.get(entry.target as usize)?.target.clone()
    }

    fn intern(&mut self, target: &Target) -> u32 {
        if let Some(at) = self.by_name.get(target) {
            return *at;
        }
        let at = self.free_targets.pop().unwrap_or_else(|| {
            self.targets.push(Interned::default());
            self.targets.len() as u32 - 1
        });
        self.targets[at as usize].target = Some(target.clone());
        self.by_name.insert(target.clone(), at);
        at
    }

    fn release(&mut self, at: u32, bytes: u32) {
        let interned = &mut self.targets[at as usize];
        interned.pieces -= 1;
        interned.bytes -= u64::from(bytes);
        if interned.pieces == 0
            && let Some(target) = interned.target.take()
        {
            self.by_name.remove(&target);
            self.free_targets.push(at);
        }
    }

    fn count(&mut self, at: u32, bytes: u32) {
        let interned = &mut self.targets[at as usize];
        interned.pieces += 1;
        interned.bytes += u64::from(bytes);
    }

    /// Adds a piece, behind all others of its segment.
    pub fn insert(&mut self, new: &New<'_>) -> Key {
        let target = self.intern(new.target);
        self.count(target, new.bytes);
        let at = self.free.pop().unwrap_or_else(|| {
            if self.used as usize == self.chunks.len() * CHUNK {
                let empty = Entry {
                    id: 0,
                    segment: 0,
                    offset: 0,
                    frame: 0,
                    bytes: 0,
                    records: 0,
                    target: 0,
                    at: 0,
                    first: 0,
                    next: NONE,
                    previous: NONE,
                };
                self.chunks.push(vec![empty; CHUNK].into_boxed_slice());
            }
            self.used += 1;
            self.used - 1
        });
        *self.slot_mut(at) = Entry {
            id: new.id,
            segment: new.segment,
            offset: new.offset,
            frame: new.frame,
            bytes: new.bytes,
            records: new.records,
            target,
            at: new.at,
            first: new.first,
            next: NONE,
            previous: NONE,
        };
        self.link(at);
        self.pieces += 1;
        self.records += u64::from(new.records);
        self.bytes += u64::from(new.bytes);
        self.frames += u64::from(new.frame);
        Index::key(at, new.id)
    }

    fn link(&mut self, at: u32) {
        let Entry { segment, frame, .. } = *self.slot(at);
        let live = self.segments.entry(segment).or_default();
        let tail = std::mem::replace(&mut live.tail, at);
        if tail == NONE {
            live.head = at;
        }
        live.pieces += 1;
        live.bytes += u64::from(frame);
        if tail != NONE {
            self.slot_mut(tail).next = at;
        }
        let entry = self.slot_mut(at);
        (entry.previous, entry.next) = (tail, NONE);
    }

    fn unlink(&mut self, at: u32) {
        let Entry { segment, frame, previous, next, .. } = *self.slot(at);
        if previous != NONE {
            self.slot_mut(previous).next = next;
        }
        if next != NONE {
            self.slot_mut(next).previous = previous;
        }
        if let Some(live) = self.segments.get_mut(&segment) {
            if live.head == at {
                live.head = next;
            }
            if live.tail == at {
                live.tail = previous;
            }
            live.pieces -= 1;
            live.bytes -= u64::from(frame);
            if live.pieces == 0 {
                self.segments.remove(&segment);
            }
        }
    }

    /// Ends a piece, and gives what was known of it. None if it is not live.
    pub fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = *self.get(key)?;
        let at = Index::place(key);
        self.unlink(at);
        self.release(entry.target, entry.bytes);
        self.slot_mut(at).previous = at;
        self.free.push(at);
        self.pieces -= 1;
        self.records -= u64::from(entry.records);
        self.bytes -= u64::from(entry.bytes);
        self.frames -= u64::from(entry.frame);
        Some(entry)
    }

    /// The piece lies elsewhere now. False if it does not lie at `from` any more.
    pub fn relocate(&mut self, key: Key, from: (u32, u32), to: (u32, u32)) -> bool {
        if self.get(key).is_none_or(|entry| (entry.segment, entry.offset) != from) {
            return false;
        }
        let at = Index::place(key);
        self.unlink(at);
        let entry = self.slot_mut(at);
        (entry.segment, entry.offset) = to;
        self.link(at);
        true
    }

    /// The piece is to go elsewhere.
    pub fn retarget(&mut self, key: Key, target: &Target) {
        let Some(Entry { target: old, bytes, .. }) = self.get(key).copied() else { return };
        let new = self.intern(target);
        self.count(new, bytes);
        self.release(old, bytes);
        self.slot_mut(Index::place(key)).target = new;
    }

    /// Notes the first attempt, and gives the place of the piece. None if it is known already.
    pub fn tried(&mut self, key: Key, first: u64) -> Option<(u32, u32)> {
        let Entry { segment, offset, .. } = *self.get(key).filter(|entry| entry.first == 0)?;
        self.slot_mut(Index::place(key)).first = first;
        Some((segment, offset))
    }

    /// The live pieces of a segment.
    #[must_use]
    pub fn live(&self, segment: u32) -> Option<&Live> {
        self.segments.get(&segment)
    }

    /// The live pieces of a segment, one after the other in the order in which they were written.
    pub fn of(&self, segment: u32) -> impl Iterator<Item = (Key, &Entry)> {
        let mut at = self.live(segment).map_or(NONE, |live| live.head);
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let entry = self.slot(at);
            let key = Index::key(at, entry.id);
            at = entry.next;
            Some((key, entry))
        })
    }

    /// When the oldest piece was handed over, as far as the first of each segment tell.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.segments.values().filter(|live| live.head != NONE).map(|live| self.slot(live.head).at).min()
    }

    /// The target that has most bytes.
    #[must_use]
    pub fn fattest(&self) -> Option<Target> {
        self.targets.iter().filter(|t| t.pieces > 0).max_by_key(|t| t.bytes)?.target.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any sequence of pieces that come, move, change their target and go. Guarantee: the index says what a plain
        /// map says, and the key of a piece that went never stands for another in its place.
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((0u8..6, 0usize..30, 0u32..4, 1u32..100), 1..200)) {
            let mut index = Index::default();
            let mut model: Vec<(Key, u32, u32, u32, u32)> = vec![];
            let mut gone: Vec<Key> = vec![];
            let name = |n: u32| Target::new(n.to_string());
            for (n, (op, at, small, bytes)) in ops.into_iter().enumerate() {
                let at = if model.is_empty() { None } else { Some(at % model.len()) };
                match (op, at) {
                    (0..=2, _) | (_, None) => {
                        let new = New { id: n as u64, segment: small, offset: n as u32, frame: bytes + 60, bytes, records: 1, target: &name(small), at: n as u64, first: 0 };
                        model.push((index.insert(&new), small, n as u32, small, bytes));
                    }
                    (3, Some(at)) => {
                        let (key, ..) = model.swap_remove(at);
                        prop_assert!(index.remove(key).is_some());
                        gone.push(key);
                    }
                    (4, Some(at)) => {
                        let piece = &mut model[at];
                        prop_assert!(index.relocate(piece.0, (piece.1, piece.2), (small, 1000 + n as u32)));
                        (piece.1, piece.2) = (small, 1000 + n as u32);
                    }
                    (_, Some(at)) => {
                        index.retarget(model[at].0, &name(small));
                        model[at].3 = small;
                    }
                }
                prop_assert!(gone.iter().all(|key| index.get(*key).is_none()), "a key outlives its piece");
                prop_assert_eq!(index.pieces, model.len() as u64);
                prop_assert_eq!(index.bytes, model.iter().map(|p| u64::from(p.4)).sum::<u64>());
                for segment in 0..4 {
                    let mut of: Vec<_> = index.of(segment).map(|(key, entry)| (key, entry.offset)).collect();
                    let mut expected: Vec<_> = model.iter().filter(|p| p.1 == segment).map(|p| (p.0, p.2)).collect();
                    of.sort();
                    expected.sort();
                    prop_assert_eq!(of, expected);
                }
                for piece in &model {
                    let entry = index.get(piece.0).unwrap();
                    prop_assert_eq!(index.target(entry), Some(name(piece.3)));
                }
                let by_target = |t: u32| model.iter().filter(|p| p.3 == t).map(|p| u64::from(p.4)).sum::<u64>();
                let most = (0..4).map(by_target).max().unwrap_or(0);
                prop_assert_eq!(index.fattest().map(|t| by_target(t.name().parse().unwrap())).unwrap_or(0), most);
            }
        }
    }

    /// Scenario: the size of what is kept for a piece. Guarantee: 56 bytes, so that a million pieces with the queues that hold their keys stay within
    /// 64 MiB.
    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 56);
        assert_eq!(size_of::<Option<Key>>(), 8);
    }
}
