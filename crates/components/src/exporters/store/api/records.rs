//! Log records and spans: rows page by page, what stands around one, and counts by time.

use super::{MOST_BYTES, Parameters, Until, Wrong};
use crate::exporters::store::rows::{self, CLASSES};
use ::store::{Around, Buckets, Cursor, Engine, Query};
use serde_json::{Value, json};

/// Bars of a histogram.
const MOST_BARS: usize = 1000;
/// Rows before, and after, one.
const MOST_AROUND: usize = 200;
/// The same if nothing is said.
const AROUND: usize = 20;

/// Rows that were found.
pub(super) struct Page {
    pub rows: Vec<Value>,
    pub next: Option<Cursor>,
    /// Whether everything was looked at, as far as the page goes.
    pub is_complete: bool,
}

/// The newest records, up to the limit and as many bytes as an answer may have.
pub(super) fn page(engine: &dyn Engine, query: &Query, until: Until<'_>) -> Page {
    let (mut found, mut bytes) = (vec![], 0);
    let ended = engine.search(query, until, &mut |row| {
        bytes += row.record.len() + row.resource.len() + row.scope.len();
        found.push(row);
        bytes < MOST_BYTES
    });
    let is_cut = bytes >= MOST_BYTES;
    Page {
        rows: found.iter().map(|row| rows::row(query.signal, row)).collect(),
        next: ended.next,
        is_complete: ended.is_complete || is_cut && ended.damaged == 0,
    }
}

pub(super) fn records(
    engine: &dyn Engine,
    query: &Query,
    mut asked: Parameters,
    until: Until<'_>,
) -> Result<Value, Wrong> {
    let counts = asked.take("counts").is_none_or(|counts| counts != "false");
    asked.end()?;
    let page = page(engine, query, until);
    let mut answer = json!({
        "rows": page.rows,
        "cursor": page.next.map(|cursor| cursor.to_string()),
        "complete": page.is_complete,
    });
    if counts && query.after.is_none() {
        let tally = engine.tally(query, Buckets::ONE, until);
        answer["counts"] = classes(&tally.buckets.first().copied().unwrap_or_default());
        answer["total"] = tally.records.into();
        answer["counts_complete"] = tally.is_complete.into();
    }
    Ok(answer)
}

pub(super) fn around(
    engine: &dyn Engine,
    tenant: &str,
    mut asked: Parameters,
    until: Until<'_>,
) -> Result<Value, Wrong> {
    let id = asked.take("id").ok_or_else(|| Wrong::new("`id` is required: that of a row"))?;
    let around = Around {
        tenant: tenant.to_owned(),
        signal: asked.signal()?,
        id: id.parse().map_err(Wrong::new)?,
        before: asked.number("before", AROUND)?.min(MOST_AROUND),
        after: asked.number("after", AROUND)?.min(MOST_AROUND),
        // Its own service is the only one that can be kept to.
        same_service: asked.take("service").is_some_and(|service| !service.is_empty() && service != "false"),
    };
    asked.end()?;
    let found = engine.around(&around, until);
    let Some(row) = &found.row else {
        return Err(Wrong { status: 404, ..Wrong::new("there is no such record, or no longer") });
    };
    let shown = |of: &[::store::Row]| of.iter().map(|row| rows::row(around.signal, row)).collect::<Vec<_>>();
    Ok(json!({
        "before": shown(&found.before),
        "row": rows::row(around.signal, row),
        "after": shown(&found.after),
        "complete": found.is_complete,
    }))
}

fn classes(counts: &[u64]) -> Value {
    CLASSES
        .iter()
        .zip(counts)
        .map(|(class, count)| ((*class).to_owned(), Value::from(*count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(super) fn histogram(
    engine: &dyn Engine,
    query: &Query,
    mut asked: Parameters,
    until: Until<'_>,
) -> Result<Value, Wrong> {
    let count: usize = asked.number("buckets", 60)?;
    asked.end()?;
    if query.end == u64::MAX || query.start >= query.end {
        return Err(Wrong::new("`start` and `end` must be given, in nanoseconds since the epoch"));
    }
    let count = count.clamp(1, MOST_BARS);
    let width = (query.end - query.start).div_ceil(count as u64).max(1);
    let tally = engine.tally(query, Buckets { start: query.start, width, count }, until);
    Ok(json!({
        "start": query.start.to_string(),
        "width": width.to_string(),
        "buckets": tally.buckets.iter().map(|counts| classes(counts)).collect::<Vec<_>>(),
        "services": tally.services,
        "total": tally.records,
        "complete": tally.is_complete,
    }))
}
