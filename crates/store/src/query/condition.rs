//! What can be asked.

use std::fmt;
use std::str::FromStr;
use wire::Signal;

/// Records of one tenant and signal within a time, all of whose conditions hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Whose records.
    pub tenant: String,
    /// Logs or traces; of traces the records are spans.
    pub signal: Signal,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds since the epoch; this one is not in it.
    pub end: u64,
    /// All of them hold.
    pub conditions: Vec<Condition>,
    /// Rows at most; at most 10 000 take effect.
    pub limit: usize,
    /// Only what comes after this row, in the order of the rows.
    pub after: Option<Cursor>,
    /// Which rows come first.
    pub order: Order,
}

/// Which rows come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Later times, and of one time later arrivals.
    #[default]
    NewestFirst,
    /// The other way round.
    OldestFirst,
}

impl Query {
    /// A question for everything of a tenant and signal.
    pub fn new(tenant: &str, signal: Signal) -> Self {
        let tenant = tenant.to_owned();
        let order = Order::NewestFirst;
        Query { tenant, signal, start: 0, end: u64::MAX, conditions: vec![], limit: 100, after: None, order }
    }
}

/// A test that must, or must not, be passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Whether it must not.
    pub not: bool,
    /// The test.
    pub test: Test,
}

/// A test of a record. The text of a log record is its body, that of a span its name.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is of one of these services; "" is none.
    Service(Vec<String>),
    /// Its severity is in this range: 1 to 24 as in OTLP, 0 for none. That of a span is 17 if it failed.
    Severity {
        /// From this one.
        min: u8,
        /// To this one.
        max: u8,
    },
    /// Its text has this word or phrase, whatever its case, and words begin and end where it does.
    Phrase(String),
    /// Its text has these bytes.
    Substring(String),
    /// It is of this trace.
    Trace([u8; 16]),
    /// It is this span, or was written within it.
    Span([u8; 8]),
    /// An attribute of this name, of the record or its resource or scope, has this value as text.
    Attribute {
        /// The name.
        key: String,
        /// The value.
        value: String,
    },
    /// There is an attribute of this name.
    Exists {
        /// The name.
        key: String,
    },
    /// An attribute of this name is a number, or the text of one, for which this holds.
    Number {
        /// The name.
        key: String,
        /// How it compares with the number.
        comparison: Comparison,
        /// The number.
        number: f64,
    },
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// <
    Less,
    /// <=
    AtMost,
    /// >
    More,
    /// >=
    AtLeast,
}

impl Comparison {
    pub(crate) fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::AtMost => left <= right,
            Comparison::More => left > right,
            Comparison::AtLeast => left >= right,
        }
    }
}

/// A place in the order of rows: by time, and of one time by arrival. It stays the same whatever is added or rewritten, and no two rows of
/// a tenant and signal have the same, so that it is also what a row is found by again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The row's time.
    pub time: u64,
    /// The number of its request.
    pub request: u64,
    /// Which of its request's records it is.
    pub record: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.time, self.request, self.record)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a cursor is what an earlier answer gave as the next one";
        let mut fields = text.split('-');
        let mut field = || u64::from_str_radix(fields.next()?, 16).ok();
        let (time, request, record) = (field().ok_or(WRONG)?, field().ok_or(WRONG)?, field().ok_or(WRONG)?);
        let record = u32::try_from(record).map_err(|_| WRONG)?;
        if fields.next().is_some() { Err(WRONG) } else { Ok(Cursor { time, request, record }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: cursors written and read, and other texts. Guarantee: they come back, and others are refused.
    #[test]
    fn cursors_come_back() {
        let cursor = Cursor { time: u64::MAX, request: 0, record: 17 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1-2", "1-2-3-4", "x-1-2", "1-2-100000000"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
