//! How one exporter and signal is kept on disk: plain settings, already resolved.
//!
//! Invariant: two outlets never have the same directory; who makes these settings sees to it. Nothing here touches a disk.

use std::path::PathBuf;
use std::time::Duration;

/// Where and how an outlet keeps what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The directory of this exporter and signal, and of nothing else. Its parent exists.
    pub directory: PathBuf,
    /// Payload bytes that may wait at most. 0: no limit but the disk's.
    pub max_bytes: u64,
    /// What has waited for longer is given up. 0: never.
    pub max_age: Duration,
    /// What happens when `max_bytes` is reached.
    pub when_full: WhenFull,
    /// How what was given up is kept. None: it is counted and dropped.
    pub dead_letters: Option<DeadLettersConfig>,
    /// The size at which a segment file is sealed and the next one begun.
    pub segment_bytes: u64,
    /// How long to wait for the lock of the directory while another holds it.
    pub lock_timeout: Duration,
}

impl StorageConfig {
    /// The defaults, in this directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> StorageConfig {
        StorageConfig {
            directory: directory.into(),
            max_bytes: 10 << 30,
            max_age: Duration::ZERO,
            when_full: WhenFull::default(),
            dead_letters: Some(DeadLettersConfig::default()),
            segment_bytes: 64 << 20,
            lock_timeout: Duration::from_secs(1),
        }
    }
}

/// What happens to a request for which there is no room on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused with a delay: the sender keeps it.
    #[default]
    Refuse,
    /// Its routine records are shed and the rest is taken, as above the soft limit of memory; at the limit itself it is refused.
    ShedRoutine,
    /// The oldest of the target that holds most is moved to the dead letters to make room.
    DeadLetterOldest,
}

/// The bounds on dead letters of one exporter and signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLettersConfig {
    /// Payload bytes kept at most: beyond that the oldest go. 0: no limit.
    pub max_bytes: u64,
    /// Letters older than this go. 0: they stay.
    pub max_age: Duration,
}

impl Default for DeadLettersConfig {
    /// 256 MiB and 30 days.
    fn default() -> Self {
        DeadLettersConfig { max_bytes: 256 << 20, max_age: Duration::from_secs(30 * 24 * 3600) }
    }
}
