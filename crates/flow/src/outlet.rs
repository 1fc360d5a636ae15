//! One exporter of one signal: its capacity, its router and its lanes.
//!
//! Lanes are made when their target is first needed. A push never waits; if the lane it meant was just closing, it gets its
//! piece back and goes to a new lane. A lane of a dynamic router ends when it has been idle.
//!
//! It does not retry, batch or send (that is the lane's) and it does not decide about admission (that is the inlet's).

use crate::batcher::BatchConfig;
use crate::breaker::Breaker;
use crate::capacity::{Capacity, CapacityConfig, Slot};
use crate::exporter::{Attempt, Exporter};
use crate::lane::{Context, Item, Lane, LaneView};
use crate::retry::RetryConfig;
use crate::router::{Router, Routes, Target};
use crate::stats::ExporterStats;
use crate::{Ack, Batch, Kind, Outcome, Payload, Why, clock};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How an exporter's outlet behaves: the collector's `sending_queue`, `retry_on_failure` and `timeout`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutletConfig {
    /// The component id, for messages.
    pub name: String,
    /// What it may hold.
    pub capacity: CapacityConfig,
    /// Sends that may be under way at once, over all lanes: `num_consumers`.
    pub workers: usize,
    /// Whether a sender waits for room instead of being refused.
    pub block_on_overflow: bool,
    /// Whether a sender waits for the outcome: `wait_for_result`, or no queue at all.
    pub wait_for_result: bool,
    /// How batches form.
    pub batch: BatchConfig,
    /// When a failed request is tried again.
    pub retry: RetryConfig,
    /// The time one attempt may take. 0: no limit.
    pub timeout: Duration,
    /// The part of the capacity, 0..=1, that one lane may hold when there are several.
    pub lane_share: f64,
    /// A lane of a dynamic router ends after being idle for this long.
    pub lane_idle: Duration,
}

impl OutletConfig {
    /// The collector's defaults for an exporter of this name, within `max_bytes` of memory.
    #[must_use]
    pub fn new(name: impl Into<String>, max_bytes: u64) -> OutletConfig {
        OutletConfig {
            name: name.into(),
            capacity: CapacityConfig { size: 1000, sizer: crate::capacity::Sizer::Requests, max_bytes },
            workers: 10,
            block_on_overflow: false,
            wait_for_result: false,
            batch: BatchConfig::default(),
            retry: RetryConfig::default(),
            timeout: Duration::from_secs(5),
            lane_share: 0.5,
            lane_idle: Duration::from_secs(300),
        }
    }
}

/// An outlet as an inlet sees it, whatever its exporter and router.
pub trait Outgoing: Send + Sync {
    /// The component id.
    fn name(&self) -> &str;
    /// Whether a sender always waits for this exporter's outcome.
    fn waits(&self) -> bool;
    /// Whether a sender waits for room.
    fn blocks(&self) -> bool;
    /// Takes room for the payload.
    fn reserve(&self, payload: &Payload) -> Option<Slot>;
    /// Waits for room.
    fn wait<'a>(&'a self, payload: &Payload) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>>;
    /// Counts a payload that found no room.
    fn count_full(&self, payload: &Payload);
    /// Enqueues. Never waits. What found its lane full is settled as dropped and given as the outcome.
    fn push(&self, payload: Payload, slot: Slot, ack: Ack, waits: bool) -> Outcome;
    /// One attempt, with no queue.
    fn send_now(&self, payload: Payload) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
    /// What it holds and has counted.
    fn view(&self) -> OutletView;
    /// Ends all lanes: what they hold is sent until the deadline, the rest is settled as failed.
    fn close(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A look at an outlet, for metrics and the health check.
#[derive(Clone, Debug)]
pub struct OutletView {
    /// In units of its sizer.
    pub queue_size: u64,
    /// In units of its sizer.
    pub queue_capacity: u64,
    /// Bytes it holds.
    pub bytes: u64,
    /// Its lanes.
    pub lanes: Vec<LaneView>,
    /// Its counters.
    pub stats: Arc<ExporterStats>,
}

/// An exporter with its router and its lanes.
pub struct Outlet<E: Exporter, R: Router> {
    config: OutletConfig,
    context: Arc<Context<E>>,
    capacity: Arc<Capacity>,
    router: R,
    /// `None` once it is closed: nothing starts a lane after that.
    lanes: Mutex<Option<HashMap<Target, Lane>>>,
}

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// An outlet without lanes yet. Must be used within a tokio runtime.
    #[must_use]
    pub fn new(config: OutletConfig, exporter: E, router: R) -> Outlet<E, R> {
        let context = Arc::new(Context {
            exporter,
            stats: Arc::default(),
            workers: Arc::new(Semaphore::new(config.workers.max(1))),
            probes: Arc::new(Semaphore::new((config.workers / 4).max(1))),
            shared: Mutex::new(Breaker::strict()),
            shared_changed: watch::channel(()).0,
            retry: config.retry.clone(),
            batch: config.batch.clone(),
            timeout: config.timeout,
            idle: router.is_dynamic().then_some(config.lane_idle),
        });
        let capacity = Capacity::new(config.capacity.clone());
        Outlet { config, context, capacity, router, lanes: Mutex::new(Some(HashMap::new())) }
    }

    /// What one lane may hold, in bytes.
    fn lane_limit(&self) -> u64 {
        let all = self.config.capacity.max_bytes;
        if self.router.is_dynamic() { (all as f64 * self.config.lane_share) as u64 } else { u64::MAX }
    }

    /// Enqueues at one target. What finds the lane full is settled as dropped, and said.
    fn push_to(&self, target: &Target, mut item: Item) -> Outcome {
        loop {
            let Some(lane) = self.lane(target) else {
                let why = Why::new(Kind::Stopping, "the exporter is stopping");
                let outcome = Outcome::failed(u64::from(item.batch.payload.records), why.clone());
                self.context.give_up(item, why);
                return outcome;
            };
            let held = lane.bytes();
            if held > 0 && held + item.batch.payload.len() as u64 > self.lane_limit() {
                return self.drop_full(target, item);
            }
            match lane.push(item) {
                Ok(()) => return Outcome::Delivered,
                Err(back) => {
                    item = back;
                    if let Some(lanes) = self.lanes.lock().as_mut()
                        && lanes.get(target).is_some_and(|l| l.is_same(&lane))
                    {
                        lanes.remove(target);
                    }
                }
            }
        }
    }

    fn lane(&self, target: &Target) -> Option<Lane> {
        let mut lanes = self.lanes.lock();
        let lanes = lanes.as_mut()?;
        if let Some(lane) = lanes.get(target) {
            return Some(lane.clone());
        }
        Some(lanes.entry(target.clone()).or_insert_with(|| Lane::start(target.clone(), self.context.clone())).clone())
    }

    fn drop_full(&self, target: &Target, item: Item) -> Outcome {
        let records = u64::from(item.batch.payload.records);
        self.context.stats.enqueue_failed.add(Kind::LaneFull, records);
        let outcome = Outcome::Dropped { records, why: Why::new(Kind::LaneFull, format!("the lane of {target} is full")) };
        item.batch.ack.settle(outcome.clone());
        outcome
    }
}

