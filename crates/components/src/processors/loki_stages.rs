//! The `loki_stages` processor: Promtail's and Alloy's `pipeline_stages`, run on OTLP logs.
//!
//! This file is its configuration. The stages themselves are the crate `stages`; [`LokiStages`] runs them on requests.
//!
//! What a scalar in `stages` means is decided by the stage that reads it, as Promtail does: `y` is a text where a text is wanted, so
//! the tree's own texts are handed on, not what YAML would make of them.

pub mod alloy;
mod books;
pub mod findings;
mod request;
mod stage;

pub use books::Books;
pub use stage::LokiStages;

use config::environment::{Environment, ProcessEnvironment};
use config::node::{Node, Value as NodeValue};
use config::source::Source;
use config::{Diagnostic, Diagnostics, Located, Report, Validate, decode, path::Path};
use serde::Deserialize;
use serde_json::Value;
use stages::{Options, Pipeline, Stages};

/// The keys of the processor.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The stages, as in Promtail's `pipeline_stages` or with Alloy's names.
    pub stages: Stages,
    /// A file in Alloy's syntax that has them instead, in a `loki.process`.
    pub alloy_file: Option<String>,
    /// The label of that component, if the file has several.
    pub alloy_process: Option<String>,
    /// What `metrics` stages make.
    pub metrics: MetricsConfig,
}

/// What `metrics` stages make.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Where the name of a metric begins that sets no prefix of its own. Default: Alloy's, `loki_process_custom_`.
    pub prefix: String,
    /// Series that one metric may have. Default 10 000.
    pub max_series: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        let Options { metric_prefix, max_series } = Options::default();
        MetricsConfig { prefix: metric_prefix, max_series }
    }
}

/// Where names of the program's own metrics begin.
const OWN_PREFIXES: [&str; 3] = ["otelcol_", "bywash_", "target_"];

impl Config {
    /// Decodes and checks a processor's configuration. `None` if anything is wrong; all of that is in `diagnostics`.
    pub fn decode(at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Config> {
        let mut config: Config = decode(at, diagnostics)?;
        let mut found = Diagnostics::new();
        let written_here = at.node.find(&Path::root().key("stages")).map(|list| (list.clone(), at.path.key("stages")));
        let list = match &config.alloy_file {
            None => written_here,
            Some(file) => from_file(at, file, config.alloy_process.as_deref(), &mut found),
        };
        if let Some((list, path)) = list
            && let NodeValue::Seq(items) = &list.value
        {
            config.stages = Stages(items.iter().map(written).collect());
            findings::tell(&Pipeline::check(&config.stages, &config.options()), &list, &path, &mut found);
        }
        config.validate(&mut Report::new(at, &mut found));
        let is_sound = !found.has_errors();
        diagnostics.extend(found);
        is_sound.then_some(config)
    }

    /// What its stages have in common.
    pub(super) fn options(&self) -> Options {
        Options { metric_prefix: self.metrics.prefix.clone(), max_series: self.metrics.max_series }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.alloy_file.is_some() {
            if report.is_set("stages") {
                report.error("alloy_file", "stages are here, under `stages`, or in a file, not both");
            }
        } else if self.alloy_process.is_some() {
            report.error("alloy_process", "names a component of an `alloy_file`, and there is none");
        } else if self.stages.0.is_empty() {
            report.warning("stages", "there are no stages: logs pass as they are");
        }
        let prefix = &self.metrics.prefix;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if prefix.is_empty() || prefix.starts_with(|c: char| c.is_ascii_digit()) || !prefix.chars().all(fits) {
            report.error("metrics.prefix", "must be the beginning of a metric's name: letters, digits, _ and :");
        } else if OWN_PREFIXES.iter().any(|own| prefix.starts_with(own)) {
            report.error("metrics.prefix", "names that begin so are the program's own metrics");
        }
        if self.metrics.max_series == 0 {
            report.error("metrics.max_series", "must be greater than 0");
        }
    }
}

/// The stages in a file of Alloy's, and the path under which messages name them.
fn from_file(at: &Located<'_>, file: &str, which: Option<&str>, found: &mut Diagnostics) -> Option<(Node, Path)> {
    match ProcessEnvironment.file(file) {
        Ok(text) => alloy::stages(&Source::new(file, text), which, found),
        Err(why) => {
            let message = format!("cannot read the stages `{}`: {why}", file.escape_debug());
            let key = Path::root().key("alloy_file");
            found.push(Diagnostic::error(message).at(at.node.place(&key), &at.path.key("alloy_file")));
            None
        }
    }
}

/// A node as stages read it: scalars are the text that was written.
#[must_use]
pub fn written(node: &Node) -> Value {
    match (&node.value, node.text()) {
        (NodeValue::Seq(list), _) => Value::Array(list.iter().map(written).collect()),
        (NodeValue::Map(map), _) => {
            map.entries.iter().map(|entry| (entry.key.clone(), written(&entry.value))).collect()
        }
        (NodeValue::Scalar(_), Some(text)) => Value::String(text.to_owned()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
