//! What a configuration means: everything decoded, checked and worked out, and nothing started.
//!
//! [`read`] goes from the arguments to a [`Plan`] in one pass that finds every error. A plan is plain data and can be compared
//! part by part, which is how a reload knows what may stay.
//!
//! Invariants: a plan refers only to what it holds; each (exporter, signal) is one outlet, however many pipelines name it. It opens no socket and no file but those of the configuration.

mod apart;
pub mod auth;
mod budget;
mod storage;

use crate::app::components::{DestinationConfig, ExtensionConfig, ProcessorConfig, ReceiverConfig};
use crate::app::gates;
use apart::{NO_METADATA, wanted};
use auth::{AuthPlan, Authenticators};
use components::exporters::Apart;
use components::extensions::authenticators::AuthConfig;
use components::extensions::{file_storage, health_check};
use components::processors::{StageConfig, batch};
use config::environment::Environment;
use config::node::Node;
use config::path::Path;
use config::service::{Acknowledge, Ingest, LogsConfig, ServiceConfig};
use config::{Component, ComponentId, Diagnostic, Diagnostics, Document, Kinds, PipelineId, load};
use flow::batcher::BatchConfig;
use flow::inlet::InletConfig;
use flow::spool::StorageConfig;
use http::HeaderName;
use net::origin::is_header;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use wire::Signal;

pub use storage::StoragePlan;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `--config`, in order.
    pub configs: Vec<String>,
    /// `--set`, in order.
    pub sets: Vec<String>,
    /// `--feature-gates`, in order.
    pub gates: Vec<String>,
    /// The types it may name.
    pub kinds: Kinds,
}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The memory budget.
    pub budget: flow::BudgetConfig,
    /// How inlets behave.
    pub inlet: InletConfig,
    /// Receivers that a pipeline names.
    pub receivers: Vec<ReceiverPlan>,
    /// Exporters that a pipeline names, one per signal.
    pub outlets: Vec<OutletPlan>,
    /// The pipelines.
    pub pipelines: Vec<PipelinePlan>,
    /// The storage extensions that run.
    pub storages: Vec<StoragePlan>,
    /// The health pages.
    pub health: Vec<health_check::Config>,
    /// Where the metrics page is, `host:port`.
    pub metrics: Option<String>,
    /// The log.
    pub logs: LogsConfig,
    /// Attributes of the program as a resource.
    pub resource: Vec<(String, String)>,
    /// How long the end may take.
    pub shutdown_timeout: Duration,
    /// The files it was read from.
    pub files: Vec<String>,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiverPlan {
    /// Its id.
    pub id: ComponentId,
    /// Its own keys.
    pub config: ReceiverConfig,
    /// The authenticators it names.
    pub authenticators: Vec<(ComponentId, AuthConfig)>,
    /// The header that names a tenant.
    pub tenant_header: Option<HeaderName>,
    /// What is asked of the origin of its requests.
    pub wanted: Arc<[Arc<str>]>,
    /// The storage in which it keeps its positions.
    pub storage: Option<file_storage::Config>,
}

/// An exporter, for one signal.
#[derive(Clone, Debug, PartialEq)]
pub struct OutletPlan {
    /// Its id.
    pub id: ComponentId,
    /// What it sends.
    pub signal: Signal,
    /// Its own keys.
    pub config: DestinationConfig,
    /// What a `batch` processor of its pipelines asks for.
    pub batch: Option<BatchConfig>,
    /// What it shows to say who sends.
    pub auth: Option<AuthPlan>,
    /// Which of its requests never share a batch.
    pub apart: Apart,
    /// Where it keeps what waits, if not in memory.
    pub storage: Option<StorageConfig>,
}

impl OutletPlan {
    /// Whether both mean the same outlet, whatever its bounds on disk: those can change while it lives.
    #[must_use]
    pub fn is_same(&self, other: &OutletPlan) -> bool {
        let directory = |plan: &OutletPlan| plan.storage.as_ref().map(|storage| storage.directory.clone());
        self.has_same_exporter(other)
            && (self.signal, &self.batch, &self.apart, directory(self))
                == (other.signal, &other.batch, &other.apart, directory(other))
    }

    /// Whether both are sent by the same exporter, for the same signal or another.
    #[must_use]
    pub fn has_same_exporter(&self, other: &OutletPlan) -> bool {
        (&self.id, &self.config, &self.auth) == (&other.id, &other.config, &other.auth)
    }
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelinePlan {
    /// Its id.
    pub id: PipelineId,
    /// What it carries.
    pub signal: Signal,
    /// Where it begins.
    pub receivers: Vec<ComponentId>,
    /// The memory limiters in it.
    pub limiters: Vec<ComponentId>,
    /// The stages in it, in order.
    pub stages: Vec<StagePlan>,
    /// Where it ends: places in [`Plan::outlets`].
    pub outlets: Vec<usize>,
}

/// A processor that runs as a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// Its id.
    pub id: ComponentId,
    /// Its own keys.
    pub config: StageConfig,
}

