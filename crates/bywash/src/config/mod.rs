//! Configuration values.

pub mod duration;
pub mod secret;
