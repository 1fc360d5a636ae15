//! What is charged beside the bodies of requests: lanes, connections and open calls.
//!
//! Lanes and connections stand for long. What they take is taken off the limit, so that requests share the rest, and
//! each kind takes a quarter of the memory at most; a few are let in whatever the memory. A call is charged like a
//! request, from its head until it is answered.
//!
//! Invariant: a fee is given back when it is dropped. How much a connection or a call takes is its caller's to say.

use super::{Budget, Inner, Refusal};
use crate::outcome::Kind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What one of many lanes takes while it waits: its state, its books, its place in the maps, with the allocator's
/// headers. What a lane with a task was measured to take; one that rests takes less.
pub const LANE_COST: u64 = 8 * 1024;
/// So many lanes are made in any case: those of an ordinary configuration.
pub(super) const FREE_LANES: u64 = 1024;
/// So many connections are taken in any case: they fit into what the program may take beside a small budget.
pub const FREE_CONNECTIONS: u64 = 256;

/// What lanes, and what connections, take of the memory at most.
fn part(bytes: u64) -> u64 {
    bytes / 4
}

/// What is paid for and stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    lanes: u64,
    connections: u64,
    connection_bytes: u64,
}

impl Standing {
    /// What is left of `bytes` for requests: at least half.
    pub fn rest_of(&self, bytes: u64) -> u64 {
        bytes - (self.lanes * LANE_COST).min(part(bytes)) - self.connection_bytes.min(part(bytes))
    }
}

/// What one lane is charged, given back on drop.
#[derive(Debug)]
pub struct LaneFee(Arc<Inner>);

impl Drop for LaneFee {
    fn drop(&mut self) {
        self.0.change_standing(|standing| standing.lanes -= 1);
    }
}

/// What one connection is charged, given back on drop.
#[derive(Debug)]
pub struct ConnectionFee {
    budget: Arc<Inner>,
    bytes: u64,
}

impl Drop for ConnectionFee {
    fn drop(&mut self) {
        self.budget.change_standing(|standing| {
            standing.connections -= 1;
            standing.connection_bytes -= self.bytes;
        });
    }
}

/// What one open call is charged, given back on drop.
#[derive(Debug)]
pub struct CallFee {
    budget: Arc<Inner>,
    bytes: u64,
}

impl CallFee {
    /// How much it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for CallFee {
    fn drop(&mut self) {
        self.budget.all.bytes.fetch_sub(self.bytes, Relaxed);
        self.budget.calls.fetch_sub(self.bytes, Relaxed);
    }
}

impl Budget {
    /// Pays for one of many lanes. `None`: they take a quarter of the memory already, and there are more than a few.
    #[must_use]
    pub fn open_lane(&self) -> Option<LaneFee> {
        let most = FREE_LANES.max(part(self.0.config.load().bytes) / LANE_COST);
        self.0.change_standing(|standing| {
            let fits = standing.lanes < most;
            standing.lanes += u64::from(fits);
            fits.then(|| LaneFee(self.0.clone()))
        })
    }

    /// Bytes that lanes take of it.
    #[must_use]
    pub fn lane_bytes(&self) -> u64 {
        self.0.standing.lock().lanes * LANE_COST
    }

    /// Pays for a connection. `None`: connections take a quarter of the memory already, and there are more than a few.
    #[must_use]
    pub fn open_connection(&self, bytes: u64) -> Option<ConnectionFee> {
        let most = part(self.0.config.load().bytes);
        self.0.change_standing(|standing| {
            if standing.connections >= FREE_CONNECTIONS && standing.connection_bytes + bytes > most {
                return None;
            }
            standing.connections += 1;
            standing.connection_bytes += bytes;
            Some(ConnectionFee { budget: self.0.clone(), bytes })
        })
    }

    /// Bytes that connections take of it.
    #[must_use]
    pub fn connection_bytes(&self) -> u64 {
        self.0.standing.lock().connection_bytes
    }

    /// Pays for a call whose head has come, before anything of its body is waited for.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn open_call(&self, bytes: u64) -> Result<CallFee, Refusal> {
        let (inner, limit) = (&self.0, self.0.limit());
        let before = inner.all.bytes.fetch_add(bytes, Relaxed);
        if before + bytes > limit {
            inner.all.bytes.fetch_sub(bytes, Relaxed);
            return Err(inner.refuse(Kind::HardLimit, before + bytes, limit, &inner.config.load()));
        }
        inner.calls.fetch_add(bytes, Relaxed);
        Ok(CallFee { budget: inner.clone(), bytes })
    }

    /// Bytes that open calls take of it, their bodies aside.
    #[must_use]
    pub fn call_bytes(&self) -> u64 {
        self.0.calls.load(Relaxed)
    }

    /// What requests may hold: what is configured without what lanes and connections take.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.0.limit()
    }
}

impl Inner {
    /// Changes what stands, and what is left for requests with it. Under the lock, so that the last word is the right
    /// one.
    pub(super) fn change_standing<T>(&self, change: impl FnOnce(&mut Standing) -> T) -> T {
        let mut standing = self.standing.lock();
        let result = change(&mut standing);
        let rest = standing.rest_of(self.config.load().bytes);
        self.limit.store(rest, Relaxed);
        self.stock.resize(rest);
        result
    }
}
