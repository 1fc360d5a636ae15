//! The components: receivers, processors, exporters, extensions, and the resolvers that tell exporters of their backends.
//!
//! | to change | open |
//! |---|---|
//! | where telemetry comes in | [`receivers`] |
//! | what happens to it on the way | [`processors`] |
//! | where it goes | [`exporters`] |
//! | where an exporter's list of backends comes from | [`resolvers`] |
//! | what runs beside the pipelines: health, storage, who may send | [`extensions`] |
//!
//! Components of a kind, and the kinds except resolvers, are siblings: none imports another. It does NOT know how they are planned and put
//! together: that is the program's.

pub mod exporters;
pub mod extensions;
pub mod processors;
pub mod receivers;
pub mod resolvers;
