//! The groups of a sheaf by the seals of their classes.
//!
//! A table of places of sixteen bytes, probed one after the other, so that a look at it is mostly one line of memory: there are
//! hundreds of these tables, and none is in the cache. Of a seal 96 bits are compared, which are as good as guessing.

use super::KEPT;
use crate::pile::Seal;

/// Places of the first table; each is twice as large as the one before, when seven of eight are taken.
const FIRST: usize = 64;
/// The group of a place that is free.
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Place {
    low: u64,
    high: u32,
    group: u32,
}

impl Place {
    fn new(seal: Seal, group: u32) -> Place {
        Place { low: seal as u64, high: (seal >> 64) as u32, group }
    }

    fn is_of(&self, seal: Seal) -> bool {
        (self.low, self.high) == (seal as u64, (seal >> 64) as u32)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// None, or a power of two.
    places: Vec<Place>,
    taken: usize,
}

impl Known {
    #[inline]
    pub(super) fn get(&self, seal: Seal) -> Option<u32> {
        let last = self.places.len().checked_sub(1)?;
        let mut at = seal as usize & last;
        // One in eight places is free, so this ends.
        loop {
            let place = &self.places[at];
            if place.group == FREE {
                return None;
            }
            if place.is_of(seal) {
                return Some(place.group);
            }
            at = (at + 1) & last;
        }
    }

    /// Memory that it takes.
    pub(super) fn held(&self) -> usize {
        size_of_val(&self.places[..])
    }

    /// Of a seal that is not there.
    pub(super) fn insert(&mut self, seal: Seal, group: u32) {
        if (self.taken + 1) * 8 > self.places.len() * 7 {
            self.grow();
        }
        self.put(Place::new(seal, group));
        self.taken += 1;
    }

    fn put(&mut self, place: Place) {
        let last = self.places.len() - 1;
        let mut at = place.low as usize & last;
        while self.places[at].group != FREE {
            at = (at + 1) & last;
        }
        self.places[at] = place;
    }

    fn grow(&mut self) {
        let twice = (self.places.len() * 2).max(FIRST);
        let before = std::mem::replace(&mut self.places, vec![Place::new(0, FREE); twice]);
        before.into_iter().filter(|place| place.group != FREE).for_each(|place| self.put(place));
    }

    /// Forgets all, and gives memory back if it is unusually much.
    pub(super) fn clear(&mut self) {
        if self.places.len() > KEPT {
            self.places = Vec::new();
        }
        self.places.fill(Place::new(0, FREE));
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Scenario: seals that crowd in few places, looked for and put in, over several uses.
        /// Guarantee: it finds what a map finds, and keeps no large table.
        #[test]
        fn it_finds_what_a_map_finds(uses in prop::collection::vec(prop::collection::vec((0u128..40, 0u128..80), 0..1500), 1..4)) {
            let mut known = Known::default();
            for seals in uses {
                let mut model = HashMap::new();
                for (n, (low, high)) in seals.into_iter().enumerate() {
                    let seal = high << 64 | low;
                    prop_assert_eq!(known.get(seal), model.get(&seal).copied());
                    model.entry(seal).or_insert_with(|| {
                        known.insert(seal, n as u32);
                        n as u32
                    });
                }
                model.iter().for_each(|(seal, group)| assert_eq!(known.get(*seal), Some(*group)));
                known.clear();
                prop_assert!(known.places.len() <= KEPT && known.get(0).is_none());
            }
        }
    }
}
