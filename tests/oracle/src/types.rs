//! The generated types. They are documented in the .proto files they come from.

#![allow(missing_docs, clippy::large_enum_variant, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/otlp.rs"));

pub use opentelemetry::proto::*;
