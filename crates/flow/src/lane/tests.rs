use super::*;
use crate::Ack;
use crate::Batch;
use crate::capacity::{Capacity, CapacityConfig, Sizer};
use crate::testing::{Destination, Script, logs, unavailable};
use proptest::prelude::*;
use tokio::sync::oneshot;

mod refused;

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

struct Bench {
    lane: Lane,
    capacity: Arc<Capacity>,
    context: Arc<Context<Destination>>,
}

impl Bench {
    fn new(d: &Destination, batch: BatchConfig, retry: RetryConfig) -> Bench {
        let context = Arc::new(Context {
            exporter: d.clone(),
            stats: Arc::default(),
            permits: Permits::new(2),
            scopes: Scopes::default(),
            alarms: Arc::default(),
            pace: Arc::default(),
            roster: Arc::default(),
            alone: Stands::default(),
            retry,
            batch,
            timeout: S(5),
            codec: Codec::None,
            is_direct: false,
            watch: Arc::new(()),
            durable: None,
            limits: LaneLimits::alone(2),
        });
        let capacity = Capacity::new(CapacityConfig { size: 1 << 30, sizer: Sizer::Items, max_bytes: 1 << 30 });
        Bench { lane: Lane::start(Target::new("t"), context.clone()), capacity, context }
    }

    fn item(&self, ids: &[&str], waits: bool) -> (Item, oneshot::Receiver<Outcome>) {
        let payload = logs("s", ids);
        let slot = self.capacity.take(payload.records, payload.len()).unwrap();
        let (ack, rx) = Ack::watched(None);
        let batch = Batch { payload, ack };
        (Item::new(batch, slot, clock::now(), waits), rx)
    }

    fn push(&self, ids: &[&str]) -> oneshot::Receiver<Outcome> {
        let (item, rx) = self.item(ids, false);
        self.lane.push(item).unwrap();
        rx
    }

    fn push_waiting(&self, ids: &[&str]) -> oneshot::Receiver<Outcome> {
        let (item, rx) = self.item(ids, true);
        self.lane.push(item).unwrap();
        rx
    }

    async fn end(self) -> Vec<Item> {
        self.lane.close(clock::now());
        self.lane.clone().ended().await.items
    }
}

fn batches(min: u64, max: usize) -> BatchConfig {
    BatchConfig { enabled: true, min_records: min, max_records: max, ..BatchConfig::default() }
}

fn steady() -> RetryConfig {
    RetryConfig { randomization_factor: 0.0, ..RetryConfig::default() }
}

/// Scenario: no batching. Guarantee: each request goes out as it came, in order, at once.
#[tokio::test(start_paused = true)]
async fn without_batching_requests_stay_what_they_were() {
    let d = Destination::default();
    let b = Bench::new(&d, BatchConfig::default(), steady());
    let start = clock::now();
    let waits: Vec<_> = ["1", "2", "3"].iter().map(|id| b.push(&[id])).collect();
    for rx in waits {
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    }
    assert_eq!(d.taken(), [["1"], ["2"], ["3"]]);
    assert!(clock::now() - start < MS(5));
    assert!(b.end().await.is_empty());
}

/// Scenario: batches of 4 records, 7 come. Guarantee: the first four leave when the fourth is there, the rest after the flush interval.
#[tokio::test(start_paused = true)]
async fn batches_leave_when_full_or_when_the_oldest_has_waited() {
    let d = Destination::default();
    let b = Bench::new(&d, batches(4, 0), steady());
    let start = clock::now();
    let full: Vec<_> = ["1", "2", "3", "4"].iter().map(|id| b.push(&[id])).collect();
    for rx in full {
        rx.await.unwrap();
    }
    assert!(clock::now() - start < MS(5));
    let rest: Vec<_> = ["5", "6", "7"].iter().map(|id| b.push(&[id])).collect();
    for rx in rest {
        rx.await.unwrap();
    }
    let waited = clock::now() - start;
    assert!(waited >= MS(200) && waited < MS(210), "{waited:?}");
    assert_eq!(d.taken(), [vec!["1", "2", "3", "4"], vec!["5", "6", "7"]]);
    b.end().await;
}

