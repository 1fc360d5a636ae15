//! Load balancing in a network of its own, in which packets vanish and names change. See [`crate::harness::network`] for what
//! that needs.

use crate::harness::books::Unheard;
use crate::harness::dns::{Answer, Dns};
use crate::harness::fleet::{Fleet, one_service};
use crate::harness::network::{self, Hole};
use crate::harness::process::{Held, Metrics};
use crate::harness::{Bywash, Load, Pipeline, Rules};
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

const PORT: u16 = 4317;
const NAME: &str = "backends.test";
const BATCHED: &str = "batcher: {enabled: true, max_records: 200, flush_interval: 20ms}";
const HEALTH: &str = "endpoint_health: {enabled: true, quarantine_duration: 1s, reroute_on_failure: true}";
const TWO_AT_ONCE: &str = "max_in_flight: 2";
/// Requests under way to one backend: two of each signal.
const IN_FLIGHT: usize = 6;
const BUSY: [&str; 10] =
    ["--duration", "0", "--rate", "3000", "--services", "500", "--in-flight", "200", "--timeout", "20s"];

const AGAIN: Rules = Rules { duplicates: true, refused_may_arrive: false, acked_may_be_lost: false };

fn local(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number)
}

fn at(address: Ipv4Addr) -> SocketAddr {
    (address, PORT).into()
}

fn of(address: Ipv4Addr) -> String {
    format!("endpoint=\"{address}:{PORT}\"")
}

async fn selected(bywash: &Bywash, so_many: u8) {
    let so = |m: &Metrics| m.sum("otelcol_loadbalancer_num_selected_backends", &[]) == f64::from(so_many);
    bywash.until(&format!("{so_many} backends in use"), so).await;
}

/// Scenario: of five backends one was never there and swallows every SYN; under load another one vanishes, connections and all, and comes back.
/// Guarantee: deliveries to the others take no longer than before; what was meant for the two is delivered by others; the one is used again; what
/// arrives twice had arrived in a request that timed out.
#[test]
fn black_holes_harm_nobody_else() {
    network::within("lb_network::black_holes_harm_nobody_else", async || {
        let hole = Hole::dig();
        let [never, vanishing] = [hole.address(9), hole.address(2)];
        hole.open(vanishing);
        let mut fleet = Fleet::start_at(&[local(1), local(2), local(3), vanishing].map(at)).await;
        let all: Vec<_> = fleet.addresses().into_iter().chain([at(never)]).collect();
        let keys = [BATCHED, TWO_AT_ONCE, HEALTH, "routing_key: service", "timeout: 1s"];
        let pipeline = Pipeline::new().balanced(&all, &keys).service("acknowledge: delivered");
        let bywash = Bywash::start(&pipeline.yaml()).await;
        let quarantines =
            |address| move |m: &Metrics| m.sum("otelcol_loadbalancer_backend_quarantine_total", &[&of(address)]) >= 1.0;

        let (calm, before) = one_service(&bywash, 1 << 40).await;
        assert!(fleet.records().await[..3].contains(&2000), "the service is to be one of a backend that stays");
        let mut load = Load::start(bywash.grpc, &BUSY);
        bywash.until("the first black hole to be found", quarantines(never)).await;
        fleet.sink(3).until("records", |n| n > 500).await;
        hole.close(vanishing);
        let taken = fleet.requests(3);
        let (rough, during) = one_service(&bywash, 1 << 41).await;
        let (usual, now) = (before.p99_ms, during.p99_ms);
        assert!(now < (5.0 * usual).max(500.0), "99 of 100 took {usual} ms at most, then {now} ms");
        assert!(during.seconds < 2.0 * before.seconds, "{before:?} {during:?}");
        bywash.until("the second black hole to be found", quarantines(vanishing)).await;
        let summary = load.stop().await;
        assert_eq!(summary.acked, summary.sent, "delivered with two black holes: {summary:?}");
        bywash.settled().await;

        hole.open(vanishing);
        let count = fleet.records().await[3];
        let mut after = Load::start(bywash.grpc, &[&BUSY[..], &["--first-id", "5000000000000"]].concat());
        fleet.sink(3).until("records", |n| n > count + 100).await;
        let last = after.stop().await;
        assert_eq!(last.acked, last.sent, "{last:?}");
        let metrics = bywash.settled().await;
        let failed = [of(vanishing), "success=\"false\"".to_owned()];
        let failures =
            metrics.sum("otelcol_loadbalancer_backend_outcome", &failed.each_ref().map(String::as_str)) as usize;
        let (heard, at_most) = (taken.saturating_sub(IN_FLIGHT), 2 * IN_FLIGHT + failures);
        fleet.doubt(3, Unheard::After { heard, at_most });
        bywash.stop().await;
        let books = fleet.books(&[&calm, &rough, &load, &after]).await;
        let doubled = books.doubles_were_unheard();
        assert!(doubled <= failures as u64 * 200, "{doubled} {failures}");
        assert_eq!(books.balance(AGAIN).distinct, 4000 + summary.sent + last.sent);
    });
}

