//! Tests of the configuration as a whole: from arguments to decoded components and printed errors.

mod decode;
mod errors;
mod expand;
mod gateway;
mod load;
mod parse;
mod random;

use std::collections::HashMap;

use serde::Deserialize;

use super::environment::Environment;
use super::node::Node;
use super::path::Path;
use super::source::Source;
use super::*;

/// A world of given variables and files.
#[derive(Default)]
pub(super) struct World {
    vars: HashMap<String, String>,
    files: HashMap<String, String>,
}

impl World {
    pub(super) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }
}

impl Environment for World {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

/// Parses a text that must be in order.
pub(super) fn tree(text: &str) -> Node {
    let mut diagnostics = Diagnostics::new();
    let node = crate::parse::parse(&Source::new("test.yaml", text), &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    node.unwrap()
}

/// A node as JSON, numbers and all; what came out of an expansion is marked with its text.
pub(super) fn json(node: &Node) -> serde_json::Value {
    let mut diagnostics = Diagnostics::new();
    let at = Located { node, path: Path::root() };
    let value = decode(&at, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    value.unwrap_or_default()
}

/// TLS as exporters have it, cut down.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub insecure: bool,
    pub ca_file: Option<String>,
    pub key_pem: Option<Secret>,
    pub min_version: String,
    pub reload_interval: GoDuration,
}

/// How an exporter compresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    #[default]
    Gzip,
    Zstd,
    None,
}

/// An exporter with the usual blocks, cut down.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exporter {
    pub endpoint: String,
    #[serde(default)]
    pub tls: Tls,
    #[serde(default)]
    pub compression: Compression,
    #[serde(default)]
    pub headers: HashMap<String, Secret>,
    #[serde(default = "five_seconds")]
    pub timeout: GoDuration,
    #[serde(default)]
    pub sending_queue: Queue,
}

/// A queue, cut down.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Queue {
    pub enabled: bool,
    pub num_consumers: u16,
    pub queue_size: u64,
    pub batch: Option<Batch>,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { enabled: true, num_consumers: 10, queue_size: 1000, batch: None }
    }
}

/// A batcher, cut down.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Batch {
    pub flush_timeout: GoDuration,
    pub min_size: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Batch { flush_timeout: GoDuration::from_millis(200), min_size: 8192 }
    }
}

fn five_seconds() -> GoDuration {
    GoDuration::from_secs(5)
}

impl Validate for Exporter {
    fn validate(&self, report: &mut Report<'_>) {
        if self.endpoint.is_empty() {
            report.error("endpoint", "must not be empty");
        }
        report.nested("tls", &self.tls);
        if self.sending_queue.batch.as_ref().is_some_and(|batch| batch.min_size > self.sending_queue.queue_size) {
            report.error("sending_queue.batch.min_size", "must not be above `queue_size`");
        }
    }
}

impl Validate for Tls {
    fn validate(&self, report: &mut Report<'_>) {
        if !["", "1.2", "1.3"].contains(&self.min_version.as_str()) {
            report.error("min_version", "must be 1.2 or 1.3");
        }
    }
}

/// A component without keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nop {}

pub(super) const KINDS: Kinds = Kinds {
    receivers: &[Kind::new("otlp"), Kind::new("nop")],
    processors: &[Kind::new("batch"), Kind::new("memory_limiter")],
    exporters: &[
        Kind { name: "otlp_grpc", aliases: &["otlp"] },
        Kind { name: "otlp_http", aliases: &["otlphttp"] },
        Kind::new("debug"),
        Kind::new("nop"),
    ],
    extensions: &[Kind::new("health_check"), Kind::new("zpages")],
    elsewhere: |noun, kind| ((noun, kind) == ("exporter", "jaeger")).then_some("was removed"),
};

/// Loads a configuration and decodes its exporters, as the program would; returns all that was found.
pub(super) fn check(configs: &[&str], sets: &[&str], world: &World) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    if let Some(loaded) = load(&own(configs), &own(sets), world, &mut diagnostics) {
        let document = Document::read(&loaded.root, &KINDS, &mut diagnostics);
        for exporter in &document.exporters {
            match exporter.kind {
                "otlp_grpc" | "otlp_http" => drop(decode_valid::<Exporter>(&exporter.at, &mut diagnostics)),
                _ => drop(decode::<Nop>(&exporter.at, &mut diagnostics)),
            }
        }
    }
    diagnostics
}
