//! Which refused requests are tried again in parts, beside those that are too large.
//!
//! Invariants: a search for bad records is bounded (see [`Search`]); an answer that may be about the size or about a shortage never
//! costs data before `max_elapsed_time`.

use super::worker::{Flight, Worker};
use crate::batcher::Request;
use crate::exporter::{Attempt, Exporter, Scope};
use crate::{Kind, clock};
use std::time::Instant;
use tokio::task::Id;

/// A message of at most so many bytes is not too large for anybody: a refusal is about a shortage.
const SMALL: u64 = 64 << 10;

impl<E: Exporter> Worker<E> {
    /// A request was refused for what may be one bad record. Whether to look for it among the records.
    pub(super) fn search_goes_on(&mut self, request: &mut Request) -> bool {
        // Dividing what was merged costs nobody's data and needs no bound but the number of its parts.
        if request.parts.len() > 1 || request.stored.len() > 1 || request.payload.records < 2 {
            return false;
        }
        let search = request.search.get_or_insert_default();
        let goes_on = search.refused(self.in_vain);
        if !goes_on && search.ends_in_vain() {
            self.in_vain = self.in_vain.saturating_add(1);
        }
        goes_on
    }

    /// The target took a request, or a piece of one.
    pub(super) fn found_good(&mut self, request: &Request) {
        self.in_vain = 0;
        if let Some(search) = &request.search {
            search.taken();
        }
    }

    /// A refusal for want of room that does not say of what ([`Kind::Exhausted`]). While the request may be too large it is divided at once,
    /// the first half first. What is small meets a shortage, and is tried again later; should that be wrong, in halves. Gives
    /// every other answer back.
    pub(super) fn size_or_shortage(&mut self, now: Instant, id: Id, attempt: Attempt, bytes: u64) -> Option<Attempt> {
        let why = match attempt {
            Attempt::Reject { why } if why.kind == Kind::Exhausted => why,
            other => return Some(other),
        };
        let retry = Attempt::Retry { after: None, why: why.clone(), scope: Scope::Target };
        let is_large = bytes > SMALL;
        if !is_large && self.flights.get(&id)?.request.failures == 0 {
            return Some(retry);
        }
        let Flight { request, probe, probes } = self.flights.remove(&id)?;
        let parts = match self.divide(request, true) {
            Ok(parts) => parts,
            Err(request) => {
                self.flights.insert(id, Flight { request, probe, probes });
                return Some(retry);
            }
        };
        self.context.stats.divided.add(1);
        if is_large {
            // It says nothing about the target's health: what was probed is for the next to probe.
            self.breaker.unprobe(now);
            drop(probes);
            self.context.stats.waiting.add(parts.len() as u64);
            parts.into_iter().rev().for_each(|part| self.retries.push_front((now, part)));
        } else {
            self.judge(now, &retry, probes);
            parts.into_iter().for_each(|part| self.retry(now, part, None, why.clone()));
        }
        self.idle_since = clock::now();
        None
    }
}
