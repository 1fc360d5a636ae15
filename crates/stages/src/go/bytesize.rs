//! Byte sizes as Alloy and as Promtail read them: `5KB`, `1MiB512KiB`, `8kb`, `8192`. Every unit is a power of 1024, with or
//! without the `i`.
//!
//! Sources: the Base2Bytes of the Go units package for Alloy (fractions, several units in a row, of which all of one size are
//! written with `i` or all without), and the Go datasize package for Promtail (bare bytes, units in any case and by name, a
//! space before them). Where both read a text they agree, so what either takes is taken, at every place where a size is read.

use super::duration::scaled;

/// A size that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid size \"{0}\": expected bytes, or a number with a unit such as B, KB, KiB, MB, MiB, GB or GiB")]
pub struct SizeError(String);

const POWERS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];

/// Reads a size, in bytes. It may be negative.
pub fn parse(text: &str) -> Result<i64, SizeError> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    ["iB", "B"]
        .iter()
        .find_map(|suffix| with_suffix(unsigned, suffix))
        .map(|size| if text.starts_with('-') { -size } else { size })
        .or_else(|| named(text))
        .and_then(|size| i64::try_from(size).ok())
        .ok_or_else(|| SizeError(text.to_owned()))
}

/// Promtail's form: digits, perhaps a unit behind them, by letter or by name, in any case.
fn named(text: &str) -> Option<i128> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" | "byte" | "bytes" => 0,
        "k" | "kb" | "kib" | "kilo" | "kilobyte" | "kilobytes" => 1,
        "m" | "mb" | "mib" | "mega" | "megabyte" | "megabytes" => 2,
        "g" | "gb" | "gib" | "giga" | "gigabyte" | "gigabytes" => 3,
        "t" | "tb" | "tib" | "tera" | "terabyte" | "terabytes" => 4,
        "p" | "pb" | "pib" | "peta" | "petabyte" | "petabytes" => 5,
        "e" | "eb" | "eib" => 6,
        _ => return None,
    };
    Some(i128::from(number.parse::<u64>().ok()?) << (10 * power))
}

fn with_suffix(text: &str, suffix: &str) -> Option<i128> {
    let size_of = |unit: &str| {
        if unit == "B" {
            return Ok::<u64, ()>(1);
        }
        let power = unit.strip_suffix(suffix).and_then(|prefix| POWERS.iter().position(|p| *p == prefix)).ok_or(())?;
        Ok(1u64 << (10 * (power + 1)))
    };
    let (mut rest, mut total) = (text, 0u128);
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (value, after) = scaled(rest, size_of).ok()??;
        total = total.checked_add(value)?;
        rest = after;
    }
    i128::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes read as Alloy reads them, and as Promtail does.
    #[test]
    fn reads() {
        for (text, bytes) in [
            ("5B", 5),
            ("1KB", 1024),
            ("1KiB", 1024),
            ("1MiB512KiB", 1_572_864),
            ("1.5KB", 1536),
            ("0", 0),
            ("-2B", -2),
            ("10", 10),
            ("0010", 10),
            ("10b", 10),
            ("8kb", 8192),
            ("8kB", 8192),
            ("8Kb", 8192),
            ("8 KB", 8192),
            ("8k", 8192),
            ("8kib", 8192),
            ("2 megabytes", 2 << 20),
            ("1g", 1 << 30),
            ("1tb", 1 << 40),
            ("1Pb", 1 << 50),
            ("7e", 7 << 60),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "KB",
            "1MiB5KB",
            "99EB",
            "8e",
            "-10",
            "1.5",
            "1.5kb",
            "1e3",
            "1_000",
            "0x10",
            "5 apples",
            " 5",
            "99999999999999999999",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
