//! JSON to protobuf: serde seeds that write each value as it is parsed.
//!
//! Invariants: the stack is bounded by the nesting limits, the output by the caller's limit; on an error the path still
//! holds the steps that led there, because steps are only taken back on success.

use super::repair::repair;
use super::scalar::{self, Scalar};
use super::skip::Skip;
use super::{JsonError, MAX_WHAT};
use crate::field::{put_varint, varint_len};
use crate::schema::{Field, Kind, MAX_VALUE_DEPTH, Message};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Write as _};
use std::ops::Range;

pub(super) fn message(
    message: &'static Message,
    json: &[u8],
    limit: usize,
) -> Result<(Vec<u8>, Option<String>), JsonError> {
    let text = &*repair(json);
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(invalid(1, 0, String::new(), "the body is empty; an empty request is {}".into()));
    }
    let mut output = Output { bytes: Vec::new(), limit, full: false, path: Vec::new(), unknown: None, value_depth: 0 };
    let mut json = serde_json::Deserializer::from_str(text);
    // The seeds have limits of their own: OTLP may legally be nested deeper than serde_json's 128.
    json.disable_recursion_limit();
    let parsed = MessageSeed { output: &mut output, message }.deserialize(&mut json).and_then(|()| json.end());
    match parsed {
        Ok(()) => {
            // What is kept is kept for long: give back the slack of growing.
            output.bytes.shrink_to_fit();
            Ok((output.bytes, output.unknown))
        }
        Err(_) if output.full => Err(JsonError::TooLarge { limit }),
        Err(error) => {
            let position = format!(" at line {} column {}", error.line(), error.column());
            let what = error.to_string();
            let what = what.strip_suffix(&position).unwrap_or(&what).to_owned();
            Err(invalid(error.line(), error.column(), output.path_text(), what))
        }
    }
}

fn invalid(line: usize, column: usize, path: String, mut what: String) -> JsonError {
    what.truncate(what.floor_char_boundary(MAX_WHAT));
    JsonError::Invalid { line, column, path, what }
}

/// One step of the path to the value that is being read.
enum Step {
    Field(&'static str),
    Element(usize),
}

/// What has been written, and where the parser stands.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
    /// Whether the limit was hit: serde's errors carry only text.
    full: bool,
    path: Vec<Step>,
    /// Where the first field stands that nobody knows.
    unknown: Option<String>,
    /// How many `AnyValue`s the parser is inside of.
    value_depth: usize,
}

impl Output {
    fn tag(&mut self, number: u32, wire_type: u8) {
        put_varint(&mut self.bytes, u64::from(number << 3) | u64::from(wire_type));
    }

    /// Writes what a wire type 0, 1 or 5 carries.
    fn scalar(&mut self, kind: Kind, bits: u64) {
        match kind.wire_type() {
            1 => self.bytes.extend_from_slice(&bits.to_le_bytes()),
            5 => self.bytes.extend_from_slice(&(bits as u32).to_le_bytes()),
            _ => put_varint(&mut self.bytes, bits),
        }
    }

    /// Opens a length-delimited field and answers where its length belongs. One byte is kept free for it: most messages
    /// are shorter than 128 bytes.
    fn open(&mut self, number: u32) -> usize {
        self.tag(number, 2);
        self.bytes.push(0);
        self.bytes.len() - 1
    }

    /// Closes the field opened at `at`, moving its content if the length needs more than the byte kept free.
    fn close(&mut self, at: usize) {
        let end = self.bytes.len();
        let len = end - at - 1;
        let prefix = varint_len(len as u64);
        if prefix > 1 {
            self.bytes.resize(end + prefix - 1, 0);
            self.bytes.copy_within(at + 1..end, at + prefix);
        }
        let mut slot = &mut self.bytes[at..at + prefix];
        put_varint(&mut slot, len as u64);
    }

    /// Refuses to grow past the limit. Called after each field and element, so the excess is at most one scalar or string.
    fn bounded<E: Error>(&mut self) -> Result<(), E> {
        if self.bytes.len() > self.limit {
            self.full = true;
            return Err(E::custom("too large"));
        }
        Ok(())
    }

    fn path_text(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Field(name) if text.is_empty() => write!(text, "{name}"),
                Step::Field(name) => write!(text, ".{name}"),
                Step::Element(index) => write!(text, "[{index}]"),
            };
        }
        text
    }
}

