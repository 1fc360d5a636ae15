//! Tasks that outlive the call that starts them. Each has a name and an owner, and a panic in it has a defined effect.
//!
//! | Started by | After a panic |
//! |---|---|
//! | [`spawn`] | it has ended; whoever waits for it hears so |
//! | [`keep`], [`again`] | it begins anew, after a pause that grows |
//! | [`vital`] | nothing can take its place: whoever runs the program hears so ([`broken`]), and ends it in order |
//!
//! Each panic is counted by the name of its task ([`panics`]) and logged once more, with what follows from it: what it was is the
//! panic hook's to say. Lanes have a way of their own, in `lane/life.rs`. The tasks and their owners stand in `docs/tasks.md`.
//!
//! Invariant: names are constants, so that there are only so many.

use crate::clock;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};

/// The pause before a task begins anew the first time; it doubles each time,
const SHORT: Duration = Duration::from_millis(100);
/// up to this,
const LONG: Duration = Duration::from_secs(30);
/// and is short again after so long without a panic.
const CALM: Duration = Duration::from_secs(60);

static PANICS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());
/// The first task that broke for good.
static BROKEN: Mutex<Option<&'static str>> = Mutex::new(None);
static NEWS: LazyLock<Notify> = LazyLock::new(Notify::new);

/// How often tasks have panicked, by name.
#[must_use]
pub fn panics() -> Vec<(&'static str, u64)> {
    PANICS.lock().iter().map(|(name, times)| (*name, *times)).collect()
}

/// The task that panicked and cannot be replaced, if there is one.
#[must_use]
pub fn broken_now() -> Option<&'static str> {
    *BROKEN.lock()
}

/// Waits until a task has panicked that cannot be replaced, and gives its name.
pub async fn broken() -> &'static str {
    loop {
        let mut news = pin!(NEWS.notified());
        news.as_mut().enable();
        if let Some(name) = broken_now() {
            return name;
        }
        news.await;
    }
}

/// Starts a task that ends by itself. If it panics, so does waiting for it.
pub fn spawn<T>(name: &'static str, future: T) -> JoinHandle<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    // There are thousands of these: in a box, the future is kept once, not once for each function that it is handed through.
    let future = Box::pin(future);
    tokio::spawn(async move {
        outcome(future).await.unwrap_or_else(|panic| {
            count(name);
            tracing::error!(task = name, "a task panicked: it has ended");
            resume_unwind(panic)
        })
    })
}

/// Starts a task that begins anew when it panics.
pub fn keep<F, T>(name: &'static str, begin: F) -> JoinHandle<()>
where
    F: FnMut() -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(again(name, begin))
}

