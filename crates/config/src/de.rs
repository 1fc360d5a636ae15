//! From nodes to the types of the components, with every error at once.
//!
//! [`decode`] runs a serde `Deserialize` over a node. Serde stops at the first error, so it is run again without the entry
//! that was wrong until nothing more is found; each error carries the path and the place of the entry. An error that only
//! follows from an earlier one (a required key that was left out because its value was wrong) is not reported.
//!
//! The conversions are those of the OpenTelemetry Collector (mapstructure, weak typing off):
//! - An unknown key is an error, whether or not the type says `deny_unknown_fields`, with the nearest known key.
//! - An empty value (`grpc:`) is the defaults for a struct or an `Option` of one, and as good as absent for all else.
//! - A text field takes a number as it was written, and the text of an expansion as it was; not a boolean, a list or a map.
//! - A list takes a text with commas.
//!
//! Types decoded here should not use serde's `flatten` or `untagged`: both go through a buffer in which places are lost,
//! so that errors are told for the whole map. It does NOT check what values mean: see [`super::validate`].

mod error;
mod list;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

pub use error::DecodeError;
use error::{Site, What};
use list::{Items, Parts};

use super::diagnostic::{Diagnostic, Diagnostics, Topic};
use super::node::{Entry, Map, Node, Value};
use super::optional;
use super::path::{Path, Step};
use super::scalar::{Kind, Scalar};
use super::secret;
use super::source::Span;
use super::suggest::nearest;

/// A node and the path that leads to it.
#[derive(Clone, Debug)]
pub struct Located<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its path from the root of the configuration.
    pub path: Path,
}

/// Runs over one value: enough for any honest mistake, and an end for every input.
const MAX_RUNS: usize = 1000;

