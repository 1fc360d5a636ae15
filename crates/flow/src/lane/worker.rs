//! The task of a lane: takes over what was pushed, sends what may be sent, and sleeps until something changes.
//!
//! Invariants: every item is in exactly one of the batcher, `ready`, `retries` and `flights`, every piece on disk in one of those or
//! the backlog; whatever leaves them is settled or handed back. The loop waits only for things that end: an answer (bounded by the
//! timeout), a permit, an instant, a push. It holds no permit while it waits for anything but an answer. If it can do nothing but wait
//! for an instant, a scope or a push, it rests ([`super::life`]).

mod rest;

use super::stored::{self, Unread};
use super::{Context, Item, Left, Shared};
use crate::alarms::Alarm;
use crate::batcher::{Batcher, Due, Request};
use crate::breaker::{Admit, Breaker, State};
use crate::exporter::{Attempt, Exporter};
use crate::permits::Pool;
use crate::scopes::{self, Entry, Probe};
use crate::spool::Key;
use crate::watch::Cause;
use crate::{Kind, Why, clock, pace};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{Id, JoinSet};

/// A send under way.
pub(super) struct Flight {
    pub(super) request: Request,
    /// Whether it finds out if the target is back,
    pub(super) probe: bool,
    /// and what else.
    pub(super) probes: Probes,
}

/// What of that which is shared with others a send probes.
pub(super) type Probes = SmallVec<[Probe; 1]>;

/// What is known of a target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    /// It answered the last time.
    Proven,
    /// It failed the last time.
    Failing,
}

/// Why the loop ended.
pub(super) enum Turn {
    /// There is nothing to do before somebody nudges it.
    Rest,
    /// The lane has ended.
    End,
}

/// How a send ended.
pub(super) enum Landed {
    /// With an answer, to a message of so many bytes.
    Answer(Attempt, u64),
    /// What was on disk was not sent.
    Unread(Unread),
}

/// What the task waits for.
struct Waiting {
    until: Option<Instant>,
    permit: Option<Pool>,
}

/// The task of a lane.
pub(super) struct Worker<E> {
    pub(super) shared: Arc<Shared>,
    pub(super) context: Arc<Context<E>>,
    pub(super) batcher: Batcher,
    /// What waits on disk only, after all of the batcher's.
    pub(super) backlog: VecDeque<Key>,
    /// What is on disk is to be left there.
    leaves_stored: bool,
    /// Until when answers to what is on disk are waited for then.
    answers_until: Option<Instant>,
    /// When the batch that is open in the inbox was begun.
    open_since: Option<Instant>,
    /// The empty queue that changes places with the inbox's.
    spare: VecDeque<Item>,
    /// Divided requests that go out before anything else.
    pub(super) ready: VecDeque<Request>,
    /// Failed requests with the time of their next try, in the order in which they were formed.
    pub(super) retries: VecDeque<(Instant, Request)>,
    pub(super) breaker: Breaker,
    /// What it shares with other lanes.
    pub(super) scopes: SmallVec<[Arc<scopes::Shared>; 2]>,
    /// Where it waits for one of these.
    place: Option<(Arc<scopes::Shared>, u64)>,
    /// When it is to be woken, if it rests.
    alarm: Option<Alarm>,
    /// For its next probe, once that is due.
    turn: Option<pace::Turn>,
    sends: JoinSet<Landed>,
    pub(super) flights: HashMap<Id, Flight>,
    /// A permit that was waited for and not used yet.
    held: Option<(Pool, OwnedSemaphorePermit)>,
    deadline: Option<Instant>,
    pub(super) idle_since: Instant,
    pub(super) standing: Standing,
    /// How often it broke in a row, without an answer between.
    pub(super) breaks: u32,
    /// Searches for bad records that found nothing good, since the target last took something.
    pub(super) in_vain: u32,
}

