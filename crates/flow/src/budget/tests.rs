use super::fees::FREE_LANES;
use super::*;
use crate::capacity::{Capacity, CapacityConfig, Held, Sizer, Slot};
use crate::ledger::Place;
use proptest::prelude::*;

fn budget(bytes: u64) -> Budget {
    Budget::new(BudgetConfig { bytes, request_cost: 0, ..BudgetConfig::default() })
}

fn holding(b: &Budget, bytes: usize) -> Permit {
    let mut p = b.open(None).unwrap();
    p.grow(bytes).unwrap();
    p
}

/// Scenario: a budget of 1000 fills up. Guarantee: open below 900, priority from 900 (inclusive), full at 1000.
#[test]
fn the_levels_are_where_they_are_said_to_be() {
    let b = budget(1000);
    let _a = holding(&b, 899);
    assert_eq!(b.level(), Level::Open);
    let _b = holding(&b, 1);
    assert_eq!(b.level(), Level::Priority);
    let _c = holding(&b, 100);
    assert_eq!(b.level(), Level::Full);
    let refusal = b.open(None).unwrap_err();
    assert_eq!(refusal.why.kind, Kind::HardLimit);
    assert!(refusal.retry_after.is_some());
}

/// Scenario: a request of 950 in an empty budget of 1000. Guarantee: what it holds itself does not count against it.
#[test]
fn a_request_is_not_judged_by_its_own_size() {
    let b = budget(1000);
    assert_eq!(holding(&b, 950).level(), (Level::Open, Kind::SoftLimit));
}

/// Scenario: a body larger than the whole budget. Guarantee: refused without a delay, since coming back cannot help; nothing stays taken.
#[test]
fn what_can_never_fit_is_told_so() {
    let b = budget(1000);
    let mut p = b.open(None).unwrap();
    p.grow(600).unwrap();
    let refusal = p.grow(600).unwrap_err();
    assert_eq!((refusal.why.kind, refusal.retry_after), (Kind::TooLarge, None));
    drop(p);
    assert_eq!((b.bytes(), b.requests()), (0, 0));
}

/// Scenario: tenant a floods, tenant b sends a little. Guarantee: a stops at its share, at nine tenths of it for routine records; b enters.
#[test]
fn a_tenant_cannot_take_more_than_its_share() {
    let tenants = Some(Arc::new(TenantsConfig::default()));
    let b = Budget::new(BudgetConfig { bytes: 1000, request_cost: 0, tenants, ..BudgetConfig::default() });
    let mut a = b.open(Some("a")).unwrap();
    a.grow(460).unwrap();
    let second = b.open(Some("a")).unwrap();
    assert_eq!(second.level(), (Level::Priority, Kind::TenantShare));
    assert_eq!(b.open(Some("a")).unwrap().grow(41).unwrap_err().why.kind, Kind::TenantShare);
    a.grow(40).unwrap();
    assert_eq!(b.open(Some("a")).unwrap_err().why.kind, Kind::TenantShare);
    let mut other = b.open(Some("b")).unwrap();
    other.grow(200).unwrap();
    assert_eq!(other.level().0, Level::Open);
}

/// Scenario: more tenants than accounts. Guarantee: the accounts stay bounded, idle ones are reused.
#[test]
fn tenants_are_bounded() {
    let tenants = Some(Arc::new(TenantsConfig { most: 10, ..TenantsConfig::default() }));
    let b = Budget::new(BudgetConfig { bytes: 1 << 20, tenants, ..BudgetConfig::default() });
    let held: Vec<_> = (0..50).map(|i| b.open(Some(&format!("t{i}"))).unwrap()).collect();
    assert_eq!(b.tenants(), 10);
    drop(held);
    drop(b.open(Some("new")).unwrap());
    assert_eq!(b.tenants(), 1);
}

/// Scenario: limits on records and requests. Guarantee: each closes the door by itself.
#[test]
fn records_and_requests_can_be_bounded_too() {
    let b = Budget::new(BudgetConfig { records: 100, requests: 3, ..BudgetConfig::default() });
    let mut p = b.open(None).unwrap();
    p.set_records(95);
    assert_eq!(b.level(), Level::Priority);
    p.set_records(10);
    let _q = b.open(None).unwrap();
    let _r = b.open(None).unwrap();
    assert!(b.open(None).is_err());
}

