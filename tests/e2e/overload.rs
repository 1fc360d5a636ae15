//! More comes in than goes out: memory is bounded, errors still enter, and every sender is told the truth.

use crate::harness::{Bywash, Load, Pipeline, Rules, Sink, http, probe};
use flow::{Attempt, Kind};
use std::collections::HashSet;

/// What the process may need beyond its budget.
const BESIDES: u64 = 64 << 20;
const BUDGET: u64 = 2 << 20;

/// A backend that takes 100 requests a second at most, behind a queue that only the budget bounds.
async fn narrow(mode: &str) -> (Sink, Bywash) {
    let sink = Sink::start(&["--delay", "20ms"]).await;
    sink.behave(mode).await;
    let queue = "sending_queue: {queue_size: 1000000, num_consumers: 2}";
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[queue, "timeout: 60s"]).service("budget: {limit: 2MiB}");
    let bywash = Bywash::start(&pipeline.service("shutdown_timeout: 30s").yaml()).await;
    (sink, bywash)
}

/// Scenario: three times what the backend can take, for five seconds; each tenth record is an error. Guarantee: memory
/// stays within the budget and a fixed amount besides; from 90 % routine records are shed and reported by their exact
/// number while errors get in; every record is delivered, refused or reported.
#[tokio::test]
async fn three_times_too_much() {
    let (mut sink, bywash) = narrow("mode=ok").await;
    let before = bywash.process.rss();
    let args = [
        "--signal",
        "logs",
        "--duration",
        "6s",
        "--rate",
        "3000",
        "--body",
        "1000",
        "--errors-every",
        "10",
        "--in-flight",
        "64",
    ];
    let (load, summary) = Load::run(bywash.grpc, &args).await;
    assert_eq!(summary.failed, 0);
    assert!(summary.partial > 0 && summary.acked > 0, "{summary:?}");
    let peak = bywash.process.peak_rss();
    assert!(peak < before + BUDGET + BESIDES, "{} MiB before, {} MiB at the peak", before >> 20, peak >> 20);
    let metrics = bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    assert_eq!(metrics.sum("bywash_receiver_shed_records", &["reason=\"soft_limit\""]) as u64, summary.partial);
    assert_eq!(metrics.records("otelcol_receiver_accepted", &[]), summary.acked);
    bywash.stop().await;

    let books = sink.books(&[&load]).await;
    let balance = books.balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, summary.acked));
    // Of a request that is refused at the door nobody knows how many records it had.
    let refused = books.sent.iter().filter(|s| s.outcome == "refused").count();
    assert_eq!(metrics.sum("bywash_receiver_refused_requests", &[]) as usize, refused);
    assert!(metrics.records("otelcol_receiver_refused", &[]) <= summary.partial + summary.refused);
    let shed: Vec<_> = books.sent.iter().filter(|s| s.outcome == "partial").collect();
    for sent in &shed {
        let errors = (sent.first..sent.first + sent.records).filter(|id| id % 10 == 0);
        errors.for_each(|id| assert!(books.has(id), "error {id} was shed"));
        assert_eq!(sent.rejected, sent.records - 1, "one of ten records is an error");
    }
    assert!(!shed.is_empty());
}

/// Scenario: the backend stalls and only errors are sent, thousands of requests beyond a full budget. Guarantee: every
/// one of them hears it, on a connection that lives on: RESOURCE_EXHAUSTED with RetryInfo over gRPC, 429 with
/// Retry-After over HTTP, nothing that was refused is delivered, and when the backend is well again everything enters
/// again.
#[tokio::test]
async fn a_full_budget_says_when_to_return() {
    let (mut sink, bywash) = narrow("mode=stall").await;
    let args = ["--signal", "logs", "--requests", "4000", "--rate", "0", "--body", "2000", "--errors-every", "1"];
    let (load, summary) = Load::run(bywash.grpc, &args).await;
    assert!(summary.refused > 0 && summary.acked > 0, "{summary:?}");
    assert!(summary.why.as_ref().is_some_and(|why| why.contains("queue")), "{summary:?}");
    assert_eq!((summary.failed, summary.partial), (0, 0), "{summary:?}");

    let metrics = bywash.scrape().await;
    assert!(metrics.sum("bywash_budget_used_bytes", &[]) <= BUDGET as f64);
    // One stuck exporter leaves the others their part: its queue is full before the budget is.
    assert!(metrics.sum("bywash_receiver_refused_requests", &["reason=\"queue_full\""]) > 0.0);
    // A request larger than what is left is refused although the budget is not full to the last byte.
    let large = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{}"}}}}]}}]}}]}}"#,
        "x".repeat(100_000)
    );
    let answer = http::post(bywash.http, "/v1/logs", "application/json", large.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds), "Retry-After: {seconds}");
    assert!(answer.text().contains("RetryInfo"), "{}", answer.text());
    let attempt = probe::grpc(bywash.grpc, probe::large_error(100_000)).await;
    let Attempt::Retry { after: Some(after), why, .. } = attempt else { panic!("{attempt:?}") };
    assert!(why.kind == Kind::Throttled && !after.is_zero(), "{why} {after:?}");

    sink.behave("mode=ok").await;
    bywash.until("the budget to be given back", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    let (again, after) = Load::run(bywash.grpc, &["--requests", "20", "--rate", "0", "--first-id", "1000000"]).await;
    assert_eq!(after.acked, after.sent);
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    // A stalled request may have been refused by the sink and sent again: duplicates would show that it was taken twice.
    sink.books(&[&load, &again]).await.balance(Rules::default());
}

