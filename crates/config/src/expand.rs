//! `${…}` in values: environment variables, files, defaults.
//!
//! The rules are those of the OpenTelemetry Collector's resolver:
//! - `${env:NAME}`, `${env:NAME:-default}`, `${NAME}` (the same as `env:`), `${file:path}`, `${yaml:text}`; `$$` is a `$`.
//!   Any other scheme is an error, and so is a name that is not `[a-zA-Z_][a-zA-Z0-9_]*`.
//! - A value that is nothing but one reference has the YAML type of what comes out, even a map; a string field takes the
//!   text as it was ([`Node::expanded`]). Within a longer text the result is concatenated and is text.
//! - What comes out is expanded again; references may be nested, `${env:A_${env:B}}`.
//! - An unset variable without a default is a warning, and stands for nothing (in a text: for the empty text). A default
//!   that is empty, `${env:NAME:-}`, is the empty text.
//! - Keys are not expanded.
//!
//! One difference, on purpose: a file that holds a single line is taken without its line break, because a token with a line
//! break is good for nothing.
//!
//! Bounds: levels of references within what references gave, their number, and the bytes that come out. Invariant: what
//! came out of an expansion keeps the place of the `${…}` that stands in the configuration, so it is never shown; only
//! a file that holds a map or a list has places of its own.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::environment::Environment;
use super::node::{MAX_DEPTH, Node, Value};
use super::parse::parse;
use super::path::Path;
use super::scalar::{Kind, Scalar};
use super::secret;
use super::source::{Source, Span};

/// Levels of expanding what an expansion gave.
const MAX_LEVELS: usize = 16;
/// References expanded in one configuration.
const MAX_REFERENCES: usize = 10_000;
/// Bytes that come out of expansions in one configuration.
const MAX_BYTES: usize = 16 << 20;

/// Expands every reference below `root`. Returns the files that were read, to be watched.
pub fn expand(root: &mut Node, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut expander = Expander { environment, diagnostics, references: 0, bytes: 0, files: Vec::new() };
    expander.node(root, &Place { path: Path::root(), depth: 1, level: 0 });
    expander.files
}

/// Where in the tree, and how deep in expansions of expansions.
#[derive(Clone)]
struct Place {
    path: Path,
    depth: usize,
    level: usize,
}

impl Place {
    fn below(&self, path: Path) -> Place {
        Place { path, depth: self.depth + 1, level: self.level }
    }

    fn secret(&self) -> bool {
        self.path.keys().any(secret::is_secret_key)
    }
}

/// What a text with references in it comes to.
enum Outcome {
    /// Just text; `referred` if any of it came out of a reference.
    Text { text: String, referred: bool },
    /// The text was one reference.
    Whole(Content),
}

/// Why a text cannot be expanded.
struct Refused {
    message: String,
    /// Whether it is only that a file is not here.
    absent: bool,
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Refused { message, absent: false }
    }
}

/// What a reference gave.
struct Content {
    text: String,
    /// True if it is text whatever it looks like: an explicit empty default.
    verbatim: bool,
    /// The file that it came from.
    file: Option<String>,
}

struct Expander<'a> {
    environment: &'a dyn Environment,
    diagnostics: &'a mut Diagnostics,
    references: usize,
    bytes: usize,
    files: Vec<String>,
}

