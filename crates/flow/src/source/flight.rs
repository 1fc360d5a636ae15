//! One batch of a source, from the moment it is handed over until it has ended.

use super::feed::{Pulled, Source};
use super::ledger::Span;
use crate::inlet::source::Taken;
use crate::{Budget, Kind, Level, Outcome, Payload, Permit, Refusal, Why, clock};
use std::time::{Duration, Instant};

/// Between two looks at whether memory is short, at least
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
/// and at most.
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// A batch under way: its spans are in flight, its bytes are held. Dropped unfinished it is abandoned: its spans are to
/// be read again.
pub(super) struct Flight {
    source: Source,
    payload: Payload,
    spans: Vec<Span>,
    /// Of the bytes of the payload, for as long as they may have to be handed over again.
    permit: Option<Permit>,
    first: Instant,
    failures: u32,
    is_over: bool,
}

/// How a try to hand something over ended.
enum Tried {
    Taken(Taken),
    /// It has ended, for good.
    Over,
}

impl Flight {
    /// The spans of a batch are in flight from now on.
    pub fn launch(source: &Source, pulled: Pulled) -> Flight {
        let Pulled { payload, spans } = pulled;
        source.positions().with(|ledger| spans.iter().for_each(|span| ledger.hand(span)));
        source.flying(1, payload.len() as u64);
        let source = source.clone();
        Flight { source, payload, spans, permit: None, first: clock::now(), failures: 0, is_over: false }
    }

    /// Hands it over, and waits until it is queued, or has ended. What is taken is to be followed.
    pub async fn admit(mut self) -> Option<(Flight, Taken)> {
        if let Tried::Taken(taken) = self.enter().await {
            return Some((self, taken));
        }
        None
    }

    async fn enter(&mut self) -> Tried {
        if self.permit.is_none() {
            match memory(self.source.budget(), self.payload.len()).await {
                Ok(permit) => self.permit = Some(permit),
                Err(refusal) => {
                    self.drop_for(&refusal.why, u64::from(self.payload.records));
                    return Tried::Over;
                }
            }
        }
        loop {
            // Its bytes are paid for by the flight; what this one holds is what stages make of it.
            let refusal = match self.source.budget().open(None) {
                Ok(permit) => match self.source.inlet().pull(self.payload.clone(), permit).await {
                    Ok(taken) => return Tried::Taken(taken),
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            let records = u64::from(self.payload.records);
            if refusal.retry_after.is_none() {
                self.drop_for(&refusal.why, records);
                return Tried::Over;
            }
            if !self.pause(refusal.why, refusal.retry_after, records).await {
                return Tried::Over;
            }
        }
    }

    /// Waits for what becomes of it, and hands it over again as often as that may help, until everything ends.
    pub async fn follow(mut self, mut taken: Taken) {
        let stop = self.source.stop().clone();
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = taken.outcome() => outcome,
                () = stop.expired() => return,
            };
            let (why, after, records) = match outcome {
                Outcome::Delivered => return self.finish(0),
                Outcome::Dropped { records, why } | Outcome::Rejected { records, why } => {
                    return self.drop_for(&why, records);
                }
                Outcome::Failed { why, retry_after, records } => (why, retry_after, records),
            };
            let again = async {
                match self.pause(why, after, records).await {
                    true => self.enter().await,
                    false => Tried::Over,
                }
            };
            tokio::select! {
                biased;
                _ = stop.requested() => return,
                tried = again => match tried {
                    Tried::Taken(next) => taken = next,
                    Tried::Over => return,
                },
            }
        }
    }

    /// Waits for the next try. Whether there is one: else it was given up.
    async fn pause(&mut self, why: Why, after: Option<Duration>, records: u64) -> bool {
        self.failures = self.failures.saturating_add(1);
        let config = self.source.config();
        let next = config.retry.next(clock::now(), self.first, self.failures, after, fastrand::f64());
        let Some(at) = next else {
            let text = format!("no time left to hand it over again; last failure: {why}");
            self.drop_for(&Why::new(Kind::Expired, text), records.max(1).min(self.payload.records.into()));
            return false;
        };
        self.source.count_repeat(&why, self.payload.records.into());
        clock::sleep_until(Some(at)).await;
        true
    }

    /// So many of its records were dropped for good.
    fn drop_for(&mut self, why: &Why, records: u64) {
        self.source.count_dropped(why, records);
        self.finish(records);
    }

    fn finish(&mut self, lost: u64) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.source.count_delivered(u64::from(self.payload.records), lost);
        self.source.positions().with(|ledger| self.spans.iter().for_each(|span| ledger.settle(span)));
        self.source.landed(1, self.payload.len() as u64);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_over {
            self.source.count_abandoned(self.payload.records.into());
            self.source.positions().with(|ledger| self.spans.iter().for_each(|span| ledger.abandon(span)));
            self.source.landed(1, self.payload.len() as u64);
        }
    }
}

/// Waits until so much may enter that nothing would be shed for it: what is pulled leaves the rest to those who cannot
/// wait.
async fn memory(budget: &Budget, bytes: usize) -> Result<Permit, Refusal> {
    loop {
        let refusal = match budget.level() {
            Level::Open => match budget.open(None).and_then(|mut permit| permit.grow(bytes).map(|()| permit)) {
                Ok(permit) => return Ok(permit),
                Err(refusal) => refusal,
            },
            _ => Refusal { why: Why::new(Kind::SoftLimit, ""), retry_after: Some(budget.retry_delay(bytes as u64)) },
        };
        let Some(delay) = refusal.retry_after else { return Err(refusal) };
        tokio::time::sleep(delay.clamp(SHORTEST_LOOK, LONGEST_LOOK)).await;
    }
}
