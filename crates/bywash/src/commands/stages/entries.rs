//! Entries in and out: log lines or JSON objects, one a line; and an entry as JSON.
//!
//! Lines are read one by one, each up to [`LONGEST`] bytes. A timestamp is RFC 3339, or nanoseconds since 1970 as a number or in
//! a text, as Loki's push API has them; an entry without one is of now.

use super::{Args, Stop, lossy};
use serde::Deserialize;
use stages::entry::Value;
use stages::go::number::format_json;
use stages::{Entry, Labels, Text, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// A line of the input that cannot be an entry.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{line}: {why}")]
pub struct Malformed {
    name: String,
    line: u64,
    why: String,
}

/// What is fed to the pipeline.
pub struct Input {
    reader: BufReader<Box<dyn Read>>,
    /// For messages.
    name: String,
    is_json: bool,
    labels: Vec<(Text, Text)>,
    line: u64,
    buffer: Vec<u8>,
}

/// An entry as it is written in a file of entries. Other keys are let pass: the output of one run can be the input of another.
#[derive(Deserialize)]
struct Written {
    line: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    timestamp: Option<When>,
    #[serde(default)]
    structured_metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum When {
    Nanos(i64),
    Text(String),
}

impl Input {
    /// Opens what the arguments say.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(args: &Args) -> anyhow::Result<Input> {
        let path = args.entries.as_ref().unwrap_or(&args.lines);
        let (name, reader): (_, Box<dyn Read>) = if path == Path::new("-") {
            ("standard input".to_owned(), Box::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            (path.display().to_string(), Box::new(file))
        };
        Ok(Input {
            reader: BufReader::with_capacity(1 << 16, reader),
            name,
            is_json: args.entries.is_some(),
            labels: args.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
            line: 0,
            buffer: Vec::new(),
        })
    }

    /// Whether the next line can be had without waiting for it, or part of it.
    pub fn has_more_at_hand(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    /// The next entry; none at the end of the input.
    pub(super) fn next(&mut self, now: Timestamp) -> Result<Option<Entry>, Stop> {
        loop {
            self.buffer.clear();
            let read = self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut self.buffer).map_err(Stop::Input)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 == LONGEST && self.buffer.last() != Some(&b'\n') {
                return Err(self.malformed(format!("longer than {} MiB", LONGEST >> 20)));
            }
            let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !self.is_json {
                let labels = self.labels.iter().cloned().collect();
                return Ok(Some(Entry { line: Text::copy(line), labels, timestamp: now, ..Entry::default() }));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            return match entry(line, &self.labels, now) {
                Ok(entry) => Ok(Some(entry)),
                Err(why) => Err(self.malformed(why)),
            };
        }
    }

    fn malformed(&self, why: String) -> Stop {
        Stop::Malformed(Malformed { name: self.name.clone(), line: self.line, why })
    }
}

fn entry(line: &[u8], labels: &[(Text, Text)], now: Timestamp) -> Result<Entry, String> {
    let written: Written = serde_json::from_slice(line).map_err(|error| {
        // The error's own line is always 1.
        let text = error.to_string();
        let what = text.split(" at line 1").next().unwrap_or(&text);
        format!("not an entry: {what} (at column {})", error.column())
    })?;
    let timestamp = match written.timestamp {
        None => now,
        Some(When::Nanos(nanos)) => Timestamp::from_unix_nanos(nanos),
        Some(When::Text(text)) => match text.parse() {
            Ok(nanos) => Timestamp::from_unix_nanos(nanos),
            Err(_) => stages::go::time::rfc3339(text.as_bytes())
                .ok_or_else(|| format!("not an entry: the timestamp \"{}\" is not RFC 3339", text.escape_debug()))?,
        },
    };
    let pair = |(name, value): (String, String)| (Text::from(name), Text::from(value));
    let own = written.labels.unwrap_or_default().into_iter().map(pair);
    Ok(Entry {
        line: written.line.into(),
        // Of two labels of one name the later stays.
        labels: labels.iter().cloned().chain(own).collect::<Labels>(),
        timestamp,
        metadata: written.structured_metadata.unwrap_or_default().into_iter().map(pair).collect(),
        ..Entry::default()
    })
}

/// An entry as JSON on one line, in the form in which entries are read; with what was extracted, if so wished.
#[must_use]
pub fn json(entry: &Entry, with_extracted: bool) -> String {
    let text = |(name, value): &(Text, Text)| (name.clone(), Value::Text(value.clone()));
    let mut out = String::with_capacity(entry.line.len() + 256);
    let _ = write!(out, "{{\"line\":{}", quoted(&entry.line));
    let _ = write!(out, ",\"labels\":{}", object(entry.labels.iter().map(text)));
    let _ = write!(out, ",\"timestamp\":\"{}\"", entry.timestamp);
    let _ = write!(out, ",\"structured_metadata\":{}", object(entry.metadata.iter().map(text)));
    if with_extracted {
        let _ = write!(out, ",\"extracted\":{}", object(entry.extracted.sorted()));
    }
    out.push('}');
    out
}

/// Names and values as a JSON object.
pub fn object(pairs: impl IntoIterator<Item = (Text, Value)>) -> String {
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{}:{}", quoted(&name), self::value(&value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A value as JSON: numbers as Go writes them, those that are none (JSON has no NaN) as null.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) if value.is_finite() => format_json(*value),
        Value::Number(_) => "null".to_owned(),
        Value::Integer(digits) => digits.to_string(),
        Value::Text(text) => quoted(text),
    }
}

/// Text as a JSON string. Characters at which some readers end a line are escaped: one object is one line to everybody.
pub fn quoted(text: &Text) -> String {
    let json = serde_json::Value::from(lossy(text)).to_string();
    if !json.contains(ends_line) {
        return json;
    }
    json.chars().fold(String::new(), |mut out, c| {
        let _ = if ends_line(c) { write!(out, "\\u{:04x}", u32::from(c)) } else { write!(out, "{c}") };
        out
    })
}

fn ends_line(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests;
