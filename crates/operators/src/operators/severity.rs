//! `severity_parser`: a level as it is written becomes a severity number. One that is not known gives none; the text
//! stays in any case.

use super::parser::missing;
use crate::field::Field;
use crate::keys::Keys;
use crate::record::Record;
use crate::value::Value;
use serde_json::Value as Json;
use std::collections::HashMap;

/// See the module.
pub struct Severity {
    from: Field,
    mapping: HashMap<String, u8>,
    overwrites_text: bool,
}

const NAMES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
/// The widest range of a mapping.
const WIDEST: i64 = 100_000;

impl Severity {
    pub fn new(keys: &Keys<'_>) -> Option<Severity> {
        let from = keys.required_field("parse_from");
        let mut mapping = match keys.word("preset", &["default", "none", "otel", "aliases"]) {
            "none" => HashMap::new(),
            "default" => {
                let mut all = numbered();
                let more = |names: [&'static str; 2]| {
                    (0..4u8).map(move |n| {
                        let suffix = if n == 0 { String::new() } else { (n + 1).to_string() };
                        (format!("{}{suffix}", names[0]), level(names[1], n))
                    })
                };
                all.extend(more(["warning", "warn"]).chain(more(["err", "error"])));
                all
            }
            _ => numbered(),
        };
        let known = numbered();
        match keys.value("mapping") {
            Some(Json::Object(own)) => {
                for (name, values) in own {
                    let Some(severity) = known.get(&name.to_ascii_lowercase()) else {
                        keys.wrong("mapping", format!("`{name}` is no severity: there are `trace`, `debug`, `info`, `warn`, `error` and `fatal`, each with 2, 3 or 4 behind it"));
                        continue;
                    };
                    let list = values.as_array().map_or_else(|| vec![values.clone()], Clone::clone);
                    for value in &list {
                        match written(value) {
                            Some(texts) => mapping.extend(texts.into_iter().map(|text| (text, *severity))),
                            None => keys.wrong(
                                "mapping",
                                format!("`{name}`: {value} is no text, number, `2xx` or range `{{min: 1, max: 9}}`"),
                            ),
                        }
                    }
                }
            }
            Some(_) => keys.wrong("mapping", "`mapping` must be a block of keys"),
            None => {}
        }
        let overwrites_text = keys.flag("overwrite_text", false);
        Some(Severity { from: from?, mapping, overwrites_text })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let value = record.get(&self.from).ok_or_else(|| missing(&self.from))?;
        let text = match value {
            Value::Int(n) => n.to_string(),
            Value::Double(n) => n.to_string(),
            other => other.text().map(str::to_owned).ok_or_else(|| format!("{} is no severity", other.noun()))?,
        };
        let found = self.mapping.get(&text).or_else(|| self.mapping.get(&text.to_lowercase())).copied().unwrap_or(0);
        record.severity = found;
        record.severity_text = if self.overwrites_text { name(found) } else { text };
        Ok(())
    }
}

/// The number of a level's `n`-th variant.
fn level(name: &str, n: u8) -> u8 {
    let at = NAMES.iter().position(|known| *known == name).unwrap_or(0);
    at as u8 * 4 + n + 1
}

/// Its name, as the collector writes it.
fn name(severity: u8) -> String {
    let Some(at) = severity.checked_sub(1) else { return "DEFAULT".to_owned() };
    let base = NAMES.get(usize::from(at / 4)).copied().unwrap_or_default().to_ascii_uppercase();
    if at % 4 == 0 { base } else { format!("{base}{}", at % 4 + 1) }
}

/// `trace` to `fatal4`, and their numbers.
fn numbered() -> HashMap<String, u8> {
    let both = |severity: u8| [(name(severity).to_ascii_lowercase(), severity), (severity.to_string(), severity)];
    (1..=24).flat_map(both).collect()
}

/// The texts that a value of a mapping stands for.
fn written(value: &Json) -> Option<Vec<String>> {
    let range = |min: i64, max: i64| {
        let (min, max) = (min.min(max), min.max(max));
        (max.saturating_sub(min) <= WIDEST).then(|| (min..=max).map(|n| n.to_string()).collect())
    };
    match value {
        Json::String(text) => match text.as_str() {
            "2xx" => range(200, 299),
            "3xx" => range(300, 399),
            "4xx" => range(400, 499),
            "5xx" => range(500, 599),
            other => Some(vec![other.to_lowercase()]),
        },
        Json::Number(number) => Some(vec![number.to_string()]),
        Json::Object(map) => range(map.get("min")?.as_i64()?, map.get("max")?.as_i64()?),
        _ => None,
    }
}
