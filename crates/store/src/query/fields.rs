//! Names and values to choose from while a query is written: taken from the newest chunks, so they cost little and are what is there now.

use super::condition::Query;
use super::plan::Plan;
use crate::chunk::columns::{Cell, Cursor, Hot, Kind, Rest};
use crate::chunk::parse::rendered;
use crate::chunk::write::header_pairs;
use crate::codec::Damaged;
use crate::engine::Until;
use crate::store::Store;
use crate::text::lossy;
use foldhash::HashMap;
use wire::key::AnyValue;

/// Chunks that are looked at.
const CHUNKS: usize = 48;
/// Different values that are counted.
const MOST_VALUES: usize = 10_000;
/// The longest value that is shown.
const LONGEST: usize = 256;

/// A name or value with how often it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As it is written in a query.
    pub text: String,
    /// Records with it among those that were looked at.
    pub records: u64,
}

/// Names or values to choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The most frequent first.
    pub values: Vec<Value>,
    /// Whether all was looked at that had to be.
    pub is_complete: bool,
}

impl Store {
    /// The names of attributes of the newest chunks in the time of a question, most frequent first. Its conditions count for nothing but
    /// services.
    pub fn fields(&self, query: &Query) -> Vec<Value> {
        self.list_fields(query, &|| false).values
    }

    /// The same, ended early by `until`, as in [`Store::search`].
    pub(crate) fn list_fields(&self, query: &Query, until: Until<'_>) -> Values {
        let mut counts = HashMap::default();
        let is_complete = self.newest(query, until, |hot, rest| {
            let rows = by_origin(hot, rest);
            for (number, header) in [(1, &rest.resources), (3, &rest.scopes)] {
                for (at, header) in header.iter().enumerate() {
                    for (key, _) in header_pairs(header, number) {
                        let count = if number == 1 { rows.0.get(at) } else { rows.1.get(at) };
                        add(&mut counts, key, count.copied().unwrap_or_default());
                    }
                }
            }
            let shapes = by_shape(hot);
            for (slot, its) in hot.slots.iter().enumerate().filter(|(_, slot)| slot.kind.is_attribute()) {
                let has = |slots: &[u16]| slots.contains(&(slot as u16));
                let with = hot.shape_slots.iter().zip(&shapes).filter(|(slots, _)| has(slots));
                add(&mut counts, &its.key, with.map(|(_, count)| count).sum());
            }
            Ok(())
        });
        Values { values: sorted(counts), is_complete }
    }

    /// The values of an attribute in the newest chunks in the time of a question, most frequent first, up to a number of them.
    pub fn values(&self, query: &Query, key: &str, most: usize) -> Vec<Value> {
        self.list_values(query, key, most, &|| false).values
    }

    /// The same, ended early by `until`, as in [`Store::search`].
    pub(crate) fn list_values(&self, query: &Query, key: &str, most: usize, until: Until<'_>) -> Values {
        if key == "service" || key == "service.name" {
            let tally = self.tally(query, super::tally::Buckets::ONE, until);
            let counts = tally.services.into_iter().map(|(name, count)| (name.into_bytes(), count)).collect();
            let values = sorted(counts).into_iter().take(most).collect();
            return Values { values, is_complete: tally.is_complete };
        }
        let mut counts = HashMap::default();
        let is_complete = self.newest(query, until, |hot, rest| {
            let rows = by_origin(hot, rest);
            for (number, headers) in [(1, &rest.resources), (3, &rest.scopes)] {
                for (at, header) in headers.iter().enumerate() {
                    for (_, value) in header_pairs(header, number).filter(|(name, _)| *name == key.as_bytes()) {
                        let count = if number == 1 { rows.0.get(at) } else { rows.1.get(at) };
                        add(&mut counts, rendered(value).as_bytes(), count.copied().unwrap_or_default());
                    }
                }
            }
            for (slot, column) in hot.slots.iter().zip(&rest.columns) {
                if !slot.kind.is_attribute() || *slot.key != *key.as_bytes() {
                    continue;
                }
                let mut cursor = Cursor::default();
                while let Some(cell) = cursor.next(slot.kind.layout(), column) {
                    match (slot.kind, cell) {
                        (Kind::AttributeText, Cell::Bytes(text)) => add(&mut counts, text, 1),
                        (kind, cell) => add(&mut counts, text_of(kind, cell).as_bytes(), 1),
                    }
                }
            }
            Ok(())
        });
        Values { values: sorted(counts).into_iter().take(most).collect(), is_complete }
    }

    /// Shows the newest chunks. Whether it was not ended early.
    fn newest(
        &self,
        query: &Query,
        until: Until<'_>,
        mut each: impl FnMut(&Hot, &Rest) -> Result<(), Damaged>,
    ) -> bool {
        let plan = Plan::new(query);
        let (mut candidates, _) = self.candidates(&query.tenant, query.signal, |known| plan.wants(known));
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.max_time));
        for candidate in candidates.iter().take(CHUNKS) {
            if until() {
                return false;
            }
            let view = candidate.view();
            // What cannot be read has no names to offer.
            let _ = view.hot().and_then(|hot| each(hot, view.rest()?));
        }
        true
    }
}

fn text_of(kind: Kind, cell: Cell<'_>) -> String {
    match (kind, cell) {
        (Kind::AttributeInt, Cell::Number(number)) => (number as i64).to_string(),
        (Kind::AttributeBool, Cell::Number(number)) => (number != 0).to_string(),
        (Kind::AttributeDouble, Cell::Bytes(bits)) => {
            rendered(AnyValue::Double(f64::from_le_bytes(bits.try_into().unwrap_or_default())))
        }
        (_, Cell::Bytes(value)) => rendered(AnyValue::read(value)),
        (_, Cell::Number(number)) => number.to_string(),
    }
}

/// How many records have each resource, and each scope.
fn by_origin(hot: &Hot, rest: &Rest) -> (Vec<u64>, Vec<u64>) {
    let (mut resources, mut scopes) = (vec![0; rest.resources.len()], vec![0; rest.scopes.len()]);
    for origin in &hot.origins {
        let Some((resource, scope)) = rest.origins.get(usize::from(*origin)) else { continue };
        resources.get_mut(usize::from(*resource)).into_iter().for_each(|count| *count += 1);
        scopes.get_mut(usize::from(*scope)).into_iter().for_each(|count| *count += 1);
    }
    (resources, scopes)
}

/// How many records have each shape.
fn by_shape(hot: &Hot) -> Vec<u64> {
    let mut counts = vec![0; hot.shape_slots.len()];
    for shape in &hot.shapes {
        counts.get_mut(usize::from(*shape)).into_iter().for_each(|count| *count += 1);
    }
    counts
}

fn add(counts: &mut HashMap<Vec<u8>, u64>, text: &[u8], count: u64) {
    if text.len() > LONGEST || count == 0 {
        return;
    }
    if let Some(there) = counts.get_mut(text) {
        *there += count;
    } else if counts.len() < MOST_VALUES {
        counts.insert(text.to_vec(), count);
    }
}

fn sorted(counts: HashMap<Vec<u8>, u64>) -> Vec<Value> {
    let texts = counts.into_iter().map(|(text, records)| Value { text: lossy(&text).into_owned(), records });
    let mut values: Vec<Value> = texts.collect();
    values.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.text.cmp(&b.text)));
    values
}
