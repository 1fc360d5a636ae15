use super::*;
use crate::capacity::Sizer;
use crate::router::{Direct, Routes};
use crate::testing::{ByService, Destination, Script, logs, unavailable};
use crate::{Attempt, BudgetConfig};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn direct(config: OutletConfig, d: &Destination) -> Outlet<Destination, Direct> {
    Outlet::new(config, d.clone(), Direct(Target::new("a")))
}

fn push<R: Router>(outlet: &Outlet<Destination, R>, payload: Payload) -> tokio::sync::oneshot::Receiver<Outcome> {
    let (ack, rx) = Ack::watched(None);
    let slot = outlet.reserve(&payload, false).unwrap();
    outlet.push(payload, slot, ack, true);
    rx
}

/// Scenario: one of ten thousand targets stalls for ever. Guarantee: the others deliver at once and the stalled one holds only its own data.
#[tokio::test(start_paused = true)]
async fn a_black_hole_harms_only_itself() {
    let d = Destination::scripted([Script::Stall]);
    let mut config = OutletConfig::new("x", 1 << 30);
    config.capacity.sizer = Sizer::Items;
    config.workers = 2;
    let outlet = Outlet::new(config, d.clone(), ByService);
    let start = clock::now();
    let _hole = push(&outlet, logs("target-h", &["h"]));
    tokio::task::yield_now().await;
    for n in 0..900 {
        let rx = push(&outlet, logs(&format!("target-{}", n % 5), &["x"]));
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    }
    assert!(clock::now() - start < MS(5), "took {:?}", clock::now() - start);
    assert_eq!(outlet.view().queue_size, 1);
    outlet.close(clock::now()).await;
}

/// Scenario: two workers, two targets that stall, a third that is healthy. Guarantee: after their first time-outs the stalled ones are halted and hold no worker; their probes take none either.
#[tokio::test(start_paused = true)]
async fn probes_of_dead_targets_never_hold_the_workers() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let mut config = OutletConfig::new("x", 1 << 30);
    config.workers = 2;
    config.retry.max_elapsed_time = Duration::ZERO;
    let outlet = Outlet::new(config, d.clone(), ByService);
    let holes: Vec<_> = (0..6).map(|n| push(&outlet, logs(&format!("target-{}", n % 2), &["h"]))).collect();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(outlet.view().lanes.iter().all(|l| l.state != "passing"), "{:?}", outlet.view().lanes);
    d.always(None);
    let start = clock::now();
    assert_eq!(push(&outlet, logs("target-9", &["x"])).await.unwrap(), Outcome::Delivered);
    assert!(clock::now() - start < MS(5));
    for hole in holes {
        assert_eq!(hole.await.unwrap(), Outcome::Delivered);
    }
    outlet.close(clock::now()).await;
}

/// Scenario: a lane with dynamic targets is idle for five minutes, then its target is needed again. Guarantee: the lane ends and a new one takes its place without loss.
#[tokio::test(start_paused = true)]
async fn an_idle_lane_ends_and_comes_back() {
    let d = Destination::default();
    let outlet = Outlet::new(OutletConfig::new("x", 1 << 30), d.clone(), ByService);
    assert_eq!(push(&outlet, logs("target-1", &["1"])).await.unwrap(), Outcome::Delivered);
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert!(outlet.view().lanes.is_empty(), "it leaves the others at once");
    assert_eq!(push(&outlet, logs("target-1", &["2"])).await.unwrap(), Outcome::Delivered);
    assert_eq!(outlet.view().lanes[0].state, "passing");
    assert_eq!(d.taken_ids(), ["1", "2"]);
    outlet.close(clock::now()).await;
}

/// Scenario: one dead target among several fills up. Guarantee: it is stopped at its bound, what it would have got is said and counted, and the others go on.
#[tokio::test(start_paused = true)]
async fn one_lane_cannot_take_the_whole_queue() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let outlet = Outlet::new(OutletConfig::new("x", 20_000), d.clone(), ByService);
    let mut shed = 0;
    let mut waits = vec![];
    for _ in 0..40 {
        let payload = logs("target-1", &["x"]);
        let (ack, rx) = Ack::watched(None);
        let Ok(slot) = outlet.reserve(&payload, false) else {
            panic!("the exporter's queue filled up before the lane's bound")
        };
        if outlet.push(payload, slot, ack, false) == Outcome::Delivered {
            waits.push(rx)
        } else {
            shed += 1
        }
        tokio::task::yield_now().await;
    }
    let view = outlet.view();
    assert!(shed > 0 && waits.len() >= 10 && view.bytes <= 8_750, "{shed} {view:?}");
    assert_eq!(view.stats.enqueue_failed.iter().collect::<Vec<_>>(), [(Kind::LaneFull, shed)]);
    d.always(None);
    assert_eq!(push(&outlet, logs("target-2", &["y"])).await.unwrap(), Outcome::Delivered);
    outlet.close(clock::now()).await;
    for rx in waits {
        let outcome = rx.await.unwrap();
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    }
}

