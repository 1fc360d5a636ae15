#![allow(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]

use super::*;
use crate::capacity::Sizer;
use crate::inlet::{Acknowledge, Funnel, Inlet, InletConfig, Opening};
use crate::outlet::{Outgoing, Outlet, OutletConfig};
use crate::router::Direct;
use crate::spool::testing::{Fault, SimDisk};
use crate::testing::{ByService, Destination, Script, logs, unavailable};
use crate::{Attempt, Budget, Kind, Stopper, Target, Why, clock};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::Signal;

const SECOND: Duration = Duration::from_secs(1);

/// A pipeline with a source before it.
struct House {
    source: Source,
    outlets: Vec<Arc<dyn Outgoing>>,
    stopper: Stopper,
    budget: Budget,
}

fn queue(size: u64) -> OutletConfig {
    let mut config = OutletConfig::new("x", 1 << 30);
    (config.capacity.size, config.capacity.sizer) = (size, Sizer::Items);
    (config.retry.enabled, config.timeout) = (false, Duration::ZERO);
    config
}

fn house_on(positions: Positions, config: SourceConfig, exporters: &[(&Destination, OutletConfig)]) -> House {
    let outlet = |(d, c): &(&Destination, OutletConfig)| {
        Arc::new(Outlet::new(c.clone(), (*d).clone(), Direct(Target::new("t"))))
    };
    let outlets: Vec<Arc<dyn Outgoing>> = exporters.iter().map(|e| outlet(e) as Arc<dyn Outgoing>).collect();
    let budget = Budget::of(64 << 20);
    let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: outlets.clone() };
    // As a process is by default: senders are told once it is queued.
    let config_of_process = InletConfig { acknowledge: Acknowledge::Queued, ..InletConfig::default() };
    let inlet = Inlet::new(Signal::Logs, Opening { funnels: vec![funnel], config: config_of_process }, Arc::default());
    let (stopper, stop) = Stopper::new();
    let source = Source::new("file_log", inlet, budget.clone(), positions, stop, config);
    House { source, outlets, stopper, budget }
}

fn house(exporters: &[(&Destination, OutletConfig)]) -> House {
    house_on(Positions::in_memory(), SourceConfig::default(), exporters)
}

fn file() -> Arc<str> {
    "f".into()
}

fn span(generation: u64, range: std::ops::Range<u64>) -> Span {
    Span { stream: file(), generation, range }
}

/// A record whose id is its offset.
fn pulled(generation: u64, range: std::ops::Range<u64>) -> Pulled {
    Pulled { payload: logs("s", &[&range.start.to_string()]), spans: vec![span(generation, range)] }
}

impl House {
    fn position(&self) -> u64 {
        self.source.positions().standing("f").unwrap().from
    }

    async fn settle(&self) {
        assert_eq!(self.source.settled(clock::now() + 1000 * SECOND).await, 0);
    }

    async fn close(self) {
        self.stopper.stop(Duration::ZERO);
        for outlet in &self.outlets {
            outlet.close(clock::now()).await;
        }
        self.source.settled(clock::now() + SECOND).await;
        assert_eq!((self.budget.bytes(), self.budget.requests(), self.source.in_flight()), (0, 0, (0, 0)));
    }
}

