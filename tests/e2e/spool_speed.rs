//! What a queue on disk takes from the throughput of the whole program, beside the same with a queue in memory.
//!
//! With the whole program, because a queue in memory alone costs next to nothing: only beside the work that a request is anyway
//! the ratio says something. It says as much of the disk, and means something of a release build only: `just spool-bench`.

use crate::harness::{Bywash, Load, Pipeline, Sink};
use tempfile::TempDir;
use tokio::time::Instant;

/// Enough for some seconds.
const REQUESTS: u64 = 20_000;
const RECORDS: u64 = REQUESTS * 100;
/// Records of 430 bytes.
const LOAD: &str = "--signal logs --rate 0 --requests 20000 --records 100 --in-flight 32 --connections 2 --body 376";
/// Each round measures both twice, in the order A B B A: what makes the machine slower meanwhile meets both.
const ROUNDS: usize = 5;

/// One run.
#[derive(Default)]
struct Run {
    /// From the first request until the backend has everything.
    seconds: f64,
    /// How long of that a sync was under way.
    syncing: f64,
}

async fn run(batch: &str, durable: bool) -> Run {
    let mut sink = Sink::start(&[]).await;
    // On the disk of the build: a folder for temporary files may be in memory.
    let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let storage = if durable { ", storage: file_storage" } else { "" };
    let queue = format!("sending_queue: {{queue_size: 100000{batch}{storage}}}");
    let mut pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[&queue]);
    if durable {
        pipeline = pipeline.storage(&format!("directory: '{}'", disk.path().display()));
    }
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let start = Instant::now();
    let (_load, summary) = Load::run(bywash.grpc, &LOAD.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(summary.acked, RECORDS, "{summary:?}");
    sink.until("records", |n| n == RECORDS).await;
    let seconds = start.elapsed().as_secs_f64();
    let syncing = bywash.scrape().await.sum("bywash_spool_sync_seconds_sum", &[]);
    bywash.stop().await;
    sink.stop().await;
    Run { seconds, syncing }
}

/// What `just spool-bench` measures: requests of a hundred records, 32 of them under way, to a healthy backend, with the queue on disk and in
/// memory in turns. On disk it should be at least 60 % as fast.
#[tokio::test]
#[ignore = "a measurement"]
async fn throughput_on_disk_beside_that_in_memory() {
    for (name, batch) in [("each request by itself", ""), ("in batches", ", batch: {}")] {
        let (mut ratios, mut durable) = (vec![], Run::default());
        for _ in 0..ROUNDS {
            let [mut on_disk, mut in_memory] = [0.0; 2];
            for is_durable in [true, false, false, true] {
                let run = run(batch, is_durable).await;
                let seconds = if is_durable { &mut on_disk } else { &mut in_memory };
                *seconds += run.seconds;
                if is_durable {
                    durable.seconds += run.seconds;
                    durable.syncing += run.syncing;
                }
            }
            println!("  {on_disk:.1} s on disk, {in_memory:.1} s in memory: {:.2}", in_memory / on_disk);
            ratios.push(in_memory / on_disk);
        }
        ratios.sort_by(f64::total_cmp);
        let (median, least, most) = (ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]);
        let syncing = 100.0 * durable.syncing / durable.seconds;
        println!(
            "throughput on disk / in memory, {name}: {median:.2} ({least:.2} to {most:.2}), {syncing:.0} % of the time in syncs (bound 0.60)"
        );
    }
}