/// Scenario: the same where senders wait for room, with requests that are routed only when they are pushed. Guarantee: who sends to the full lane
/// waits, who sends to another does not, and nothing is shed.
#[tokio::test(start_paused = true)]
async fn a_full_lane_is_waited_for() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let mut config = OutletConfig::new("x", 20_000);
    (config.block_on_overflow, config.timeout) = (true, MS(1000));
    config.retry.max_elapsed_time = Duration::ZERO;
    let outlet = Arc::new(Outlet::new(config, d.clone(), ByService));
    let mut waits = vec![];
    let kind = loop {
        let payload = logs("target-1", &["x"]);
        let (ack, rx) = Ack::watched(None);
        match outlet.reserve(&payload, false) {
            Ok(slot) => assert_eq!(outlet.push(payload, slot, ack, false), Outcome::Delivered),
            Err(why) => {
                ack.settle(Outcome::Delivered);
                break why.kind;
            }
        }
        waits.push(rx);
        tokio::task::yield_now().await;
    };
    assert_eq!(kind, Kind::LaneFull);
    let waiting = outlet.clone();
    let waiter = tokio::spawn(async move { waiting.wait(&logs("target-1", &["x"]), false, 1).await });
    tokio::time::sleep(MS(500)).await;
    assert!(!waiter.is_finished());
    let other = logs("target-2", &["y"]);
    let slot = tokio::time::timeout(MS(1), outlet.wait(&other, false, 1));
    let slot = slot.await.expect("it has nothing to do with the full lane");
    assert_eq!(outlet.push(other, slot, Ack::unwatched(None), false), Outcome::Delivered);
    d.always(None);
    drop(waiter.await.unwrap());
    for rx in waits {
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    }
    assert_eq!(outlet.view().stats.enqueue_failed.iter().count(), 0);
    outlet.close(clock::now()).await;
}

/// Scenario: nine hundred tenants are dead and fill up, in an exporter whose queue counts requests; a tenant that answers, and one that is new, go on
/// sending. Guarantee: the dead leave room: not one record of the others is refused, whatever the number of the dead.
#[tokio::test(start_paused = true)]
async fn the_dead_leave_room_whatever_their_number() {
    /// Every service is a target; those that begin with `dead` never answer.
    struct ByName;
    impl Router for ByName {
        fn route(&self, payload: Payload, out: &mut Routes) {
            out.extend(self.only(&payload).map(|target| (target, payload)));
        }

        fn only(&self, payload: &Payload) -> Option<Target> {
            let body = payload.body.contiguous();
            let at = body.windows(7).position(|w| w == b"target-")?;
            let len = body[at..].iter().take_while(|b| b.is_ascii_graphic()).count();
            Some(Target::new(String::from_utf8_lossy(&body[at..at + len]).into_owned()))
        }
    }
    #[derive(Clone)]
    struct Some900AreDead;
    impl Exporter for Some900AreDead {
        async fn send(&self, target: &Target, _: Payload, _: Instant) -> Attempt {
            if target.name().starts_with("target-dead") { unavailable() } else { Attempt::Sent }
        }
    }
    for dead in [1, 2, 900] {
        let mut config = OutletConfig::new("x", 1 << 30);
        config.retry.max_elapsed_time = Duration::ZERO;
        let outlet = Outlet::new(config, Some900AreDead, ByName);
        let offer = |name: String| {
            let payload = logs(&name, &["x"]);
            match outlet.reserve(&payload, false) {
                Ok(slot) => outlet.push(payload, slot, Ack::unwatched(None), false) == Outcome::Delivered,
                Err(why) => {
                    assert_eq!(why.kind, Kind::LaneFull);
                    false
                }
            }
        };
        let mut taken = 0;
        for n in 0..4_000 {
            taken += usize::from(offer(format!("target-dead{} ", n % dead)));
            if n % 100 == 0 {
                tokio::time::sleep(MS(10)).await;
            }
        }
        assert!((370..1_000).contains(&taken), "{dead}: {taken}");
        for n in 0..400 {
            assert!(offer("target-live ".to_owned()) && offer(format!("target-new{} ", n % 20)), "{dead}");
            tokio::time::sleep(MS(1)).await;
        }
        outlet.close(clock::now()).await;
    }
}

