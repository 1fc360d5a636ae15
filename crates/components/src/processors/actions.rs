//! What the `resource` and `attributes` processors do to attributes: the collector's actions, on encoded values.
//!
//! Actions run in order, each on what the ones before it left. Constants are encoded once, when the configuration is read; a value that is
//! copied from another attribute is copied as bytes. Source of the rules: `attraction` of the collector's contrib, 0.165.
//!
//! It knows no request: what calls it shows it the attributes of one resource or record.

use config::{Report, Validate};
use flow::Origin;
use net::origin;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use stages::go::regex::{Regex, Slots};
use std::sync::Arc;
use wire::field::{put_fixed64_field, put_len_field, put_varint_field};
use wire::key::AnyValue;
use wire::loki::text;
use wire::{Attributes, build::MessageWriter};

/// One action as it is written, with the collector's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Action {
    /// The attribute it acts on.
    pub key: String,
    /// `insert`, `update`, `upsert`, `delete`, `hash`, `extract` or `convert`, in any case.
    pub action: String,
    /// A constant.
    pub value: Option<Value>,
    /// Another attribute to copy the value of.
    pub from_attribute: String,
    /// What is known of the sender: `metadata.KEY` (a header, if the receiver has `include_metadata`), `client.address` or
    /// `auth.ATTRIBUTE`; several values are joined with semicolons.
    pub from_context: String,
    /// What is used where the source is absent.
    pub default_value: Option<Value>,
    /// For `extract` on the value, with named groups; for `delete` and `hash` on keys.
    pub pattern: String,
    /// For `convert`: `string`, `int` or `double`.
    pub converted_type: String,
}

