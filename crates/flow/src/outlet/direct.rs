//! A send without a queue: one attempt, told as it is.

use crate::exporter::{Attempt, Exporter};
use crate::lane::Context;
use crate::retry::RetryConfig;
use crate::stats::ExporterStats;
use crate::{Kind, Outcome, Payload, Target};
use std::sync::Arc;

/// One attempt without a queue, and what it means for its sender.
pub(super) async fn try_once<E: Exporter>(context: Arc<Context<E>>, target: Target, payload: Payload) -> Outcome {
    let (records, bytes) = (u64::from(payload.records), payload.len() as u64);
    let attempt = context.attempt(&target, payload).await;
    fate(&context.stats, &context.retry, attempt, records, bytes)
}

/// What the one attempt of a direct send means, counted.
pub(super) fn fate(stats: &ExporterStats, retry: &RetryConfig, attempt: Attempt, records: u64, bytes: u64) -> Outcome {
    let outcome = match attempt {
        Attempt::Sent | Attempt::Partial { rejected: 0, .. } => Outcome::Delivered,
        Attempt::Partial { rejected, why } => {
            let rejected = rejected.min(records);
            stats.partial.add(rejected);
            stats.failed.add(Kind::Partial, rejected);
            stats.sent.add(records - rejected);
            stats.requests.add(1);
            stats.bytes.add(bytes);
            return Outcome::Rejected { records: rejected, why };
        }
        Attempt::Retry { after, why, .. } => {
            Outcome::Failed { records, why, retry_after: after.map(|after| retry.told(after)) }
        }
        Attempt::Reject { why } if why.kind == Kind::Exhausted => Outcome::failed(records, why),
        Attempt::Reject { why } => Outcome::Rejected { records, why },
    };
    match &outcome {
        Outcome::Rejected { why, .. } | Outcome::Failed { why, .. } => stats.failed.add(why.kind, records),
        _ => {
            stats.sent.add(records);
            stats.requests.add(1);
            stats.bytes.add(bytes);
        }
    }
    outcome
}
