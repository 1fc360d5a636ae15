//! What has no target at present: kept until there is one, or until `max_elapsed_time` has passed.
//!
//! Having no target counts as a failed try, so that the time of an item begins with the first of those, or with its first attempt
//! if there was one, and is not begun anew. Bounded by the capacity: each item holds its room.
//!
//! It does not route and does not settle: whoever takes items out of it does.

use crate::batcher::Item;
use crate::clock;
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// See the module.
#[derive(Default)]
pub(crate) struct Orphans {
    items: Mutex<Vec<Item>>,
    added: Notify,
}

impl Orphans {
    /// Keeps an item.
    pub(crate) fn push(&self, mut item: Item) {
        item.tried.get_or_insert_with(clock::now);
        self.items.lock().push(item);
        self.added.notify_one();
    }

    /// Gives all of them.
    pub(crate) fn take(&self) -> Vec<Item> {
        std::mem::take(&mut *self.items.lock())
    }

    /// Waits until there are some whose time is over, and gives them. With `max` 0 that is never. One caller at a time.
    pub(crate) async fn expired(&self, max: Duration) -> Vec<Item> {
        loop {
            let (over, next) = self.over(clock::now(), max);
            if !over.is_empty() {
                return over;
            }
            tokio::select! {
                () = clock::sleep_until(next) => {}
                () = self.added.notified() => {}
            }
        }
    }

    /// Those whose time is over, and when that of the next is.
    fn over(&self, now: Instant, max: Duration) -> (Vec<Item>, Option<Instant>) {
        if max.is_zero() {
            return (vec![], None);
        }
        let end = |item: &Item| item.tried.map(|first| first + max);
        let mut items = self.items.lock();
        let over = items.extract_if(.., |item| end(item).is_some_and(|end| end <= now)).collect();
        (over, items.iter().filter_map(end).min())
    }
}
