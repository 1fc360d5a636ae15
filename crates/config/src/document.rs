//! The top level: sections, components by id, pipelines, and whether what they refer to is there.
//!
//! The sections and checks are the OpenTelemetry Collector's. Components are found by their type in the [`Kinds`] that
//! the caller brings; their own configuration stays a node, which the component decodes.
//!
//! Invariants: a document is read as far as it goes, so that all errors are seen at once; it may only be put to use if
//! no error was reported. A component keeps the id under which it was written, with the one true name of its type
//! beside it. It does NOT read the configuration of components.

use std::collections::{HashMap, HashSet};

use super::de::{Located, decode_partial};
use super::diagnostic::{Diagnostic, Diagnostics, Topic};
use super::id::{ComponentId, PipelineId};
use super::node::{Node, Value};
use super::path::Path;
use super::service::ServiceConfig;
use super::source::Span;
use super::suggest::nearest;
use super::validate::{Report, Validate};

/// A type of component and the other names that it goes by.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name: `otlp_grpc`.
    pub name: &'static str,
    /// Deprecated names, each of which gives a warning: `otlp`.
    pub aliases: &'static [&'static str],
}

impl Kind {
    /// A type of one name.
    pub const fn new(name: &'static str) -> Self {
        Kind { name, aliases: &[] }
    }
}

/// Says what a type of a noun is that does not exist here, if it is known at all.
pub type Elsewhere = fn(&str, &str) -> Option<&'static str>;

/// The types of components that the program has.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// Types of `receivers`.
    pub receivers: &'static [Kind],
    /// Types of `processors`.
    pub processors: &'static [Kind],
    /// Types of `exporters`.
    pub exporters: &'static [Kind],
    /// Types of `extensions`.
    pub extensions: &'static [Kind],
    /// What is said of a type that none of them is, by noun and type, after "the receiver type `x` ".
    pub elsewhere: Elsewhere,
}

/// A component of the configuration.
#[derive(Clone, Debug)]
pub struct Component<'a> {
    /// Its id as written.
    pub id: ComponentId,
    /// The name of its type, aliases resolved.
    pub kind: &'static str,
    /// Its configuration, to be decoded by the component itself.
    pub at: Located<'a>,
}

/// A configuration, taken apart.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// `receivers`, in order.
    pub receivers: Vec<Component<'a>>,
    /// `processors`, in order.
    pub processors: Vec<Component<'a>>,
    /// `exporters`, in order.
    pub exporters: Vec<Component<'a>>,
    /// `extensions`, in order.
    pub extensions: Vec<Component<'a>>,
    /// `service`.
    pub service: ServiceConfig,
}

const SECTIONS: [&str; 6] = ["receivers", "processors", "exporters", "connectors", "extensions", "service"];

/// A section and the ids in it, with their places; ids that are in error are in `ids` only.
struct Section<'a> {
    noun: &'static str,
    components: Vec<Component<'a>>,
    ids: HashMap<ComponentId, Span>,
}

impl<'a> Document<'a> {
    /// Takes a configuration apart. Everything that is wrong with its upper levels goes to `diagnostics`; if errors are
    /// among it, the document is only good for finding more of them.
    pub fn read(root: &'a Node, kinds: &Kinds, diagnostics: &mut Diagnostics) -> Self {
        check_sections(root, diagnostics);
        let receivers = Section::read(root, "receivers", "receiver", (kinds.receivers, kinds.elsewhere), diagnostics);
        let processors =
            Section::read(root, "processors", "processor", (kinds.processors, kinds.elsewhere), diagnostics);
        let exporters = Section::read(root, "exporters", "exporter", (kinds.exporters, kinds.elsewhere), diagnostics);
        let extensions =
            Section::read(root, "extensions", "extension", (kinds.extensions, kinds.elsewhere), diagnostics);
        let connectors = connectors(root, diagnostics);
        let service = read_service(root, diagnostics);

        let path = Path::root().key("service").key("extensions");
        let mut used = HashSet::new();
        check_references(root, &path, &extensions, &HashSet::new(), &mut used, diagnostics);
        extensions.warn_unused(&used, "is not in `service.extensions`: it does not run", diagnostics);

        let sections = [("receivers", &receivers), ("processors", &processors), ("exporters", &exporters)];
        check_pipelines(root, &sections, &connectors, diagnostics);
        Document {
            receivers: receivers.components,
            processors: processors.components,
            exporters: exporters.components,
            extensions: extensions.components,
            service,
        }
    }
}

