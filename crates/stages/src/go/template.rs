//! Go's text/template, as the `template` and `replace` stages use it.
//!
//! The whole language: pipelines, variables, if, with, range, define, template, block, break, continue, trim markers; the
//! built-in functions and sprig's text functions. Data is one flat map of texts.
//!
//! Templates are written by tenants, so everything is bounded: steps, output, the size of each value, recursion. Functions
//! that reach outside or are not repeatable are not there: environment, network, keys, randomness, the clock.
//! A function that fails makes the whole template fail, and the stage leaves its entry.

mod decimal;
mod eval;
mod format;
mod functions;
mod lexer;
mod parser;
mod value;

use crate::entry::Extracted;
use crate::shared::Shared;
use crate::text::Text;
use parser::{Block, Define};
use std::sync::Arc;

/// The most bytes a template may print, and a value may have.
pub(crate) const MAX_OUTPUT: usize = 256 << 10;
/// The longest template.
const MAX_SOURCE: usize = 64 << 10;

/// A template that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: line {line}: {what}")]
pub struct TemplateError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A template that failed on its data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExecError(pub String);

/// What a template is run on.
#[derive(Debug)]
pub struct Data<'a> {
    /// The fields.
    pub extracted: &'a Extracted,
    /// `.Value`, over a field of that name.
    pub value: Option<Text>,
    /// `.Entry`, over a field of that name.
    pub line: Option<&'a Text>,
}

impl Data<'_> {
    /// A field as text; null fields are not there.
    fn get(&self, name: &[u8]) -> Option<Text> {
        match (name, &self.value, self.line) {
            (b"Value", Some(value), _) => Some(value.clone()),
            (b"Entry", _, Some(line)) => Some(line.clone()),
            _ => self.extracted.get_named(name)?.into_text(),
        }
    }

    /// Gives a field as text to `print`, if it is there.
    fn print<T>(&self, name: &[u8], print: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match (name, &self.value, self.line) {
            (b"Value", Some(value), _) => Some(print(value)),
            (b"Entry", _, Some(line)) => Some(print(line)),
            _ => self.extracted.print(name, print),
        }
    }

    /// All fields, sorted by name.
    fn all(&self) -> std::collections::BTreeMap<Text, Text> {
        let fields = self.extracted.sorted().into_iter();
        let mut all: std::collections::BTreeMap<Text, Text> =
            fields.filter_map(|(name, value)| Some((name, value.into_text()?))).collect();
        if let Some(value) = &self.value {
            all.insert(Text::from_static("Value"), value.clone());
        }
        if let Some(line) = self.line {
            all.insert(Text::from_static("Entry"), line.clone());
        }
        all
    }
}

/// A template, ready to run. Equal templates share one, process-wide.
#[derive(Clone, Debug)]
pub struct Template(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    main: Block,
    defines: Vec<Define>,
}

impl Template {
    /// Reads a template.
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_SOURCE {
            return Err(TemplateError { line: 1, what: format!("longer than {MAX_SOURCE} bytes") });
        }
        static KNOWN: Shared<String, Parsed> = Shared::new();
        let parsed = KNOWN.get(source.to_owned(), |source| {
            let (main, defines) = parser::parse(lexer::lex(source)?)?;
            Ok(Parsed { main, defines })
        });
        parsed.map(Self)
    }

    /// Runs the template.
    pub fn execute(&self, data: &Data<'_>) -> Result<Vec<u8>, ExecError> {
        eval::execute(&self.0.main, &self.0.defines, data)
    }
}

#[cfg(test)]
mod tests;
