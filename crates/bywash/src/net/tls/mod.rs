//! TLS for both sides.

pub mod client;
