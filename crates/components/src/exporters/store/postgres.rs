//! `driver: postgres`: the keys that are its own, and the engine that is made of them.
//!
//! Invariants: what is in `dsn` is in no message. It does NOT connect: the engine does when it is first used, so that a server that is
//! down halts a lane and not the start. Without the feature `postgres` all of it is one error.

use super::{Config, Driver};
use ::store::Engine;
use config::validate::Report;
use engine::check;
pub(super) use engine::{open, place};
use std::path::PathBuf;
use std::sync::Arc;

/// Checks the keys of both drivers that the other does not have, and those of this one.
pub(super) fn validate(config: &Config, report: &mut Report<'_>) {
    let default = Config::default();
    if config.driver == Driver::Embedded {
        let (has_dsn, has_schema) = (!config.dsn.is_empty(), config.schema != default.schema);
        for (key, is_there) in [("dsn", has_dsn), ("schema", has_schema), ("tls", config.tls.is_some())] {
            if is_there {
                report.error(key, format!("`{key}` is of `driver: postgres`"));
            }
        }
        return;
    }
    if !config.path.is_empty() {
        report.error("path", "`path` is of `driver: embedded`; `postgres` has `dsn`");
    }
    if config.dsn.is_empty() {
        report.error("dsn", "`dsn` is required: postgres://user:password@host:5432/database");
    }
    if let Some(tls) = &config.tls {
        report.nested("tls", tls);
    }
    check(config, report);
}

/// Whether both reach the same database in the same way.
pub(super) fn is_same(one: &Config, other: &Config) -> bool {
    let of = |config: &Config| (config.dsn.clone(), config.schema.clone(), config.tls.clone(), config.timeout);
    of(one) == of(other)
}

#[cfg(feature = "postgres")]
mod engine {
    use super::*;
    use ::postgres::{Encryption, Postgres};
    use std::time::Duration;

    /// How long a statement may take where an attempt may take forever.
    const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

    fn settings(config: &Config) -> ::postgres::Config {
        let timeout = Some(config.timeout.0).filter(|timeout| !timeout.is_zero());
        ::postgres::Config {
            url: config.dsn.expose().to_owned(),
            schema: config.schema.clone(),
            statement_timeout: timeout.unwrap_or(STATEMENT_TIMEOUT).max(::postgres::LEAST_TIMEOUT),
            max_age: config.retention.max_age(),
            max_bytes: config.retention.max_bytes(),
            ..::postgres::Config::default()
        }
    }

    pub(in super::super) fn check(config: &Config, report: &mut Report<'_>) {
        if let Err(wrong) = settings(config).validate()
            && !config.dsn.is_empty()
        {
            let key = if wrong == ::postgres::Wrong::Schema { "schema" } else { "dsn" };
            report.error(key, wrong.to_string());
        }
    }

    /// The address of the database, which is shown.
    pub(in super::super) fn place(config: &Config) -> Result<PathBuf, String> {
        Ok(settings(config).place().map_err(|wrong| wrong.to_string())?.into())
    }

    pub(in super::super) fn open(config: &Config) -> Result<Arc<dyn Engine>, String> {
        let settings = ::postgres::Config { tls: encryption(config)?, ..settings(config) };
        let engine = Postgres::new(settings).map_err(|error| error.to_string())?;
        Ok(Arc::new(engine))
    }

    /// Without a `tls` section `sslmode=disable` is heard; else connections are encrypted unless the section says `insecure`.
    fn encryption(config: &Config) -> Result<Encryption, String> {
        let tls = config.tls.clone().unwrap_or_default();
        let is_plain = match &config.tls {
            Some(tls) => tls.insecure && !tls.has_ca(),
            None => settings(config).says_plain(),
        };
        if is_plain {
            return Ok(Encryption::Never);
        }
        let name = Some(tls.server_name_override.clone()).filter(|name| !name.is_empty());
        // PostgreSQL's own sign that a connection goes on as its protocol; servers since 17 ask for it.
        let tls = tls.load(&[b"postgresql"]).map_err(|error| error.to_string())?;
        Ok(Encryption::Always { tls, name })
    }
}

#[cfg(not(feature = "postgres"))]
mod engine {
    use super::*;

    const TEXT: &str = "this build has no PostgreSQL: build it with `cargo build --release --features postgres`";

    pub(in super::super) fn check(_: &Config, report: &mut Report<'_>) {
        report.error("driver", TEXT);
    }

    pub(in super::super) fn place(_: &Config) -> Result<PathBuf, String> {
        Err(TEXT.to_owned())
    }

    pub(in super::super) fn open(_: &Config) -> Result<Arc<dyn Engine>, String> {
        Err(TEXT.to_owned())
    }
}
