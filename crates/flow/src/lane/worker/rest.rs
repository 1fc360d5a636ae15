//! When the task of a lane sleeps, rests or has ended, and what it says of itself before.
//!
//! A task that sleeps waits for an answer, a permit, an instant or a push. One that can only wait for an instant, a scope or a push
//! rests: it ends, and its state lies beside its inbox until it is nudged ([`super::super::life`]).
//!
//! Invariant: what is pushed after [`Worker::go_to_sleep`] looked at the inbox wakes the task, if it can do anything with it.

use super::{Standing, Waiting, Worker};
use crate::batcher::Request;
use crate::breaker::State;
use crate::exporter::Exporter;
use crate::ledger;
use crate::packed::BACKLOG;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a lane among many is idle before it rests.
const REST_AFTER: Duration = Duration::from_secs(5);

impl<E: Exporter> Worker<E> {
    /// When it can rest, if nothing happens: at once while nothing may go out, and when it has been idle for a while.
    pub(super) fn rest_at(&self, now: Instant, has_nothing: bool, waiting: &Waiting) -> Option<Instant> {
        if !self.flights.is_empty() || waiting.permit.is_some() {
            return None;
        }
        match has_nothing {
            true if self.context.limits.idle.is_some() => Some(self.idle_since + REST_AFTER),
            true => None,
            false => self.is_shut(now).then_some(now),
        }
    }

    /// Makes itself small before it rests.
    pub(super) fn lie_down(&mut self, until: Option<Instant>) {
        self.alarm = until.map(|at| self.context.alarms.set(at, self.shared.sleeper()));
        self.batcher.shrink();
        self.spare = VecDeque::new();
        self.ready.shrink_to_fit();
        self.retries.shrink_to_fit();
        self.backlog.shrink_to_fit();
        self.flights.shrink_to_fit();
        let mut inbox = self.shared.inbox.lock();
        inbox.sheaf = None;
        inbox.queue.shrink_to_fit();
        inbox.backlog.shrink_to_fit();
    }

    pub(super) fn idle_end(&self, has_nothing: bool) -> Option<Instant> {
        self.context.limits.idle.filter(|_| has_nothing).map(|idle| self.idle_since + idle)
    }

    /// Whether the lane has ended: closed and empty, closed and out of time (or with nothing to hope for before), put
    /// away and long without an answer, or idle for long.
    pub(super) fn is_over(&mut self, now: Instant, waiting: &Waiting) -> bool {
        if let Some(deadline) = self.deadline {
            let hopeless =
                self.flights.is_empty() && waiting.permit.is_none() && waiting.until.is_some_and(|u| u > deadline);
            let is_empty = self.has_nothing() && self.shared.inbox.lock().has_nothing_new();
            let is_left = self.answers_until.is_some_and(|until| now >= until) && self.is_all_on_disk();
            return is_empty || hopeless || is_left || now >= deadline;
        }
        if self.idle_end(self.has_nothing()).is_some_and(|end| end <= now) {
            let mut inbox = self.shared.inbox.lock();
            inbox.open = !inbox.has_nothing_new() || !inbox.backlog.is_empty();
            return !inbox.open;
        }
        false
    }

    /// Says when a push should wake the task. False if something was pushed meanwhile.
    pub(super) fn go_to_sleep(&mut self, now: Instant, has_nothing: bool, waiting: &Waiting) -> bool {
        let oldest = self
            .batcher
            .oldest()
            .into_iter()
            .chain(self.ready.iter().chain(self.retries.iter().map(|(_, r)| r)).filter_map(Request::oldest));
        let oldest =
            oldest.chain(self.flights.values().filter_map(|f| f.request.oldest())).chain(self.open_since).min();
        *self.shared.view.lock() = (self.breaker.state(), oldest, self.retries.len());
        // While a permit, an answer or the breaker is waited for, a push changes nothing.
        let is_halted = self.is_shut(now);
        self.stand(is_halted);
        let can_send = waiting.permit.is_none() && self.flights.len() < self.context.limits.in_flight && !is_halted;
        let mut inbox = self.shared.inbox.lock();
        let takes_stored = has_nothing || (can_send && self.backlog.is_empty());
        let is_unknown = inbox.batch.is_some() && self.open_since.is_none() && (has_nothing || can_send);
        if !inbox.queue.is_empty() || is_unknown || (takes_stored && !inbox.backlog.is_empty()) || inbox.evict > 0 {
            return false;
        }
        inbox.wake_stored = takes_stored;
        inbox.wake_batch = self.open_since.is_none() && (has_nothing || can_send);
        (inbox.wake_records, inbox.wake_bytes) = match can_send {
            _ if has_nothing || self.turns_away() => (0, 0),
            true if self.batcher.is_empty() => (0, 0),
            true => self.batcher.missing(),
            false => (u64::MAX, u64::MAX),
        };
        inbox.stuck_bytes = match can_send {
            true => u64::MAX,
            false if is_halted => 0,
            false => BACKLOG.saturating_sub(self.batcher.bytes()),
        };
        inbox.deadline == self.deadline
    }

    /// Says how it stands with the target.
    fn stand(&self, is_halted: bool) {
        let standing = match is_halted || self.breaker.state() != State::Passing {
            true => ledger::Standing::Stuck,
            false if self.standing == Standing::Proven => ledger::Standing::Passing,
            false => ledger::Standing::New,
        };
        self.shared.stands.set(standing);
        if !self.context.limits.has_siblings() {
            self.context.alone.set(standing);
        }
    }
}
