//! Times as the older JSON form of a push writes them: RFC 3339.

/// Nanoseconds since 1970 of an RFC 3339 time such as `2024-05-06T07:08:09.123456789+02:00`; digits beyond nanoseconds are cut. What lies before
/// 1970 is 0, what lies beyond 2554 the largest number. `None` if it is no such time.
pub(super) fn rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let digits = |from: usize, count: usize| -> Option<i64> {
        let part = bytes.get(from..from + count)?;
        part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|b| any.contains(b));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":");
    let length = match month {
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if !separated || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match bytes.get(19) {
        Some(b'.' | b',') => {
            let count = bytes[20..].iter().take_while(|b| b.is_ascii_digit()).count();
            let nanos = (0..9).try_fold(0, |n, i| Some(n * 10 + if i < count { digits(20 + i, 1)? } else { 0 }))?;
            (count > 0).then_some((nanos, 20 + count))?
        }
        _ => (0, 19),
    };
    let offset = match bytes.get(zone)? {
        b'Z' | b'z' if bytes.len() == zone + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == zone + 6 && is(zone + 3, b":") => {
            let (hours, minutes) = (digits(zone + 1, 2)?, digits(zone + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    Some(nanos.clamp(0, i128::from(u64::MAX)) as u64)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years begin in March here, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times in every shape that RFC 3339 has, and others. Guarantee: the instant, or nothing.
    #[test]
    fn times_are_read() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("2000-02-29T12:00:00+02:00", 951_818_400_000_000_000),
            ("2024-05-06T07:08:09.1234567891-00:30", 1_714_981_089_123_456_789),
            ("1969-12-31T23:59:59Z", 0),
            ("9999-12-31T23:59:59Z", u64::MAX),
        ];
        for (text, expected) in cases {
            assert_eq!(rfc3339(text), Some(expected), "{text}");
        }
        let wrong = [
            "",
            "2024-05-06",
            "2024-05-06T07:08:09",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-05-06T24:00:00Z",
            "2024-05-06T07:08:09.Z",
            "2024-05-06T07:08:09Zx",
            "2024-05-06T07:08:09+2:00",
            "+024-05-06T07:08:09Z",
            "2024-05-06 07:08:09Z",
            "1715000000",
        ];
        for text in wrong {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
