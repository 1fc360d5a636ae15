//! The components: receivers, processors, exporters, extensions, and the resolvers that tell exporters of their backends.

pub mod exporters;
pub mod extensions;
pub mod processors;
pub mod receivers;
pub mod resolvers;