impl<E: Exporter, R: Router> Outgoing for Outlet<E, R> {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn waits(&self) -> bool {
        self.config.wait_for_result
    }

    fn blocks(&self) -> bool {
        self.config.block_on_overflow
    }

    fn reserve(&self, payload: &Payload) -> Option<Slot> {
        self.capacity.take(payload.records, payload.len())
    }

    fn wait<'a>(&'a self, payload: &Payload) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>> {
        let (records, bytes) = (payload.records, payload.len());
        Box::pin(async move { self.capacity.wait(records, bytes).await })
    }

    fn count_full(&self, payload: &Payload) {
        self.context.stats.enqueue_failed.add(Kind::QueueFull, u64::from(payload.records));
    }

    fn push(&self, payload: Payload, slot: Slot, ack: Ack, waits: bool) -> Outcome {
        let at = clock::now();
        let mut routes = Routes::new();
        self.router.route(payload.clone(), &mut routes);
        let item = Item { batch: Batch { payload, ack }, slot, at, waits };
        match routes.as_slice() {
            [(target, _)] => self.push_to(target, item),
            _ => {
                let (targets, pieces): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
                let items = item.divide(pieces.into_iter());
                targets.iter().zip(items).fold(Outcome::Delivered, |lost, (t, item)| lost.and(self.push_to(t, item)))
            }
        }
    }

    fn send_now(&self, payload: Payload) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async move {
            let mut routes = Routes::new();
            self.router.route(payload, &mut routes);
            let mut outcome = Outcome::Delivered;
            for (target, payload) in routes {
                let records = u64::from(payload.records);
                outcome = outcome.and(match self.context.attempt(&target, payload).await {
                    Attempt::Sent => Outcome::Delivered,
                    Attempt::Partial { rejected: 0, .. } => Outcome::Delivered,
                    Attempt::Partial { rejected, why } => Outcome::Rejected { records: rejected, why },
                    Attempt::Retry { after, why, .. } => Outcome::Failed { records, why, retry_after: after },
                    Attempt::Reject { why } => Outcome::Rejected { records, why },
                });
            }
            outcome
        })
    }

    fn view(&self) -> OutletView {
        OutletView {
            queue_size: self.capacity.size(),
            queue_capacity: self.capacity.config().size,
            bytes: self.capacity.bytes(),
            lanes: self.lanes.lock().iter().flat_map(HashMap::values).map(Lane::view).collect(),
            stats: self.context.stats.clone(),
        }
    }

    fn close(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let lanes: Vec<Lane> = self.lanes.lock().take().into_iter().flat_map(HashMap::into_values).collect();
            for lane in &lanes {
                lane.close(deadline);
            }
            for lane in lanes {
                for item in lane.ended().await {
                    self.context.give_up(item, Why::new(Kind::Stopping, "stopped before it was delivered"));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
