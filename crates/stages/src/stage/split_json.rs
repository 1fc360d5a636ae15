//! `split_json`: each element of a JSON array becomes an entry, its line the element's text as it stands.
//!
//! Labels, timestamp, structured metadata and extracted values are copied. An empty array yields nothing; what is no sound
//! array leaves the entry.

use super::{Source, Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::json::elements;
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    source: Option<String>,
}

struct SplitJson {
    source: Source,
    split: Counter,
    failures: Counter,
}

/// Elements of one array. A line of more is left as it is and counted as a failure: each element costs an entry of its own,
/// which is many times its bytes.
const MAX_ELEMENTS: usize = 100_000;
/// Why a line of no elements is gone.
const EMPTY: &str = "split_json_empty";

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    let source = Source::build(config.source.as_deref(), path, builder)?;
    Ok(Box::new(SplitJson { source, split: builder.books.split.clone(), failures: builder.books.failures.clone() }))
}

impl Stage for SplitJson {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(text) = self.source.read(entry) else { return Verdict::Keep };
        let Some(elements) = elements(&text) else { return Verdict::Keep };
        if elements.is_empty() {
            return Verdict::Drop(Text::from_static(EMPTY));
        }
        if elements.len() > MAX_ELEMENTS {
            self.failures.inc();
            return Verdict::Keep;
        }
        self.split.add(elements.len() as u64 - 1);
        let each = elements.into_iter().map(|(start, end)| Entry { line: text.slice(start, end), ..entry.clone() });
        Verdict::Emit(each.collect())
    }
}
