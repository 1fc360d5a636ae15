//! Which components the program has: the tables of their types, and what each becomes when it is configured.
//!
//! To add a receiver, a processor or an extension: a row in its table, a variant of its enum, an arm where it is decoded, and
//! one where it is bound. Exporters have their own table beside them.

use crate::app::known::elsewhere;
use components::exporters::{self, ExporterConfig};
use components::extensions::authenticators::AuthConfig;
use components::extensions::{file_storage, health_check};
use components::processors::{StageConfig, batch, loki_stages, memory_limiter};
use components::receivers::{file_log, loki, nop, otlp};
use config::{ComponentId, Diagnostic, Diagnostics, Kind, Kinds, Located, decode_valid};
use net::server::keys;
use std::sync::Arc;
use wire::Signal;

/// What a configuration may name.
pub const KINDS: Kinds = Kinds {
    receivers: RECEIVERS,
    processors: PROCESSORS,
    exporters: exporters::KINDS,
    extensions: EXTENSIONS,
    elsewhere,
};

/// The same with the `summary`, which only the built-in configuration names.
pub const BUILT_IN_KINDS: Kinds = Kinds { exporters: &WITH_SUMMARY, ..KINDS };

const RECEIVERS: &[Kind] =
    &[Kind::new("otlp"), Kind::new("loki"), Kind { name: "file_log", aliases: &["filelog"] }, Kind::new("nop")];
const PROCESSORS: &[Kind] = &[
    Kind::new("attributes"),
    Kind::new("batch"),
    Kind::new("loki_stages"),
    Kind::new("memory_limiter"),
    Kind::new("resource"),
];
const EXTENSIONS: &[Kind] = &[
    Kind::new("health_check"),
    Kind::new(file_storage::KIND),
    Kind::new("bearertokenauth"),
    Kind::new("basicauth"),
    Kind::new("headers_setter"),
    Kind::new("oauth2client"),
    Kind::new("sigv4auth"),
    Kind::new("zpages"),
    Kind::new("pprof"),
    Kind::new("memory_ballast"),
];

const SUMMARY: &str = "summary";
static WITH_SUMMARY: [Kind; exporters::KINDS.len() + 1] = {
    let mut all = [Kind::new(SUMMARY); exporters::KINDS.len() + 1];
    let mut i = 0;
    while i < exporters::KINDS.len() {
        all[i] = exporters::KINDS[i];
        i += 1;
    }
    all
};

/// The signals that a component of this type takes.
#[must_use]
pub fn signals(kind: &str) -> &'static [Signal] {
    match kind {
        "file_log" | "loki" | "loki_stages" => &[Signal::Logs],
        "prometheus" => &[Signal::Metrics],
        "store" => &[Signal::Logs, Signal::Traces],
        _ => &Signal::ALL,
    }
}

/// A receiver of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceiverConfig {
    /// `otlp`.
    Otlp(Box<otlp::Config>),
    /// `loki`.
    Loki(Box<loki::Config>),
    /// `file_log`.
    FileLog(Box<file_log::Config>),
    /// `nop`.
    Nop(nop::Config),
}

impl ReceiverConfig {
    /// Decodes and checks one; `None` if anything is wrong.
    pub fn decode(kind: &str, at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<ReceiverConfig> {
        match kind {
            "otlp" => Some(ReceiverConfig::Otlp(Box::new(decode_valid(at, diagnostics)?))),
            "loki" => Some(ReceiverConfig::Loki(Box::new(decode_valid(at, diagnostics)?))),
            "file_log" => Some(ReceiverConfig::FileLog(Box::new(decode_valid(at, diagnostics)?))),
            "nop" => Some(ReceiverConfig::Nop(config::decode(at, diagnostics)?)),
            _ => None,
        }
    }

    /// Whether anything of this signal can come from it.
    #[must_use]
    pub fn gives(&self, signal: Signal) -> bool {
        match self {
            ReceiverConfig::Otlp(_) | ReceiverConfig::Nop(_) => true,
            ReceiverConfig::Loki(_) | ReceiverConfig::FileLog(_) => signal == Signal::Logs,
        }
    }

    /// The endpoints on which it listens.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        match self {
            ReceiverConfig::Otlp(otlp) => {
                let grpc = otlp.protocols.grpc.as_ref().filter(|c| c.enabled);
                let http = otlp.protocols.http.as_ref().filter(|c| c.enabled);
                let grpc = grpc.map(|c| keys::endpoint(&c.endpoint, &c.transport));
                grpc.into_iter().chain(http.map(|c| keys::endpoint(&c.endpoint, &c.transport))).collect()
            }
            ReceiverConfig::Loki(loki) => {
                let http = loki.protocols.http.as_ref().filter(|c| c.enabled);
                http.map(|c| keys::endpoint(&c.endpoint, &c.transport)).into_iter().collect()
            }
            ReceiverConfig::FileLog(_) | ReceiverConfig::Nop(_) => vec![],
        }
    }

    /// The storage that it names.
    #[must_use]
    pub fn stored_in(&self) -> Option<&ComponentId> {
        match self {
            ReceiverConfig::FileLog(config) => config.storage.as_ref(),
            _ => None,
        }
    }

    /// Whether it keeps headers of its senders.
    #[must_use]
    pub fn keeps_metadata(&self) -> bool {
        match self {
            ReceiverConfig::Otlp(otlp) => {
                let grpc = otlp.protocols.grpc.as_ref().filter(|c| c.enabled);
                let http = otlp.protocols.http.as_ref().filter(|c| c.enabled);
                grpc.is_some_and(|c| c.include_metadata) || http.is_some_and(|c| c.include_metadata)
            }
            ReceiverConfig::Loki(loki) => loki.protocols.http.as_ref().is_some_and(|c| c.enabled && c.include_metadata),
            ReceiverConfig::FileLog(_) | ReceiverConfig::Nop(_) => false,
        }
    }

    /// The authenticators it names, each with the key that names it.
    #[must_use]
    pub fn authenticators(&self) -> Vec<(&'static str, &ComponentId)> {
        let (grpc, http) = match self {
            ReceiverConfig::Otlp(otlp) => (
                otlp.protocols.grpc.as_ref().filter(|c| c.enabled).and_then(|c| c.auth.as_ref()),
                otlp.protocols.http.as_ref().filter(|c| c.enabled).and_then(|c| c.auth.as_ref()),
            ),
            ReceiverConfig::Loki(loki) => {
                (None, loki.protocols.http.as_ref().filter(|c| c.enabled).and_then(|c| c.auth.as_ref()))
            }
            ReceiverConfig::FileLog(_) | ReceiverConfig::Nop(_) => (None, None),
        };
        let grpc = grpc.map(|auth| ("protocols.grpc.auth.authenticator", &auth.authenticator));
        grpc.into_iter().chain(http.map(|auth| ("protocols.http.auth.authenticator", &auth.authenticator))).collect()
    }
}

