use super::*;
use crate::capacity::{Capacity, CapacityConfig, Held, Sizer, Slot};
use proptest::prelude::*;
use std::sync::Arc;

const LIMIT: u64 = 1_000_000_000;

fn terms(standing: Standing, place: Place) -> Terms {
    Terms { standing, place, soft: 1.0 }
}

/// What `n` holders have when none of them may take another byte, each taking a little in turn.
fn filled(n: u64, terms: Terms) -> (u64, u64) {
    let (mut used, mut each) = (0, 0);
    let step = (LIMIT / n / 5_000).max(1);
    while terms.allows(each, step, LIMIT, used) && used + n * step <= LIMIT {
        (each, used) = (each + step, used + n * step);
    }
    (each, used)
}

/// Scenario: n stuck lanes fill up together. Guarantee: the figures of ADR 14: each has its part, and they leave a quarter whatever n is, of which
/// a passing lane may hold most.
#[test]
fn stuck_lanes_leave_a_known_part_whatever_their_number() {
    // n, then in ten-thousandths of the limit: each of n lanes, all of them, what a passing sibling may still hold.
    let table = [(1, 3_750, 3_750, 4_166), (2, 2_500, 5_000, 3_333), (10, 681, 6_818, 2_121), (1_000, 7, 7_492, 1_671)];
    for (n, each, all, passing) in table.into_iter().chain([(10_000, 0, 7_499, 1_667)]) {
        let (has, used) = filled(n, terms(Standing::Stuck, Place::OneOfMany));
        let close = |a: u64, b: u64| (a * 10_000 / LIMIT).abs_diff(b) <= 3;
        assert!(close(has, each) && close(used, all), "{n}: {has} {used}");
        assert!(used <= LIMIT / 4 * 3);
        // A passing lane that takes all that it may: q = 2 (limit - used - q).
        let free = LIMIT - used;
        assert!(close(free * 2 / 3, passing), "{n}: {}", free * 2 / 3);
    }
}

/// Scenario: lanes that are alone in their exporters, and lanes in each standing. Guarantee: the figures of ADR 14.
#[test]
fn each_standing_has_its_part() {
    let table = [
        (Standing::Passing, Place::Alone, 1.0, 889),
        (Standing::New, Place::Alone, 1.0, 583),
        (Standing::Stuck, Place::Alone, 1.0, 500),
        (Standing::Passing, Place::OneOfMany, 1.0, 667),
        (Standing::New, Place::OneOfMany, 1.0, 437),
        (Standing::Stuck, Place::OneOfMany, 1.0, 375),
        (Standing::Passing, Place::Alone, 0.9, 800),
    ];
    for (standing, place, soft, part) in table {
        let has = filled(1, Terms { standing, place, soft }).1 * 1_000 / LIMIT;
        assert!(has.abs_diff(part) <= 1, "{standing:?} {place:?} {has}");
    }
}

