//! The arithmetic of room: what may be held, by whom, while others hold something too.
//!
//! A *stock* ([`Stock`]) is what all queues of the process hold together, in bytes; the requests that are still being read are not in it. A
//! *holder* is a queue of its own: the lane of one target. How much it may hold is no fixed share. It is a multiple of what is *free*
//! ([`Terms`]), so the limit of each falls as the others fill up, and whatever their number, they leave something:
//! n holders of weight w, filled to the brim, hold n·w / (1 + n·w) of their part of the limit.
//!
//! | standing | its part of the limit | weight, alone in its exporter | weight, one of many |
//! |---|---|---|---|
//! | passing | all | 8 | 2 |
//! | new: not answered yet, or not the last time | 7/8 | 2 | 1 |
//! | stuck: halted, probing, or what it shares is | 3/4 | 2 | 1 |
//!
//! So the last quarter of the limit is for targets that are not stuck, and the last eighth for those that are known to take data.
//! The same rule bounds what one of many lanes holds of its exporter's `queue_size`, in the units of that.
//!
//! Invariants: what was taken is never more than the limit, whatever the interleaving; a single holder that holds nothing takes what it must
//! ([`crate::capacity`] says when). It does not know who waits for what ([`stock`] does) nor what is held ([`crate::capacity`] does).

#[allow(
    clippy::disallowed_types,
    reason = "loom's mutex, which takes its place in the model test, has the shape of this one"
)]
mod stock;
/// What the stock is synchronized with. The model test replaces it by `loom`'s.
#[allow(clippy::disallowed_types, reason = "see above")]
mod sync {
    pub(super) use std::sync::atomic::AtomicU64;
    pub(super) use std::sync::{Arc, Mutex};
}

pub use stock::Stock;
pub(crate) use stock::{Lack, Line};

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How it stands with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// It took data the last time.
    Passing,
    /// It has not answered yet, or not the last time.
    New,
    /// Nothing goes out to it.
    Stuck,
}

/// A standing that one task sets and others read.
#[derive(Debug)]
pub(crate) struct Stands(AtomicU8);

impl Default for Stands {
    fn default() -> Self {
        Stands(AtomicU8::new(Standing::New as u8))
    }
}

impl Stands {
    pub(crate) fn set(&self, standing: Standing) {
        if self.get() != standing {
            self.0.store(standing as u8, Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Standing {
        match self.0.load(Relaxed) {
            0 => Standing::Passing,
            1 => Standing::New,
            _ => Standing::Stuck,
        }
    }
}

/// Whether a holder has siblings within its exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the only one.
    Alone,
    /// It is one of many.
    OneOfMany,
}

/// On which terms room is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How it stands with the target.
    pub standing: Standing,
    /// Whether it has siblings.
    pub place: Place,
    /// The part of the limit, 0..=1, that is open to what is asked for: below 1 for routine records.
    pub soft: f64,
}

impl Terms {
    /// The same for records that have priority.
    #[must_use]
    pub fn hard(self) -> Terms {
        Terms { soft: 1.0, ..self }
    }

    fn weight(&self) -> f64 {
        match (self.place, self.standing) {
            (Place::Alone, Standing::Passing) => 8.0,
            (Place::OneOfMany, Standing::Passing) | (Place::Alone, _) => 2.0,
            (Place::OneOfMany, _) => 1.0,
        }
    }

    /// What is free to it of `limit`, of which all together hold `used`.
    #[must_use]
    pub fn free(&self, limit: u64, used: u64) -> u64 {
        let part = match self.standing {
            Standing::Passing => 1.0,
            Standing::New => 0.875,
            Standing::Stuck => 0.75,
        };
        ((limit as f64 * part * self.soft) as u64).saturating_sub(used)
    }

    /// What it may hold in all.
    #[must_use]
    pub fn bound(&self, limit: u64, used: u64) -> u64 {
        (self.free(limit, used) as f64 * self.weight()) as u64
    }

    /// Whether a holder of `held` may take `more`.
    #[must_use]
    pub fn allows(&self, held: u64, more: u64, limit: u64, used: u64) -> bool {
        more <= self.free(limit, used) && held.saturating_add(more) <= self.bound(limit, used)
    }
}

#[cfg(test)]
mod tests;
