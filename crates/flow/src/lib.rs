//! How telemetry moves through Bywash without being lost, duplicated or wedged. Knows no protocol.
//!
//! ```text
//! receiver ─► Budget::open ─► Inlet::offer ─► Outlet ─► Router ─► Lane ─► Exporter::send ─► Attempt
//!                 │ refuse        │ shed         │ full     │ one per target      │
//!                 ▼               ▼              ▼          ▼                     ▼
//!            retry delay    partial success   refused    queue · batcher · breaker · retry ─► Outcome ─► Ack
//! ```
//!
//! | to change | open |
//! |---|---|
//! | what travels | [`payload`] |
//! | who is told what became of it | [`ack`], [`outcome`] |
//! | how much memory may be used, and who may still enter | [`budget`], [`drain`] |
//! | what queues may hold of that while others hold something too, and who waits for room | [`ledger`] |
//! | how a request enters the pipelines | [`inlet`] |
//! | what a stage is, and how requests are kept open while stages hold records back | [`stage`] |
//! | how held records come out when no request carries them along | [`release`] |
//! | an exporter's queue, its capacity and its lanes | [`outlet`], [`capacity`] |
//! | how requests are sorted together | [`gather`] |
//! | which target a record goes to | [`router`] |
//! | what is known of senders, and which of them stay apart | [`origin`] |
//! | what is kept on disk | [`spool`], [`dead_letters`] |
//! | what one destination does: queueing, batching, sending, retrying | [`lane`], [`batcher`], [`breaker`], [`retry`] |
//! | what an exporter must implement | [`exporter`] |
//! | how far a failure reaches, and who waits for what is shared | `scopes` |
//! | who may send at once | `permits` |
//! | how fast targets that are down are tried again | `pace` |
//! | what wakes lanes that rest | `alarms` |
//! | how files and other sources that are pulled are held back, and how far they have come | [`source`] |
//! | how everything ends | [`stop`] |
//! | what is counted | [`stats`] |
//! | how what waits is compressed | [`packed`] |
//! | what has no target at present | `orphans` |
//! | what becomes of a task that panics | [`task`] |
//! | who hears of what happens in lanes | [`mod@watch`] |
//!
//! [`batcher`], [`breaker`], [`retry`], [`drain`] and the arithmetic of [`budget`] are plain structs that are handed the time;
//! [`lane`] is the only event loop.

pub mod ack;
mod alarms;
pub mod batcher;
pub mod breaker;
pub mod budget;
pub mod capacity;
pub mod clock;
pub mod dead_letters;
pub mod drain;
pub mod exporter;
pub mod gather;
pub mod inlet;
pub mod lane;
pub mod ledger;
pub mod origin;
mod orphans;
pub mod outcome;
pub mod outlet;
mod pace;
pub mod packed;
pub mod payload;
mod permits;
pub mod release;
pub mod retry;
pub mod router;
mod scopes;
pub mod source;
pub mod spool;
pub mod stage;
pub mod stats;
pub mod stop;
pub mod task;
#[cfg(test)]
mod testing;
pub mod watch;

pub use ack::Ack;
pub use budget::{Budget, BudgetConfig, Level, Permit, Refusal, TenantsConfig};
pub use exporter::{Attempt, Exporter, Scope};
pub use inlet::{Accepted, Acknowledge, Funnel, Inlet};
pub use ledger::Stock;
pub use origin::Origin;
pub use outcome::{Kind, Outcome, Why};
pub use outlet::{Outgoing, Outlet};
pub use packed::Codec;
pub use payload::{Batch, Meta, Payload};
pub use release::Releaser;
pub use router::{Router, Target};
pub use source::{Feed, Pulled, Source, SourceConfig, Span};
pub use stage::{Hold, Release, Stage, Staged};
pub use stop::{Stop, Stopper};
pub use watch::Watch;
