//! Stages in Alloy's own syntax: the `loki.process` components of a file, as the list of stages that the rest of this crate reads.
//!
//! | to change | open |
//! |---|---|
//! | what a token is | [`lexer`] |
//! | what a file is: blocks, attributes, values | [`parser`] |
//! | which blocks are stages, and what they become | [`process`] |
//!
//! It is a subset of the language: values are literals. What would have to be evaluated (`env("X")`, a reference to another
//! component, an operator) is refused by name where a stage has it, and let pass everywhere else. Components that are not
//! `loki.process` are named and passed over.
//!
//! Pure: no file is opened, nothing is looked up. Nesting is bounded, so that whoever walks the result may recurse.

mod lexer;
mod parser;
mod process;

pub use process::{File, Passed, Process, read};

use serde_json::Value as Json;

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start in characters, from 1.
    pub column: usize,
}

/// Something that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", place.line, place.column)]
pub struct AlloyError {
    /// Where.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl AlloyError {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

/// A value, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// A text, number or truth value, as text: what is wanted decides what it is.
    Scalar(String),
    /// A list.
    List(Vec<Tree>),
    /// Keys, where each is, and their values.
    Map(Vec<(String, Place, Tree)>),
    /// What would have to be evaluated, in words: ``the call `env(…)` ``.
    Expression(String),
}

impl Tree {
    /// The value as the stages of this crate are configured; what would have to be evaluated is null.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Expression(_) => Json::Null,
            Value::Scalar(text) => Json::from(text.as_str()),
            Value::List(items) => items.iter().map(Tree::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, _, value)| (key.clone(), value.to_json())).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
