//! Whether the program takes data now, and if not, why not.
//!
//! Honest: not available while it starts, while it drains, while a receiver that is configured does not listen, and while the
//! memory budget refuses everything. It does NOT judge the destinations: data for a dead one is queued, shed or refused by
//! the rules of the pipelines, and restarting this program would not revive it.

use flow::{Budget, Level};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Where the program is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Receivers are not all listening yet.
    Starting,
    /// It runs.
    Running,
    /// It was told to end and delivers what it has.
    Draining,
}

/// The health of the program. Shared by all who change it and the page that shows it.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
    budget: Budget,
    /// When the program began, since the epoch.
    began_at: Duration,
    began: Instant,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Receivers that do not listen, each with the reason.
    deaf: BTreeMap<String, String>,
}

/// What the health is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Why data is not taken; empty if it is.
    pub reasons: Vec<String>,
    /// When the program began, since the epoch.
    pub began_at: Duration,
    /// Since then.
    pub uptime: Duration,
}

impl Status {
    /// Whether data is taken.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Health {
    /// A program that starts now, at this time since the epoch.
    #[must_use]
    pub fn new(budget: Budget, now: Instant, began_at: Duration) -> Health {
        let state = Mutex::new(State { phase: Phase::Starting, deaf: BTreeMap::new() });
        Health { state, budget, began_at, began: now }
    }

    /// Enters another phase. Draining is the last.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.state.lock();
        if state.phase != Phase::Draining {
            state.phase = phase;
        }
    }

    /// Says which receivers do not listen, with the reasons.
    pub fn set_deaf(&self, deaf: BTreeMap<String, String>) {
        self.state.lock().deaf = deaf;
    }

    /// Since the program began.
    #[must_use]
    pub fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// The health at this moment.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let state = self.state.lock();
        let mut reasons = vec![];
        match state.phase {
            Phase::Starting => reasons.push("starting".to_owned()),
            Phase::Draining => reasons.push("draining".to_owned()),
            Phase::Running => {}
        }
        reasons.extend(state.deaf.iter().map(|(id, why)| format!("receiver {id} does not listen: {why}")));
        if self.budget.level() == Level::Full {
            reasons.push("refusing: the memory budget is used up".to_owned());
        }
        Status { reasons, began_at: self.began_at, uptime: self.uptime(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::BudgetConfig;

    /// Scenario: a life from start to end, with a receiver that cannot listen and a full budget. Guarantee: available only while none of that holds.
    #[test]
    fn health_is_honest() {
        let now = flow::clock::now();
        let budget = Budget::new(BudgetConfig { bytes: 100, request_cost: 0, ..BudgetConfig::default() });
        let health = Health::new(budget.clone(), now, Duration::ZERO);
        assert_eq!(health.status(now).reasons, ["starting"]);
        health.enter(Phase::Running);
        assert!(health.status(now).is_available());
        health.set_deaf([("otlp".to_owned(), "address in use".to_owned())].into());
        assert_eq!(health.status(now).reasons, ["receiver otlp does not listen: address in use"]);
        health.set_deaf(BTreeMap::new());
        let mut permit = budget.open(None).unwrap();
        permit.grow(95).unwrap();
        assert!(health.status(now).is_available(), "priority records still enter");
        permit.grow(5).unwrap();
        assert_eq!(health.status(now).reasons, ["refusing: the memory budget is used up"]);
        drop(permit);
        health.enter(Phase::Draining);
        health.enter(Phase::Running);
        assert_eq!(health.status(now).reasons, ["draining"]);
    }
}
