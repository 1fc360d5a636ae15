//! How long things took, as a histogram of bounded size: sixteen bars for each doubling, so that what it says is at most 1/32 off.

/// Bars for each doubling.
const STEPS: u64 = 16;
/// Bars: those below sixteen nanoseconds are exact.
const BARS: usize = 61 * 16;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Grown when it is needed, up to [`BARS`].
    counts: Vec<u64>,
    total: u64,
}

impl Durations {
    /// Which bar a duration in nanoseconds is in.
    #[must_use]
    pub fn bar(nanos: u64) -> u16 {
        if nanos < STEPS {
            return nanos as u16;
        }
        let doubling = 63 - nanos.leading_zeros();
        let step = (nanos >> (doubling - 4)) & (STEPS - 1);
        ((u64::from(doubling) - 3) * STEPS + step) as u16
    }

    /// The middle of a bar.
    fn middle(bar: usize) -> u64 {
        let (bar, steps) = (bar as u64, STEPS);
        if bar < steps {
            return bar;
        }
        let shift = bar / steps - 1;
        let low = (steps + bar % steps) << shift;
        low + ((1 << shift) >> 1)
    }

    /// Takes so many durations of a bar in.
    pub fn add(&mut self, bar: u16, count: u64) {
        let bar = usize::from(bar).min(BARS - 1);
        if self.counts.len() <= bar {
            self.counts.resize(bar + 1, 0);
        }
        self.counts[bar] += count;
        self.total += count;
    }

    /// Takes another histogram in.
    pub fn join(&mut self, other: &Durations) {
        other.counts.iter().enumerate().for_each(|(bar, count)| self.add(bar as u16, *count));
    }

    /// The duration in nanoseconds that this share (0 to 1) of all does not exceed; 0 if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(0, Self::middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: the smallest and the largest durations. Guarantee: each has a bar, in order, and the last is the last there is.
    #[test]
    fn bars_are_bounded() {
        assert_eq!((Durations::bar(0), Durations::bar(15), Durations::bar(16)), (0, 15, 16));
        assert_eq!(usize::from(Durations::bar(u64::MAX)), BARS - 1);
        assert_eq!(Durations::default().quantile(0.5), 0);
    }

    proptest! {
        /// Scenario: durations of every size. Guarantee: each quantile is at most 1/32 off the exact one, however they were divided.
        #[test]
        fn quantiles_are_near(durations in proptest::collection::vec((0..64u32, any::<u64>()), 1..300), cut in 0..300usize) {
            let mut exact: Vec<u64> = durations.iter().map(|(shift, bits)| bits >> shift).collect();
            let (mut one, mut other) = (Durations::default(), Durations::default());
            for (at, nanos) in exact.iter().enumerate() {
                if at < cut { one.add(Durations::bar(*nanos), 1) } else { other.add(Durations::bar(*nanos), 1) }
            }
            one.join(&other);
            exact.sort_unstable();
            for share in [0.0, 0.5, 0.95, 0.99, 1.0] {
                let rank = ((exact.len() as f64 * share).ceil() as usize).max(1);
                let (expected, found) = (exact[rank - 1], one.quantile(share));
                prop_assert!(expected.abs_diff(found) <= expected / 32, "{expected} {found}");
            }
        }
    }
}
