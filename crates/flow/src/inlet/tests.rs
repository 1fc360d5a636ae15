use super::*;
use crate::capacity::Sizer;
use crate::clock::Calendar;
use crate::outlet::{Outlet, OutletConfig};
use crate::router::{Direct, Router, Routes};
use crate::spool::testing::SimDisk;
use crate::spool::{Spool, StorageConfig};
use crate::testing::{Destination, Script, logs, unavailable};
use crate::{Attempt, Budget, BudgetConfig, Target, clock};

struct House {
    inlet: Inlet,
    budget: Budget,
    outlets: Vec<Arc<dyn Outgoing>>,
}

impl House {
    fn new(config: InletConfig, budget: BudgetConfig, exporters: &[(&Destination, OutletConfig)]) -> House {
        let outlets: Vec<Arc<dyn Outgoing>> = exporters
            .iter()
            .map(|(d, c)| Arc::new(Outlet::new(c.clone(), (*d).clone(), Direct(Target::new("t")))) as Arc<dyn Outgoing>)
            .collect();
        let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: outlets.clone() };
        let inlet = Inlet::new(Signal::Logs, Opening { funnels: vec![funnel], config }, Arc::default());
        House { inlet, budget: Budget::new(budget), outlets }
    }

    async fn offer(&self, payload: Payload) -> Result<Accepted, Refusal> {
        let mut permit = self.budget.open(None)?;
        permit.grow(payload.len())?;
        self.inlet.offer(payload, permit).await
    }

    async fn close(self) {
        for outlet in &self.outlets {
            outlet.close(clock::now()).await;
        }
        assert_eq!((self.budget.bytes(), self.budget.records(), self.budget.requests()), (0, 0, 0));
    }
}

fn queue(size: u64) -> OutletConfig {
    let mut config = OutletConfig::new("x", 1 << 30);
    (config.capacity.size, config.capacity.sizer) = (size, Sizer::Items);
    config
}

fn config(acknowledge: Acknowledge, sync: bool) -> InletConfig {
    InletConfig { acknowledge, sync, ..InletConfig::default() }
}

fn queued() -> InletConfig {
    config(Acknowledge::Queued, false)
}

/// Scenario: the destination stalls. Guarantee: a queued request is answered at once; memory is held until it is settled.
#[tokio::test(start_paused = true)]
async fn queued_is_answered_at_once() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, queue(100))]);
    assert_eq!(house.offer(logs("s", &["1"])).await, Ok(Accepted::ALL));
    assert!(house.budget.bytes() > 0);
    assert_eq!(house.inlet.stats().accepted.get(), 1);
    house.close().await;
}

/// Scenario: `acknowledge: delivered` with each fate. Guarantee: the sender hears of delivery, of rejected records as a partial success, of failure as a refusal it may retry.
#[tokio::test(start_paused = true)]
async fn delivered_waits_for_the_fate() {
    let d = Destination::scripted([Script::Take(Duration::from_millis(70))]);
    let house = House::new(config(Acknowledge::Delivered, false), BudgetConfig::default(), &[(&d, queue(100))]);
    let start = clock::now();
    assert_eq!(house.offer(logs("s", &["1"])).await, Ok(Accepted::ALL));
    assert_eq!((clock::now() - start).as_millis() / 10, 7);
    assert_eq!(house.offer(logs("s", &["bad2", "bad3"])).await.unwrap().rejected().unwrap().0, 2);
    d.always(Some(Script::Answer(unavailable())));
    let refusal = house.offer(logs("s", &["4"])).await.unwrap_err();
    assert!(refusal.retry_after.is_some());
    house.close().await;
}

/// Scenario: the budget is between its limits, with a mixed request, a routine one, and one of errors only. Guarantee: errors enter, routine records are shed, and the sender is told how many.
#[tokio::test(start_paused = true)]
async fn above_the_soft_limit_only_priority_enters() {
    let d = Destination::default();
    let house = House::new(
        queued(),
        BudgetConfig { bytes: 10_000, request_cost: 0, ..BudgetConfig::default() },
        &[(&d, queue(100))],
    );
    let mut ballast = house.budget.open(None).unwrap();
    ballast.grow(9_100).unwrap();
    let mixed = house.offer(logs("s", &["r1", "!e1", "r2"])).await.unwrap();
    assert_eq!(mixed.rejected().map(|(n, why)| (n, why.kind)), Some((2, Kind::SoftLimit)));
    let routine = house.offer(logs("s", &["r3"])).await.unwrap();
    assert_eq!(routine.rejected().unwrap().0, 1);
    assert_eq!(house.offer(logs("s", &["!e2"])).await, Ok(Accepted::ALL));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(d.taken_ids(), ["!e1", "!e2"]);
    assert_eq!(house.inlet.stats().shed.iter().collect::<Vec<_>>(), [(Kind::SoftLimit, 3)]);
    assert_eq!(house.inlet.stats().accepted.get(), 2);
    drop(ballast);
    house.close().await;
}