/// Reads the object of one message and writes its fields, without a length around them.
struct MessageSeed<'o> {
    output: &'o mut Output,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.message.is_any_value() {
            return deserializer.deserialize_map(self);
        }
        if self.output.value_depth == MAX_VALUE_DEPTH {
            return Err(D::Error::custom(format_args!(
                "attribute values are nested deeper than {MAX_VALUE_DEPTH} levels"
            )));
        }
        self.output.value_depth += 1;
        deserializer.deserialize_map(MessageSeed { output: self.output, message: self.message })?;
        self.output.value_depth -= 1;
        Ok(())
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        // A bit per field number.
        let mut seen = 0u32;
        // The member of the oneof that came last, as it was written.
        let mut member = None::<Range<usize>>;
        while let Some(key) = object.next_key_seed(Key { output: &mut *self.output, message: self.message })? {
            let Some(field) = key else {
                object.next_value_seed(Skip::default())?;
                continue;
            };
            self.output.path.push(Step::Field(field.json));
            let bit = 1u32 << field.number;
            let again = seen & bit != 0;
            seen |= bit;
            let from = self.output.bytes.len();
            let present = object.next_value_seed(FieldSeed { output: &mut *self.output, field, again })?;
            if present && field.oneof {
                let mut range = from..self.output.bytes.len();
                if let Some(other) = member {
                    // What lies between them moves: all of it once at most for each member, which is not shorter than what moves.
                    self.output.bytes.drain(other.clone());
                    range = range.start - other.len()..range.end - other.len();
                }
                member = Some(range);
            }
            self.output.bounded()?;
            self.output.path.pop();
        }
        Ok(())
    }
}

/// Reads a key: the field it names, or `None` for an unknown one.
struct Key<'o> {
    output: &'o mut Output,
    message: &'static Message,
}

/// The most of a name that is noted.
const MAX_NAME: usize = 64;

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let field = self.message.by_json(key).or_else(|| self.message.by_old_name(key));
        if field.is_none() && self.output.unknown.is_none() {
            let (path, name) = (self.output.path_text(), &key[..key.floor_char_boundary(MAX_NAME)]);
            self.output.unknown = Some(if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") });
        }
        Ok(field)
    }
}

/// Reads the value of a field and writes it with its tag. Answers whether the field is present: `null` is not.
struct FieldSeed<'o> {
    output: &'o mut Output,
    field: &'static Field,
    /// Whether it came before in the same object: then its default value is not the same as none.
    again: bool,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let FieldSeed { output, field, again } = self;
        if field.repeated {
            deserializer.deserialize_seq(List { output, field })?;
        } else {
            ValueSeed { output, field, is_written: again || field.has_presence() }.deserialize(deserializer)?;
        }
        Ok(true)
    }
}

/// Reads one value, of a singular field or of a list that is not packed, and writes it with its tag.
struct ValueSeed<'o> {
    output: &'o mut Output,
    field: &'static Field,
    /// Whether it is written when it is the default value, too.
    is_written: bool,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let ValueSeed { output, field, is_written } = self;
        match field.kind {
            Kind::Message(message) => {
                let at = output.open(field.number);
                MessageSeed { output, message }.deserialize(deserializer)?;
                output.close(at);
                Ok(())
            }
            Kind::String | Kind::Bytes | Kind::Id(_) => {
                deserializer.deserialize_str(Text { output, field, is_written })
            }
            kind => {
                let bits = deserializer.deserialize_any(Scalar(kind, field.names))?;
                if bits != 0 || is_written {
                    output.tag(field.number, kind.wire_type());
                    output.scalar(kind, bits);
                }
                Ok(())
            }
        }
    }
}

/// Reads a list and writes its elements, scalars packed.
struct List<'o> {
    output: &'o mut Output,
    field: &'static Field,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let List { output, field } = self;
        let before = output.bytes.len();
        let packed = field.kind.packable().then(|| output.open(field.number));
        let mut count = 0;
        loop {
            output.path.push(Step::Element(count));
            let element = match packed {
                Some(_) => {
                    array.next_element_seed(Scalar(field.kind, &[]))?.map(|bits| output.scalar(field.kind, bits))
                }
                None => {
                    array.next_element_seed(Element(ValueSeed { output: &mut *output, field, is_written: true }))?
                }
            };
            output.path.pop();
            if element.is_none() {
                break;
            }
            output.bounded()?;
            count += 1;
        }
        match packed {
            Some(_) if count == 0 => output.bytes.truncate(before),
            Some(at) => output.close(at),
            None => {}
        }
        Ok(())
    }
}

/// An element of a list that is not packed: `null` is an empty one.
struct Element<'o>(ValueSeed<'o>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let at = self.0.output.open(self.0.field.number);
        self.0.output.close(at);
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.deserialize(deserializer)
    }
}

/// Reads a string and writes the string, bytes or id it stands for.
struct Text<'o> {
    output: &'o mut Output,
    field: &'static Field,
    is_written: bool,
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.field.kind {
            Kind::Bytes => "a base64 string",
            Kind::Id(_) => "a hex string",
            _ => "a string",
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Text { output, field, is_written } = self;
        // An empty element of a list is an element; an empty singular field without presence is absent.
        if text.is_empty() && !is_written {
            return Ok(());
        }
        let at = output.open(field.number);
        match field.kind {
            Kind::Bytes => scalar::base64(text, &mut output.bytes).map_err(E::custom)?,
            Kind::Id(len) => scalar::id(text, len, &mut output.bytes).map_err(E::custom)?,
            _ => output.bytes.extend_from_slice(text.as_bytes()),
        }
        output.close(at);
        Ok(())
    }
}
