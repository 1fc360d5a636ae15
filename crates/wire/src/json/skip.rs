//! The values of unknown fields: read, forgotten, and bounded in depth.
//!
//! serde's own `IgnoredAny` does the same without a limit.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// How deep the value of an unknown field may be nested.
const MAX_SKIP_DEPTH: usize = 128;

/// Reads a value of any shape and forgets it.
pub(super) struct Skip {
    /// How many more levels may open.
    room: usize,
}

impl Default for Skip {
    fn default() -> Self {
        Self { room: MAX_SKIP_DEPTH }
    }
}

impl Skip {
    fn deeper<E: Error>(&self) -> Result<usize, E> {
        let deeper = self.room.checked_sub(1);
        deeper.ok_or_else(|| E::custom(format_args!("an unknown field is nested deeper than {MAX_SKIP_DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let room = self.deeper()?;
        while array.next_element_seed(Skip { room })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let room = self.deeper()?;
        while object.next_key::<IgnoredAny>()?.is_some() {
            object.next_value_seed(Skip { room })?;
        }
        Ok(())
    }
}
