//! How what was pulled enters: it waits for room everywhere, and always for delivery.
//!
//! The way is that of any request ([`super`]), with exporters that are *patient*: each blocks when it is full, or knows
//! no destination, and is waited for, whatever its configuration says of senders who push. Nothing is shed. Success
//! means delivered, or on disk where an exporter has storage (unless `acknowledge` asks for delivery there too): a
//! source's position is a promise, so it never rests on a queue in memory.
//!
//! What a lane turns away after all, because it filled up between, counts as failed: it is pulled, so it can be handed
//! over again.

use super::{Acknowledge, COME_BACK, Funnel, Inlet, InletConfig, Opening, deliver_now};
use crate::budget::{Permit, Refusal};
use crate::capacity::Slot;
use crate::dead_letters::LetterBox;
use crate::inlet::entry::{Entry, Shortage};
use crate::outlet::{Outgoing, OutletView};
use crate::{Ack, Kind, Outcome, Payload, Why};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wire::Coding;

/// What was taken in, until its outcome is known.
pub(crate) struct Taken {
    known: Outcome,
    wait: Option<oneshot::Receiver<Outcome>>,
    turned: Turned,
}

/// Why a lane turned something away after its exporter had given room.
type Turned = Arc<Mutex<Option<Why>>>;

impl Taken {
    /// What became of it: `Failed` if any exporter misses records that may be handed over again.
    pub async fn outcome(self) -> Outcome {
        let mut outcome = self.known;
        if let Some(wait) = self.wait {
            // The sender of the outcome can only vanish if an ack leaked, which settles as failed before that.
            outcome = outcome.and(wait.await.unwrap_or_else(|_| Outcome::failed(0, Why::new(Kind::Leaked, ""))));
        }
        match (self.turned.lock().take(), outcome) {
            (Some(why), outcome) => outcome.and(Outcome::failed(0, why)),
            (None, Outcome::Dropped { records, why }) if is_passing(why.kind) => Outcome::failed(records, why),
            (None, outcome) => outcome,
        }
    }
}

/// Whether a reason to miss something passes by itself.
fn is_passing(kind: Kind) -> bool {
    use Kind::{HardLimit, LaneFull, LaneLimit, NoTarget, QueueFull, SoftLimit, Stopping, TenantShare, Throttled};
    matches!(
        kind,
        SoftLimit | HardLimit | TenantShare | QueueFull | LaneFull | LaneLimit | NoTarget | Stopping | Throttled
    )
}

