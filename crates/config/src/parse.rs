//! From YAML text to the node tree.
//!
//! The YAML itself is read by `granit-parser`, the event parser beneath `serde-saphyr`; this module composes the events
//! into nodes, because serde's data model would lose what the tree is for: the place of every key and value, the text of
//! numbers, and every duplicate key.
//!
//! Bounds: nesting ([`MAX_DEPTH`]), and the size of the tree after anchors are resolved ([`MAX_SIZE`]), so that neither
//! `[[[[…` nor a bomb of anchors can hurt. A duplicate key is an error that names both places. `<<` merges as in YAML 1.1:
//! a key that is written out wins, then the first of the merged maps. More than one document is an error.
//!
//! It does NOT expand `${…}`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::{Entry, MAX_DEPTH, Map, Node, Value};
use super::path::Path;
use super::scalar::{self, Kind, Scalar};
use super::secret;
use super::source::{Source, Span};

/// The largest tree: one for each node, and one for each 32 bytes of text, counted after anchors are resolved.
pub const MAX_SIZE: usize = 400_000;

/// Reads the one YAML document of `source`. None if there is no telling what was meant; the reasons are in `diagnostics`.
/// Other errors (duplicate keys) are reported there too, and the tree is made as if the second key were not there.
pub fn parse(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut composer = Composer::new(source, diagnostics);
    let node = composer.document();
    match node {
        Ok(node) => {
            let mut secrets = std::mem::take(&mut composer.secrets);
            secret_ranges(&node, false, &mut secrets);
            source.hide(secrets);
            Some(node)
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

/// The byte ranges of the values below secret keys, apart from references such as `${env:TOKEN}`.
fn secret_ranges(node: &Node, secret: bool, ranges: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Null | Value::Broken => {}
        Value::Scalar(scalar) => {
            // A default is a literal.
            let reference = scalar.text.starts_with("${")
                && scalar.text.find('}') == Some(scalar.text.len() - 1)
                && !scalar.text.contains(":-");
            if secret && !reference {
                ranges.push(node.span.start..node.span.end);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| secret_ranges(item, secret, ranges)),
        Value::Map(map) => {
            // `{key: Authorization, value: …}` is how lists of headers are written.
            let named = secret::names_secret(map);
            for entry in &map.entries {
                let named = named && entry.key.contains("value");
                secret_ranges(&entry.value, secret || named || secret::is_secret_key(&entry.key), ranges);
            }
        }
    }
}

/// Why composing stopped. Boxed: it is rare and large.
type Stop = Box<Diagnostic>;

struct Composer<'a, 'd> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Arc<Source>,
    diagnostics: &'d mut Diagnostics,
    anchors: HashMap<usize, Anchored>,
    size: usize,
    /// The keys that lead to where the composer is.
    keys: Vec<String>,
    /// The places of secrets that did not come into the tree.
    secrets: Vec<Range<usize>>,
}

struct Anchored {
    node: Node,
    size: usize,
    depth: usize,
}

impl<'a, 'd> Composer<'a, 'd> {
    fn new(source: &'a Arc<Source>, diagnostics: &'d mut Diagnostics) -> Self {
        let mut options = granit_parser::options! {
            flow_nesting_limit: MAX_DEPTH + 1,
            block_nesting_limit: MAX_DEPTH + 1,
        };
        options.set_emit_comments(false);
        let parser = Parser::new_from_str_with_options(source.text(), options);
        Composer {
            parser,
            source,
            diagnostics,
            anchors: HashMap::new(),
            size: 0,
            keys: Vec::new(),
            secrets: Vec::new(),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.span(&span))),
            Some(Err(error)) => {
                let at = self.span(&granit_parser::Span::empty(*error.marker()));
                Err(Box::new(Diagnostic::error(format!("not valid YAML: {}", error.info())).at(&at, &Path::root())))
            }
            None => Ok((Event::StreamEnd, Span::beginning(self.source))),
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let length = self.source.text().len();
        let start = span.start.byte_offset().unwrap_or(0).min(length);
        let end = span.end.byte_offset().unwrap_or(start).clamp(start, length);
        // A block scalar's range reaches over the line breaks that follow it.
        let end = start + self.source.text()[start..end].trim_end().len();
        let (line, column) = (span.start.line().max(1), span.start.col() + 1);
        Span { source: Arc::clone(self.source), start, end, line, column }
    }

    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                event if root.is_none() => root = Some(self.node(event, span, None, 1)?),
                event => {
                    let second = self.node(event, span.clone(), None, 1)?;
                    if !second.is_null() {
                        return Err(stop("a second YAML document; a configuration is one document", &span));
                    }
                }
            }
        }
        Ok(root.unwrap_or_else(|| Node::new(Value::Null, Span::beginning(self.source))))
    }

    /// Composes the node that begins with `event`; `key` is the place of the key whose value it is.
    fn node(&mut self, event: Event<'a>, span: Span, key: Option<&Span>, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(stop(format!("nested more than {MAX_DEPTH} levels deep"), &span));
        }
        let (before, anchor) = (self.size, event.anchor_id());
        let node = match event {
            Event::Scalar(text, style, _, tag) => {
                self.grow(1 + text.len() / 32, &span)?;
                let value = self.scalar(text, style, tag.as_deref(), &span)?;
                let place = if span.start == span.end { key.cloned().unwrap_or(span) } else { span };
                Node::new(value, place)
            }
            Event::SequenceStart(_, _, tag) => {
                self.collection_tag(tag.as_deref(), "seq", &span)?;
                let mut items = Vec::new();
                loop {
                    let (event, at) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, at, None, depth + 1)?);
                }
                self.grow(1, &span)?;
                Node::new(Value::Seq(items), key.cloned().unwrap_or(span))
            }
            Event::MappingStart(_, _, tag) => {
                self.collection_tag(tag.as_deref(), "map", &span)?;
                let map = self.map(depth)?;
                self.grow(1, &span)?;
                Node::new(Value::Map(map), key.cloned().unwrap_or(span))
            }
            Event::Alias(id) => return self.alias(id, &span, depth),
            _ => return Err(stop("not valid YAML: a value was expected here", &span)),
        };
        if let Some(id) = anchor {
            let anchored = Anchored { node: node.clone(), size: self.size - before, depth: node.depth() };
            self.grow(anchored.size, &node.span)?;
            self.anchors.insert(id, anchored);
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: &Span, depth: usize) -> Result<Node, Stop> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(stop("this alias stands inside the very value that it names", span));
        };
        let (node, size) = (anchored.node.clone(), anchored.size);
        if depth + anchored.depth > MAX_DEPTH {
            return Err(stop(format!("nested more than {MAX_DEPTH} levels deep, through this alias"), span));
        }
        self.grow(size.max(1), span)?;
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Map, Stop> {
        let mut map = Map::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, at, None, depth + 1)?;
            let (event, at) = self.next()?;
            self.keys.push(key.text().unwrap_or_default().to_owned());
            let value = self.node(event, at, Some(&key.span), depth + 1)?;
            self.keys.pop();
            if merge {
                merged.push(value);
                continue;
            }
            let Value::Scalar(Scalar { text, .. }) = key.value else {
                return Err(stop(format!("a key must be a single value, this is {}", key.noun()), &key.span));
            };
            if let Some(first) = seen.get(&text).and_then(|first| map.entries.get(*first)) {
                let message = format!("the key `{}` is there twice", text.escape_debug());
                let path = self.keys.iter().fold(Path::root(), |path, key| path.key(key)).key(&text);
                let diagnostic = Diagnostic::error(message).at(&key.span, &path);
                self.diagnostics.push(diagnostic.note(&first.span, "first written here"));
                let secret = self.keys.iter().chain([&text]).any(|key| secret::is_secret_key(key));
                secret_ranges(&value, secret, &mut self.secrets);
                continue;
            }
            seen.insert(text.clone(), map.entries.len());
            map.entries.push(Entry { key: text, span: key.span, value });
        }
        for node in merged {
            // A key that is there already takes the place of the one that comes along.
            let secret = self.keys.iter().any(|key| secret::is_secret_key(key));
            secret_ranges(&node, secret, &mut self.secrets);
            merge_into(&mut map, &mut seen, node)?;
        }
        Ok(map)
    }

    fn scalar(&self, text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Result<Value, Stop> {
        let plain = || match scalar::resolve(&text) {
            None => Value::Null,
            Some(kind) => Value::Scalar(Scalar { text: text.to_string(), kind }),
        };
        let Some(tag) = tag else {
            return Ok(if style == ScalarStyle::Plain {
                plain()
            } else {
                Value::Scalar(Scalar::text(text.into_owned()))
            });
        };
        let value = match tag.core_suffix() {
            Some("str") => Some(Value::Scalar(Scalar::text(text.to_string()))),
            Some("null") => Some(plain()).filter(|v| matches!(v, Value::Null)),
            Some("bool") => Some(plain()).filter(|v| matches!(v, Value::Scalar(Scalar { kind: Kind::Bool(_), .. }))),
            Some("int") => {
                Some(plain()).filter(|v| matches!(v, Value::Scalar(Scalar { kind: Kind::Int(_) | Kind::Uint(_), .. })))
            }
            Some("float") => match plain() {
                Value::Scalar(Scalar { text, kind: Kind::Int(int) }) => {
                    Some(Value::Scalar(Scalar { text, kind: Kind::Float(int as f64) }))
                }
                other => Some(other).filter(|v| matches!(v, Value::Scalar(Scalar { kind: Kind::Float(_), .. }))),
            },
            _ if tag.original() == "!" => Some(Value::Scalar(Scalar::text(text.to_string()))),
            _ => None,
        };
        value.ok_or_else(|| stop(format!("the tag `{}` does not fit this value", tag.original()), span))
    }

    fn collection_tag(&self, tag: Option<&Tag>, own: &str, span: &Span) -> Result<(), Stop> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(own) && tag.original() != "!" => {
                Err(stop(format!("the tag `{}` does not fit this value", tag.original()), span))
            }
            _ => Ok(()),
        }
    }

    fn grow(&mut self, by: usize, span: &Span) -> Result<(), Stop> {
        self.size += by;
        if self.size > MAX_SIZE {
            return Err(stop("the configuration is too large once its anchors are resolved", span));
        }
        Ok(())
    }
}

/// Adds what `<<` brings: only keys that are not there yet.
fn merge_into(map: &mut Map, seen: &mut HashMap<String, usize>, from: Node) -> Result<(), Stop> {
    match from.value {
        Value::Map(other) => {
            for entry in other.entries {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), map.entries.len());
                    map.entries.push(entry);
                }
            }
            Ok(())
        }
        Value::Seq(items) if items.iter().all(|item| item.as_map().is_some()) => {
            items.into_iter().try_for_each(|item| merge_into(map, seen, item))
        }
        _ => Err(stop("`<<` merges maps only", &from.span)),
    }
}

fn stop(message: impl Into<String>, span: &Span) -> Stop {
    Box::new(Diagnostic::error(message).at(span, &Path::root()))
}
