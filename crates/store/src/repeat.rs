//! Which requests were taken lately: a sender that did not hear the answer sends the same bytes again.
//!
//! A request is known by its hash for a time, up to a number of requests; the oldest are forgotten first.

use foldhash::HashMap;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    window: u64,
    most: usize,
    known: HashMap<u64, u64>,
    queue: VecDeque<(u64, u64)>,
}

impl Repeats {
    /// Remembers for so many nanoseconds, and at most so many.
    pub fn new(window: u64, most: usize) -> Self {
        Repeats { window, most, known: HashMap::default(), queue: VecDeque::new() }
    }

    /// Whether a request was taken within the window before `now`.
    pub fn has(&self, hash: u64, now: u64) -> bool {
        self.known.get(&hash).is_some_and(|at| now.saturating_sub(*at) <= self.window)
    }

    /// Remembers a request.
    pub fn insert(&mut self, hash: u64, now: u64) {
        self.known.insert(hash, now);
        self.queue.push_back((hash, now));
        while let Some(&(oldest, at)) = self.queue.front() {
            if self.queue.len() <= self.most && now.saturating_sub(at) <= self.window {
                return;
            }
            self.queue.pop_front();
            // Unless it came again since.
            if self.known.get(&oldest) == Some(&at) {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: requests that come again within the window, after it, and after many others.
    /// Guarantee: only within the window and the number are they known, and memory is bounded.
    #[test]
    fn requests_are_known_for_a_time() {
        let mut repeats = Repeats::new(10, 3);
        repeats.insert(1, 0);
        assert!(repeats.has(1, 10) && !repeats.has(1, 11) && !repeats.has(2, 0));
        repeats.insert(1, 11);
        assert!(repeats.has(1, 20));
        (2..6).for_each(|hash| repeats.insert(hash, 12));
        assert!(!repeats.has(1, 12) && repeats.has(3, 12));
        assert!(repeats.queue.len() <= 3 && repeats.known.len() <= 3);
    }
}
