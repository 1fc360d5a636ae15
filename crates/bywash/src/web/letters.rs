//! `/api/dead-letters`: what finally could not be delivered, to be looked at, sent again, or removed.
//!
//! Invariant: who may see the data of some tenants sees, sends and removes the letters of those; a letter of no tenant belongs to who may
//! see everything.

use super::answer::{self, Answer};
use super::server::Asked;
use super::{Web, nanos};
use components::exporters::store::api::Wrong;
use components::exporters::store::rows;
use components::extensions::file_storage::letters::{self, Boxed, MOST, Query, Request, Row, Selection};
use flow::Payload;
use http::StatusCode;
use net::tokens::Tenants;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::Signal;

/// Letters of a page at most, and if nothing is said.
const MOST_ROWS: usize = 100;
/// Records that are shown of each.
const MOST_PREVIEWED: usize = 3;
/// Bytes of a letter that is shown in part.
const MOST_BYTES: u64 = 4 << 20;
/// Letters that are chosen by name at once.
const MOST_IDS: usize = 10_000;

/// What is done with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// They are sent again.
    Replay,
    /// They are removed for good.
    Discard,
}

/// Which letters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Chosen {
    ids: Option<Vec<String>>,
    exporter: Option<String>,
    all: bool,
}

/// Lists letters.
///
/// # Errors
/// What is wrong with the question, or with the disk.
pub async fn list(web: &Web, asked: Asked) -> Answer {
    let (tenants, mut parameters) = (asked.tenants, asked.question.asked);
    let exporter = parameters.take("exporter").filter(|text| !text.is_empty());
    let signal = parameters.take("signal").filter(|text| !text.is_empty());
    if let Some(other) = signal.as_ref().filter(|text| !Signal::ALL.iter().any(|signal| signal.as_str() == **text)) {
        return Err(Wrong::new(format!("`signal` must be logs, traces or metrics, not `{other}`")));
    }
    let limit: usize = parameters.number("limit", MOST_ROWS)?.min(MOST_ROWS);
    let from: usize = parameters.number("cursor", 0)?;
    parameters.end()?;
    let boxes = web.pipeline.letters();
    let made = on_thread(move || {
        let query = Query { exporter, limit: MOST, ..Query::default() };
        let all = found(&boxes, &query)?;
        let mine =
            |row: &Row| signal.as_ref().is_none_or(|signal| *signal == row.signal) && is_of(&boxes, &row.id, &tenants);
        let rows: Vec<Row> = all.into_iter().filter(mine).collect();
        let shown: Vec<Value> = rows.iter().skip(from).take(limit).map(|row| letter(&boxes, row)).collect();
        let next = from.saturating_add(shown.len());
        let cursor = (next < rows.len() && !shown.is_empty()).then(|| next.to_string());
        Ok(json!({"letters": shown, "cursor": cursor, "total": rows.len()}))
    });
    made.await.map(|made| answer::json(StatusCode::OK, &made))
}

/// Does something with letters.
///
/// # Errors
/// What is wrong with the question, or with the disk.
pub async fn act(web: &Web, asked: Asked, act: Act) -> Answer {
    let (tenants, body) = (asked.tenants, asked.body);
    asked.question.asked.end()?;
    let wrong = |error: serde_json::Error| Wrong::new(format!("the body must be {{\"ids\": […]}}: {error}"));
    let chosen: Chosen = serde_json::from_slice(&body).map_err(wrong)?;
    if chosen.ids.as_ref().is_some_and(|ids| ids.len() > MOST_IDS) {
        return Err(Wrong::new("at most 10000 letters at once"));
    }
    let selected = match (chosen.ids, &chosen.exporter, chosen.all) {
        (Some(ids), None, false) => Some(ids),
        (None, _, true) => None,
        _ => return Err(Wrong::new("choose letters by `ids`, or all of an `exporter` by `all`: true")),
    };
    let (boxes, query) = (web.pipeline.letters(), Query { exporter: chosen.exporter, limit: MOST, ..Query::default() });
    let made = on_thread(move || {
        let selection = match selected {
            Some(ids) => Selection::Ids(ids.into_iter().filter(|id| is_of(&boxes, id, &tenants)).collect()),
            None if *tenants == Tenants::All => Selection::All(query),
            None => {
                let own = found(&boxes, &query)?.into_iter().map(|row| row.id);
                Selection::Ids(own.filter(|id| is_of(&boxes, id, &tenants)).collect())
            }
        };
        let request = match act {
            Act::Replay => Request::Replay(selection),
            Act::Discard => Request::Discard(selection),
        };
        match letters::answer(&boxes, &request) {
            letters::Answer::Done(done) => {
                let unknown = done.unknown.iter().map(|id| json!({"id": id, "error": "there is no such letter"}));
                let stopped = done.stopped.iter().map(|why| json!({"id": null, "error": why}));
                let failed: Vec<Value> = unknown.chain(stopped).collect();
                Ok(json!({"done": done.letters, "records": done.records, "failed": failed}))
            }
            letters::Answer::Error(error) => Err(Wrong { status: 500, ..Wrong::new(error) }),
            _ => Err(Wrong { status: 500, ..Wrong::new("it was not done") }),
        }
    });
    made.await.map(|made| answer::json(StatusCode::OK, &made))
}

