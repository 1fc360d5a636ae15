use super::*;
use crate::budget::BudgetConfig;
use crate::clock::Calendar;
use crate::outlet::{Outgoing, OutletConfig};
use crate::router::Direct;
use crate::spool::StorageConfig;
use crate::spool::testing::{Fault, SimDisk};
use crate::testing::{ByService, Destination, Script, ids, logs, unavailable};
use crate::{Attempt, Budget, Scope};
use proptest::prelude::*;
use tokio::sync::oneshot;
use wire::Signal;

const SECOND: Duration = Duration::from_secs(1);

/// An exporter with storage on a simulated disk, and the means to take it down and up again.
struct Bench<R: Router = Direct> {
    disk: SimDisk,
    calendar: Calendar,
    destination: Destination,
    config: OutletConfig,
    storage: StorageConfig,
    budget: Budget,
    spool: Arc<Spool>,
    outlet: Arc<Outlet<Destination, R>>,
}

fn config() -> OutletConfig {
    let mut config = OutletConfig::new("x", 1 << 20);
    config.capacity.size = u64::MAX;
    config.retry.max_elapsed_time = Duration::ZERO;
    config
}

impl Bench {
    fn new() -> Bench {
        Bench::with(config(), StorageConfig::new("/spool"), Direct(Target::new("a")))
    }
}

impl<R: Router> Bench<R> {
    fn with(config: OutletConfig, storage: StorageConfig, router: R) -> Bench<R> {
        Bench::on((SimDisk::new(1), Calendar::new()), Destination::default(), config, storage, router)
    }

    fn on(
        (disk, calendar): (SimDisk, Calendar),
        destination: Destination,
        config: OutletConfig,
        storage: StorageConfig,
        router: R,
    ) -> Bench<R> {
        let budget = Budget::new(BudgetConfig { bytes: 1 << 22, ..BudgetConfig::default() });
        let spool = Spool::open_on(Arc::new(disk.clone()), calendar, storage.clone(), Signal::Logs, "x").unwrap();
        let (d, watch) = (destination.clone(), Arc::new(()));
        let outlet = Outlet::durable(config.clone(), budget.clone(), d, router, watch, spool.clone());
        Bench { disk, calendar, destination, config, storage, budget, spool, outlet }
    }

    /// Hands a request over, as an inlet does.
    fn send(&self, payload: Payload) -> Result<oneshot::Receiver<Outcome>, Why> {
        let mut permit = self.budget.open(None).unwrap();
        permit.grow(payload.len()).unwrap();
        let held = Ack::unwatched(Some(permit));
        let (told, heard) = held.fork().watch();
        match self.outlet.reserve(&payload, true) {
            Ok(slot) => {
                self.outlet.store(payload, slot, told, held);
                Ok(heard)
            }
            Err(why) => {
                told.settle(Outcome::Delivered);
                held.settle(Outcome::Delivered);
                Err(why)
            }
        }
    }

    /// Hands ids over and waits until they are on disk.
    async fn keep(&self, ids: &[&str]) {
        assert_eq!(self.send(logs("s", ids)).unwrap().await.unwrap(), Outcome::Delivered);
    }

    /// Waits until nothing is on disk.
    async fn drained(&self) {
        self.spool.until(|| (self.spool.totals().pieces == 0).then_some(())).await;
    }

    /// The process ends in order and starts again.
    async fn restart(self, router: R) -> Bench<R> {
        self.outlet.close(clock::now()).await;
        self.spool.close().await;
        let Bench { disk, calendar, destination, config, storage, .. } = self;
        Bench::on((disk, calendar), destination, config, storage, router)
    }

    async fn end(self) {
        self.outlet.close(clock::now()).await;
        self.spool.close().await;
        assert_eq!(self.budget.bytes(), 0, "every permit is given back");
    }
}

/// Scenario: a request to a target that works. Guarantee: its sender is told once it is on disk, it is delivered, and then nothing
/// of it is left on disk or in memory.
#[tokio::test(start_paused = true)]
async fn what_is_kept_is_delivered_and_then_forgotten() {
    let b = Bench::new();
    b.keep(&["1", "2"]).await;
    b.drained().await;
    assert_eq!(b.destination.taken_ids(), ["1", "2"]);
    assert_eq!(b.outlet.view().stats.sent.get(), 2);
    b.end().await;
}

