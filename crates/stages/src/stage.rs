//! What a stage is, and which ones there are.
//!
//! One stage, one file: its configuration, its code, its tests. To add one: a file here, an arm in [`build_one`], a row in the
//! documentation.

mod cri;
mod decolorize;
mod docker;
mod drop;
mod eventlogmessage;
mod geoip;
mod json;
mod label_drop;
mod label_keep;
mod labels;
mod limit;
mod logfmt;
mod luhn;
mod matching;
mod metrics;
mod multiline;
mod output;
mod pack;
mod pattern;
mod regex;
mod replace;
mod sampling;
mod split_json;
mod static_labels;
mod structured_metadata;
mod structured_metadata_drop;
mod template;
mod tenant;
mod timestamp;
mod truncate;
mod windowsevent;

#[cfg(test)]
mod tests;

use crate::config::{ConfigError, Spelling, Unknown, has_values};
use crate::entry::{Entry, Symbol};
use crate::metrics::Sample;
use crate::pipeline::{Builder, Context, MAX_STEPS, Now};
use crate::text::Text;
use serde_json::Value;

/// The names of the stages, in both spellings.
pub const NAMES: [&str; 34] = [
    "cri",
    "decolorize",
    "docker",
    "drop",
    "eventlogmessage",
    "geoip",
    "json",
    "label_drop",
    "label_keep",
    "labelallow",
    "labeldrop",
    "labels",
    "limit",
    "logfmt",
    "luhn",
    "match",
    "metrics",
    "multiline",
    "non_indexed_labels",
    "output",
    "pack",
    "pattern",
    "regex",
    "replace",
    "sampling",
    "split_json",
    "static_labels",
    "structured_metadata",
    "structured_metadata_drop",
    "template",
    "tenant",
    "timestamp",
    "truncate",
    "windowsevent",
];

/// How deep `match` stages may nest.
const MAX_NESTING: usize = 16;

/// What becomes of an entry.
pub(crate) enum Verdict {
    /// It goes on.
    Keep,
    /// The stages that follow, as far as they belong to this one, are left out.
    Skip,
    /// It is gone; why.
    Drop(Text),
    /// These go on in its place.
    Emit(Vec<Entry>),
}

/// One stage. Stages are shared between callers; what they remember they lock.
pub(crate) trait Stage: Send + Sync {
    /// Does its work on an entry. A failure leaves the entry as it was.
    fn apply(&self, entry: &mut Entry, cx: &mut Context<'_>) -> Verdict;

    /// Whether it may hold entries back.
    fn holds(&self) -> bool {
        false
    }

    /// How many entries it holds back now.
    fn held(&self) -> usize {
        0
    }

    /// What has been held back long enough.
    fn tick(&self, _: &mut Context<'_>) -> Vec<Entry> {
        Vec::new()
    }

    /// Everything that is held back.
    fn finish(&self, _: &mut Context<'_>) -> Vec<Entry> {
        Vec::new()
    }

    /// The series it has made.
    fn collect(&self, _: Now, _: &mut Vec<Sample>) {}
}

/// Where a stage reads its text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The line.
    Line,
    /// A name of the extracted map.
    Extracted(Symbol),
}

impl Source {
    /// The optional `source` key of a stage; an empty one is refused.
    pub fn build(source: Option<&str>, path: &str, builder: &mut Builder) -> Result<Self, ConfigError> {
        match source {
            None => Ok(Source::Line),
            Some("") => {
                Err(ConfigError::at(path, "source", "the source must not be empty; leave it out to read the line"))
            }
            Some(name) => Ok(Source::Extracted(builder.symbol(name, path)?)),
        }
    }

    /// The text, if it is there and can be text.
    #[inline]
    pub fn read(self, entry: &Entry) -> Option<Text> {
        match self {
            Source::Line => Some(entry.line.clone()),
            Source::Extracted(name) => entry.extracted.get_text(name),
        }
    }

