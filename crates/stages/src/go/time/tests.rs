//! Layouts against Go's answers, and against jiff where both know the layout.

use super::*;
use proptest::prelude::*;

fn parse_in(format: &str, location: &str, text: &str) -> Option<String> {
    let location = Arc::new(Location::load(location).unwrap());
    let now = rfc3339(b"2024-01-10T00:00:00Z").unwrap();
    Format::new(format, &location).parse(text, now).map(|at| at.to_string())
}

fn parse(format: &str, text: &str) -> Option<String> {
    parse_in(format, "", text)
}

/// Each named format and each token reads as Go reads it.
#[test]
fn reads_like_go() {
    for (format, text, expected) in [
        ("ANSIC", "Mon May  6 07:08:09 2024", Some("2024-05-06T07:08:09Z")),
        ("ANSIC", "Mon May 6 07:08:09 2024", Some("2024-05-06T07:08:09Z")),
        ("UnixDate", "Mon May  6 07:08:09 PST 2024", Some("2024-05-06T07:08:09Z")),
        ("RubyDate", "Mon May 06 07:08:09 -0700 2024", Some("2024-05-06T14:08:09Z")),
        ("RFC822Z", "06 May 24 07:08 +0100", Some("2024-05-06T06:08:00Z")),
        ("RFC850", "Monday, 06-May-24 07:08:09 GMT+3", Some("2024-05-06T07:08:09Z")),
        ("RFC1123", "tue, 06 MAY 2024 07:08:09 UTC", Some("2024-05-06T07:08:09Z")),
        ("RFC3339", "2024-05-06T07:08:09,5Z", Some("2024-05-06T07:08:09.5Z")),
        ("RFC3339", "2024-05-06T07:08:60Z", None),
        ("RFC3339", "2024-05-06T24:00:00Z", None),
        ("RFC3339", "2024-05-06T07:08:09Z ", None),
        ("RFC3339", "2024-05-06T7:08:09Z", Some("2024-05-06T07:08:09Z")),
        ("RFC3339", "2023-02-29T00:00:00Z", None),
        ("rfc3339", "2024-05-06T07:08:09Z", None),
        ("2006-01-02 15:04:05.000", "2024-05-06 07:08:09.123", Some("2024-05-06T07:08:09.123Z")),
        ("2006-01-02 15:04:05.000", "2024-05-06 07:08:09.1234", None),
        ("2006-01-02 15:04:05,000", "2024-05-06 07:08:09.123", Some("2024-05-06T07:08:09.123Z")),
        ("2006-01-02 15:04:05.999", "2024-05-06 07:08:09", Some("2024-05-06T07:08:09Z")),
        ("2006-01-02 15:04:05.999", "2024-05-06 07:08:09.123456789123", Some("2024-05-06T07:08:09.123456789Z")),
        ("06/1/2 3:4:5 pm", "69/5/6 12:8:9 am", Some("1969-05-06T00:08:09Z")),
        ("06", "68", Some("2068-01-01T00:00:00Z")),
        ("2006-01-02", "2024-1-02", None),
        ("2006 __2", "2024  60", Some("2024-02-29T00:00:00Z")),
        ("2006 002", "2023 366", None),
        ("2006-01-02T15:04:05Z07", "2024-05-06T07:08:09-03", Some("2024-05-06T10:08:09Z")),
        ("2006-01-02 -070000", "2024-05-06 +010203", Some("2024-05-05T22:57:57Z")),
        ("2006-01-02 -07:00:00", "2024-05-06 +01:02:03", Some("2024-05-05T22:57:57Z")),
        ("January 2, 2006", "may 6, 2024", Some("2024-05-06T00:00:00Z")),
        ("2006-01-02 MST", "2024-05-06 WITA", Some("2024-05-06T00:00:00Z")),
        ("2006-01-02 MST", "2024-05-06 wita", None),
        ("Jan 2 15:04:05", "Dec 31 23:59:59", Some("2023-12-31T23:59:59Z")),
        ("Jan 2 15:04:05", "Mar 31 23:59:59", Some("2024-03-31T23:59:59Z")),
        ("Unix", "1.5.5", None),
        ("Unix", " 1", None),
        ("Unix", "1.0000000015", Some("1970-01-01T00:00:01.000000001Z")),
        ("UnixNs", "-1", Some("1969-12-31T23:59:59.999999999Z")),
        ("UnixUs", "9223372036854775808", None),
    ] {
        assert_eq!(parse(format, text).as_deref(), expected, "{format} | {text}");
    }
}

