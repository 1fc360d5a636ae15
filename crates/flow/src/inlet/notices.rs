//! What an inlet turns away, in the log: one line for each cause and interval, with the totals since the line before.
//!
//! The counters say the same at every moment; the log is where operators' alerts look, so the lines have the words that the collector's
//! have for the same cause.

use crate::{Kind, clock};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use wire::Signal;

/// Between two lines of one cause.
const INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<HashMap<(Kind, bool), Tally>>);

#[derive(Debug)]
struct Tally {
    /// Of the last line.
    at: Option<Instant>,
    requests: u64,
    records: u64,
}

impl Notices {
    /// A request was refused as a whole. Of one that was not read no records are known.
    pub fn refused(&self, signal: Signal, kind: Kind, records: u64) {
        if let Some((requests, records)) = self.due(kind, false, records) {
            tracing::warn!(%signal, reason = kind.as_str(), requests, records, "{}", refusal(kind));
        }
    }

    /// Routine records of a request, or what a full exporter missed of it, were left out.
    pub fn shed(&self, signal: Signal, kind: Kind, records: u64) {
        if let Some((requests, records)) = self.due(kind, true, records) {
            tracing::warn!(%signal, reason = kind.as_str(), requests, records, "{}", shedding(kind));
        }
    }

    /// Adds to the tally of a cause; its totals if a line is due.
    fn due(&self, kind: Kind, is_shed: bool, records: u64) -> Option<(u64, u64)> {
        let now = clock::now();
        let mut all = self.0.lock();
        let tally = all.entry((kind, is_shed)).or_insert(Tally { at: None, requests: 0, records: 0 });
        tally.requests += 1;
        tally.records += records;
        if tally.at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            return None;
        }
        let totals = (tally.requests, tally.records);
        *tally = Tally { at: Some(now), requests: 0, records: 0 };
        Some(totals)
    }
}

fn refusal(kind: Kind) -> &'static str {
    match kind {
        Kind::SoftLimit => "Memory usage is above soft limit. Refusing data.",
        Kind::HardLimit => "Memory usage is above hard limit. Refusing data.",
        Kind::TenantShare => "Memory usage is above the tenant's share. Refusing data.",
        Kind::QueueFull | Kind::LaneFull => "sending queue is full. Refusing data.",
        Kind::Auth => "missing or wrong credentials. Refusing data.",
        Kind::TooLarge => "requests are too large. Refusing data.",
        _ => "Refusing data.",
    }
}

fn shedding(kind: Kind) -> &'static str {
    match kind {
        Kind::SoftLimit => "Memory usage is above soft limit. Dropping data: routine records.",
        Kind::TenantShare => "Memory usage is above the tenant's share. Dropping data: routine records.",
        Kind::QueueFull | Kind::LaneFull => "sending queue is full. Dropping data.",
        _ => "Dropping data.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thousand refusals within a second, of two causes, then one later. Guarantee: one line for each cause and interval, and the
    /// lines together count everything.
    #[tokio::test(start_paused = true)]
    async fn one_line_for_each_cause_and_interval() {
        let notices = Notices::default();
        let mut lines = vec![];
        for _ in 0..500 {
            lines.extend(notices.due(Kind::SoftLimit, false, 10));
            lines.extend(notices.due(Kind::SoftLimit, true, 10));
        }
        assert_eq!(lines, [(1, 10), (1, 10)]);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(notices.due(Kind::SoftLimit, false, 10), Some((500, 5000)));
    }
}
