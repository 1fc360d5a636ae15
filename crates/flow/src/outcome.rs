//! What finally became of records, and why.
//!
//! Invariant: outcomes are ordered and the worst wins, so that a request whose parts went different ways is reported as its
//! unluckiest part. `Failed` (may be retried) beats `Rejected` (must not): duplicates before loss.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why something did not simply succeed: a kind for metrics and decisions, a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Bounded: it becomes a metric label.
    pub kind: Kind,
    /// Short, for logs and for the sender; never holds secrets.
    pub text: Arc<str>,
}

impl Why {
    /// A reason with its text.
    pub fn new(kind: Kind, text: impl Into<Arc<str>>) -> Why {
        Why { kind, text: text.into() }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            f.write_str(self.kind.as_str())
        } else {
            write!(f, "{}: {}", self.kind.as_str(), self.text)
        }
    }
}

/// The kinds of reasons. Each is a metric label, so the list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The budget is above its soft limit and the record is routine.
    SoftLimit,
    /// The budget is used up.
    HardLimit,
    /// The tenant's share of the budget is used up.
    TenantShare,
    /// The exporter's queue, or the memory that is free to it, is full.
    QueueFull,
    /// The lane of this one target is full.
    LaneFull,
    /// There are as many lanes as there may be, and this target has none.
    LaneLimit,
    /// The exporter knows no destination to send to at present.
    NoTarget,
    /// The process is stopping.
    Stopping,
    /// The destination could not be connected to.
    Unreachable,
    /// The destination did not answer in time.
    Timeout,
    /// The destination said when to come back.
    Throttled,
    /// The destination answered that it cannot now.
    Unavailable,
    /// The destination refuses the data itself.
    BadData,
    /// The destination refuses the size.
    TooLarge,
    /// The destination has no room now, or the request is too large for it: it did not say which.
    Exhausted,
    /// The destination refuses the credential.
    Auth,
    /// The destination does not know the service.
    Unimplemented,
    /// The destination's answer makes no sense.
    Protocol,
    /// The destination took the request but not all of its records.
    Partial,
    /// `max_elapsed_time` went by.
    Expired,
    /// The disk under the queue is full or failing.
    Disk,
    /// It could not be read back from the disk under the queue.
    Damaged,
    /// A stage dropped it on purpose.
    Policy,
    /// An acknowledgement was dropped unsettled: a bug.
    Leaked,
    /// Anything else the destination said.
    Other,
}

impl Kind {
    /// Every kind, in the order of their discriminants.
    pub const ALL: [Kind; 25] = [
        Kind::SoftLimit,
        Kind::HardLimit,
        Kind::TenantShare,
        Kind::QueueFull,
        Kind::LaneFull,
        Kind::LaneLimit,
        Kind::NoTarget,
        Kind::Stopping,
        Kind::Unreachable,
        Kind::Timeout,
        Kind::Throttled,
        Kind::Unavailable,
        Kind::BadData,
        Kind::TooLarge,
        Kind::Exhausted,
        Kind::Auth,
        Kind::Unimplemented,
        Kind::Protocol,
        Kind::Partial,
        Kind::Expired,
        Kind::Disk,
        Kind::Damaged,
        Kind::Policy,
        Kind::Leaked,
        Kind::Other,
    ];

    /// The kind of this label value.
    #[must_use]
    pub fn named(label: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == label)
    }

    /// The label value used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::SoftLimit => "soft_limit",
            Kind::HardLimit => "hard_limit",
            Kind::TenantShare => "tenant_share",
            Kind::QueueFull => "queue_full",
            Kind::LaneFull => "lane_full",
            Kind::LaneLimit => "lane_limit",
            Kind::NoTarget => "no_target",
            Kind::Stopping => "stopping",
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::Throttled => "throttled",
            Kind::Unavailable => "unavailable",
            Kind::BadData => "bad_data",
            Kind::TooLarge => "too_large",
            Kind::Exhausted => "exhausted",
            Kind::Auth => "auth",
            Kind::Unimplemented => "unimplemented",
            Kind::Protocol => "protocol",
            Kind::Partial => "partial",
            Kind::Expired => "expired",
            Kind::Disk => "disk",
            Kind::Damaged => "damaged",
            Kind::Policy => "policy",
            Kind::Leaked => "leaked",
            Kind::Other => "other",
        }
    }
}

