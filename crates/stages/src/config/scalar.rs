//! Scalars by what is wanted of them.
//!
//! YAML leaves open what `yes`, `0123` or `1_000` is until somebody asks for a text, a number or a truth value. Whoever reads a
//! configuration file hands over every scalar as the text that was written, and this deserializer answers each question with
//! YAML's own reading of that text, so that text stays text exactly. Values that are typed already (JSON) are taken as they are, but
//! for numbers where text is wanted, as the weak decoding of the peers takes them.

use crate::go::number::format_f;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Error, Value};

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Scalar<'a>(pub &'a Value);

/// What a plain text means as a truth value: the words of YAML 1.1, which Promtail reads.
fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// What a plain text means as a whole number.
fn whole(text: &str) -> Option<i64> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    i64::try_from(i128::from(u64::from_str_radix(digits, radix).ok()?) * sign).ok()
}

/// What a plain text means as a number.
fn number(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(bare, ".inf" | ".Inf" | ".INF") {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    whole(text).map(|n| n as f64).or_else(|| text.replace('_', "").parse().ok())
}

macro_rules! numbers {
    ($read:ident $visit:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.as_str().and_then($read) {
                Some(number) => visitor.$visit(number),
                None => self.0.$method(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Scalar<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(map) => visitor.visit_map(Entries { entries: map.iter(), value: None }),
            other => other.deserialize_any(visitor),
        }
    }

    numbers! { whole visit_i64: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }
    numbers! { number visit_f64: deserialize_f32 deserialize_f64 }
    numbers! { truth visit_bool: deserialize_bool }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Number(number) => visitor.visit_string(match number.as_f64() {
                Some(value) if number.is_f64() => format_f(value),
                _ => number.to_string(),
            }),
            other => other.deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

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
        char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Scalar<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Scalar(item))).transpose()
    }
}

struct Entries<'a> {
    entries: serde_json::map::Iter<'a>,
    value: Option<&'a Value>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Scalar(self.value.take().unwrap_or(&Value::Null)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wanted {
        text: String,
        texts: BTreeMap<String, Option<String>>,
        whole: i64,
        number: f64,
        numbers: Vec<f64>,
        truth: Option<bool>,
    }

    /// Scenario: the same words where text, numbers and truth values are wanted. Guarantee: text is what was written; the rest is
    /// YAML's reading of it.
    #[test]
    fn the_asker_decides() {
        let value = json!({
            "text": "0123", "texts": {"y": "yes", "on": null, "n": "1e3"}, "whole": "1_000", "number": "0.5",
            "numbers": ["1", "2.5e1", ".inf"], "truth": "yes",
        });
        let wanted = Wanted::deserialize(Scalar(&value)).unwrap();
        let texts = [("y", Some("yes")), ("on", None), ("n", Some("1e3"))];
        let texts = texts.map(|(k, v)| (k.to_owned(), v.map(str::to_owned))).into_iter().collect();
        let numbers = vec![1.0, 25.0, f64::INFINITY];
        assert_eq!(wanted, Wanted { text: "0123".into(), texts, whole: 1000, number: 0.5, numbers, truth: Some(true) });
        for (text, expected) in [
            ("017", Some(15)),
            ("0x1F", Some(31)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("x", None),
            ("5s", None),
            ("--5", None),
        ] {
            assert_eq!(whole(text), expected, "{text}");
        }
        assert_eq!(String::deserialize(Scalar(&json!(5))).unwrap(), "5");
        assert_eq!(String::deserialize(Scalar(&json!(0.5))).unwrap(), "0.5");
        assert!(String::deserialize(Scalar(&json!(true))).is_err());
        assert_eq!((number("inf"), number("nan"), number("")), (None, None, None));
    }
}
