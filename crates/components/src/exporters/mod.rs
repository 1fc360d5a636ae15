//! Exporters: what telemetry leaves by. Each makes one attempt at a time; everything else is the lane's.
//!
//! To add one: a file, a variant of [`ExporterConfig`] and of [`Built`], a row of [`KINDS`], a docs page.

pub mod debug;
pub mod load_balancing;
pub mod loki;
pub mod nop;
pub mod otlp_client;
pub mod otlp_grpc;
pub mod otlp_http;
pub mod prometheus;
pub mod queue;
pub mod store;
#[cfg(test)]
mod tests;

use config::duration::GoDuration;
use config::validate::decode_valid;
use config::{ComponentId, Diagnostics, Kind, Located};
use flow::batcher::BatchConfig;
use flow::origin::Partitioned;
use flow::outlet::OutletConfig;
use flow::router::Direct;
use flow::spool::Spool;
use flow::{Budget, Exporter, Outgoing, Outlet, Router, Target};
use net::client::auth::{Credentials, Road};
use queue::{RetryOnFailure, SendingQueue, outlet_config};
use std::sync::Arc;
use wire::Signal;

/// The types of exporters, with the names they had.
pub const KINDS: &[Kind] = &[
    Kind { name: "otlp_grpc", aliases: &["otlp"] },
    Kind { name: "otlp_http", aliases: &["otlphttp"] },
    Kind { name: "load_balancing", aliases: &["loadbalancing"] },
    Kind::new("loki"),
    Kind::new("prometheus"),
    Kind::new("store"),
    Kind { name: "debug", aliases: &["logging"] },
    Kind::new("nop"),
];

/// Why an exporter could not be built from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// The configuration of an exporter of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum ExporterConfig {
    /// `otlp_grpc`.
    OtlpGrpc(Box<otlp_grpc::Config>),
    /// `otlp_http`.
    OtlpHttp(Box<otlp_http::Config>),
    /// `load_balancing`.
    LoadBalancing(Box<load_balancing::Config>),
    /// `loki`.
    Loki(Box<loki::Config>),
    /// `prometheus`.
    Prometheus(Box<prometheus::Config>),
    /// `store`.
    Store(Box<store::Config>),
    /// `debug`.
    Debug(debug::Config),
    /// `nop`.
    Nop(nop::Config),
}