/// Scenario: the target is down for a minute while requests come in. Guarantee: every sender is told of success, no memory is held
/// for what waits, and when it is up again everything arrives once, in order.
#[tokio::test(start_paused = true)]
async fn a_halted_target_costs_disk_and_no_memory() {
    let b = Bench::new();
    b.destination.always(Some(Script::Answer(unavailable())));
    for n in 0..200 {
        b.keep(&[&format!("{n:03}")]).await;
    }
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(b.outlet.view().lanes[0].state, "halted");
    assert_eq!((b.outlet.view().bytes, b.budget.bytes()), (0, 0));
    assert_eq!(b.spool.totals().records, 200);
    b.destination.always(None);
    b.drained().await;
    let expected: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
    let mut taken = b.destination.taken_ids();
    taken.sort();
    assert_eq!(taken, expected);
    b.end().await;
}

/// Scenario: the process ends while the target is down, and starts again. Guarantee: what was kept is delivered then, in order.
#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_was() {
    let mut config = config();
    config.workers = 1;
    let b = Bench::with(config, StorageConfig::new("/spool"), Direct(Target::new("a")));
    b.destination.always(Some(Script::Stall));
    for n in 0..20 {
        b.keep(&[&format!("{n:03}")]).await;
    }
    let b = b.restart(Direct(Target::new("a"))).await;
    b.destination.always(None);
    assert_eq!(b.spool.stats().recovered.get(), 20);
    b.drained().await;
    let expected: Vec<String> = (0..20).map(|n| format!("{n:03}")).collect();
    assert_eq!(b.destination.taken_ids(), expected);
    b.end().await;
}

/// Scenario: batches are on, and 50 pieces wait on disk for a target that comes back. Guarantee: they are merged within the limit.
#[tokio::test(start_paused = true)]
async fn what_waits_on_disk_is_batched_too() {
    let mut config = config();
    config.batch =
        crate::batcher::BatchConfig { enabled: true, min_records: 10, max_records: 10, ..Default::default() };
    let b = Bench::with(config, StorageConfig::new("/spool"), Direct(Target::new("a")));
    b.destination.always(Some(Script::Answer(unavailable())));
    for n in 0..50 {
        b.keep(&[&format!("{n:03}")]).await;
    }
    tokio::time::sleep(30 * SECOND).await;
    b.destination.always(None);
    b.drained().await;
    let sizes: Vec<usize> = b.destination.taken().iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 50);
    assert!(sizes.iter().all(|n| *n <= 10) && sizes.len() <= 10, "{sizes:?}");
    b.end().await;
}

/// Scenario: the disk is full, then has room again. Guarantee: the sender is told to come back, nothing is kept, and the next one
/// after the trouble is taken.
#[tokio::test(start_paused = true)]
async fn a_full_disk_is_answered() {
    let b = Bench::new();
    b.disk.fault(Some(Fault::Full));
    let outcome = b.send(logs("s", &["1"])).unwrap().await.unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed { why, retry_after: Some(_), .. } if why.kind == Kind::Disk),
        "{outcome:?}"
    );
    assert_eq!(b.send(logs("s", &["2"])).unwrap_err().kind, Kind::Disk);
    // What is refused at the door the inlet counts.
    assert_eq!(b.outlet.view().stats.enqueue_failed.total(), 1);
    b.disk.fault(None);
    tokio::time::sleep(2 * SECOND).await;
    b.keep(&["3"]).await;
    b.drained().await;
    assert_eq!(b.destination.taken_ids(), ["3"]);
    assert!(b.spool.trouble().is_none());
    b.end().await;
}

