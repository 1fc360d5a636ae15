//! What can be chosen, with its defaults and its limits.

use std::time::Duration;

/// How a store behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Records of a chunk, 1 to 32 768.
    pub chunk_records: usize,
    /// Bytes of a chunk before it is packed.
    pub chunk_bytes: usize,
    /// A chunk is closed when its first record came so long ago.
    pub chunk_age: Duration,
    /// Bytes of all chunks that still grow; the oldest is closed early.
    pub open_bytes: usize,
    /// Packed bytes that wait in memory to be written to segments.
    pub commit_bytes: usize,
    /// Packed chunks are written to segments when the oldest waits so long.
    pub commit_age: Duration,
    /// The level of zstd, 1 to 19.
    pub level: i32,
    /// Records of a chunk when a day that is over is rewritten, up to 32 768.
    pub rewrite_records: usize,
    /// The level of zstd then, 1 to 19.
    pub rewrite_level: i32,
    /// Days older than this are removed. None keeps them.
    pub max_age: Option<Duration>,
    /// Oldest days are removed when all take more than this. None keeps them.
    pub max_bytes: Option<u64>,
    /// Equal requests within this time are one: a sender that did not hear our answer sends again.
    pub repeat_window: Duration,
    /// Requests that are remembered for it.
    pub repeat_requests: usize,
    /// Tenants that are taken; requests of others are refused.
    pub max_tenants: usize,
    /// Threads of one query.
    pub query_threads: usize,
    /// Whether log records are made of what spans say of failures: one of each exception, one of a span that failed without.
    pub failures_as_logs: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            chunk_records: 1000,
            chunk_bytes: 512 << 10,
            chunk_age: Duration::from_secs(30),
            open_bytes: 64 << 20,
            commit_bytes: 8 << 20,
            commit_age: Duration::from_secs(5),
            level: 1,
            rewrite_records: 8000,
            rewrite_level: 9,
            max_age: Some(Duration::from_secs(7 * 24 * 3600)),
            max_bytes: None,
            repeat_window: Duration::from_secs(600),
            repeat_requests: 200_000,
            max_tenants: 100,
            query_threads: 2,
            failures_as_logs: false,
        }
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    /// Its name.
    pub setting: &'static str,
    /// What is wrong, and what would be right.
    pub problem: &'static str,
}

impl Config {
    /// Checks that the settings can be.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let checks = [
            ("chunk_records", (1..=32_768).contains(&self.chunk_records), "must be from 1 to 32768"),
            ("chunk_bytes", (1024..=64 << 20).contains(&self.chunk_bytes), "must be from 1 KiB to 64 MiB"),
            ("open_bytes", self.open_bytes >= self.chunk_bytes, "must be at least chunk_bytes"),
            ("commit_bytes", self.commit_bytes <= 1 << 30, "must be at most 1 GiB"),
            ("level", (1..=19).contains(&self.level), "must be from 1 to 19"),
            ("rewrite_records", (1..=32_768).contains(&self.rewrite_records), "must be from 1 to 32768"),
            ("rewrite_level", (1..=19).contains(&self.rewrite_level), "must be from 1 to 19"),
            ("max_bytes", self.max_bytes.is_none_or(|most| most >= 16 << 20), "must be at least 16 MiB"),
            ("max_tenants", self.max_tenants > 0, "must be at least 1"),
            ("query_threads", (1..=64).contains(&self.query_threads), "must be from 1 to 64"),
        ];
        match checks.iter().find(|(_, is_good, _)| !is_good) {
            Some(&(setting, _, problem)) => Err(ConfigError { setting, problem }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the defaults, and a setting out of its range. Guarantee: the former can be, and the latter is named.
    #[test]
    fn settings_are_checked() {
        assert_eq!(Config::default().validate(), Ok(()));
        let wrong = Config { level: 30, ..Config::default() };
        assert_eq!(wrong.validate().map_err(|error| error.to_string()), Err("level must be from 1 to 19".to_owned()));
    }
}
