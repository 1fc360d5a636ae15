//! The `static` resolver: a list that never changes.

use super::{Resolution, Resolver};
use config::validate::{Report, Validate};
use serde::Deserialize;
use std::future::Future;
use std::pin::Pin;

/// The keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host` or `host:port`.
    pub hostnames: Vec<String>,
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.hostnames.is_empty() {
            report.error("hostnames", "no endpoints specified for the static resolver");
        }
    }
}

/// The resolver.
#[derive(Clone, Debug)]
pub struct StaticList(Vec<String>);

impl StaticList {
    /// One of these backends.
    #[must_use]
    pub fn new(config: &Config) -> StaticList {
        StaticList(config.hostnames.clone())
    }
}

impl Resolver for StaticList {
    fn kind(&self) -> &'static str {
        "static"
    }

    fn known(&self) -> Option<Vec<String>> {
        Some(self.0.clone())
    }

    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Resolution>> + Send + '_>> {
        Box::pin(std::future::ready(None))
    }
}
