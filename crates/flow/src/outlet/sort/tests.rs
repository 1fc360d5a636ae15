use super::*;
use crate::budget::BudgetConfig;
use crate::outlet::{Outgoing, OutletConfig};
use crate::router::Routes;
use crate::testing::{Destination, Script, ids, logs, unavailable};
use crate::{Codec, Kind, Meta, Why, clock};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::time::Duration;
use wire::{Record, Records};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Sends a record to the target whose place among those of the moment is the last digit of its id.
struct ByDigit(Mutex<Arc<[Target]>>);

impl ByDigit {
    fn set(&self, targets: &[Target]) {
        *self.0.lock() = targets.into();
    }

    fn owner(id: u8, targets: usize) -> usize {
        usize::from(id - b'0') % targets.max(1)
    }
}

impl Router for ByDigit {
    fn route(&self, payload: Payload, out: &mut Routes) {
        let targets = self.0.lock().clone();
        if targets.is_empty() {
            return;
        }
        let (mut scratch, mut parts) = (wire::SplitScratch::new(), vec![]);
        let owner = |record: &Record| ByDigit::owner(*record.bytes().last().unwrap(), targets.len());
        wire::split_records(payload.signal, &payload.body, targets.len(), &mut scratch, owner, &mut parts).unwrap();
        out.extend(parts.into_iter().map(|part| {
            let piece = Payload { body: part.body.into(), records: part.records as u32, ..payload.clone() };
            (targets[part.output].clone(), piece)
        }));
    }

    fn knows(&self, target: &Target) -> bool {
        self.0.lock().contains(target)
    }

    fn sorts_by(&self) -> usize {
        self.0.lock().len()
    }

    fn owners(&self, records: Records<'_>, owners: &mut Vec<u32>) -> Arc<[Target]> {
        let targets = self.0.lock().clone();
        owners.extend(records.map(|record| ByDigit::owner(*record.bytes().last().unwrap(), targets.len()) as u32));
        targets
    }
}

fn targets(names: impl Iterator<Item = usize>) -> Vec<Target> {
    names.map(|n| Target::new(format!("t{n}"))).collect()
}

type Sorting = Arc<Outlet<Destination, ByDigit>>;

/// An outlet over so many targets, with batches of at most `max_records`, that sorts what is pushed at once.
fn sorting(d: &Destination, count: usize, max_records: usize, change: impl FnOnce(&mut OutletConfig)) -> Sorting {
    let mut config = OutletConfig::new("x", 1 << 30);
    config.capacity.size = 1 << 30;
    config.batch.enabled = true;
    (config.batch.max_records, config.batch.min_records) = (max_records, max_records as u64);
    config.gather = Some(crate::gather::GatherConfig { per_target: 0, records: 0, bytes: 0, wait: MS(10) });
    change(&mut config);
    Arc::new(Outlet::new(config, d.clone(), ByDigit(Mutex::new(targets(0..count).into()))))
}

fn push_to(outlet: &Sorting, budget: &Budget, payload: Payload) -> Outcome {
    let mut permit = budget.open(None).unwrap();
    permit.grow(payload.len()).unwrap();
    let slot = outlet.reserve(&payload, false).unwrap();
    outlet.push(payload, slot, Ack::unwatched(Some(permit)), false)
}

/// A batch of such records, service and id, that come one by one.
fn alike(records: &[(&str, &str)]) -> Sheaf {
    let mut sheaf = Sheaf::new(PackLimits::default());
    for (service, id) in records {
        let (mut pile, mut picks) = (Pile::new(), vec![]);
        assert!(pile.add(Signal::Logs, &logs(service, &[id]).body).unwrap());
        pile.pick(&mut picks);
        assert_eq!(sheaf.append(&pile, &picks), 1);
    }
    sheaf
}

fn sorted(mut requests: Vec<Vec<String>>) -> Vec<Vec<String>> {
    requests.sort();
    requests
}

