//! `/api/pipeline` and `/api/pipeline/live`: the pipeline while it works. Counters grow from the start of the process.
//!
//! What is shown is made once a second at most, however many look. Who may not see the data of all tenants is shown no lanes, whose names
//! tenants may be, and neither the letters' nor the store's sums.

use super::answer::{self, Answer};
use super::events::Source;
use super::server::Asked;
use super::{Shape, State, TICK, Web, nanos};
use flow::lane::LaneView;
use flow::{Kind, Level, clock};
use http::StatusCode;
use net::tokens::Tenants;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;
use store::Stats;
use telemetry::metrics::stages::StagesState;
use telemetry::metrics::{ExporterState, ReceiverState};

/// Lanes of an exporter that are shown: the fullest, and of those that are halted as many again.
const MOST_LANES: usize = 50;

/// One look.
///
/// # Errors
/// There is a parameter that nobody knows.
pub fn once(web: &Web, asked: Asked) -> Answer {
    asked.question.asked.end()?;
    let text = shown(web, *asked.tenants == Tenants::All);
    Ok(answer::whole(StatusCode::OK, "application/json", text.to_string()))
}

/// A look every second.
pub struct Live {
    web: Arc<Web>,
    sees_all: bool,
    next: tokio::time::Instant,
}

impl Live {
    /// For who may see the data of these tenants.
    #[must_use]
    pub fn new(web: &Arc<Web>, tenants: &Tenants) -> Live {
        Live { web: web.clone(), sees_all: *tenants == Tenants::All, next: tokio::time::Instant::now() }
    }
}

impl Source for Live {
    async fn next(&mut self) -> Option<String> {
        tokio::time::sleep_until(self.next).await;
        self.next = tokio::time::Instant::now() + TICK;
        Some(format!("event: state\ndata: {}\n\n", shown(&self.web, self.sees_all)))
    }
}

/// What is shown now, or was a moment ago.
fn shown(web: &Web, sees_all: bool) -> Arc<str> {
    let now = clock::now();
    let mut last = web.shown.lock();
    let place = &mut last[usize::from(sees_all)];
    if let Some((_, text)) = place.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < TICK * 9 / 10) {
        return text.clone();
    }
    let stats = web.store().map(|store| (store.stats(), store.asked()));
    let text: Arc<str> = json(&web.pipeline.state(), &web.pipeline.shapes(), stats, sees_all, now).to_string().into();
    *place = Some((now, text.clone()));
    text
}

fn json(state: &State, shapes: &[Shape], stats: Option<(Stats, u64)>, sees_all: bool, now: Instant) -> Value {
    let budget = &state.budget;
    let level = match budget.level {
        Level::Open => "open",
        Level::Priority => "soft",
        Level::Full => "hard",
    };
    let shape = |shape: &Shape| {
        json!({
            "id": shape.id, "signal": shape.signal.as_str(), "receivers": shape.receivers,
            "processors": shape.processors, "exporters": shape.exporters,
        })
    };
    let dead = state.exporters.iter().filter_map(|exporter| exporter.spool.as_ref()?.dead.as_ref());
    let (letters, records, bytes) =
        dead.fold((0, 0, 0), |sum, dead| (sum.0 + dead.letters, sum.1 + dead.records, sum.2 + dead.bytes));
    let store = stats.filter(|_| sees_all).map(|(stats, asked)| {
        json!({
            "records": stats.records, "bytes": stats.bytes, "chunks": stats.chunks, "tenants": stats.tenants,
            "queries": asked, "damaged": stats.damaged_chunks, "repeated": stats.repeated_records,
        })
    });
    json!({
        "time": nanos().to_string(),
        "budget": {
            "limit": budget.limit, "used": budget.bytes, "soft": (budget.limit as f64 * budget.soft) as u64, "level": level,
        },
        "pipelines": shapes.iter().map(shape).collect::<Vec<_>>(),
        "receivers": state.receivers.iter().map(receiver).collect::<Vec<_>>(),
        "processors": state.processors.iter().map(processor).collect::<Vec<_>>(),
        "exporters": state.exporters.iter().map(|state| exporter(state, sees_all, now)).collect::<Vec<_>>(),
        "dead_letters": if sees_all { json!({"letters": letters, "records": records, "bytes": bytes}) } else { Value::Null },
        "store": store,
    })
}

fn reasons(counts: impl Iterator<Item = (Kind, u64)>) -> Value {
    Value::Object(counts.map(|(kind, count)| (kind.as_str().to_owned(), count.into())).collect())
}

fn receiver(state: &ReceiverState) -> Value {
    json!({
        "id": state.receiver, "transport": state.transport, "signal": state.signal.as_str(),
        "accepted": state.stats.accepted.get(), "refused": reasons(state.stats.refused.iter()),
        "shed": reasons(state.stats.shed.iter()),
    })
}

fn processor(state: &StagesState) -> Value {
    let mut dropped: Map<String, Value> = Map::new();
    for ((_, reason), count) in &state.dropped {
        let before = dropped.get(reason).and_then(Value::as_u64).unwrap_or_default();
        dropped.insert(reason.clone(), (before + count).into());
    }
    json!({
        "id": state.processor, "pipeline": state.pipeline, "signal": state.signal.as_str(),
        "incoming": state.incoming, "outgoing": state.outgoing, "dropped": dropped,
    })
}

fn exporter(state: &ExporterState, sees_all: bool, now: Instant) -> Value {
    let is_halted = |lane: &LaneView| matches!(lane.state, "halted" | "probing");
    let mut lanes: Vec<&LaneView> = state.lanes.iter().collect();
    lanes.sort_by_key(|lane| Reverse(lane.bytes));
    let (full, rest) = lanes.split_at(lanes.len().min(MOST_LANES));
    let halted = rest.iter().filter(|lane| is_halted(lane)).take(MOST_LANES);
    let chosen = full.iter().chain(halted).filter(|_| sees_all);
    let spool = state.spool.as_ref().map(|spool| {
        json!({"bytes": spool.bytes, "limit": spool.max_bytes, "records": spool.records, "trouble": spool.trouble})
    });
    json!({
        "id": state.exporter, "signal": state.signal.as_str(), "sent": state.totals.sent,
        "failed": reasons(state.totals.failed.iter()), "dropped": reasons(state.totals.enqueue_failed.iter()),
        "queue_size": state.queue_size, "queue_capacity": state.queue_capacity, "bytes": state.bytes, "spool": spool,
        "lanes_total": state.lanes.len(), "lanes_halted": state.lanes.iter().filter(|lane| is_halted(lane)).count(),
        "lanes": chosen.map(|state| lane(state, now)).collect::<Vec<_>>(),
    })
}

fn lane(state: &LaneView, now: Instant) -> Value {
    json!({
        "target": state.target.to_string(),
        // One that closes still sends.
        "state": if state.state == "closing" { "passing" } else { state.state },
        "queue": state.records, "bytes": state.bytes,
        "reason": state.why.as_ref().map(ToString::to_string),
        "retry_in": state.until.map(|until| until.saturating_duration_since(now).as_secs_f64().ceil() as u64),
    })
}
