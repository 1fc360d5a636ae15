//! What a receiver that pulls keeps over reloads: its source, with the positions and what is in flight.
//!
//! A source belongs to the receiver's id: the next receiver of that id goes on with it, as long as its positions are
//! kept in the same place. One that is replaced, or whose receiver is gone, ends when what it has in flight has ended.

use super::BindError;
use flow::source::{LogError, Positions};
use flow::{Budget, Inlet, Source, SourceConfig, Stopper, clock, task};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long a directory of positions may be in use by the one before.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);
/// How long a source that nothing reads any more may wait for what it has in flight.
const FAREWELL: Duration = Duration::from_secs(30);

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sources(Arc<Mutex<Option<Kept>>>);

struct Kept {
    directory: Option<PathBuf>,
    source: Source,
    stopper: Option<Stopper>,
    task: Option<JoinHandle<()>>,
}

/// A source that is ready and not in use yet.
pub struct Ready {
    sources: Sources,
    config: SourceConfig,
    /// None: the one that is there goes on.
    new: Option<Kept>,
}

impl Sources {
    /// Makes ready a source of this name, with its positions in this directory, or else in memory. Must be called
    /// within a runtime.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub async fn prepare(
        &self,
        name: &str,
        inlet: Inlet,
        budget: Budget,
        directory: Option<&Path>,
        config: SourceConfig,
    ) -> Result<Ready, BindError> {
        let is_same = self.0.lock().as_ref().is_some_and(|kept| kept.directory.as_deref() == directory);
        let sources = self.clone();
        if is_same {
            return Ok(Ready { sources, config, new: None });
        }
        let positions = match directory {
            None => Positions::in_memory(),
            Some(directory) => open(directory).await?,
        };
        let (stopper, stop) = Stopper::new();
        let source = Source::new(name, inlet, budget, positions, stop, config.clone());
        let directory = directory.map(Path::to_owned);
        Ok(Ready { sources, config, new: Some(Kept { directory, source, stopper: Some(stopper), task: None }) })
    }

    /// The source that is in use.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.0.lock().as_ref().map(|kept| kept.source.clone())
    }

    /// Everything ends now: what is in flight is to be read again, and the positions are written a last time.
    pub async fn end(&self) {
        let Some(mut kept) = self.0.lock().take() else { return };
        if let Some(stopper) = kept.stopper.take() {
            stopper.stop(Duration::ZERO);
        }
        // They end by themselves, now.
        kept.source.settled(clock::now() + PATIENCE).await;
        if let Some(task) = kept.task.take() {
            task::ended("positions", task.await);
        }
    }
}

impl Ready {
    /// Puts it to use, and gives it.
    #[must_use]
    pub fn take(self) -> Source {
        let Ready { sources, config, new } = self;
        let mut kept = sources.0.lock();
        if let Some(mut new) = new {
            let source = new.source.clone();
            new.task = Some(task::keep("positions", move || source.clone().keep_positions()));
            *kept = Some(new);
        }
        let source = kept.as_ref().map(|kept| kept.source.clone());
        drop(kept);
        match source {
            Some(source) => {
                source.configure(config);
                source
            }
            None => unreachable!("it was there, or was put there"),
        }
    }
}

impl Drop for Kept {
    /// Nothing reads from it any more; what it has in flight is waited for.
    fn drop(&mut self) {
        let (Some(stopper), Some(_)) = (self.stopper.take(), self.task.take()) else { return };
        let source = self.source.clone();
        if tokio::runtime::Handle::try_current().is_ok() {
            task::spawn("positions", async move {
                source.settled(clock::now() + FAREWELL).await;
                stopper.stop(Duration::ZERO);
                source.flush().await;
            });
        }
    }
}

async fn open(directory: &Path) -> Result<Positions, BindError> {
    let until: Instant = clock::now() + PATIENCE;
    loop {
        let path = directory.to_owned();
        let opened = match tokio::task::spawn_blocking(move || Positions::open(&path)).await {
            Ok(opened) => opened,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        match opened {
            Err(LogError::Locked(_)) if clock::now() < until => tokio::time::sleep(LOOK).await,
            other => return other.map_err(BindError::Positions),
        }
    }
}
