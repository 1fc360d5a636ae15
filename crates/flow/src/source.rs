//! Sources that are pulled: files, pods, Kafka. What waits where it is need not be refused, so such a source is held
//! back, and only it.
//!
//! ```text
//! reader ─► Feed::submit ─► room in flight, memory, queues ─► Inlet::pull ─► lanes ─► Outcome
//!   ▲                                                                              │
//!   └── Standing (what is still to be read) ◄── Ledger ◄── delivered / dropped ◄───┘ ── Positions ─► disk
//! ```
//!
//! A batch carries the [`Span`]s it was read from. It ends in one of three ways and no others: *delivered* (or durably
//! queued), *dropped* (for good, counted by reason, in the dead letters where an exporter keeps some), *abandoned* (at
//! a stop or a crash). The first two settle its spans, the third gives them back. Anything else, a full queue or a
//! destination that failed, means that it is tried again.
//!
//! | to change | open |
//! |---|---|
//! | which ranges are settled, in flight, still to be read | [`ledger`] |
//! | how positions are kept on disk | [`positions`], [`log`](mod@log), [`record`] |
//! | how a batch is handed over, tried again, ended | [`feed`], [`flight`] |
//! | how it enters the pipelines | `inlet/source.rs` |
//!
//! Invariants: no position passes a byte that was not delivered or dropped; what settles for an earlier generation of a
//! stream moves nothing of the present one; what is in flight is bounded, in batches and in bytes. It does not read
//! anything, and knows neither files nor records.

pub mod feed;
mod flight;
pub mod ledger;
pub mod log;
pub mod positions;
pub mod record;
#[cfg(test)]
mod tests;

pub use feed::{Ended, Feed, Pulled, Source, SourceConfig, SourceStats};
pub use ledger::{Ranges, Span, Standing};
pub use log::{LogError, Opened};
pub use positions::Positions;