impl Inlet {
    /// Takes in what was pulled. Ends once it is queued everywhere: until then it waits, and whoever drops the future
    /// takes nothing back that was queued, because there is no wait after that, but for what a stage asks of its
    /// source.
    ///
    /// # Errors
    /// Nothing was taken. Without a delay it never will be.
    pub(crate) async fn pull(&self, payload: Payload, mut permit: Permit) -> Result<Taken, Refusal> {
        let turned = Turned::default();
        let opening = patient(&self.opening.load(), &turned);
        if payload.records == 0 {
            return Ok(Taken { known: Outcome::Delivered, wait: None, turned });
        }
        if opening.funnels.is_empty() {
            let why = Why::new(Kind::NoTarget, "no pipeline takes this signal any more");
            return Err(Refusal { why, retry_after: Some(COME_BACK) });
        }
        self.unpaused(&opening).await;
        permit.set_records(payload.records);
        let nothing_is_shed = Shortage { is_short: false, sheds: false };
        let entry = match opening.config.sync {
            true => Entry::without_room(&opening),
            false => self.enter(&opening, &payload, nothing_is_shed).await?,
        };
        match &entry.missed {
            // All or nothing: it is not queued anywhere yet.
            Outcome::Dropped { why, .. } if is_passing(why.kind) => {
                return Err(Refusal { why: why.clone(), retry_after: Some(COME_BACK) });
            }
            _ => {}
        }
        let staging = self.stage(&opening, payload, permit, entry)?;
        let pause = staging.wait;
        let (known, wait) = match opening.config.sync {
            true => (deliver_now(staging).await, None),
            false => {
                let (placed, full, charge) = self.place(&opening, staging);
                let (wait, lost) = charge.push_all(placed, opening.config.acknowledge);
                (full.and(lost), wait)
            }
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(Taken { known, wait, turned })
    }

    /// Counts the end of what was pulled: of so many records so many were lost for good.
    pub(crate) fn count_pulled(&self, records: u64, lost: u64) {
        self.stats.accepted.add(records.saturating_sub(lost));
        self.stats.requests_accepted.add(1);
        self.stats.failed.add(lost);
    }

    /// Waits while a stage holds this source back.
    async fn unpaused(&self, opening: &Opening) {
        let staged = || opening.funnels.iter().filter(|funnel| !funnel.stages.is_empty());
        while let Some(left) = staged().filter_map(|funnel| self.pauses.left(&funnel.name)).max() {
            tokio::time::sleep(left).await;
        }
    }
}

/// The same pipelines with patient exporters. One exporter stays one, whichever pipelines end in it.
fn patient(opening: &Opening, turned: &Turned) -> Opening {
    let mut known: Vec<(Arc<dyn Outgoing>, Arc<dyn Outgoing>)> = vec![];
    let mut of = |outlet: &Arc<dyn Outgoing>| {
        if let Some((_, patient)) = known.iter().find(|(inner, _)| Arc::ptr_eq(inner, outlet)) {
            return patient.clone();
        }
        let patient: Arc<dyn Outgoing> = Arc::new(Patient { inner: outlet.clone(), turned: turned.clone() });
        known.push((outlet.clone(), patient.clone()));
        patient
    };
    let funnels = opening.funnels.iter().map(|funnel| Funnel {
        name: funnel.name.clone(),
        stages: funnel.stages.clone(),
        outlets: funnel.outlets.iter().map(&mut of).collect(),
    });
    let acknowledge = match opening.config.acknowledge {
        Acknowledge::Queued | Acknowledge::Durable => Acknowledge::Durable,
        Acknowledge::Delivered => Acknowledge::Delivered,
    };
    Opening { funnels: funnels.collect(), config: InletConfig { acknowledge, ..opening.config.clone() } }
}

/// An exporter that is waited for, and whose answer is waited for.
struct Patient {
    inner: Arc<dyn Outgoing>,
    turned: Turned,
}

impl Outgoing for Patient {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn waits(&self) -> bool {
        true
    }

    fn blocks(&self) -> bool {
        true
    }

    fn coding(&self) -> Option<Coding> {
        self.inner.coding()
    }

    fn is_short(&self, _payload: &Payload) -> bool {
        false
    }

    fn is_at_ease(&self, _payload: &Payload) -> bool {
        true
    }

    fn count_missed(&self, kind: Kind, records: u64) {
        self.inner.count_missed(kind, records);
    }

    fn retry_delay(&self) -> Duration {
        self.inner.retry_delay()
    }

    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    /// Whatever passes is waited for, as room is. A disk that fails is told: the request is handed over again.
    fn reserve_times(&self, payload: &Payload, stored: bool, times: u32) -> Result<Slot, Why> {
        self.inner.reserve_times(payload, stored, times).map_err(|why| match is_passing(why.kind) {
            true => Why::new(Kind::QueueFull, why.text),
            false => why,
        })
    }

    fn wait<'a>(
        &'a self,
        payload: &Payload,
        stored: bool,
        times: u32,
    ) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>> {
        self.inner.wait(payload, stored, times)
    }

    fn store(&self, payload: Payload, slot: Slot, told: Ack, held: Ack) {
        self.inner.store(payload, slot, told, held);
    }

    fn push(&self, payload: Payload, slot: Slot, ack: Ack, waits: bool) -> Outcome {
        let outcome = self.inner.push(payload, slot, ack, waits);
        if let Outcome::Dropped { why, .. } = &outcome
            && is_passing(why.kind)
        {
            *self.turned.lock() = Some(why.clone());
        }
        outcome
    }

    fn send_now(&self, payload: Payload) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        self.inner.send_now(payload)
    }

    fn letters(&self) -> Option<Arc<dyn LetterBox>> {
        self.inner.letters()
    }

    fn view(&self) -> OutletView {
        self.inner.view()
    }

    fn close(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.close(deadline)
    }
}
