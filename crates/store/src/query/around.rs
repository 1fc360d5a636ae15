//! A record found again, and what stands around it.

use super::condition::{Condition, Cursor, Order, Query, Test};
use super::search::{Found, Row};
use std::fmt;
use std::str::FromStr;
use wire::Signal;

/// By what a record is found again, for as long as it is kept. Its text is opaque: it is given back as it was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowId(Cursor);

impl Row {
    /// By what it is found again.
    #[must_use]
    pub fn id(&self) -> RowId {
        RowId(self.cursor)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { time, request, record } = self.0;
        write!(f, "{time:016x}{request:016x}{record:08x}")
    }
}

impl FromStr for RowId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "an id is what an earlier answer gave with a row";
        let is_id = text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (time, rest) = text.split_at_checked(16).filter(|_| is_id).ok_or(WRONG)?;
        let (request, record) = rest.split_at_checked(16).ok_or(WRONG)?;
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| WRONG);
        let record = u32::from_str_radix(record, 16).map_err(|_| WRONG)?;
        Ok(RowId(Cursor { time: number(time)?, request: number(request)?, record }))
    }
}

/// Which record, and how much around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// Whose.
    pub tenant: String,
    /// Of which signal.
    pub signal: Signal,
    /// Which record.
    pub id: RowId,
    /// Records before it, at most.
    pub before: usize,
    /// Records after it, at most.
    pub after: usize,
    /// Only those of its service.
    pub same_service: bool,
}

/// What stands around a record, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The ones before it, the oldest first.
    pub before: Vec<Row>,
    /// The record; none if it is no longer there.
    pub row: Option<Row>,
    /// The ones after it, the oldest first.
    pub after: Vec<Row>,
    /// Whether everything was looked at.
    pub is_complete: bool,
}

/// Answers with what a search finds: `search` gives the rows of a question and how it ended.
pub(crate) fn around(asked: &Around, mut search: impl FnMut(&Query) -> (Vec<Row>, Found)) -> Surroundings {
    let place = asked.id.0;
    let mut found = Surroundings { is_complete: true, ..Surroundings::default() };
    let base = Query::new(&asked.tenant, asked.signal);
    // The first row from a place behind the record's on, downwards, is the record or what follows it.
    let behind = match place.record.checked_add(1) {
        Some(record) => Cursor { record, ..place },
        None => Cursor { request: place.request.saturating_add(1), record: 0, ..place },
    };
    let end = place.time.saturating_add(1);
    let exact = Query { start: place.time, end, limit: 1, after: Some(behind), ..base.clone() };
    let (rows, ended) = search(&exact);
    found.is_complete &= ended.is_complete;
    found.row = rows.into_iter().next().filter(|row| row.cursor == place);
    let mut conditions = vec![];
    if asked.same_service {
        // Of a record that is gone nobody knows the service.
        let Some(row) = &found.row else { return found };
        conditions.push(Condition { not: false, test: Test::Service(vec![row.service.clone()]) });
    }
    let older = Query { limit: asked.before, after: Some(place), conditions, ..base };
    let newer = Query { limit: asked.after, order: Order::OldestFirst, ..older.clone() };
    for (query, into) in [(older, &mut found.before), (newer, &mut found.after)] {
        if query.limit > 0 {
            let (rows, ended) = search(&query);
            found.is_complete &= ended.is_complete;
            *into = rows;
        }
    }
    found.before.reverse();
    found
}
