//! From a file to a pipeline: finds the stages in it, and says of every error where it is written.
//!
//! The file is a list of stages; or a map that has them under `pipeline_stages` or `stages`; or a list of Promtail's scrape
//! configurations, or a whole Promtail configuration with `scrape_configs`; or the values of Promtail's Helm chart, which have them
//! under `config.snippets.pipelineStages`; or a collector's configuration with a processor `loki_stages`. A file whose name ends in
//! `.alloy` is in Alloy's own syntax. References such as `${env:X}` are expanded in the last only: to the others they are text, as `$1` is.
//!
//! What a scalar means is decided by the stage that reads it, as in the processor: `0123`, `1.10` and `yes` are what was written where a
//! text is wanted.

use components::processors::loki_stages::{alloy, findings, written};
use config::diagnostic::{Diagnostic, Diagnostics};
use config::environment::Environment;
use config::expand::expand;
use config::node::{Map, Node, Value};
use config::parse::parse;
use config::path::Path;
use config::source::{Source, Span};
use config::suggest::nearest;
use stages::{Options, Pipeline, Stages};

/// The type of the processor that holds stages.
const PROCESSOR: &str = "loki_stages";

/// Reads the file and builds the pipeline; what is doubtful in the file is told with it.
///
/// # Errors
/// What is wrong with the file, with its place.
pub fn read(
    file: &str,
    which: Option<&str>,
    environment: &dyn Environment,
) -> Result<(Pipeline, Diagnostics), Diagnostics> {
    let mut found = Diagnostics::new();
    let built = build(file, which, environment, &mut found);
    match built {
        Some(pipeline) if !found.has_errors() => Ok((pipeline, found)),
        _ => Err(found),
    }
}

fn build(file: &str, which: Option<&str>, environment: &dyn Environment, found: &mut Diagnostics) -> Option<Pipeline> {
    let text = match environment.file(file) {
        Ok(text) => text,
        Err(why) => {
            found.push(Diagnostic::error(format!("cannot read the stages `{}`: {why}", file.escape_debug())));
            return None;
        }
    };
    let source = Source::new(file, text);
    if alloy::is_alloy(file) {
        let (list, path) = alloy::stages(&source, which, found)?;
        return pipeline(&list, &path, found);
    }
    let mut root = parse(&source, found)?;
    if root.as_map().is_some_and(|map| map.get("processors").is_some()) {
        expand(&mut root, environment, found);
    }
    if found.has_errors() {
        return None;
    }
    let built = match locate(&root, which) {
        Ok(located) => pipeline(located.node, &located.path, found),
        Err(error) => {
            found.push(*error);
            None
        }
    };
    found.redact(&root);
    built
}

fn pipeline(list: &Node, path: &Path, found: &mut Diagnostics) -> Option<Pipeline> {
    let stages = Stages(match &list.value {
        Value::Seq(items) => items.iter().map(written).collect(),
        Value::Null => Vec::new(),
        _ => {
            let message = format!("stages are a list, this is {}", list.noun());
            found.push(Diagnostic::error(message).at(&list.span, path));
            return None;
        }
    });
    findings::tell(&Pipeline::check(&stages, &Options::default()), list, path, found);
    // What is wrong has been told.
    Pipeline::new(&stages).ok()
}

/// The list of stages, and where it is.
struct Located<'a> {
    node: &'a Node,
    path: Path,
}

/// Why it is not known which list is meant. Boxed: it is rare and large.
type Unknown = Box<Diagnostic>;

fn locate<'a>(root: &'a Node, which: Option<&str>) -> Result<Located<'a>, Unknown> {
    let path = Path::root();
    match &root.value {
        Value::Seq(items) if is_jobs(items) => job(root, items, &path, which),
        Value::Seq(_) | Value::Null => only(Located { node: root, path }, which),
        Value::Map(map) => in_map(root, map, which),
        _ => Err(Box::new(
            Diagnostic::error(format!("stages are a list, this is {}", root.noun())).at(&root.span, &path),
        )),
    }
}

