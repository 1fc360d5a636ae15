//! Which records enter when there is room for few: errors and slow traces.
//!
//! A log record has priority when its severity is an error or worse. For traces the unit is all spans of one trace id within
//! the request, so that no trace is torn: it has priority when any of its spans has status ERROR or lasted at least the
//! threshold; a span without trace id is a unit of its own. Metrics have none: the next scrape brings them again.

use crate::index::{Index, Record};
use crate::key::{severity, span_head};
use crate::signal::Signal;
use crate::split::{Assembly, Part};
use bytes::Bytes;
use std::collections::HashSet;

/// A request divided by priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The request of the priority records; `None` when there are none, the request itself when there are no others.
    pub body: Option<Bytes>,
    /// How many records it holds.
    pub kept: usize,
    /// How many records are left out.
    pub shed: usize,
}

/// Takes the priority records out of a request. `slow_threshold_nanos` is the duration from which a span is slow.
///
/// Bytes that `check` would refuse are shed whole, with a count of 0: it cannot be known what they hold.
pub fn split_priority(signal: Signal, body: &Bytes, slow_threshold_nanos: u64) -> Priority {
    let mut index = Index::new();
    if index.build(signal, body).is_err() {
        return Priority { body: None, kept: 0, shed: 0 };
    }
    let total = index.record_count();
    let mut assembly = Assembly::default();
    assembly.begin(1);
    let mut kept = 0;
    let mut keep = |yes: bool| match yes {
        true => {
            kept += 1;
            assembly.assign(0);
        }
        false => assembly.leave_out(),
    };
    match signal {
        Signal::Logs => index.records(body).for_each(|record| keep(severity(record.bytes()).is_error())),
        Signal::Traces => each_span(index.records(body), slow_threshold_nanos, keep),
        Signal::Metrics => {}
    }
    if kept == 0 {
        return Priority { body: None, kept, shed: total };
    }
    let mut parts = Vec::with_capacity(1);
    assembly.finish(&index, body, &mut parts);
    let body = parts.pop().map(|part: Part| part.body);
    Priority { body, kept, shed: total - kept }
}

fn each_span<'a>(spans: impl Iterator<Item = Record<'a>>, slow: u64, mut keep: impl FnMut(bool)) {
    let mut with_priority: HashSet<&[u8], foldhash::fast::RandomState> = HashSet::default();
    let spans: Vec<(&[u8], bool)> = spans
        .map(|span| {
            let head = span_head(span.bytes());
            let priority = head.is_error() || head.duration() >= slow;
            if priority && !head.trace_id.is_empty() {
                with_priority.insert(head.trace_id);
            }
            (head.trace_id, priority)
        })
        .collect();
    spans.into_iter().for_each(|(trace_id, priority)| keep(priority || with_priority.contains(trace_id)));
}

#[cfg(test)]
mod tests;