/// Scenario: a request of 10 records and batches of at most 4. Guarantee: it is split, its sender hears once, when all of it arrived.
#[tokio::test(start_paused = true)]
async fn a_larger_request_is_split_to_the_hard_cap() {
    let d = Destination::default();
    let b = Bench::new(&d, batches(4, 4), steady());
    let rx = b.push(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    assert!(d.taken().iter().all(|r| r.len() <= 4));
    let mut ids = d.taken_ids();
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!((b.capacity.size(), b.lane.bytes()), (0, 0));
    b.end().await;
}

/// Scenario: senders wait for delivery; the lane is idle, then busy for 50 ms. Guarantee: the first is sent at once, those that come meanwhile leave together when it is back.
#[tokio::test(start_paused = true)]
async fn senders_who_wait_are_not_kept_waiting() {
    let d = Destination::scripted([Script::Take(MS(50))]);
    let b = Bench::new(&d, batches(1000, 0), steady());
    let start = clock::now();
    let first = b.push_waiting(&["1"]);
    tokio::time::sleep(MS(10)).await;
    let second = b.push_waiting(&["2"]);
    let third = b.push_waiting(&["3"]);
    first.await.unwrap();
    assert!(clock::now() - start < MS(55));
    second.await.unwrap();
    third.await.unwrap();
    assert!(clock::now() - start < MS(60));
    assert_eq!(d.taken(), [vec!["1"], vec!["2", "3"]]);
    b.end().await;
}

/// Scenario: eight senders' records are merged, one is bad. Guarantee: only the bad one's sender is rejected, the others' data arrives once.
#[tokio::test(start_paused = true)]
async fn one_senders_bad_record_costs_nobody_elses_data() {
    let d = Destination::default();
    let b = Bench::new(&d, batches(8, 0), steady());
    let ids = ["0", "1", "2", "bad", "4", "5", "6", "7"];
    let waits: Vec<_> = ids.iter().map(|id| b.push(&[id])).collect();
    for (id, rx) in ids.iter().zip(waits) {
        match rx.await.unwrap() {
            Outcome::Delivered => assert_ne!(*id, "bad"),
            Outcome::Rejected { records: 1, .. } => assert_eq!(*id, "bad"),
            other => panic!("{id}: {other:?}"),
        }
    }
    let mut taken = d.taken_ids();
    taken.sort();
    assert_eq!(taken, ["0", "1", "2", "4", "5", "6", "7"]);
    assert_eq!(b.context.stats.failed.iter().collect::<Vec<_>>(), [(Kind::BadData, 1)]);
    assert_eq!(b.context.stats.sent.get(), 7);
    b.end().await;
}

/// Scenario: the destination says that a request of one sender is too large. Guarantee: it is halved until it fits.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_halved() {
    let too_large = || Script::Answer(Attempt::Reject { why: Why::new(Kind::TooLarge, "max 2") });
    let d = Destination::scripted([too_large(), too_large()]);
    let b = Bench::new(&d, BatchConfig::default(), steady());
    assert_eq!(b.push(&["1", "2", "3", "4"]).await.unwrap(), Outcome::Delivered);
    let mut taken = d.taken_ids();
    taken.sort();
    assert_eq!(taken, ["1", "2", "3", "4"]);
    b.end().await;
}

/// Scenario: two failures, then success. Guarantee: tried again after 5 s and 7.5 s more, as the collector does; nothing is sent twice.
#[tokio::test(start_paused = true)]
async fn retries_follow_the_collectors_schedule() {
    let d = Destination::scripted([Script::Answer(unavailable()), Script::Answer(unavailable())]);
    let b = Bench::new(&d, BatchConfig::default(), steady());
    let start = clock::now();
    assert_eq!(b.push(&["1"]).await.unwrap(), Outcome::Delivered);
    let at: Vec<_> = d.tries().iter().map(|t| (t.0 - start).as_secs_f32().mul_add(10.0, 0.0).round() / 10.0).collect();
    assert_eq!(at, [0.0, 5.0, 12.5]);
    b.end().await;
}

