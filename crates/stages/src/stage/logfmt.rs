//! `logfmt`: values of `key=value` pairs become extracted values.
//!
//! Follows go-logfmt: pairs are separated by bytes up to a space, a bare key has the empty value, values may be quoted with
//! JSON's escapes, each line of a text is a record of its own, the last of equal keys counts. What cannot be ends the
//! reading; pairs before it stay.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, Mapping, read, sources};
use crate::entry::{Entry, Symbol};
use crate::go::regex::Regex;
use crate::json::unescape;
use crate::pipeline::{Builder, Context};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    mapping: Mapping,
    #[serde(default)]
    regex: String,
    #[serde(default)]
    source: String,
}

struct Logfmt {
    source: Source,
    /// Key in the text, and what it is extracted as.
    fields: Vec<(Box<[u8]>, Symbol)>,
    regex: Option<Regex>,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.mapping.is_empty() && config.regex.is_empty() {
        return Err(ConfigError::new(path, "a mapping or a regex is required"));
    }
    let source = Source::build(Some(config.source.as_str()).filter(|s| !s.is_empty()), path, builder)?;
    let fields = sources(&config.mapping)
        .map(|(name, key)| Ok((key.as_bytes().into(), builder.symbol(name, path)?)))
        .collect::<Result<_, _>>()?;
    let regex = match config.regex.as_str() {
        "" => None,
        regex => Some(Regex::new(regex).map_err(|e| ConfigError::at(path, "regex", e))?),
    };
    Ok(Box::new(Logfmt { source, fields, regex }))
}

impl Stage for Logfmt {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(text) = self.source.read(entry) else { return Verdict::Keep };
        pairs(&text, |key, value| {
            let text_of = |value: &PairValue<'_>| match value {
                PairValue::Plain(value) => text.share(value),
                PairValue::Quoted(inside) => unescape(inside).into(),
            };
            for (wanted, symbol) in &self.fields {
                if **wanted == *key {
                    entry.extracted.set(*symbol, text_of(&value));
                }
            }
            if self.regex.as_ref().is_some_and(|regex| regex.is_match(key)) {
                entry.extracted.set_named(text.share(key), text_of(&value).into());
            }
        });
        Verdict::Keep
    }
}

/// A value of a pair.
enum PairValue<'a> {
    /// As it stands.
    Plain(&'a [u8]),
    /// The inside of quotes, with escapes.
    Quoted(&'a [u8]),
}

/// The inside of a quoted value up to its closing quote, which must be on the same line, and whether it has escapes.
fn quoted(text: &[u8]) -> Option<(&[u8], bool)> {
    let (mut at, mut escaped) = (0, false);
    loop {
        at += memchr::memchr3(b'"', b'\\', b'\n', &text[at..])?;
        match text[at] {
            b'"' => return Some((&text[..at], escaped)),
            b'\\' if text.get(at + 1).is_some_and(|next| *next != b'\n') => {
                escaped = true;
                at += 2;
            }
            _ => return None,
        }
    }
}

/// Whether the escapes of a quoted value are those of JSON (or `\'`), and no control character is among them.
fn is_sound(inside: &[u8]) -> bool {
    let mut rest = inside;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'\\', [b'u', a, b, c, d, after @ ..]) if [a, b, c, d].iter().all(|h| h.is_ascii_hexdigit()) => after,
            (b'\\', [b'"' | b'\\' | b'/' | b'\'' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..]) => after,
            (b'\\' | 0..b' ', _) => return false,
            _ => after,
        };
    }
    true
}

/// Calls `each` with every pair up to the first error.
fn pairs<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8], PairValue<'a>)) {
    let mut at = 0;
    while at < text.len() {
        if text[at] <= b' ' {
            at += 1;
            continue;
        }
        let key_len = text[at..].iter().take_while(|b| **b > b' ' && **b != b'=' && **b != b'"').count();
        let key = &text[at..at + key_len];
        at += key_len;
        match text.get(at) {
            // A key must not be empty, hold a quote, or be anything but UTF-8.
            Some(b'"') => return,
            Some(b'=') if key.is_empty() => return,
            _ if std::str::from_utf8(key).map_or(true, |key| key.contains(char::REPLACEMENT_CHARACTER)) => return,
            Some(b'=') => at += 1,
            _ => {
                each(key, PairValue::Plain(b""));
                continue;
            }
        }
        if text.get(at) == Some(&b'"') {
            let Some((inside, escaped)) = quoted(&text[at + 1..]) else { return };
            at += inside.len() + 2;
            if escaped && !is_sound(inside) {
                return;
            }
            each(key, if escaped { PairValue::Quoted(inside) } else { PairValue::Plain(inside) });
        } else {
            let len = text[at..].iter().take_while(|b| **b > b' ' && **b != b'=' && **b != b'"').count();
            let value = &text[at..at + len];
            at += len;
            if matches!(text.get(at), Some(b'=' | b'"')) {
                return;
            }
            each(key, PairValue::Plain(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        pairs(text.as_bytes(), |key, value| {
            let value = match value {
                PairValue::Plain(value) => value.to_vec(),
                PairValue::Quoted(inside) => unescape(inside),
            };
            found.push((String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(&value).into_owned()));
        });
        found
    }

    /// Pairs are read as go-logfmt reads them, up to the first error.
    #[test]
    fn reads_pairs() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(
            all("a=1 flag e= q=\"\"\nb=\"x\\ty\""),
            [pair("a", "1"), pair("flag", ""), pair("e", ""), pair("q", ""), pair("b", "x\ty")]
        );
        assert_eq!(all("a=\"x\"y b=2"), [pair("a", "x"), pair("y", ""), pair("b", "2")]);
        for (text, count) in [
            ("a=1 =2 b=3", 1),
            ("a=1 b\"c=3", 1),
            ("a=1 u=x=y", 1),
            ("a=1 b=\"open", 1),
            ("a=\"\\q\"", 0),
            ("a=\"x\ty\" b=\"\\'\"", 2),
            ("a=\"\\n\t\"", 0),
            ("a=\"x\ny\"", 0),
        ] {
            assert_eq!(all(text).len(), count, "{text}");
        }
    }

    proptest! {
        /// What is written as logfmt is read back.
        #[test]
        fn reads_back(pairs in prop::collection::vec(("[a-zé_.]{1,6}", ".{0,10}"), 0..6)) {
            let line: Vec<String> = pairs.iter().map(|(k, v)| {
                let mut quoted = vec![b'"'];
                crate::json::escape_into(&mut quoted, v.as_bytes(), false);
                quoted.push(b'"');
                format!("{k}={}", String::from_utf8(quoted).unwrap())
            }).collect();
            prop_assert_eq!(all(&line.join(" ")), pairs);
        }

        /// No bytes panic.
        #[test]
        fn never_panics(text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"=\" \\a\n"[..])], 0..40)) {
            super::pairs(&text, |_, _| ());
        }
    }
}
