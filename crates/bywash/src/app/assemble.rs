//! From a plan to outlets and pipelines.
//!
//! Invariants: an outlet whose plan did not change is the same outlet, with its lanes and what they hold; a stage whose
//! configuration did not change is the same stage; nothing is started for a plan that cannot be built whole.

use crate::app::components::DestinationConfig;
use crate::app::plan::auth::AuthPlan;
use crate::app::plan::{OutletPlan, PipelinePlan, Plan, StagePlan};
use crate::app::storage::Lease;
use crate::app::summary::Summary;
use components::exporters::load_balancing::LoadBalancing;
use components::exporters::{self, BuildError, Built};
use components::processors::Built as BuiltStage;
use config::{ComponentId, PipelineId};
use flow::inlet::Opening;
use flow::outlet::OutletConfig;
use flow::router::Direct;
use flow::{Budget, Funnel, Outgoing, Outlet, Target};
use net::auth::AuthError;
use net::client::auth::Credentials;
use std::collections::HashMap;
use std::sync::Arc;
use wire::Signal;

/// An outlet and what it was made from.
#[derive(Clone)]
pub struct LiveOutlet {
    /// The plan.
    pub plan: OutletPlan,
    /// The outlet.
    pub outgoing: Arc<dyn Outgoing>,
    /// Its exporter, if that balances over backends.
    pub balancer: Option<LoadBalancing>,
    /// What it shows to say who sends.
    pub credentials: Option<Credentials>,
    /// Its queue on disk, if it has one.
    pub spool: Option<Lease>,
}

/// A stage of a pipeline and what it was made from.
#[derive(Clone)]
pub struct LiveStage {
    /// The pipeline. A processor in several pipelines is several stages.
    pub pipeline: PipelineId,
    /// What that carries.
    pub signal: Signal,
    /// The plan.
    pub plan: StagePlan,
    /// The stage.
    pub stage: BuiltStage,
}

impl LiveStage {
    /// Whether both are the same processor in the same pipeline, perhaps with another configuration.
    #[must_use]
    pub fn takes_the_place_of(&self, other: &LiveStage) -> bool {
        (&self.pipeline, &self.plan.id) == (&other.pipeline, &other.plan.id)
    }
}

/// A component that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// An exporter.
    #[error("exporter {id}: {why}")]
    Exporter {
        /// Its id.
        id: ComponentId,
        /// What is wrong.
        why: exporters::BuildError,
    },
    /// A processor.
    #[error("processor {id}: stages{why}")]
    Processor {
        /// Its id.
        id: ComponentId,
        /// What is wrong.
        why: stages::ConfigError,
    },
}

/// The outlets of a plan, in its order, with their queues on disk in `spools`; those of `old` that did not change stay. Must be
/// called within a runtime.
///
/// # Errors
/// An exporter cannot be built. Outlets that were built before are dropped; they never held anything.
pub fn outlets(
    plan: &Plan,
    old: &[LiveOutlet],
    summary: &Summary,
    spools: &[Option<Lease>],
    budget: &Budget,
) -> Result<Vec<LiveOutlet>, AssembleError> {
    // The outlets of one exporter share its connections.
    let mut built: HashMap<&ComponentId, Built> = HashMap::new();
    // Those of one authenticator share its credentials, and what was fetched for them.
    let shown = |o: &LiveOutlet| Some((o.plan.auth.clone()?, o.credentials.clone()?));
    let mut known: Vec<(AuthPlan, Credentials)> = old.iter().filter_map(shown).collect();
    let mut all = Vec::with_capacity(plan.outlets.len());
    for (wanted, spool) in plan.outlets.iter().zip(spools) {
        if let Some(same) = old.iter().find(|o| o.plan.is_same(wanted)) {
            all.push(LiveOutlet { plan: wanted.clone(), ..same.clone() });
            continue;
        }
        let failed = |why| AssembleError::Exporter { id: wanted.id.clone(), why };
        // An exporter that balances over backends keeps them, and what is counted of them, also when only some of its signals change.
        let same = old.iter().find(|o| o.plan.has_same_exporter(wanted));
        let balancer = same.and_then(|o| o.balancer.clone());
        let credentials =
            credentials(wanted.auth.as_ref(), &mut known).map_err(|e| failed(BuildError(e.to_string())))?;
        let durable = spool.as_ref().map(|lease| lease.spool().clone());
        let (outgoing, balancer) = match (&wanted.config, balancer) {
            (DestinationConfig::Summary, _) => (summary_outlet(wanted, budget, summary), None),
            (_, Some(balancer)) => {
                let batch = wanted.batch.clone();
                let outgoing =
                    balancer.outlet(wanted.signal, budget.clone(), batch, &wanted.apart, durable).map_err(failed)?;
                (outgoing, Some(balancer))
            }
            (DestinationConfig::Exporter(config), None) => {
                if !built.contains_key(&wanted.id) {
                    let exporter = exporters::build(&wanted.id.to_string(), config, credentials.clone());
                    built.insert(&wanted.id, exporter.map_err(failed)?);
                }
                let (built, batch) = (&built[&wanted.id], wanted.batch.clone());
                let outgoing = built.outlet(wanted.signal, budget.clone(), batch, &wanted.apart, durable);
                let outgoing = outgoing.map_err(failed)?;
                (outgoing, built.load_balancer())
            }
        };
        all.push(LiveOutlet { plan: wanted.clone(), outgoing, balancer, credentials, spool: spool.clone() });
    }
    // Only now, when nothing can go wrong any more: a plan that cannot be built changes nothing.
    for outlet in &all {
        if let (Some(lease), Some(storage)) = (&outlet.spool, &outlet.plan.storage) {
            lease.spool().configure(storage.clone());
        }
    }
    Ok(all)
}

