//! The program: receivers, exporters, configuration and telemetry around the flow.

pub mod config;
pub mod net;
pub mod receivers;
