//! A log record while operators work on it, and how it is written as OTLP.

use crate::field::{Field, Root};
use crate::value::{Map, Value, write_map};
use wire::build::MessageWriter;

/// See the module. The attributes and those of the resource are maps at all times.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Nanoseconds since the epoch; 0: not known.
    pub time: u64,
    /// The same, of when it was read.
    pub observed: u64,
    /// OTLP's `SeverityNumber`; 0: not known.
    pub severity: u8,
    /// The level as it was written.
    pub severity_text: String,
    /// The name of the scope.
    pub scope: String,
    /// 16 bytes, or none.
    pub trace_id: Vec<u8>,
    /// 8 bytes, or none.
    pub span_id: Vec<u8>,
    /// W3C's trace flags.
    pub flags: u8,
    /// The message.
    pub body: Value,
    attributes: Value,
    resource: Value,
}

impl Record {
    /// One with this body.
    #[must_use]
    pub fn new(body: Value, attributes: Map, resource: Map, observed: u64) -> Record {
        Record {
            time: 0,
            observed,
            severity: 0,
            severity_text: String::new(),
            scope: String::new(),
            trace_id: vec![],
            span_id: vec![],
            flags: 0,
            body,
            attributes: Value::Map(attributes),
            resource: Value::Map(resource),
        }
    }

    /// The attributes.
    #[must_use]
    pub fn attributes(&self) -> &Map {
        as_map(&self.attributes)
    }

    /// Those of the resource.
    #[must_use]
    pub fn resource(&self) -> &Map {
        as_map(&self.resource)
    }

    fn part(&self, root: Root) -> &Value {
        match root {
            Root::Body => &self.body,
            Root::Attributes => &self.attributes,
            Root::Resource => &self.resource,
        }
    }

    fn part_mut(&mut self, root: Root) -> &mut Value {
        match root {
            Root::Body => &mut self.body,
            Root::Attributes => &mut self.attributes,
            Root::Resource => &mut self.resource,
        }
    }

    /// The value of a field; none if it is not there.
    #[must_use]
    pub fn get(&self, field: &Field) -> Option<&Value> {
        self.at(field.root, &field.keys)
    }

    /// The same, of a part and the keys within it.
    #[must_use]
    pub fn at(&self, root: Root, keys: &[String]) -> Option<&Value> {
        let part = self.part(root);
        if keys.is_empty() {
            return (*part != Value::Null).then_some(part);
        }
        keys.iter().try_fold(part, |value, key| match value {
            Value::Map(map) => map.get(key),
            _ => None,
        })
    }

    /// Sets a field, as the collector does: a map is added to the map that is there, key by key; what is no map on the
    /// way becomes one.
    ///
    /// # Errors
    /// Attributes as a whole can only be a map.
    pub fn set(&mut self, field: &Field, value: Value) -> Result<(), String> {
        let is_part = field.keys.is_empty() && field.root != Root::Body;
        if is_part && !matches!(value, Value::Map(_)) {
            return Err(format!("`{field}` can only be a map, and this is {}", value.noun()));
        }
        let mut place = self.part_mut(field.root);
        for key in &field.keys {
            let map = made_map(place);
            if map.get(key).is_none() {
                map.set(key.clone(), Value::Null);
            }
            // It was made just now if it was not there.
            match map.get_mut(key) {
                Some(next) => place = next,
                None => return Ok(()),
            }
        }
        match value {
            Value::Map(new) if matches!(place, Value::Map(_)) => {
                let map = made_map(place);
                new.into_iter().for_each(|(key, value)| map.set(key, value));
            }
            value => *place = value,
        }
        Ok(())
    }

    /// Takes a field out.
    pub fn remove(&mut self, field: &Field) -> Option<Value> {
        let Some((last, way)) = field.keys.split_last() else {
            let emptied = if field.root == Root::Body { Value::Null } else { Value::Map(Map::default()) };
            return Some(std::mem::replace(self.part_mut(field.root), emptied));
        };
        let mut place = self.part_mut(field.root);
        for key in way {
            match place {
                Value::Map(map) => place = map.get_mut(key)?,
                _ => return None,
            }
        }
        match place {
            Value::Map(map) => map.remove(last),
            _ => None,
        }
    }

    /// Writes it as a `LogRecord`, the fields of the message only.
    pub fn write(&self, out: &mut MessageWriter) {
        if self.time != 0 {
            out.fixed64(1, self.time);
        }
        if self.severity != 0 {
            out.varint(2, u64::from(self.severity));
        }
        if !self.severity_text.is_empty() {
            out.bytes(3, &self.severity_text);
        }
        if self.body != Value::Null {
            self.body.write(5, out);
        }
        write_map(self.attributes(), 6, out);
        if self.flags != 0 {
            out.fixed32(8, u32::from(self.flags));
        }
        if !self.trace_id.is_empty() {
            out.bytes(9, &self.trace_id);
        }
        if !self.span_id.is_empty() {
            out.bytes(10, &self.span_id);
        }
        out.fixed64(11, self.observed);
    }
}

fn as_map(value: &Value) -> &Map {
    static NONE: std::sync::LazyLock<Map> = std::sync::LazyLock::new(Map::default);
    match value {
        Value::Map(map) => map,
        _ => &NONE,
    }
}

/// The map at a place, which is made one if it is none.
fn made_map(place: &mut Value) -> &mut Map {
    if !matches!(place, Value::Map(_)) {
        *place = Value::Map(Map::default());
    }
    match place {
        Value::Map(map) => map,
        _ => unreachable!("it was made a map"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field {
        Field::parse(text).unwrap()
    }

    /// Scenario: fields are set within and over each other, and taken out. Guarantee: maps grow together, other values
    /// are replaced, parts stay maps.
    #[test]
    fn fields_are_set_and_taken_out() {
        let mut record = Record::new("x".into(), Map::default(), Map::default(), 1);
        record.set(&field("attributes.a.b"), Value::Int(1)).unwrap();
        record.set(&field("attributes"), Value::Map(Map::from_iter([("c", Value::Int(2))]))).unwrap();
        record.set(&field("attributes.a"), Value::Map(Map::from_iter([("d", Value::Int(3))]))).unwrap();
        assert_eq!(record.get(&field("attributes.a.b")), Some(&Value::Int(1)));
        assert_eq!(record.get(&field("attributes.a.d")), Some(&Value::Int(3)));
        assert!(record.set(&field("resource"), Value::Int(1)).is_err());
        record.set(&field("body.text"), "y".into()).unwrap();
        assert_eq!(record.body, Value::Map(Map::from_iter([("text", "y".into())])));
        assert_eq!(record.remove(&field("attributes.a.b")), Some(Value::Int(1)));
        assert_eq!(record.remove(&field("attributes.a.b")), None);
        assert!(record.remove(&field("attributes")).is_some());
        assert!(record.attributes().is_empty());
    }
}
