//! A request and its stages: what they make of it for each pipeline, who else has records in it by then, and what it costs.
//!
//! Stages have effects (they count, they limit, they hold lines back), so they run once, and only when an exporter behind them has
//! given room for the request: one that is refused and sent again is not counted twice. Where a stage may hold records back the request's permit
//! and duty are shared with it from here on; everywhere else nothing is added to the plain way.

use super::entry::{Entry, Seats};
use super::{Acknowledge, Funnel, Inlet, Opening, Placed};
use crate::budget::{Permit, Refusal};
use crate::outlet::Outgoing;
use crate::stage::{Hold, Staged, settle_all};
use crate::{Ack, Kind, Outcome, Payload, Why, clock};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wire::Chunks;

/// How long a request waits inside for a stage that holds its source back. Beyond that its source is asked to come back.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a pipeline made of a request, and which of its exporters may get it.
pub(super) struct Route {
    pub seats: Seats,
    pub payload: Payload,
    /// Earlier requests that have records in it.
    pub others: Others,
}

/// A request behind its stages.
pub(super) struct Staging {
    pub routes: SmallVec<[Route; 1]>,
    pub charge: Charge,
    /// What exporters miss that had no room, or whose pipeline is paused.
    pub full: Outcome,
    /// How long its answer is to be held back.
    pub wait: Duration,
}

impl Inlet {
    /// Runs the stages of every pipeline that has room somewhere.
    pub(super) fn stage(
        &self,
        opening: &Opening,
        payload: Payload,
        permit: Permit,
        entry: Entry,
    ) -> Result<Staging, Refusal> {
        let Entry { seats, missed: full } = entry;
        let is_staged = |funnel: &Funnel| !funnel.stages.is_empty();
        let placed = opening.funnels.iter().zip(seats).filter(|(_, seats)| !seats.is_empty());
        if !opening.funnels.iter().any(is_staged) {
            let route = |(_, seats)| Route { seats, payload: payload.clone(), others: Others::default() };
            let routes = placed.map(route).collect();
            return Ok(Staging { routes, charge: Charge::Own(permit), full, wait: Duration::ZERO });
        }
        let bytes = usize::try_from(permit.bytes()).unwrap_or(usize::MAX);
        let charge = if opening.funnels.iter().any(Funnel::holds) {
            Charge::shared(permit, opening)
        } else {
            Charge::Own(permit)
        };
        let mut staging = Staging { routes: SmallVec::new(), charge, full, wait: Duration::ZERO };
        for (funnel, seats) in placed {
            self.run(funnel, seats, &payload, &mut staging);
        }
        staging.charge(&payload, bytes)?;
        Ok(staging)
    }

    fn run(&self, funnel: &Funnel, seats: Seats, payload: &Payload, staging: &mut Staging) {
        let own = if funnel.holds() { staging.charge.hold().cloned() } else { None };
        let mut staged = Staged::new(payload.clone(), own.iter().cloned().collect());
        for stage in &funnel.stages {
            stage.apply(&mut staged);
            if staged.payload.records == 0 {
                break;
            }
        }
        if staged.wait > PATIENCE {
            self.pauses.set(&funnel.name, clock::now() + (staged.wait - PATIENCE));
        }
        staging.wait = staging.wait.max(staged.wait.min(PATIENCE));
        if staged.payload.records == 0 {
            return;
        }
        staged.holds.retain(|hold| !own.as_ref().is_some_and(|own| own.is_same(hold)));
        staging.routes.push(Route { seats, payload: staged.payload, others: Others::new(staged.holds) });
    }
}

