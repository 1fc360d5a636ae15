//! What waits for backends: how much memory that takes, and for how long it may.

use super::fleet::*;
use flow::{Kind, Outcome};
use std::time::Duration;
use telemetry::exposition::Page;
use telemetry::metrics::load_balancing::render;

fn gauge(b: &Bench, name: &str) -> u64 {
    let mut page = Page::new();
    render(&mut page, &[b.view()], flow::clock::now());
    let page = page.finish();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Scenario: a backend stalls while data for it comes in, under each codec; another is healthy; then it is removed with all that waits.
/// Guarantee: what waits is held in a fraction of its size, as the page says; it is routed again and delivered, once; nothing is held then.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_dead_backend_is_compressed() {
    for (codec, part) in [("snappy", 2), ("zstd", 3)] {
        let yaml =
            format!("batcher: {{enabled: true, max_records: 1000, payload_compression: {codec}}}\ndrain_timeout: 5s");
        let b = Bench::new(&yaml, &["a", "b"]).await;
        b.fleet.set("b", unavailable());
        let trace = b.trace_of("b");
        let mut told = vec![];
        let mut sent = vec![];
        for round in 0..60 {
            let ids: Vec<String> =
                (0..50).map(|n| format!("{round:03}-{n:02} checkout of a cart that is like any other")).collect();
            let records: Vec<_> = ids.iter().map(|id| (id.as_str(), trace)).collect();
            told.push(b.push(logs(&records)));
            assert_eq!(b.send("a", &[&format!("a{round:03}")]).await.unwrap(), Outcome::Delivered);
            sent.extend(ids);
            sent.push(format!("a{round:03}"));
            tokio::time::sleep(MS(500)).await;
        }
        let of_b = |name: &str| {
            gauge(&b, &format!("otelcol_loadbalancer_log_batch_pending_{name}{{exporter=\"lb\",endpoint=\"b:4317\"}}"))
        };
        let (came, held) = (of_b("bytes"), of_b("compressed_bytes"));
        assert_eq!(of_b("records"), 3000);
        assert!(held * part < came && came > 150_000, "{codec}: {held} of {came}");
        assert_eq!(b.outlet.view().bytes, held);
        b.resolve(&["a"]).await;
        for told in told {
            assert_eq!(told.await.unwrap(), Outcome::Delivered);
        }
        assert_eq!(b.fleet.all_ids(), sorted(sent));
        assert_eq!((b.outlet.view().bytes, gauge(&b, "otelcol_loadbalancer_log_batch_pending_bytes")), (0, 0));
        b.close().await;
    }
}

/// Scenario: a backend that takes everything, with compression asked for. Guarantee: nothing is ever held in another form: what does not
/// wait is not compressed.
#[tokio::test(start_paused = true)]
async fn what_does_not_wait_is_not_compressed() {
    let b = Bench::new("batcher: {enabled: true, payload_compression: zstd}", &["a", "b"]).await;
    b.fleet.set("a", Mode::Take(MS(20)));
    for n in 0..50 {
        b.leave(logs(&[(&format!("{n:02} and {}", "text ".repeat(100)), b.trace_of("a"))]));
        tokio::time::sleep(MS(15)).await;
        let pending = "otelcol_loadbalancer_log_batch_pending_";
        assert_eq!(gauge(&b, &format!("{pending}bytes")), gauge(&b, &format!("{pending}compressed_bytes")));
    }
    tokio::time::sleep(S(1)).await;
    assert_eq!(b.fleet.ids("a").len(), 50);
    b.close().await;
}

/// Scenario: all backends are removed while data waits for one that is down, and none comes. Guarantee: the senders are told when
/// `max_elapsed_time` is over, counted from the first attempt; it is counted as expired, and the room is free.
#[tokio::test(start_paused = true)]
async fn without_any_backend_data_expires_in_time() {
    let b = Bench::new("retry_on_failure: {max_elapsed_time: 60s}\ndrain_timeout: 1s", &["a"]).await;
    b.fleet.set("a", unavailable());
    let start = flow::clock::now();
    let told: Vec<_> = (0..3).map(|n| b.send("a", &[&format!("{n}")])).collect();
    tokio::time::sleep(S(20)).await;
    b.resolve(&[]).await;
    for told in told {
        let Outcome::Failed { records: 1, why, .. } = told.await.unwrap() else { panic!() };
        assert_eq!(why.kind, Kind::Expired);
        let took = flow::clock::now() - start;
        assert!(took >= S(59) && took <= S(82), "{took:?}");
    }
    let view = b.outlet.view();
    assert_eq!((view.queue_size, view.bytes), (0, 0));
    assert_eq!(view.stats.failed.iter().collect::<Vec<_>>(), [(Kind::Expired, 3)]);
    b.close().await;
}

/// Scenario: all of eight backends die with data waiting; they come back one after the other. Guarantee: the first one does not get the data of all;
/// everything is delivered.
#[tokio::test(start_paused = true)]
async fn item_25_the_first_to_come_back_is_not_trampled() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let b = Bench::new("endpoint_health: {enabled: true, reroute_on_failure: true}", &names).await;
    names.iter().for_each(|name| b.fleet.set(name, unavailable()));
    let mut told: Vec<_> = (0..5).flat_map(|n| names.map(|name| b.send(name, &[&format!("{name}{n}")]))).collect();
    tokio::time::sleep(S(40)).await;
    assert_eq!((b.view().used, b.view().quarantined), (8, 8));
    for name in names {
        b.fleet.set(name, Mode::Take(Duration::ZERO));
        told.extend(names.map(|name| b.send(name, &[&format!("{name} later")])));
        tokio::time::sleep(S(3)).await;
        let used = b.view().used;
        assert!(used >= 4, "{used} are used while {name} comes back");
    }
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    b.close().await;
}
