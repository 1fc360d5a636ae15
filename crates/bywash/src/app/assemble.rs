//! From a plan to outlets and pipelines.
//!
//! Invariants: an outlet whose plan did not change is the same outlet, with its lanes and what they hold; nothing is started
//! for a plan that cannot be built whole.

use crate::app::components::DestinationConfig;
use crate::app::plan::{OutletPlan, Plan};
use crate::app::storage::Lease;
use crate::app::summary::Summary;
use crate::config::ComponentId;
use crate::exporters::load_balancing::LoadBalancing;
use crate::exporters::{self, Built};
use flow::inlet::Opening;
use flow::outlet::OutletConfig;
use flow::router::Direct;
use flow::{Budget, Funnel, Outgoing, Outlet, Share, Target};
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
    /// Its queue on disk, if it has one.
    pub spool: Option<Lease>,
    /// The share of memory that it has in common with the exporter's other signals.
    pub share: Share,
}

/// An exporter that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("exporter {id}: {source}")]
pub struct AssembleError {
    id: ComponentId,
    #[source]
    source: exporters::BuildError,
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
    let mut shares: HashMap<&ComponentId, Share> = HashMap::new();
    let mut all = Vec::with_capacity(plan.outlets.len());
    for (wanted, spool) in plan.outlets.iter().zip(spools) {
        let kept = old.iter().find(|o| o.plan.id == wanted.id).map(|o| o.share.clone());
        let share =
            shares.entry(&wanted.id).or_insert_with(|| kept.unwrap_or_else(|| Share::new(wanted.max_bytes))).clone();
        if let Some(same) = old.iter().find(|o| o.plan.is_same(wanted)) {
            all.push(LiveOutlet { plan: wanted.clone(), ..same.clone() });
            continue;
        }
        let failed = |source| AssembleError { id: wanted.id.clone(), source };
        // An exporter that balances over backends keeps them, and what is counted of them, also when only some of its signals change.
        let same = old.iter().find(|o| o.plan.id == wanted.id && o.plan.config == wanted.config);
        let balancer = same.and_then(|o| o.balancer.clone());
        let durable = spool.as_ref().map(|lease| (lease.spool().clone(), budget.clone()));
        let (outgoing, balancer) = match (&wanted.config, balancer) {
            (DestinationConfig::Summary, _) => (summary_outlet(wanted, share.clone(), summary), None),
            (_, Some(balancer)) => {
                let batch = wanted.batch.clone();
                let outgoing = balancer.outlet(wanted.signal, share.clone(), batch, durable).map_err(failed)?;
                (outgoing, Some(balancer))
            }
            (DestinationConfig::Exporter(config), None) => {
                if !built.contains_key(&wanted.id) {
                    built.insert(&wanted.id, exporters::build(&wanted.id.to_string(), config).map_err(failed)?);
                }
                let built = &built[&wanted.id];
                let outgoing =
                    built.outlet(wanted.signal, share.clone(), wanted.batch.clone(), durable).map_err(failed)?;
                (outgoing, built.load_balancer())
            }
        };
        all.push(LiveOutlet { plan: wanted.clone(), outgoing, balancer, spool: spool.clone(), share });
    }
    // Only now, when nothing can go wrong any more: a plan that cannot be built changes nothing.
    for outlet in &all {
        outlet.share.resize(outlet.plan.max_bytes);
        if let (Some(lease), Some(storage)) = (&outlet.spool, &outlet.plan.storage) {
            lease.spool().configure(storage.clone());
        }
    }
    Ok(all)
}

fn summary_outlet(plan: &OutletPlan, share: Share, summary: &Summary) -> Arc<dyn Outgoing> {
    let target = Target::new("terminal");
    let config = OutletConfig::new(plan.id.to_string(), plan.max_bytes);
    Arc::new(Outlet::within(config, share, summary.clone(), Direct(target)))
}

/// What is behind the inlet of a receiver and signal: every pipeline of the signal that names the receiver. `outlets` are those
/// of the plan.
#[must_use]
pub fn opening(plan: &Plan, receiver: &ComponentId, signal: Signal, outlets: &[LiveOutlet]) -> Opening {
    let pipelines = plan.pipelines.iter().filter(|p| p.signal == signal && p.receivers.contains(receiver));
    let funnels = pipelines.map(|p| Funnel {
        name: p.id.to_string(),
        stages: vec![],
        outlets: p.outlets.iter().map(|at| outlets[*at].outgoing.clone()).collect(),
    });
    Opening { funnels: funnels.collect(), config: plan.inlet.clone() }
}
