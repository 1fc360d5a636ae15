//! Where a record ends. Pure: bytes in, a place out.
//!
//! A record is a line, or what a pattern joins. As in the collector a pattern is looked for in the text as a whole, `^`
//! and `$` meaning lines: a record begins where `line_start_pattern` is found, wherever that is, or ends behind what
//! `line_end_pattern` finds.

use crate::config::ConfigError;
use crate::encoding::Encoding;
use memchr::{memchr, memmem};
use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use std::ops::Range;

/// What a pattern marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// The beginning of a record.
    Start,
    /// The end of one.
    End,
}

/// Lines that belong together.
#[derive(Clone, Debug)]
pub struct Multiline {
    regex: Regex,
    place: Where,
    omits: bool,
}

/// The size up to which a pattern is compiled.
const LARGEST_PATTERN: usize = 4 << 20;

impl Multiline {
    /// Records that begin or end where `pattern` is found. `omits`: what it finds is left out of them.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn new(pattern: &str, place: Where, omits: bool) -> Result<Multiline, ConfigError> {
        let regex = Regex::builder()
            .syntax(syntax::Config::new().multi_line(true).utf8(false))
            .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(LARGEST_PATTERN)))
            .build(pattern)
            .map_err(|error| ConfigError::Regex { pattern: pattern.to_owned(), why: error.to_string() })?;
        Ok(Multiline { regex, place, omits })
    }
}

/// A record at the beginning of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its text, without what ends it.
    pub text: Range<usize>,
    /// Bytes of it, with what ends it.
    pub len: usize,
    /// It goes on behind them: it is longer than a record may be.
    pub goes_on: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Framer {
    encoding: Encoding,
    multiline: Option<Multiline>,
    max: usize,
}

impl Framer {
    /// One for records of at most `max` bytes.
    #[must_use]
    pub fn new(encoding: Encoding, multiline: Option<Multiline>, max: usize) -> Framer {
        Framer { encoding, multiline, max }
    }

    /// Bytes among which a record is always found.
    #[must_use]
    pub fn window(&self) -> usize {
        // The longest record, and a `\r\n` behind it.
        self.max + 4
    }

    /// The record at the beginning of `bytes`; none if more of them are needed to tell. If these are the last ones
    /// there is one, unless there are none.
    #[must_use]
    pub fn next(&self, bytes: &[u8], is_last: bool) -> Option<Cut> {
        let window = &bytes[..bytes.len().min(self.window())];
        let found = match &self.multiline {
            None => self.line(window),
            Some(multiline) => self.joined(multiline, window, is_last && window.len() == bytes.len()),
        };
        if let Some(cut) = found.filter(|cut| cut.text.len() <= self.max) {
            return Some(cut);
        }
        if window.len() == self.window() || window.len() > self.max && is_last {
            let len = self.encoding.boundary(window, self.max);
            return Some(Cut { text: 0..len, len, goes_on: true });
        }
        let is_rest = is_last && !bytes.is_empty();
        is_rest.then(|| Cut { text: self.trim(window, 0..window.len()), len: window.len(), goes_on: false })
    }

    fn line(&self, bytes: &[u8]) -> Option<Cut> {
        let newline = self.encoding.newline();
        let at = match newline {
            [byte] => memchr(*byte, bytes)?,
            units => memmem::find_iter(bytes, units).find(|at| at % 2 == 0)?,
        };
        let mut end = at;
        if bytes[..at].ends_with(self.encoding.carriage_return()) {
            end -= newline.len();
        }
        Some(Cut { text: 0..end, len: at + newline.len(), goes_on: false })
    }