impl ExporterConfig {
    /// Decodes and checks the configuration of the type called `kind`, one of the names in [`KINDS`]. `None` if anything is wrong
    /// with it: all of that is in `diagnostics`.
    pub fn decode(kind: &str, at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<ExporterConfig> {
        Some(match kind {
            "otlp_grpc" => ExporterConfig::OtlpGrpc(Box::new(decode_valid(at, diagnostics)?)),
            "otlp_http" => ExporterConfig::OtlpHttp(Box::new(decode_valid(at, diagnostics)?)),
            "load_balancing" => ExporterConfig::LoadBalancing(Box::new(decode_valid(at, diagnostics)?)),
            "loki" => ExporterConfig::Loki(Box::new(decode_valid(at, diagnostics)?)),
            "prometheus" => ExporterConfig::Prometheus(Box::new(decode_valid(at, diagnostics)?)),
            "store" => ExporterConfig::Store(Box::new(decode_valid(at, diagnostics)?)),
            "debug" => ExporterConfig::Debug(decode_valid(at, diagnostics)?),
            "nop" => ExporterConfig::Nop(decode_valid(at, diagnostics)?),
            _ => return None,
        })
    }

    /// Why it can be sent nothing of this signal, if that is so.
    #[must_use]
    pub fn refuses(&self, signal: Signal) -> Option<String> {
        match self {
            ExporterConfig::OtlpHttp(c) if !c.takes(signal) => {
                Some(format!("either `endpoint` or `{signal}_endpoint` must be specified to send {signal}"))
            }
            ExporterConfig::LoadBalancing(c) => c.key(signal).err(),
            ExporterConfig::Loki(_) if signal != Signal::Logs => Some(format!("takes logs only, not {signal}")),
            ExporterConfig::Prometheus(_) if signal != Signal::Metrics => {
                Some(format!("takes metrics only, not {signal}"))
            }
            ExporterConfig::Store(_) if signal == Signal::Metrics => {
                Some(format!("takes logs and traces only, not {signal}"))
            }
            _ => None,
        }
    }

    /// The storage extension that keeps its queue, with the key that names it.
    #[must_use]
    pub fn stored_in(&self) -> Option<(&'static str, &ComponentId)> {
        let queue = match self {
            ExporterConfig::OtlpGrpc(c) => &c.0.sending_queue,
            ExporterConfig::OtlpHttp(c) => &c.sending_queue,
            ExporterConfig::Loki(c) => &c.sending_queue,
            ExporterConfig::Store(c) => &c.sending_queue,
            ExporterConfig::LoadBalancing(c) => return c.stored_in(),
            ExporterConfig::Prometheus(c) => c.sending_queue.as_ref()?,
            ExporterConfig::Debug(c) => c.sending_queue.as_ref()?,
            ExporterConfig::Nop(_) => return None,
        };
        Some(("sending_queue.storage", queue.stored_in()?))
    }

    /// The authenticator whose credentials it shows, with the key that names it.
    #[must_use]
    pub fn authenticator(&self) -> Option<(&'static str, &ComponentId)> {
        let (key, auth) = match self {
            ExporterConfig::OtlpGrpc(c) => ("auth.authenticator", &c.0.auth),
            ExporterConfig::OtlpHttp(c) => ("auth.authenticator", &c.auth),
            ExporterConfig::Loki(c) => ("auth.authenticator", &c.auth),
            ExporterConfig::LoadBalancing(c) => ("protocol.otlp.auth.authenticator", &c.protocol.otlp.auth),
            ExporterConfig::Prometheus(_)
            | ExporterConfig::Store(_)
            | ExporterConfig::Debug(_)
            | ExporterConfig::Nop(_) => return None,
        };
        Some((key, &auth.as_ref()?.authenticator))
    }

    /// How its credentials travel.
    #[must_use]
    pub fn road(&self) -> Road {
        match self {
            ExporterConfig::OtlpGrpc(c) if !c.0.uses_tls() => Road::PlainGrpc,
            ExporterConfig::LoadBalancing(c) if !c.protocol.otlp.uses_tls() => Road::PlainGrpc,
            ExporterConfig::OtlpGrpc(_) | ExporterConfig::LoadBalancing(_) => Road::Grpc,
            _ => Road::Http,
        }
    }

    /// The names of what the origin of requests says by whose values its batches are divided, of its own; and how many may differ.
    #[must_use]
    pub fn partition(&self) -> Option<&queue::Partition> {
        match self {
            ExporterConfig::OtlpGrpc(c) => c.0.sending_queue.partition(),
            ExporterConfig::OtlpHttp(c) => c.sending_queue.partition(),
            ExporterConfig::Loki(c) => c.sending_queue.partition(),
            ExporterConfig::Store(c) => c.sending_queue.partition(),
            ExporterConfig::LoadBalancing(c) => c.partition(),
            ExporterConfig::Prometheus(_) | ExporterConfig::Debug(_) | ExporterConfig::Nop(_) => None,
        }
    }

    /// Whether data waits in a queue in memory, which a crash would lose.
    #[must_use]
    pub fn queues_in_memory(&self) -> bool {
        let is_on = match self {
            ExporterConfig::OtlpGrpc(c) => c.0.sending_queue.enabled,
            ExporterConfig::OtlpHttp(c) => c.sending_queue.enabled,
            ExporterConfig::Loki(c) => c.sending_queue.enabled,
            ExporterConfig::Store(c) => c.sending_queue.enabled,
            ExporterConfig::LoadBalancing(c) => c.is_queued(),
            ExporterConfig::Prometheus(c) => c.queue().enabled,
            ExporterConfig::Debug(c) => c.queue().enabled,
            ExporterConfig::Nop(_) => false,
        };
        is_on && self.stored_in().is_none()
    }
}

/// Requests whose batches and lanes stay apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    /// By the values of these names of their origin.
    pub names: Arc<[Arc<str>]>,
    /// So many may differ at once. 0: as many as there may be lanes.
    pub limit: u64,
}

