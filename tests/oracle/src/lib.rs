//! The oracle: OTLP as the official .proto files and prost understand it.
//!
//! The `wire` crate works on bytes and never builds these types; its tests do, to hold every answer of `wire` against a
//! full decode. Tests and benchmarks only: nothing that ships depends on this crate. It contains no hand-written
//! knowledge of OTLP, which is what makes it an oracle.

#![allow(missing_docs, reason = "generated from the .proto files, which document themselves")]

use prost::Message as _;

include!(concat!(env!("OUT_DIR"), "/otlp.rs"));

pub use opentelemetry::proto::collector::logs::v1 as logs_service;
pub use opentelemetry::proto::collector::metrics::v1 as metrics_service;
pub use opentelemetry::proto::collector::trace::v1 as trace_service;
pub use opentelemetry::proto::{common::v1 as common, logs::v1 as logs, metrics::v1 as metrics};
pub use opentelemetry::proto::{resource::v1 as resource, trace::v1 as trace};

/// The descriptors of every message of the vendored files.
///
/// # Errors
/// Never in practice: the set was encoded by the build script.
pub fn descriptors() -> Result<prost_types::FileDescriptorSet, prost::DecodeError> {
    prost_types::FileDescriptorSet::decode(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice())
}
