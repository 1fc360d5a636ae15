//! `add`, `copy`, `flatten`, `move`, `remove`, `retain`: fields are put elsewhere, made, and taken out.

use super::parser::missing;
use crate::expr::Expr;
use crate::field::{Field, Root};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::{Map, Value};

/// `add`: sets a field to a value, or to what an expression gives.
pub struct Add {
    field: Field,
    value: Given,
}

enum Given {
    Value(Value),
    Expr(Expr),
}

impl Add {
    pub fn new(keys: &Keys<'_>) -> Option<Add> {
        let field = keys.required_field("field");
        let Some(json) = keys.value("value") else {
            keys.required("value");
            return None;
        };
        let expr = json.as_str().and_then(|text| text.strip_prefix("EXPR(")?.strip_suffix(')'));
        let value = match expr {
            Some(text) => Given::Expr(Expr::parse(text).map_err(|why| keys.wrong("value", why)).ok()?),
            None => Given::Value(Value::of_json(json)),
        };
        Some(Add { field: field?, value })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let value = match &self.value {
            Given::Value(value) => value.clone(),
            Given::Expr(expr) => expr.value(record)?,
        };
        record.set(&self.field, value)
    }
}

/// `move` and `copy`.
pub struct Move {
    from: Field,
    to: Field,
}

impl Move {
    pub fn new(keys: &Keys<'_>) -> Option<Move> {
        let (from, to) = (keys.required_field("from"), keys.required_field("to"));
        Some(Move { from: from?, to: to? })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        if record.get(&self.from).is_none() {
            return Err(missing(&self.from));
        }
        let value = record.remove(&self.from).ok_or_else(|| missing(&self.from))?;
        record.set(&self.to, value)
    }

    pub fn copy(&self, record: &mut Record) -> Result<(), String> {
        let value = record.get(&self.from).ok_or_else(|| missing(&self.from))?.clone();
        record.set(&self.to, value)
    }
}

/// `remove`.
pub struct Remove(Field);

impl Remove {
    pub fn new(keys: &Keys<'_>) -> Option<Remove> {
        keys.required_field("field").map(Remove)
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        record.remove(&self.0).map(drop).ok_or_else(|| missing(&self.0))
    }
}

/// `retain`: of each part that a field names, only the named ones stay.
pub struct Retain(Vec<Field>);

impl Retain {
    pub fn new(keys: &Keys<'_>) -> Option<Retain> {
        let fields = keys.required_fields("fields");
        (!fields.is_empty()).then_some(Retain(fields))
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let kept: Vec<_> = self.0.iter().filter_map(|field| Some((field, record.get(field)?.clone()))).collect();
        for root in [Root::Body, Root::Attributes, Root::Resource] {
            if self.0.iter().any(|field| field.root == root) {
                record.remove(&Field::of(root));
            }
        }
        kept.into_iter().try_for_each(|(field, value)| record.set(field, value))
    }
}

/// `flatten`: the keys of a map go one level up.
pub struct Flatten(Field);

impl Flatten {
    pub fn new(keys: &Keys<'_>) -> Option<Flatten> {
        let field = keys.required_field("field")?;
        if field.keys.is_empty() {
            keys.wrong("field", "there is no level above it");
            return None;
        }
        Some(Flatten(field))
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        match record.get(&self.0) {
            Some(Value::Map(_)) => {}
            Some(other) => return Err(format!("`{}` is {}, not a map", self.0, other.noun())),
            None => return Err(missing(&self.0)),
        }
        let Some(Value::Map(map)) = record.remove(&self.0) else { return Ok(()) };
        let above = Field { root: self.0.root, keys: self.0.keys[..self.0.keys.len() - 1].to_vec() };
        record.set(&above, Value::Map(map.into_iter().collect::<Map>()))
    }
}
