//! What all parsers have in common: where they read, where they put it, and what they take from it at once.

use super::severity::Severity;
use super::time::Time;
use super::trace::Trace;
use crate::field::{Field, Root};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::{Map, Value};

/// See the module.
pub struct Parser {
    pub from: Field,
    pub to: Field,
    timestamp: Option<Time>,
    severity: Option<Severity>,
    trace: Option<Trace>,
    scope: Option<Field>,
}

impl Parser {
    pub fn new(keys: &Keys<'_>) -> Option<Parser> {
        let (from, to) = (keys.field("parse_from"), keys.field("parse_to"));
        let nested = |key| {
            let block = keys.block(key);
            (block.is_some(), block)
        };
        let (has_time, block) = nested("timestamp");
        let timestamp = block.and_then(|block| done(block, Time::new));
        let (has_severity, block) = nested("severity");
        let severity = block.and_then(|block| done(block, Severity::new));
        let trace = keys.block("trace").and_then(|block| done(block, |keys| Some(Trace::new(keys))));
        let scope = keys.block("scope_name").and_then(|block| done(block, |keys| keys.required_field("parse_from")));
        if has_time != timestamp.is_some() || has_severity != severity.is_some() {
            return None;
        }
        let (from, to) = (from.unwrap_or(Field::of(Root::Body)), to.unwrap_or(Field::of(Root::Attributes)));
        Some(Parser { from, to, timestamp, severity, trace, scope })
    }

    /// Reads, puts there, and takes the time and so on from the record as it is then.
    pub fn apply(
        &self,
        record: &mut Record,
        read: impl FnOnce(&Value, &Record) -> Result<Map, String>,
    ) -> Result<(), String> {
        let value = record.get(&self.from).ok_or_else(|| missing(&self.from))?;
        let map = read(value, record)?;
        record.set(&self.to, Value::Map(map))?;
        // All of them are tried; the first that fails is told.
        let mut results = [Ok(()), Ok(()), Ok(()), Ok(())];
        if let Some(timestamp) = &self.timestamp {
            results[0] = timestamp.apply(record);
        }
        if let Some(severity) = &self.severity {
            results[1] = severity.apply(record);
        }
        if let Some(trace) = &self.trace {
            results[2] = trace.apply(record);
        }
        if let Some(scope) = &self.scope {
            results[3] = match record.get(scope).and_then(Value::text) {
                Some(text) => {
                    record.scope = text.to_owned();
                    Ok(())
                }
                None => Err(missing(scope)),
            };
        }
        results.into_iter().collect()
    }
}

/// What a block gives, once its keys were looked at.
fn done<V>(block: Keys<'_>, read: impl FnOnce(&Keys<'_>) -> Option<V>) -> Option<V> {
    // What could not be read has not asked for all of its keys.
    let value = read(&block)?;
    block.done();
    Some(value)
}

/// What is said of a field that is not there.
pub fn missing(field: &Field) -> String {
    format!("the record has no `{field}`")
}

/// The text of a value.
pub fn text(value: &Value) -> Result<&str, String> {
    value.text().ok_or_else(|| format!("{} cannot be parsed: only text can", value.noun()))
}
