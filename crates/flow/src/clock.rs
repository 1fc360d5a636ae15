//! The one place where this crate reads the time.
//!
//! Plain structs are handed `now`; async code asks here. It is tokio's clock, so that a test which pauses time owns it.

use std::time::{Duration, Instant, SystemTime};

/// The present instant of the runtime's clock.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `at`, or for ever if there is no such instant.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Times since the epoch for a clock that only knows instants. Made once, so that it never jumps: what is kept on disk outlives
/// the process, and instants do not.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    instant: Instant,
    since_epoch: Duration,
}

impl Calendar {
    /// One that agrees with the system's clock now.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn new() -> Calendar {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Calendar { instant: now(), since_epoch }
    }

    /// Milliseconds between the epoch and an instant.
    #[must_use]
    pub fn millis(&self, at: Instant) -> u64 {
        let past = self.instant.saturating_duration_since(at);
        let ahead = at.saturating_duration_since(self.instant);
        u64::try_from((self.since_epoch + ahead).saturating_sub(past).as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant so many milliseconds after the epoch. What lies too far back to be an instant becomes the time at which this calendar was made.
    #[must_use]
    pub fn instant(&self, millis: u64) -> Instant {
        let at = Duration::from_millis(millis);
        if at >= self.since_epoch {
            return self.instant + (at - self.since_epoch);
        }
        let back = self.since_epoch - at;
        self.instant.checked_sub(back).unwrap_or(self.instant)
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Calendar::new()
    }
}
