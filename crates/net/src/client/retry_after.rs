//! `Retry-After`: seconds or an HTTP date (RFC 9110 §10.2.3).

use std::time::{Duration, UNIX_EPOCH};

/// The delay that a `Retry-After` asks for, given the time since 1970. A date that has passed is no delay; what is neither
/// seconds nor a date is ignored. The value is the server's: whoever waits caps it.
#[must_use]
pub fn parse(value: &[u8], now: Duration) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(784_111_777);

    /// Scenario: seconds, the three date forms of HTTP, dates past, and nonsense. Guarantee: each means what RFC 9110 says.
    #[test]
    fn seconds_and_dates_are_understood() {
        let secs = |text: &str| parse(text.as_bytes(), NOW).map(|d| d.as_secs());
        assert_eq!(secs("120"), Some(120));
        assert_eq!(secs(" 0 "), Some(0));
        assert_eq!(secs("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(secs("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(secs("Sunday, 06-Nov-94 08:50:07 GMT"), Some(30));
        assert_eq!(secs("Sun Nov  6 08:50:07 1994"), Some(30));
        assert_eq!(secs("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for nonsense in ["", "-1", "1.5", "soon", "1 s", "Sun, 06 Nov"] {
            assert_eq!(secs(nonsense), None, "{nonsense}");
        }
    }

    proptest! {
        /// Scenario: any bytes. Guarantee: no panic.
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes, NOW);
        }

        /// Scenario: any number of seconds, as a number and as a date. Guarantee: that delay.
        #[test]
        fn a_delay_is_what_was_written(delay in 0u64..1_000_000) {
            prop_assert_eq!(parse(delay.to_string().as_bytes(), NOW), Some(Duration::from_secs(delay)));
            let date = httpdate::fmt_http_date(UNIX_EPOCH + NOW + Duration::from_secs(delay));
            prop_assert_eq!(parse(date.as_bytes(), NOW), Some(Duration::from_secs(delay)));
        }
    }
}
