//! A question put to one record at a time: what a live tail asks, and an engine that finds records in another way.

use super::condition::{Cursor, Query};
use super::matching::{has_phrase, record_matches, value_matches};
use super::plan::{AttributeTest, Plan};
use super::source::Known;
use crate::chunk::write::header_pairs;
use crate::facts::Facts;
use crate::text::fold;
use wire::Signal;

/// See the module.
pub struct Filter {
    tenant: String,
    signal: Signal,
    plan: Plan,
}

impl Filter {
    /// Of a question, whose limit counts for nothing.
    #[must_use]
    pub fn new(query: &Query) -> Filter {
        Filter { tenant: query.tenant.clone(), signal: query.signal, plan: Plan::new(query) }
    }

    /// Whether it asks for records of this tenant and signal.
    #[must_use]
    pub fn is_about(&self, tenant: &str, signal: Signal) -> bool {
        self.tenant == tenant && self.signal == signal
    }

    /// Of which signal's records.
    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    /// Whether a record matches: just as [`Store::search`](crate::Store::search) would find it. The headers are those of a
    /// [`Row`](crate::Row).
    #[must_use]
    pub fn matches(
        &self,
        cursor: Cursor,
        service: &[u8],
        facts: &Facts,
        (resource, scope, record): (&[u8], &[u8], &[u8]),
    ) -> bool {
        let plan = &self.plan;
        let time = cursor.time;
        plan.wants(&Known { service, min_time: time, max_time: time })
            && plan.is_after(cursor)
            && plan.severities[usize::from(facts.severity)]
            && plan.traces.iter().all(|(not, id)| (facts.trace == *id) != *not)
            && plan.spans.iter().all(|(not, id)| (facts.span == *id) != *not)
            && self.matches_text(&facts.text)
            && plan.attributes.iter().all(|test| self.has(test, resource, scope, record) != test.not)
    }

    fn matches_text(&self, text: &[u8]) -> bool {
        let mut folded = None;
        self.plan.texts.iter().all(|test| {
            let has = match test.is_phrase {
                _ if test.finder.needle().is_empty() => true,
                true => has_phrase(test, folded.get_or_insert_with(|| fold(text))),
                false => test.finder.find(text).is_some(),
            };
            has != test.not
        })
    }

    fn has(&self, test: &AttributeTest, resource: &[u8], scope: &[u8], record: &[u8]) -> bool {
        let in_header = |header, number| {
            header_pairs(header, number).any(|(key, value)| key == test.key && value_matches(&test.value, value))
        };
        let number = if self.signal == Signal::Logs { 6 } else { 9 };
        in_header(resource, 1) || in_header(scope, 3) || record_matches(test, record, number)
    }
}
