//! What an answer means: for the request it is about, for the target, for what all targets share.
//!
//! Invariants: a request that leaves here is settled, queued to be tried again, or divided; what is given up is counted and logged once.

use super::worker::{Landed, Probes, Standing, Worker};
use crate::batcher::Request;
use crate::breaker::State;
use crate::exporter::{Attempt, Exporter, Scope};
use crate::scopes::Shared;
use crate::{Kind, Outcome, Why, clock};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::task::Id;

/// Scopes that one lane belongs to at once.
const MOST_SCOPES: usize = 4;

impl<E: Exporter> Worker<E> {
    /// A send ended.
    pub(super) fn landed(&mut self, done: Result<(Id, Landed), tokio::task::JoinError>) {
        let (id, landed) = match done {
            Ok(done) => done,
            Err(error) => {
                self.context.stats.send_panics.add(1);
                tracing::error!(target = %self.shared.target, %error, "exporter panicked");
                let why = Why::new(Kind::Other, "the exporter panicked");
                (error.id(), Landed::Answer(Attempt::Retry { after: None, why, scope: Scope::Target }, 0))
            }
        };
        let now = clock::now();
        let (attempt, bytes) = match landed {
            Landed::Answer(attempt, bytes) => (self.as_wanted(attempt), bytes),
            Landed::Unread(unread) => {
                let Some(flight) = self.flights.remove(&id) else { return };
                return self.not_read(now, flight, unread);
            }
        };
        let Some(attempt) = self.size_or_shortage(now, id, attempt, bytes) else { return };
        // It stays among those under way until whoever listens has been told, so that a listener that breaks does not take it along.
        let Some(probes) = self.flights.get_mut(&id).map(|flight| std::mem::take(&mut flight.probes)) else { return };
        self.judge(now, &attempt, probes);
        let Some(flight) = self.flights.remove(&id) else { return };
        let request = flight.request;
        let records = u64::from(request.payload.records);
        match attempt {
            Attempt::Sent => {
                self.found_good(&request);
                self.count_sent(records, bytes);
                self.settle(request, |_| Outcome::Delivered);
            }
            Attempt::Partial { rejected, why } => {
                let rejected = rejected.min(records);
                self.found_good(&request);
                self.count_sent(records - rejected, bytes);
                self.context.stats.partial.add(rejected);
                if rejected > 0 {
                    self.context.stats.failed.add(Kind::Partial, rejected);
                }
                if rejected > 0 {
                    tracing::warn!(target = %self.shared.target, rejected, %why, "destination took the request only in part");
                } else {
                    tracing::info!(target = %self.shared.target, %why, "destination took the request, with a remark");
                }
                // Of a merged request nobody knows whose records were refused; a sender alone is told.
                let alone = request.parts.len() == 1 && rejected > 0;
                self.settle(request, |_| {
                    if alone { Outcome::Rejected { records: rejected, why: why.clone() } } else { Outcome::Delivered }
                });
            }
            Attempt::Reject { why } => self.reject(request, why),
            Attempt::Retry { after, why, .. } => self.retry(now, request, after, why),
        }
        (self.idle_since, self.breaks) = (now, 0);
    }

    /// A refused credential is no fault of the data; who wants it so gives the data up all the same.
    fn as_wanted(&self, attempt: Attempt) -> Attempt {
        match attempt {
            Attempt::Retry { why, .. } if why.kind == Kind::Auth && self.context.retry.auth_is_final => {
                Attempt::Reject { why }
            }
            attempt => attempt,
        }
    }

    /// What an attempt says about the health of the target and of what it shares with others. What was probed and not found to be
    /// back is for the next to probe.
    pub(super) fn judge(&mut self, now: Instant, attempt: &Attempt, probes: Probes) {
        let random = fastrand::f64();
        match attempt {
            Attempt::Retry { after, why, scope: Scope::Target } => {
                self.stands(Standing::Failing);
                *self.shared.trouble.lock() = Some(why.clone());
                if self.breaker.failure(now, &self.context.retry, *after, random) {
                    tracing::warn!(target = %self.shared.target, %why, "destination halted");
                }
                if self.breaker.state() != State::Passing {
                    self.context.watch.halted(&self.shared.target, why);
                }
            }
            Attempt::Retry { after, why, scope } => {
                self.breaker.unprobe(now);
                *self.shared.trouble.lock() = Some(why.clone());
                let Some(shared) = self.belongs_to(scope) else { return };
                if shared.failure(now, &self.context.retry, *after, random) {
                    let (kind, name) = (scope.as_str(), scope.name());
                    let text = "halted: all destinations that share it wait; records are kept and tried again";
                    tracing::error!(target = %self.shared.target, scope = kind, name, %why, "{text}");
                }
            }
            _ => {
                self.stands(Standing::Proven);
                if self.breaker.success() {
                    tracing::info!(target = %self.shared.target, "destination passes again");
                    self.context.pace.went_well();
                    self.context.watch.passing(&self.shared.target);
                }
                for probe in &probes {
                    if probe.succeeded() {
                        let scope = probe.scope();
                        tracing::info!(scope = scope.as_str(), name = scope.name(), "passes again");
                    }
                }
                self.scopes.iter().for_each(|scope| scope.went_well());
            }
        }
    }

