//! The duty to say what became of a request.
//!
//! An [`Ack`] is linear: it is settled exactly once. Forks of it share one node; when the last of them is settled, the worst
//! outcome is told to whoever waits and the budget permit that lives in the node is given back. So memory is released exactly
//! when the work is done, whatever path it took.
//!
//! Invariants: the node's reference count *is* the number of unsettled forks; an `Ack` that is dropped unsettled settles as
//! `Failed`, is counted ([`leaked`]), logged, and panics in debug builds, because it is always a bug.

use crate::budget::Permit;
use crate::outcome::{Kind, Outcome, Why};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

static LEAKED: AtomicU64 = AtomicU64::new(0);

/// Acks that were dropped unsettled since the process began. Anything but 0 is a bug.
#[must_use]
pub fn leaked() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// Who is told when the last fork is settled.
enum Listener {
    Nobody,
    Waiter(oneshot::Sender<Outcome>),
    Call(Box<dyn FnOnce(Outcome) + Send + Sync>),
    Parents(Vec<Ack>),
}

struct Node {
    /// The worst of the forks that were settled so far; `None` stands for `Delivered`, the common case, which takes no lock.
    worst: Mutex<Option<Outcome>>,
    listener: Listener,
    /// Another node that waits for this one.
    parent: Option<Ack>,
    _permit: Option<Permit>,
}

/// The duty to settle one request or a piece of it. See the module.
#[must_use = "an ack that is dropped unsettled is a bug"]
pub struct Ack {
    node: Option<Arc<Node>>,
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

impl Ack {
    fn with(listener: Listener, parent: Option<Ack>, permit: Option<Permit>) -> Ack {
        Ack { node: Some(Arc::new(Node { worst: Mutex::new(None), listener, parent, _permit: permit })) }
    }

    /// An ack nobody waits for; settling it gives the permit back.
    pub fn unwatched(permit: Option<Permit>) -> Ack {
        Ack::with(Listener::Nobody, None, permit)
    }

    /// An ack whose outcome arrives at the receiver.
    pub fn watched(permit: Option<Permit>) -> (Ack, oneshot::Receiver<Outcome>) {
        let (tx, rx) = oneshot::channel();
        (Ack::with(Listener::Waiter(tx), None, permit), rx)
    }

    /// An ack whose outcome is handed to `call`, on the task that settles the last fork: keep it short.
    pub fn calling(permit: Option<Permit>, call: impl FnOnce(Outcome) + Send + Sync + 'static) -> Ack {
        Ack::with(Listener::Call(Box::new(call)), None, permit)
    }

    /// A node of its own below this one: its outcome arrives at the receiver and then settles this ack.
    pub fn watch(self) -> (Ack, oneshot::Receiver<Outcome>) {
        let (tx, rx) = oneshot::channel();
        (Ack::with(Listener::Waiter(tx), Some(self), None), rx)
    }

    /// One more duty on the same request: each fork must be settled.
    pub fn fork(&self) -> Ack {
        Ack { node: self.node.clone() }
    }

    /// One duty in place of many: its outcome becomes the outcome of each.
    pub fn join(acks: Vec<Ack>) -> Ack {
        Ack::with(Listener::Parents(acks), None, None)
    }