/// Scenario: records of three requests of two services, for two targets. Guarantee: their requests' memory is free at once and only the
/// copies are charged; each target gets one request after the interval, in order under each header, and nothing is held after that.
#[tokio::test(start_paused = true)]
async fn records_leave_in_one_request_for_each_target() {
    let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
    let outlet = sorting(&d, 2, 100, |_| ());
    let start = clock::now();
    for (service, ids) in [("a", ["a0", "a1"]), ("b", ["b0", "b1"]), ("a", ["c0", "d1"])] {
        assert_eq!(push_to(&outlet, &budget, logs(service, &ids)), Outcome::Delivered);
    }
    // A batch for each target, in a first piece of memory of 4 KiB, with its headers and tables.
    let held = alike(&[("a", "a0"), ("b", "b0"), ("a", "c0")]).held() as u64;
    assert!(held > 4096 && held < 8192, "{held}");
    assert_eq!((budget.requests(), budget.bytes()), (2, 2 * held));
    tokio::task::yield_now().await;
    let view = outlet.view();
    assert_eq!((view.queue_size, view.lanes.iter().map(|lane| lane.records).sum::<u64>()), (3, 6));
    assert!(view.lanes.iter().all(|lane| lane.oldest == Some(start)));
    tokio::time::sleep(MS(199)).await;
    assert!(d.tries().is_empty());
    tokio::time::sleep(MS(2)).await;
    assert_eq!(sorted(d.taken()), [["a0", "c0", "b0"], ["a1", "d1", "b1"]]);
    let view = outlet.view();
    assert_eq!((view.queue_size, view.bytes, budget.bytes(), budget.requests()), (0, 0, 0, 0));
    assert!(view.lanes.iter().all(|lane| (lane.bytes, lane.records, lane.oldest) == (0, 0, None)));
    assert_eq!(view.stats.sent.get(), 6);
    outlet.close(clock::now()).await;
}

/// Scenario: more records than a batch may have, in one request and over several. Guarantee: full batches leave at once, none is
/// larger, and the rest leaves after the interval of its own oldest record.
#[tokio::test(start_paused = true)]
async fn full_batches_do_not_wait() {
    let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
    let outlet = sorting(&d, 2, 3, |_| ());
    push_to(&outlet, &budget, logs("s", &["a0", "b0", "c0", "d0", "e0", "f0", "g0"]));
    tokio::time::sleep(MS(1)).await;
    assert_eq!(d.taken(), [["a0", "b0", "c0"], ["d0", "e0", "f0"]]);
    tokio::time::sleep(MS(100)).await;
    push_to(&outlet, &budget, logs("s", &["h0", "i0", "j0"]));
    tokio::time::sleep(MS(1)).await;
    assert_eq!(d.taken()[2..], [["g0", "h0", "i0"]]);
    tokio::time::sleep(MS(198)).await;
    assert_eq!(d.taken().len(), 3);
    tokio::time::sleep(MS(2)).await;
    assert_eq!(d.taken()[3..], [["j0"]]);
    outlet.close(clock::now()).await;
}