    fn joined(&self, multiline: &Multiline, bytes: &[u8], is_last: bool) -> Option<Cut> {
        let find = |from: usize| multiline.regex.find(Input::new(bytes).range(from.min(bytes.len())..));
        let first = find(0)?;
        let (text, len) = match multiline.place {
            Where::Start if first.start() > 0 => (0..first.start(), first.start()),
            Where::Start => {
                // One that is found nowhere but here needs one byte more, so that it is not found here again.
                let next = find(first.end().max(1)).filter(|next| next.start() > 0 && next.start() < bytes.len());
                let end = next.map(|next| next.start()).or(is_last.then_some(bytes.len()))?;
                (if multiline.omits { first.end()..end } else { 0..end }, end)
            }
            Where::End => {
                // At the very end it may yet become longer.
                if first.end() == 0 || (first.end() == bytes.len() && !is_last) {
                    return None;
                }
                (0..if multiline.omits { first.start() } else { first.end() }, first.end())
            }
        };
        Some(Cut { text: self.trim(bytes, text), len, goes_on: false })
    }

    /// Without the line end at the end, and, where records end in the middle of a line, that of the line before.
    fn trim(&self, bytes: &[u8], mut text: Range<usize>) -> Range<usize> {
        if self.multiline.is_none() {
            return text;
        }
        for end in [b'\n', b'\r'] {
            if bytes[text.clone()].last() == Some(&end) {
                text.end -= 1;
            }
        }
        let at_end = self.multiline.as_ref().is_some_and(|multiline| multiline.place == Where::End);
        for start in [b'\r', b'\n'] {
            if at_end && bytes[text.clone()].first() == Some(&start) {
                text.start += 1;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All records of some bytes that come in chunks, whose rest is a record at the end.
    fn records(framer: &Framer, bytes: &[u8], chunk: usize) -> Vec<(Vec<u8>, bool)> {
        let (mut out, mut from, mut to) = (vec![], 0, 0);
        loop {
            let is_last = to == bytes.len();
            match framer.next(&bytes[from..to], is_last) {
                Some(cut) => {
                    out.push((bytes[from..][cut.text].to_vec(), cut.goes_on));
                    from += cut.len;
                }
                None if is_last => return out,
                None => to = (to + chunk.max(1)).min(bytes.len()),
            }
        }
    }

    fn texts(framer: &Framer, bytes: &[u8], chunk: usize) -> Vec<String> {
        records(framer, bytes, chunk).into_iter().map(|(text, _)| String::from_utf8_lossy(&text).into_owned()).collect()
    }

    /// Scenario (28): CRLF whose halves come apart, an empty line, a rest. Guarantee: lines without their ends,
    /// whatever the chunks.
    #[test]
    fn line_ends_may_come_in_pieces() {
        let framer = Framer::new(Encoding::Utf8, None, 100);
        for chunk in 1..9 {
            assert_eq!(texts(&framer, b"a\r\n\r\nb\rc\nd", chunk), ["a", "", "b\rc", "d"], "{chunk}");
        }
    }

    /// Scenario (28): UTF-16 in both orders, with characters that have a byte of a line end in them. Guarantee: only
    /// real line ends end lines.
    #[test]
    fn utf_16_lines() {
        for big in [false, true] {
            let encoding = Encoding::Utf16 { big };
            let text = "a\u{0a00}b\u{000d}\u{000a}\u{010a}\n\u{0a0a}";
            let bytes: Vec<u8> =
                text.encode_utf16().flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect();
            let framer = Framer::new(encoding, None, 100);
            let lines: Vec<String> = records(&framer, &bytes, 3)
                .into_iter()
                .map(|(text, _)| String::from_utf8(encoding.decode(&text).into_owned()).unwrap())
                .collect();
            assert_eq!(lines, ["a\u{0a00}b", "\u{010a}", "\u{0a0a}"]);
        }
    }

    /// Scenario: records that begin with a date, or in the middle of a line; with and without what was found.
    /// Guarantee: they are divided there.
    #[test]
    fn records_begin_where_a_pattern_is_found() {
        let framer = |pattern: &str, omits| {
            Framer::new(Encoding::Utf8, Some(Multiline::new(pattern, Where::Start, omits).unwrap()), 1000)
        };
        let log = b"rest\n2026 a\n at x\n2026 b\n2026 c";
        for chunk in [1, 4, 100] {
            assert_eq!(texts(&framer(r"^\d{4} ", false), log, chunk), ["rest", "2026 a\n at x", "2026 b", "2026 c"]);
        }
        assert_eq!(texts(&framer(r"^\d{4} ", true), log, 100), ["rest", "a\n at x", "b", "c"]);
        assert_eq!(texts(&framer("LOG ", false), b"LOG 1LOG 2\nx", 100), ["LOG 1", "LOG 2\nx"]);
        assert!(
            Multiline::new("(", Where::Start, false)
                .unwrap_err()
                .to_string()
                .starts_with("`(` is no regular expression")
        );
    }

    /// Scenario: records that end with a pattern. Guarantee: they are divided behind it.
    #[test]
    fn records_end_where_a_pattern_is_found() {
        let framer = |omits| Framer::new(Encoding::Utf8, Some(Multiline::new("END", Where::End, omits).unwrap()), 1000);
        let log = b"a\nbEND\nc END d\nEND\ne";
        for chunk in [1, 7, 100] {
            assert_eq!(texts(&framer(false), log, chunk), ["a\nbEND", "c END", " d\nEND", "e"]);
        }
        assert_eq!(texts(&framer(true), log, 100), ["a\nb", "c ", " d", "e"]);
    }

    /// Scenario: a line of the longest length, with either line end, and one of a byte more. Guarantee: the former are
    /// whole, the latter is two parts.
    #[test]
    fn the_longest_line_is_whole() {
        let framer = Framer::new(Encoding::Utf8, None, 16);
        let line = |len: usize, end: &str| {
            records(&framer, format!("{}{end}", "x".repeat(len)).as_bytes(), 3)
                .iter()
                .map(|(text, goes_on)| (text.len(), *goes_on))
                .collect::<Vec<_>>()
        };
        assert_eq!(line(16, "\n"), [(16, false)]);
        assert_eq!(line(16, "\r\n"), [(16, false)]);
        assert_eq!(line(16, ""), [(16, false)]);
        assert_eq!(line(17, "\n"), [(16, true), (1, false)]);
        assert_eq!(line(40, ""), [(16, true), (16, true), (8, false)]);
    }

    proptest! {
        /// Scenario: any bytes in any chunks, with short records. Guarantee: nothing is lost but line ends, no record
        /// is too long, and chunks change nothing.
        #[test]
        fn no_byte_is_lost(bytes in "[ab\r\né€]{0,80}", chunk in 1usize..20) {
            let framer = Framer::new(Encoding::Utf8, None, 16);
            let all = records(&framer, bytes.as_bytes(), chunk);
            prop_assert_eq!(&all, &records(&framer, bytes.as_bytes(), 1000));
            prop_assert!(all.iter().all(|(text, _)| text.len() <= 16 && std::str::from_utf8(text).is_ok()));
            let is_kept = |c: &char| !['\r', '\n'].contains(c);
            let given: String = all.iter().map(|(text, _)| String::from_utf8_lossy(text)).collect();
            let kept: String = given.chars().filter(is_kept).collect();
            prop_assert_eq!(kept, bytes.chars().filter(is_kept).collect::<String>());
        }

        /// Scenario: any text in any chunks under patterns. Guarantee: chunks change nothing, and it ends.
        #[test]
        fn chunks_do_not_matter_to_patterns(bytes in "[ab \n]{0,60}", chunk in 1usize..20, is_start in any::<bool>()) {
            let place = if is_start { Where::Start } else { Where::End };
            let framer = Framer::new(Encoding::Utf8, Some(Multiline::new("^a|b ", place, false).unwrap()), 1000);
            prop_assert_eq!(records(&framer, bytes.as_bytes(), chunk), records(&framer, bytes.as_bytes(), 1000));
        }
    }
}
