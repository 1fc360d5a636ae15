//! Values that must not be printed, and how to recognise them in configuration text.
//!
//! [`Secret`] is the type of every password, token and key in a component's configuration: its `Debug`, `Display` and
//! `Serialize` print `[REDACTED]`. The functions below serve the messages about configuration text: they err on the side
//! of hiding.
//!
//! Invariant: no way but [`Secret::expose`] leads to the text. It does NOT clear memory.

use super::node::{Map, Node};
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize, Serializer};

/// What is printed in place of a secret.
pub const REDACTED: &str = "[REDACTED]";

/// A text that never prints.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when there is no text; says nothing about it otherwise.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// True for keys whose value is a secret, or (as `headers`) whose values are.
///
/// Keys that name a file or a path are not: `key_file` helps to find a mistake and gives nothing away.
pub(super) fn is_secret_key(key: &str) -> bool {
    const WORDS: [&str; 17] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "authorization",
        "cookie",
        "credential",
        "api_key",
        "apikey",
        "access_key",
        "accesskey",
        "private_key",
        "privatekey",
        "key_pem",
        "htpasswd",
        "owner_auth",
    ];
    // `a::b: value` is how `--set a.b=value` is read.
    key.split("::").any(|part| {
        let part = part.to_lowercase().replace('-', "_");
        let elsewhere = ["_file", "_path", "_dir", "_directory", "_url", "_uri", "_keys"];
        let named = matches!(part.as_str(), "headers" | "bearer" | "tpm" | "dsn")
            || WORDS.iter().any(|word| part.contains(word));
        named && !elsewhere.iter().any(|end| part.ends_with(end))
    })
}

/// Whether a map is `{key: Authorization, value: …}`, as lists of headers are written: what its `value` holds is secret.
pub(super) fn names_secret(map: &Map) -> bool {
    ["key", "name"].iter().any(|key| map.get(key).and_then(Node::text).is_some_and(is_secret_key))
}

/// The values of `line` that may be secret, judged by the text alone: used only when the text could not be parsed.
///
/// Everything after the colon of a secret key is taken for secret, and everything that stands deeper below it.
pub(super) fn suspicious_values(text: &str, line: Range<usize>) -> Vec<Range<usize>> {
    let mut inside: Option<usize> = None;
    let mut start = 0;
    for raw in text.split_inclusive('\n') {
        let content = raw.trim_end_matches(['\n', '\r']);
        let indent = content.len() - content.trim_start().len();
        let blank = content.trim().is_empty();
        if !blank && inside.is_some_and(|level| indent <= level) {
            inside = None;
        }
        let key_end = content.find(':').unwrap_or(content.len());
        let names_secret = content.split([':', ',', '{', '}', '[', ']', '=', '"', '\'', ' ', '\t']).any(is_secret_key);
        if start + content.len() >= line.start && start <= line.end {
            let hidden = if inside.is_some() {
                // A header's name may be shown, a line of a PEM block may not.
                let named = content[..key_end].chars().all(|c| c.is_alphanumeric() || "-_ \t\"'".contains(c));
                if key_end < content.len() && named { key_end + 1 } else { indent }
            } else if names_secret {
                (key_end + 1).min(content.len())
            } else {
                content.len()
            };
            if hidden < content.len() {
                let value = start + hidden..start + content.len();
                return std::iter::once(value).filter(|r| !text[r.clone()].trim().is_empty()).collect();
            }
            return Vec::new();
        }
        if inside.is_none() && names_secret {
            inside = Some(indent);
        }
        start += raw.len();
    }
    Vec::new()
}

/// The passwords in URLs of `line`: what stands between `//user:` and `@`.
pub(super) fn url_passwords(text: &str, line: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = line.start;
    while let Some(at) = text[from..line.end].find("://") {
        let authority = from + at + 3;
        let rest = &text[authority..line.end];
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?')).unwrap_or(rest.len());
        if let Some(at_sign) = rest[..end].rfind('@')
            && let Some(colon) = rest[..at_sign].find(':')
            && !rest[colon + 1..at_sign].is_empty()
            && !rest[colon + 1..].starts_with("${")
        {
            found.push(authority + colon + 1..authority + at_sign);
        }
        from = authority + end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever prints a secret prints its placeholder.
    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[REDACTED] [REDACTED]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[REDACTED]\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    /// Keys of secrets are recognised; keys that merely point at a file are not.
    #[test]
    fn secret_keys_are_told_from_harmless_ones() {
        for key in [
            "password",
            "bearer_token",
            "X-Api-Key",
            "key_pem",
            "headers",
            "client_secret",
            "Authorization",
            "a::headers::b",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["key_file", "token_url", "metadata_keys", "endpoint", "cert_pem", "routing_key", "password_file"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    /// Without a parse, the lines below a secret key are hidden as far as they may hold a value.
    #[test]
    fn unparsed_text_hides_what_may_be_secret() {
        let text = "a:\n  headers:\n    x: one\n  key_pem: |\n    -----BEGIN\n    abc\n  url: http://u:pw@h/\n  b: {token: t}\n";
        let mut shown = String::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let range = start..start + line.trim_end().len();
            let mut hidden = suspicious_values(text, range.clone());
            hidden.extend(url_passwords(text, range.clone()));
            let mut at = range.start;
            for part in hidden {
                shown.push_str(&text[at..part.start]);
                shown.push('#');
                at = part.end;
            }
            shown.push_str(&text[at..range.end]);
            shown.push('\n');
            start += line.len();
        }
        assert_eq!(shown, "a:\n  headers:\n    x:#\n  key_pem:#\n    #\n    #\n  url: http://u:#@h/\n  b:#\n");
    }
}