/// Scenario: a sender that waits, one of a tenant that has a share, a budget that limits records, and a request for one target that is large.
/// Guarantee: none of them is copied: the first is told the outcome at once, the others stay charged until they are delivered.
#[tokio::test(start_paused = true)]
async fn what_somebody_has_to_know_of_is_not_sorted() {
    let d = Destination::default();
    let outlet = sorting(&d, 2, 100, |_| ());
    let config = BudgetConfig { tenants: Some(Arc::default()), ..BudgetConfig::default() };
    let shared = Budget::new(config);
    let payload = logs("s", &["a0", "a1"]);
    let slot = outlet.reserve(&payload, false).unwrap();
    let (ack, told) = Ack::watched(None);
    outlet.push(payload, slot, ack, true);
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    for (tenant, records) in [(Some("t"), 0), (None, 1000)] {
        let budget =
            if records > 0 { Budget::new(BudgetConfig { records, ..BudgetConfig::default() }) } else { shared.clone() };
        let payload = logs("s", &["b0", "b1"]);
        let mut permit = budget.open(tenant).unwrap();
        permit.grow(payload.len()).unwrap();
        let charged = budget.bytes();
        let slot = outlet.reserve(&payload, false).unwrap();
        let meta = Arc::new(Meta { tenant: tenant.map(Into::into), ..Meta::default() });
        outlet.push(Payload { meta, ..payload }, slot, Ack::unwatched(Some(permit)), false);
        assert_eq!((budget.requests(), budget.bytes()), (1, charged));
        tokio::time::sleep(MS(201)).await;
        assert_eq!(budget.bytes(), 0);
    }
    let budget = Budget::new(BudgetConfig::default());
    let long = format!("{}0", "x".repeat(5000));
    let mut request = logs("s", &[&long, &long]);
    request.body.append(request.body.clone());
    push_to(&outlet, &budget, Payload { records: 4, ..request });
    assert_eq!(budget.requests(), 1);
    assert!(budget.bytes() < 21_000);
    tokio::time::sleep(MS(201)).await;
    assert_eq!(d.taken().last().unwrap().len(), 4);
    outlet.close(clock::now()).await;
}

/// Scenario: lanes that ended for want of work are still in the lineup when records come for their targets.
/// Guarantee: the records go to new lanes, and the next ones find those.
#[tokio::test(start_paused = true)]
async fn lanes_that_have_ended_are_replaced() {
    let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
    let outlet = sorting(&d, 2, 1, |config| config.lane_idle = MS(1000));
    for round in 0..3 {
        push_to(&outlet, &budget, logs("s", &["a0", "b1"]));
        tokio::time::sleep(MS(1)).await;
        assert_eq!((d.taken().len(), outlet.view().lanes.len()), (2 * (round + 1), 2));
        tokio::time::sleep(MS(2000)).await;
        assert!(outlet.view().lanes.iter().all(|lane| lane.state == "closing"));
    }
    outlet.close(clock::now()).await;
}

/// Scenario: a bad record in a batch of eight. Guarantee: the others are delivered, it alone is lost, and said so.
#[tokio::test(start_paused = true)]
async fn a_bad_record_costs_only_itself() {
    let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
    let outlet = sorting(&d, 2, 100, |_| ());
    push_to(&outlet, &budget, logs("s", &["a0", "b0", "c0"]));
    push_to(&outlet, &budget, logs("s", &["d0", "bad0", "e0", "f0", "g0"]));
    tokio::time::sleep(MS(201)).await;
    let mut taken = d.taken_ids();
    taken.sort();
    assert_eq!(taken, ["a0", "b0", "c0", "d0", "e0", "f0", "g0"]);
    let view = outlet.view();
    assert_eq!(view.stats.failed.iter().collect::<Vec<_>>(), [(Kind::BadData, 1)]);
    assert_eq!((view.queue_size, view.bytes, budget.bytes()), (0, 0, 0));
    outlet.close(clock::now()).await;
}

/// Scenario: a target is removed with a batch open for it; later all are, and one comes back. Guarantee: what was written goes to who is
/// there then; nobody waits for the interval that the old batch had left.
#[tokio::test(start_paused = true)]
async fn an_open_batch_of_a_removed_target_is_routed_again() {
    let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
    d.always(Some(Script::Answer(unavailable())));
    let outlet = sorting(&d, 2, 100, |_| ());
    push_to(&outlet, &budget, logs("s", &["a0", "a1"]));
    outlet.router().set(&targets(1..3));
    outlet.retire(|target| target.name() != "t0", MS(5)).await;
    d.always(None);
    tokio::time::sleep(MS(500)).await;
    let mut taken = d.taken_ids();
    taken.sort();
    assert_eq!(taken, ["a0", "a1"]);
    push_to(&outlet, &budget, logs("s", &["b0", "b1"]));
    d.always(Some(Script::Stall));
    outlet.router().set(&[]);
    outlet.retire(|_| false, MS(5)).await;
    d.always(None);
    outlet.router().set(&targets(7..8));
    outlet.retire(|_| true, MS(5)).await;
    tokio::time::sleep(MS(201)).await;
    assert_eq!(d.taken_ids().len(), 4);
    assert_eq!((outlet.view().bytes, budget.bytes()), (0, 0));
    outlet.close(clock::now()).await;
}

