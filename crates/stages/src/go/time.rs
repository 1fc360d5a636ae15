//! Go time layouts: reading and writing times as the reference time `Mon Jan 2 15:04:05 MST 2006` shows.
//!
//! A layout is cut into tokens once ([`Layout::new`]); [`Layout::parse`] follows `time.Parse` token by token, its leniencies
//! included: fractions after seconds that the layout does not have, runs of spaces, names in any case, unchecked weekdays.
//! [`Format`] adds what Loki's stages add: named formats, Unix times, and layouts without a year.
//!
//! Zone abbreviations mean what the layout's location knows them for; others are read as UTC, as Go does by making a zone up.

mod layout;
mod parse;

pub use layout::Layout;
pub use parse::Parsed;

use super::location::Location;
use super::number;
use crate::entry::Timestamp;
use std::sync::Arc;

/// RFC 3339 with any fraction.
pub const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// The layouts that have names.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", RFC3339_NANO),
];

/// How a timestamp is written: a name, a Unix time, or a layout.
#[derive(Clone, Debug)]
pub enum Format {
    /// RFC 3339, by far the most frequent: read by hand first.
    Rfc3339(Layout),
    /// Seconds since 1970, perhaps with a fraction.
    UnixSeconds,
    /// Whole units of this many nanoseconds since 1970.
    Unix(i64),
    /// A layout, in a location where it names no zone.
    Layout(Layout, Arc<Location>),
    /// A layout that has no year: the current one is taken.
    Yearless(Layout, Arc<Location>),
}

/// The names of Unix times.
const UNIX: [&str; 4] = ["Unix", "UnixMs", "UnixUs", "UnixNs"];

/// A format by which no time can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There is nothing in it that stands for a part of a time, as in `yyyy-MM-dd` or `%Y-%m-%d`.
    #[error(
        "\"{0}\" has no element of a Go layout: write the reference time Mon Jan 2 15:04:05 MST 2006 as the timestamps are \
         written, such as 2006-01-02 15:04:05"
    )]
    Constant(String),
    /// A name in another case.
    #[error("there is no format \"{0}\"; did you mean {1}?")]
    Misspelt(String, &'static str),
}

impl Format {
    /// The format called `name`, or `name` as a layout, if it can read anything. See [`new`](Self::new).
    pub fn checked(name: &str, location: &Arc<Location>) -> Result<Self, FormatError> {
        let names = NAMED.iter().map(|(name, _)| *name).chain(UNIX);
        if let Some(meant) = names.filter(|known| known.eq_ignore_ascii_case(name)).find(|known| *known != name) {
            return Err(FormatError::Misspelt(name.to_owned(), meant));
        }
        match Self::new(name, location) {
            Format::Layout(layout, _) | Format::Yearless(layout, _) if layout.is_constant() => {
                Err(FormatError::Constant(name.to_owned()))
            }
            format => Ok(format),
        }
    }

    /// The format called `name`, or `name` as a layout. A location counts for layouts only.
    pub fn new(name: &str, location: &Arc<Location>) -> Self {
        match name {
            "Unix" => Format::UnixSeconds,
            "UnixMs" => Format::Unix(1_000_000),
            "UnixUs" => Format::Unix(1_000),
            "UnixNs" => Format::Unix(1),
            _ => match NAMED.iter().find(|(n, _)| *n == name) {
                Some((n, layout)) if n.starts_with("RFC3339") => Format::Rfc3339(Layout::new(layout)),
                Some((_, layout)) => Format::Layout(Layout::new(layout), Arc::new(Location::utc())),
                None if name.contains("06") => Format::Layout(Layout::new(name), Arc::clone(location)),
                None => Format::Yearless(Layout::new(name), Arc::clone(location)),
            },
        }
    }

    /// Reads a timestamp. `now` decides the year where the format has none.
    pub fn parse(&self, text: &str, now: Timestamp) -> Option<Timestamp> {
        match self {
            Format::Rfc3339(layout) => {
                rfc3339(text.as_bytes()).or_else(|| layout.parse(text).map(|parsed| parsed.resolve(&Location::utc())))
            }
            Format::UnixSeconds => unix_seconds(text),
            Format::Unix(unit) => {
                let nanos = i128::from(number::parse_int(text)?) * i128::from(*unit);
                let secs = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
                Some(Timestamp::from_secs_nanos(secs, nanos.rem_euclid(1_000_000_000) as i64))
            }
            Format::Layout(layout, location) => layout.parse(text).map(|parsed| parsed.resolve(location)),
            Format::Yearless(layout, location) => {
                let mut parsed = layout.parse(text)?;
                if parsed.year != 0 {
                    return None;
                }
                let (year, month, ..) = now.civil();
                // Around New Year the entry's year is the one that is nearer.
                parsed.year = match (parsed.month, month) {
                    (12, 1) => year - 1,
                    (1, 12) => year + 1,
                    _ => year,
                };
                Some(parsed.resolve(location))
            }
        }
    }
}

/// Reads RFC 3339 as it is nearly always written; `None` leaves the decision to the layout.
pub fn rfc3339(text: &[u8]) -> Option<Timestamp> {
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len)?;
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)? as u8, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let days = crate::entry::timestamp::days_in_month(year, month);
    if !(1..=12).contains(&month) || day < 1 || day > i64::from(days) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (mut at, mut nanos) = (19, 0);
    if is(at, b'.') {
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        nanos = number(at + 1, digits)? * 10i64.pow(9 - digits as u32);
        at += 1 + digits;
    }
    let offset = match text.get(at)? {
        b'Z' if text.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if text.len() == at + 6 && is(at + 3, b':') => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    let secs = crate::entry::timestamp::days_from_civil(year, month, day) * 86_400;
    Some(Timestamp::from_secs_nanos(secs + hour * 3600 + minute * 60 + second - offset, nanos))
}

/// Seconds with at most one dot. The fraction is added also where the seconds are negative, as Loki does.
fn unix_seconds(text: &str) -> Option<Timestamp> {
    let mut parts = text.split('.');
    let secs = number::parse_int(parts.next()?)?;
    let nanos = match (parts.next(), parts.next()) {
        (None, _) => 0,
        (Some(fraction), None) => {
            let value = number::parse_int(fraction)? as f64;
            (value * 10f64.powi(9 - fraction.len() as i32)) as i64
        }
        _ => return None,
    };
    Some(Timestamp::from_secs_nanos(secs, nanos))
}

#[cfg(test)]
mod tests;
