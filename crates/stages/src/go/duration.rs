//! Go durations: `1h30m0.5s` and back.
//!
//! Follows `time.ParseDuration` and `Duration.String`: a sign, decimal numbers each with a unit of ns, us (µs, μs), ms, s, m,
//! h, no spaces, no days; a bare `0`.

/// Nanoseconds in each unit.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a duration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not numbers with units, or too long for 64 bits of nanoseconds.
    #[error("invalid duration \"{0}\": expected numbers with units, such as 1h30m or 500ms")]
    Invalid(String),
    /// A number without a unit.
    #[error("missing unit in duration \"{0}\": expected one of ns, us, ms, s, m, h")]
    MissingUnit(String),
    /// A unit that Go does not know, such as `d`.
    #[error("unknown unit \"{1}\" in duration \"{0}\": expected one of ns, us, ms, s, m, h")]
    UnknownUnit(String, String),
}

/// Reads a duration, in nanoseconds.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut rest, mut total) = (unsigned, 0u128);
    while !rest.is_empty() {
        let (value, after) = scaled(rest, |unit| match unit {
            "" => Err(DurationError::MissingUnit(text.to_owned())),
            _ => match UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, nanos)) => Ok(*nanos),
                None => Err(DurationError::UnknownUnit(text.to_owned(), unit.to_owned())),
            },
        })?
        .ok_or_else(invalid)?;
        total = total.checked_add(value).ok_or_else(invalid)?;
        rest = after;
    }
    let total = i128::try_from(total).map_err(|_| invalid())?;
    i64::try_from(if text.starts_with('-') { -total } else { total }).map_err(|_| invalid())
}

/// Reads one decimal number and its unit from the start of `text`: (value in the smallest unit, the rest). `None` where there
/// is no number. A unit reaches to the next digit or dot.
pub(super) fn scaled<E>(text: &str, size_of: impl FnOnce(&str) -> Result<u64, E>) -> Result<Option<(u128, &str)>, E> {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Ok(None);
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let size = u128::from(size_of(&rest[..end])?);
    let Ok(whole) = (if whole.is_empty() { Ok(0u64) } else { whole.parse::<u64>() }) else {
        return Ok(None);
    };
    let mut value = u128::from(whole) * size;
    // Beyond 18 digits a fraction changes no nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    if let Ok(part) = fraction.parse::<u128>() {
        value += part * size / 10u128.pow(fraction.len() as u32);
    }
    Ok(Some((value, &rest[end..])))
}

/// Writes a duration as Go does: `1h1m1s`, `1.5s`, `2ms`, `0s`.
pub fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let decimal = |unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let fraction = format!("{:0digits$}", size % unit);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() || unit == 1 { String::new() } else { format!(".{fraction}") };
        format!("{sign}{}{dot}{name}", size / unit)
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => decimal(1, "ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let minutes = size / 60_000_000_000;
            let seconds = size % 60_000_000_000;
            let fraction = format!("{:09}", seconds % 1_000_000_000);
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
            let seconds = seconds / 1_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}{dot}s"),
                (0, m) => format!("{sign}{m}m{seconds}{dot}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}{dot}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go reads is read, and prints as Go prints it.
    #[test]
    fn reads_and_writes() {
        for (text, nanos, back) in [
            ("1h30m0.5s", 5_400_500_000_000, "1h30m0.5s"),
            ("0", 0, "0s"),
            ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
            (".5s", 500_000_000, "500ms"),
            ("1.s", 1_000_000_000, "1s"),
            ("1µs2us3ns", 3_003, "3.003µs"),
            ("+5m", 300_000_000_000, "5m0s"),
            ("9223372036854775807ns", i64::MAX, "2562047h47m16.854775807s"),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
            assert_eq!(format(nanos), back, "{text}");
        }
    }

    /// What Go refuses is refused, with the unit named.
    #[test]
    fn refuses() {
        for bad in ["", "-", "s", ".s", "1", "5 minutes", "1d", "1h ", "9223372036854775808ns", "1h-1m"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse("1d").unwrap_err().to_string(),
            "unknown unit \"d\" in duration \"1d\": expected one of ns, us, ms, s, m, h"
        );
    }
}