/// The credentials of a plan: those that are known for it already, else new ones.
fn credentials(
    plan: Option<&AuthPlan>,
    known: &mut Vec<(AuthPlan, Credentials)>,
) -> Result<Option<Credentials>, AuthError> {
    let Some(plan) = plan else { return Ok(None) };
    if let Some((_, credentials)) = known.iter().find(|(known, _)| known == plan) {
        return Ok(Some(credentials.clone()));
    }
    let credentials = plan.credentials()?;
    known.push((plan.clone(), credentials.clone()));
    Ok(Some(credentials))
}

fn summary_outlet(plan: &OutletPlan, budget: &Budget, summary: &Summary) -> Arc<dyn Outgoing> {
    let target = Target::new("terminal");
    let config = OutletConfig::new(plan.id.to_string(), budget.stock().limit());
    Arc::new(Outlet::within(config, budget.clone(), summary.clone(), Direct(target)))
}

/// The stages of a plan, pipeline by pipeline. Those of `old` that did not change stay; one that changed goes on with what its
/// unchanged parts remember.
///
/// # Errors
/// A stage cannot be built (a database of addresses is gone since the configuration was read). Nothing has changed then.
pub fn stages(plan: &Plan, old: &[LiveStage]) -> Result<Vec<LiveStage>, AssembleError> {
    let mut all = vec![];
    for pipeline in &plan.pipelines {
        for wanted in &pipeline.stages {
            let before = old.iter().find(|o| o.pipeline == pipeline.id && o.plan.id == wanted.id);
            let stage = match before {
                Some(same) if same.plan == *wanted => Ok(same.stage.clone()),
                other => wanted.config.build(other.map(|changed| &changed.stage)),
            };
            let stage = stage.map_err(|why| AssembleError::Processor { id: wanted.id.clone(), why })?;
            let signal = pipeline.signal;
            all.push(LiveStage { pipeline: pipeline.id.clone(), signal, plan: wanted.clone(), stage });
        }
    }
    Ok(all)
}

/// A pipeline as inlets see it. `outlets` and `stages` are those of the plan.
#[must_use]
pub fn funnel(pipeline: &PipelinePlan, outlets: &[LiveOutlet], stages: &[LiveStage]) -> Funnel {
    let own = stages.iter().filter(|stage| stage.pipeline == pipeline.id);
    Funnel {
        name: pipeline.id.to_string(),
        stages: own.map(|stage| stage.stage.stage()).collect(),
        outlets: pipeline.outlets.iter().map(|at| outlets[*at].outgoing.clone()).collect(),
    }
}

/// What is behind the inlet of a receiver and signal: every pipeline of the signal that names the receiver. `outlets` and `stages`
/// are those of the plan.
#[must_use]
pub fn opening(
    plan: &Plan,
    receiver: &ComponentId,
    signal: Signal,
    outlets: &[LiveOutlet],
    stages: &[LiveStage],
) -> Opening {
    let pipelines = plan.pipelines.iter().filter(|p| p.signal == signal && p.receivers.contains(receiver));
    Opening { funnels: pipelines.map(|p| funnel(p, outlets, stages)).collect(), config: plan.inlet.clone() }
}
