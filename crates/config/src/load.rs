//! From `--config` and `--set` arguments to one merged, expanded tree.
//!
//! A `--config` is a path, `file:path`, `env:NAME` or `yaml:text`. They are merged in order: maps deeply, everything else
//! (lists too) is replaced by the later one. Then each `--set a.b=value` is merged like a further source; `a::b` is the
//! same as `a.b`, and the value is YAML. Only then are references expanded, so that a value that was overridden need not
//! be there. All this is the OpenTelemetry Collector's behaviour, including that `a::b: value` works as a key at the top of
//! a source.
//!
//! Invariant: every source is read even if an earlier one is in error, so that all errors are seen at once. It does NOT
//! know what the keys mean.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::environment::Environment;
use super::expand::expand;
use super::node::{Entry, MAX_DEPTH, Map, Node, Value};
use super::path::Path;
use super::source::{Source, Span};
use super::wrapped;

/// A configuration as text gave it, before it means anything.
#[derive(Debug)]
pub struct Loaded {
    /// The merged and expanded tree; a map, or nothing if all sources are empty.
    pub root: Node,
    /// The files that it was read from, to be watched for change.
    pub files: Vec<String>,
}

/// Loads and merges `configs` in order, then `sets`. None if any source has no readable meaning; why is in `diagnostics`,
/// which may hold errors even if there is a tree.
pub fn load(
    configs: &[String],
    sets: &[String],
    environment: &dyn Environment,
    diagnostics: &mut Diagnostics,
) -> Option<Loaded> {
    let mut root = Node::new(Value::Null, Span::beginning(&Source::new("configuration", "")));
    let mut files = Vec::new();
    let mut whole = true;
    for config in configs {
        match open(config, environment) {
            Ok((source, file)) => {
                files.extend(file);
                match read(&source, diagnostics) {
                    Some(node) => merge(&mut root, node),
                    None => whole = false,
                }
            }
            Err(message) => {
                diagnostics.push(Diagnostic::error(message));
                whole = false;
            }
        }
    }
    for set in sets {
        match override_source(set) {
            Ok(source) => match read(&source, diagnostics) {
                Some(node) => merge(&mut root, node),
                None => whole = false,
            },
            Err(message) => {
                diagnostics.push(Diagnostic::error(message));
                whole = false;
            }
        }
    }
    if !whole {
        return None;
    }
    files.extend(expand(&mut root, environment, diagnostics));
    Some(Loaded { root, files })
}

/// Fetches the text that a `--config` argument names, and the file that it came from.
fn open(config: &str, environment: &dyn Environment) -> Result<(Arc<Source>, Option<String>), String> {
    let file = |path: &str| match environment.file(path) {
        Ok(text) => Ok((Source::new(path, text), Some(path.to_owned()))),
        Err(why) => Err(format!("cannot read the configuration `{}`: {why}", path.escape_debug())),
    };
    match config.split_once(':') {
        Some(("file", path)) => file(path),
        Some(("env", name)) => match environment.var(name) {
            Some(text) => Ok((Source::new(format!("env:{name}"), text), None)),
            None => Err(format!("cannot read the configuration: the environment variable `{name}` is not set")),
        },
        Some(("yaml", text)) => Ok((Source::new("--config yaml", text), None)),
        Some((scheme, _)) if is_scheme(scheme) => {
            Err(format!("cannot read the configuration: unknown scheme `{scheme}:`; known are file, env and yaml"))
        }
        _ => file(config),
    }
}

/// As the collector tells a scheme from a path; one letter is a Windows drive.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

/// The source that a `--set` argument amounts to.
fn override_source(set: &str) -> Result<Arc<Source>, String> {
    match set.split_once('=') {
        Some((keys, value)) if !keys.trim().is_empty() => {
            let keys = keys.trim();
            let text = format!("{}: {}", keys.replace('.', "::"), value.trim());
            Ok(Source::new(format!("--set {keys}"), text))
        }
        // The argument may be nothing but a secret: it is not repeated.
        _ => Err("`--set` takes `a.b.c=value`: there is no `=`, or nothing before it".to_owned()),
    }
}

/// Parses one source, and unfolds `a::b` keys at its top.
fn read(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let node = wrapped::read(source, diagnostics)?;
    match node.value {
        Value::Null => Some(node),
        Value::Map(map) if map.entries.iter().any(|entry| entry.key.contains("::")) => {
            let mut root = Node::new(Value::Map(Map::default()), Span::beginning(source));
            for entry in map.entries {
                let unfolded = unfold(entry, diagnostics)?;
                merge(&mut root, unfolded);
            }
            Some(root)
        }
        Value::Map(_) => Some(node),
        _ => {
            let message = format!("a configuration is a map of sections, this is {}", node.noun());
            diagnostics.push(Diagnostic::error(message).at(&node.span, &Path::root()));
            None
        }
    }
}

/// The map that holds `entry`, with a level of its own for each part of `a::b`.
fn unfold(entry: Entry, diagnostics: &mut Diagnostics) -> Option<Node> {
    let parts: Vec<&str> = entry.key.split("::").collect();
    if parts.len() + entry.value.depth() > MAX_DEPTH {
        let message = format!("nested more than {MAX_DEPTH} levels deep");
        diagnostics.push(Diagnostic::error(message).at(&entry.span, &Path::root()));
        return None;
    }
    let mut value = entry.value;
    for part in parts.into_iter().rev() {
        let entries = vec![Entry { key: part.to_owned(), span: entry.span.clone(), value }];
        value = Node::new(Value::Map(Map { entries }), entry.span.clone());
    }
    Some(value)
}

/// Lays `over` on `base`: maps are merged key by key, everything else is replaced.
fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Map(below), Value::Map(above)) => {
            let known: HashMap<String, usize> =
                below.entries.iter().enumerate().map(|(i, entry)| (entry.key.clone(), i)).collect();
            for entry in above.entries {
                match known.get(&entry.key).map(|i| &mut below.entries[*i]) {
                    Some(known) if known.value.as_map().is_some() && entry.value.as_map().is_some() => {
                        merge(&mut known.value, entry.value);
                    }
                    Some(known) => *known = entry,
                    None => below.entries.push(entry),
                }
            }
        }
        // Only a whole source comes here as null: one without content changes nothing.
        (Value::Null, Value::Null) => base.span = over.span,
        (_, Value::Null) => {}
        (_, value) => *base = Node { value, span: over.span, expanded: over.expanded },
    }
}