/// The same within a task.
pub async fn again<F, T>(name: &'static str, mut begin: F)
where
    F: FnMut() -> T,
    T: Future<Output = ()>,
{
    let mut restarts = Restarts::new(name);
    while caught(async { begin().await }).await.is_none() {
        restarts.pause().await;
    }
}

/// Starts a task that nothing can replace. If it panics, `last` is done, and the program ends.
pub fn vital<T, L>(name: &'static str, future: T, last: L) -> JoinHandle<()>
where
    T: Future<Output = ()> + Send + 'static,
    L: FnOnce() + Send + 'static,
{
    tokio::spawn(async move {
        if caught(future).await.is_none() {
            count(name);
            tracing::error!(task = name, "a task panicked that nothing can replace: the program ends");
            // It is told even if this panics as well.
            drop(catch_unwind(AssertUnwindSafe(last)));
            BROKEN.lock().get_or_insert(name);
            NEWS.notify_waiters();
        }
    })
}

/// What a task of a set gave, unless it panicked or was cut off. Panics are counted and logged as those of `name`.
pub fn ended<T>(name: &'static str, ended: Result<T, JoinError>) -> Option<T> {
    let error = match ended {
        Ok(output) => return Some(output),
        Err(error) => error,
    };
    if error.is_panic() {
        count(name);
        tracing::error!(task = name, "a task panicked: it has ended");
    }
    None
}

/// Goes on after panics, for who keeps more than a new beginning would: see [`again`].
#[derive(Debug)]
pub struct Restarts {
    name: &'static str,
    pause: Duration,
    since: Instant,
}

impl Restarts {
    /// None yet of the task of this name.
    #[must_use]
    pub fn new(name: &'static str) -> Restarts {
        Restarts { name, pause: SHORT, since: clock::now() }
    }

    /// It panicked: counts it, says so, and waits until it may begin anew.
    pub async fn pause(&mut self) {
        count(self.name);
        if clock::now().saturating_duration_since(self.since) >= CALM {
            self.pause = SHORT;
        }
        let pause = self.pause;
        tracing::error!(task = self.name, ?pause, "a task panicked: it begins anew after a pause");
        tokio::time::sleep(pause).await;
        (self.pause, self.since) = ((pause * 2).min(LONG), clock::now());
    }
}

/// What a future gives, or nothing if it panics.
pub async fn caught<T: Future>(future: T) -> Option<T::Output> {
    outcome(future).await.ok()
}

async fn outcome<T: Future>(future: T) -> Result<T::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn count(name: &'static str) {
    *PANICS.lock().entry(name).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    fn times(name: &str) -> u64 {
        panics().into_iter().find(|(of, _)| *of == name).map_or(0, |(_, times)| times)
    }

    /// Scenario: a task that panics twelve times and then does its work. Guarantee: it begins anew each time, after pauses that double up to their
    /// bound, and is counted; after a calm time the pause is short again.
    #[tokio::test(start_paused = true)]
    async fn a_kept_task_begins_anew() {
        let begun = Arc::new(AtomicU64::new(0));
        let start = clock::now();
        let task = keep("a kept task", {
            let begun = begun.clone();
            move || {
                let begun = begun.clone();
                async move {
                    match begun.fetch_add(1, Relaxed) {
                        0..11 => panic!("it cannot"),
                        11 => {
                            tokio::time::sleep(CALM).await;
                            panic!("it cannot any more")
                        }
                        _ => {}
                    }
                }
            }
        });
        task.await.unwrap();
        assert_eq!((begun.load(Relaxed), times("a kept task")), (13, 12));
        let pauses: Duration = (0..11).map(|n| (SHORT * 2_u32.pow(n)).min(LONG)).sum();
        let slack = Duration::from_millis(50);
        let took = clock::now() - start;
        assert!(took >= pauses + CALM + SHORT && took < pauses + CALM + SHORT + slack, "{took:?}");
    }

    /// Scenario: a task that ends by itself panics, alone and in a set. Guarantee: it is counted once, and whoever waits for it hears of it; one that
    /// is cut off, or ends well, is not counted.
    #[tokio::test]
    async fn a_task_that_ended_is_counted() {
        assert!(spawn("a task", async { panic!("it cannot") }).await.unwrap_err().is_panic());
        assert_eq!(times("a task"), 1);
        assert_eq!(spawn("another task", async { 7 }).await.unwrap(), 7);
        let cut_off = spawn("another task", std::future::pending::<()>());
        cut_off.abort();
        assert_eq!(ended("another task", cut_off.await), None);
        assert_eq!(times("another task"), 0);
        let mut set = tokio::task::JoinSet::new();
        set.spawn(async { panic!("it cannot") });
        assert_eq!(ended::<()>("a task of a set", set.join_next().await.unwrap()), None);
        assert_eq!(times("a task of a set"), 1);
    }

    /// Scenario: a task panics that nothing can replace, and so does what is done last. Guarantee: it is counted, and who runs the program hears
    /// its name, whether asked before or after.
    #[tokio::test]
    async fn a_vital_task_ends_the_program() {
        let before = spawn("a listener", broken());
        vital("a vital task", async { panic!("it cannot") }, || panic!("nor this")).await.unwrap();
        assert_eq!(before.await.unwrap(), broken().await);
        assert!(broken_now().is_some());
        assert_eq!(times("a vital task"), 1);
    }
}
