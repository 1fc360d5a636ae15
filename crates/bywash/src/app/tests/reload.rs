//! Reloads: under load nothing is lost or doubled, and a bad one changes nothing.

use super::sink::{Mode, Sink};
use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Senders that send until told to end; gives the ids that were acknowledged, and how many requests were not.
struct Load {
    end: Arc<AtomicBool>,
    senders: Vec<tokio::task::JoinHandle<(Vec<String>, usize)>>,
}

impl Load {
    fn start(to: SocketAddr) -> Load {
        let end = Arc::new(AtomicBool::new(false));
        let senders = (0..4).map(|sender| tokio::spawn(send_until(end.clone(), to, sender))).collect();
        Load { end, senders }
    }

    async fn end(self) -> (Vec<String>, usize) {
        self.end.store(true, Relaxed);
        let (mut acknowledged, mut refused) = (vec![], 0);
        for sender in self.senders {
            let (ids, not) = sender.await.unwrap();
            acknowledged.extend(ids);
            refused += not;
        }
        acknowledged.sort();
        (acknowledged, refused)
    }
}

async fn send_until(end: Arc<AtomicBool>, to: SocketAddr, sender: usize) -> (Vec<String>, usize) {
    let client = Client::new(to);
    let (mut acknowledged, mut refused) = (vec![], 0);
    for n in 0.. {
        if end.load(Relaxed) {
            break;
        }
        let ids = ids(&format!("{sender}-{n}"), 0..3);
        match client.sends(&ids).await {
            true => acknowledged.extend(ids),
            false => refused += 1,
        }
    }
    (acknowledged, refused)
}

/// Scenario: the exporter changes ten times while four senders send. Guarantee: the listener stays, no request fails, every id arrives once, and the counters never fall.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_exporters_under_load_loses_nothing() {
    let sink = Sink::start(Mode::Take).await;
    let text = |n: u32| gateway(sink.address, &format!("sending_queue: {{batch: {{flush_timeout: {}ms}}}}", 5 + n), "");
    let mut service = started(&text(0)).await;
    let (shared, to) = (service.shared().clone(), address(&service, "http"));
    let load = Load::start(to);
    let mut sent = 0;
    for n in 1..=10 {
        sink.took(n as usize * 300).await;
        service.reload(planned(&text(n))).await.unwrap();
        let now = shared.registry.exporters()[0].totals.sent;
        assert!(now >= sent, "{now} after {sent}");
        sent = now;
    }
    assert_eq!(address(&service, "http"), to);
    let (acknowledged, refused) = load.end().await;
    assert_eq!(refused, 0);
    assert_eq!(service.stop(Duration::from_secs(30)).await.given_up, 0);
    assert_eq!(sink.taken(), acknowledged);
    assert_eq!(shared.registry.reloads().succeeded, 10);
    assert_eq!(shared.registry.exporters()[0].totals.sent, acknowledged.len() as u64);
}

/// Scenario: nothing changes. Guarantee: outlets and receivers are the same ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_configuration_changes_nothing() {
    let sink = Sink::start(Mode::Take).await;
    let text = gateway(sink.address, "", "");
    let mut service = started(&text).await;
    let (outlet, to) = (service.outlets[0].outgoing.clone(), address(&service, "grpc"));
    service.reload(planned(&text)).await.unwrap();
    assert!(Arc::ptr_eq(&outlet, &service.outlets[0].outgoing));
    assert_eq!(address(&service, "grpc"), to);
    drop(outlet);
    service.stop(Duration::from_secs(10)).await;
}

