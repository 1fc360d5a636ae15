//! Backends that come and go.

use super::fleet::*;
use flow::{Kind, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// Scenario: senders push while the list changes under them, again and again. Guarantee: no lane stays for a backend that is gone,
/// and everything is delivered by those that are there.
#[tokio::test(start_paused = true)]
async fn item_06_no_lane_is_made_for_a_backend_that_is_gone() {
    let b = Bench::new("drain_timeout: 1s", &["a", "b"]).await;
    let mut told = vec![];
    for round in 0..50u32 {
        let names: &[&str] = if round % 2 == 0 { &["b", "c"] } else { &["a", "b"] };
        told.extend((0..10).map(|n| b.push(logs(&[(&format!("{round}-{n}"), round * 10 + n)]))));
        b.resolve(names).await;
        told.extend((10..20).map(|n| b.push(logs(&[(&format!("{round}-{n}"), round * 20 + n)]))));
    }
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    tick().await;
    assert!(b.lanes().iter().all(|name| name == "a" || name == "b"), "{:?}", b.lanes());
    assert_eq!(b.fleet.all_ids().len(), 1000);
    b.close().await;
}

/// Scenario: a removed backend drains slowly. Guarantee: meanwhile others are routed to and served without any delay.
#[tokio::test(start_paused = true)]
async fn item_07_a_slow_drain_delays_nobody() {
    let b = Bench::new("drain_timeout: 30s", &["a", "b", "c"]).await;
    b.fleet.set("a", Mode::Take(S(4)));
    let slow: Vec<_> = (0..30).map(|n| b.send("a", &[&format!("{n}")])).collect();
    tick().await;
    b.resolve(&["b", "c"]).await;
    let start = flow::clock::now();
    for n in 0..500 {
        assert_eq!(b.send(["b", "c"][n % 2], &["x"]).await.unwrap(), Outcome::Delivered);
    }
    assert!(flow::clock::now() - start < MS(5));
    for told in slow {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    b.close().await;
}

/// Scenario: a removed backend cannot be reached. Guarantee: its drain ends by `drain_timeout`, what is left is delivered by others, and no
/// lane, client or task stays.
#[tokio::test(start_paused = true)]
async fn item_08_a_drain_ends_and_leaves_nothing() {
    let b = Bench::new("drain_timeout: 10s\ntimeout: 60s", &["a", "b"]).await;
    b.fleet.set("a", Mode::Stall);
    let baseline = tasks();
    let told: Vec<_> = (0..20).map(|n| b.send("a", &[&format!("{n}")])).collect();
    tick().await;
    let start = flow::clock::now();
    b.resolve(&["b"]).await;
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert!(flow::clock::now() - start <= S(10) + MS(10), "{:?}", flow::clock::now() - start);
    tick().await;
    assert_eq!((b.fleet.ids("b").len(), b.lanes(), b.fleet.clients()), (20, vec!["b".to_owned()], vec!["b".into()]));
    assert_eq!(b.view().rerouted, [0, 20]);
    // The lane of b is the only one more.
    assert!(tasks() <= baseline + 1, "{} {baseline}", tasks());
    b.close().await;
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Scenario: the exporter is closed while a send is stuck, its queue is as full as stuck lanes make it and another backend drains. Guarantee: it ends by the deadline and
/// everyone is told.
#[tokio::test(start_paused = true)]
async fn item_09_closing_ends_by_its_deadline() {
    let b = Bench::new("timeout: 600s\ndrain_timeout: 600s\nsending_queue: {queue_size: 100}", &["a", "b"]).await;
    b.fleet.set("a", Mode::Stall);
    b.fleet.set("b", Mode::Stall);
    let told: Vec<_> = (0..40).map(|n| b.send(["a", "b"][n % 2], &["x"])).collect();
    tick().await;
    b.resolve(&["b"]).await;
    let start = flow::clock::now();
    b.outlet.close(start + S(3)).await;
    assert!(flow::clock::now() - start <= S(3) + MS(100), "{:?}", flow::clock::now() - start);
    for told in told {
        assert!(matches!(told.await.unwrap(), Outcome::Failed { .. }));
    }
    assert_eq!(b.outlet.view().queue_size, 0);
}

/// Scenario: 100 times a backend comes and another goes, some of them dead, under load. Guarantee: everything accepted is delivered, once, or
/// was told to have failed; in the end the lanes, clients and tasks are those of the last list.
#[tokio::test(start_paused = true)]
async fn item_10_a_hundred_changes_under_load() {
    let yaml = "drain_timeout: 2s\ntimeout: 1s\nbatcher: {enabled: true, max_records: 50, flush_interval: 20ms}\n\
                retry_on_failure: {initial_interval: 100ms, max_interval: 500ms, max_elapsed_time: 0s}";
    let first = ["s1", "s2", "s3", "v0"];
    let b = Bench::new(yaml, &first).await;
    b.push(logs(&(0..64).map(|n| ("w", n)).collect::<Vec<_>>())).await.unwrap();
    let baseline = tasks();
    let (mut told, mut expected) = (vec![], vec![]);
    for cycle in 1..=100u32 {
        let next = format!("v{}", cycle % 7);
        // Every third one that comes never answers as long as it is there.
        b.fleet.set(&next, if cycle % 3 == 0 { unavailable() } else { Mode::Take(MS(5)) });
        b.resolve(&["s1", "s2", "s3", &next]).await;
        for n in 0..10 {
            let ids: Vec<String> = (0..5).map(|i| format!("{cycle}-{n}-{i}")).collect();
            let records: Vec<_> =
                ids.iter().enumerate().map(|(i, id)| (id.as_str(), cycle * 50 + n * 5 + i as u32)).collect();
            told.push(b.push(logs(&records)));
            expected.extend(ids);
        }
        tokio::time::sleep(MS(30)).await;
    }
    b.resolve(&first).await;
    b.fleet.set("v0", Mode::Take(Duration::ZERO));
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    expected.extend((0..64).map(|_| "w".to_owned()));
    assert_eq!(b.fleet.all_ids(), sorted(expected));
    tokio::time::sleep(S(3)).await;
    assert_eq!((b.fleet.clients(), b.view().resolved), (sorted(first), 4));
    assert!(b.lanes().iter().all(|name| first.contains(&name.as_str())), "{:?}", b.lanes());
    assert!(tasks() <= baseline, "{} {baseline}", tasks());
    let view = b.outlet.view();
    assert_eq!((view.queue_size, view.bytes, view.stats.sent.get()), (0, 0, 5064));
    b.close().await;
}

/// Scenario: batches are pending when the exporter is closed. Guarantee: they are sent first; what comes after is told that it is stopping; all
/// its tasks end.
#[tokio::test(start_paused = true)]
async fn item_13_what_is_pending_is_sent_before_the_end() {
    let before = tasks();
    let b = Bench::new("batcher: {enabled: true, flush_interval: 60s}\nmax_in_flight: 1", &["a", "b"]).await;
    for name in ["a", "b"] {
        b.leave(logs(&[("1", b.trace_of(name)), ("2", b.trace_of(name))]));
    }
    tick().await;
    assert!(b.fleet.all_ids().is_empty());
    b.outlet.close(flow::clock::now() + S(5)).await;
    assert_eq!(b.fleet.all_ids(), ["1", "1", "2", "2"]);
    let Outcome::Failed { why, .. } = b.send("a", &["late"]).await.unwrap() else { panic!() };
    assert_eq!(why.kind, Kind::Stopping);
    tick().await;
    assert_eq!(tasks(), before);
}

/// Scenario: many senders push while the exporter is being closed. Guarantee: every one of them is told, and nothing is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_16_sending_while_closing_loses_no_answer() {
    for _ in 0..20 {
        let b = Arc::new(Bench::new("", &["a", "b"]).await);
        // On several threads a tick does not see the resolver through.
        while b.outlet.reserve(&logs(&[("x", 0)]), false).is_err() {
            tokio::task::yield_now().await;
        }
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let b = b.clone();
                tokio::spawn(async move {
                    let mut told = vec![];
                    for n in 0..50u32 {
                        told.push(b.push(logs(&[("x", sender * 50 + n)])));
                        tokio::task::yield_now().await;
                    }
                    told
                })
            })
            .collect();
        tokio::task::yield_now().await;
        b.outlet.close(flow::clock::now() + MS(50)).await;
        let (mut delivered, mut failed) = (0, 0);
        for sender in senders {
            for told in sender.await.unwrap() {
                match told.await.unwrap() {
                    Outcome::Delivered => delivered += 1,
                    Outcome::Failed { .. } => failed += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((delivered + failed, b.fleet.all_ids().len()), (400, delivered));
        assert_eq!(b.outlet.view().queue_size, 0);
    }
}

/// Scenario: every backend in turn is replaced while data flows and waits. Guarantee: nothing is lost.
#[tokio::test(start_paused = true)]
async fn item_20_a_rolling_restart_loses_nothing() {
    let b = Bench::new("drain_timeout: 1s\ntimeout: 500ms", &["a", "b", "c", "d"]).await;
    let mut told = vec![];
    for (n, name) in ["a", "b", "c", "d"].iter().enumerate() {
        // It dies with data queued for it, and only then leaves the list.
        b.fleet.set(name, Mode::Stall);
        told.extend((0..40u32).map(|i| b.push(logs(&[(&format!("{n}-{i:02}"), i)]))));
        tokio::time::sleep(MS(700)).await;
        let left: Vec<&str> = ["a", "b", "c", "d"].into_iter().filter(|other| other != name).collect();
        b.resolve(&left).await;
        tokio::time::sleep(S(2)).await;
        b.fleet.set(name, Mode::Take(Duration::ZERO));
        b.resolve(&["a", "b", "c", "d"]).await;
    }
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    let expected: Vec<String> = (0..4).flat_map(|n| (0..40).map(move |i| format!("{n}-{i:02}"))).collect();
    assert_eq!(b.fleet.all_ids(), expected);
    b.close().await;
}

/// Scenario: a backend leaves and comes back while it still drains. Guarantee: it takes new data at once, and the drain goes on beside.
#[tokio::test(start_paused = true)]
async fn a_backend_may_return_during_its_drain() {
    let b = Bench::new("drain_timeout: 30s", &["a", "b"]).await;
    b.fleet.set("a", Mode::Take(S(3)));
    let old = b.send("a", &["old"]);
    tick().await;
    b.resolve(&["b"]).await;
    b.resolve(&["a", "b"]).await;
    b.fleet.set("a", Mode::Take(Duration::ZERO));
    assert_eq!(b.send("a", &["new"]).await.unwrap(), Outcome::Delivered);
    assert_eq!(old.await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.ids("a"), ["new", "old"]);
    assert_eq!(b.fleet.clients(), ["a", "b"]);
    b.close().await;
}

/// Scenario: a backend is removed while a send to it is under way. Guarantee: the send ends by itself, once.
#[tokio::test(start_paused = true)]
async fn item_36_sends_under_way_end_by_themselves() {
    let b = Bench::new("", &["a", "b"]).await;
    b.fleet.set("a", Mode::Take(S(2)));
    let told = b.send("a", &["1"]);
    tick().await;
    b.resolve(&["b"]).await;
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!((b.fleet.ids("a"), b.fleet.ids("b").len()), (vec!["1".to_owned()], 0));
    b.close().await;
}

/// Scenario: 20 000 keys, then backends that all change. Guarantee: nothing is kept by key, and nothing of backends that are gone.
#[tokio::test(start_paused = true)]
async fn item_37_nothing_is_kept_by_key() {
    let b = Bench::new("", &["a", "b"]).await;
    for n in 0..200 {
        let records: Vec<_> = (0..100).map(|i| ("x", n * 100 + i)).collect();
        assert_eq!(b.push(logs(&records)).await.unwrap(), Outcome::Delivered);
    }
    assert_eq!((b.lanes().len(), b.view().endpoints.len(), b.outlet.view().bytes), (2, 2, 0));
    b.resolve(&["c"]).await;
    tokio::time::sleep(S(400)).await;
    assert_eq!((b.lanes().len(), b.view().endpoints.len(), b.fleet.clients()), (0, 1, vec!["c".to_owned()]));
    b.close().await;
}

/// Scenario: 1000 changes of the list, each with a backend never seen before. Guarantee: series of backends that are gone expire, those of
/// the present one are there.
#[tokio::test(start_paused = true)]
async fn item_38_series_of_gone_backends_expire() {
    let b = Bench::new("", &["a"]).await;
    for n in 0..1000u32 {
        let name = format!("host-{n}");
        b.resolve(&[&name]).await;
        assert_eq!(b.push(logs(&[("x", n)])).await.unwrap(), Outcome::Delivered);
        tokio::time::sleep(S(2)).await;
    }
    // Each is kept for 300 s after it went, and looked for every 60 s.
    assert!(b.view().endpoints.len() <= 1 + 360 / 2 + 2, "{}", b.view().endpoints.len());
    tokio::time::sleep(S(361)).await;
    assert_eq!(b.view().endpoints.len(), 1);
    assert_eq!(b.endpoint("host-999").batches[0].1.items, 1);
    b.close().await;
}

/// Scenario: the last backend goes while data is on its way, and another comes. Guarantee: what had no backend waits for the next one.
#[tokio::test(start_paused = true)]
async fn what_has_no_backend_waits_for_the_next() {
    let b = Bench::new("drain_timeout: 1s\ntimeout: 60s", &["a"]).await;
    b.fleet.set("a", Mode::Stall);
    let told = b.push(logs(&[("1", 1)]));
    tick().await;
    b.resolve(&[]).await;
    tokio::time::sleep(S(5)).await;
    assert_eq!(b.outlet.reserve(&logs(&[("2", 2)]), false).unwrap_err().kind, Kind::NoTarget);
    b.resolve(&["b"]).await;
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.ids("b"), ["1"]);
    b.close().await;
}
