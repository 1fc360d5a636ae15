//! `unquote` and `regex_replace`: the text of a field is changed.

use super::parser::missing;
use crate::field::Field;
use crate::keys::Keys;
use crate::record::Record;
use crate::value::Value;
use stages::go::quote;
use stages::go::regex::Regex;

/// Colours and the like.
const ANSI: &str = r"\x1B\[[\d;]*[A-Za-z]";
/// The largest text that comes of it.
const LONGEST: usize = 4 << 20;

fn text<'a>(record: &'a Record, field: &Field) -> Result<&'a str, String> {
    let value = record.get(field).ok_or_else(|| missing(field))?;
    value.text().ok_or_else(|| format!("`{field}` is {}, not text", value.noun()))
}

/// `unquote`: a Go string in quotes becomes what it stands for.
pub struct Unquote(Field);

impl Unquote {
    pub fn new(keys: &Keys<'_>) -> Option<Unquote> {
        keys.required_field("field").map(Unquote)
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let text = text(record, &self.0)?;
        let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
        let plain = match (inner('`'), inner('"')) {
            (Some(raw), _) if !raw.contains('`') => Some(raw.to_owned()),
            (None, Some(inner)) => quote::unescape(inner).and_then(|bytes| String::from_utf8(bytes).ok()),
            _ => None,
        };
        let plain = plain.ok_or_else(|| format!("`{}` is no quoted text", self.0))?;
        record.set(&self.0, Value::Text(plain))
    }
}

/// `regex_replace`.
pub struct Replace {
    field: Field,
    regex: Regex,
    with: String,
}

impl Replace {
    pub fn new(keys: &Keys<'_>) -> Option<Replace> {
        let field = keys.required_field("field");
        let (regex, name) = (keys.regex("regex"), keys.text("regex_name"));
        let with = keys.text("replace_with").unwrap_or_default();
        let regex = match (regex, name.as_deref()) {
            (Some(regex), None) => Some(regex),
            (None, Some("ansi_control_sequences")) => Regex::new(ANSI).ok(),
            (None, Some(_)) => {
                keys.wrong("regex_name", "the one name that is known is `ansi_control_sequences`");
                None
            }
            (Some(_), Some(_)) => {
                keys.wrong("regex_name", "only one of `regex` and `regex_name` can be set");
                None
            }
            (None, None) => {
                if keys.value("regex").is_none() {
                    keys.required("regex");
                }
                None
            }
        };
        Some(Replace { field: field?, regex: regex?, with })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let replaced = self.regex.replace_all(text(record, &self.field)?.as_bytes(), &self.with, LONGEST);
        let replaced = String::from_utf8(replaced).map_err(|_| "what comes of it is no text".to_owned())?;
        record.set(&self.field, Value::Text(replaced))
    }
}
