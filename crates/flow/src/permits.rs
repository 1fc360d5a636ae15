//! Who may send at once, of the lanes that share an exporter.
//!
//! There are three pools, so that nobody waits behind those of another kind: targets that answered the last time, targets that are
//! tried for the first time, and targets that failed the last time. Who has answered before is remembered beyond the life of its
//! lane, in bounded memory ([`History`]).
//!
//! A permit bounds how many sends *begin* at once, not how many wait: a send without an answer gives it back after its patience.
//! The patience of the proven is long, for their sends end. That of the others is short: a thousand black holes take a permit for
//! fifty milliseconds each, and once only.

use crate::Target;
use foldhash::HashSet;
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// After how long without an answer the send to a target that is not proven gives its permit back.
const SHORT: Duration = Duration::from_millis(50);
/// The least that the pools of first contacts and of probes hold.
const LEAST: usize = 16;
/// Targets that are remembered in each of two generations.
const REMEMBERED: usize = 65_536;

/// What a send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// To a target that answered the last time.
    Proven,
    /// To a target that never answered or failed.
    Contact,
    /// To a target, or in a scope, that failed the last time.
    Probe,
}

/// The permits of one exporter.
pub(crate) struct Permits {
    proven: Arc<Semaphore>,
    contacts: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    pub(crate) history: History,
}

impl Permits {
    /// With so many sends to proven targets at once.
    pub(crate) fn new(workers: usize) -> Permits {
        let pool = |size| Arc::new(Semaphore::new(size));
        let (proven, others) = (pool(workers.max(1)), workers.max(LEAST));
        Permits { proven, contacts: pool(others), probes: pool(others), history: History::default() }
    }

    pub(crate) fn of(&self, pool: Pool) -> &Arc<Semaphore> {
        match pool {
            Pool::Proven => &self.proven,
            Pool::Contact => &self.contacts,
            Pool::Probe => &self.probes,
        }
    }
}

impl Pool {
    /// How long a send keeps its permit without an answer; `patience` is that of proven targets.
    pub(crate) fn patience(self, patience: Duration) -> Duration {
        if self == Pool::Proven { patience } else { patience.min(SHORT) }
    }
}

/// Which targets answered the last time. Bounded: of more than [`REMEMBERED`] those that have been proven longest ago are forgotten,
/// and are first contacts again.
#[derive(Default)]
pub(crate) struct History {
    hasher: foldhash::fast::RandomState,
    generations: Mutex<[HashSet<u64>; 2]>,
}

impl History {
    /// It answered.
    pub(crate) fn answered(&self, target: &Target) {
        let hash = self.hasher.hash_one(target);
        let mut generations = self.generations.lock();
        if generations[0].len() >= REMEMBERED && !generations[0].contains(&hash) {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert(hash);
    }

    /// It failed.
    pub(crate) fn failed(&self, target: &Target) {
        let hash = self.hasher.hash_one(target);
        self.generations.lock().iter_mut().for_each(|set| {
            set.remove(&hash);
        });
    }

    /// Whether it is known to have answered.
    pub(crate) fn knows(&self, target: &Target) -> bool {
        let hash = self.hasher.hash_one(target);
        self.generations.lock().iter().any(|set| set.contains(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: three times as many targets answer as are remembered, and one of the last fails. Guarantee: the latest are known,
    /// memory is bounded, what failed is not known.
    #[test]
    fn history_is_bounded_and_knows_the_latest() {
        let history = History::default();
        let target = |n: usize| Target::new(n.to_string());
        (0..3 * REMEMBERED).for_each(|n| history.answered(&target(n)));
        assert!((2 * REMEMBERED..3 * REMEMBERED).all(|n| history.knows(&target(n))));
        assert!(!history.knows(&target(0)));
        assert!(history.generations.lock().iter().map(HashSet::len).sum::<usize>() <= 2 * REMEMBERED);
        history.failed(&target(3 * REMEMBERED - 1));
        assert!(!history.knows(&target(3 * REMEMBERED - 1)));
    }
}
