//! What serde finds wrong, kept apart in its parts so that it can be told with or without the value.
//!
//! Invariant: a value appears in a message only through [`DecodeError::message`], which leaves it out when asked to.

use std::fmt;

use serde::de::{self, Unexpected};

use crate::path::Path;
use crate::secret::REDACTED;
use crate::source::Span;
use crate::suggest::nearest;

/// An error of decoding, first without and then with its place.
#[derive(Debug)]
pub struct DecodeError {
    pub(super) what: What,
    pub(super) site: Option<Box<Site>>,
}

/// Where it happened.
#[derive(Debug)]
pub(super) struct Site {
    /// The address of the node, which is its identity while the tree is borrowed.
    pub node: usize,
    pub path: Path,
    pub span: Span,
    /// The node is empty, and stands in a map: leaving it out is what an empty value means.
    pub empty: bool,
    /// Values of this node must not be shown; the text to look for in foreign messages.
    pub secret: Option<String>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// A required key is not there.
    Missing(&'static str),
    /// A key is there under two of its names.
    Duplicate(&'static str),
    /// The value is of another type, or out of range.
    Type { found: &'static str, value: Option<String>, expected: String },
    /// The value is none of the words that it may be.
    Word { value: String, words: &'static [&'static str] },
    /// The type has its own reason.
    Other(String),
    /// Reported before.
    Known,
}

impl DecodeError {
    pub(super) fn new(what: What) -> Self {
        DecodeError { what, site: None }
    }

    /// The message, and the word that was probably meant.
    pub(super) fn message(&self) -> (String, Option<String>) {
        let secret = self.site.as_ref().and_then(|site| site.secret.as_deref());
        match &self.what {
            What::Missing(key) => (format!("the key `{key}` is required"), None),
            What::Duplicate(key) => (format!("`{key}` is set twice, under two of its names"), None),
            What::Type { found, value, expected } => {
                let found = match value.as_deref().filter(|_| secret.is_none()) {
                    Some(value) => format!("{found} `{}`", brief(value)),
                    None => (*found).to_owned(),
                };
                let meant = match (expected.as_str(), value.as_deref()) {
                    ("true or false", Some("yes" | "Yes" | "on" | "On" | "y")) => Some("true".to_owned()),
                    ("true or false", Some("no" | "No" | "off" | "Off" | "n")) => Some("false".to_owned()),
                    _ => None,
                };
                (format!("expected {expected}, found {found}"), meant)
            }
            What::Word { value, words } => {
                let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                let found = if secret.is_some() { String::new() } else { format!(", found `{}`", brief(value)) };
                (format!("expected one of {list}{found}"), nearest(value, words.iter().copied()).map(str::to_owned))
            }
            What::Other(message) => (redact(message, secret), None),
            What::Known => (String::new(), None),
        }
    }
}

/// Takes the secret out of a message that another type wrote.
fn redact(message: &str, secret: Option<&str>) -> String {
    let Some(secret) = secret.map(str::trim).filter(|secret| !secret.is_empty()) else {
        return message.to_owned();
    };
    let escaped = secret.escape_debug().to_string();
    let found = message.contains(secret) || message.contains(&escaped);
    // A short text is found in any sentence by chance: then the sentence says nothing that may be shown.
    match found {
        true if secret.len() < 4 => format!("the value {REDACTED} does not fit"),
        true => message.replace(&escaped, REDACTED).replace(secret, REDACTED),
        false => message.to_owned(),
    }
}

/// A value short enough for a message.
fn brief(value: &str) -> String {
    let mut text: String = value.chars().take(60).collect::<String>().escape_debug().to_string();
    if value.chars().nth(60).is_some() {
        text.push('…');
    }
    text
}

fn type_error(found: Unexpected<'_>, expected: &dyn de::Expected) -> DecodeError {
    let (found, value) = match found {
        Unexpected::Bool(value) => ("the boolean", Some(value.to_string())),
        Unexpected::Unsigned(value) => ("the number", Some(value.to_string())),
        Unexpected::Signed(value) => ("the number", Some(value.to_string())),
        Unexpected::Float(value) => ("the number", Some(value.to_string())),
        Unexpected::Char(value) => ("the text", Some(value.to_string())),
        Unexpected::Str(value) => ("the text", Some(value.to_owned())),
        Unexpected::Unit | Unexpected::Option => ("nothing", None),
        Unexpected::Seq => ("a list", None),
        Unexpected::Map => ("a map", None),
        _ => ("something else", None),
    };
    DecodeError::new(What::Type { found, value, expected: plain(&expected.to_string()) })
}

/// Serde's names of Rust types, in words of the configuration.
fn plain(expected: &str) -> String {
    let range = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match expected {
        "a boolean" => "true or false".to_owned(),
        "a string" | "str" | "a borrowed string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u8" => range("0", &u8::MAX.to_string()),
        "u16" => range("0", &u16::MAX.to_string()),
        "u32" => range("0", &u32::MAX.to_string()),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        text if text.starts_with("struct ") => "a map".to_owned(),
        text if text == "enum" || text.starts_with("enum ") => "a word".to_owned(),
        text => text.to_owned(),
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DecodeError::new(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        type_error(found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        type_error(found, expected)
    }

    fn unknown_variant(value: &str, words: &'static [&'static str]) -> Self {
        DecodeError::new(What::Word { value: value.to_owned(), words })
    }

    fn unknown_field(key: &str, _known: &'static [&'static str]) -> Self {
        DecodeError::new(What::Other(format!("unknown key `{}`", brief(key))))
    }

    fn missing_field(key: &'static str) -> Self {
        DecodeError::new(What::Missing(key))
    }

    fn duplicate_field(key: &'static str) -> Self {
        DecodeError::new(What::Duplicate(key))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message().0)
    }
}

impl std::error::Error for DecodeError {}
