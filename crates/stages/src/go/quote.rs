//! Go's double-quoted and raw string literals (strconv.Quote and Unquote).

use std::fmt::Write;

/// `strconv.Quote`: printable text stays, the rest is escaped.
pub fn quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0b' => out.push_str("\\v"),
                c if is_print(c) => out.push(c),
                c if (c as u32) < 0x20 || c == '\x7f' => drop(write!(out, "\\x{:02x}", c as u32)),
                c if (c as u32) < 0x10000 => drop(write!(out, "\\u{:04x}", c as u32)),
                c => drop(write!(out, "\\U{:08x}", c as u32)),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// Approximates `unicode.IsPrint`: not a control, format, surrogate or private character, and no space but U+0020.
fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !c.is_control()
        && !c.is_whitespace()
        && !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff9}'..='\u{fffb}' | '\u{f0000}'..)
}

/// Reads the escapes of the inside of a double-quoted literal (without its quotes). The bytes may be any: `\xff` is one byte.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at + 1..].chars();
        let escape = chars.next()?;
        rest = chars.as_str();
        let mut number = |digits: usize, base: u32| -> Option<u32> {
            let text = rest.get(..digits)?;
            if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let value = u32::from_str_radix(text, base).ok()?;
            rest = &rest[digits..];
            Some(value)
        };
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '"' => out.push(escape as u8),
            'x' => out.push(number(2, 16)? as u8),
            'u' => push_char(&mut out, number(4, 16)?)?,
            'U' => push_char(&mut out, number(8, 16)?)?,
            '0'..='7' => {
                let low = number(2, 8)?;
                out.push(u8::try_from(escape.to_digit(8)? * 64 + low).ok()?);
            }
            _ => return None,
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

fn push_char(out: &mut Vec<u8>, code: u32) -> Option<()> {
    let c = char::from_u32(code)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is quoted is read back byte for byte.
    #[test]
    fn quote_and_unescape_are_inverse() {
        for text in [&b"plain"[..], b"a\"b\\c\n\t\x00\x7f", "é😀\u{200b}\u{a0}".as_bytes(), b"bad \xff byte"] {
            let quoted = quote(text);
            assert_eq!(unescape(&quoted[1..quoted.len() - 1]).unwrap(), text);
        }
        assert_eq!(quote("é\u{a0}".as_bytes()), "\"é\\u00a0\"");
    }

    /// Escapes that Go does not know are refused.
    #[test]
    fn refuses_unknown_escapes() {
        for bad in ["\\q", "\\", "\\x1", "\\u12", "\\ud800", "\\400", "\\'"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
        assert_eq!(unescape("\\101\\x42").unwrap(), b"AB");
    }
}
