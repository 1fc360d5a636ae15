//! Which backend owns a key.
//!
//! A ring is an immutable table that maps a hash to a backend; membership changes build a new one. Looking up is one hash and one
//! read, without a lock.
//!
//! Two kinds:
//! - `v2` chooses exactly the backend that version 2 of the collector's ring chooses (collector-contrib from 2025-07 on), so that
//!   a fleet can mix both. Its 36 000 positions crowd from 360 backends on: some then own little, or nothing.
//! - `even` is a Maglev table (Eisenbud et al., NSDI 2016): every backend owns its weight's share of 65 537 slots to within one
//!   slot, and a change of membership moves few slots beyond those it must.
//!
//! `v2` can be bounded by a load factor (Mirrokni et al., "Consistent Hashing with Bounded Loads", 2016): a backend owns at most so
//! many times its fair share of positions; what is beyond goes to the next backend on the ring that has room, also to those that
//! found no position of their own. All other positions stay the collector's. What is bounded is the part of the keys, the same at
//! every instance and at any load: the keys of a trace stay together. With `even` there is nothing to bound.
//!
//! It does not know where backends come from, whether they live, or what a key is made of.

use flow::Target;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Positions of the collector's ring.
const V2_POSITIONS: usize = 36_000;
/// Points of each backend on it.
const V2_POINTS: u32 = 100;
/// Neighbouring positions that a point tries when its own is taken; the last try never counts.
const V2_PROBES: u32 = 10;
/// Slots of the Maglev table: a prime, so that every stride visits all slots.
const EVEN_SLOTS: usize = 65_537;
/// No backend.
const NOBODY: u16 = u16::MAX;

/// The most backends a ring can hold.
pub const MAX_BACKENDS: usize = NOBODY as usize;

/// Which table is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RingKind {
    /// The collector's.
    #[default]
    V2,
    /// Our own.
    Even,
}

/// How a ring is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// Which table.
    pub kind: RingKind,
    /// Shares of backends, 1 for those that are not named; for `even`.
    pub weights: BTreeMap<String, u32>,
    /// The most that a backend may own, as a multiple of its fair share; for `v2`.
    pub load_factor: Option<f64>,
}

impl Shape {
    /// The ring of these backends.
    #[must_use]
    pub fn ring(&self, backends: Vec<Target>) -> Ring {
        let mut ring = Ring::new(self.kind, backends, |target| self.weights.get(target.name()).copied().unwrap_or(1));
        if let (RingKind::V2, Some(factor)) = (self.kind, self.load_factor) {
            bound(&mut ring, factor);
        }
        ring
    }
}

/// The owners of all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    backends: Arc<[Target]>,
    slots: Box<[u16]>,
}

impl Ring {
    /// A ring of these backends, sorted and without doubles. `weights` (1 for those it does not name) count for `even` only.
    #[must_use]
    pub fn new(kind: RingKind, mut backends: Vec<Target>, weight: impl Fn(&Target) -> u32) -> Ring {
        backends.sort();
        backends.dedup();
        backends.truncate(MAX_BACKENDS);
        let slots = match kind {
            RingKind::V2 => v2(&backends),
            RingKind::Even => even(&backends, weight),
        };
        Ring { backends: backends.into(), slots }
    }

    /// The backend that owns a key; `None` if there is no backend.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<&Target> {
        self.backends.get(self.index(key)?)
    }

    /// The place of the owner among [`Ring::backends`].
    #[must_use]
    pub fn index(&self, key: &[u8]) -> Option<usize> {
        self.at(self.slot(key))
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(&self, key: &[u8]) -> u32 {
        self.slot_of(crc32fast::hash(key))
    }

    /// The slot of a key with this CRC-32. The table is larger than the innermost cache: who has many keys finds the slots of all of
    /// them first, so that the processor can wait for several owners at once.
    #[must_use]
    pub fn slot_of(&self, crc: u32) -> u32 {
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX).max(1);
        // The collector's table takes the hash modulo its size; the other one is larger than 16 bits of CRC, so it takes all 32.
        crc % slots
    }

    /// The place of the owner of a slot among [`Ring::backends`].
    #[must_use]
    pub fn at(&self, slot: u32) -> Option<usize> {
        self.slots.get(slot as usize).filter(|&&b| b != NOBODY).map(|&b| b as usize)
    }

    /// The backends, sorted.
    #[must_use]
    pub fn backends(&self) -> &Arc<[Target]> {
        &self.backends
    }

    /// Whether there is no backend.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }
}