/// Scenario: two exporters, one dead with a full queue. Guarantee: the healthy one gets everything; the sender is told what the dead one missed; nothing waits.
#[tokio::test(start_paused = true)]
async fn a_full_exporter_costs_the_others_nothing() {
    let (healthy, dead) = (Destination::default(), Destination::default());
    dead.always(Some(Script::Stall));
    let house = House::new(queued(), BudgetConfig::default(), &[(&healthy, queue(100)), (&dead, queue(2))]);
    let start = clock::now();
    let mut reported = 0;
    for n in 0..50 {
        reported += house.offer(logs("s", &[&n.to_string()])).await.unwrap().rejected().map_or(0, |(n, _)| n);
    }
    assert!(clock::now() - start < Duration::from_millis(50));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((healthy.taken_ids().len(), reported), (50, 48));
    let stats = house.outlets[1].view().stats;
    assert_eq!(stats.enqueue_failed.iter().collect::<Vec<_>>(), [(Kind::QueueFull, 48)]);
    house.close().await;
}

/// Scenario: the only exporter's queue is full. Guarantee: the whole request is refused with a delay, nothing of it is kept.
#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_with_a_delay() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, queue(1))]);
    house.offer(logs("s", &["1"])).await.unwrap();
    let held = house.budget.bytes();
    let refusal = house.offer(logs("s", &["2"])).await.unwrap_err();
    assert_eq!(refusal.why.kind, Kind::QueueFull);
    assert!(refusal.retry_after.is_some());
    assert_eq!(house.budget.bytes(), held);
    assert_eq!(house.inlet.stats().refused.iter().collect::<Vec<_>>(), [(Kind::QueueFull, 1)]);
    house.close().await;
}

/// Scenario: `block_on_overflow` and a slow destination. Guarantee: the sender waits for room instead of being refused.
#[tokio::test(start_paused = true)]
async fn a_blocking_queue_makes_the_sender_wait() {
    let d = Destination::default();
    d.always(Some(Script::Take(Duration::from_millis(100))));
    let mut blocking = queue(1);
    blocking.block_on_overflow = true;
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, blocking)]);
    let start = clock::now();
    for n in 0..4 {
        assert_eq!(house.offer(logs("s", &[&n.to_string()])).await, Ok(Accepted::ALL));
    }
    assert_eq!((clock::now() - start).as_millis() / 10, 30);
    house.close().await;
}

/// Two pipelines that share an exporter each with another one of their own, all with queues of `size` that senders wait for.
fn crossed(size: u64, d: &Destination) -> (Arc<Inlet>, Budget) {
    let outlet = || -> Arc<dyn Outgoing> {
        let mut blocking = queue(size);
        (blocking.block_on_overflow, blocking.capacity.sizer) = (true, Sizer::Requests);
        Arc::new(Outlet::new(blocking, d.clone(), Direct(Target::new("t"))))
    };
    let (a, b) = (outlet(), outlet());
    let funnel = |outlets: [&Arc<dyn Outgoing>; 2]| {
        let outlets = outlets.into_iter().cloned().collect();
        Funnel { name: "logs".into(), stages: vec![], outlets }
    };
    let funnels = vec![funnel([&a, &b]), funnel([&b, &a])];
    let inlet = Inlet::new(Signal::Logs, Opening { funnels, config: queued() }, Arc::default());
    (Arc::new(inlet), Budget::new(BudgetConfig::default()))
}

