//! What an outlet does with its queue on disk: room, pieces on their way there, and pieces that come from there.
//!
//! Invariants: a piece on disk is given to one lane at a time; what has been loose for longer is given to the lanes before what
//! has just been written, so that a target gets its data in order. Nothing here waits but [`feed`], the one task that reads
//! pieces back to route them anew.

use super::{Found, Outlet};
use crate::exporter::Exporter;
use crate::lane::{Item, Lane, Stored};
use crate::router::{Router, Routes, Target};
use crate::spool::{Fresh, Incoming, Key, Landing, Piece, Spool, Ticket, WhenFull};
use crate::{Ack, Batch, Kind, Outcome, Payload, Why, clock};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Loose pieces that are given to lanes at once.
const AT_ONCE: usize = 256;
/// How long to wait before a piece is read again that could not be read, or before a router is asked again that knows no target.
const AGAIN: Duration = Duration::from_secs(1);

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// Has the oldest pieces of the target that holds most given up, if that is what is wanted.
    pub(super) fn makes_room(&self, spool: &Spool, bytes: usize) -> bool {
        if spool.when_full() != WhenFull::DeadLetterOldest || spool.trouble().is_some() {
            return false;
        }
        let Some(target) = spool.fattest() else { return false };
        let lane = self.lanes.lock().as_ref().and_then(|lanes| lanes.get(&target).cloned());
        lane.is_some_and(|lane| {
            let has_backlog = lane.view().stored > 0;
            if has_backlog {
                lane.evict(bytes as u64);
            }
            has_backlog
        })
    }

    /// The pieces that a payload is written in: by target, and none larger than a request may be. Without any target it stays
    /// whole, for no target.
    pub(super) fn pieces(&self, payload: Payload) -> Vec<(Target, Payload)> {
        let mut routes = Routes::new();
        self.router.route(payload.clone(), &mut routes);
        if routes.is_empty() {
            // Whatever divides what is written today may divide it by other names when it is read.
            return vec![(Target::new("").within(&payload.meta.origin), payload)];
        }
        let cut = |(target, payload): (Target, Payload)| {
            let pieces = self.config.batch.split(&payload);
            let pieces = if pieces.is_empty() { vec![payload] } else { pieces };
            pieces.into_iter().map(move |piece| (target.clone(), piece))
        };
        routes.into_iter().flat_map(cut).collect()
    }

    /// The lane of a target, if it is one.
    fn lane_of(&self, target: &Target) -> Option<Lane> {
        match self.lane(target) {
            Found::Lane(lane) => Some(lane),
            Found::Gone | Found::Closed | Found::Refused => None,
        }
    }

    /// Gives a piece to the lane of its target. Gives it back if there is none.
    fn hand(&self, target: &Target, mut stored: Stored) -> Result<(), Stored> {
        loop {
            let Some(lane) = self.lane_of(target) else { return Err(stored) };
            match lane.push_stored(stored) {
                Ok(()) => return Ok(()),
                Err(back) => {
                    stored = back;
                    self.forget_lane(target, &lane);
                }
            }
        }
    }

    /// Gives loose pieces to lanes. What cannot be placed now comes back.
    async fn place(&self, spool: &Arc<Spool>, keys: &mut Taken) -> Vec<Key> {
        let mut left = vec![];
        while let Some(key) = keys.keys.pop_front() {
            let Some(look) = spool.look(key) else { continue };
            let known = match self.router.is_dynamic() {
                true => self.router.knows(&look.target).then_some(look.target),
                false => self.sole(look.records),
            };
            let handed = match known.filter(|_| left.is_empty()) {
                Some(target) => self.hand(&target, Stored::Only(key, look.records)).is_ok(),
                None => left.is_empty() && self.reroute_stored(spool, key).await,
            };
            if !handed {
                left.push(key);
            }
        }
        left
    }

    /// The target of a router that has only one, whatever the data.
    fn sole(&self, records: u64) -> Option<Target> {
        let mut routes = Routes::new();
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.router.route(Payload::new(wire::Signal::Logs, bytes::Bytes::new(), records), &mut routes);
        routes.pop().map(|(target, _)| target)
    }

    /// Reads a piece to find out where it is to go now. False if that cannot be said yet.
    async fn reroute_stored(&self, spool: &Arc<Spool>, key: Key) -> bool {
        if self.router.ready().is_err() {
            return false;
        }
        let piece = match spool.load(vec![key]).await {
            Ok(mut pieces) => pieces.pop().map(|(_, piece)| piece),
            Err(_) => return false,
        };
        let Some(piece) = piece else {
            let records = spool.look(key).map_or(0, |look| look.records);
            self.context.stats.failed.add(Kind::Damaged, records);
            spool.finish(key);
            return true;
        };
        let mut routes = Routes::new();
        self.router.route(piece.payload.clone(), &mut routes);
        let records = u64::from(piece.payload.records);
        let found = match routes.as_slice() {
            [] => false,
            [(target, _)] => {
                let target = target.clone();
                spool.retarget(key, &target);
                self.hand(&target, Stored::Only(key, records)).is_ok()
            }
            _ => {
                self.write_anew(spool, key, &piece, routes);
                true
            }
        };
        if found && !piece.target.base().name().is_empty() {
            self.context.watch.rerouted(records, true);
        }
        found
    }

    /// Writes the pieces that a piece became, and then is done with that.
    fn write_anew(&self, spool: &Arc<Spool>, key: Key, piece: &Piece, routes: Routes) {
        let ticket = Ticket::new(spool.clone(), key);
        // If they cannot be written, dropping the ticket makes the piece loose again.
        let told = Ack::calling(None, move |outcome| {
            if outcome == Outcome::Delivered {
                ticket.finish();
            }
        });
        let bytes: usize = routes.iter().map(|(_, payload)| payload.len()).sum();
        let Some(durable) = &self.context.durable else { return told.settle(Outcome::Delivered) };
        let held = Ack::unwatched(Some(durable.budget.open_anyway(bytes)));
        for (target, payload) in routes {
            let slot = self.capacity.take_anyway(payload.len() as u64);
            let (told, held) = (told.fork(), held.fork());
            let piece = Piece { payload, target, at: piece.at, first: piece.first, note: None };
            spool.store(Incoming { piece, told, held, slot, at: clock::now() });
        }
        told.settle(Outcome::Delivered);
        held.settle(Outcome::Delivered);
    }
}

