//! `json`: fields of a JSON object, by JMESPath, become extracted values.
//!
//! Only an object (or null, which has no fields) is sound; anything else leaves the entry, or drops it with `drop_malformed`.
//! A path that is not there is extracted as null, which `drop` takes for present. `regex` extracts the top-level keys that it
//! matches. Plain field paths are read in one walk of the text; other expressions need the document's tree.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, Mapping, read, sources};
use crate::entry::{Entry, Symbol, Value};
use crate::go::jmespath::{Document, Expression};
use crate::go::regex::Regex;
use crate::json::{Each, Paths, Raw, tree};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;
use smallvec::SmallVec;
use std::sync::Arc;

/// How deep a document may be nested for expressions that need its tree.
const TREE_DEPTH: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    expressions: Mapping,
    #[serde(default)]
    regex: String,
    source: Option<String>,
    #[serde(default)]
    drop_malformed: bool,
}

struct Json {
    source: Source,
    paths: Arc<Paths>,
    /// What each path is extracted as.
    fields: Vec<Symbol>,
    expressions: Vec<(Symbol, Expression)>,
    regex: Option<Regex>,
    drop_malformed: bool,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.expressions.is_empty() && config.regex.is_empty() {
        return Err(ConfigError::new(path, "expressions or a regex are required"));
    }
    let source = Source::build(config.source.as_deref(), path, builder)?;
    let (mut paths, mut fields, mut expressions) = (Paths::default(), Vec::new(), Vec::new());
    for (name, expression) in sources(&config.expressions) {
        let symbol = builder.symbol(name, path)?;
        let compiled = Expression::new(expression);
        let Some(compiled) =
            builder.or_refuse(compiled.map_err(|e| ConfigError::at(path, &format!("expressions.{name}"), e)))
        else {
            continue;
        };
        match compiled {
            Expression::Fields(names) => {
                paths.add(&names.iter().map(String::as_str).collect::<Vec<_>>());
                fields.push(symbol);
            }
            compiled => expressions.push((symbol, compiled)),
        }
    }
    let regex = match config.regex.as_str() {
        "" => None,
        regex => Some(Regex::new(regex).map_err(|e| ConfigError::at(path, "regex", e))?),
    };
    let paths = paths.share();
    Ok(Box::new(Json { source, paths, fields, expressions, regex, drop_malformed: config.drop_malformed }))
}

impl Stage for Json {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(doc) = self.source.read(entry) else { return Verdict::Keep };
        let mut found: SmallVec<[Option<Raw>; 16]> = SmallVec::from_elem(None, self.fields.len());
        let mut matched: Vec<(Text, Value)> = Vec::new();
        let mut matching = self.regex.as_ref().map(|regex| {
            |key: &[u8], value: Raw| {
                if regex.is_match(key) {
                    matched.push((doc.share(key), value.value(&doc)));
                }
            }
        });
        let each = matching.as_mut().map(|matching| matching as Each<'_>);
        let sound = self.paths.find(&doc, &mut found, each);
        if sound.is_err() {
            return match self.drop_malformed {
                true => Verdict::Drop(Text::from_static("malformed JSON")),
                false => Verdict::Keep,
            };
        }
        for (symbol, raw) in self.fields.iter().zip(found) {
            entry.extracted.set(*symbol, raw.map_or(Value::Null, |raw| raw.value(&doc)));
        }
        if !self.expressions.is_empty()
            && let Some(tree) = tree(&doc, TREE_DEPTH)
        {
            // Null stands for a document without fields.
            let tree = if tree.is_null() { serde_json::Value::Object(serde_json::Map::new()) } else { tree };
            let document = Document::new(tree);
            for (symbol, expression) in &self.expressions {
                if let Some(value) = expression.search(&document) {
                    entry.extracted.set(*symbol, value);
                }
            }
        }
        for (name, value) in matched {
            entry.extracted.set_named(name, value);
        }
        Verdict::Keep
    }
}