/// Scenario: two pipelines that end in the same two exporters in opposite order, which senders wait for, with room for few requests and sixteen
/// senders at once. Guarantee: all of them are answered and everything is delivered: nobody waits with room in his hand.
#[tokio::test(start_paused = true)]
async fn senders_do_not_wait_for_each_other() {
    for size in [1, 2, 8] {
        let d = Destination::default();
        d.always(Some(Script::Take(Duration::from_millis(3))));
        let (inlet, budget) = crossed(size, &d);
        let senders: Vec<_> = (0..16)
            .map(|sender| {
                let (inlet, budget) = (inlet.clone(), budget.clone());
                tokio::spawn(async move {
                    for n in 0..20 {
                        let payload = logs("s", &[&format!("{sender}-{n}")]);
                        let mut permit = budget.open(None).unwrap();
                        permit.grow(payload.len()).unwrap();
                        assert_eq!(inlet.offer(payload, permit).await, Ok(Accepted::ALL));
                    }
                })
            })
            .collect();
        let all = async {
            for sender in senders {
                sender.await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("senders wait for each other");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(d.taken_ids().len(), 16 * 20 * 4);
        assert_eq!((budget.bytes(), budget.requests()), (0, 0));
    }
}

/// Scenario: an exporter is full and nothing of it drains, while thousands of requests are refused; then one whose queue is limited by bytes.
/// Guarantee: every sender is told ten seconds, a fifth more or less: what is refused drains nothing.
#[tokio::test(start_paused = true)]
async fn a_dead_queue_says_ten_seconds() {
    for sizer in [Sizer::Requests, Sizer::Items, Sizer::Bytes] {
        let d = Destination::default();
        d.always(Some(Script::Stall));
        let mut config = queue(200);
        config.capacity.sizer = sizer;
        let house = House::new(queued(), BudgetConfig::default(), &[(&d, config)]);
        while house.offer(logs("s", &["1"])).await.is_ok() {}
        tokio::time::sleep(Duration::from_secs(2)).await;
        for n in 0..3_000 {
            let refusal = house.offer(logs("s", &["2"])).await.unwrap_err();
            let delay = refusal.retry_after.unwrap().as_secs_f64();
            assert!((8.0..=12.0).contains(&delay), "{sizer:?} {n}: {delay}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        house.close().await;
    }
}

/// Offers `refused` for twelve seconds, to an inlet whose exporter is full, and fails unless each is refused with ten seconds, a fifth more or less.
async fn says_ten_seconds(inlet: &Inlet, budget: &Budget, kind: Kind) {
    let offer = || async {
        // An error: routine records would be shed before.
        let payload = logs("s", &["!2"]);
        let mut permit = budget.open(None).unwrap();
        permit.grow(payload.len()).unwrap();
        inlet.offer(payload, permit).await
    };
    for _ in 0..10_000 {
        if offer().await.is_err() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for n in 0..4_000 {
        let refusal = offer().await.unwrap_err();
        let delay = refusal.retry_after.unwrap().as_secs_f64();
        assert_eq!(refusal.why.kind, kind);
        assert!((8.0..=12.0).contains(&delay), "{kind:?} {n}: {delay}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn single(outlet: Arc<dyn Outgoing>, acknowledge: Acknowledge) -> Inlet {
    let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: vec![outlet] };
    Inlet::new(Signal::Logs, Opening { funnels: vec![funnel], config: config(acknowledge, false) }, Arc::default())
}

/// Scenario: the backend is dead and the queue on disk is full; a lane of one of many targets is; there is no target at all and the queue of those who
/// wait for one is full. Thousands of requests are refused meanwhile. Guarantee: each is told ten seconds, a fifth more or less.
#[tokio::test(start_paused = true)]
async fn whatever_is_full_says_ten_seconds() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let budget = Budget::of(1 << 20);

    let storage = StorageConfig { max_bytes: 5_000, ..StorageConfig::new("/spool") };
    let disk = Arc::new(SimDisk::new(1));
    let spool = Spool::open_on(disk, Calendar::new(), storage, Signal::Logs, "x").unwrap();
    let watch = Arc::new(());
    let durable =
        Outlet::durable(queue(u64::MAX), budget.clone(), d.clone(), Direct(Target::new("t")), watch, spool.clone());
    says_ten_seconds(&single(durable.clone(), Acknowledge::Durable), &budget, Kind::QueueFull).await;
    durable.close(clock::now()).await;
    spool.close().await;

    let mut known = queue(u64::MAX);
    known.retry.max_elapsed_time = Duration::ZERO;
    let many = Arc::new(Outlet::within(known, budget.clone(), d.clone(), Named));
    says_ten_seconds(&single(many.clone(), Acknowledge::Queued), &budget, Kind::LaneFull).await;
    many.close(clock::now()).await;

    let none = Arc::new(Outlet::within(queue(10), budget.clone(), d, Nowhere));
    says_ten_seconds(&single(none.clone(), Acknowledge::Queued), &budget, Kind::NoTarget).await;
    none.close(clock::now()).await;
    assert_eq!(budget.bytes(), 0);
}

/// All to one of many targets, known before.
struct Named;

impl Router for Named {
    fn route(&self, payload: Payload, out: &mut Routes) {
        out.push((Target::new("t"), payload));
    }

    fn only(&self, _: &Payload) -> Option<Target> {
        Some(Target::new("t"))
    }
}

/// There is no target now.
struct Nowhere;

impl Router for Nowhere {
    fn route(&self, _: Payload, _: &mut Routes) {}

    fn ready(&self) -> Result<(), Why> {
        Err(Why::new(Kind::NoTarget, "no backend is known"))
    }
}

/// Scenario: a stalled exporter with `block_on_overflow` and little memory. Guarantee: senders wait at its bound, whether their records are routine or
/// not; when it takes data again everything is delivered, nothing was shed.
#[tokio::test(start_paused = true)]
async fn who_waits_loses_nothing() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let mut blocking = queue(1 << 20);
    (blocking.block_on_overflow, blocking.capacity.max_bytes) = (true, 50_000);
    (blocking.timeout, blocking.retry.max_elapsed_time) = (Duration::from_secs(1), Duration::ZERO);
    let house = Arc::new(House::new(queued(), BudgetConfig::default(), &[(&d, blocking)]));
    let senders: Vec<_> = (0..200)
        .map(|n| {
            let house = house.clone();
            tokio::spawn(async move { house.offer(logs("s", &[&n.to_string()])).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(senders.iter().any(|sender| !sender.is_finished()));
    d.always(None);
    for sender in senders {
        assert_eq!(sender.await.unwrap(), Ok(Accepted::ALL));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(d.taken_ids().len(), 200);
    Arc::into_inner(house).unwrap().close().await;
}

/// Scenario: `ingest: sync`. Guarantee: the answer waits for one attempt, nothing is queued, a failure is the sender's to retry.
#[tokio::test(start_paused = true)]
async fn sync_ingest_queues_nothing() {
    let d = Destination::scripted([Script::Take(Duration::from_millis(30)), Script::Answer(unavailable())]);
    let house = House::new(config(Acknowledge::Queued, true), BudgetConfig::default(), &[(&d, queue(100))]);
    assert_eq!(house.offer(logs("s", &["1"])).await, Ok(Accepted::ALL));
    assert_eq!(d.taken_ids(), ["1"]);
    assert_eq!(house.offer(logs("s", &["2"])).await.unwrap_err().why.kind, Kind::Unavailable);
    assert_eq!(house.outlets[0].view().queue_size, 0);
    house.close().await;
}

/// Scenario: an empty request. Guarantee: success, nothing is sent.
#[tokio::test(start_paused = true)]
async fn an_empty_request_is_a_success() {
    let d = Destination::default();
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, queue(1))]);
    assert_eq!(house.offer(Payload::new(Signal::Logs, bytes::Bytes::new(), 0)).await, Ok(Accepted::ALL));
    assert!(d.tries().is_empty());
    house.close().await;
}

/// Scenario: the pipelines behind an inlet are exchanged while requests flow. Guarantee: every request goes to exactly one side.
#[tokio::test(start_paused = true)]
async fn a_reopened_inlet_loses_and_doubles_nothing() {
    let (old, new) = (Destination::default(), Destination::default());
    let house = House::new(queued(), BudgetConfig::default(), &[(&old, queue(1000))]);
    let replacement: Arc<dyn Outgoing> = Arc::new(Outlet::new(queue(1000), new.clone(), Direct(Target::new("t"))));
    let door = house.inlet.sharing(Arc::default());
    for n in 0..100 {
        if n == 50 {
            let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: vec![replacement.clone()] };
            house.inlet.reopen(Opening { funnels: vec![funnel], config: queued() });
        }
        let payload = logs("s", &[&n.to_string()]);
        let mut permit = house.budget.open(None).unwrap();
        permit.grow(payload.len()).unwrap();
        door.offer(payload, permit).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((old.taken_ids().len(), new.taken_ids().len()), (50, 50));
    replacement.close(clock::now()).await;
    house.close().await;
}

/// Scenario: the last pipeline is taken away while a request is on its way in. Guarantee: it is refused, not swallowed.
#[tokio::test(start_paused = true)]
async fn without_a_pipeline_nothing_is_accepted() {
    let d = Destination::default();
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, queue(100))]);
    house.inlet.reopen(Opening { funnels: vec![], config: queued() });
    let refusal = house.offer(logs("s", &["1"])).await.unwrap_err();
    assert_eq!(refusal.why.kind, Kind::NoTarget);
    assert!(refusal.retry_after.is_some());
    assert_eq!(house.inlet.stats().accepted.get(), 0);
    house.close().await;
}

/// Scenario: a sender waits for delivery and hangs up before it. Guarantee: its data is still delivered, and counted as taken in.
#[tokio::test(start_paused = true)]
async fn a_sender_that_hangs_up_loses_nothing() {
    let d = Destination::scripted([Script::Take(Duration::from_secs(2))]);
    let house = House::new(config(Acknowledge::Delivered, false), BudgetConfig::default(), &[(&d, queue(100))]);
    assert!(tokio::time::timeout(Duration::from_secs(1), house.offer(logs("s", &["1", "2"]))).await.is_err());
    assert_eq!(house.inlet.stats().accepted.get(), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(d.taken_ids(), ["1", "2"]);
    house.close().await;
}

/// Scenario: two exporters, one stalled at nearly what it may hold. Guarantee: errors still enter it and routine records do
/// not; the healthy one gets everything; the sender is told the number.
#[tokio::test(start_paused = true)]
async fn an_exporters_bound_has_a_soft_limit_too() {
    let (healthy, stalled) = (Destination::default(), Destination::default());
    stalled.always(Some(Script::Stall));
    let small = |bytes| {
        let mut config = queue(1_000_000);
        config.capacity.max_bytes = bytes;
        config
    };
    let house = House::new(queued(), BudgetConfig::default(), &[(&healthy, small(1 << 20)), (&stalled, small(20_000))]);
    let mut reported = 0;
    for n in 0..40 {
        reported += house.offer(logs("s", &[&format!("{n:02}")])).await.unwrap().rejected().map_or(0, |(n, _)| n);
    }
    assert!(house.outlets[1].is_short(&logs("s", &["r"])) && reported > 0, "{reported}");
    let mixed = house.offer(logs("s", &["!e", "r"])).await.unwrap();
    assert_eq!(mixed.rejected().map(|(n, why)| (n, why.kind)), Some((1, Kind::SoftLimit)));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(healthy.taken_ids().len(), 42);
    stalled.always(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stalled.taken_ids().contains(&"!e".to_owned()));
    assert_eq!(stalled.taken_ids().len() as u64, 41 - reported);
    house.close().await;
}

/// Scenario: a limiter is written, memory is above the soft limit, and a request with routine and priority records comes, before and after its
/// body is read. Guarantee: it is refused as a whole, with a delay, and nothing is shed or reported as rejected.
#[tokio::test(start_paused = true)]
async fn a_written_limiter_refuses_instead_of_shedding() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let budget = BudgetConfig { records: 10, soft: 0.5, sheds: false, ..BudgetConfig::default() };
    let house = House::new(queued(), budget, &[(&d, queue(100))]);
    let mut early = house.budget.open(None).unwrap();
    let late = logs("s", &["6", "!7"]);
    early.grow(late.len()).unwrap();
    assert_eq!(house.offer(logs("s", &["1", "2", "3", "4", "5"])).await, Ok(Accepted::ALL));
    let refusal = house.inlet.offer(late, early).await.unwrap_err();
    assert_eq!(refusal.why.kind, Kind::SoftLimit);
    assert!(refusal.retry_after.is_some());
    assert_eq!(house.offer(logs("s", &["8"])).await.unwrap_err().why.kind, Kind::SoftLimit);
    assert_eq!(house.inlet.stats().shed.total(), 0);
    house.close().await;
}

/// Scenario: an exporter without queue and retries; its destination fails and is halted, then 40 requests come one after the other.
/// Guarantee: each is answered at once, with the rest of the halt, and the destination is not bothered; afterwards it is asked again.
#[tokio::test(start_paused = true)]
async fn a_halted_destination_without_a_queue_is_told_at_once() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let mut outlet = queue(1 << 20);
    (outlet.wait_for_result, outlet.is_direct, outlet.retry.enabled) = (true, true, false);
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, outlet)]);
    for n in 0..3 {
        assert_eq!(house.offer(logs("s", &[&n.to_string()])).await.unwrap_err().why.kind, Kind::Unavailable);
    }
    let (start, tries) = (clock::now(), d.tries().len());
    for n in 0..40 {
        let refusal = house.offer(logs("s", &[&n.to_string()])).await.unwrap_err();
        assert_eq!(refusal.why.kind, Kind::Unavailable);
        let delay = refusal.retry_after.unwrap();
        assert!(delay > Duration::from_secs(1) && delay <= Duration::from_secs(8), "{delay:?}");
    }
    assert!(clock::now() - start < Duration::from_millis(100));
    assert_eq!(d.tries().len(), tries);
    d.clear();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(house.offer(logs("s", &["back"])).await, Ok(Accepted::ALL));
    house.close().await;
}