/// Scenario: a piece can be given up after ten seconds, and the process restarts in between. Guarantee: the time counts from the
/// first attempt, over the restart; the piece becomes a dead letter with its reason, and the lane goes on.
#[tokio::test(start_paused = true)]
async fn time_to_deliver_runs_over_a_restart() {
    let mut config = config();
    config.retry.max_elapsed_time = 40 * SECOND;
    // Tries at 0, 5, 12.5 and 23.75 s: spread, the fourth may come before the restart, and be the last.
    config.retry.randomization_factor = 0.0;
    let b = Bench::with(config, StorageConfig::new("/spool"), Direct(Target::new("a")));
    b.destination.always(Some(Script::Answer(unavailable())));
    b.keep(&["1", "2"]).await;
    tokio::time::sleep(20 * SECOND).await;
    let b = b.restart(Direct(Target::new("a"))).await;
    b.drained().await;
    let (letters, view) = (b.spool.dead_letters().unwrap(), b.outlet.view());
    assert_eq!(view.stats.failed.iter().collect::<Vec<_>>(), [(Kind::Expired, 2)]);
    let all = letters.list(&Default::default(), 10).unwrap();
    assert_eq!((all.len(), all[0].reason.as_str(), all[0].records), (1, "expired", 2));
    b.destination.always(None);
    b.keep(&["3"]).await;
    b.drained().await;
    assert_eq!(b.destination.taken_ids(), ["3"]);
    b.end().await;
}

/// Scenario: one bad record among others in a merged request that was read from disk. Guarantee: it alone becomes a dead letter.
#[tokio::test(start_paused = true)]
async fn a_bad_piece_alone_becomes_a_dead_letter() {
    let mut config = config();
    config.batch = crate::batcher::BatchConfig { enabled: true, min_records: 8, max_records: 8, ..Default::default() };
    let b = Bench::with(config, StorageConfig::new("/spool"), Direct(Target::new("a")));
    b.destination.always(Some(Script::Answer(unavailable())));
    for id in ["1", "2", "bad", "3", "4", "5", "6", "7"] {
        b.keep(&[id]).await;
    }
    tokio::time::sleep(30 * SECOND).await;
    b.destination.always(None);
    b.drained().await;
    let mut taken = b.destination.taken_ids();
    taken.sort();
    assert_eq!(taken, ["1", "2", "3", "4", "5", "6", "7"]);
    let letters = b.spool.dead_letters().unwrap().list(&Default::default(), 10).unwrap();
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "bad_data"));
    b.end().await;
}

/// Scenario: one bad record within one sender's request on disk, sent while it is in memory too, and after it was on disk only. Guarantee: that record
/// alone becomes a dead letter, the others arrive once, and nothing stays.
#[tokio::test(start_paused = true)]
async fn a_bad_record_alone_becomes_a_dead_letter() {
    for is_down_at_first in [false, true] {
        let b = Bench::new();
        if is_down_at_first {
            b.destination.always(Some(Script::Answer(unavailable())));
        }
        b.keep(&["1", "2", "bad", "3", "4", "5", "6", "7"]).await;
        if is_down_at_first {
            tokio::time::sleep(10 * SECOND).await;
            b.destination.always(None);
        }
        b.drained().await;
        let mut taken = b.destination.taken_ids();
        taken.sort();
        assert_eq!(taken, ["1", "2", "3", "4", "5", "6", "7"]);
        let letters = b.spool.dead_letters().unwrap().list(&Default::default(), 10).unwrap();
        assert_eq!((letters.len(), letters[0].reason.as_str(), letters[0].records), (1, "bad_data", 1));
        b.end().await;
    }
}

/// Scenario: a piece on disk is too large for its destination. Guarantee: it is read and divided until its parts are taken.
#[tokio::test(start_paused = true)]
async fn a_piece_that_is_too_large_is_divided() {
    let large = Attempt::Reject { why: Why::new(Kind::TooLarge, "large") };
    let b = Bench::new();
    b.destination.always(Some(Script::Answer(unavailable())));
    b.keep(&["1", "2", "3", "4"]).await;
    tokio::time::sleep(30 * SECOND).await;
    b.destination.script([Script::Answer(large.clone()), Script::Answer(large)]);
    b.destination.always(None);
    b.drained().await;
    let mut taken = b.destination.taken_ids();
    taken.sort();
    assert_eq!(taken, ["1", "2", "3", "4"]);
    b.end().await;
}