/// Scenario: a sender names more targets than there may be lanes. Guarantee: those beyond are refused, counted and said; the others go on.
#[tokio::test(start_paused = true)]
async fn lanes_are_bounded() {
    let config = OutletConfig { max_lanes: 3, ..OutletConfig::new("x", 1 << 30) };
    let outlet = Outlet::new(config, Destination::default(), ByService);
    for n in 0..9 {
        let payload = logs(&format!("target-{n}"), &["x", "y"]);
        let slot = outlet.reserve(&payload, false).unwrap();
        match outlet.push(payload, slot, Ack::unwatched(None), false) {
            Outcome::Delivered => assert!(n < 3),
            Outcome::Dropped { records, why } => assert_eq!((records, why.kind, n >= 3), (2, Kind::LaneLimit, true)),
            other => panic!("{other:?}"),
        }
    }
    let view = outlet.view();
    assert_eq!(
        (view.lanes.len(), view.stats.enqueue_failed.iter().collect::<Vec<_>>()),
        (3, vec![(Kind::LaneLimit, 12)])
    );
    assert_eq!(outlet.budget.lane_bytes(), 3 * crate::budget::LANE_COST);
    outlet.close(clock::now()).await;
    assert_eq!(outlet.budget.lane_bytes(), 0);
}

/// Scenario: a credential fails on one of many targets. Guarantee: all lanes halt together: one storm is not started per target; when it works again all go on.
#[tokio::test(start_paused = true)]
async fn a_dead_credential_halts_all_its_lanes() {
    let d = Destination::default();
    let dead = Attempt::Retry {
        after: None,
        why: Why::new(Kind::Auth, "expired token"),
        scope: crate::Scope::Credential("token".into()),
    };
    d.always(Some(Script::Answer(dead)));
    let mut config = OutletConfig::new("x", 1 << 30);
    config.capacity.size = 10_000;
    config.retry.max_elapsed_time = Duration::ZERO;
    let outlet = Outlet::new(config, d.clone(), ByService);
    let first = push(&outlet, logs("target-0", &["x"]));
    tokio::time::sleep(MS(1)).await;
    let rest: Vec<_> = (1..10).map(|n| push(&outlet, logs(&format!("target-{n}"), &["x"]))).collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(d.tries().len() < 20, "{} tries", d.tries().len());
    d.always(None);
    for rx in rest.into_iter().chain([first]) {
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    }
    outlet.close(clock::now()).await;
}

/// Scenario: the outlet is closed with a deadline while its destination is down. Guarantee: it ends by the deadline, every sender hears of its data, and the room and memory are given back.
#[tokio::test(start_paused = true)]
async fn closing_ends_in_time_and_tells_everyone() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let outlet = direct(OutletConfig::new("x", 1 << 30), &d);
    let budget = Budget::new(BudgetConfig::default());
    let mut waits = vec![];
    for n in 0..20 {
        let payload = logs("s", &[&format!("{n}")]);
        let mut permit = budget.open(None).unwrap();
        permit.grow(payload.len()).unwrap();
        let (ack, rx) = Ack::watched(Some(permit));
        let slot = outlet.reserve(&payload, false).unwrap();
        outlet.push(payload, slot, ack, false);
        waits.push(rx);
    }
    tokio::time::sleep(MS(100)).await;
    assert!(budget.bytes() > 0);
    let deadline = clock::now() + Duration::from_secs(3);
    outlet.close(deadline).await;
    assert!(clock::now() <= deadline + MS(10));
    for rx in waits {
        assert!(matches!(rx.await.unwrap(), Outcome::Failed { .. }));
    }
    assert_eq!((budget.bytes(), outlet.view().queue_size, outlet.view().bytes), (0, 0, 0));
    // Whoever comes after that is told so, instead of starting a lane that nobody ends.
    let payload = logs("s", &["late"]);
    let slot = outlet.reserve(&payload, false).unwrap();
    let (ack, rx) = Ack::watched(None);
    assert!(matches!(outlet.push(payload, slot, ack, false), Outcome::Failed { .. }));
    assert!(matches!(rx.await.unwrap(), Outcome::Failed { .. }));
}