/// Scenario: a flood of requests without bodies. Guarantee: what they cost beside their bodies fills the budget too.
#[test]
fn tiny_requests_are_not_free() {
    let b = Budget::new(BudgetConfig { bytes: 10 * REQUEST_COST, ..BudgetConfig::default() });
    let held: Vec<_> = (0..10).map_while(|_| b.open(None).ok()).collect();
    assert_eq!((held.len(), b.bytes()), (10, 10 * REQUEST_COST));
    assert!(b.open(None).is_err());
    drop(held);
    assert_eq!((b.bytes(), b.requests()), (0, 0));
}

/// Scenario: lanes are opened until there are enough, and end. Guarantee: they are paid for out of the limit, a quarter of it at most and a few in any case;
/// requests have the rest, and all of it afterwards.
#[test]
fn lanes_are_paid_for() {
    let b = Budget::of(100 << 20);
    let fees: Vec<_> = std::iter::from_fn(|| b.open_lane()).collect();
    assert_eq!((fees.len() as u64, b.lane_bytes()), ((25 << 20) / LANE_COST, 25 << 20));
    assert_eq!((b.bytes(), b.stock().limit()), (0, 75 << 20));
    assert!(b.open(None).unwrap().grow((75 << 20) - 512).is_ok());
    assert!(b.open(None).unwrap().grow(75 << 20).is_err());
    drop(fees);
    assert_eq!((b.lane_bytes(), b.stock().limit()), (0, 100 << 20));
    let small = Budget::of(1000);
    assert_eq!(std::iter::from_fn(|| small.open_lane()).map(std::mem::forget).count() as u64, FREE_LANES);
}

/// Scenario: connections come until there are enough, and go. Guarantee: they are paid for out of the limit, a quarter of it at most and a few in any
/// case, and leave the quarter of the lanes alone.
#[test]
fn connections_are_paid_for() {
    let b = Budget::of(100 << 20);
    let lanes: Vec<_> = std::iter::from_fn(|| b.open_lane()).collect();
    let fees: Vec<_> = std::iter::from_fn(|| b.open_connection(50_000)).collect();
    assert_eq!(fees.len() as u64, (25 << 20) / 50_000);
    assert_eq!((b.connection_bytes(), b.room()), (fees.len() as u64 * 50_000, (75 << 20) - b.connection_bytes()));
    drop(fees);
    drop(lanes);
    assert_eq!((b.connection_bytes(), b.room(), b.stock().limit()), (0, 100 << 20, 100 << 20));
    let small = Budget::of(1000);
    let fees: Vec<_> = std::iter::from_fn(|| small.open_connection(50_000)).collect();
    assert_eq!((fees.len() as u64, small.room()), (FREE_CONNECTIONS, 750));
}

/// Scenario: calls are opened until there is no room; some are answered while their data is still held, others end as they are. Guarantee: refused with
/// a delay; counted among the bytes in use, of the tenant as well, and by themselves, until the answer.
#[test]
fn open_calls_are_paid_for() {
    let tenants = Some(Arc::new(TenantsConfig { share: 1.0, ..TenantsConfig::default() }));
    let b = Budget::new(BudgetConfig { bytes: 1000, request_cost: 0, tenants, ..BudgetConfig::default() });
    let mut calls: Vec<_> = (0..9).map(|_| b.open_call(100).unwrap()).collect();
    let refusal = b.open_call(101).unwrap_err();
    assert!(refusal.why.kind == Kind::HardLimit && refusal.retry_after.is_some());
    calls[0].of_tenant("a").unwrap();
    calls[0].grow(10).unwrap();
    assert_eq!((b.bytes(), b.call_bytes(), calls[0].total()), (910, 900, 110));
    drop(calls[0].split_call());
    assert_eq!((b.bytes(), b.call_bytes(), calls[0].total()), (810, 800, 10));
    drop(calls);
    assert_eq!((b.bytes(), b.call_bytes(), b.requests()), (0, 0, 0));
}

