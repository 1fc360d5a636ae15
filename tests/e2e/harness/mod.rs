//! What the tests share: processes, configurations, books, and a way to wait.

pub mod backend;
pub mod books;
pub mod cgroup;
pub mod config;
pub mod dns;
pub mod fleet;
pub mod http;
pub mod mischief;
pub mod network;
pub mod probe;
pub mod process;
pub mod tenants;

pub use books::{Books, Rules};
pub use config::Pipeline;
pub use process::{Bywash, Load, Sink};

use std::time::Duration;
use tokio::time::Instant;

/// What everything that is waited for may take, on a busy machine in a debug build.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is asked again.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is there, and fails the test after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
