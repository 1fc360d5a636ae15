//! Processors: the steps of a pipeline.
//!
//! [`loki_stages`] runs as a step. The two that almost every collector configuration has do not run here as steps; what they ask for is done elsewhere, and
//! better: [`batch`] shapes the requests that an exporter's lanes form, [`memory_limiter`] sets the memory budget.
//!
//! Processors are siblings and never import each other.

pub mod batch;
pub mod loki_stages;
pub mod memory_limiter;
