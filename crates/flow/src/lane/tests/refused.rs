//! Requests that a destination refuses: one bad record, everything, a shortage, a size.

use super::*;

/// Scenario: one sender's request of 100 records, one of them bad; the backend takes the rest. Guarantee: only the bad one is refused, the others
/// arrive once, in at most 2·log₂ n calls more.
#[tokio::test(start_paused = true)]
async fn one_bad_record_costs_only_itself() {
    for at in [0, 37, 99] {
        let d = Destination::default();
        let b = Bench::new(&d, BatchConfig::default(), steady());
        let mut names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        names[at] = "bad".to_owned();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match b.push_waiting(&names).await.unwrap() {
            Outcome::Rejected { records: 1, why } => assert_eq!(why.kind, Kind::BadData),
            other => panic!("{other:?}"),
        }
        let taken: std::collections::BTreeSet<_> = d.taken_ids().into_iter().collect();
        assert_eq!((taken.len(), d.taken_ids().len()), (99, 99));
        assert!(d.tries().len() <= 1 + 2 * 7, "{} calls", d.tries().len());
        assert_eq!(b.context.stats.failed.iter().collect::<Vec<_>>(), [(Kind::BadData, 1)]);
        assert_eq!((b.context.stats.sent.get(), b.lane.bytes(), b.capacity.size()), (99, 0, 0));
        b.end().await;
    }
}

/// Scenario: a destination that answers 500 to everything gets request after request of 1 000 records. Guarantee: it is asked at most
/// 129 times about the first and five times about the later ones; all is refused and counted. When it is well, one bad record is
/// found again.
#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_everything_is_not_flooded() {
    let refuse = Attempt::Reject { why: Why::new(Kind::Other, "HTTP 500") };
    let d = Destination::default();
    d.always(Some(Script::Answer(refuse)));
    let b = Bench::new(&d, BatchConfig::default(), steady());
    let names: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut calls = vec![];
    for _ in 0..8 {
        let before = d.tries().len();
        assert!(matches!(b.push_waiting(&names).await.unwrap(), Outcome::Rejected { records: 1000, .. }));
        calls.push(d.tries().len() - before);
    }
    assert!(calls[0] <= 129 && calls[7] <= 5, "{calls:?}");
    assert_eq!(b.context.stats.failed.total(), 8000);
    d.clear();
    names[500] = "bad";
    assert_eq!(b.push_waiting(&["good"]).await.unwrap(), Outcome::Delivered);
    assert!(matches!(b.push_waiting(&names).await.unwrap(), Outcome::Rejected { records: 1, .. }));
    b.end().await;
}

fn exhausted() -> Attempt {
    Attempt::Reject { why: Why::new(Kind::Exhausted, "data refused due to high memory usage") }
}

/// Scenario: a destination is short of memory for 2.5 s, says so without a delay, and then takes everything; requests small and large.
/// Guarantee: nothing is lost or sent twice, and the shortage is met with few calls.
#[tokio::test(start_paused = true)]
async fn a_shortage_without_a_delay_costs_nothing() {
    for width in [4, 1000] {
        let d = Destination::default();
        d.always(Some(Script::Answer(exhausted())));
        let b = Bench::new(&d, BatchConfig::default(), steady());
        let names: Vec<String> = (0..300).map(|n| format!("{n:0width$}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rx = b.push_waiting(&names);
        tokio::time::sleep(MS(2500)).await;
        let in_vain = d.tries().len();
        d.clear();
        assert_eq!(rx.await.unwrap(), Outcome::Delivered);
        let taken: std::collections::BTreeSet<_> = d.taken_ids().into_iter().collect();
        assert_eq!((taken.len(), d.taken_ids().len()), (300, 300));
        assert!(in_vain < 20, "{in_vain} calls");
        assert_eq!((b.context.stats.failed.total(), b.context.stats.waiting.get(), b.lane.bytes()), (0, 0, 0));
        b.end().await;
    }
}

/// Scenario: a destination refuses what is large, in words that nobody knows. Guarantee: a large request arrives in pieces at once; a small
/// one within its time.
#[tokio::test(start_paused = true)]
async fn a_size_limit_in_unknown_words_is_found() {
    for (width, limit, within) in [(1000, 80, MS(10)), (4, 30, S(300))] {
        let d = Destination::default();
        d.refuse_more_than(limit, exhausted());
        let b = Bench::new(&d, BatchConfig::default(), steady());
        let names: Vec<String> = (0..200).map(|n| format!("{n:0width$}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let start = clock::now();
        assert_eq!(b.push_waiting(&names).await.unwrap(), Outcome::Delivered);
        assert!(clock::now() - start < within, "{:?}", clock::now() - start);
        let taken: std::collections::BTreeSet<_> = d.taken_ids().into_iter().collect();
        assert_eq!((taken.len(), d.taken_ids().len()), (200, 200));
        b.end().await;
    }
}
