//! One exporter of one signal: its capacity, its router and its lanes.
//!
//! Lanes are made when their target is first needed. A push never waits; if the lane it meant was just closing, it gets its
//! piece back and goes to a new lane. A lane of a dynamic router ends when it has been idle.
//!
//! With storage, what is taken is written to disk first, in the pieces that the router makes of it, and comes back from the spool
//! to be given to a lane. What is on disk belongs to no outlet: it survives a reload and the process, and whatever nobody works
//! at is given to the lanes by the outlet that attached last.
//!
//! It does not retry, batch or send (that is the lane's) and it does not decide about admission (that is the inlet's).

use crate::budget::Budget;
use crate::capacity::{Capacity, Share, Slot};
use crate::dead_letters::LetterBox;
use crate::exporter::Exporter;
use crate::gather::{Added, Gather, Gathered};
use crate::lane::{Context, Durable, Item, Lane, LaneLimits, Left, Roster, strike};
use crate::orphans::Orphans;
use crate::permits::Permits;
use crate::router::{Router, Routes, Target};
use crate::scopes::Scopes;
use crate::spool::{Incoming, Landing, Piece, Spool, WhenFull};
use crate::{Ack, Batch, Kind, Outcome, Payload, Watch, Why, clock};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How long past the deadline of a close its drains may take to settle what they hold.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What is found in place of a target's lane.
enum Found {
    Lane(Lane),
    /// The target went away since it was named.
    Gone,
    /// The outlet is closed.
    Closed,
}

/// Whether the limit of a lane counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fullness {
    Counts,
    Ignored,
}