/// Scenario: an exporter without a queue is slow; a sender gives up while its request waits behind another. Guarantee: the abandoned request is
/// never sent.
#[tokio::test(start_paused = true)]
async fn an_abandoned_request_is_not_sent_later() {
    let d = Destination::scripted([Script::Take(Duration::from_secs(3))]);
    let mut outlet = queue(1 << 20);
    (outlet.wait_for_result, outlet.is_direct, outlet.workers) = (true, true, 1);
    let house = House::new(queued(), BudgetConfig::default(), &[(&d, outlet)]);
    let impatient = async {
        let offer = house.offer(logs("s", &["left"]));
        assert!(tokio::time::timeout(Duration::from_secs(1), offer).await.is_err());
    };
    let (first, ()) = tokio::join!(house.offer(logs("s", &["first"])), impatient);
    assert_eq!(first, Ok(Accepted::ALL));
    assert_eq!(house.offer(logs("s", &["next"])).await, Ok(Accepted::ALL));
    assert_eq!(d.taken_ids(), ["first", "next"]);
    house.close().await;
}

/// Scenario: a destination asks for 7 s, and for an absurd time; senders wait through a lane, or send without one (`ingest: sync`).
/// Guarantee: they are told 7 s, and five minutes at most.
#[tokio::test(start_paused = true)]
async fn a_destinations_delay_reaches_its_sender() {
    let asks = |secs| {
        let why = crate::Why::new(Kind::Throttled, "later");
        Script::Answer(Attempt::Retry { after: Some(Duration::from_secs(secs)), why, scope: crate::Scope::Target })
    };
    for sync in [false, true] {
        for (asked, told) in [(7, 7), (u64::MAX, 300)] {
            let d = Destination::scripted([asks(asked)]);
            let mut outlet = queue(100);
            (outlet.wait_for_result, outlet.retry.enabled) = (true, false);
            let house = House::new(config(Acknowledge::Queued, sync), BudgetConfig::default(), &[(&d, outlet)]);
            let refusal = house.offer(logs("s", &["1"])).await.unwrap_err();
            assert_eq!(refusal.retry_after, Some(Duration::from_secs(told)), "sync: {sync}");
            house.close().await;
        }
    }
}