/// The final fate of records. See the module for the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every record arrived (or is safe on disk, or was queued in memory by the operator's choice).
    Delivered,
    /// So many records were dropped by policy; the rest arrived.
    Dropped {
        /// Records that did not arrive.
        records: u64,
        /// The policy.
        why: Why,
    },
    /// So many records were refused for good; the rest arrived.
    Rejected {
        /// Records that did not arrive.
        records: u64,
        /// What the destination said.
        why: Why,
    },
    /// Not delivered, and sending again may help.
    Failed {
        /// Records that did not arrive.
        records: u64,
        /// What went wrong.
        why: Why,
        /// When the sender should come back, if that is known.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    /// A retryable failure of `records` with no known delay.
    #[must_use]
    pub fn failed(records: u64, why: Why) -> Outcome {
        Outcome::Failed { records, why, retry_after: None }
    }

    const fn rank(&self) -> u8 {
        match self {
            Outcome::Delivered => 0,
            Outcome::Dropped { .. } => 1,
            Outcome::Rejected { .. } => 2,
            Outcome::Failed { .. } => 3,
        }
    }

    const fn delay(&self) -> Option<Duration> {
        match self {
            Outcome::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Records that did not arrive.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        match self {
            Outcome::Delivered => 0,
            Outcome::Dropped { records, .. } | Outcome::Rejected { records, .. } | Outcome::Failed { records, .. } => {
                *records
            }
        }
    }

    /// The same with a delay that its destination asked for.
    #[must_use]
    pub fn after(self, delay: Option<Duration>) -> Outcome {
        match self {
            Outcome::Failed { records, why, retry_after } => {
                Outcome::Failed { records, why, retry_after: delay.or(retry_after) }
            }
            other => other,
        }
    }

    /// Both fates as one: the worse one, with the records that did not arrive added up. Of two equal ones the first stays, with the
    /// longer delay of both.
    #[must_use]
    pub fn and(self, other: Outcome) -> Outcome {
        let lost = self.lost().saturating_add(other.lost());
        let delay = self.delay().max(other.delay());
        let mut worst = if other.rank() > self.rank() { other } else { self };
        match &mut worst {
            Outcome::Delivered => {}
            Outcome::Dropped { records, .. } | Outcome::Rejected { records, .. } => *records = lost,
            Outcome::Failed { records, retry_after, .. } => (*records, *retry_after) = (lost, delay),
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(kind: Kind) -> Why {
        Why::new(kind, "t")
    }

    /// Scenario: every pair of fates is combined. Guarantee: the worse wins in either order and losses add up.
    #[test]
    fn the_worst_outcome_wins_and_losses_add_up() {
        let all = [
            Outcome::Delivered,
            Outcome::Dropped { records: 1, why: why(Kind::Policy) },
            Outcome::Rejected { records: 2, why: why(Kind::BadData) },
            Outcome::failed(4, why(Kind::Timeout)),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                let both = a.clone().and(b.clone());
                assert_eq!(both.rank() as usize, i.max(j));
                assert_eq!(both.lost(), a.lost() + b.lost());
            }
        }
    }

    /// Scenario: the labels of all kinds. Guarantee: they differ, so that no two reasons share a metric series.
    #[test]
    fn every_kind_has_its_own_label() {
        let labels: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.as_str()).collect();
        assert_eq!(labels.len(), Kind::ALL.len());
        for (i, k) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::named(k.as_str()), Some(*k));
            assert_eq!(*k as usize, i);
        }
    }
}
