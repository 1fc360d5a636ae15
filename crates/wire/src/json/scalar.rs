//! The leaves of OTLP/JSON: numbers, booleans, ids and bytes, from text to what the wire carries.

use super::cursor::{Cursor, Number};
use super::wrong::{Refused, invalid_type, invalid_value};
use crate::schema::Kind;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use serde::de::Unexpected;
use std::fmt::Display;

/// As lenient as Go's decoder, which the peers use: padding may be missing, and unused bits may be set.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The bytes of a base64 text, standard or URL-safe.
pub(super) fn base64(text: &[u8]) -> Result<Vec<u8>, String> {
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    engine.decode(text).map_err(|error| format!("not base64: {error}"))
}

/// Appends the bytes of base64 text to JSON: standard, padded.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

/// The longest id, in bytes.
pub(super) const MAX_ID: usize = 16;

/// Reads an id of `len` bytes written in hex; an empty text is an empty id. Answers the bytes, and how many they are.
#[inline]
pub(super) fn id(text: &[u8], len: usize) -> Result<([u8; MAX_ID], usize), String> {
    let mut id = [0; MAX_ID];
    if text.is_empty() {
        return Ok((id, 0));
    }
    if text.len() != 2 * len {
        return Err(wrong_length(text, len));
    }
    let mut all = 0;
    for (byte, pair) in id.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| DIGITS[usize::from(digit)]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    if all > 15 {
        return Err("an id must consist of hex digits".to_owned());
    }
    Ok((id, len))
}

#[cold]
fn wrong_length(text: &[u8], len: usize) -> String {
    if base64(text).is_ok_and(|decoded| decoded.len() == len) {
        return format!("ids are written in hex ({} digits) in OTLP/JSON, this one is base64", 2 * len);
    }
    let count = String::from_utf8_lossy(text).chars().count();
    format!("an id of {} hex digits is expected, not {count} characters", 2 * len)
}

/// The values of hex digits, more than 15 for every other byte.
const DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
};

/// A number or boolean of a kind, of an enum also one of these names; what is read is what the wire carries: the
/// varint, or the bits of the fixed value.
#[derive(Clone, Copy)]
pub(super) struct Scalar(pub Kind, pub &'static [(&'static str, i32)]);

impl Scalar {
    /// Reads the value that comes next.
    #[inline]
    pub fn read(self, json: &mut Cursor<'_>) -> Result<u64, Refused> {
        let bits = match json.token() {
            Some(b'"') => {
                json.skip(1);
                let text = json.string()?;
                self.text(json.text(text))
            }
            Some(b'-' | b'0'..=b'9') => match json.unsigned() {
                Some(value) => self.number(Number::Unsigned(value)),
                None => self.number(json.number()?),
            },
            Some(b't') => {
                json.literal("true")?;
                self.boolean(true)
            }
            Some(b'f') => {
                json.literal("false")?;
                self.boolean(false)
            }
            _ => return Err(self.refused(json)),
        };
        bits.map_err(|what| json.refused(what))
    }

    /// Neither a number nor a boolean nor a string comes next.
    #[cold]
    fn refused(self, json: &mut Cursor<'_>) -> Refused {
        match json.token() {
            Some(b'[') => {
                json.skip(1);
                json.refused_in_array(invalid_type(Unexpected::Seq, self.expected()))
            }
            Some(b'{') => {
                json.skip(1);
                json.refused_in_object(invalid_type(Unexpected::Map, self.expected()))
            }
            _ => json.wrong_type(self.expected()),
        }
    }

    fn boolean(self, value: bool) -> Result<u64, String> {
        match self.0 {
            Kind::Bool => Ok(u64::from(value)),
            _ => Err(invalid_type(Unexpected::Bool(value), self.expected())),
        }
    }

    #[inline]
    fn number(self, number: Number) -> Result<u64, String> {
        match (self.0, number) {
            (Kind::Fixed64 | Kind::Uint64, Number::Unsigned(value)) => Ok(value),
            (Kind::Double, Number::Unsigned(value)) => Ok((value as f64).to_bits()),
            (Kind::Double, Number::Negative(value)) => Ok((value as f64).to_bits()),
            (Kind::Double, Number::Float(value)) => Ok(value.to_bits()),
            (Kind::Bool | Kind::Sint32, Number::Unsigned(value)) => self.integer(i128::from(value)),
            (_, Number::Unsigned(value)) if value <= i32::MAX as u64 => Ok(value),
            (_, Number::Unsigned(value)) => self.integer(i128::from(value)),
            (_, Number::Negative(value)) => self.integer(i128::from(value)),
            (_, Number::Float(value)) => self.float(value),
        }
    }

