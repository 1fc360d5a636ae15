//! The pages beside the pipelines: metrics and health, each on a listener of its own.
//!
//! A page whose endpoint stays keeps its listener over reloads; only what it shows changes. The pages outlive the receivers:
//! while the program drains, health says so. Invariant: a page that cannot listen is an error that names its endpoint.

use crate::app::plan::Plan;
use crate::app::service::Shared;
use arc_swap::ArcSwap;
use components::extensions::health_check;
use flow::{Stopper, task};
use net::listen::{BindError, Listener};
use net::pages;
use net::pages::{MAX_CONNECTIONS, Page};
use net::tls::{Acceptor, ServerTls, TlsError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{exposition, metrics};
use tokio::task::JoinHandle;

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub enum PagePlan {
    /// `/metrics` at this endpoint.
    Metrics(String),
    /// A health check.
    Health(Box<health_check::Config>),
}

/// A page that cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Its listener cannot be opened.
    #[error("{page}: {source}")]
    Bind {
        /// Which page.
        page: &'static str,
        /// What is wrong.
        #[source]
        source: BindError,
    },
    /// Its certificate cannot be used.
    #[error("health_check: {0}")]
    Tls(#[from] TlsError),
}

impl PagePlan {
    /// The pages of a plan.
    #[must_use]
    pub fn all(plan: &Plan) -> Vec<PagePlan> {
        let metrics = plan.metrics.iter().cloned().map(PagePlan::Metrics);
        metrics.chain(plan.health.iter().map(|config| PagePlan::Health(Box::new(config.clone())))).collect()
    }

    fn name(&self) -> &'static str {
        match self {
            PagePlan::Metrics(_) => "metrics",
            PagePlan::Health(_) => "health_check",
        }
    }

    fn listener(&self) -> (&str, Option<&ServerTls>) {
        match self {
            PagePlan::Metrics(endpoint) => (endpoint, None),
            PagePlan::Health(config) => (&config.endpoint, config.tls.as_ref()),
        }
    }

    /// Whether both can be shown on the same listener.
    fn shares_listener(&self, other: &PagePlan) -> bool {
        self.name() == other.name() && self.listener() == other.listener()
    }

    fn show(&self, path: &str, shared: &Shared) -> Option<Page> {
        match self {
            PagePlan::Metrics(_) if path == "/metrics" => {
                Some(Page::ok(exposition::CONTENT_TYPE, metrics::render(&shared.snapshot())))
            }
            PagePlan::Metrics(_) => None,
            PagePlan::Health(config) => config.page(path, &shared.health.status(flow::clock::now())),
        }
    }
}

/// A page whose listener is open.
pub struct BoundPage {
    plan: PagePlan,
    listener: Listener,
}

/// Opens the listener of a page.
///
/// # Errors
/// See [`PageError`].
pub async fn bind(plan: &PagePlan) -> Result<BoundPage, PageError> {
    let (endpoint, tls) = plan.listener();
    let tls = tls.map(|tls| Acceptor::new(tls.clone(), &[b"http/1.1"])).transpose()?.map(Arc::new);
    let bound = Listener::bind(endpoint, tls, MAX_CONNECTIONS).await;
    let listener = bound.map_err(|source| PageError::Bind { page: plan.name(), source })?;
    Ok(BoundPage { plan: plan.clone(), listener })
}

/// The pages that are served.
#[derive(Default)]
pub struct Pages(Vec<Served>);

struct Served {
    plan: Arc<ArcSwap<PagePlan>>,
    address: Option<SocketAddr>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Pages {
    /// The pages among `wanted` that need a listener which is not there yet.
    #[must_use]
    pub fn missing(&self, wanted: &[PagePlan]) -> Vec<PagePlan> {
        let is_there = |plan: &PagePlan| self.0.iter().any(|served| served.plan.load().shares_listener(plan));
        wanted.iter().filter(|plan| !is_there(plan)).cloned().collect()
    }

    /// Serves `bound`, changes what the others show to what is `wanted`, and ends those that are not.
    pub fn change(&mut self, wanted: &[PagePlan], bound: Vec<BoundPage>, shared: &Arc<Shared>) {
        self.0.retain(|served| {
            let wanted = wanted.iter().find(|plan| served.plan.load().shares_listener(plan));
            match wanted {
                Some(plan) => served.plan.store(Arc::new(plan.clone())),
                None => served.stopper.stop(Duration::ZERO),
            }
            wanted.is_some()
        });
        for BoundPage { plan, listener } in bound {
            let (stopper, stop) = Stopper::new();
            let address = listener.local_addr().ok();
            tracing::info!(page = plan.name(), address = address.map(tracing::field::display), "listening");
            let (plan, shared) = (Arc::new(ArcSwap::from_pointee(plan)), shared.clone());
            let shown = plan.clone();
            let task = task::spawn("page", pages::serve(listener, stop, move |path| shown.load().show(path, &shared)));
            self.0.push(Served { plan, address, stopper, task });
        }
    }

    /// Where a page of this name (`metrics`, `health_check`) is.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.0.iter().find(|served| served.plan.load().name() == name)?.address
    }

    /// Ends them all.
    pub async fn stop(self) {
        for served in &self.0 {
            served.stopper.stop(Duration::from_secs(1));
        }
        for served in self.0 {
            // Whatever became of it, it was said then.
            drop(served.task.await);
        }
    }
}
