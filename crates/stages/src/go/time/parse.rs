//! Reading a time by a layout, as `time.Parse` does.

use super::super::location::Location;
use super::layout::{DAYS, Layout, MONTHS, OffsetForm, Pad, Token};
use crate::entry::Timestamp;
use crate::entry::timestamp::{days_from_civil, days_in_month, is_leap};

/// What a text says about a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// 0 where the layout has none.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    day: u8,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Zone {
    /// Not said.
    Unknown,
    /// Seconds east of UTC.
    Offset(i64),
    /// An abbreviation.
    Named(Box<str>),
}

impl Parsed {
    /// The instant, in `location` where the text names no zone.
    pub fn resolve(&self, location: &Location) -> Timestamp {
        // A 29 February that the final year lacks is the next day, as Go's Date normalises it.
        let days = days_from_civil(self.year, self.month, i64::from(self.day));
        let local = days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second;
        let secs = match &self.zone {
            Zone::Unknown => location.instant_of(local),
            Zone::Offset(offset) => local - offset,
            // A zone that the location does not know is read as UTC.
            Zone::Named(name) => local - location.offset_of(name, local).map_or(0, i64::from),
        };
        Timestamp::from_secs_nanos(secs, self.nanos)
    }
}

/// What has been read so far; -1 where nothing was.
struct Reader<'a> {
    rest: &'a str,
    year: i64,
    month: i64,
    day: i64,
    year_day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    pm: Option<bool>,
    zone: Zone,
}

impl Layout {
    /// Reads `text`; `None` where it does not fit the layout, or says something impossible.
    pub fn parse(&self, text: &str) -> Option<Parsed> {
        let mut reader = Reader {
            rest: text,
            year: 0,
            month: -1,
            day: -1,
            year_day: -1,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            pm: None,
            zone: Zone::Unknown,
        };
        for (i, token) in self.tokens.iter().enumerate() {
            let fraction_follows = self.tokens[i + 1..]
                .iter()
                .find(|t| !matches!(t, Token::Literal(_)))
                .is_some_and(|t| matches!(t, Token::Fraction { .. } | Token::OptionalFraction { .. }));
            reader.token(token, fraction_follows)?;
        }
        if reader.rest.is_empty() { reader.finish() } else { None }
    }
}