impl<E: Exporter, R: Router> Landing for Outlet<E, R> {
    fn land(&self, fresh: Fresh) {
        let Some(durable) = &self.context.durable else { return durable_only(fresh) };
        let (target, at) = (fresh.target.clone(), fresh.at);
        let (records, bytes) = (u64::from(fresh.payload.records), fresh.payload.len() as u64);
        let Some(lane) = self.lane_of(&target) else { return durable.spool.loosen([fresh.forget()]) };
        let fits = !durable.budget.is_tight() && self.has_room_for_copy(&lane, bytes);
        let slot = if fits { self.capacity.take_copy(bytes) } else { None };
        let stored = match slot {
            Some(slot) => {
                let Fresh { ticket, payload, held, .. } = fresh;
                let batch = Batch { payload, ack: held };
                Stored::Copied(Item { ticket: Some(ticket), ..Item::new(batch, slot, at, false) })
            }
            None => Stored::Only(fresh.forget(), records),
        };
        if let Err(back) = self.hand(&target, stored) {
            durable.spool.loosen(back.forget());
        }
    }

    fn refused(&self, records: u64, why: &Why) {
        self.context.stats.enqueue_failed.add(why.kind, records);
    }
}

/// An outlet without storage is never given anything from disk; dropping the ticket leaves it there.
fn durable_only(fresh: Fresh) {
    fresh.held.settle(Outcome::Delivered);
}

/// Pieces that are being placed: if that panics those that are left are loose again.
struct Taken {
    spool: Arc<Spool>,
    keys: VecDeque<Key>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.spool.loosen(self.keys.drain(..));
        }
    }
}

/// Gives what is loose to the lanes, for as long as the outlet lives and it is its turn.
pub(super) async fn feed<E: Exporter, R: Router>(outlet: Weak<Outlet<E, R>>, spool: Arc<Spool>, turn: u64) {
    loop {
        spool.loosened().await;
        while spool.is_turn(turn) {
            let Some(outlet) = outlet.upgrade() else { return };
            let keys = spool.take_loose(AT_ONCE);
            if keys.is_empty() {
                break;
            }
            let mut taken = Taken { spool: spool.clone(), keys: keys.into() };
            let left = outlet.place(&spool, &mut taken).await;
            if left.is_empty() {
                continue;
            }
            spool.put_back_loose(left);
            if outlet.is_closed() {
                return;
            }
            let rerouting = outlet.rerouting.notified();
            tokio::select! {
                () = rerouting => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        if !spool.is_turn(turn) || outlet.strong_count() == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
