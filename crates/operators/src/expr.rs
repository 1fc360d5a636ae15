//! Conditions and values: what is in use of the expression language of the collector's operators.
//!
//! Parts of a record (`body`, `attributes["a.b"]`, `resource.x`, `severity_text`, `severity_number`), texts, numbers,
//! lists; `==`, `!=`, `<`, `<=`, `>`, `>=`, `matches` (or `=~`), `contains`, `startsWith`, `endsWith`, `in`, `+` for
//! texts, `??`; `and`/`&&`, `or`/`||`, `not`/`!`. Anything else is refused by name. The pattern of `matches` is a text,
//! so that it is compiled once.
//!
//! What compares things that cannot be compared is an error of the record, as in the collector: `on_error` decides.

mod parse;

use crate::field::Root;
use crate::record::Record;
use crate::value::Value;
use stages::go::regex::Regex;
use std::borrow::Cow;

/// See the module.
#[derive(Clone, Debug)]
pub struct Expr(Node);

#[derive(Clone, Debug)]
enum Node {
    Literal(Value),
    /// A part of the record, the keys known.
    Part(Root, Vec<String>),
    SeverityText,
    SeverityNumber,
    List(Vec<Node>),
    Not(Box<Node>),
    Both(Box<Node>, Box<Node>),
    Either(Box<Node>, Box<Node>),
    /// The first that is something.
    Else(Box<Node>, Box<Node>),
    Matches(Box<Node>, Regex),
    Compare(Op, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
    StartsWith,
    EndsWith,
    In,
    Join,
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong, or not known here, and where.
    pub fn parse(text: &str) -> Result<Expr, String> {
        parse::parse(text).map(Expr)
    }

    /// One that is always so, or never.
    #[must_use]
    pub fn constant(is: bool) -> Expr {
        Expr(Node::Literal(Value::Bool(is)))
    }

    /// What it gives for a record.
    ///
    /// # Errors
    /// It cannot be told of this record.
    pub fn value(&self, record: &Record) -> Result<Value, String> {
        self.0.eval(record).map(Cow::into_owned)
    }

    /// Whether it is so.
    ///
    /// # Errors
    /// It cannot be told of this record.
    pub fn holds(&self, record: &Record) -> Result<bool, String> {
        self.0.is_true(record)
    }
}

impl Node {
    fn is_true(&self, record: &Record) -> Result<bool, String> {
        match &*self.eval(record)? {
            Value::Bool(is) => Ok(*is),
            other => Err(format!("the condition gives {}, not true or false", other.noun())),
        }
    }

    fn eval<'a>(&'a self, record: &'a Record) -> Result<Cow<'a, Value>, String> {
        let is = |is: bool| Ok(Cow::Owned(Value::Bool(is)));
        match self {
            Node::Literal(value) => Ok(Cow::Borrowed(value)),
            Node::Part(root, keys) => Ok(record.at(*root, keys).map_or(Cow::Owned(Value::Null), Cow::Borrowed)),
            Node::SeverityText => Ok(Cow::Owned(Value::Text(record.severity_text.clone()))),
            Node::SeverityNumber => Ok(Cow::Owned(Value::Int(record.severity.into()))),
            Node::List(nodes) => {
                let values: Result<Vec<Value>, String> =
                    nodes.iter().map(|node| node.eval(record).map(Cow::into_owned)).collect();
                Ok(Cow::Owned(Value::List(values?)))
            }
            Node::Not(node) => is(!node.is_true(record)?),
            Node::Both(a, b) => is(a.is_true(record)? && b.is_true(record)?),
            Node::Either(a, b) => is(a.is_true(record)? || b.is_true(record)?),
            Node::Else(a, b) => match a.eval(record)? {
                value if *value == Value::Null => b.eval(record),
                value => Ok(value),
            },
            Node::Matches(node, regex) => {
                let value = node.eval(record)?;
                let text =
                    value.text().ok_or_else(|| format!("`matches` is asked of {}, not of text", value.noun()))?;
                is(regex.is_match(text.as_bytes()))
            }
            Node::Compare(op, a, b) => {
                let (a, b) = (a.eval(record)?, b.eval(record)?);
                op.apply(&a, &b).map(Cow::Owned)
            }
        }
    }
}

impl Op {
    fn apply(self, a: &Value, b: &Value) -> Result<Value, String> {
        let is = match self {
            Op::Equal => is_equal(a, b),
            Op::Unequal => !is_equal(a, b),
            Op::Less | Op::AtMost | Op::More | Op::AtLeast => {
                let order = match (number(a), number(b)) {
                    (Some(a), Some(b)) => a.partial_cmp(&b),
                    _ => texts(self, a, b).ok().map(|(a, b)| a.cmp(b)),
                };
                let order = order.ok_or_else(|| self.refuses(a, b))?;
                match self {
                    Op::Less => order.is_lt(),
                    Op::AtMost => order.is_le(),
                    Op::More => order.is_gt(),
                    _ => order.is_ge(),
                }
            }
            Op::Contains => texts(self, a, b).map(|(a, b)| a.contains(b))?,
            Op::StartsWith => texts(self, a, b).map(|(a, b)| a.starts_with(b))?,
            Op::EndsWith => texts(self, a, b).map(|(a, b)| a.ends_with(b))?,
            Op::In => match b {
                Value::List(list) => list.iter().any(|value| is_equal(a, value)),
                Value::Map(map) => a.text().is_some_and(|key| map.get(key).is_some()),
                Value::Null => false,
                _ => return Err(self.refuses(a, b)),
            },
            Op::Join => return texts(self, a, b).map(|(a, b)| Value::Text(format!("{a}{b}"))),
        };
        Ok(Value::Bool(is))
    }

