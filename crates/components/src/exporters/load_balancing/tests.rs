//! The acceptance list of the issue, item by item: `item_07_…` is item 7. Backends are fakes and time is paused, unless a test
//! says otherwise. Item 34 needs a process to be killed: `tests/e2e/lb_durable.rs`.

mod apart;
mod backends_fail;
mod batches;
mod churn;
mod fleet;
mod latency;
mod metrics;
mod routing;
mod sockets;
mod waiting;
