//! A receiver that listens: bound first, started when everything behind it stands, stopped by itself.
//!
//! The inlets of a receiver live as long as a receiver of its id is configured: a changed receiver takes over the inlets of the
//! one before it, so that requests on old connections go where those on new ones go.

use crate::app::components::ReceiverConfig;
use crate::app::plan::ReceiverPlan;
use crate::app::registry::Registry;
use components::extensions::file_storage::hold::{self, HoldError};
use components::receivers::file_log::{self, FileLog};
use components::receivers::loki::{self, Loki};
use components::receivers::nop::Nop;
use components::receivers::otlp::{self, Otlp};
use components::receivers::pulled::Sources;
use components::receivers::{BindError, Inlets};
use flow::inlet::{InletConfig, Opening};
use flow::{Inlet, Stop, Stopper, task};
use net::auth::{AuthError, Authenticator};
use net::listen::ListenStats;
use net::seats::Seats;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use wire::Signal;

/// The inlets of a receiver, one per signal, not connected to anything at first; with its source, if it is one that pulls.
#[derive(Clone)]
pub struct ReceiverInlets([Inlet; 3], Sources);

impl Default for ReceiverInlets {
    fn default() -> Self {
        let closed =
            |signal| Inlet::new(signal, Opening { funnels: vec![], config: InletConfig::default() }, Arc::default());
        ReceiverInlets(Signal::ALL.map(closed), Sources::default())
    }
}

impl ReceiverInlets {
    /// Exchanges what is behind them.
    pub fn reopen(&self, opening: impl Fn(Signal) -> Opening) {
        self.0.iter().for_each(|inlet| inlet.reopen(opening(inlet.signal())));
    }

    /// Ends the source, if there is one: after everything behind the inlets has ended.
    pub async fn end(&self) {
        self.1.end().await;
    }

    /// The door of a source, which outlives the receiver.
    fn pulled(&self, receiver: &str, signal: Signal, registry: &Registry) -> Option<Inlet> {
        let inlet = self.0.iter().find(|inlet| inlet.signal() == signal)?;
        Some(inlet.sharing(registry.door(receiver, "file", signal)))
    }

    /// The doors of one transport, each with counters of its own.
    fn doors(&self, receiver: &str, transport: &'static str, registry: &Registry, stop: &Stop) -> Inlets {
        let door =
            |inlet: &Inlet| inlet.sharing(registry.door(receiver, transport, inlet.signal())).until(stop.clone());
        let [logs, traces, metrics] = self.0.each_ref().map(door);
        Inlets { logs, traces, metrics }
    }
}

/// A receiver that cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("receiver {id}: {why}")]
pub struct ListenError {
    /// Its id.
    pub id: String,
    /// What is wrong.
    #[source]
    pub why: ListenWhy,
}

/// Why a receiver cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenWhy {
    /// The receiver says so.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its authenticator cannot be made.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The directory of its positions cannot be made.
    #[error(transparent)]
    Hold(#[from] HoldError),
}

/// A receiver whose listeners are open and which does not run yet.
pub struct Bound {
    /// What it was made from.
    pub plan: ReceiverPlan,
    /// Where its requests go.
    pub inlets: ReceiverInlets,
    authenticators: Vec<Authenticator>,
    receiver: Receiver,
    stopper: Stopper,
}

/// A receiver of any type.
enum Receiver {
    Otlp(Otlp),
    Loki(Loki),
    FileLog(Box<FileLog>),
    Nop(Nop),
}

impl Receiver {
    /// Its addresses, by transport.
    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let all = match self {
            Receiver::Otlp(otlp) => vec![("grpc", otlp.grpc_addr()), ("http", otlp.http_addr())],
            Receiver::Loki(loki) => vec![("http", loki.http_addr())],
            Receiver::FileLog(_) | Receiver::Nop(_) => vec![],
        };
        all.into_iter().filter_map(|(name, address)| Some((name, address.ok()?))).collect()
    }

    /// The counters of its listeners, by transport.
    fn stats(&self) -> Vec<(&'static str, Arc<ListenStats>)> {
        match self {
            Receiver::Otlp(otlp) => otlp.stats(),
            Receiver::Loki(loki) => vec![("http", loki.stats())],
            Receiver::FileLog(_) | Receiver::Nop(_) => vec![],
        }
    }
}

