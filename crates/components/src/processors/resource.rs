//! The `resource` processor: the collector's actions on the attributes of resources, of every signal.
//!
//! Requests are changed on their bytes ([`wire::edit`]). A gateway sees few resources and sees them often, so what a resource becomes is
//! remembered by its bytes, within a bound.

use super::actions::{Action, Actions};
use super::edited;
use config::{Report, Validate};
use flow::stats::Count;
use flow::{Origin, Stage, Staged};
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use wire::{Attributes, edit};

/// The collector's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done, in order.
    pub attributes: Vec<Action>,
}

impl Config {
    /// What it asks of the origin of requests.
    #[must_use]
    pub fn wanted(&self) -> Vec<Arc<str>> {
        Actions::new(&self.attributes).wanted().cloned().collect()
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.attributes.is_empty() {
            report.error("", "needs `attributes`: a list of actions");
        }
        for (n, action) in self.attributes.iter().enumerate() {
            report.nested(&format!("attributes.{n}"), action);
        }
    }
}

/// The most resources, and bytes of them and of what they become, that are remembered.
const MOST_KNOWN: (usize, usize) = (1024, 1 << 20);
/// Field number of the attributes of a `Resource`.
const ATTRIBUTES: u32 = 1;

/// See the module.
#[derive(Debug)]
pub struct Resource {
    actions: Actions,
    /// What a resource becomes depends on its sender, and is not remembered.
    varies: bool,
    known: Mutex<Known>,
    /// Resources whose result was remembered, and those whose was not.
    hits: Count,
    misses: Count,
}

/// Resources with what they become; `None`: they stay what they are.
#[derive(Debug, Default)]
struct Known {
    by_bytes: HashMap<Box<[u8]>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Resource {
    /// Of a valid configuration.
    #[must_use]
    pub fn new(config: &Config) -> Resource {
        let (known, hits, misses) = Default::default();
        let (actions, varies) = (Actions::new(&config.attributes), !config.wanted().is_empty());
        Resource { actions, varies, known, hits, misses }
    }

    fn edit(&self, resource: &[u8], origin: &Origin) -> Option<Vec<u8>> {
        if self.varies {
            let mut attributes = Attributes::of(resource, ATTRIBUTES);
            self.actions.run(&mut attributes, origin);
            return attributes.finish();
        }
        if let Some(known) = self.known.lock().by_bytes.get(resource) {
            self.hits.add(1);
            return known.clone();
        }
        self.misses.add(1);
        let mut attributes = Attributes::of(resource, ATTRIBUTES);
        self.actions.run(&mut attributes, origin);
        let edited = attributes.finish();
        let bytes = resource.len() + edited.as_ref().map_or(0, Vec::len);
        let known = &mut *self.known.lock();
        // Forgetting all is as good as anything where there are more than there is room for.
        if known.by_bytes.len() >= MOST_KNOWN.0 || known.bytes + bytes > MOST_KNOWN.1 {
            *known = Known::default();
        }
        if bytes <= MOST_KNOWN.1 / 16 && known.by_bytes.insert(resource.into(), edited.clone()).is_none() {
            known.bytes += bytes;
        }
        edited
    }
}

impl Stage for Resource {
    fn apply(&self, staged: &mut Staged) {
        let meta = staged.payload.meta.clone();
        edited(staged, |signal, body, scratch| {
            edit::resources(signal, body, scratch, |resource| self.edit(resource, &meta.origin))
        });
    }
}

#[cfg(test)]
mod tests;