impl Reader<'_> {
    fn token(&mut self, token: &Token, fraction_follows: bool) -> Option<()> {
        match token {
            Token::Literal(text) => self.literal(text)?,
            Token::Year => {
                let year = self.digits(2)?;
                self.year = if year >= 69 { year + 1900 } else { year + 2000 };
            }
            Token::LongYear => self.year = self.digits(4)?,
            Token::Month => self.month = 1 + self.name(MONTHS.iter().map(|m| &m[..3]))?,
            Token::LongMonth => self.month = 1 + self.name(MONTHS.iter().copied())?,
            Token::NumMonth { zero } => self.month = self.number(*zero, 1..=12)?,
            Token::Weekday => drop(self.name(DAYS.iter().map(|d| &d[..3]))?),
            Token::LongWeekday => drop(self.name(DAYS.iter().copied())?),
            Token::Day(pad) => {
                if *pad == Pad::Space {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                // Whether the month has that day is known at the end.
                self.day = self.number(*pad == Pad::Zero, 0..=99)?;
            }
            Token::YearDay(pad) => self.year_day = self.year_day(*pad)?,
            Token::Hour => self.hour = self.number(false, 0..=23)?,
            Token::Hour12 { zero } => self.hour = self.number(*zero, 0..=12)?,
            Token::Minute { zero } => self.minute = self.number(*zero, 0..=59)?,
            Token::Second { zero } => {
                self.second = self.number(*zero, 0..=59)?;
                if !fraction_follows {
                    self.optional_fraction()?;
                }
            }
            Token::Pm { upper } => {
                let (am, pm) = if *upper { ("AM", "PM") } else { ("am", "pm") };
                self.pm = Some(self.rest.starts_with(pm));
                self.rest = self.rest.strip_prefix(pm).or_else(|| self.rest.strip_prefix(am))?;
            }
            Token::Abbreviation => self.abbreviation()?,
            Token::Offset(form) => self.offset(*form)?,
            Token::Fraction { digits, .. } => {
                let text = self.rest.get(..1 + digits)?;
                self.nanos = nanos(text)?;
                self.rest = &self.rest[1 + digits..];
            }
            Token::OptionalFraction { .. } => self.optional_fraction()?,
        }
        Some(())
    }

    /// A space of the layout stands for a run of spaces, or for the end.
    fn literal(&mut self, text: &str) -> Option<()> {
        let mut text = text;
        while let Some(c) = text.chars().next() {
            if c == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                text = text.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
            } else {
                self.rest = self.rest.strip_prefix(c)?;
                text = &text[c.len_utf8()..];
            }
        }
        Some(())
    }

    /// Exactly `len` digits.
    fn digits(&mut self, len: usize) -> Option<i64> {
        let digits = self.rest.get(..len)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.rest = &self.rest[len..];
        digits.parse().ok()
    }

    /// One or two digits, or two if `fixed`.
    fn number(&mut self, fixed: bool, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let digits = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits == 0 || (fixed && digits == 1) {
            return None;
        }
        self.digits(digits).filter(|n| range.contains(n))
    }

    fn year_day(&mut self, pad: Pad) -> Option<i64> {
        if pad == Pad::Space {
            for _ in 0..2 {
                self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
            }
        }
        let digits = self.rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
        if digits == 0 || (pad == Pad::Zero && digits < 3) {
            return None;
        }
        self.digits(digits)
    }

    /// One of `names`, in any case: its place.
    fn name<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Option<i64> {
        for (i, name) in names.enumerate() {
            if self.rest.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name)) {
                self.rest = &self.rest[name.len()..];
                return Some(i as i64);
            }
        }
        None
    }

    /// A separator and digits, if both are there.
    fn optional_fraction(&mut self) -> Option<()> {
        let bytes = self.rest.as_bytes();
        if !matches!(bytes, [b'.' | b',', b'0'..=b'9', ..]) {
            return Some(());
        }
        let len = 1 + bytes[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.nanos = nanos(&self.rest[..len])?;
        self.rest = &self.rest[len..];
        Some(())
    }

    fn offset(&mut self, form: OffsetForm) -> Option<()> {
        if form.z && self.rest.starts_with('Z') {
            self.rest = &self.rest[1..];
            self.zone = Zone::Offset(0);
            return Some(());
        }
        let sign = match self.rest.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let mut secs = 0;
        for (part, limit, unit) in [(1, 24, 3600), (2, 60, 60), (3, 60, 1)] {
            if part > form.parts {
                break;
            }
            if part > 1 && form.colon {
                self.rest = self.rest.strip_prefix(':')?;
            }
            secs += self.digits(2).filter(|n| *n <= limit)? * unit;
        }
        self.zone = Zone::Offset(sign * secs);
        Some(())
    }

    /// `MST`: three or four capitals, `UTC`, `GMT+3`, `+03`, and the odd ones that exist.
    fn abbreviation(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix("UTC") {
            self.rest = rest;
            self.zone = Zone::Offset(0);
            return Some(());
        }
        let len = abbreviation_len(self.rest)?;
        self.zone = Zone::Named(self.rest[..len].into());
        self.rest = &self.rest[len..];
        Some(())
    }

    fn finish(mut self) -> Option<Parsed> {
        match self.pm {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        if self.year_day >= 0 {
            self.apply_year_day()?;
        }
        let month = if self.month < 0 { 1 } else { self.month as u8 };
        let day = if self.day < 0 { 1 } else { self.day };
        if day < 1 || day > i64::from(days_in_month(self.year, month)) {
            return None;
        }
        Some(Parsed {
            year: self.year,
            month,
            day: day as u8,
            hour: self.hour,
            minute: self.minute,
            second: self.second,
            nanos: self.nanos,
            zone: self.zone,
        })
    }

    /// The day of the year decides month and day, and must agree with them where they are given.
    fn apply_year_day(&mut self) -> Option<()> {
        let last = 365 + i64::from(is_leap(self.year));
        if self.year_day < 1 || self.year_day > last {
            return None;
        }
        let days = days_from_civil(self.year, 1, self.year_day);
        let (_, month, day) = crate::entry::timestamp::civil_from_days(days);
        let (month, day) = (i64::from(month), i64::from(day));
        if (self.month >= 0 && self.month != month) || (self.day >= 0 && self.day != day) {
            return None;
        }
        (self.month, self.day) = (month, day);
        Some(())
    }
}

/// A separator and digits, as nanoseconds. Digits past the ninth count for nothing.
fn nanos(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['.', ','])?;
    let digits = &digits[..digits.len().min(9)];
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse::<i64>().ok()? * 10i64.pow(9 - digits.len() as u32))
}

/// How many bytes of `text` are a zone abbreviation.
fn abbreviation_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.len() < 3 {
        return None;
    }
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if text.starts_with("GMT") {
        return Some(3 + signed_hours_len(&bytes[3..]));
    }
    if matches!(bytes[0], b'+' | b'-') {
        return Some(signed_hours_len(bytes)).filter(|len| *len > 0);
    }
    match bytes.iter().take(6).take_while(|b| b.is_ascii_uppercase()).count() {
        3 => Some(3),
        4 if bytes[3] == b'T' || text.starts_with("WITA") => Some(4),
        5 if bytes[4] == b'T' => Some(5),
        _ => None,
    }
}

/// How many bytes are a sign and hours up to 23; 0 where there are none.
fn signed_hours_len(bytes: &[u8]) -> usize {
    if !matches!(bytes.first(), Some(b'+' | b'-')) {
        return 0;
    }
    let digits: Vec<u8> = bytes[1..].iter().copied().take_while(u8::is_ascii_digit).collect();
    let hours = digits.iter().take(9).fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    if digits.is_empty() || digits.len() > 9 || hours > 23 { 0 } else { 1 + digits.len() }
}
