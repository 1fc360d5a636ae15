//! What is charged beside requests: lanes and connections, which stand for long.
//!
//! What they take is taken off the limit, so that requests share the rest, and each kind takes a quarter of the memory at most; a few
//! are let in whatever the memory.
//!
//! Invariant: a fee is given back when it is dropped. How much a connection takes is its caller's to say.

use super::{Budget, Inner};
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

/// What stands for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Lane,
    Connection,
}

/// How many of a kind are paid for, and what they take together.
#[derive(Debug, Default)]
struct Count {
    number: u64,
    bytes: u64,
}

/// What is paid for and stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    lanes: Count,
    connections: Count,
}

impl Standing {
    /// What is left of `bytes` for requests: at least half.
    pub fn rest_of(&self, bytes: u64) -> u64 {
        bytes - self.lanes.bytes.min(part(bytes)) - self.connections.bytes.min(part(bytes))
    }

    fn of(&mut self, thing: Thing) -> &mut Count {
        match thing {
            Thing::Lane => &mut self.lanes,
            Thing::Connection => &mut self.connections,
        }
    }
}

/// What a lane or a connection is charged, given back on drop.
#[derive(Debug)]
pub struct Fee {
    budget: Arc<Inner>,
    thing: Thing,
    pub(super) bytes: u64,
}

impl Drop for Fee {
    fn drop(&mut self) {
        self.budget.change_standing(|standing| {
            let count = standing.of(self.thing);
            count.number -= 1;
            count.bytes -= self.bytes;
        });
    }
}

impl Budget {
    /// Pays for one of many lanes. `None`: they take a quarter of the memory already, and there are more than a few.
    #[must_use]
    pub fn open_lane(&self) -> Option<Fee> {
        self.stand(Thing::Lane, LANE_COST, FREE_LANES)
    }

    /// Bytes that lanes take of it.
    #[must_use]
    pub fn lane_bytes(&self) -> u64 {
        self.0.standing.lock().lanes.bytes
    }

    /// Pays for a connection. `None`: connections take a quarter of the memory already, and there are more than a few.
    #[must_use]
    pub fn open_connection(&self, bytes: u64) -> Option<Fee> {
        self.stand(Thing::Connection, bytes, FREE_CONNECTIONS)
    }

    /// Bytes that connections take of it.
    #[must_use]
    pub fn connection_bytes(&self) -> u64 {
        self.0.standing.lock().connections.bytes
    }

    /// One more of a kind, if it is among the first `free` or the kind has not taken its part of the memory.
    fn stand(&self, thing: Thing, bytes: u64, free: u64) -> Option<Fee> {
        let most = part(self.0.config.load().bytes);
        self.0.change_standing(|standing| {
            let count = standing.of(thing);
            if count.number >= free && count.bytes + bytes > most {
                return None;
            }
            count.number += 1;
            count.bytes += bytes;
            Some(Fee { budget: self.0.clone(), thing, bytes })
        })
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
