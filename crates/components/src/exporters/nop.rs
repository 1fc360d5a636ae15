//! The `nop` exporter: takes everything and does nothing with it.

use config::validate::{Report, Validate};
use flow::{Attempt, Exporter, Payload, Target};
use serde::Deserialize;
use std::time::Instant;

/// It has no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Validate for Config {
    fn validate(&self, _: &mut Report<'_>) {}
}

/// The exporter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nop;

impl Exporter for Nop {
    async fn send(&self, _: &Target, _: Payload, _: Instant) -> Attempt {
        Attempt::Sent
    }
}