/// Does something that waits for the disk.
async fn on_thread<T: Send + 'static>(what: impl FnOnce() -> Result<T, Wrong> + Send + 'static) -> Result<T, Wrong> {
    match tokio::task::spawn_blocking(what).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Wrong { status: 503, ..Wrong::new("the process is stopping") }),
        },
    }
}

fn found(boxes: &[Boxed], query: &Query) -> Result<Vec<Row>, Wrong> {
    match letters::answer(boxes, &Request::List(query.clone())) {
        letters::Answer::Letters(rows) => Ok(rows),
        letters::Answer::Error(error) => Err(Wrong { status: 500, ..Wrong::new(error) }),
        _ => Ok(vec![]),
    }
}

/// What is in a letter; none if it is gone.
fn payload(boxes: &[Boxed], id: &str) -> Option<Payload> {
    let (boxed, number) = letters::find(boxes, id)?;
    Some(boxed.letters.read(number).ok()??.payload)
}

/// Whether a letter may be seen. Names of letters that are gone are told as such, whoever asks.
fn is_of(boxes: &[Boxed], id: &str, tenants: &Arc<Tenants>) -> bool {
    if **tenants == Tenants::All {
        return true;
    }
    let tenant = payload(boxes, id).and_then(|payload| payload.meta.tenant.clone());
    tenant.is_some_and(|tenant| tenants.has(&tenant))
}

fn letter(boxes: &[Boxed], row: &Row) -> Value {
    let is_shown = row.signal != Signal::Metrics.as_str() && row.bytes <= MOST_BYTES;
    let payload = Some(()).filter(|()| is_shown).and_then(|()| payload(boxes, &row.id));
    let preview = payload.map(|payload| preview(&payload)).unwrap_or_default();
    let reason = if row.text.is_empty() { row.reason.clone() } else { format!("{}: {}", row.reason, row.text) };
    json!({
        "id": row.id, "exporter": row.exporter, "signal": row.signal, "target": row.target,
        "time": (u128::from(row.at) * 1_000_000).to_string(), "reason": reason, "attempts": row.attempts,
        "records": row.records, "bytes": row.bytes, "preview": preview,
    })
}

/// The first records, as rows without a name.
fn preview(payload: &Payload) -> Vec<Value> {
    let mut first = vec![];
    let body = payload.body.contiguous();
    // Of what is no OTLP nothing is shown.
    let _ = store::pieces(payload.signal, &body, nanos(), |piece| {
        if first.len() < MOST_PREVIEWED {
            let row = store::Row {
                cursor: store::Cursor { time: piece.facts.time, request: 0, record: piece.ordinal },
                severity: piece.facts.severity,
                service: String::from_utf8_lossy(piece.service).into_owned(),
                text: String::from_utf8_lossy(&piece.facts.text).into_owned(),
                resource: piece.resource.to_vec().into(),
                scope: piece.scope.to_vec().into(),
                record: piece.record.to_vec().into(),
            };
            first.push(rows::row(payload.signal, &row));
        }
    });
    first
}
