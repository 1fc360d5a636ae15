//! The leaves of OTLP/JSON: numbers, booleans, ids and bytes, from text to what the wire carries.

use crate::schema::Kind;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, Unexpected, Visitor};
use std::fmt;

/// As lenient as Go's decoder, which the peers use: padding may be missing, and unused bits may be set.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends the bytes of a base64 text, standard or URL-safe.
pub(super) fn base64(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    engine.decode_vec(text, out).map_err(|error| format!("not base64: {error}"))
}

/// Appends the bytes of base64 text to JSON: standard, padded.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

/// Appends an id of `len` bytes written in hex, or nothing for an empty text.
pub(super) fn id(text: &str, len: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let mut decoded = Vec::new();
    if text.len() != 2 * len && base64(text, &mut decoded).is_ok() && decoded.len() == len {
        return Err(format!("ids are written in hex ({} digits) in OTLP/JSON, this one is base64", 2 * len));
    }
    if text.len() != 2 * len {
        return Err(format!("an id of {} hex digits is expected, not {} characters", 2 * len, text.chars().count()));
    }
    for pair in text.as_bytes().chunks_exact(2) {
        let (Some(high), Some(low)) = (hex(pair[0]), hex(pair[1])) else {
            return Err("an id must consist of hex digits".to_owned());
        };
        out.push(high << 4 | low);
    }
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Reads a number or boolean of a kind, of an enum also one of these names; the value is what the wire carries: the varint, or the bits of the fixed value.
#[derive(Clone, Copy)]
pub(super) struct Scalar(pub Kind, pub &'static [(&'static str, i32)]);

impl Scalar {
    /// The bits of an integer, if it is in the range of the kind.
    fn integer<E: Error>(self, value: i128) -> Result<u64, E> {
        let bits = match self.0 {
            Kind::Bool => return Err(E::invalid_type(Unexpected::Other("a number"), &self)),
            Kind::Double => Some((value as f64).to_bits()),
            // Negative 32-bit values are sign-extended on the wire.
            Kind::Int32 | Kind::Enum => i32::try_from(value).ok().map(|value| i64::from(value) as u64),
            Kind::Sint32 => i32::try_from(value).ok().map(|value| u64::from(((value << 1) ^ (value >> 31)) as u32)),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(|value| value as u64),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok().map(u64::from),
            _ => u64::try_from(value).ok(),
        };
        bits.ok_or_else(|| E::custom(format_args!("{value} is out of range, {self} is expected")))
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Bool => "true or false",
            Kind::Double => "a number",
            Kind::Enum => "an enum as a 32-bit integer or by its name",
            Kind::Int32 | Kind::Sint32 => "a 32-bit integer",
            Kind::Int64 | Kind::Sfixed64 => "a 64-bit integer",
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
            _ => "an unsigned 64-bit integer",
        })
    }
}

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Scalar {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<u64, E> {
        match self.0 {
            Kind::Bool => Ok(u64::from(value)),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        self.integer(i128::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        match self.0 {
            Kind::Double => Ok(value.to_bits()),
            // serde_json makes floats of integers below i64::MIN, and the first of them round to it: so neither is read.
            // The cast saturates, and the ends of i128 are out of range for every kind.
            _ if value.fract() == 0.0 && value != i64::MIN as f64 => self.integer(value as i128),
            _ if value.fract() == 0.0 => Err(E::custom(format_args!("{value} is out of range, {self} is expected"))),
            _ => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let refused = || E::invalid_value(Unexpected::Str(text), &self);
        match (self.0, text) {
            (Kind::Enum, _) => {
                let found = self.1.iter().find(|(name, _)| *name == text);
                return found.map(|(_, number)| i64::from(*number) as u64).ok_or_else(refused);
            }
            (Kind::Bool, _) => return Err(refused()),
            (Kind::Double, "NaN") => return Ok(f64::NAN.to_bits()),
            (Kind::Double, "Infinity") => return Ok(f64::INFINITY.to_bits()),
            (Kind::Double, "-Infinity") => return Ok(f64::NEG_INFINITY.to_bits()),
            _ => {}
        }
        // The rest is a JSON number in quotes; the ends are looked at because a JSON parser allows space around it.
        let number =
            text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
        if !number {
            return Err(refused());
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let bits = json.deserialize_any(self).and_then(|bits| json.end().map(|()| bits));
        bits.map_err(|_| refused())
    }
}