/// What is wrong with an action: the key it is wrong at, and why.
type Wrong = (&'static str, String);

impl Action {
    fn value(&self) -> Option<&Value> {
        self.value.as_ref().filter(|value| !value.is_null())
    }

    fn default_value(&self) -> Option<&Value> {
        self.default_value.as_ref().filter(|value| !value.is_null())
    }

    /// The first key that is written and that this action does not use.
    fn unused(&self, used: &[&str]) -> Option<Wrong> {
        let written = [
            ("value", self.value().is_some()),
            ("from_attribute", !self.from_attribute.is_empty()),
            ("from_context", !self.from_context.is_empty()),
            ("default_value", self.default_value().is_some()),
            ("pattern", !self.pattern.is_empty()),
            ("converted_type", !self.converted_type.is_empty()),
        ];
        let key = written.iter().find(|(key, is_set)| *is_set && !used.contains(key))?.0;
        Some((key, format!("the action `{}` does not use `{key}`", self.action.to_lowercase())))
    }

    fn step(&self) -> Result<Step, Wrong> {
        let action = self.action.to_lowercase();
        let needs_key = !matches!(action.as_str(), "delete" | "hash") || self.pattern.is_empty();
        if self.key.is_empty() && needs_key && ACTIONS.contains(&action.as_str()) {
            let or_pattern = if matches!(action.as_str(), "delete" | "hash") { "`key` or `pattern`" } else { "`key`" };
            return Err(("", format!("the action `{action}` needs {or_pattern}")));
        }
        let key = self.key.clone().into_bytes();
        let used: &[&str] = match action.as_str() {
            "insert" | "update" | "upsert" => &["value", "from_attribute", "from_context", "default_value"],
            "delete" | "hash" | "extract" => &["pattern"],
            _ => &["converted_type"],
        };
        let unused = |step| self.unused(used).map_or(Ok(step), Err);
        match action.as_str() {
            "insert" => unused(Step::Put { key, when: When::Absent, source: self.source()? }),
            "update" => unused(Step::Put { key, when: When::Present, source: self.source()? }),
            "upsert" => unused(Step::Put { key, when: When::Always, source: self.source()? }),
            "delete" => unused(Step::Delete { key, pattern: self.pattern()? }),
            "hash" => unused(Step::Hash { key, pattern: self.pattern()? }),
            "extract" => unused(self.extract(key)?),
            "convert" => match self.converted_type.as_str() {
                "string" => unused(Step::Convert { key, to: To::Text }),
                "int" => unused(Step::Convert { key, to: To::Int }),
                "double" => unused(Step::Convert { key, to: To::Double }),
                "" => Err(("", "the action `convert` needs `converted_type`: string, int or double".to_owned())),
                _ => Err(("converted_type", "must be string, int or double".to_owned())),
            },
            "" => Err(("", "needs an `action`".to_owned())),
            _ => Err(("action", format!("unknown action; there are: {}", ACTIONS.join(", ")))),
        }
    }

    fn source(&self) -> Result<Source, Wrong> {
        let (value, from, context) = (self.value(), self.from_attribute.as_str(), self.from_context.as_str());
        let default = self.default_value();
        let only_one = "only one of `value`, `from_attribute` and `from_context` may be given";
        match (value.is_some(), !from.is_empty(), !context.is_empty()) {
            (true, true, _) => Err(("from_attribute", only_one.to_owned())),
            (true, _, true) | (_, true, true) => Err(("from_context", only_one.to_owned())),
            (false, false, false) if default.is_none() => {
                let text = "needs one of `value`, `from_attribute`, `from_context` and `default_value`";
                Err(("", text.to_owned()))
            }
            _ => Ok(Source {
                constant: value.map(encoded),
                attribute: (!from.is_empty()).then(|| from.as_bytes().to_vec()),
                origin: (!context.is_empty()).then(|| origin::named(context)),
                default: default.map(encoded),
            }),
        }
    }

    fn pattern(&self) -> Result<Option<Regex>, Wrong> {
        let compiled = (!self.pattern.is_empty()).then(|| Regex::new(&self.pattern)).transpose();
        compiled.map_err(|error| ("pattern", error.to_string()))
    }

    fn extract(&self, key: Vec<u8>) -> Result<Step, Wrong> {
        let Some(pattern) = self.pattern()? else {
            return Err(("", "the action `extract` needs a `pattern`".to_owned()));
        };
        let names: Vec<Vec<u8>> = pattern.names().map(|(_, name)| name.as_bytes().to_vec()).collect();
        match pattern.groups() - 1 {
            0 => Err(("pattern", "has no named group: `(?P<name>…)`".to_owned())),
            groups if groups > names.len() => Err(("pattern", "has a group without a name".to_owned())),
            _ => Ok(Step::Extract { key, pattern, names }),
        }
    }
}

/// The actions there are.
const ACTIONS: &[&str] = &["insert", "update", "upsert", "delete", "hash", "extract", "convert"];

impl Validate for Action {
    fn validate(&self, report: &mut Report<'_>) {
        if let Err((key, why)) = self.step() {
            report.error(key, why);
        }
    }
}

/// Actions that can run.
#[derive(Clone, Debug)]
pub struct Actions(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: Vec<u8>,
        when: When,
        source: Source,
    },
    /// Of the key, if it is not empty, and of keys that the pattern finds.
    Delete {
        key: Vec<u8>,
        pattern: Option<Regex>,
    },
    Hash {
        key: Vec<u8>,
        pattern: Option<Regex>,
    },
    /// Each group of the pattern has a name.
    Extract {
        key: Vec<u8>,
        pattern: Regex,
        names: Vec<Vec<u8>>,
    },
    Convert {
        key: Vec<u8>,
        to: To,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Absent,
    Present,
    Always,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Text,
    Int,
    Double,
}

/// Where a value comes from; encoded values.
#[derive(Clone, Debug)]
struct Source {
    constant: Option<Vec<u8>>,
    attribute: Option<Vec<u8>>,
    /// A name of what is known of the sender.
    origin: Option<Arc<str>>,
    default: Option<Vec<u8>>,
}

impl Actions {
    /// Those of a valid configuration; what is not valid is left out.
    #[must_use]
    pub fn new(actions: &[Action]) -> Actions {
        Actions(actions.iter().filter_map(|action| action.step().ok()).collect())
    }

    /// Runs them on attributes of what came from this origin.
    pub fn run(&self, attributes: &mut Attributes<'_>, origin: &Origin) {
        self.0.iter().for_each(|step| step.run(attributes, origin));
    }

    /// What they ask of the origin of requests.
    pub fn wanted(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter_map(|step| if let Step::Put { source, .. } = step { source.origin.as_ref() } else { None })
    }
}

impl Step {
    fn run(&self, attributes: &mut Attributes<'_>, origin: &Origin) {
        match self {
            Step::Put { key, when, source } => {
                let is_wanted = *when == When::Always || attributes.encoded(key).is_some() == (*when == When::Present);
                if is_wanted && let Some(value) = source.find(attributes, origin) {
                    attributes.set(key, &value);
                }
            }
            Step::Delete { key, pattern } => {
                attributes.retain(|name| !is_meant(name, key, pattern.as_ref()));
            }
            Step::Hash { key, pattern } => {
                let names: Vec<Vec<u8>> = attributes
                    .keys()
                    .filter(|name| is_meant(name, key, pattern.as_ref()))
                    .map(<[u8]>::to_vec)
                    .collect();
                for name in names {
                    let hash = attributes.get(&name).map(|value| hashed(&value)).unwrap_or_default();
                    attributes.set(&name, &encoded_text(hash.as_bytes()));
                }
            }
            Step::Extract { key, pattern, names } => {
                let Some(AnyValue::Str(text)) = attributes.get(key) else { return };
                let (text, mut slots) = (text.to_vec(), Slots::new());
                if pattern.captures(&text, &mut slots) {
                    for (group, name) in names.iter().enumerate().map(|(n, name)| (n + 1, name)) {
                        let place =
                            slots.get(2 * group).copied().flatten().zip(slots.get(2 * group + 1).copied().flatten());
                        // A group that took no part is empty, as Go has it.
                        let found = place.and_then(|(from, to)| text.get(from.get()..to.get())).unwrap_or_default();
                        attributes.set(name, &encoded_text(found));
                    }
                }
            }
            Step::Convert { key, to } => {
                let converted = attributes.get(key).and_then(|value| to.convert(&value));
                if let Some(value) = converted {
                    attributes.set(key, &value);
                }
            }
        }
    }
}

/// Whether `delete` and `hash` mean a key.
fn is_meant(name: &[u8], key: &[u8], pattern: Option<&Regex>) -> bool {
    (!key.is_empty() && name == key) || pattern.is_some_and(|pattern| pattern.is_match(name))
}

impl Source {
    fn find(&self, attributes: &Attributes<'_>, origin: &Origin) -> Option<Vec<u8>> {
        let copied = || attributes.encoded(self.attribute.as_deref()?).map(<[u8]>::to_vec);
        let known = || {
            let values: Vec<&str> = origin.values(self.origin.as_deref()?).collect();
            (!values.is_empty()).then(|| encoded_text(values.join(";").as_bytes()))
        };
        self.constant.clone().or_else(copied).or_else(known).or_else(|| self.default.clone())
    }
}

impl To {
    /// The encoded value, if it can be converted and is not of the type already.
    fn convert(self, value: &AnyValue<'_>) -> Option<Vec<u8>> {
        let utf8 = |text| std::str::from_utf8(text).ok();
        let number = match (self, value) {
            (To::Text, AnyValue::Str(_)) => return None,
            (To::Text, value) => return Some(encoded_text(&as_text(value))),
            (To::Int, AnyValue::Double(number)) => AnyValue::Int(*number as i64),
            (To::Int, AnyValue::Bool(yes)) => AnyValue::Int(i64::from(*yes)),
            (To::Int, AnyValue::Str(text)) => AnyValue::Int(utf8(text)?.parse().ok()?),
            (To::Double, AnyValue::Int(number)) => AnyValue::Double(*number as f64),
            (To::Double, AnyValue::Bool(yes)) => AnyValue::Double(f64::from(u8::from(*yes))),
            (To::Double, AnyValue::Str(text)) => AnyValue::Double(double(utf8(text)?)?),
            _ => return None,
        };
        Some(encoded_value(number))
    }
}

/// A number in a text. What is too large for one is none, as in Go.
fn double(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let is_named = text.trim_start_matches(['+', '-']).starts_with(['i', 'I', 'n', 'N']);
    (number.is_finite() || is_named).then_some(number)
}

/// A value as text, as the collector's `AsString` writes it.
pub(super) fn as_text(value: &AnyValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        // Very small and very large numbers have an exponent.
        AnyValue::Double(number) if number.is_finite() && *number != 0.0 && !(1e-6..1e21).contains(&number.abs()) => {
            let text = format!("{number:e}");
            out.extend_from_slice(text.replace('e', if number.abs() < 1.0 { "e" } else { "e+" }).as_bytes());
        }
        value => text::write(&mut out, value),
    }
    out
}

