//! The program: receivers, exporters, configuration and telemetry around the flow.

pub mod config;
pub mod exporters;
pub mod net;
