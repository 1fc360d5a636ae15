//! Batches after routing, and what callers are told.

use super::fleet::*;
use flow::{Kind, Outcome};
use std::time::Duration;
use wire::Index;

const BATCHED: &str = "batcher: {enabled: true, max_records: 10, max_bytes: 100000, flush_interval: 100ms}";

/// Scenario: no batcher is configured. Guarantee: each request is sent by itself, in order, byte for byte as it came.
#[tokio::test(start_paused = true)]
async fn item_01_without_a_batcher_requests_stay_what_they_are() {
    let b = Bench::new("max_in_flight: 1", &["a"]).await;
    let requests: Vec<_> = ["1", "2", "3"].iter().map(|id| logs(&[(*id, 1), ("x", 2)])).collect();
    for request in &requests {
        assert_eq!(b.push(request.clone()).await.unwrap(), Outcome::Delivered);
    }
    let bytes = |p: &flow::Payload| p.body.contiguous();
    assert_eq!(
        b.fleet.taken("a").iter().map(bytes).collect::<Vec<_>>(),
        requests.iter().map(bytes).collect::<Vec<_>>()
    );
    b.close().await;
}

/// Scenario: a backend never answers and what it may hold is full. Guarantee: the caller is told at once which records were not taken, and
/// others are served.
#[tokio::test(start_paused = true)]
async fn item_02_a_full_backend_is_told_at_once() {
    let b = Bench::within("routing_key: traceID", &["a", "b"], wire::Signal::Logs, 40_000).await;
    b.fleet.set("a", Mode::Stall);
    let (start, mut lost) = (flow::clock::now(), 0);
    let (dead, live) = (b.trace_of("a"), b.trace_of("b"));
    for n in 0..60 {
        match b.leave(logs(&[("x", dead)])) {
            Outcome::Dropped { records, why } => {
                assert_eq!((records, why.kind), (1, Kind::LaneFull));
                lost += 1;
            }
            other => assert_eq!((other, lost), (Outcome::Delivered, 0), "{n}"),
        }
    }
    assert!(lost > 0);
    assert_eq!(b.push(logs(&[("y", live)])).await.unwrap(), Outcome::Delivered);
    assert!(flow::clock::now() - start < MS(5));
    b.close().await;
}

/// Scenario: batches of a dead backend run out of time. Guarantee: every record is in the counter of dropped records, with its backend
/// and reason, and so is every failed attempt.
#[tokio::test(start_paused = true)]
async fn item_03_lost_records_are_counted() {
    let yaml = format!("{BATCHED}\nretry_on_failure: {{max_elapsed_time: 60s}}");
    let b = Bench::new(&yaml, &["a", "b"]).await;
    b.fleet.set("a", unavailable());
    let told: Vec<_> = (0..25).map(|n| b.send("a", &[&format!("{n}")])).collect();
    for told in told {
        assert!(matches!(told.await.unwrap(), Outcome::Failed { records: 1, .. }));
    }
    let batches = &b.endpoint("a").batches[0].1;
    assert_eq!(batches.dropped, [("expired", 25)]);
    assert_eq!(batches.errors, b.fleet.tries("a") as u64);
    assert!(b.endpoint("b").batches.is_empty());
    b.close().await;
}

/// Scenario: a batch fails twice in a way that may pass. Guarantee: it is sent again, not dropped.
#[tokio::test(start_paused = true)]
async fn item_04_a_failed_batch_is_sent_again() {
    let b = Bench::new(BATCHED, &["a", "b"]).await;
    b.fleet.set("a", unavailable());
    let told = b.send("a", &["1", "2"]);
    tokio::time::sleep(S(10)).await;
    assert!(b.fleet.tries("a") >= 2);
    b.fleet.set("a", Mode::Take(Duration::ZERO));
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.all_ids(), ["1", "2"]);
    b.close().await;
}

/// Scenario: a source that advances only when it is told of delivery. Guarantee: it is told only then, so that a kill before costs nothing.
#[tokio::test(start_paused = true)]
async fn item_05_delivery_is_told_only_when_it_happened() {
    let b = Bench::new(BATCHED, &["a", "b"]).await;
    b.fleet.set("a", Mode::Take(S(3)));
    let mut told = b.send("a", &["1"]);
    tokio::time::sleep(S(2)).await;
    assert!(told.try_recv().is_err() && b.fleet.all_ids().is_empty());
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.all_ids(), ["1"]);
    b.close().await;
}

/// Scenario: 20 000 requests of one record. Guarantee: batches of exactly the configured size, which sizing anew for each record would not
/// finish within the time of a test.
#[tokio::test(start_paused = true)]
async fn item_11_sizes_are_kept_not_counted_anew() {
    let yaml = "batcher: {enabled: true, max_records: 5000, max_bytes: 10000000, flush_interval: 1s}";
    let b = Bench::new(yaml, &["a"]).await;
    b.fleet.set("a", Mode::Take(S(1)));
    let told: Vec<_> = (0..20_000).map(|n| b.push(logs(&[(&format!("{n}"), n)]))).collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    let sizes: Vec<u32> = b.fleet.taken("a").iter().map(|p| p.records).collect();
    assert_eq!(sizes.iter().sum::<u32>(), 20_000);
    assert!(sizes.len() <= 6 && sizes.iter().all(|n| *n <= 5000), "{sizes:?}");
    b.close().await;
}

