//! The `loki.process` components of a file, and their blocks as a list of stages.
//!
//! A block `stage.x { … }` becomes the map `stage.x: {…}`, the form that Alloy's spelling has in YAML. Blocks in it become lists:
//! the stages of a `match` under `stages`, the `rule`s of a `truncate` under `rules`; a `metrics` is the list of its metrics.

use super::parser::{Attribute, Block, parse};
use super::{AlloyError, Place, Tree, Value};

/// What a file has.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The components with stages, in order.
    pub processes: Vec<Process>,
    /// What was passed over.
    pub passed: Vec<Passed>,
}

/// A component `loki.process`, or the stages that stand in a file by themselves.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its label; none of stages that stand by themselves.
    pub label: Option<String>,
    /// The list of its stages, at the place of its name.
    pub stages: Tree,
}

/// A block that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// As it is written: `loki.write "default"`.
    pub name: String,
    /// Where.
    pub place: Place,
}

/// Reads a file. Stages that stand by themselves, without a `loki.process` around them, are one component without a label.
///
/// # Errors
/// All that is wrong: the first thing that is no sound syntax; or else every block and value that stages cannot have.
pub fn read(text: &str) -> Result<File, Vec<AlloyError>> {
    let (attributes, blocks) = parse(text).map_err(|error| vec![error])?;
    let mut reading = Reading::default();
    for Attribute { name, place, .. } in attributes {
        reading.file.passed.push(Passed { name, place });
    }
    let (bare, blocks): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(|block| is_stage(&block.name));
    reading.components(&blocks);
    if let Some(first) = bare.first() {
        let (place, stages) = (first.place, bare.iter().map(|block| reading.stage(block)).collect());
        let stages = Tree { place, value: Value::List(stages) };
        reading.file.processes.push(Process { label: None, stages });
    }
    if reading.errors.is_empty() { Ok(reading.file) } else { Err(reading.errors) }
}

fn is_stage(name: &str) -> bool {
    name.starts_with("stage.")
}

fn shown(block: &Block) -> String {
    match &block.label {
        Some(label) => format!("{} \"{}\"", block.name, label.escape_debug()),
        None => block.name.clone(),
    }
}

#[derive(Default)]
struct Reading {
    file: File,
    errors: Vec<AlloyError>,
}

impl Reading {
    fn refuse(&mut self, place: Place, message: impl Into<String>) {
        self.errors.push(AlloyError::new(place, message));
    }

    /// Components, and those in declarations.
    fn components(&mut self, blocks: &[Block]) {
        for block in blocks {
            match block.name.as_str() {
                "loki.process" => self.process(block),
                "declare" => self.components(&block.blocks),
                _ => self.file.passed.push(Passed { name: shown(block), place: block.place }),
            }
        }
    }

    fn process(&mut self, block: &Block) {
        for attribute in block.attributes.iter().filter(|attribute| attribute.name != "forward_to") {
            self.refuse(attribute.place, format!("`loki.process` has no attribute `{}`", attribute.name));
        }
        let mut stages = vec![];
        for inner in &block.blocks {
            if is_stage(&inner.name) {
                stages.push(self.stage(inner));
            } else {
                self.refuse(inner.place, format!("`{}` is no stage: their names begin with `stage.`", inner.name));
            }
        }
        let stages = Tree { place: block.place, value: Value::List(stages) };
        self.file.processes.push(Process { label: block.label.clone(), stages });
    }

    /// A stage as a map of one key.
    fn stage(&mut self, block: &Block) -> Tree {
        let mut nested = vec![];
        for inner in &block.blocks {
            nested.push(match block.name.as_str() {
                "stage.match" if is_stage(&inner.name) => self.stage(inner),
                "stage.metrics" if inner.name.starts_with("metric.") => {
                    let metric = self.map(inner);
                    single(inner, metric)
                }
                "stage.truncate" if inner.name == "rule" => self.map(inner),
                _ => {
                    self.refuse(inner.place, format!("`{}` has no block `{}`", block.name, inner.name));
                    continue;
                }
            });
        }
        let list = Tree { place: block.place, value: Value::List(nested) };
        let inner = match block.name.as_str() {
            "stage.metrics" => {
                for attribute in &block.attributes {
                    self.refuse(attribute.place, format!("`stage.metrics` has no attribute `{}`", attribute.name));
                }
                list
            }
            name => {
                let mut map = self.map(block);
                let key = if name == "stage.truncate" { "rules" } else { "stages" };
                if let (false, Value::Map(entries)) = (block.blocks.is_empty(), &mut map.value) {
                    entries.push((key.to_owned(), block.place, list));
                }
                map
            }
        };
        single(block, inner)
    }

    /// The attributes of a block.
    fn map(&mut self, block: &Block) -> Tree {
        if block.label.is_some() {
            self.refuse(block.place, format!("`{}` has no label", block.name));
        }
        let mut entries = vec![];
        for Attribute { name, place, value } in &block.attributes {
            self.literal(name, value);
            entries.push((name.clone(), *place, value.clone()));
        }
        Tree { place: block.place, value: Value::Map(entries) }
    }

    /// Refuses what would have to be evaluated.
    fn literal(&mut self, name: &str, tree: &Tree) {
        match &tree.value {
            Value::Expression(what) => {
                let message = format!("`{name}` must be a literal here: {what} cannot be evaluated");
                self.refuse(tree.place, message);
            }
            Value::List(items) => items.iter().for_each(|item| self.literal(name, item)),
            Value::Map(entries) => entries.iter().for_each(|(key, _, value)| self.literal(key, value)),
            Value::Null | Value::Scalar(_) => {}
        }
    }
}

/// A map of the block's name.
fn single(block: &Block, inner: Tree) -> Tree {
    Tree { place: block.place, value: Value::Map(vec![(block.name.clone(), block.place, inner)]) }
}
