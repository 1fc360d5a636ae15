//! `cri`: the container runtime's line format: `<time> <stdout|stderr> <P|F> <content>`; partial lines are joined.
//!
//! The content becomes the line, the time the timestamp, the stream a label; all four are extracted. The flag may be missing.
//! A partial line is kept, for each set of labels, until its full line comes, whose timestamp and values the joined line has.
//!
//! Better than the peer: a flag must stand alone (`stdout Panic…` keeps its P), and partial lines that never end come out
//! when the input ends, or when nothing followed them for [`MAX_WAIT`]: whoever waits for them must hear of them some day.

use super::{Stage, Verdict};
use crate::config::{ByteSize, ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::go::location::Location;
use crate::go::time::{Layout, RFC3339_NANO, rfc3339};
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A joined line that is longer comes out as it is, so that a stream of partial lines without end is bounded.
const MAX_JOINED: usize = 4 << 20;
/// How long the rest of a line may take. A runtime writes the parts of a line one right after the other.
const MAX_WAIT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    max_partial_lines: i64,
    max_partial_line_size: ByteSize,
    max_partial_line_size_truncate: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_partial_lines: 100, max_partial_line_size: ByteSize(0), max_partial_line_size_truncate: false }
    }
}

/// Partial lines by the fingerprint of their labels.
#[derive(Default)]
struct Lines {
    arrived: u64,
    by_stream: HashMap<u64, Partial>,
}

/// A line whose rest is to come.
struct Partial {
    /// Its place in the order of arrival.
    place: u64,
    last_seen: Instant,
    /// Its end was cut off, so nothing may follow it.
    is_cut: bool,
    entry: Entry,
}

/// The partial lines of a stage.
pub(super) struct Partials {
    seed: FixedState,
    /// How many there are, so that full lines need no lock while there are none.
    count: AtomicUsize,
    lines: Mutex<Lines>,
}

impl Default for Partials {
    fn default() -> Self {
        Self { seed: FixedState::with_seed(fastrand::u64(..)), count: AtomicUsize::new(0), lines: Mutex::default() }
    }
}

struct Cri {
    max_lines: usize,
    truncate: Option<usize>,
    flags: Symbol,
    stream: Symbol,
    content: Symbol,
    time: Symbol,
    layout: Layout,
    partials: Arc<Partials>,
    flushed: Counter,
    truncated: Counter,
    joined: Counter,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    let Some(max_lines) = usize::try_from(config.max_partial_lines).ok().filter(|max| *max > 0) else {
        return Err(ConfigError::at(path, "max_partial_lines", "must be greater than 0"));
    };
    let Ok(size) = usize::try_from(config.max_partial_line_size.0) else {
        return Err(ConfigError::at(path, "max_partial_line_size", "must not be negative"));
    };
    Ok(Box::new(Cri {
        max_lines,
        truncate: config.max_partial_line_size_truncate.then_some(size),
        flags: builder.symbol("flags", path)?,
        stream: builder.symbol("stream", path)?,
        content: builder.symbol("content", path)?,
        time: builder.symbol("time", path)?,
        layout: Layout::new(RFC3339_NANO),
        partials: builder.state("cri", value),
        joined: builder.books.joined.clone(),
        flushed: builder.counter(
            "loki_process_cri_partial_lines_flushed_total",
            "A count of partial lines that were flushed prematurely due to the max_partial_lines limit being exceeded",
            &[],
        ),
        truncated: builder.counter(
            "loki_process_cri_lines_truncated_total",
            "A count of lines that were truncated due to the max_partial_line_size limit",
            &[],
        ),
    }))
}

/// A line in CRI format.
struct Parsed<'a> {
    time: &'a [u8],
    stream: &'static str,
    partial: bool,
    content: &'a [u8],
}

/// Reads a line; `None` where it is not in CRI format.
fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let time_len = memchr::memchr(b' ', line)?;
    let (time, rest) = (&line[..time_len], &line[time_len + 1..]);
    if time.iter().any(|b| b.is_ascii_whitespace() || *b == 0x0b) {
        return None;
    }
    let (stream, rest) = match rest.get(..7)? {
        b"stdout " => ("stdout", &rest[7..]),
        b"stderr " => ("stderr", &rest[7..]),
        _ => return None,
    };
    // A flag is one letter that stands alone, or has tags behind a colon.
    let (partial, rest) = match rest {
        [flag @ (b'P' | b'F')] | [flag @ (b'P' | b'F'), b' ' | b':' | b'\n' | b'\r', ..] => (*flag == b'P', &rest[1..]),
        _ => (false, rest),
    };
    Some(Parsed { time, stream, partial, content: rest.strip_prefix(b" ").unwrap_or(rest) })
}

impl Cri {
    /// Cuts a line that is too long, at the end of a character; whether it did.
    fn cut(&self, entry: &mut Entry) -> bool {
        let Some(size) = self.truncate.filter(|size| entry.line.len() > *size) else { return false };
        entry.line = entry.line.cut(size);
        self.truncated.inc();
        true
    }