/// Scenario: senders that honour the delay (`--retry`) meet an overload. Guarantee: in the end all their records get
/// through, each once.
#[tokio::test]
async fn senders_who_come_back_get_through() {
    let (mut sink, bywash) = narrow("mode=ok").await;
    let args = [
        "--signal",
        "logs",
        "--requests",
        "500",
        "--rate",
        "0",
        "--body",
        "1000",
        "--errors-every",
        "1",
        "--retry",
        "--in-flight",
        "64",
    ];
    let (load, summary) = Load::run(bywash.grpc, &args).await;
    assert_eq!(summary.acked, 5000, "{summary:?}");
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    let books = sink.books(&[&load]).await;
    assert_eq!(books.balance(Rules::default()).distinct, 5000);
    assert!(books.sent.iter().any(|s| s.attempts > 1), "nobody was ever refused");
}

/// Scenario: two tenants share a budget; one floods with errors while the backend stalls. Guarantee: the flood is
/// refused at its share, and the other tenant still gets in.
#[tokio::test]
async fn a_tenant_cannot_take_the_share_of_another() {
    let mut sink = Sink::start(&["--stall"]).await;
    let queue = "sending_queue: {queue_size: 1000000}";
    let budget = "budget: {limit: 4MiB, tenant: {header: X-Scope-OrgID, share: 0.5}}";
    let pipeline = Pipeline::new().grpc("a", sink.grpc[0], &[queue, "timeout: 60s"]).service(budget);
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let flood = [
        "--signal",
        "logs",
        "--requests",
        "600",
        "--rate",
        "0",
        "--body",
        "1000",
        "--errors-every",
        "1",
        "--header",
        "X-Scope-OrgID=loud",
    ];
    let (loud, summary) = Load::run(bywash.grpc, &flood).await;
    assert!(summary.refused > 0, "{summary:?}");
    let modest = [
        "--signal",
        "logs",
        "--requests",
        "20",
        "--rate",
        "0",
        "--first-id",
        "1000000",
        "--header",
        "X-Scope-OrgID=modest",
    ];
    let (modest, summary) = Load::run(bywash.grpc, &modest).await;
    assert_eq!(summary.acked, 200, "{summary:?}");
    let reasons = bywash.scrape().await;
    assert!(reasons.sum("bywash_receiver_refused_requests", &["reason=\"tenant_share\""]) > 0.0);
    sink.behave("mode=ok").await;
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    let balance = sink.books(&[&loud, &modest]).await.balance(Rules::default());
    assert_eq!(balance.lost, 0);
}

/// Scenario: traces under overload, one span in eight an error. Guarantee: a trace with an error stays whole within its
/// request, and the reported number is exact.
#[tokio::test]
async fn traces_are_shed_whole() {
    let (mut sink, bywash) = narrow("mode=stall").await;
    let args = ["--signal", "traces", "--requests", "1500", "--records", "16", "--rate", "0", "--errors-every", "8"];
    let (load, summary) = Load::run(bywash.grpc, &args).await;
    assert!(summary.partial > 0, "{summary:?}");
    sink.behave("mode=ok&delay=0").await;
    bywash.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
    bywash.stop().await;
    let books = sink.books(&[&load]).await;
    books.balance(Rules::default());
    for sent in books.sent.iter().filter(|s| s.outcome == "partial") {
        // Four neighbouring ids are a trace, unless the request begins within them.
        let trace = |id: u64| (id - id % 4).max(sent.first);
        let ids = || sent.first..sent.first + sent.records;
        let kept: HashSet<u64> = ids().filter(|id| id % 8 == 0).map(trace).collect();
        for id in ids() {
            assert_eq!(books.has(id), kept.contains(&trace(id)), "span {id} of {sent:?}");
        }
    }
}
