//! The batch that a lane has open: records are written into it as they are routed.
//!
//! Where batches form behind a router, a request of a hundred records over hundreds of targets would otherwise become a hundred
//! pieces, each with its own memory, duty, room and place in a queue, to be merged again a moment later. So records are copied from
//! their request straight to where they will leave from, and the request is free. The copies are charged for themselves.
//!
//! Invariants: what is open is within the limits of a request; its slot and its permit stand for what it holds; it leaves as one
//! request, full or when its oldest record has waited for the interval of the batches.
//! It is only for senders who do not wait: nobody hears of the records of one request any more.

use super::{Item, Lane};
use crate::batcher::BatchConfig;
use crate::budget::{Budget, Permit};
use crate::capacity::{Held, Slot};
use crate::scopes::Nudge;
use crate::watch::Cause;
use crate::{Ack, Batch, Codec, Payload};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use wire::{PackLimits, Pick, Pile, Sheaf, Signal};

/// Records of a pile of requests that go to one target, until they are written.
pub(crate) struct Sorted<'a> {
    pub(crate) pile: &'a Pile,
    pub(crate) signal: Signal,
    /// Which of the pile's records.
    pub(crate) picks: &'a [Pick],
    /// The room of the requests; what is written takes its part of it,
    pub(crate) slot: &'a mut Slot,
    /// and the last of it takes what is left, so that the requests stay counted until all of them is settled.
    pub(crate) is_last: bool,
    /// Where the copies are charged.
    pub(crate) budget: &'a Budget,
    /// What makes a batch.
    pub(crate) config: &'a BatchConfig,
    /// How what waits for long is compressed.
    pub(crate) codec: Codec,
    /// When the first of the requests came.
    pub(crate) at: Instant,
}

/// See the module.
pub(super) struct OpenBatch {
    /// Apart, so that lanes without a batch are small.
    sheaf: Box<Sheaf>,
    signal: Signal,
    permit: Permit,
    slot: Slot,
    /// When its oldest record came.
    pub(super) at: Instant,
}

impl OpenBatch {
    /// An empty one. A sheaf that was used before has its tables already.
    fn new(sorted: &Sorted<'_>, used: Option<Box<Sheaf>>) -> OpenBatch {
        let BatchConfig { max_records, max_bytes, .. } = *sorted.config;
        OpenBatch {
            sheaf: used.unwrap_or_else(|| Box::new(Sheaf::new(PackLimits { max_records, max_bytes }))),
            signal: sorted.signal,
            permit: sorted.budget.open_anyway(0),
            slot: sorted.slot.nothing(),
            at: sorted.at,
        }
    }

    /// Writes as many records as there is room for; answers what room they took.
    fn write(&mut self, sorted: &mut Sorted<'_>) -> Held {
        let (before, slot) = (self.sheaf.bound(), self.slot.held());
        let taken = self.sheaf.append(sorted.pile, sorted.picks);
        sorted.picks = &sorted.picks[taken..];
        match sorted.is_last && sorted.picks.is_empty() {
            true => sorted.slot.hand_over_rest(&mut self.slot),
            false => sorted.slot.hand_over(&mut self.slot, taken, self.sheaf.bound() - before),
        };
        let now = self.slot.held();
        let (requests, places) = (now.requests - slot.requests, now.places - slot.places);
        let held = self.sheaf.held() as u64;
        if held != self.permit.bytes() {
            self.permit.hold(held);
            self.permit.set_records(self.records());
        }
        Held { requests, records: taken as u64, bytes: now.bytes - slot.bytes, places }
    }

    fn records(&self) -> u32 {
        u32::try_from(self.sheaf.records()).unwrap_or(u32::MAX)
    }

    /// Whether it is as large as batches are to be.
    fn is_full(&self, config: &BatchConfig) -> bool {
        config.is_enough(self.sheaf.records() as u64, self.sheaf.bound() as u64)
            || (config.max_records > 0 && self.sheaf.records() >= config.max_records)
    }

    /// The request that it is, and its sheaf for the next one. Takes a while: not to be called under a lock.
    pub(super) fn close(self, cause: Cause) -> (Item, Box<Sheaf>) {
        let (records, OpenBatch { mut sheaf, signal, mut permit, slot, at }) = (self.records(), self);
        let (body, held) = sheaf.finish();
        let payload = Payload::new(signal, body, records);
        permit.set_records(records);
        permit.hold(held as u64);
        let batch = Batch { payload, ack: Ack::unwatched(Some(permit)) };
        (Item { formed: Some(cause), is_mixed: true, ..Item::new(batch, slot, at, false) }, sheaf)
    }
}

impl Lane {
    /// Writes records into the open batch. Never waits.
    ///
    /// # Errors
    /// The lane is closing: `sorted` has what was not written, and a batch that was full may come back.
    pub(crate) fn write(&self, sorted: &mut Sorted<'_>) -> Result<(), Option<Item>> {
        while let Some(full) = self.fill(sorted).map_err(|_closing| None)? {
            let (mut item, sheaf) = full.close(Cause::Size);
            if self.is_stuck() {
                let saved = item.pack(sorted.codec);
                self.0.bytes.fetch_sub(saved, Relaxed);
                self.0.saved.fetch_add(saved, Relaxed);
            }
            let mut inbox = self.0.inbox.lock();
            if !inbox.open {
                self.0.forget(&item);
                return Err(Some(item));
            }
            inbox.sheaf.get_or_insert(sheaf);
            let wake = inbox.put(item);
            drop(inbox);
            if wake {
                self.0.nudge();
            }
            if sorted.picks.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Writes records into the open batch, and takes it out if it is full then.
    fn fill(&self, sorted: &mut Sorted<'_>) -> Result<Option<OpenBatch>, Closing> {
        let mut guard = self.0.inbox.lock();
        let inbox = &mut *guard;
        if !inbox.open {
            return Err(Closing);
        }
        let is_new = inbox.batch.is_none();
        let batch = inbox.batch.get_or_insert_with(|| OpenBatch::new(sorted, inbox.sheaf.take()));
        let held = batch.write(sorted);
        let is_full = !sorted.picks.is_empty() || batch.is_full(sorted.config);
        self.count(held, 0);
        if is_full {
            return Ok(inbox.batch.take());
        }
        let wake = is_new && std::mem::take(&mut inbox.wake_batch);
        drop(guard);
        if wake {
            self.0.nudge();
        }
        Ok(None)
    }
}

/// A lane takes nothing more.
struct Closing;
