//! sprig's encodings and digests.

use super::builtin::hex;
use super::{group, text};
use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use sha2::Digest;

group! {
    "b64enc" => |a| { a.exactly(1)?; text(STANDARD.encode(a.text(0)?)) },
    // What cannot be decoded answers the error's text, as sprig does.
    "b64dec" => |a| {
        a.exactly(1)?;
        match STANDARD.decode(a.text(0)?) {
            Ok(bytes) => text(bytes),
            Err(DecodeError::InvalidByte(at, _)) => text(format!("illegal base64 data at input byte {at}")),
            Err(_) => text(format!("illegal base64 data at input byte {}", a.text(0)?.len() / 4 * 4)),
        }
    },
    "b32enc" => |a| { a.exactly(1)?; text(base32(a.text(0)?)) },
    "b32dec" => |a| {
        a.exactly(1)?;
        match unbase32(a.text(0)?) {
            Some(bytes) => text(bytes),
            None => text("illegal base32 data"),
        }
    },
    "sha1sum" => |a| { a.exactly(1)?; text(hex(&sha1::Sha1::digest(a.text(0)?))) },
    "sha256sum" => |a| { a.exactly(1)?; text(hex(&sha2::Sha256::digest(a.text(0)?))) },
    "sha512sum" => |a| { a.exactly(1)?; text(hex(&sha2::Sha512::digest(a.text(0)?))) },
    "adler32sum" => |a| { a.exactly(1)?; text(adler32(a.text(0)?).to_string()) },
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut group = [0u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        let digits = (chunk.len() * 8).div_ceil(5);
        for i in 0..8 {
            let digit = BASE32[(bits >> (35 - 5 * i)) as usize & 31];
            out.push(if i < digits { digit as char } else { '=' });
        }
    }
    out
}

fn unbase32(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(8) {
        return None;
    }
    let mut out = Vec::new();
    for (n, chunk) in text.chunks(8).enumerate() {
        let padding = chunk.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 0 && (n + 1) * 8 != text.len() {
            return None;
        }
        let mut bits = 0u64;
        for byte in &chunk[..8 - padding] {
            bits = bits << 5 | BASE32.iter().position(|digit| digit == byte)? as u64;
        }
        bits <<= 5 * padding;
        let bytes = match padding {
            0 => 5,
            1 => 4,
            3 => 3,
            4 => 2,
            6 => 1,
            _ => return None,
        };
        out.extend_from_slice(&bits.to_be_bytes()[3..3 + bytes]);
    }
    Some(out)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test vectors, both ways.
    #[test]
    fn known_answers() {
        for (plain, encoded) in [("", ""), ("f", "MY======"), ("foob", "MZXW6YQ="), ("foobar", "MZXW6YTBOI======")] {
            assert_eq!(base32(plain.as_bytes()), encoded);
            assert_eq!(unbase32(encoded.as_bytes()).unwrap(), plain.as_bytes());
        }
        assert_eq!(unbase32(b"M1======"), None);
        assert_eq!(adler32(b"Wikipedia"), 300_286_872);
    }
}
