//! The process is killed at random instants under load, again and again, while its backends change their minds: whatever was
//! acknowledged is delivered in the end.
//!
//! What happens is decided by a seed, which the test prints; `BYWASH_SEED` sets another, `BYWASH_CRASH_ROUNDS` another number of
//! rounds.

use crate::harness::config::FAST_RETRY;
use crate::harness::process::Metrics;
use crate::harness::{Books, Bywash, Load, Pipeline, Rules, Sink, fleet};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// The first backend belongs to one exporter, the others to one that balances over them.
const BACKENDS: usize = 4;
const CONSUMERS: usize = 4;
/// Requests under way at most: of each signal, to each backend.
const IN_FLIGHT: usize = CONSUMERS * 3 * BACKENDS;
/// What has been delivered for longer than this has its mark on disk, also on a busy machine.
const MARKED: Duration = Duration::from_millis(750);
/// Every so-many-th life is a long one.
const LONG: u32 = 40;
/// For so many rounds one backend is dead.
const POISONED: u32 = 50;
const RETRY_ALL: Rules = Rules { duplicates: true, refused_may_arrive: true, acked_may_be_lost: false };

/// A configuration among several that differ in batching and the number of connections at work, always with the same queues.
fn config(random: &mut fastrand::Rng, at: SocketAddr, sink: &Sink) -> String {
    let batch = |random: &mut fastrand::Rng| {
        ["", ", batch: {min_size: 50, max_size: 80, flush_timeout: 20ms}"][random.usize(..2)]
    };
    let consumers = random.usize(1..=CONSUMERS);
    let queue = |batch: &str| {
        format!("sending_queue: {{storage: file_storage, queue_size: 1000000, num_consumers: {consumers}{batch}}}")
    };
    let batched = ["batcher: {enabled: false}", "batcher: {enabled: true, max_records: 60, flush_interval: 20ms}"];
    Pipeline::new()
        .grpc("a", sink.grpc[0], &[FAST_RETRY, &queue(batch(random))])
        .balanced(&sink.grpc[1..], &["routing_key: service", &queue(""), batched[random.usize(..2)]])
        .storage("directory: storage, create_directory: true, segment_bytes: 1MiB")
        .service("shutdown_timeout: 20s")
        .yaml()
        .replacen("grpc: {endpoint: 127.0.0.1:0}", &format!("grpc: {{endpoint: '{at}'}}"), 1)
}

/// Changes the mind of one backend. One of those of the balancing exporter is dead for fifty rounds, and well for fifty rounds: what
/// waits for it is spread over all segments.
async fn change(random: &mut fastrand::Rng, sink: &Sink, round: u32) {
    let poisoned = ["ok", "fail"][(round / POISONED % 2) as usize];
    sink.behave(&format!("mode={poisoned}&backend={}", BACKENDS - 1)).await;
    let backend = random.usize(..BACKENDS - 1);
    let mode = ["ok", "ok", "ok", "fail", "stall"][random.usize(..5)];
    sink.behave(&format!("mode={mode}&backend={backend}")).await;
}

/// One life of the process.
struct Life {
    /// Where the sink's file of ids ended when the life before was over.
    from: u64,
    ended: Instant,
}

#[derive(Deserialize)]
struct Taken {
    backend: usize,
    ids: Vec<[u64; 2]>,
}

/// How far the sink's file was when.
#[derive(Clone)]
struct Growth(Arc<parking_lot::Mutex<Vec<(Instant, u64)>>>, PathBuf);