    /// Joins an entry with the partial line of its stream; whether the end of the line was cut off.
    fn join(&self, before: Partial, entry: &mut Entry) -> bool {
        entry.join_origin(before.entry.origin);
        self.joined.inc();
        if before.is_cut {
            // What follows a cut would stand where it does not belong.
            self.truncated.add(u64::from(!entry.line.is_empty()));
            entry.line = before.entry.line;
            return true;
        }
        entry.line = [before.entry.line.as_bytes(), entry.line.as_bytes()].concat().into();
        self.cut(entry)
    }

    /// Takes out the partial lines that are due.
    fn release(&self, cx: &Context<'_>, is_due: impl Fn(&Partial) -> bool) -> Vec<Entry> {
        let mut lines = self.partials.lines.lock();
        let due = lines.by_stream.extract_if(|_, partial| is_due(partial)).map(|(_, partial)| partial).collect();
        self.partials.count.store(lines.by_stream.len(), Ordering::Release);
        drop(lines);
        in_order(due, cx)
    }

    fn partial(&self, mut entry: Entry, cx: &Context<'_>) -> Vec<Entry> {
        let stream = entry.stream(&self.partials.seed);
        let mut lines = self.partials.lines.lock();
        let mut out = Vec::new();
        if lines.by_stream.len() >= self.max_lines {
            self.flushed.add(lines.by_stream.len() as u64);
            out = in_order(std::mem::take(&mut lines.by_stream).into_values().collect(), cx);
        }
        let is_cut = match lines.by_stream.remove(&stream) {
            Some(before) => self.join(before, &mut entry),
            None => self.cut(&mut entry),
        };
        if entry.line.len() > MAX_JOINED {
            self.flushed.inc();
            out.push(entry);
        } else {
            lines.arrived += 1;
            let place = lines.arrived;
            lines.by_stream.insert(stream, Partial { place, last_seen: cx.now.mono, is_cut, entry });
        }
        self.partials.count.store(lines.by_stream.len(), Ordering::Release);
        out
    }
}

/// Entries in their order of arrival, for this pipeline.
fn in_order(mut lines: Vec<Partial>, cx: &Context<'_>) -> Vec<Entry> {
    lines.sort_by_key(|partial| partial.place);
    let own = |Partial { entry, .. }| Entry { extracted: entry.extracted.rebased(cx.symbols), ..entry };
    lines.into_iter().map(own).collect()
}

impl Stage for Cri {
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict {
        let line = entry.line.clone();
        let Some(parsed) = parse(&line) else { return Verdict::Keep };
        let content = line.share(parsed.content);
        let flag = Text::from_static(if parsed.partial { "P" } else { "F" });
        let stream = Text::from_static(parsed.stream);
        entry.extracted.set(self.flags, flag);
        entry.extracted.set(self.stream, stream.clone());
        entry.extracted.set(self.content, content.clone());
        entry.extracted.set(self.time, line.share(parsed.time));
        entry.line = content;
        let time = rfc3339(parsed.time).or_else(|| {
            let text = std::str::from_utf8(parsed.time).ok()?;
            Some(self.layout.parse(text)?.resolve(&Location::utc()))
        });
        entry.timestamp = time.unwrap_or(entry.timestamp);
        entry.labels.set(Text::from_static("stream"), stream);
        if parsed.partial {
            return Verdict::Emit(self.partial(std::mem::take(entry), cx));
        }
        if self.partials.count.load(Ordering::Acquire) > 0 {
            let stream = entry.stream(&self.partials.seed);
            let mut lines = self.partials.lines.lock();
            let before = lines.by_stream.remove(&stream);
            self.partials.count.store(lines.by_stream.len(), Ordering::Release);
            if let Some(before) = before {
                self.join(before, entry);
            }
        }
        Verdict::Keep
    }

    fn holds(&self) -> bool {
        true
    }

    fn held(&self) -> usize {
        self.partials.count.load(Ordering::Acquire)
    }

    fn tick(&self, cx: &mut Context<'_>) -> Vec<Entry> {
        let now = cx.now.mono;
        self.release(cx, |partial| now.saturating_duration_since(partial.last_seen) >= MAX_WAIT)
    }

    fn finish(&self, cx: &mut Context<'_>) -> Vec<Entry> {
        self.release(cx, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a line, at each edge of the format.
    #[test]
    fn parses_lines() {
        let parts =
            |line: &str| parse(line.as_bytes()).map(|p| (p.partial, String::from_utf8(p.content.to_vec()).unwrap()));
        for (rest, expected) in [
            ("F hello", Some((false, "hello"))),
            ("P hello", Some((true, "hello"))),
            ("F  two", Some((false, " two"))),
            ("F:tag x", Some((false, ":tag x"))),
            ("Panic now", Some((false, "Panic now"))),
            ("Found it", Some((false, "Found it"))),
            ("no flag", Some((false, "no flag"))),
            ("P", Some((true, ""))),
            ("", Some((false, ""))),
        ] {
            let found = parts(&format!("2024-05-06T07:08:09Z stdout {rest}"));
            assert_eq!(found.as_ref().map(|(p, c)| (*p, c.as_str())), expected, "{rest}");
        }
        for bad in ["", "x", "t stdin F x", "t  stdout F x", "t\tstdout\tF\tx", "stdout F x", "t stdout"] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
