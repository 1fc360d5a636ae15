//! What is kept on disk for an exporter and signal, so that nothing acknowledged is lost.
//!
//! | to change | open |
//! |---|---|
//! | what can be configured | [`config`] |
//! | what is shown of it | [`view`] |

pub mod config;
pub mod view;

pub use config::{DeadLettersConfig, StorageConfig, WhenFull};
pub use view::SpoolView;
