//! The program's own telemetry: metrics, logs, and the small HTTP server behind metrics and health.
//!
//! | to change | open |
//! |---|---|
//! | which metrics there are, and their names | [`metrics`] |
//! | how a page of metrics is written | [`exposition`] |
//! | when the program says that it takes data | [`health`] |
//! | what the operating system says of the process | [`process`] |
//! | how the log looks, where it goes, what is left out of it | [`logs`] |
//! | who writes it, and what happens when nobody reads | [`writer`] |
//!
//! It counts nothing itself: the numbers are kept by `flow` and the components. It does not know how the program is built.

pub mod exposition;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod writer;
