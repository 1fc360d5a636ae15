//! Reading files as they grow, through rotation, truncation and restarts. Knows no telemetry, no configuration format
//! and no async.
//!
//! ```text
//! globs ─► Walk ─► who is who (identity) ─► Tracked files ─► Framer ─► Sink::line
//!                                            │ budget per file and round
//!                                            └─► Events: began, moved, truncated, at its end, over
//! ```
//!
//! [`Tailer::poll`] is driven by its caller, who owns the time: each call looks for files if that is due, visits those
//! that may have grown, and gives their lines to a [`Sink`] until that has enough. It blocks on the file system and on
//! nothing else.
//!
//! | to change | open |
//! |---|---|
//! | what can be configured | [`config`] |
//! | which files there are | [`glob`], [`walk`] |
//! | whether two files are one | [`identity`] |
//! | how bytes are read, packed ones too | [`content`] |
//! | where a record ends | [`framing`] |
//! | what text its bytes are | [`encoding`] |
//! | what is known of a file, and kept over a restart | [`file`], [`state`] |
//! | what happens when | [`tailer`] |
//! | what people are told | [`notice`] |
//!
//! Invariants: a byte of a file is given once, in a record or as the terminator of one, as long as the caller takes
//! what the sink gets; what is passed over without being given is counted. Memory is bounded by the number of files and
//! the longest record, not by what is in the files.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod config;
pub mod content;
pub mod encoding;
pub mod file;
pub mod framing;
pub mod glob;
pub mod identity;
pub mod notice;
pub mod state;
pub mod tailer;
pub mod walk;

pub use config::{Compression, Config, ConfigError, StartAt};
pub use encoding::Encoding;
pub use framing::{Multiline, Where};
pub use notice::{Notice, Trouble};
pub use state::{FileState, Resumed};
pub use tailer::{Event, Line, Next, Part, Sink, Stats, Tailer, Take};