impl Staging {
    /// Charges for what the stages made. A request that is too large for that by now is refused, unless others have records in it:
    /// those are charged to their own requests, and must not be lost for this one.
    fn charge(&mut self, payload: &Payload, bytes: usize) -> Result<(), Refusal> {
        let made: usize =
            self.routes.iter().filter(|r| !is_same(&r.payload.body, &payload.body)).map(|r| r.payload.len()).sum();
        let is_needed =
            self.charge.hold().is_some() || self.routes.iter().any(|r| is_same(&r.payload.body, &payload.body));
        let wanted = (bytes + made).saturating_sub(if is_needed { 0 } else { payload.len() });
        if let Err(refusal) = self.charge.resize(wanted)
            && self.routes.iter().all(|route| route.others.0.is_none())
        {
            return Err(refusal);
        }
        Ok(())
    }
}

/// Whether both are the very same bytes.
fn is_same(a: &Chunks, b: &Chunks) -> bool {
    a.count() == b.count() && a.iter().zip(b.iter()).all(|(a, b)| (a.as_ptr(), a.len()) == (b.as_ptr(), b.len()))
}

impl Funnel {
    fn holds(&self) -> bool {
        self.stages.iter().any(|stage| stage.holds())
    }
}

/// Whether an exporter keeps a request on disk. Where the answer waits for the destination there is no need: what is not delivered
/// is not acknowledged.
pub(crate) fn is_stored(outlet: &Arc<dyn Outgoing>, acknowledge: Acknowledge) -> bool {
    outlet.is_durable() && acknowledge != Acknowledge::Delivered
}

/// Whether a sender waits for what becomes of a request at an exporter: that it is on disk there, or that it is delivered.
fn waits(outlet: &Arc<dyn Outgoing>, acknowledge: Acknowledge) -> bool {
    match is_stored(outlet, acknowledge) {
        true => acknowledge == Acknowledge::Durable,
        false => acknowledge == Acknowledge::Delivered || outlet.waits(),
    }
}

/// A request's memory and the duty to answer it.
pub(super) enum Charge {
    /// It is this call's alone.
    Own(Permit),
    /// Stages may hold parts of it beyond this call.
    Shared {
        permit: Arc<Mutex<Permit>>,
        /// Keeps the permit.
        root: Hold,
        /// What the sender waits for, if it waits.
        watched: Option<(Hold, oneshot::Receiver<Outcome>)>,
    },
}

impl Charge {
    fn shared(permit: Permit, opening: &Opening) -> Charge {
        let permit = Arc::new(Mutex::new(permit));
        let kept = permit.clone();
        let root = Hold::new(Ack::calling(None, move |_| drop(kept)));
        let mut outlets = opening.funnels.iter().flat_map(|f| &f.outlets);
        let waits = opening.config.sync || outlets.any(|outlet| waits(outlet, opening.config.acknowledge));
        let watched = waits.then(|| {
            let (ack, outcome) = root.fork().watch();
            (Hold::new(ack), outcome)
        });
        Charge::Shared { permit, root, watched }
    }

    /// What a stage must keep of the request while it holds records of it.
    fn hold(&self) -> Option<&Hold> {
        match self {
            Charge::Own(_) => None,
            Charge::Shared { watched: Some((hold, _)), .. } | Charge::Shared { root: hold, .. } => Some(hold),
        }
    }

    /// What it holds has left towards a destination without having been in a queue.
    pub fn drained(&self) {
        self.with(Permit::drained);
    }

    fn with<T>(&self, ask: impl FnOnce(&Permit) -> T) -> T {
        match self {
            Charge::Own(permit) => ask(permit),
            Charge::Shared { permit, .. } => ask(&permit.lock()),
        }
    }

    fn resize(&mut self, bytes: usize) -> Result<(), Refusal> {
        let resize = |permit: &mut Permit| match bytes.checked_sub(usize::try_from(permit.bytes()).unwrap_or(0)) {
            Some(more) => permit.grow(more),
            None => {
                permit.shrink(bytes);
                Ok(())
            }
        };
        match self {
            Charge::Own(permit) => resize(permit),
            Charge::Shared { permit, .. } => resize(&mut permit.lock()),
        }
    }

