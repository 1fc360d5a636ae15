//! Label strings: `{job="web", path="a\"b"}`, as Prometheus writes and reads them.
//!
//! Read: names of letters, digits, `_` and `:` that do not begin with a digit, or any name in quotes; values in double or single quotes with
//! Go's escapes, or in backquotes without any; white space anywhere between tokens; a comma at the end. Each name once.
//! Written: as given, with `, ` between pairs and values as Go's `strconv.Quote` writes them, but that every printable or unprintable
//! character above U+007F stands for itself.
//!
//! Source: `promql/parser` of Prometheus (`ParseMetric`), which Loki reads label strings with. A metric's name before the brace is refused.

use crate::lossy::lossy;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The most labels of one stream. Loki takes 15 unless told otherwise.
pub const MAX_LABELS: usize = 512;

/// Why a text is no label string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct LabelError {
    /// Offset in the label string.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A name and its value.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The pairs of a label string in their order.
///
/// # Errors
/// See [`LabelError`].
pub fn parse(text: &[u8]) -> Result<SmallVec<[Pair<'_>; 16]>, LabelError> {
    let mut reader = Reader { text, at: 0 };
    let mut pairs: SmallVec<[Pair<'_>; 16]> = SmallVec::new();
    reader.expect(b'{', "a label string begins with {")?;
    while !reader.accepts(b'}') {
        let start = reader.at;
        let name = reader.name()?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(LabelError { at: start, what: "the label stands there twice" });
        }
        if pairs.len() == MAX_LABELS {
            return Err(LabelError { at: start, what: "there are too many labels" });
        }
        reader.expect(b'=', "= is expected after a label's name")?;
        reader.blanks();
        let value = reader.quoted("a label's value must be in quotes")?;
        pairs.push((name, value));
        if !reader.accepts(b',') {
            reader.expect(b'}', ", or } is expected after a label's value")?;
            break;
        }
    }
    reader.blanks();
    if reader.at < text.len() {
        return Err(reader.wrong("nothing may follow the closing }"));
    }
    Ok(pairs)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> LabelError {
        LabelError { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn accepts(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), LabelError> {
        if self.accepts(byte) { Ok(()) } else { Err(self.wrong(what)) }
    }

    fn name(&mut self) -> Result<Cow<'a, [u8]>, LabelError> {
        self.blanks();
        if matches!(self.peek(), Some(b'"' | b'\'' | b'`')) {
            return self.quoted("");
        }
        let rest = &self.text[self.at..];
        let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
        let len = rest.iter().take_while(|b| is_first(**b) || b.is_ascii_digit()).count();
        if !rest.first().copied().is_some_and(is_first) {
            return Err(self.wrong("a label's name is expected"));
        }
        self.at += len;
        Ok(Cow::Borrowed(&rest[..len]))
    }

    fn quoted(&mut self, otherwise: &'static str) -> Result<Cow<'a, [u8]>, LabelError> {
        let start = self.at;
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'' | b'`')) => quote,
            _ => return Err(self.wrong(otherwise)),
        };
        let rest = &self.text[start + 1..];
        let plain = rest.iter().position(|b| *b == quote || (quote != b'`' && matches!(b, b'\\' | b'\n')));
        let Some(end) = plain else { return Err(LabelError { at: start, what: "the quote does not end" }) };
        if rest[end] == quote {
            self.at = start + 1 + end + 1;
            return Ok(Cow::Borrowed(&rest[..end]));
        }
        let mut out = rest[..end].to_vec();
        self.at = start + 1 + end;
        loop {
            match self.peek() {
                None => return Err(LabelError { at: start, what: "the quote does not end" }),
                Some(b'\n') => return Err(self.wrong("a line ends within quotes")),
                Some(b'\\') => self.escape(quote, &mut out)?,
                Some(byte) => {
                    self.at += 1;
                    if byte == quote {
                        return Ok(Cow::Owned(out));
                    }
                    out.push(byte);
                }
            }
        }
    }

    /// One of Go's escapes, the backslash at the cursor.
    fn escape(&mut self, quote: u8, out: &mut Vec<u8>) -> Result<(), LabelError> {
        const WRONG: &str = "unknown escape";
        let rest = &self.text[self.at + 1..];
        let digits = |from: usize, count: usize, radix: u32| -> Option<u32> {
            let text = std::str::from_utf8(rest.get(from..from + count)?).ok()?;
            // `from_str_radix` would take a sign.
            text.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| u32::from_str_radix(text, radix).ok())?
        };
        let (bytes, code) = match rest.first().copied() {
            Some(b'a') => (1, Some(7)),
            Some(b'b') => (1, Some(8)),
            Some(b'f') => (1, Some(12)),
            Some(b'n') => (1, Some(10)),
            Some(b'r') => (1, Some(13)),
            Some(b't') => (1, Some(9)),
            Some(b'v') => (1, Some(11)),
            Some(b'\\') => (1, Some(u32::from(b'\\'))),
            Some(other) if other == quote => (1, Some(u32::from(quote))),
            // A byte, not a character.
            Some(b'x') => return self.byte(3, digits(1, 2, 16), out),
            Some(b'0'..=b'7') => return self.byte(3, digits(0, 3, 8), out),
            Some(b'u') => (5, digits(1, 4, 16)),
            Some(b'U') => (9, digits(1, 8, 16)),
            _ => (0, None),
        };
        let c = code.and_then(char::from_u32).ok_or_else(|| self.wrong(WRONG))?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += 1 + bytes;
        Ok(())
    }

    fn byte(&mut self, len: usize, value: Option<u32>, out: &mut Vec<u8>) -> Result<(), LabelError> {
        let byte = value.and_then(|v| u8::try_from(v).ok()).ok_or_else(|| self.wrong("unknown escape"))?;
        out.push(byte);
        self.at += 1 + len;
        Ok(())
    }
}

/// Appends `name="value"`; the caller writes braces and commas.
pub fn write_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.push(b'=');
    quote(out, value);
}

/// Appends a value in double quotes.
pub fn quote(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0x07 => out.extend_from_slice(b"\\a"),
                0x08 => out.extend_from_slice(b"\\b"),
                0x0b => out.extend_from_slice(b"\\v"),
                0x0c => out.extend_from_slice(b"\\f"),
                0..0x20 | 0x7f => hex(out, byte),
                _ => out.push(byte),
            }
        }
        chunk.invalid().iter().for_each(|byte| hex(out, *byte));
    }
    out.push(b'"');
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS[usize::from(n & 15)];
    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte)]);
}

/// An attribute's name as the name of a label: what is no letter, digit or `_` becomes `_`; before a first digit stands `key_`, before a single
/// leading underscore `key`. The rule of the collector's exporters (`NormalizeLabel`), within ASCII, which is what Loki takes.
pub fn normalize(out: &mut Vec<u8>, name: &[u8]) {
    match name {
        [b'0'..=b'9', ..] => out.extend_from_slice(b"key_"),
        [first, rest @ ..] if !first.is_ascii_alphanumeric() && rest.first().is_none_or(u8::is_ascii_alphanumeric) => {
            out.extend_from_slice(b"key");
        }
        _ => {}
    }
    let text = lossy(name);
    out.extend(text.chars().map(|c| if c.is_ascii_alphanumeric() { c as u8 } else { b'_' }));
}

#[cfg(test)]
mod tests;
