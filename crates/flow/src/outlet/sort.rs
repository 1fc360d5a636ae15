//! Requests whose records are sorted straight into the open batches of their lanes.
//!
//! That is the way of a request where batches are formed behind a router that names an owner for each record, and whose sender does
//! not wait. The records are copied; then the requests are settled and their memory is free. Nothing here waits, and nothing is
//! refused: the room was taken before.

use super::{Fullness, Lineup, Outlet};
use crate::capacity::Slot;
use crate::exporter::Exporter;
use crate::lane::{Item, Sorted};
use crate::router::{Router, Target};
use crate::{Ack, Batch, Budget, Outcome, Payload};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;
use wire::{PackLimits, Pick, Pile, Sheaf, Signal};

/// A request that goes to one target from this size on is handed on as it is rather than copied.
const WORTH_KEEPING: usize = 16 * 1024;
/// Records that the tables of a thread keep room for.
const KEPT: usize = 64 * 1024;

/// Tables that a thread uses for one pile of requests after the other.
#[derive(Default)]
struct Tables {
    pile: Pile,
    /// Each record, and the place of its owner among the targets.
    picks: Vec<Pick>,
    owners: Vec<u32>,
    /// The records in the order of their owners, and where those of each owner end.
    order: Vec<Pick>,
    ends: Vec<u32>,
}

thread_local! {
    static TABLES: RefCell<Tables> = RefCell::default();
}

impl Tables {
    /// Brings the records into the order of their owners, of whom there are so many. Records of one owner stay in order.
    fn sort(&mut self, targets: usize) {
        let Tables { picks, owners, order, ends, .. } = self;
        ends.clear();
        ends.resize(targets, 0);
        owners.iter().for_each(|&owner| ends[owner as usize] += 1);
        let mut start = 0;
        for end in ends.iter_mut() {
            start += std::mem::replace(end, start);
        }
        order.clear();
        order.resize(owners.len(), Pick::default());
        for (pick, &owner) in picks.iter().zip(owners.iter()) {
            let end = &mut ends[owner as usize];
            order[*end as usize] = *pick;
            *end += 1;
        }
    }

    /// Forgets the pile, and gives memory back if it was unusually large.
    fn clear(&mut self) {
        self.pile.clear();
        self.picks.clear();
        self.owners.clear();
        if self.picks.capacity() > KEPT {
            (self.picks, self.owners, self.order) = (Vec::new(), Vec::new(), Vec::new());
        }
    }
}

/// What is known of the requests of a pile.
struct Requests {
    signal: Signal,
    /// The room of all of them.
    slot: Slot,
    acks: Vec<Ack>,
    budget: Budget,
    /// When the first of them came.
    at: Instant,
}

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// Whether a request can be sorted. Only while no lane can be full: whoever sent what finds its lane full is told so.
    pub(super) fn is_sortable(&self, item: &Item) -> bool {
        !item.waits
            && item.batch.payload.records > 0
            && self.is_no_lane_full()
            && item.batch.ack.replaceable().is_some()
    }

    /// Sorts requests into batches. What cannot be sorted, or is better handed on as it is, is routed by itself.
    pub(super) fn sort(&self, items: Vec<Item>) {
        TABLES.with_borrow_mut(|tables| {
            let (mut targets, mut requests) = (None::<Arc<[Target]>>, None::<Requests>);
            for item in items {
                match self.pile(item, tables, &mut targets) {
                    Ok((item, budget)) => Requests::add(&mut requests, item, budget),
                    Err(item) => drop(self.reroute(None, item)),
                }
            }
            if let (Some(targets), Some(requests)) = (targets, requests) {
                tables.sort(targets.len());
                self.write(requests, &self.lineup(targets), tables);
            }
            tables.clear();
        });
    }

    /// Puts a request on the pile, with the owners of its records.
    fn pile(
        &self,
        item: Item,
        tables: &mut Tables,
        targets: &mut Option<Arc<[Target]>>,
    ) -> Result<(Item, Budget), Item> {
        let Some(budget) = item.batch.ack.replaceable() else { return Err(item) };
        let Payload { signal, body, .. } = &item.batch.payload;
        if !matches!(tables.pile.add(*signal, body), Ok(true)) {
            return Err(item);
        }
        let before = tables.owners.len();
        let found = self.router.owners(tables.pile.records(), &mut tables.owners);
        let own = &tables.owners[before..];
        let is_whole = body.len() >= WORTH_KEEPING && own.iter().all(|owner| *owner == own[0]);
        // If the targets have just changed, the places are those of others.
        let is_known = targets.as_ref().is_none_or(|targets| Arc::ptr_eq(targets, &found));
        if own.is_empty() || is_whole || !is_known || found.is_empty() {
            tables.owners.truncate(before);
            tables.pile.pop();
            return Err(item);
        }
        tables.pile.pick(&mut tables.picks);
        *targets = Some(found);
        Ok((item, budget))
    }

    /// Writes sorted records into the open batches.
    fn write(&self, requests: Requests, lineup: &Lineup, tables: &Tables) {
        let Requests { signal, mut slot, acks, budget, at } = requests;
        let (config, codec) = (&self.config.batch, self.config.codec);
        let mut start = 0;
        for (place, &end) in tables.ends.iter().enumerate() {
            let picks = &tables.order[start..end as usize];
            start = end as usize;
            if picks.is_empty() {
                continue;
            }
            let is_last = start == tables.order.len();
            let (pile, budget, slot) = (&tables.pile, &budget, &mut slot);
            let mut sorted = Sorted { pile, signal, picks, slot, is_last, budget, config, codec, at };
            let lane = self.lane_at(lineup, place);
            // A lane that has just closed, or is none any more, gives back what was not written: it is routed.
            let Err(full) = lane.map_or(Err(None), |lane| lane.write(&mut sorted)) else { continue };
            let target = &lineup.targets[place];
            lane.iter().for_each(|lane| self.forget_lane(target, lane));
            for item in full.into_iter().chain(sorted.into_item()) {
                drop(self.push_to(target, item, Fullness::Ignored));
            }
        }
        acks.into_iter().for_each(|ack| ack.settle(Outcome::Delivered));
    }
}

impl Requests {
    fn add(requests: &mut Option<Requests>, item: Item, budget: Budget) {
        let Item { batch: Batch { payload, ack }, slot, at, .. } = item;
        match requests {
            Some(requests) => {
                requests.slot.absorb(slot);
                requests.acks.push(ack);
            }
            None => *requests = Some(Requests { signal: payload.signal, slot, acks: vec![ack], budget, at }),
        }
    }
}

impl Sorted<'_> {
    /// What was not written, as a request of its own.
    fn into_item(self) -> Option<Item> {
        let mut sheaf = Sheaf::new(PackLimits::default());
        let records = sheaf.append(self.pile, self.picks);
        let (body, held) = sheaf.finish();
        let payload = Payload::new(self.signal, body, u32::try_from(records).unwrap_or(u32::MAX));
        if records == 0 {
            return None;
        }
        let mut slot = self.slot.nothing();
        self.slot.hand_over(&mut slot, records, payload.len());
        if self.is_last {
            self.slot.hand_over_rest(&mut slot);
        }
        let permit = self.budget.open_anyway(held);
        let batch = Batch { payload, ack: Ack::unwatched(Some(permit)) };
        Some(Item { is_mixed: true, ..Item::new(batch, slot, self.at, false) })
    }
}

#[cfg(test)]
mod tests;
