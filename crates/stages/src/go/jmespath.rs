//! JMESPath expressions as the json stage takes them: the community edition, with arithmetic, `let`, `$` and slices of strings.
//!
//! Most are plain field paths (`user.name`), which [`Expression::Fields`] tells apart so that no document tree has to be built; the
//! others are parsed ([`parser`]) and run on a tree ([`eval`], [`functions`]), as `jmespath-community/go-jmespath` does. Numbers
//! are floats, as Go's decoder makes them, but for whole ones that a float would change, which keep their digits. An expression that fails at run time (a function given the wrong type, a function
//! that does not exist) has no result. Keys of objects are sorted wherever their order shows; the peer's is random.
//!
//! Length, tokens and work are limited: an expression comes from a tenant, and may double what it is given.

mod eval;
mod functions;
mod lexer;
mod parser;

use crate::entry::Value;
use crate::go::number::{format_json, is_beyond_float};
use serde_json::Value as Json;
use std::sync::Arc;

/// The most bytes an expression may have.
const MAX_LENGTH: usize = 1024;
/// The most tokens an expression may have; it bounds how deep parsing and running recurse.
const MAX_TOKENS: usize = 256;

/// An expression that could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not compile JMESPath expression `{0}`: {1}")]
pub struct JmespathError(String, String);

/// A compiled expression.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A path of fields.
    Fields(Vec<String>),
    /// Anything else.
    Compiled(Compiled),
}

/// An expression that needs a document's tree.
#[derive(Clone, Debug)]
pub struct Compiled(Arc<parser::Node>);

/// A document as expressions see it.
#[derive(Clone, Debug)]
pub struct Document(Json);

impl Document {
    /// The document of a JSON tree.
    pub fn new(mut tree: Json) -> Self {
        floats(&mut tree);
        Self(tree)
    }
}

/// Makes numbers floats, so that 1 equals 1.0; but for those that a float would change.
fn floats(tree: &mut Json) {
    match tree {
        Json::Number(number) if is_beyond_float(number.to_string().as_bytes()) => {}
        Json::Number(number) => *tree = number.as_f64().map_or(Json::Null, Json::from),
        Json::Array(values) => values.iter_mut().for_each(floats),
        Json::Object(values) => values.values_mut().for_each(floats),
        Json::Null | Json::Bool(_) | Json::String(_) => {}
    }
}

impl Expression {
    /// Compiles an expression.
    pub fn new(source: &str) -> Result<Self, JmespathError> {
        if let Some(fields) = field_path(source) {
            return Ok(Expression::Fields(fields));
        }
        let refuse = |why: String| JmespathError(source.to_owned(), why);
        if source.len() > MAX_LENGTH {
            return Err(refuse(format!("longer than {MAX_LENGTH} bytes")));
        }
        let tokens = lexer::tokens(source).map_err(refuse)?;
        if tokens.len() > MAX_TOKENS {
            return Err(refuse(format!("more than {MAX_TOKENS} tokens")));
        }
        parser::parse(tokens).map(|node| Expression::Compiled(Compiled(Arc::new(node)))).map_err(refuse)
    }

    /// The value of the expression; `None` where evaluating fails.
    pub fn search(&self, document: &Document) -> Option<Value> {
        match self {
            Expression::Fields(fields) => {
                let mut at = &document.0;
                for field in fields {
                    at = at.get(field).unwrap_or(&Json::Null);
                }
                Some(simplify(at))
            }
            Expression::Compiled(compiled) => eval::run(&compiled.0, &document.0).map(|found| simplify(&found)),
        }
    }
}

/// `a."b c".d`: identifiers, quoted or not, with dots between them.
fn field_path(source: &str) -> Option<Vec<String>> {
    let (mut fields, mut rest) = (Vec::new(), source.trim());
    loop {
        let field;
        if rest.starts_with('"') {
            let mut scanner = crate::json::Scanner::new(rest.as_bytes());
            let raw = scanner.string().ok()?;
            field = String::from_utf8(crate::json::unescape(&rest.as_bytes()[raw.start..raw.end])).ok()?;
            rest = &rest[scanner.position()..];
        } else {
            let len = rest.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count();
            if len == 0 || rest.as_bytes()[0].is_ascii_digit() {
                return None;
            }
            field = rest[..len].to_owned();
            rest = &rest[len..];
        }
        fields.push(field);
        if rest.is_empty() {
            return Some(fields);
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// Objects and arrays become JSON text, the rest stays.
fn simplify(found: &Json) -> Value {
    match found {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) if !value.is_f64() => Value::Integer(value.to_string().into()),
        Json::Number(value) => value.as_f64().map_or(Value::Null, Value::Number),
        Json::String(value) => Value::Text(value.as_str().into()),
        Json::Array(_) | Json::Object(_) => {
            let mut out = Vec::new();
            write(found, &mut out, &format_json);
            Value::Text(out.into())
        }
    }
}

/// Writes JSON compactly, escaped as Go does, numbers as `number` says.
fn write(value: &Json, out: &mut Vec<u8>, number: &dyn Fn(f64) -> String) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Json::Number(value) if !value.is_f64() => out.extend_from_slice(value.to_string().as_bytes()),
        Json::Number(value) => out.extend_from_slice(number(value.as_f64().unwrap_or_default()).as_bytes()),
        Json::String(value) => out.extend_from_slice(&crate::json::quote(value.as_bytes())),
        Json::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                out.push(if i == 0 { b'[' } else { b',' });
                write(value, out, number);
            }
            out.extend_from_slice(if values.is_empty() { b"[]" } else { b"]" });
        }
        Json::Object(values) => {
            for (i, (key, value)) in values.iter().enumerate() {
                out.push(if i == 0 { b'{' } else { b',' });
                out.extend_from_slice(&crate::json::quote(key.as_bytes()));
                out.push(b':');
                write(value, out, number);
            }
            out.extend_from_slice(if values.is_empty() { b"{}" } else { b"}" });
        }
    }
}

#[cfg(test)]
mod tests;
