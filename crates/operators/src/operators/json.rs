//! `json_parser`: the keys of a JSON object become fields. Numbers are plain ones unless `parse_ints` is set.

use super::parser::{Parser, text};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::{Map, Value};

/// See the module.
pub struct Json {
    parser: Parser,
    parse_ints: bool,
}

impl Json {
    pub fn new(keys: &Keys<'_>) -> Option<Json> {
        let parse_ints = keys.flag("parse_ints", false);
        Some(Json { parser: Parser::new(keys)?, parse_ints })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        self.parser.apply(record, |value, _| object(text(value)?, self.parse_ints))
    }
}

/// The keys of an object in JSON.
pub fn object(text: &str, parse_ints: bool) -> Result<Map, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    match if parse_ints { value } else { value.without_ints() } {
        Value::Map(map) => Ok(map),
        other => Err(format!("the JSON is {}, not an object", other.noun())),
    }
}
