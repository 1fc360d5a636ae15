//! The attributes and values that most of a request consists of, as machines write them:
//! `{"key":"k","value":{"stringValue":"v"}}`, without white space, escapes, signs, or fields beyond these.
//!
//! Invariant: what is read here is what the reader would read, and is written as it would write it; anything else is
//! left to it, with the place and the output as they were.

use super::cursor::special;
use super::read::Reader;
use super::scalar::whole;
use crate::field::{len_field_len, tag_len, varint_len};
use crate::schema::Kind;

/// Field numbers of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// Field numbers of `AnyValue`.
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;

impl Reader<'_> {
    /// Reads an attribute, and writes it as a field. Answers whether it was a usual one.
    #[inline]
    pub(super) fn usual_pair(&mut self, number: u32) -> bool {
        let rest = self.json.rest();
        let mut glance = Glance(rest);
        let Some((key, value)) = glance.pair() else { return false };
        // An empty key is not written at all; a deep value is refused.
        if key.is_empty() || !self.has_room() {
            return false;
        }
        let value_len = value.len();
        self.output.prefix(number, len_field_len(KEY, key.len()) + len_field_len(VALUE, value_len));
        self.output.bytes_field(KEY, key);
        self.write(VALUE, value_len, value);
        self.json.skip(rest.len() - glance.0.len());
        true
    }

    /// Reads a value, and writes it as a field. Answers whether it was a usual one.
    #[inline]
    pub(super) fn usual_value(&mut self, number: u32) -> bool {
        let rest = self.json.rest();
        let mut glance = Glance(rest);
        let Some(value) = glance.value() else { return false };
        self.write(number, value.len(), value);
        self.json.skip(rest.len() - glance.0.len());
        true
    }

    #[inline]
    fn write(&mut self, number: u32, len: usize, value: Usual<'_>) {
        self.output.prefix(number, len);
        match value {
            Usual::Text(text) => self.output.bytes_field(STRING, text),
            Usual::Bool(value) => self.output.scalar_field(BOOL, Kind::Bool, u64::from(value)),
            Usual::Int(value) => self.output.scalar_field(INT, Kind::Int64, value),
        }
    }
}

/// A usual value.
enum Usual<'a> {
    Text(&'a [u8]),
    Bool(bool),
    /// At most `i64::MAX`.
    Int(u64),
}

impl Usual<'_> {
    /// Bytes of its `AnyValue`.
    #[inline]
    fn len(&self) -> usize {
        match self {
            Usual::Text(text) => len_field_len(STRING, text.len()),
            Usual::Bool(_) => tag_len(BOOL) + 1,
            Usual::Int(value) => tag_len(INT) + varint_len(*value),
        }
    }
}

/// What comes next, looked at without going there.
struct Glance<'a>(&'a [u8]);

impl<'a> Glance<'a> {
    #[inline]
    fn after(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// Goes behind a string without escapes; its opening quote was before.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at(special(self.0, 0));
        self.0 = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    #[inline]
    fn pair(&mut self) -> Option<(&'a [u8], Usual<'a>)> {
        self.after(b"{\"key\":\"")?;
        let key = self.string()?;
        self.after(b",\"value\":")?;
        let value = self.value()?;
        self.after(b"}")?;
        Some((key, value))
    }

    #[inline]
    fn value(&mut self) -> Option<Usual<'a>> {
        let value = match self.after(b"{\"stringValue\":\"") {
            Some(()) => Usual::Text(self.string()?),
            None => self.short_value()?,
        };
        self.after(b"}")?;
        Some(value)
    }

    fn short_value(&mut self) -> Option<Usual<'a>> {
        if self.after(b"{\"intValue\":").is_some() {
            let digits = match self.after(b"\"") {
                Some(()) => self.string()?,
                None => {
                    let end = self.0.iter().position(|byte| !byte.is_ascii_digit())?;
                    let (digits, rest) = self.0.split_at(end);
                    self.0 = rest;
                    digits
                }
            };
            return whole(digits).filter(|value| i64::try_from(*value).is_ok()).map(Usual::Int);
        }
        self.after(b"{\"boolValue\":")?;
        match self.after(b"true") {
            Some(()) => Some(Usual::Bool(true)),
            None => self.after(b"false").map(|()| Usual::Bool(false)),
        }
    }
}