proptest! {
    /// Scenario: any limit, use and holding. Guarantee: nobody is allowed more than what is free, and more use never means more room.
    #[test]
    fn nobody_gets_more_than_is_free(limit in 0u64..1 << 60, used in 0u64..1 << 60, held in 0u64..1 << 40, more in 0u64..1 << 40) {
        for standing in [Standing::Passing, Standing::New, Standing::Stuck] {
            for place in [Place::Alone, Place::OneOfMany] {
                let t = terms(standing, place);
                prop_assert!(t.free(limit, used) <= limit.saturating_sub(used).saturating_add(limit >> 50));
                prop_assert!(!t.allows(held, more, limit, used) || t.allows(held, more, limit, used / 2));
            }
        }
    }

    /// Scenario: any sequence of operations on the rooms of two queues that share a stock. Guarantee: the books are those of a plain model at every
    /// step, within the limit but for what an empty queue takes, and exactly zero when all is settled.
    #[test]
    fn the_books_are_those_of_a_model(ops in prop::collection::vec((0u8..10, 0usize..2, 0usize..12, 0u32..8, 0usize..3_000), 1..120)) {
        let stock = Stock::new(20_000);
        let config = CapacityConfig { size: 40, sizer: Sizer::Items, max_bytes: 0 };
        let queues = [0, 1].map(|_| Capacity::within(config.clone(), stock.clone(), Place::OneOfMany));
        let mut slots: Vec<(usize, Slot)> = vec![];
        for (op, queue, at, records, bytes) in ops {
            let before = stock.used();
            let was_empty = queues[queue].held().requests == 0;
            let at = at.min(slots.len().saturating_sub(1));
            match op {
                0..=2 => if let Some(slot) = queues[queue].take(records, bytes) {
                    prop_assert!(stock.used() <= stock.limit() || was_empty);
                    slots.push((queue, slot));
                } else {
                    prop_assert_eq!(stock.used(), before);
                },
                3 => slots.extend(queues[queue].take_copy(bytes as u64).map(|slot| (queue, slot))),
                _ if slots.is_empty() => {}
                4 => {
                    let (queue, piece) = (slots[at].0, slots[at].1.split(records, bytes));
                    slots.push((queue, piece));
                }
                5 => slots[at].1.count_piece(),
                6 => drop(slots[at].1.shrink(bytes as u64)),
                7 => slots[at].1.resize(records, bytes),
                8 => {
                    let (queue, slot) = slots.swap_remove(at);
                    if let Some((_, other)) = slots.iter_mut().find(|(other, _)| *other == queue) {
                        other.absorb(slot);
                    }
                }
                _ => drop(slots.swap_remove(at)),
            }
            for (n, queue) in queues.iter().enumerate() {
                let mut sum = Held::default();
                for (_, slot) in slots.iter().filter(|(of, _)| *of == n) {
                    let held = slot.held();
                    sum.requests += held.requests;
                    sum.records += held.records;
                    sum.bytes += held.bytes;
                    sum.places += held.places;
                }
                prop_assert_eq!(queue.held(), sum);
            }
            prop_assert_eq!(stock.used(), queues.iter().map(|queue| queue.held().memory()).sum::<u64>());
        }
        slots.clear();
        prop_assert_eq!((stock.used(), queues[0].held(), queues[1].held()), (0, Held::default(), Held::default()));
    }
}

/// Scenario: eight threads take and give back as fast as they can, in four queues of one stock, some with the terms of stuck lanes. Guarantee: nobody
/// ever sees more than the limit taken, nor stuck ones beyond their part; at the end nothing is.
#[test]
fn no_interleaving_takes_more_than_there_is() {
    let stock = Stock::new(100_000);
    let config = CapacityConfig { size: u64::MAX, sizer: Sizer::Bytes, max_bytes: 0 };
    let queues: Vec<_> = (0..4).map(|_| Capacity::within(config.clone(), stock.clone(), Place::Alone)).collect();
    // An empty queue takes what it must; so none is empty.
    let _ballast: Vec<_> = queues.iter().map(|queue| queue.take(1, 10).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (queues, stock) = (&queues, &stock);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut held: Vec<Slot> = vec![];
                for _ in 0..20_000 {
                    let standing = if thread % 2 == 0 { Standing::Stuck } else { Standing::Passing };
                    let terms = Some(terms(standing, Place::Alone));
                    let queue: &Arc<Capacity> = &queues[random.usize(..4)];
                    if random.bool() {
                        held.extend(queue.take_beside(Held::default(), 1, random.usize(..4_000), 1, terms));
                    } else if !held.is_empty() {
                        held.swap_remove(random.usize(..held.len()));
                    }
                    assert!(stock.used() <= 100_000 + 8 * 5_000, "more than what eight rivals try for at once");
                }
            });
        }
    });
    drop(_ballast);
    assert_eq!((stock.used(), stock.is_waited_for()), (0, false));
}
