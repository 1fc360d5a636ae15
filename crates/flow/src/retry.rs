//! When to try again: exponential backoff with the collector's keys and defaults.
//!
//! Plain data: the caller passes the time and the random number. The clock of `max_elapsed_time` starts with the first attempt
//! of a request and is never restarted.

use std::time::{Duration, Instant};

/// The shortest wait that a server can ask for.
pub const SHORTEST: Duration = Duration::from_millis(500);

/// The first wait where `initial_interval` is 0: a destination that fails at once must not be asked without a pause.
pub const FIRST: Duration = Duration::from_millis(100);

/// `retry_on_failure`, with the collector's names and defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConfig {
    /// Whether a failed request is tried again at all.
    pub enabled: bool,
    /// The wait after the first failure.
    pub initial_interval: Duration,
    /// Each wait is spread by ± this part of itself, 0..=1.
    pub randomization_factor: f64,
    /// Each wait is this many times the one before.
    pub multiplier: f64,
    /// The longest wait of the schedule; a delay the server asks for is capped by [`RetryConfig::longest`].
    pub max_interval: Duration,
    /// A request is given up when it would be older than this at its next try, counted from its first. 0: never.
    pub max_elapsed_time: Duration,
    /// Whether a request whose credential is refused is given up at once, as the collector does it.
    pub auth_is_final: bool,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
            auth_is_final: false,
        }
    }
}

impl RetryConfig {
    /// The most that a server's Retry-After or RetryInfo can make us wait: a server that says "ten years" is not obeyed.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.max_interval.max(Duration::from_secs(300))
    }

    /// A delay that the destination asked for, as a sender who waits is told it.
    #[must_use]
    pub fn told(&self, asked: Duration) -> Duration {
        asked.min(self.longest())
    }

    /// The wait after the `failures`-th failure in a row (1 is the first). `random` in 0..1. A first interval of 0 is [`FIRST`].
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let initial = if self.initial_interval.is_zero() { FIRST } else { self.initial_interval };
        let grown = initial.as_secs_f64() * self.multiplier.max(1.0).powi(failures.saturating_sub(1).min(1000) as i32);
        let base = grown.min(self.max_interval.max(initial).as_secs_f64());
        let factor = self.randomization_factor.clamp(0.0, 1.0);
        Duration::from_secs_f64(base * (1.0 - factor + 2.0 * factor * random.clamp(0.0, 1.0)))
    }

    /// The wait after the `failures`-th failure in a row, with the delay that the server asked for. A server that names its time knows
    /// better than any schedule: it is taken at its word, within [`RetryConfig::longest`] and not below [`SHORTEST`] (or the schedule,
    /// if that is shorter still), so that "at once" does not become a storm.
    #[must_use]
    pub fn wait(&self, failures: u32, asked: Option<Duration>, random: f64) -> Duration {
        let scheduled = self.delay(failures, random);
        match asked {
            Some(asked) => asked.min(self.longest()).max(scheduled.min(SHORTEST)),
            None => scheduled,
        }
    }

    /// When a request whose first attempt began at `first` is tried again after its `failures`-th failure, or `None` if it is
    /// given up. `asked` is the delay the server asked for.
    #[must_use]
    pub fn next(
        &self,
        now: Instant,
        first: Instant,
        failures: u32,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Instant> {
        if !self.enabled {
            return None;
        }
        let at = now + self.wait(failures, asked, random);
        let expired = !self.max_elapsed_time.is_zero() && at.saturating_duration_since(first) > self.max_elapsed_time;
        (!expired).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    /// Scenario: the defaults without randomness. Guarantee: 5, 7.5, 11.25, … and never above 30 seconds.
    #[test]
    fn the_waits_grow_as_the_collectors_do() {
        let c = RetryConfig::default();
        let waits: Vec<_> = (1..8).map(|n| c.delay(n, 0.5).as_secs_f64()).collect();
        assert_eq!(waits, [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]);
    }

    /// Scenario: a schedule that begins with 0, and one that is 0 throughout. Guarantee: there is a pause before every try, and it grows to
    /// the longest interval.
    #[test]
    fn a_first_interval_of_0_does_not_spin() {
        let c = RetryConfig { initial_interval: Duration::ZERO, randomization_factor: 0.0, ..RetryConfig::default() };
        assert_eq!((c.delay(1, 0.5), c.delay(100, 0.5)), (FIRST, S(30)));
        let none = RetryConfig { max_interval: Duration::ZERO, ..c };
        assert_eq!((none.delay(1, 0.5), none.delay(100, 0.5)), (FIRST, FIRST));
    }

    /// Scenario: requests that fail for five minutes. Guarantee: given up when the next try would be past `max_elapsed_time`; 0 never gives up.
    #[test]
    fn a_request_is_given_up_by_its_first_attempt() {
        let (c, t0) = (RetryConfig::default(), crate::clock::now());
        assert!(c.next(t0 + S(269), t0, 9, None, 0.5).is_some());
        assert_eq!(c.next(t0 + S(271), t0, 9, None, 0.5), None);
        let forever = RetryConfig { max_elapsed_time: Duration::ZERO, ..c };
        assert!(forever.next(t0 + S(1_000_000), t0, 9000, None, 0.5).is_some());
    }

    /// Scenario: the server asks for ten years. Guarantee: it is capped; a sensible wish is honoured.
    #[test]
    fn a_servers_wish_is_honoured_and_capped() {
        let c = RetryConfig { max_elapsed_time: Duration::ZERO, ..RetryConfig::default() };
        let t0 = crate::clock::now();
        assert_eq!(c.next(t0, t0, 1, Some(S(20)), 0.5), Some(t0 + S(20)));
        assert_eq!(c.next(t0, t0, 9, Some(S(2)), 0.5), Some(t0 + S(2)));
        assert_eq!(c.next(t0, t0, 9, Some(Duration::ZERO), 0.5), Some(t0 + SHORTEST));
        assert_eq!(c.next(t0, t0, 1, Some(S(315_360_000)), 0.5), Some(t0 + S(300)));
    }

    proptest! {
        /// Scenario: any configuration and count. Guarantee: the wait is within the randomised bounds and never panics.
        #[test]
        fn the_wait_is_bounded(n in any::<u32>(), r in 0.0f64..1.0, f in 0.0f64..1.0, m in 1.0f64..100.0, i in 1u64..10_000, x in 1u64..100_000) {
            let c = RetryConfig { initial_interval: Duration::from_millis(i), max_interval: Duration::from_millis(x), multiplier: m, randomization_factor: f, ..RetryConfig::default() };
            let d = c.delay(n, r);
            prop_assert!(d <= Duration::from_millis(x.max(i)).mul_f64(2.0));
        }
    }
}