impl<E: Exporter> Worker<E> {
    pub(super) fn new(shared: Arc<Shared>, context: Arc<Context<E>>) -> Worker<E> {
        let knows = context.limits.has_siblings() && context.permits.history.knows(&shared.target);
        let scopes = context.exporter.scopes(&shared.target);
        Worker {
            scopes: scopes.iter().filter_map(|scope| context.scopes.get(scope)).collect(),
            batcher: Batcher::new(context.batch.clone()),
            shared,
            context,
            backlog: VecDeque::new(),
            leaves_stored: false,
            answers_until: None,
            open_since: None,
            spare: VecDeque::new(),
            ready: VecDeque::new(),
            retries: VecDeque::new(),
            breaker: Breaker::default(),
            place: None,
            alarm: None,
            turn: None,
            sends: JoinSet::new(),
            flights: HashMap::new(),
            held: None,
            deadline: None,
            idle_since: clock::now(),
            standing: if knows { Standing::Proven } else { Standing::New },
            breaks: 0,
            in_vain: 0,
        }
    }

    /// Runs until the lane is closed, has been idle for long, or can rest.
    pub(super) async fn run(&mut self) -> Turn {
        self.alarm.take().into_iter().for_each(|alarm| self.context.alarms.cancel(alarm));
        loop {
            self.shared.life.look();
            let now = clock::now();
            self.collect(now);
            self.expire(now);
            let waiting = self.dispatch(now);
            let has_nothing = self.has_nothing();
            if self.is_over(now, &waiting) {
                return Turn::End;
            }
            if !self.go_to_sleep(now, has_nothing, &waiting) {
                continue;
            }
            let answers = self.answers_until.filter(|until| *until > now);
            let until = [waiting.until, self.deadline, self.idle_end(has_nothing), answers].into_iter().flatten().min();
            let rest_at = self.rest_at(now, has_nothing, &waiting);
            if rest_at.is_some_and(|at| at <= now) {
                self.lie_down(until);
                return Turn::Rest;
            }
            let until = until.into_iter().chain(rest_at).min();
            let permit = waiting.permit.map(|pool| self.context.permits.of(pool).clone());
            tokio::select! {
                Some(done) = self.sends.join_next_with_id() => self.landed(done),
                () = self.shared.life.wake.notified() => {}
                () = clock::sleep_until(until) => {}
                Ok(taken) = acquire(permit) => self.held = waiting.permit.map(|pool| (pool, taken)),
            }
        }
    }

    /// Takes over what was pushed.
    fn collect(&mut self, now: Instant) {
        let mut inbox = self.shared.inbox.lock();
        // The two queues change places, so that a steady flow allocates nothing.
        std::mem::swap(&mut inbox.queue, &mut self.spare);
        let (interval, is_closing) = (self.context.batch.flush_interval, inbox.deadline.is_some());
        let batch = inbox.batch.take_if(|batch| is_closing || batch.at + interval <= now);
        self.open_since = inbox.batch.as_ref().map(|batch| batch.at);
        (inbox.records, inbox.bytes) = (0, 0);
        (self.deadline, self.leaves_stored) = (inbox.deadline, inbox.leaves_stored);
        self.answers_until = inbox.answers_until;
        let pushed = std::mem::take(&mut inbox.backlog);
        let evict = std::mem::take(&mut inbox.evict);
        let passes = self.breaker.state() == State::Passing && !self.scopes.iter().any(|scope| scope.is_halted(now));
        inbox.keeps = passes && !self.leaves_stored;
        // Under the lock, so that nothing that is pushed from now on can overtake what goes to disk only.
        let has_copies = !self.spare.is_empty() || !self.batcher.is_empty();
        let forgets = !inbox.keeps && has_copies && self.context.durable.is_some();
        inbox.has_backlog = forgets || !self.backlog.is_empty() || !pushed.is_empty();
        drop(inbox);
        if let Some(batch) = batch {
            let (item, sheaf) = batch.close(if is_closing { Cause::Closing } else { Cause::Timeout });
            self.spare.push_back(item);
            self.shared.inbox.lock().sheaf.get_or_insert(sheaf);
        }
        for item in self.spare.drain(..) {
            self.batcher.push(item);
        }
        self.spare.shrink_to(65_536);
        if forgets {
            self.forget();
        }
        self.backlog.extend(pushed);
        if evict > 0 {
            self.evict(evict);
        }
        self.shared.stored.store(self.backlog.len() as u64, Relaxed);
    }

