//! The keys of one operator, read one by one: what is wrong is said with its place, all of it at once.

use crate::expr::Expr;
use crate::field::Field;
use serde_json::Value as Json;
use stages::go::regex::Regex;
use stages::go::{bytesize, duration};
use std::cell::RefCell;
use std::time::Duration;

/// Something that is wrong with a list of operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where, in keys and numbers with dots between them: `0.timestamp.layout`.
    pub path: String,
    /// What.
    pub message: String,
    /// Whether it works all the same.
    pub is_warning: bool,
}

/// The findings of a list.
#[derive(Debug, Default)]
pub struct Findings(RefCell<Vec<Wrong>>);

impl Findings {
    /// All of them.
    #[must_use]
    pub fn into_vec(self) -> Vec<Wrong> {
        self.0.into_inner()
    }

    pub(crate) fn error(&self, path: impl Into<String>, message: impl Into<String>) {
        self.0.borrow_mut().push(Wrong { path: path.into(), message: message.into(), is_warning: false });
    }

    fn warning(&self, path: String, message: &str) {
        self.0.borrow_mut().push(Wrong { path, message: message.to_owned(), is_warning: true });
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|wrong| !wrong.is_warning)
    }
}

/// See the module. Each key that is asked for is known from then on; [`Keys::done`] complains of the others.
pub struct Keys<'a> {
    map: Option<&'a serde_json::Map<String, Json>>,
    path: String,
    findings: &'a Findings,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Keys<'a> {
    /// Those of a block at a place.
    pub fn new(block: &'a Json, path: String, findings: &'a Findings) -> Keys<'a> {
        if !block.is_object() && !block.is_null() {
            findings.error(&*path, "must be a block of keys");
        }
        Keys { map: block.as_object(), path, findings, known: RefCell::default() }
    }

    /// The place of a key.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, if it is set.
    pub fn value(&self, key: &'static str) -> Option<&'a Json> {
        self.known.borrow_mut().push(key);
        self.map?.get(key).filter(|value| !value.is_null())
    }

    /// The key is wrong.
    pub fn wrong(&self, key: &str, message: impl Into<String>) {
        self.findings.error(self.path_of(key), message);
    }

    /// The key has no effect.
    pub fn no_effect(&self, key: &'static str, why: &str) {
        if self.value(key).is_some() {
            self.findings.warning(self.path_of(key), &format!("`{key}` has no effect: {why}"));
        }
    }

    /// A text.
    pub fn text(&self, key: &'static str) -> Option<String> {
        match self.value(key)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => {
                self.wrong(key, format!("`{key}` must be text"));
                None
            }
        }
    }

    /// A text that has to be there.
    pub fn required(&self, key: &'static str) -> Option<String> {
        self.must(key);
        self.text(key)
    }

    fn must(&self, key: &'static str) {
        if self.value(key).is_none() {
            self.findings.error(&*self.path, format!("`{key}` is missing"));
        }
    }

    /// One of some words; the first one if it is not set.
    pub fn word(&self, key: &'static str, words: &[&'static str]) -> &'static str {
        let Some(text) = self.text(key) else { return words[0] };
        words.iter().find(|word| **word == text).copied().unwrap_or_else(|| {
            self.wrong(key, format!("`{key}` must be one of {}", quoted(words)));
            words[0]
        })
    }

    /// A truth value.
    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(Json::Bool(is)) => *is,
            Some(_) => {
                self.wrong(key, format!("`{key}` must be true or false"));
                default
            }
        }
    }

    /// A count.
    pub fn count(&self, key: &'static str, default: usize) -> usize {
        match self.value(key) {
            None => default,
            Some(value) => value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_else(|| {
                self.wrong(key, format!("`{key}` must be a whole number"));
                default
            }),
        }
    }

    /// Bytes, as a number or with a unit.
    pub fn size(&self, key: &'static str, default: usize) -> usize {
        let Some(text) = self.text(key) else { return default };
        let plain = text.parse().ok();
        plain.or_else(|| usize::try_from(bytesize::parse(&text).ok()?).ok()).unwrap_or_else(|| {
            self.wrong(key, format!("`{key}` must be a size such as `1MiB`"));
            default
        })
    }

    /// A time, in Go's form.
    pub fn duration(&self, key: &'static str, default: Duration) -> Duration {
        let Some(text) = self.text(key) else { return default };
        let nanos = duration::parse(&text).ok().and_then(|nanos| u64::try_from(nanos).ok());
        nanos.map(Duration::from_nanos).unwrap_or_else(|| {
            self.wrong(key, format!("`{key}` must be a time such as `500ms`"));
            default
        })
    }

    /// A field.
    pub fn field(&self, key: &'static str) -> Option<Field> {
        let text = self.text(key)?;
        self.read_field(key, &text)
    }

    /// A field that has to be there.
    pub fn required_field(&self, key: &'static str) -> Option<Field> {
        self.must(key);
        self.field(key)
    }

    fn read_field(&self, place: &str, text: &str) -> Option<Field> {
        match Field::parse(text) {
            Ok(field) => Some(field),
            Err(why) => {
                self.wrong(place, format!("`{text}` is no field: {why}"));
                None
            }
        }
    }

    /// A list of fields that has to be there.
    pub fn required_fields(&self, key: &'static str) -> Vec<Field> {
        let texts = self.texts(key).unwrap_or_default();
        if texts.is_empty() {
            self.wrong(key, format!("`{key}` must name one field at least"));
        }
        texts.iter().enumerate().filter_map(|(i, text)| self.read_field(&format!("{key}.{i}"), text)).collect()
    }

    /// A list of texts; one text is a list of one.
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let texts = match self.value(key)? {
            Json::Array(list) => list.iter().map(text).collect(),
            other => text(other).map(|text| vec![text]),
        };
        if texts.is_none() {
            self.wrong(key, format!("`{key}` must be a list of texts"));
        }
        texts
    }

    /// A regular expression.
    pub fn regex(&self, key: &'static str) -> Option<Regex> {
        let text = self.text(key)?;
        Regex::new(&text).map_err(|error| self.wrong(key, error.to_string())).ok()
    }

    /// A condition.
    pub fn condition(&self, key: &'static str) -> Option<Expr> {
        match self.value(key)? {
            Json::Bool(is) => Some(Expr::constant(*is)),
            Json::String(text) => Expr::parse(text).map_err(|why| self.wrong(key, why)).ok(),
            _ => {
                self.wrong(key, format!("`{key}` must be an expression"));
                None
            }
        }
    }

    /// A block within this one.
    pub fn block(&self, key: &'static str) -> Option<Keys<'a>> {
        Some(Keys::new(self.value(key)?, self.path_of(key), self.findings))
    }

    /// The blocks of a list.
    pub fn blocks(&self, key: &'static str, list: &'a [Json]) -> Vec<Keys<'a>> {
        let path = self.path_of(key);
        list.iter().enumerate().map(|(i, block)| Keys::new(block, format!("{path}.{i}"), self.findings)).collect()
    }

    /// Complains of every key that was not asked for.
    pub fn done(self) {
        let known = self.known.borrow();
        for key in self.map.into_iter().flat_map(|map| map.keys()) {
            if !known.contains(&key.as_str()) {
                self.wrong(key, format!("unknown key `{key}`; known are {}", quoted(&known)));
            }
        }
    }
}

/// Words as a sentence has them.
pub(crate) fn quoted(words: &[&str]) -> String {
    let mut words: Vec<String> = words.iter().filter(|word| !word.is_empty()).map(|word| format!("`{word}`")).collect();
    words.dedup();
    words.join(", ")
}
