//! A new configuration takes the place of the old one while data flows.
//!
//! Everything that can fail comes first: reading, building exporters, opening listeners. Then comes the switch, which cannot
//! fail: inlets are pointed at the new pipelines, receivers start and stop, and what was replaced drains in the background.
//!
//! - A receiver whose configuration is equal keeps its listeners and connections; an exporter whose configuration and share of
//!   memory are equal keeps its lanes and what they hold.
//! - Stages whose configuration is equal go on with what they remember; what replaced ones held back comes out of the old pipeline.
//! - A replaced exporter drains after the inlets have turned away from it, for the shutdown timeout at most.
//! - A receiver that changes but stays on its address hands its open socket to its successor, so that no connection is refused. One whose
//!   address changes and whose port is wanted stops listening before its successor binds; if that fails, it listens again and the
//!   reload has changed nothing else.
//!
//! Invariant: a request is taken by the old pipelines or by the new ones, never by both and never by neither.

use crate::app::assemble::{self, AssembleError, LiveOutlet, LiveStage};
use crate::app::listening::{self, Bound, ListenError, ListenWhy, Listening};
use crate::app::pages::{self, PageError, PagePlan};
use crate::app::plan::{Plan, ReceiverPlan};
use crate::app::service::{Service, Shared, close};
use crate::app::storage::{StorageError, Taken};
use components::receivers::BindError;
use flow::clock::since_epoch;
use flow::task;
use net::handover;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a port may take to become free after its receiver was told to stop.
const TAKE_OVER: Duration = Duration::from_secs(5);
/// Between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(10);

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// What is kept on disk cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An exporter cannot be built.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// A page cannot listen.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A receiver cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl Service {
    /// Puts another plan to use.
    ///
    /// # Errors
    /// See [`ReloadError`]; everything is as it was, and that is counted.
    pub async fn reload(&mut self, plan: Plan) -> Result<(), ReloadError> {
        while let Some(ended) = self.ending.try_join_next() {
            task::ended("drain", ended);
        }
        match self.prepare(&plan).await {
            Ok(prepared) => {
                self.switch(plan, prepared);
                net::tls::client::read_again();
                self.shared.registry.configured(false, since_epoch());
                Ok(())
            }
            Err(error) => {
                self.shared.registry.not_configured();
                // Successors may have taken over what is on disk before something else failed.
                self.outlets.iter().for_each(|outlet| outlet.outgoing.clone().take_over());
                self.shared.registry.update(&self.plan, &self.outlets, &self.stages);
                Err(error)
            }
        }
    }

    /// Everything that can fail.
    async fn prepare(&mut self, plan: &Plan) -> Result<Prepared, ReloadError> {
        let stages = assemble::stages(plan, &self.stages)?;
        let taken = self.shared.storages.take(plan).await?;
        let spools = self.shared.storages.open_all(plan).await?;
        let Shared { summary, budget, .. } = &*self.shared;
        let outlets = assemble::outlets(plan, &self.outlets, summary, &spools, budget)?;
        drop(spools);
        let wanted = PagePlan::all(plan);
        let mut bound_pages = vec![];
        for page in self.pages.missing(&wanted) {
            bound_pages.push(pages::bind(&page).await?);
        }
        let receivers = self.bind_new(plan).await?;
        Ok(Prepared { taken, outlets, stages, wanted, bound_pages, receivers })
    }

    /// Opens the listeners of the receivers that are new or changed.
    async fn bind_new(&mut self, plan: &Plan) -> Result<Vec<Bound>, ListenError> {
        let is_kept = |receiver: &ReceiverPlan| self.receivers.iter().any(|old| old.plan == *receiver);
        let mut bound = vec![];
        let mut contested = vec![];
        let leaving = self.receivers.iter().filter(|old| is_leaving(plan, old));
        handover::bequeath(leaving.flat_map(|old| old.addresses.iter().map(|(_, address)| *address)));
        let _end = HandoverEnd;
        for receiver in plan.receivers.iter().filter(|r| !is_kept(r)) {
            match self.bind_among(receiver, &[]).await {
                Ok(receiver) => bound.push(receiver),
                Err(error) if will_be_free(&error, self.receivers.iter().filter(|old| is_leaving(plan, old))) => {
                    contested.push(receiver);
                }
                Err(error) => return Err(error),
            }
        }
        if contested.is_empty() {
            return Ok(bound);
        }
        let leaving = self.leaving(plan);
        leaving.iter().for_each(|old| old.stop(self.plan.shutdown_timeout / 2));
        for receiver in contested {
            match self.bind_soon(receiver, &leaving).await {
                Ok(receiver) => bound.push(receiver),
                Err(error) => {
                    drop(bound);
                    self.restore(leaving).await;
                    return Err(error);
                }
            }
        }
        self.end_later(leaving);
        Ok(bound)
    }

    /// Opens the listeners of a receiver, with the inlets of the one that had its id.
    async fn bind_among(&self, receiver: &ReceiverPlan, leaving: &[Listening]) -> Result<Bound, ListenError> {
        let old = self.receivers.iter().chain(leaving).find(|old| old.plan.id == receiver.id);
        let inlets = old.map(|old| old.inlets.clone()).unwrap_or_default();
        listening::bind(receiver, inlets, &self.shared.seats, &self.shared.registry).await
    }

    /// The same, with patience while its port is still taken.
    async fn bind_soon(&self, receiver: &ReceiverPlan, leaving: &[Listening]) -> Result<Bound, ListenError> {
        let deadline = flow::clock::now() + TAKE_OVER;
        loop {
            match self.bind_among(receiver, leaving).await {
                Err(error) if will_be_free(&error, leaving) && flow::clock::now() < deadline => {
                    tokio::time::sleep(LOOK).await;
                }
                other => return other,
            }
        }
    }

    /// Takes out the receivers that have no equal in the plan.
    fn leaving(&mut self, plan: &Plan) -> Vec<Listening> {
        self.receivers.extract_if(.., |old| is_leaving(plan, old)).collect()
    }

    /// Lets receivers that were told to stop listen again.
    async fn restore(&mut self, stopped: Vec<Listening>) {
        let mut deaf = BTreeMap::new();
        for old in &stopped {
            match self.bind_soon(&old.plan, &stopped).await {
                Ok(again) => self.receivers.push(again.start(&self.shared.registry)),
                Err(error) => {
                    tracing::error!(receiver = %old.plan.id, %error, "receiver cannot listen again");
                    deaf.insert(old.plan.id.to_string(), error.why.to_string());
                }
            }
        }
        self.shared.health.set_deaf(deaf);
        self.end_later(stopped);
    }

    fn end_later(&mut self, receivers: Vec<Listening>) {
        for receiver in receivers {
            self.ending.spawn(receiver.ended());
        }
    }

    /// The switch. Nothing here can fail.
    fn switch(&mut self, plan: Plan, prepared: Prepared) {
        let Prepared { taken, outlets, stages, wanted, bound_pages, receivers } = prepared;
        let grace = plan.shutdown_timeout;
        self.shared.budget.configure(plan.budget.clone());
        *self.shared.resource.lock() = plan.resource.clone();
        if let Some(log) = &self.shared.log {
            log.set_level(plan.logs.level);
        }
        let leaving = self.leaving(&plan);
        leaving.iter().for_each(|old| old.stop(grace / 2));
        self.end_later(leaving);
        let kept = self.receivers.iter().map(|r| (&r.plan.id, &r.inlets));
        for (id, inlets) in kept.chain(receivers.iter().map(|r| (&r.plan.id, &r.inlets))) {
            inlets.reopen(|signal| assemble::opening(&plan, id, signal, &outlets, &stages));
        }
        self.receivers.extend(receivers.into_iter().map(|receiver| receiver.start(&self.shared.registry)));
        self.pages.change(&wanted, bound_pages, &self.shared);
        self.shared.health.set_deaf(BTreeMap::new());
        self.shared.registry.update(&plan, &outlets, &stages);
        self.shared.storages.switch(&plan, taken, &self.shared.letters());
        for old in std::mem::replace(&mut self.stages, stages) {
            if !self.stages.iter().any(|new| new.stage.is_same(&old.stage)) {
                let successor = self.stages.iter().find(|new| new.takes_the_place_of(&old));
                old.stage.retire(successor.map(|new| &new.stage));
            }
        }
        let funnels = plan.pipelines.iter().map(|p| assemble::funnel(p, &outlets, &self.stages));
        self.shared.releaser.replace(funnels.collect(), plan.inlet.acknowledge);
        for old in std::mem::replace(&mut self.outlets, outlets) {
            if !self.outlets.iter().any(|new| Arc::ptr_eq(&new.outgoing, &old.outgoing)) {
                self.ending.spawn(retire(old, self.shared.clone(), grace));
            }
        }
        self.plan = plan;
    }
}

