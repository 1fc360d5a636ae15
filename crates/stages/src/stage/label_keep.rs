//! `label_keep` (Promtail: `labelallow`): removes all labels but these, `__tenant_id__` included.

use super::{Stage, Verdict};
use crate::config::ConfigError;
use crate::entry::Entry;
use crate::pipeline::{Builder, Context};
use crate::text::Text;

struct LabelKeep(Vec<Text>);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    Ok(Box::new(LabelKeep(super::label_drop::names(value, path, builder)?)))
}

impl Stage for LabelKeep {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        entry.labels.retain(|name| self.0.contains(name));
        Verdict::Keep
    }
}
