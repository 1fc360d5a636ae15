//! The values of templates.

use super::format;
use crate::entry::Timestamp;
use crate::go::location::Location;
use crate::text::Text;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value.
#[derive(Clone, Debug)]
pub enum Val {
    /// What is not there: a missing field.
    Missing,
    /// Go's nil.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    List(Rc<Vec<Val>>),
    Map(Rc<BTreeMap<Text, Val>>),
    /// The data of the template: a map of texts, looked up where it is.
    Root,
    Time(Timestamp, Rc<Location>),
}

impl Val {
    pub fn text(text: impl Into<Text>) -> Val {
        Val::Text(text.into())
    }

    pub fn list(values: Vec<Val>) -> Val {
        Val::List(Rc::new(values))
    }

    /// Whether it counts as true in `if`.
    pub fn truth(&self) -> bool {
        match self {
            Val::Missing | Val::Nil => false,
            Val::Bool(value) => *value,
            Val::Int(value) => *value != 0,
            Val::Float(value) => *value != 0.0,
            Val::Text(text) => !text.is_empty(),
            Val::List(values) => !values.is_empty(),
            Val::Map(values) => !values.is_empty(),
            // The data of a template always has a field.
            Val::Root | Val::Time(..) => true,
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Val::Missing | Val::Nil)
    }

    /// The name of its kind, as Go's reflection has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Missing | Val::Nil => "invalid",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Float(_) => "float64",
            Val::Text(_) => "string",
            Val::List(_) => "slice",
            Val::Map(_) | Val::Root => "map",
            Val::Time(..) => "struct",
        }
    }

    /// The name of its type, as `%T` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Missing | Val::Nil => "<nil>",
            Val::List(_) => "[]interface {}",
            Val::Map(_) | Val::Root => "map[string]interface {}",
            Val::Time(..) => "time.Time",
            other => other.kind(),
        }
    }

    /// As `%v` prints it.
    pub fn show(&self) -> String {
        format::show(self)
    }

    /// Equal as Go's `reflect.DeepEqual` sees it.
    pub fn deep_equal(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::List(a), Val::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.deep_equal(b)),
            (Val::Map(a), Val::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.0 == b.0 && a.1.deep_equal(b.1))
            }
            (a, b) if a.is_nil() || b.is_nil() => a.is_nil() && b.is_nil(),
            (Val::Root, Val::Root) => true,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two basic values of one kind; `None` where they cannot be compared.
    pub fn compare(&self, other: &Val) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
            // NaN is ordered as no number is: not equal to any.
            (Val::Float(a), Val::Float(b)) => Some(a.partial_cmp(b).unwrap_or(Ordering::Greater)),
            (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            (Val::Time(a, _), Val::Time(b, _)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