/// Scenario: the name of the backends does not exist; then it has three addresses, then others, then the DNS server says nothing, fails, denies
/// the name and gives an empty list, then it gives two addresses. Guarantee: while there never was an address senders are refused, and the
/// log says why; no restart is needed; each new list is used, the last good one is kept; every record that was taken arrives, once.
#[test]
fn names_change_under_load() {
    network::within("lb_network::names_change_under_load", async || {
        let dir = TempDir::new().unwrap();
        network::ask(local(53), dir.path());
        let dns = Dns::start(local(53), Answer::NoName).await;
        let mut fleet = Fleet::start_at(&[1, 2, 3, 4].map(|n| at(local(n)))).await;
        let yaml = Pipeline::new().balanced_by_name(NAME, PORT, &[BATCHED, TWO_AT_ONCE]).yaml();
        let bywash = Bywash::start(&yaml).await;
        let resolved =
            |m: &Metrics, success| m.sum("otelcol_loadbalancer_num_resolutions", &[&format!("success=\"{success}\"")]);
        bywash.until("the name to be asked for", |m| resolved(m, false) > 0.0).await;
        let (early, refused) =
            Load::run(bywash.grpc, &["--requests", "30", "--rate", "0", "--first-id", "1000000000"]).await;
        assert_eq!(refused.refused, 300, "{refused:?}");
        let why = refused.why.unwrap_or_default();
        // Names of hosts are for the log, not for senders.
        assert!(why.contains("no_target") && !why.contains(NAME), "{why}");
        assert!(bywash.process.stderr.all().iter().any(|line| line.contains(NAME)), "the cause is in the log");

        dns.set(Answer::Addresses([1, 2, 3].map(local).to_vec()));
        selected(&bywash, 3).await;
        let mut load = Load::start(bywash.grpc, &BUSY);
        for number in 0..3 {
            fleet.sink(number).until("records", |n| n > 0).await;
        }
        dns.set(Answer::Addresses([2, 3, 4].map(local).to_vec()));
        fleet.sink(3).until("records", |n| n > 0).await;
        bywash.until("the lanes of the first to end", |m| !has_lane(m, local(1))).await;
        let first = fleet.records().await[0];

        for bad in [Answer::Silent, Answer::Fails, Answer::NoName, Answer::Addresses(vec![])] {
            dns.set(bad.clone());
            let before = resolved(&bywash.scrape().await, false);
            let counts = fleet.records().await;
            let metrics = bywash.until("lookups to fail", |m| resolved(m, false) >= before + 2.0).await;
            assert_eq!(metrics.sum("otelcol_loadbalancer_num_selected_backends", &[]), 3.0, "{bad:?}");
            assert!(metrics.sum("otelcol_loadbalancer_resolver_stale_age", &[]) > 0.0);
            for (number, before) in counts.iter().enumerate().skip(1) {
                fleet.sink(number).until("records", |n| n > *before).await;
            }
        }
        assert_eq!(fleet.records().await[0], first, "a backend that was removed got more");

        dns.set(Answer::Addresses([1, 4].map(local).to_vec()));
        selected(&bywash, 2).await;
        fleet.sink(0).until("records", |n| n > first).await;
        let summary = load.stop().await;
        assert_eq!(summary.acked, summary.sent, "{summary:?}");
        bywash.settled().await;
        bywash.stop().await;
        let balance = fleet.books(&[&early, &load]).await.balance(Rules::default());
        assert_eq!((balance.distinct, balance.refused), (summary.sent, 300));
    });
}

/// Scenario: a hundred times under load one backend goes and another comes, every third of them dead. Guarantee: no sender notices, every
/// record arrives, and once; in the end there are the lanes of the last list, and as many threads, sockets and files as there were.
#[test]
fn a_hundred_changes_leave_nothing_behind() {
    network::within("lb_network::a_hundred_changes_leave_nothing_behind", async || {
        let dir = TempDir::new().unwrap();
        network::ask(local(53), dir.path());
        let list = |last: u8| Answer::Addresses([1, 2, 3, last].map(local).to_vec());
        let dns = Dns::start(local(53), list(4)).await;
        let mut fleet = Fleet::start_at(&[1, 2, 3, 4, 5].map(|n| at(local(n)))).await;
        let keys = [BATCHED, TWO_AT_ONCE, "drain_timeout: 500ms"];
        let bywash = Bywash::start(&Pipeline::new().balanced_by_name(NAME, PORT, &keys).yaml()).await;
        selected(&bywash, 4).await;
        let mut load = Load::start(bywash.grpc, &BUSY);
        for number in 0..4 {
            fleet.sink(number).until("records", |n| n > 100).await;
        }
        let before = Held::of(&bywash);
        let updates = |m: &Metrics| m.sum("otelcol_loadbalancer_num_backend_updates", &[]);
        for cycle in 1..=102 {
            let seen = updates(&bywash.scrape().await);
            // Nobody is at the sixth; the last change gives the list of the beginning.
            dns.set(list([4, 5, 6][cycle % 3]));
            bywash.until("the change", |m| updates(m) > seen).await;
        }
        let dead = |m: &Metrics| has_lane(m, local(5)) || has_lane(m, local(6));
        bywash.until("the lanes of the others to end", |m| !dead(m)).await;
        before.until_no_more(&bywash).await;
        let summary = load.stop().await;
        assert_eq!(summary.acked, summary.sent, "{summary:?}");
        let metrics = bywash.settled().await;
        assert_eq!(metrics.sum("otelcol_loadbalancer_num_backends", &[]), 4.0);
        let found = metrics.sum("otelcol_loadbalancer_backend_reroute_total", &["result=\"success\""]);
        assert!(found > 0.0, "nothing was ever meant for the dead");
        assert!(fleet.records().await[4] > 0);
        bywash.stop().await;
        assert_eq!(fleet.books(&[&load]).await.balance(Rules::default()).distinct, summary.sent);
    });
}

fn has_lane(metrics: &Metrics, address: Ipv4Addr) -> bool {
    let of = of(address);
    metrics.series("otelcol_loadbalancer_backend_state").iter().any(|series| series.contains(&of))
}
