//! Pipelines as a whole.

use super::*;
use crate::entry::Labels;

/// The time in these tests.
#[allow(clippy::disallowed_methods)] // Waiting is measured from a beginning that is set here.
pub(crate) fn now() -> Now {
    Now { wall: Timestamp::from_secs_nanos(1_700_000_000, 0), mono: Instant::now() }
}

/// A pipeline from YAML.
pub(crate) fn pipeline(yaml: &str) -> Result<Pipeline, ConfigError> {
    let options = serde_saphyr::options! { strict_booleans: true };
    Pipeline::new(&serde_saphyr::from_str_with_options(yaml, options).unwrap())
}

/// Everything that comes out of a pipeline.
pub(crate) fn run(yaml: &str, entries: Vec<Entry>) -> Vec<Entry> {
    let pipeline = pipeline(yaml).unwrap();
    let mut out = Vec::new();
    for entry in entries {
        pipeline.process(entry, now(), |entry| out.push(entry));
    }
    pipeline.finish(now(), |entry| out.push(entry));
    out
}

/// An entry with a line and labels.
pub(crate) fn entry(line: &str, labels: &[(&str, &str)]) -> Entry {
    Entry { line: line.into(), labels: labels.iter().copied().collect::<Labels>(), ..Entry::default() }
}
