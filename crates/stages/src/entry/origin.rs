//! Where an entry came from, for a caller that must find its way back.
//!
//! A stage that holds lines back lets them out during the call for a later entry, or none. A caller that has to know which
//! request, and which record of it, such an entry began as attaches an [`Origin`]; it travels with the entry, and where entries
//! are joined their duties are too. Stages never look into it, and callers that do not need it leave it out.
//!
//! Two things travel apart: the [`Source`], which an entry is written back from, and the duties ("tell the sender"), which end
//! when the entry has come out once. A template that outlives its entry keeps the first without the second.

use std::any::Any;
use std::sync::Arc;

/// What an entry was read from.
pub trait Source: Any + Send + Sync {
    /// The part of it that the entry at `place` needs, alone, with the entry's place in it: for what waits longer than the rest.
    fn detached(&self, place: usize) -> (Arc<dyn Source>, usize);

    /// Whose it is. Entries of different tenants are never joined, whatever their labels.
    fn tenant(&self) -> Option<&str> {
        None
    }
}

/// What must be kept alive until an entry has come out or is dropped.
pub type Duty = Arc<dyn Any + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub struct Origin {
    source: Arc<dyn Source>,
    place: usize,
    duties: Vec<Duty>,
}

impl Origin {
    /// The entry at `place` of `source`, with one duty.
    pub fn new(source: Arc<dyn Source>, place: usize, duty: Duty) -> Self {
        Self { source, place, duties: vec![duty] }
    }

    /// What the entry is written back from.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Where it is in that.
    pub fn place(&self) -> usize {
        self.place
    }

    /// The duties of all entries that became this one, each once.
    pub fn duties(&self) -> &[Duty] {
        &self.duties
    }

    /// Takes over the duties of an entry that became part of this one.
    pub fn join(&mut self, other: Origin) {
        for duty in other.duties {
            if !self.duties.iter().any(|known| Arc::ptr_eq(known, &duty)) {
                self.duties.push(duty);
            }
        }
    }

    /// The same source without duties and without what else the source holds.
    pub(crate) fn template(&self) -> Origin {
        let (source, place) = self.source.detached(self.place);
        Origin { source, place, duties: Vec::new() }
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Origin({}, {} duties)", self.place, self.duties.len())
    }
}
