//! Durations as Go writes them: `200ms`, `1m30s`, `1.5h`, `0`.
//!
//! The grammar is that of Go's `time.ParseDuration`, which every duration of an OpenTelemetry Collector configuration goes
//! through. Invariant: a [`GoDuration`] is never negative and fits Go's own range (about 292 years); a bare number other
//! than `0` is refused, because Go would take it for nanoseconds. It does NOT measure time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A duration in a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form.
    #[error("`{0}` is not a duration such as `200ms`, `30s` or `1m30s`")]
    Form(String),
    /// A number without a unit.
    #[error("the duration `{0}` has no unit; for seconds write `{0}s`")]
    Unit(String),
    /// Below zero.
    #[error("the duration `{0}` is negative")]
    Negative(String),
    /// Beyond about 292 years.
    #[error("the duration `{0}` is too long")]
    Long(String),
}

/// Units and their nanoseconds, two-letter ones first.
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

impl GoDuration {
    /// A duration of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        GoDuration(Duration::from_millis(millis))
    }

    /// A duration of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        GoDuration(Duration::from_secs(secs))
    }

    /// True for `0`, which often means "never" or "for ever".
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let form = || DurationError::Form(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(GoDuration::default());
        }
        if rest.is_empty() {
            return Err(form());
        }
        let mut nanos: u128 = 0;
        while !rest.is_empty() {
            let (amount, after) = amount(rest).ok_or_else(form)?;
            if after.is_empty() && rest.len() == text.len() {
                return Err(DurationError::Unit(text.to_owned()));
            }
            let unit = UNITS.iter().find(|(unit, _)| {
                // `m` is a prefix of `ms`: the unit is all that stands before the next number.
                after.strip_prefix(unit).is_some_and(|tail| tail.is_empty() || tail.starts_with(is_number_start))
            });
            let (unit, scale) = unit.ok_or_else(form)?;
            nanos =
                amount.nanos(*scale).and_then(|n| nanos.checked_add(n)).ok_or(DurationError::Long(text.to_owned()))?;
            rest = &after[unit.len()..];
        }
        match i64::try_from(nanos) {
            Ok(0) => Ok(GoDuration::default()),
            Ok(_) if negative => Err(DurationError::Negative(text.to_owned())),
            Ok(nanos) => Ok(GoDuration(Duration::from_nanos(nanos.unsigned_abs()))),
            Err(_) => Err(DurationError::Long(text.to_owned())),
        }
    }
}

fn is_number_start(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// A decimal number: its digits before and after the point.
struct Amount<'a> {
    whole: &'a str,
    fraction: &'a str,
}

/// The number at the start of `text`, and what follows it.
fn amount(text: &str) -> Option<(Amount<'_>, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((Amount { whole, fraction }, rest))
}

impl Amount<'_> {
    /// This many units of `scale` nanoseconds; parts of a nanosecond are cut off. None if it overflows.
    fn nanos(&self, scale: u64) -> Option<u128> {
        let whole: u128 = if self.whole.is_empty() { 0 } else { self.whole.parse().ok()? };
        // Places beyond the 18th are less than a nanosecond of any unit.
        let fraction = &self.fraction[..self.fraction.len().min(18)];
        let part = fraction.parse::<u128>().unwrap_or(0) * u128::from(scale) / 10u128.pow(fraction.len() as u32);
        whole.checked_mul(u128::from(scale))?.checked_add(part)
    }
}

impl fmt::Display for GoDuration {
    /// As Go prints it: `1m30s`, `1.5s`, `200ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let decimal = |value: u128, scale: u128| {
            let text = format!("{}.{:0width$}", value / scale, value % scale, width = scale.ilog10() as usize);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(rest, 1_000_000_000))
            }
        }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `200ms`, `30s` or `1m30s`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Durations are read and written as by Go.
    #[test]
    fn durations_are_those_of_go() {
        for (text, nanos, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("-0s", 0, "0s"),
            ("200ms", 200_000_000, "200ms"),
            ("5s", 5_000_000_000, "5s"),
            ("+5s", 5_000_000_000, "5s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            (".5s", 500_000_000, "500ms"),
            ("1.s", 1_000_000_000, "1s"),
            ("1.25s", 1_250_000_000, "1.25s"),
            ("3us", 3_000, "3µs"),
            ("3µs", 3_000, "3µs"),
            ("3μs", 3_000, "3µs"),
            ("7ns", 7, "7ns"),
            ("1h1m1s1ms1us1ns", 3_661_001_001_001, "1h1m1.001001001s"),
        ] {
            let duration: GoDuration = text.parse().unwrap();
            assert_eq!(duration.0.as_nanos(), nanos, "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
        }
    }

    /// What Go refuses is refused, and so are negative durations and numbers without a unit.
    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        type E = DurationError;
        let own = str::to_owned;
        for (text, error) in [
            ("", E::Form(own(""))),
            ("s", E::Form(own("s"))),
            (".s", E::Form(own(".s"))),
            ("1d", E::Form(own("1d"))),
            ("1 s", E::Form(own("1 s"))),
            ("5", E::Unit(own("5"))),
            ("1m30", E::Form(own("1m30"))),
            ("-5s", E::Negative(own("-5s"))),
            ("300000000h", E::Long(own("300000000h"))),
            ("99999999999999999999999999999999999999999h", E::Long(own("99999999999999999999999999999999999999999h"))),
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(error), "{text}");
        }
    }

    proptest! {
        /// Any text is a duration or an error, never a panic.
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<GoDuration>();
        }

        /// What is printed reads back as what it was.
        #[test]
        fn printing_and_parsing_are_inverse(nanos in 0..i64::MAX as u64) {
            let duration = GoDuration(Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
