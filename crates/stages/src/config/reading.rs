//! Reads what one stage is configured as, and tells everything that is wrong with it.
//!
//! Keys that a stage does not have are looked for first: Promtail takes no notice of them, so in its spelling they are warnings and
//! are left out; in Alloy's they are errors. Then the values are read; one that cannot be is told and left out, and the rest is read
//! again, so that the next one is told too. Whatever was wrong, the stage is not built.

use super::scalar::Scalar;
use super::{ConfigError, Spelling, Unknown};
use crate::pipeline::Builder;
use serde::de::value::Error as ProbeError;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use std::borrow::Cow;
use std::cell::Cell;

/// Reads a stage's configuration. A number is good where text is wanted, and text that is a number where one is.
pub(crate) fn read<T: DeserializeOwned>(value: &Value, path: &str, builder: &mut Builder) -> Result<T, ConfigError> {
    let mut value = match value {
        Value::Null => Cow::Owned(Value::Object(Map::new())),
        value => Cow::Borrowed(value),
    };
    let mut refused = fields::<T>().and_then(|fields| known_keys(&mut value, fields, path, builder));
    loop {
        let error = match serde_path_to_error::deserialize(Scalar(&value)) {
            Ok(config) => return refused.map_or(Ok(config), Err),
            Err(error) => error,
        };
        let inner: Vec<Segment> = error.path().iter().cloned().collect();
        let shown = error.path().to_string();
        let whole = inner.is_empty();
        let at = if whole { path.to_owned() } else { format!("{path}.{shown}") };
        let error = ConfigError::new(&at, error.into_inner().to_string());
        match refused.take() {
            None => refused = Some(error),
            // What is missing now may be what was left out.
            Some(first) if whole => return Err(first),
            Some(first) => {
                builder.refuse(first);
                refused = Some(error);
            }
        }
        if !remove(value.to_mut(), &inner) {
            return Err(refused.unwrap_or_else(|| ConfigError::new(path, "cannot be read")));
        }
    }
}

/// Takes out keys that there are not; the last of them that is an error, the others have been told. Promtail reads keys in any case.
fn known_keys(value: &mut Cow<'_, Value>, fields: &[&str], path: &str, builder: &mut Builder) -> Option<ConfigError> {
    let map = value.as_object().filter(|map| map.keys().any(|key| !fields.contains(&key.as_str())))?;
    let (mut known, mut refused) = (Map::new(), None);
    for (key, inner) in map {
        let same = |field: &&&str| match builder.spelling {
            Spelling::Promtail => field.eq_ignore_ascii_case(key) && !map.contains_key(**field),
            Spelling::Alloy => false,
        };
        if fields.contains(&key.as_str()) {
            known.insert(key.clone(), inner.clone());
        } else if let Some(field) = fields.iter().find(same) {
            known.insert((*field).to_owned(), inner.clone());
        } else {
            let unknown = Unknown { name: key.clone(), known: fields.iter().map(|f| (*f).to_owned()).collect() };
            let told = |message: String| ConfigError {
                unknown: Some(unknown),
                ..ConfigError::new(&format!("{path}.{key}"), message)
            };
            match builder.spelling {
                Spelling::Promtail => {
                    builder.warn(told(format!("unknown key \"{key}\": without effect, as in Promtail")));
                }
                Spelling::Alloy => {
                    let before = refused.replace(told(format!("unknown key \"{key}\"")));
                    before.into_iter().for_each(|error| builder.refuse(error));
                }
            }
        }
    }
    *value = Cow::Owned(Value::Object(known));
    refused
}

/// Takes out the nearest key on the way to where an error is. False if there is none.
fn remove(value: &mut Value, path: &[Segment]) -> bool {
    let Some(last) = path.iter().rposition(|segment| matches!(segment, Segment::Map { .. })) else { return false };
    let mut at = value;
    for segment in &path[..last] {
        let next = match segment {
            Segment::Map { key } => at.get_mut(key.as_str()),
            Segment::Seq { index } => at.get_mut(*index),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match (&path[last], at) {
        (Segment::Map { key }, Value::Object(map)) => map.remove(key).is_some(),
        _ => false,
    }
}

/// The keys of a type, if it is a struct: found by asking it to be read from nothing.
fn fields<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let found = Cell::new(None);
    // It always fails; what counts is what it asked for.
    let _ = T::deserialize(Probe(&found));
    found.get()
}

struct Probe<'a>(&'a Cell<Option<&'static [&'static str]>>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = ProbeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ProbeError> {
        Err(ProbeError::custom("nothing"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.0.set(Some(fields));
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}
