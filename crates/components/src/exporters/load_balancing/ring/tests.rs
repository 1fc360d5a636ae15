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
    let moved = keys.iter().filter(|k| before.owner(*k) != after.owner(*k) && before.owner(*k) != Some(&gone)).count();
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

fn bounded(backends: Vec<Target>, factor: f64) -> Ring {
    Shape { load_factor: Some(factor), ..Shape::default() }.ring(backends)
}

/// Scenario: the collector's ring of 1 to 1000 backends with load factors. Guarantee: nobody owns more than the factor allows; nobody owns nothing (the
/// collector's starves 80 of 720); those of backends within the bound are the collector's; the same backends give the same ring, whatever their order.
#[test]
fn item_31_a_load_factor_bounds_every_share() {
    for n in [1, 2, 10, 100, 300, 720, 1000] {
        let plain = ring(RingKind::V2, many(n));
        let natural = shares(&plain);
        for factor in [1.0, 1.05, 1.25, 2.0] {
            let r = bounded(many(n), factor);
            let most = (V2_POSITIONS as f64 * factor / n as f64).ceil() as usize;
            assert!(shares(&r).iter().all(|share| *share <= most), "{n} {factor}: {:?} > {most}", shares(&r));
            let moved: Vec<usize> = (0..V2_POSITIONS).filter(|at| r.slots[*at] != plain.slots[*at]).collect();
            assert!(moved.iter().all(|at| natural[plain.slots[*at] as usize] > most), "{n} {factor}");
            let beyond: usize = natural.iter().map(|share| share.saturating_sub(most)).sum();
            assert_eq!(moved.len(), beyond, "{n} {factor}");
            assert!(factor > 1.25 || shares(&r).iter().all(|share| *share > 0), "{n} {factor}: {:?}", shares(&r));
            assert_eq!(bounded(many(n).into_iter().rev().collect(), factor), r);
        }
    }
    assert_eq!(bounded(many(10), 100.0), ring(RingKind::V2, many(10)));
    assert!(bounded(vec![], 1.25).is_empty());
}

/// Positions that have another owner after a backend left, although they were not its own.
fn moved_without_need(before: &Ring, after: &Ring, gone: &Target) -> usize {
    let owner = |ring: &Ring, at: usize| ring.backends[ring.slots[at] as usize].clone();
    let moved = |at: &usize| owner(before, *at) != *gone && owner(before, *at) != owner(after, *at);
    (0..V2_POSITIONS).filter(moved).count()
}

/// Scenario: one of 100, 300 or 720 backends leaves a bounded ring, and comes back. Guarantee: few keys move beyond those it owned and those that
/// move on the collector's ring, whose crowded points give way to each other; the ring is the same as before.
#[test]
fn a_change_of_a_bounded_ring_moves_little() {
    for n in [100, 300, 720] {
        let (before, plain) = (bounded(many(n), 1.25), ring(RingKind::V2, many(n)));
        for gone in [0, n / 2, n - 1] {
            let gone = before.backends[gone].clone();
            let left: Vec<Target> = before.backends.iter().filter(|b| **b != gone).cloned().collect();
            let moved = moved_without_need(&before, &bounded(left.clone(), 1.25), &gone);
            let natural = moved_without_need(&plain, &ring(RingKind::V2, left), &gone);
            assert!(
                moved < natural + V2_POSITIONS / 200,
                "{n}: {moved} moved, {natural} of them on the collector's ring"
            );
        }
        assert_eq!(bounded(many(n), 1.25), before);
    }
}
