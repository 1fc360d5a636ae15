//! JSON strings read and written as Go does, and JSON written back compactly.

use super::{Kind, Scanner, number};
use crate::go::number::{format_json, is_beyond_float};

/// Reads the escapes of a string (the text between its quotes, already checked). A surrogate without its partner is U+FFFD.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let Some(&escape) = rest.get(at + 1) else { break };
        rest = &rest[at + 2..];
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let first = hex(rest);
                rest = rest.get(4..).unwrap_or_default();
                let code = match first {
                    0xd800..0xdc00 if rest.starts_with(b"\\u") && (0xdc00..0xe000).contains(&hex(&rest[2..])) => {
                        let second = hex(&rest[2..]);
                        rest = &rest[6..];
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    code => code,
                };
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
    }
    out.extend_from_slice(rest);
    out
}

fn hex(text: &[u8]) -> u32 {
    text.iter().take(4).fold(0, |n, b| n << 4 | (*b as char).to_digit(16).unwrap_or_default())
}

/// Writes the inside of a string as Go does: control characters, `<`, `>`, `&`, U+2028 and U+2029 are escaped.
pub fn escape_into(out: &mut Vec<u8>, text: &[u8], html: bool) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '<' | '>' | '&' if html => out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes()),
                '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                    out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// A string with its quotes.
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    escape_into(&mut out, text, true);
    out.push(b'"');
    out
}

/// Sound JSON without white space, numbers and strings written as Go's encoder writes them, keys in their order. Whole numbers that
/// Go's floats would change keep their digits.
pub fn compact(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut scanner = Scanner::new(text);
    while let Some(byte) = scanner.peek() {
        let raw = match byte {
            b'"' => scanner.string().ok(),
            b'-' | b'0'..=b'9' => scanner.value().ok(),
            _ => {
                out.push(byte);
                scanner.bump();
                continue;
            }
        };
        // The text was checked before; if it was not, what is left out is left out.
        let Some(raw) = raw else { break };
        let inside = &text[raw.start..raw.end];
        match raw.kind {
            Kind::String { escaped } => {
                out.push(b'"');
                if escaped {
                    escape_into(&mut out, &unescape(inside), true);
                } else {
                    escape_into(&mut out, inside, true);
                }
                out.push(b'"');
            }
            _ if is_beyond_float(inside) => out.extend_from_slice(inside),
            _ => out.extend_from_slice(format_json(number(inside).unwrap_or_default()).as_bytes()),
        }
    }
    out
}
