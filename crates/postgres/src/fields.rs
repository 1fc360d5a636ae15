//! Names and values to choose from: of the newest records in a time, as the embedded engine takes those of its newest chunks.

use crate::failure::Failure;
use crate::search::Search;
use std::collections::HashMap;
use store::{Condition, Query, Row, Test, Value, Values, text_of_value};
use wire::Signal;
use wire::field::Fields;
use wire::key::{AnyValue, key_values};

/// Records that are looked at.
const RECORDS: usize = 5000;
/// Different names or values that are counted.
const MOST: usize = 10_000;
/// The longest that is shown.
const LONGEST: usize = 256;

/// Names, or with a key its values.
pub(crate) fn list(search: &Search<'_>, query: &Query, key: Option<&str>) -> Result<Values, Failure> {
    // Conditions but services count for nothing.
    let is_service = |condition: &&Condition| matches!(condition.test, Test::Service(_));
    let conditions = query.conditions.iter().filter(is_service).cloned().collect();
    let query = Query { conditions, limit: RECORDS, after: None, ..query.clone() };
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    let found = search.run(&query, &mut |row| {
        attributes(query.signal, &row, |name, value| match key {
            None => add(&mut counts, name),
            Some(key) if key.as_bytes() == name => add(&mut counts, text_of_value(value).as_bytes()),
            Some(_) => {}
        });
        true
    })?;
    let shown = |(text, records): (Vec<u8>, u64)| {
        let text = String::from_utf8_lossy(&text).into_owned();
        Value { text, records }
    };
    let mut values: Vec<Value> = counts.into_iter().map(shown).collect();
    values.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.text.cmp(&b.text)));
    Ok(Values { values, is_complete: found.is_complete })
}

fn add(counts: &mut HashMap<Vec<u8>, u64>, text: &[u8]) {
    if text.len() > LONGEST {
        return;
    }
    if let Some(there) = counts.get_mut(text) {
        *there += 1;
    } else if counts.len() < MOST {
        counts.insert(text.to_vec(), 1);
    }
}

/// Shows the attributes of a record, its resource and its scope.
fn attributes(signal: Signal, row: &Row, mut each: impl FnMut(&[u8], AnyValue<'_>)) {
    for (header, number) in [(&row.resource, 1), (&row.scope, 3)] {
        let messages = Fields::new(header).map_while(Result::ok).filter(|field| field.number == 1);
        for message in messages.filter_map(|field| field.bytes()) {
            key_values(message, number).for_each(|(key, value)| each(key, value));
        }
    }
    let number = if signal == Signal::Logs { 6 } else { 9 };
    key_values(&row.record, number).for_each(|(key, value)| each(key, value));
}
