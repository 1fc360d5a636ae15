//! Load balancing over backends that are restarted, killed, stopped, late, added and taken away: nothing is lost, nothing is sent
//! again that was answered, and what comes and goes leaves nothing behind.

use crate::harness::books::Unheard;
use crate::harness::fleet::{self, Fleet, one_service};
use crate::harness::process::{Held, Metrics};
use crate::harness::{Bywash, Load, Pipeline, Rules, Sink};
use std::net::SocketAddr;

const BATCHED: &str = "batcher: {enabled: true, max_records: 200, flush_interval: 20ms}";
const HEALTH: &str = "endpoint_health: {enabled: true, quarantine_duration: 1s, reroute_on_failure: true}";
const TWO_AT_ONCE: &str = "max_in_flight: 2";
/// Requests under way to one backend: two of each signal.
const IN_FLIGHT: usize = 6;
const ENDLESS: [&str; 8] = ["--duration", "0", "--rate", "3000", "--services", "50", "--timeout", "20s"];

const AGAIN: Rules = Rules { duplicates: true, refused_may_arrive: false, acked_may_be_lost: false };

/// Waits until one of the sinks has taken a fair number in its present life.
async fn takes(fleet: &Fleet, number: usize) {
    fleet.sink(number).until("records", |n| n >= 300).await;
}

/// Scenario: under load four backends end, one after the other, as one does that is asked to, and come back. Guarantee: no sender is refused,
/// every record arrives, and once.
#[tokio::test]
async fn a_rolling_restart_loses_and_doubles_nothing() {
    let mut fleet = Fleet::start(4).await;
    let bywash = Bywash::start(&Pipeline::new().balanced(&fleet.addresses(), &[BATCHED, TWO_AT_ONCE]).yaml()).await;
    let mut load = Load::start(bywash.grpc, &ENDLESS);
    for number in (0..4).chain(0..4) {
        takes(&fleet, number).await;
        fleet.stop(number).await;
        fleet.revive(number).await;
    }
    for number in 0..4 {
        takes(&fleet, number).await;
    }
    let summary = load.stop().await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    bywash.settled().await;
    bywash.stop().await;
    assert_eq!(fleet.books(&[&load]).await.balance(Rules::default()).distinct, summary.sent);
}

/// Scenario: the same, but they are killed, and what waits for the dead is routed again. Guarantee: every record arrives; what arrives twice had
/// arrived in the last requests of one that was killed, whose answers cannot have been heard.
#[tokio::test]
async fn killed_backends_lose_nothing() {
    let mut fleet = Fleet::start(4).await;
    let keys = [BATCHED, TWO_AT_ONCE, HEALTH];
    let bywash = Bywash::start(&Pipeline::new().balanced(&fleet.addresses(), &keys).yaml()).await;
    let mut load = Load::start(bywash.grpc, &ENDLESS);
    for (round, number) in (0..4).chain(0..4).enumerate() {
        takes(&fleet, number).await;
        fleet.kill(number, IN_FLIGHT).await;
        let dead = (round + 1) as f64;
        bywash.until("a quarantine", |m| m.sum("otelcol_loadbalancer_backend_quarantine_total", &[]) >= dead).await;
        fleet.revive(number).await;
    }
    for number in 0..4 {
        takes(&fleet, number).await;
    }
    let summary = load.stop().await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    bywash.settled().await;
    bywash.stop().await;
    let books = fleet.books(&[&load]).await;
    let doubled = books.doubles_were_unheard();
    assert!(doubled <= 8 * IN_FLIGHT as u64 * 200, "{doubled}");
    assert_eq!(books.balance(AGAIN).distinct, summary.sent);
}

