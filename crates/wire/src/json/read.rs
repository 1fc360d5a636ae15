//! JSON to protobuf: each value is written as it is read.
//!
//! Invariants: the stack is bounded by the nesting limits, the output by the caller's limit. What most of a request
//! consists of, attributes of strings, is read by [`usual`](super::usual) where it is written as machines write it;
//! that gives nothing but speed.

use super::cursor::Cursor;
use super::output::Output;
use super::place::Place;
use super::repair::repair;
use super::scalar::{self, Scalar};
use super::wrong::{self, Refused};
use super::{JsonError, skip};
use crate::schema::{Field, Kind, MAX_VALUE_DEPTH, Message};
use std::ops::Range;

pub(super) fn message(
    message: &'static Message,
    json: &[u8],
    limit: usize,
) -> Result<(Vec<u8>, Option<String>), JsonError> {
    let text = &*repair(json);
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(JsonError::invalid(1, 0, "the body is empty; an empty request is {}".into()));
    }
    let (json, output) = (Cursor::new(text), Output::new(text.len(), limit));
    let mut reader = Reader { json, output, limit, unknown: None, value_depth: 0 };
    reader.request(message).map_err(|refused| *refused)?;
    Ok((reader.output.finish(), reader.unknown))
}

/// The most of a name that is noted.
const MAX_NAME: usize = 64;

/// What is read, what was written, and where the first field stands that nobody knows.
pub(super) struct Reader<'a> {
    pub json: Cursor<'a>,
    pub output: Output,
    limit: usize,
    unknown: Option<String>,
    /// How many `AnyValue`s it is inside of.
    value_depth: usize,
}