/// A location gives layouts without zone theirs, and abbreviations their meaning.
#[test]
fn locations_count() {
    let layout = "2006-01-02 15:04:05";
    assert_eq!(parse_in(layout, "Asia/Tokyo", "2024-07-01 12:00:00").unwrap(), "2024-07-01T03:00:00Z");
    let zoned = "2006-01-02 15:04 MST";
    assert_eq!(parse_in(zoned, "America/New_York", "2024-07-01 12:00 EST").unwrap(), "2024-07-01T17:00:00Z");
    assert_eq!(parse_in(zoned, "America/New_York", "2024-07-01 12:00 PST").unwrap(), "2024-07-01T12:00:00Z");
}

/// Writing by a layout shows what Go shows.
#[test]
fn writes_like_go() {
    let at = rfc3339(b"2024-05-06T07:08:09.120Z").unwrap();
    let paris = Location::load("Europe/Paris").unwrap();
    for (layout, expected) in [
        ("Monday, 02-Jan-06 15:04:05 MST", "Monday, 06-May-24 09:08:09 CEST"),
        ("2006-01-02T15:04:05.999Z07:00", "2024-05-06T09:08:09.12+02:00"),
        ("Jan _2 3:4:5PM .000 002 __2 -07", "May  6 9:8:9AM .120 127 127 +02"),
        ("January Mon pm 1/2", "May Mon am 5/6"),
    ] {
        assert_eq!(Layout::new(layout).format(at, &paris), expected, "{layout}");
    }
}

proptest! {
    /// RFC 3339 read by hand, by the layout and by jiff is one instant.
    #[test]
    fn agrees_with_jiff(secs in -2_000_000_000i64..10_000_000_000, nanos in 0i64..1_000_000_000) {
        let at = Timestamp::from_secs_nanos(secs, nanos);
        let text = jiff::Timestamp::new(secs, nanos as i32).unwrap().to_string();
        prop_assert_eq!(rfc3339(text.as_bytes()), Some(at));
        let layout = Layout::new(RFC3339_NANO);
        prop_assert_eq!(layout.parse(&text).map(|p| p.resolve(&Location::utc())), Some(at));
        prop_assert_eq!(layout.format(at, &Location::utc()), at.to_string());
    }

    /// Layouts that jiff can write are read back to the same second, in a zone with summer time.
    #[test]
    fn agrees_with_jiff_in_a_zone(secs in 0i64..2_000_000_000) {
        let zone = jiff::tz::TimeZone::get("Europe/Paris").unwrap();
        let there = jiff::Timestamp::new(secs, 0).unwrap().to_zoned(zone);
        for (ours, theirs) in [("Mon, 02 Jan 2006 15:04:05 -0700", "%a, %d %b %Y %H:%M:%S %z"), ("2/January/2006 03:04:05 PM -07:00", "%-d/%B/%Y %I:%M:%S %p %:z")] {
            let text = there.strftime(theirs).to_string();
            let layout = Layout::new(ours);
            prop_assert_eq!(layout.parse(&text).map(|p| p.resolve(&Location::utc()).secs()), Some(secs));
            prop_assert_eq!(layout.format(Timestamp::from_secs_nanos(secs, 0), &Location::load("Europe/Paris").unwrap()), text);
        }
    }

    /// No layout and no text panic.
    #[test]
    fn never_panics(layout in "[ _0-9.,JanMonPMpmSTZ:é-]{0,20}", text in "[ _0-9.,JanMonPMpmSTZ:+é-]{0,20}") {
        let layout = Layout::new(&layout);
        if let Some(parsed) = layout.parse(&text) {
            layout.format(parsed.resolve(&Location::utc()), &Location::utc());
        }
    }
}
