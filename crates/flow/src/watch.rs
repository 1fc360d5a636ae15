//! Who is told what the lanes of an exporter live through.
//!
//! A router that leaves out dead targets and a page that counts batches per target need to hear of things that only lanes know.
//! They hear of them here, by calls on the lane's own task: an implementation must be short and must not wait. It cannot change
//! what the lane does. By default nobody listens.

use crate::batcher::Request;
use crate::{Target, Why};
use std::time::Duration;

/// Why a request was formed when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is as large as requests are to be.
    Size,
    /// Its oldest record had waited for long enough.
    Timeout,
    /// Waiting would have gained nothing: batches are off, or nothing else was under way while its senders waited.
    Direct,
    /// Its lane is closing.
    Closing,
}

impl Cause {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Cause; 4] = [Cause::Size, Cause::Timeout, Cause::Direct, Cause::Closing];

    /// The label value used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Size => "size",
            Cause::Timeout => "timeout",
            Cause::Direct => "direct",
            Cause::Closing => "closing",
        }
    }
}

/// Hears what happens in the lanes of one exporter.
pub trait Watch: Send + Sync + 'static {
    /// A request was formed of what was queued; its oldest record had waited for `age`.
    fn formed(&self, _target: &Target, _request: &Request, _age: Duration, _cause: Cause) {}

    /// The target was halted, or stays so because a probe failed.
    fn halted(&self, _target: &Target, _why: &Why) {}

    /// A halted target answered again.
    fn passing(&self, _target: &Target) {}

    /// Records were given up: their senders have been told, or were told before that they are taken care of.
    fn lost(&self, _target: &Target, _why: &Why, _records: u64) {}

    /// Records that a lane gave back were routed again; `found` is whether there was a target for them.
    fn rerouted(&self, _records: u64, _found: bool) {}
}

/// Nobody listens.
impl Watch for () {}
