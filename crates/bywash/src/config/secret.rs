//! Values that must not be printed, and how to recognise them in configuration text.
//!
//! [`Secret`] is the type of every password, token and key in a component's configuration: its `Debug`, `Display` and
//! `Serialize` print `[REDACTED]`.
//!
//! Invariant: no way but [`Secret::expose`] leads to the text. It does NOT clear memory.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What is printed in place of a secret.
pub const REDACTED: &str = "[REDACTED]";

/// A text that never prints.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when there is no text; says nothing about it otherwise.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}
