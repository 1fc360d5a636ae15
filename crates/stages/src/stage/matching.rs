//! `match`: stages for some entries only, or dropping them, by labels and line.
//!
//! The nested stages stand in the pipeline's own list, after this one; an entry that is not selected jumps over them. An
//! entry that is selected gets its labels copied into the extracted map again, as the peer's nested pipelines do.

use super::{Stage, Verdict, build_list};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::go::logql::Selector;
use crate::metrics::Counter;
use crate::pipeline::{Builder, Context};
use crate::text::Text;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    selector: String,
    action: Option<String>,
    #[serde(default)]
    stages: Option<Vec<Value>>,
    /// Names a metric of durations in the peer; accepted, without effect.
    #[serde(default, rename = "pipeline_name")]
    _pipeline_name: Option<String>,
    drop_counter_reason: Option<String>,
}

enum Action {
    Keep,
    Drop(Text, Counter),
}

struct Match {
    selector: Selector,
    action: Action,
}

pub(super) fn build(value: &Value, path: &str, depth: usize, builder: &mut Builder) -> Result<(), ConfigError> {
    let nested = format!("{path}.stages");
    let config: Config = match read(value, path, builder) {
        Ok(config) => config,
        Err(error) => {
            if let Some(Value::Array(stages)) = value.get("stages") {
                build_list(stages, &nested, depth + 1, builder);
            }
            return Err(error);
        }
    };
    let selector = match config.selector.as_str() {
        "" => Err(ConfigError::at(path, "selector", "a selector is required, such as {app=\"web\"}")),
        selector => Selector::parse(selector).map_err(|e| ConfigError::at(path, "selector", e)),
    };
    let selector = builder.or_refuse(selector);
    let stages = config.stages.unwrap_or_default();
    let drop = match config.action.as_deref() {
        None | Some("" | "keep") => false,
        Some("drop") => true,
        Some(other) => {
            builder.refuse(ConfigError::at(path, "action", format!("must be keep or drop, not \"{other}\"")));
            false
        }
    };
    if !drop && stages.is_empty() {
        return Err(ConfigError::at(path, "stages", "at least one stage is required where entries are kept"));
    }
    if drop && !stages.is_empty() {
        return Err(ConfigError::at(path, "stages", "there can be no stages where entries are dropped"));
    }
    let action = if drop {
        let reason = config.drop_counter_reason.filter(|r| !r.is_empty()).unwrap_or_else(|| "match_stage".to_owned());
        Action::Drop(reason.as_str().into(), builder.dropped(&reason))
    } else {
        Action::Keep
    };
    // What is nested is looked at also where there is no telling for whom it is.
    let at = selector.map(|selector| builder.push(path, Box::new(Match { selector, action })));
    build_list(&stages, &nested, depth + 1, builder);
    at.into_iter().for_each(|at| builder.jump_here(at));
    Ok(())
}

impl Stage for Match {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        if !self.selector.is_match(&entry.labels, &entry.line) {
            return Verdict::Skip;
        }
        match &self.action {
            Action::Keep => {
                entry.extracted.copy_labels(&entry.labels);
                Verdict::Keep
            }
            Action::Drop(reason, dropped) => {
                dropped.inc();
                Verdict::Drop(reason.clone())
            }
        }
    }
}
