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
//! It does not know where backends come from, whether they live, or what a key is made of.

use flow::Target;

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

/// The owners of all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    backends: Vec<Target>,
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
        Ring { backends, slots }
    }

    /// The backend that owns a key; `None` if there is no backend.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<&Target> {
        self.backends.get(self.index(key)?)
    }

    /// The place of the owner among [`Ring::backends`].
    #[must_use]
    pub fn index(&self, key: &[u8]) -> Option<usize> {
        let hash = crc32fast::hash(key);
        // The collector's table takes the hash modulo its size; the other one is larger than 16 bits of CRC, so it takes all 32.
        let slot = hash as usize % self.slots.len().max(1);
        self.slots.get(slot).filter(|&&b| b != NOBODY).map(|&b| b as usize)
    }

    /// The backends, sorted.
    #[must_use]
    pub fn backends(&self) -> &[Target] {
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
        let mut name = crc32fast::Hasher::new();
        name.update(target.name().as_bytes());
        for point in 0..points {
            let mut hasher = name.clone();
            hasher.update(&point.to_le_bytes());
            let mut at = hasher.finalize() as usize % V2_POSITIONS;
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
mod tests {
    use super::*;

    fn targets(names: &[&str]) -> Vec<Target> {
        names.iter().map(|n| Target::new(*n)).collect()
    }

    fn many(n: usize) -> Vec<Target> {
        (0..n).map(|i| Target::new(format!("10.141.{}.{}:4317", i / 250, i % 250))).collect()
    }

    fn ring(kind: RingKind, backends: Vec<Target>) -> Ring {
        Ring::new(kind, backends, |_| 1)
    }

    fn owner(ring: &Ring, key: &[u8]) -> String {
        ring.owner(key).unwrap().name().to_owned()
    }

    /// Scenario: the collector's own vectors for the points of its ring. Guarantee: ours are the same.
    #[test]
    fn the_points_are_the_collectors() {
        let at: Vec<_> = v2_points(&targets(&["endpoint-1"]), 5).iter().map(|p| p.0).collect();
        assert_eq!(at, [0x21ca, 0x29d3, 0x3984, 0x5eaf, 0x8bc1]);
        let two = v2_points(&targets(&["endpoint-A", "endpoint-B"]), 5);
        let named: Vec<_> = two.iter().map(|(at, b)| (*at, ["A", "B"][*b as usize])).collect();
        let expected = [
            (0xdde, "B"),
            (0x162e, "A"),
            (0x21f5, "B"),
            (0x34e5, "A"),
            (0x61fb, "B"),
            (0x6910, "B"),
            (0x76a0, "A"),
            (0x7e2b, "A"),
            (0x7f7c, "A"),
            (0x85ac, "B"),
        ];
        assert_eq!(named, expected);
    }

    /// Scenario: keys with known owners in the collector's ring. Guarantee: the same backend is chosen.
    #[test]
    fn the_owners_are_the_collectors() {
        let r = ring(RingKind::V2, targets(&["endpoint-2", "endpoint-1"]));
        assert_eq!(owner(&r, &[1, 2, 0, 0]), "endpoint-2");
        assert_eq!(owner(&r, &[128, 128, 0, 0]), "endpoint-1");
        assert_eq!(owner(&r, b"ad-service-7"), "endpoint-2");
        assert_eq!(owner(&r, b"get-recommendations-1"), "endpoint-1");
        let r = ring(RingKind::V2, targets(&["10.0.0.1:4317", "10.0.0.2:4317", "10.0.0.3:4317"]));
        let trace =
            |hex: &str| (0..16).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<_>>();
        assert_eq!(owner(&r, &trace("0af7651916cd43dd8448eb211c80319c")), "10.0.0.1:4317");
        assert_eq!(owner(&r, &[0; 16]), "10.0.0.1:4317");
        assert_eq!(owner(&r, &trace("4bf92f3577b34da6a3ce929d0e0e4736")), "10.0.0.3:4317");
        assert_eq!(owner(&r, b"checkout"), "10.0.0.2:4317");
        assert_eq!(owner(&r, b"service.name=checkout|"), "10.0.0.3:4317");
    }

    fn shares(r: &Ring) -> Vec<usize> {
        let mut shares = vec![0; r.backends.len()];
        r.slots.iter().for_each(|b| shares[*b as usize] += 1);
        shares
    }

    /// Scenario: 10 to 1000 backends on the even ring. Guarantee: max/mean ≤ 1.05 and nobody is starved.
    #[test]
    fn item_31_the_even_ring_is_even() {
        for n in [10, 37, 100, 300, 720, 1000] {
            let shares = shares(&ring(RingKind::Even, many(n)));
            let mean = EVEN_SLOTS as f64 / n as f64;
            assert!(*shares.iter().max().unwrap() as f64 / mean <= 1.05, "{n}: {:?}", shares.iter().max());
            assert!(*shares.iter().min().unwrap() as f64 / mean >= 0.95, "{n}: {:?}", shares.iter().min());
        }
    }

    /// Scenario: one of 100 backends leaves the even ring, and comes back. Guarantee: few keys move beyond those it owned; the ring is the same as before.
    #[test]
    fn a_change_moves_little() {
        let before = ring(RingKind::Even, many(100));
        let gone = before.backends[42].clone();
        let after = ring(RingKind::Even, before.backends.iter().filter(|b| **b != gone).cloned().collect());
        let keys: Vec<_> = (0..20_000u32).map(u32::to_le_bytes).collect();
        let moved =
            keys.iter().filter(|k| before.owner(*k) != after.owner(*k) && before.owner(*k) != Some(&gone)).count();
        assert!(moved < 20_000 / 20, "{moved} of 20000 moved without need");
        assert_eq!(ring(RingKind::Even, many(100)), before);
    }

    /// Scenario: a backend of double weight. Guarantee: it owns twice as much.
    #[test]
    fn weights_count_on_the_even_ring() {
        let r = Ring::new(RingKind::Even, many(9), |b| if b.name() == "10.141.0.0:4317" { 2 } else { 1 });
        let shares = shares(&r);
        assert!((shares[0] as f64 / (EVEN_SLOTS as f64 / 10.0) - 2.0).abs() < 0.02, "{shares:?}");
    }

    /// Scenario: no backend, one backend, the same backend twice. Guarantee: no owner, one owner, one owner.
    #[test]
    fn small_rings() {
        for kind in [RingKind::V2, RingKind::Even] {
            assert_eq!(ring(kind, vec![]).owner(b"k"), None);
            let one = ring(kind, targets(&["a", "a"]));
            assert_eq!(one.backends().len(), 1);
            assert_eq!(owner(&one, b"k"), "a");
        }
    }
}