/// Decodes a node. None if anything is wrong with it; all of that is in `diagnostics`.
pub fn decode<T: DeserializeOwned>(at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<T> {
    let (value, sound) = run(at, diagnostics);
    value.filter(|_| sound)
}

/// Decodes a node as far as it goes: entries with errors are left out of the value, the errors are in `diagnostics`.
/// For a reader that wants to go on looking for further errors; the value must not be put to use.
pub fn decode_partial<T: DeserializeOwned>(at: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<T> {
    run(at, diagnostics).0
}

fn run<T: DeserializeOwned>(at: &Located<'_>, diagnostics: &mut Diagnostics) -> (Option<T>, bool) {
    let state = RefCell::new(State::default());
    let mut value = None;
    for _ in 0..MAX_RUNS {
        let root = Level { node: at.node, path: at.path.clone(), place: Context::Root, switch: false, state: &state };
        match T::deserialize(root.clone()).map_err(|error| root.blame(error)) {
            Ok(done) => {
                value = Some(done);
                break;
            }
            Err(error) => {
                if !state.borrow_mut().leave_out(&error, address(at.node)) {
                    break;
                }
            }
        }
    }
    let State { mut found, wrong, known, .. } = state.into_inner();
    if value.is_none() && found.is_empty() && !known {
        // More empty values than there are runs: whatever the reason, silence is not an answer.
        found.push(Diagnostic::error("too many empty values").at(&at.node.span, &at.path));
    }
    let sound = value.is_some() && found.is_empty() && wrong.is_empty();
    found.into_iter().for_each(|diagnostic| diagnostics.push(diagnostic));
    (value, sound)
}

/// Keys that stood beside `tls` in old configurations, or are put there by mistake.
const KEYS_OF_TLS: [&str; 9] = [
    "ca_file",
    "cert_file",
    "client_ca_file",
    "insecure",
    "insecure_skip_verify",
    "key_file",
    "max_version",
    "min_version",
    "server_name_override",
];

/// Keeps every scalar at and below a node out of all messages.
fn hide(node: &Node) {
    match &node.value {
        Value::Scalar(Scalar { kind: Kind::Bool(_), .. }) => {}
        Value::Scalar(_) => node.span.source.hide_also(node.span.start..node.span.end),
        Value::Seq(items) => items.iter().for_each(hide),
        Value::Map(map) => map.entries.iter().for_each(|entry| hide(&entry.value)),
        Value::Null | Value::Broken => {}
    }
}

/// The identity of a node or entry while the tree is borrowed.
fn address<T>(thing: &T) -> usize {
    std::ptr::from_ref(thing) as usize
}

/// What the runs over one value have found.
#[derive(Default)]
struct State {
    found: Vec<Diagnostic>,
    /// Nodes left out because they, or something required in them, are wrong.
    wrong: HashSet<usize>,
    /// Nodes left out because they are empty.
    empty: HashSet<usize>,
    /// Unknown keys reported, by address of their entry.
    unknown: HashSet<usize>,
    /// Something was left out that has been reported elsewhere.
    known: bool,
    /// Keys that are not there because they are misspelt or wrong, each with its map.
    excused: HashSet<(usize, String)>,
}

impl State {
    /// Takes note of an error and leaves the node out of the next run. False if there is nothing left to run.
    fn leave_out(&mut self, error: &DecodeError, root: usize) -> bool {
        let Some(site) = &error.site else { return false };
        let consequence = match &error.what {
            What::Known => {
                self.known = true;
                true
            }
            What::Missing(key) => self.excused.contains(&(site.node, (*key).to_owned())),
            _ if site.empty => {
                return self.empty.insert(site.node);
            }
            _ => false,
        };
        if !consequence {
            let (message, suggestion) = error.message();
            let diagnostic = Diagnostic::error(message).at(&site.span, &site.path);
            self.found.push(diagnostic.suggest(suggestion.as_deref()));
        }
        self.wrong.insert(site.node) && site.node != root
    }

    fn leaves_out(&self, node: &Node) -> bool {
        let address = address(node);
        self.wrong.contains(&address) || self.empty.contains(&address)
    }
}

/// What a node stands in.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Root,
    Map,
    Seq,
}

/// The deserializer: a node, its path, and what has been found so far.
#[derive(Clone)]
struct Level<'a, 's> {
    node: &'a Node,
    path: Path,
    place: Context,
    /// Whether this is a block that may hold `enabled: true`.
    switch: bool,
    state: &'s RefCell<State>,
}

impl<'a, 's> Level<'a, 's> {
    fn child(&self, node: &'a Node, step: &Step, place: Context) -> Self {
        let path = match step {
            Step::Key(key) => self.path.key(key),
            Step::Index(index) => self.path.index(*index),
        };
        Level { node, path, place, switch: false, state: self.state }
    }

    /// Gives an error its place, unless something within this node has one already.
    fn blame(&self, error: DecodeError) -> DecodeError {
        self.blame_at(error, &self.node.span)
    }

    fn blame_at(&self, mut error: DecodeError, span: &Span) -> DecodeError {
        if error.site.is_none() {
            let hidden = self.node.expanded.is_some() || self.path.keys().any(secret::is_secret_key);
            error.site = Some(Box::new(Site {
                node: address(self.node),
                path: self.path.clone(),
                span: span.clone(),
                empty: self.node.is_null() && self.place == Context::Map,
                secret: hidden.then(|| self.node.text().unwrap_or_default().to_owned()),
            }));
        }
        error
    }

    /// The value is not what the type takes.
    fn mismatch(&self, expected: &dyn de::Expected) -> DecodeError {
        let found = match &self.node.value {
            Value::Null => Unexpected::Unit,
            Value::Seq(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
            Value::Broken => return DecodeError::new(What::Known),
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Str => Unexpected::Str(&scalar.text),
                Kind::Bool(value) => Unexpected::Bool(value),
                Kind::Int(value) => Unexpected::Signed(value),
                Kind::Uint(value) => Unexpected::Unsigned(value),
                Kind::Float(value) => Unexpected::Float(value),
            },
        };
        de::Error::invalid_type(found, expected)
    }

    /// A block that may be switched off.
    fn block<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Value::Map(map) = &self.node.value else {
            return if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) };
        };
        if let Some(enabled) = map.get("enabled").filter(|node| !self.state.borrow().leaves_out(node)) {
            match &enabled.value {
                Value::Scalar(scalar) if scalar.kind == Kind::Bool(false) => return visitor.visit_none(),
                Value::Scalar(scalar) if scalar.kind == Kind::Bool(true) => {}
                Value::Null => {}
                _ => {
                    let child = self.child(enabled, &Step::Key("enabled".to_owned()), Context::Map);
                    return Err(child.blame(child.mismatch(&"true or false")));
                }
            }
        }
        visitor.visit_some(Level { switch: true, ..self })
    }

    fn entries(&self, fields: Option<&'static [&'static str]>) -> Entries<'a, 's> {
        let entries = self.node.as_map().map(|map: &'a Map| map.entries.iter()).unwrap_or_default();
        Entries { entries, level: self.clone(), fields, current: None }
    }

    /// The text that a text field takes, if it takes this node.
    fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Broken => None,
            Value::Scalar(scalar) if self.node.expanded.is_none() => match scalar.kind {
                Kind::Bool(_) => None,
                _ => Some(&scalar.text),
            },
            _ => self.node.expanded.as_deref(),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match &self.node.value {
                // `1e3` and `5.0` are whole.
                Value::Scalar(scalar) => match scalar.kind {
                    Kind::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => visitor.visit_i64(f as i64),
                    _ => self.deserialize_any(visitor),
                },
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

macro_rules! texts {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self.text() {
                Some(text) => visitor.visit_str(text),
                None => Err(self.mismatch(&visitor)),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Level<'_, '_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Broken => Err(DecodeError::new(What::Known)),
            Value::Seq(_) => self.deserialize_seq(visitor),
            Value::Map(_) => visitor.visit_map(self.entries(None)),
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Str => visitor.visit_str(&scalar.text),
                Kind::Bool(value) => visitor.visit_bool(value),
                Kind::Int(value) => visitor.visit_i64(value),
                Kind::Uint(value) => visitor.visit_u64(value),
                Kind::Float(value) => visitor.visit_f64(value),
            },
        }
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    texts! { deserialize_str deserialize_string deserialize_char deserialize_bytes deserialize_byte_buf deserialize_identifier }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // A written empty value may be "present with defaults": a type that cannot be empty will say so, and the entry
        // is then left out. An empty expansion is just absent.
        if self.node.is_null() && self.node.expanded.is_some() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Map(_) | Value::Null => {
                let mut entries = self.entries(Some(fields));
                visitor.visit_map(&mut entries).map_err(|error| entries.blame(error))
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Map(_) => visitor.visit_map(self.entries(None)),
            Value::Null if self.place == Context::Root => visitor.visit_map(self.entries(None)),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Seq(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), level: self }),
            Value::Scalar(scalar) if scalar.kind == Kind::Str => {
                visitor.visit_seq(Parts(if scalar.text.is_empty() { None } else { Some(&scalar.text) }))
            }
            // What looks like a number or a boolean may be the one element of a list of texts.
            Value::Scalar(_) if self.node.expanded.is_some() => {
                visitor.visit_seq(Parts(self.node.expanded.as_deref().filter(|text| !text.is_empty())))
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == optional::NAME { self.block(visitor) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar(scalar) => {
                // Words have no case, as most of the collector's.
                let word = variants.iter().find(|word| word.eq_ignore_ascii_case(&scalar.text));
                let text = word.copied().unwrap_or(&scalar.text);
                let text: StrDeserializer<'_, DecodeError> = text.into_deserializer();
                visitor.visit_enum(text)
            }
            Value::Map(map) if map.entries.len() == 1 => {
                if self.state.borrow().wrong.contains(&address(&map.entries[0].value)) {
                    return Err(DecodeError::new(What::Known));
                }
                let access = de::value::MapAccessDeserializer::new(self.entries(None));
                visitor.visit_enum(access)
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bool f32 f64 i128 u128 unit unit_struct }
}

/// The entries of a map or struct.
struct Entries<'a, 's> {
    entries: std::slice::Iter<'a, Entry>,
    level: Level<'a, 's>,
    /// The keys that the struct has; none for a map, which takes any.
    fields: Option<&'static [&'static str]>,
    current: Option<&'a Entry>,
}

impl Entries<'_, '_> {
    /// A key that is there under two names is the fault of the entry, everything else that of the map.
    fn blame(&self, error: DecodeError) -> DecodeError {
        match (&error.what, self.current) {
            (What::Duplicate(_), Some(entry)) => self.blame_entry(error, entry),
            _ => error,
        }
    }

    fn blame_entry(&self, error: DecodeError, entry: &Entry) -> DecodeError {
        let level = Level {
            node: &entry.value,
            path: self.level.path.key(&entry.key),
            place: Context::Map,
            switch: false,
            state: self.level.state,
        };
        level.blame_at(error, &entry.span)
    }

    fn report_unknown(&self, entry: &Entry, fields: &[&'static str]) {
        let mut state = self.level.state.borrow_mut();
        if !state.unknown.insert(address(entry)) {
            return;
        }
        let below_tls = fields.contains(&"tls") && KEYS_OF_TLS.contains(&entry.key.as_str());
        let suggestion = if below_tls { None } else { nearest(&entry.key, fields.iter().copied()) };
        // Nobody knows what the value of an unknown key is: it may be a password.
        if suggestion.is_none_or(secret::is_secret_key) {
            hide(&entry.value);
        }
        if let Some(word) = suggestion {
            state.excused.insert((address(self.level.node), word.to_owned()));
        }
        let mut message = format!("unknown key `{}`", entry.key.escape_debug());
        if below_tls {
            message.push_str("; it belongs into `tls`");
        } else if suggestion.is_none() && fields.is_empty() {
            message.push_str("; no keys are known here");
        } else if suggestion.is_none() {
            let mut known = fields.to_vec();
            known.sort_unstable();
            message.push_str(&format!("; known are {}", known.join(", ")));
        }
        let path = self.level.path.key(&entry.key);
        state.found.push(Diagnostic::error(message).at(&entry.span, &path).suggest(suggestion).topic(Topic::Key));
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        while let Some(entry) = self.entries.next() {
            if let Value::Broken = entry.value.value {
                let mut state = self.level.state.borrow_mut();
                state.known = true;
                state.wrong.insert(address(&entry.value));
            }
            if self.level.state.borrow().leaves_out(&entry.value) {
                let mut state = self.level.state.borrow_mut();
                // A required key that is wrong is not missing; one that is empty is.
                if state.wrong.contains(&address(&entry.value)) {
                    state.excused.insert((address(self.level.node), entry.key.clone()));
                }
                continue;
            }
            match self.fields {
                Some(_) if self.level.switch && entry.key == "enabled" => continue,
                Some(fields) if !fields.contains(&entry.key.as_str()) => {
                    self.report_unknown(entry, fields);
                    continue;
                }
                _ => {}
            }
            self.current = Some(entry);
            let key: StrDeserializer<'_, DecodeError> = entry.key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|error| self.blame_entry(error, entry));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let Some(entry) = self.current else {
            return Err(DecodeError::new(What::Other("a value was asked for before its key".to_owned())));
        };
        let child = self.level.child(&entry.value, &Step::Key(entry.key.clone()), Context::Map);
        seed.deserialize(child.clone()).map_err(|error| child.blame(error))
    }
}