impl Expander<'_> {
    fn node(&mut self, node: &mut Node, place: &Place) {
        match &mut node.value {
            Value::Null | Value::Broken => {}
            Value::Seq(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.node(item, &place.below(place.path.index(i)));
                }
            }
            Value::Map(map) => {
                for entry in &mut map.entries {
                    self.node(&mut entry.value, &place.below(place.path.key(&entry.key)));
                }
            }
            Value::Scalar(scalar) if scalar.text.contains('$') => {
                let text = std::mem::take(&mut scalar.text);
                let span = node.span.clone();
                match self.text(&text, &span, place) {
                    Ok(Outcome::Text { text, referred }) => {
                        if referred || node.expanded.is_some() {
                            node.expanded = Some(text.as_str().into());
                        }
                        node.value = Value::Scalar(Scalar::text(text));
                    }
                    Ok(Outcome::Whole(content)) => *node = self.whole(content, &span, place),
                    Err(Refused { message, absent }) => {
                        let diagnostic = Diagnostic::error(message).at(&span, &place.path);
                        self.diagnostics.push(if absent { diagnostic.absent() } else { diagnostic });
                        node.value = Value::Broken;
                    }
                }
            }
            Value::Scalar(_) => {}
        }
    }

    /// The node that stands for a value which was nothing but a reference.
    fn whole(&mut self, content: Content, span: &Span, place: &Place) -> Node {
        let inner = Place { level: place.level + 1, ..place.clone() };
        let as_text = |text: String| Node {
            expanded: Some(text.as_str().into()),
            value: Value::Scalar(Scalar::text(text)),
            span: span.clone(),
        };
        // What is not YAML, or is text, is taken as it is, quotes included.
        let mut node = match self.content_node(&content, span, place) {
            Some(node) if !content.verbatim => node,
            _ => as_text(content.text.clone()),
        };
        if place.depth + node.depth() > MAX_DEPTH + 1 {
            let message = format!("nested more than {MAX_DEPTH} levels deep, through this reference");
            self.diagnostics.push(Diagnostic::error(message).at(span, &place.path));
            return Node::new(Value::Broken, span.clone());
        }
        if node.expanded.is_none() {
            // A map or list, a number or boolean, or nothing: a string field would take the text.
            let text = match self.concatenate(&content.text, span, &inner) {
                Ok(text) => text,
                Err(_) => content.text,
            };
            node.expanded = Some(text.into());
        }
        self.node(&mut node, &inner);
        node
    }

    /// What the content means as YAML; none if it is plain text.
    fn content_node(&mut self, content: &Content, span: &Span, place: &Place) -> Option<Node> {
        let name = content.file.clone().unwrap_or_default();
        let source = Source::new(name, content.text.clone());
        let mut quiet = Diagnostics::new();
        let mut node = parse(&source, &mut quiet).filter(|_| !quiet.has_errors())?;
        match &node.value {
            Value::Scalar(Scalar { kind: Kind::Str, .. }) => return None,
            Value::Map(_) | Value::Seq(_) if content.file.is_some() && !place.secret() => {}
            _ => relocate(&mut node, span),
        }
        Some(node)
    }

    /// Expands a text. An error is its message, without the place.
    fn text(&mut self, text: &str, span: &Span, place: &Place) -> Result<Outcome, Refused> {
        if place.level > MAX_LEVELS {
            return Err(format!("references lead to references more than {MAX_LEVELS} times").into());
        }
        let mut out = String::with_capacity(text.len());
        let mut referred = false;
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if let Some(close) = closing_brace(rest) {
                let is_whole = rest.len() == text.len() && close + 1 == rest.len();
                let content = self.reference(&rest[2..close], span, place).map_err(|refused| match is_whole {
                    true => refused,
                    // Within a longer text (an expression, a template) perhaps none was meant.
                    false => Refused {
                        message: format!("{}; if no reference is meant, write `$${{`", refused.message),
                        ..refused
                    },
                })?;
                referred = true;
                if is_whole {
                    return Ok(Outcome::Whole(content));
                }
                let inner = Place { level: place.level + 1, ..place.clone() };
                out.push_str(&self.concatenate(&content.text, span, &inner)?);
                rest = &rest[close + 1..];
            } else {
                if let Some(name) = bare_variable(rest) {
                    let message = format!(
                        "`${name}` is not a reference and stays as it is; for the variable write `${{env:{name}}}`"
                    );
                    self.diagnostics.push(Diagnostic::warning(message).at(span, &place.path));
                }
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        self.spend(out.len())?;
        Ok(Outcome::Text { text: out, referred })
    }

    /// Expands a text to a text.
    fn concatenate(&mut self, text: &str, span: &Span, place: &Place) -> Result<String, Refused> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        match self.text(text, span, place)? {
            Outcome::Text { text, .. } => Ok(text),
            Outcome::Whole(content) => {
                let inner = Place { level: place.level + 1, ..place.clone() };
                self.concatenate(&content.text, span, &inner)
            }
        }
    }

    /// Looks up what stands between `${` and `}`.
    fn reference(&mut self, uri: &str, span: &Span, place: &Place) -> Result<Content, Refused> {
        self.references += 1;
        if self.references > MAX_REFERENCES {
            return Err(format!("more than {MAX_REFERENCES} references").into());
        }
        let inner = Place { level: place.level + 1, ..place.clone() };
        let uri = if uri.contains("${") { self.concatenate(uri, span, &inner)? } else { uri.to_owned() };
        if uri.contains('$') {
            return Err("a `$` within a reference is not supported".to_owned().into());
        }
        let content = match uri.split_once(':') {
            None => self.variable(&uri, None, span, place)?,
            Some(("env", name)) => match name.split_once(":-") {
                Some((name, default)) => self.variable(name, Some(default), span, place)?,
                None => self.variable(name, None, span, place)?,
            },
            Some(("file", path)) => self.file(path)?,
            Some(("yaml", text)) => Content { text: text.to_owned(), verbatim: false, file: None },
            Some((name, default)) if default.starts_with('-') && is_variable_name(name) => {
                let message = format!("a default needs the scheme: `${{env:{name}:-…}}`");
                return Err(message.into());
            }
            Some((scheme, _)) => {
                let message =
                    format!("unknown scheme `{}` in a reference: known are env, file and yaml", scheme.escape_debug());
                return Err(message.into());
            }
        };
        self.spend(content.text.len())?;
        Ok(content)
    }

    fn variable(&mut self, name: &str, default: Option<&str>, span: &Span, place: &Place) -> Result<Content, String> {
        if !is_variable_name(name) {
            let name = name.escape_debug();
            let message = format!("`{name}` is no name of an environment variable: letters, digits and _ only");
            return Err(message);
        }
        let content = |text: String, verbatim| Content { text, verbatim, file: None };
        Ok(match (self.environment.var(name), default) {
            (Some(value), _) => content(value, false),
            (None, Some(default)) => content(default.to_owned(), default.is_empty()),
            (None, None) => {
                let message = format!("the environment variable `{name}` is not set: the value is empty");
                self.diagnostics.push(Diagnostic::warning(message).at(span, &place.path));
                content(String::new(), false)
            }
        })
    }

    fn file(&mut self, path: &str) -> Result<Content, Refused> {
        let mut text = self.environment.file(path).map_err(|why| Refused {
            message: format!("cannot read the file `{}`: {why}", path.escape_debug()),
            absent: true,
        })?;
        if text.trim_end().lines().count() == 1 {
            text.truncate(text.trim_end_matches(['\n', '\r']).len());
        }
        self.files.push(path.to_owned());
        Ok(Content { text, verbatim: false, file: Some(path.to_owned()) })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            return Err(format!("the references come to more than {} MiB", MAX_BYTES >> 20));
        }
        Ok(())
    }
}

/// The index of the `}` that closes the `${` with which `text` begins; references within are skipped.
fn closing_brace(text: &str) -> Option<usize> {
    if !text.starts_with("${") {
        return None;
    }
    let bytes = text.as_bytes();
    let mut open = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"${") {
            open += 1;
            at += 1;
        } else if bytes[at] == b'}' {
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

/// The name in `$NAME`, if it looks as if the variable were meant: capitals, as in other programs' configurations.
fn bare_variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    let name = &name[..end];
    let capitals = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (name.len() > 1 && capitals && is_variable_name(name)).then_some(name)
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Gives everything in `node` the place of the reference that it came from, and marks its texts as expanded.
fn relocate(node: &mut Node, span: &Span) {
    node.span = span.clone();
    match &mut node.value {
        Value::Null | Value::Broken => {}
        Value::Scalar(scalar) => {
            let text: Arc<str> = scalar.text.as_str().into();
            node.expanded = Some(text);
        }
        Value::Seq(items) => items.iter_mut().for_each(|item| relocate(item, span)),
        Value::Map(map) => {
            for entry in &mut map.entries {
                entry.span = span.clone();
                relocate(&mut entry.value, span);
            }
        }
    }
}