/// The collector's points, in the order of the positions: position and backend.
fn v2_points(backends: &[Target], points: u32) -> Vec<(usize, u16)> {
    let mut taken = vec![false; V2_POSITIONS];
    let mut found = vec![];
    for (backend, target) in backends.iter().enumerate() {
        for mut at in v2_places(target, points) {
            let mut probes = 0;
            while taken[at] && probes < V2_PROBES {
                at = (at + 1) % V2_POSITIONS;
                probes += 1;
            }
            if probes < V2_PROBES {
                taken[at] = true;
                found.push((at, backend as u16));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Where the points of a backend are to be.
fn v2_places(target: &Target, points: u32) -> impl Iterator<Item = usize> {
    let mut name = crc32fast::Hasher::new();
    name.update(target.name().as_bytes());
    (0..points).map(move |point| {
        let mut hasher = name.clone();
        hasher.update(&point.to_le_bytes());
        hasher.finalize() as usize % V2_POSITIONS
    })
}

/// Every position belongs to the next point at or after it, the last ones to the first point.
fn v2(backends: &[Target]) -> Box<[u16]> {
    let points = v2_points(backends, V2_POINTS);
    let Some(first) = points.first() else { return Box::new([]) };
    let mut slots = vec![first.1; V2_POSITIONS];
    let mut from = 0;
    for (at, backend) in &points {
        slots[from..=*at].fill(*backend);
        from = at + 1;
    }
    slots.into()
}

/// Gives positions beyond `factor` times the fair share to the next backends that have room, in the order in which all points would
/// stand if none were in another's way: so those that own nothing have their part, and a change of membership moves little. Of its own
/// positions a backend keeps the first ones.
fn bound(ring: &mut Ring, factor: f64) {
    let Ring { backends, slots } = ring;
    let most = (slots.len() as f64 * factor.max(1.0) / backends.len().max(1) as f64).ceil() as usize;
    let mut owned = vec![0; backends.len()];
    let mut beyond = vec![];
    for (at, owner) in slots.iter().enumerate() {
        if owned[*owner as usize] < most {
            owned[*owner as usize] += 1;
        } else {
            beyond.push(at);
        }
    }
    let of = |(backend, target)| v2_places(target, V2_POINTS).map(move |at| (at, backend as u16));
    let mut places: Vec<(usize, u16)> = backends.iter().enumerate().flat_map(of).collect();
    places.sort_unstable();
    // From each place to one further on, past full backends only: who is full stays so. The shares of all add up to no less than all
    // positions, so that there is always one with room.
    let mut further: Vec<usize> = (1..places.len()).chain([0]).collect();
    for at in beyond {
        let is_full = |place: usize| owned[places[place].1 as usize] >= most;
        let mut from = places.partition_point(|place| place.0 < at) % places.len();
        let mut to = from;
        while is_full(to) {
            to = further[to];
        }
        // The next one goes there directly.
        while is_full(from) {
            from = std::mem::replace(&mut further[from], to);
        }
        let owner = places[to].1;
        owned[owner as usize] += 1;
        slots[at] = owner;
    }
}

/// Backends take turns (as many as their weight) to claim the next free slot of their own permutation.
fn even(backends: &[Target], weight: impl Fn(&Target) -> u32) -> Box<[u16]> {
    let weights: Vec<u32> = backends.iter().map(|b| weight(b).clamp(1, 1000)).collect();
    if backends.is_empty() {
        return Box::new([]);
    }
    let mut walks: Vec<(usize, usize)> = backends
        .iter()
        .map(|b| {
            let (offset, stride) = (fnv(b.name(), 0), fnv(b.name(), 1));
            (offset as usize % EVEN_SLOTS, stride as usize % (EVEN_SLOTS - 1) + 1)
        })
        .collect();
    let mut slots = vec![NOBODY; EVEN_SLOTS];
    let mut left = EVEN_SLOTS;
    'fill: loop {
        for (backend, (at, stride)) in walks.iter_mut().enumerate() {
            for _ in 0..weights[backend] {
                while slots[*at] != NOBODY {
                    *at = (*at + *stride) % EVEN_SLOTS;
                }
                slots[*at] = backend as u16;
                left -= 1;
                if left == 0 {
                    break 'fill;
                }
            }
        }
    }
    slots.into()
}

/// FNV-1a of 64 bits, finished by the mixer of SplitMix64, so that names that differ in one digit walk differently.
fn fnv(name: &str, seed: u8) -> u64 {
    let hash = [seed]
        .iter()
        .chain(name.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests;