    /// What is known of the target now; others of its name will know it after this lane.
    fn stands(&mut self, standing: Standing) {
        if std::mem::replace(&mut self.standing, standing) == standing || !self.context.limits.has_siblings() {
            return;
        }
        let history = &self.context.permits.history;
        match standing {
            Standing::Proven => history.answered(&self.shared.target),
            _ => history.failed(&self.shared.target),
        }
    }

    /// The scope, which the lane belongs to from now on. Of too many the oldest is forgotten.
    fn belongs_to(&mut self, scope: &Scope) -> Option<Arc<Shared>> {
        if let Some(known) = self.scopes.iter().find(|known| known.scope == *scope) {
            return Some(known.clone());
        }
        let shared = self.context.scopes.get(scope)?;
        if self.scopes.len() == MOST_SCOPES {
            self.scopes.remove(0);
        }
        self.scopes.push(shared.clone());
        Some(shared)
    }

    fn count_sent(&self, records: u64, bytes: u64) {
        let stats = &self.context.stats;
        stats.sent.add(records);
        stats.requests.add(1);
        stats.bytes.add(bytes);
    }

    pub(super) fn retry(&mut self, now: Instant, mut request: Request, after: Option<Duration>, why: Why) {
        request.failures = request.failures.saturating_add(1);
        let first = *request.first.get_or_insert(now);
        match self.context.retry.next(now, first, request.failures, after, fastrand::f64()) {
            Some(at) => {
                self.context.stats.retries.add(why.kind, u64::from(request.payload.records));
                let mut request = self.put_back(request, first);
                let saved = request.fold(self.context.codec);
                self.shared.bytes.fetch_sub(saved, Relaxed);
                self.shared.saved.fetch_add(saved, Relaxed);
                self.try_again(at, request);
            }
            None if self.context.retry.enabled => {
                let why = Why::new(Kind::Expired, format!("no time left to retry; last failure: {why}"));
                self.fail_after(request, why, after);
            }
            None => self.fail_after(request, why, after),
        }
    }

    /// Gives up a request.
    pub(super) fn fail(&mut self, request: Request, why: Why) {
        self.fail_after(request, why, None);
    }

    /// The same with the delay that the destination asked for last: a sender who waits is told it.
    pub(super) fn fail_after(&mut self, request: Request, why: Why, after: Option<Duration>) {
        let after = after.map(|after| self.context.retry.told(after));
        let records = u64::from(request.payload.records);
        self.context.stats.failed.add(why.kind, records);
        self.context.watch.lost(&self.shared.target, &why, records);
        tracing::error!(target = %self.shared.target, records, %why, "records given up");
        let request = self.bury(request, &why);
        self.settle(request, |records| Outcome::failed(records, why.clone()).after(after));
    }

    /// A rejected request is tried again in its parts if the data can be the reason, so that one sender's bad record cannot cost
    /// another's.
    fn reject(&mut self, mut request: Request, why: Why) {
        let may_divide = matches!(why.kind, Kind::BadData | Kind::TooLarge | Kind::Other);
        let by_records = may_divide && (why.kind == Kind::TooLarge || self.search_goes_on(&mut request));
        let request = match if may_divide { self.divide(request, by_records) } else { Err(request) } {
            Ok(parts) => {
                self.context.stats.divided.add(1);
                parts.into_iter().rev().for_each(|part| self.ready.push_front(part));
                return;
            }
            Err(request) => request,
        };
        let records = u64::from(request.payload.records);
        self.context.stats.failed.add(why.kind, records);
        self.context.watch.lost(&self.shared.target, &why, records);
        tracing::error!(target = %self.shared.target, records, %why, "records rejected by the destination");
        let request = self.bury(request, &why);
        self.settle(request, |records| Outcome::Rejected { records, why: why.clone() });
    }

    pub(super) fn settle(&mut self, request: Request, outcome: impl Fn(u64) -> Outcome) {
        self.finish(request.stored);
        for item in request.parts {
            self.shared.forget(&item);
            drop(item.slot);
            if let Some(ticket) = item.ticket {
                ticket.finish();
            }
            item.batch.ack.settle(outcome(u64::from(item.batch.payload.records)));
        }
    }
}
