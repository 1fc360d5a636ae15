//! How fast a queue drains, and so when a refused sender should return.
//!
//! A plain struct that is shown a running total of the bytes that left, towards a destination or because they were given up, now and then: never
//! those of requests that were refused, or a dead queue would seem to drain the faster the more is refused. It keeps two marks, so that the rate is that of
//! the last one to two windows: old enough to be steady, young enough to notice that a destination died.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(2);
/// The shortest and longest delay a sender is asked to wait.
pub const DELAY: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
/// What a sender is told while nothing drains at all.
const STUCK: Duration = Duration::from_secs(10);
/// How long nothing must have drained for that to be known.
const PATIENCE: Duration = Duration::from_secs(1);

/// The rate at which bytes are released.
#[derive(Debug, Default)]
pub struct DrainRate {
    older: Option<(Instant, u64)>,
    newer: Option<(Instant, u64)>,
}

impl DrainRate {
    /// A rate of something that is empty and begins now.
    #[must_use]
    pub fn since(now: Instant) -> DrainRate {
        DrainRate { older: Some((now, 0)), newer: Some((now, 0)) }
    }

    /// Shows the total released so far.
    pub fn observe(&mut self, now: Instant, released: u64) {
        match self.newer {
            // What left since a mark of long ago says nothing about now.
            Some((at, before)) if before != released && now.saturating_duration_since(at) > WINDOW * 2 => {
                (self.older, self.newer) = (None, Some((now, released)));
            }
            Some((at, _)) if now.saturating_duration_since(at) < WINDOW => {}
            _ => {
                self.older = self.newer;
                self.newer = Some((now, released));
            }
        }
        if self.older.is_none() {
            self.older = self.newer;
        }
    }

    /// Bytes released per second, if enough time was observed to know.
    #[must_use]
    pub fn rate(&self, now: Instant, released: u64) -> Option<f64> {
        let (at, total) = self.older?;
        let secs = now.saturating_duration_since(at).as_secs_f64();
        let rate = released.saturating_sub(total) as f64 / secs;
        (secs >= if rate < 1.0 { PATIENCE.as_secs_f64() } else { 0.05 }).then_some(rate)
    }

    /// When a sender should return if `excess` bytes must be released first. `jitter` in 0..1 spreads the senders by ±20 %.
    #[must_use]
    pub fn delay(&self, now: Instant, released: u64, excess: u64, jitter: f64) -> Duration {
        let wait = match self.rate(now, released) {
            Some(rate) if rate >= 1.0 => Duration::try_from_secs_f64(excess as f64 / rate).unwrap_or(Duration::MAX),
            Some(_) => STUCK,
            None => *DELAY.start() * 5,
        };
        wait.clamp(*DELAY.start(), *DELAY.end()).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0)).min(*DELAY.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: 1 MB/s drains and 3 MB are in the way. Guarantee: the sender is told about three seconds.
    #[test]
    fn the_delay_follows_the_measured_rate() {
        let t0 = crate::clock::now();
        let mut d = DrainRate::default();
        for s in 0..10u64 {
            d.observe(t0 + Duration::from_secs(s), s * 1_000_000);
        }
        let delay = d.delay(t0 + Duration::from_secs(10), 10_000_000, 3_000_000, 0.5);
        assert!((delay.as_secs_f64() - 3.0).abs() < 0.1, "{delay:?}");
    }

    /// Scenario: it drained well, then the destination died. Guarantee: within two windows the delay becomes that of a stuck drain.
    #[test]
    fn a_dead_destination_is_noticed() {
        let t0 = crate::clock::now();
        let mut d = DrainRate::default();
        for s in 0..20u64 {
            d.observe(t0 + Duration::from_secs(s), s.min(10) * 1_000_000);
        }
        assert_eq!(d.delay(t0 + Duration::from_secs(20), 10_000_000, 1_000_000, 0.5), STUCK);
    }

    /// Scenario: nothing has ever drained, for a moment and for long; then it drains well, for long unseen, and dies. Guarantee: at first nothing is
    /// known, then it is stuck; what drained long ago is not taken for now.
    #[test]
    fn what_is_not_known_is_not_made_up() {
        let t0 = crate::clock::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut d = DrainRate::since(t0);
        d.observe(at(100), 0);
        assert_eq!(d.delay(at(100), 0, 1_000, 0.5), *DELAY.start() * 5);
        d.observe(at(60_000), 0);
        assert_eq!(d.delay(at(60_000), 0, 1_000, 0.5), STUCK);
        d.observe(at(600_000), 1_000_000_000);
        assert_eq!(d.delay(at(600_000), 1_000_000_000, 1_000, 0.5), *DELAY.start() * 5);
        d.observe(at(602_500), 1_000_000_000);
        assert_eq!(d.delay(at(602_500), 1_000_000_000, 1_000, 0.5), STUCK);
    }

    proptest! {
        /// Scenario: any history. Guarantee: the delay is always within its bounds.
        #[test]
        fn the_delay_is_bounded(steps in prop::collection::vec((0u64..5_000, 0u64..1 << 40), 0..20), excess in any::<u64>(), jitter in 0.0f64..1.0) {
            let (mut now, mut total) = (crate::clock::now(), 0u64);
            let mut d = DrainRate::default();
            for (ms, n) in steps {
                now += Duration::from_millis(ms);
                total += n;
                d.observe(now, total);
            }
            let delay = d.delay(now, total, excess, jitter);
            prop_assert!(delay >= DELAY.start().mul_f64(0.8) && delay <= *DELAY.end());
        }
    }
}