    /// Puts a text back where it was read.
    pub fn write(self, entry: &mut Entry, text: Text) {
        match self {
            Source::Line => entry.line = text,
            Source::Extracted(name) => entry.extracted.set(name, text),
        }
    }
}

/// The stages that Promtail does not have, and Alloy's names for those that it calls otherwise.
const ALLOYS: [&str; 8] = [
    "label_drop",
    "label_keep",
    "luhn",
    "pattern",
    "split_json",
    "structured_metadata_drop",
    "truncate",
    "windowsevent",
];

/// Compiles a list of stages; what is wrong with any of them is told to the builder. `path` is that of the list, empty for the
/// outermost.
pub(crate) fn build_list(list: &[Value], path: &str, depth: usize, builder: &mut Builder) {
    if depth > MAX_NESTING {
        builder.refuse(ConfigError::new(path, format!("stages may be nested at most {MAX_NESTING} deep")));
        return;
    }
    for (i, value) in list.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let single = value.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
        let Some((written, config)) = single else {
            builder.refuse(ConfigError::new(&path, "a stage is a map with exactly one key: the name of the stage"));
            continue;
        };
        if builder.is_full() {
            builder.refuse(ConfigError::new(&path, format!("a pipeline may have at most {MAX_STEPS} stages")));
            return;
        }
        let name = written.strip_prefix("stage.").unwrap_or(written);
        let form = has_values(config) || (name == "metrics" && config.is_array());
        let is_alloys = written != name || ALLOYS.contains(&name) || form;
        builder.spelling = if is_alloys { Spelling::Alloy } else { Spelling::Promtail };
        if let Err(error) = build_one(name, config, &format!("{path}.{name}"), depth, builder) {
            builder.refuse(error);
        }
    }
}

fn build_one(name: &str, config: &Value, path: &str, depth: usize, builder: &mut Builder) -> Result<(), ConfigError> {
    let stage = match name {
        "cri" => cri::build(config, path, builder),
        "decolorize" => decolorize::build(config, path, builder),
        "docker" => docker::build(config, path, builder),
        "drop" => drop::build(config, path, builder),
        "eventlogmessage" => eventlogmessage::build(config, path, builder),
        "geoip" => geoip::build(config, path, builder),
        "json" => json::build(config, path, builder),
        "label_drop" | "labeldrop" => label_drop::build(config, path, builder),
        "label_keep" | "labelallow" => label_keep::build(config, path, builder),
        "labels" => labels::build(config, path, builder),
        "limit" => limit::build(config, path, builder),
        "logfmt" => logfmt::build(config, path, builder),
        "luhn" => luhn::build(config, path, builder),
        "match" => return matching::build(config, path, depth, builder),
        "metrics" => metrics::build(config, path, builder),
        "multiline" => multiline::build(config, path, builder),
        "output" => output::build(config, path, builder),
        "pack" => pack::build(config, path, builder),
        "pattern" => pattern::build(config, path, builder),
        "regex" => regex::build(config, path, builder),
        "replace" => replace::build(config, path, builder),
        "sampling" => sampling::build(config, path, builder),
        "split_json" => split_json::build(config, path, builder),
        "static_labels" => static_labels::build(config, path, builder),
        "structured_metadata" | "non_indexed_labels" => structured_metadata::build(config, path, builder),
        "structured_metadata_drop" => structured_metadata_drop::build(config, path, builder),
        "template" => template::build(config, path, builder),
        "tenant" => tenant::build(config, path, builder),
        "timestamp" => timestamp::build(config, path, builder),
        "truncate" => truncate::build(config, path, builder),
        "windowsevent" => windowsevent::build(config, path, builder),
        _ => {
            let unknown = Unknown { name: name.to_owned(), known: NAMES.map(str::to_owned).to_vec() };
            let message = format!("unknown stage \"{name}\"");
            return Err(ConfigError { unknown: Some(unknown), ..ConfigError::new(path, message) });
        }
    }?;
    builder.push(path, stage);
    Ok(())
}
