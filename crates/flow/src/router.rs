//! Which target each record goes to.

use crate::{Payload, Why};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;
use wire::Records;

/// One destination: a backend's address, a log group and stream, a tenant. The name is unique within its exporter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(Arc<str>);

impl Target {
    /// A target of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Target {
        Target(name.into())
    }

    /// Its name. It may hold credentials of senders ([`crate::origin`]): to people the target itself is shown.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin();
        if origin.is_empty() { f.write_str(&self.0) } else { write!(f, "{}{{{origin}}}", self.base().name()) }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// The pieces of a request with their targets; most requests stay whole.
pub type Routes = SmallVec<[(Target, Payload); 1]>;

/// Divides a request over targets, synchronously, on the caller's task.
pub trait Router: Send + Sync + 'static {
    /// Appends to `out` the pieces of `payload` with their targets. Together they hold exactly its records. Where there is no
    /// target at all, `out` stays empty.
    fn route(&self, payload: Payload, out: &mut Routes);

    /// The target of the whole request, if that can be said without dividing it.
    fn only(&self, _payload: &Payload) -> Option<Target> {
        None
    }

    /// How many targets records are sorted by; fewer than two: requests are not to be sorted, but routed.
    fn sorts_by(&self) -> usize {
        0
    }

    /// Appends the owner of each record of a request, as its place among the targets that are answered. What [`Router::route`] would
    /// divide can then be sorted into batches. Without any target none is answered, whatever was appended.
    fn owners(&self, _records: Records<'_>, _owners: &mut Vec<u32>) -> Arc<[Target]> {
        Arc::new([])
    }

    /// Whether there is any target now.
    ///
    /// # Errors
    /// Why there is none.
    fn ready(&self) -> Result<(), Why> {
        Ok(())
    }

    /// Whether a target that it named before is still one. Asked before a lane is made, so that none is made for a target that
    /// went away since; what was meant for that is routed again.
    fn knows(&self, _target: &Target) -> bool {
        true
    }

    /// Whether new targets appear while it runs. The lanes of such a router end when they have been idle.
    fn is_dynamic(&self) -> bool {
        true
    }
}

/// Everything goes to one target.
#[derive(Clone, Debug)]
pub struct Direct(pub Target);

impl Router for Direct {
    fn route(&self, payload: Payload, out: &mut Routes) {
        out.push((self.0.clone(), payload));
    }

    /// What comes from disk may be meant for the target of a configuration before this.
    fn knows(&self, target: &Target) -> bool {
        *target == self.0
    }

    fn is_dynamic(&self) -> bool {
        false
    }
}
