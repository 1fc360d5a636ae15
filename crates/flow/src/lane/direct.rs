//! A lane without a queue: every sender waits for its own request, and nothing outlives its sender.
//!
//! Invariants: a request whose sender has gone is not sent any more; where nothing is retried either, a sender is told at once that
//! the target is halted, and for how long, instead of waiting out its deadline.

use super::worker::Worker;
use crate::batcher::Request;
use crate::exporter::Exporter;
use crate::{Kind, Why};
use std::time::{Duration, Instant};

/// What is said while a probe is out: its answer is not far.
const SOON: Duration = Duration::from_secs(1);

impl<E: Exporter> Worker<E> {
    /// Whether all who wait for a request have gone.
    pub(super) fn is_abandoned(&self, request: &Request) -> bool {
        let parts = &request.parts;
        self.context.is_direct && !parts.is_empty() && parts.iter().all(|part| part.batch.ack.is_abandoned())
    }

    /// Whether senders are told while the target is halted.
    pub(super) fn turns_away(&self) -> bool {
        self.context.is_direct && !self.context.retry.enabled
    }

    /// Nothing may be sent before `until` (or before a probe has its answer): tells everyone who waits.
    pub(super) fn turn_away(&mut self, now: Instant, until: Option<Instant>) {
        if !self.turns_away() {
            return;
        }
        let rest = until.map_or(SOON, |until| until.saturating_duration_since(now));
        while let Some(request) = self.ready.pop_front().or_else(|| self.batcher.take()) {
            let why = Why::new(Kind::Unavailable, "the destination failed and is left alone for a while");
            self.fail_after(request, why, Some(rest));
        }
    }
}
