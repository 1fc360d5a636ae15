//! A JSON push becomes an OTLP request, streaming: memory is the output and the nesting.
//!
//! Both forms of Loki are read, in one body too: `{"streams": [{"stream": {…}, "values": [["<nanoseconds>", "line", {…}]]}]}` and the older
//! `{"streams": [{"labels": "{…}", "entries": [{"ts": "<RFC 3339>", "line": "…"}]}]}`, where `timestamp` is the same as `ts`. Nanoseconds are a string, or a whole number. Structured
//! metadata is an object of strings. Unknown keys are ignored; `null` is an absent value; the rules of `crate::json` hold for the JSON itself.

use super::writer::{OtlpWriter, RECORD_ATTRIBUTES, RESOURCE_ATTRIBUTES, is_internal};
use super::{PushError, Received, Receiving, labels, time};
use crate::json::{JsonError, MAX_WHAT, repair};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON push as an OTLP logs request.
///
/// # Errors
/// See [`PushError`].
pub fn to_otlp(json: &[u8], how: &Receiving) -> Result<Received, PushError> {
    let mut writer = OtlpWriter::new(how, json.len());
    let text = repair(json);
    let mut parser = serde_json::Deserializer::from_str(&text);
    let parsed = Part { writer: &mut writer, what: What::Push }.deserialize(&mut parser).and_then(|()| parser.end());
    if writer.is_full() {
        return Err(PushError::TooLarge { limit: how.limit });
    }
    match parsed {
        Ok(()) => Ok(writer.finish()),
        Err(error) => {
            let position = format!(" at line {} column {}", error.line(), error.column());
            let mut what = error.to_string();
            what = what.strip_suffix(&position).unwrap_or(&what).to_owned();
            what.truncate(what.floor_char_boundary(MAX_WHAT));
            Err(PushError::Json(JsonError::Invalid {
                line: error.line(),
                column: error.column(),
                path: String::new(),
                what,
            }))
        }
    }
}

/// The kinds of values that are looked into.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Push,
    Streams,
    Stream,
    /// An object of strings: labels or structured metadata, written as attributes of this number.
    Pairs(u32),
    /// One value of it; the name is in the seed's `name`.
    LabelText,
    Entries,
    /// An array or an object.
    Entry,
    Time,
    Line,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Push => "a push request, {\"streams\": […]}",
            What::Streams => "an array of streams",
            What::Stream => "a stream",
            What::Pairs(RESOURCE_ATTRIBUTES) => "an object of labels",
            What::Pairs(_) => "an object of structured metadata",
            What::LabelText => "a label string",
            What::Entries => "an array of entries",
            What::Entry => "an entry, [\"<nanoseconds>\", \"<line>\"]",
            What::Time => "nanoseconds in a string, or an RFC 3339 time",
            What::Line => "a line",
        }
    }
}

/// One value, written as it is parsed.
struct Part<'w, 'a> {
    writer: &'w mut OtlpWriter<'a>,
    what: What,
}

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.name())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.what {
            What::Streams | What::Entries | What::Pairs(_) => Ok(()),
            what => Err(E::custom(format!("null where {} is expected", what.name()))),
        }
    }

    fn visit_u64<E: Error>(self, nanos: u64) -> Result<(), E> {
        match self.what {
            What::Time => self.writer.time(Some(nanos)),
            what => return Err(E::custom(format!("a number where {} is expected", what.name()))),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, nanos: i64) -> Result<(), E> {
        self.visit_u64(u64::try_from(nanos).unwrap_or(0))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Part { writer, what } = self;
        match what {
            What::Line => writer.line(text.as_bytes()),
            What::Time => {
                let nanos =
                    text.parse::<i64>().map(|n| u64::try_from(n).unwrap_or(0)).ok().or_else(|| time::rfc3339(text));
                let nanos =
                    nanos.ok_or_else(|| E::custom("the timestamp is neither nanoseconds nor an RFC 3339 time"))?;
                writer.time(Some(nanos));
            }
            What::LabelText => {
                // Some clients send none at all.
                let text = if text.is_empty() { "{}" } else { text };
                let pairs = labels::parse(text.as_bytes())
                    .map_err(|error| E::custom(format!("couldn't parse labels: {error}")))?;
                let at = writer.open_resource();
                for (name, value) in pairs.iter().filter(|(name, _)| !is_internal(name)) {
                    writer.attribute(RESOURCE_ATTRIBUTES, name, value);
                }
                writer.close(at);
            }
            what => return Err(E::custom(format!("a string where {} is expected", what.name()))),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Part { writer, what } = self;
        match what {
            What::Streams => {
                while list.next_element_seed(Part { writer: &mut *writer, what: What::Stream })?.is_some() {}
            }
            What::Entries => {
                while list.next_element_seed(Part { writer: &mut *writer, what: What::Entry })?.is_some() {}
            }
            What::Entry => {
                let at = writer.open_record();
                for (what, must) in [(What::Time, true), (What::Line, true), (What::Pairs(RECORD_ATTRIBUTES), false)] {
                    if list.next_element_seed(Part { writer: &mut *writer, what })?.is_none() && must {
                        return Err(A::Error::custom(format!("the entry ends where {} is expected", what.name())));
                    }
                }
                if list.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("an entry has at most three elements"));
                }
                writer.close(at);
                return bounded(writer);
            }
            what => return Err(A::Error::custom(format!("an array where {} is expected", what.name()))),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Part { writer, what } = self;
        match what {
            What::Push => object(writer, &mut map, &[("streams", What::Streams)]).map(drop),
            What::Stream => stream(writer, &mut map),
            What::Entry => {
                let at = writer.open_record();
                let keys = [
                    ("ts", What::Time),
                    ("line", What::Line),
                    ("structuredMetadata", What::Pairs(RECORD_ATTRIBUTES)),
                    ("timestamp", What::Time),
                ];
                let found = object(writer, &mut map, &keys)?;
                if found[0] && found[3] {
                    return Err(A::Error::custom("the keys ts and timestamp are the same"));
                }
                if !found[0] && !found[3] {
                    writer.time(None);
                }
                if !found[1] {
                    writer.line(b"");
                }
                writer.close(at);
                bounded(writer)
            }
            What::Pairs(number) => pairs(writer, &mut map, number),
            what => Err(A::Error::custom(format!("an object where {} is expected", what.name()))),
        }
    }
}

