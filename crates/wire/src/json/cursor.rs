//! The grammar of JSON (RFC 8259), read from the front of a text: white space, strings, numbers, literals.
//!
//! Invariants: the text is UTF-8, and holds no lone surrogate inside of strings (see [`repair`](super::repair)); a
//! place is a byte of the text, and never behind its end. Nothing is allocated for a string without escapes. What is
//! refused, where that is, and in which words, is as `serde_json` does it: senders know these words.
//!
//! It does not know messages: [`read`](super::read) does.

use super::JsonError;
use super::wrong::{self, Refused};
use serde::de::Unexpected;

/// A number, as wide as it has to be: whole ones that do not fit are floats, and so is `-0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A whole number without a sign.
    Unsigned(u64),
    /// A negative whole number.
    Negative(i64),
    /// Any other.
    Float(f64),
}

impl Number {
    /// For an error.
    pub fn found(self) -> Unexpected<'static> {
        match self {
            Number::Unsigned(value) => Unexpected::Unsigned(value),
            Number::Negative(value) => Unexpected::Signed(value),
            Number::Float(value) => Unexpected::Float(value),
        }
    }
}

/// A string without its quotes.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    /// As it stands in the text.
    Plain(&'a [u8]),
    /// It had escapes: what they stand for is what [`Cursor::text`] gives, until the next one.
    Unescaped,
}

