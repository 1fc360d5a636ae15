//! What senders are told, and what is there afterwards, when the disk fails in each of its ways.

use super::*;
use crate::capacity::Capacity;
use crate::outlet::OutletConfig;
use crate::spool::testing::{Fault, SimDisk};
use crate::spool::ticket::Ticket;
use crate::testing::{ids, logs};
use crate::{Ack, Outcome};
use tokio::sync::oneshot;

const CHANGES: [(Fault, &str); 4] =
    [(Fault::Full, "full"), (Fault::Write, "other"), (Fault::Sync, "other"), (Fault::ReadOnly, "read_only")];
const SECOND: Duration = Duration::from_secs(1);

/// A spool on a simulated disk. Nobody takes over what is written: it stays loose.
struct Bench {
    disk: SimDisk,
    calendar: Calendar,
    spool: Arc<Spool>,
    capacity: Arc<Capacity>,
}

fn open(disk: SimDisk, calendar: Calendar) -> Bench {
    let config = StorageConfig { segment_bytes: 400, ..StorageConfig::new("/spool") };
    let spool = Spool::open_on(Arc::new(disk.clone()), calendar, config, Signal::Logs, "x").unwrap();
    Bench { disk, calendar, spool, capacity: Capacity::new(OutletConfig::new("x", 1 << 20).capacity) }
}

impl Bench {
    fn new() -> Bench {
        open(SimDisk::new(3), Calendar::new())
    }

    fn hand_over(&self, id: &str) -> oneshot::Receiver<Outcome> {
        self.hand_over_to(id, "a")
    }

    fn hand_over_to(&self, id: &str, target: &str) -> oneshot::Receiver<Outcome> {
        let payload = logs("s", &[id]);
        let slot = self.capacity.take_anyway(payload.len() as u64);
        let held = Ack::unwatched(None);
        let (told, heard) = held.fork().watch();
        let piece = Piece { payload, target: Target::new(target), at: 1, first: 0, note: None };
        self.spool.store(Incoming { piece, told, held, slot, at: clock::now() });
        heard
    }

    async fn keep(&self, id: &str) {
        assert_eq!(self.hand_over(id).await.unwrap(), Outcome::Delivered, "{id}");
    }

    /// Fails unless it is refused with a time to come back.
    async fn is_refused(&self, id: &str) {
        let outcome = self.hand_over(id).await.unwrap();
        let Outcome::Failed { records: 1, why, retry_after: Some(_) } = &outcome else { panic!("{outcome:?}") };
        assert_eq!(why.kind, Kind::Disk);
    }