/// Scenario: senders wait for a destination that stalls, and their receiver is told to end. Guarantee: each is told before the deadline that it
/// may come again; what came through another door goes on waiting.
#[tokio::test(start_paused = true)]
async fn who_still_waits_at_the_end_is_answered() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let outlet = OutletConfig { timeout: Duration::ZERO, ..queue(100) };
    let house = House::new(config(Acknowledge::Delivered, false), BudgetConfig::default(), &[(&d, outlet)]);
    let (stopper, stop) = crate::Stopper::new();
    let door = house.inlet.clone().until(stop);
    let offer = async {
        let mut permit = house.budget.open(None).unwrap();
        let payload = logs("s", &["1"]);
        permit.grow(payload.len()).unwrap();
        door.offer(payload, permit).await
    };
    let start = clock::now();
    let ((), refusal) = tokio::join!(async { stopper.stop(Duration::from_secs(10)) }, offer);
    let refusal = refusal.unwrap_err();
    assert_eq!((refusal.why.kind, refusal.retry_after), (Kind::Stopping, Some(Duration::from_secs(1))));
    assert_eq!(clock::now() - start, Duration::from_secs(9));
    let other = house.offer(logs("s", &["2"]));
    assert!(tokio::time::timeout(Duration::from_secs(60), other).await.is_err());
    for outlet in &house.outlets {
        outlet.close(clock::now()).await;
    }
}

