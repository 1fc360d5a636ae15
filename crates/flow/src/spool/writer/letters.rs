//! What is given up, on its way to the dead letters.
//!
//! Invariant: a piece is finished only after its letter is on disk.

use super::{Spool, TROUBLE};
use crate::dead_letters::Letter;
use crate::spool::ticket::Ticket;
use crate::{Payload, Target, Why, clock};
use std::sync::Arc;

/// A piece that is given up, with why.
pub struct Burial {
    /// The piece.
    pub ticket: Ticket,
    /// Its data, where that is not what is on disk.
    pub payload: Option<Payload>,
    /// Where it could not be delivered to.
    pub target: Target,
    /// Records in it.
    pub records: u64,
    /// The reason.
    pub why: Why,
    /// Milliseconds since the epoch at its first attempt; 0 if there was none.
    pub first: u64,
    /// Attempts that were made since it was last read.
    pub attempts: u32,
}

impl Spool {
    /// Turns pieces into dead letters, and only then finishes them.
    pub(super) async fn write_letters(self: &Arc<Self>, burials: Vec<Burial>) {
        let spool = self.clone();
        let now = self.calendar.millis(clock::now());
        let buried = tokio::task::spawn_blocking(move || {
            let letters = burials.iter().filter_map(|b| spool.letter(b, now)).collect();
            let result = spool.dead.as_ref().map_or(Ok(()), |dead| dead.bury(letters));
            (burials, result)
        });
        let Ok((burials, result)) = buried.await else { return };
        match result {
            Ok(()) => burials.into_iter().for_each(|burial| burial.ticket.finish()),
            Err(error) => {
                self.disk_failed(&error);
                if self.bury_later(burials) {
                    tokio::time::sleep(TROUBLE).await;
                }
            }
        }
    }

    /// Keeps what could not be buried for the next time. False if there is none: then it is live on disk, and given up again at
    /// the next start.
    fn bury_later(&self, burials: Vec<Burial>) -> bool {
        let mut orders = self.orders.lock();
        if orders.closed {
            return false;
        }
        burials.into_iter().rev().for_each(|burial| orders.burials.push_front(burial));
        true
    }

    /// What becomes a dead letter. Nothing does where there are none, nor what cannot be read any more.
    fn letter(&self, burial: &Burial, now: u64) -> Option<Letter> {
        self.dead.as_ref()?;
        let payload = match &burial.payload {
            Some(payload) => payload.clone(),
            None => match self.store.read(burial.ticket.key()) {
                Ok(piece) => piece.payload,
                Err(error) => {
                    tracing::error!(target = %burial.target, %error, "a dead letter cannot be read");
                    self.stats.damaged.add(1);
                    return None;
                }
            },
        };
        Some(Letter {
            payload,
            target: burial.target.clone(),
            reason: burial.why.kind,
            text: burial.why.text.to_string(),
            first: burial.first,
            last: now,
            attempts: burial.attempts,
            at: now,
        })
    }
}
