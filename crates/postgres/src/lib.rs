//! The store in PostgreSQL: the same questions as the embedded one, and several processes on one database.
//!
//! ```text
//!   keep ──► rows (on the caller's thread) ──► a group of requests ──► one transaction:
//!              requests (hashes) · origins · logs · spans · counts · traces, each in the partition of the day of arrival
//! ```
//!
//! - **Lossless.** A record is kept as the OTLP bytes that came, in a `bytea`; columns beside it are for searching. What PostgreSQL's types
//!   cannot hold (a NUL in a text, nanoseconds, bytes that are no UTF-8) is changed in these columns only.
//! - **Once.** The hash of a request is in the same transaction as its rows, so that whatever is killed, a request that comes again within
//!   ten minutes is known if, and only if, its rows are there.
//! - **The same answers.** Conditions of a question leave little in SQL, and [`store::Filter`] decides, as the embedded engine would.
//! - **Bounded.** Each statement has a time, each answer a number of rows; a question that is ended is cancelled in the server.
//! - **Removal is `DROP TABLE`** of the partitions of a day.
//!
//! PostgreSQL 14 or later, no extensions; why the tables are as they are is in `docs/adr/0024-postgresql-beside-the-segments.md`.
//!
//! | to change | open |
//! |---|---|
//! | what users hold | `engine.rs` |
//! | the settings | `config.rs` |
//! | the tables, and days | `schema.rs` |
//! | connections, TLS, cancelling | `connect.rs`, `tls.rs` |
//! | which failures may be tried again | `failure.rs` |
//! | how a request becomes rows | `rows.rs`, `copy.rs` |
//! | how rows are written, and bad ones found | `write.rs` |
//! | summaries of traces | `trace.rs` |
//! | questions | `search.rs`, `narrow.rs`, `tally.rs`, `fields.rs` |

mod config;
mod connect;
mod copy;
mod engine;
mod failure;
mod fields;
mod narrow;
mod rows;
mod schema;
mod search;
mod tally;
mod tls;
mod trace;
mod write;

pub use config::{Config, Encryption, LEAST_TIMEOUT, Wrong};
pub use engine::{OpenError, Postgres};
