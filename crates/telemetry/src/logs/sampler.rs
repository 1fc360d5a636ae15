//! Which of many equal lines are written: of each tick the first few, then every so many. The collector's sampling.
//!
//! Lines are equal when they come from the same place in the program and, if they have a field `target`, concern the same
//! destination. Invariant: memory is bounded, however many destinations there are. It does NOT look at other fields.

use config::service::LogSampling;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Kinds of lines that are told apart within a tick; further ones count as one kind.
const MAX_KINDS: usize = 4096;
/// The kind of all lines beyond those.
const OTHERS: u64 = 0;

/// The filter. See the module.
pub(super) struct Sampler {
    config: Option<LogSampling>,
    kinds: Mutex<HashMap<u64, Seen>>,
    suppressed: Arc<AtomicU64>,
}

/// How often a line was met since its tick began.
struct Seen {
    since: Instant,
    times: u64,
}

impl Sampler {
    /// Samples as configured, or lets everything through.
    pub(super) fn new(config: Option<&LogSampling>, suppressed: Arc<AtomicU64>) -> Sampler {
        Sampler { config: config.cloned(), kinds: Mutex::default(), suppressed }
    }

    fn lets_through(&self, config: &LogSampling, kind: u64, now: Instant) -> bool {
        let is_over = |seen: &Seen| now.saturating_duration_since(seen.since) >= config.tick.0;
        let mut kinds = self.kinds.lock();
        if kinds.len() >= MAX_KINDS && !kinds.contains_key(&kind) {
            kinds.retain(|_, seen| !is_over(seen));
        }
        let kind = if kinds.len() >= MAX_KINDS && !kinds.contains_key(&kind) { OTHERS } else { kind };
        let seen = kinds.entry(kind).or_insert(Seen { since: now, times: 0 });
        if is_over(seen) {
            *seen = Seen { since: now, times: 0 };
        }
        seen.times += 1;
        let beyond = seen.times.saturating_sub(config.initial);
        beyond == 0 || (config.thereafter > 0 && beyond.is_multiple_of(config.thereafter))
    }
}

impl<S> Filter<S> for Sampler {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let Some(config) = &self.config else { return true };
        let mut kind = DefaultHasher::new();
        event.metadata().callsite().hash(&mut kind);
        event.record(&mut Destination(&mut kind));
        let through = self.lets_through(config, kind.finish(), flow::clock::now());
        if !through {
            self.suppressed.fetch_add(1, Relaxed);
        }
        through
    }
}

/// Adds the field `target` to a hash.
struct Destination<'a>(&'a mut DefaultHasher);

impl Visit for Destination<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "target" {
            // Writing to a hash cannot fail.
            let _ = write!(self, "{value:?}");
        }
    }
}

impl Write for Destination<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sampler() -> (Sampler, LogSampling) {
        let config = LogSampling { initial: 1, thereafter: 0, ..LogSampling::default() };
        (Sampler::new(Some(&config), Arc::default()), config)
    }

    /// Scenario: a tick passes. Guarantee: counting starts anew.
    #[test]
    fn a_new_tick_starts_anew() {
        let (sampler, config) = sampler();
        let start = flow::clock::now();
        let at = |ms| sampler.lets_through(&config, 1, start + Duration::from_millis(ms));
        assert_eq!([at(0), at(1), at(9_999), at(10_000), at(10_001)], [true, false, false, true, false]);
    }

    /// Scenario: more kinds of lines than are told apart. Guarantee: memory stays bounded, the rest is sampled as one, and room comes back with the next tick.
    #[test]
    fn many_kinds_of_lines_stay_bounded() {
        let (sampler, config) = sampler();
        let start = flow::clock::now();
        let through = (1..=10_000).filter(|kind| sampler.lets_through(&config, *kind, start)).count();
        assert_eq!(through, MAX_KINDS + 1);
        assert!(sampler.kinds.lock().len() <= MAX_KINDS + 1);
        assert!(sampler.lets_through(&config, 20_000, start + config.tick.0));
        assert!(sampler.kinds.lock().len() <= 2);
    }
}
