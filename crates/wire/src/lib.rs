//! OTLP on bytes.
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
//! | what is refused at the door, and how records are counted | [`check`] |
//! | a message that is a list of slices | [`chunks`] |
//! | what messages OTLP has and which fields they carry | [`schema`] |

pub mod check;
pub mod chunks;
pub mod field;
pub mod schema;
pub mod signal;

pub use check::{Census, CheckLimits, check};
pub use chunks::{Chunks, ChunksBuf};
pub use field::{Fault, Malformed};
pub use signal::Signal;