/// The SHA-256 of a value in hexadecimal; nothing of what is neither text, number nor boolean.
fn hashed(value: &AnyValue<'_>) -> String {
    let hash = match value {
        AnyValue::Str(text) => Sha256::digest(text),
        AnyValue::Bool(yes) => Sha256::digest([u8::from(*yes)]),
        AnyValue::Int(number) => Sha256::digest(number.to_le_bytes()),
        AnyValue::Double(number) => Sha256::digest(number.to_bits().to_le_bytes()),
        AnyValue::Empty | AnyValue::Bytes(_) | AnyValue::Array(_) | AnyValue::KvList(_) => return String::new(),
    };
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded_text(text: &[u8]) -> Vec<u8> {
    encoded_value(AnyValue::Str(text))
}

/// An encoded `AnyValue`.
fn encoded_value(value: AnyValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        AnyValue::Str(text) => put_len_field(&mut out, 1, text),
        AnyValue::Int(number) => put_varint_field(&mut out, 3, number as u64),
        AnyValue::Double(number) => put_fixed64_field(&mut out, 4, number.to_bits()),
        _ => {}
    }
    out
}

/// A value of a configuration as an encoded `AnyValue`.
pub(super) fn encoded(value: &Value) -> Vec<u8> {
    let mut out = MessageWriter::new();
    put(&mut out, value);
    out.finish().to_vec()
}

fn put(out: &mut MessageWriter, value: &Value) {
    match value {
        Value::Null => out,
        Value::Bool(yes) => out.varint(2, u64::from(*yes)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => out.varint(3, number as u64),
            // What is beyond a signed number wraps, as it does in Go.
            (_, Some(number)) => out.varint(3, number),
            _ => out.double(4, number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => out.bytes(1, text),
        Value::Array(list) => out.message(5, |array| {
            for item in list {
                array.message(1, |any| put(any, item));
            }
        }),
        Value::Object(map) => out.message(6, |pairs| {
            for (name, value) in map {
                pairs.message(1, |pair| {
                    pair.bytes(1, name).message(2, |any| put(any, value));
                });
            }
        }),
    };
}

#[cfg(test)]
pub(super) mod tests;