/// Tokens of every kind, and what they hold by their own account.
#[derive(Default)]
struct Tokens {
    permits: Vec<Permit>,
    calls: Vec<CallRoom>,
    fees: Vec<Fee>,
    slots: Vec<Slot>,
}

impl Tokens {
    /// The sums of what they hold equal the books.
    fn are_the_books_of(&self, b: &Budget) -> Result<(), TestCaseError> {
        let calls: u64 = self.calls.iter().map(|call| call.bytes).sum();
        let permits: u64 = self.permits.iter().map(|permit| permit.total()).sum();
        prop_assert_eq!(b.bytes(), permits + calls);
        prop_assert_eq!(b.call_bytes(), calls + self.permits.iter().map(|permit| permit.call).sum::<u64>());
        prop_assert_eq!(b.requests(), self.permits.len() as u64);
        prop_assert_eq!(b.records(), self.permits.iter().map(|permit| permit.records).sum::<u64>());
        let standing: u64 = self.fees.iter().map(|fee| fee.bytes).sum();
        prop_assert_eq!(b.lane_bytes() + b.connection_bytes(), standing);
        prop_assert_eq!(b.stock().used(), self.slots.iter().map(|slot| slot.held().memory()).sum::<u64>());
        prop_assert_eq!(b.room(), b.stock().limit());
        Ok(())
    }
}

proptest! {
    /// Scenario: any sequence of operations on tokens of every kind: permits with their calls and tenants, fees, slots of two exporters. Guarantee: the
    /// ledger is the sum of its tokens at every step; requests and queues stay within what lanes and connections leave, unless those came
    /// after them; when all are settled every counter is exactly zero.
    #[test]
    fn the_ledger_is_the_sum_of_its_tokens(ops in prop::collection::vec((0u8..14, 0usize..6, 0usize..4_000), 1..160)) {
        let tenants = Some(Arc::new(TenantsConfig { share: 0.4, ..TenantsConfig::default() }));
        let limit = 4 * FREE_LANES * LANE_COST;
        let b = Budget::new(BudgetConfig { bytes: limit, request_cost: 7, tenants, ..BudgetConfig::default() });
        let exporter = CapacityConfig { size: 40, sizer: Sizer::Requests, max_bytes: 0 };
        let queues = [0, 1].map(|_| Capacity::within(exporter.clone(), b.stock().clone(), Place::OneOfMany));
        let mut t = Tokens::default();
        for (op, i, n) in ops {
            let (used, queued) = (b.bytes(), b.stock().used());
            let big = n * 2_000;
            match op {
                0 => t.permits.extend(b.open_call(n as u64).ok()),
                1 => t.permits.extend(b.open([None, Some("a"), Some("b")][i % 3]).ok()),
                2 => t.fees.extend(if i % 2 == 0 { b.open_lane() } else { b.open_connection(big as u64) }),
                3 if i < t.fees.len() => drop(t.fees.swap_remove(i)),
                4 => t.slots.extend(queues[i % 2].take(n as u32, big)),
                5 if i < t.slots.len() => drop(t.slots.swap_remove(i)),
                6 if i < t.slots.len() => {
                    let bytes = t.slots[i].held().bytes as usize;
                    t.slots[i].resize(n as u32, n.min(bytes));
                }
                7 if i < t.calls.len() => drop(t.calls.swap_remove(i)),
                _ if i >= t.permits.len() => {}
                8 => drop(t.permits[i].grow(big)),
                9 => t.permits[i].shrink(n),
                10 => t.permits[i].set_records(n as u32),
                11 => t.calls.push(t.permits[i].split_call()),
                12 if t.permits[i].tenant.is_none() => drop(t.permits[i].of_tenant(["a", "b"][n % 2])),
                _ => drop(t.permits.swap_remove(i)),
            }
            t.are_the_books_of(&b)?;
            prop_assert!(b.bytes() <= b.room().max(used));
            prop_assert!(queued >= b.stock().used() || b.stock().used() <= b.room() || queues.iter().any(|q| q.held().requests == 1));
        }
        t = Tokens::default();
        t.are_the_books_of(&b)?;
        prop_assert_eq!((b.room(), queues[0].held(), queues[1].held()), (limit, Held::default(), Held::default()));
        for tenant in ["a", "b"] {
            let account = &b.0.tenants.get(tenant, &TenantsConfig::default()).account;
            prop_assert_eq!([&account.bytes, &account.records, &account.requests].map(|n| n.load(Relaxed)), [0; 3]);
        }
    }

    /// Scenario: any sequence of opening, growing, shrinking and dropping, with tenants. Guarantee: never past the limit, and exactly 0 at the end.
    #[test]
    fn the_books_always_balance(ops in prop::collection::vec((0u8..4, 0usize..8, 0usize..400), 0..200)) {
        let tenants = Some(Arc::new(TenantsConfig { share: 0.4, ..TenantsConfig::default() }));
        let b = Budget::new(BudgetConfig { bytes: 1000, request_cost: 7, tenants, ..BudgetConfig::default() });
        let mut held: Vec<Permit> = vec![];
        for (op, i, n) in ops {
            match op {
                0 => if let Ok(p) = b.open([None, Some("a"), Some("b")][i % 3]) { held.push(p) },
                1 => if let Some(p) = held.get_mut(i) { let _ = p.grow(n); p.set_records(n as u32) },
                2 => if let Some(p) = held.get_mut(i) { p.shrink(n) },
                _ => if i < held.len() { drop(held.swap_remove(i)) },
            }
            prop_assert!(b.bytes() <= 1000);
            prop_assert_eq!(b.bytes(), held.iter().map(|p| p.bytes() + 7).sum::<u64>());
            prop_assert_eq!(b.requests(), held.len() as u64);
        }
        held.clear();
        prop_assert_eq!((b.bytes(), b.records(), b.requests()), (0, 0, 0));
    }
}

