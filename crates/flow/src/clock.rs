//! The one place where this crate reads the time.
//!
//! Plain structs are handed `now`; async code asks here. It is tokio's clock, so that a test which pauses time owns it.

use std::time::Instant;

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
