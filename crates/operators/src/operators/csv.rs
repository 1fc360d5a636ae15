//! `csv_parser`: the columns of a line become fields, named by a header.

use super::parser::{Parser, text};
use crate::field::Field;
use crate::keys::Keys;
use crate::record::Record;
use crate::value::{Map, Value};

/// See the module.
pub struct Csv {
    parser: Parser,
    header: Header,
    delimiter: char,
    quotes: Quotes,
}

enum Header {
    Fixed(Vec<String>),
    /// In an attribute of the record, with this between the names.
    Attribute(Field, char),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Strict,
    /// One in the middle of a column stands for itself.
    Lazy,
    /// They all do.
    None,
}

impl Csv {
    pub fn new(keys: &Keys<'_>) -> Option<Csv> {
        let one = |key: &'static str, default: char| {
            let text = keys.text(key)?;
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Some(c),
                _ => {
                    keys.wrong(key, format!("`{key}` must be one character"));
                    Some(default)
                }
            }
        };
        let delimiter = one("delimiter", ',').unwrap_or(',');
        let header_delimiter = one("header_delimiter", delimiter).unwrap_or(delimiter);
        let quotes = match (keys.flag("lazy_quotes", false), keys.flag("ignore_quotes", false)) {
            (true, true) => {
                keys.wrong("ignore_quotes", "only one of `lazy_quotes` and `ignore_quotes` can be set");
                return None;
            }
            (true, false) => Quotes::Lazy,
            (false, true) => Quotes::None,
            (false, false) => Quotes::Strict,
        };
        let (header, attribute) = (keys.text("header"), keys.text("header_attribute"));
        let header = match (header, attribute) {
            (Some(header), None) => Header::Fixed(header.split(header_delimiter).map(str::to_owned).collect()),
            (None, Some(attribute)) => Header::Attribute(Field::attribute(&attribute), header_delimiter),
            _ => {
                keys.wrong("header", "one of `header` and `header_attribute` must be set");
                return None;
            }
        };
        Some(Csv { parser: Parser::new(keys)?, header, delimiter, quotes })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        self.parser.apply(record, |value, record| {
            let columns = columns(text(value)?, self.delimiter, self.quotes)?;
            let of_record;
            let names = match &self.header {
                Header::Fixed(names) => names,
                Header::Attribute(field, delimiter) => {
                    let text = record.get(field).and_then(Value::text);
                    let text = text.ok_or_else(|| super::parser::missing(field))?;
                    of_record = text.split(*delimiter).map(str::to_owned).collect();
                    &of_record
                }
            };
            if names.len() != columns.len() {
                return Err(format!("wrong number of columns: {} and not {}", columns.len(), names.len()));
            }
            Ok(names.iter().cloned().zip(columns.into_iter().map(Value::Text)).collect::<Map>())
        })
    }
}

fn columns(line: &str, delimiter: char, quotes: Quotes) -> Result<Vec<String>, String> {
    let line = line.trim_end_matches(['\r', '\n']);
    if quotes == Quotes::None {
        return Ok(line.split(delimiter).map(str::to_owned).collect());
    }
    let (mut columns, mut rest) = (vec![], line);
    loop {
        let (column, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted(inner, delimiter, quotes)?,
            None => {
                let (column, after) = match rest.find(delimiter) {
                    Some(at) => (&rest[..at], Some(&rest[at + delimiter.len_utf8()..])),
                    None => (rest, None),
                };
                if quotes == Quotes::Strict && column.contains('"') {
                    return Err("a bare quote in a column; see `lazy_quotes`".to_owned());
                }
                (column.to_owned(), after)
            }
        };
        columns.push(column);
        match after {
            Some(after) => rest = after,
            None => return Ok(columns),
        }
    }
}

/// A column behind its first quote, and what comes after it.
fn quoted(inner: &str, delimiter: char, quotes: Quotes) -> Result<(String, Option<&str>), String> {
    let (mut column, mut rest) = (String::new(), inner);
    loop {
        let Some(at) = rest.find('"') else {
            if quotes == Quotes::Lazy {
                column.push_str(rest);
                return Ok((column, None));
            }
            return Err("a quote is not closed".to_owned());
        };
        column.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix('"') {
            column.push('"');
            rest = more;
        } else if after.is_empty() {
            return Ok((column, None));
        } else if let Some(more) = after.strip_prefix(delimiter) {
            return Ok((column, Some(more)));
        } else if quotes == Quotes::Lazy {
            column.push('"');
            rest = after;
        } else {
            return Err("a quote within a column; see `lazy_quotes`".to_owned());
        }
    }
}
