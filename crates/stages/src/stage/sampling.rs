//! `sampling`: keeps each entry with a probability. 0 drops all, 1 keeps all.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rate: f64,
    drop_counter_reason: Option<String>,
}

struct Sampling {
    rate: f64,
    reason: Text,
    dropped: Counter,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if !(0.0..=1.0).contains(&config.rate) {
        return Err(ConfigError::at(path, "rate", format!("must be between 0.0 and 1.0, not {}", config.rate)));
    }
    let reason = config.drop_counter_reason.unwrap_or_else(|| "sampling_stage".to_owned());
    Ok(Box::new(Sampling { rate: config.rate, dropped: builder.dropped(&reason), reason: reason.into() }))
}

impl Stage for Sampling {
    fn apply(&self, _: &mut Entry, _: &mut Context<'_>) -> Verdict {
        // Below 1 always, so that a rate of 1 keeps all.
        if fastrand::f64() < self.rate {
            return Verdict::Keep;
        }
        self.dropped.inc();
        Verdict::Drop(self.reason.clone())
    }
}