/// Scenario: one attempt without a queue, to each kind of answer. Guarantee: the outcome says what the answer said.
#[tokio::test(start_paused = true)]
async fn a_direct_send_reports_what_the_destination_said() {
    let why = Why::new(Kind::Other, "w");
    let answers = [
        (Attempt::Sent, Outcome::Delivered),
        (Attempt::Partial { rejected: 1, why: why.clone() }, Outcome::Rejected { records: 1, why: why.clone() }),
        (Attempt::Reject { why: why.clone() }, Outcome::Rejected { records: 2, why: why.clone() }),
        (
            Attempt::Retry { after: Some(MS(7)), why: why.clone(), scope: crate::Scope::Target },
            Outcome::Failed { records: 2, why, retry_after: Some(MS(7)) },
        ),
    ];
    for (attempt, outcome) in answers {
        let outlet = direct(OutletConfig::new("x", 1 << 20), &Destination::scripted([Script::Answer(attempt)]));
        assert_eq!(outlet.send_now(logs("s", &["1", "2"])).await, outcome);
        let stats = outlet.view().stats;
        assert_eq!((stats.sent.get(), stats.failed.total()), (2 - outcome.lost(), outcome.lost()));
    }
}

/// Sends everything to whichever target is set.
#[derive(Default)]
struct Switch(Mutex<Option<Target>>);

impl Router for Switch {
    fn route(&self, payload: Payload, out: &mut Routes) {
        out.extend(self.0.lock().clone().map(|t| (t, payload)));
    }

    fn ready(&self) -> Result<(), Why> {
        self.0.lock().as_ref().map(|_| ()).ok_or_else(|| Why::new(Kind::NoTarget, "no backends resolved"))
    }
}

/// Scenario: the only backend stalls, is removed with data queued for it, and later another one appears. Guarantee: routing does not
/// wait for the drain, what could not be sent goes to the new backend, once, and nobody is told anything but delivery.
#[tokio::test(start_paused = true)]
async fn a_removed_backends_data_is_routed_again() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let outlet = Arc::new(Outlet::new(OutletConfig::new("x", 1 << 30), d.clone(), Switch::default()));
    assert_eq!(outlet.reserve(&logs("s", &["0"]), false).unwrap_err().kind, Kind::NoTarget);
    *outlet.router().0.lock() = Some(Target::new("old"));
    let waits: Vec<_> = ["1", "2", "3"].iter().map(|id| push(&outlet, logs("s", &[id]))).collect();
    tokio::task::yield_now().await;
    *outlet.router().0.lock() = None;
    let start = clock::now();
    let drain = tokio::spawn({
        let outlet = outlet.clone();
        async move { outlet.retire(|_| false, Duration::from_secs(2)).await }
    });
    tokio::task::yield_now().await;
    d.always(None);
    *outlet.router().0.lock() = Some(Target::new("new"));
    outlet.retire(|t| t.name() == "new", Duration::from_secs(2)).await;
    assert_eq!(push(&outlet, logs("s", &["4"])).await.unwrap(), Outcome::Delivered);
    assert!(clock::now() - start < MS(5), "routing waited for the drain");
    drain.await.unwrap();
    for rx in waits {
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    }
    let mut taken = d.taken_ids();
    taken.sort();
    assert_eq!(taken, ["1", "2", "3", "4"]);
    outlet.close(clock::now()).await;
}

/// Knows a target only until it is taken away; routes to the first that was there when it looked.
struct Fickle {
    named: Mutex<Vec<Target>>,
    known: Mutex<Vec<Target>>,
}

impl Router for Fickle {
    fn route(&self, payload: Payload, out: &mut Routes) {
        out.extend(self.named.lock().pop().map(|t| (t, payload)));
    }

    fn knows(&self, target: &Target) -> bool {
        self.known.lock().contains(target)
    }
}

