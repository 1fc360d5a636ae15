//! How fast targets that are down are tried again, all of an exporter together.
//!
//! A probe of a dead target costs a connection, a time-out, a permit. Each lane has a schedule of its own; ten thousand dead ones that keep to it would be
//! tried hundreds of times a second. So probes go out at a bounded rate, in the order in which they fell due: with fewer than about two thousand
//! dead targets at the default schedule nobody waits for that. When a probe finds its target well, several more go at once: if what was wrong with
//! all of them is mended, their number multiplies with each round of answers.
//!
//! Invariants: first come, first served; who waits is nudged when it is their turn; who went away is passed over, and costs nobody a turn.
//! It knows no schedule: whoever asks is due already.

use crate::scopes::Nudge;
use crate::{clock, task};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Between two probes, once there are many.
const INTERVAL: Duration = Duration::from_micros(15_625);
/// Probes that may go at once after a pause.
const BURST: usize = 64;
/// Probes that a good answer lets go.
const GROWTH: usize = 4;

/// A place in the line. It is kept until the probe has gone out.
pub(crate) type Turn = u64;

/// See the module.
#[derive(Default)]
pub(crate) struct Pace(Mutex<State>);

struct State {
    /// Those who wait, from `first` on.
    line: VecDeque<Weak<dyn Nudge>>,
    /// The turn of the first who waits: all before it have come.
    first: Turn,
    credit: usize,
    /// Until when credit was given.
    filled: Instant,
    is_running: bool,
}

impl Default for State {
    fn default() -> Self {
        State { line: VecDeque::new(), first: 1, credit: BURST, filled: clock::now(), is_running: false }
    }
}

impl Pace {
    /// A turn for a probe that is due: it has come already, or `who` is nudged when it does.
    pub(crate) fn ask(self: &Arc<Pace>, now: Instant, who: impl FnOnce() -> Weak<dyn Nudge>) -> Turn {
        let mut state = self.0.lock();
        state.fill(now);
        if state.line.is_empty() && state.credit > 0 {
            state.credit -= 1;
            return 0;
        }
        state.line.push_back(who());
        let turn = state.first + state.line.len() as u64 - 1;
        if !std::mem::replace(&mut state.is_running, true) {
            let pace = Arc::downgrade(self);
            task::keep("pace", move || run(pace.clone()));
        }
        turn
    }

    /// Whether a turn has come.
    pub(crate) fn has_come(&self, turn: Turn) -> bool {
        turn == 0 || turn < self.0.lock().first
    }

    /// A probe found its target well.
    pub(crate) fn went_well(&self) {
        let mut state = self.0.lock();
        state.credit += GROWTH;
        let called = state.call();
        state.credit = state.credit.min(BURST);
        drop(state);
        called.iter().for_each(|who| who.nudge());
    }

    /// Calls those whose turn it is. Gives when the next one's may be; nothing if nobody waits.
    fn tick(&self, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        state.fill(now);
        let called = state.call();
        state.is_running = !state.line.is_empty();
        let next = state.is_running.then_some(state.filled + INTERVAL);
        drop(state);
        called.iter().for_each(|who| who.nudge());
        next
    }
}

impl State {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_nanos() / INTERVAL.as_nanos();
        let enough = u32::try_from(passed).unwrap_or(u32::MAX);
        self.credit = self.credit.saturating_add(enough as usize).min(BURST);
        self.filled = if passed > BURST as u128 { now } else { self.filled + INTERVAL * enough };
    }

    fn call(&mut self) -> Vec<Arc<dyn Nudge>> {
        let mut called = vec![];
        while self.credit > 0
            && let Some(who) = self.line.pop_front()
        {
            self.first += 1;
            if let Some(who) = who.upgrade() {
                self.credit -= 1;
                called.push(who);
            }
        }
        if self.line.is_empty() {
            self.line.shrink_to(BURST);
        }
        called
    }
}

/// Ends when nobody waits.
async fn run(pace: Weak<Pace>) {
    loop {
        let Some(next) = pace.upgrade().and_then(|pace| pace.tick(clock::now())) else { return };
        clock::sleep_until(Some(next)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[derive(Default)]
    struct Sleeper(AtomicBool);

    impl Nudge for Sleeper {
        fn nudge(&self) {
            assert!(!self.0.swap(true, Relaxed), "nudged twice");
        }
    }

    fn weak(sleeper: &Arc<Sleeper>) -> Weak<dyn Nudge> {
        let sleeper: Arc<dyn Nudge> = sleeper.clone();
        Arc::downgrade(&sleeper)
    }

    /// Scenario: a thousand ask at once, every tenth of whom goes away. Guarantee: some may go at once, the others come in order at the pace, each nudged
    /// once, and those who went take no time.
    #[tokio::test(start_paused = true)]
    async fn they_go_in_order_at_the_pace() {
        let pace = Arc::new(Pace::default());
        let start = clock::now();
        let mut all: Vec<_> = (0..1000).map(|_| Some(Arc::new(Sleeper::default()))).collect();
        let turns: Vec<Turn> = all.iter().flatten().map(|who| pace.ask(start, || weak(who))).collect();
        assert_eq!(turns.iter().filter(|turn| pace.has_come(**turn)).count(), BURST);
        all.iter_mut().skip(BURST).step_by(10).for_each(|who| *who = None);
        let mut last = BURST;
        while last < 1000 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let come = turns.iter().position(|turn| !pace.has_come(*turn)).unwrap_or(1000);
            assert!(turns[come..].iter().all(|turn| !pace.has_come(*turn)), "in order");
            assert!(come == 1000 || (69..=73).contains(&(come - last)), "{}", come - last);
            last = come;
        }
        assert!(all.iter().skip(BURST).flatten().all(|who| who.0.load(Relaxed)));
        assert!(!pace.0.lock().is_running);
    }

    /// Scenario: a thousand wait, and each probe that goes finds its target well. Guarantee: all have gone after a few rounds.
    #[tokio::test(start_paused = true)]
    async fn good_answers_open_the_gate() {
        let pace = Arc::new(Pace::default());
        let all: Vec<_> = (0..1000).map(|_| Arc::new(Sleeper::default())).collect();
        let turns: Vec<Turn> = all.iter().map(|who| pace.ask(clock::now(), || weak(who))).collect();
        let mut gone = 0;
        for _ in 0..4 {
            let come = turns.iter().filter(|turn| pace.has_come(**turn)).count();
            (gone..come).for_each(|_| pace.went_well());
            gone = come;
        }
        assert!(turns.iter().all(|turn| pace.has_come(*turn)));
    }
}