/// Scenario: one of two exporters keeps its queue on a disk that is full. Guarantee: a request is refused for all, with a delay, and the other
/// exporter has nothing of it; once there is space it is taken by both, once.
#[tokio::test]
async fn disk_trouble_at_one_exporter_is_retryable_for_the_sender() {
    use crate::clock::Calendar;
    use crate::spool::testing::{Fault, SimDisk};
    use crate::spool::{Spool, StorageConfig};
    let (a, b, disk) = (Destination::default(), Destination::default(), SimDisk::new(1));
    let storage = StorageConfig::new("/spool");
    let spool = Spool::open_on(Arc::new(disk.clone()), Calendar::new(), storage, Signal::Logs, "a").unwrap();
    let mut house = House::new(config(Acknowledge::Durable, false), BudgetConfig::default(), &[(&b, queue(100))]);
    let (to, watch) = (Direct(Target::new("a")), Arc::new(()));
    let durable = Outlet::durable(queue(100), house.budget.clone(), a.clone(), to, watch, spool);
    house.outlets.insert(0, durable);
    let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: house.outlets.clone() };
    house.inlet.reopen(Opening { funnels: vec![funnel], config: config(Acknowledge::Durable, false) });
    disk.fault(Some(Fault::Full));
    // The first finds out, and is told so; those after it are refused at the door.
    assert_eq!(house.offer(logs("s", &["0"])).await.unwrap_err().why.kind, Kind::Disk);
    for n in ["1", "2"] {
        let refusal = house.offer(logs("s", &[n])).await.unwrap_err();
        assert_eq!((refusal.why.kind, refusal.retry_after), (Kind::Disk, Some(DISK_AGAIN)));
    }
    disk.fault(None);
    // The queue tries its disk again by itself; what is offered before that is refused as a whole.
    while house.offer(logs("s", &["1"])).await != Ok(Accepted::ALL) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while a.taken_ids().is_empty() || b.taken_ids().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((a.taken_ids(), b.taken_ids()), (vec!["1".to_owned()], vec!["0".to_owned(), "1".to_owned()]));
    for outlet in &house.outlets {
        outlet.close(clock::now()).await;
    }
}