/// Scenario: a target goes away between the moment a request is routed to it and the moment its lane is made.
/// Guarantee: no lane is made for it; the request is routed again, and waits if there is nothing else.
#[tokio::test(start_paused = true)]
async fn no_lane_is_made_for_a_target_that_went_away() {
    let d = Destination::default();
    let (old, new) = (Target::new("old"), Target::new("new"));
    let router = Fickle { named: Mutex::new(vec![new.clone(), old.clone()]), known: Mutex::new(vec![new.clone()]) };
    let outlet = Outlet::new(OutletConfig::new("x", 1 << 30), d.clone(), router);
    assert_eq!(push(&outlet, logs("s", &["1"])).await.unwrap(), Outcome::Delivered);
    let lanes: Vec<_> = outlet.view().lanes.into_iter().map(|lane| lane.target).collect();
    assert_eq!(lanes.len(), 1);
    assert_eq!(lanes[0], new);
    *outlet.router().named.lock() = vec![old];
    let waiting = push(&outlet, logs("s", &["2"]));
    *outlet.router().named.lock() = vec![new];
    outlet.retire(|_| true, MS(1)).await;
    assert_eq!(waiting.await.unwrap(), Outcome::Delivered);
    assert_eq!(d.taken_ids(), ["1", "2"]);
    outlet.close(clock::now()).await;
}

/// Hears everything.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Watch for Ear {
    fn formed(&self, target: &Target, request: &crate::batcher::Request, age: Duration, cause: crate::watch::Cause) {
        self.0.lock().push(format!("formed {target} {} {age:?} {}", request.payload.records, cause.as_str()));
    }

    fn halted(&self, target: &Target, why: &Why) {
        self.0.lock().push(format!("halted {target} {}", why.kind.as_str()));
    }

    fn passing(&self, target: &Target) {
        self.0.lock().push(format!("passing {target}"));
    }

    fn lost(&self, target: &Target, why: &Why, records: u64) {
        self.0.lock().push(format!("lost {target} {records} {}", why.kind.as_str()));
    }

    fn rerouted(&self, records: u64, found: bool) {
        self.0.lock().push(format!("rerouted {records} {found}"));
    }
}

/// Scenario: a target fails until it is halted, is probed in vain, then takes; another is removed while it stalls; a third rejects.
/// Guarantee: whoever listens hears of each, in order.
#[tokio::test(start_paused = true)]
async fn a_listener_hears_what_lanes_live_through() {
    let d = Destination::scripted((0..4).map(|_| Script::Answer(unavailable())));
    let ear = Arc::new(Ear::default());
    let mut config = OutletConfig::new("x", 1 << 30);
    config.retry.max_elapsed_time = Duration::ZERO;
    let outlet = Outlet::watched(config, Budget::of(1 << 30), d.clone(), Switch::default(), ear.clone());
    *outlet.router().0.lock() = Some(Target::new("a"));
    assert_eq!(push(&outlet, logs("s", &["1"])).await.unwrap(), Outcome::Delivered);
    let heard = std::mem::take(&mut *ear.0.lock());
    assert_eq!(heard, ["formed a 1 0ns direct", "halted a unavailable", "halted a unavailable", "passing a"]);
    d.always(Some(Script::Stall));
    let stalled = push(&outlet, logs("s", &["2"]));
    tokio::task::yield_now().await;
    *outlet.router().0.lock() = None;
    outlet.retire(|_| false, MS(10)).await;
    d.always(None);
    *outlet.router().0.lock() = Some(Target::new("b"));
    outlet.retire(|_| true, MS(10)).await;
    assert_eq!(stalled.await.unwrap(), Outcome::Delivered);
    assert!(matches!(push(&outlet, logs("s", &["bad"])).await.unwrap(), Outcome::Rejected { .. }));
    let heard = ear.0.lock().join(", ");
    for part in ["rerouted 1 false", "formed b 1", "lost b 1 bad_data"] {
        assert!(heard.contains(part), "{part} in {heard}");
    }
    outlet.close(clock::now()).await;
}

/// Scenario: the outlet is closed with a near deadline while a removed target drains with a far one. Guarantee: the drain ends by
/// the near one, and its sender is told.
#[tokio::test(start_paused = true)]
async fn closing_ends_drains_too() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let mut config = OutletConfig::new("x", 1 << 30);
    config.timeout = Duration::ZERO;
    let outlet = Arc::new(Outlet::new(config, d.clone(), Switch::default()));
    *outlet.router().0.lock() = Some(Target::new("a"));
    let told = push(&outlet, logs("s", &["1"]));
    tokio::task::yield_now().await;
    let drain = tokio::spawn({
        let outlet = outlet.clone();
        async move { outlet.retire(|_| false, Duration::from_secs(3600)).await }
    });
    tokio::task::yield_now().await;
    let start = clock::now();
    outlet.close(start + Duration::from_secs(2)).await;
    assert!(clock::now() - start <= Duration::from_millis(2100), "{:?}", clock::now() - start);
    assert!(matches!(told.await.unwrap(), Outcome::Failed { .. }));
    drain.await.unwrap();
    assert_eq!((outlet.view().queue_size, outlet.view().bytes), (0, 0));
}

