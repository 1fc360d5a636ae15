//! The seats of connections: how many the memory has room for, what each may read ahead, and who leaves when another
//! has to come in.
//!
//! A connection takes a [`Seat`] before anything is read of it, and pays for it while it lives. Connections take a
//! quarter of the budget at most ([`flow::budget`]). When there is no room, the one that has been waiting longest
//! gives up its seat: first those that have begun nothing or finished nothing of what they began (a head, the bodies
//! of their calls), then those that are idle. One with a whole request under way is never closed. Where nobody can go,
//! the newcomer waits for a moment and is closed.
//!
//! All listeners of receivers share the seats, so that who floods one cannot keep others from the next. Open calls are
//! in [`Calls`]. It does not know what is spoken on a connection.

use super::calls::{Calls, HalfOpen, OpenCall};
use super::listen::ListenStats;
use flow::budget::Fee;
use flow::{Budget, Permit, Refusal};
use http::HeaderMap;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// What a connection takes beside what it reads ahead: its task, the state of its protocol with the tables of its
/// headers, its buffer for answers. What the resident memory of a debug build grew by for each of 1 000 idle
/// connections that had been used once, glibc 2.36: 22 KiB with HTTP/1, 26 KiB with gRPC, of which 8 KiB are the first
/// read buffer; the larger without that, rounded up.
pub const CONNECTION: u64 = 20 << 10;
/// The same for TLS. Idle it was not to be told from noise: what it takes is a record of 16 KiB that is being read,
/// the beginning of the next one, and the keys.
pub const TLS: u64 = 24 << 10;
/// What any connection may read ahead, in bytes; the smallest frame that HTTP/2 knows.
pub const SMALLEST_AHEAD: u32 = 16 << 10;
/// What a connection may read ahead where there are few.
const LARGEST_AHEAD: u32 = 1 << 20;
/// What all connections together read ahead beyond the smallest, as a part of the budget,
const AHEAD_PART: u64 = 32;
/// and what one of them takes of the rest of that.
const AHEAD_SHARE: u64 = 16;
/// How long a new connection waits for a seat.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// An idle connection keeps its seat for so long in any case: a client that is about to send again is not cut off.
const REST: Duration = Duration::from_secs(1);
/// The pause between two looks for somebody who can leave.
const PAUSE: Duration = Duration::from_millis(50);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It has not finished a head yet, or nothing but heads.
    HalfOpen,
    /// Nothing is under way.
    Idle,
    /// A whole request is under way.
    Busy,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Seats(Arc<Inner>);

struct Inner {
    budget: Budget,
    calls: Calls,
    taken: Mutex<Taken>,
    /// What the connections read ahead beyond the smallest.
    ahead: AtomicU64,
    freed: Notify,
    began: Instant,
}

#[derive(Default)]
struct Taken {
    seats: HashMap<u64, Arc<Sitter>>,
    next: u64,
}

/// A connection, as others see it.
struct Sitter {
    /// Milliseconds since the beginning at which its phase began, and the phase.
    since: AtomicU64,
    task: OnceLock<AbortHandle>,
    was_told: AtomicBool,
    stats: Arc<ListenStats>,
}

impl Sitter {
    fn set(&self, phase: Phase, millis: u64) {
        self.since.store(millis << 2 | phase as u64, Relaxed);
    }

    fn phase(&self) -> (Phase, u64) {
        let since = self.since.load(Relaxed);
        let phase = [Phase::HalfOpen, Phase::Idle, Phase::Busy][(since & 3).min(2) as usize];
        (phase, since >> 2)
    }
}

/// The place of one connection, given back on drop.
pub struct Seat {
    place: Option<Place>,
    ahead: u32,
}

struct Place {
    seats: Seats,
    number: u64,
    sitter: Arc<Sitter>,
    fee: Option<Fee>,
    /// What it reads ahead beyond the smallest.
    more: u64,
}

impl Seats {
    /// Seats that are paid for out of this budget.
    #[must_use]
    pub fn new(budget: Budget) -> Seats {
        let calls = Calls::new(budget.clone());
        let (taken, ahead, freed) = (Mutex::default(), AtomicU64::new(0), Notify::new());
        Seats(Arc::new(Inner { budget, calls, taken, ahead, freed, began: flow::clock::now() }))
    }

