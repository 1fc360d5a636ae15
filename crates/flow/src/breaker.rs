//! When a destination is left alone.
//!
//! States are named by what happens: `Passing` (requests go out), `Halted` (none do, until an instant), `Probing` (one does, to
//! see). A plain struct that is handed the time. A few failures in a row halt it, or one that carries a delay the server asked
//! for; each failed probe halts it for longer; one success lets everything pass.

use crate::retry::RetryConfig;
use std::time::{Duration, Instant};

/// Failures in a row, without a success between, that halt a lane.
const THRESHOLD: u32 = 3;

/// What happens to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They go out.
    Passing,
    /// None goes out before this instant.
    Halted {
        /// When a probe may be sent.
        until: Instant,
    },
    /// One is out to see whether the destination is back.
    Probing,
}

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Send.
    Pass,
    /// Send one request as a probe: call [`Breaker::probe`] with it.
    Probe,
    /// Wait until then; `None` while a probe is out.
    Wait(Option<Instant>),
}

/// The breaker of one lane (or of something wider: see [`crate::Scope`]).
#[derive(Debug)]
pub struct Breaker {
    state: State,
    failures: u32,
    threshold: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { state: State::Passing, failures: 0, threshold: THRESHOLD }
    }
}

impl Breaker {
    /// A breaker that one failure halts: for what is known to be shared, such as a credential.
    #[must_use]
    pub fn strict() -> Breaker {
        Breaker { threshold: 1, ..Breaker::default() }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What may be done at `now`.
    #[must_use]
    pub fn admit(&self, now: Instant) -> Admit {
        match self.state {
            State::Passing => Admit::Pass,
            State::Halted { until } if now >= until => Admit::Probe,
            State::Halted { until } => Admit::Wait(Some(until)),
            State::Probing => Admit::Wait(None),
        }
    }

    /// A probe is going out.
    pub fn probe(&mut self) {
        self.state = State::Probing;
    }

    /// The probe ended without an answer (it was taken back): another may go at once.
    pub fn unprobe(&mut self, now: Instant) {
        if self.state == State::Probing {
            self.state = State::Halted { until: now };
        }
    }

    /// The destination answered that it is there. True if that ended a halt.
    pub fn success(&mut self) -> bool {
        self.failures = 0;
        let halted = self.state != State::Passing;
        self.state = State::Passing;
        halted
    }

    /// The destination failed in a way that may pass. `asked` is a delay it asked for. True if this began a halt.
    pub fn failure(&mut self, now: Instant, retry: &RetryConfig, asked: Option<Duration>, random: f64) -> bool {
        if let State::Halted { until } = self.state {
            // The answer to a request that was out together with the one that halted: it says nothing new, unless it asks for
            // more time. Counted as a failed probe, ten requests in flight would halt for as long as ten failed probes.
            self.state =
                State::Halted { until: asked.map_or(until, |_| until.max(now + retry.wait(1, asked, random))) };
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let was_passing = self.state == State::Passing;
        if was_passing && self.failures < self.threshold && asked.is_none() {
            return false;
        }
        // A delay that was asked for halts at once, as the whole row of failures would.
        self.failures = self.failures.max(self.threshold);
        let trips = self.failures - (self.threshold - 1);
        self.state = State::Halted { until: now + retry.wait(trips, asked, random) };
        was_passing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fail(b: &mut Breaker, now: Instant) -> bool {
        b.failure(now, &RetryConfig::default(), None, 0.5)
    }

    /// Scenario: three failures, a wait, a failed probe, a wait, a good probe. Guarantee: the states follow, the waits grow.
    #[test]
    fn the_life_of_a_breaker() {
        let (mut b, t0) = (Breaker::default(), crate::clock::now());
        assert!(!fail(&mut b, t0) && !fail(&mut b, t0));
        assert_eq!(b.admit(t0), Admit::Pass);
        assert!(fail(&mut b, t0));
        let until = t0 + Duration::from_secs(5);
        assert_eq!(b.admit(t0), Admit::Wait(Some(until)));
        assert_eq!(b.admit(until), Admit::Probe);
        b.probe();
        assert_eq!(b.admit(until), Admit::Wait(None));
        fail(&mut b, until);
        assert_eq!(b.state(), State::Halted { until: until + Duration::from_millis(7500) });
        b.probe();
        assert!(b.success());
        assert_eq!(b.admit(until), Admit::Pass);
    }

    /// Scenario: one answer with a delay. Guarantee: it halts at once, for at least that delay.
    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let (mut b, t0) = (Breaker::default(), crate::clock::now());
        b.failure(t0, &RetryConfig::default(), Some(Duration::from_secs(40)), 0.5);
        assert_eq!(b.state(), State::Halted { until: t0 + Duration::from_secs(40) });
    }

    /// Scenario: ten requests are out when the destination fails, and each answer asks for a second, or for none. Guarantee: that is one
    /// halt, of the second or of the schedule's first interval, and the next failed probe begins the next.
    #[test]
    fn requests_out_together_are_one_failure() {
        for asked in [None, Some(Duration::from_secs(1))] {
            let (mut b, t0) = (Breaker::default(), crate::clock::now());
            let began = (0..10).filter(|_| b.failure(t0, &RetryConfig::default(), asked, 0.5)).count();
            let until = t0 + asked.unwrap_or(Duration::from_secs(5));
            assert_eq!((began, b.state()), (1, State::Halted { until }));
            b.probe();
            b.failure(until, &RetryConfig::default(), asked, 0.5);
            assert_eq!(b.state(), State::Halted { until: until + asked.unwrap_or(Duration::from_millis(7500)) });
        }
    }

    proptest! {
        /// Scenario: any sequence of events. Guarantee: never stuck: a halt always ends by a known instant, or a probe is out.
        #[test]
        fn a_halt_always_has_an_end(ops in prop::collection::vec((0u8..4, 0u64..60), 0..100)) {
            let (mut b, mut now) = (Breaker::default(), crate::clock::now());
            let mut out = false;
            for (op, s) in ops {
                now += Duration::from_secs(s);
                match (op, b.admit(now)) {
                    (0, Admit::Probe) => { b.probe(); out = true }
                    (1, _) => { b.success(); out = false }
                    (2, _) => { fail(&mut b, now); out = false }
                    (3, _) => { b.unprobe(now); out = false }
                    _ => {}
                }
                match b.state() {
                    State::Passing => {}
                    State::Halted { until } => prop_assert!(until <= now + Duration::from_secs(45)),
                    State::Probing => prop_assert!(out),
                }
            }
        }
    }
}
