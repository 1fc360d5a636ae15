//! What a question is to a chunk: conditions sorted by what has to be read for them, cheapest first, and what filters can be asked.

use super::condition::{Comparison, Condition, Cursor, Order, Query, Test};
use super::source::{Candidate, Filter, Known};
use crate::chunk::bloom::{any_hash, trace_hash, value_hash, word_hash};
use crate::chunk::entry::class_of;
use crate::text::{fold, words};
use memchr::memmem::Finder;

/// A test of the text.
pub(crate) struct TextTest {
    pub not: bool,
    /// Whether it is a phrase, in folded text; else bytes as they are.
    pub is_phrase: bool,
    pub finder: Finder<'static>,
}

/// A test of attributes of one name.
pub(crate) struct AttributeTest {
    pub not: bool,
    pub key: Vec<u8>,
    pub value: ValueTest,
}

/// A test of the value of an attribute.
pub(crate) enum ValueTest {
    Any,
    Text(Vec<u8>),
    Number(Comparison, f64),
}

/// See the module.
pub(crate) struct Plan {
    pub start: u64,
    pub end: u64,
    pub after: Option<Cursor>,
    pub order: Order,
    services: Vec<(bool, Vec<Vec<u8>>)>,
    /// Which severities match, by number.
    pub severities: [bool; 256],
    pub traces: Vec<(bool, [u8; 16])>,
    pub spans: Vec<(bool, [u8; 8])>,
    pub texts: Vec<TextTest>,
    pub attributes: Vec<AttributeTest>,
    /// Each must be in the filter.
    words: Vec<u64>,
    /// One of each pair must be in the filter.
    values: Vec<[u64; 2]>,
    trace_hashes: Vec<u64>,
}

impl Plan {
    pub fn new(query: &Query) -> Self {
        let mut plan = Plan {
            start: query.start,
            end: query.end,
            after: query.after,
            order: query.order,
            services: vec![],
            severities: [true; 256],
            traces: vec![],
            spans: vec![],
            texts: vec![],
            attributes: vec![],
            words: vec![],
            values: vec![],
            trace_hashes: vec![],
        };
        query.conditions.iter().for_each(|condition| plan.add(condition));
        // What must be there is looked for first: it leaves less.
        plan.texts.sort_by_key(|test| test.not);
        plan.attributes.sort_by_key(|test| test.not);
        plan
    }

    fn add(&mut self, Condition { not, test }: &Condition) {
        let not = *not;
        match test {
            Test::Service(names) => {
                self.services.push((not, names.iter().map(|name| name.as_bytes().to_vec()).collect()));
            }
            Test::Severity { min, max } => {
                for (severity, matches) in self.severities.iter_mut().enumerate() {
                    *matches &= (usize::from(*min)..=usize::from(*max)).contains(&severity) != not;
                }
            }
            Test::Phrase(phrase) => {
                let folded = fold(phrase.as_bytes());
                if !not {
                    words(&folded, |word| self.words.push(word_hash(word)));
                }
                let finder = Finder::new(&folded).into_owned();
                self.texts.push(TextTest { not, is_phrase: true, finder });
            }
            Test::Substring(text) => {
                let finder = Finder::new(text.as_bytes()).into_owned();
                self.texts.push(TextTest { not, is_phrase: false, finder });
            }
            Test::Trace(id) => {
                if !not {
                    self.trace_hashes.push(trace_hash(id));
                }
                self.traces.push((not, *id));
            }
            Test::Span(id) => self.spans.push((not, *id)),
            Test::Attribute { key, value } => {
                let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
                if !not {
                    self.values.push([value_hash(&key, &value), any_hash(&key)]);
                }
                self.attributes.push(AttributeTest { not, key, value: ValueTest::Text(value) });
            }
            Test::Exists { key } => {
                let key = key.as_bytes().to_vec();
                self.attributes.push(AttributeTest { not, key, value: ValueTest::Any });
            }
            Test::Number { key, comparison, number } => {
                let value = ValueTest::Number(*comparison, *number);
                self.attributes.push(AttributeTest { not, key: key.as_bytes().to_vec(), value });
            }
        }
    }

    /// Whether a chunk may have what is asked for, by what the index knows.
    pub fn wants(&self, known: &Known<'_>) -> bool {
        let is_in_time = known.max_time >= self.start
            && known.min_time < self.end
            && self.after.is_none_or(|after| match self.order {
                Order::NewestFirst => known.min_time <= after.time,
                Order::OldestFirst => known.max_time >= after.time,
            });
        is_in_time && self.services.iter().all(|(not, names)| names.iter().any(|name| *name == known.service) != *not)
    }

    /// Whether a place is one after which nothing was asked for, or comes after that.
    pub fn is_after(&self, place: Cursor) -> bool {
        self.after.is_none_or(|after| match self.order {
            Order::NewestFirst => place < after,
            Order::OldestFirst => place > after,
        })
    }

    /// Whether a chunk may have it, by its filters and severities.
    pub fn may_match(&self, candidate: &Candidate) -> bool {
        self.may_have_severity(candidate)
            && !self.trace_hashes.iter().any(|hash| candidate.has_not(Filter::Traces, *hash))
            && !self.words.iter().any(|hash| candidate.has_not(Filter::Words, *hash))
            && !self.values.iter().any(|pair| pair.iter().all(|hash| candidate.has_not(Filter::Words, *hash)))
    }

    fn may_have_severity(&self, candidate: &Candidate) -> bool {
        if self.severities.iter().all(|matches| *matches) {
            return true;
        }
        let classes = candidate.classes();
        // No record has one above 24.
        (0..=24).any(|severity: usize| self.severities[severity] && classes & 1 << class_of(severity as u8) != 0)
    }

    /// Whether all records of a class match or none does, and nothing else is asked of a record: then counts of the index answer it.
    pub fn counts_by_class(&self) -> Option<[bool; 7]> {
        let asks_more = self.after.is_some()
            || !self.traces.is_empty()
            || !self.spans.is_empty()
            || !self.texts.is_empty()
            || !self.attributes.is_empty();
        let mut classes = [None; 7];
        for severity in 0..=24 {
            let class = &mut classes[class_of(severity)];
            let matches = self.severities[usize::from(severity)];
            if asks_more || class.is_some_and(|known| known != matches) {
                return None;
            }
            *class = Some(matches);
        }
        Some(classes.map(|class| class == Some(true)))
    }

    /// Whether everything in a range of times is asked for.
    pub fn covers(&self, min_time: u64, max_time: u64) -> bool {
        self.start <= min_time && max_time < self.end
    }
}