/// Scenario: a request brings along what is no part of its data; its body shrinks; there is no room for more of it. Guarantee: that stays taken until the
/// request ends, and what does not fit is refused without a trace.
#[test]
fn what_a_request_brings_along_is_charged_to_its_end() {
    let budget = Budget::new(BudgetConfig { bytes: 1000, request_cost: 0, ..BudgetConfig::default() });
    let mut permit = budget.open(None).unwrap();
    permit.burden(100).unwrap();
    permit.grow(500).unwrap();
    permit.shrink(0);
    assert_eq!(budget.bytes(), 100);
    assert!(permit.burden(901).is_err());
    assert_eq!(budget.bytes(), 100);
    drop(permit);
    assert_eq!(budget.bytes(), 0);
}

/// Scenario: eight threads open, grow, book on tenants, answer and drop requests, and let connections come and go, as fast as they can. Guarantee: what was
/// granted is never more than the limit at any instant; at the end nothing is in use.
#[test]
fn no_interleaving_oversubscribes_the_ledger() {
    const LIMIT: u64 = 200_000;
    let tenants = Some(Arc::new(TenantsConfig { share: 0.9, ..TenantsConfig::default() }));
    let b = Budget::new(BudgetConfig { bytes: LIMIT, request_cost: 10, tenants, ..BudgetConfig::default() });
    // Counted after it was granted, and no more before it is given back: never more than what is really held.
    let granted = AtomicU64::new(0);
    let worker = &|seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut held: Vec<Permit> = vec![];
        for _ in 0..20_000 {
            let _connection = random.bool().then(|| b.open_connection(10));
            if let Ok(mut permit) = b.open_call(random.u64(0..50)) {
                let is_known = permit.of_tenant(["a", "b"][seed as usize % 2]).is_ok();
                if is_known && permit.grow(random.usize(0..40_000)).is_ok() {
                    drop(permit.split_call());
                    let all = granted.fetch_add(permit.total(), Relaxed) + permit.total();
                    assert!(all <= LIMIT, "{all}");
                    held.push(permit);
                }
            }
            if held.len() > random.usize(0..6) {
                let permit = held.swap_remove(random.usize(0..held.len()));
                granted.fetch_sub(permit.total(), Relaxed);
            }
        }
        held.iter().for_each(|permit| _ = granted.fetch_sub(permit.total(), Relaxed));
    };
    std::thread::scope(|scope| (0..8).for_each(|seed| drop(scope.spawn(move || worker(seed)))));
    assert_eq!((b.bytes(), b.requests(), b.call_bytes(), b.connection_bytes()), (0, 0, 0, 0));
}