/// Scenario: a destination that is down for good. Guarantee: the request is given up within `max_elapsed_time` of its first attempt, told and counted as expired.
#[tokio::test(start_paused = true)]
async fn a_request_is_given_up_in_time() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let b = Bench::new(&d, BatchConfig::default(), steady());
    let start = clock::now();
    let waits: Vec<_> = (0..20).map(|n| b.push(&[&n.to_string()])).collect();
    for rx in waits {
        assert!(matches!(rx.await.unwrap(), Outcome::Failed { records: 1, .. }));
    }
    assert!(clock::now() - start <= S(300 * 20), "{:?}", clock::now() - start);
    assert_eq!(b.context.stats.failed.iter().collect::<Vec<_>>(), [(Kind::Expired, 20)]);
    assert_eq!((b.context.stats.waiting.get(), b.context.stats.in_flight.get(), b.lane.bytes()), (0, 0, 0));
    b.end().await;
}

/// Scenario: the destination asks for 20 s. Guarantee: nothing at all is sent to it for 20 s, then everything is.
#[tokio::test(start_paused = true)]
async fn a_destinations_wish_for_time_is_honoured() {
    let throttled =
        Attempt::Retry { after: Some(S(20)), why: Why::new(Kind::Throttled, "slow down"), scope: Scope::Target };
    let d = Destination::scripted([Script::Answer(throttled)]);
    let b = Bench::new(&d, BatchConfig::default(), steady());
    let start = clock::now();
    let first = b.push(&["1"]);
    tokio::time::sleep(MS(1)).await;
    let second = b.push(&["2"]);
    first.await.unwrap();
    second.await.unwrap();
    assert!(d.tries()[1..].iter().all(|t| t.0 - start >= S(20)));
    b.end().await;
}

/// Scenario: a stalled destination. Guarantee: an attempt ends at the timeout, and the lane's view says that it is halted, why, and how old its oldest record is.
#[tokio::test(start_paused = true)]
async fn a_stall_ends_at_the_timeout() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let b = Bench::new(&d, BatchConfig::default(), RetryConfig { max_elapsed_time: Duration::ZERO, ..steady() });
    let start = clock::now();
    let rx = b.push(&["1"]);
    tokio::time::sleep(S(40)).await;
    let view = b.lane.view();
    assert_ne!(view.state, "passing");
    assert_eq!(view.why.map(|why| why.kind), Some(Kind::Timeout));
    assert_eq!(view.until.is_some(), view.state == "halted");
    assert_eq!(view.oldest.map(|at| at - start), Some(Duration::ZERO));
    d.always(None);
    assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    let view = b.lane.view();
    assert_eq!((view.state, view.why, view.until), ("passing", None, None));
    assert_eq!(b.context.stats.retries.iter().next().unwrap().0, Kind::Timeout);
    b.end().await;
}

/// Scenario: a lane is closed while one request is stuck and others are queued. Guarantee: it ends by the deadline, hands back all of it, in order, and later pushes get their item back.
#[tokio::test(start_paused = true)]
async fn a_closing_lane_hands_back_what_it_could_not_send() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let b = Bench::new(&d, batches(2, 2), steady());
    let waits: Vec<_> = (0..9).map(|n| b.push(&[&n.to_string()])).collect();
    tokio::task::yield_now().await;
    let deadline = clock::now() + S(2);
    b.lane.close(deadline);
    let (item, _rx) = b.item(&["late"], false);
    let item = b.lane.push(item).unwrap_err();
    item.batch.ack.settle(Outcome::Delivered);
    let left = b.lane.clone().ended().await.items;
    assert!(clock::now() <= deadline + MS(2));
    let ids: Vec<_> = left.iter().flat_map(|i| crate::testing::ids(&i.batch.payload)).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    for item in left {
        item.batch.ack.settle(Outcome::failed(1, Why::new(Kind::Stopping, "")));
    }
    for rx in waits {
        assert!(matches!(rx.await.unwrap(), Outcome::Failed { .. }));
    }
    assert_eq!(b.lane.bytes(), 0);
}

