//! `template`: a text/template makes an extracted value.
//!
//! All values are text; what is missing or null prints `<no value>`. `.Value` is the old value, `.Entry` the line. An empty
//! result removes the key; a failure leaves everything.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::go::template::{Data, Template};
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    source: String,
    template: Option<String>,
}

struct TemplateStage {
    source: Symbol,
    template: Template,
    failures: Counter,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.source.is_empty() {
        return Err(ConfigError::at(path, "source", "the name of the value to make is required"));
    }
    let Some(template) = config.template else {
        return Err(ConfigError::at(path, "template", "the template is required"));
    };
    let template = Template::new(&template).map_err(|e| ConfigError::at(path, "template", e))?;
    let source = builder.symbol(&config.source, path)?;
    Ok(Box::new(TemplateStage { source, template, failures: builder.books.failures.clone() }))
}

impl Stage for TemplateStage {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let value = entry.extracted.get_text(self.source);
        let data = Data { extracted: &entry.extracted, value, line: Some(&entry.line) };
        match self.template.execute(&data) {
            Ok(text) if text.is_empty() => entry.extracted.remove(self.source),
            Ok(text) => entry.extracted.set(self.source, Text::from(text)),
            Err(_) => self.failures.inc(),
        }
        Verdict::Keep
    }
}