/// Refuses to grow past the limit; the excess is at most one entry, and that is not larger than its JSON.
fn bounded<E: Error>(writer: &OtlpWriter<'_>) -> Result<(), E> {
    if writer.is_full() { Err(E::custom("too large")) } else { Ok(()) }
}

/// The wanted keys of an object, each at most once; which of them were there.
fn object<'de, A: MapAccess<'de>>(
    writer: &mut OtlpWriter<'_>,
    map: &mut A,
    keys: &[(&'static str, What)],
) -> Result<[bool; 4], A::Error> {
    let mut found = [false; 4];
    while let Some(key) = map.next_key_seed(Key(keys))? {
        match key {
            None => drop(map.next_value::<IgnoredAny>()?),
            Some(at) => {
                let (name, what) = keys[at];
                if std::mem::replace(&mut found[at], true) {
                    return Err(A::Error::custom(format!("the key {name} stands there twice")));
                }
                map.next_value_seed(Part { writer: &mut *writer, what })?;
            }
        }
    }
    Ok(found)
}

/// A stream. Protobuf lets a resource stand behind its records, so nothing has to wait for anything.
fn stream<'de, A: MapAccess<'de>>(writer: &mut OtlpWriter<'_>, map: &mut A) -> Result<(), A::Error> {
    let start = writer.out.len();
    let before = writer.records;
    let entry = writer.open_stream();
    let keys = [
        ("stream", What::Pairs(RESOURCE_ATTRIBUTES)),
        ("labels", What::LabelText),
        ("values", What::Entries),
        ("entries", What::Entries),
    ];
    while let Some(key) = map.next_key_seed(Key(&keys))? {
        let Some(at) = key else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let what = keys[at].1;
        let open = match what {
            What::Entries => Some(writer.open_scope()),
            What::Pairs(_) => Some(writer.open_resource()),
            _ => None,
        };
        map.next_value_seed(Part { writer: &mut *writer, what })?;
        if let Some(open) = open {
            writer.close(open);
        }
    }
    writer.close(entry);
    if writer.records == before {
        writer.undo(start);
    }
    Ok(())
}

fn pairs<'de, A: MapAccess<'de>>(writer: &mut OtlpWriter<'_>, map: &mut A, number: u32) -> Result<(), A::Error> {
    let mut count = 0;
    while let Some(name) = map.next_key::<String>()? {
        let Some(value) = map.next_value::<Option<String>>()? else { continue };
        count += 1;
        if count > labels::MAX_LABELS {
            return Err(A::Error::custom("there are too many labels"));
        }
        if number != RESOURCE_ATTRIBUTES || !is_internal(name.as_bytes()) {
            writer.attribute(number, name.as_bytes(), value.as_bytes());
        }
    }
    Ok(())
}

/// Which of the wanted keys a key is.
struct Key<'k>(&'k [(&'static str, What)]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|(name, _)| *name == key))
    }
}
