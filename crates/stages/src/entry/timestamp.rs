//! An instant in wall time, to the nanosecond, for every year a Go time layout can write.
//!
//! Nanoseconds in 64 bits end in 2262, and logs do carry `9999-12-31`; so seconds and nanoseconds are kept apart, and only the
//! edges (OTLP, Loki push) clamp. The proleptic Gregorian calendar, no leap seconds: as Go and RFC 3339 count.
//! It does not know locations or layouts: `go::time` does.

use std::fmt;
use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, and nanoseconds after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

const NANOS: i128 = 1_000_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp { secs: 0, nanos: 0 };

    /// `secs` seconds since the epoch and `nanos` more, which may be negative or more than a second.
    pub fn from_secs_nanos(secs: i64, nanos: i64) -> Self {
        let secs = secs.saturating_add(nanos.div_euclid(1_000_000_000));
        Self { secs, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
    }

    /// Nanoseconds since the epoch.
    pub fn from_unix_nanos(nanos: i64) -> Self {
        Self::from_secs_nanos(0, nanos)
    }

    /// Seconds since the epoch, rounded down.
    pub fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds after the second, below 10⁹.
    pub fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// Nanoseconds since the epoch, without clamping.
    pub fn as_nanos(self) -> i128 {
        i128::from(self.secs) * NANOS + i128::from(self.nanos)
    }

    /// Nanoseconds since the epoch, clamped to what OTLP can carry: nothing before 1970 or after 2554.
    pub fn as_unix_nanos(self) -> u64 {
        self.as_nanos().clamp(0, i128::from(u64::MAX)) as u64
    }

    /// The instant `nanos` nanoseconds later.
    pub fn plus_nanos(self, nanos: i64) -> Self {
        Self::from_secs_nanos(self.secs, i64::from(self.nanos).saturating_add(nanos))
    }

    /// The instant `by` earlier.
    pub fn minus(self, by: Duration) -> Self {
        let secs = self.secs.saturating_sub(i64::try_from(by.as_secs()).unwrap_or(i64::MAX));
        Self::from_secs_nanos(secs, i64::from(self.nanos) - i64::from(by.subsec_nanos()))
    }

    /// Year, month, day, hour, minute and second in UTC.
    pub fn civil(self) -> (i64, u8, u8, u8, u8, u8) {
        let (year, month, day) = civil_from_days(self.secs.div_euclid(86_400));
        let second = self.secs.rem_euclid(86_400);
        (year, month, day, (second / 3600) as u8, (second / 60 % 60) as u8, (second % 60) as u8)
    }
}

/// RFC 3339 in UTC with the fraction's trailing zeros left out, as Go's RFC3339Nano writes it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Days since 1970-01-01 of a date. The day may lie outside its month.
pub fn days_from_civil(year: i64, month: u8, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date that lies `days` after 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u8;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Whether `year` has a 29 February.
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month, 1 to 12.
pub fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 => 28 + u8::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dates and day numbers are inverse over eight centuries, day by day.
    #[test]
    fn civil_round_trips() {
        for days in -150_000..150_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, i64::from(day)), days);
            assert!(day <= days_in_month(year, month));
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
    }

    /// Known instants print as RFC 3339, negative ones and far ones too.
    #[test]
    fn prints_rfc3339() {
        assert_eq!(Timestamp::from_unix_nanos(-500_000_000).to_string(), "1969-12-31T23:59:59.5Z");
        assert_eq!(Timestamp::from_secs_nanos(253_402_300_799, 0).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
    }

    /// What OTLP cannot carry is clamped, not wrapped.
    #[test]
    fn unix_nanos_are_clamped() {
        assert_eq!(Timestamp::from_secs_nanos(-5, 0).as_unix_nanos(), 0);
        assert_eq!(Timestamp::from_secs_nanos(i64::MAX, 0).as_unix_nanos(), u64::MAX);
    }
}
