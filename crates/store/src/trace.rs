//! Traces: what is known of each without reading its spans.
//!
//! | to change | open |
//! |---|---|
//! | what a summary is, and how two become one | [`summary`] |
//! | how summaries lie on disk | [`sums`] |
//! | how traces are listed | [`list`] |

pub(crate) mod list;
pub(crate) mod summary;
pub(crate) mod sums;
