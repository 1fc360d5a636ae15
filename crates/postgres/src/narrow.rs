//! What a question leaves in SQL: conditions that every record which matches fulfils, cheap for the server. Whether a record matches is
//! then decided by [`store::Filter`], unless SQL says just the same.
//!
//! Texts in columns have NUL and what is no UTF-8 replaced, so a condition on them is no stricter than on the bytes.

use crate::copy::{moment, text};
use crate::rows::table;
use store::{Condition, Cursor, Order, Query, Test};
use tokio_postgres::types::ToSql;
use wire::Signal;

/// Parameters of a statement.
pub(crate) type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

/// See the module.
pub(crate) struct Narrow {
    /// Follows `WHERE`; the record is `r`, its origin `o`.
    pub text: String,
    pub parameters: Parameters,
    /// Whether SQL decides.
    pub is_exact: bool,
    /// Whether anything is asked that only the headers may have.
    pub needs_origin: bool,
}

impl Narrow {
    /// Of a question, within a time that may be narrower than its own; without its cursor.
    pub fn new(query: &Query, start: u64, end: u64) -> Narrow {
        let mut narrow = Narrow { text: String::new(), parameters: vec![], is_exact: true, needs_origin: false };
        let tenant = narrow.put(text(query.tenant.as_bytes()).into_owned());
        narrow.text.push_str(&format!("r.tenant = {tenant}"));
        narrow.between(start, end);
        for Condition { not, test } in &query.conditions {
            narrow.add(*not, test, query.signal);
        }
        narrow
    }

    /// Adds a parameter; how it is named.
    pub fn put(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.parameters.push(Box::new(value));
        format!("${}", self.parameters.len())
    }

