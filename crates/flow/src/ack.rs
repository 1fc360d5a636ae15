//! The duty to say what became of a request.
//!
//! An [`Ack`] is linear: it is settled exactly once. Forks of it share one node; when the last of them is settled, the worst
//! outcome is told to whoever waits and the budget permit that lives in the node is given back. So memory is released exactly
//! when the work is done, whatever path it took.
//!
//! A fork stands for a piece of the request, and a piece pins the whole of it: its bytes are slices of the request's. Once a piece
//! has become a copy of its own ([`Ack::copied`]), only the copy is charged for it; the request's own bytes are given back as soon as
//! every fork that is not settled stands for a copy.
//!
//! Invariants: the node's reference count *is* the number of unsettled forks; an `Ack` that is dropped unsettled settles as
//! `Failed`, is counted ([`leaked`]), logged, and panics in debug builds, because it is always a bug.

use crate::budget::{Budget, Permit};
use crate::outcome::{Kind, Outcome, Why};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    /// Forks that pin the request's bytes. Once it is 0 it stays so: a fork of a copy is a copy.
    pins: AtomicUsize,
    charge: Mutex<Charge>,
}

/// What the pieces of a node hold.
struct Charge {
    permit: Option<Permit>,
    /// Bytes of the request itself.
    whole: u64,
    /// Bytes of the copies that pieces have become.
    copies: u64,
    /// Another node that waits for this one, as one fork of it.
    parent: Option<Ack>,
}

impl Charge {
    fn update(&mut self, is_pinned: bool) {
        if let Some(permit) = &mut self.permit {
            permit.hold(self.copies + if is_pinned { self.whole } else { 0 });
        }
        if let Some(parent) = &mut self.parent {
            parent.charge(is_pinned, self.copies);
        }
    }
}

/// The duty to settle one request or a piece of it. See the module.
#[must_use = "an ack that is dropped unsettled is a bug"]
pub struct Ack {
    node: Option<Arc<Node>>,
    /// Whether its piece pins the request's bytes.
    pins: bool,
    /// Bytes of its piece that are not the request's.
    copies: u64,
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

impl Ack {
    fn with(listener: Listener, parent: Option<Ack>, permit: Option<Permit>) -> Ack {
        let whole = permit.as_ref().map_or(0, Permit::bytes);
        let charge = Mutex::new(Charge { permit, whole, copies: 0, parent });
        let node = Node { worst: Mutex::new(None), listener, pins: AtomicUsize::new(1), charge };
        Ack { node: Some(Arc::new(node)), pins: true, copies: 0 }
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
        if let (Some(node), true) = (&self.node, self.pins) {
            // This one pins too, so that it cannot be 0 meanwhile.
            node.pins.fetch_add(1, Ordering::Relaxed);
        }
        Ack { node: self.node.clone(), pins: self.pins, copies: 0 }
    }

    /// The piece that it stands for is now held in so many bytes of its own, whatever the budget's limits: a copy that was made to
    /// wait, or to be sent. May be said again when that changes.
    pub fn copied(&mut self, bytes: u64) {
        self.charge(false, bytes);
    }

    fn charge(&mut self, pins: bool, copies: u64) {
        let Some(node) = &self.node else { return };
        let mut charge = node.charge.lock();
        charge.copies = (charge.copies + copies).saturating_sub(self.copies);
        self.copies = copies;
        if self.pins && !pins {
            self.pins = false;
            node.pins.fetch_sub(1, Ordering::AcqRel);
        }
        charge.update(node.pins.load(Ordering::Acquire) > 0);
    }

    /// Whether the budget that its request is charged to is above its soft limit.
    #[must_use]
    pub fn is_short_of_memory(&self) -> bool {
        let Some(node) = &self.node else { return false };
        let charge = node.charge.lock();
        charge.permit.as_ref().is_some_and(Permit::is_short)
            || charge.parent.as_ref().is_some_and(Ack::is_short_of_memory)
    }

    /// Whether somebody waited for the outcome and has gone.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        let listener = self.node.as_ref().map(|node| &node.listener);
        matches!(listener, Some(Listener::Waiter(sender)) if sender.is_closed())
    }

