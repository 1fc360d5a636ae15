//! An attribute value or a body as text: strings as they are, numbers and booleans plain, bytes in base64, lists and maps as JSON.
//!
//! The texts are those of entries (the crate `stages`): doubles with the fewest digits that read back the same and no exponent, `NaN`, `+Inf`
//! and `-Inf`; in JSON those three are strings, an empty value is `null`, and strings are escaped as Go escapes them (`<`, `>`, `&`, U+2028 and
//! U+2029 too), with U+FFFD for what is not UTF-8.

use crate::key::AnyValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;

/// How deep lists and maps are written; what lies deeper is `null`.
pub const MAX_DEPTH: usize = 64;

/// Appends the text of a value; nothing for an empty one.
pub fn write(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    match value {
        AnyValue::Empty => {}
        AnyValue::Str(text) => out.extend_from_slice(text),
        AnyValue::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        AnyValue::Array(_) | AnyValue::KvList(_) => write_json(out, value),
        scalar => write_scalar(out, scalar),
    }
}

/// Appends a value as JSON.
pub fn write_json(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    json(out, value, MAX_DEPTH);
}

fn json(out: &mut Vec<u8>, value: &AnyValue<'_>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return out.extend_from_slice(b"null") };
    match value {
        AnyValue::Empty => out.extend_from_slice(b"null"),
        AnyValue::Str(text) => quote(out, text),
        AnyValue::Bytes(bytes) => quote(out, STANDARD.encode(bytes).as_bytes()),
        AnyValue::Double(number) if !number.is_finite() => {
            out.push(b'"');
            write_scalar(out, value);
            out.push(b'"');
        }
        AnyValue::Array(list) => {
            out.push(b'[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json(out, &item, depth);
            }
            out.push(b']');
        }
        AnyValue::KvList(map) => {
            out.push(b'{');
            for (i, (name, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                quote(out, name);
                out.push(b':');
                json(out, &item, depth);
            }
            out.push(b'}');
        }
        scalar => write_scalar(out, scalar),
    }
}

fn write_scalar(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    // Writing to a Vec cannot fail.
    let _ = match value {
        AnyValue::Bool(value) => write!(out, "{value}"),
        AnyValue::Int(value) => write!(out, "{value}"),
        AnyValue::Double(number) if number.is_nan() => write!(out, "NaN"),
        AnyValue::Double(number) if number.is_infinite() => write!(out, "{}Inf", if *number > 0.0 { '+' } else { '-' }),
        AnyValue::Double(number) => write!(out, "{number}"),
        _ => Ok(()),
    };
}

/// Appends a JSON string.
pub fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) =
            rest.find(|c: char| matches!(c, '"' | '\\' | '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}'))
        {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let c = rest[at..].chars().next().unwrap_or_default();
            // Writing to a Vec cannot fail.
            let _ = match c {
                '"' => write!(out, "\\\""),
                '\\' => write!(out, "\\\\"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                c => write!(out, "\\u{:04x}", u32::from(c)),
            };
            rest = &rest[at + c.len_utf8()..];
        }
        out.extend_from_slice(rest.as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}