/// A place in a JSON text.
pub(super) struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
    /// The last string that had escapes.
    scratch: Vec<u8>,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Cursor { json: text.as_bytes(), at: 0, scratch: Vec::new() }
    }

    /// What has not been read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.json[self.at..]
    }

    /// Goes on by bytes that are known to be there.
    #[inline]
    pub fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.byte();
        self.at += usize::from(byte.is_some());
        byte
    }

    /// The byte that comes next.
    #[inline]
    pub fn byte(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    /// The first byte that comes next and is no white space.
    #[inline]
    pub fn token(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => self.token_after_space(),
        }
    }

    fn token_after_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Refused because of what was read last.
    #[cold]
    pub fn refused(&self, what: impl Into<String>) -> Refused {
        self.refused_at(self.at, what.into())
    }

    /// Refused because of what comes next.
    #[cold]
    pub fn refused_next(&self, what: &str) -> Refused {
        self.refused_at((self.at + 1).min(self.json.len()), what.to_owned())
    }

    /// Refused in an array, which may end here: the place is behind that end, or behind a comma.
    #[cold]
    pub fn refused_in_array(&mut self, what: String) -> Refused {
        if let Some(token @ (b']' | b',')) = self.token() {
            self.at += 1;
            if token == b',' {
                self.token();
            }
        }
        self.refused(what)
    }

    /// Refused in an object, which may end here: the place is behind that end.
    #[cold]
    pub fn refused_in_object(&mut self, what: String) -> Refused {
        if self.token() == Some(b'}') {
            self.at += 1;
        }
        self.refused(what)
    }

    fn refused_at(&self, at: usize, what: String) -> Refused {
        let before = &self.json[..at];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let line = 1 + memchr::memchr_iter(b'\n', &before[..line_start]).count();
        Box::new(JsonError::invalid(line, at - line_start, what))
    }

    /// Reads the rest of `null`, `true` or `false`.
    pub fn literal(&mut self, literal: &str) -> Result<(), Refused> {
        for expected in literal.bytes() {
            match self.next() {
                Some(byte) if byte == expected => {}
                Some(_) => return Err(self.refused(wrong::IDENT)),
                None => return Err(self.refused(wrong::END_IN_VALUE)),
            }
        }
        Ok(())
    }

    /// What comes next, which is not what is expected.
    #[cold]
    pub fn wrong_type(&mut self, expected: &str) -> Refused {
        match self.wrong_value(expected) {
            Ok(what) => self.refused(what),
            Err(refused) => refused,
        }
    }

    fn wrong_value(&mut self, expected: &str) -> Result<String, Refused> {
        let found = match self.token() {
            Some(b'n') => {
                self.literal("null")?;
                Unexpected::Unit
            }
            Some(b't') => {
                self.literal("true")?;
                Unexpected::Bool(true)
            }
            Some(b'f') => {
                self.literal("false")?;
                Unexpected::Bool(false)
            }
            Some(b'-' | b'0'..=b'9') => self.number()?.found(),
            Some(b'"') => {
                self.skip(1);
                let text = self.string()?;
                let text = String::from_utf8_lossy(self.text(text));
                return Ok(wrong::invalid_type(Unexpected::Str(&text), expected));
            }
            Some(b'[') => Unexpected::Seq,
            Some(b'{') => Unexpected::Map,
            Some(_) => return Err(self.refused_next(wrong::VALUE)),
            None => return Err(self.refused_next(wrong::END_IN_VALUE)),
        };
        Ok(wrong::invalid_type(found, expected))
    }

    /// Reads `null` if that comes next.
    #[inline]
    pub fn null(&mut self) -> Result<bool, Refused> {
        let is_null = self.token() == Some(b'n');
        if is_null {
            self.literal("null")?;
        }
        Ok(is_null)
    }

    /// Goes to the next key of an object, or behind its end. Answers whether there is one; the place is then behind its
    /// opening quote.
    #[inline]
    pub fn key_follows(&mut self, first: bool) -> Result<bool, Refused> {
        let mut token = self.token();
        if token == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            if token != Some(b',') {
                return Err(match token {
                    Some(_) => self.refused_next(wrong::OBJECT_COMMA),
                    None => self.refused_next(wrong::END_IN_OBJECT),
                });
            }
            self.at += 1;
            token = self.token();
        }
        if token == Some(b'"') {
            self.at += 1;
            return Ok(true);
        }
        Err(self.refused_next(match token {
            Some(b'}') => wrong::TRAILING_COMMA,
            Some(_) => wrong::KEY,
            None if first => wrong::END_IN_OBJECT,
            None => wrong::END_IN_VALUE,
        }))
    }

    /// Reads the colon behind a key.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Refused> {
        match self.token() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.refused_next(wrong::COLON)),
            None => Err(self.refused_next(wrong::END_IN_OBJECT)),
        }
    }

    /// Goes to the next element of an array, or behind its end. Answers whether there is one.
    #[inline]
    pub fn element_follows(&mut self, first: bool) -> Result<bool, Refused> {
        match self.token() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.token() {
                    Some(b']') => Err(self.refused_next(wrong::TRAILING_COMMA)),
                    Some(_) => Ok(true),
                    None => Err(self.refused_next(wrong::END_IN_VALUE)),
                }
            }
            Some(_) => Err(self.refused_next(wrong::LIST_COMMA)),
            None => Err(self.refused_next(wrong::END_IN_LIST)),
        }
    }

    /// Reads a string to its end; the place is behind its opening quote.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Refused> {
        let end = special(self.json, self.at);
        if self.json.get(end) == Some(&b'"') {
            let text = &self.json[self.at..end];
            self.at = end + 1;
            return Ok(Text::Plain(text));
        }
        self.unescape(end)?;
        Ok(Text::Unescaped)
    }

    /// The bytes of the string that was read last.
    #[inline]
    pub fn text<'t>(&'t self, text: Text<'t>) -> &'t [u8] {
        match text {
            Text::Plain(text) => text,
            Text::Unescaped => &self.scratch,
        }
    }

    /// Reads a string with escapes into the scratch, of which the first special byte is at `end`.
    fn unescape(&mut self, mut end: usize) -> Result<(), Refused> {
        self.scratch.clear();
        loop {
            self.scratch.extend_from_slice(&self.json[self.at..end]);
            self.at = end;
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.refused(wrong::CONTROL)),
                None => return Err(self.refused(wrong::END_IN_STRING)),
            }
            end = special(self.json, self.at);
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<(), Refused> {
        let byte = match self.next() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(),
            Some(_) => return Err(self.refused(wrong::ESCAPE)),
            None => return Err(self.refused(wrong::END_IN_STRING)),
        };
        self.scratch.push(byte);
        Ok(())
    }

    /// Reads what follows `\u`: a unit of UTF-16, or the first of a pair of them, and the second one with its `\u`.
    fn unicode(&mut self) -> Result<(), Refused> {
        let mut code = u32::from(self.unit()?);
        if (0xd800..0xdc00).contains(&code) {
            // The text was mended: a pair is complete.
            self.at += 2;
            code = 0x1_0000 + ((code - 0xd800) << 10 | u32::from(self.unit()?) & 0x3ff);
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Reads four hex digits.
    fn unit(&mut self) -> Result<u16, Refused> {
        let Some(digits) = self.json.get(self.at..self.at + 4) else {
            self.at = self.json.len();
            return Err(self.refused(wrong::END_IN_STRING));
        };
        self.at += 4;
        let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16));
        unit.ok_or_else(|| self.refused(wrong::ESCAPE))
    }

    /// Reads a whole number without a sign, if that comes next and is of a usual length.
    #[inline]
    pub fn unsigned(&mut self) -> Option<u64> {
        /// The most that always fit.
        const DIGITS: usize = 19;
        let (rest, mut value, mut count) = (self.rest(), 0u64, 0);
        while let Some(byte @ b'0'..=b'9') = rest.get(count).copied().filter(|_| count < DIGITS) {
            value = value * 10 + u64::from(byte - b'0');
            count += 1;
        }
        let goes_on = matches!(rest.get(count), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
        if count == 0 || goes_on || (count > 1 && rest[0] == b'0') {
            return None;
        }
        self.at += count;
        Some(value)
    }

    /// Reads a number; a minus or a digit comes next.
    pub fn number(&mut self) -> Result<Number, Refused> {
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative);
        let mut digits = Digits::default();
        match self.next() {
            Some(b'0') if self.byte().is_some_and(|byte| byte.is_ascii_digit()) => {
                return Err(self.refused_next(wrong::NUMBER));
            }
            Some(byte) if byte.is_ascii_digit() => digits.push(byte),
            Some(_) => return Err(self.refused(wrong::NUMBER)),
            None => return Err(self.refused(wrong::END_IN_VALUE)),
        }
        self.digits(&mut digits);
        let mut scale = 0;
        let is_whole = !matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        if is_whole && !digits.overflow {
            match (digits.value as i64).wrapping_neg() {
                _ if !negative => return Ok(Number::Unsigned(digits.value)),
                value if value < 0 => return Ok(Number::Negative(value)),
                _ => {}
            }
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            let count = self.digits(&mut digits);
            if count == 0 {
                return Err(match self.byte() {
                    Some(_) => self.refused_next(wrong::NUMBER),
                    None => self.refused_next(wrong::END_IN_VALUE),
                });
            }
            scale = i32::try_from(count).map_or(i32::MIN, |count| -count);
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            scale = scale.saturating_add(self.exponent(digits.is_zero())?);
        }
        let value = match digits.float(scale) {
            Some(value) if negative => -value,
            Some(value) => value,
            // Digits, signs and dots are UTF-8, and this is the grammar that is parsed.
            None => str::from_utf8(&self.json[start..self.at]).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0),
        };
        if value.is_infinite() {
            return Err(self.refused(wrong::RANGE));
        }
        Ok(Number::Float(value))
    }

    /// Reads digits, and answers how many.
    #[inline]
    fn digits(&mut self, digits: &mut Digits) -> usize {
        let from = self.at;
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            digits.push(byte);
            self.at += 1;
        }
        self.at - from
    }

    /// Reads an exponent; its letter comes next. One too large for an `i32` is refused, unless it is that of a zero.
    fn exponent(&mut self, of_zero: bool) -> Result<i32, Refused> {
        self.at += 1;
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative || self.byte() == Some(b'+'));
        let mut exponent = match self.next() {
            Some(byte) if byte.is_ascii_digit() => i32::from(byte - b'0'),
            Some(_) => return Err(self.refused(wrong::NUMBER)),
            None => return Err(self.refused(wrong::END_IN_VALUE)),
        };
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            self.at += 1;
            let digit = i32::from(byte - b'0');
            exponent = match exponent.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
                Some(exponent) => exponent,
                None if negative || of_zero => i32::MAX,
                None => return Err(self.refused(wrong::RANGE)),
            };
        }
        Ok(if negative { -exponent } else { exponent })
    }
}

