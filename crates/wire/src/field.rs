//! One protobuf field, read and written: the primitive everything else in this crate stands on.
//!
//! [`Fields`] is a cursor over one message. Each step yields a field with its number, its value and its full range, tag
//! included, and always knows where the field ends, so that no caller can mistake the inside of an unknown field for
//! something it knows. Positions are those of the buffer the cursor was made on, so a cursor over a nested message
//! ([`Fields::within`]) speaks of the same positions as its parent.
//!
//! Refused, always with the offset: varints over 64 bits or ten bytes, field number 0 or above 2^29 - 1, groups (wire types
//! 3 and 4: no OTLP message ever had one), wire types 6 and 7, anything past the end of its message.
//! Varints that are longer than needed are accepted, as the protobuf specification asks.
//!
//! It does not know messages or types: `check` and `schema` do.

use bytes::BufMut;
use std::ops::Range;

/// The largest legal field number.
pub const MAX_NUMBER: u32 = (1 << 29) - 1;

/// Bytes that are not the protobuf message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf at byte {offset}: {what}")]
pub struct Malformed {
    /// Where in the request, in bytes from its start.
    pub offset: usize,
    /// What is wrong there.
    pub what: Fault,
}

/// What is wrong with malformed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A varint over ten bytes, or with bits past the 64th.
    #[error("varint is too long")]
    Varint,
    /// A field number that is 0 or above 2^29 - 1.
    #[error("field number is out of range")]
    Number,
    /// Wire type 3 or 4.
    #[error("groups are not supported")]
    Group,
    /// Wire type 6 or 7.
    #[error("unknown wire type")]
    WireType,
    /// A field, or the length it announces, reaches past the end of its message.
    #[error("field reaches past the end of its message")]
    Truncated,
    /// A known field with a wire type that its declaration does not allow.
    #[error("wrong wire type for {message}.{field}")]
    WrongType {
        /// Name of the message.
        message: &'static str,
        /// JSON name of the field.
        field: &'static str,
    },
    /// A trace or span id that is neither empty nor of its one legal length.
    #[error("{message}.{field} has a wrong length")]
    IdLength {
        /// Name of the message.
        message: &'static str,
        /// JSON name of the field.
        field: &'static str,
    },
    /// A packed field whose length is no multiple of its element's.
    #[error("packed {message}.{field} has a broken element")]
    Packed {
        /// Name of the message.
        message: &'static str,
        /// JSON name of the field.
        field: &'static str,
    },
    /// A string that is not UTF-8 (only in strict checks).
    #[error("{message}.{field} is not UTF-8")]
    Utf8 {
        /// Name of the message.
        message: &'static str,
        /// JSON name of the field.
        field: &'static str,
    },
    /// A resource entry, scope entry, metric or record that is not length-delimited.
    #[error("a field that holds a message holds something else")]
    NotAMessage,
    /// A request of 4 GiB or more, which nothing here works on.
    #[error("request is too large")]
    TooLarge,
    /// Attribute values nested deeper than the limit.
    #[error("attribute values are nested too deep")]
    Depth,
}

/// A field's value as far as the wire tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0: bool, enum, (u)int, sint (still zigzagged).
    Varint(u64),
    /// Wire type 1: fixed64, sfixed64, double.
    Fixed64(u64),
    /// Wire type 2: string, bytes, message, packed scalars.
    Len(&'a [u8]),
    /// Wire type 5: fixed32, sfixed32, float.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its number, 1 to [`MAX_NUMBER`].
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// Where its tag begins.
    pub start: usize,
    /// Where the next field begins.
    pub end: usize,
}

impl<'a> Field<'a> {
    /// The full range of the field, tag included.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The range of the value alone when it is length-delimited.
    pub fn payload(&self) -> Option<Range<usize>> {
        match self.value {
            Value::Len(bytes) => Some(self.end - bytes.len()..self.end),
            _ => None,
        }
    }

    /// The bytes of the value when it is length-delimited.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Len(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value when it is a varint.
    pub fn varint(&self) -> Option<u64> {
        match self.value {
            Value::Varint(value) => Some(value),
            _ => None,
        }
    }

    /// The value when it is eight fixed bytes.
    pub fn fixed64(&self) -> Option<u64> {
        match self.value {
            Value::Fixed64(value) => Some(value),
            _ => None,
        }
    }
}

/// A cursor over the fields of one message.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// Up to the end of the message, so that reading past it is reading past the slice.
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message that fills `message`.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Fields { buf: message, pos: 0 }
    }

    /// The fields of the message at `range` of `whole`; positions are those in `whole`. A range past the end is cut there.
    #[inline]
    pub fn within(whole: &'a [u8], range: Range<usize>) -> Self {
        Fields { buf: &whole[..range.end.min(whole.len())], pos: range.start }
    }

    /// Where the next field begins.
    #[inline]
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The next field, or `None` at the end of the message. After an error the cursor stands where it stood.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.pos >= self.buf.len() {
            return Ok(None);
        }
        let start = self.pos;
        let (number, wire_type, pos) = tag(self.buf, start)?;
        let (value, end) = value(self.buf, wire_type, start, pos)?;
        self.pos = end;
        Ok(Some(Field { number, value, start, end }))
    }
}

