//! Names of components and pipelines: `type[/name]`.
//!
//! The rules are the OpenTelemetry Collector's: a type is a letter followed by up to 62 letters, digits or underscores; a name
//! has no spaces, control characters or symbols and at most 1024 characters; blanks around both are cut off.
//!
//! Invariant: an id is valid, and prints as it is written in the configuration. It does NOT know which types there are.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

const LONGEST_KIND: usize = 63;
const LONGEST_NAME: usize = 1024;

/// The id of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    /// The type as written, which may be an alias: `otlp_grpc`.
    pub kind: String,
    /// What tells components of one type apart; empty for the one without a name.
    pub name: String,
}

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is there.
    #[error("the id is empty")]
    Empty,
    /// `/name`
    #[error("the part before the / is empty in the id `{0}`")]
    NoKind(String),
    /// `type/`
    #[error("the part after the / is empty in the id `{0}`")]
    NoName(String),
    /// The type has other characters than it may have.
    #[error("the type `{0}` is not a letter followed by letters, digits or underscores, 63 at most")]
    Kind(String),
    /// The name has other characters than it may have.
    #[error("the name `{0}` has spaces or symbols, or is longer than 1024 characters")]
    Name(String),
    /// A pipeline's signal is not known.
    #[error("`{0}` is no signal: a pipeline is traces, metrics or logs, with /name if there are several")]
    Signal(String),
    /// A signal that exists, but not here.
    #[error("profiles are not supported: a pipeline is traces, metrics or logs")]
    Profiles,
}

/// Splits `type[/name]`.
fn split(text: &str) -> Result<(String, String), IdError> {
    let (kind, name) = match text.split_once('/') {
        Some((kind, name)) => (kind.trim(), Some(name.trim())),
        None => (text.trim(), None),
    };
    match (kind, name) {
        ("", None) => return Err(IdError::Empty),
        ("", Some(_)) => return Err(IdError::NoKind(text.to_owned())),
        (_, Some("")) => return Err(IdError::NoName(text.to_owned())),
        _ => {}
    }
    let letters = kind.starts_with(|c: char| c.is_ascii_alphabetic());
    if !letters || kind.len() > LONGEST_KIND || !kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(IdError::Kind(kind.to_owned()));
    }
    let name = name.unwrap_or_default();
    // Go's \pS beyond ASCII (currency signs, arrows …) is let pass: there is no table of it here, and no harm in it.
    let symbol = |c: char| c.is_whitespace() || c.is_control() || "$+<=>^`|~".contains(c);
    if name.chars().count() > LONGEST_NAME || name.contains(symbol) {
        return Err(IdError::Name(name.to_owned()));
    }
    Ok((kind.to_owned(), name.to_owned()))
}

impl ComponentId {
    /// The id of the only component of a type.
    pub fn unnamed(kind: &str) -> Self {
        ComponentId { kind: kind.to_owned(), name: String::new() }
    }
}

impl FromStr for ComponentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        split(text).map(|(kind, name)| ComponentId { kind, name })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, &self.kind, &self.name)
    }
}

fn write_id(f: &mut fmt::Formatter<'_>, kind: &str, name: &str) -> fmt::Result {
    match name {
        "" => f.write_str(kind),
        name => write!(f, "{kind}/{name}"),
    }
}

impl Serialize for ComponentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ComponentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What kind of telemetry a pipeline carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Metric points.
    Metrics,
}

impl Signal {
    /// Every signal, in the order in which they are listed everywhere.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

    /// The word for it in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }
}

/// The id of a pipeline: `traces`, `logs/audit`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId {
    /// What it carries.
    pub signal: Signal,
    /// What tells pipelines of one signal apart; empty for the one without a name.
    pub name: String,
}

impl FromStr for PipelineId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (kind, name) = split(text)?;
        match Signal::ALL.into_iter().find(|signal| signal.as_str() == kind) {
            Some(signal) => Ok(PipelineId { signal, name }),
            None if kind == "profiles" => Err(IdError::Profiles),
            None => Err(IdError::Signal(kind)),
        }
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, self.signal.as_str(), &self.name)
    }
}

impl<'de> Deserialize<'de> for PipelineId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are split at the first slash, blanks around the parts do not count.
    #[test]
    fn ids_are_type_and_name() {
        for (text, kind, name) in [
            ("otlp", "otlp", ""),
            ("otlp/a", "otlp", "a"),
            ("otlp/a/b", "otlp", "a/b"),
            (" otlp / a ", "otlp", "a"),
            ("otlp_grpc/eu-west.1", "otlp_grpc", "eu-west.1"),
            ("nop/日本", "nop", "日本"),
        ] {
            let expected = ComponentId { kind: kind.to_owned(), name: name.to_owned() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert_eq!("otlp/a".parse::<ComponentId>().unwrap().to_string(), "otlp/a");
    }

    /// What is no id is refused with its reason.
    #[test]
    fn bad_ids_are_refused_with_their_reason() {
        let own = str::to_owned;
        for (text, error) in [
            ("", IdError::Empty),
            ("  ", IdError::Empty),
            ("/a", IdError::NoKind(own("/a"))),
            ("otlp/", IdError::NoName(own("otlp/"))),
            ("1otlp", IdError::Kind(own("1otlp"))),
            ("ot-lp", IdError::Kind(own("ot-lp"))),
            ("otlp/a b", IdError::Name(own("a b"))),
            ("otlp/$a", IdError::Name(own("$a"))),
        ] {
            assert_eq!(text.parse::<ComponentId>(), Err(error), "{text}");
        }
        assert!("a".repeat(64).parse::<ComponentId>().is_err());
    }

    /// A pipeline is named by its signal; profiles get their own answer.
    #[test]
    fn pipelines_are_named_by_signal() {
        let logs = PipelineId { signal: Signal::Logs, name: "audit".to_owned() };
        assert_eq!("logs/audit".parse(), Ok(logs));
        assert_eq!("profiles".parse::<PipelineId>(), Err(IdError::Profiles));
        assert_eq!("trace".parse::<PipelineId>(), Err(IdError::Signal("trace".to_owned())));
    }
}
