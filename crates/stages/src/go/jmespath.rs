//! JMESPath expressions as the json stage takes them.
//!
//! Most are plain field paths (`user.name`), which [`Expression::Fields`] tells apart so that no document tree has to be
//! built; the others run on a tree, by the `jmespath` crate. All numbers are floats, as Go's decoder makes them. An expression
//! that fails at run time (a function given the wrong type) has no result.
//!
//! Length and nesting are limited, because evaluation recurses.

use crate::entry::Value;
use crate::go::number::format_json;
use jmespath::{Rcvar, Variable};
use std::sync::Arc;

/// The most bytes an expression may have.
const MAX_LENGTH: usize = 1024;
/// The deepest nesting of brackets in an expression.
const MAX_NESTING: usize = 32;

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
    Compiled(Arc<jmespath::Expression<'static>>),
}

/// A document as expressions see it.
#[derive(Clone, Debug)]
pub struct Document(Rcvar);

impl Document {
    /// The document of a JSON tree.
    pub fn new(tree: serde_json::Value) -> Self {
        Self(Rcvar::new(Variable::try_from(tree).unwrap_or(Variable::Null)))
    }
}

impl Expression {
    /// Compiles an expression.
    pub fn new(source: &str) -> Result<Self, JmespathError> {
        if let Some(fields) = field_path(source) {
            return Ok(Expression::Fields(fields));
        }
        let refuse = |why: &str| JmespathError(source.to_owned(), why.to_owned());
        if source.len() > MAX_LENGTH {
            return Err(refuse("longer than 1024 bytes"));
        }
        let (mut open, mut digits, mut quote) = (0usize, 0usize, None);
        for byte in source.bytes() {
            if let Some(end) = quote {
                if byte == end {
                    quote = None;
                }
                continue;
            }
            // Indexes and steps near the edge of 32 bits overflow in the evaluator.
            digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
            if digits > 9 {
                return Err(refuse("a number of more than nine digits"));
            }
            match byte {
                b'\'' | b'"' | b'`' => quote = Some(byte),
                b'[' | b'(' | b'{' => open += 1,
                b']' | b')' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_NESTING {
                return Err(refuse("nested deeper than 32 brackets"));
            }
        }
        let compiled = jmespath::compile(source)
            .map_err(|error| refuse(error.to_string().lines().next().unwrap_or("syntax error")))?;
        Ok(Expression::Compiled(Arc::new(compiled)))
    }

    /// The value of the expression; `None` where evaluating fails.
    pub fn search(&self, document: &Document) -> Option<Value> {
        match self {
            Expression::Fields(fields) => {
                let mut at = Rcvar::clone(&document.0);
                for field in fields {
                    at = at.get_field(field);
                }
                Some(simplify(&at))
            }
            Expression::Compiled(expression) => {
                expression.search(Rcvar::clone(&document.0)).ok().map(|found| simplify(&found))
            }
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
fn simplify(found: &Variable) -> Value {
    match found {
        Variable::Null | Variable::Expref(_) => Value::Null,
        Variable::Bool(value) => Value::Bool(*value),
        Variable::Number(value) => value.as_f64().map_or(Value::Null, Value::Number),
        Variable::String(value) => Value::Text(value.as_str().into()),
        Variable::Array(_) | Variable::Object(_) => {
            let mut out = Vec::new();
            write(found, &mut out);
            Value::Text(out.into())
        }
    }
}

fn write(value: &Variable, out: &mut Vec<u8>) {
    match value {
        Variable::Null | Variable::Expref(_) => out.extend_from_slice(b"null"),
        Variable::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Variable::Number(value) => {
            out.extend_from_slice(format_json(value.as_f64().unwrap_or_default()).as_bytes());
        }
        Variable::String(value) => out.extend_from_slice(&crate::json::quote(value.as_bytes())),
        Variable::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                out.push(if i == 0 { b'[' } else { b',' });
                write(value, out);
            }
            out.extend_from_slice(if values.is_empty() { b"[]" } else { b"]" });
        }
        Variable::Object(values) => {
            for (i, (key, value)) in values.iter().enumerate() {
                out.push(if i == 0 { b'{' } else { b',' });
                out.extend_from_slice(&crate::json::quote(key.as_bytes()));
                out.push(b':');
                write(value, out);
            }
            out.extend_from_slice(if values.is_empty() { b"{}" } else { b"}" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn search(source: &str, document: &str) -> Option<Value> {
        let tree = crate::json::tree(document.as_bytes(), 64).unwrap();
        Expression::new(source).unwrap().search(&Document::new(tree))
    }

    /// Plain paths are told apart; both kinds answer as JMESPath does.
    #[test]
    fn answers() {
        assert!(matches!(Expression::new("a.\"b c\"._1"), Ok(Expression::Fields(f)) if f == ["a", "b c", "_1"]));
        assert!(matches!(Expression::new("a[0]"), Ok(Expression::Compiled(_))));
        let doc = r#"{"a":[{"n":1,"s":"x"},{"n":2.5,"s":"y"}],"o":{"k":true}}"#;
        let text = |t: &str| Some(Value::Text(t.into()));
        assert_eq!(search("a[?n > `1`].s | [0]", doc), text("y"));
        assert_eq!(search("a[].n", doc), text("[1,2.5]"));
        assert_eq!(search("o.k", doc), Some(Value::Bool(true)));
        assert_eq!(search("o.k.z", doc), Some(Value::Null));
        assert_eq!(search("length(a)", doc), Some(Value::Number(2.0)));
        assert_eq!(search("join(',', a)", doc), None);
        assert_eq!(search("{x: o, y: a[-1].s}", doc), text(r#"{"x":{"k":true},"y":"y"}"#));
    }

    /// What cannot be an expression, or would recurse too deep, is refused.
    #[test]
    fn refuses() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        let long = "!".repeat(2000) + "a";
        for bad in ["b[", "", "a..b", "`x`", "a b", "nope(a)", deep.as_str(), long.as_str()] {
            // An unknown function is found when it is called, as in the peer.
            assert!(Expression::new(bad).is_err() || bad == "nope(a)", "{bad}");
        }
    }

    /// Expressions as long and as nested as they may be are read, run and dropped without a deep stack.
    #[test]
    fn recursion_is_bounded() {
        let tree = serde_json::json!({"a": [[[1]]]});
        for source in [
            "!".repeat(MAX_LENGTH - 1) + "a",
            "a|".repeat(500) + "a",
            "a[]".repeat(300),
            "[".repeat(32) + "a" + &"]".repeat(32),
            "&".repeat(900) + "a",
            "a.*".to_owned() + &".*".repeat(400),
            "a||".repeat(300) + "a",
        ] {
            if let Ok(expression) = Expression::new(&source) {
                expression.search(&Document::new(tree.clone()));
            }
        }
        assert!(Expression::new("a[1::2147483647]").is_err());
        assert!(Expression::new("a == '12345678901'").is_ok());
    }

    proptest! {
        /// No expression panics, whatever it is given.
        #[test]
        fn never_panics(source in "[]\\[a-c.*?@!<=>|&,:{}()`'\"0-9 -]{0,20}") {
            if let Ok(expression) = Expression::new(&source) {
                let tree = crate::json::tree(br#"{"a":[1,[2,3],{"b":"c"}],"b":{"a":null}}"#, 8).unwrap();
                expression.search(&Document::new(tree));
            }
        }
    }
}