/// Scenario: a lane is closed with time to spare and a slow but living destination. Guarantee: everything is sent, unfilled batches too.
#[tokio::test(start_paused = true)]
async fn a_closing_lane_sends_what_it_can() {
    let d = Destination::default();
    d.always(Some(Script::Take(MS(100))));
    let b = Bench::new(&d, batches(1000, 0), steady());
    let rx = b.push(&["1", "2"]);
    let start = clock::now();
    b.lane.close(start + S(10));
    assert!(b.lane.clone().ended().await.items.is_empty());
    assert!(clock::now() - start < MS(150));
    assert_eq!(rx.await.unwrap(), Outcome::Delivered);
}

#[derive(Clone, Debug)]
enum Step {
    Push { records: usize, waits: bool, bad: bool },
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (1usize..6, any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(records, waits, bad)| Step::Push {
        records,
        waits,
        bad,
    });
    prop::collection::vec(prop_oneof![3 => push, 1 => (0u64..20_000).prop_map(Step::Pass)], 1..40)
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let why = || Why::new(Kind::Unavailable, "down");
    let one = prop_oneof![
        4 => (0u64..2000).prop_map(|ms| Script::Take(MS(ms))),
        2 => Just(Script::Answer(unavailable())),
        1 => Just(Script::Stall),
        1 => (0u64..60).prop_map(move |s| Script::Answer(Attempt::Retry { after: Some(S(s)), why: why(), scope: Scope::Target })),
        1 => Just(Script::Answer(Attempt::Retry { after: None, why: Why::new(Kind::Auth, "key"), scope: Scope::Credential("key".into()) })),
        1 => Just(Script::Answer(Attempt::Reject { why: Why::new(Kind::BadData, "picky") })),
        1 => Just(Script::Answer(Attempt::Reject { why: Why::new(Kind::TooLarge, "big") })),
    ];
    prop::collection::vec(one, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Scenario: any sequence of requests meets any behaviour of the destination and any batching, and the lane is closed at the
    /// end. Guarantee: every sender hears exactly once; what was reported delivered is at the destination exactly once (nothing
    /// here answers after taking); what was not is not; counters, room and memory balance.
    #[test]
    fn conservation(steps in steps(), script in scripts(), min in 0u64..8, max in 0usize..8, enabled in any::<bool>(), grace in 0u64..400) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let d = Destination::scripted(script);
            let config = BatchConfig { enabled, min_records: min, max_records: if max > 0 { max.max(min as usize) } else { 0 }, ..BatchConfig::default() };
            let b = Bench::new(&d, config, RetryConfig::default());
            let (mut sent, mut next) = (vec![], 0);
            for step in steps {
                match step {
                    Step::Pass(ms) => tokio::time::sleep(MS(ms)).await,
                    Step::Push { records, waits, bad } => {
                        let ids: Vec<String> = (0..records).map(|n| format!("{}{}", if bad && n == 0 { "bad" } else { "" }, next + n)).collect();
                        next += records;
                        let (item, rx) = b.item(&ids.iter().map(String::as_str).collect::<Vec<_>>(), waits);
                        b.lane.push(item).unwrap();
                        sent.push((ids, rx));
                    }
                }
            }
            b.lane.close(clock::now() + S(grace));
            let left = b.lane.clone().ended().await.items;
            let returned = left.iter().map(|i| u64::from(i.batch.payload.records)).sum::<u64>();
            for item in left {
                let records = u64::from(item.batch.payload.records);
                item.batch.ack.settle(Outcome::failed(records, Why::new(Kind::Stopping, "")));
            }
            let mut taken = d.taken_ids();
            taken.sort();
            let before = taken.len();
            taken.dedup();
            assert_eq!(taken.len(), before, "something was delivered twice");
            let (mut delivered, mut lost) = (0, 0);
            for (ids, mut rx) in sent {
                let outcome = rx.try_recv().expect("every sender hears");
                let there = ids.iter().filter(|id| taken.binary_search(id).is_ok()).count() as u64;
                assert_eq!(there, ids.len() as u64 - outcome.lost(), "{ids:?} {outcome:?}");
                delivered += there;
                lost += outcome.lost();
            }
            let stats = &b.context.stats;
            assert_eq!(stats.sent.get(), delivered);
            assert_eq!(stats.failed.total() + returned, lost);
            assert_eq!((stats.waiting.get(), b.lane.bytes(), b.capacity.size(), b.capacity.bytes()), (0, 0, 0, 0));
        });
    }
}

