//! `regex_parser`: the named groups of a regular expression become fields. A group that took no part is empty text.

use super::parser::{Parser, text};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::{Map, Value};
use stages::go::regex::{Regex, Slots, span};

/// See the module.
pub struct RegexParser {
    parser: Parser,
    regex: Regex,
}

impl RegexParser {
    pub fn new(keys: &Keys<'_>) -> Option<RegexParser> {
        keys.required("regex");
        let regex = keys.regex("regex");
        keys.no_effect("cache", "a match takes less time than to look one up");
        if regex.as_ref().is_some_and(|regex| regex.names().next().is_none()) {
            keys.wrong("regex", "the expression has no named group `(?P<name>…)`: nothing would come of it");
            return None;
        }
        Some(RegexParser { parser: Parser::new(keys)?, regex: regex? })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        self.parser.apply(record, |value, _| groups(&self.regex, text(value)?))
    }
}

/// The named groups of a match.
pub fn groups(regex: &Regex, text: &str) -> Result<Map, String> {
    let mut slots = Slots::new();
    if !regex.captures(text.as_bytes(), &mut slots) {
        return Err("the regular expression does not match".to_owned());
    }
    let group = |at: usize| span(&slots, at).map_or("", |(start, end)| text.get(start..end).unwrap_or_default());
    Ok(regex.names().map(|(at, name)| (name.to_owned(), Value::from(group(at)))).collect())
}
