//! How a question is put to an open store: on a thread that may wait, in turn, within a time, and for no longer than its asker waits.

use super::open::OpenStore;
use ::store::{Engine, Until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a store is searched for one question.
pub const SEARCH_TIME: Duration = Duration::from_secs(30);

/// Says that the asker has gone when it is dropped.
struct Asker(Arc<AtomicBool>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl OpenStore {
    /// Asks. None if the runtime ends; a panic goes on here.
    pub async fn ask<T: Send + 'static>(
        self: Arc<Self>,
        what: impl FnOnce(&dyn Engine, Until<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.turn().await?;
        let asker = Asker(Arc::default());
        let has_gone = asker.0.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let end: Instant = flow::clock::now() + SEARCH_TIME;
            let answer = what(self.store(), &|| has_gone.load(Relaxed) || flow::clock::now() >= end);
            // Not before the store, which may be the last of its kind and write.
            drop(self);
            drop(permit);
            answer
        });
        let answered = asked.await;
        drop(asker);
        match answered {
            Ok(answer) => Some(answer),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }
}
