//! Ten thousand lanes that can do nothing but wait: what they take while they do, and what becomes of a sender who invents more.
//!
//! `BYWASH_STRICT=1` holds them to the bounds that are aimed at (`just many-targets`); otherwise the bounds are those of a debug build.

use crate::harness::process::Metrics;
use crate::harness::{Bywash, eventually};
use crate::ten_thousand::{Connection, config, push_of};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const FEW: usize = 1_000;
const MANY: usize = 10_000;
const SENDERS: usize = 16;
/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One line for each of these tenants. Gives how many pushes got each answer: 204, 429.
async fn push(to: SocketAddr, tenants: std::ops::Range<usize>) -> [usize; 2] {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let tenants = tenants.clone();
        senders.spawn(async move {
            let mut connection = Connection::open(to).await;
            let mut answers = [0; 2];
            for tenant in tenants.filter(|tenant| tenant % SENDERS == sender) {
                let status =
                    connection.push(&format!("t{tenant:06}"), &push_of(["a line".to_owned()].into_iter())).await;
                let which = [204, 429].iter().position(|known| *known == status);
                answers[which.unwrap_or_else(|| panic!("answered {status}"))] += 1;
            }
            answers
        });
    }
    senders.join_all().await.into_iter().fold([0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
}

fn lanes(metrics: &Metrics, state: &str) -> usize {
    metrics.sum("bywash_exporter_lanes", &[&format!("state=\"{state}\"")]) as usize
}

/// Waits until so many lanes wait for their endpoint, and gives what the process holds then, beside what its queues are charged with.
async fn at_rest(bywash: &Bywash, halted: usize) -> (u64, u64) {
    eventually("the lanes to rest", async || {
        let metrics = bywash.scrape().await;
        (lanes(&metrics, "halted") + lanes(&metrics, "probing") == halted
            && metrics.sum("otelcol_exporter_in_flight_requests", &[]) == 0.0)
            .then_some(())
    })
    .await;
    let charged = bywash.scrape().await.sum("bywash_exporter_queue_bytes", &[]) as u64;
    (bywash.process.rss(), charged)
}

/// Scenario: ten thousand tenants of a Loki that nobody listens at, each with a record. Guarantee: one of them asks for all; each takes a few KiB, and all together
/// next to no time of a processor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_lanes_at_rest_cost_little() {
    let bywash = Bywash::start(&config(nobody())).await;
    let to = bywash.receiver("loki");
    assert_eq!(push(to, 0..FEW).await, [FEW, 0]);
    let (few, few_charged) = at_rest(&bywash, FEW).await;
    assert_eq!(push(to, FEW..MANY).await, [MANY - FEW, 0]);
    let (many, many_charged) = at_rest(&bywash, MANY).await;
    // Its request beside its bytes: see `REQUEST_COST`.
    let each = (many - few).saturating_sub(many_charged - few_charged) as usize / (MANY - FEW);
    let (cpu, start) = (bywash.process.cpu(), Instant::now());
    tokio::time::sleep(WATCHED).await;
    let part = (bywash.process.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("a lane at rest: {each} bytes with its request; all: {:.2} % of a core", part * 100.0);
    let is_strict = std::env::var_os("BYWASH_STRICT").is_some();
    let (most, busiest) = if is_strict { (2048 + 512, 0.005) } else { (8192, 0.03) };
    assert!(each <= most && part <= busiest, "{each} bytes, {:.2} % of a core", part * 100.0);
    drop(bywash);
}

/// Scenario: a sender that invents a hundred thousand tenants, with a budget of 256 MiB. Guarantee: lanes are made up to their bound, what is meant for others is
/// refused and counted, and the process stays within its budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_tenants_do_not_end_the_process() {
    let bywash = Bywash::start(&config(nobody()).replace("512MiB", "256MiB")).await;
    let [taken, refused] = push(bywash.receiver("loki"), 0..100_000).await;
    let metrics = bywash.scrape().await;
    let limited = metrics.sum("bywash_exporter_enqueue_failed_records", &["reason=\"lane_limit\""]) as usize;
    let peak = bywash.process.peak_rss();
    println!("{taken} taken, {refused} refused, {limited} for the number of lanes; peak {} MiB", peak >> 20);
    assert_eq!(taken + refused, 100_000);
    assert!(lanes(&metrics, "halted") + lanes(&metrics, "probing") <= MANY);
    assert!(limited > 0 && peak <= 256 << 20, "{limited}, {} MiB", peak >> 20);
    drop(bywash);
}