impl Reader<'_> {
    fn request(&mut self, message: &'static Message) -> Result<(), Refused> {
        self.object(message, None)?;
        match self.json.token() {
            Some(_) => Err(self.json.refused_next(wrong::TRAILING)),
            None => Ok(()),
        }
    }

    /// Whether another `AnyValue` may begin here that holds none.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.value_depth < MAX_VALUE_DEPTH
    }

    /// Refuses to grow past the limit. Called after each field and element, so the excess is at most one scalar or
    /// string.
    #[inline]
    fn bounded(&self) -> Result<(), Refused> {
        if self.output.is_over() {
            return Err(Box::new(JsonError::TooLarge { limit: self.limit }));
        }
        Ok(())
    }

    /// Reads the object of a message and writes its fields, without a length around them.
    fn object(&mut self, message: &'static Message, place: Option<&Place<'_>>) -> Result<(), Refused> {
        self.members(message, place).map_err(|refused| match place {
            Some(place) => refused.within(place),
            None => refused,
        })
    }

    fn members(&mut self, message: &'static Message, place: Option<&Place<'_>>) -> Result<(), Refused> {
        if self.json.token() != Some(b'{') {
            return Err(self.json.wrong_type(&format!("an object ({})", message.name)));
        }
        self.json.skip(1);
        // A bit per field number.
        let mut seen = 0u32;
        // The member of the oneof that came last, as it was written.
        let mut member = None::<Range<usize>>;
        let (mut first, mut next) = (true, 0);
        while self.json.key_follows(first)? {
            first = false;
            let Some(field) = self.key(message, &mut next, place)? else {
                self.json.colon()?;
                skip::value(&mut self.json)?;
                continue;
            };
            let bit = 1u32 << field.number;
            let again = seen & bit != 0;
            seen |= bit;
            let from = self.output.len();
            let place = Place::field(place, field.json);
            let present = self.field(field, again, &place).map_err(|refused| refused.within(&place))?;
            if present && field.oneof {
                let mut range = from..self.output.len();
                if let Some(other) = member {
                    // What lies between them moves: all of it once at most for each member, which is not shorter than
                    // what moves.
                    self.output.remove(other.clone());
                    range = range.start - other.len()..range.end - other.len();
                }
                member = Some(range);
            }
            self.bounded()?;
        }
        Ok(())
    }

    /// Reads a key: the field it names, or `None` for an unknown one. Most senders write fields in the order of their
    /// numbers: `next` is the index of the one that is looked at first.
    #[inline]
    fn key(
        &mut self,
        message: &'static Message,
        next: &mut usize,
        place: Option<&Place<'_>>,
    ) -> Result<Option<&'static Field>, Refused> {
        let text = self.json.string()?;
        let key = self.json.text(text);
        if let Some(index) = message.position(key, *next) {
            *next = index + 1;
            return Ok(message.fields.get(index));
        }
        let key = String::from_utf8_lossy(key);
        let field = message.by_json(&key).or_else(|| message.by_old_name(&key));
        if field.is_none() && self.unknown.is_none() {
            let name = &key[..key.floor_char_boundary(MAX_NAME)];
            self.unknown = Some(place.map_or_else(|| name.to_owned(), |place| format!("{place}.{name}")));
        }
        Ok(field)
    }

    /// Reads the value of a field and writes it with its tag. Answers whether the field is present: `null` is not. A
    /// field that came `again` in its object is written when it has its default value, too: that is not the same as
    /// none.
    fn field(&mut self, field: &'static Field, again: bool, place: &Place<'_>) -> Result<bool, Refused> {
        self.json.colon()?;
        if self.json.null()? {
            return Ok(false);
        }
        match field.repeated {
            true if field.kind.packable() => self.packed(field, place)?,
            true => self.list(field, place)?,
            false => self.value(field, again || field.has_presence(), place)?,
        }
        Ok(true)
    }

    /// Reads one value, of a singular field or of a list that is not packed, and writes it with its tag; the default
    /// value only if it `is_written`.
    fn value(&mut self, field: &'static Field, is_written: bool, place: &Place<'_>) -> Result<(), Refused> {
        match field.kind {
            Kind::Message(message) => self.nested(field, message, place),
            Kind::String | Kind::Bytes | Kind::Id(_) => self.text(field, is_written),
            kind => {
                let bits = Scalar(kind, field.names).read(&mut self.json)?;
                if bits != 0 || is_written {
                    self.output.scalar_field(field.number, kind, bits);
                }
                Ok(())
            }
        }
    }

    fn nested(&mut self, field: &'static Field, message: &'static Message, place: &Place<'_>) -> Result<(), Refused> {
        let is_any_value = message.is_any_value();
        if is_any_value {
            if !self.has_room() {
                let what = format!("attribute values are nested deeper than {MAX_VALUE_DEPTH} levels");
                return Err(match field.repeated {
                    true => self.json.refused_in_array(what),
                    false => self.json.refused_in_object(what),
                });
            }
            if self.usual_value(field.number) {
                return Ok(());
            }
            self.value_depth += 1;
        }
        let open = self.output.open(field.number);
        self.object(message, Some(place))?;
        self.output.close(open);
        if is_any_value {
            self.value_depth -= 1;
        }
        Ok(())
    }

    /// Reads a list and writes its elements, of which `null` is an empty one.
    fn list(&mut self, field: &'static Field, place: &Place<'_>) -> Result<(), Refused> {
        if self.json.token() != Some(b'[') {
            return Err(self.json.wrong_type("an array"));
        }
        self.json.skip(1);
        let holds_pairs = matches!(field.kind, Kind::Message(message) if message.is_key_value());
        for index in 0.. {
            let place = Place::element(place, index);
            let element = self.element(field, holds_pairs, &place).map_err(|refused| refused.within(&place));
            if !element? {
                break;
            }
            self.bounded()?;
        }
        Ok(())
    }

    /// Reads the next element of a list. Answers whether there was one.
    #[inline]
    fn element(&mut self, field: &'static Field, is_pair: bool, place: &Place<'_>) -> Result<bool, Refused> {
        if !self.json.element_follows(place.is_first())? {
            return Ok(false);
        }
        if is_pair && self.usual_pair(field.number) {
            return Ok(true);
        }
        if self.json.null()? {
            self.output.bytes_field(field.number, &[]);
        } else {
            self.value(field, true, place)?;
        }
        Ok(true)
    }

    /// Reads a list of scalars and writes it packed.
    fn packed(&mut self, field: &'static Field, place: &Place<'_>) -> Result<(), Refused> {
        if self.json.token() != Some(b'[') {
            return Err(self.json.wrong_type("an array"));
        }
        self.json.skip(1);
        let before = self.output.len();
        let open = self.output.open(field.number);
        let mut count = 0;
        loop {
            let bits = match self.json.element_follows(count == 0) {
                Ok(true) => Scalar(field.kind, &[]).read(&mut self.json),
                Ok(false) => break,
                Err(refused) => Err(refused),
            };
            let bits = bits.map_err(|refused| refused.within(&Place::element(place, count)))?;
            self.output.scalar(field.kind, bits);
            self.bounded()?;
            count += 1;
        }
        self.output.close(open);
        if count == 0 {
            self.output.truncate(before);
        }
        Ok(())
    }

    /// Reads a string and writes the string, bytes or id it stands for.
    fn text(&mut self, field: &'static Field, is_written: bool) -> Result<(), Refused> {
        if self.json.token() != Some(b'"') {
            return Err(self.json.wrong_type(match field.kind {
                Kind::Bytes => "a base64 string",
                Kind::Id(_) => "a hex string",
                _ => "a string",
            }));
        }
        self.json.skip(1);
        let text = self.json.string()?;
        let text = self.json.text(text);
        // An empty element of a list is an element; an empty singular field without presence is absent.
        if text.is_empty() && !is_written {
            return Ok(());
        }
        match field.kind {
            Kind::Bytes => match scalar::base64(text) {
                Ok(bytes) => self.output.bytes_field(field.number, &bytes),
                Err(what) => return Err(self.json.refused(what)),
            },
            Kind::Id(len) => match scalar::id(text, len) {
                Ok((id, len)) => self.output.bytes_field(field.number, &id[..len]),
                Err(what) => return Err(self.json.refused(what)),
            },
            _ => self.output.bytes_field(field.number, text),
        }
        Ok(())
    }
}
