//! Time zones by IANA name, with Go's answers for times that occur twice or never.
//!
//! The database is bundled, so that a location that validates on one machine validates on all. `Local` is UTC here: what a
//! pipeline does must not depend on the machine.

use crate::entry::Timestamp;
use jiff::tz::TimeZone;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Location {
    zone: TimeZone,
    /// Every abbreviation the zone has used, with its offset, in the order of first use.
    abbreviations: Vec<(String, i32)>,
}

/// How far a zone's recurring transitions are followed when its abbreviations are collected: 2038-01-19.
const HORIZON: i64 = i32::MAX as i64;

impl Location {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, abbreviations: vec![("UTC".to_owned(), 0)] }
    }

    /// The zone of an IANA name (`Europe/Paris`), as `time.LoadLocation` finds it; `""`, `UTC` and `Local` are UTC.
    pub fn load(name: &str) -> Option<Self> {
        if matches!(name, "" | "UTC" | "Local") {
            return Some(Self::utc());
        }
        let zone = TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name))?;
        let mut abbreviations: Vec<(String, i32)> = Vec::new();
        let mut add = |abbreviation: &str, offset: i32| {
            if !abbreviations.iter().any(|(a, o)| a == abbreviation && *o == offset) {
                abbreviations.push((abbreviation.to_owned(), offset));
            }
        };
        let first = zone.to_offset_info(jiff::Timestamp::MIN);
        add(first.abbreviation(), first.offset().seconds());
        for transition in zone.following(jiff::Timestamp::MIN).take_while(|t| t.timestamp().as_second() < HORIZON) {
            add(transition.abbreviation(), transition.offset().seconds());
        }
        Some(Self { zone, abbreviations })
    }

    /// Seconds east of UTC at an instant.
    pub fn offset_at(&self, unix_secs: i64) -> i32 {
        self.info(unix_secs, |info| info.offset().seconds())
    }

    /// The zone's abbreviation at an instant.
    pub fn abbreviation_at(&self, unix_secs: i64) -> String {
        self.info(unix_secs, |info| info.abbreviation().to_owned())
    }

    fn info<T>(&self, unix_secs: i64, read: impl FnOnce(jiff::tz::TimeZoneOffsetInfo<'_>) -> T) -> T {
        let secs = unix_secs.clamp(jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
        let at = jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        read(self.zone.to_offset_info(at))
    }

    /// The instant at which clocks show `local` (seconds since 1970 as if it were UTC), as `time.Date` decides it: the offset
    /// in force at `local` taken for UTC gives a first guess, the offset at that guess the answer. Hence the first of two
    /// equal times in autumn, and the offset after the gap in spring.
    pub fn instant_of(&self, local: i64) -> i64 {
        match i64::from(self.offset_at(local)) {
            0 => local,
            guess => local - i64::from(self.offset_at(local - guess)),
        }
    }

    /// The offset that an abbreviation stands for at a local time: the one in force then if there is one, else any.
    pub fn offset_of(&self, abbreviation: &str, local: i64) -> Option<i32> {
        let named = || self.abbreviations.iter().filter(|(a, _)| a == abbreviation);
        named()
            .find(|(_, offset)| self.abbreviation_at(local - i64::from(*offset)) == abbreviation)
            .or_else(|| named().next())
            .map(|(_, offset)| *offset)
    }

    /// The offset and abbreviation at an instant.
    pub fn at(&self, at: Timestamp) -> (i32, String) {
        (self.offset_at(at.secs()), self.abbreviation_at(at.secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gap takes the offset after it, a fold the first of the two.
    #[test]
    fn gap_and_fold() {
        let new_york = Location::load("America/New_York").unwrap();
        assert_eq!(new_york.instant_of(1_710_037_800), 1_710_052_200); // 2024-03-10 02:30 → 06:30Z
        assert_eq!(new_york.instant_of(1_730_597_400), 1_730_611_800); // 2024-11-03 01:30 → 05:30Z
        assert_eq!(new_york.offset_of("EST", 1_720_000_000), Some(-18_000));
        assert_eq!(new_york.offset_of("PST", 1_720_000_000), None);
    }

    /// Names are exact; unknown ones are refused.
    #[test]
    fn names_are_exact() {
        assert!(Location::load("america/new_york").is_none());
        assert!(Location::load("Mars/Olympus").is_none());
        assert!(Location::load("../etc/passwd").is_none());
        assert!(Location::load("Asia/Tokyo").is_some());
    }
}