/// Scenario: the receiver changes on its own port while senders send. Guarantee: the port is taken over, and everything acknowledged arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_receiver_takes_over_its_port() {
    let sink = Sink::start(Mode::Take).await;
    let endpoint = format!("127.0.0.1:{}", free_port().await);
    let text = |mib: u32| {
        let text = gateway_on(&endpoint, sink.address, "", "");
        text.replace(
            &format!("http: {{endpoint: '{endpoint}'"),
            &format!("http: {{endpoint: '{endpoint}', max_request_body_size: {mib}000000"),
        )
    };
    let mut service = started(&text(5)).await;
    let load = Load::start(address(&service, "http"));
    for mib in [6, 7, 8] {
        let so_far = sink.taken().len();
        sink.took(so_far + 100).await;
        service.reload(planned(&text(mib))).await.unwrap();
    }
    let so_far = sink.taken().len();
    sink.took(so_far + 100).await;
    let (acknowledged, _) = load.end().await;
    assert_eq!(service.stop(Duration::from_secs(30)).await.given_up, 0);
    let taken = sink.taken();
    // A request whose connection ended before its answer came may have been taken: it must not have been taken twice.
    assert!(taken.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(acknowledged.iter().all(|id| taken.binary_search(id).is_ok()));
}

/// Scenario: the receiver stays on its gRPC port and wants an HTTP port that another program has. Guarantee: an error, and the old receiver listens again on its own ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_had_to_stop_listens_again() {
    let sink = Sink::start(Mode::Take).await;
    let (grpc, http) = (format!("127.0.0.1:{}", free_port().await), format!("127.0.0.1:{}", free_port().await));
    let text = |http: &str| gateway_on(http, sink.address, "", "").replacen("127.0.0.1:0", &grpc, 1);
    let mut service = started(&text(&http)).await;
    let error = service.reload(planned(&text(&sink.address.to_string()))).await.unwrap_err().to_string();
    assert!(error.contains(&sink.address.to_string()), "{error}");
    assert_eq!([address(&service, "grpc"), address(&service, "http")].map(|a| a.to_string()), [grpc, http]);
    assert!(Client::new(address(&service, "http")).sends(&ids("a", 0..3)).await);
    assert!(service.shared().health.status(flow::clock::now()).is_available());
    assert_eq!(service.stop(Duration::from_secs(10)).await.given_up, 0);
    assert_eq!(sink.taken(), ids("a", 0..3));
}

/// Scenario: the new configuration wants a port that another program has. Guarantee: an error, the old receiver goes on (also on its own port), and the failure is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_cannot_listen_changes_nothing() {
    let sink = Sink::start(Mode::Take).await;
    let endpoint = format!("127.0.0.1:{}", free_port().await);
    let text = gateway_on(&endpoint, sink.address, "", "");
    let mut service = started(&text).await;
    let bad = gateway_on(&sink.address.to_string(), sink.address, "timeout: 9s", "budget: {limit: 1MiB}");
    let error = service.reload(planned(&bad)).await.unwrap_err().to_string();
    assert!(error.contains("receiver otlp"), "{error}");
    assert_eq!(service.shared().budget.config().bytes, 480 << 20);
    assert_eq!(address(&service, "http").to_string(), endpoint);
    let client = Client::new(address(&service, "http"));
    assert!(client.sends(&ids("a", 0..3)).await);
    assert!(service.shared().health.status(flow::clock::now()).is_available());
    assert_eq!(service.shared().registry.reloads().failed, 1);
    assert!(!service.shared().registry.reloads().last_successful);
    assert_eq!(service.stop(Duration::from_secs(10)).await.given_up, 0);
    assert_eq!(sink.taken(), ids("a", 0..3));
}

/// Scenario: a pipeline moves to another backend while the old one stalls. Guarantee: new data goes to the new one at once; what the old one holds is delivered when it recovers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_exporter_drains_in_the_background() {
    let (old, new) = (Sink::start(Mode::Stall).await, Sink::start(Mode::Take).await);
    let mut service = started(&gateway(old.address, "timeout: 60s", "")).await;
    let client = Client::new(address(&service, "http"));
    assert!(client.sends(&ids("old", 0..3)).await);
    old.was_asked(1).await;
    service.reload(planned(&gateway(new.address, "timeout: 60s", ""))).await.unwrap();
    assert!(client.sends(&ids("new", 0..3)).await);
    new.took(3).await;
    old.set(Mode::Take);
    assert_eq!(service.stop(Duration::from_secs(30)).await.given_up, 0);
    assert_eq!((old.taken(), new.taken()), (ids("old", 0..3), ids("new", 0..3)));
}