/// Yields fields until the end or the first error, which is yielded once.
impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        match self.next_field() {
            Ok(field) => field.map(Ok),
            Err(malformed) => {
                self.pos = self.buf.len();
                Some(Err(malformed))
            }
        }
    }
}

/// Reads the value that follows a tag: (value, where it ends). `start` is where the tag began, for errors.
#[inline(always)]
fn value(buf: &[u8], wire_type: u8, start: usize, pos: usize) -> Result<(Value<'_>, usize), Malformed> {
    match wire_type {
        0 => {
            let (value, end) = varint(buf, pos)?;
            Ok((Value::Varint(value), end))
        }
        1 => match buf.get(pos..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => Ok((Value::Fixed64(u64::from_le_bytes(*bytes)), pos + 8)),
            None => Err(Malformed { offset: start, what: Fault::Truncated }),
        },
        2 => {
            let (from, end) = delimited(buf, pos, start)?;
            Ok((Value::Len(&buf[from..end]), end))
        }
        5 => match buf.get(pos..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => Ok((Value::Fixed32(u32::from_le_bytes(*bytes)), pos + 4)),
            None => Err(Malformed { offset: start, what: Fault::Truncated }),
        },
        3 | 4 => Err(Malformed { offset: start, what: Fault::Group }),
        _ => Err(Malformed { offset: start, what: Fault::WireType }),
    }
}

/// Reads a tag at `pos`: (field number, wire type, where the value begins).
#[inline(always)]
pub(crate) fn tag(buf: &[u8], pos: usize) -> Result<(u32, u8, usize), Malformed> {
    let (key, after) = match buf.get(pos) {
        Some(&byte) if byte < 0x80 => (u64::from(byte), pos + 1),
        _ => varint(buf, pos)?,
    };
    let number = key >> 3;
    if number == 0 || number > u64::from(MAX_NUMBER) {
        return Err(Malformed { offset: pos, what: Fault::Number });
    }
    Ok((number as u32, (key & 7) as u8, after))
}

/// Reads a length at `pos` and answers the range of what it announces. `start` is where the tag began, for errors.
#[inline(always)]
pub(crate) fn delimited(buf: &[u8], pos: usize, start: usize) -> Result<(usize, usize), Malformed> {
    let (len, from) = varint(buf, pos)?;
    // `from` never passes the end, so the difference is the room that is left.
    if len > (buf.len() - from) as u64 {
        return Err(Malformed { offset: start, what: Fault::Truncated });
    }
    Ok((from, from + len as usize))
}

/// Reads a varint at `pos`: (value, where it ends).
#[inline(always)]
pub(crate) fn varint(buf: &[u8], pos: usize) -> Result<(u64, usize), Malformed> {
    match buf.get(pos..) {
        Some([a, ..]) if *a < 0x80 => Ok((u64::from(*a), pos + 1)),
        Some([a, b, ..]) if *b < 0x80 => Ok((u64::from(*a & 0x7f) | u64::from(*b) << 7, pos + 2)),
        _ => long_varint(buf, pos),
    }
}

#[inline(never)]
fn long_varint(buf: &[u8], pos: usize) -> Result<(u64, usize), Malformed> {
    let mut value = 0u64;
    for (i, &byte) in buf.get(pos..).unwrap_or_default().iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            // The tenth byte carries one bit.
            return match i == 9 && byte > 1 {
                true => Err(Malformed { offset: pos, what: Fault::Varint }),
                false => Ok((value, pos + i + 1)),
            };
        }
    }
    let what = if buf.len().saturating_sub(pos) < 10 { Fault::Truncated } else { Fault::Varint };
    Err(Malformed { offset: pos, what })
}

/// Number of bytes of a varint, 1 to 10.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    // Bits in use, at least one, in groups of seven, without a division.
    let bits = 64 - (value | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64
}

/// Number of bytes of a tag.
#[inline]
pub const fn tag_len(number: u32) -> usize {
    varint_len((number as u64) << 3)
}

/// Number of bytes of a length-delimited field: tag, length and `payload` bytes.
#[inline]
pub const fn len_field_len(number: u32, payload: usize) -> usize {
    tag_len(number) + varint_len(payload as u64) + payload
}

/// Writes a varint in its shortest form.
#[inline]
pub fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes a varint field.
pub fn put_varint_field(out: &mut impl BufMut, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Writes a fixed64, sfixed64 or double field from its bits.
pub fn put_fixed64_field(out: &mut impl BufMut, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.put_u64_le(value);
}

/// Writes a fixed32 or float field from its bits.
pub fn put_fixed32_field(out: &mut impl BufMut, number: u32, value: u32) {
    put_varint(out, u64::from(number) << 3 | 5);
    out.put_u32_le(value);
}

/// Writes tag and length of a length-delimited field whose `len` bytes of payload the caller writes next.
#[inline]
pub fn put_len_prefix(out: &mut impl BufMut, number: u32, len: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, len as u64);
}