/// An exporter that was built: its connections are shared by the outlets of all signals.
pub struct Built {
    name: String,
    timeout: GoDuration,
    queue: SendingQueue,
    retry: RetryOnFailure,
    kind: BuiltKind,
}

enum BuiltKind {
    OtlpGrpc(otlp_client::OtlpGrpc),
    OtlpHttp(otlp_http::OtlpHttp),
    LoadBalancing(load_balancing::LoadBalancing),
    Loki(loki::Loki),
    Prometheus(prometheus::Prometheus),
    Store(store::Store),
    Debug(debug::Debug),
    Nop(nop::Nop),
}

/// Builds the exporter called `name`, its component id, which shows these credentials. Nothing is connected to yet.
///
/// # Errors
/// What is wrong with the configuration, such as a certificate file that cannot be read.
pub fn build(name: &str, config: &ExporterConfig, credentials: Option<Credentials>) -> Result<Built, BuildError> {
    // Without a queue of their own, `debug` and `nop` are called by whoever brings the data.
    let off = || SendingQueue { enabled: false, ..SendingQueue::default() };
    let never = || RetryOnFailure { enabled: false, ..RetryOnFailure::default() };
    let (kind, timeout, queue, retry) = match config {
        ExporterConfig::OtlpGrpc(c) => {
            let c = &c.0;
            let kind = BuiltKind::OtlpGrpc(otlp_client::OtlpGrpc::new(c)?.with_credentials(credentials));
            (kind, c.timeout, c.sending_queue.clone(), c.retry_on_failure.clone())
        }
        ExporterConfig::OtlpHttp(c) => {
            let kind = BuiltKind::OtlpHttp(otlp_http::OtlpHttp::new(c)?.with_credentials(credentials));
            (kind, c.timeout, c.sending_queue.clone(), c.retry_on_failure.clone())
        }
        // It has the keys of two levels: it makes the configuration of its outlets itself.
        ExporterConfig::LoadBalancing(c) => {
            let kind = BuiltKind::LoadBalancing(load_balancing::LoadBalancing::new(name, c, credentials)?);
            (kind, c.timeout, off(), never())
        }
        ExporterConfig::Loki(c) => {
            let kind = BuiltKind::Loki(loki::Loki::new(c)?.with_credentials(credentials));
            (kind, c.timeout, c.sending_queue.clone(), c.retry_on_failure.clone())
        }
        ExporterConfig::Prometheus(c) => {
            let kind = BuiltKind::Prometheus(prometheus::Prometheus::new(name, c)?);
            (kind, GoDuration::default(), c.queue(), never())
        }
        ExporterConfig::Store(c) => {
            let kind = BuiltKind::Store(store::Store::new(name, c)?);
            (kind, c.timeout, c.sending_queue.clone(), c.retry_on_failure.clone())
        }
        ExporterConfig::Debug(c) => {
            (BuiltKind::Debug(debug::Debug::new(name, c)), GoDuration::default(), c.queue(), never())
        }
        ExporterConfig::Nop(_) => (BuiltKind::Nop(nop::Nop), GoDuration::default(), off(), never()),
    };
    Ok(Built { name: name.to_owned(), timeout, queue, retry, kind })
}

