//! Questions to a store as URLs, and their answers as JSON. It knows no connection: [`super::serve`] does, and `bywash query`.
//!
//! | question | answer |
//! |---|---|
//! | `/api/logs`, `/api/spans` | rows, the newest first, and counts by severity |
//! | `/api/traces` | a list of traces, the latest first |
//! | `/api/traces/{id}` | the spans and log records of one |
//! | `/api/histogram` | counts by time and severity |
//! | `/api/fields` | names of attributes, or with `field` the values of one |
//!
//! Invariants: an answer has a bounded number of rows and bytes; parameters that nobody knows are errors.

use super::DEFAULT_TENANT;
use super::rows::{self, CLASSES};
use ::store::{Buckets, Condition, Cursor, Engine, Query, Test, TraceQuery, Value as Counted, parse};
use net::client::status::percent_decode;
use serde_json::{Value, json};
use std::str::FromStr;
use wire::Signal;

/// Rows of an answer, at most.
pub const MOST_ROWS: usize = 1000;
/// Bytes of the records of an answer: the one that reaches it is the last.
const MOST_BYTES: usize = 8 << 20;
/// Spans, and log records, of one trace.
const MOST_SPANS: usize = 10_000;
/// Bars of a histogram.
const MOST_BARS: usize = 1000;
/// Names or values that are offered.
const MOST_VALUES: usize = 1000;

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// 400, or 404.
    pub status: u16,
    /// What, and what would be right.
    pub error: String,
    /// Characters of the expression before it.
    pub at: Option<usize>,
}

impl Wrong {
    fn new(error: impl Into<String>) -> Wrong {
        Wrong { status: 400, error: error.into(), at: None }
    }

    /// As it is answered.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"error": self.error, "at": self.at})
    }
}

/// Whether the asker has gone, or the time is over.
pub type Until<'a> = &'a (dyn Fn() -> bool + Sync);

/// Answers a path with its query.
///
/// # Errors
/// What is wrong with it.
pub fn answer(store: &dyn Engine, question: &str, until: Until<'_>) -> Result<Value, Wrong> {
    let (path, query) = question.split_once('?').unwrap_or((question, ""));
    let mut asked = Parameters::read(query);
    let tenant = asked.take("tenant").unwrap_or_else(|| DEFAULT_TENANT.to_owned());
    match path {
        "/api/logs" => records(store, asked.query(&tenant, Signal::Logs)?, asked, until),
        "/api/spans" => records(store, asked.query(&tenant, Signal::Traces)?, asked, until),
        "/api/traces" => traces(store, &tenant, asked, until),
        "/api/histogram" => {
            let signal = asked.signal()?;
            histogram(store, &asked.query(&tenant, signal)?, asked, until)
        }
        "/api/fields" => {
            let signal = asked.signal()?;
            fields(store, &asked.query(&tenant, signal)?, asked, until)
        }
        path => match path.strip_prefix("/api/traces/") {
            Some(id) => trace(store, &tenant, id, asked, until),
            None => Err(Wrong { status: 404, ..Wrong::new("there is no such page below /api") }),
        },
    }
}

/// The parameters of a question, taken one by one.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: &str) -> Parameters {
        let decoded = |text: &str| percent_decode(text.replace('+', " ").as_bytes());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Parameters(query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(its, _)| its == name)?;
        Some(self.0.remove(at).1)
    }

    fn number<T: FromStr>(&mut self, name: &str, otherwise: T) -> Result<T, Wrong> {
        let Some(text) = self.take(name) else { return Ok(otherwise) };
        text.parse().map_err(|_| Wrong::new(format!("`{name}` must be a whole number, not `{text}`")))
    }

    fn signal(&mut self) -> Result<Signal, Wrong> {
        match self.take("signal").as_deref() {
            None | Some("logs") => Ok(Signal::Logs),
            Some("traces") => Ok(Signal::Traces),
            Some(other) => Err(Wrong::new(format!("`signal` must be logs or traces, not `{other}`"))),
        }
    }

    /// `q`, `start`, `end`, `limit`, `cursor`.
    fn query(&mut self, tenant: &str, signal: Signal) -> Result<Query, Wrong> {
        let conditions = parse(&self.take("q").unwrap_or_default())
            .map_err(|error| Wrong { at: Some(error.at), ..Wrong::new(error.to_string()) })?;
        let after = self.take("cursor").map(|text| text.parse()).transpose().map_err(Wrong::new)?;
        Ok(Query {
            conditions,
            start: self.number("start", 0)?,
            end: self.number("end", u64::MAX)?,
            limit: self.number("limit", 100)?.min(MOST_ROWS),
            after,
            ..Query::new(tenant, signal)
        })
    }

    /// None must be left.
    fn end(self) -> Result<(), Wrong> {
        match self.0.first() {
            Some((name, _)) => Err(Wrong::new(format!("unknown parameter `{name}`"))),
            None => Ok(()),
        }
    }
}

/// Rows that were found.
struct Page {
    rows: Vec<Value>,
    next: Option<Cursor>,
    /// Whether everything was looked at, as far as the page goes.
    is_complete: bool,
}

