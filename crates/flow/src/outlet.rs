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
use crate::capacity::{Capacity, Slot};
use crate::dead_letters::LetterBox;
use crate::exporter::Exporter;
use crate::gather::{Added, Gather, Gathered};
use crate::lane::{Context, Durable, Item, Lane, LaneLimits, Left, Roster, strike};
use crate::ledger::{Place, Stands};
use crate::orphans::Orphans;
use crate::permits::Permits;
use crate::router::{Router, Routes, Target};
use crate::scopes::Scopes;
use crate::spool::{Incoming, Landing, Piece, Spool};
use crate::{Ack, Batch, Kind, Outcome, Payload, Watch, Why, clock, task};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use wire::Coding;

/// How long past the deadline of a close its drains may take to settle what they hold.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What is found in place of a target's lane.
enum Found {
    Lane(Lane),
    /// The target went away since it was named.
    Gone,
    /// There are as many lanes as there may be.
    Refused,
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
    /// Pays for its lanes, and has the stock that its queue is part of.
    budget: Budget,
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
        let budget = Budget::of(config.capacity.max_bytes);
        Outlet::within(config, budget, exporter, router)
    }

    /// The same within a budget that it has in common with others.
    #[must_use]
    pub fn within(config: OutletConfig, budget: Budget, exporter: E, router: R) -> Outlet<E, R> {
        Outlet::watched(config, budget, exporter, router, Arc::new(()))
    }

    /// The same with somebody who hears what happens in its lanes.
    #[must_use]
    pub fn watched(
        config: OutletConfig,
        budget: Budget,
        exporter: E,
        router: R,
        watch: Arc<dyn Watch>,
    ) -> Outlet<E, R> {
        Outlet::build(config, budget, exporter, router, watch, None)
    }

    /// The same with a queue on disk, which it takes over with all that it holds. What is read back is charged to `budget`.
    #[must_use]
    pub fn durable(
        config: OutletConfig,
        budget: Budget,
        exporter: E,
        router: R,
        watch: Arc<dyn Watch>,
        spool: Arc<Spool>,
    ) -> Arc<Outlet<E, R>> {
        let outlet = Arc::new(Outlet::build(config, budget, exporter, router, watch, Some(spool)));
        outlet.clone().take_over();
        outlet
    }

    fn build(
        config: OutletConfig,
        budget: Budget,
        exporter: E,
        router: R,
        watch: Arc<dyn Watch>,
        spool: Option<Arc<Spool>>,
    ) -> Outlet<E, R> {
        let place = if router.is_dynamic() { Place::OneOfMany } else { Place::Alone };
        let capacity = Capacity::within(config.capacity.clone(), budget.stock().clone(), place);
        let lanes: Arc<Roster> = Arc::new(Mutex::new(Some(HashMap::new())));
        let in_flight = config.lane_in_flight.unwrap_or(config.workers / 2);
        let context = Arc::new(Context {
            exporter,
            stats: Arc::default(),
            permits: Permits::new(config.workers),
            scopes: Scopes::default(),
            alarms: Arc::default(),
            pace: Arc::default(),
            roster: lanes.clone(),
            alone: Stands::default(),
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
            durable: spool.map(|spool| Durable { spool, capacity: capacity.clone(), budget: budget.clone() }),
        });
        let gather = config.gather.map(Gather::new);
        let orphans = Orphans::default();
        Outlet {
            config,
            context,
            budget,
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
    fn too_late(&self, mut item: Item) -> Outcome {
        item.slot.refuse();
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
                let mut items = item.divide(pieces.into_iter());
                // Its request has its place with the last of them.
                let own = items.len().saturating_sub(1);
                items[..own].iter_mut().for_each(|item| item.slot.count_piece());
                Ok(targets
                    .iter()
                    .zip(items)
                    .fold(Outcome::Delivered, |lost, (t, item)| lost.and(self.push_to(t, item, fullness))))
            }
        }
    }

    /// Enqueues at one target. What finds the lane full is settled as dropped, and said.
    fn push_to(&self, target: &Target, mut item: Item, fullness: Fullness) -> Outcome {
        loop {
            let lane = match self.lane(target) {
                Found::Lane(lane) => lane,
                Found::Closed if fullness == Fullness::Counts => return self.too_late(item),
                Found::Closed => return self.stopping(Some(target), item),
                Found::Gone => return self.route(item, fullness).unwrap_or_else(|item| self.orphan(item)),
                Found::Refused => {
                    let text = format!("exporter {} has as many lanes as it may have", self.config.name);
                    return self.turn_away(item, Why::new(Kind::LaneLimit, text));
                }
            };
            if lane.is_stuck() {
                item.pack(self.config.codec);
            }
            if fullness == Fullness::Counts && !self.has_room(&lane, &item) {
                return self.turn_away(item, Why::new(Kind::LaneFull, format!("the lane of {target} is full")));
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
        let mut fee = None;
        if self.capacity.place() == Place::OneOfMany {
            if let Some(refused) = self.too_many(lanes.len()) {
                return refused;
            }
            let Some(paid) = self.budget.open_lane() else { return Found::Refused };
            fee = Some(paid);
        }
        let lane = Lane::paid(target.clone(), self.context.clone(), fee);
        lanes.insert(target.clone(), lane.clone());
        Found::Lane(lane)
    }

    /// Settles as dropped what its target has no room for, and says so.
    fn turn_away(&self, mut item: Item, why: Why) -> Outcome {
        let records = u64::from(item.batch.payload.records);
        self.context.stats.enqueue_failed.add(why.kind, records);
        item.slot.refuse();
        let outcome = Outcome::Dropped { records, why };
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

    fn coding(&self) -> Option<Coding> {
        self.context.exporter.coding()
    }

    fn is_short(&self, payload: &Payload) -> bool {
        self.is_short_for(payload)
    }

    fn is_at_ease(&self, payload: &Payload) -> bool {
        self.is_at_ease_with(payload)
    }

    fn is_durable(&self) -> bool {
        self.context.durable.is_some()
    }

    fn count_missed(&self, kind: Kind, records: u64) {
        self.context.stats.enqueue_failed.add(kind, records);
    }

    fn retry_delay(&self) -> Duration {
        self.capacity.retry_delay()
    }

    fn reserve_times(&self, payload: &Payload, stored: bool, times: u32) -> Result<Slot, Why> {
        self.room(payload, stored, times)
    }

    fn wait<'a>(
        &'a self,
        payload: &Payload,
        stored: bool,
        times: u32,
    ) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>> {
        Box::pin(self.wait_for(payload.clone(), stored, times))
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

    fn push(&self, payload: Payload, mut slot: Slot, ack: Ack, waits: bool) -> Outcome {
        slot.enter();
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
        let (outlet, spool) = (Arc::downgrade(&self), durable.spool.clone());
        task::keep("feed", move || feed(outlet.clone(), spool.clone(), turn));
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
mod room;
mod sort;
mod stored;

pub use config::{MAX_LANES, OutletConfig};
use direct::try_once;
use lineup::Lineup;
pub use outgoing::{Outgoing, OutletView};
use stored::feed;

#[cfg(test)]
mod tests;
