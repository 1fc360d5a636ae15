//! What an exporter must do: one attempt, and nothing else.
//!
//! Queueing, batching, retrying, halting, timing out and counting are the lane's. An exporter turns one request into one answer.

use crate::{Payload, Target, Why};
use std::future::Future;
use std::time::{Duration, Instant};

/// How far a failure reaches: everything in that scope is halted together, instead of starting as many retry storms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This one target.
    Target,
    /// The credential that all of the exporter's targets share.
    Credential,
    /// The endpoint that they share.
    Endpoint,
    /// The account that they share.
    Account,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The destination took all of it.
    Sent,
    /// The destination took the request but refused some records for good. By the OTLP specification it must not be sent again.
    Partial {
        /// Records refused; 0 is a warning.
        rejected: u64,
        /// What it said.
        why: Why,
    },
    /// Not taken; trying again may help.
    Retry {
        /// The delay the destination asked for.
        after: Option<Duration>,
        /// What went wrong.
        why: Why,
        /// How far that reaches.
        scope: Scope,
    },
    /// Refused for good.
    Reject {
        /// What it said.
        why: Why,
    },
}

/// A kind of destination.
pub trait Exporter: Send + Sync + 'static {
    /// Makes one attempt to deliver `request` to `target`. The lane drops the future at `deadline`; an exporter may pass the
    /// deadline on to the destination. Must be cancel-safe: a dropped attempt leaves no broken connection behind in use.
    fn send(&self, target: &Target, request: Payload, deadline: Instant) -> impl Future<Output = Attempt> + Send;
}