/// A destination that takes gzip as it came.
struct Gzipped(Destination);

impl crate::Exporter for Gzipped {
    fn coding(&self) -> Option<Coding> {
        Some(Coding::Gzip)
    }

    async fn send(&self, target: &Target, request: Payload, deadline: std::time::Instant) -> Attempt {
        self.0.send(target, request, deadline).await
    }
}

/// Scenario: pipelines with and without an exporter that sends gzip, and with a stage before it. Guarantee: what requests came in is worth
/// keeping only where it may leave so: with that coding, and where nothing changes requests.
#[tokio::test]
async fn what_requests_came_in_is_kept_where_it_may_leave_so() {
    struct Idle;
    impl Stage for Idle {
        fn apply(&self, _: &mut crate::Staged) {}
    }
    let plain: Arc<dyn Outgoing> =
        Arc::new(Outlet::new(queue(100), Destination::default(), Direct(Target::new("plain"))));
    let gzipped: Arc<dyn Outgoing> =
        Arc::new(Outlet::new(queue(100), Gzipped(Destination::default()), Direct(Target::new("gzip"))));
    let funnel = |stages: &[Arc<dyn Stage>], outlets: &[&Arc<dyn Outgoing>]| Funnel {
        name: "logs".into(),
        stages: stages.to_vec(),
        outlets: outlets.iter().map(|outlet| Arc::clone(outlet)).collect(),
    };
    let idle: [Arc<dyn Stage>; 1] = [Arc::new(Idle)];
    let cases = [
        (vec![], false),
        (vec![funnel(&[], &[&plain])], false),
        (vec![funnel(&[], &[&plain, &gzipped])], true),
        (vec![funnel(&idle, &[&gzipped])], false),
        (vec![funnel(&idle, &[&gzipped]), funnel(&[], &[&gzipped])], true),
    ];
    for (case, (funnels, keeps)) in cases.into_iter().enumerate() {
        let inlet = Inlet::new(Signal::Logs, Opening { funnels, config: queued() }, Arc::default());
        assert_eq!((inlet.keeps(Coding::Gzip), inlet.keeps(Coding::Zstd)), (keeps, false), "case {case}");
    }
    for outlet in [plain, gzipped] {
        outlet.close(clock::now()).await;
    }
}
