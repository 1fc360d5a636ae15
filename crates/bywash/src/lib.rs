//! The program: receivers, exporters, configuration and telemetry around the flow.

pub mod clock;
pub mod config;
pub mod exporters;
pub mod extensions;
pub mod net;
pub mod processors;
pub mod receivers;
pub mod resolvers;
pub mod telemetry;
