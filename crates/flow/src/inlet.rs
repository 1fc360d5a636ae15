//! How a request enters: admission, stages, room in every exporter, and only then the queues.
//!
//! Everything up to the queues is a synchronous call on the receiver's own task. Accepting is all-or-nothing per exporter:
//! each reserves room first, once ([`entry`]), and stages are run only where an exporter has some; what they made of the request is then
//! what is held. If none has room the request is refused with a delay; if some have, those take it, and what the
//! full ones would have got is shed and reported, so that a dead destination never costs the others their data.
//! Nobody waits while he holds what others need: who waits for room in one exporter has given back the room he had in all others.
//!
//! It does not read sockets, does not decide how an answer looks on the wire, and never drops a record without saying so in
//! [`Accepted`] or [`Refusal`] and counting it.

mod entry;
mod last_call;
mod notices;
mod staging;

use crate::budget::{Level, Permit, Refusal};
use crate::capacity::Slot;
use crate::outlet::Outgoing;
use crate::stage::Stage;
use crate::stats::InletStats;
use crate::{Kind, Outcome, Payload, Stop, Why};
use arc_swap::ArcSwap;
use entry::{Entry, Seat, Shortage};
use last_call::LastCall;
use notices::Notices;
use smallvec::SmallVec;
pub(crate) use staging::is_stored;
use staging::{Charge, Others, Pauses, Route, Staging};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use wire::{Coding, Signal};

/// When to come back after a failure that says nothing about it.
const COME_BACK: Duration = Duration::from_secs(1);

/// When to come back while the disk under a queue fails.
const DISK_AGAIN: Duration = Duration::from_secs(5);

/// When a sender is told that its data was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// When it is queued in memory: the collector's meaning. A crash loses what is queued.
    #[default]
    Queued,
    /// When it is safe on disk at every exporter that has storage, and queued in memory at the others. A crash loses nothing of
    /// what the former have.
    Durable,
    /// When the destinations have it.
    Delivered,
}

/// One pipeline as an inlet sees it.
pub struct Funnel {
    /// The pipeline's id.
    pub name: String,
    /// In order.
    pub stages: Vec<Arc<dyn Stage>>,
    /// All of them get everything.
    pub outlets: Vec<Arc<dyn Outgoing>>,
}

/// How an inlet behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct InletConfig {
    /// When success is answered.
    pub acknowledge: Acknowledge,
    /// The kill switch `ingest: sync`: nothing is queued, the answer waits for the one attempt at delivery.
    pub sync: bool,
    /// Spans at least this long have priority.
    pub slow_threshold: Duration,
}

impl Default for InletConfig {
    fn default() -> Self {
        InletConfig { acknowledge: Acknowledge::Queued, sync: false, slow_threshold: Duration::from_millis(500) }
    }
}

/// The part of an inlet that a reload exchanges.
pub struct Opening {
    /// The pipelines behind it.
    pub funnels: Vec<Funnel>,
    /// How it behaves.
    pub config: InletConfig,
}

/// Where a receiver hands over requests of one signal. Cheap to clone; a reload changes what is behind it for all clones.
#[derive(Clone)]
pub struct Inlet {
    signal: Signal,
    opening: Arc<ArcSwap<Opening>>,
    stats: Arc<InletStats>,
    /// Pipelines that hold this door back.
    pauses: Arc<Pauses>,
    /// What is turned away, for the log.
    notices: Arc<Notices>,
    /// When those who wait are told to come back.
    last_call: LastCall,
}

/// A request that was taken, at least in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Records that were not taken, with the reason: to be reported as a partial success. `Failed` never stands here.
    pub outcome: Outcome,
}

impl Accepted {
    /// Everything was taken.
    pub const ALL: Accepted = Accepted { outcome: Outcome::Delivered };

