//! Work that holds a processor for milliseconds, such as the unpacking of a large body: away from the runtime's workers, which answer everybody
//! else meanwhile, and only as much at once as there are processors.
//!
//! It does not bound memory: whoever waits here holds what it is charged for.

use std::sync::LazyLock;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Runs `work` on a thread of its own. If the future is dropped, work that has begun runs to its end.
///
/// # Errors
/// The work panicked.
pub async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    // Nobody closes the semaphore.
    let place = PLACES.acquire().await.ok();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// Scenario: a runtime with one worker, ten times as much work as there are processors, each waiting until the worker has done something else. Guarantee:
    /// the worker is free all the time, and never more of it is under way than there are processors.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn workers_stay_free() {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work: Vec<_> = (0..10 * most)
            .map(|n| {
                let (now, peak) = (now.clone(), peak.clone());
                let runtime = tokio::runtime::Handle::current();
                tokio::spawn(heavy(move || {
                    peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    let (free, is_free) = std::sync::mpsc::sync_channel(1);
                    runtime.spawn(async move { free.send(()) });
                    is_free.recv().unwrap();
                    now.fetch_sub(1, SeqCst);
                    n
                }))
            })
            .collect();
        for (n, work) in work.into_iter().enumerate() {
            assert_eq!(work.await.unwrap().unwrap(), n);
        }
        assert!((1..=most).contains(&peak.load(SeqCst)), "{peak:?}");
    }
}
