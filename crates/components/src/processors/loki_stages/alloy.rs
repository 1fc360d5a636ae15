//! Files in Alloy's own syntax as trees of the configuration, so that what is wrong in them is told at its place.

use config::diagnostic::{Diagnostic, Diagnostics};
use config::node::{Entry, Map, Node, Value};
use config::path::Path;
use config::scalar::Scalar;
use config::source::{Source, Span};
use config::suggest::nearest;
use stages::alloy::{self, File, Place, Process, Tree};
use std::sync::Arc;

/// How many of the blocks that are passed over are named.
const MOST_NAMED: usize = 20;

/// Whether a file is one of Alloy's, by its name.
#[must_use]
pub fn is_alloy(file: &str) -> bool {
    let extension = std::path::Path::new(file).extension().and_then(|extension| extension.to_str());
    extension
        .is_some_and(|extension| extension.eq_ignore_ascii_case("alloy") || extension.eq_ignore_ascii_case("river"))
}

/// The list of stages of one component of a file, and the path under which messages name it. `which` is the component's label; it may
/// be left out if there is only one. None if anything is wrong; all of that, and what is passed over, is in `found`.
pub fn stages(source: &Arc<Source>, which: Option<&str>, found: &mut Diagnostics) -> Option<(Node, Path)> {
    let file = match alloy::read(source.text()) {
        Ok(file) => file,
        Err(errors) => {
            for error in errors {
                found.push(Diagnostic::error(error.message).at(&span(source, error.place), &Path::root()));
            }
            return None;
        }
    };
    passed_over(source, &file, found);
    match choose(file.processes, which) {
        Ok(process) => {
            let name = process.label.map_or("stages".to_owned(), |label| format!("loki.process.{label}"));
            Some((node(source, &process.stages), Path::root().key(&name)))
        }
        Err(error) => {
            found.push(error.at(&Span::beginning(source), &Path::root()));
            None
        }
    }
}

/// The component that is meant.
fn choose(mut all: Vec<Process>, which: Option<&str>) -> Result<Process, Diagnostic> {
    let label = |process: &Process| process.label.clone().unwrap_or_default();
    let labels: Vec<String> = all.iter().map(label).collect();
    let Some(which) = which else {
        return match all.pop() {
            Some(only) if all.is_empty() => Ok(only),
            Some(_) => {
                let names: Vec<String> = labels.iter().map(|label| format!("`{}`", label.escape_debug())).collect();
                Err(Diagnostic::error(format!("there are several `loki.process`: choose one of {}", names.join(", "))))
            }
            None => Err(Diagnostic::error("there is no `loki.process` with stages here, nor a `stage.…` by itself")),
        };
    };
    // A component is also known by its whole name.
    let which = which.strip_prefix("loki.process.").unwrap_or(which);
    match labels.iter().position(|label| label == which) {
        Some(at) => Ok(all.swap_remove(at)),
        None => Err(Diagnostic::error(format!("there is no `loki.process \"{}\"`", which.escape_debug()))
            .suggest(nearest(which, labels.iter().map(String::as_str)))),
    }
}

/// Names what is in the file beside stages.
fn passed_over(source: &Arc<Source>, file: &File, found: &mut Diagnostics) {
    let Some(first) = file.passed.first() else { return };
    let named =
        file.passed.iter().take(MOST_NAMED).map(|passed| format!("`{}` (line {})", passed.name, passed.place.line));
    let mut names = named.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = file.passed.len().checked_sub(MOST_NAMED) {
        names = format!("{names} and {more} more");
    }
    let message = format!("only the stages of `loki.process` are read; passed over: {names}");
    found.push(Diagnostic::warning(message).at(&span(source, first.place), &Path::root()));
}

fn span(source: &Arc<Source>, place: Place) -> Span {
    let Place { start, end, line, column } = place;
    Span { source: Arc::clone(source), start, end, line, column }
}

fn node(source: &Arc<Source>, tree: &Tree) -> Node {
    let value = match &tree.value {
        // What would have to be evaluated was refused.
        alloy::Value::Null | alloy::Value::Expression(_) => Value::Null,
        alloy::Value::Scalar(text) => Value::Scalar(Scalar::text(text.as_str())),
        alloy::Value::List(items) => Value::Seq(items.iter().map(|item| node(source, item)).collect()),
        alloy::Value::Map(entries) => {
            let entry = |(key, place, value): &(String, Place, Tree)| Entry {
                key: key.clone(),
                span: span(source, *place),
                value: node(source, value),
            };
            Value::Map(Map { entries: entries.iter().map(entry).collect() })
        }
    };
    Node::new(value, span(source, tree.place))
}
