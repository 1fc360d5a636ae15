//! Backends that refuse, stall for ever, reset, answer garbage or answer 4 GiB: the process lives, its memory stays,
//! everything is counted, and when the backend is well again it gets every record once.

use crate::harness::config::FAST_RETRY;
use crate::harness::mischief::{Mischief, Villain};
use crate::harness::{Books, Bywash, Load, Pipeline, Rules, Sink};

/// What a process may grow by while a backend misbehaves: its queue is a few hundred kilobytes.
const GROWTH: u64 = 48 << 20;

async fn survives(mischief: Mischief, http: bool) {
    let villain = Villain::start(mischief, http);
    let keys = ["timeout: 300ms", FAST_RETRY];
    let pipeline = match http {
        true => Pipeline::new().http("x", villain.address, &keys),
        false => Pipeline::new().grpc("x", villain.address, &keys),
    };
    let mut bywash = Bywash::start(&pipeline.yaml()).await;
    let before = bywash.process.rss();
    let (load, summary) = Load::run(bywash.grpc, &["--requests", "90", "--records", "10", "--rate", "0"]).await;
    assert_eq!(summary.acked, 900, "the backend is the exporter's business, not the sender's");

    let metrics = bywash
        .until("retries of every signal", |m| {
            ["logs", "traces", "metrics"]
                .iter()
                .all(|s| m.sum("bywash_exporter_retried_records", &[&format!("\"{s}\"")]) > 0.0)
        })
        .await;
    assert_eq!(metrics.records("otelcol_exporter_sent", &[]), 0, "{mischief:?} is no success");
    if mischief == Mischief::Flood {
        assert!(villain.written.load(std::sync::atomic::Ordering::Relaxed) > 0, "nothing of the flood was written");
    }
    assert!(bywash.process.is_alive());
    let grown = bywash.process.peak_rss().saturating_sub(before);
    assert!(grown < GROWTH, "grew by {} MiB", grown >> 20);

    let address = villain.leave().await.to_string();
    let own = if http { ["--http", &address] } else { ["--grpc", &address] };
    let mut sink = Sink::start(&own).await;
    sink.until("distinct", |n| n == 900).await;
    let metrics = bywash.until("all to be settled", |m| m.records("otelcol_exporter_sent", &[]) == 900).await;
    assert_eq!(metrics.records("otelcol_exporter_send_failed", &[]), 0);
    bywash.until("the budget to be given back", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!(balance.distinct, 900);
}

/// Scenario: nothing listens. Guarantee: see the module.
#[tokio::test]
async fn refusing() {
    survives(Mischief::Refuse, false).await;
    survives(Mischief::Refuse, true).await;
}

/// Scenario: the backend accepts connections and is silent. Guarantee: see the module.
#[tokio::test]
async fn stalling_for_ever() {
    survives(Mischief::Stall, false).await;
    survives(Mischief::Stall, true).await;
}

/// Scenario: every connection is reset. Guarantee: see the module.
#[tokio::test]
async fn resetting() {
    survives(Mischief::Reset, false).await;
    survives(Mischief::Reset, true).await;
}

/// Scenario: the backend answers noise. Guarantee: see the module.
#[tokio::test]
async fn answering_garbage() {
    survives(Mischief::Garbage, false).await;
    survives(Mischief::Garbage, true).await;
}

/// Scenario: every answer is 4 GiB long. Guarantee: see the module.
#[tokio::test]
async fn answering_four_gibibytes() {
    survives(Mischief::Flood, false).await;
    survives(Mischief::Flood, true).await;
}

/// Scenario: an answer of success that is 4 GiB long. Guarantee: it is a success, it is not read to its end, and memory
/// stays.
#[tokio::test]
async fn succeeding_in_four_gibibytes() {
    let villain = Villain::start(Mischief::FloodOfSuccess, true);
    let bywash = Bywash::start(&Pipeline::new().http("x", villain.address, &[FAST_RETRY]).yaml()).await;
    let before = bywash.process.rss();
    let (_load, summary) = Load::run(bywash.grpc, &["--requests", "30", "--records", "10", "--rate", "0"]).await;
    assert_eq!(summary.acked, 300);
    bywash.until("all to be sent", |m| m.records("otelcol_exporter_sent", &[]) == 300).await;
    let grown = bywash.process.peak_rss().saturating_sub(before);
    assert!(grown < GROWTH, "grew by {} MiB", grown >> 20);
    let read = villain.written.load(std::sync::atomic::Ordering::Relaxed);
    assert!(read < 1 << 30, "{} MiB of the answers were taken", read >> 20);
    bywash.stop().await;
}

/// Scenario: the backend is restarted three times under load, each time with a new process at its address. Guarantee: every
/// record is at one of them, none at two, and no sender notices.
#[tokio::test]
async fn restarting() {
    let mut sinks = vec![Sink::start(&["--grpc", "127.0.0.1:0"]).await];
    let address = sinks[0].grpc[0];
    let bywash = Bywash::start(&Pipeline::new().grpc("x", address, &["timeout: 2s", FAST_RETRY]).yaml()).await;
    let mut load = Load::start(bywash.grpc, &["--duration", "0", "--rate", "2000"]);
    for _ in 0..3 {
        let sink = sinks.last_mut().unwrap();
        sink.until("records", |n| n > 500).await;
        sink.stop().await;
        sinks.push(Sink::start(&["--grpc", &address.to_string()]).await);
    }
    load.process.signal("INT");
    let summary = load.finish().await;
    assert_eq!(summary.acked, summary.sent);
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    sinks.last_mut().unwrap().stop().await;
    let ids: Vec<_> = sinks.iter().map(|s| s.ids.as_path()).collect();
    let balance = Books::read(&[&load.ids], &ids).balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, summary.sent));
}