    fn and(&mut self, condition: &str) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
    }

    /// A time as a parameter: whole microseconds and the nanoseconds that are left.
    fn moment(&mut self, at: u64) -> (String, String) {
        let whole = self.put(moment(at));
        (format!("{whole}::timestamptz"), self.put((at % 1000) as i16))
    }

    fn between(&mut self, start: u64, end: u64) {
        if start > 0 {
            let (at, nanos) = self.moment(start);
            // The first is what the index knows of.
            self.and(&format!("r.time >= {at} AND (r.time, r.nanos) >= ({at}, {nanos}::int2)"));
        }
        let (at, nanos) = self.moment(end);
        self.and(&format!("r.time <= {at} AND (r.time, r.nanos) < ({at}, {nanos}::int2)"));
    }

    /// Only what comes after a row.
    pub fn after(&mut self, place: Cursor, order: Order) {
        let (at, nanos) = self.moment(place.time);
        let request = self.put(place.request as i64);
        let record = self.put(place.record as i32);
        let (sign, edge) = if order == Order::NewestFirst { ("<", "<=") } else { (">", ">=") };
        self.and(&format!(
            "r.time {edge} {at} AND (r.time, r.nanos, r.request, r.record) {sign} ({at}, {nanos}::int2, {request}::int8, {record}::int4)"
        ));
    }

    fn add(&mut self, not: bool, test: &Test, signal: Signal) {
        match test {
            Test::Severity { min, max } => {
                let (min, max) = (self.put(i16::from(*min)), self.put(i16::from(*max)));
                self.and(&format!("(r.severity BETWEEN {min} AND {max}) = {}", !not));
            }
            Test::Service(names) => {
                let is_plain = names.iter().all(|name| !name.contains(['\0', '\u{fffd}']));
                self.is_exact &= is_plain;
                let names: Vec<String> = names.iter().map(|name| text(name.as_bytes()).into_owned()).collect();
                if !not || is_plain {
                    let names = self.put(names);
                    self.and(&format!("(r.service = ANY({names})) = {}", !not));
                }
            }
            // What has no id has zeros, as the embedded engine has it.
            Test::Trace(id) => self.id("trace", not, id),
            Test::Span(id) => self.id("span", not, id),
            Test::Phrase(phrase) => {
                self.is_exact = false;
                if !not {
                    self.phrase(phrase, signal);
                }
            }
            Test::Substring(piece) => {
                // A replaced letter may stand for several.
                self.is_exact = false;
                if !not && !piece.contains(['\0', '\u{fffd}']) {
                    let piece = self.put(format!("%{}%", escaped(piece)));
                    self.and(&format!("r.{} LIKE {piece}", column(signal)));
                }
            }
            Test::Attribute { key, value } => {
                self.attribute(not, key);
                if !not && must_be_text(value) {
                    self.has_bytes(value);
                }
            }
            Test::Exists { key } | Test::Number { key, .. } => self.attribute(not, key),
        }
    }

    fn id(&mut self, name: &str, not: bool, id: &[u8]) {
        let is_zero = id.iter().all(|byte| *byte == 0);
        let id = self.put(id.to_vec());
        match (not, is_zero) {
            (false, false) => self.and(&format!("r.{name} = {id}")),
            (true, false) => self.and(&format!("r.{name} IS DISTINCT FROM {id}")),
            (false, true) => self.and(&format!("(r.{name} IS NULL OR r.{name} = {id})")),
            (true, true) => self.and(&format!("r.{name} <> {id}")),
        }
    }

    /// Folded letters beyond ASCII are left out of the pattern, and so are the two that have one of ASCII as their small form.
    fn phrase(&mut self, phrase: &str, signal: Signal) {
        let folded: String = phrase.chars().flat_map(char::to_lowercase).collect();
        let plain = |letter: char| letter.is_ascii() && letter != '\0' && letter != 'k' && letter != 'i';
        let mut pattern = String::from("%");
        for letter in folded.chars() {
            match plain(letter) {
                true => pattern.push_str(&escaped(&letter.to_string())),
                // The Kelvin sign and the dotted I have these as their small forms, which the server's C collation does not know.
                false if matches!(letter, 'k' | 'i') => pattern.push('%'),
                false if !pattern.ends_with('%') => pattern.push('%'),
                false => {}
            }
        }
        pattern.push('%');
        let pattern = self.put(pattern);
        self.and(&format!("lower(r.{} COLLATE \"C\") LIKE {pattern}", column(signal)));
    }

    fn attribute(&mut self, not: bool, key: &str) {
        self.is_exact = false;
        self.needs_origin = true;
        if !not {
            self.has_bytes(key);
        }
    }

    /// These bytes are in the record or its headers.
    fn has_bytes(&mut self, bytes: &str) {
        if !bytes.is_empty() {
            let bytes = self.put(bytes.as_bytes().to_vec());
            let has = |place: &str| format!("position({bytes}::bytea IN {place}) > 0");
            self.and(&format!("({} OR {} OR {})", has("r.otlp"), has("o.resource"), has("o.scope")));
        }
    }

    /// The statement's tables.
    pub fn from(&self, schema: &str, signal: Signal) -> String {
        let join = format!(
            " JOIN {schema}.origins o ON o.request = r.request AND o.origin = r.origin AND o.arrived = r.arrived"
        );
        format!("{schema}.{} r{}", table(signal), if self.needs_origin { join.as_str() } else { "" })
    }

    /// The parameters as the client takes them.
    pub fn references(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// The column with the text.
pub(crate) fn column(signal: Signal) -> &'static str {
    if signal == Signal::Logs { "body" } else { "name" }
}

/// A text within a pattern of LIKE.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// Whether a value of this text can only be a string: no number, truth value, list, map or bytes is written so.
fn must_be_text(value: &str) -> bool {
    let is_other = |letter: char| letter.is_ascii_hexdigit() || matches!(letter, '.' | '-' | '+');
    !value.chars().all(is_other)
        && !value.starts_with(['[', '{'])
        && !["true", "false", "inf", "-inf", "NaN"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: texts with signs of patterns; values of every kind. Guarantee: signs stand for themselves, and only what is surely a string is
    /// looked for as bytes.
    #[test]
    fn patterns_and_values() {
        assert_eq!(escaped(r"50%_a\b"), r"50\%\_a\\b");
        for (value, expected) in [
            ("cart", true),
            ("u-17x", true),
            ("17", false),
            ("-1.5e9", false),
            ("true", false),
            ("false", false),
            ("deadbeef", false),
            ("[1]", false),
            ("{\"a\":1}", false),
            ("inf", false),
            ("", false),
            ("größe", true),
        ] {
            assert_eq!(must_be_text(value), expected, "{value}");
        }
    }
}