/// Scenario: a thousand targets are dead, each with ten requests. Guarantee: no payload is in memory for them; all arrive when they
/// come back.
#[tokio::test(start_paused = true)]
async fn many_halted_targets_need_no_memory() {
    struct ByFirst;
    impl Router for ByFirst {
        fn route(&self, payload: Payload, out: &mut Routes) {
            let name = ids(&payload)[0].split('-').next().unwrap().to_owned();
            out.push((Target::new(name), payload));
        }
    }
    let b = Bench::with(config(), StorageConfig::new("/spool"), ByFirst);
    b.destination.always(Some(Script::Answer(unavailable())));
    for n in 0..3_000 {
        drop(b.send(logs("s", &[&format!("{}-{n}", n % 300)])).unwrap().await);
    }
    tokio::time::sleep(120 * SECOND).await;
    let view = b.outlet.view();
    assert_eq!((view.bytes, b.budget.bytes()), (0, 0));
    assert!(view.lanes.iter().all(|lane| lane.state != "passing"));
    b.destination.always(None);
    b.drained().await;
    assert_eq!(b.destination.taken_ids().len(), 3_000);
    b.end().await;
}

/// Scenario: the spool is full, under each policy. Guarantee: refused by default; with `dead_letter_oldest` the newest is taken and
/// the oldest of the fattest target becomes a dead letter.
#[tokio::test(start_paused = true)]
async fn a_full_spool_does_what_it_is_told() {
    for policy in [WhenFull::Refuse, WhenFull::DeadLetterOldest] {
        let storage = StorageConfig { max_bytes: 300, when_full: policy, ..StorageConfig::new("/spool") };
        let b = Bench::with(config(), storage, ByService);
        b.destination.always(Some(Script::Answer(unavailable())));
        let mut refused = 0;
        for n in 0..20 {
            match b.send(logs("target-1", &[&format!("{n:02}")])) {
                Ok(heard) => assert_eq!(heard.await.unwrap(), Outcome::Delivered),
                Err(why) => {
                    assert_eq!(why.kind, Kind::QueueFull);
                    refused += 1;
                }
            }
            tokio::time::sleep(10 * SECOND).await;
        }
        let buried = b.spool.dead_letters().unwrap().list(&Default::default(), 100).unwrap().len();
        match policy {
            WhenFull::DeadLetterOldest => assert!(refused == 0 && buried > 5, "{refused} {buried}"),
            _ => assert!(refused > 5 && buried == 0, "{refused} {buried}"),
        }
        b.destination.always(None);
        b.drained().await;
        assert_eq!(b.destination.taken_ids().len() + buried + refused, 20);
        b.end().await;
    }
}

/// Scenario: a reload puts another outlet in the place of one whose target is down. Guarantee: what is on disk goes to the new one.
#[tokio::test(start_paused = true)]
async fn a_new_outlet_takes_over_what_is_on_disk() {
    let b =
        Bench::with(OutletConfig { workers: 1, ..config() }, StorageConfig::new("/spool"), Direct(Target::new("a")));
    b.destination.always(Some(Script::Answer(unavailable())));
    for n in 0..5 {
        b.keep(&[&n.to_string()]).await;
    }
    let other = Destination::default();
    let watch = Arc::new(());
    let router = Direct(Target::new("b"));
    let (spool, budget) = (b.spool.clone(), b.budget.clone());
    // In order means one after the other.
    let one_by_one = OutletConfig { workers: 1, ..config() };
    let new = Outlet::durable(one_by_one, budget, other.clone(), router, watch, spool);
    b.outlet.close(clock::now() + SECOND).await;
    b.drained().await;
    assert_eq!(other.taken_ids(), ["0", "1", "2", "3", "4"]);
    new.close(clock::now()).await;
    b.end().await;
}

/// Scenario: a request is on its way to disk while a reload puts an outlet with another target in the place of its own. Guarantee: it goes to the new
/// target.
#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_to_disk_goes_to_the_new_target() {
    let b = Bench::new();
    b.destination.always(Some(Script::Answer(unavailable())));
    b.disk.hold_syncs(true);
    let heard = b.send(logs("s", &["1"])).unwrap();
    let (spool, budget) = (b.spool.clone(), b.budget.clone());
    let new = Outlet::durable(config(), budget, Destination::default(), Direct(Target::new("b")), Arc::new(()), spool);
    b.disk.hold_syncs(false);
    assert_eq!(heard.await.unwrap(), Outcome::Delivered);
    b.drained().await;
    let lanes: Vec<String> = new.view().lanes.iter().map(|lane| lane.target.to_string()).collect();
    assert_eq!(lanes, ["b"]);
    new.close(clock::now()).await;
    b.end().await;
}