fn check_sections(root: &Node, diagnostics: &mut Diagnostics) {
    for entry in root.as_map().iter().flat_map(|map| &map.entries) {
        let path = Path::root().key(&entry.key);
        if !SECTIONS.contains(&entry.key.as_str()) {
            let suggestion = nearest(&entry.key, SECTIONS);
            let mut message = format!("unknown section `{}`", entry.key.escape_debug());
            if suggestion.is_none() {
                message.push_str(&format!("; known are {}", SECTIONS.join(", ")));
            }
            diagnostics.push(Diagnostic::error(message).at(&entry.span, &path).suggest(suggestion));
        } else if !matches!(entry.value.value, Value::Map(_) | Value::Null | Value::Broken) {
            let message = format!("the section `{}` is a map, this is {}", entry.key, entry.value.noun());
            diagnostics.push(Diagnostic::error(message).at(&entry.value.span, &path));
        }
    }
}

impl<'a> Section<'a> {
    fn read(
        root: &'a Node,
        key: &str,
        noun: &'static str,
        (kinds, elsewhere): (&'static [Kind], Elsewhere),
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut section = Section { noun, components: Vec::new(), ids: HashMap::new() };
        let path = Path::root().key(key);
        let map = root.find(&path).and_then(Node::as_map);
        for entry in map.iter().flat_map(|map| &map.entries) {
            let path = path.key(&entry.key);
            let id: ComponentId = match entry.key.parse() {
                Ok(id) => id,
                Err(error) => {
                    diagnostics.push(Diagnostic::error(format!("{error}")).at(&entry.span, &path));
                    continue;
                }
            };
            if let Some(first) = section.ids.insert(id.clone(), entry.span.clone()) {
                let diagnostic = Diagnostic::error(format!("the {noun} `{id}` is there twice")).at(&entry.span, &path);
                diagnostics.push(diagnostic.note(&first, "first written here"));
                continue;
            }
            match find_kind(&id, kinds) {
                Ok((kind, alias)) => {
                    if alias {
                        let message = format!("the alias `{}` is deprecated; use `{kind}` instead", id.kind);
                        diagnostics.push(Diagnostic::warning(message).at(&entry.span, &path));
                    }
                    section.components.push(Component { id, kind, at: Located { node: &entry.value, path } });
                }
                Err((message, suggestion)) => {
                    let diagnostic = match elsewhere(noun, &id.kind) {
                        Some(what) => Diagnostic::error(format!("the {noun} type `{}` {what}", id.kind)),
                        None => Diagnostic::error(format!("unknown {noun} type {message}")).suggest(suggestion),
                    };
                    let topic = Topic::Component(id.kind.clone());
                    diagnostics.push(diagnostic.at(&entry.span, &path).topic(topic));
                }
            }
        }
        section
    }

    /// Warns of components that nothing uses.
    fn warn_unused(&self, used: &HashSet<ComponentId>, what: &str, diagnostics: &mut Diagnostics) {
        for component in self.components.iter().filter(|component| !used.contains(&component.id)) {
            let message = format!("the {} `{}` {what}", self.noun, component.id);
            let span = self.ids.get(&component.id).unwrap_or(&component.at.node.span);
            diagnostics.push(Diagnostic::warning(message).at(span, &component.at.path));
        }
    }
}

/// The name of an id's type and whether the id uses an alias; or what to say, and what was meant.
fn find_kind(id: &ComponentId, kinds: &'static [Kind]) -> Result<(&'static str, bool), (String, Option<&'static str>)> {
    if let Some(kind) = kinds.iter().find(|kind| kind.name == id.kind) {
        return Ok((kind.name, false));
    }
    if let Some(kind) = kinds.iter().find(|kind| kind.aliases.contains(&id.kind.as_str())) {
        return Ok((kind.name, true));
    }
    let mut names: Vec<&'static str> = kinds.iter().map(|kind| kind.name).collect();
    let suggestion = nearest(&id.kind, names.iter().copied());
    names.sort_unstable();
    Err((format!("`{}` for id `{id}`; valid values are {}", id.kind, names.join(", ")), suggestion))
}

/// Refuses connectors; returns their ids, so that pipelines that use them are not refused as well.
fn connectors(root: &Node, diagnostics: &mut Diagnostics) -> HashSet<ComponentId> {
    let path = Path::root().key("connectors");
    let map = root.find(&path).and_then(Node::as_map);
    let mut ids = HashSet::new();
    for entry in map.iter().flat_map(|map| &map.entries) {
        let message = format!("connectors are not supported: `{}`", entry.key.escape_debug());
        let id = entry.key.parse::<ComponentId>();
        let kind = id.as_ref().map_or_else(|_| entry.key.clone(), |id| id.kind.clone());
        let diagnostic = Diagnostic::error(message).at(&entry.span, &path.key(&entry.key));
        diagnostics.push(diagnostic.topic(Topic::Component(kind)));
        ids.extend(id);
    }
    ids
}

fn read_service(root: &Node, diagnostics: &mut Diagnostics) -> ServiceConfig {
    let path = Path::root().key("service");
    let Some(node) = root.find(&path).filter(|node| !matches!(node.value, Value::Broken)) else {
        return ServiceConfig::default();
    };
    let at = Located { node, path };
    let service: ServiceConfig = decode_partial(&at, diagnostics).unwrap_or_default();
    service.validate(&mut Report::new(&at, diagnostics));
    service
}

fn check_pipelines(
    root: &Node,
    sections: &[(&str, &Section<'_>); 3],
    connectors: &HashSet<ComponentId>,
    diagnostics: &mut Diagnostics,
) {
    let path = Path::root().key("service").key("pipelines");
    let node = root.find(&path);
    let entries = node.and_then(Node::as_map).map(|map| map.entries.as_slice()).unwrap_or_default();
    if entries.is_empty() {
        if !matches!(node, Some(Node { value: Value::Broken, .. })) {
            let message = "there must be at least one pipeline in `service.pipelines`";
            diagnostics.push(Diagnostic::error(message).at(root.place(&path), &path));
        }
        return;
    }
    let mut used = [HashSet::new(), HashSet::new(), HashSet::new()];
    for entry in entries {
        let path = path.key(&entry.key);
        if entry.key.parse::<PipelineId>().is_err() || matches!(entry.value.value, Value::Broken) {
            continue;
        }
        for ((key, section), used) in sections.iter().zip(&mut used) {
            let path = path.key(key);
            let count = check_references(root, &path, section, connectors, used, diagnostics);
            if count == 0 && *key != "processors" {
                let message = format!("the pipeline `{}` must have at least one {}", entry.key, section.noun);
                diagnostics.push(Diagnostic::error(message).at(&entry.span, &path));
            }
        }
    }
    for ((_, section), used) in sections.iter().zip(&used) {
        section.warn_unused(used, "is not used by any pipeline", diagnostics);
    }
}

/// Checks a list of ids against the section that they are of. Returns how many ids there are, of whatever form.
fn check_references(
    root: &Node,
    path: &Path,
    section: &Section<'_>,
    connectors: &HashSet<ComponentId>,
    used: &mut HashSet<ComponentId>,
    diagnostics: &mut Diagnostics,
) -> usize {
    let Some(list) = root.find(path) else { return 0 };
    let references: Vec<(&str, &Span, Path)> = match &list.value {
        Value::Seq(items) => items
            .iter()
            .enumerate()
            .map(|(i, item)| (item.text().unwrap_or_default(), &item.span, path.index(i)))
            .collect(),
        Value::Scalar(scalar) => scalar.text.split(',').map(|part| (part, &list.span, path.clone())).collect(),
        Value::Null => return 0,
        Value::Map(_) | Value::Broken => return 1,
    };
    let mut seen = HashSet::new();
    for (text, span, path) in &references {
        // What is no id has been reported when the list was decoded.
        let Ok(id) = text.parse::<ComponentId>() else { continue };
        let (noun, defined) = (section.noun, section.ids.contains_key(&id));
        if !defined && !connectors.contains(&id) {
            let names: Vec<String> = section.ids.keys().map(ComponentId::to_string).collect();
            let suggestion = nearest(text, names.iter().map(String::as_str));
            let message = format!("references {noun} `{id}` which is not configured");
            diagnostics.push(Diagnostic::error(message).at(span, path).suggest(suggestion).topic(Topic::Reference));
        } else if !seen.insert(id.clone()) {
            // The collector refuses this for processors, and takes the others once.
            let message = format!("references {noun} `{id}` multiple times");
            let diagnostic = match noun {
                "processor" => Diagnostic::error(message),
                _ => Diagnostic::warning(message),
            };
            diagnostics.push(diagnostic.at(span, path));
        }
        used.insert(id);
    }
    references.len()
}