    /// Gives up what has been failing for longer than `max_elapsed_time`.
    fn expire(&mut self, now: Instant) {
        self.expire_stored(now);
        let max = self.context.retry.max_elapsed_time;
        if max.is_zero() || self.retries.is_empty() {
            return;
        }
        let is_over = |r: &Request| r.first.is_some_and(|first| now.saturating_duration_since(first) >= max);
        if !self.retries.iter().any(|(_, r)| is_over(r)) {
            return;
        }
        let (over, left): (Vec<_>, VecDeque<_>) = {
            let (over, left): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.retries).into_iter().partition(|(_, r)| is_over(r));
            (over, left.into())
        };
        self.retries = left;
        self.context.stats.waiting.sub(over.len() as u64);
        for (_, request) in over {
            self.fail(request, Why::new(Kind::Expired, format!("not delivered within {max:?}")));
        }
    }

    /// Sends all that may be sent now.
    fn dispatch(&mut self, now: Instant) -> Waiting {
        loop {
            let work_at = self.work_at(now);
            if work_at.is_none_or(|at| at > now) {
                self.held = None;
                return Waiting { until: work_at, permit: None };
            }
            let probe = match self.admit(now) {
                Ok(probe) => probe,
                Err(until) => {
                    self.held = None;
                    self.turn_away(now, until);
                    return Waiting { until, permit: None };
                }
            };
            let is_trusted = self.standing == Standing::Proven || !self.context.limits.has_siblings();
            let one_by_one = !is_trusted || self.batcher.is_pressed();
            if self.flights.len() >= if one_by_one { 1 } else { self.context.limits.in_flight } {
                self.held = None;
                return Waiting { until: None, permit: None };
            }
            let pool = match self.standing {
                _ if probe || self.scopes.iter().any(|scope| scope.is_troubled()) => Pool::Probe,
                _ if is_trusted => Pool::Proven,
                Standing::Failing => Pool::Probe,
                _ => Pool::Contact,
            };
            let permit = match self.held.take() {
                Some((from, permit)) if from == pool => permit,
                _ => match self.context.permits.of(pool).clone().try_acquire_owned() {
                    Ok(permit) => permit,
                    Err(_) => return Waiting { until: None, permit: Some(pool) },
                },
            };
            // Somebody else may have begun to probe since it was asked.
            let Some(probes) = self.enter(now) else { continue };
            let Some(request) = self.next(now) else { return Waiting { until: None, permit: None } };
            if self.is_abandoned(&request) {
                self.fail(request, Why::new(Kind::Timeout, "its sender did not wait for it"));
                continue;
            }
            if request.is_unreadable() {
                self.fail(request, Why::new(Kind::Other, "what was packed in memory cannot be read"));
                continue;
            }
            self.launch(now, request, (pool, permit), probe, probes);
        }
    }

    /// When there is something to send, the breaker and permits aside.
    fn work_at(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        let mut retries = self.retries.iter().filter(|(_, r)| !self.stays(r)).map(|(at, _)| *at);
        let retry = match self.context.limits.keeps_order {
            true => match retries.next() {
                Some(first) => return Some(first),
                None => None,
            },
            false => retries.min(),
        };
        let batch = match self.due(now) {
            Due::Now => Some(now),
            Due::At(at) => Some(at),
            Due::Never if self.backlog.is_empty() || self.leaves_stored => None,
            Due::Never => Some(now),
        };
        let open = self.open_since.map(|at| at + self.context.batch.flush_interval);
        [retry, batch, open].into_iter().flatten().min()
    }

    fn next(&mut self, now: Instant) -> Option<Request> {
        if let Some(request) = self.ready.pop_front() {
            return Some(request);
        }
        let keeps_order = self.context.limits.keeps_order;
        let mut retries = self.retries.iter().enumerate().filter(|(_, (_, r))| !self.stays(r));
        let retry = retries.find(|(_, (at, _))| *at <= now || keeps_order).map(|(i, (at, _))| (i, *at));
        match retry {
            Some((_, at)) if at > now => return None,
            Some((i, _)) => {
                let (_, mut request) = self.retries.remove(i)?;
                self.context.stats.waiting.sub(1);
                request.unfold();
                return Some(request);
            }
            None => {}
        }
        match self.due(now) {
            Due::Now => self.form(now),
            Due::At(_) => None,
            Due::Never if self.leaves_stored => None,
            Due::Never => self.form_stored(now),
        }
    }

    /// Keeps a request until its next try.
    pub(super) fn try_again(&mut self, at: Instant, request: Request) {
        self.context.stats.waiting.add(1);
        let place = self.retries.partition_point(|(_, other)| other.order <= request.order);
        self.retries.insert(place, (at, request));
    }

    /// Whether a request is to be left on disk.
    fn stays(&self, request: &Request) -> bool {
        self.leaves_stored && request.is_stored()
    }

    /// Whether what is in memory makes a request. What is on disk comes after it, so that it is not kept waiting by a batch that
    /// nothing can be added to.
    fn due(&self, now: Instant) -> Due {
        let hurry = self.deadline.is_some() || !self.backlog.is_empty();
        self.batcher.due(now, self.flights.is_empty(), hurry)
    }

    fn form(&mut self, now: Instant) -> Option<Request> {
        let cause = self.batcher.cause(self.flights.is_empty(), self.deadline.is_some());
        let request = self.batcher.take()?;
        let age = request.oldest().map(|at| now.saturating_duration_since(at)).unwrap_or_default();
        self.formed(request, age, cause)
    }

    /// Tells whoever listens of a request. It is kept meanwhile, so that a listener that breaks does not take it along.
    pub(super) fn formed(&mut self, request: Request, age: Duration, cause: Cause) -> Option<Request> {
        self.ready.push_front(request);
        self.context.watch.formed(&self.shared.target, &self.ready[0], age, cause);
        self.ready.pop_front()
    }

    /// Whether a request may go out, and whether as a probe of this target; else until when not. Without an instant it is nudged.
    fn admit(&mut self, now: Instant) -> Result<bool, Option<Instant>> {
        let own = self.breaker.admit(now);
        if let Admit::Wait(until) = own {
            return Err(until);
        }
        for scope in &self.scopes {
            if !scope.is_halted(now) {
                continue;
            }
            let place = self.place.as_ref().filter(|(at, _)| Arc::ptr_eq(at, scope)).map(|(_, place)| *place);
            if let Some(new) = scope.wait(now, place, || self.shared.sleeper()) {
                let before = self.place.replace((scope.clone(), new));
                before.into_iter().filter(|(at, _)| !Arc::ptr_eq(at, scope)).for_each(|(at, place)| at.forget(place));
                return Err(self.next_expiry());
            }
        }
        self.step_out();
        if own == Admit::Pass || !self.context.limits.has_siblings() {
            self.turn = None;
            return Ok(own == Admit::Probe);
        }
        let turn = *self.turn.get_or_insert_with(|| self.context.pace.ask(now, || self.shared.sleeper()));
        if self.context.pace.has_come(turn) { Ok(true) } else { Err(self.next_expiry()) }
    }

    /// Waits for no scope any more.
    fn step_out(&mut self) {
        self.place.take().into_iter().for_each(|(scope, place)| scope.forget(place));
    }

    /// Whether nothing may go out now.
    fn is_shut(&self, now: Instant) -> bool {
        matches!(self.breaker.admit(now), Admit::Wait(_))
            || self.turn.is_some_and(|turn| !self.context.pace.has_come(turn))
            || self.scopes.iter().any(|scope| scope.is_halted(now))
    }

    /// Asks all scopes to send one request: none if one of them lets nothing through.
    fn enter(&self, now: Instant) -> Option<Probes> {
        let mut probes = Probes::new();
        for scope in &self.scopes {
            match scope.enter(now) {
                Entry::Pass => {}
                Entry::Probe(probe) => probes.push(probe),
                Entry::Wait => return None,
            }
        }
        Some(probes)
    }

    /// When the first of what waits is too old.
    fn next_expiry(&self) -> Option<Instant> {
        let max = self.context.retry.max_elapsed_time;
        let first = self.retries.iter().filter_map(|(_, request)| request.first).min();
        [first.filter(|_| !max.is_zero()).map(|first| first + max), self.stored_expiry()].into_iter().flatten().min()
    }

    fn launch(
        &mut self,
        now: Instant,
        mut request: Request,
        (pool, permit): (Pool, OwnedSemaphorePermit),
        probe: bool,
        probes: Probes,
    ) {
        request.first.get_or_insert(now);
        if probe {
            self.breaker.probe();
            self.turn = None;
        }
        let (context, shared) = (self.context.clone(), self.shared.clone());
        let (payload, stored, unpack) = (request.payload.clone(), request.stored.clone(), request.unpack);
        let send = self.sends.spawn(async move {
            let (payload, _memory) = match context.durable.as_ref().filter(|_| !stored.is_empty()) {
                None => (payload, None),
                Some(durable) => match stored::read(durable, &context.batch, stored, unpack).await {
                    Ok((payload, memory)) => (payload, Some(memory)),
                    Err(unread) => return Landed::Unread(unread),
                },
            };
            let bytes = payload.len() as u64;
            let attempt = context.attempt(&shared.target, payload);
            let Some(patience) = context.limits.patience else {
                let _permit = permit;
                return Landed::Answer(attempt.await, bytes);
            };
            tokio::pin!(attempt);
            if let Ok(answer) = tokio::time::timeout(pool.patience(patience), &mut attempt).await {
                return Landed::Answer(answer, bytes);
            }
            drop(permit);
            Landed::Answer(attempt.await, bytes)
        });
        self.flights.insert(send.id(), Flight { request, probe, probes });
    }

    fn has_nothing(&self) -> bool {
        self.batcher.is_empty()
            && self.open_since.is_none()
            && self.ready.is_empty()
            && self.flights.is_empty()
            && self.retries.iter().all(|(_, r)| self.stays(r))
            && (self.backlog.is_empty() || self.leaves_stored)
    }

    /// Whether nothing would be lost if it ended now.
    fn is_all_on_disk(&self) -> bool {
        let requests = self.ready.iter().chain(self.retries.iter().map(|(_, request)| request));
        let mut requests = requests.chain(self.flights.values().map(|flight| &flight.request));
        self.batcher.is_empty()
            && self.shared.inbox.lock().has_nothing_new()
            && requests.all(|request| request.parts.iter().all(|part| part.ticket.is_some()))
    }

    /// Takes back everything that is not settled.
    pub(super) async fn leave(mut self) -> Left {
        self.step_out();
        self.sends.shutdown().await;
        self.context.stats.waiting.sub(self.retries.len() as u64);
        let flights = self.flights.into_values().map(|f| f.request);
        let requests = flights.chain(self.ready).chain(self.retries.into_iter().map(|(_, r)| r));
        let mut requests: Vec<Request> = requests.collect();
        requests.sort_by_key(|r| r.order);
        let mut left = Left::default();
        for mut request in requests {
            request.release();
            let first = request.first.filter(|_| request.failures > 0);
            left.keys.extend(request.stored);
            let items = request.parts.into_iter().map(|item| Item { tried: first.or(item.tried), ..item });
            items.for_each(|item| self.shared.give_back(item, &mut left));
        }
        self.batcher.drain().chain(self.spare.drain(..)).for_each(|item| self.shared.give_back(item, &mut left));
        left.keys.extend(self.backlog);
        let mut inbox = self.shared.inbox.lock();
        let (queue, backlog) = (std::mem::take(&mut inbox.queue), std::mem::take(&mut inbox.backlog));
        let batch = inbox.batch.take();
        drop(inbox);
        let batch = batch.map(|batch| batch.close(Cause::Closing).0);
        queue.into_iter().chain(batch).for_each(|item| self.shared.give_back(item, &mut left));
        left.keys.extend(backlog);
        left
    }
}

impl Shared {
    fn give_back(&self, item: Item, left: &mut Left) {
        self.forget(&item);
        let records = u64::from(item.batch.payload.records);
        match item.forget() {
            Ok(key) => {
                // On disk it is still the lane's, until that is done with it.
                self.records.fetch_add(records, Relaxed);
                left.keys.push(key);
            }
            Err(item) => left.items.push(item),
        }
    }

    /// Counts an item as held no more.
    pub(super) fn forget(&self, item: &Item) {
        let held = item.slot.held();
        self.bytes.fetch_sub(held.bytes, Relaxed);
        let rare = [(&self.requests, held.requests), (&self.places, held.places), (&self.saved, item.slot.saved())];
        for (sum, n) in rare.into_iter().filter(|(_, n)| *n > 0) {
            sum.fetch_sub(n, Relaxed);
        }
        self.records.fetch_sub(item.batch.payload.records.into(), Relaxed);
    }
}

async fn acquire(permits: Option<Arc<Semaphore>>) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
    match permits {
        Some(permits) => permits.acquire_owned().await,
        None => std::future::pending().await,
    }
}
