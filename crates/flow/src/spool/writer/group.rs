//! What is handed over to be kept, written in groups that share one sync.
//!
//! Invariant: a sender is told of success only after the sync of its piece; of a group that could not be synced nobody is.

use super::{COME_BACK, Spool, TROUBLE, resume};
use crate::capacity::Slot;
use crate::spool::store::{Key, Piece, StoreError};
use crate::spool::ticket::Ticket;
use crate::{Ack, Kind, Outcome, Payload, Target, Why, clock};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What is handed over to be kept.
pub struct Incoming {
    /// The data and where it is to go.
    pub piece: Piece,
    /// Told once it is on disk.
    pub told: Ack,
    /// Holds the memory of its payload.
    pub held: Ack,
    /// The room it takes until it is on disk.
    pub slot: Slot,
    /// When it was handed over.
    pub at: Instant,
}

/// A piece that has just been written and is still in memory.
pub struct Fresh {
    /// The piece on disk.
    pub ticket: Ticket,
    /// Its data.
    pub payload: Payload,
    /// Where it is to go.
    pub target: Target,
    /// Holds the memory of the payload.
    pub held: Ack,
    /// When it was handed over.
    pub at: Instant,
}

impl Fresh {
    /// Gives its memory back: from now on it is on disk only.
    #[must_use]
    pub fn forget(self) -> Key {
        self.held.settle(Outcome::Delivered);
        self.ticket.into_key()
    }
}

/// Who takes over what was written: the outlet.
pub trait Landing: Send + Sync {
    /// Takes a piece over. Must not wait.
    fn land(&self, fresh: Fresh);
    /// So many records could not be written; whoever waited for that was told.
    fn refused(&self, records: u64, why: &Why);
}

impl Spool {
    /// Writes and syncs a group, tells its senders, and passes it on.
    pub(super) async fn write(self: &Arc<Self>, group: Vec<Incoming>) {
        let store = self.store.clone();
        let begun = clock::now();
        let written = tokio::task::spawn_blocking(move || {
            let pieces: Vec<&Piece> = group.iter().map(|i| &i.piece).collect();
            let result = store.write(&pieces);
            (group, result)
        });
        // If the store panics, what it held is settled as leaked, loudly.
        let (group, result) = match written.await {
            Ok(written) => written,
            Err(error) => return resume(error),
        };
        match result {
            Ok(keys) => {
                let records = group.iter().map(|i| u64::from(i.piece.payload.records)).sum();
                self.stats.synced(clock::now() - begun, records);
                if self.trouble.lock().take().is_some() {
                    tracing::info!(directory = %self.directory.display(), "the disk under the queue works again");
                }
                let tickets = keys.into_iter().map(|key| Ticket::new(self.clone(), key));
                group.into_iter().zip(tickets).for_each(|(incoming, ticket)| self.landed(incoming, ticket));
            }
            Err(error) => {
                let why = self.disk_failed(&error);
                if let Some(landing) = self.landing() {
                    landing.refused(group.iter().map(|i| u64::from(i.piece.payload.records)).sum(), &why);
                }
                group.into_iter().for_each(|incoming| refuse(incoming, &why, Some(COME_BACK)));
            }
        }
    }

    /// Refuses for good what cannot be kept.
    pub(super) fn reject(&self, incoming: Incoming) {
        let records = u64::from(incoming.piece.payload.records);
        let why = Why::new(Kind::TooLarge, StoreError::TooLarge.to_string());
        if let Some(landing) = self.landing() {
            landing.refused(records, &why);
        }
        settle_unkept(incoming, Outcome::Rejected { records, why });
    }

    fn landed(&self, incoming: Incoming, ticket: Ticket) {
        let Incoming { piece, told, held, slot, at } = incoming;
        drop(slot);
        told.settle(Outcome::Delivered);
        let fresh = Fresh { ticket, payload: piece.payload, target: piece.target, held, at };
        let landing = self.landing();
        let mut loose = self.loose.lock();
        match landing {
            Some(landing) if loose.keys.is_empty() && !loose.busy => {
                drop(loose);
                landing.land(fresh);
            }
            _ => {
                loose.keys.push_back(fresh.forget());
                drop(loose);
                self.loosened.notify_one();
            }
        }
    }

    fn landing(&self) -> Option<Arc<dyn Landing>> {
        self.landing.lock().as_ref().and_then(Weak::upgrade)
    }

    /// Nothing is written any more.
    pub(super) fn refuse_all(&self) {
        let mut orders = self.orders.lock();
        orders.closed = true;
        let (incoming, burials) = (std::mem::take(&mut orders.incoming), std::mem::take(&mut orders.burials));
        drop(orders);
        let why = Why::new(Kind::Disk, "the queue on disk is not written any more");
        incoming.into_iter().for_each(|incoming| refuse(incoming, &why, Some(COME_BACK)));
        // What is given up stays on disk, and is given up again after the next start.
        drop(burials);
    }

    pub(super) fn disk_failed(&self, error: &StoreError) -> Why {
        let why = Why::new(Kind::Disk, format!("the queue cannot be written to disk: {error}"));
        let before = self.trouble.lock().replace((clock::now() + TROUBLE, why.clone(), error.kind()));
        self.stats.failures.add(1);
        if before.is_none() {
            tracing::error!(directory = %self.directory.display(), %error, "the queue cannot be written to disk");
        }
        why
    }
}

/// Settles what could not be kept.
pub(super) fn refuse(incoming: Incoming, why: &Why, retry_after: Option<Duration>) {
    let records = u64::from(incoming.piece.payload.records);
    settle_unkept(incoming, Outcome::Failed { records, why: why.clone(), retry_after });
}

fn settle_unkept(incoming: Incoming, outcome: Outcome) {
    drop(incoming.slot);
    incoming.told.settle(outcome);
    incoming.held.settle(Outcome::Delivered);
}
