//! Names: a folder for each day, or part of a day, and one for each tenant in it.
//!
//! A day is by the arrival of its records, so that nothing a sender writes decides when it is removed. A day is divided when it grows
//! large, so that the oldest bytes can go before the day is over. What is removed is always a folder.

/// Nanoseconds of a day.
pub(crate) const DAY: u64 = 24 * 3600 * 1_000_000_000;

/// A day, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Part {
    /// Days since the epoch.
    pub day: u32,
    /// Which part of the day.
    pub number: u32,
}

impl Part {
    /// The first part of the day of a time.
    pub fn of(now: u64) -> Part {
        Part { day: (now / DAY) as u32, number: 0 }
    }

    /// The next part of the same day.
    pub fn next(self) -> Part {
        Part { number: self.number + 1, ..self }
    }

    /// When its day ends.
    pub fn end(self) -> u64 {
        (u64::from(self.day) + 1).saturating_mul(DAY)
    }

    /// The name of its folder, such as `2026-11-29.0`.
    pub fn name(self) -> String {
        let (year, month, day) = civil(self.day.into());
        format!("{year:04}-{month:02}-{day:02}.{}", self.number)
    }

    /// The part of a folder's name.
    pub fn parse(name: &str) -> Option<Part> {
        let (date, number) = name.split_once('.')?;
        let mut fields = date.split('-');
        let mut field = || fields.next()?.parse::<i64>().ok();
        let day = days(field()?, field()?, field()?);
        let part = Part { day: u32::try_from(day).ok()?, number: number.parse().ok()? };
        (part.name() == name).then_some(part)
    }
}

/// Days since the epoch of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a day since the epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The longest name of a folder.
const LONGEST: usize = 200;

/// The folder of a tenant. None if its name is too long.
pub(crate) fn folder_of(tenant: &str) -> Option<String> {
    let mut name = String::from("t-");
    for byte in tenant.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    (name.len() <= LONGEST).then_some(name)
}

/// The tenant of a folder.
pub(crate) fn tenant_of(folder: &str) -> Option<String> {
    let mut rest = folder.strip_prefix("t-")?.as_bytes();
    let mut name = vec![];
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (code, after) = rest.split_at_checked(2)?;
                name.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
                rest = after;
            }
            byte => name.push(*byte),
        }
    }
    String::from_utf8(name).ok().filter(|name| folder_of(name).as_deref() == Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: days from 1970 on, among them leap days. Guarantee: the names are dates, sort like days, and are read back.
    #[test]
    fn parts_are_named_by_date() {
        assert_eq!(Part { day: 0, number: 3 }.name(), "1970-01-01.3");
        assert_eq!(Part::of(1_795_910_400_000_000_000).name(), "2026-11-29.0");
        assert_eq!(Part { day: 19_782, number: 0 }.name(), "2024-02-29.0");
        for day in (0..40_000).step_by(13) {
            let part = Part { day, number: day % 3 };
            assert_eq!(Part::parse(&part.name()), Some(part));
        }
        for name in ["2026-11-29", "2026-11-31.0", "x.0", "2026-11-29.00", "journal"] {
            assert_eq!(Part::parse(name), None, "{name}");
        }
    }

    /// Scenario: tenants with every awkward name. Guarantee: each has a folder of its own that is no path, and is read back.
    #[test]
    fn tenants_have_folders() {
        for name in ["", "default", ".", "..", "a/b", "ä", "a%20b", "t-", "\0"] {
            let folder = folder_of(name).expect("short");
            assert!(!folder.contains(['/', '\0']) && folder.len() > 1);
            assert_eq!(tenant_of(&folder).as_deref(), Some(name));
        }
        assert_eq!(folder_of(&"x".repeat(300)), None);
        assert_eq!(tenant_of("t-%zz"), None);
    }
}
