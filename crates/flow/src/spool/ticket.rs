//! The ownership of one live piece of a spool.
//!
//! Invariant: a piece has one [`Ticket`] at a time, or is a bare [`Key`] in the queue of a lane, or is loose. A ticket may be
//! shared by the parts that its piece was divided into: the piece is done when the last of them is. A ticket that is dropped
//! makes its piece loose again, unless it was finished: duplicates before loss.

use super::store::Key;
use super::writer::Spool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// See the module.
pub struct Ticket {
    inner: Arc<Inner>,
    finished: bool,
}

struct Inner {
    spool: Arc<Spool>,
    key: Key,
    /// Some part of the piece came back unfinished.
    kept: AtomicBool,
    /// Whoever has the key owns the piece.
    taken: AtomicBool,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ticket").field(&self.inner.key).finish()
    }
}

impl Ticket {
    /// The ticket of a live piece that nobody else owns.
    #[must_use]
    pub fn new(spool: Arc<Spool>, key: Key) -> Ticket {
        let [kept, taken] = [false, false].map(AtomicBool::new);
        Ticket { inner: Arc::new(Inner { spool, key, kept, taken }), finished: false }
    }

    /// The piece.
    #[must_use]
    pub fn key(&self) -> Key {
        self.inner.key
    }

    /// One more part of the same piece.
    #[must_use]
    pub fn share(&self) -> Ticket {
        Ticket { inner: self.inner.clone(), finished: false }
    }

    /// Whether it stands for the whole of its piece.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// This part is done with; so is the piece if no other part is left.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// Gives up the ticket but not the piece: whoever holds the key owns it now. It must be whole.
    #[must_use]
    pub fn into_key(mut self) -> Key {
        self.finished = true;
        self.inner.taken.store(true, Relaxed);
        self.inner.key
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.inner.kept.store(true, Relaxed);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match (*self.taken.get_mut(), *self.kept.get_mut()) {
            (true, _) => {}
            (false, true) => self.spool.loosen([self.key]),
            (false, false) => self.spool.finish(self.key),
        }
    }
}
