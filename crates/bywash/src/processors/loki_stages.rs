//! The `loki_stages` processor: Promtail's and Alloy's `pipeline_stages`, run on OTLP logs.
//!
//! This file is its configuration. The stages themselves are the crate `stages`; [`LokiStages`] runs them on requests.
//!
//! What a scalar in `stages` means is decided by the stage that reads it, as Promtail does: `y` is a text where a text is wanted, so
//! the tree's own texts are handed on, not what YAML would make of them.

mod books;
mod request;
mod stage;

pub use books::Books;
pub use stage::LokiStages;

use crate::config::node::{Node, Value as NodeValue};
use crate::config::suggest::nearest;
use crate::config::{Diagnostics, Located, Report, Validate, decode, path::Path};
use serde::Deserialize;
use serde_json::Value;
use stages::{ConfigError, NAMES, Options, Pipeline, Stages};

/// The keys of the processor.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The stages, as in Promtail's `pipeline_stages` or with Alloy's names.
    pub stages: Stages,
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
        if let Some(NodeValue::Seq(list)) = at.node.find(&Path::root().key("stages")).map(|node| &node.value) {
            config.stages = Stages(list.iter().map(written).collect());
        }
        let mut found = Diagnostics::new();
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
        if self.stages.0.is_empty() {
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
        let mut unknown = vec![];
        unknown_stages(&self.stages.0, "stages", &mut unknown);
        for (key, message) in &unknown {
            report.error(key, message.as_str());
        }
        if !unknown.is_empty() {
            return;
        }
        if let Err(error) = Pipeline::with_options(&self.stages, &self.options()) {
            for error in errors(&self.stages, &self.options(), error) {
                report.error(&key(&error.path), error.message);
            }
        }
    }
}

/// Everything that is wrong with stages, of which `first` is what building them stopped at: each stage is tried by itself, and so are
/// those within others; if each is in order, it is what is wrong with all together.
#[must_use]
pub fn errors(list: &Stages, options: &Options, first: ConfigError) -> Vec<ConfigError> {
    let mut all = vec![];
    each_alone(&list.0, "", options, &mut all);
    if all.is_empty() { vec![first] } else { all }
}

/// Tries each stage of the list at the path `at`.
fn each_alone(list: &[Value], at: &str, options: &Options, all: &mut Vec<ConfigError>) {
    for (i, stage) in list.iter().enumerate() {
        let mut within = vec![];
        for (name, config) in stage.as_object().into_iter().flatten() {
            if let Some(nested) = config.get("stages").and_then(Value::as_array) {
                let name = name.strip_prefix("stage.").unwrap_or(name);
                each_alone(nested, &format!("{at}[{i}].{name}.stages"), options, &mut within);
            }
        }
        if let Err(error) = Pipeline::with_options(&Stages(vec![stage.clone()]), options) {
            let path = format!("{at}{}", error.path.replacen("[0]", &format!("[{i}]"), 1));
            // What it says of one within it, that one has said itself.
            if within.iter().all(|known| known.path != path) {
                all.push(ConfigError { path, ..error });
            }
        }
        all.append(&mut within);
    }
}

/// A node as stages read it: scalars are the text that was written.
fn written(node: &Node) -> Value {
    match (&node.value, node.text()) {
        (NodeValue::Seq(list), _) => Value::Array(list.iter().map(written).collect()),
        (NodeValue::Map(map), _) => {
            map.entries.iter().map(|entry| (entry.key.clone(), written(&entry.value))).collect()
        }
        (NodeValue::Scalar(_), Some(text)) => Value::String(text.to_owned()),
        _ => Value::Null,
    }
}

/// The names of stages that there are not, each with the key it stands at.
fn unknown_stages(list: &[Value], at: &str, found: &mut Vec<(String, String)>) {
    for (i, stage) in list.iter().enumerate() {
        for (written, config) in stage.as_object().into_iter().flatten() {
            let name = written.strip_prefix("stage.").unwrap_or(written);
            if !NAMES.contains(&name) {
                let hint = match nearest(name, NAMES) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => format!("; there are: {}", NAMES.join(", ")),
                };
                found.push((format!("{at}.{i}.{written}"), format!("unknown stage `{}`{hint}", name.escape_debug())));
            }
            if let Some(Value::Array(nested)) = config.get("stages") {
                unknown_stages(nested, &format!("{at}.{i}.{written}.stages"), found);
            }
        }
    }
}

/// The key, below the processor, of a path in its stages: `[1].match.stages[0]` is `stages.1.match.stages.0`.
fn key(path: &str) -> String {
    format!("stages.{}", path.replace('[', ".").replace(']', "").trim_start_matches('.'))
}

#[cfg(test)]
mod tests;
