//! The one place where the program reads the time.
//!
//! Plain structs are handed `now`; async code asks here. Durations are the business of tokio's clock, so that a test which pauses time owns it; the wall
//! clock is for what is shown, signed or kept on disk. It does NOT know time zones: everything is UTC.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Time since 1970-01-01 UTC. Zero on a machine whose clock stands before that.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A point in time as RFC 3339 with whole seconds: `2026-10-04T15:16:17Z`.
#[must_use]
pub fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// The year is counted from March, so that the leap day is its last day, in cycles of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + cycle * 400 + u64::from(month <= 2), month, date)
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
    pub fn new() -> Calendar {
        Calendar { instant: now(), since_epoch: since_epoch() }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the epoch, leap days, the ends of years and centuries. Guarantee: the date is right.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
    }
}
