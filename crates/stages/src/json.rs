//! Reading JSON without building it.
//!
//! The json stage wants a few fields of a document but must refuse a malformed one, so the whole text is walked once, and only
//! the wanted values are noted, as ranges of it ([`Paths::find`]). Strings without escapes become slices of the line.
//!
//! As strict as Go's decoders: no trailing bytes or commas, no leading zeros, no raw control characters, numbers within f64.
//! As lenient: a lone surrogate escape is U+FFFD, bytes that are not UTF-8 stay, the last of two equal keys wins.
//! Nesting is bounded ([`MAX_DEPTH`]) and walked without recursion.

mod paths;
mod text;

pub use paths::{Each, Paths};
pub use text::{compact, escape_into, quote, unescape};

use crate::entry::Value;
use crate::go::number::is_beyond_float;
use crate::text::Text;

/// The deepest nesting that is accepted, as in Go's decoder.
pub const MAX_DEPTH: usize = 10_000;

/// Text that is not the JSON it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed JSON at byte {at}")]
pub struct Malformed {
    /// Offset of the first byte that cannot be.
    pub at: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number.
    Number,
    /// A string; whether it has escapes.
    String {
        /// Whether there is a backslash in it.
        escaped: bool,
    },
    /// An object.
    Object,
    /// An array.
    Array,
}

/// A value of a document: what it is, and where. The range of a string is without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Raw {
    /// The value, sharing `doc` where it can. Objects and arrays become compact JSON text.
    pub fn value(&self, doc: &Text) -> Value {
        let text = &doc[self.start..self.end];
        match self.kind {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number if is_beyond_float(text) => Value::Integer(doc.slice(self.start, self.end)),
            // The scanner has checked that it is a number within range.
            Kind::Number => Value::Number(number(text).unwrap_or(f64::NAN)),
            Kind::String { escaped: false } => Value::Text(doc.slice(self.start, self.end)),
            Kind::String { escaped: true } => Value::Text(unescape(text).into()),
            Kind::Object | Kind::Array => Value::Text(compact(text).into()),
        }
    }
}

/// A JSON number. Short whole numbers, which most are, are read by hand.
pub fn number(text: &[u8]) -> Option<f64> {
    if text.len() <= 15 && text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0')) as f64);
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|n: &f64| n.is_finite())
}

/// A walk over JSON text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// A walk that begins at the start of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Where it stands.
    pub fn position(&self) -> usize {
        self.at
    }

    #[inline]
    fn fail<T>(&self) -> Result<T, Malformed> {
        Err(Malformed { at: self.at })
    }

    /// The next byte that is not white space, without passing it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Passes the byte that [`peek`](Self::peek) showed.
    #[inline]
    pub fn bump(&mut self) {
        self.at += 1;
    }

    /// Passes `byte`, which must be next.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.fail()
    }

    /// Nothing may follow but white space.
    pub fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { self.fail() }
    }

    /// Passes a string, whose opening quote is next.
    #[inline]
    pub fn string(&mut self) -> Result<Raw, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_len(&self.text[self.at..]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Raw { kind: Kind::String { escaped }, start, end: self.at - 1 });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.fail(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.text.get(self.at + 2..self.at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
                _ => return self.fail(),
            },
            _ => return self.fail(),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let len = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += len;
        if len > 0 { Ok(()) } else { self.fail() }
    }

    fn number(&mut self) -> Result<Raw, Malformed> {
        let start = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut wide = self.at - start > 300;
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
            wide = true;
        }
        if wide && number(&self.text[start..self.at]).is_none() {
            return Err(Malformed { at: start });
        }
        Ok(Raw { kind: Kind::Number, start, end: self.at })
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Raw, Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail();
        }
        let start = self.at;
        self.at += word.len();
        Ok(Raw { kind, start, end: self.at })
    }

    /// Passes one value, whatever it is.
    #[inline]
    pub fn value(&mut self) -> Result<Raw, Malformed> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Kind::True),
            Some(b'f') => self.word(b"false", Kind::False),
            Some(b'n') => self.word(b"null", Kind::Null),
            Some(open @ (b'{' | b'[')) => {
                let start = self.at;
                self.container()?;
                let kind = if open == b'{' { Kind::Object } else { Kind::Array };
                Ok(Raw { kind, start, end: self.at })
            }
            _ => self.fail(),
        }
    }

    /// Passes an object or array with all that is in it. The open ones are on a stack of bits: 1 for an object.
    fn container(&mut self) -> Result<(), Malformed> {
        let mut open: smallvec::SmallVec<[u64; 2]> = smallvec::SmallVec::new();
        let mut depth = 0usize;
        let mut object;
        'open: loop {
            object = self.peek() == Some(b'{');
            self.at += 1;
            if depth.is_multiple_of(64) {
                open.push(0);
            }
            if let Some(bits) = open.last_mut() {
                *bits = *bits << 1 | u64::from(object);
            }
            depth += 1;
            if depth > MAX_DEPTH {
                return self.fail();
            }
            let mut empty = true;
            loop {
                // At the start of a member, or at the end of the container.
                let mut next = self.peek();
                let close = if object { b'}' } else { b']' };
                if next == Some(close) {
                    self.at += 1;
                    depth -= 1;
                    if let Some(bits) = open.last_mut() {
                        *bits >>= 1;
                    }
                    if depth.is_multiple_of(64) {
                        open.pop();
                    }
                    let Some(bits) = open.last() else { return Ok(()) };
                    object = bits & 1 == 1;
                    empty = false;
                    continue;
                }
                if !empty {
                    if next != Some(b',') {
                        return self.fail();
                    }
                    self.at += 1;
                    next = self.peek();
                }
                empty = false;
                if object {
                    self.string()?;
                    self.expect(b':')?;
                    next = self.peek();
                }
                match next {
                    Some(b'{' | b'[') => continue 'open,
                    _ => self.value()?,
                };
            }
        }
    }
}