fn in_map<'a>(root: &'a Node, map: &'a Map, which: Option<&str>) -> Result<Located<'a>, Unknown> {
    let path = Path::root();
    if let Some(processors) = map.get("processors") {
        return processor(processors, &path.key("processors"), which);
    }
    if let Some(located) = helm_values(map) {
        return only(located, which);
    }
    for key in ["pipeline_stages", "stages"] {
        if let Some(node) = map.get(key) {
            return only(Located { node, path: path.key(key) }, which);
        }
    }
    if let Some(jobs) = map.get("scrape_configs")
        && let Value::Seq(items) = &jobs.value
    {
        return job(jobs, items, &path.key("scrape_configs"), which);
    }
    let message = "there are no stages here: neither a list, nor `pipeline_stages`, `stages`, `scrape_configs`, `config.snippets.pipelineStages` or `processors`";
    Err(Box::new(Diagnostic::error(message).at(&root.span, &path)))
}

/// The stages in the values of Promtail's Helm chart, by itself or as a part of another.
fn helm_values(values: &Map) -> Option<Located<'_>> {
    const KEYS: [&str; 4] = ["promtail", "config", "snippets", "pipelineStages"];
    let follow = |keys: &[&str]| {
        let mut path = Path::root();
        let (last, before) = keys.split_last()?;
        let map = before.iter().try_fold(values, |map, key| {
            path = path.key(key);
            map.get(key)?.as_map()
        })?;
        Some(Located { node: map.get(last)?, path: path.key(last) })
    };
    follow(&KEYS[1..]).or_else(|| follow(&KEYS))
}

/// A file of one list, where nothing can be chosen.
fn only<'a>(located: Located<'a>, which: Option<&str>) -> Result<Located<'a>, Unknown> {
    match which {
        None => Ok(located),
        Some(id) => {
            let message = format!("there is no `{}` to choose: the file holds one list of stages", id.escape_debug());
            Err(Box::new(Diagnostic::error(message).at(&located.node.span, &located.path)))
        }
    }
}

/// Whether these are Promtail's scrape configurations rather than stages.
fn is_jobs(items: &[Node]) -> bool {
    let is_job = |map: &Map| map.get("job_name").is_some() || map.get("pipeline_stages").is_some();
    !items.is_empty() && items.iter().all(|item| item.as_map().is_some_and(is_job))
}

fn job<'a>(list: &'a Node, items: &'a [Node], path: &Path, which: Option<&str>) -> Result<Located<'a>, Unknown> {
    let jobs = items.iter().enumerate().filter_map(|(at, item)| {
        let map = item.as_map()?;
        let name = map.get("job_name").and_then(Node::text).unwrap_or_default();
        let node = map.get("pipeline_stages")?;
        Some((name.to_owned(), Located { node, path: path.index(at).key("pipeline_stages") }))
    });
    choose(jobs.collect(), "job with `pipeline_stages`", &list.span, path, which)
}

fn processor<'a>(processors: &'a Node, path: &Path, which: Option<&str>) -> Result<Located<'a>, Unknown> {
    let ours = |key: &str| key.split('/').next().is_some_and(|kind| kind.trim() == PROCESSOR);
    let entries = processors.as_map().map(|map| map.entries.as_slice()).unwrap_or_default();
    let all = entries.iter().filter(|entry| ours(&entry.key)).map(|entry| {
        let path = path.key(&entry.key);
        let stages = entry.value.as_map().and_then(|map| map.get("stages"));
        let located = match stages {
            Some(node) => Located { node, path: path.key("stages") },
            None => Located { node: &entry.value, path },
        };
        (entry.key.clone(), located)
    });
    choose(all.collect(), "processor `loki_stages`", &processors.span, path, which)
}

/// The one that is meant.
fn choose<'a>(
    mut all: Vec<(String, Located<'a>)>,
    noun: &str,
    span: &Span,
    path: &Path,
    which: Option<&str>,
) -> Result<Located<'a>, Unknown> {
    let names = all.iter().map(|(name, _)| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(", ");
    let error = |message: String| Box::new(Diagnostic::error(message).at(span, path));
    match which {
        Some(id) => match all.iter().position(|(name, _)| name == id) {
            Some(at) => Ok(all.swap_remove(at).1),
            None => {
                let near = nearest(id, all.iter().map(|(name, _)| name.as_str()));
                Err(Box::new(error(format!("there is no {noun} of the name `{}`", id.escape_debug())).suggest(near)))
            }
        },
        None if all.len() > 1 => Err(error(format!("there are several: choose by --processor one of {names}"))),
        None => all.pop().map(|(_, located)| located).ok_or_else(|| error(format!("there is no {noun}"))),
    }
}

#[cfg(test)]
mod tests;