/// Scenario: a request has been failing at one target for most of its time when that is removed. Guarantee: the next target has only
/// what is left of the time.
#[tokio::test(start_paused = true)]
async fn another_target_does_not_start_the_time_anew() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let mut config = OutletConfig::new("x", 1 << 30);
    config.retry.max_elapsed_time = Duration::from_secs(60);
    let outlet = Outlet::new(config, d.clone(), Switch::default());
    *outlet.router().0.lock() = Some(Target::new("a"));
    let start = clock::now();
    let told = push(&outlet, logs("s", &["1"]));
    tokio::time::sleep(Duration::from_secs(50)).await;
    *outlet.router().0.lock() = Some(Target::new("b"));
    outlet.retire(|t| t.name() == "b", MS(1)).await;
    assert!(matches!(told.await.unwrap(), Outcome::Failed { .. }));
    assert!(clock::now() - start <= Duration::from_secs(61), "{:?}", clock::now() - start);
    outlet.close(clock::now()).await;
}

/// Scenario: the last target goes away after room was taken, for two requests, 40 s apart; another one appears after 70 s. Guarantee: with 60 s to
/// be delivered the first is given up in time, counted as expired, and its room is free; the second is delivered.
#[tokio::test(start_paused = true)]
async fn what_has_no_target_expires_too() {
    let mut config = OutletConfig::new("x", 1 << 30);
    config.retry.max_elapsed_time = Duration::from_secs(60);
    let outlet = Arc::new(Outlet::new(config, Destination::default(), Switch::default()));
    let expiry = tokio::spawn({
        let outlet = outlet.clone();
        async move { outlet.keep().await }
    });
    let orphan = |id: &'static str| {
        *outlet.router().0.lock() = Some(Target::new("a"));
        let slot = outlet.reserve(&logs("s", &[id]), false).unwrap();
        *outlet.router().0.lock() = None;
        let (ack, told) = Ack::watched(None);
        assert_eq!(outlet.push(logs("s", &[id]), slot, ack, true), Outcome::Delivered);
        told
    };
    let start = clock::now();
    let first = orphan("1");
    tokio::time::sleep(Duration::from_secs(40)).await;
    let second = orphan("2");
    let Outcome::Failed { records: 1, why, .. } = first.await.unwrap() else { panic!() };
    assert_eq!((why.kind, clock::now() - start), (Kind::Expired, Duration::from_secs(60)));
    let view = outlet.view();
    assert_eq!((view.queue_size, view.stats.failed.iter().collect::<Vec<_>>()), (1, vec![(Kind::Expired, 1)]));
    tokio::time::sleep(Duration::from_secs(10)).await;
    *outlet.router().0.lock() = Some(Target::new("b"));
    outlet.retire(|_| true, MS(1)).await;
    assert_eq!(second.await.unwrap(), Outcome::Delivered);
    expiry.abort();
    outlet.close(clock::now()).await;
}

/// Sends the halves of a request to two targets.
struct Both;

impl Router for Both {
    fn route(&self, payload: Payload, out: &mut Routes) {
        out.push((Target::new("a"), payload.clone()));
        out.push((Target::new("b"), payload));
    }
}

/// Scenario: a direct send where there is no target, and one to two targets that take a second each. Guarantee: what went nowhere is
/// not delivered; the two are tried at once.
#[tokio::test(start_paused = true)]
async fn a_direct_send_goes_to_all_at_once_and_never_nowhere() {
    let outlet = Outlet::new(OutletConfig::new("x", 1 << 20), Destination::default(), Switch::default());
    let Outcome::Failed { records: 2, why, .. } = outlet.send_now(logs("s", &["1", "2"])).await else { panic!() };
    assert_eq!(why.kind, Kind::NoTarget);
    let d = Destination::default();
    d.always(Some(Script::Take(Duration::from_secs(1))));
    let outlet = Outlet::new(OutletConfig::new("x", 1 << 20), d.clone(), Both);
    let start = clock::now();
    assert_eq!(outlet.send_now(logs("s", &["1"])).await, Outcome::Delivered);
    assert_eq!((clock::now() - start, d.taken().len()), (Duration::from_secs(1), 2));
}

