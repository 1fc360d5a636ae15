//! The `file_storage` extension: a directory in which exporters keep what waits (`sending_queue.storage`).
//!
//! The keys are the collector's, with its defaults; the bounds, what happens at them, and the dead letters are ours. Each exporter
//! and signal has a directory of its own below the configured one: `<exporter's id, percent-encoded>/<signal>`.
//!
//! Invariant: two ids never share a directory. It does NOT write telemetry: that is the flow crate's; it holds the directory
//! ([`hold`]) and answers those who look after the dead letters ([`control`]).

pub mod control;
pub mod hold;
pub mod letters;
pub mod names;

use config::size::ByteSize;
use config::{ComponentId, GoDuration, Report, Validate};
use flow::spool::{DeadLettersConfig, StorageConfig, WhenFull};
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::Signal;

/// The type of the extension.
pub const KIND: &str = "file_storage";

/// The sizes that a segment may have.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);

/// The keys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory. Default /var/lib/otelcol/file_storage.
    pub directory: String,
    /// How long to wait for a lock that another process holds. Default 1 s.
    pub timeout: GoDuration,
    /// Accepted: every write is synced in any case.
    pub fsync: Option<bool>,
    /// Whether the directory is made if it is missing.
    pub create_directory: bool,
    /// The octal permissions of directories that are made. Default 0750.
    pub directory_permissions: String,
    /// No effect: space is given back as it becomes free.
    pub compaction: Option<Compaction>,
    /// No effect: damage costs the damaged records only.
    pub recreate: Option<bool>,
    /// The collector's name for `max_bytes`.
    pub max_size: Option<u64>,
    /// Payload bytes that each exporter and signal may keep. Default 10 GiB; 0: no limit.
    pub max_bytes: Option<ByteSize>,
    /// What has waited for longer is given up. Default 0: never.
    pub max_age: GoDuration,
    /// What happens at `max_bytes`.
    pub when_full: Full,
    /// What becomes of that which was given up.
    pub dead_letters: DeadLetters,
    /// The size of a segment file. Default 64 MiB.
    pub segment_bytes: ByteSize,
}

/// What happens when there is no room left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Full {
    /// The sender is told to come back. The default.
    #[default]
    Refuse,
    /// Routine records are shed.
    ShedRoutine,
    /// The oldest of the target with most becomes a dead letter.
    DeadLetterOldest,
}

/// Dead letters of each exporter and signal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetters {
    /// Whether they are kept at all.
    pub enabled: bool,
    /// Payload bytes that are kept; the oldest go. Default 256 MiB; 0: no limit.
    pub max_bytes: ByteSize,
    /// How long they are kept. Default 30 days; 0: for ever.
    pub max_age: GoDuration,
}

/// The collector's `compaction`, without effect.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compaction {
    on_start: Option<bool>,
    on_rebound: Option<bool>,
    directory: Option<String>,
    rebound_needed_threshold_mib: Option<i64>,
    rebound_trigger_threshold_mib: Option<i64>,
    max_transaction_size: Option<i64>,
    check_interval: Option<GoDuration>,
    cleanup_on_start: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        let storage = StorageConfig::new("");
        Config {
            directory: "/var/lib/otelcol/file_storage".to_owned(),
            timeout: GoDuration(storage.lock_timeout),
            fsync: None,
            create_directory: false,
            directory_permissions: "0750".to_owned(),
            compaction: None,
            recreate: None,
            max_size: None,
            max_bytes: None,
            max_age: GoDuration(storage.max_age),
            when_full: Full::default(),
            dead_letters: DeadLetters::default(),
            segment_bytes: ByteSize(storage.segment_bytes),
        }
    }
}

impl Default for DeadLetters {
    fn default() -> Self {
        let config = DeadLettersConfig::default();
        DeadLetters { enabled: true, max_bytes: ByteSize(config.max_bytes), max_age: GoDuration(config.max_age) }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if let Err(why) = self.check_directory() {
            report.error("directory", why);
        }
        if let Err(why) = self.mode() {
            report.error("directory_permissions", why);
        }
        if self.fsync == Some(false) {
            report
                .warning("fsync", "has no effect: what is acknowledged is always synced; many requests share one sync");
        }
        if self.compaction.is_some() {
            report.warning("compaction", "has no effect: space is given back as it becomes free");
        }
        if self.recreate.is_some() {
            report.warning("recreate", "has no effect: damage costs the damaged records only, and never the start");
        }
        if self.max_size.is_some() && self.max_bytes.is_some() {
            report.error("max_size", "`max_size` and `max_bytes` mean the same: write one of them");
        }
        if !SEGMENT_BYTES.contains(&self.segment_bytes.0) {
            report.error("segment_bytes", "`segment_bytes` must be from 1MiB to 1GiB");
        }
        if self.when_full == Full::DeadLetterOldest && !self.dead_letters.enabled {
            report.error("when_full", "`dead_letter_oldest` needs `dead_letters`, which are switched off");
        }
    }
}

impl Config {
    /// The collector's check, in its words.
    fn check_directory(&self) -> Result<(), String> {
        let directory = &self.directory;
        if directory.is_empty() {
            return Err("`directory` must not be empty".to_owned());
        }
        match std::fs::metadata(directory) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(format!("{directory} is not a directory")),
            Err(error) if error.kind() == ErrorKind::NotFound && self.create_directory => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
                "directory must exist: stat {directory}: no such file or directory. You can enable the create_directory \
                 option to automatically create it"
            )),
            Err(error) => Err(format!("problem accessing configured directory: {directory}, err: {error}")),
        }
    }

    /// The permissions as a number.
    ///
    /// # Errors
    /// In the collector's words.
    pub fn mode(&self) -> Result<u32, &'static str> {
        match i32::from_str_radix(&self.directory_permissions, 8) {
            Err(_) => Err("directory_permissions value must be a valid octal representation"),
            Ok(mode) if mode & 0o777 != mode => Err("directory_permissions contain invalid bits for file access"),
            Ok(mode) => Ok(mode.unsigned_abs()),
        }
    }

    /// What it means for one exporter and signal.
    #[must_use]
    pub fn storage(&self, exporter: &ComponentId, signal: Signal) -> StorageConfig {
        let base = StorageConfig::new(self.path_of(&exporter.to_string(), signal));
        let dead = &self.dead_letters;
        StorageConfig {
            max_bytes: self.max_bytes.map(|size| size.0).or(self.max_size).unwrap_or(base.max_bytes),
            max_age: self.max_age.0,
            when_full: match self.when_full {
                Full::Refuse => WhenFull::Refuse,
                Full::ShedRoutine => WhenFull::ShedRoutine,
                Full::DeadLetterOldest => WhenFull::DeadLetterOldest,
            },
            dead_letters: dead
                .enabled
                .then_some(DeadLettersConfig { max_bytes: dead.max_bytes.0, max_age: dead.max_age.0 }),
            segment_bytes: self.segment_bytes.0,
            lock_timeout: self.timeout.0,
            ..base
        }
    }

    /// Where a receiver keeps its positions.
    #[must_use]
    pub fn positions(&self, receiver: &ComponentId) -> PathBuf {
        Path::new(&self.directory).join(names::encode(&receiver.to_string())).join("positions")
    }

    fn path_of(&self, exporter: &str, signal: Signal) -> PathBuf {
        Path::new(&self.directory).join(names::encode(exporter)).join(signal.as_str())
    }

    /// How long to wait for a lock.
    #[must_use]
    pub fn lock_timeout(&self) -> Duration {
        self.timeout.0
    }
}

#[cfg(test)]
mod tests;