/// How many bytes at the start of `text` are neither quote, backslash nor control character. Eight bytes at a time.
#[inline]
fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let back = word ^ (ONES * b'\\' as u64);
        // A byte's high bit is set where the byte is what is looked for; the lowest such bit is exact.
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hit = (control | (quote.wrapping_sub(ONES) & !quote) | (back.wrapping_sub(ONES) & !back)) & HIGH;
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|b| **b >= 0x20 && **b != b'"' && **b != b'\\').count()
}

/// The elements of the array that is all of `text`, as ranges of it. `None` where it is no sound array.
pub fn elements(text: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut scanner = Scanner::new(text);
    let mut all = Vec::new();
    scanner.expect(b'[').ok()?;
    if scanner.peek()? == b']' {
        scanner.bump();
        scanner.end().ok()?;
        return Some(all);
    }
    loop {
        let value = scanner.value().ok()?;
        let quote = usize::from(matches!(value.kind, Kind::String { .. }));
        all.push((value.start - quote, value.end + quote));
        match scanner.peek()? {
            b',' => scanner.bump(),
            b']' => break,
            _ => return None,
        }
    }
    scanner.bump();
    scanner.end().ok()?;
    Some(all)
}

/// The document as a tree, for those who need one; `None` where it is malformed or nested deeper than `depth`.
/// Numbers are floats, as Go's decoder makes them, but for whole ones of 64 bits that a float would change.
pub fn tree(text: &[u8], depth: usize) -> Option<serde_json::Value> {
    let mut scanner = Scanner::new(text);
    let value = branch(&mut scanner, depth)?;
    scanner.end().ok()?;
    Some(value)
}

/// A whole number of 64 bits.
fn whole(text: &[u8]) -> Option<serde_json::Number> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().map(Into::into).or_else(|_| text.parse::<u64>().map(Into::into)).ok()
}

fn branch(scanner: &mut Scanner<'_>, depth: usize) -> Option<serde_json::Value> {
    use serde_json::Value as Tree;
    let string = |scanner: &Scanner<'_>, raw: Raw| {
        let bytes = unescape(&scanner.text[raw.start..raw.end]);
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    };
    match scanner.peek()? {
        open @ (b'{' | b'[') => {
            let depth = depth.checked_sub(1)?;
            scanner.bump();
            let close = if open == b'{' { b'}' } else { b']' };
            let (mut object, mut array) = (serde_json::Map::new(), Vec::new());
            let mut first = true;
            loop {
                match scanner.peek()? {
                    byte if byte == close => {
                        if !first && scanner.text[..scanner.at].trim_ascii_end().ends_with(b",") {
                            return None;
                        }
                        scanner.bump();
                        break;
                    }
                    b',' if !first => scanner.bump(),
                    _ if first => {}
                    _ => return None,
                }
                first = false;
                if open == b'{' {
                    let key = scanner.string().ok()?;
                    let key = string(scanner, key);
                    scanner.expect(b':').ok()?;
                    object.insert(key, branch(scanner, depth)?);
                } else {
                    array.push(branch(scanner, depth)?);
                }
            }
            Some(if open == b'{' { Tree::Object(object) } else { Tree::Array(array) })
        }
        _ => {
            let raw = scanner.value().ok()?;
            Some(match raw.kind {
                Kind::True => Tree::Bool(true),
                Kind::False => Tree::Bool(false),
                Kind::Number => {
                    let text = &scanner.text[raw.start..raw.end];
                    let whole = is_beyond_float(text).then(|| whole(text)).flatten();
                    whole
                        .or_else(|| number(text).and_then(serde_json::Number::from_f64))
                        .map_or(Tree::Null, Tree::Number)
                }
                Kind::String { .. } => Tree::String(string(scanner, raw)),
                _ => Tree::Null,
            })
        }
    }
}

#[cfg(test)]
mod tests;