/// A destination whose targets `hole-…` never answer.
#[derive(Default, Clone)]
struct Holes(Destination);

impl Exporter for Holes {
    async fn send(&self, target: &Target, request: Payload, deadline: Instant) -> Attempt {
        if target.name().starts_with("hole") {
            std::future::pending::<()>().await;
        }
        self.0.send(target, request, deadline).await
    }
}

/// Scenario: 1 000 black holes and behind them 20 healthy targets, none seen before. Guarantee: each of the healthy ones has its first
/// delivery within five seconds.
#[tokio::test(start_paused = true)]
async fn black_holes_do_not_starve_first_contacts() {
    let mut config = OutletConfig::new("x", 1 << 30);
    config.capacity.size = 10_000;
    let outlet = Outlet::new(config, Holes::default(), Switch::default());
    let start = clock::now();
    let push = |name: String| {
        *outlet.router().0.lock() = Some(Target::new(name));
        let (ack, rx) = Ack::watched(None);
        let payload = logs("s", &["x"]);
        let slot = outlet.reserve(&payload, false).unwrap();
        outlet.push(payload, slot, ack, true);
        rx
    };
    let _holes: Vec<_> = (0..1000).map(|n| push(format!("hole-{n}"))).collect();
    tokio::task::yield_now().await;
    let healthy: Vec<_> = (0..20).map(|n| push(format!("healthy-{n}"))).collect();
    for told in healthy {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert!(clock::now() - start < Duration::from_secs(5), "{:?}", clock::now() - start);
    outlet.close(clock::now()).await;
}

/// Breaks the lane that tells it of a request, once.
#[derive(Default)]
struct BreaksOnce(std::sync::atomic::AtomicBool);

impl Watch for BreaksOnce {
    fn formed(&self, _: &Target, _: &crate::batcher::Request, _: Duration, _: crate::watch::Cause) {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "the first one breaks");
    }
}

/// Scenario: the task of a lane panics while it has requests. Guarantee: it is counted, all of them arrive once, in order.
#[tokio::test(start_paused = true)]
async fn a_lane_that_breaks_is_mended() {
    let (d, budget) = (Destination::default(), Budget::new(BudgetConfig::default()));
    let outlet = Outlet::watched(
        OutletConfig::new("x", 1 << 30),
        budget,
        d.clone(),
        Direct(Target::new("a")),
        Arc::new(BreaksOnce::default()),
    );
    let told: Vec<_> = ["1", "2", "3"].iter().map(|id| push(&outlet, logs("s", &[id]))).collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert_eq!((d.taken_ids().concat(), outlet.view().stats.lane_panics.get()), ("123".to_owned(), 1));
    outlet.close(clock::now()).await;
    assert_eq!((outlet.view().queue_size, outlet.view().bytes), (0, 0));
}

/// Scenario: two thousand targets that are down, on a schedule of a second, for two minutes; then all are well. Guarantee: they are tried a bounded number of times
/// a second, in turn, and once the first of them is found well all are within three seconds.
#[tokio::test(start_paused = true)]
async fn many_dead_targets_are_tried_in_turn() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let mut config = OutletConfig::new("x", 1 << 30);
    config.capacity.size = 10_000;
    (config.retry.initial_interval, config.retry.max_interval) = (MS(1000), MS(1000));
    config.retry.max_elapsed_time = Duration::ZERO;
    let outlet = Outlet::new(config, d.clone(), Switch::default());
    let waits: Vec<_> = (0..2000)
        .map(|n| {
            *outlet.router().0.lock() = Some(Target::new(format!("t{n}")));
            push(&outlet, logs("s", &[&n.to_string()]))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = d.tries().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tries = d.tries().split_off(before);
    assert!((3_000..=4_000).contains(&tries.len()), "{}", tries.len());
    let tried: std::collections::HashSet<_> = tries.iter().map(|(_, ids)| ids[0].clone()).collect();
    assert!(tried.len() >= 1_990, "{} of 2000 had their turn", tried.len());
    let start = clock::now();
    d.always(None);
    for rx in waits {
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
    }
    assert!(clock::now() - start < Duration::from_secs(3), "{:?}", clock::now() - start);
    outlet.close(clock::now()).await;
}