    /// Waits until nothing of the request is held back any more.
    pub async fn held(self) -> Outcome {
        match self {
            Charge::Own(_) | Charge::Shared { watched: None, .. } => Outcome::Delivered,
            Charge::Shared { watched: Some((hold, outcome)), root, .. } => {
                drop((hold, root));
                outcome.await.unwrap_or(Outcome::Delivered)
            }
        }
    }

    /// Enqueues, and gives what the sender has to wait for and what found its lane full.
    pub fn push_all(self, placed: Placed, acknowledge: Acknowledge) -> (Option<oneshot::Receiver<Outcome>>, Outcome) {
        let (root, watched, receiver) = match self {
            Charge::Own(permit) => {
                let root = Ack::unwatched(Some(permit));
                let watched = placed.iter().any(|(o, ..)| waits(o, acknowledge)).then(|| root.fork().watch());
                let (watched, receiver) = watched.unzip();
                (root, watched, receiver)
            }
            Charge::Shared { root, watched, .. } => {
                let (watched, receiver) = watched.unzip();
                (root.fork(), watched.map(|hold| hold.fork()), receiver)
            }
        };
        let mut shed = Outcome::Delivered;
        for (outlet, payload, slot, others) in placed {
            let wait = waits(&outlet, acknowledge);
            let own = match &watched {
                Some(watched) if wait => watched.fork(),
                _ => root.fork(),
            };
            if is_stored(&outlet, acknowledge) {
                outlet.store(payload, slot, others.join(own), root.fork());
                continue;
            }
            let lost = outlet.push(payload, slot, others.join(own), wait);
            // A sender that waits hears of it through the ack.
            if !wait {
                shed = shed.and(lost);
            }
        }
        if let Some(watched) = watched {
            watched.settle(Outcome::Delivered);
        }
        root.settle(Outcome::Delivered);
        (receiver, shed)
    }
}

/// Earlier requests that have records in a payload. If nobody tells them what became of it, because the request that the payload
/// belongs to was refused or left by its sender, they hear that it failed.
#[derive(Clone, Default)]
pub(super) struct Others(Option<Arc<Told>>);

struct Told {
    holds: Vec<Hold>,
    told: AtomicBool,
}

impl Others {
    fn new(holds: Vec<Hold>) -> Others {
        Others((!holds.is_empty()).then(|| Arc::new(Told { holds, told: AtomicBool::new(false) })))
    }

    fn told(&self) -> &[Hold] {
        let Some(told) = &self.0 else { return &[] };
        told.told.store(true, Relaxed);
        &told.holds
    }

    /// Tells them.
    pub fn settle(&self, outcome: &Outcome) {
        settle_all(self.told(), outcome);
    }

    /// One duty in place of `own` and those to them.
    fn join(&self, own: Ack) -> Ack {
        match self.told() {
            [] => own,
            others => Ack::join(std::iter::once(own).chain(others.iter().map(Hold::fork)).collect()),
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !*self.told.get_mut() {
            let why = Why::new(Kind::Other, "the request that carried it was refused");
            settle_all(&self.holds, &Outcome::failed(0, why));
        }
    }
}

/// Pipelines that hold a source back, until when.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    any: AtomicBool,
    until: Mutex<Vec<(String, Instant)>>,
}

impl Pauses {
    fn set(&self, funnel: &str, until: Instant) {
        let mut all = self.until.lock();
        match all.iter_mut().find(|(name, _)| name == funnel) {
            Some((_, known)) => *known = until.max(*known),
            None => all.push((funnel.to_owned(), until)),
        }
        self.any.store(true, Relaxed);
    }

    /// How much longer a pipeline holds this source back.
    pub(super) fn left(&self, funnel: &str) -> Option<Duration> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let now = clock::now();
        let mut all = self.until.lock();
        all.retain(|(_, until)| *until > now);
        self.any.store(!all.is_empty(), Relaxed);
        all.iter().find(|(name, _)| name == funnel).map(|(_, until)| until.saturating_duration_since(now))
    }
}
