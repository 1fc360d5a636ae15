//! How long requests took: a histogram of fixed size whose quantiles are at most 1/32 off.
//!
//! A bucket holds the microseconds that share their highest bit and the five bits below it. Plain data; it measures nothing.

use std::time::Duration;

/// Bits kept below the highest one.
const BITS: u32 = 5;
const PER_OCTAVE: usize = 1 << BITS;
/// Up to 2^40 µs, some twelve days; longer ones count as that.
const OCTAVES: usize = 36;

/// The histogram.
#[derive(Clone, Debug)]
pub struct Latency {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { counts: vec![0; PER_OCTAVE * OCTAVES].into(), total: 0 }
    }
}

fn bucket(micros: u64) -> usize {
    let octave = (u64::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    let bucket = octave as usize * PER_OCTAVE + (micros >> octave) as usize;
    bucket.min(PER_OCTAVE * OCTAVES - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let octave = (bucket / PER_OCTAVE).saturating_sub(1);
    let step = (bucket - octave * PER_OCTAVE) as u64;
    ((step + 1) << octave) - 1
}

impl Latency {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        self.counts[bucket(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))] += 1;
        self.total += 1;
    }

    /// The time that this part, 0..=1, of all took at most; zero if there were none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return Duration::from_micros(upper(bucket));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: nothing was measured. Guarantee: zero.
    #[test]
    fn nothing_took_no_time() {
        assert_eq!(Latency::default().quantile(0.99), Duration::ZERO);
    }

    proptest! {
        /// Scenario: any times. Guarantee: each quantile is the true one or up to 1/32 above it.
        #[test]
        fn quantiles_are_close(mut micros in prop::collection::vec(0u64..1 << 40, 1..200), part in 0.0f64..=1.0) {
            let mut latency = Latency::default();
            micros.iter().for_each(|m| latency.add(Duration::from_micros(*m)));
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * part).ceil() as usize).max(1);
            let (exact, read) = (micros[rank - 1], latency.quantile(part).as_micros() as u64);
            prop_assert!(read >= exact && read <= exact + exact / 32, "{exact} {read}");
        }
    }
}
