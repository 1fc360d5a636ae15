//! How everything ends: one token with one deadline.
//!
//! Receivers end when a stop is requested, inlets go with them, lanes drain until the deadline, and what is left then is
//! `Failed` (or stays in the spool). Every wait in the program ends by that deadline; there is no second mechanism.

use crate::clock;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The side that says stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Instant>>);

/// The side that listens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Instant>>);

impl Stopper {
    /// A pair; nothing is stopping yet.
    #[must_use]
    pub fn new() -> (Stopper, Stop) {
        let (tx, rx) = watch::channel(None);
        (Stopper(tx), Stop(rx))
    }

    /// Asks everything to end within `grace`. A second call can only bring the deadline nearer.
    pub fn stop(&self, grace: Duration) {
        let deadline = clock::now() + grace;
        self.0.send_if_modified(|d| {
            let nearer = d.is_none_or(|d| deadline < d);
            if nearer {
                *d = Some(deadline);
            }
            nearer
        });
    }

    /// Another listener.
    #[must_use]
    pub fn listen(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Stop {
    /// The deadline, once a stop was requested.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Waits until a stop is requested and gives its deadline. A vanished [`Stopper`] counts as a stop without grace.
    pub async fn requested(&self) -> Instant {
        let mut rx = self.0.clone();
        match rx.wait_for(Option::is_some).await.ok().and_then(|d| *d) {
            Some(deadline) => deadline,
            None => clock::now(),
        }
    }

    /// Waits until the deadline of a requested stop has passed.
    pub async fn expired(&self) {
        let mut rx = self.0.clone();
        loop {
            let deadline = *rx.borrow_and_update();
            tokio::select! {
                () = clock::sleep_until(deadline) => return,
                changed = rx.changed() => if changed.is_err() {
                    return clock::sleep_until(Some(deadline.unwrap_or_else(clock::now))).await;
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a stop with 30 s of grace, then an impatient one with 1 s. Guarantee: the nearer deadline holds, for old and new listeners.
    #[tokio::test(start_paused = true)]
    async fn a_second_stop_brings_the_deadline_nearer() {
        let (stopper, stop) = Stopper::new();
        assert_eq!(stop.deadline(), None);
        stopper.stop(Duration::from_secs(30));
        stopper.stop(Duration::from_secs(60));
        assert_eq!(stop.requested().await, clock::now() + Duration::from_secs(30));
        let start = clock::now();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.expired().await }
        });
        tokio::task::yield_now().await;
        stopper.stop(Duration::from_secs(1));
        waiting.await.unwrap();
        assert_eq!(clock::now() - start, Duration::from_secs(1));
    }
}
