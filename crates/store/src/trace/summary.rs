//! What is known of a trace: when it ran, where it began, which services took part, how many spans, how many of them failed.
//!
//! Two summaries of one trace are joined by minimum, maximum, sum and union, so the order in which spans arrive and where they are
//! divided makes no difference, and a status only ever becomes worse.

use foldhash::HashMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::field::{Fields, Value};
use wire::key::span_head;

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
    pub services: BTreeSet<Arc<[u8]>>,
}

impl Summary {
    /// Of one span of a service, and the id of its trace. None if it has none.
    pub fn of_span(span: &[u8], service: &Arc<[u8]>, names: &mut Names) -> Option<([u8; 16], Summary)> {
        let head = span_head(span);
        let trace: [u8; 16] = head.trace_id.try_into().ok().filter(|id| *id != [0; 16])?;
        let (mut has_parent, mut name) = (false, &[][..]);
        for field in Fields::new(span).map_while(Result::ok) {
            match (field.number, field.value) {
                (4, Value::Len(id)) => has_parent = !id.is_empty(),
                (5, Value::Len(text)) => name = text,
                _ => {}
            }
        }
        let (start, end) = (head.start, head.end.max(head.start));
        let name = names.get(&name[..name.len().min(LONGEST_NAME)]);
        let status = u8::try_from(head.status_code.clamp(0, 2)).unwrap_or_default();
        let head = Head { has_parent, start, service: service.clone(), name };
        let services = BTreeSet::from([service.clone()]);
        Some((trace, Summary { start, end, spans: 1, errors: u64::from(status == 2), status, head, services }))
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
        for service in &other.services {
            if !self.services.contains(service) {
                self.services.insert(service.clone());
            }
        }
        while self.services.len() > MOST_SERVICES {
            self.services.pop_last();
        }
    }
}

/// Names that many spans share.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<Box<[u8]>, Arc<[u8]>>);

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
        self.0.insert(name.into(), new.clone());
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
    /// Takes a span of a request in, unless it is on disk.
    pub fn add(&mut self, span: &[u8], service: &Arc<[u8]>, request: u64) {
        if request <= self.through {
            return;
        }
        let growing = &mut self.growing;
        if growing.first == 0 {
            growing.first = request;
        }
        growing.last = growing.last.max(request);
        let Some((trace, summary)) = Summary::of_span(span, service, &mut self.names) else { return };
        match growing.traces.get_mut(&trace) {
            Some(there) => there.join(&summary),
            None => drop(growing.traces.insert(trace, summary)),
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
    use wire::build::{MessageWriter, Span};

    fn span(seed: u64) -> (Vec<u8>, Arc<[u8]>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let parent = [7; 8];
        let start = random.u64(0..20);
        let mut request = MessageWriter::new();
        request.resource_entry(&[], "", |scope| {
            scope.span(&Span {
                trace_id: &[1; 16],
                span_id: &[2; 8],
                parent_span_id: if random.u8(0..3) > 0 { &parent } else { &[] },
                name: ["a", "b"][random.usize(0..2)],
                start,
                end: random.u64(0..30),
                status_code: random.u32(0..3),
                ..Span::default()
            });
        });
        let mut index = wire::Index::new();
        index.build(wire::Signal::Traces, request.as_slice()).expect("sound");
        let span = index.records(request.as_slice()).next().expect("a span").bytes().to_vec();
        (span, Arc::from(random.u8(0..50).to_string().as_bytes()))
    }

    proptest! {
        /// Scenario: spans of one trace in any order, joined one by one, or in two parts that are joined in the end.
        /// Guarantee: the summary is the same.
        #[test]
        fn order_makes_no_difference(seeds in proptest::collection::vec(any::<u64>(), 1..60), cut in 0usize..60) {
            let mut names = Names::default();
            let mut all: Vec<Summary> = seeds.iter().map(|seed| {
                let (span, service) = span(*seed);
                Summary::of_span(&span, &service, &mut names).expect("a trace id").1
            }).collect();
            let join = |parts: &[Summary]| {
                let mut parts = parts.iter();
                let mut first = parts.next()?.clone();
                parts.for_each(|part| first.join(part));
                Some(first)
            };
            let forward = join(&all);
            let cut = cut.min(all.len());
            let halves: Vec<Summary> = [join(&all[cut..]), join(&all[..cut])].into_iter().flatten().collect();
            prop_assert_eq!(&join(&halves), &forward);
            all.reverse();
            prop_assert_eq!(join(&all), forward);
        }
    }
}
