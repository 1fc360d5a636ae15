//! `luhn`: numbers that pass the Luhn check (payment cards and the like) are replaced.
//!
//! A number is a run of digits, which `delimiters` may interrupt, of at least `min_length` digits and within 64 bits. A match of
//! `skip_regex` that covers a number protects it. With a source the extracted text is redacted (the peer overwrites the line
//! instead, which is a fault).

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Value};
use crate::go::regex::{Regex, span};
use crate::pipeline::{Builder, Context};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    replacement: String,
    source: Option<String>,
    min_length: i64,
    delimiters: String,
    skip_regex: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replacement: String::new(),
            source: None,
            min_length: 13,
            delimiters: String::new(),
            skip_regex: String::new(),
        }
    }
}

struct Luhn {
    source: Source,
    replacement: String,
    min_length: usize,
    delimiters: String,
    skip: Option<Regex>,
    /// What counts as a digit besides ASCII's; such a number is never valid.
    digit: Regex,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    let skip = match config.skip_regex.as_str() {
        "" => None,
        regex => Some(Regex::new(regex).map_err(|e| ConfigError::at(path, "skip_regex", e))?),
    };
    let replacement = if config.replacement.is_empty() { "**REDACTED**".to_owned() } else { config.replacement };
    Ok(Box::new(Luhn {
        source: Source::build(config.source.as_deref(), path, builder)?,
        replacement,
        min_length: usize::try_from(config.min_length).ok().filter(|n| *n > 0).unwrap_or(13),
        delimiters: config.delimiters,
        skip,
        digit: Regex::new(r"^\p{Nd}$").map_err(|e| ConfigError::new(path, e))?,
    }))
}

/// Whether a number's last digit checks the others.
fn is_luhn(number: i64) -> bool {
    let (mut rest, mut sum, mut double) = (number, 0, false);
    while rest > 0 {
        let digit = rest % 10;
        sum += match digit * if double { 2 } else { 1 } {
            twice @ 10.. => twice - 9,
            once => once,
        };
        double = !double;
        rest /= 10;
    }
    sum % 10 == 0
}

/// A run of digits in a text.
#[derive(Default)]
struct Run {
    digits: String,
    start: usize,
    /// After the last digit.
    end: usize,
    /// The last delimiter after it.
    trailing: Option<char>,
}

impl Luhn {
    fn is_digit(&self, c: char) -> bool {
        c.is_ascii_digit()
            || (!c.is_ascii() && c.is_numeric() && self.digit.is_match(c.encode_utf8(&mut [0; 4]).as_bytes()))
    }

    /// The text with its numbers replaced; `None` where there are none.
    fn redact(&self, text: &[u8]) -> Option<Vec<u8>> {
        // Nothing can be found where there are not enough digits.
        if text.iter().filter(|b| b.is_ascii_digit()).count() < self.min_length.min(20) {
            return None;
        }
        let mut skipped: Vec<(usize, usize)> = Vec::new();
        if let Some(skip) = &self.skip {
            skip.for_each(text, |slots| skipped.extend(span(slots, 0)));
        }
        let (mut out, mut copied) = (Vec::new(), 0);
        let mut run = Run::default();
        let mut flush = |run: &mut Run, at: usize| {
            let run = std::mem::take(run);
            let valid = run.digits.len() >= self.min_length && run.digits.parse::<i64>().is_ok_and(is_luhn);
            if valid && !skipped.iter().any(|(start, end)| *start <= run.start && run.end <= *end) {
                out.extend_from_slice(&text[copied..run.start]);
                out.extend_from_slice(self.replacement.as_bytes());
                if let Some(delimiter) = run.trailing {
                    out.extend_from_slice(delimiter.encode_utf8(&mut [0; 4]).as_bytes());
                }
                copied = at;
            }
        };
        let mut at = 0;
        for chunk in text.utf8_chunks() {
            for c in chunk.valid().chars() {
                if self.is_digit(c) {
                    if run.digits.is_empty() {
                        run.start = at;
                    }
                    run.digits.push(c);
                    run.end = at + c.len_utf8();
                    run.trailing = None;
                } else if !run.digits.is_empty() && self.delimiters.contains(c) {
                    run.trailing = Some(c);
                } else if !run.digits.is_empty() {
                    flush(&mut run, at);
                }
                at += c.len_utf8();
            }
            if !chunk.invalid().is_empty() {
                flush(&mut run, at);
                at += chunk.invalid().len();
            }
        }
        flush(&mut run, at);
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }
}

impl Stage for Luhn {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let text = match self.source {
            Source::Line => entry.line.clone(),
            Source::Extracted(name) => match entry.extracted.get(name) {
                Some(Value::Text(text)) => text.clone(),
                _ => return Verdict::Keep,
            },
        };
        if let Some(redacted) = self.redact(&text) {
            self.source.write(entry, redacted.into());
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known numbers pass, and any one digit changed fails.
    #[test]
    fn checks_numbers() {
        for number in [79_927_398_713, 4_539_578_763_621_486, 0] {
            assert!(is_luhn(number));
        }
        for number in [79_927_398_710, 4_539_578_763_621_487, 1] {
            assert!(!is_luhn(number));
        }
    }
}
