//! The pieces that nobody works at: found at the start, given back by lanes, or written while others are still being placed.
//!
//! Invariant: what is loose is placed before what is written after it.

use super::Spool;
use super::group::Landing;
use crate::Target;
use crate::spool::store::Key;
use std::collections::VecDeque;
use std::sync::Weak;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Default)]
pub(super) struct Loose {
    pub(super) keys: VecDeque<Key>,
    /// Some are being placed: what is written meanwhile comes after them.
    pub(super) busy: bool,
}

impl Spool {
    /// Makes `landing` the one that takes over what is written, and what is loose, until another is attached. Gives its turn.
    pub fn attach(&self, landing: Weak<dyn Landing>) -> u64 {
        *self.landing.lock() = Some(landing);
        let turn = self.turn.fetch_add(1, Relaxed) + 1;
        self.loosened.notify_waiters();
        self.loosened.notify_one();
        turn
    }

    /// Whether nobody was attached since.
    #[must_use]
    pub fn is_turn(&self, turn: u64) -> bool {
        self.turn.load(Relaxed) == turn
    }

    /// Gives pieces back: nobody works at them.
    pub fn loosen(&self, keys: impl IntoIterator<Item = Key>) {
        self.loose.lock().keys.extend(keys);
        self.loosened.notify_one();
    }

    /// Waits until there may be loose pieces.
    pub async fn loosened(&self) {
        self.loosened.notified().await;
    }

    /// Gives back pieces that could not be placed, before all others.
    pub fn put_back_loose(&self, keys: Vec<Key>) {
        let mut loose = self.loose.lock();
        keys.into_iter().rev().for_each(|key| loose.keys.push_front(key));
    }

    /// A piece is to go to another target than it was written for.
    pub fn retarget(&self, key: Key, target: &Target) {
        self.store.retarget(key, target);
    }

    /// The oldest loose pieces. Until it gives none, what is written joins them instead of landing.
    #[must_use]
    pub fn take_loose(&self, most: usize) -> Vec<Key> {
        let mut loose = self.loose.lock();
        let count = most.min(loose.keys.len());
        loose.busy = count > 0;
        let taken = loose.keys.drain(..count).collect();
        // After a start there may have been millions, which are elsewhere now.
        if loose.keys.len() < loose.keys.capacity() / 4 {
            let room = 2 * loose.keys.len();
            loose.keys.shrink_to(room);
        }
        taken
    }
}
