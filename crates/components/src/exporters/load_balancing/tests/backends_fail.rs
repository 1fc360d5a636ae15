//! Backends that fail: what of a request is sent again, who gets its keys, and who is told.

use super::fleet::*;
use flow::{Attempt, Kind, Outcome, Scope, Why};
use std::time::Duration;

const NAMES: &[&str] = &["a", "b", "c", "d"];
const HEALTH: &str = "endpoint_health: {enabled: true, reroute_on_failure: true}";

/// One record for each backend.
fn spread(b: &Bench, round: usize) -> flow::Payload {
    let ids: Vec<String> = NAMES.iter().map(|name| format!("{name}{round}")).collect();
    logs(&ids.iter().zip(NAMES).map(|(id, name)| (id.as_str(), b.trace_of(name))).collect::<Vec<_>>())
}

/// Scenario: a request over four backends, one of which fails for a while. Guarantee: those that took their part get nothing again; the
/// failed part is sent again until it is taken; then, and not before, the sender is told.
#[tokio::test(start_paused = true)]
async fn item_17_only_the_failed_part_is_sent_again() {
    let b = Bench::new("", NAMES).await;
    b.fleet.set("c", unavailable());
    let mut told = b.push(spread(&b, 1));
    tokio::time::sleep(S(20)).await;
    assert!(told.try_recv().is_err() && b.fleet.tries("c") >= 3);
    b.fleet.set("c", Mode::Take(Duration::ZERO));
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!(NAMES.iter().map(|name| b.fleet.ids(name)).collect::<Vec<_>>(), [["a1"], ["b1"], ["c1"], ["d1"]]);
    assert_eq!((b.fleet.tries("a"), b.fleet.tries("b"), b.fleet.tries("d")), (1, 1, 1));
    b.close().await;
}

/// Scenario: the same, without end. Guarantee: what is counted as sent and failed is what was, per backend; a backend that is gone is not
/// reported as a success because a queue took its data.
#[tokio::test(start_paused = true)]
async fn item_18_counters_are_those_of_each_backend() {
    let b = Bench::new("retry_on_failure: {max_elapsed_time: 60s}", NAMES).await;
    b.fleet.set("c", unavailable());
    for round in 0..5 {
        let Outcome::Failed { records, .. } = b.push(spread(&b, round)).await.unwrap() else { panic!() };
        assert_eq!(records, 1);
    }
    let stats = b.outlet.view().stats;
    assert_eq!((stats.sent.get(), stats.failed.total()), (15, 5));
    for name in NAMES {
        let endpoint = b.endpoint(name);
        let items = endpoint.batches.first().map_or(0, |(_, batches)| batches.items);
        if *name == "c" {
            assert_eq!((endpoint.succeeded, items), (0, 0));
            assert_eq!(endpoint.failed, b.fleet.tries("c") as u64);
            assert_eq!(endpoint.batches[0].1.dropped, [("expired", 5)]);
        } else {
            assert_eq!((endpoint.succeeded, endpoint.failed, items), (5, 0, 5));
            assert_eq!(endpoint.latency.count, 5);
        }
    }
    b.close().await;
}

/// Scenario: one backend refuses for good, another fails for now. Guarantee: only the first one's part is given up; the other's is delivered.
#[tokio::test(start_paused = true)]
async fn item_19_a_refusal_does_not_touch_the_others() {
    let b = Bench::new("", NAMES).await;
    b.fleet.set("a", rejects());
    b.fleet.set("b", unavailable());
    let told = b.push(spread(&b, 1));
    tokio::time::sleep(S(8)).await;
    b.fleet.set("b", Mode::Take(Duration::ZERO));
    let Outcome::Rejected { records, why } = told.await.unwrap() else { panic!() };
    assert_eq!((records, why.kind), (1, Kind::Auth));
    assert_eq!(b.fleet.all_ids(), ["b1", "c1", "d1"]);
    assert_eq!(b.fleet.tries("a"), 1);
    b.close().await;
}

/// Scenario: a new backend whose connection hangs. Guarantee: others are served without delay, and its own data once it answers.
#[tokio::test(start_paused = true)]
async fn item_22_a_backend_that_hangs_at_the_beginning_holds_up_nobody() {
    let b = Bench::new("", &["a", "b"]).await;
    b.fleet.set("new", Mode::Stall);
    b.resolve(&["a", "b", "new"]).await;
    let stuck = b.send("new", &["n"]);
    let start = flow::clock::now();
    for n in 0..100 {
        assert_eq!(b.send(["a", "b"][n % 2], &[&format!("{n}")]).await.unwrap(), Outcome::Delivered);
    }
    assert!(flow::clock::now() - start < MS(5));
    b.fleet.set("new", Mode::Take(Duration::ZERO));
    assert_eq!(stuck.await.unwrap(), Outcome::Delivered);
    b.close().await;
}

