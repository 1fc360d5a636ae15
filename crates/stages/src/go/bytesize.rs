//! Byte sizes as Alloy reads them: `5KB`, `1MiB512KiB`. Every unit is a power of 1024, with or without the `i`.
//!
//! Source: the Base2Bytes of the Go units package. A unit is required and case matters (`kB` is refused); all units of one size
//! are written with `i` or all without.

use super::duration::scaled;

/// A size that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid size \"{0}\": expected a number with a unit of B, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB or EiB"
)]
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
        .and_then(|size| i64::try_from(if text.starts_with('-') { -size } else { size }).ok())
        .ok_or_else(|| SizeError(text.to_owned()))
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

    /// Sizes read as Alloy reads them.
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
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "10", "1kB", "1 KB", "KB", "1MiB5KB", "1b", "99EB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
