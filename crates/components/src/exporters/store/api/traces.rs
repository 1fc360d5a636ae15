//! Traces: a list of them, and one with all that belongs to it.

use super::records::page;
use super::{MOST_ROWS, Parameters, Until, Wrong};
use crate::exporters::store::rows;
use ::store::{Condition, Engine, Query, Test, TraceQuery};
use serde_json::{Value, json};
use wire::Signal;

/// Spans, and log records, of one trace.
const MOST_SPANS: usize = 10_000;

pub(super) fn list(engine: &dyn Engine, tenant: &str, mut asked: Parameters, until: Until<'_>) -> Result<Value, Wrong> {
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
    query.after = asked.take("cursor").map(|text| cursor(&text)).transpose()?;
    asked.end()?;
    let found = engine.traces(&query, until);
    Ok(json!({
        "traces": found.traces.iter().map(rows::trace).collect::<Vec<_>>(),
        "cursor": found.next.map(|(start, id)| format!("{start:x}-{}", rows::hex(&id))),
        "complete": found.is_complete,
    }))
}

fn cursor(text: &str) -> Result<(u64, [u8; 16]), Wrong> {
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

pub(super) fn one(
    engine: &dyn Engine,
    tenant: &str,
    id: &str,
    asked: Parameters,
    until: Until<'_>,
) -> Result<Value, Wrong> {
    asked.end()?;
    let id = trace_id(id).ok_or_else(|| Wrong::new("a trace id has 32 hexadecimal digits"))?;
    let of = |signal| {
        let conditions = vec![Condition { not: false, test: Test::Trace(id) }];
        let mut page = page(engine, &Query { conditions, limit: MOST_SPANS, ..Query::new(tenant, signal) }, until);
        page.rows.reverse();
        (page.rows, page.is_complete && page.next.is_none())
    };
    let ((spans, has_spans), (logs, has_logs)) = (of(Signal::Traces), of(Signal::Logs));
    if spans.is_empty() && logs.is_empty() {
        return Err(Wrong { status: 404, ..Wrong::new("there is no such trace") });
    }
    Ok(json!({"trace_id": rows::hex(&id), "spans": spans, "logs": logs, "complete": has_spans && has_logs}))
}
