//! Ten thousand targets of which nine thousand are dead, for three days: through the inlet, with the clock paused.
//!
//! The real processes are in the end-to-end test of the same name; here time passes that no test can wait for.
#![allow(
    clippy::unwrap_used,
    clippy::needless_range_loop,
    reason = "a test that cannot go on fails; targets are numbers"
)]

use flow::inlet::{InletConfig, Opening};
use flow::outlet::OutletConfig;
use flow::router::Routes;
use flow::stats::InletStats;
use flow::{
    Attempt, Budget, BudgetConfig, Exporter, Funnel, Inlet, Kind, Meta, Outgoing, Outlet, Payload, Router, Scope,
    Target, Why, clock,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wire::Signal;
use wire::build::{Log, MessageWriter};

const HEALTHY: usize = 1_000;
const ALL: usize = 10_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Where each target's records go, and what happens to them.
#[derive(Default)]
struct World {
    /// Records taken, by target.
    taken: Vec<AtomicU64>,
    /// The dead live again.
    revived: AtomicBool,
    /// Attempts at dead targets.
    attempts: AtomicU64,
}

#[derive(Clone)]
struct Destination(Arc<World>);

impl Exporter for Destination {
    async fn send(&self, target: &Target, request: Payload, _: Instant) -> Attempt {
        let number: usize = target.name().parse().unwrap();
        if number >= HEALTHY && !self.0.revived.load(Relaxed) {
            self.0.attempts.fetch_add(1, Relaxed);
            let retry = |kind, after| Attempt::Retry { after, why: Why::new(kind, "dead"), scope: Scope::Target };
            return match number % 5 {
                0 => retry(Kind::Unreachable, None),
                1 | 2 => std::future::pending().await,
                3 => retry(Kind::Throttled, Some(HOUR / 2)),
                _ => retry(Kind::Protocol, None),
            };
        }
        self.0.taken[number].fetch_add(u64::from(request.records), Relaxed);
        Attempt::Sent
    }
}

/// The tenant is the target.
struct ByTenant;

impl Router for ByTenant {
    fn route(&self, payload: Payload, out: &mut Routes) {
        let target = Target::new(payload.meta.tenant.clone().unwrap());
        out.push((target, payload));
    }
}

fn payload(number: usize) -> Payload {
    let mut message = MessageWriter::new();
    message.resource_entry(&[], "test", |scope| {
        scope.log(&Log { severity_number: 9, ..Log::default() });
    });
    let meta = Arc::new(Meta::of_tenant(number.to_string()));
    Payload { meta, ..Payload::new(Signal::Logs, message.finish(), 1) }
}

/// Sends a record for a target. Gives 1 if it was taken.
async fn send(inlet: &Inlet, budget: &Budget, number: usize) -> u64 {
    let payload = payload(number);
    let mut permit = budget.open(None).unwrap();
    permit.grow(payload.len()).unwrap();
    u64::from(inlet.offer(payload, permit).await.is_ok_and(|accepted| accepted.rejected().is_none()))
}

/// Scenario: nine thousand of ten thousand targets are dead in five ways for three days, and records for all of them keep coming.
/// Guarantee: a record of a healthy target is always taken, and delivered within a second; a dead target is asked no more often
/// than its schedule says; when the dead come back each gets what was taken for it within one interval; and nothing is held then.
#[tokio::test(start_paused = true)]
async fn three_days_among_the_dead() {
    let world = Arc::new(World { taken: (0..ALL).map(|_| AtomicU64::new(0)).collect(), ..World::default() });
    let budget = Budget::new(BudgetConfig { bytes: 512 << 20, ..BudgetConfig::default() });
    let mut config = OutletConfig::new("x", 512 << 20);
    config.capacity.size = 100_000;
    config.workers = 10;
    config.retry.max_interval = HOUR;
    config.retry.max_elapsed_time = Duration::ZERO;
    let outlet: Arc<dyn Outgoing> = Arc::new(Outlet::new(config, Destination(world.clone()), ByTenant));
    let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: vec![outlet.clone()] };
    let opening = Opening { funnels: vec![funnel], config: InletConfig::default() };
    let inlet = Inlet::new(Signal::Logs, opening, Arc::new(InletStats::default()));

    let mut accepted = vec![0; ALL];
    for hour in (0..72).step_by(3) {
        let start = clock::now();
        for (number, accepted) in accepted.iter_mut().enumerate() {
            let taken = send(&inlet, &budget, number).await;
            assert!(taken == 1 || number >= HEALTHY, "a record of healthy target {number} was refused in hour {hour}");
            *accepted += taken;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        for number in 0..HEALTHY {
            assert_eq!(world.taken[number].load(Relaxed), accepted[number], "healthy target {number}, hour {hour}");
        }
        tokio::time::sleep_until((start + 3 * HOUR).into()).await;
    }
    // The schedule grows from 5 s to an hour in 17 steps and spreads each wait by half; one that names half an hour is asked twice
    // an hour.
    let attempts = world.attempts.load(Relaxed);
    let most = (ALL - HEALTHY) as u64 * (17 + 2 * 72 + 10);
    assert!(attempts <= most, "{attempts} attempts, at most {most} were due");

    world.revived.store(true, Relaxed);
    tokio::time::sleep(HOUR.mul_f64(1.6)).await;
    for number in 0..ALL {
        assert_eq!(world.taken[number].load(Relaxed), accepted[number], "target {number}");
        assert!(accepted[number] > 0, "target {number} was never taken anything for");
    }
    assert_eq!(outlet.view().queue_size, 0);
    outlet.close(clock::now()).await;
    drop((inlet, outlet));
    assert_eq!((budget.bytes(), budget.requests()), (0, 0));
}