/// Opens the listeners of a receiver.
///
/// # Errors
/// See [`ListenWhy`].
pub async fn bind(
    plan: &ReceiverPlan,
    inlets: ReceiverInlets,
    seats: &Seats,
    registry: &Registry,
) -> Result<Bound, ListenError> {
    let id = plan.id.to_string();
    let failed = |why| ListenError { id: id.clone(), why };
    let mut authenticators = HashMap::new();
    for (name, config) in &plan.authenticators {
        authenticators.insert(name.clone(), config.build().map_err(|e| failed(e.into()))?);
    }
    let (stopper, stop) = Stopper::new();
    let (seats, tenant_header, wanted) = (seats.clone(), plan.tenant_header.clone(), plan.wanted.clone());
    let receiver = match &plan.config {
        ReceiverConfig::Otlp(config) => {
            let (grpc, http) = (inlets.doors(&id, "grpc", registry, &stop), inlets.doors(&id, "http", registry, &stop));
            let setup = otlp::Setup { grpc, http, seats, authenticators: &authenticators, tenant_header, wanted };
            Otlp::bind(plan.id.clone(), config, setup).await.map(Receiver::Otlp)
        }
        ReceiverConfig::Loki(config) => {
            let inlet = inlets.doors(&id, "http", registry, &stop).logs;
            let setup = loki::Setup { inlet, seats, authenticators: &authenticators, tenant_header, wanted };
            Loki::bind(plan.id.clone(), config, setup).await.map(Receiver::Loki)
        }
        ReceiverConfig::FileLog(config) => {
            let directory = plan.storage.as_ref().map(|storage| storage.positions(&plan.id));
            if let (Some(storage), Some(directory)) = (&plan.storage, &directory) {
                // Validated before.
                hold::make(directory, storage.mode().unwrap_or(0o750)).map_err(|e| failed(e.into()))?;
            }
            let inlet = inlets.pulled(&id, Signal::Logs, registry);
            let (budget, sources, stats) = (seats.budget().clone(), inlets.1.clone(), registry.files(&id));
            match inlet {
                Some(inlet) => {
                    let setup = file_log::Setup { inlet, budget, sources, directory, stats };
                    FileLog::bind(id.clone(), config, setup).await.map(|files| Receiver::FileLog(Box::new(files)))
                }
                None => Ok(Receiver::Nop(Nop)),
            }
        }
        ReceiverConfig::Nop(_) => Ok(Receiver::Nop(Nop)),
    };
    let receiver = receiver.map_err(|e| failed(e.into()))?;
    let authenticators = authenticators.into_values().collect();
    Ok(Bound { plan: plan.clone(), inlets, authenticators, receiver, stopper })
}

/// A receiver that runs.
pub struct Listening {
    /// What it was made from.
    pub plan: ReceiverPlan,
    /// Where its requests go.
    pub inlets: ReceiverInlets,
    /// Its addresses, by transport.
    pub addresses: Vec<(&'static str, SocketAddr)>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Bound {
    /// Starts it.
    #[must_use]
    pub fn start(self, registry: &Registry) -> Listening {
        let Bound { plan, inlets, authenticators, receiver, stopper } = self;
        let addresses = receiver.addresses();
        for (transport, stats) in receiver.stats() {
            registry.listener(&plan.id.to_string(), transport, stats);
        }
        // Its listeners go on after a panic of theirs; what else may break cannot be put together anew.
        let task = task::vital("receiver", run(receiver, authenticators, stopper.listen()), || ());
        Listening { plan, inlets, addresses, stopper, task }
    }
}

async fn run(receiver: Receiver, authenticators: Vec<Authenticator>, stop: Stop) {
    // Token files are watched as long as the receiver runs; dropping the set ends that.
    let mut watches = JoinSet::new();
    for authenticator in authenticators {
        let stop = stop.clone();
        watches.spawn(async move {
            if let Authenticator::Bearer(bearer) = authenticator {
                task::again("tokens", || bearer.watch(&stop)).await;
            }
        });
    }
    match receiver {
        Receiver::Otlp(otlp) => otlp.run(stop).await,
        Receiver::Loki(loki) => loki.run(stop).await,
        Receiver::FileLog(files) => files.run(stop).await,
        Receiver::Nop(nop) => nop.run(stop).await,
    }
}

impl Listening {
    /// Asks it to end within `grace`: it stops listening at once, answers the requests under way, and ends.
    pub fn stop(&self, grace: Duration) {
        self.stopper.stop(grace);
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        task::ended("receiver", self.task.await);
    }
}