/// Scenario: the outlet closes with open batches, once while the destination takes, once while it is silent. Guarantee: the first are
/// sent without waiting for their interval; the second are counted as failed at the deadline; what comes after that is told.
#[tokio::test(start_paused = true)]
async fn the_end_sends_open_batches() {
    for takes in [true, false] {
        let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
        d.always((!takes).then_some(Script::Stall));
        // Some of it is gathered yet.
        let outlet = sorting(&d, 2, 100, |c| c.gather.as_mut().unwrap().per_target = 2);
        push_to(&outlet, &budget, logs("s", &["a0", "a1", "b0", "b1"]));
        push_to(&outlet, &budget, logs("s", &["c0"]));
        let start = clock::now();
        outlet.close(start + MS(50)).await;
        assert!(clock::now() - start <= MS(if takes { 1 } else { 60 }));
        let stats = outlet.view().stats;
        assert_eq!((stats.sent.get(), stats.failed.total()), if takes { (5, 0) } else { (0, 5) });
        assert_eq!((outlet.view().bytes, budget.bytes()), (0, 0));
        let late = push_to(&outlet, &budget, logs("s", &["d0", "d1"]));
        assert!(matches!(late, Outcome::Failed { why: Why { kind: Kind::Stopping, .. }, .. }), "{late:?}");
    }
}

