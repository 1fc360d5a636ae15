//! SIGHUP under load: a new configuration takes the place of the old one, or changes nothing; no record is lost or
//! doubled.

use crate::harness::{Bywash, Load, Pipeline, Rules, Sink};

const LOAD: [&str; 4] = ["--duration", "5s", "--rate", "3000"];

fn reloads(outcome: &str) -> String {
    format!("outcome=\"{outcome}\"")
}

/// Scenario: under load the exporter's backend is exchanged, then a broken file is loaded, then the first one again.
/// Guarantee: no request fails, every record arrives once at one of the backends, and both backends got some.
#[tokio::test]
async fn an_exporter_changes_under_load() {
    let mut sink = Sink::start(&["--backends", "2", "--delay", "5ms"]).await;
    let [old, new] = [0, 1].map(|i| Pipeline::new().grpc("a", sink.grpc[i], &[]).yaml());
    let bywash = Bywash::start(&old).await;
    let mut load = Load::start(bywash.grpc, &LOAD);
    sink.until("records", |n| n > 1000).await;

    bywash.rewrite(&new);
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &[&reloads("success")]) == 1.0).await;
    let of_new = |stats: &serde_json::Value| stats["backends"][1]["records"].as_u64().unwrap();
    crate::harness::eventually("records at the new backend", async || {
        (of_new(&sink.stats().await) > 1000).then_some(())
    })
    .await;

    bywash.rewrite(&new.replace("exporters:\n", "exporters:\n  otlp_grpc/b: {endpoitn: nowhere}\n"));
    bywash.process.signal("HUP");
    let metrics =
        bywash.until("the failed reload", |m| m.sum("bywash_config_reloads", &[&reloads("failure")]) == 1.0).await;
    assert_eq!(metrics.sum("bywash_config_last_reload_successful", &[]), 0.0);
    assert_eq!(bywash.health_status().await, Some(200), "a bad file changes nothing");
    let before = of_new(&sink.stats().await);
    crate::harness::eventually("more records", async || (of_new(&sink.stats().await) > before).then_some(())).await;

    bywash.rewrite(&old);
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &[&reloads("success")]) == 2.0).await;
    let summary = load.finish().await;
    assert_eq!((summary.refused, summary.partial, summary.failed), (0, 0, 0), "no sender noticed");
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    let balance = sink.books(&[&load]).await.balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, summary.sent));
}

/// Scenario: under load another exporter is added and a limit of the receiver changed. Guarantee: the lane that did not
/// change keeps its connection, nothing is lost or doubled there, and the new exporter gets what comes in from then on.
#[tokio::test]
async fn an_exporter_is_added_under_load() {
    let mut sink = Sink::start(&["--backends", "2"]).await;
    let one = Pipeline::new().grpc("a", sink.grpc[0], &[]);
    let two = one.clone().grpc("b", sink.grpc[1], &[]);
    let bywash = Bywash::start(&one.yaml()).await;
    let mut load = Load::start(bywash.grpc, &LOAD);
    sink.until("records", |n| n > 1000).await;
    bywash.rewrite(&two.yaml());
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &[&reloads("success")]) == 1.0).await;
    let summary = load.finish().await;
    assert_eq!(summary.acked, summary.sent);
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    let metrics = bywash.scrape().await;
    let sent_by = |name: &str| metrics.records("otelcol_exporter_sent", &[&format!("exporter=\"otlp_grpc/{name}\"")]);
    assert_eq!(sent_by("a"), summary.sent, "counters of an exporter that stays go on");
    assert!(sent_by("b") > 0 && sent_by("b") < summary.sent);
    bywash.stop().await;
    let added = sent_by("b");
    let stats = sink.stop().await;
    assert_eq!(stats["backends"][1]["records"], added);
    let balance = crate::harness::Books::of_backends(&[&load.ids], &sink.ids, |b| b == 0).balance(Rules::default());
    assert_eq!(balance.distinct, summary.sent);
}

/// Scenario: the backend stalls, its queue is full of acked records, and a reload takes its exporter away. Guarantee:
/// the old lanes get their time to drain, and deliver everything once the backend is well again.
#[tokio::test]
async fn a_removed_exporter_drains() {
    let mut sink = Sink::start(&["--backends", "2"]).await;
    sink.behave("mode=fail&backend=0").await;
    let retry = crate::harness::config::FAST_RETRY;
    let [old, new] = [0, 1].map(|i| Pipeline::new().grpc(&format!("to{i}"), sink.grpc[i], &[retry]).yaml());
    let bywash = Bywash::start(&old).await;
    let (load, summary) = Load::run(bywash.grpc, &["--requests", "60", "--rate", "0"]).await;
    assert_eq!(summary.acked, 600);
    bywash.rewrite(&new);
    bywash.process.signal("HUP");
    bywash.until("the reload", |m| m.sum("bywash_config_reloads", &[&reloads("success")]) == 1.0).await;
    sink.behave("mode=ok&backend=0").await;
    sink.until("distinct", |n| n == 600).await;
    bywash.stop().await;
    sink.books(&[&load]).await.balance(Rules::default());
}