/// The digits of a number, without its dot.
#[derive(Default)]
struct Digits {
    value: u64,
    /// There were more than fit.
    overflow: bool,
}

impl Digits {
    #[inline]
    fn push(&mut self, byte: u8) {
        let value = self.value.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(byte - b'0')));
        self.overflow |= value.is_none();
        self.value = value.unwrap_or(self.value);
    }

    fn is_zero(&self) -> bool {
        self.value == 0 && !self.overflow
    }

    /// The nearest float of `value` · 10^`scale`, if one operation on exact floats gives it.
    fn float(&self, scale: i32) -> Option<f64> {
        const POWERS: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
            1e19, 1e20, 1e21, 1e22,
        ];
        if self.overflow || self.value > 1 << f64::MANTISSA_DIGITS {
            return None;
        }
        let power = POWERS.get(scale.unsigned_abs() as usize)?;
        let value = self.value as f64;
        Some(if scale < 0 { value / power } else { value * power })
    }
}

/// The high bits of those bytes of a word that are a quote, a backslash or a control character. Above the first one,
/// others may be marked.
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    // A quote with its second bit flipped is a space, which is one above the control characters; these stay below it.
    let quotes_and_controls = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslashes = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (quotes_and_controls | backslashes) & !word & (ONES << 7)
}

/// Where the first quote, backslash or control character is, from `from` on, or the end.
#[inline]
pub(super) fn special(json: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = json.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while json.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}
