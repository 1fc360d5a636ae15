//! A piece of a request on its way through a lane, with everything that has to be done once it is settled.

use crate::capacity::Slot;
use crate::packed::Packed;
use crate::spool::{Key, Ticket};
use crate::watch::Cause;
use crate::{Ack, Batch, Outcome, Payload};
use std::time::Instant;

/// One piece of one sender's request, with its duty and its room in the queue.
#[derive(Debug)]
pub struct Item {
    /// The data and the duty to settle it. Of packed data only what is known of it: the body is empty.
    pub batch: Batch,
    /// The data, if it is packed.
    pub packed: Option<Box<Packed>>,
    /// The room it takes.
    pub slot: Slot,
    /// When it was queued.
    pub at: Instant,
    /// Whether its sender waits for the outcome.
    pub waits: bool,
    /// When the first attempt to deliver it began, if one has failed: another lane does not start its time anew.
    pub tried: Option<Instant>,
    /// The piece on disk that this is a copy of, or a part of it. Its sender was told long ago; `ack` only holds the memory.
    pub ticket: Option<Ticket>,
    /// It is a request as it is, formed for this reason: nothing is to be put before or behind it.
    pub formed: Option<Cause>,
    /// Its records are of many senders: if it is rejected it is divided down to the record that is bad.
    pub is_mixed: bool,
}

impl Item {
    /// A piece of a sender's request as it came, never tried and in memory only.
    #[must_use]
    pub fn new(batch: Batch, slot: Slot, at: Instant, waits: bool) -> Item {
        let (packed, tried, ticket, formed, is_mixed) = (None, None, None, None, false);
        Item { batch, packed, slot, at, waits, tried, ticket, formed, is_mixed }
    }

    /// Items in place of this one, each with a fork of its duty and a part of its room. Without any piece the duty is settled as
    /// delivered: there was nothing to deliver.
    /// Pieces of a packed item are packed: it stays the copy that it is.
    pub fn divide(self, pieces: impl ExactSizeIterator<Item = Payload>) -> Vec<Item> {
        let Item { at, waits, tried, is_mixed, .. } = self;
        let codec = self.packed.map(|packed| packed.codec());
        let count = pieces.len();
        let (mut ack, mut slot, mut ticket) = (Some(self.batch.ack), Some(self.slot), self.ticket);
        let mut items = Vec::with_capacity(count);
        for (n, payload) in pieces.enumerate() {
            // The last piece takes what remains, so that the request stays counted until all of it is settled.
            let last = n + 1 == count;
            let of_ack = if last { ack.take() } else { ack.as_ref().map(Ack::fork) };
            let packed = codec.map(|codec| Packed::new(codec, &payload.body));
            let held = packed.as_ref().map_or(payload.len(), Packed::held);
            let of_slot = if last { slot.take() } else { slot.as_mut().map(|s| s.split(payload.records, held)) };
            let ticket = if last { ticket.take() } else { ticket.as_ref().map(Ticket::share) };
            if let (Some(ack), Some(slot)) = (of_ack, of_slot) {
                let piece = Item::new(Batch { payload, ack }, slot, at, waits);
                let mut item = Item { tried, ticket, is_mixed, ..piece };
                packed.into_iter().for_each(|packed| item.replace(packed));
                items.push(item);
            }
        }
        if let Some(ticket) = ticket {
            ticket.finish();
        }
        if let Some(ack) = ack {
            ack.settle(Outcome::Delivered);
        }
        items
    }

    /// Gives its memory back if all of it is on disk too.
    ///
    /// # Errors
    /// It is not: the item itself.
    pub fn forget(mut self) -> Result<Key, Item> {
        match self.ticket.take() {
            Some(ticket) if ticket.is_whole() => {
                self.batch.ack.settle(Outcome::Delivered);
                Ok(ticket.into_key())
            }
            ticket => Err(Item { ticket, ..self }),
        }
    }
}
