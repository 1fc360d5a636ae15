//! Processors: the steps of a pipeline.
//!
//! | to change | open |
//! |---|---|
//! | Loki's stages on logs | [`loki_stages`] |
//! | attributes of resources; of records | [`resource`], [`attributes`] |
//! | what those do, and to which records | [`actions`], [`matching`] |
//! | what `batch` and `memory_limiter` ask for | [`batch`], [`memory_limiter`] |
//!
//! The last two, which almost every collector configuration has, do not run here as steps; what they ask for is done elsewhere, and better:
//! `batch` shapes the requests that an exporter's lanes form, `memory_limiter` sets the memory budget.
//!
//! [`StageConfig`] is what a pipeline is planned with, [`Built`] what it runs. Processors are siblings and never import each other.

pub mod actions;
pub mod attributes;
pub mod batch;
pub mod loki_stages;
pub mod matching;
pub mod memory_limiter;
pub mod resource;

use bytes::Bytes;
use flow::stats::Count;
use flow::{Stage, Staged};
use loki_stages::LokiStages;
use std::cell::RefCell;
use std::sync::Arc;
use wire::edit::Scratch;
use wire::{Malformed, Signal};

/// The configuration of a processor that runs as a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum StageConfig {
    /// `loki_stages`.
    LokiStages(Arc<loki_stages::Config>),
    /// `resource`.
    Resource(Arc<resource::Config>),
    /// `attributes`.
    Attributes(Arc<attributes::Config>),
}

impl StageConfig {
    /// Why it cannot run in a pipeline of this signal, if that is so.
    #[must_use]
    pub fn refuses(&self, signal: Signal) -> Option<String> {
        match self {
            StageConfig::LokiStages(_) if signal != Signal::Logs => {
                Some(format!("takes logs only, and this pipeline carries {signal}"))
            }
            StageConfig::LokiStages(_) | StageConfig::Resource(_) => None,
            StageConfig::Attributes(config) => config.refuses(signal),
        }
    }

    /// What it asks of the origin of requests.
    #[must_use]
    pub fn wanted(&self) -> Vec<Arc<str>> {
        match self {
            StageConfig::LokiStages(_) => vec![],
            StageConfig::Resource(config) => config.wanted(),
            StageConfig::Attributes(config) => config.wanted(),
        }
    }

    /// Builds the stage of one pipeline. One that takes the place of `before` goes on with what that remembers and has counted.
    ///
    /// # Errors
    /// The stage cannot be built. Nothing has changed then.
    pub fn build(&self, before: Option<&Built>) -> Result<Built, stages::ConfigError> {
        let plain = |stage: Box<dyn Stage>| {
            let records = match before {
                Some(Built::Plain(plain)) => plain.records.clone(),
                _ => Arc::default(),
            };
            Built::Plain(Arc::new(Plain { stage, records }))
        };
        Ok(match (self, before) {
            (StageConfig::LokiStages(config), Some(Built::LokiStages(old))) => {
                Built::LokiStages(Arc::new(old.reload(config)?))
            }
            (StageConfig::LokiStages(config), _) => Built::LokiStages(Arc::new(LokiStages::new(config)?)),
            (StageConfig::Resource(config), _) => plain(Box::new(resource::Resource::new(config))),
            (StageConfig::Attributes(config), _) => plain(Box::new(attributes::Attributes::new(config))),
        })
    }
}

/// A processor at work in one pipeline. Cheap to clone.
#[derive(Clone)]
pub enum Built {
    /// `loki_stages`, which remembers and counts much.
    LokiStages(Arc<LokiStages>),
    /// One that changes records and nothing else.
    Plain(Arc<Plain>),
}

impl Built {
    /// It as a stage.
    #[must_use]
    pub fn stage(&self) -> Arc<dyn Stage> {
        match self {
            Built::LokiStages(stage) => stage.clone(),
            Built::Plain(stage) => stage.clone(),
        }
    }

    /// Whether both are the same.
    #[must_use]
    pub fn is_same(&self, other: &Built) -> bool {
        match (self, other) {
            (Built::LokiStages(one), Built::LokiStages(other)) => Arc::ptr_eq(one, other),
            (Built::Plain(one), Built::Plain(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Takes note that it was replaced.
    pub fn retire(&self, successor: Option<&Built>) {
        if let Built::LokiStages(stage) = self {
            let successor = successor.and_then(|built| match built {
                Built::LokiStages(stage) => Some(stage),
                Built::Plain(_) => None,
            });
            stage.retire(successor);
        }
    }
}

/// A stage that changes records and nothing else: what comes in goes out, and nothing is held back.
pub struct Plain {
    stage: Box<dyn Stage>,
    /// Records that passed; goes on over reloads.
    records: Arc<Count>,
}

impl Plain {
    /// Records that passed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.get()
    }
}

impl Stage for Plain {
    fn apply(&self, staged: &mut Staged) {
        self.records.add(u64::from(staged.payload.records));
        self.stage.apply(staged);
    }
}

/// Puts what `edit` makes of a payload's bytes in their place, if it makes anything of them.
fn edited(staged: &mut Staged, edit: impl FnOnce(Signal, &[u8], &mut Scratch) -> Result<Option<Bytes>, Malformed>) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    let body = staged.payload.body.contiguous();
    match SCRATCH.with_borrow_mut(|scratch| edit(staged.payload.signal, &body, scratch)) {
        Ok(Some(edited)) => staged.payload.body = edited.into(),
        Ok(None) => {}
        // Receivers refuse what is malformed, so this is another component's fault; the data is not made worse here.
        Err(error) => tracing::error!(%error, "a request cannot be read and passes a processor unchanged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Payload;

    /// Scenario: a processor that a reload gives other keys, and one of another type in its place. Guarantee: the count of records goes on, and starts
    /// anew; they are not the same stage.
    #[test]
    fn counts_go_on_over_a_reload() {
        let resource = |yaml: &str| StageConfig::Resource(Arc::new(config::testing::decoded(yaml)));
        let one = resource("attributes: [{key: a, action: delete}]").build(None).unwrap();
        let records = |built: &Built| match built {
            Built::Plain(plain) => plain.records(),
            Built::LokiStages(_) => 0,
        };
        let mut staged = Staged::new(Payload::new(Signal::Traces, Bytes::new(), 3), vec![]);
        one.stage().apply(&mut staged);
        let two = resource("attributes: [{key: b, action: delete}]").build(Some(&one)).unwrap();
        two.stage().apply(&mut staged);
        assert_eq!((records(&one), records(&two), one.is_same(&two), two.is_same(&two.clone())), (6, 6, false, true));
        let stages = StageConfig::LokiStages(Arc::default()).build(Some(&two)).unwrap();
        assert_eq!(records(&resource("attributes: [{key: a, action: delete}]").build(Some(&stages)).unwrap()), 0);
        two.retire(Some(&stages));
    }
}