/// Reads a configuration. `None` if anything is wrong with it; all of that is in `diagnostics`, as are warnings.
pub fn read(sources: &Sources, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> Option<Plan> {
    read_whole(sources, environment, diagnostics).map(|(plan, _)| plan)
}

/// The merged and expanded tree of a configuration; if it is to be `validated`, only of one that could be run.
pub fn tree(
    sources: &Sources,
    environment: &dyn Environment,
    validated: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    if validated {
        return read_whole(sources, environment, diagnostics).map(|(_, root)| root);
    }
    load(&sources.configs, &sources.sets, environment, diagnostics).map(|loaded| loaded.root)
}

fn read_whole(sources: &Sources, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> Option<(Plan, Node)> {
    gates::check(&sources.gates, diagnostics);
    let loaded = load(&sources.configs, &sources.sets, environment, diagnostics)?;
    let document = Document::read(&loaded.root, &sources.kinds, diagnostics);
    let decoded = Decoded::of(&document, diagnostics);
    let mut plan = decoded.plan(&document, &loaded.root, diagnostics);
    drop(document);
    diagnostics.redact(&loaded.root);
    plan.files = loaded.files;
    (!diagnostics.has_errors()).then_some((plan, loaded.root))
}

/// The components of a document that are in order.
struct Decoded {
    receivers: HashMap<ComponentId, ReceiverConfig>,
    processors: HashMap<ComponentId, ProcessorConfig>,
    exporters: HashMap<ComponentId, DestinationConfig>,
    extensions: HashMap<ComponentId, ExtensionConfig>,
}

impl Decoded {
    fn of(document: &Document<'_>, diagnostics: &mut Diagnostics) -> Decoded {
        type Decode<T> = fn(&str, &config::Located<'_>, &mut Diagnostics) -> Option<T>;
        fn all<T>(
            components: &[Component<'_>],
            decode: Decode<T>,
            diagnostics: &mut Diagnostics,
        ) -> HashMap<ComponentId, T> {
            components.iter().filter_map(|c| Some((c.id.clone(), decode(c.kind, &c.at, diagnostics)?))).collect()
        }
        Decoded {
            receivers: all(&document.receivers, ReceiverConfig::decode, diagnostics),
            processors: all(&document.processors, ProcessorConfig::decode, diagnostics),
            exporters: all(&document.exporters, DestinationConfig::decode, diagnostics),
            extensions: all(&document.extensions, ExtensionConfig::decode, diagnostics),
        }
    }

    fn plan(&self, document: &Document<'_>, root: &Node, diagnostics: &mut Diagnostics) -> Plan {
        let service = &document.service;
        let limiters = service.pipelines.0.iter().flat_map(|(_, p)| &p.processors).filter_map(|id| {
            let component = document.processors.iter().find(|c| c.id == *id)?;
            match self.processors.get(id)? {
                ProcessorConfig::MemoryLimiter(config) => Some((component, config)),
                ProcessorConfig::Batch(_) | ProcessorConfig::Stage(_) => None,
            }
        });
        if !service.telemetry.logs.initial_fields.is_empty() {
            let path = Path::root().dotted("service.telemetry.logs.initial_fields");
            let message = "has no effect here: lines hold what the event says, and nothing more";
            diagnostics.push(Diagnostic::warning(message).at(root.place(&path), &path));
        }
        let is_written = root.find(&Path::root().dotted("service.budget.limit")).is_some();
        let budget = budget::budget(&service.budget, is_written, limiters, diagnostics);
        let storages = storage::running(&service.extensions, &self.extensions, &document.extensions, diagnostics);
        let stored =
            storage::references(&self.exporters, &document.exporters, &storages, &document.extensions, diagnostics);
        let positions =
            storage::positions(&self.receivers, &document.receivers, &storages, &document.extensions, diagnostics);
        let auth = Authenticators { document, extensions: &self.extensions };
        let shown = auth.of_exporters(&self.exporters, diagnostics);
        let (pipelines, mut outlets) = self.pipelines(service, &shown, root, diagnostics);
        let wanted = wanted(&outlets, &pipelines);
        for outlet in &mut outlets {
            let exporters = &document.exporters;
            outlet.storage = stored.get(&outlet.id).map(|config| {
                config.storage(&storage::queue_of(&outlet.id, outlet.signal, config, exporters), outlet.signal)
            });
        }
        Plan {
            receivers: self.receivers(&auth, &wanted, &positions, diagnostics),
            inlet: InletConfig {
                acknowledge: acknowledge(service, &outlets, root, diagnostics),
                sync: service.ingest == Ingest::Sync,
                slow_threshold: service.budget.slow_threshold.0,
            },
            budget,
            outlets,
            pipelines,
            storages,
            health: service.extensions.iter().filter_map(|id| self.health(id)).collect(),
            metrics: service.telemetry.metrics.prometheus().map(|reader| endpoint(&reader.host, reader.port)),
            logs: service.telemetry.logs.clone(),
            resource: resource(service),
            shutdown_timeout: service.shutdown_timeout.0,
            files: vec![],
        }
    }

    fn health(&self, id: &ComponentId) -> Option<health_check::Config> {
        match self.extensions.get(id)? {
            ExtensionConfig::HealthCheck(config) => Some(config.as_ref().clone()),
            _ => None,
        }
    }

    /// The receivers that a pipeline names, with the authenticators that they name.
    fn receivers(
        &self,
        auth: &Authenticators<'_>,
        wanted: &Arc<[Arc<str>]>,
        positions: &HashMap<ComponentId, file_storage::Config>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<ReceiverPlan> {
        let document = auth.document;
        let service = &document.service;
        let header = service.budget.tenant.header.as_deref();
        let is_used = |id: &ComponentId| service.pipelines.0.iter().any(|(_, p)| p.receivers.contains(id));
        let mut plans = vec![];
        for component in &document.receivers {
            let Some(config) = self.receivers.get(&component.id) else { continue };
            let named = config.authenticators().into_iter();
            let found =
                named.filter_map(|(key, id)| Some((id.clone(), auth.of_receiver(component, (key, id), diagnostics)?)));
            let authenticators = found.collect();
            if is_used(&component.id) {
                plans.push(ReceiverPlan {
                    id: component.id.clone(),
                    config: config.clone(),
                    authenticators,
                    tenant_header: header.and_then(|name| HeaderName::try_from(name).ok()),
                    wanted: wanted.clone(),
                    storage: positions.get(&component.id).cloned(),
                });
            }
        }
        plans
    }

    /// The processors of a pipeline that run as stages.
    fn stages(
        &self,
        processors: &[ComponentId],
        signal: Signal,
        path: &Path,
        root: &Node,
        diagnostics: &mut Diagnostics,
    ) -> Vec<StagePlan> {
        let mut stages = vec![];
        for (i, id) in processors.iter().enumerate() {
            let Some(ProcessorConfig::Stage(config)) = self.processors.get(id) else { continue };
            if let Some(why) = config.refuses(signal) {
                let path = path.index(i);
                let message = format!("processor `{id}` {why}");
                diagnostics.push(Diagnostic::error(message).at(root.place(&path), &path));
            }
            stages.push(StagePlan { id: id.clone(), config: config.clone() });
        }
        stages
    }

    /// The pipelines, and the outlets they end in.
    fn pipelines(
        &self,
        service: &ServiceConfig,
        shown: &HashMap<ComponentId, AuthPlan>,
        root: &Node,
        diagnostics: &mut Diagnostics,
    ) -> (Vec<PipelinePlan>, Vec<OutletPlan>) {
        let mut outlets: Vec<OutletPlan> = vec![];
        let mut pipelines = vec![];
        for (id, pipeline) in &service.pipelines.0 {
            let path = Path::root().key("service").key("pipelines").key(&id.to_string());
            let signal = signal(id);
            let stages = self.stages(&pipeline.processors, signal, &path.key("processors"), root, diagnostics);
            let mut tell = |key: &str, new: fn(String) -> Diagnostic, message: String| {
                let path = path.key(key);
                diagnostics.push(new(message).at(root.place(&path), &path));
            };
            let processors = || pipeline.processors.iter().filter_map(|id| Some((id, self.processors.get(id)?)));
            let batches: Vec<&batch::Config> = processors()
                .filter_map(|(_, p)| if let ProcessorConfig::Batch(batch) = p { Some(batch) } else { None })
                .collect();
            if batches.len() > 1 {
                let text = "of several batch processors only the last has an effect";
                tell("processors", Diagnostic::warning, text.to_owned());
            }
            let batch = batches.last().map(|batch| batch.batching());
            let keeps = |config: &ReceiverConfig| config.keeps_metadata();
            let has_metadata = pipeline.receivers.iter().any(|id| self.receivers.get(id).is_none_or(keeps));
            for receiver in &pipeline.receivers {
                if self.receivers.get(receiver).is_some_and(|config| !config.gives(signal)) {
                    tell("receivers", Diagnostic::error, format!("receiver `{receiver}` does not take {signal}"));
                }
            }
            for stage in &stages {
                if !has_metadata && stage.config.wanted().iter().any(|name| is_header(name)) {
                    tell("processors", Diagnostic::warning, format!("processor `{}` {NO_METADATA}", stage.id));
                }
            }
            let mut ends = vec![];
            for exporter in &pipeline.exporters {
                let Some(config) = self.exporters.get(exporter) else { continue };
                if let Some(why) = config.refuses(signal) {
                    tell(
                        "exporters",
                        Diagnostic::error,
                        format!("exporter `{exporter}` does not take {signal}: {why}"),
                    );
                }
                let at = outlets.iter().position(|o| o.id == *exporter && o.signal == signal).unwrap_or_else(|| {
                    let (id, config, batch) = (exporter.clone(), config.clone(), batch.clone());
                    let (auth, apart) = (shown.get(exporter).cloned(), Apart::default());
                    outlets.push(OutletPlan { id, signal, config, batch, auth, apart, storage: None });
                    outlets.len() - 1
                });
                outlets[at].keep_apart(batches.last().copied());
                if !has_metadata && outlets[at].apart.names.iter().any(|name| is_header(name)) {
                    tell("exporters", Diagnostic::warning, format!("exporter `{exporter}` {NO_METADATA}"));
                }
                if outlets[at].batch != batch {
                    let text = "is batched as the first pipeline that names it asks for, not as this one does";
                    tell("exporters", Diagnostic::warning, format!("exporter `{exporter}` {text}"));
                }
                if !ends.contains(&at) {
                    ends.push(at);
                }
            }
            let is_limiter = |p: &ProcessorConfig| matches!(p, ProcessorConfig::MemoryLimiter(_));
            pipelines.push(PipelinePlan {
                id: id.clone(),
                signal,
                receivers: pipeline.receivers.clone(),
                limiters: processors().filter(|(_, p)| is_limiter(p)).map(|(id, _)| id.clone()).collect(),
                stages,
                outlets: ends,
            });
        }
        (pipelines, outlets)
    }
}

/// When success is answered. If nobody said, what is on disk is waited for.
fn acknowledge(
    service: &ServiceConfig,
    outlets: &[OutletPlan],
    root: &Node,
    diagnostics: &mut Diagnostics,
) -> flow::Acknowledge {
    let path = |key: &str| Path::root().key("service").key(key);
    if service.ingest == Ingest::Sync && outlets.iter().any(|outlet| outlet.storage.is_some()) {
        let message = "nothing is queued, so that `storage` has no effect";
        diagnostics.push(Diagnostic::warning(message).at(root.place(&path("ingest")), &path("ingest")));
    }
    match service.acknowledge {
        None if outlets.iter().any(|outlet| outlet.storage.is_some()) => flow::Acknowledge::Durable,
        None | Some(Acknowledge::Queued) => flow::Acknowledge::Queued,
        Some(Acknowledge::Delivered) => flow::Acknowledge::Delivered,
        Some(Acknowledge::Durable) => {
            let mut in_memory: Vec<&ComponentId> =
                outlets.iter().filter(|outlet| outlet.config.queues_in_memory()).map(|outlet| &outlet.id).collect();
            in_memory.dedup();
            for id in in_memory {
                let message = format!(
                    "`durable` needs `sending_queue.storage` in exporter `{id}`, whose queue is in memory; without \
                     `acknowledge`, those that have storage are waited for"
                );
                diagnostics.push(Diagnostic::error(message).at(root.place(&path("acknowledge")), &path("acknowledge")));
            }
            flow::Acknowledge::Durable
        }
    }
}

fn signal(id: &PipelineId) -> Signal {
    match id.signal {
        config::id::Signal::Logs => Signal::Logs,
        config::id::Signal::Traces => Signal::Traces,
        config::id::Signal::Metrics => Signal::Metrics,
    }
}

fn endpoint(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// `service.name` and `service.version`, and what the configuration adds, replaces or (with null) drops.
fn resource(service: &ServiceConfig) -> Vec<(String, String)> {
    let mut all = vec![
        ("service.name".to_owned(), "bywash".to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut set = |name: &str, value: &serde_json::Value| {
        all.retain(|(known, _)| known != name);
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => all.push((name.to_owned(), text.clone())),
            other => all.push((name.to_owned(), other.to_string())),
        }
    };
    for (name, value) in &service.telemetry.resource {
        match (name.as_str(), value) {
            ("attributes", serde_json::Value::Array(list)) => {
                for item in list {
                    if let (Some(name), Some(value)) = (item["name"].as_str(), item.get("value")) {
                        set(name, value);
                    }
                }
            }
            ("schema_url" | "detectors" | "detection/development", _) => {}
            _ => set(name, value),
        }
    }
    all
}

#[cfg(test)]
mod tests;