impl Built {
    /// The exporter, if it balances over backends: for a look at them.
    #[must_use]
    pub fn load_balancer(&self) -> Option<load_balancing::LoadBalancing> {
        match &self.kind {
            BuiltKind::LoadBalancing(exporter) => Some(exporter.clone()),
            _ => None,
        }
    }

    /// The outlet for one signal, within the budget of the process, with what is to stay `apart`. `pipeline_batch` is what a `batch` processor of the
    /// pipeline asks for; the exporter's own `sending_queue.batch` comes before it. What waits is kept in `durable`, if there is
    /// one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the exporter has nowhere to send this signal to.
    pub fn outlet(
        &self,
        signal: Signal,
        budget: Budget,
        pipeline_batch: Option<BatchConfig>,
        apart: &Apart,
        durable: Option<Arc<Spool>>,
    ) -> Result<Arc<dyn Outgoing>, BuildError> {
        let limit = budget.stock().limit();
        let batch = match &self.kind {
            BuiltKind::Loki(exporter) => Some(exporter.batching(pipeline_batch.clone())),
            _ => pipeline_batch.clone(),
        };
        let mut config = outlet_config(&self.name, self.timeout, &self.queue, &self.retry, limit, batch);
        if apart.limit > 0 {
            config.max_lanes = usize::try_from(apart.limit).unwrap_or(usize::MAX);
        }
        let within = (budget, apart, durable);
        Ok(match &self.kind {
            BuiltKind::OtlpGrpc(exporter) => direct(config, within, exporter.clone(), exporter.target()),
            BuiltKind::OtlpHttp(exporter) if !exporter.takes(signal) => {
                return Err(BuildError(format!(
                    "either `endpoint` or `{signal}_endpoint` must be specified to send {signal}"
                )));
            }
            BuiltKind::OtlpHttp(exporter) => direct(config, within, exporter.clone(), exporter.target()),
            BuiltKind::Loki(_) if signal != Signal::Logs => {
                return Err(BuildError(format!("loki takes logs only, not {signal}")));
            }
            BuiltKind::Loki(exporter) => {
                let config = OutletConfig { max_lanes: exporter.max_lanes(), ..config };
                routed(config, within, exporter.clone(), exporter.router())
            }
            BuiltKind::LoadBalancing(exporter) => {
                let (budget, apart, durable) = within;
                exporter.outlet(signal, budget, pipeline_batch, apart, durable)?
            }
            BuiltKind::Prometheus(_) if signal != Signal::Metrics => {
                return Err(BuildError(format!("prometheus takes metrics only, not {signal}")));
            }
            BuiltKind::Prometheus(exporter) => direct(config, within, exporter.clone(), exporter.target()),
            BuiltKind::Store(_) if signal == Signal::Metrics => {
                return Err(BuildError(format!("store takes logs and traces only, not {signal}")));
            }
            BuiltKind::Store(exporter) => routed(config, within, exporter.clone(), exporter.router()),
            BuiltKind::Debug(exporter) => direct(config, within, exporter.clone(), exporter.target()),
            BuiltKind::Nop(exporter) => direct(config, within, *exporter, Target::new("nop")),
        })
    }
}

/// Where an outlet stands: the budget, what stays apart, and what waits on disk.
type Within<'a> = (Budget, &'a Apart, Option<Arc<Spool>>);

fn direct<E: Exporter>(config: OutletConfig, within: Within<'_>, exporter: E, target: Target) -> Arc<dyn Outgoing> {
    routed(config, within, exporter, Direct(target))
}

fn routed<E: Exporter, R: Router>(
    config: OutletConfig,
    (budget, apart, durable): Within<'_>,
    exporter: E,
    router: R,
) -> Arc<dyn Outgoing> {
    let router = Partitioned::new(router, apart.names.clone());
    match durable {
        Some(spool) => Outlet::durable(config, budget, exporter, router, Arc::new(()), spool),
        None => Arc::new(Outlet::within(config, budget, exporter, router)),
    }
}