    /// Says what became of it.
    pub fn settle(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(node) = self.node.take() else { return };
        if outcome != Outcome::Delivered {
            let mut worst = node.worst.lock();
            *worst = Some(match worst.take() {
                Some(w) => w.and(outcome),
                None => outcome,
            });
        }
        // Exactly one of the forks gets the node itself: the last one.
        if let Some(node) = Arc::into_inner(node) {
            let outcome = node.worst.into_inner().unwrap_or(Outcome::Delivered);
            if let Some(parent) = node.parent {
                parent.settle(outcome.clone());
            }
            match node.listener {
                Listener::Nobody => {}
                // A waiter that went away (its client hung up) loses nothing: the outcome is counted where it was decided.
                Listener::Waiter(tx) => drop(tx.send(outcome)),
                Listener::Call(call) => call(outcome),
                Listener::Parents(acks) => acks.into_iter().for_each(|a| a.settle(outcome.clone())),
            }
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.node.is_some() {
            LEAKED.fetch_add(1, Ordering::Relaxed);
            self.end(Outcome::failed(0, Why::new(Kind::Leaked, "acknowledgement dropped unsettled")));
            tracing::error!("acknowledgement dropped unsettled");
            if cfg!(debug_assertions) && !std::thread::panicking() {
                panic!("acknowledgement dropped unsettled");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rejected() -> Outcome {
        Outcome::Rejected { records: 1, why: Why::new(Kind::BadData, "no") }
    }

    /// Scenario: three forks, one is rejected. Guarantee: the waiter hears once, after the last, and hears the worst.
    #[test]
    fn the_last_fork_tells_the_worst() {
        let (ack, mut rx) = Ack::watched(None);
        let (b, c) = (ack.fork(), ack.fork());
        ack.settle(Outcome::Delivered);
        b.settle(rejected());
        assert!(rx.try_recv().is_err());
        c.settle(Outcome::Delivered);
        assert_eq!(rx.try_recv().unwrap(), rejected());
    }

    /// Scenario: acks of two requests are joined into one. Guarantee: each request hears the joined outcome.
    #[test]
    fn a_join_settles_all_its_parents() {
        let (a, mut ra) = Ack::watched(None);
        let (b, mut rb) = Ack::watched(None);
        Ack::join(vec![a, b]).settle(rejected());
        assert_eq!(ra.try_recv().unwrap(), rejected());
        assert_eq!(rb.try_recv().unwrap(), rejected());
    }

    /// Scenario: a watched node below another. Guarantee: both hear of it.
    #[test]
    fn a_watch_settles_its_parent_too() {
        let (root, mut above) = Ack::watched(None);
        let (child, mut below) = root.watch();
        child.settle(Outcome::Delivered);
        assert_eq!(above.try_recv().unwrap(), Outcome::Delivered);
        assert_eq!(below.try_recv().unwrap(), Outcome::Delivered);
    }

    /// Scenario: an ack is forgotten. Guarantee: it panics where tests run, counts, and the waiter hears `Failed`, never `Delivered`.
    #[test]
    #[cfg(debug_assertions)]
    fn a_dropped_ack_is_a_loud_failure() {
        let (ack, mut rx) = Ack::watched(None);
        let before = leaked();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(ack))).is_err());
        assert!(leaked() > before);
        assert!(matches!(rx.try_recv().unwrap(), Outcome::Failed { .. }));
    }

    proptest! {
        /// Scenario: any tree of forks, settled in any order. Guarantee: one answer, equal to the fold of all outcomes.
        #[test]
        fn any_tree_answers_once_with_the_worst(fates in prop::collection::vec(0u8..4, 1..40), seed in any::<u64>()) {
            let outcome = |k: u8| match k {
                0 => Outcome::Delivered,
                1 => Outcome::Dropped { records: 1, why: Why::new(Kind::Policy, "t") },
                2 => rejected(),
                _ => Outcome::failed(1, Why::new(Kind::Timeout, "t")),
            };
            let (ack, mut rx) = Ack::watched(None);
            let mut acks: Vec<Ack> = (1..fates.len()).map(|_| ack.fork()).collect();
            acks.push(ack);
            fastrand::Rng::with_seed(seed).shuffle(&mut acks);
            let mut expected = Outcome::Delivered;
            for (ack, fate) in acks.into_iter().zip(&fates) {
                prop_assert!(rx.try_recv().is_err());
                expected = expected.and(outcome(*fate));
                ack.settle(outcome(*fate));
            }
            prop_assert_eq!(rx.try_recv().unwrap(), expected);
        }
    }
}