    /// Records to report as rejected, and why.
    #[must_use]
    pub fn rejected(&self) -> Option<(u64, &Why)> {
        match &self.outcome {
            Outcome::Delivered => None,
            Outcome::Dropped { records, why }
            | Outcome::Rejected { records, why }
            | Outcome::Failed { records, why, .. } => Some((*records, why)),
        }
    }
}

/// An outlet that has room, with that room, and the earlier requests that have records in the payload.
type Placed = SmallVec<[(Arc<dyn Outgoing>, Payload, Slot, Others); 2]>;

impl Inlet {
    /// An inlet of one signal.
    #[must_use]
    pub fn new(signal: Signal, opening: Opening, stats: Arc<InletStats>) -> Inlet {
        let (pauses, notices, last_call) = (Arc::default(), Arc::default(), LastCall::default());
        Inlet { signal, opening: Arc::new(ArcSwap::from_pointee(opening)), stats, pauses, notices, last_call }
    }

    /// Another door to the same pipelines, counted by itself.
    #[must_use]
    pub fn sharing(&self, stats: Arc<InletStats>) -> Inlet {
        let last_call = LastCall::default();
        Inlet { stats, pauses: Arc::default(), last_call, ..self.clone() }
    }

    /// The same door for a receiver that ends with `stop`: shortly before its deadline, senders that still wait are told to come back.
    #[must_use]
    pub fn until(self, stop: Stop) -> Inlet {
        Inlet { last_call: LastCall::before(stop), ..self }
    }

