//! End to end: the real binary, started with a configuration, fed by `bywash load`, emptied by `bywash sink` or by
//! servers made for mischief.
//!
//! Every test keeps the books ([`harness::books`]): per id, sent = delivered + refused + reported. Nothing here sleeps
//! in the hope that something has happened meanwhile: everything that is waited for is asked for until it is so, or
//! until a deadline. All ports are chosen by the system.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails, wherever it stands")]
#![allow(clippy::print_stdout, reason = "a test that fails shows what the processes logged")]

mod harness;

mod acknowledgement;
mod as_it_came;
mod authenticators;
mod bad_input;
mod chaos;
mod clients;
mod command_line;
mod connections;
mod crash_loop;
mod dead_letters;
mod disk_trouble;
mod drop_in;
mod durable;
mod fan_out;
mod file_log;
mod forwarding;
mod hostile_backends;
mod lb_churn;
mod lb_durable;
mod lb_network;
mod load_balancing;
mod loki;
mod loki_stages;
mod many_at_rest;
mod overload;
mod page;
mod prometheus;
mod reload;
mod spool_speed;
mod stages;
mod stopping;
mod store;
mod stuck_log;
mod telemetry;
mod ten_thousand;
