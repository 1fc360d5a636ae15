//! `multiline`: lines from a first line to the next are joined into one entry, for each set of labels.
//!
//! Lines before the first first line pass. A block comes out when the next begins, when it has `max_lines` (the lines after it
//! form further blocks of the same start), when nothing came for `max_wait_time`, and when the input ends. It has the labels,
//! timestamp, metadata and extracted values of its first line.
//!
//! Streams are remembered until they are silent for `max_wait_time`; at most [`MAX_STREAMS`], of which the oldest gives way.

use super::{Stage, Verdict};
use crate::config::{ConfigError, GoDuration, read};
use crate::entry::Entry;
use crate::go::regex::Regex;
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many streams are remembered.
const MAX_STREAMS: usize = 10_000;
/// A block that is longer comes out, as if it had its lines.
const MAX_BLOCK: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    firstline: String,
    max_lines: Option<u64>,
    max_wait_time: Option<GoDuration>,
    trim_newlines: Option<bool>,
}

/// A stream that has had a first line.
struct Stream {
    /// The entry of the first line; its own line is not used.
    start: Entry,
    block: Vec<u8>,
    lines: u64,
    last_seen: Instant,
    /// Its place in the order in which blocks began.
    place: u64,
}

pub(super) struct Streams {
    seed: FixedState,
    all: Mutex<(u64, HashMap<u64, Stream>)>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { seed: FixedState::with_seed(fastrand::u64(..)), all: Mutex::default() }
    }
}

struct Multiline {
    first: Regex,
    max_lines: u64,
    max_wait: Duration,
    trim: bool,
    streams: Arc<Streams>,
    joined: Counter,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.firstline.is_empty() {
        return Err(ConfigError::at(path, "firstline", "the expression of a first line is required"));
    }
    let first = Regex::new(&config.firstline).map_err(|e| ConfigError::at(path, "firstline", e))?;
    let max_wait = config.max_wait_time.map_or(3_000_000_000, |wait| wait.0);
    if max_wait <= 0 {
        return Err(ConfigError::at(path, "max_wait_time", "must be greater than 0"));
    }
    Ok(Box::new(Multiline {
        first,
        max_lines: config.max_lines.unwrap_or(128),
        max_wait: GoDuration(max_wait).get(),
        trim: config.trim_newlines.unwrap_or(true),
        streams: builder.state("multiline", value),
        joined: builder.books.joined.clone(),
    }))
}

impl Stream {
    /// The block as an entry, if there is one. What is left has no start.
    fn flush(&mut self, cx: &Context<'_>) -> Option<Entry> {
        if self.lines == 0 {
            return None;
        }
        self.lines = 0;
        let line = std::mem::take(&mut self.block).into();
        let start = std::mem::take(&mut self.start);
        Some(Entry { line, extracted: start.extracted.rebased(cx.symbols), ..start })
    }

    /// The same; what is left has the same start for further blocks.
    fn flush_part(&mut self, cx: &Context<'_>) -> Option<Entry> {
        let template = self.start.template();
        let entry = self.flush(cx);
        self.start = template;
        entry
    }
}

impl Multiline {
    fn release(&self, cx: &Context<'_>, is_due: impl Fn(&Stream) -> bool) -> Vec<Entry> {
        let mut all = self.streams.all.lock();
        let mut due: Vec<Stream> = all.1.extract_if(|_, stream| is_due(stream)).map(|(_, stream)| stream).collect();
        drop(all);
        due.sort_by_key(|stream| stream.place);
        due.iter_mut().filter_map(|stream| stream.flush(cx)).collect()
    }
}

impl Stage for Multiline {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        let now = cx.now.mono;
        let is_first = self.first.is_match(&entry.line);
        let key = entry.stream(&self.streams.seed);
        let mut guard = self.streams.all.lock();
        let (places, all) = &mut *guard;
        let mut out = Vec::new();
        let late = |stream: &Stream| now.saturating_duration_since(stream.last_seen) >= self.max_wait;
        let differs = |stream: &Stream| stream.start.labels != entry.labels || stream.start.tenant() != entry.tenant();
        if all.get(&key).is_some_and(|stream| late(stream) || differs(stream)) {
            out.extend(all.remove(&key).and_then(|mut stream| stream.flush(cx)));
        }
        if !is_first && !all.contains_key(&key) {
            if out.is_empty() {
                return Verdict::Keep;
            }
            out.push(std::mem::take(entry));
            return Verdict::Emit(out);
        }
        if !all.contains_key(&key) && all.len() >= MAX_STREAMS {
            let oldest = all.iter().min_by_key(|(_, stream)| stream.last_seen).map(|(key, _)| *key);
            out.extend(oldest.and_then(|key| all.remove(&key)).and_then(|mut stream| stream.flush(cx)));
        }
        let line = entry.line.clone();
        let stream = all.entry(key).or_insert_with(|| Stream {
            start: Entry::default(),
            block: Vec::new(),
            lines: 0,
            last_seen: now,
            place: 0,
        });
        if is_first {
            out.extend(stream.flush(cx));
            stream.start = std::mem::take(entry);
            *places += 1;
            stream.place = *places;
        } else {
            stream.start.join_origin(entry.origin.take());
        }
        let line = match self.trim {
            true => trim_newlines(&line),
            false => line.as_bytes(),
        };
        // An empty line at the beginning of a block leaves no trace, as in the peer.
        if !stream.block.is_empty() {
            stream.block.push(b'\n');
            self.joined.inc();
        }
        stream.block.extend_from_slice(line);
        stream.lines += 1;
        stream.last_seen = now;
        if stream.lines == self.max_lines || stream.block.len() > MAX_BLOCK {
            out.extend(stream.flush_part(cx));
        }
        Verdict::Emit(out)
    }

    fn holds(&self) -> bool {
        true
    }

    fn held(&self) -> usize {
        self.streams.all.lock().1.values().filter(|stream| stream.lines > 0).count()
    }

    fn tick(&self, cx: &mut Context<'_>) -> Vec<Entry> {
        let now = cx.now.mono;
        self.release(cx, |stream| now.saturating_duration_since(stream.last_seen) >= self.max_wait)
    }

    fn finish(&self, cx: &mut Context<'_>) -> Vec<Entry> {
        self.release(cx, |_| true)
    }
}

fn trim_newlines(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = line {
        line = rest;
    }
    line
}
