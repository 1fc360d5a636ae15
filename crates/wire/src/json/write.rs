//! Protobuf to JSON: one pass over each message's fields, then its keys in the order of the field numbers.
//!
//! The fields of all open messages lie on one stack, so there is no allocation per message. A message whose fields are
//! already in order (every encoder writes them so) is not sorted.

use super::cursor::special;
use super::scalar;
use crate::check::MAX_DEPTH;
use crate::field::{self, Fault, Fields, Malformed, Value};
use crate::lossy::lossy;
use crate::schema::{Field, Kind, Message};
use smallvec::SmallVec;
use std::io::Write as _;
use std::ops::Range;

pub(super) fn message(message: &'static Message, protobuf: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer { input: protobuf, out: Vec::new(), stack: Vec::new(), value_depth: 0 };
    writer.message(message, std::slice::from_ref(&(0..protobuf.len())))?;
    Ok(writer.out)
}

/// One occurrence of a known field.
#[derive(Clone, Copy)]
struct Occurrence<'a> {
    of: &'static Message,
    field: &'static Field,
    found: field::Field<'a>,
}

impl Occurrence<'_> {
    fn wrong(&self, what: fn(&'static str, &'static str) -> Fault) -> Malformed {
        Malformed { offset: self.found.start, what: what(self.of.name, self.field.json) }
    }

    fn wrong_type(&self) -> Malformed {
        self.wrong(|message, field| Fault::WrongType { message, field })
    }

    /// Where a length-delimited value lies in the input.
    fn payload(&self) -> Result<Range<usize>, Malformed> {
        self.found.payload().ok_or_else(|| self.wrong_type())
    }

    /// What a scalar of wire type 0, 1 or 5 carries.
    fn bits(&self) -> Result<u64, Malformed> {
        match (self.field.kind.wire_type(), self.found.value) {
            (0, Value::Varint(bits)) | (1, Value::Fixed64(bits)) => Ok(bits),
            (5, Value::Fixed32(bits)) => Ok(u64::from(bits)),
            _ => Err(self.wrong_type()),
        }
    }
}

struct Writer<'a> {
    input: &'a [u8],
    out: Vec<u8>,
    stack: Vec<Occurrence<'a>>,
    value_depth: usize,
}