    /// The budget that its request is charged to, if copies of its records, charged for themselves, may stand in its place: nobody
    /// waits for it, and neither a tenant's account nor a limit on records has to know of them.
    #[must_use]
    pub fn replaceable(&self) -> Option<Budget> {
        let node = self.node.as_ref().filter(|node| matches!(node.listener, Listener::Nobody))?;
        let charge = node.charge.lock();
        charge.permit.as_ref().filter(|_| charge.parent.is_none())?.untold()
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
        let was_last_pin = self.pins && node.pins.fetch_sub(1, Ordering::AcqRel) == 1;
        // The last fork gives everything back by itself, below.
        if (was_last_pin || self.copies > 0) && Arc::strong_count(&node) > 1 {
            let mut charge = node.charge.lock();
            charge.copies = charge.copies.saturating_sub(self.copies);
            charge.update(node.pins.load(Ordering::Acquire) > 0);
        }
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
            let charge = node.charge.into_inner();
            drop(charge.permit);
            if let Some(parent) = charge.parent {
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
    use crate::budget::BudgetConfig;
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

    /// Scenario: a request of 1000 bytes in two pieces, one of which becomes a copy of 100 and the other is settled. Guarantee: both are charged
    /// while both are held, then only the copy, then nothing; the request stays counted; the same through a node in between.
    #[test]
    fn a_copy_lets_go_of_the_request() {
        for nested in [false, true] {
            let budget = Budget::new(BudgetConfig { bytes: 1000, request_cost: 0, ..BudgetConfig::default() });
            let mut permit = budget.open(None).unwrap();
            permit.grow(1000).unwrap();
            let mut root = Ack::unwatched(Some(permit));
            if nested {
                let (below, _) = root.fork().watch();
                root.settle(Outcome::Delivered);
                root = below;
            }
            let (mut a, b) = (root.fork(), root);
            a.copied(100);
            assert_eq!(budget.bytes(), 1100);
            assert!(b.is_short_of_memory());
            b.settle(Outcome::Delivered);
            assert_eq!((budget.bytes(), budget.requests()), (100, 1));
            assert!(!a.is_short_of_memory());
            // It is unpacked to be sent, and divided.
            a.copied(900);
            let mut c = a.fork();
            a.copied(50);
            c.copied(60);
            assert_eq!(budget.bytes(), 110);
            a.settle(Outcome::Delivered);
            assert_eq!((budget.bytes(), budget.requests()), (60, 1));
            c.settle(Outcome::Delivered);
            assert_eq!((budget.bytes(), budget.requests()), (0, 0));
        }
    }

    proptest! {
        /// Scenario: any forks, some of which become copies of any size, some nested, settled in any order. Guarantee: what is charged is the
        /// request while anything pins it, plus the copies that are left; at the end nothing.
        #[test]
        fn what_is_charged_is_what_is_held(ops in prop::collection::vec((0u8..4, 0usize..20, 0u64..500), 1..60)) {
            let budget = Budget::new(BudgetConfig { request_cost: 0, ..BudgetConfig::default() });
            let mut permit = budget.open(None).unwrap();
            permit.grow(1000).unwrap();
            let (root, _rx) = Ack::unwatched(Some(permit)).watch();
            let mut held: Vec<(Ack, Option<u64>)> = vec![(root, None)];
            for (op, at, bytes) in ops {
                let at = at % held.len();
                match op {
                    0 => {
                        let fork = (held[at].0.fork(), held[at].1.map(|_| 0));
                        held.push(fork);
                    }
                    1 | 2 => {
                        held[at].0.copied(bytes);
                        held[at].1 = Some(bytes);
                    }
                    _ if held.len() > 1 => held.swap_remove(at).0.settle(Outcome::Delivered),
                    _ => {}
                }
                let pinned = if held.iter().any(|(_, copy)| copy.is_none()) { 1000 } else { 0 };
                prop_assert_eq!(budget.bytes(), pinned + held.iter().filter_map(|(_, copy)| *copy).sum::<u64>());
            }
            held.into_iter().for_each(|(ack, _)| ack.settle(Outcome::Delivered));
            prop_assert_eq!((budget.bytes(), budget.requests()), (0, 0));
        }

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
