//! The breakers of what several lanes share: a credential, an endpoint, an account.
//!
//! A scope is known while a lane belongs to it. While it passes, a lane reads one flag. While it is halted, the lanes that belong to
//! it wait here, without a timer or a task of their own: one task per halted scope wakes the first of them when a probe is due, and
//! all of them once it passes. What happens in one scope wakes nobody in another.
//!
//! Invariants: at most one probe is out for a scope; a probe that ends without an answer, however it ends, gives its turn back
//! ([`Probe`]); who was woken and sends nothing is followed by the next within [`PASSED_ON`].
//! It does not know lanes: whoever waits is somebody who can be nudged.

use crate::breaker::{Admit, Breaker, State};
use crate::exporter::Scope;
use crate::retry::RetryConfig;
use crate::{clock, task};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long whoever was woken to probe has for it before the next is.
const PASSED_ON: Duration = Duration::from_secs(1);
/// Below so many scopes nobody looks for those that are not used any more.
const FEW: usize = 64;

/// Somebody who sleeps.
pub(crate) trait Nudge: Send + Sync {
    /// Something changed: look again. Never waits.
    fn nudge(&self);
}

/// The scopes of one exporter.
#[derive(Default)]
pub(crate) struct Scopes {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    shared: HashMap<Scope, Weak<Shared>>,
    /// When it has grown to this, what is not used any more goes.
    sweep_at: usize,
}

impl Scopes {
    /// A scope by its name; none for a target, which is nobody else's.
    pub(crate) fn get(&self, scope: &Scope) -> Option<Arc<Shared>> {
        if *scope == Scope::Target {
            return None;
        }
        let mut known = self.known.lock();
        if let Some(shared) = known.shared.get(scope).and_then(Weak::upgrade) {
            return Some(shared);
        }
        if known.shared.len() >= known.sweep_at.max(FEW) {
            known.shared.retain(|_, shared| shared.strong_count() > 0);
            known.sweep_at = known.shared.len() * 2;
        }
        let shared = Arc::new(Shared::new(scope.clone()));
        known.shared.insert(scope.clone(), Arc::downgrade(&shared));
        Some(shared)
    }

    /// How many scopes of each of [`Scope::SHARED`] do not pass now.
    pub(crate) fn halted(&self) -> [u64; 3] {
        let all: Vec<Arc<Shared>> = self.known.lock().shared.values().filter_map(Weak::upgrade).collect();
        let halted = |kind: &&str| {
            let of_kind = all.iter().filter(|shared| shared.scope.as_str() == *kind);
            of_kind.filter(|shared| shared.state.lock().breaker.state() != State::Passing).count() as u64
        };
        Scope::SHARED.each_ref().map(halted)
    }
}

/// What some lanes share.
pub(crate) struct Shared {
    pub(crate) scope: Scope,
    /// Whether it failed since it last succeeded: only then there is anything to ask.
    is_troubled: AtomicBool,
    state: Mutex<Waiting>,
    changed: Arc<Notify>,
}

struct Waiting {
    breaker: Breaker,
    /// Those who wait for it, in the order in which they came.
    lanes: BTreeMap<u64, Weak<dyn Nudge>>,
    next: u64,
    /// Whether its task runs.
    is_kept: bool,
}

/// Whether a request may go out, as far as a scope is concerned.
pub(crate) enum Entry {
    Pass,
    Probe(Probe),
    Wait,
}

/// The turn to find out whether a scope is back. Dropped without an answer, it is somebody else's.
pub(crate) struct Probe(Arc<Shared>);

