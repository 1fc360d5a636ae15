//! The collector's log operators (`operators:` of its log receivers): parsers, transformers and routes, run as one
//! function call per record. Pure and synchronous: bytes, files and time are the caller's.
//!
//! ```text
//! list of the configuration ─► Chain::new ─► Chain::run(entry, now, out) ─► Out: sent, or passed over
//!                                              └─ recombine keeps entries until Chain::flush
//! ```
//!
//! | to change | open |
//! |---|---|
//! | what a record is, and how it becomes OTLP | [`record`], [`value`] |
//! | how a part of a record is named | [`field`] |
//! | what `if` and `expr` may say | [`expr`] |
//! | how keys are read, and what is said of wrong ones | [`keys`] |
//! | which operator comes after which, what becomes of failures | [`chain`] |
//! | what one operator does | `operators/` |
//!
//! Invariants: whatever is handed in comes out once, sent or passed over, with what its caller attached to it; what is
//! kept is bounded by the keys of `recombine`. An operator leads only to later ones, so that a run ends.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod chain;
pub mod expr;
pub mod field;
pub mod keys;
mod operators;
pub mod record;
#[cfg(test)]
mod tests;
pub mod value;

pub use chain::{Chain, Entry, Out, Tag, Tags, Trouble};
pub use field::Field;
pub use keys::Wrong;
pub use record::Record;
pub use value::{Map, Value};
