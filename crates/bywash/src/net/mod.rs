//! The network: connections, TLS, compression and the protocols on top of them. Knows no telemetry.

pub mod client;
pub mod tls;
