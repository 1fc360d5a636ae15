//! What is given up, on its way to the dead letters.
//!
//! Invariant: a piece is finished only after its letter is on disk.

use super::{Spool, TROUBLE, resume};
use crate::dead_letters::Letter;
use crate::spool::store::StoreError;
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

/// What became of some burials.
#[derive(Default)]
struct Buried {
    done: Vec<Burial>,
    /// They are to be tried again.
    left: Vec<Burial>,
}

impl Spool {
    /// Turns pieces into dead letters, and only then finishes them. What cannot be read or written now is tried again later.
    pub(super) async fn write_letters(self: &Arc<Self>, burials: Vec<Burial>) {
        let spool = self.clone();
        let now = self.calendar.millis(clock::now());
        let buried = tokio::task::spawn_blocking(move || spool.bury_now(burials, now));
        let Buried { done, left } = match buried.await {
            Ok(buried) => buried,
            Err(error) => return resume(error),
        };
        done.into_iter().for_each(|burial| burial.ticket.finish());
        self.bury_later(left);
    }

    fn bury_now(&self, burials: Vec<Burial>, now: u64) -> Buried {
        let (mut buried, mut letters) = (Buried::default(), vec![]);
        for burial in burials {
            match self.letter(&burial, now) {
                Ok(letter) => {
                    letters.extend(letter);
                    buried.done.push(burial);
                }
                Err(error) => {
                    self.stats.failures.add(1);
                    tracing::error!(target = %burial.target, %error, "a piece that is given up cannot be read");
                    buried.left.push(burial);
                }
            }
        }
        let written = self.dead.as_ref().map_or(Ok(()), |dead| dead.bury(letters));
        if let Err(error) = written {
            self.disk_failed(&error);
            buried.left.append(&mut buried.done);
        }
        buried
    }

    /// Keeps what could not be buried for the next time. When it is closed there is none: then it is live on disk, and given up again
    /// at the next start.
    fn bury_later(&self, burials: Vec<Burial>) {
        let mut orders = self.orders.lock();
        if orders.closed || burials.is_empty() {
            return;
        }
        orders.bury_at = Some(clock::now() + TROUBLE);
        burials.into_iter().rev().for_each(|burial| orders.burials.push_front(burial));
    }

    /// What becomes a dead letter. Nothing does where there are none, nor what is damaged.
    fn letter(&self, burial: &Burial, now: u64) -> Result<Option<Letter>, StoreError> {
        if self.dead.is_none() {
            return Ok(None);
        }
        let payload = match &burial.payload {
            Some(payload) => payload.clone(),
            None => match self.store.read(burial.ticket.key()) {
                Ok(piece) => piece.payload,
                Err(error @ StoreError::Io { .. }) => return Err(error),
                Err(error) => {
                    tracing::error!(target = %burial.target, %error, "a dead letter cannot be read");
                    self.stats.damaged.add(1);
                    return Ok(None);
                }
            },
        };
        Ok(Some(Letter {
            payload,
            target: burial.target.clone(),
            reason: burial.why.kind,
            text: burial.why.text.to_string(),
            first: burial.first,
            last: now,
            attempts: burial.attempts,
            at: now,
        }))
    }
}
