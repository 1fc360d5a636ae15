//! Open calls: what each is charged from its head on, and who is sent away when those that are not finished hold too
//! much.
//!
//! The [`Permit`] of a request is opened when its head has come, and pays for the call until that is answered. While its body is on its
//! way a call is *half open*, and stands in a line with what it holds. When memory is short and half-open calls hold more than a quarter of it, the oldest are
//! refused with a delay until they hold less: so a sender that finishes what it begins gets in, however many others do
//! not.
//!
//! Invariants: whoever stands in the line is in it once; who leaves takes out what it put in.
//! It reads nothing and answers nobody.

use flow::{Budget, Kind, Level, Permit, Refusal};
use http::HeaderMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// What an open call takes beside its headers: its task or its place in that of the connection, its stream, its answer.
pub const CALL: u64 = 6 << 10;
/// What a header takes beside its value: its place in the map, with the part of the map that is empty, and its name.
const HEADER: u64 = 128;
/// Half-open calls hold one part of so many at most when memory is short.
const PART: u64 = 4;

/// What a call with this head is charged.
#[must_use]
pub fn cost(head: &HeaderMap) -> u64 {
    let values: usize = head.values().map(|value| value.len()).sum();
    CALL + head.capacity().max(head.len()) as u64 * HEADER + values as u64
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    budget: Budget,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    bytes: u64,
}

struct Waiting {
    bytes: u64,
    end: Arc<Notify>,
}

impl Line {
    fn leave(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        self.bytes -= waiting.bytes;
        Some(waiting)
    }
}

/// How many calls of one connection are half open.
#[derive(Clone, Debug, Default)]
pub struct HalfOpen(Arc<AtomicUsize>);

impl HalfOpen {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Why there is no next piece of a body.
pub enum NoPiece {
    /// It did not come in time.
    Late,
    /// The call has to make room.
    Refused(Refusal),
}

/// Most bodies come right behind their heads. Only those that have not come for so long are counted as half open.
const SOON: Duration = Duration::from_millis(5);

/// A call from its head to its answer.
pub struct OpenCall {
    calls: Calls,
    place: Option<(u64, Arc<Notify>)>,
    half_open: HalfOpen,
}

impl Calls {
    /// Calls that are paid for out of this budget.
    #[must_use]
    pub fn new(budget: Budget) -> Calls {
        Calls(Arc::new(Inner { budget, line: Mutex::default() }))
    }

    /// Lets a call in whose head has come, and counts it among those of its connection while it is half open. The permit is the
    /// request's, and pays for the call.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn open(&self, head: &HeaderMap, half_open: &HalfOpen) -> Result<(OpenCall, Permit), Refusal> {
        let permit = self.0.budget.open_call(cost(head)).inspect_err(|_| self.make_room())?;
        Ok((OpenCall { calls: self.clone(), place: None, half_open: half_open.clone() }, permit))
    }

    /// Sends the oldest half-open calls away until what they hold is within bounds.
    fn make_room(&self) {
        let most = self.0.budget.room() / PART;
        let mut line = self.0.line.lock();
        while line.bytes > most {
            let Some(oldest) = line.waiting.first_key_value().map(|(number, _)| *number) else { return };
            if let Some(waiting) = line.leave(oldest) {
                waiting.end.notify_one();
            }
        }
    }
}

impl OpenCall {
    /// Its body is not there yet; `permit` holds what has come. Stands in the line until [`OpenCall::has_arrived`].
    pub fn waits(&mut self, permit: &Permit) {
        let bytes = permit.total();
        {
            let mut line = self.calls.0.line.lock();
            let line = &mut *line;
            let number = match &self.place {
                Some((number, _)) => *number,
                None => {
                    let (number, end) = (line.next, Arc::new(Notify::new()));
                    line.next += 1;
                    line.waiting.insert(number, Waiting { bytes: 0, end: end.clone() });
                    self.place = Some((number, end));
                    self.half_open.0.fetch_add(1, Relaxed);
                    number
                }
            };
            // Whoever was sent away meanwhile is not there any more.
            if let Some(waiting) = line.waiting.get_mut(&number) {
                line.bytes = line.bytes - waiting.bytes + bytes;
                waiting.bytes = bytes;
            }
        }
        if self.calls.0.budget.level() > Level::Open {
            self.calls.make_room();
        }
    }

