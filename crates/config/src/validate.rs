//! What values mean: checks that the types of a component cannot express.
//!
//! A component's configuration implements [`Validate`] and reports through a [`Report`], naming the key only; the place in
//! the text is found from the tree. Invariant: it runs on values that decoded without error. It does NOT stop at the first
//! finding.

use serde::de::DeserializeOwned;

use super::de::{Located, decode};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::Node;
use super::path::Path;

/// Checks that go beyond types.
pub trait Validate {
    /// Reports everything that is wrong or doubtful with `self`.
    fn validate(&self, report: &mut Report<'_>);
}

/// Where a [`Validate`] reports to. Keys are dotted, below the value that is being checked; a number is an index:
/// `tls.min_version`, `readers.0.pull`; the empty key is the value itself.
pub struct Report<'a> {
    at: &'a Located<'a>,
    prefix: String,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Report<'a> {
    /// A report on the value of this node.
    pub fn new(at: &'a Located<'a>, diagnostics: &'a mut Diagnostics) -> Self {
        Report { at, prefix: String::new(), diagnostics }
    }

    /// The value of `key` makes the configuration unusable.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        self.push(key, Diagnostic::error(message));
    }

    /// The value of `key` names something that is not on this machine: an error, unless the configuration is read for another one.
    pub fn absent(&mut self, key: &str, message: impl Into<String>) {
        self.push(key, Diagnostic::error(message).absent());
    }

    /// The user should know something about the value of `key`.
    pub fn warning(&mut self, key: &str, message: impl Into<String>) {
        self.push(key, Diagnostic::warning(message));
    }

    /// Checks a part; its keys are below `key`.
    pub fn nested(&mut self, key: &str, part: &impl Validate) {
        let below = if self.prefix.is_empty() { key.to_owned() } else { format!("{}.{key}", self.prefix) };
        let mut report = Report { at: self.at, prefix: below, diagnostics: self.diagnostics };
        part.validate(&mut report);
    }

    /// True if the key was written in the configuration, even if it was left empty.
    pub fn is_set(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// True if the key was written and is not empty; of a block, if it is not switched off either.
    pub fn is_in_use(&self, key: &str) -> bool {
        let Some(node) = self.node(key) else { return false };
        let enabled = node.as_map().and_then(|map| map.get("enabled")).and_then(Node::text);
        !node.is_null() && enabled.is_none_or(|text| !text.eq_ignore_ascii_case("false"))
    }

    fn node(&self, key: &str) -> Option<&Node> {
        self.at.node.find(&Path::root().dotted(&self.prefix).dotted(key))
    }

    fn push(&mut self, key: &str, diagnostic: Diagnostic) {
        let below = Path::root().dotted(&self.prefix).dotted(key);
        let path = self.at.path.dotted(&self.prefix).dotted(key);
        self.diagnostics.push(diagnostic.at(self.at.node.place(&below), &path));
    }
}

/// Decodes a node and checks the value. None if anything is wrong; all of that is in `diagnostics`.
pub fn decode_valid<T: DeserializeOwned + Validate>(at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<T> {
    let value: T = decode(at, diagnostics)?;
    let mut found = diagnostics.of_part();
    value.validate(&mut Report::new(at, &mut found));
    let sound = !found.has_errors();
    diagnostics.extend(found);
    sound.then_some(value)
}