/// A processor of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessorConfig {
    /// `batch`.
    Batch(batch::Config),
    /// One that runs as a stage: `attributes`, `loki_stages`, `resource`.
    Stage(StageConfig),
    /// `memory_limiter`.
    MemoryLimiter(memory_limiter::Config),
}

impl ProcessorConfig {
    /// Decodes and checks one; `None` if anything is wrong.
    pub fn decode(kind: &str, at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<ProcessorConfig> {
        match kind {
            "batch" => Some(ProcessorConfig::Batch(decode_valid(at, diagnostics)?)),
            "attributes" => {
                Some(ProcessorConfig::Stage(StageConfig::Attributes(Arc::new(decode_valid(at, diagnostics)?))))
            }
            "loki_stages" => {
                let config = loki_stages::Config::decode(at, diagnostics)?;
                Some(ProcessorConfig::Stage(StageConfig::LokiStages(Arc::new(config))))
            }
            "resource" => Some(ProcessorConfig::Stage(StageConfig::Resource(Arc::new(decode_valid(at, diagnostics)?)))),
            "memory_limiter" => Some(ProcessorConfig::MemoryLimiter(decode_valid(at, diagnostics)?)),
            _ => None,
        }
    }
}

/// Where a pipeline ends.
#[derive(Clone, Debug, PartialEq)]
pub enum DestinationConfig {
    /// An exporter.
    Exporter(ExporterConfig),
    /// The live summary on the terminal.
    Summary,
}

impl DestinationConfig {
    /// Decodes and checks one; `None` if anything is wrong.
    pub fn decode(kind: &str, at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<DestinationConfig> {
        match kind {
            SUMMARY => Some(DestinationConfig::Summary),
            _ => ExporterConfig::decode(kind, at, diagnostics).map(DestinationConfig::Exporter),
        }
    }

    /// Whether data waits in a queue in memory, which a crash would lose.
    #[must_use]
    pub fn queues_in_memory(&self) -> bool {
        match self {
            DestinationConfig::Exporter(config) => config.queues_in_memory(),
            DestinationConfig::Summary => true,
        }
    }
}

impl DestinationConfig {
    /// Why it can be sent nothing of this signal, if that is so.
    #[must_use]
    pub fn refuses(&self, signal: Signal) -> Option<String> {
        match self {
            DestinationConfig::Exporter(config) => config.refuses(signal),
            _ => None,
        }
    }
}

/// An extension of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum ExtensionConfig {
    /// `health_check`.
    HealthCheck(Box<health_check::Config>),
    /// `file_storage`.
    FileStorage(Box<file_storage::Config>),
    /// One that says who may send, or what is shown.
    Authenticator(Box<AuthConfig>),
    /// One that is accepted and does nothing.
    Nothing,
}

impl ExtensionConfig {
    /// Decodes and checks one; `None` if anything is wrong.
    pub fn decode(kind: &str, at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<ExtensionConfig> {
        let authenticator = |config| Some(ExtensionConfig::Authenticator(Box::new(config)));
        match kind {
            "health_check" => Some(ExtensionConfig::HealthCheck(Box::new(decode_valid(at, diagnostics)?))),
            file_storage::KIND => Some(ExtensionConfig::FileStorage(Box::new(decode_valid(at, diagnostics)?))),
            "bearertokenauth" => authenticator(AuthConfig::Bearer(decode_valid(at, diagnostics)?)),
            "basicauth" => authenticator(AuthConfig::Basic(decode_valid(at, diagnostics)?)),
            "headers_setter" => authenticator(AuthConfig::HeadersSetter(decode_valid(at, diagnostics)?)),
            "oauth2client" => authenticator(AuthConfig::OAuth2(Box::new(decode_valid(at, diagnostics)?))),
            "sigv4auth" => authenticator(AuthConfig::SigV4(decode_valid(at, diagnostics)?)),
            "memory_ballast" => {
                let message = "`memory_ballast` has no effect, and was removed from the collector: memory is bounded by \
                               `service.budget`, and there is no garbage collector to calm";
                diagnostics.push(Diagnostic::warning(message).at(&at.node.span, &at.path));
                Some(ExtensionConfig::Nothing)
            }
            "zpages" | "pprof" => {
                let message = format!("`{kind}` has no effect here: the metrics page shows the pipelines and lanes");
                diagnostics.push(Diagnostic::warning(message).at(&at.node.span, &at.path));
                Some(ExtensionConfig::Nothing)
            }
            _ => None,
        }
    }
}
