//! Rows as `COPY … WITH (FORMAT binary)` takes them, and PostgreSQL's times.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What comes before the rows.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What comes after them.
pub(crate) const TRAILER: [u8; 2] = [0xff, 0xff];

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;

/// A time in nanoseconds as whole microseconds of PostgreSQL's, always rounded down, and the nanoseconds that are left.
pub(crate) fn time(nanos: u64) -> (i64, i16) {
    ((nanos / 1000) as i64 - EPOCH, (nanos % 1000) as i16)
}

/// A time in nanoseconds as a parameter, rounded down to microseconds.
pub(crate) fn moment(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(nanos / 1000)
}

/// The time in nanoseconds of a column and what is left.
pub(crate) fn moment_nanos(at: SystemTime, rest: i16) -> u64 {
    let micros = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    micros.saturating_mul(1000).saturating_add(rest.max(0) as u64)
}

/// As text that PostgreSQL can hold: what is no UTF-8, and NUL, is replaced.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => text,
    }
}

/// Writes one row, field by field.
pub(crate) struct Tuple<'a>(&'a mut Vec<u8>);

impl<'a> Tuple<'a> {
    pub fn new(out: &'a mut Vec<u8>, fields: i16) -> Self {
        out.extend_from_slice(&fields.to_be_bytes());
        Tuple(out)
    }

    /// A text or bytes.
    pub fn bytes(self, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Bytes, or NULL if all are zero.
    pub fn id(self, value: &[u8]) -> Self {
        if value.iter().all(|byte| *byte == 0) {
            self.0.extend_from_slice(&(-1i32).to_be_bytes());
            return self;
        }
        self.bytes(value)
    }

    pub fn int8(self, value: i64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn int4(self, value: i32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn int2(self, value: i16) -> Self {
        self.bytes(&value.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times at the ends of what OTLP can say, and just before midnight. Guarantee: each comes back to the nanosecond, and none is
    /// rounded into the next day.
    #[test]
    fn times_come_back() {
        for at in [0, 1, 999, 1000, 1_795_910_399_999_999_999, u64::MAX] {
            let (micros, rest) = time(at);
            assert_eq!((micros + EPOCH) as u64 * 1000 + rest as u64, at);
            assert_eq!(moment_nanos(moment(at), rest), at);
        }
        let day = |at| (time(at).0 + EPOCH) / 86_400_000_000;
        assert_eq!(day(1_795_910_399_999_999_999) + 1, day(1_795_910_400_000_000_000));
    }

    /// Scenario: texts with NUL and bytes that are no UTF-8. Guarantee: what comes out PostgreSQL can hold.
    #[test]
    fn texts_can_be_held() {
        assert_eq!(text(b"a\0b\xffc"), "a\u{fffd}b\u{fffd}c");
        assert!(matches!(text("größe".as_bytes()), Cow::Borrowed("größe")));
    }
}
