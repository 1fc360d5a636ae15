//! The dotted path of a value in the configuration, such as `exporters.otlp/a.tls.insecure` or `…readers[0].pull`.
//!
//! Invariant: a path names keys only, never values. It does NOT know the tree; [`super::node::Node::find`] walks it.

use std::fmt;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into the map, to this key.
    Key(String),
    /// Into the list, to this element, from 0.
    Index(usize),
}

/// The way from the root of the configuration to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The root: the whole configuration.
    pub fn root() -> Self {
        Path::default()
    }

    /// The steps from the root on.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// True for the whole configuration.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path and one key more.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// This path and one list index more.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// This path followed by dotted keys; a part that is a number is a list index: `readers.0.pull`.
    #[must_use]
    pub fn dotted(&self, keys: &str) -> Self {
        let mut path = self.clone();
        for part in keys.split('.').filter(|part| !part.is_empty()) {
            path.0.push(match part.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key(part.to_owned()),
            });
        }
        path
    }

    /// The keys of the path, without list indices.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    fn with(&self, step: Step) -> Self {
        let mut path = self.clone();
        path.0.push(step);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{}", key.escape_debug())?,
                Step::Key(key) => write!(f, ".{}", key.escape_debug())?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