/// Scenario: `acknowledge: queued`, and a destination that takes a second. Guarantee: the position moves when it has
/// the data, not when it is queued.
#[tokio::test(start_paused = true)]
async fn a_position_waits_for_delivery_whatever_the_process_acknowledges() {
    let d = Destination::scripted([Script::Take(SECOND)]);
    let house = house(&[(&d, queue(100))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    feed.submit(pulled(0, 0..10)).await.unwrap();
    assert_eq!((house.position(), house.source.in_flight().0), (0, 1));
    house.settle().await;
    assert_eq!((house.position(), d.taken_ids()), (10, vec!["0".to_owned()]));
    assert_eq!(house.source.stats().delivered.get(), 1);
    house.close().await;
}

/// Scenario: the destination is down for a minute, then rejects one batch and takes the rest. Guarantee: nothing is
/// shed or given up meanwhile, what is in flight stays within its bound; what is rejected is counted and passed.
#[tokio::test(start_paused = true)]
async fn a_source_is_held_back_and_loses_nothing() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let house =
        house_on(Positions::in_memory(), SourceConfig { batches: 3, ..SourceConfig::default() }, &[(&d, queue(2))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    let reader = tokio::spawn(async move {
        for n in 0..20 {
            let mut batch = pulled(0, n * 10..n * 10 + 10);
            if n == 7 {
                batch.payload = logs("s", &["bad"]);
            }
            feed.submit(batch).await.unwrap();
        }
    });
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((house.position(), house.source.in_flight().0, reader.is_finished()), (0, 3, false));
    d.clear();
    reader.await.unwrap();
    house.settle().await;
    assert_eq!((house.position(), d.taken_ids().len()), (200, 19));
    let stats = house.source.stats();
    assert_eq!((stats.dropped.iter().collect::<Vec<_>>(), stats.delivered.get()), (vec![(Kind::BadData, 1)], 19));
    house.close().await;
}

/// Scenario: two exporters, one stalls with a full queue; a source and a pushing sender. Guarantee: the source waits;
/// the sender does not.
#[tokio::test(start_paused = true)]
async fn only_the_source_waits() {
    let (healthy, stuck) = (Destination::default(), Destination::default());
    stuck.always(Some(Script::Stall));
    let house = house(&[(&healthy, queue(100)), (&stuck, queue(1))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    feed.submit(pulled(0, 0..10)).await.unwrap();
    assert!(tokio::time::timeout(10 * SECOND, feed.submit(pulled(0, 10..20))).await.is_err());
    // What was given back is to be read again.
    assert_eq!(house.source.positions().standing("f").unwrap().skip, [0..10]);
    let mut permit = house.budget.open(None).unwrap();
    permit.grow(100).unwrap();
    let pushed = house.source.inlet().offer(logs("s", &["pushed"]), permit).await.unwrap();
    assert_eq!(pushed.rejected().map(|(n, why)| (n, why.kind)), Some((1, Kind::QueueFull)));
    tokio::time::sleep(SECOND).await;
    assert!(healthy.taken_ids().contains(&"pushed".to_owned()));
    house.close().await;
}

/// Scenario: an exporter that may have one lane is to have two. Guarantee: what was turned away is tried again until
/// its lane is free; nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_lane_that_turns_away_is_tried_again() {
    let d = Destination::default();
    d.always(Some(Script::Take(SECOND)));
    let config = OutletConfig { max_lanes: 1, lane_idle: SECOND, ..queue(100) };
    let outlet: Arc<dyn Outgoing> = Arc::new(Outlet::new(config, d.clone(), ByService));
    let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: vec![outlet.clone()] };
    let inlet =
        Inlet::new(Signal::Logs, Opening { funnels: vec![funnel], config: InletConfig::default() }, Arc::default());
    let (_stopper, stop) = Stopper::new();
    let source = Source::new("f", inlet, Budget::of(1 << 24), Positions::in_memory(), stop, SourceConfig::default());
    let mut feed = source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    for (n, service) in ["target-a", "target-b"].iter().enumerate() {
        let at = n as u64 * 10;
        let spans = vec![span(0, at..at + 10)];
        feed.submit(Pulled { payload: logs(service, &[&at.to_string()]), spans }).await.unwrap();
    }
    assert_eq!(source.settled(clock::now() + 100 * SECOND).await, 0);
    assert_eq!(d.taken_ids(), ["0", "10"]);
    assert_eq!(source.positions().standing("f").unwrap().from, 20);
    assert_eq!(source.stats().repeated.iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [Kind::LaneLimit]);
    outlet.close(clock::now()).await;
}

/// Scenario (26): one batch has the end of a file's old content and the beginning of the new; an earlier batch of the
/// old one settles later. Guarantee: each moves its own position only.
#[tokio::test(start_paused = true)]
async fn a_batch_may_hold_two_generations() {
    let d = Destination::scripted([Script::Take(10 * SECOND), Script::Take(SECOND)]);
    let house = house(&[(&d, queue(100))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    feed.begin(&"g".into(), 0, 0, b"");
    feed.submit(pulled(0, 0..500)).await.unwrap();
    feed.begin(&file(), 1, 0, b"");
    let other = Span { stream: "g".into(), generation: 0, range: 0..7 };
    let both = Pulled { payload: logs("s", &["a", "b"]), spans: vec![span(0, 500..900), span(1, 0..20), other] };
    feed.submit(both).await.unwrap();
    house.settle().await;
    let standing = house.source.positions().standing("f").unwrap();
    assert_eq!((standing.generation, standing.from), (1, 20));
    assert_eq!(house.source.positions().standing("g").unwrap().from, 7);
    house.close().await;
}

/// Scenario (14): a stop while a destination stalls with one batch, and another waits for room. Guarantee: both are
/// abandoned within the deadline, and their positions stay; a reader that submits afterwards is told to end.
#[tokio::test(start_paused = true)]
async fn a_stop_abandons_what_is_under_way() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let house = house(&[(&d, queue(1))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    feed.submit(pulled(0, 0..10)).await.unwrap();
    let waiting = tokio::spawn(async move {
        let ended = feed.submit(pulled(0, 10..20)).await;
        (ended, feed.submit(pulled(0, 20..30)).await)
    });
    tokio::time::sleep(SECOND).await;
    let begin = clock::now();
    house.stopper.stop(5 * SECOND);
    assert_eq!(waiting.await.unwrap(), (Err(Ended::Stopping), Err(Ended::Stopping)));
    assert!(clock::now() - begin < SECOND);
    assert_eq!(house.source.settled(begin + 6 * SECOND).await, 0);
    assert_eq!((house.position(), house.source.stats().abandoned.get()), (0, 2));
    house.close().await;
}

/// Scenario: a reload while one batch is in flight and another waits for room. Guarantee: the next reader is told to
/// read what waited and not what is in flight; the reader before it is told to end.
#[tokio::test(start_paused = true)]
async fn the_next_reader_goes_on_where_the_last_one_was() {
    let d = Destination::scripted([Script::Take(10 * SECOND)]);
    let house = house(&[(&d, queue(1))]);
    let mut first = house.source.attach().await;
    first.begin(&file(), 0, 0, b"who it is");
    first.submit(pulled(0, 0..10)).await.unwrap();
    let old = tokio::spawn(async move { first.submit(pulled(0, 10..20)).await });
    tokio::time::sleep(SECOND).await;
    let mut second = house.source.attach().await;
    assert_eq!(old.await.unwrap(), Err(Ended::Replaced));
    let (name, standing) = second.streams().remove(0);
    assert_eq!((&*name, standing.from, standing.skip, &*standing.note), ("f", 0, vec![0..10], &b"who it is"[..]));
    second.submit(pulled(0, 10..20)).await.unwrap();
    house.settle().await;
    assert_eq!((house.position(), d.taken_ids()), (20, vec!["0".to_owned(), "10".to_owned()]));
    house.close().await;
}

/// Scenario: a source is paused, and resumed. Guarantee: nothing is taken in between.
#[tokio::test(start_paused = true)]
async fn a_paused_source_takes_nothing() {
    let d = Destination::default();
    let house = house(&[(&d, queue(100))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    house.source.pause();
    assert!(tokio::time::timeout(SECOND, feed.submit(pulled(0, 0..10))).await.is_err());
    house.source.resume();
    feed.submit(pulled(0, 0..10)).await.unwrap();
    house.settle().await;
    assert_eq!(d.taken_ids(), ["0"]);
    house.close().await;
}

/// Scenario: memory is above its soft limit. Guarantee: the source waits, and goes on when it is not; a batch larger
/// than all memory is dropped.
#[tokio::test(start_paused = true)]
async fn a_source_leaves_scarce_memory_to_others() {
    let d = Destination::default();
    let house = house(&[(&d, queue(100))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    let mut ballast = house.budget.open(None).unwrap();
    ballast.grow(60 << 20).unwrap();
    assert!(tokio::time::timeout(5 * SECOND, feed.submit(pulled(0, 0..10))).await.is_err());
    drop(ballast);
    feed.submit(pulled(0, 0..10)).await.unwrap();
    let mut huge = pulled(0, 10..20);
    huge.payload.body = bytes::Bytes::from(vec![0; 65 << 20]).into();
    feed.submit(huge).await.unwrap();
    house.settle().await;
    assert_eq!(house.position(), 20);
    assert_eq!(house.source.stats().dropped.iter().collect::<Vec<_>>(), [(Kind::TooLarge, 1)]);
    house.close().await;
}

/// Scenario: a batch fails for longer than the source may wait. Guarantee: it is dropped, counted, and passed.
#[tokio::test(start_paused = true)]
async fn a_source_may_give_up() {
    let d = Destination::default();
    d.always(Some(Script::Answer(unavailable())));
    let mut config = SourceConfig::default();
    config.retry.max_elapsed_time = 60 * SECOND;
    let house = house_on(Positions::in_memory(), config, &[(&d, queue(100))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    feed.submit(pulled(0, 0..10)).await.unwrap();
    house.settle().await;
    assert_eq!((house.position(), house.source.stats().dropped.iter().next()), (10, Some((Kind::Expired, 1))));
    house.close().await;
}

/// What a test keeps of the lives of a process.
#[derive(Default)]
struct Books {
    delivered: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
}

/// One life: opens the positions, reads on from there, and dies; at the end of the last one everything settles.
async fn live(
    disk: &SimDisk,
    fates: &[u8],
    power: Option<usize>,
    end: u64,
    books: &Mutex<Books>,
) -> Result<(), TestCaseError> {
    let positions = Positions::open_on(Arc::new(disk.clone()), Path::new("d")).unwrap();
    {
        let books = books.lock();
        let from = positions.standing("f").map_or(0, |standing| standing.from);
        let skip = positions.standing("f").map(|standing| standing.skip).unwrap_or_default();
        let passed = (0..from).chain(skip.into_iter().flatten());
        let is_settled = |at: &u64| books.delivered.contains(&(at / 10)) || books.rejected.contains(&(at / 10));
        prop_assert!(passed.into_iter().all(|at| is_settled(&at)), "a position passes what was not settled");
    }
    if let Some(power) = power {
        disk.die_after(power);
    }
    let script = fates.iter().map(|fate| match fate % 6 {
        0 => Script::Take(Duration::from_millis(u64::from(*fate) * 7)),
        1 => Script::Answer(unavailable()),
        2 => Script::Answer(Attempt::Reject { why: Why::new(Kind::BadData, "no") }),
        3 if power.is_some() => Script::Stall,
        _ => Script::Take(Duration::from_millis(u64::from(*fate))),
    });
    let d = Destination::scripted(script);
    let config = SourceConfig { batches: 5, flush: Duration::from_millis(300), ..SourceConfig::default() };
    let mut house = house_on(positions, config, &[(&d, queue(1000))]);
    let mut feed = house.source.attach().await;
    feed.begin(&file(), 0, 0, b"");
    let keeper = tokio::spawn(house.source.clone().keep_positions());
    let standing = house.source.positions().standing("f").unwrap();
    let todo =
        (0..end).filter(|n| n * 10 >= standing.from && !standing.skip.iter().any(|skip| skip.contains(&(n * 10))));
    let todo: Vec<u64> = todo.collect();
    let reading = async {
        for n in &todo {
            if feed.submit(pulled(0, n * 10..n * 10 + 10)).await.is_err() {
                break;
            }
        }
    };
    match power {
        Some(power) => drop(tokio::time::timeout(Duration::from_millis(power as u64 * 100), reading).await),
        None => {
            reading.await;
            house.settle().await;
        }
    }
    if power.is_none() {
        prop_assert_eq!(house.position(), end * 10);
    }
    house.stopper.stop(Duration::ZERO);
    house.source.settled(clock::now() + SECOND).await;
    // A machine that dies does not get to write: `power` has run out, or the flush is one more that is certain.
    drop(keeper.await);
    for outlet in std::mem::take(&mut house.outlets) {
        outlet.close(clock::now()).await;
    }
    {
        let mut books = books.lock();
        books.delivered.extend(d.taken_ids().iter().filter_map(|id| id.parse::<u64>().ok()).map(|at| at / 10));
        // What was tried and rejected: known by its place in the counts, so by what is neither taken nor in flight.
        let standing = house.source.positions().standing("f").unwrap();
        let passed = (0..standing.from).chain(house.settled_beyond());
        let rejected: BTreeSet<u64> = passed.map(|at| at / 10).filter(|n| !books.delivered.contains(n)).collect();
        let dropped = house.source.stats().dropped.total();
        let new = rejected.difference(&books.rejected).count() as u64;
        // Fewer, if one was rejected that an earlier life had delivered.
        prop_assert!(new <= dropped, "what settled was delivered or dropped, and nothing else");
        books.rejected.extend(rejected);
    }
    Ok(())
}

impl House {
    fn settled_beyond(&self) -> Vec<u64> {
        let of = |ledger: &mut ledger::Ledger| {
            ledger.entries().flat_map(|(_, entry)| entry.beyond.iter()).flatten().collect()
        };
        self.source.positions().with(of)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scenario (14, 27): a source of 40 records lives several lives: batches settle in random order, fail, are
    /// rejected, stall; the machine dies at any operation on its disk, or the process stops. Guarantee: no position
    /// that is found, or held, passes a record that was not delivered or dropped; what settled is what was delivered or
    /// dropped; in the last life everything settles, the position is the end, and each record was delivered or dropped.
    #[test]
    fn no_position_passes_an_unsettled_record(
        seed in any::<u64>(),
        lives in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..30), 0usize..30), 0..5),
        last in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut disk = SimDisk::new(seed).revive();
            let books = Mutex::default();
            for (fates, power) in &lives {
                disk.fault((seed ^ *power as u64).is_multiple_of(5).then_some(Fault::Sync));
                live(&disk, fates, Some(*power), 40, &books).await?;
                disk.fault(None);
                disk.crash();
                disk = disk.revive();
            }
            live(&disk, &last, None, 40, &books).await?;
            let books = books.lock();
            prop_assert!((0..40).all(|n| books.delivered.contains(&n) || books.rejected.contains(&n)));
            Ok(())
        })?;
    }
}
