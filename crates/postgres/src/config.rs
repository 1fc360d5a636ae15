//! What can be chosen, with its defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};

/// Whether connections are encrypted. A socket of this machine never is.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// None is.
    Never,
    /// All are; a server that cannot is not spoken to.
    Always {
        /// Whom to trust, and as whom to come.
        tls: Arc<rustls::ClientConfig>,
        /// The name that the server's certificate must have, in place of the host's.
        name: Option<String>,
    },
}

/// How a store in PostgreSQL is reached and behaves.
#[derive(Clone)]
pub struct Config {
    /// As libpq has it: `postgres://user:password@host:5432/database`, or `host=… user=…`; what it says of `sslmode` counts for nothing
    /// beside `tls`. Never shown.
    pub url: String,
    /// Whether connections are encrypted, and how.
    pub tls: Encryption,
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
            tls: Encryption::Never,
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

/// The shortest time that a statement may be given.
pub const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

/// A setting that cannot be, with what would be right. It never has the setting's own text, which may be the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// How the database is reached.
    #[error(
        "must be as postgres://user:password@host:5432/database, or host=… user=… dbname=…; `sslmode` is disable, prefer or require"
    )]
    Url,
    /// It has no host, and libpq's default differs from system to system.
    #[error("must name a host")]
    Host,
    /// The schema.
    #[error("must be of small letters, digits and `_`, 40 at most, and not begin with a digit")]
    Schema,
    /// The number of writers.
    #[error("writers must be from 1 to 32")]
    Writers,
    /// The time of statements.
    #[error("the time of a statement must be at least 100ms")]
    Timeout,
}

impl Config {
    /// Checks that the settings can be.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn validate(&self) -> Result<(), Wrong> {
        let is_name = |name: &str| {
            let mut letters = name.bytes();
            letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
                && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
        };
        self.target()?;
        if !is_name(&self.schema) || self.schema.len() > 40 {
            return Err(Wrong::Schema);
        }
        if !(1..=32).contains(&self.writers) {
            return Err(Wrong::Writers);
        }
        if self.statement_timeout < LEAST_TIMEOUT {
            return Err(Wrong::Timeout);
        }
        Ok(())
    }

    /// What the address says.
    pub(crate) fn target(&self) -> Result<tokio_postgres::Config, Wrong> {
        let target: tokio_postgres::Config = self.url.parse().map_err(|_| Wrong::Url)?;
        let has_host = !target.get_hosts().is_empty() || !target.get_hostaddrs().is_empty();
        has_host.then_some(target).ok_or(Wrong::Host)
    }

    /// Where that is, without what is secret: for people, and to tell one database from another.
    ///
    /// # Errors
    /// The address is none.
    pub fn place(&self) -> Result<String, Wrong> {
        let target = self.target()?;
        let hosts = target.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(directory) => directory.display().to_string(),
        });
        let hosts: Vec<String> = match target.get_hosts() {
            [] => target.get_hostaddrs().iter().map(ToString::to_string).collect(),
            _ => hosts.collect(),
        };
        let ports: Vec<String> = target.get_ports().iter().map(ToString::to_string).collect();
        let port = if ports.is_empty() { "5432".to_owned() } else { ports.join(",") };
        // As the server chooses: the database of the user's name.
        let database = target.get_dbname().or(target.get_user()).unwrap_or_default();
        Ok(format!("postgres://{}:{port}/{database}/{}", hosts.join(","), self.schema))
    }

    /// Whether the address says that connections are not to be encrypted.
    #[must_use]
    pub fn says_plain(&self) -> bool {
        self.target().is_ok_and(|target| target.get_ssl_mode() == SslMode::Disable)
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
        assert_eq!(bad_url.validate(), Err(Wrong::Url));
        assert_eq!(Config { url: "user=u".to_owned(), ..good.clone() }.validate(), Err(Wrong::Host));
        assert_eq!(good.place().unwrap(), "postgres://db.example:5432/logs/bywash");
        let plain = Config { url: "host=/run/pg port=5433 user=u sslmode=disable".to_owned(), ..good.clone() };
        assert_eq!((plain.place().unwrap().as_str(), plain.says_plain()), ("postgres:///run/pg:5433/u/bywash", true));
        assert!(!good.says_plain());
        for schema in ["", "a b", "a\"; drop", "1a", "Ä"] {
            let bad = Config { schema: schema.to_owned(), ..good.clone() };
            assert_eq!(bad.validate(), Err(Wrong::Schema), "{schema}");
        }
    }
}
