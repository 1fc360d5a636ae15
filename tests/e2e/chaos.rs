//! Backends that change their minds all the time, reloads in between: at the end every record that was acked is at every
//! backend, and nothing is held any more.
//!
//! What happens is decided by a seed, which a failing test names; `BYWASH_SEED` sets another.

use crate::harness::config::FAST_RETRY;
use crate::harness::process::Metrics;
use crate::harness::{Books, Bywash, Load, PAUSE, Pipeline, Rules, Sink};

const BACKENDS: usize = 3;
const STEPS: usize = 40;

/// A configuration among several that differ in batching, compression and the number of connections at work.
fn pipeline(random: &mut fastrand::Rng, sink: &Sink) -> Pipeline {
    let mut pipeline = Pipeline::new().service("shutdown_timeout: 20s");
    for backend in 0..BACKENDS {
        let consumers = random.usize(1..8);
        let batch = ["", ", batch: {min_size: 50, max_size: 80, flush_timeout: 20ms}"][random.usize(..2)];
        let queue = format!("sending_queue: {{queue_size: 100000, num_consumers: {consumers}{batch}}}");
        let keys =
            [FAST_RETRY, "timeout: 400ms", ["compression: none", "compression: zstd"][random.usize(..2)], &queue];
        let name = format!("b{backend}");
        pipeline = match backend % 2 {
            0 => pipeline.grpc(&name, sink.grpc[backend], &keys),
            _ => pipeline.http(&name, sink.http[backend], &keys),
        };
    }
    pipeline
}

/// Scenario: for forty steps, a backend chosen by chance takes, fails, stalls, throttles or dawdles, and now and then a
/// changed configuration is loaded; then all are well. Guarantee: every acked record is at every backend, no sender was
/// refused, and the counters and the memory agree that all is settled.
#[tokio::test]
async fn nothing_is_lost_in_any_order_of_failures() {
    let seed = std::env::var("BYWASH_SEED").map_or(0x6279_7761_7368, |s| s.parse().unwrap());
    println!("BYWASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sink = Sink::start(&["--backends", &BACKENDS.to_string()]).await;
    let bywash = Bywash::start(&pipeline(&mut random, &sink).yaml()).await;
    let mut load = Load::start(bywash.grpc, &["--duration", "0", "--rate", "3000", "--timeout", "20s"]);
    for _ in 0..STEPS {
        let mode = ["ok", "ok", "fail", "stall", "throttle"][random.usize(..5)];
        let delay = [0, 0, 5, 50][random.usize(..4)];
        let backend = random.usize(..BACKENDS);
        let fails = [0, 0, 3][random.usize(..3)];
        sink.behave(&format!("mode={mode}&delay={delay}ms&throttle=100ms&fail_every={fails}&backend={backend}")).await;
        if random.u8(..10) == 0 {
            bywash.rewrite(&pipeline(&mut random, &sink).yaml());
            bywash.process.signal("HUP");
        }
        // Time for the chaos to do its work: what is waited for comes below.
        tokio::time::sleep(PAUSE * random.u32(1..8)).await;
    }
    sink.behave("mode=ok&delay=0&fail_every=0").await;
    load.process.signal("INT");
    let summary = load.finish().await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    let settled = |m: &Metrics| m.sum("bywash_budget_used_bytes", &[]) == 0.0;
    let metrics = bywash.until("all to be settled", settled).await;
    assert_eq!(metrics.records("otelcol_exporter_sent", &[]), summary.sent * BACKENDS as u64);
    assert_eq!(metrics.records("otelcol_exporter_send_failed", &[]), 0);
    assert!(metrics.sum("bywash_exporter_retried_records", &[]) > 0.0, "nothing ever failed");
    assert_eq!(metrics.sum("bywash_leaked_acknowledgements", &[]), 0.0);
    assert_eq!(metrics.sum("otelcol_exporter_queue_size", &[]), 0.0);
    bywash.stop().await;
    sink.stop().await;
    for backend in 0..BACKENDS {
        let books = Books::of_backends(&[&load.ids], &sink.ids, |b| b == backend);
        // An answer that crosses the exporter's timeout on its way is lost, and its request sent again.
        let balance = books.balance(Rules { duplicates: true, ..Rules::default() });
        assert_eq!((balance.lost, balance.distinct), (0, summary.sent), "backend {backend}");
    }
}