/// Scenario: of six backends one stops (SIGSTOP) and one stalls, while requests for both come in. Guarantee: deliveries to another take no
/// longer than before; what was meant for the two is delivered by others; both are used again when they go on; what arrives twice had
/// arrived in a request that timed out.
#[tokio::test]
async fn stalled_backends_harm_nobody_else() {
    let mut fleet = Fleet::start(6).await;
    let keys = [BATCHED, TWO_AT_ONCE, HEALTH, "routing_key: service", "timeout: 1500ms"];
    let pipeline = Pipeline::new().balanced(&fleet.addresses(), &keys).service("acknowledge: delivered");
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let (calm, before) = one_service(&bywash, 1 << 40).await;
    let owner = fleet.records().await.iter().position(|n| *n == 2000).expect("one backend owns the service");
    let [stopped, stalled] = [(owner + 1) % 6, (owner + 2) % 6];
    let of = [stopped, stalled].map(|number| format!("endpoint=\"{}\"", fleet.addresses()[number]));

    fleet.sink(stopped).process.signal("STOP");
    fleet.sink(stalled).behave("mode=stall").await;
    let taken = fleet.requests(stopped);
    let args = ["--duration", "0", "--rate", "3000", "--services", "500", "--in-flight", "200", "--timeout", "20s"];
    let mut load = Load::start(bywash.grpc, &args);
    for endpoint in &of {
        let waits = |m: &Metrics| m.sum("otelcol_loadbalancer_log_batch_pending_records", &[endpoint]) > 0.0;
        bywash.until("records to wait for it", waits).await;
    }
    let (rough, during) = one_service(&bywash, 1 << 41).await;
    let (usual, now) = (before.p99_ms, during.p99_ms);
    assert!(now < (5.0 * usual).max(500.0), "99 of 100 took {usual} ms at most, then {now} ms");
    assert!(during.seconds < 2.0 * before.seconds, "{before:?} {during:?}");
    for endpoint in &of {
        let quarantined = |m: &Metrics| m.sum("otelcol_loadbalancer_backend_quarantine_total", &[endpoint]) >= 1.0;
        bywash.until("the quarantine", quarantined).await;
    }
    let summary = load.stop().await;
    assert_eq!(summary.acked, summary.sent, "delivered while two do not answer: {summary:?}");
    let metrics = bywash.settled().await;
    assert!(metrics.sum("otelcol_loadbalancer_backend_reroute_total", &["result=\"success\""]) > 0.0);

    fleet.sink(stopped).process.signal("CONT");
    fleet.sink(stalled).behave("mode=ok").await;
    bywash.until("six backends in use", |m| m.sum("otelcol_loadbalancer_num_selected_backends", &[]) == 6.0).await;
    let counts = fleet.records().await;
    let args = ["--rate", "0", "--requests", "600", "--services", "500", "--first-id", "5000000000000"];
    let (after, last) = Load::run(bywash.grpc, &args).await;
    assert_eq!(last.acked, 6000, "{last:?}");
    let now = fleet.records().await;
    assert!([stopped, stalled].iter().all(|n| now[*n] > counts[*n]), "{counts:?} {now:?}");
    let metrics = bywash.settled().await;
    let failures = metrics.sum("otelcol_loadbalancer_backend_outcome", &[&of[0], "success=\"false\""]) as usize;
    // It may have taken some just before it stopped whose answers were too late.
    fleet.doubt(stopped, Unheard::After { heard: taken.saturating_sub(IN_FLIGHT), at_most: 2 * IN_FLIGHT + failures });
    bywash.stop().await;
    let books = fleet.books(&[&calm, &load, &rough, &after]).await;
    let doubled = books.doubles_were_unheard();
    assert!(doubled <= failures as u64 * 200, "{doubled} {failures}");
    assert_eq!(books.balance(AGAIN).distinct, 2000 + 2000 + 6000 + summary.sent);
}

/// Scenario: a hundred times under load a reload takes a backend away and adds another. Guarantee: no sender notices, every record arrives, and
/// once; in the end there are as many threads, sockets and files as there were.
#[tokio::test]
async fn a_hundred_reloads_leave_nothing_behind() {
    let mut sink = Sink::start(&["--backends", "5"]).await;
    let lists: [Vec<SocketAddr>; 2] = [3, 4].map(|last| [0, 1, 2, last].map(|n| sink.grpc[n]).to_vec());
    let yaml = lists.map(|list| Pipeline::new().balanced(&list, &[BATCHED, TWO_AT_ONCE]).yaml());
    let bywash = Bywash::start(&yaml[0]).await;
    let mut load = Load::start(bywash.grpc, &ENDLESS);
    sink.until("records", |n| n > 1000).await;
    let before = Held::of(&bywash);
    for cycle in 1..=100 {
        bywash.reload(&yaml[cycle % 2]).await;
    }
    before.until_no_more(&bywash).await;
    let summary = load.stop().await;
    assert_eq!(summary.acked, summary.sent, "{summary:?}");
    let metrics = bywash.settled().await;
    assert_eq!(metrics.sum("otelcol_loadbalancer_num_backends", &[]), 4.0);
    let stats = sink.stats().await;
    assert!((3..5).all(|n| stats["backends"][n]["records"].as_u64().unwrap() > 0), "{stats}");
    bywash.stop().await;
    assert_eq!(sink.books(&[&load]).await.balance(Rules::default()).distinct, summary.sent);
}

/// Scenario: none of four backends is there at the start, while requests come in; then they come, one after the other. Guarantee: no sender is
/// refused, and without a restart or a reload everything is delivered, once.
#[tokio::test]
async fn backends_that_are_late_are_found() {
    for health in ["", HEALTH] {
        let at: Vec<_> = (0..4).map(|_| fleet::address()).collect();
        let mut fleet = Fleet::dead_at(&at);
        let keys: Vec<&str> = [BATCHED, TWO_AT_ONCE, health].into_iter().filter(|key| !key.is_empty()).collect();
        let bywash = Bywash::start(&Pipeline::new().balanced(&at, &keys).yaml()).await;
        let args = ["--requests", "300", "--rate", "3000", "--services", "50"];
        let (load, summary) = Load::run(bywash.grpc, &args).await;
        assert_eq!(summary.acked, 3000, "{summary:?}");
        bywash.until("sends to fail", |m| m.sum("bywash_exporter_retried_records", &[]) > 0.0).await;
        for number in 0..4 {
            fleet.revive(number).await;
        }
        bywash.settled().await;
        bywash.stop().await;
        assert_eq!(fleet.books(&[&load]).await.balance(Rules::default()).distinct, 3000, "{health}");
    }
}