/// The newest records, up to the limit and as many bytes as an answer may have.
fn page(store: &dyn Engine, query: &Query, until: Until<'_>) -> Page {
    let (mut found, mut bytes) = (vec![], 0);
    let ended = store.search(query, until, &mut |row| {
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

fn records(store: &dyn Engine, query: Query, mut asked: Parameters, until: Until<'_>) -> Result<Value, Wrong> {
    let counts = asked.take("counts").is_none_or(|counts| counts != "false");
    asked.end()?;
    let page = page(store, &query, until);
    let mut answer = json!({
        "rows": page.rows,
        "cursor": page.next.map(|cursor| cursor.to_string()),
        "complete": page.is_complete,
    });
    if counts && query.after.is_none() {
        let tally = store.tally(&query, Buckets::ONE, until);
        answer["counts"] = classes(&tally.buckets.first().copied().unwrap_or_default());
        answer["total"] = tally.records.into();
        answer["counts_complete"] = tally.is_complete.into();
    }
    Ok(answer)
}

fn classes(counts: &[u64]) -> Value {
    CLASSES
        .iter()
        .zip(counts)
        .map(|(class, count)| ((*class).to_owned(), Value::from(*count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn traces(store: &dyn Engine, tenant: &str, mut asked: Parameters, until: Until<'_>) -> Result<Value, Wrong> {
    let mut query = TraceQuery::new(tenant);
    while let Some(service) = asked.take("service") {
        query.services.push(service);
    }
    query.operation = asked.take("operation");
    query.start = asked.number("start", 0)?;
    query.end = asked.number("end", u64::MAX)?;
    query.min_duration = asked.number("min_duration", 0)?;
    query.max_duration = asked.number("max_duration", u64::MAX)?;
    query.only_errors = asked.take("errors").is_some_and(|errors| errors != "false");
    query.limit = asked.number("limit", 100)?.min(MOST_ROWS);
    query.after = asked.take("cursor").map(|text| trace_cursor(&text)).transpose()?;
    asked.end()?;
    let found = store.traces(&query, until);
    Ok(json!({
        "traces": found.traces.iter().map(rows::trace).collect::<Vec<_>>(),
        "cursor": found.next.map(|(start, id)| format!("{start:x}-{}", rows::hex(&id))),
        "complete": found.is_complete,
    }))
}

fn trace_cursor(text: &str) -> Result<(u64, [u8; 16]), Wrong> {
    let read = || {
        let (start, id) = text.split_once('-')?;
        Some((u64::from_str_radix(start, 16).ok()?, trace_id(id)?))
    };
    read().ok_or_else(|| Wrong::new("`cursor` must be what an earlier answer gave"))
}

fn trace_id(text: &str) -> Option<[u8; 16]> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

fn trace(store: &dyn Engine, tenant: &str, id: &str, asked: Parameters, until: Until<'_>) -> Result<Value, Wrong> {
    asked.end()?;
    let id = trace_id(id).ok_or_else(|| Wrong::new("a trace id has 32 hexadecimal digits"))?;
    let of = |signal| {
        let conditions = vec![Condition { not: false, test: Test::Trace(id) }];
        let mut page = page(store, &Query { conditions, limit: MOST_SPANS, ..Query::new(tenant, signal) }, until);
        page.rows.reverse();
        (page.rows, page.is_complete && page.next.is_none())
    };
    let ((spans, has_spans), (logs, has_logs)) = (of(Signal::Traces), of(Signal::Logs));
    if spans.is_empty() && logs.is_empty() {
        return Err(Wrong { status: 404, ..Wrong::new("there is no such trace") });
    }
    Ok(json!({"trace_id": rows::hex(&id), "spans": spans, "logs": logs, "complete": has_spans && has_logs}))
}

fn histogram(store: &dyn Engine, query: &Query, mut asked: Parameters, until: Until<'_>) -> Result<Value, Wrong> {
    let count: usize = asked.number("buckets", 60)?;
    asked.end()?;
    if query.end == u64::MAX || query.start >= query.end {
        return Err(Wrong::new("`start` and `end` must be given, in nanoseconds since the epoch"));
    }
    let count = count.clamp(1, MOST_BARS);
    let width = (query.end - query.start).div_ceil(count as u64).max(1);
    let tally = store.tally(query, Buckets { start: query.start, width, count }, until);
    Ok(json!({
        "start": query.start.to_string(),
        "width": width.to_string(),
        "buckets": tally.buckets.iter().map(|counts| classes(counts)).collect::<Vec<_>>(),
        "services": tally.services,
        "total": tally.records,
        "complete": tally.is_complete,
    }))
}

fn fields(store: &dyn Engine, query: &Query, mut asked: Parameters, until: Until<'_>) -> Result<Value, Wrong> {
    let field = asked.take("field");
    asked.end()?;
    let shown = |values: Vec<Counted>| -> Vec<Value> {
        let shown = |value: Counted| json!({"text": value.text, "records": value.records});
        values.into_iter().take(MOST_VALUES).map(shown).collect()
    };
    Ok(match field {
        Some(field) => json!({"values": shown(store.values(query, &field, query.limit, until).values)}),
        None => json!({"fields": shown(store.fields(query, until).values)}),
    })
}