/// Ends the time in which sockets may be taken over.
struct HandoverEnd;

impl Drop for HandoverEnd {
    fn drop(&mut self) {
        handover::end();
    }
}

/// What a switch needs.
struct Prepared {
    taken: Taken,
    outlets: Vec<LiveOutlet>,
    stages: Vec<LiveStage>,
    wanted: Vec<PagePlan>,
    bound_pages: Vec<pages::BoundPage>,
    receivers: Vec<Bound>,
}

fn is_leaving(plan: &Plan, old: &Listening) -> bool {
    !plan.receivers.contains(&old.plan)
}

/// Whether a receiver cannot listen only because one that leaves has its port.
fn will_be_free<'a>(error: &ListenError, leaving: impl IntoIterator<Item = &'a Listening>) -> bool {
    let ListenWhy::Bind(BindError::Listen(error)) = &error.why else { return false };
    let port = error.endpoint.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let has_it = |old: &Listening| {
        old.addresses.iter().any(|(_, address)| Some(address.port()) == port)
            || old.plan.config.endpoints().contains(&error.endpoint)
    };
    error.source.kind() == io::ErrorKind::AddrInUse && leaving.into_iter().any(has_it)
}

/// Closes a replaced outlet once no request is on its way into it any more.
async fn retire(old: LiveOutlet, shared: Arc<Shared>, grace: Duration) {
    let start = flow::clock::now();
    let until: Instant = start + grace / 2;
    // This task's is the last reference when every request that began on the old pipelines has ended.
    while Arc::strong_count(&old.outgoing) > 1 && flow::clock::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    tracing::info!(exporter = %old.plan.id, signal = %old.plan.signal, "draining the replaced exporter");
    close(old, shared, start + grace).await;
}
