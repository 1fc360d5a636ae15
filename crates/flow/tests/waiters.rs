//! The wake-up of senders that wait for room, under every interleaving and every order of memory that `loom` knows.
//!
//! The module under test is compiled here with `loom`'s locks and atomics in place of the standard ones.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a test, and the parts of a module that it does not use"
)]

mod sync {
    pub use loom::sync::atomic::AtomicU64;
    pub use loom::sync::{Arc, Mutex};
}

#[path = "../src/ledger/stock.rs"]
mod stock;

use loom::future::block_on;
use loom::thread;
use stock::{Lack, Line, Stock};
use sync::Arc;

fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

async fn wait(stock: &Stock, line: &Arc<Line>, n: u64) {
    stock.wait(line, || if stock.take(n, |_| true) { Ok(()) } else { Err(Lack::Shared) }).await;
}

/// Scenario: room is given back while a sender begins to wait for it. Guarantee: it has the room, whatever the order: no wake-up is missed.
#[test]
fn who_waits_is_woken() {
    model(|| {
        let (stock, own, other) = (Stock::new(1), Arc::new(Line::default()), Arc::new(Line::default()));
        assert!(stock.take(1, |_| true));
        let waiter = thread::spawn({
            let stock = stock.clone();
            move || block_on(wait(&stock, &own, 1))
        });
        stock.give_back(1, Some(&other));
        waiter.join().unwrap();
        assert_eq!(stock.used(), 1);
    });
}

/// Scenario: two senders wait in one line for room for both, which is given back in one step. Guarantee: both have it: who has his wakes the next.
#[test]
fn one_release_serves_as_many_as_it_can() {
    model(|| {
        let (stock, line) = (Stock::new(2), Arc::new(Line::default()));
        assert!(stock.take(2, |_| true));
        let waiter = thread::spawn({
            let (stock, line) = (stock.clone(), line.clone());
            move || block_on(wait(&stock, &line, 1))
        });
        stock.give_back(2, None);
        block_on(wait(&stock, &line, 1));
        waiter.join().unwrap();
        assert_eq!(stock.used(), 2);
    });
}
