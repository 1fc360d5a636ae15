//! What can be chosen, with its defaults.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a store in PostgreSQL is reached and behaves.
#[derive(Clone)]
pub struct Config {
    /// As libpq has it: `postgres://user:password@host:5432/database?sslmode=require`, or `host=… user=…`. Never shown.
    pub url: String,
    /// A file of certificates (PEM) that servers are held against; none: those of this machine.
    pub ca_file: Option<PathBuf>,
    /// The schema with the tables, which is made if it is not there: letters, digits and `_`.
    pub schema: String,
    /// Connections that write at once.
    pub writers: usize,
    /// How long one statement may take, in the server and to be answered.
    pub statement_timeout: Duration,
    /// Days older than this are removed. None keeps them.
    pub max_age: Option<Duration>,
    /// Oldest days are removed while all take more than this. None keeps them.
    pub max_bytes: Option<u64>,
    /// Equal requests within this time are one.
    pub repeat_window: Duration,
    /// Tenants that are taken; requests of others are refused.
    pub max_tenants: usize,
    /// Whether log records are made of what spans say of failures, as [`store::Config::failures_as_logs`].
    pub failures_as_logs: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            url: String::new(),
            ca_file: None,
            schema: "bywash".to_owned(),
            writers: 2,
            statement_timeout: Duration::from_secs(30),
            max_age: Some(Duration::from_secs(7 * 24 * 3600)),
            max_bytes: None,
            repeat_window: Duration::from_secs(600),
            max_tenants: 100,
            failures_as_logs: false,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("url", &"[REDACTED]").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Config {
    /// Checks that the settings can be; what is wrong otherwise.
    ///
    /// # Errors
    /// The first that cannot, with what would be right.
    pub fn validate(&self) -> Result<(), String> {
        let is_name = |name: &str| {
            let mut letters = name.bytes();
            letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
                && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
        };
        // What is wrong is not quoted: it may be the password.
        self.url.parse::<tokio_postgres::Config>().map_err(|_| {
            "`url` must be as postgres://user:password@host:5432/database?sslmode=require (disable, prefer)".to_owned()
        })?;
        if !is_name(&self.schema) || self.schema.len() > 40 {
            return Err("`schema` must be of small letters, digits and `_`, 40 at most".to_owned());
        }
        if !(1..=32).contains(&self.writers) {
            return Err("`writers` must be from 1 to 32".to_owned());
        }
        if self.statement_timeout < Duration::from_millis(100) {
            return Err("`statement_timeout` must be at least 100ms".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: settings that can and cannot be. Guarantee: the latter are told, and the password is in no text.
    #[test]
    fn settings_are_checked() {
        let good = Config { url: "postgres://u:geheim@db.example/logs".to_owned(), ..Config::default() };
        assert_eq!(good.validate(), Ok(()));
        assert!(!format!("{good:?}").contains("geheim"));
        let bad_url = Config { url: "postgres://u:geheim@h/db?sslmode=geheim".to_owned(), ..good.clone() };
        assert!(bad_url.validate().is_err_and(|wrong| wrong.contains("url") && !wrong.contains("geheim")));
        for schema in ["", "a b", "a\"; drop", "1a", "Ä"] {
            assert!(Config { schema: schema.to_owned(), ..good.clone() }.validate().is_err(), "{schema}");
        }
    }
}
