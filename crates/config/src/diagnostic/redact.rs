//! Values that messages must not show: what came out of `${…}`, and what stands below a secret key.
//!
//! Whoever checks a value words its own message, and may quote the value or a part of it. So messages are gone through at the end, with
//! the tree at hand: of the component that a message is about, every such value is taken out; of the very key that it is about, every
//! quoted part of a value as well. Short values (under four characters) are left alone elsewhere: they are in every sentence.

use super::super::node::{Node, Value};
use super::super::path::{Path, Step};
use super::super::secret::{self, REDACTED};
use super::Diagnostics;

/// Shorter values are not looked for.
const SHORTEST: usize = 4;

impl Diagnostics {
    /// Takes out of every message what must not be shown of the tree that it is about.
    pub fn redact(&mut self, root: &Node) {
        for diagnostic in &mut self.found {
            let component = component(&diagnostic.path);
            let mut values = vec![];
            if let Some(node) = root.find(&component) {
                collect(node, component.keys().any(secret::is_secret_key), &mut values);
            }
            // The longest first: a value may be a part of another.
            values.sort_by_key(|value| std::cmp::Reverse(value.len()));
            values.iter().for_each(|value| replace(&mut diagnostic.message, value));
            if diagnostic.path.steps().len() > component.steps().len() {
                let mut values = vec![];
                let below_secret = diagnostic.path.keys().any(secret::is_secret_key);
                collect(root.nearest(&diagnostic.path), below_secret, &mut values);
                values.iter().for_each(|value| replace_parts(&mut diagnostic.message, value));
            }
        }
    }
}

/// The component that a path leads into, such as `exporters.otlp`; `service` is one.
fn component(path: &Path) -> Path {
    let steps = if path.keys().next() == Some("service") { 1 } else { 2 };
    path.steps().iter().take(steps).fold(Path::root(), |path, step| match step {
        Step::Key(key) => path.key(key),
        Step::Index(index) => path.index(*index),
    })
}

fn collect<'a>(node: &'a Node, secret: bool, values: &mut Vec<&'a str>) {
    if let Some(text) = node.text().filter(|_| secret || node.expanded.is_some()).map(str::trim)
        && text.len() >= SHORTEST
    {
        values.push(text);
    }
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| collect(item, secret, values)),
        Value::Map(map) => {
            let named = secret::names_secret(map);
            for entry in &map.entries {
                let named = named && entry.key.contains("value");
                collect(&entry.value, secret || named || secret::is_secret_key(&entry.key), values);
            }
        }
        Value::Null | Value::Scalar(_) | Value::Broken => {}
    }
}

fn replace(message: &mut String, value: &str) {
    for form in [value.to_owned(), value.escape_debug().to_string()] {
        if message.contains(&form) {
            *message = message.replace(&form, REDACTED);
        }
    }
}

/// Takes out what stands in quotes or backticks and is a part of the value.
fn replace_parts(message: &mut String, value: &str) {
    let mut shown = String::with_capacity(message.len());
    let mut rest = message.as_str();
    while let Some(at) = rest.find(['`', '"']) {
        let quote = rest[at..].chars().next().unwrap_or('`');
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        let Some(end) = after.find(quote) else {
            rest = after;
            break;
        };
        let part = &after[..end];
        let is_part = part.chars().count() > 1 && value.contains(part);
        shown.push_str(if is_part { REDACTED } else { part });
        shown.push(quote);
        rest = &after[end + 1..];
    }
    shown.push_str(rest);
    *message = shown;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: messages with a value, a part of it in quotes, and other words. Guarantee: the first two are taken out.
    #[test]
    fn values_and_their_quoted_parts_are_taken_out() {
        let taken = |message: &str, value: &str| {
            let mut message = message.to_owned();
            replace(&mut message, value);
            replace_parts(&mut message, value);
            message
        };
        assert_eq!(taken("`hunter2:x` is no port", "hunter2:x"), "`[REDACTED]` is no port");
        assert_eq!(taken("the port `x2` of `endpoint`", "hunter2:x2"), "the port `[REDACTED]` of `endpoint`");
        assert_eq!(taken("bad \"hunt\\ter\"", "hunt\\ter"), "bad \"[REDACTED]\"");
        assert_eq!(taken("bad \"hunt\\\\ter\"", "hunt\\ter"), "bad \"[REDACTED]\"");
    }
}