impl Writer<'_> {
    /// Writes the object of a message whose bytes lie in `parts`: a message that comes in pieces is their concatenation.
    fn message(&mut self, message: &'static Message, parts: &[Range<usize>]) -> Result<(), Malformed> {
        if message.is_any_value() {
            if self.value_depth == MAX_DEPTH {
                let offset = parts.first().map_or(0, |part| part.start);
                return Err(Malformed { offset, what: Fault::Depth });
            }
            self.value_depth += 1;
        }
        let base = self.stack.len();
        self.collect(message, parts)?;
        self.out.push(b'{');
        let mut next = base;
        while next < self.stack.len() {
            let field = self.stack[next].field;
            let same = self.stack[next..].iter().take_while(|other| other.field.number == field.number).count();
            self.field(field, next..next + same)?;
            next += same;
        }
        // Every key was written with a comma behind it.
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self.out.push(b'}');
        self.stack.truncate(base);
        if message.is_any_value() {
            self.value_depth -= 1;
        }
        Ok(())
    }

    /// Puts the known fields of a message on the stack, in the order of their numbers and, within one, of the wire.
    fn collect(&mut self, message: &'static Message, parts: &[Range<usize>]) -> Result<(), Malformed> {
        let base = self.stack.len();
        // The oneof member that was set last, and where its present run began: setting another member clears the first.
        let mut member: Option<(u32, usize)> = None;
        let mut cleared = false;
        for part in parts {
            let mut fields = Fields::within(self.input, part.clone());
            while let Some(found) = fields.next_field()? {
                let Some(field) = message.field(found.number) else { continue };
                if field.oneof && member.is_none_or(|(number, _)| number != field.number) {
                    cleared |= member.is_some();
                    member = Some((field.number, self.stack.len()));
                }
                self.stack.push(Occurrence { of: message, field, found });
            }
        }
        if let (true, Some((_, run))) = (cleared, member) {
            let mut kept = base;
            for i in base..self.stack.len() {
                if i >= run || !self.stack[i].field.oneof {
                    self.stack[kept] = self.stack[i];
                    kept += 1;
                }
            }
            self.stack.truncate(kept);
        }
        let mine = &mut self.stack[base..];
        if !mine.is_sorted_by_key(|occurrence| occurrence.field.number) {
            mine.sort_by_key(|occurrence| occurrence.field.number);
        }
        Ok(())
    }

    /// Writes `"name":value,` for the occurrences of one field, or nothing if all they say is the default.
    fn field(&mut self, field: &'static Field, at: Range<usize>) -> Result<(), Malformed> {
        let before = self.out.len();
        self.out.push(b'"');
        self.out.extend_from_slice(field.json.as_bytes());
        self.out.extend_from_slice(b"\":");
        let written = if field.repeated { self.list(at)? } else { self.singular(field, at)? };
        if written {
            self.out.push(b',');
        } else {
            self.out.truncate(before);
        }
        Ok(())
    }

    fn singular(&mut self, field: &'static Field, at: Range<usize>) -> Result<bool, Malformed> {
        let Some(&last) = self.stack[at.clone()].last() else { return Ok(false) };
        match field.kind {
            Kind::Message(message) => {
                let pieces = self.stack[at].iter().map(Occurrence::payload);
                let pieces = pieces.collect::<Result<SmallVec<[Range<usize>; 2]>, _>>()?;
                self.message(message, &pieces)?;
                Ok(true)
            }
            Kind::String | Kind::Bytes | Kind::Id(_) => {
                let payload = last.payload()?;
                let present = field.has_presence() || !payload.is_empty();
                if present {
                    self.text(field.kind, payload);
                }
                Ok(present)
            }
            kind => {
                let bits = last.bits()?;
                let present = field.has_presence() || bits != 0;
                if present {
                    self.scalar(kind, bits);
                }
                Ok(present)
            }
        }
    }

    /// Writes an array of all occurrences, packed or not. An empty one is left out.
    fn list(&mut self, at: Range<usize>) -> Result<bool, Malformed> {
        self.out.push(b'[');
        let empty = self.out.len();
        for i in at {
            let occurrence = self.stack[i];
            match occurrence.field.kind {
                Kind::Message(message) => self.message(message, &[occurrence.payload()?])?,
                kind if !kind.packable() => self.text(kind, occurrence.payload()?),
                kind => match occurrence.found.value {
                    Value::Len(packed) => {
                        self.packed(&occurrence, packed)?;
                        continue;
                    }
                    _ => self.scalar(kind, occurrence.bits()?),
                },
            }
            self.out.push(b',');
        }
        let written = self.out.len() > empty;
        if written {
            self.out.pop();
        }
        self.out.push(b']');
        Ok(written)
    }

    /// Writes each element of a packed list, with a comma behind it.
    fn packed(&mut self, occurrence: &Occurrence<'_>, packed: &[u8]) -> Result<(), Malformed> {
        let broken = || occurrence.wrong(|message, field| Fault::Packed { message, field });
        let kind = occurrence.field.kind;
        let mut rest = packed;
        while !rest.is_empty() {
            let (bits, len) = match kind.wire_type() {
                1 => (u64::from_le_bytes(*rest.first_chunk().ok_or_else(broken)?), 8),
                5 => (u64::from(u32::from_le_bytes(*rest.first_chunk().ok_or_else(broken)?)), 4),
                _ => field::varint(rest, 0).map_err(|_| broken())?,
            };
            rest = &rest[len..];
            self.scalar(kind, bits);
            self.out.push(b',');
        }
        Ok(())
    }

    fn scalar(&mut self, kind: Kind, bits: u64) {
        let out = &mut self.out;
        match kind {
            Kind::Bool => out.extend_from_slice(if bits != 0 { b"true" } else { b"false" }),
            // 32-bit kinds keep the low half of a longer varint, as every protobuf decoder does.
            Kind::Int32 | Kind::Enum => signed(out, i64::from(bits as i32)),
            Kind::Sint32 => signed(out, i64::from((bits as u32 >> 1) as i32 ^ -((bits & 1) as i32))),
            Kind::Uint32 | Kind::Fixed32 => decimal(out, u64::from(bits as u32)),
            Kind::Double => double(out, f64::from_bits(bits)),
            Kind::Int64 | Kind::Sfixed64 => {
                out.push(b'"');
                signed(out, bits as i64);
                out.push(b'"');
            }
            _ => {
                out.push(b'"');
                decimal(out, bits);
                out.push(b'"');
            }
        }
    }

    fn text(&mut self, kind: Kind, payload: Range<usize>) {
        let bytes = &self.input[payload];
        match kind {
            Kind::Bytes => {
                self.out.push(b'"');
                scalar::write_base64(bytes, &mut self.out);
                self.out.push(b'"');
            }
            Kind::Id(_) => {
                self.out.push(b'"');
                for byte in bytes {
                    let digits = [byte >> 4, byte & 15].map(|digit| HEX_DIGITS[usize::from(digit)]);
                    self.out.extend_from_slice(&digits);
                }
                self.out.push(b'"');
            }
            _ => string(&mut self.out, &lossy(bytes)),
        }
    }
}

/// Writes a string in quotes. Escaped is what has to be, in the short form if there is one.
fn string(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.push(b'"');
    loop {
        let (plain, tail) = rest.split_at(special(rest, 0));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = tail.split_first() else { break };
        let short = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            byte => byte,
        };
        if short < b' ' {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[byte >> 4, byte & 15].map(|digit| HEX_DIGITS[usize::from(digit)]));
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
        rest = after;
    }
    out.push(b'"');
}

fn double(out: &mut Vec<u8>, value: f64) {
    // Writing to a Vec cannot fail.
    let _ = match value {
        value if value.is_nan() => write!(out, "\"NaN\""),
        value if value.is_infinite() => write!(out, "\"{}Infinity\"", if value < 0.0 { "-" } else { "" }),
        // Debug is the shortest form that reads back the same, with an exponent where it is shorter.
        value => write!(out, "{value:?}"),
    };
}

/// Writes a whole number.
fn decimal(out: &mut Vec<u8>, mut value: u64) {
    /// The longest has twenty digits.
    const LEN: usize = 20;
    let (mut digits, mut from) = ([0; LEN], LEN);
    while from > 0 {
        from -= 1;
        digits[from] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    decimal(out, value.unsigned_abs());
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