impl Drop for Probe {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.breaker.unprobe(clock::now());
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Probe {
    /// Of what.
    pub(crate) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// It answered.
    pub(crate) fn succeeded(&self) -> bool {
        let ended = self.0.state.lock().breaker.success();
        self.0.is_troubled.store(false, Relaxed);
        self.0.changed.notify_one();
        ended
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Shared {
    fn new(scope: Scope) -> Shared {
        // Connections fail by chance; a credential or an account is refused by decision.
        let breaker = if matches!(scope, Scope::Endpoint(_)) { Breaker::default() } else { Breaker::strict() };
        let state = Waiting { breaker, lanes: BTreeMap::new(), next: 0, is_kept: false };
        Shared { scope, is_troubled: AtomicBool::new(false), state: Mutex::new(state), changed: Arc::default() }
    }

    /// Whether it failed since it last succeeded.
    pub(crate) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Relaxed)
    }

    /// Whether nothing may go out now.
    pub(crate) fn is_halted(&self, now: Instant) -> bool {
        self.is_troubled.load(Relaxed) && matches!(self.state.lock().breaker.admit(now), Admit::Wait(_))
    }

    /// Asks to send one request.
    pub(crate) fn enter(self: &Arc<Shared>, now: Instant) -> Entry {
        if !self.is_troubled.load(Relaxed) {
            return Entry::Pass;
        }
        let mut state = self.state.lock();
        match state.breaker.admit(now) {
            Admit::Pass => Entry::Pass,
            Admit::Wait(_) => Entry::Wait,
            Admit::Probe => {
                state.breaker.probe();
                drop(state);
                Entry::Probe(Probe(self.clone()))
            }
        }
    }

    /// Puts somebody among those who wait and gives their place; `place` is where they stand already, if they do. None: it passes, or a
    /// probe may go out, so there is nothing to wait for.
    pub(crate) fn wait(&self, now: Instant, place: Option<u64>, who: impl FnOnce() -> Weak<dyn Nudge>) -> Option<u64> {
        let mut state = self.state.lock();
        if !matches!(state.breaker.admit(now), Admit::Wait(_)) {
            return None;
        }
        if let Some(place) = place.filter(|place| state.lanes.contains_key(place)) {
            return Some(place);
        }
        let place = state.next;
        state.next += 1;
        state.lanes.insert(place, who());
        Some(place)
    }

    /// Somebody does not wait any more.
    pub(crate) fn forget(&self, place: u64) {
        self.state.lock().lanes.remove(&place);
    }

    /// A request succeeded that was no probe. It says nothing about a halt that began after it was sent.
    pub(crate) fn went_well(&self) {
        if self.is_troubled.load(Relaxed) {
            let mut state = self.state.lock();
            if state.breaker.state() == State::Passing {
                state.breaker.success();
                self.is_troubled.store(false, Relaxed);
            }
        }
    }

    /// A request failed, and all that it shares with others with it. True if that began a halt.
    pub(crate) fn failure(
        self: &Arc<Shared>,
        now: Instant,
        retry: &RetryConfig,
        asked: Option<Duration>,
        random: f64,
    ) -> bool {
        let mut state = self.state.lock();
        let began = state.breaker.failure(now, retry, asked, random);
        self.is_troubled.store(true, Relaxed);
        let is_new = state.breaker.state() != State::Passing && !std::mem::replace(&mut state.is_kept, true);
        drop(state);
        match is_new {
            true => {
                let (shared, changed) = (Arc::downgrade(self), self.changed.clone());
                task::keep("scope", move || keep(shared.clone(), changed.clone()));
            }
            false => self.changed.notify_one(),
        }
        began
    }

    /// Wakes whom there is cause to wake. Gives when there will be cause again, or nothing once it passes.
    fn turn(&self, now: Instant) -> Option<Option<Instant>> {
        let mut state = self.state.lock();
        match state.breaker.state() {
            State::Passing => {
                state.is_kept = false;
                let all = std::mem::take(&mut state.lanes);
                drop(state);
                all.values().filter_map(Weak::upgrade).for_each(|lane| lane.nudge());
                None
            }
            State::Probing => Some(None),
            State::Halted { until } if until > now => Some(Some(until)),
            State::Halted { .. } => {
                let first = std::iter::from_fn(|| state.lanes.pop_first()).find_map(|(_, lane)| lane.upgrade());
                drop(state);
                let again = first.as_ref().map(|_| now + PASSED_ON);
                first.into_iter().for_each(|lane| lane.nudge());
                Some(again)
            }
        }
    }
}

/// The task of a halted scope. Ends when that passes, or when nobody belongs to it any more.
async fn keep(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let Some(until) = shared.upgrade().and_then(|shared| shared.turn(clock::now())) else { return };
        tokio::select! {
            () = clock::sleep_until(until) => {}
            () = changed.notified() => {}
        }
    }
}
