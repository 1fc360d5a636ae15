//! The log entry, every Loki stage, and the pipeline that runs them as one function call.
//!
//! Pure and synchronous: no task, no channel, no clock, no I/O. A [`Pipeline`] is built from [`Stages`], a configuration in
//! Promtail's or Alloy's words, and [`Pipeline::process`] runs one [`Entry`] through it. What stages do is what Grafana Alloy's do,
//! edge by edge; where we differ on purpose, the stage's own page of code says so.
//!
//! | to change | open |
//! |---|---|
//! | what an entry is, and how it maps to an OTLP log record | [`entry`] |
//! | how stages are run, nested and replaced | [`pipeline`] |
//! | how configuration is read, and its errors | [`config`] |
//! | how stages are read from a file of Alloy's | [`alloy`] |
//! | one stage | `stage/<name>.rs` |
//! | what is counted | [`metrics`] |
//! | Go's regular expressions, times, templates and numbers | [`go`] |
//! | how JSON is read | [`json`] |

pub mod alloy;
pub mod config;
pub mod entry;
pub mod go;
pub mod json;
pub mod metrics;
pub mod pipeline;
mod shared;
mod stage;
pub mod text;

pub use config::{ConfigError, Findings, Options, Stages, Unknown};
pub use entry::{Entry, Labels, Timestamp};
pub use metrics::{MetricKind, Sample};
pub use pipeline::{Now, Observer, Outcome, Pipeline};
pub use stage::NAMES;
pub use text::Text;