/// Scenario: many pieces wait for a target, those of one segment cannot be read for a while, and then can; batches are on. Guarantee: all others
/// are delivered meanwhile, those afterwards, each once; nothing is given up.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_keeps_nothing_else() {
    let mut config = config();
    config.batch = crate::batcher::BatchConfig { enabled: true, min_records: 8, max_records: 8, ..Default::default() };
    config.retry.max_elapsed_time = 30 * SECOND;
    let storage = StorageConfig { segment_bytes: 500, ..StorageConfig::new("/spool") };
    let b = Bench::with(config, storage, Direct(Target::new("a")));
    b.destination.always(Some(Script::Answer(unavailable())));
    for n in 0..20 {
        b.keep(&[&format!("{n:02}")]).await;
    }
    let b = b.restart(Direct(Target::new("a"))).await;
    b.disk.spoil(Some("/spool/0000000002.seg"));
    b.destination.always(None);
    let left = b.spool.until(|| {
        let pieces = b.spool.totals().pieces;
        (pieces < 10).then_some(pieces)
    });
    let left = left.await;
    tokio::time::sleep(20 * SECOND).await;
    assert!(left > 0 && b.spool.totals().pieces > 0, "all could be read");
    assert_eq!(b.destination.taken_ids().len() as u64 + b.spool.totals().pieces, 20);
    assert!(b.spool.trouble().is_none(), "what comes in is taken");
    b.keep(&["20"]).await;
    b.disk.spoil(None);
    b.drained().await;
    let mut taken = b.destination.taken_ids();
    taken.sort();
    assert_eq!(taken, (0..=20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    assert_eq!(b.outlet.view().stats.failed.total(), 0);
    b.end().await;
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8),
    Wait(u16),
    Crash,
    Restart,
    Disk(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u8..4).prop_map(Step::Send),
        4 => (0u16..8_000).prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Disk),
    ];
    prop::collection::vec(step, 1..40)
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let throttled =
        Attempt::Retry { after: Some(SECOND), why: Why::new(Kind::Throttled, ""), scope: Scope::Endpoint("e".into()) };
    let script = prop_oneof![
        3 => (0u64..300).prop_map(|ms| Script::Take(Duration::from_millis(ms))),
        2 => Just(Script::Answer(unavailable())),
        1 => Just(Script::Answer(throttled)),
        1 => Just(Script::Stall),
    ];
    prop::collection::vec(script, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Scenario: any order of requests, waits, crashes, restarts and disk faults, against a destination that fails in any way.
    /// Guarantee: in the end every id whose sender was told of success has arrived.
    #[test]
    fn nothing_acknowledged_is_lost(steps in steps(), script in scripts(), enabled in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let mut config = config();
            config.batch.enabled = enabled;
            let storage = StorageConfig { segment_bytes: 2_000, ..StorageConfig::new("/spool") };
            let destination = Destination::scripted(script);
            let direct = || Direct(Target::new("a"));
            let mut b = Bench::on((SimDisk::new(7), Calendar::new()), destination, config, storage, direct());
            let (mut next, mut acknowledged) = (0, vec![]);
            for step in steps {
                match step {
                    Step::Send(records) => {
                        let ids: Vec<String> = (0..records).map(|n| format!("{next}.{n}")).collect();
                        next += 1;
                        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                        if let Ok(heard) = b.send(logs("s", &ids))
                            && heard.await.unwrap() == Outcome::Delivered
                        {
                            acknowledged.extend(ids.iter().map(ToString::to_string));
                        }
                    }
                    Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
                    Step::Disk(fails) => b.disk.fault(fails.then_some(Fault::Sync)),
                    Step::Restart => {
                        b.disk.fault(None);
                        b = b.restart(direct()).await;
                    }
                    Step::Crash => {
                        b.disk.fault(None);
                        b.disk.crash();
                        // What runs on is a ghost: nothing it does reaches the disk any more.
                        b.outlet.close(clock::now()).await;
                        b.spool.close().await;
                        let disk = b.disk.revive();
                        let Bench { calendar, destination, config, storage, .. } = b;
                        b = Bench::on((disk, calendar), destination, config, storage, direct());
                    }
                }
            }
            b.disk.fault(None);
            b.destination.clear();
            b.drained().await;
            let taken = b.destination.taken_ids();
            for id in &acknowledged {
                assert!(taken.contains(id), "{id} was acknowledged and never arrived");
            }
            b.end().await;
        });
    }
}
