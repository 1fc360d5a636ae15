//! The configuration: OpenTelemetry Collector YAML, with every error at once.
//!
//! The way of a configuration through this module:
//! [`load`] reads the sources ([`parse`]), merges them and expands `${…}` ([`expand`]) into one tree of [`node`]s that know
//! where they were written; [`document`] takes the tree apart into components and pipelines and checks the references;
//! each component then decodes its own node ([`decode_valid`]). Whatever is wrong goes to [`Diagnostics`], which prints it
//! with its place.
//!
//! Invariants: no input panics, recursion and memory are bounded, secrets and expanded values are never in a message. ([`print`]
//! shows what references gave, because it is asked to.)
//! It does NOT know the components: the caller brings the table of [`document::Kinds`].

pub mod de;
pub mod diagnostic;
pub mod document;
pub mod duration;
pub mod environment;
pub mod expand;
pub mod id;
pub mod load;
pub mod node;
pub mod optional;
pub mod ordered;
pub mod parse;
pub mod path;
pub mod print;
pub mod scalar;
pub mod secret;
pub mod service;
pub mod size;
pub mod source;
pub mod suggest;
pub mod validate;
mod wrapped;

pub use de::{Located, decode};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use document::{Component, Document, Kind, Kinds};
pub use duration::GoDuration;
pub use environment::{Environment, ProcessEnvironment};
pub use id::{ComponentId, PipelineId};
pub use load::{Loaded, load};
pub use secret::Secret;
pub use size::ByteSize;
pub use validate::{Report, Validate, decode_valid};

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
