//! The naive store: a list of records, and every question answered by looking at each of them.

use super::shop::Flat;
use crate::query::{Buckets, Condition, Cursor, Order, Query, Test};
use crate::store::{Appended, Store};
use std::collections::BTreeMap;
use wire::Signal;
use wire::key::{AnyValue, key_values};

/// A record with what is asked of it, read in the plainest way.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub tenant: String,
    pub signal: Signal,
    pub cursor: Cursor,
    pub severity: u8,
    pub text: String,
    pub trace: Vec<u8>,
    pub span: Vec<u8>,
    pub attributes: Vec<(String, String)>,
    pub flat: Flat,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Model {
    pub records: Vec<Known>,
    requests: u64,
}

fn plain(value: AnyValue<'_>) -> String {
    match value {
        AnyValue::Str(text) => String::from_utf8(text.to_vec()).expect("text"),
        AnyValue::Int(number) => number.to_string(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Double(value) => value.to_string(),
        other => panic!("the shop has no {other:?}"),
    }
}

/// The attributes in field `number` of the message in field 1 of a header.
fn header_attributes(header: &[u8], number: u32) -> Vec<(String, String)> {
    let message = wire::key::last_text(header, 1);
    key_values(message, number).map(|(key, value)| (plain(AnyValue::Str(key)), plain(value))).collect()
}

fn fixed64(record: &[u8], number: u32) -> u64 {
    let fields = wire::field::Fields::new(record).map(|field| field.expect("sound"));
    fields.filter(|field| field.number == number).filter_map(|field| field.fixed64()).last().unwrap_or_default()
}

fn first_nonzero(times: [u64; 3]) -> u64 {
    times.into_iter().find(|time| *time != 0).unwrap_or_default()
}

impl Known {
    fn read(tenant: &str, signal: Signal, (request, record): (u64, u32), flat: Flat, now: u64) -> Known {
        let bytes = &flat.record;
        let mut attributes = header_attributes(&flat.resource, 1);
        attributes.extend(header_attributes(&flat.scope, 3));
        let number = if signal == Signal::Logs { 6 } else { 9 };
        attributes.extend(key_values(bytes, number).map(|(key, value)| (plain(AnyValue::Str(key)), plain(value))));
        let id = |number| wire::key::last_text(bytes, number).to_vec();
        let (time, severity, text, trace, span) = match signal {
            Signal::Logs => {
                let severity = wire::key::severity(bytes);
                let level = match severity.text {
                    b"INFO" => 9,
                    b"Error" => 17,
                    _ => 0,
                };
                (
                    first_nonzero([fixed64(bytes, 1), fixed64(bytes, 11), now]),
                    if severity.number == 0 { level } else { severity.number as u8 },
                    plain(AnyValue::read(wire::key::last_text(bytes, 5))),
                    id(9),
                    id(10),
                )
            }
            _ => {
                let failed = wire::key::span_head(bytes).is_error();
                let text = plain(AnyValue::Str(wire::key::last_text(bytes, 5)));
                (fixed64(bytes, 7), if failed { 17 } else { 0 }, text, id(1), id(2))
            }
        };
        let cursor = Cursor { time, request, record };
        Known { tenant: tenant.to_owned(), signal, cursor, severity, text, trace, span, attributes, flat }
    }

    fn passes(&self, condition: &Condition) -> bool {
        let has = |key: &str, holds: &dyn Fn(&str) -> bool| {
            self.attributes.iter().any(|(name, value)| name == key && holds(value))
        };
        let passes = match &condition.test {
            Test::Service(names) => names.contains(&self.flat.service),
            Test::Severity { min, max } => *min <= self.severity && self.severity <= *max,
            Test::Phrase(phrase) => has_phrase(&self.text, phrase),
            Test::Substring(text) => self.text.contains(text),
            Test::Trace(id) => self.trace == id,
            Test::Span(id) => self.span == id,
            Test::Attribute { key, value } => has(key, &|there| there == value),
            Test::Exists { key } => has(key, &|_| true),
            Test::Number { key, comparison, number } => {
                has(key, &|there| there.parse().is_ok_and(|there| comparison.holds(there, *number)))
            }
        };
        passes != condition.not
    }
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    let (text, phrase) = (text.to_lowercase(), phrase.to_lowercase());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let joins = |left: Option<char>, right: Option<char>| left.is_some_and(is_word) && right.is_some_and(is_word);
    (0..text.len()).filter(|at| text.is_char_boundary(*at) && text[*at..].starts_with(&phrase)).any(|at| {
        let (before, after) = (&text[..at], &text[at + phrase.len()..]);
        !joins(before.chars().last(), phrase.chars().next()) && !joins(phrase.chars().last(), after.chars().next())
    })
}

impl Model {
    /// Puts a request into a store and, if it takes it, in here.
    pub fn append(&mut self, store: &Store, tenant: &str, signal: Signal, request: &[u8], now: u64) {
        let appended = store.append(tenant, signal, request, 0, now).expect("it is taken");
        assert!(matches!(appended, Appended::Stored(_)));
        self.requests += 1;
        for (at, flat) in super::shop::records(signal, request).into_iter().enumerate() {
            self.records.push(Known::read(tenant, signal, (self.requests, at as u32), flat, now));
        }
    }

    /// What matches, in the order of the question, without the limit.
    pub fn matching(&self, query: &Query) -> Vec<&Known> {
        let mut found: Vec<&Known> = self
            .records
            .iter()
            .filter(|known| known.tenant == query.tenant && known.signal == query.signal)
            .filter(|known| query.start <= known.cursor.time && known.cursor.time < query.end)
            .filter(|known| {
                let is_newest_first = query.order == Order::NewestFirst;
                query.after.is_none_or(|after| known.cursor != after && (known.cursor < after) == is_newest_first)
            })
            .filter(|known| query.conditions.iter().all(|condition| known.passes(condition)))
            .collect();
        found.sort_by_key(|known| std::cmp::Reverse(known.cursor));
        if query.order == Order::OldestFirst {
            found.reverse();
        }
        found
    }

    /// Counts of what matches by bucket and class, and by service.
    pub fn tally(&self, query: &Query, buckets: Buckets) -> (Vec<[u64; 7]>, BTreeMap<String, u64>) {
        let (mut cells, mut services) = (vec![[0; 7]; buckets.count], BTreeMap::new());
        for known in self.matching(&Query { after: None, ..query.clone() }) {
            *services.entry(known.flat.service.clone()).or_default() += 1;
            if known.cursor.time >= buckets.start {
                let bucket = (known.cursor.time - buckets.start) / buckets.width;
                let class = usize::from(known.severity).div_ceil(4);
                if bucket < buckets.count as u64 {
                    cells[bucket as usize][class] += 1;
                }
            }
        }
        (cells, services)
    }
}
