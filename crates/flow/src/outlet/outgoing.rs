//! An outlet as those see it who do not know its exporter and router: the inlet, the program, the metrics page.

use crate::capacity::Slot;
use crate::dead_letters::LetterBox;
use crate::lane::LaneView;
use crate::spool::SpoolView;
use crate::stats::ExporterStats;
use crate::{Ack, Kind, Outcome, Payload, Why};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Coding;

/// An outlet as an inlet sees it, whatever its exporter and router.
pub trait Outgoing: Send + Sync {
    /// The component id.
    fn name(&self) -> &str;
    /// Whether a sender always waits for this exporter's outcome.
    fn waits(&self) -> bool;
    /// Whether a sender waits for room.
    fn blocks(&self) -> bool;
    /// How it sends on what came compressed, if it can do so without compressing it again.
    fn coding(&self) -> Option<Coding> {
        None
    }
    /// Whether only priority records of this request may enter, because what is free to its target, or the disk, is nearly used up.
    fn is_short(&self, payload: &Payload) -> bool;
    /// Whether its target is known, takes data and holds less than is free: then it is not the reason why memory is short.
    fn is_at_ease(&self, payload: &Payload) -> bool;
    /// Counts records that it did not get, for this reason.
    fn count_missed(&self, kind: Kind, records: u64);
    /// When a sender should come back for whom it had no room.
    fn retry_delay(&self) -> Duration;
    /// Whether it can keep what it takes on disk: [`Outgoing::store`] may be called in place of [`Outgoing::push`].
    fn is_durable(&self) -> bool;
    /// Takes room for the payload, on disk if it is to be stored. Before a sender waits for room it gives back what it has elsewhere.
    ///
    /// # Errors
    /// There is none, or no destination. Not counted: it may be asked for again.
    fn reserve(&self, payload: &Payload, stored: bool) -> Result<Slot, Why> {
        self.reserve_times(payload, stored, 1)
    }
    /// The same for a request that so many pipelines bring: all of its room at once, as one slot.
    ///
    /// # Errors
    /// As above.
    fn reserve_times(&self, payload: &Payload, stored: bool, times: u32) -> Result<Slot, Why>;
    /// Waits for that room, in the order that senders come.
    fn wait<'a>(
        &'a self,
        payload: &Payload,
        stored: bool,
        times: u32,
    ) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>>;
    /// Keeps it on disk until it is delivered. Never waits: `told` is settled once it is there, `held` once its memory is free.
    fn store(&self, payload: Payload, slot: Slot, told: Ack, held: Ack);
    /// Enqueues. Never waits. What found its lane full is settled as dropped and given as the outcome.
    fn push(&self, payload: Payload, slot: Slot, ack: Ack, waits: bool) -> Outcome;
    /// One attempt, with no queue.
    fn send_now(&self, payload: Payload) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
    /// What it could not deliver, if that is kept.
    fn letters(&self) -> Option<Arc<dyn LetterBox>> {
        None
    }
    /// What it holds and has counted.
    fn view(&self) -> OutletView;
    /// Takes over what is on disk from whichever outlet had it, if it has storage. Must be called within a runtime.
    fn take_over(self: Arc<Self>) {}
    /// Ends all lanes: what they hold is sent until the deadline, the rest is settled as failed.
    fn close(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A look at an outlet, for metrics and the health check.
#[derive(Clone, Debug)]
pub struct OutletView {
    /// In units of its sizer.
    pub queue_size: u64,
    /// In units of its sizer.
    pub queue_capacity: u64,
    /// Bytes it holds.
    pub bytes: u64,
    /// Its lanes.
    pub lanes: Vec<LaneView>,
    /// How many credentials, endpoints and accounts that lanes share do not pass now, in the order of
    /// [`Scope::SHARED`](crate::Scope::SHARED).
    pub halted_scopes: [u64; 3],
    /// Its counters.
    pub stats: Arc<ExporterStats>,
    /// What it keeps on disk, if it does.
    pub spool: Option<SpoolView>,
}
