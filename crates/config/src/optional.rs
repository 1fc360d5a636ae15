//! Blocks that may be switched off: the collector's `configoptional`.
//!
//! `tls: {enabled: false}` and `tls: null` are no block, whatever else is in it, so that an overlay can take one away that the file
//! below it has; `enabled: true` changes nothing. For a block that is off unless it is written; one that is on with defaults when it
//! is written empty (`grpc:`) has a key `enabled` of its own.

use serde::de::{Deserialize, Deserializer, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The name by which [`super::de`] knows that a block may hold `enabled`.
pub(super) const NAME: &str = "$optional block";

/// Reads a block that may be switched off: for `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// What is wrong with the block, if it is on.
pub fn block<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct Block<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Block<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_unit<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_none<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
            T::deserialize(deserializer).map(Some)
        }

        /// Another format than a configuration's nodes.
        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
            Option::deserialize(deserializer)
        }
    }
    deserializer.deserialize_newtype_struct(NAME, Block(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decoded, failures};
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        #[serde(deserialize_with = "super::block")]
        inner: Option<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        needed: String,
    }

    /// Scenario: a block that is absent, null, switched off (with and without what it needs), and on in two ways. Guarantee: none, none,
    /// none; and the block.
    #[test]
    fn a_block_can_be_switched_off() {
        for text in
            ["{}", "inner:", "inner: null", "inner: {enabled: false}", "inner: {enabled: false, needed: a, more: b}"]
        {
            assert_eq!(decoded::<Outer>(text), Outer::default(), "{text}");
        }
        for text in ["inner: {needed: a}", "inner: {needed: a, enabled: true}"] {
            assert_eq!(decoded::<Outer>(text).inner, Some(Inner { needed: "a".to_owned() }), "{text}");
        }
    }

    /// Scenario: a block that is on and lacks a key, has an unknown one, or an `enabled` that is neither. Guarantee: each is told at its
    /// place, and nothing else.
    #[test]
    fn a_block_that_is_on_is_checked() {
        let told = |text: &str, expected: &str| assert_eq!(failures::<Outer>(text), [expected], "{text}");
        told("inner: {}", "inner: the key `needed` is required");
        told("inner: {enabled: true}", "inner: the key `needed` is required");
        told("inner: {needed: a, other: b}", "inner.other: unknown key `other`; known are needed");
        told("inner: {needed: a, enabled: maybe}", "inner.enabled: expected true or false, found the text `maybe`");
        told("inner: [a]", "inner: expected a map, found a list");
    }
}