impl Growth {
    /// Looks at the file again and again, until the test ends.
    fn watch(file: PathBuf) -> Growth {
        let growth = Growth(Arc::default(), file);
        let watched = growth.clone();
        tokio::spawn(async move {
            loop {
                watched.look();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        growth
    }

    fn look(&self) -> u64 {
        let len = std::fs::metadata(&self.1).unwrap().len();
        self.0.lock().push((Instant::now(), len));
        len
    }

    /// When what is at this place was there for certain.
    fn time_of(&self, place: u64) -> Instant {
        let seen = self.0.lock();
        let at = seen.partition_point(|(_, len)| *len <= place);
        seen.get(at).map_or_else(Instant::now, |(at, _)| *at)
    }
}

/// Fails the test unless each record that came again had come so shortly before a crash that its mark was not written yet, and
/// came again only after that crash. Gives how many there are.
fn doubles_are_of_crashes(lives: &[Life], growth: &Growth) -> u64 {
    let text = std::fs::read_to_string(&growth.1).unwrap();
    let mut seen: HashMap<(bool, u64), (usize, u64, usize)> = HashMap::new();
    let (mut place, mut life, mut nth, mut doubles) = (0, 0, 0, 0);
    for line in text.lines() {
        while lives.get(life + 1).is_some_and(|next| next.from <= place) {
            (life, nth) = (life + 1, 0);
        }
        nth += 1;
        let taken: Taken = serde_json::from_str(line).unwrap();
        for id in taken.ids.into_iter().flat_map(|[from, to]| from..=to) {
            let Some((before, at, number)) = seen.insert((taken.backend == 0, id), (life, place, nth)) else {
                continue;
            };
            doubles += 1;
            // What the life before had sent is read by the sink a little later than that life ends.
            let before = if number <= IN_FLIGHT { before.saturating_sub(1) } else { before };
            assert!(before < life, "{id} came twice in life {life}, as request {number} and {nth}");
            let early = lives[before].ended.saturating_duration_since(growth.time_of(at));
            assert!(
                early < MARKED,
                "{id} came again in life {life}, {early:?} before the end of life {before} it had come"
            );
        }
        place += line.len() as u64 + 1;
    }
    doubles
}

/// What the lives that could be asked have said.
#[derive(Debug, Default)]
struct Story {
    copied_bytes: f64,
    recovered: f64,
    damaged: f64,
    most_segments: f64,
}

impl Story {
    fn add(&mut self, metrics: &Metrics) {
        self.copied_bytes += metrics.sum("bywash_spool_copied_bytes", &[]);
        self.recovered += metrics.sum("bywash_spool_recovered_records", &[]);
        self.damaged += metrics.sum("bywash_spool_damaged", &[]);
        self.most_segments = self.most_segments.max(metrics.sum("bywash_spool_segments", &[]));
    }
}

/// Scenario: two hundred times the process is killed, in the middle of the load or while it starts, and started again on the same
/// directory, each time with other batching, while each of four backends takes, fails or stalls; then all are well. Guarantee:
/// every record that was acknowledged is at both exporters' backends; what came twice had come just before a crash; nothing is left on disk.
#[tokio::test]
async fn nothing_acknowledged_is_lost_by_crashes() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |n| n.parse().unwrap());
    let (seed, rounds) = (number("BYWASH_SEED", 0x0063_7261_7368), number("BYWASH_CRASH_ROUNDS", 200) as u32);
    println!("BYWASH_SEED={seed} BYWASH_CRASH_ROUNDS={rounds}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sink = Sink::start(&["--backends", &BACKENDS.to_string()]).await;
    let (at, growth) = (fleet::address(), Growth::watch(sink.ids.clone()));
    let mut dir = TempDir::new().unwrap();
    let busy = ["--duration", "0", "--rate", "2000", "--in-flight", "32", "--services", "60", "--body", "2000"];
    let mut load = Load::start(at, &busy);
    let (mut lives, mut story) = (vec![], Story::default());
    let began = Instant::now();
    for round in 1..=rounds {
        std::fs::write(dir.path().join("config.yaml"), config(&mut random, at, &sink)).unwrap();
        change(&mut random, &sink, round).await;
        let from = growth.look();
        let ended;
        if random.u8(..5) == 0 {
            let mut process = Bywash::begin_in(dir.path());
            tokio::time::sleep(Duration::from_micros(random.u64(..40_000))).await;
            assert!(process.is_alive(), "it ended by itself");
            process.kill();
            ended = Instant::now();
            process.ended().await;
        } else {
            let bywash = Bywash::start_in(dir).await;
            tokio::time::sleep(Duration::from_micros(random.u64(..200_000))).await;
            if round % LONG == 0 {
                tokio::time::sleep(2 * MARKED).await;
            }
            if random.bool() {
                story.add(&bywash.scrape().await);
            }
            change(&mut random, &sink, round).await;
            tokio::time::sleep(Duration::from_micros(random.u64(..50_000))).await;
            ended = Instant::now();
            dir = bywash.kill().await;
        }
        lives.push(Life { from, ended });
    }
    println!("{rounds} rounds in {:?}", began.elapsed());
    sink.behave("mode=ok").await;
    let from = growth.look();
    let bywash = Bywash::start_in(dir).await;
    let all = sink.stats().await["records"].as_u64().unwrap();
    sink.until("records", |n| n > all + 1000).await;
    let summary = load.stop().await;
    let is_idle = |m: &Metrics| m.sum("bywash_spool_records", &[]) + m.sum("bywash_budget_used_bytes", &[]) == 0.0;
    let metrics = bywash.until("all to be delivered", is_idle).await;
    story.add(&metrics);
    let idle = bywash.until("finished segments to go", |m| m.sum("bywash_spool_segments", &[]) <= 6.0).await;
    assert_eq!(idle.sum("bywash_dead_letter_records", &[]), 0.0);
    bywash.end().await;
    lives.push(Life { from, ended: Instant::now() });
    sink.stop().await;
    println!("{summary:?}\n{story:?}");
    assert!(summary.acked > u64::from(rounds) * 10 && summary.failed > 0, "{summary:?}");
    assert_eq!(story.damaged, 0.0, "a crash damages nothing");
    assert!(story.recovered > 0.0 && story.most_segments > 6.0, "{story:?}");
    assert!(story.copied_bytes > 0.0 || rounds < 2 * POISONED, "no segment was ever copied forward: {story:?}");
    for (exporter, is_its) in [("a", (|b| b == 0) as fn(usize) -> bool), ("load_balancing", |b| b > 0)] {
        let balance = Books::of_backends(&[&load.ids], &sink.ids, is_its).balance(RETRY_ALL);
        assert_eq!(balance.lost, 0, "acknowledged, and not delivered by {exporter}: {balance:?}");
        println!("{exporter}: {balance:?}");
    }
    let doubles = doubles_are_of_crashes(&lives, &growth);
    println!(
        "acknowledged {} lost 0 duplicates {doubles} in {} crashes, {:?}",
        summary.acked,
        lives.len() - 1,
        began.elapsed()
    );
}
