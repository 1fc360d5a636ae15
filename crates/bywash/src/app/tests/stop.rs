//! The end: in time, and with everything accounted for.

use super::sink::{Mode, Sink};
use super::*;

/// Scenario: batches wait for more when the end comes. Guarantee: they are sent at once, nothing is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_batches_are_sent_at_the_end() {
    let sink = Sink::start(Mode::Take).await;
    let exporter = "sending_queue: {batch: {flush_timeout: 1h, min_size: 1000000}, queue_size: 10000000, sizer: items}";
    let service = started(&gateway(sink.address, exporter, "")).await;
    let client = Client::new(address(&service, "http"));
    for n in 0..10 {
        assert!(client.sends(&ids(&n.to_string(), 0..10)).await);
    }
    assert_eq!(sink.taken().len(), 0);
    assert_eq!(service.stop(Duration::from_secs(30)).await.given_up, 0);
    assert_eq!(sink.taken().len(), 100);
}

/// Scenario: the backend stalls, senders keep sending, the end comes. Guarantee: it ends by the deadline, health says draining meanwhile, and acknowledged = delivered + given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_comes_in_time_and_the_books_balance() {
    let sink = Sink::start(Mode::Take).await;
    let service = started(&gateway(sink.address, "timeout: 60s", "")).await;
    let client = Client::new(address(&service, "http"));
    let mut acknowledged = 0;
    for n in 0..10 {
        acknowledged += u64::from(client.sends(&ids(&n.to_string(), 0..10)).await) * 10;
    }
    sink.took(100).await;
    sink.set(Mode::Stall);
    for n in 10..20 {
        acknowledged += u64::from(client.sends(&ids(&n.to_string(), 0..10)).await) * 10;
    }
    sink.was_asked(20).await;
    let (start, grace) = (flow::clock::now(), Duration::from_secs(2));
    let health = service.pages().address("health_check").unwrap();
    let shared = service.shared().clone();
    let stopping = tokio::spawn(service.stop(grace));
    while shared.health.status(flow::clock::now()).is_available() {
        tokio::task::yield_now().await;
    }
    let (status, body) = get(health, "/").await;
    assert!(status == 503 && body.contains("draining"), "{status} {body}");
    let ended = stopping.await.unwrap();
    assert!(flow::clock::now() - start < grace + Duration::from_secs(2));
    assert_eq!(acknowledged, 200);
    assert_eq!((sink.taken().len() as u64, ended.given_up), (100, 100));
    assert_eq!((shared.budget.bytes(), shared.budget.requests()), (0, 0));
}

/// Scenario: clients hold connections open, one that was used and ones that never said a word. Guarantee: they do not hold up the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_do_not_hold_up_the_end() {
    let sink = Sink::start(Mode::Take).await;
    let service = started(&gateway(sink.address, "", "")).await;
    let client = Client::new(address(&service, "http"));
    assert!(client.sends(&ids("a", 0..3)).await);
    let silent = [
        TcpStream::connect(address(&service, "http")).await.unwrap(),
        TcpStream::connect(address(&service, "grpc")).await.unwrap(),
    ];
    let open = || service.shared().registry.listeners().iter().map(|l| l.stats.open.get()).sum::<u64>();
    while open() < 3 {
        tokio::task::yield_now().await;
    }
    let start = flow::clock::now();
    service.stop(Duration::from_secs(60)).await;
    assert!(flow::clock::now() - start < Duration::from_secs(10));
    drop(silent);
}
