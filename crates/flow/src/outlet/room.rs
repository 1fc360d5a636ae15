//! Who gets room in an outlet, on which terms: the rules of [`crate::ledger`] applied to its lanes.
//!
//! The bound of a lane that has its exporter to itself is kept when room is taken, exactly. Where there are many lanes, what is taken first
//! stays within what all of them may hold; the bound of each is looked at when its piece is pushed, and before that if the target of the
//! whole request is known. A lane that holds nothing takes one piece in any case, so that no target is shut out for what others hold.
//! While less than a quarter of everything is taken no lane can be at its bound, and none is looked at.

use super::{Found, Outlet};
use crate::capacity::{CapacityConfig, Held, Slot};
use crate::exporter::Exporter;
use crate::lane::{Item, Lane};
use crate::ledger::{Lack, Place, Standing, Terms};
use crate::router::{Router, Routes, Target};
use crate::spool::WhenFull;
use crate::{Kind, Payload, Why};

/// What a request of so many bytes would hold.
fn one(payload: &Payload) -> Held {
    Held { requests: 1, records: payload.records.into(), bytes: payload.len() as u64, places: 1 }
}

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// The terms of a lane that has the exporter to itself; none where there are many.
    fn terms_alone(&self, soft: f64) -> Option<Terms> {
        let standing = self.context.alone.get();
        (self.capacity.place() == Place::Alone).then_some(Terms { standing, place: Place::Alone, soft })
    }

    /// Whether no lane can be at its bound with this request, whatever each holds.
    fn is_roomy(&self, payload: &Payload) -> bool {
        let (stock, size) = (self.capacity.stock(), self.capacity.config().size);
        let is_large = self.capacity.place() == Place::Alone || size == u64::MAX;
        stock.used().saturating_add(one(payload).memory()) <= stock.limit() / 4
            && (is_large
                || self.capacity.size().saturating_add(one(payload).of(self.capacity.config().sizer)) <= size / 4)
    }

    /// The lane that a whole request goes to, if that is known and it has one.
    fn only_lane(&self, payload: &Payload) -> Option<Lane> {
        self.lane_of_known(&self.router.only(payload)?)
    }

    fn lane_of_known(&self, target: &Target) -> Option<Lane> {
        self.lanes.lock().as_ref()?.get(target).cloned()
    }

    /// Whether one of many lanes may take `more`, of which `taken` is counted already in what all hold.
    fn lane_allows(&self, lane: &Lane, more: Held, taken: Held, soft: f64) -> bool {
        let held = lane.held();
        if held.memory() == 0 {
            return true;
        }
        let terms = Terms { standing: lane.standing(), place: Place::OneOfMany, soft };
        let stock = self.capacity.stock();
        let used = stock.used().saturating_sub(taken.memory());
        let CapacityConfig { size, sizer, .. } = *self.capacity.config();
        terms.allows(held.memory(), more.memory(), stock.limit(), used)
            && (size == u64::MAX || {
                let used = self.capacity.size().saturating_sub(taken.of(sizer));
                terms.allows(held.of(sizer), more.of(sizer), size, used)
            })
    }

    /// Whether a lane has room for a piece that has its part of the exporter's room already. Where senders wait for room they have done so:
    /// what is pushed then enters, even if others were faster, or its stages gave it another target.
    pub(super) fn has_room(&self, lane: &Lane, item: &Item) -> bool {
        let own = item.slot.held();
        self.config.block_on_overflow || self.capacity.place() == Place::Alone || self.lane_allows(lane, own, own, 1.0)
    }

    /// The least that a lane may hold now, and whether all lanes together hold no more: then none is full.
    pub(super) fn is_no_lane_full(&self) -> bool {
        let terms = Terms { standing: Standing::Stuck, place: Place::OneOfMany, soft: 1.0 };
        let (stock, config, held) = (self.capacity.stock(), self.capacity.config(), self.capacity.held());
        let size = held.of(config.sizer);
        held.memory() <= terms.bound(stock.limit(), stock.used())
            && (config.size == u64::MAX || size <= terms.bound(config.size, size))
    }

    /// Whether a copy of what is on disk may be kept in memory for a lane.
    pub(super) fn has_room_for_copy(&self, lane: &Lane, bytes: u64) -> bool {
        let terms = Terms { standing: lane.standing(), place: self.capacity.place(), soft: 1.0 };
        let stock = self.capacity.stock();
        terms.allows(lane.held().memory(), bytes, stock.limit(), stock.used())
    }

    /// See [`super::Outgoing::is_short`].
    pub(super) fn is_short_for(&self, payload: &Payload) -> bool {
        let soft = self.budget.soft();
        if let Some(durable) = &self.context.durable
            && durable.spool.when_full() == WhenFull::ShedRoutine
            && durable.spool.fill() >= soft
        {
            return true;
        }
        // Who waits for room loses nothing.
        if self.config.block_on_overflow || self.is_roomy(payload) {
            return false;
        }
        if let Some(terms) = self.terms_alone(soft) {
            return !self.capacity.allows(payload.len(), terms) && self.capacity.allows(payload.len(), terms.hard());
        }
        let more = one(payload);
        match self.router.only(payload).map(|target| self.lane_of_known(&target)) {
            Some(Some(lane)) => {
                let allows = |soft| self.lane_allows(&lane, more, Held::default(), soft);
                !allows(soft) && allows(1.0)
            }
            // It holds nothing.
            Some(None) => false,
            None => {
                let stock = self.capacity.stock();
                stock.used().saturating_add(more.memory()) as f64 > stock.limit() as f64 * soft
            }
        }
    }

    /// See [`super::Outgoing::is_at_ease`].
    pub(super) fn is_at_ease_with(&self, payload: &Payload) -> bool {
        let (standing, held) = match self.capacity.place() {
            Place::Alone => (self.context.alone.get(), self.capacity.held()),
            Place::OneOfMany => match self.router.only(payload).map(|target| self.lane_of_known(&target)) {
                None => return false,
                Some(None) => (Standing::New, Held::default()),
                Some(Some(lane)) => (lane.standing(), lane.held()),
            },
        };
        let stock = self.capacity.stock();
        let free = stock.limit().saturating_sub(stock.used());
        standing == Standing::Passing && held.memory().saturating_add(one(payload).memory()) <= free
    }

    /// Takes room for a payload.
    pub(super) fn room(&self, payload: &Payload, stored: bool, times: u32) -> Result<Slot, Why> {
        let full = |lack| {
            let name = &self.config.name;
            Why::new(
                Kind::QueueFull,
                match lack {
                    Lack::Own => format!("the queue of exporter {name} is full"),
                    Lack::Shared => format!("the memory budget has no more room for exporter {name}"),
                },
            )
        };
        let Some(durable) = self.context.durable.as_ref().filter(|_| stored) else {
            self.router.ready()?;
            if self.full_lane(payload).is_some() {
                let text = format!("the lane of its target in exporter {} is full", self.config.name);
                return Err(Why::new(Kind::LaneFull, text));
            }
            return self.take(payload, times).map_err(full);
        };
        // Without a target it waits on disk for one.
        match durable.spool.room(payload.len()) {
            Err(why) if why.kind == Kind::QueueFull && self.makes_room(&durable.spool, payload.len()) => {}
            room => room?,
        }
        // Where it stays is the disk: it is in memory only on its way there.
        self.capacity.take_beside(durable.spool.held(), payload.records, payload.len(), times, None).map_err(full)
    }

    /// A lane that has no room for its part of a request. One that would be divided is looked at piece by piece only where its sender waits;
    /// elsewhere the pieces are, when they are pushed.
    fn full_lane(&self, payload: &Payload) -> Option<Lane> {
        if self.capacity.place() == Place::Alone || self.is_roomy(payload) {
            return None;
        }
        let is_full = |(target, piece): (Target, Payload)| {
            let lane = self.lane_of_known(&target)?;
            (!self.lane_allows(&lane, one(&piece), Held::default(), 1.0)).then_some(lane)
        };
        if let Some(target) = self.router.only(payload) {
            return is_full((target, payload.clone()));
        }
        if !self.config.block_on_overflow {
            return None;
        }
        let mut routes = Routes::new();
        self.router.route(payload.clone(), &mut routes);
        routes.into_iter().find_map(is_full)
    }

    fn take(&self, payload: &Payload, times: u32) -> Result<Slot, Lack> {
        let terms = self.terms_alone(1.0);
        self.capacity.take_beside(Held::default(), payload.records, payload.len(), times, terms)
    }

    /// See [`super::Outgoing::wait`].
    pub(super) async fn wait_for(&self, payload: Payload, stored: bool, times: u32) -> Slot {
        if let Some(durable) = self.context.durable.as_ref().filter(|_| stored) {
            return durable.spool.until(|| self.room(&payload, true, times).ok()).await;
        }
        let attempt = || match self.full_lane(&payload) {
            None => self.take(&payload, times),
            Some(_) => Err(Lack::Shared),
        };
        // Who waits for one target does not stand before those who wait for another.
        match self.full_lane(&payload).or_else(|| self.only_lane(&payload)) {
            Some(lane) => self.capacity.stock().wait(lane.line(), attempt).await,
            None => self.capacity.wait(attempt).await,
        }
    }

    /// What is found in place of a target's lane where there are as many as there may be.
    pub(super) fn too_many(&self, lanes: usize) -> Option<Found> {
        (lanes >= self.config.max_lanes).then_some(Found::Refused)
    }
}