    fn name(self) -> &'static str {
        match self {
            Op::Equal => "==",
            Op::Unequal => "!=",
            Op::Less => "<",
            Op::AtMost => "<=",
            Op::More => ">",
            Op::AtLeast => ">=",
            Op::Contains => "contains",
            Op::StartsWith => "startsWith",
            Op::EndsWith => "endsWith",
            Op::In => "in",
            Op::Join => "+",
        }
    }

    fn refuses(self, a: &Value, b: &Value) -> String {
        format!("`{}` cannot be told of {} and {}", self.name(), a.noun(), b.noun())
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Double(n) => Some(*n),
        _ => None,
    }
}

fn is_equal(a: &Value, b: &Value) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn texts<'a>(op: Op, a: &'a Value, b: &'a Value) -> Result<(&'a str, &'a str), String> {
    a.text().zip(b.text()).ok_or_else(|| op.refuses(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Map;

    fn record() -> Record {
        let attributes = Map::from_iter([("level", "warn".into()), ("http.code", Value::Int(404))]);
        let mut record = Record::new("GET /a".into(), attributes, Map::default(), 1);
        record.severity_text = "W".to_owned();
        record
    }

    /// Scenario: conditions as they are written in configurations. Guarantee: each is told as the collector tells it.
    #[test]
    fn conditions_in_use_are_told() {
        for (text, is) in [
            (r#"body matches "^GET""#, true),
            (r#"body =~ '^POST'"#, false),
            (r#"not (body contains "/b")"#, true),
            (r#"!(body startsWith "GET") or attributes.level == "warn""#, true),
            (r#"attributes["http.code"] >= 400 && attributes["http.code"] < 500"#, true),
            (r#"attributes["http.code"] == 404.0"#, true),
            (r#"attributes.missing == nil"#, true),
            (r#"attributes.missing != nil and attributes.missing matches "x""#, false),
            (r#"attributes.level in ["warn", "error"]"#, true),
            (r#""level" in attributes"#, true),
            (r#"attributes.level not in ['x']"#, true),
            (r#"(attributes.missing ?? "a") == "a""#, true),
            ("body endsWith `/a`", true),
            (r#"severity_text == "W" and severity_number == 0"#, true),
            (r#"body == "GET " + "/a""#, true),
            ("true", true),
            (r#"body matches "\\d""#, false),
        ] {
            assert_eq!(Expr::parse(text).unwrap().holds(&record()), Ok(is), "{text}");
        }
    }

    /// Scenario: conditions that a record does not fit. Guarantee: an error of that record, not an answer.
    #[test]
    fn what_cannot_be_told_is_an_error() {
        for text in [r#"attributes.missing matches "x""#, "attributes.level < 3", "body", r#"not body == 3 and body"#] {
            assert!(Expr::parse(text).unwrap().holds(&record()).is_err(), "{text}");
        }
    }

    /// Scenario: what the language has and we do not, and what is no expression. Guarantee: refused, by name.
    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (text, word) in [
            ("len(body) > 3", "`len`"),
            ("body ? 1 : 2", "`?`"),
            ("foo == 1", "`foo`"),
            ("body matches attributes.x", "`matches`"),
            ("body == ", "ends"),
            ("body == 'x", "not closed"),
            ("(body == 'x'", "`)`"),
            ("body == 'x' y", "`y`"),
            ("body matches '('", "regular expression"),
            ("", "ends"),
        ] {
            let why = Expr::parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
