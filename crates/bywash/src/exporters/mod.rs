//! Exporters: what telemetry leaves by. Each makes one attempt at a time; everything else is the lane's.

pub mod otlp_grpc;
pub mod otlp_http;
pub mod queue;
#[cfg(test)]
pub(crate) mod testing;

/// Why an exporter could not be built from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);