    /// Everything live, by its id.
    async fn live(&self) -> Vec<(String, Key)> {
        let pieces = self.spool.load(self.spool.store.live()).await.unwrap();
        let mut all: Vec<_> = pieces.into_iter().map(|(key, piece)| (ids(&piece.payload).remove(0), key)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    async fn live_ids(&self) -> Vec<String> {
        self.live().await.into_iter().map(|(id, _)| id).collect()
    }

    async fn key(&self, id: &str) -> Key {
        self.live().await.into_iter().find(|(live, _)| live == id).unwrap().1
    }

    /// As a lane gives something up.
    fn give_up(&self, key: Key) {
        let why = Why::new(Kind::Expired, "too old");
        let (ticket, target) = (Ticket::new(self.spool.clone(), key), Target::new("a"));
        self.spool.bury(Burial { ticket, payload: None, target, records: 1, why, first: 1, attempts: 2 });
    }

    fn letters(&self) -> usize {
        self.spool.dead_letters().unwrap().list(&Default::default(), 100).unwrap().len()
    }

    async fn crash(self) -> Bench {
        self.disk.fault(None);
        self.disk.crash();
        self.spool.close().await;
        open(self.disk.revive(), self.calendar)
    }

    async fn restart(self) -> Bench {
        self.spool.close().await;
        open(self.disk, self.calendar)
    }
}

/// Scenario: the disk fails in each way in which it can fail to write, and then works. Guarantee: the sender is told to come back, so are those after it at
/// once, the metrics say why; once it works data is taken without a restart.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_is_answered_and_then_used_again() {
    for (fault, kind) in CHANGES {
        let b = Bench::new();
        b.keep("1").await;
        b.disk.fault(Some(fault));
        b.is_refused("2").await;
        assert_eq!(b.spool.room(10).unwrap_err().kind, Kind::Disk, "{fault:?}");
        let view = b.spool.view();
        assert_eq!((view.trouble, view.failed_syncs), (Some(kind), 1), "{fault:?}");
        tokio::time::sleep(2 * SECOND).await;
        assert!(b.spool.room(10).is_ok(), "the next one is the probe");
        b.is_refused("3").await;
        b.disk.fault(None);
        tokio::time::sleep(2 * SECOND).await;
        b.keep("4").await;
        assert_eq!(b.spool.view().trouble, None, "{fault:?}");
        assert_eq!(b.live_ids().await, ["1", "4"], "{fault:?}");
    }
}

/// Scenario: the same, and the machine goes down, while the disk fails or after it worked again. Guarantee: what was acknowledged is there; of what was refused there is at
/// worst the whole, to be sent twice.
#[tokio::test(start_paused = true)]
async fn what_was_refused_was_not_written() {
    for (fault, _) in CHANGES {
        for works_again in [false, true] {
            let b = Bench::new();
            b.keep("1").await;
            b.disk.fault(Some(fault));
            b.is_refused("2").await;
            let mut kept = vec!["1"];
            if works_again {
                b.disk.fault(None);
                tokio::time::sleep(2 * SECOND).await;
                b.keep("3").await;
                kept.push("3");
            }
            let b = b.crash().await;
            let live = b.live_ids().await;
            assert!(kept.iter().all(|id| live.iter().any(|live| live == id)), "{fault:?}: {kept:?} {live:?}");
            assert!(live.iter().all(|id| ["1", "2", "3"].contains(&id.as_str())), "{fault:?}: {live:?}");
        }
    }
}

/// Scenario: while the disk fails one piece is delivered and one given up; then it works. Guarantee: nothing is lost meanwhile; the letter is written once,
/// and after a restart nothing is live.
#[tokio::test(start_paused = true)]
async fn marks_and_letters_wait_for_the_disk() {
    for (fault, _) in CHANGES {
        let b = Bench::new();
        b.keep("1").await;
        b.keep("2").await;
        let [delivered, given_up] = [b.key("1").await, b.key("2").await];
        b.disk.fault(Some(fault));
        b.spool.finish(delivered);
        b.give_up(given_up);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(b.live_ids().await, ["2"], "{fault:?}: it is there until its letter is");
        b.disk.fault(None);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!((b.letters(), b.spool.totals().pieces), (1, 0), "{fault:?}");
        let b = b.restart().await;
        assert_eq!((b.letters(), b.spool.totals().pieces), (1, 0), "{fault:?}");
    }
}

/// Scenario: a segment cannot be read while pieces of it are to be sent, or given up, and then it can. Guarantee: those pieces alone fail; nothing
/// is lost, buried or counted as damaged; what comes in is taken all the time; in the end the letters are written.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_kept() {
    let b = Bench::new();
    for n in 0..12 {
        b.keep(&format!("{n:02}")).await;
    }
    let all = b.live().await;
    b.disk.spoil(Some("/spool/0000000001.seg"));
    let keys: Vec<Key> = all.iter().map(|(_, key)| *key).collect();
    let (unread, why) = b.spool.load(keys.clone()).await.unwrap_err();
    assert_eq!(why.kind, Kind::Disk);
    assert!(!unread.is_empty() && unread.len() < keys.len(), "{unread:?}");
    let readable: Vec<Key> = keys.iter().copied().filter(|key| !unread.contains(key)).collect();
    assert_eq!(b.spool.load(readable.clone()).await.unwrap().len(), readable.len());
    b.give_up(unread[0]);
    b.give_up(readable[0]);
    for n in 12..20 {
        tokio::time::sleep(SECOND).await;
        b.keep(&format!("{n:02}")).await;
        assert!(b.spool.room(10).is_ok(), "what cannot be read keeps nothing from being written");
    }
    assert_eq!((b.letters(), b.spool.totals().pieces), (1, 19), "one could be read");
    assert_eq!(b.spool.stats().damaged.get(), 0);
    b.disk.spoil(None);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((b.letters(), b.spool.totals().pieces), (2, 18));
}

