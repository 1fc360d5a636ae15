//! `timestamp`: an extracted value becomes the entry's timestamp.
//!
//! Two things are "fudged" unless told otherwise, both for each set of labels, so that a stream stays in order: a value that
//! cannot be read takes the last timestamp and one nanosecond more, and so does one that equals the value just before it.
//! Better than the peer: a format by which nothing could ever be read (`yyyy-MM-dd`, `rfc3339`) is refused.
//!
//! The last timestamps of at least ten thousand streams are remembered.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol, Timestamp};
use crate::go::location::Location;
use crate::go::time::Format;
use crate::pipeline::{Builder, Context};
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// How many streams a generation of remembered timestamps holds, in all shards together.
const STREAMS: usize = 10_000;
/// Streams are spread over this many locks.
const SHARDS: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    source: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    fallback_formats: Option<Vec<String>>,
    location: Option<String>,
    action_on_failure: Option<String>,
    action_on_duplicate_timestamp: Option<String>,
}

/// The value a stream last had, and the timestamp it got.
#[derive(Clone, Copy)]
struct Last {
    parsed: Timestamp,
    adjusted: Timestamp,
}

/// Hashes what is a hash already.
#[derive(Default)]
struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Generation = HashMap<u64, Last, BuildHasherDefault<Same>>;

/// The last timestamps of streams. When the young generation is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

impl Shard {
    /// Changes what is remembered of a stream: `change` is given what there is, and answers what shall be.
    fn update(&mut self, stream: u64, change: impl FnOnce(Option<Last>) -> Option<Last>) {
        if let Some(known) = self.young.get_mut(&stream) {
            *known = change(Some(*known)).unwrap_or(*known);
        } else if let Some(last) = change(self.old.get(&stream).copied()) {
            if self.young.len() >= STREAMS / SHARDS {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(stream, last);
        }
    }
}

/// What is remembered of all streams.
pub(super) struct Memory {
    seed: FixedState,
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Memory {
    fn default() -> Self {
        Self { seed: FixedState::with_seed(fastrand::u64(..)), shards: Default::default() }
    }
}

struct TimestampStage {
    source: Symbol,
    formats: Vec<Format>,
    fudge_failure: bool,
    fudge_duplicate: bool,
    memory: Arc<Memory>,
}

/// Whether an action is `fudge`, the default, or the other one.
fn is_fudge(action: Option<&str>, other: &str, path: &str, key: &str) -> Result<bool, ConfigError> {
    match action {
        None | Some("" | "fudge") => Ok(true),
        Some(action) if action == other => Ok(false),
        Some(action) => Err(ConfigError::at(path, key, format!("must be fudge or {other}, not \"{action}\""))),
    }
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.source.is_empty() {
        builder.refuse(ConfigError::at(path, "source", "the source of the timestamp is required"));
    }
    let name = config.location.unwrap_or_default();
    let location =
        Location::load(&name).ok_or_else(|| ConfigError::at(path, "location", format!("unknown time zone \"{name}\"")));
    let location = Arc::new(builder.or_refuse(location).unwrap_or_else(Location::utc));
    let format = |key: &str, format: &str| match format {
        "" => Err(ConfigError::at(path, key, "a format is required, such as RFC3339 or 2006-01-02 15:04:05")),
        _ => Format::checked(format, &location).map_err(|e| ConfigError::at(path, key, e)),
    };
    let mut formats: Vec<Format> = builder.or_refuse(format("format", &config.format)).into_iter().collect();
    for (i, fallback) in config.fallback_formats.unwrap_or_default().iter().enumerate() {
        formats.extend(builder.or_refuse(format(&format!("fallback_formats[{i}]"), fallback)));
    }
    let fudge_failure = is_fudge(config.action_on_failure.as_deref(), "skip", path, "action_on_failure");
    let duplicate = "action_on_duplicate_timestamp";
    let fudge_duplicate = is_fudge(config.action_on_duplicate_timestamp.as_deref(), "keep", path, duplicate);
    Ok(Box::new(TimestampStage {
        source: builder.symbol(&config.source, path)?,
        formats,
        fudge_failure: builder.or_refuse(fudge_failure).unwrap_or(true),
        fudge_duplicate: builder.or_refuse(fudge_duplicate).unwrap_or(true),
        memory: builder.state("timestamp", value),
    }))
}

impl Stage for TimestampStage {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        let text = entry.extracted.get_text(self.source);
        let text = text.as_ref().and_then(|text| text.as_str());
        let parsed = text.and_then(|text| self.formats.iter().find_map(|format| format.parse(text, cx.now.wall)));
        if !self.fudge_failure && !self.fudge_duplicate {
            entry.timestamp = parsed.unwrap_or(entry.timestamp);
            return Verdict::Keep;
        }
        let stream = entry.labels.fingerprint(&self.memory.seed);
        let mut shard = self.memory.shards[(stream >> 32) as usize % SHARDS].lock();
        shard.update(stream, |last| {
            match (parsed, last) {
                (Some(parsed), Some(last)) if self.fudge_duplicate && last.parsed == parsed => {
                    entry.timestamp = last.adjusted.plus_nanos(1);
                }
                (Some(parsed), _) => entry.timestamp = parsed,
                (None, Some(last)) if self.fudge_failure => entry.timestamp = last.adjusted.plus_nanos(1),
                (None, _) => return None,
            }
            // A failure does not change what the next value is compared with.
            let parsed = parsed.or(last.map(|last| last.parsed))?;
            Some(Last { parsed, adjusted: entry.timestamp })
        });
        Verdict::Keep
    }
}
