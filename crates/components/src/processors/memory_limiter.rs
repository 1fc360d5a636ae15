//! The `memory_limiter` processor, mapped: it sets the process's memory budget.
//!
//! | key | what it means here |
//! |---|---|
//! | `limit_mib`, `limit_percentage` | the hard limit of `service.budget`: at this much, everything is refused |
//! | `spike_limit_mib`, `spike_limit_percentage` | the soft limit lies so much below it: from there on data is refused, with a delay |
//! | `check_interval`, `min_gc_interval_…` | nothing: every request is measured when it comes in, and there is no garbage collector |
//!
//! That data is refused above the soft limit, and nothing shed, is the collector's meaning: whoever writes a limiter has senders that
//! send again. Shedding is what `service.budget` does where no limiter is written.
//!
//! The collector's limit is for its whole heap, this one for the telemetry held on behalf of senders. Of several limiters, and
//! a `service.budget.limit` that is written out, the smallest limit holds. The budget is of the process, so a limiter in one
//! pipeline holds for all.

use config::{GoDuration, Report, Validate};
use serde::Deserialize;

/// The collector's keys and defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// No effect.
    pub check_interval: GoDuration,
    /// The hard limit in MiB.
    pub limit_mib: u64,
    /// How far below it the soft limit lies. 0: a fifth of it.
    pub spike_limit_mib: u64,
    /// The hard limit as a part of the memory of the machine or the control group, when `limit_mib` is 0.
    pub limit_percentage: u64,
    /// How far below it the soft limit lies, as a part of the same. 0: a fifth of it.
    pub spike_limit_percentage: u64,
    /// No effect.
    pub min_gc_interval_when_soft_limited: GoDuration,
    /// No effect.
    pub min_gc_interval_when_hard_limited: GoDuration,
}

/// The budget that a limiter asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes.
    pub hard: u64,
    /// The part of it, above 0 up to 1, from which on data is refused.
    pub soft: f64,
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        // The collector requires `check_interval`: nobody needs to be told of it.
        for key in ["min_gc_interval_when_soft_limited", "min_gc_interval_when_hard_limited"] {
            if report.is_set(key) {
                report.warning(
                    key,
                    "has no effect here: memory is counted with every request, not looked at now and then",
                );
            }
        }
        match (self.limit_mib, self.limit_percentage) {
            (0, 0) => report.error("", "one of `limit_mib` and `limit_percentage` must be set"),
            (0, 1..=100) | (1.., _) => {}
            (0, _) => report.error("limit_percentage", "must be from 1 to 100"),
        }
        if self.limit_mib > 0 && self.spike_limit_mib >= self.limit_mib {
            report.error("spike_limit_mib", "must be less than `limit_mib`");
        }
        if self.limit_mib == 0 && self.limit_percentage > 0 && self.spike_limit_percentage >= self.limit_percentage {
            report.error("spike_limit_percentage", "must be less than `limit_percentage`");
        }
    }
}

impl Config {
    /// What it asks for on a machine, or in a control group, with this much memory. `None`: a percentage of nobody knows what.
    #[must_use]
    pub fn limits(&self, total_memory: Option<u64>) -> Option<Limits> {
        let (hard, spike) = if self.limit_mib > 0 {
            (self.limit_mib << 20, self.spike_limit_mib << 20)
        } else {
            let part = |percentage: u64| Some(total_memory? / 100 * percentage);
            (part(self.limit_percentage)?, part(self.spike_limit_percentage)?)
        };
        let spike = if spike == 0 { hard / 5 } else { spike };
        Some(Limits { hard, soft: hard.saturating_sub(spike) as f64 / hard.max(1) as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: limits in MiB, with and without a spike. Guarantee: the soft limit lies a spike, or a fifth, below the hard one.
    #[test]
    fn the_soft_limit_lies_a_spike_below() {
        let config = Config { limit_mib: 4000, spike_limit_mib: 800, ..Config::default() };
        assert_eq!(config.limits(None), Some(Limits { hard: 4000 << 20, soft: 0.8 }));
        let config = Config { limit_mib: 500, spike_limit_mib: 50, ..Config::default() };
        assert_eq!(config.limits(None), Some(Limits { hard: 500 << 20, soft: 0.9 }));
        let limits = Config { limit_mib: 100, ..Config::default() }.limits(None).unwrap();
        assert!((limits.soft - 0.8).abs() < 1e-9);
    }

    /// Scenario: limits in percent. Guarantee: they are parts of what there is; without knowing that there are none.
    #[test]
    fn percentages_are_of_the_memory_there_is() {
        let config = Config { limit_percentage: 50, spike_limit_percentage: 25, ..Config::default() };
        assert_eq!(config.limits(Some(1 << 30)), Some(Limits { hard: (1 << 30) / 100 * 50, soft: 0.5 }));
        assert_eq!(config.limits(None), None);
    }
}