    /// Whether any pipeline is behind it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !self.opening.load().funnels.is_empty()
    }

    /// Whether what came compressed like this may leave as it came, so that it is worth keeping beside the request: an exporter sends it on
    /// so, and no stage before it changes requests.
    #[must_use]
    pub fn keeps(&self, coding: Coding) -> bool {
        let opening = self.opening.load();
        let mut plain = opening.funnels.iter().filter(|funnel| funnel.stages.is_empty());
        plain.any(|funnel| funnel.outlets.iter().any(|outlet| outlet.coding() == Some(coding)))
    }

    /// The signal it takes.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Its counters, which the receiver shares for what it refuses itself.
    #[must_use]
    pub fn stats(&self) -> &InletStats {
        &self.stats
    }

    /// Exchanges what is behind it. Requests already inside finish on the old side.
    pub fn reopen(&self, opening: Opening) {
        self.opening.store(Arc::new(opening));
    }

    /// Counts a request that was refused before its records were known.
    pub fn count_refused(&self, kind: Kind) {
        self.stats.requests_refused.add(1);
        self.stats.refused_requests.add(kind, 1);
        self.notices.refused(self.signal, kind, 0);
    }

    /// Counts a request that was malformed.
    pub fn count_malformed(&self) {
        self.stats.requests_failed.add(1);
    }

    /// Takes a request in, with the permit that holds its bytes. Ends at once unless the answer has to wait: for delivery, or for
    /// room in a queue with `block_on_overflow`. Dropping the future while it waits loses nothing that was queued.
    ///
    /// # Errors
    /// Nothing of it was taken, or (when waiting for delivery) it failed and may be sent again.
    pub async fn offer(&self, payload: Payload, mut permit: Permit) -> Result<Accepted, Refusal> {
        // Given back with the answer, whatever becomes of the data.
        let _call = permit.split_call();
        let records = u64::from(payload.records);
        let visit = Visit { inlet: self, records, queued: AtomicBool::new(false), answered: AtomicBool::new(false) };
        let result = tokio::select! {
            biased;
            result = self.admit(payload, permit, &visit) => result,
            refusal = self.last_call.refusal() => Err(refusal),
        };
        visit.answered.store(true, Relaxed);
        match &result {
            Ok(accepted) => {
                let lost = accepted.outcome.lost();
                self.stats.accepted.add(records.saturating_sub(lost));
                if lost == 0 {
                    self.stats.requests_accepted.add(1)
                } else {
                    self.stats.requests_refused.add(1)
                }
                match &accepted.outcome {
                    Outcome::Dropped { records, why } => {
                        self.stats.shed.add(why.kind, *records);
                        self.notices.shed(self.signal, why.kind, *records);
                    }
                    other => self.stats.failed.add(other.lost()),
                }
            }
            Err(refusal) => {
                self.stats.requests_refused.add(1);
                self.stats.refused_requests.add(refusal.why.kind, 1);
                self.stats.refused.add(refusal.why.kind, records);
                self.notices.refused(self.signal, refusal.why.kind, records);
            }
        }
        result
    }

    async fn admit(&self, payload: Payload, mut permit: Permit, visit: &Visit<'_>) -> Result<Accepted, Refusal> {
        if payload.records == 0 {
            return Ok(Accepted::ALL);
        }
        let opening = self.opening.load_full();
        if opening.funnels.is_empty() {
            // A reload, or the end, took the last pipeline away after the request came in: what nobody takes is not accepted.
            let why = Why::new(Kind::NoTarget, "no pipeline takes this signal any more");
            return Err(Refusal { retry_after: permit.refuse(why.kind).retry_after, why });
        }
        let total = u64::from(payload.records);
        permit.set_records(payload.records);
        let (payload, shed, is_short) = self.shed(payload, &mut permit, &opening)?;
        let Some(payload) = payload else { return Ok(Accepted { outcome: shed }) };
        let entry = match opening.config.sync {
            true => Entry::without_room(&opening),
            false => self.enter(&opening, &payload, Shortage { is_short, sheds: permit.sheds() }).await?,
        };
        let staging = self.stage(&opening, payload, permit, entry)?;
        let wait = staging.wait;
        let (waits, outcome) = match opening.config.sync {
            true => (None, deliver_now(staging).await),
            false => {
                let (placed, full, charge) = self.place(&opening, staging);
                let (waits, outcome) = charge.push_all(placed, opening.config.acknowledge);
                visit.queued.store(true, Relaxed);
                (waits, full.and(outcome))
            }
        };
        let mut outcome = shed.and(outcome);
        if let Some(wait) = waits {
            // The sender of the outcome can only vanish if an ack leaked, which settles as failed before that.
            outcome = outcome.and(wait.await.unwrap_or_else(|_| Outcome::failed(total, Why::new(Kind::Leaked, ""))));
        }
        if !wait.is_zero() {
            // Only its answer is held back: what it took in the queues is at work meanwhile.
            tokio::time::sleep(wait).await;
        }
        answer(outcome, total)
    }

    /// Divides a request when only priority records may enter; or says that memory is short, if that depends on the exporter.
    fn shed(
        &self,
        payload: Payload,
        permit: &mut Permit,
        opening: &Opening,
    ) -> Result<(Option<Payload>, Outcome, bool), Refusal> {
        let (level, kind) = permit.level();
        match level {
            Level::Open => Ok((Some(payload), Outcome::Delivered, false)),
            Level::Full => Err(permit.refuse(kind)),
            Level::Priority if !permit.sheds() => Err(permit.refuse(kind)),
            Level::Priority => {
                let mut outlets = opening.funnels.iter().flat_map(|funnel| &funnel.outlets);
                let is_exempt = |outlet: &Arc<dyn Outgoing>| outlet.blocks() || outlet.is_at_ease(&payload);
                if kind == Kind::SoftLimit && !opening.config.sync && outlets.any(is_exempt) {
                    return Ok((Some(payload), Outcome::Delivered, true));
                }
                let (kept, shed) = self.priority(&payload, &opening.config);
                if shed == 0 {
                    return Ok((Some(payload), Outcome::Delivered, false));
                }
                let why = Why::new(kind, "memory is short: routine records were shed");
                let shed = Outcome::Dropped { records: shed, why };
                let Some(kept) = kept else { return Ok((None, shed, false)) };
                permit.shrink(kept.len());
                permit.set_records(kept.records);
                Ok((Some(kept), shed, false))
            }
        }
    }

    /// The priority part of a request, if there is one, and how many records are not in it.
    fn priority(&self, payload: &Payload, config: &InletConfig) -> (Option<Payload>, u64) {
        let slow = u64::try_from(config.slow_threshold.as_nanos()).unwrap_or(u64::MAX);
        let split = wire::split_priority(self.signal, &payload.body.contiguous(), slow);
        let records = u32::try_from(split.kept).unwrap_or(u32::MAX);
        let kept = split.body.map(|body| Payload { body: body.into(), records, ..payload.clone() });
        (kept, split.shed as u64)
    }

    /// What the stages made, with the room that was taken for it. What only priority records may enter gets only those.
    fn place(&self, opening: &Opening, staging: Staging) -> (Placed, Outcome, Charge) {
        let Staging { routes, charge, full: mut outcome, .. } = staging;
        let mut placed = Placed::new();
        for Route { seats, payload, others } in routes {
            let (mut priority, mut missed, before) = (None, None::<Outcome>, placed.len());
            for Seat { outlet, slot, part, is_urgent } in seats {
                let mut own = part.unwrap_or_else(|| payload.clone());
                if is_urgent {
                    let (kept, shed) = priority.get_or_insert_with(|| self.priority(&payload, &opening.config));
                    let lost = entry::shed_by(&outlet, *shed);
                    missed = Some(missed.take().unwrap_or(Outcome::Delivered).and(lost));
                    let Some(kept) = kept else { continue };
                    own = kept.clone();
                }
                let Some(mut slot) = slot else { continue };
                slot.resize(own.records, own.len());
                placed.push((outlet, own, slot, others.clone()));
            }
            if let Some(missed) = missed {
                if placed.len() > before {
                    others.settle(&missed);
                }
                outcome = outcome.and(missed);
            }
        }
        (placed, outcome, charge)
    }
}

