//! `key_value_parser`: `a=1 b="two words"` becomes fields.

use super::parser::{Parser, text};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::{Map, Value};

/// See the module.
pub struct KeyValue {
    parser: Parser,
    delimiter: String,
    /// Between pairs; none: white space.
    between: Option<String>,
}

impl KeyValue {
    pub fn new(keys: &Keys<'_>) -> Option<KeyValue> {
        let delimiter = keys.text("delimiter").unwrap_or_else(|| "=".to_owned());
        let between = keys.text("pair_delimiter").filter(|text| !text.is_empty());
        if delimiter.is_empty() || between.as_ref() == Some(&delimiter) {
            keys.wrong("delimiter", "`delimiter` must not be empty, nor what stands between pairs");
            return None;
        }
        Some(KeyValue { parser: Parser::new(keys)?, delimiter, between })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        self.parser.apply(record, |value, _| self.pairs(text(value)?))
    }

    fn pairs(&self, text: &str) -> Result<Map, String> {
        let mut map = Map::default();
        for pair in self.split(text) {
            let (key, value) =
                pair.split_once(&self.delimiter).ok_or_else(|| format!("`{pair}` has no `{}`", self.delimiter))?;
            map.set(bare(key), Value::from(bare(value)));
        }
        if map.is_empty() {
            return Err("there are no pairs".to_owned());
        }
        Ok(map)
    }

    /// The pairs; what stands between them counts outside of quotes only.
    fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let (mut pairs, mut start, mut quote, mut at) = (vec![], 0, None, 0);
        while let Some(c) = text[at..].chars().next() {
            let separator = match &self.between {
                Some(between) => text[at..].starts_with(between.as_str()).then_some(between.len()),
                None => c.is_whitespace().then_some(c.len_utf8()),
            };
            match (quote, separator) {
                (Some(open), _) if c == open => quote = None,
                (None, Some(len)) => {
                    pairs.push(&text[start..at]);
                    at += len;
                    start = at;
                    continue;
                }
                (None, None) if matches!(c, '"' | '\'') => quote = Some(c),
                _ => {}
            }
            at += c.len_utf8();
        }
        pairs.push(&text[start..]);
        pairs.retain(|pair| !pair.trim().is_empty());
        pairs
    }
}

/// Without white space and quotes around it.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}