/// Scenario: a backend whose client cannot be made, then can. Guarantee: it is left out, its keys are served by others, it is tried again
/// with growing waits, and joins without a change of the list.
#[tokio::test(start_paused = true)]
async fn item_23_a_backend_without_a_client_is_left_out_and_tried_again() {
    let b = Bench::new("", &["a"]).await;
    b.fleet.set("b", Mode::NoClient);
    b.resolve(&["a", "b"]).await;
    assert_eq!((b.view().resolved, b.view().used), (2, 1));
    assert_eq!(b.send("b", &["1"]).await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.ids("a"), ["1"]);
    tokio::time::sleep(S(100)).await;
    assert_eq!(b.view().used, 1);
    b.fleet.set("b", Mode::Take(Duration::ZERO));
    tokio::time::sleep(S(31)).await;
    assert_eq!(b.view().used, 2);
    assert_eq!(b.send("b", &["2"]).await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.ids("b"), ["2"]);
    b.close().await;
}

/// Scenario: nothing can be resolved at the start. Guarantee: it starts; senders are refused with the cause, to come back; the page shows
/// no backends; the first good answer ends it.
#[tokio::test(start_paused = true)]
async fn item_24_it_starts_without_backends() {
    let b = Bench::new("", &[]).await;
    let why = b.outlet.reserve(&logs(&[("1", 1)]), false).unwrap_err();
    assert_eq!((why.kind, &*why.text), (Kind::NoTarget, "no backends resolved: not resolved yet"));
    b.cannot_resolve("x cannot be resolved: NXDOMAIN").await;
    let why = b.outlet.reserve(&logs(&[("1", 1)]), false).unwrap_err();
    assert_eq!(&*why.text, "no backends resolved: x cannot be resolved: NXDOMAIN");
    let view = b.view();
    assert_eq!((view.resolved, view.used, view.resolutions, view.last_resolution), (0, 0, [1, 0], None));
    b.resolve(&["a"]).await;
    assert_eq!(b.send("a", &["1"]).await.unwrap(), Outcome::Delivered);
    assert_eq!((b.view().resolved, b.view().resolutions), (1, [1, 1]));
    b.close().await;
}

/// Scenario: a backend of a fixed list dies and comes back. Guarantee: after a few failures its keys, and what waits for it, go to the next
/// owner; after the quarantine they return.
#[tokio::test(start_paused = true)]
async fn item_25_the_keys_of_a_dead_backend_move_and_return() {
    let b = Bench::new(HEALTH, NAMES).await;
    b.fleet.set("b", unavailable());
    let start = flow::clock::now();
    let told: Vec<_> = (0..5).map(|n| b.send("b", &[&format!("{n}")])).collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert!(flow::clock::now() - start < S(25), "{:?}", flow::clock::now() - start);
    assert_eq!((b.fleet.ids("b").len(), b.fleet.all_ids().len(), b.view().quarantined), (0, 5, 1));
    assert_eq!(b.endpoint("b").quarantines, [("unavailable", 1)]);
    assert!(b.view().rerouted[1] > 0);
    let tries = b.fleet.tries("b");
    assert_eq!(b.send("b", &["5"]).await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.tries("b"), tries);
    b.fleet.set("b", Mode::Take(Duration::ZERO));
    tokio::time::sleep(S(31)).await;
    assert_eq!(b.send("b", &["6"]).await.unwrap(), Outcome::Delivered);
    assert_eq!((b.fleet.ids("b"), b.endpoint("b").unquarantines), (vec!["6".to_owned()], vec![("expired", 1)]));
    b.close().await;
}

/// Scenario: all backends are dead, then all recover. Guarantee: all are used rather than none, and everything is delivered.
#[tokio::test(start_paused = true)]
async fn item_25_when_all_are_dead_all_are_used() {
    let b = Bench::new(HEALTH, NAMES).await;
    NAMES.iter().for_each(|name| b.fleet.set(name, unavailable()));
    let told: Vec<_> = (0..20).map(|round| b.push(spread(&b, round))).collect();
    tokio::time::sleep(S(60)).await;
    assert!(b.view().fail_opens > 0 && b.view().used > 0);
    NAMES.iter().for_each(|name| b.fleet.set(name, Mode::Take(Duration::ZERO)));
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert_eq!(b.fleet.all_ids().len(), 80);
    b.close().await;
}