/// Scenario: equal resource and scope in many requests. Guarantee: a batch holds each once, and what is held to `max_bytes` is the real
/// encoded size.
#[tokio::test(start_paused = true)]
async fn item_12_equal_headers_are_sent_once() {
    let yaml = "batcher: {enabled: true, max_records: 100000, max_bytes: 2000, flush_interval: 1s}";
    let b = Bench::new(yaml, &["a"]).await;
    b.fleet.set("a", Mode::Take(MS(10)));
    let told: Vec<_> = (0..200).map(|n| b.push(logs(&[(&format!("{n:03}"), n)]))).collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    let batches = b.fleet.taken("a");
    for batch in &batches {
        let body = batch.body.contiguous();
        let mut index = Index::new();
        index.build(batch.signal, &body).unwrap();
        assert_eq!(index.resources(&body).len(), 1);
        assert!(body.len() <= 2000, "{}", body.len());
    }
    // With its headers each record is about 60 bytes, without them 28: batches are as full as that allows.
    assert!(
        batches.iter().skip(1).rev().skip(1).all(|p| p.len() > 1800),
        "{:?}",
        batches.iter().map(|p| p.len()).collect::<Vec<_>>()
    );
    assert_eq!(b.fleet.all_ids().len(), 200);
    b.close().await;
}

/// Scenario: one backend is blocked in a send. Guarantee: another's batch leaves in time.
#[tokio::test(start_paused = true)]
async fn item_14_a_blocked_backend_does_not_hold_up_others() {
    let b = Bench::new(BATCHED, &["a", "b"]).await;
    b.fleet.set("a", Mode::Stall);
    let _stuck: Vec<_> = (0..30).map(|n| b.send("a", &[&format!("{n}")])).collect();
    let start = flow::clock::now();
    b.leave(logs(&[("y", b.trace_of("b"))]));
    while b.fleet.ids("b").is_empty() {
        tick().await;
    }
    assert!(flow::clock::now() - start <= MS(102));
    b.close().await;
}

/// Scenario: records wait behind a backend that is busy. Guarantee: the age of the oldest counts from when it came in.
#[tokio::test(start_paused = true)]
async fn item_15_ages_count_from_the_beginning() {
    let b = Bench::new(&format!("{BATCHED}\nmax_in_flight: 1\ntimeout: 60s"), &["a"]).await;
    b.fleet.set("a", Mode::Take(S(30)));
    let first = b.push(logs(&[("1", 1)]));
    tick().await;
    let second = b.push(logs(&[("2", 2)]));
    tokio::time::sleep(S(29)).await;
    assert_eq!(b.view().lanes.iter().map(|(.., lane)| lane.records).sum::<u64>(), 2);
    assert_eq!(first.await.unwrap(), Outcome::Delivered);
    tokio::time::sleep(S(5)).await;
    let lane = &b.view().lanes[0].2;
    let age = flow::clock::now() - lane.oldest.unwrap();
    assert!(age >= S(34), "{age:?}");
    assert_eq!(second.await.unwrap(), Outcome::Delivered);
    b.close().await;
}

/// Scenario: a hot key fills batches without pause, a cold one has a record now and then. Guarantee: the cold one's leaves within five flush
/// intervals.
#[tokio::test(start_paused = true)]
async fn item_28_a_hot_key_does_not_hold_up_a_cold_one() {
    let b = Bench::new(BATCHED, &["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        b.fleet.set(name, Mode::Take(MS(5)));
    }
    let (hot, cold) = (b.trace_of("a"), b.trace_of("b"));
    for round in 0..10 {
        b.leave(logs(&[(&format!("cold-{round}"), cold)]));
        let start = flow::clock::now();
        while b.fleet.ids("b").len() <= round {
            (0..20).for_each(|_| drop(b.leave(logs(&[("hot", hot)]))));
            tick().await;
        }
        assert!(flow::clock::now() - start <= MS(500));
    }
    b.outlet.close(flow::clock::now() + S(10)).await;
}

/// Scenario: a request ten times larger than `max_bytes`. Guarantee: it is divided to the limit, and nothing is missing.
#[tokio::test(start_paused = true)]
async fn item_40_a_large_request_is_divided_to_the_limit() {
    let b =
        Bench::new("batcher: {enabled: true, max_records: 100000, max_bytes: 1000, flush_interval: 10ms}", &["a", "b"])
            .await;
    let trace = b.trace_of("a");
    let records: Vec<String> = (0..300).map(|n| format!("{n:04}")).collect();
    let told = b.push(logs(&records.iter().map(|id| (id.as_str(), trace)).collect::<Vec<_>>()));
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    let sizes: Vec<usize> = b.fleet.taken("a").iter().map(flow::Payload::len).collect();
    assert!(sizes.len() >= 8 && sizes.iter().all(|n| *n <= 1000), "{sizes:?}");
    assert_eq!(b.fleet.ids("a"), records);
    b.close().await;
}

/// Scenario: many batches for one backend that answers slowly. Guarantee: as many are under way as `max_in_flight` says, no more.
#[tokio::test(start_paused = true)]
async fn several_batches_of_one_backend_are_under_way() {
    let b = Bench::new(&format!("{BATCHED}\nmax_in_flight: 4"), &["a", "b"]).await;
    b.fleet.set("a", Mode::Take(MS(50)));
    b.send("a", &["first"]).await.unwrap();
    let told: Vec<_> = (0..200).map(|n| b.send("a", &[&format!("{n}")])).collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert_eq!(b.fleet.most_in_flight("a"), 4);
    b.close().await;
}
