//! The configuration of stages: a list of single-key maps, in Promtail's spelling or with Alloy's names.
//!
//! [`Stages`] is what a configuration file holds; it keeps the values as they were read, and [`crate::Pipeline::new`] gives them
//! meaning. All that is wrong is told at once ([`Findings`]), and names the key it is about, as a path:
//! `[2].json.expressions.user`. Unknown keys are errors in Alloy's spelling; in Promtail's, which takes no notice of them, warnings.
//!
//! Scalars may be typed, or all be the text that was written: then what is wanted decides what `yes` or `0123` is.
//! A null where a map is expected is an empty map, so `- cri:` means `- cri: {}`; stages that need something say so.

mod reading;
mod scalar;

pub(crate) use reading::read;

use crate::go::{bytesize, duration};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The stages of a pipeline, as configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Stages(pub Vec<Value>);

/// What the stages of a pipeline have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the name of a metric begins that does not say so itself. Default: Alloy's, `loki_process_custom_`.
    pub metric_prefix: String,
    /// Series that one metric may have. Default 10 000.
    pub max_series: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { metric_prefix: "loki_process_custom_".to_owned(), max_series: 10_000 }
    }
}

/// Something that is wrong with a configuration, or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where: the place in the list of stages, the stage, and the keys below it.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The name that there is not, if that is what is wrong.
    pub unknown: Option<Unknown>,
}

/// A name that there is not, and those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What was written.
    pub name: String,
    /// What could have been.
    pub known: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match &self.unknown {
            Some(unknown) => write!(f, "; there are: {}", unknown.known.join(", ")),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with a configuration, or doubtful.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What makes it one that cannot be.
    pub errors: Vec<ConfigError>,
    /// What those who wrote it should know.
    pub warnings: Vec<ConfigError>,
}

/// Whose words a stage is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Promtail's, which takes no notice of keys that it does not know.
    #[default]
    Promtail,
    /// Alloy's, which refuses them: `stage.…`, the stages that only Alloy has, and what is written in a form that is only Alloy's.
    Alloy,
}

impl ConfigError {
    /// An error at `path`.
    pub fn new(path: &str, message: impl ToString) -> Self {
        Self { path: path.to_owned(), message: message.to_string(), unknown: None }
    }

    /// An error at the key `key` below `path`.
    pub fn at(path: &str, key: &str, message: impl ToString) -> Self {
        Self::new(&format!("{path}.{key}"), message)
    }
}

/// Names with what they are made from; null and `""` mean the name itself.
pub(crate) type Mapping = BTreeMap<String, Option<String>>;

/// The name and the source of each entry of a mapping.
pub(crate) fn sources(mapping: &Mapping) -> impl Iterator<Item = (&str, &str)> {
    mapping.iter().map(|(name, source)| (name.as_str(), source.as_deref().filter(|s| !s.is_empty()).unwrap_or(name)))
}

/// Whether a stage is configured in Alloy's form: the map under `values`, beside other options.
pub(crate) fn has_values(value: &Value) -> bool {
    value.get("values").is_some_and(Value::is_object)
}

/// Go's syntax for a duration: `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoDuration(pub i64);

impl GoDuration {
    /// As a duration; nothing negative.
    pub fn get(self) -> Duration {
        Duration::from_nanos(self.0.max(0) as u64)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse(&text).map(GoDuration).map_err(serde::de::Error::custom)
    }
}

/// A size, as Alloy or Promtail write it: `4KiB`, `8kb`, `8192`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub i64);

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytesize::parse(&text).map(ByteSize).map_err(serde::de::Error::custom)
    }
}

/// A list of text, or one text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Whether `name` is a label name as Prometheus always had them: `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_legacy_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    bytes.next().is_some_and(|b| *b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| *b == b'_' || b.is_ascii_alphanumeric())
}
