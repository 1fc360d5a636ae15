//! What is known of a trace: when it ran, where it began, which services took part, how many spans, how many of them failed.
//!
//! Two summaries of one trace are joined by minimum, maximum, sum and union, so the order in which spans arrive and where they are
//! divided makes no difference, and a status only ever becomes worse.

use foldhash::{HashMap, HashSet};
use std::sync::Arc;

/// Services of a trace that are kept: of more the first by name.
const MOST_SERVICES: usize = 32;
/// The longest name of an operation; what is longer is cut.
const LONGEST_NAME: usize = 256;

/// The span that stands for a trace: the root, or the earliest there is. Less is better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head {
    pub has_parent: bool,
    pub start: u64,
    pub service: Arc<[u8]>,
    pub name: Arc<[u8]>,
}

/// What a summary takes of a span.
pub(crate) struct SpanFacts<'a> {
    pub start: u64,
    pub end: u64,
    pub status: u8,
    pub has_parent: bool,
    pub name: &'a [u8],
    pub service: &'a Arc<[u8]>,
}

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub start: u64,
    pub end: u64,
    pub spans: u64,
    pub errors: u64,
    /// 0 unset, 1 ok, 2 error.
    pub status: u8,
    pub head: Head,
    /// In order, each once.
    pub services: Vec<Arc<[u8]>>,
}

impl Summary {
    /// Of one span.
    pub fn of_span(span: &SpanFacts<'_>, names: &mut Names) -> Summary {
        let &SpanFacts { start, end, status, has_parent, name, service } = span;
        let name = names.get(&name[..name.len().min(LONGEST_NAME)]);
        let head = Head { has_parent, start, service: service.clone(), name };
        let (errors, services) = (u64::from(status == 2), vec![service.clone()]);
        Summary { start, end: end.max(start), spans: 1, errors, status, head, services }
    }

    /// Takes a span in.
    pub fn add(&mut self, span: &SpanFacts<'_>, names: &mut Names) {
        let its = (span.has_parent, span.start, &**span.service, &span.name[..span.name.len().min(LONGEST_NAME)]);
        if its < (self.head.has_parent, self.head.start, &*self.head.service, &*self.head.name) {
            self.head = Summary::of_span(span, names).head;
        }
        self.start = self.start.min(span.start);
        self.end = self.end.max(span.end.max(span.start));
        self.spans = self.spans.saturating_add(1);
        self.errors = self.errors.saturating_add(u64::from(span.status == 2));
        self.status = self.status.max(span.status);
        self.add_service(span.service);
    }

    /// Takes another summary of the same trace in.
    pub fn join(&mut self, other: &Summary) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.spans = self.spans.saturating_add(other.spans);
        self.errors = self.errors.saturating_add(other.errors);
        self.status = self.status.max(other.status);
        if other.head < self.head {
            self.head = other.head.clone();
        }
        other.services.iter().for_each(|service| self.add_service(service));
    }

    fn add_service(&mut self, service: &Arc<[u8]>) {
        if let Err(place) = self.services.binary_search(service) {
            self.services.insert(place, service.clone());
            self.services.truncate(MOST_SERVICES);
        }
    }
}

/// Names that many spans share.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<Arc<[u8]>>);

impl Names {
    /// More names than this are not kept.
    const MOST: usize = 10_000;

    pub fn get(&mut self, name: &[u8]) -> Arc<[u8]> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        let new: Arc<[u8]> = name.into();
        self.0.insert(new.clone());
        new
    }
}

/// Traces of some requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    pub traces: HashMap<[u8; 16], Summary>,
    /// The first request of which it has spans.
    pub first: u64,
    /// The last request before the next generation began.
    pub last: u64,
}

/// Summaries of a tenant that are not on disk yet: those that grow, and those that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Summaries {
    growing: Generation,
    leaving: Option<Arc<Generation>>,
    names: Names,
    /// Requests up to this one are on disk.
    through: u64,
}

impl Summaries {
    /// Takes a span of a trace and a request in, unless it is on disk.
    pub fn add(&mut self, trace: &[u8; 16], span: &SpanFacts<'_>, request: u64) {
        if request <= self.through {
            return;
        }
        let Summaries { growing, names, .. } = self;
        if growing.first == 0 {
            growing.first = request;
        }
        growing.last = growing.last.max(request);
        if *trace == [0; 16] {
            return;
        }
        match growing.traces.get_mut(trace) {
            Some(there) => there.add(span, names),
            None => drop(growing.traces.insert(*trace, Summary::of_span(span, names))),
        }
    }

    /// Up to which request they are on disk.
    pub fn set_through(&mut self, through: u64) {
        self.through = self.through.max(through);
    }

    /// The first request of which something is not on disk.
    pub fn first(&self) -> Option<u64> {
        let growing = Some(self.growing.first).filter(|first| *first > 0);
        self.leaving.as_ref().map(|leaving| leaving.first).or(growing)
    }

    /// How many traces grow.
    pub fn len(&self) -> usize {
        self.growing.traces.len()
    }

    /// What is to be written next: what could not be written before, or all that grows.
    pub fn leave(&mut self) -> Option<Arc<Generation>> {
        if self.leaving.is_none() && self.growing.first > 0 {
            self.leaving = Some(Arc::new(std::mem::take(&mut self.growing)));
        }
        self.leaving.clone()
    }

    /// What was to be written is on disk.
    pub fn written(&mut self) {
        if let Some(written) = self.leaving.take() {
            self.set_through(written.last);
        }
    }

    /// Shows all.
    pub fn each(&self, mut each: impl FnMut(&[u8; 16], &Summary)) {
        let leaving = self.leaving.iter().flat_map(|leaving| &leaving.traces);
        leaving.chain(&self.growing.traces).for_each(|(id, trace)| each(id, trace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Facts = (u64, u64, u8, bool, Vec<u8>, Arc<[u8]>);

    fn facts() -> impl Strategy<Value = Facts> {
        let name = prop_oneof![Just(b"a".to_vec()), Just(b"b".to_vec()), Just(vec![b'x'; 300])];
        let service = (0..50u8).prop_map(|number| Arc::from(number.to_string().as_bytes()));
        (0..20u64, 0..30u64, 0..3u8, any::<bool>(), name, service)
    }

    fn span(facts: &Facts) -> SpanFacts<'_> {
        let (start, end, status, has_parent, name, service) = facts;
        SpanFacts { start: *start, end: *end, status: *status, has_parent: *has_parent, name, service }
    }

    proptest! {
        /// Scenario: spans of one trace in any order, taken in one by one, or in two parts that are joined in the end.
        /// Guarantee: the summary is the same.
        #[test]
        fn order_makes_no_difference(mut all in proptest::collection::vec(facts(), 1..60), cut in 0usize..60) {
            let mut names = Names::default();
            let mut of = |spans: &[Facts]| {
                let mut spans = spans.iter();
                let mut summary = Summary::of_span(&span(spans.next()?), &mut names);
                spans.for_each(|facts| summary.add(&span(facts), &mut names));
                Some(summary)
            };
            let forward = of(&all).expect("a span");
            let cut = cut.min(all.len());
            let mut halves = [of(&all[cut..]), of(&all[..cut])].into_iter().flatten();
            let mut joined = halves.next().expect("a span");
            halves.for_each(|half| joined.join(&half));
            prop_assert_eq!(&joined, &forward);
            all.reverse();
            prop_assert_eq!(of(&all).expect("a span"), forward);
        }
    }
}
