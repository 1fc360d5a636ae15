//! A chunk: up to a thousand records of one tenant, signal and service.
//!
//! | to change | open |
//! |---|---|
//! | how a record is taken apart | [`parse`] |
//! | which columns there are, and how a record comes back | [`columns`] |
//! | how a chunk grows | [`open`] |
//! | how it is packed | [`write`] |
//! | how it is unpacked | [`read`] |
//! | what the index knows of it | [`entry`] |
//! | its filters | [`bloom`] |

pub(crate) mod bloom;
pub(crate) mod columns;
pub(crate) mod entry;
pub(crate) mod open;
pub(crate) mod parse;
pub(crate) mod read;
#[cfg(test)]
mod tests;
pub(crate) mod write;
