//! What is wrong with a text that is not JSON, in the words of `serde_json`, which senders and their operators know.

use super::{JsonError, MAX_WHAT};
use serde::de::{Error, Unexpected};

/// Why reading stopped. Boxed: what is read by the hundred is small, and refused once.
pub(super) type Refused = Box<JsonError>;

pub(super) const CONTROL: &str = "control character (\\u0000-\\u001F) found while parsing a string";
pub(super) const ESCAPE: &str = "invalid escape";
pub(super) const END_IN_STRING: &str = "EOF while parsing a string";
pub(super) const END_IN_VALUE: &str = "EOF while parsing a value";
pub(super) const END_IN_OBJECT: &str = "EOF while parsing an object";
pub(super) const END_IN_LIST: &str = "EOF while parsing a list";
pub(super) const COLON: &str = "expected `:`";
pub(super) const LIST_COMMA: &str = "expected `,` or `]`";
pub(super) const OBJECT_COMMA: &str = "expected `,` or `}`";
pub(super) const IDENT: &str = "expected ident";
pub(super) const VALUE: &str = "expected value";
pub(super) const NUMBER: &str = "invalid number";
pub(super) const RANGE: &str = "number out of range";
pub(super) const KEY: &str = "key must be a string";
pub(super) const TRAILING_COMMA: &str = "trailing comma";
pub(super) const TRAILING: &str = "trailing characters";

/// A value of another type than the one that is expected.
#[cold]
pub(super) fn invalid_type(found: Unexpected<'_>, expected: &str) -> String {
    serde_json::Error::invalid_type(found, &expected).to_string()
}

/// A value of the right type that is not taken.
#[cold]
pub(super) fn invalid_value(found: Unexpected<'_>, expected: &str) -> String {
    serde_json::Error::invalid_value(found, &expected).to_string()
}

impl JsonError {
    /// Invalid at a place, which has no path yet.
    pub(super) fn invalid(line: usize, column: usize, mut what: String) -> Self {
        what.truncate(what.floor_char_boundary(MAX_WHAT));
        JsonError::Invalid { line, column, path: String::new(), what }
    }

    /// Says which path leads to the place, if nobody has who was closer.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, place: &super::place::Place<'_>) -> Box<Self> {
        if let JsonError::Invalid { path, .. } = &mut *self
            && path.is_empty()
        {
            *path = place.to_string();
        }
        self
    }
}