    /// The bits of an integer, if it is in the range of the kind.
    fn integer(self, value: i128) -> Result<u64, String> {
        let bits = match self.0 {
            Kind::Bool => return Err(invalid_type(Unexpected::Other("a number"), self.expected())),
            // Negative 32-bit values are sign-extended on the wire.
            Kind::Int32 | Kind::Enum => i32::try_from(value).ok().map(|value| i64::from(value) as u64),
            Kind::Sint32 => i32::try_from(value).ok().map(|value| u64::from(((value << 1) ^ (value >> 31)) as u32)),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(|value| value as u64),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok().map(u64::from),
            _ => u64::try_from(value).ok(),
        };
        bits.ok_or_else(|| self.out_of_range(value))
    }

    /// The bits of an integer that is written as a float.
    fn float(self, value: f64) -> Result<u64, String> {
        match value {
            // Integers below i64::MIN are read as floats, and the first of them round to it: so neither is taken.
            // The cast saturates, and the ends of i128 are out of range for every kind.
            _ if value.fract() == 0.0 && value != i64::MIN as f64 => self.integer(value as i128),
            _ if value.fract() == 0.0 => Err(self.out_of_range(value)),
            _ => Err(invalid_type(Unexpected::Float(value), self.expected())),
        }
    }

    #[cold]
    fn out_of_range(self, value: impl Display) -> String {
        format!("{value} is out of range, {} is expected", self.expected())
    }

    fn expected(self) -> &'static str {
        match self.0 {
            Kind::Bool => "true or false",
            Kind::Double => "a number",
            Kind::Enum => "an enum as a 32-bit integer or by its name",
            Kind::Int32 | Kind::Sint32 => "a 32-bit integer",
            Kind::Int64 | Kind::Sfixed64 => "a 64-bit integer",
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
            _ => "an unsigned 64-bit integer",
        }
    }

    #[inline]
    fn text(self, text: &[u8]) -> Result<u64, String> {
        let bits = match (self.0, text) {
            (Kind::Enum, _) => {
                let found = self.1.iter().find(|(name, _)| name.as_bytes() == text);
                found.map(|(_, number)| i64::from(*number) as u64)
            }
            (Kind::Bool, _) => None,
            (Kind::Double, b"NaN") => Some(f64::NAN.to_bits()),
            (Kind::Double, b"Infinity") => Some(f64::INFINITY.to_bits()),
            (Kind::Double, b"-Infinity") => Some(f64::NEG_INFINITY.to_bits()),
            _ => match whole(text) {
                Some(value) => self.number(Number::Unsigned(value)).ok(),
                None => self.quoted(text),
            },
        };
        bits.ok_or_else(|| invalid_value(Unexpected::Str(&String::from_utf8_lossy(text)), self.expected()))
    }

    /// The bits of a JSON number in quotes.
    fn quoted(self, text: &[u8]) -> Option<u64> {
        let mut json = Cursor::new(str::from_utf8(text).ok()?);
        if !matches!(json.byte()?, b'-' | b'0'..=b'9') {
            return None;
        }
        let number = json.number().ok()?;
        if json.byte().is_some() {
            return None;
        }
        self.number(number).ok()
    }
}

/// A whole number of a usual length.
#[inline]
pub(super) fn whole(text: &[u8]) -> Option<u64> {
    /// The longest that always fits.
    const MAX: usize = 19;
    if text.is_empty() || text.len() > MAX || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    let (words, rest) = text.as_chunks();
    let mut value = 0;
    for word in words {
        value = value * 100_000_000 + eight_digits(u64::from_le_bytes(*word))?;
    }
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// The value of eight digits, the first of them in the lowest byte: neighbours are put together in pairs, thrice.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    // The upper half of a digit's byte is 3, also when 6 is added: that makes A of 9.
    let above_nine = word.wrapping_add(0x0606_0606_0606_0606);
    if (word & HIGH_HALVES) | ((above_nine & HIGH_HALVES) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let digits = word - ZEROS;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}
