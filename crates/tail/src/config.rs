//! How files are read: the collector's keys, already resolved, with its defaults.

use crate::encoding::Encoding;
use crate::framing::Multiline;
use std::time::Duration;

/// Where a file is begun that was there before the first look, if nothing is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// With what is written from now on. With states of an earlier run, files that are not known are read from their
    /// beginning all the same: they came while nobody looked.
    #[default]
    End,
    /// With all that is in it.
    Beginning,
}

/// Which files are gzip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// All.
    Gzip,
    /// Those that begin as gzip does.
    Auto,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Config {
    /// Patterns of paths; see [`crate::glob`].
    pub include: Vec<String>,
    /// Patterns of paths that are left out.
    pub exclude: Vec<String>,
    /// Where files are begun that were there before.
    pub start_at: StartAt,
    /// What text their bytes are.
    pub encoding: Encoding,
    /// What joins lines to one record; none: each line is one.
    pub multiline: Option<Multiline>,
    /// The longest record in bytes of the file; what is longer is given in parts.
    pub max_record: usize,
    /// An end without a terminator is a record after so long; zero: never.
    pub flush_after: Duration,
    /// First bytes of a file by which its content is known again.
    pub fingerprint: usize,
    /// Between two looks at a file that grows. One that does not is looked at less often,
    pub poll: Duration,
    /// but at least this often.
    pub idle_poll: Duration,
    /// Between two looks for files, if directories changed.
    pub walk: Duration,
    /// The same if they did not.
    pub idle_walk: Duration,
    /// Files that are open at once.
    pub max_open: usize,
    /// Files that are known at once; others are left out, and counted.
    pub max_files: usize,
    /// Bytes of one file that are given before it is the turn of others.
    pub round: usize,
    /// A file that was moved away or deleted is over when it has not grown for so long.
    pub rotate_wait: Duration,
    /// How long one that was moved away may stay open to be read to its end.
    pub old_age: Duration,
    /// Unread bytes that those may hold back together: the oldest go first.
    pub old_bytes: u64,
    /// How long a file that looks like a copy of another one is watched before it is taken for a file of its own.
    pub copy_wait: Duration,
    /// Which files are gzip.
    pub compression: Compression,
    /// Bytes that one gzip file may give.
    pub max_unpacked: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            include: vec![],
            exclude: vec![],
            start_at: StartAt::End,
            encoding: Encoding::Utf8,
            multiline: None,
            max_record: 1 << 20,
            flush_after: Duration::from_millis(500),
            fingerprint: 1000,
            poll: Duration::from_millis(200),
            idle_poll: Duration::from_millis(2500),
            walk: Duration::from_secs(1),
            idle_walk: Duration::from_secs(10),
            max_open: 512,
            max_files: 100_000,
            round: 256 << 10,
            rotate_wait: Duration::from_secs(5),
            old_age: Duration::from_secs(3600),
            old_bytes: 4 << 30,
            copy_wait: Duration::from_secs(2),
            compression: Compression::None,
            max_unpacked: 64 << 30,
        }
    }
}

/// What cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A pattern of paths.
    #[error("`{pattern}` is no pattern of paths: {why}")]
    Glob {
        /// As it was written.
        pattern: String,
        /// What is wrong.
        why: String,
    },
    /// A pattern of text.
    #[error("`{pattern}` is no regular expression: {why}")]
    Regex {
        /// As it was written.
        pattern: String,
        /// What is wrong.
        why: String,
    },
    /// An encoding.
    #[error("`{0}` is no known encoding")]
    Encoding(String),
    /// Lines of two bytes a character cannot be joined by a pattern.
    #[error("`multiline` needs an encoding in which ASCII is one byte: not utf-16")]
    Multiline,
    /// Nothing is included.
    #[error("`include` names no files")]
    Nothing,
    /// A number is too small.
    #[error("`{key}` must be at least {least}")]
    TooSmall {
        /// Of which key.
        key: &'static str,
        /// What it may be.
        least: usize,
    },
}

impl Config {
    /// Whether it can work.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.include.is_empty() {
            return Err(ConfigError::Nothing);
        }
        if self.multiline.is_some() && matches!(self.encoding, Encoding::Utf16 { .. }) {
            return Err(ConfigError::Multiline);
        }
        // The collector's bounds for the fingerprint; a record holds at least one character of any encoding.
        let least = [
            ("fingerprint_size", self.fingerprint, 16),
            ("max_log_size", self.max_record, 16),
            ("max_concurrent_files", self.max_open, 1),
            ("max_files", self.max_files, 1),
        ];
        match least.iter().find(|(_, is, least)| is < least) {
            Some((key, _, least)) => Err(ConfigError::TooSmall { key, least: *least }),
            None => Ok(()),
        }
    }
}