/// Scenario: a target is down; what comes while it is halted is packed; then it recovers. Guarantee: what waits takes a fraction of what came,
/// is delivered in order, and the books are at 0 in the end; what is sent at once is never packed.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_halted_target_is_packed() {
    use crate::outlet::{Outgoing, Outlet, OutletConfig};
    let d = Destination::default();
    let config = OutletConfig { codec: Codec::Zstd, retry: steady(), ..OutletConfig::new("x", 1 << 30) };
    let outlet = Outlet::new(config, d.clone(), crate::router::Direct(Target::new("t")));
    let budget = crate::Budget::new(crate::BudgetConfig { request_cost: 0, ..crate::BudgetConfig::default() });
    let push = |n: usize| {
        let names: Vec<String> = (0..50).map(|k| format!("{n:03}-{k:02} a record like any other")).collect();
        let payload = logs("s", &names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut permit = budget.open(None).unwrap();
        permit.grow(payload.len()).unwrap();
        let slot = outlet.reserve(&payload, false).unwrap();
        let (ack, told) = Ack::watched(Some(permit));
        outlet.push(payload, slot, ack, false);
        (names, told)
    };
    let (mut expected, told) = push(0);
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!(outlet.view().lanes[0].size, 0);
    d.always(Some(Script::Answer(unavailable())));
    let mut waiting = vec![];
    for n in 1..100 {
        let (names, told) = push(n);
        expected.extend(names);
        waiting.push(told);
        tokio::time::sleep(MS(1)).await;
    }
    let lane = outlet.view().lanes.remove(0);
    assert_eq!(lane.state, "halted");
    assert!(lane.bytes * 3 < lane.size, "{} of {}", lane.bytes, lane.size);
    assert_eq!((outlet.view().bytes, budget.bytes()), (lane.bytes, lane.bytes));
    d.always(None);
    for told in waiting {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    let mut taken = d.taken_ids();
    taken.sort();
    assert_eq!(taken, expected);
    let lane = outlet.view().lanes.remove(0);
    assert_eq!((lane.bytes, lane.size, budget.bytes(), outlet.view().bytes), (0, 0, 0, 0));
    outlet.close(clock::now()).await;
}

/// Scenario: a packed backlog is sent while memory is above its soft limit, and while it is not. Guarantee: one request at a time is unpacked;
/// as many as may be under way.
#[tokio::test(start_paused = true)]
async fn a_backlog_is_unpacked_one_by_one_while_memory_is_short() {
    for (flood, expected) in [((1 << 20) - 20_000, 1), (0, 2)] {
        let d = Destination::default();
        d.always(Some(Script::Take(MS(100))));
        let b = Bench::new(&d, BatchConfig::default(), steady());
        let budget = crate::Budget::new(crate::BudgetConfig { bytes: 1 << 20, ..crate::BudgetConfig::default() });
        let mut waiting = vec![];
        for n in 0..10 {
            let (mut item, _) = b.item(&[&format!("{n}")], false);
            let (ack, told) = Ack::watched(budget.open(None).ok());
            std::mem::replace(&mut item.batch.ack, ack).settle(Outcome::Delivered);
            item.pack(Codec::Snappy);
            b.lane.push(item).unwrap();
            waiting.push(told);
        }
        let mut other = budget.open(None).unwrap();
        other.grow(flood).unwrap();
        let mut most = 0;
        for mut told in waiting {
            while told.try_recv().is_err() {
                most = most.max(b.context.stats.in_flight.get());
                tokio::time::sleep(MS(10)).await;
            }
        }
        assert_eq!(most, expected);
        assert!(b.end().await.is_empty());
    }
}

/// Scenario: the sizes of what there is for each of ten thousand lanes that wait. Guarantee: with their maps and the allocator's headers they stay
/// below the 2 KiB that `just many-targets` measures.
#[test]
fn a_lane_is_small() {
    assert!(size_of::<Shared>() <= 640, "{}", size_of::<Shared>());
    assert!(size_of::<worker::Worker<Destination>>() <= 960, "{}", size_of::<worker::Worker<Destination>>());
}