/// An exporter with its router and its lanes.
pub struct Outlet<E: Exporter, R: Router> {
    config: OutletConfig,
    context: Arc<Context<E>>,
    capacity: Arc<Capacity>,
    router: R,
    /// `None` once it is closed: nothing starts a lane after that.
    lanes: Arc<Roster>,
    orphans: Orphans,
    gather: Option<Gather>,
    /// Of the targets that records were last sorted by.
    lineup: Mutex<Option<Arc<Lineup>>>,
    /// Lanes of targets that are gone, until what they hold is sent or routed again.
    draining: watch::Sender<HashMap<usize, Lane>>,
    /// The router may know more targets than before.
    rerouting: Notify,
}

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// An outlet without lanes yet. Must be used within a tokio runtime.
    #[must_use]
    pub fn new(config: OutletConfig, exporter: E, router: R) -> Outlet<E, R> {
        let share = Share::new(config.capacity.max_bytes);
        Outlet::within(config, share, exporter, router)
    }

    /// The same within a share of memory that it has in common with others.
    #[must_use]
    pub fn within(config: OutletConfig, share: Share, exporter: E, router: R) -> Outlet<E, R> {
        Outlet::watched(config, share, exporter, router, Arc::new(()))
    }

    /// The same with somebody who hears what happens in its lanes.
    #[must_use]
    pub fn watched(config: OutletConfig, share: Share, exporter: E, router: R, watch: Arc<dyn Watch>) -> Outlet<E, R> {
        Outlet::build(config, share, exporter, router, watch, None)
    }

    /// The same with a queue on disk, which it takes over with all that it holds. What is read back is charged to `budget`.
    #[must_use]
    pub fn durable(
        config: OutletConfig,
        share: Share,
        exporter: E,
        router: R,
        watch: Arc<dyn Watch>,
        spool: Arc<Spool>,
        budget: Budget,
    ) -> Arc<Outlet<E, R>> {
        let outlet = Arc::new(Outlet::build(config, share, exporter, router, watch, Some((spool, budget))));
        outlet.clone().take_over();
        outlet
    }

    fn build(
        config: OutletConfig,
        share: Share,
        exporter: E,
        router: R,
        watch: Arc<dyn Watch>,
        storage: Option<(Arc<Spool>, Budget)>,
    ) -> Outlet<E, R> {
        let capacity = Capacity::within(config.capacity.clone(), share);
        let lanes: Arc<Roster> = Arc::new(Mutex::new(Some(HashMap::new())));
        let in_flight = config.lane_in_flight.unwrap_or(config.workers / 2);
        let context = Arc::new(Context {
            exporter,
            stats: Arc::default(),
            permits: Permits::new(config.workers),
            scopes: Scopes::default(),
            alarms: Arc::default(),
            roster: lanes.clone(),
            retry: config.retry.clone(),
            batch: config.batch.clone(),
            timeout: config.timeout,
            limits: match router.is_dynamic() {
                true => LaneLimits::among_many(in_flight, config.lane_idle, config.workers == 1),
                false => LaneLimits::alone(config.workers.max(1)),
            },
            codec: config.codec,
            is_direct: config.is_direct,
            watch,
            durable: storage.map(|(spool, budget)| Durable { spool, capacity: capacity.clone(), budget }),
        });
        let gather = config.gather.map(Gather::new);
        let orphans = Orphans::default();
        Outlet {
            config,
            context,
            capacity,
            router,
            lanes,
            orphans,
            gather,
            lineup: Mutex::default(),
            draining: watch::channel(HashMap::new()).0,
            rerouting: Notify::new(),
        }
    }

    /// The router, for whoever changes what it knows.
    #[must_use]
    pub fn router(&self) -> &R {
        &self.router
    }

    /// A request that was inside when the exporter ended: it never entered the queue, and its sender is told to come back.
    fn too_late(&self, item: Item) -> Outcome {
        let records = u64::from(item.batch.payload.records);
        self.context.stats.enqueue_failed.add(Kind::Stopping, records);
        let outcome = Outcome::failed(records, Why::new(Kind::Stopping, "the exporter is stopping"));
        item.batch.ack.settle(outcome.clone());
        outcome
    }

    fn stopping(&self, target: Option<&Target>, item: Item) -> Outcome {
        let why = Why::new(Kind::Stopping, "the exporter is stopping");
        let outcome = Outcome::failed(u64::from(item.batch.payload.records), why.clone());
        self.context.give_up(target, item, why);
        outcome
    }

    /// Divides an item over its targets' lanes. Gives it back if there is no target.
    fn route(&self, item: Item, fullness: Fullness) -> Result<Outcome, Item> {
        let mut routes = Routes::new();
        let Some(payload) = item.payload() else {
            let records = u64::from(item.batch.payload.records);
            let why = Why::new(Kind::Other, "what was packed in memory cannot be read");
            self.context.give_up(None, item, why.clone());
            return Ok(Outcome::failed(records, why));
        };
        self.router.route(payload, &mut routes);
        match routes.as_slice() {
            [] => Err(item),
            [(target, _)] => Ok(self.push_to(target, item, fullness)),
            _ => {
                let (targets, pieces): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
                let items = item.divide(pieces.into_iter());
                Ok(targets
                    .iter()
                    .zip(items)
                    .fold(Outcome::Delivered, |lost, (t, item)| lost.and(self.push_to(t, item, fullness))))
            }
        }
    }

    /// What one lane may hold, in bytes.
    fn lane_limit(&self) -> u64 {
        let all = self.capacity.share().limit();
        if self.router.is_dynamic() { (all as f64 * self.config.lane_share) as u64 } else { u64::MAX }
    }

    /// Enqueues at one target. What finds the lane full is settled as dropped, and said.
    fn push_to(&self, target: &Target, mut item: Item, fullness: Fullness) -> Outcome {
        loop {
            let lane = match self.lane(target) {
                Found::Lane(lane) => lane,
                Found::Closed if fullness == Fullness::Counts => return self.too_late(item),
                Found::Closed => return self.stopping(Some(target), item),
                Found::Gone => return self.route(item, fullness).unwrap_or_else(|item| self.orphan(item)),
            };
            let (held, limit) = (lane.bytes(), self.lane_limit());
            if held < limit && lane.is_stuck() {
                item.pack(self.config.codec);
            }
            let is_full = held > 0 && held + item.held() as u64 > limit;
            if is_full && fullness == Fullness::Counts {
                return self.drop_full(target, item);
            }
            match lane.push(item) {
                Ok(()) => return Outcome::Delivered,
                Err(back) => {
                    item = back;
                    self.forget_lane(target, &lane);
                }
            }
        }
    }

    /// Leaves out a lane that has closed.
    fn forget_lane(&self, target: &Target, lane: &Lane) {
        *self.lineup.lock() = None;
        strike(&self.lanes, target, lane);
    }

    fn is_closed(&self) -> bool {
        self.lanes.lock().is_none()
    }

    fn lane(&self, target: &Target) -> Found {
        let mut lanes = self.lanes.lock();
        let Some(lanes) = lanes.as_mut() else { return Found::Closed };
        if let Some(lane) = lanes.get(target) {
            return Found::Lane(lane.clone());
        }
        // Under the lock: if the target goes only after this, whoever retires its lane finds the one that is made now.
        if !self.router.knows(target) {
            return Found::Gone;
        }
        let lane = Lane::start(target.clone(), self.context.clone());
        lanes.insert(target.clone(), lane.clone());
        Found::Lane(lane)
    }

    fn drop_full(&self, target: &Target, item: Item) -> Outcome {
        let records = u64::from(item.batch.payload.records);
        self.context.stats.enqueue_failed.add(Kind::LaneFull, records);
        let outcome =
            Outcome::Dropped { records, why: Why::new(Kind::LaneFull, format!("the lane of {target} is full")) };
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

    fn fill(&self) -> f64 {
        let memory = self.capacity.share().fill();
        match &self.context.durable {
            Some(durable) if durable.spool.when_full() == WhenFull::ShedRoutine => memory.max(durable.spool.fill()),
            _ => memory,
        }
    }

    fn is_durable(&self) -> bool {
        self.context.durable.is_some()
    }

    fn count_shed(&self, records: u64) {
        self.context.stats.enqueue_failed.add(Kind::SoftLimit, records);
    }

    fn reserve(&self, payload: &Payload, stored: bool) -> Result<Slot, Why> {
        let slot = self.room(payload, stored);
        if let Err(why) = &slot
            && !(why.kind == Kind::QueueFull && self.config.block_on_overflow)
        {
            self.context.stats.enqueue_failed.add(why.kind, u64::from(payload.records));
        }
        slot
    }

    fn wait<'a>(&'a self, payload: &Payload, stored: bool) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>> {
        let payload = Payload { body: payload.body.clone(), ..payload.clone() };
        Box::pin(async move {
            match self.context.durable.as_ref().filter(|_| stored) {
                Some(durable) => durable.spool.until(|| self.room(&payload, true).ok()).await,
                None => self.capacity.wait(payload.records, payload.len()).await,
            }
        })
    }

    fn store(&self, payload: Payload, slot: Slot, told: Ack, held: Ack) {
        let Some(durable) = &self.context.durable else {
            held.settle(Outcome::Delivered);
            drop(self.push(payload, slot, told, false));
            return;
        };
        let now = clock::now();
        let at = durable.spool.calendar().millis(now);
        let pieces = self.pieces(payload);
        let last = pieces.len() - 1;
        let mut slot = Some(slot);
        for (n, (target, payload)) in pieces.into_iter().enumerate() {
            // The last piece takes what remains, so that the request stays counted until all of it is on disk.
            let part = |slot: &mut Slot| slot.split(payload.records, payload.len());
            let Some(slot) = (if n == last { slot.take() } else { slot.as_mut().map(part) }) else { break };
            let piece = Piece { payload, target, at, first: 0, note: None };
            durable.spool.store(Incoming { piece, told: told.fork(), held: held.fork(), slot, at: now });
        }
        told.settle(Outcome::Delivered);
        held.settle(Outcome::Delivered);
    }

    fn push(&self, payload: Payload, slot: Slot, ack: Ack, waits: bool) -> Outcome {
        let mut item = Item::new(Batch { payload, ack }, slot, clock::now(), waits);
        let targets = self.gather.as_ref().map_or(0, |_| self.router.sorts_by());
        if let Some(gather) = self.gather.as_ref().filter(|_| targets > 1 && self.is_sortable(&item)) {
            match gather.add(item, targets) {
                Added::Held => return Outcome::Delivered,
                Added::Enough(Gathered { items, _turn }) => {
                    self.sort(items);
                    return Outcome::Delivered;
                }
                Added::Closed(back) => item = back,
            }
        }
        // If the last target went away since room was taken it waits for the next one, with its room.
        self.route(item, Fullness::Counts).unwrap_or_else(|item| self.orphan(item))
    }

    fn send_now(&self, payload: Payload) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async move {
            let records = u64::from(payload.records);
            let mut routes = Routes::new();
            self.router.route(payload, &mut routes);
            if routes.is_empty() {
                let unknown = || Why::new(Kind::NoTarget, "there is no destination");
                let why = self.router.ready().err().unwrap_or_else(unknown);
                self.context.stats.failed.add(why.kind, records);
                return Outcome::failed(records, why);
            }
            // At once, so that the slowest target is waited for and not all of them one after the other.
            let mut attempts: JoinSet<Outcome> =
                routes.drain(1..).map(|(target, payload)| try_once(self.context.clone(), target, payload)).collect();
            let mut outcome = Outcome::Delivered;
            for (target, payload) in routes {
                outcome = outcome.and(try_once(self.context.clone(), target, payload).await);
            }
            while let Some(done) = attempts.join_next().await {
                outcome = outcome.and(done.unwrap_or_else(|error| {
                    self.context.stats.send_panics.add(1);
                    tracing::error!(%error, "exporter panicked");
                    Outcome::failed(records, Why::new(Kind::Other, "the exporter panicked"))
                }));
            }
            outcome
        })
    }

    fn letters(&self) -> Option<Arc<dyn LetterBox>> {
        let spool = &self.context.durable.as_ref()?.spool;
        spool.dead_letters()?;
        Some(spool.clone())
    }

    fn view(&self) -> OutletView {
        // Each lane has locks of its own: nobody waits for them under that of all lanes.
        let lanes: Vec<Lane> = self.lanes.lock().iter().flat_map(HashMap::values).cloned().collect();
        OutletView {
            queue_size: self.capacity.size()
                + self.context.durable.as_ref().map_or(0, |d| d.spool.held().of(self.capacity.config().sizer)),
            queue_capacity: self.capacity.config().size,
            bytes: self.capacity.bytes(),
            lanes: lanes.iter().map(Lane::view).collect(),
            halted_scopes: self.context.scopes.halted(),
            stats: self.context.stats.clone(),
            spool: self.context.durable.as_ref().map(|durable| durable.spool.view()),
        }
    }

    fn take_over(self: Arc<Self>) {
        let Some(durable) = &self.context.durable else { return };
        let landing: Arc<dyn Landing> = self.clone();
        let turn = durable.spool.attach(Arc::downgrade(&landing));
        tokio::spawn(feed(Arc::downgrade(&self), durable.spool.clone(), turn));
    }

    fn close(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.sort(self.gather.as_ref().map(Gather::close).unwrap_or_default());
            let lanes: Vec<Lane> = self.lanes.lock().take().into_iter().flat_map(HashMap::into_values).collect();
            for lane in &lanes {
                lane.put_away(deadline);
            }
            self.draining.borrow().values().for_each(|lane| lane.put_away(deadline));
            let why = || Why::new(Kind::Stopping, "stopped before it was delivered");
            self.orphans.take().into_iter().for_each(|item| self.context.give_up(None, item, why()));
            for lane in lanes {
                let target = lane.target().clone();
                let Left { items, keys } = lane.ended().await;
                items.into_iter().for_each(|item| self.context.give_up(Some(&target), item, why()));
                if let Some(durable) = &self.context.durable {
                    durable.spool.loosen(keys);
                }
            }
            // The drains settle what they hold; if whoever ran them is gone, so is what they held.
            let mut draining = self.draining.subscribe();
            let ended = draining.wait_for(HashMap::is_empty);
            if tokio::time::timeout_at((deadline + LAST_WAIT).into(), ended).await.is_err() {
                tracing::error!(exporter = self.config.name, "a drain did not end in time");
            }
        })
    }
}

mod config;
mod direct;
mod lineup;
mod outgoing;
mod retire;
mod sort;
mod stored;

pub use config::OutletConfig;
use direct::try_once;
use lineup::Lineup;
pub use outgoing::{Outgoing, OutletView};
use stored::feed;

#[cfg(test)]
mod tests;
