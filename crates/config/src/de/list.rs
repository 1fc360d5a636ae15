//! The elements of lists, as serde asks for them: of a list that is written as one, and of a text with commas.

use super::error::DecodeError;
use super::{Context, Level};
use crate::node::Node;
use crate::path::Step;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer};

/// The elements of a list.
pub(super) struct Items<'a, 's> {
    pub items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    pub level: Level<'a, 's>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let left_in = |item: &Node| !self.level.state.borrow().leaves_out(item);
        let Some((i, item)) = self.items.by_ref().find(|(_, item)| left_in(item)) else {
            return Ok(None);
        };
        let child = self.level.child(item, &Step::Index(i), Context::Seq);
        seed.deserialize(child.clone()).map(Some).map_err(|error| child.blame(error))
    }
}

/// The parts of a text between commas; none when it is used up.
pub(super) struct Parts<'a>(pub Option<&'a str>);

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let Some(text) = self.0 else { return Ok(None) };
        let (part, rest) = match text.split_once(',') {
            Some((part, rest)) => (part, Some(rest)),
            None => (text, None),
        };
        self.0 = rest;
        let part: StrDeserializer<'_, DecodeError> = part.into_deserializer();
        seed.deserialize(part).map(Some)
    }
}
