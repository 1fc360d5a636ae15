//! How long a sender is held up while backends come and go, in real time: what `just lb-churn` measures beside routing alone.

use super::fleet::{Feed, MS, logs, tick};
use crate::exporters::Apart;
use crate::exporters::load_balancing::LoadBalancing;
use crate::exporters::load_balancing::config::ProbeKind;
use crate::exporters::load_balancing::exporter::Backend;
use config::testing::decoded;
use flow::{Ack, Attempt, Budget, BudgetConfig, Exporter, Outcome, Payload, Target, Why};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use wire::Signal;

/// Backends that take everything and keep nothing but the count.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Exporter for Counter {
    async fn send(&self, _: &Target, request: Payload, _: Instant) -> Attempt {
        self.0.fetch_add(request.records.into(), Relaxed);
        Attempt::Sent
    }
}

impl Backend for Counter {
    fn prepare(&self, _: &Target) -> Result<(), String> {
        Ok(())
    }

    fn retain(&self, _: impl Fn(&Target) -> bool) {}

    async fn probe(&self, _: &Target, _: ProbeKind) -> Result<(), Why> {
        Ok(())
    }
}

/// Scenario: requests of a hundred records, long ones and short ones, are sorted into batches while one of 256 backends comes and goes
/// without a pause. Guarantee: 99 of 100 senders are through within a millisecond, although every twentieth sorts for the others, and
/// nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn item_07_sorting_during_churn() {
    let names: Vec<String> = (0..256).map(|n| format!("b{n}:4317")).collect();
    let config = decoded(
        "routing_key: traceID\ndrain_timeout: 1s\nbatcher: {enabled: true, max_records: 8192, flush_interval: 200ms}",
    );
    for length in [300, 3] {
        let (sink, (list, heard)) = (Counter::default(), watch::channel(None));
        let balancer = LoadBalancing::of("lb", &config, sink.clone(), Box::new(move || Box::new(Feed::of(&heard))));
        let outlet = balancer.outlet(Signal::Logs, Budget::of(1 << 30), None, &Apart::default(), None).unwrap();
        while balancer.view().resolved < 256 {
            list.send_replace(Some(Ok(names.clone())));
            tick().await;
        }
        let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
        let (entry, runtime) = (outlet.clone(), tokio::runtime::Handle::current());
        let pusher = std::thread::spawn(move || {
            let (_guard, budget, text) = (runtime.enter(), Budget::new(BudgetConfig::default()), "x".repeat(length));
            let (mut took, mut trace) = (vec![], 0u32);
            // A load that the machine carries beside the changes.
            while stopped.recv_timeout(Duration::from_micros(100)) == Err(RecvTimeoutError::Timeout) {
                let mut next = || {
                    trace = trace.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (text.as_str(), trace)
                };
                let payload = logs(&std::array::from_fn::<_, 100, _>(|_| next()));
                let mut permit = budget.open(None).unwrap();
                permit.grow(payload.len()).unwrap();
                let slot = entry.reserve(&payload, false).unwrap();
                let began = flow::clock::now();
                assert_eq!(entry.push(payload, slot, Ack::unwatched(Some(permit)), false), Outcome::Delivered);
                took.push(flow::clock::now() - began);
            }
            took
        });
        for n in 0..1000 {
            list.send_replace(Some(Ok(names[n % 2..].to_vec())));
            tick().await;
        }
        drop(stop);
        let mut took = pusher.join().unwrap();
        outlet.close(flow::clock::now() + MS(1000)).await;
        assert_eq!(sink.0.load(Relaxed), took.len() as u64 * 100);
        took.sort_unstable();
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|part| took[((took.len() - 1) as f64 * part) as usize]);
        println!("{} requests sorted: 50, 99 and 99.9 of 100 within {half:?}, {most:?}, {nearly_all:?}", took.len());
        assert!(most <= MS(1), "{most:?}");
    }
}
