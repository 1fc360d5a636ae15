//! Exporters: what telemetry leaves by. Each makes one attempt at a time; everything else is the lane's.

pub mod otlp_grpc;
pub mod queue;
