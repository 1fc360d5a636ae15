//! OTLP on bytes, and Loki's push messages beside it.
//!
//! Telemetry stays protobuf from socket to socket; what must be known about it (is it sound, how many records, which key
//! decides its route) is read from the bytes, and what must be done to it (divide, merge) is done by copying ranges of them.
//! Everything here is a pure function on bytes: no async, no I/O, no clock, no decoding into object trees.
//!
//! Protobuf's awkward rules hold everywhere: a `resource` may be absent, may come after its scopes, may come twice; unknown
//! fields survive; groups, field number 0 and lengths past the end are refused.
//!
//! | to change | open |
//! |---|---|
//! | what the signals are, and the field numbers they share | [`signal`] |
//! | how one protobuf field is read or written | [`field`] |
//! | what is refused at the door, and how records are counted | [`mod@check`] |
//! | a message that is a list of slices | [`chunks`] |
//! | what a message was before it was decompressed | [`compressed`] |
//! | where resources, scopes and records are in a request | [`index`] |
//! | what a route can be decided by | [`key`] |
//! | how a request is divided over outputs | [`split`] |
//! | which records enter under overload | [`priority`] |
//! | how a request is cut to a limit | [`limit`] |
//! | how resources and records are changed in place | [`edit`] |
//! | how requests are merged and equal headers folded | [`pack`] |
//! | how records of several requests are put into another order | [`pile`] |
//! | how a request grows out of records of many | [`sheaf`] |
//! | how messages are written from parts | [`build`] |
//! | what messages OTLP has and which fields they carry | [`schema`] |
//! | how OTLP/JSON is read and written | [`json`] |
//! | bytes that should be text | [`lossy`] |
//! | how Loki's push messages become OTLP and back | [`loki`] |

pub mod build;
pub mod check;
pub mod chunks;
pub mod compressed;
pub mod edit;
pub mod field;
pub mod index;
pub mod json;
pub mod key;
pub mod limit;
pub mod loki;
pub mod lossy;
pub mod pack;
pub mod pile;
pub mod point;
pub mod priority;
pub mod schema;
pub mod sheaf;
pub mod signal;
pub mod split;
#[cfg(test)]
mod testing;

pub use check::{Census, CheckLimits, check, check_and_note};
pub use chunks::{Chunks, ChunksBuf};
pub use compressed::{Coding, Compressed};
pub use edit::Attributes;
pub use field::{Fault, Malformed};
pub use index::{Entry, Index, Record, Records};
pub use limit::split_limit;
pub use pack::{PackLimits, Packer};
pub use pile::{Pick, Pile};
pub use priority::{Priority, split_priority};
pub use sheaf::Sheaf;
pub use signal::Signal;
pub use split::{Part, SplitScratch, split_records, split_resources};
