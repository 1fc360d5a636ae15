//! The list of traces.