    /// The next piece of its body, waited for until then. Most bodies come right behind their heads: it is counted as half open, and may
    /// have to go, only from [`SOON`] after it `begun` to wait on; `waits` is told so.
    ///
    /// # Errors
    /// See [`NoPiece`].
    pub async fn piece<T>(
        &mut self,
        (begun, until): (Instant, Instant),
        permit: &Permit,
        waits: impl FnOnce(),
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, NoPiece> {
        if let Ok(piece) = timeout_at(until.min(begun + SOON), poll_fn(&mut poll)).await {
            return Ok(piece);
        }
        self.waits(permit);
        waits();
        tokio::select! {
            piece = timeout_at(until, poll_fn(&mut poll)) => piece.map_err(|_| NoPiece::Late),
            () = self.is_sent_away() => Err(NoPiece::Refused(permit.refuse(Kind::HardLimit))),
        }
    }

    /// Ends when it has to go. Only after [`OpenCall::waits`].
    pub async fn is_sent_away(&self) {
        match &self.place {
            Some((_, end)) => end.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Its body is there. Whether it was waited for.
    pub fn has_arrived(&mut self) -> bool {
        let place = self.place.take();
        if let Some((number, _)) = &place {
            self.half_open.0.fetch_sub(1, Relaxed);
            self.calls.0.line.lock().leave(*number);
        }
        place.is_some()
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.has_arrived();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{BudgetConfig, Kind};
    use http::HeaderValue;

    /// Scenario: an empty head, and one with large values. Guarantee: the values are in the charge.
    #[test]
    fn a_head_is_charged_with_its_values() {
        let mut head = HeaderMap::new();
        assert_eq!(cost(&head), CALL);
        head.insert("x-a", HeaderValue::from_str(&"x".repeat(5000)).unwrap());
        assert!((CALL + 5000 + HEADER..CALL + 5000 + 8 * HEADER).contains(&cost(&head)), "{}", cost(&head));
    }

    /// Scenario: half-open calls fill the budget, and a whole one comes. Guarantee: it is refused once, the oldest are
    /// sent away until a quarter is left to them, and the next one gets in; what they held is given back.
    #[tokio::test]
    async fn the_oldest_are_sent_away() {
        let budget = Budget::new(BudgetConfig { bytes: 100 * CALL, request_cost: 0, ..BudgetConfig::default() });
        let (calls, head, count) = (Calls::new(budget.clone()), HeaderMap::new(), HalfOpen::default());
        let mut open: Vec<_> = std::iter::from_fn(|| calls.open(&head, &count).ok()).collect();
        assert_eq!((open.len(), budget.call_bytes()), (100, 100 * CALL));
        // Those came before anybody waited: the refusal had nobody to send away.
        open.iter_mut().for_each(|(call, permit)| call.waits(permit));
        assert_eq!(calls.open(&head, &count).err().map(|refusal| refusal.why.kind), Some(Kind::HardLimit));
        let held = |line: &Line| (line.waiting.len(), line.bytes);
        assert_eq!((held(&calls.0.line.lock()), count.count()), ((25, 25 * CALL), 100));
        for (i, (call, _)) in open.iter().enumerate() {
            let told = tokio::select! {
                biased;
                () = call.is_sent_away() => true,
                () = std::future::ready(()) => false,
            };
            assert_eq!(told, i < 75, "{i}");
        }
        open.drain(..75);
        assert!(calls.open(&head, &count).is_ok());
        drop(open);
        assert_eq!((budget.bytes(), calls.0.line.lock().bytes, count.count()), (0, 0, 0));
    }
}
