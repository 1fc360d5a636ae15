//! Numbers for text and text for numbers, as Alloy and Promtail's weak decoding take them: `static_labels: {version: 5}`.
//!
//! Nothing else is converted: a boolean is not text, a single value is no list.

use crate::go::number;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Number, Value};

/// A value that is read so.
#[derive(Clone, Copy)]
pub struct Loose<'a>(pub &'a Value);

impl<'de, 'a: 'de> IntoDeserializer<'de, Error> for Loose<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A number as text: whole ones without a fraction.
fn text(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => number::format_f(value),
        _ => number.to_string(),
    }
}

impl<'de, 'a: 'de> Loose<'a> {
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::String(text) = self.0 else { return self.deserialize_any(visitor) };
        match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => visitor.visit_i64(whole),
            (_, Ok(value)) if value.is_finite() => visitor.visit_f64(value),
            _ => self.deserialize_any(visitor),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.number(visitor)
        })*
    };
}

impl<'de, 'a: 'de> Deserializer<'de> for Loose<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Loose))),
            Value::Object(map) => {
                visitor.visit_map(MapDeserializer::new(map.iter().map(|(key, value)| (key.as_str(), Loose(value)))))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Number(number) => visitor.visit_string(text(number)),
            other => other.deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    numbers! { deserialize_i64 deserialize_u64 deserialize_f64 deserialize_i32 deserialize_u32 }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 u8 u16 f32 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use crate::{Pipeline, Stages};
    use serde_json::{Value, json};

    fn is_sound(stage: Value) -> bool {
        Pipeline::new(&Stages(vec![stage])).is_ok()
    }

    /// Numbers stand in for text and the reverse; nothing else does.
    #[test]
    fn numbers_and_text_stand_in_for_each_other() {
        for stage in [
            json!({"static_labels": {"version": 5, "ratio": 0.5}}),
            json!({"labels": {"a": 5}}),
            json!({"labeldrop": [5]}),
            json!({"limit": {"rate": "0.5", "burst": "3"}}),
            json!({"sampling": {"rate": "1"}}),
        ] {
            assert!(is_sound(stage.clone()), "{stage}");
        }
        for stage in [
            json!({"static_labels": {"version": true}}),
            json!({"limit": {"rate": "much", "burst": 3}}),
            json!({"limit": {"rate": "NaN", "burst": 3}}),
            json!({"labeldrop": "a"}),
        ] {
            assert!(!is_sound(stage.clone()), "{stage}");
        }
    }
}
