//! What an exporter must do: one attempt, and nothing else.
//!
//! Queueing, batching, retrying, halting, timing out and counting are the lane's. An exporter turns one request into one answer.

use crate::{Payload, Target, Why};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Coding;

/// How far a failure reaches: everything in that scope is halted together, instead of starting as many retry storms. The name says
/// which of its kind it is, so that one revoked credential does not halt those who use another. It is never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This one target.
    Target,
    /// A credential.
    Credential(Arc<str>),
    /// An endpoint: what is connected to.
    Endpoint(Arc<str>),
    /// An account.
    Account(Arc<str>),
}

impl Scope {
    /// The kinds that several targets may share, as metric labels.
    pub const SHARED: [&'static str; 3] = ["credential", "endpoint", "account"];

    /// The label value used in metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Scope::Target => "target",
            Scope::Credential(_) => "credential",
            Scope::Endpoint(_) => "endpoint",
            Scope::Account(_) => "account",
        }
    }

    /// What it is called; nothing for a target.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Scope::Target => "",
            Scope::Credential(name) | Scope::Endpoint(name) | Scope::Account(name) => name,
        }
    }
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

    /// How it compresses, if what came compressed like that and was not changed may leave as it came.
    fn coding(&self) -> Option<Coding> {
        None
    }

    /// What a target is known to share with others before it has answered. Scopes that only an answer can name need not be here.
    fn scopes(&self, _target: &Target) -> Vec<Scope> {
        vec![]
    }
}