    /// What they are paid from.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Lets a call in whose head has come; `half_open` is the count of its connection.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn open_call(&self, head: &HeaderMap, half_open: &HalfOpen) -> Result<(OpenCall, Permit), Refusal> {
        self.0.calls.open(head, half_open)
    }

    /// A seat for a new connection, which reads ahead at least `least` bytes; waited for no longer than [`PATIENCE`].
    pub async fn take(&self, is_tls: bool, least: u32, stats: &Arc<ListenStats>) -> Option<Seat> {
        if let Some(seat) = self.try_take(is_tls, least, stats) {
            return Some(seat);
        }
        let waiting = async {
            loop {
                let freed = self.0.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if let Some(seat) = self.try_take(is_tls, least, stats) {
                    return seat;
                }
                self.send_away();
                // Who was sent away goes at once; where nobody could be, somebody may be idle a little later.
                let _ = timeout(PAUSE, freed).await;
            }
        };
        timeout(PATIENCE, waiting).await.ok()
    }

    fn try_take(&self, is_tls: bool, least: u32, stats: &Arc<ListenStats>) -> Option<Seat> {
        let inner = &self.0;
        let least = least.max(SMALLEST_AHEAD);
        let pool = inner.budget.config().bytes / AHEAD_PART;
        let share = pool.saturating_sub(inner.ahead.load(Relaxed)) / AHEAD_SHARE;
        let ahead = u32::try_from(share).unwrap_or(u32::MAX).clamp(least, LARGEST_AHEAD.max(least));
        // A read buffer holds a piece that is being taken out, and the beginning of the next one.
        let bytes = CONNECTION + if is_tls { TLS } else { 0 } + 2 * u64::from(ahead);
        let fee = inner.budget.open_connection(bytes)?;
        let sitter = Arc::new(Sitter {
            since: AtomicU64::new(0),
            task: OnceLock::new(),
            was_told: AtomicBool::new(false),
            stats: stats.clone(),
        });
        sitter.set(Phase::HalfOpen, inner.millis());
        let more = u64::from(ahead - least);
        inner.ahead.fetch_add(more, Relaxed);
        let mut taken = inner.taken.lock();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, sitter.clone());
        Some(Seat { place: Some(Place { seats: self.clone(), number, sitter, fee: Some(fee), more }), ahead })
    }

    /// Closes the connection that can best be spared, if there is one.
    fn send_away(&self) {
        let now = self.0.millis();
        let taken = self.0.taken.lock();
        let spared = |sitter: &&Arc<Sitter>| match sitter.phase() {
            _ if sitter.was_told.load(Relaxed) || sitter.task.get().is_none() => false,
            (Phase::HalfOpen, _) => true,
            (Phase::Idle, since) => now.saturating_sub(since) >= REST.as_millis() as u64,
            (Phase::Busy, _) => false,
        };
        let Some(sitter) = taken.seats.values().filter(spared).min_by_key(|sitter| sitter.phase()) else { return };
        sitter.was_told.store(true, Relaxed);
        match sitter.phase().0 {
            Phase::HalfOpen => sitter.stats.closed_half_open.add(1),
            _ => sitter.stats.closed_idle.add(1),
        }
        if let Some(task) = sitter.task.get() {
            task.abort();
        }
    }
}

impl Inner {
    fn millis(&self) -> u64 {
        flow::clock::now().saturating_duration_since(self.began).as_millis() as u64
    }
}

impl Seat {
    /// A seat that nobody counts, of a listener which is bounded otherwise.
    #[must_use]
    pub fn free() -> Seat {
        Seat { place: None, ahead: SMALLEST_AHEAD }
    }

    /// The largest piece that this connection may read ahead, in bytes.
    #[must_use]
    pub fn ahead(&self) -> u32 {
        self.ahead
    }

    /// What ends it, and may be called before its task has begun.
    pub fn closes(&self) -> impl Fn(AbortHandle) + use<> {
        let sitter = self.place.as_ref().map(|place| place.sitter.clone());
        move |task| {
            if let Some(sitter) = &sitter {
                let _ = sitter.task.set(task);
            }
        }
    }

    /// So many requests are under way, and so many of them half open.
    pub fn is_busy(&self, active: usize, half_open: &HalfOpen) {
        if half_open.count() < active {
            return self.set(Phase::Busy);
        }
        // From when on it has been so counts, not when something came of it lately.
        if self.place.as_ref().is_some_and(|place| place.sitter.phase().0 != Phase::HalfOpen) {
            self.set(Phase::HalfOpen);
        }
    }

    /// Nothing is under way.
    pub fn is_idle(&self) {
        self.set(Phase::Idle);
    }

    fn set(&self, phase: Phase) {
        if let Some(place) = &self.place {
            place.sitter.set(phase, place.seats.0.millis());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.seats.0;
        inner.taken.lock().seats.remove(&self.number);
        inner.ahead.fetch_sub(self.more, Relaxed);
        // First what is given back, then who waits for it.
        self.fee = None;
        inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
