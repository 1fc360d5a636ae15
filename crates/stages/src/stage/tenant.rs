//! `tenant`: the tenant of the entry, from a label, an extracted value, or fixed, kept in the label `__tenant_id__`.
//!
//! A value that is missing or empty leaves what an earlier stage has set. Exporters remove the label when they send.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

/// The label that carries the tenant.
const TENANT: Text = Text::from_static("__tenant_id__");

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    label: String,
    source: String,
    value: String,
}

enum Tenant {
    Label(Text),
    Extracted(Symbol),
    Fixed(Text),
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    Ok(Box::new(match (config.label.as_str(), config.source.as_str(), config.value.as_str()) {
        (label, "", "") if !label.is_empty() => Tenant::Label(label.into()),
        ("", source, "") if !source.is_empty() => Tenant::Extracted(builder.symbol(source, path)?),
        ("", "", value) if !value.is_empty() => Tenant::Fixed(value.into()),
        _ => return Err(ConfigError::new(path, "exactly one of label, source and value is required")),
    }))
}

impl Stage for Tenant {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let tenant = match self {
            Tenant::Label(label) => entry.labels.get(label).cloned(),
            Tenant::Extracted(source) => entry.extracted.get_text(*source),
            Tenant::Fixed(value) => Some(value.clone()),
        };
        if let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) {
            entry.labels.set(TENANT, tenant);
        }
        Verdict::Keep
    }
}