/// A request inside an inlet. If its sender goes away before the answer, what was queued counts as taken in, because it stays and
/// is delivered; what was still waiting for room counts as refused.
struct Visit<'a> {
    inlet: &'a Inlet,
    records: u64,
    queued: AtomicBool,
    answered: AtomicBool,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let stats = &self.inlet.stats;
        match (self.answered.load(Relaxed), self.queued.load(Relaxed)) {
            (true, _) => {}
            (false, true) => {
                stats.accepted.add(self.records);
                stats.requests_accepted.add(1);
            }
            (false, false) => {
                stats.refused.add(Kind::QueueFull, self.records);
                self.inlet.count_refused(Kind::QueueFull);
            }
        }
    }
}

/// One exporter's disk fails: the request is refused for all, so that none of them misses it.
fn disk_trouble(why: Why) -> Refusal {
    Refusal { why, retry_after: Some(DISK_AGAIN) }
}

/// One attempt at each exporter, with no queue between. What stages hold back of the request is waited for.
async fn deliver_now(staging: Staging) -> Outcome {
    let mut outcome = staging.full;
    for Route { seats, payload, others } in staging.routes {
        let mut own = Outcome::Delivered;
        for seat in seats {
            own = own.and(seat.outlet.send_now(payload.clone()).await);
        }
        if own == Outcome::Delivered {
            staging.charge.drained();
        }
        others.settle(&own);
        outcome = outcome.and(own);
    }
    outcome.and(staging.charge.held().await)
}

/// What the sender is told. No more records than it sent are reported, however many exporters missed them.
fn answer(mut outcome: Outcome, total: u64) -> Result<Accepted, Refusal> {
    match &mut outcome {
        Outcome::Delivered => {}
        Outcome::Dropped { records, .. } | Outcome::Rejected { records, .. } => *records = (*records).min(total),
        Outcome::Failed { why, retry_after, .. } => {
            return Err(Refusal { why: why.clone(), retry_after: Some(retry_after.unwrap_or(COME_BACK)) });
        }
    }
    Ok(Accepted { outcome })
}

#[cfg(test)]
mod tests;
