//! The configuration as a tree of nodes, each of which knows where it was written.
//!
//! Invariants: a map keeps the order of its keys and has no key twice; a tree is at most [`MAX_DEPTH`] deep, so that
//! whoever walks it may recurse. Comparing nodes compares values, not places: a reload that only moves lines changes
//! nothing. `Debug` shows no value: it may be secret.
//!
//! This module does NOT read YAML ([`super::parse`]), nor does it turn nodes into types ([`super::de`]).

use std::fmt;
use std::sync::Arc;

use super::path::{Path, Step};
use super::scalar::Scalar;
use super::source::Span;

/// How deep maps and lists may be nested, expansions included.
pub const MAX_DEPTH: usize = 64;

/// A value and where it was written.
#[derive(Clone)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it was written: a scalar's own text; for the map or list under a key, that key.
    pub span: Span,
    /// Set if the value came, wholly or in part, out of an expansion such as `${env:X}`: the text that a string field
    /// takes. Such text is never shown.
    pub expanded: Option<Arc<str>>,
}

/// What a [`Node`] is.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing: an empty value, or `null`.
    Null,
    /// A text, number or boolean.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A map.
    Map(Map),
    /// Not known: its expansion failed, and that has been reported. Nothing more is said about it.
    Broken,
}

/// A map in the order in which it was written.
#[derive(Clone, Default, PartialEq)]
pub struct Map {
    /// The entries; no key twice.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key was written.
    pub span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A node that was written in the configuration.
    pub fn new(value: Value, span: Span) -> Self {
        Node { value, span, expanded: None }
    }

    /// True for an empty value.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The map, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The text that a string field takes: as written, or as expanded.
    pub fn text(&self) -> Option<&str> {
        match (&self.expanded, &self.value) {
            (Some(text), _) => Some(text),
            (None, Value::Scalar(scalar)) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The node at the end of `path`; none if a step leads nowhere.
    pub fn find(&self, path: &Path) -> Option<&Node> {
        path.steps().iter().try_fold(self, |node, step| node.step(step))
    }

    /// The node at the last step of `path` that exists.
    pub fn nearest(&self, path: &Path) -> &Node {
        let mut node = self;
        for step in path.steps() {
            let Some(next) = node.step(step) else { break };
            node = next;
        }
        node
    }

    /// The place of the last step of `path` that exists, below this node: a key's own place where it has one.
    pub fn place(&self, path: &Path) -> &Span {
        let (mut node, mut span) = (self, &self.span);
        for step in path.steps() {
            let Some(next) = node.step(step) else { break };
            span = match (step, &next.value) {
                // A scalar is shown itself; everything else by its key.
                (Step::Key(key), Value::Map(_) | Value::Seq(_) | Value::Null) => {
                    node.as_map().and_then(|map| map.entry(key)).map_or(&next.span, |entry| &entry.span)
                }
                _ => &next.span,
            };
            node = next;
        }
        span
    }

    /// What kind of thing it is, for messages.
    pub fn noun(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
            Value::Broken => "an unknown value",
        }
    }

    /// Levels of nesting: 1 for a scalar.
    pub(super) fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar(_) | Value::Broken => 0,
            Value::Seq(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(map) => map.entries.iter().map(|e| e.value.depth()).max().unwrap_or(0),
        }
    }

    fn step(&self, step: &Step) -> Option<&Node> {
        match (step, &self.value) {
            (Step::Key(key), Value::Map(map)) => map.get(key),
            (Step::Index(index), Value::Seq(items)) => items.get(*index),
            _ => None,
        }
    }
}

impl PartialEq for Node {
    /// Equal values, wherever they were written.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.expanded == other.expanded
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {})", self.noun(), self.span)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Map {
    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }
}