/// Scenario: probes are on; a backend dies and recovers without any data. Guarantee: it leaves after `fall` probes and returns after `rise`.
#[tokio::test(start_paused = true)]
async fn item_25_probes_find_out_without_data() {
    let probe = "active_probe: {enabled: true, type: grpc_health, interval: 1s, timeout: 100ms, jitter: '0%'}";
    let b = Bench::new(&format!("endpoint_health: {{enabled: true, {probe}}}"), NAMES).await;
    b.fleet.set("a", unavailable());
    b.fleet.set("b", Mode::Stall);
    tokio::time::sleep(MS(1500)).await;
    assert_eq!(b.view().used, 4);
    tokio::time::sleep(MS(1100)).await;
    assert_eq!((b.view().used, b.endpoint("a").quarantines), (2, vec![("active_probe", 1)]));
    // Unlike that of a lane, this quarantine has no end but success.
    tokio::time::sleep(S(60)).await;
    assert_eq!(b.view().used, 2);
    b.fleet.set("a", Mode::Take(Duration::ZERO));
    tokio::time::sleep(MS(2500)).await;
    assert_eq!((b.view().used, b.endpoint("a").unquarantines), (3, vec![("active_probe", 1)]));
    b.close().await;
}

/// Scenario: a backend says when to come back. Guarantee: it is quarantined as throttled, and its keys are served by others meanwhile.
#[tokio::test(start_paused = true)]
async fn a_throttled_backend_is_relieved() {
    let b = Bench::new(HEALTH, NAMES).await;
    let why = Why::new(Kind::Throttled, "later");
    b.fleet.set("a", Mode::Answer(Attempt::Retry { after: Some(S(10)), why, scope: Scope::Target }));
    let start = flow::clock::now();
    assert_eq!(b.send("a", &["1"]).await.unwrap(), Outcome::Delivered);
    assert!(flow::clock::now() - start < S(3), "{:?}", flow::clock::now() - start);
    assert_eq!(b.endpoint("a").quarantines, [("throttled", 1)]);
    b.close().await;
}

/// Scenario: a request for four backends finds the queue full. Guarantee: all of it is refused; one larger than the queue is taken when that
/// is empty, so that nothing can never be taken.
#[tokio::test(start_paused = true)]
async fn item_27_a_request_is_taken_whole_or_not_at_all() {
    let b = Bench::new("sending_queue: {sizer: items, queue_size: 3}", NAMES).await;
    NAMES.iter().for_each(|name| b.fleet.set(name, Mode::Take(S(1))));
    let told = b.push(spread(&b, 0));
    assert_eq!(b.outlet.reserve(&spread(&b, 1), false).unwrap_err().kind, Kind::QueueFull);
    assert_eq!(told.await.unwrap(), Outcome::Delivered);
    assert_eq!(b.fleet.all_ids(), ["a0", "b0", "c0", "d0"]);
    b.close().await;
}

/// Scenario: two of three backends say nothing, and their quarantine is shorter than a timeout. Guarantee: what is meant for them soon finds
/// the third, instead of going from one to the other each time that its time is over; none comes back before it answers.
#[tokio::test(start_paused = true)]
async fn data_does_not_go_back_and_forth_between_the_dead() {
    let yaml = "timeout: 5s\nendpoint_health: {enabled: true, reroute_on_failure: true, quarantine_duration: 1s}";
    let b = Bench::new(yaml, &["a", "b", "c"]).await;
    b.fleet.set("a", Mode::Stall);
    b.fleet.set("b", Mode::Stall);
    let start = flow::clock::now();
    let told: Vec<_> = (0..40).map(|n| b.send(["a", "b"][n % 2], &[&format!("{n}")])).collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    assert!(flow::clock::now() - start < S(40), "{:?}", flow::clock::now() - start);
    tokio::time::sleep(S(60)).await;
    assert_eq!((b.view().used, b.fleet.ids("c").len()), (1, 40));
    b.fleet.set("a", Mode::Take(Duration::ZERO));
    tokio::time::sleep(S(7)).await;
    assert_eq!(b.view().used, 2);
    b.close().await;
}
