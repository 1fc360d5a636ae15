//! The commands that are programs of their own, beside running pipelines.
//!
//! | to change | open |
//! |---|---|
//! | `bywash dlq`: looks after dead letters | [`dlq`] |
//! | `bywash load`: generates telemetry | [`load`] |
//! | `bywash positions`: shows how far files were read | [`positions`] |
//! | `bywash query`: finds records in a store | [`query`] |
//! | `bywash sink`: takes telemetry and counts it | [`sink`] |
//! | `bywash stages`: shows what each stage does to a line | [`stages`] |
//!
//! Each has its `Args` (clap) and a `run` that gives the exit code. They are made of the same receivers and exporters as pipelines.

pub mod dlq;
mod interrupt;
mod latency;
pub mod load;
pub mod positions;
mod progress;
pub mod query;
pub mod sink;
pub mod stages;
