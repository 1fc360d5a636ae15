//! The oracle: OTLP as the official .proto files and prost understand it.
//!
//! The `wire` crate works on bytes and never builds these types; its tests do, to hold every answer of `wire` against a
//! full decode; likewise [`loki`], the push messages of Loki. Tests, fuzz seeds and benchmarks only: nothing that ships depends on this crate. The types are generated,
//! so the only knowledge of OTLP written by hand here is which values are worth generating ([`generate`]).

pub mod generate;
pub mod loki;
mod types;
pub mod whole;

pub use types::common::v1 as common;
pub use types::logs::v1 as logs;
pub use types::metrics::v1 as metrics;
pub use types::resource::v1 as resource;
pub use types::trace::v1 as trace;

pub use types::collector::logs::v1::{
    ExportLogsServiceRequest as LogsRequest, ExportLogsServiceResponse as LogsResponse,
};
pub use types::collector::metrics::v1::{
    ExportMetricsServiceRequest as MetricsRequest, ExportMetricsServiceResponse as MetricsResponse,
};
pub use types::collector::trace::v1::{
    ExportTraceServiceRequest as TracesRequest, ExportTraceServiceResponse as TracesResponse,
};

/// The descriptors of every message of the vendored files.
///
/// # Errors
/// Never in practice: the set was encoded by the build script.
pub fn descriptors() -> Result<prost_types::FileDescriptorSet, prost::DecodeError> {
    prost::Message::decode(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice())
}
