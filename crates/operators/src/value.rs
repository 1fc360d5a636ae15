//! A value of a record: what an OTLP `AnyValue` can hold.
//!
//! Maps keep the order in which their keys were set. What comes from JSON is at most as deep as its parser allows.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use wire::build::MessageWriter;
use wire::key::AnyValue;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Value>),
    /// Several with names.
    Map(Map),
}

/// Values by name, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// The value of a name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Sets the value of a name; one that is there keeps its place.
    pub fn set(&mut self, key: impl Into<String>, value: Value) {
        let key = key.into();
        match self.get_mut(&key) {
            Some(known) => *known = value,
            None => self.0.push((key, value)),
        }
    }

    /// Takes a name out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Map {
    fn from_iter<T: IntoIterator<Item = (K, Value)>>(all: T) -> Map {
        let mut map = Map::default();
        all.into_iter().for_each(|(key, value)| map.set(key, value));
        map
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl Value {
    /// What kind of value it is, for messages.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "a whole number",
            Value::Double(_) => "a number",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The text, of text and of bytes that are text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Every whole number becomes a plain one, as Go's JSON has them.
    pub fn without_ints(self) -> Value {
        match self {
            Value::Int(n) => Value::Double(n as f64),
            Value::List(list) => Value::List(list.into_iter().map(Value::without_ints).collect()),
            Value::Map(map) => Value::Map(map.into_iter().map(|(key, value)| (key, value.without_ints())).collect()),
            other => other,
        }
    }

    /// Of a value of the configuration.
    #[must_use]
    pub fn of_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(is) => Value::Bool(*is),
            serde_json::Value::Number(n) => {
                n.as_i64().map_or_else(|| Value::Double(n.as_f64().unwrap_or(0.0)), Value::Int)
            }
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(list) => Value::List(list.iter().map(Value::of_json).collect()),
            serde_json::Value::Object(map) => {
                Value::Map(map.iter().map(|(key, value)| (key.clone(), Value::of_json(value))).collect())
            }
        }
    }

    /// Writes it as an `AnyValue` in field `number`.
    pub fn write(&self, number: u32, out: &mut MessageWriter) {
        out.message(number, |any| self.write_any(any));
    }

    fn write_any(&self, any: &mut MessageWriter) {
        match self {
            Value::Null => any,
            Value::Bool(is) => any.varint(2, u64::from(*is)),
            Value::Int(n) => any.varint(3, *n as u64),
            Value::Double(n) => any.double(4, *n),
            Value::Text(text) => any.bytes(1, text),
            Value::Bytes(bytes) => any.bytes(7, bytes),
            Value::List(list) => any.message(5, |array| list.iter().for_each(|value| value.write(1, array))),
            Value::Map(map) => any.message(6, |pairs| write_map(map, 1, pairs)),
        };
    }
}

/// Writes a map as `KeyValue`s in field `number`.
pub fn write_map(map: &Map, number: u32, out: &mut MessageWriter) {
    for (key, value) in map.iter() {
        match value {
            Value::Text(text) => out.attribute(number, key, AnyValue::Str(text.as_bytes())),
            other => out.message(number, |pair| {
                pair.bytes(1, key);
                other.write(2, pair);
            }),
        };
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
                Ok(Value::Bool(is))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Int(n))
            }

            fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
                Ok(i64::try_from(n).map_or(Value::Double(n as f64), Value::Int))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
                Ok(Value::Double(n))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = vec![];
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
                let mut pairs: Vec<(String, Value)> = vec![];
                while let Some(pair) = access.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Value::Map(unique(pairs)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Of a name that comes twice the last value counts. Large maps are not searched for each of their names.
fn unique(pairs: Vec<(String, Value)>) -> Map {
    if pairs.len() <= 32 {
        return pairs.into_iter().collect();
    }
    let mut places = std::collections::HashMap::new();
    let mut out: Vec<(String, Value)> = vec![];
    for (key, value) in pairs {
        match places.get(&key) {
            Some(at) => {
                let pair: &mut (String, Value) = &mut out[*at];
                pair.1 = value;
            }
            None => {
                places.insert(key.clone(), out.len());
                out.push((key, value));
            }
        }
    }
    Map(out)
}
