//! A configuration as text again: what merging and expansion made of it.
//!
//! Invariant: with `redacted`, values of secret keys and passwords in URLs are `[REDACTED]`. What other references gave is shown: to
//! see that is what it is printed for. Text that would read as something else is quoted, so that the output means what it was made from.

use super::node::{Node, Value};
use super::scalar::{self, Kind};
use super::secret::{self, REDACTED};
use serde_json::{Map, Number, Value as Json};
use std::fmt::Write;

/// The tree as YAML.
#[must_use]
pub fn yaml(root: &Node, redacted: bool) -> String {
    let mut text = String::new();
    match tree(root, redacted, false) {
        Shown::Map(entries) if !entries.is_empty() => write_map(&mut text, &entries, 0),
        other => {
            text.push_str(&inline(&other));
            text.push('\n');
        }
    }
    text
}

/// The tree as JSON.
#[must_use]
pub fn json(root: &Node, redacted: bool) -> String {
    fn value(shown: Shown) -> Json {
        match shown {
            Shown::Null => Json::Null,
            Shown::Text(text) => Json::String(text),
            Shown::Plain(_, value) => value,
            Shown::List(items) => Json::Array(items.into_iter().map(value).collect()),
            Shown::Map(entries) => Json::Object(entries.into_iter().map(|(k, v)| (k, value(v))).collect::<Map<_, _>>()),
        }
    }
    format!("{:#}\n", value(tree(root, redacted, false)))
}

/// A value without its place.
enum Shown {
    Null,
    Text(String),
    /// A number or boolean, as it was written.
    Plain(String, Json),
    List(Vec<Shown>),
    Map(Vec<(String, Shown)>),
}

fn tree(node: &Node, redacted: bool, secret: bool) -> Shown {
    match &node.value {
        Value::Null | Value::Broken => Shown::Null,
        Value::Scalar(_) if secret => Shown::Text(REDACTED.to_owned()),
        Value::Scalar(scalar) => match scalar.kind {
            Kind::Str if redacted => Shown::Text(without_passwords(&scalar.text)),
            Kind::Str => Shown::Text(scalar.text.clone()),
            Kind::Bool(value) => Shown::Plain(scalar.text.clone(), value.into()),
            Kind::Int(value) => Shown::Plain(scalar.text.clone(), value.into()),
            Kind::Uint(value) => Shown::Plain(scalar.text.clone(), value.into()),
            Kind::Float(value) => {
                let number = Number::from_f64(value).map_or_else(|| Json::String(scalar.text.clone()), Json::Number);
                Shown::Plain(scalar.text.clone(), number)
            }
        },
        Value::Seq(items) => Shown::List(items.iter().map(|item| tree(item, redacted, secret)).collect()),
        Value::Map(map) => {
            let named = redacted && secret::names_secret(map);
            let shown = map.entries.iter().map(|entry| {
                let named = named && entry.key.contains("value");
                let secret = secret || named || (redacted && secret::is_secret_key(&entry.key));
                (entry.key.clone(), tree(&entry.value, redacted, secret))
            });
            Shown::Map(shown.collect())
        }
    }
}

fn without_passwords(text: &str) -> String {
    let mut shown = text.to_owned();
    for range in secret::url_passwords(text, 0..text.len()).into_iter().rev() {
        shown.replace_range(range, REDACTED);
    }
    shown
}

fn write_map(out: &mut String, entries: &[(String, Shown)], indent: usize) {
    for (i, (key, value)) in entries.iter().enumerate() {
        // The first key of a map in a list stands behind its dash.
        let lead = if i == 0 && out.ends_with("- ") { 0 } else { indent };
        let _ = write!(out, "{:lead$}{}:", "", quoted(key));
        write_value(out, value, indent);
    }
}

fn write_value(out: &mut String, value: &Shown, indent: usize) {
    match value {
        Shown::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            write_map(out, entries, indent + 2);
        }
        Shown::List(items) if !items.is_empty() => {
            out.push('\n');
            write_list(out, items, indent + 2);
        }
        other => {
            let _ = writeln!(out, " {}", inline(other));
        }
    }
}

fn write_list(out: &mut String, items: &[Shown], indent: usize) {
    for item in items {
        let _ = write!(out, "{:indent$}- ", "");
        match item {
            Shown::Map(entries) if !entries.is_empty() => write_map(out, entries, indent + 2),
            Shown::List(items) if !items.is_empty() => {
                out.truncate(out.len() - 1);
                out.push('\n');
                write_list(out, items, indent + 2);
            }
            other => {
                let _ = writeln!(out, "{}", inline(other));
            }
        }
    }
}

/// What stands on one line.
fn inline(value: &Shown) -> String {
    match value {
        Shown::Null => "null".to_owned(),
        Shown::Text(text) => quoted(text),
        Shown::Plain(text, _) => text.clone(),
        Shown::List(_) => "[]".to_owned(),
        Shown::Map(_) => "{}".to_owned(),
    }
}

/// A text as YAML: plain where that reads as the same text, else in double quotes, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "_./@+-:\\$<>()=%^;~".contains(c) || c == ' ';
    let plain = scalar::resolve(text) == Some(Kind::Str)
        && text.starts_with(|c: char| c.is_alphanumeric() || "_/$.".contains(c))
        && text.chars().all(harmless)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ");
    if plain { text.to_owned() } else { Json::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::{Diagnostics, load, tests::World};
    use super::*;

    const TEXT: &str = "
receivers:
  otlp: {protocols: {grpc: , http: {endpoint: '${env:HOST}:4318'}}}
exporters:
  otlp_grpc:
    endpoint: https://me:hunter2@host:4317
    headers: {Authorization: Bearer hunter2, x: '${env:TOKEN}'}
    queue: [1_000, 0x1f, '1', 1.5, true, 'true', '', ' a', \"b\\nc\", 'd: e', '- f', null, {}, []]
  other: {list: [{key: Authorization, value: hunter2}, {key: plain, value: shown}, [a, [b]]], t: {{a: b}: c}}
";

    fn root(text: &str) -> Node {
        let world = World::default().var("HOST", "0.0.0.0").var("TOKEN", "hunter2").file("a.yaml", text);
        load(&["a.yaml".to_owned()], &[], &world, &mut Diagnostics::new()).unwrap().root
    }

    fn text() -> String {
        TEXT.replace(", t: {{a: b}: c}", "")
    }

    /// Scenario: a tree of every shape is printed as YAML and read again. Guarantee: it is the same tree.
    #[test]
    fn what_is_printed_reads_as_it_was() {
        let root = root(&text());
        let printed = yaml(&root, false);
        let again = self::root(&printed.replace("$", "$$"));
        assert_eq!(json(&again, false), json(&root, false), "{printed}");
        assert!(printed.contains("endpoint: 0.0.0.0:4318\n") && printed.contains("- 1_000\n"), "{printed}");
    }

    /// Scenario: secrets below keys, in lists of names and values, in URLs and from the environment. Guarantee: redacted none shows; all
    /// else does; unredacted all shows.
    #[test]
    fn secrets_show_only_if_asked_for() {
        let root = root(&text());
        for printed in [yaml(&root, true), json(&root, true)] {
            assert!(!printed.contains("hunter2"), "{printed}");
            assert!(printed.contains("0.0.0.0:4318") && printed.contains("shown"), "{printed}");
        }
        assert_eq!(yaml(&root, false).matches("hunter2").count(), 4);
    }
}