/// Writes a length-delimited field: string, bytes or an encoded message.
#[inline]
pub fn put_len_field(out: &mut impl BufMut, number: u32, payload: &[u8]) {
    put_len_prefix(out, number, payload.len());
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(bytes: &[u8]) -> Option<Fault> {
        Fields::new(bytes).find_map(|field| field.err()).map(|malformed| malformed.what)
    }

    /// Scenario: the encodings protobuf forbids. Guarantee: each is refused for its own reason.
    #[test]
    fn forbidden_encodings_are_refused() {
        assert_eq!(fault(&[0x00, 0x01]), Some(Fault::Number));
        assert_eq!(fault(&[0x0b, 0x0c]), Some(Fault::Group));
        assert_eq!(fault(&[0x0c]), Some(Fault::Group));
        assert_eq!(fault(&[0x0e]), Some(Fault::WireType));
        assert_eq!(fault(&[0x0f]), Some(Fault::WireType));
        assert_eq!(fault(&[0x0a, 0x02, 0x00]), Some(Fault::Truncated));
        assert_eq!(fault(&[0x0a]), Some(Fault::Truncated));
        assert_eq!(fault(&[0x08]), Some(Fault::Truncated));
        assert_eq!(fault(&[0x09, 0, 0, 0, 0, 0, 0, 0]), Some(Fault::Truncated));
        assert_eq!(fault(&[0x0d, 0, 0, 0]), Some(Fault::Truncated));
        assert_eq!(fault(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), Some(Fault::Varint));
        assert_eq!(
            fault(&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            Some(Fault::Varint)
        );
        // Field number 2^29, and a length of 2^64 - 1.
        assert_eq!(fault(&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00]), Some(Fault::Number));
        assert_eq!(fault(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Some(Fault::Truncated));
    }

    /// Scenario: a length written with more bytes than needed. Guarantee: it is read, as the specification asks.
    #[test]
    fn long_forms_are_read() {
        let field = Fields::new(&[0x8a, 0x00, 0x81, 0x80, 0x00, 0x07]).next().expect("a field").expect("sound");
        assert_eq!((field.number, field.value, field.range()), (1, Value::Len(&[7]), 0..6));
        assert_eq!(field.payload(), Some(5..6));
    }

    /// Scenario: a cursor over a nested message. Guarantee: it ends with that message and speaks of the outer positions.
    #[test]
    fn nested_cursors_keep_outer_positions() {
        let whole = [0x0a, 0x02, 0x08, 0x05, 0x10, 0x06];
        let outer = Fields::new(&whole).next().expect("a field").expect("sound");
        let inner: Vec<_> = Fields::within(&whole, outer.payload().expect("a message")).collect();
        assert_eq!(inner, [Ok(Field { number: 1, value: Value::Varint(5), start: 2, end: 4 })]);
    }

    proptest! {
        /// Scenario: any varint. Guarantee: it is read back, and its announced length is its length.
        #[test]
        fn varints_come_back(value in prop_oneof![any::<u64>(), 0u64..300, (0u32..64).prop_map(|b| 1 << b)], tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let len = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(varint(&bytes, 0), Ok((value, len)));
        }

        /// Scenario: fields of all kinds, written one after the other.
        /// Guarantee: they come back in order and their ranges tile the message.
        #[test]
        fn fields_come_back(fields in proptest::collection::vec(
            (1u32..=MAX_NUMBER, 0u8..4, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..12)) {
            let mut bytes = Vec::new();
            for (number, kind, value, payload) in &fields {
                let before = bytes.len();
                match kind {
                    0 => put_varint_field(&mut bytes, *number, *value),
                    1 => put_fixed64_field(&mut bytes, *number, *value),
                    2 => put_fixed32_field(&mut bytes, *number, *value as u32),
                    _ => {
                        put_len_field(&mut bytes, *number, payload);
                        prop_assert_eq!(bytes.len() - before, len_field_len(*number, payload.len()));
                    }
                }
            }
            let mut at = 0;
            let mut read = Fields::new(&bytes);
            for (number, kind, value, payload) in &fields {
                let field = read.next().expect("a field").expect("sound");
                prop_assert_eq!((field.number, field.start), (*number, at));
                prop_assert_eq!(field.value, match kind {
                    0 => Value::Varint(*value),
                    1 => Value::Fixed64(*value),
                    2 => Value::Fixed32(*value as u32),
                    _ => Value::Len(payload),
                });
                at = field.end;
            }
            prop_assert_eq!((read.next(), at), (None, bytes.len()));
        }

        /// Scenario: arbitrary bytes. Guarantee: no panic, every step moves forward, an error is the last thing seen.
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut at = 0;
            let mut ended = false;
            for field in Fields::new(&bytes) {
                prop_assert!(!ended);
                match field {
                    Ok(field) => { prop_assert!(field.start == at && field.end > at); at = field.end; }
                    Err(_) => ended = true,
                }
            }
            prop_assert!(ended || at == bytes.len());
        }
    }
}
