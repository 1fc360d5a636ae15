//! `structured_metadata_drop`: removes structured metadata by name.

use super::{Stage, Verdict};
use crate::config::ConfigError;
use crate::entry::Entry;
use crate::pipeline::{Builder, Context};
use crate::text::Text;

struct MetadataDrop(Vec<Text>);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    Ok(Box::new(MetadataDrop(super::label_drop::names(value, path, builder)?)))
}

impl Stage for MetadataDrop {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        entry.metadata.retain(|(name, _)| !self.0.contains(name));
        Verdict::Keep
    }
}
