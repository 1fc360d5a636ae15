//! What is wrong with stages, told where it is written.

use config::diagnostic::{Diagnostic, Diagnostics};
use config::node::{Node, Value};
use config::path::Path;
use config::source::Span;
use config::suggest::nearest;
use stages::{ConfigError, Findings};

/// Tells all that was found in the stages of `list`, which stands at `path`.
pub fn tell(findings: &Findings, list: &Node, path: &Path, out: &mut Diagnostics) {
    let errors = findings.errors.iter().map(|error| (error, Diagnostic::error(words(error))));
    let warnings = findings.warnings.iter().map(|warning| (warning, Diagnostic::warning(words(warning))));
    for (finding, diagnostic) in errors.chain(warnings) {
        let (span, path) = place(list, path, &finding.path, finding.unknown.is_some());
        out.push(diagnostic.at(&span, &path));
    }
}

/// What is wrong, with the name that was probably meant.
fn words(error: &ConfigError) -> String {
    let Some(unknown) = &error.unknown else { return error.message.clone() };
    match nearest(&unknown.name, unknown.known.iter().map(String::as_str)) {
        Some(near) => format!("{}; did you mean `{near}`?", error.message),
        None if unknown.known.is_empty() => format!("{}; there are none", error.message),
        None => format!("{}; there are: {}", error.message, unknown.known.join(", ")),
    }
}

/// Where an error's path leads, as far as it leads: `[2].json.expressions.user`; to its last key, or to what that key has. Keys may hold
/// dots, so the tree is asked.
fn place(list: &Node, at: &Path, error: &str, is_key: bool) -> (Span, Path) {
    let (mut below, mut path, mut node, mut rest) = (Path::root(), at.clone(), list, error);
    let mut key_span = None;
    while !rest.is_empty() {
        let step = match &node.value {
            Value::Seq(items) => {
                index(rest).and_then(|(i, rest)| Some((below.index(i), path.index(i), items.get(i)?, rest)))
            }
            Value::Map(map) => {
                let key = rest.strip_prefix('.').unwrap_or(rest);
                let fits = |name: &str| {
                    let name = name.strip_prefix("stage.").unwrap_or(name);
                    key.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                let fitting = map.entries.iter().filter_map(|entry| Some((entry, fits(&entry.key)?)));
                let longest = fitting.min_by_key(|(_, rest)| rest.len());
                longest.map(|(entry, rest)| {
                    key_span = Some(&entry.span);
                    (below.key(&entry.key), path.key(&entry.key), &entry.value, rest)
                })
            }
            _ => None,
        };
        let Some(step) = step else {
            // A key that is missing is named all the same.
            path = path.key(rest.trim_start_matches('.'));
            break;
        };
        (below, path, node, rest) = step;
    }
    let span = key_span.filter(|_| is_key).unwrap_or_else(|| list.place(&below));
    (span.clone(), path)
}

/// `[3].rest`: 3, and the rest.
fn index(text: &str) -> Option<(usize, &str)> {
    let (number, rest) = text.trim_start_matches('.').strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}