/// Scenario: a target is dead for long while batches for it fill up, with and without compression. Guarantee: they wait as requests of full
/// size, compressed if that is asked for; from the lane's bound on senders are told; all that was taken is delivered later.
#[tokio::test(start_paused = true)]
async fn batches_of_a_dead_target_wait_within_its_bound() {
    for codec in [Codec::None, Codec::Zstd] {
        let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
        d.always(Some(Script::Answer(unavailable())));
        let outlet = sorting(&d, 2, 10, |c| {
            (c.codec, c.capacity.max_bytes, c.capacity.size) = (codec, 640_000, 100_000);
            c.retry.max_elapsed_time = Duration::ZERO;
        });
        let (mut taken, mut told) = (0, 0);
        for n in 0..400 {
            let id = format!("{n:0400}0");
            let request = logs("s", &[&id, &id]);
            let Ok(slot) = outlet.reserve(&request, false) else { break };
            let mut permit = budget.open(None).unwrap();
            permit.grow(request.len()).unwrap();
            match outlet.push(request, slot, Ack::unwatched(Some(permit)), false) {
                Outcome::Delivered => taken += 2,
                Outcome::Dropped { records, why } => {
                    assert_eq!(why.kind, Kind::LaneFull);
                    told += records;
                }
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(MS(1)).await;
        }
        // Two stuck lanes hold two thirds of three quarters.
        assert!(outlet.view().bytes <= 320_000);
        match codec {
            Codec::None => assert!(told > 0 && taken < 500, "{taken} {told}"),
            _ => assert!(told == 0 && taken == 800, "{taken} {told}"),
        }
        d.always(None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((d.taken_ids().len(), outlet.view().stats.sent.get()), (taken, taken as u64));
        assert!(d.taken().iter().rev().all(|batch| batch.len() <= 10));
        assert_eq!((outlet.view().bytes, budget.bytes()), (0, 0));
        outlet.close(clock::now()).await;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Wait(u64),
    Script(Script),
    Targets(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let script = prop_oneof![
        Just(Script::Answer(unavailable())),
        Just(Script::Take(MS(30))),
        Just(Script::Stall),
        Just(Script::Answer(crate::Attempt::Reject { why: Why::new(Kind::TooLarge, "large") })),
    ];
    prop_oneof![
        6 => proptest::collection::vec(0u8..10, 1..12).prop_map(Step::Push),
        3 => (0u64..400).prop_map(Step::Wait),
        2 => script.prop_map(Step::Script),
        1 => (0usize..4, 0usize..5).prop_map(|(from, count)| Step::Targets(from, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Scenario: any mixture of requests, pauses, answers and targets that come and go, then a while in which all goes well, and the end.
    /// Guarantee: every record that was taken is delivered at least once or counted as failed, nothing is lost or leaks, and all room is
    /// given back.
    #[test]
    fn nothing_is_lost(steps in proptest::collection::vec(step(), 1..60), max_records in 1usize..9, gather in 0u64..3) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
            let outlet = sorting(&d, 3, max_records, |c| {
                c.gather = Some(crate::gather::GatherConfig { per_target: gather, records: 8, bytes: 1 << 20, wait: MS(10) });
                c.lane_idle = MS(250);
            });
            let keeper = tokio::spawn({
                let outlet = outlet.clone();
                async move { outlet.keep().await }
            });
            let (mut n, mut pushed) = (0, vec![]);
            let mut retiring = tokio::task::JoinSet::new();
            for step in steps {
                match step {
                    Step::Push(digits) => {
                        let ids: Vec<String> = digits.iter().map(|digit| { n += 1; format!("{n}-{digit}") }).collect();
                        let request = logs(&format!("s{}", n % 3), &ids.iter().map(String::as_str).collect::<Vec<_>>());
                        let Ok(slot) = outlet.reserve(&request, false) else { continue };
                        let mut permit = budget.open(None).unwrap();
                        permit.grow(request.len()).unwrap();
                        assert_eq!(outlet.push(request, slot, Ack::unwatched(Some(permit)), false), Outcome::Delivered);
                        pushed.extend(ids);
                    }
                    Step::Wait(ms) => tokio::time::sleep(MS(ms)).await,
                    Step::Script(script) => d.script([script]),
                    Step::Targets(from, count) => {
                        let live = targets(from..from + count);
                        outlet.router().set(&live);
                        let outlet = outlet.clone();
                        retiring.spawn(async move { outlet.retire(|target| live.contains(target), MS(20)).await });
                        tokio::task::yield_now().await;
                    }
                }
            }
            outlet.router().set(&targets(0..3));
            outlet.retire(|_| true, MS(20)).await;
            while retiring.join_next().await.is_some() {}
            d.clear();
            tokio::time::sleep(Duration::from_secs(200)).await;
            outlet.close(clock::now() + MS(10)).await;
            keeper.abort();
            let stats = outlet.view().stats;
            let mut taken = d.taken_ids();
            taken.sort();
            taken.dedup();
            assert_eq!(taken.len() as u64 + stats.failed.total(), pushed.len() as u64);
            assert_eq!((outlet.view().queue_size, outlet.view().bytes, budget.bytes(), budget.requests()), (0, 0, 0, 0));
        });
    }
}

/// Scenario: tables for one pile after the other. Guarantee: records are in the order of their owners, those of one in their order.
#[test]
fn records_are_sorted_by_their_owners() {
    let mut tables = Tables::default();
    let request = logs("s", &["a1", "b0", "c1", "d2"]);
    for _ in 0..2 {
        assert!(tables.pile.add(request.signal, &request.body).unwrap());
        tables.pile.pick(&mut tables.picks);
        tables.owners.extend([1, 0, 1, 3]);
        tables.sort(4);
        assert_eq!(tables.ends, [1, 3, 3, 4]);
        let expected: Vec<Pick> = [1, 0, 2, 3].map(|n| tables.picks[n]).to_vec();
        assert_eq!(tables.order, expected);
        tables.clear();
    }
    assert_eq!(ids(&request).len(), 4);
}