/// Scenario: pieces for a dead target lie in segments that are nearly dead, the first of which cannot be read, so that it cannot be emptied. Guarantee: what
/// comes in is taken; nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_segment_that_cannot_be_emptied_halts_nothing() {
    let b = Bench::new();
    b.disk.spoil(Some("/spool/0000000001.seg"));
    let mut poison = vec![];
    for n in 0..60 {
        assert!(b.spool.room(10).is_ok(), "{n}: {:?}", b.spool.trouble());
        b.keep(&format!("{n:02}")).await;
        match b.spool.take_loose(10).as_slice() {
            [_] if n % 6 == 0 => poison.push(format!("{n:02}")),
            [key] => b.spool.finish(*key),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(SECOND / 5).await;
    }
    assert!(b.spool.view().failed_syncs > 0, "nobody tried to empty it");
    b.disk.spoil(None);
    assert_eq!(b.live_ids().await, poison);
}

/// Scenario: a sync takes for ever, then returns. Guarantee: nobody is told of success before it has; who comes meanwhile shares the next one; another
/// exporter on another disk is not held up.
#[tokio::test(start_paused = true)]
async fn a_slow_disk_keeps_its_own_senders_waiting_only() {
    let (slow, other) = (Bench::new(), Bench::new());
    slow.keep("0").await;
    slow.disk.hold_syncs(true);
    let mut waiting: Vec<_> = (1..=50).map(|n| slow.hand_over(&format!("{n:02}"))).collect();
    tokio::task::yield_now().await;
    waiting.extend((51..=99).map(|n| slow.hand_over(&format!("{n:02}"))));
    for n in 0..20 {
        other.keep(&format!("{n:02}")).await;
    }
    assert!(waiting.iter_mut().all(|heard| heard.try_recv().is_err()), "told before the sync");
    let before = slow.spool.view().sync_seconds.count;
    slow.disk.hold_syncs(false);
    for heard in waiting {
        assert_eq!(heard.await.unwrap(), Outcome::Delivered);
    }
    let syncs = slow.spool.view().sync_seconds.count - before;
    assert!(syncs <= 2, "{syncs} syncs");
    assert_eq!(slow.spool.totals().pieces, 100);
}

/// Scenario: a bug in the store panics while a group is written and another waits. Guarantee: both senders, and those after them, hear that it
/// failed; who runs the program hears of it; the queue can be closed; what was acknowledged before is there after a restart.
#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_queue_in_order() {
    let bench = Bench::new();
    bench.keep("1").await;
    let before = panics();
    bench.disk.hold_syncs(true);
    let under_way = bench.hand_over("2");
    tokio::task::yield_now().await;
    let waiting = bench.hand_over("3");
    bench.disk.fault(Some(Fault::Bug));
    bench.disk.hold_syncs(false);
    for heard in [under_way, waiting] {
        assert!(matches!(heard.await.unwrap(), Outcome::Failed { .. }));
    }
    task::broken().await;
    assert!(matches!(bench.hand_over("4").await.unwrap(), Outcome::Failed { .. }));
    assert!(panics() > before);
    bench.disk.fault(None);
    let bench = bench.restart().await;
    let live = bench.live_ids().await;
    assert!(live.contains(&"1".to_owned()) && !live.contains(&"4".to_owned()), "{live:?}");
}

fn panics() -> u64 {
    task::panics().into_iter().find(|(name, _)| *name == "spool").map_or(0, |(_, times)| times)
}

/// Scenario: among requests that share a group, one whose target has a name that the format cannot hold. Guarantee: that one is refused for
/// good, the others are kept, and the disk is not blamed.
#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_kept_costs_itself() {
    let b = Bench::new();
    let (first, large, last) = (b.hand_over("1"), b.hand_over_to("2", &"x".repeat(70_000)), b.hand_over("3"));
    let Outcome::Rejected { records: 1, why } = large.await.unwrap() else { panic!("it can be kept") };
    assert_eq!(why.kind, Kind::TooLarge);
    assert_eq!((first.await.unwrap(), last.await.unwrap()), (Outcome::Delivered, Outcome::Delivered));
    assert_eq!(b.live_ids().await, ["1", "3"]);
    assert!(b.spool.trouble().is_none());
    assert_eq!(b.spool.view().failed_syncs, 0);
}
