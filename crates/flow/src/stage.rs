//! What stands between an inlet and its exporters: stages, which reshape payloads, and may hold records back.
//!
//! A stage is a synchronous call on the receiver's task. Records that it holds back come out during the call for a later request,
//! or of [`Stage::release`], which the [releaser](crate::release) calls now and then. The requests they came with are not settled
//! before that: a stage keeps their [`Hold`]s, so that no sender is told of a delivery that is still to come, and the memory stays
//! charged to the budget as long as it is used.
//!
//! Invariant: a hold that is dropped settles as delivered. So what a stage drops on purpose is no failure of the sender, and what is
//! lost otherwise must be told with [`Staged::settle`] first.

use crate::{Ack, Outcome, Payload};
use std::sync::Arc;
use std::time::Duration;

/// A step that reshapes payloads: synchronous, CPU only.
pub trait Stage: Send + Sync {
    /// Reshapes a payload. What it leaves out is dropped by policy and counted by the stage, or held back with the payload's holds.
    fn apply(&self, staged: &mut Staged);

    /// Whether it may hold records back.
    fn holds(&self) -> bool {
        false
    }

    /// Lets go of records that it holds back. To be called until there is nothing: a payload is of one sender's tenant.
    fn release(&self, what: Release) -> Option<Staged> {
        let _ = what;
        None
    }
}

/// Which records are let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Those that were held back long enough.
    Due,
    /// All.
    All,
}

/// A payload on its way through stages.
#[derive(Debug)]
pub struct Staged {
    /// The data.
    pub payload: Payload,
    /// The requests whose records are in it. Empty where no stage of the pipeline holds anything back.
    pub holds: Vec<Hold>,
    /// How long its sender should wait before more.
    pub wait: Duration,
}

impl Staged {
    /// A payload with the requests it is made of.
    #[must_use]
    pub fn new(payload: Payload, holds: Vec<Hold>) -> Staged {
        Staged { payload, holds, wait: Duration::ZERO }
    }

    /// Tells every request what became of this.
    pub fn settle(self, outcome: &Outcome) {
        settle_all(&self.holds, outcome);
    }

    /// One duty in place of those to all its requests.
    pub(crate) fn ack(&self) -> Ack {
        Ack::join(self.holds.iter().map(Hold::fork).collect())
    }
}

pub(crate) fn settle_all(holds: &[Hold], outcome: &Outcome) {
    holds.iter().for_each(|hold| hold.fork().settle(outcome.clone()));
}

/// Keeps a request from being settled. Cheap to clone; see the module for what dropping means.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Held>);

#[derive(Debug)]
struct Held(Option<Ack>);

impl Hold {
    /// Holds what `ack` is about.
    #[must_use]
    pub fn new(ack: Ack) -> Hold {
        Hold(Arc::new(Held(Some(ack))))
    }

    /// A duty of its own to the same request.
    pub fn fork(&self) -> Ack {
        self.0.0.as_ref().map_or_else(|| Ack::unwatched(None), Ack::fork)
    }

    /// Whether both hold the same request.
    #[must_use]
    pub fn is_same(&self, other: &Hold) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(ack) = self.0.take() {
            ack.settle(Outcome::Delivered);
        }
    }
}
