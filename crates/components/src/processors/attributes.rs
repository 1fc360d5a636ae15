//! The `attributes` processor: the collector's actions on the attributes of log records, spans and data points.
//!
//! Requests are changed on their bytes ([`wire::edit`]): a record that does not change is copied as it stands.

use super::actions::{Action, Actions};
use super::edited;
use super::matching::{Choice, Matcher, Properties};
use config::{Report, Validate};
use flow::{Stage, Staged};
use serde::Deserialize;
use std::sync::Arc;
use wire::{Attributes as Pairs, Signal, edit};

/// The collector's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done, in order.
    pub actions: Vec<Action>,
    /// Only to records that this matches.
    pub include: Option<Properties>,
    /// Not to records that this matches.
    pub exclude: Option<Properties>,
}

impl Config {
    /// What it asks of the origin of requests.
    #[must_use]
    pub fn wanted(&self) -> Vec<Arc<str>> {
        Actions::new(&self.actions).wanted().cloned().collect()
    }

    /// Why it cannot act on this signal, if that is so.
    #[must_use]
    pub fn refuses(&self, signal: Signal) -> Option<String> {
        let blocks = [("include", &self.include), ("exclude", &self.exclude)];
        blocks.iter().find_map(|(name, block)| Some(format!("{name}: {}", block.as_ref()?.refuses(signal)?)))
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.actions.is_empty() {
            report.error("", "needs `actions`: a list of actions");
        }
        for (n, action) in self.actions.iter().enumerate() {
            report.nested(&format!("actions.{n}"), action);
        }
        for (name, block) in [("include", &self.include), ("exclude", &self.exclude)] {
            if let Some(block) = block {
                report.nested(name, block);
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Attributes {
    actions: Actions,
    include: Option<Matcher>,
    exclude: Option<Matcher>,
}

impl Attributes {
    /// Of a valid configuration.
    #[must_use]
    pub fn new(config: &Config) -> Attributes {
        Attributes {
            actions: Actions::new(&config.actions),
            include: config.include.as_ref().map(Matcher::new),
            exclude: config.exclude.as_ref().map(Matcher::new),
        }
    }
}

impl Stage for Attributes {
    fn apply(&self, staged: &mut Staged) {
        let meta = staged.payload.meta.clone();
        edited(staged, |signal, body, scratch| {
            let mut choice = Choice::new(self.include.as_ref(), self.exclude.as_ref());
            edit::records(signal, body, scratch, |record| {
                let mut attributes = Pairs::of_record(record);
                if !choice.takes(record, &attributes) {
                    return None;
                }
                self.actions.run(&mut attributes, &meta.origin);
                attributes.finish()
            })
        });
    }
}

#[cfg(test)]
mod tests;
