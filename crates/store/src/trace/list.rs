//! The list of traces: summaries from memory and disk, joined, filtered, the latest first.
//!
//! Lists on disk whose times do not touch the time that is asked for are not read. All parts of a trace that do are joined before it is
//! judged, so a trace is found by what it is as a whole. The memory of a list is bounded by [`MOST_TRACES`]: with more in the time that
//! is asked for, the latest are kept, and the answer says that it is not complete.

use super::summary::Summary;
use super::sums::path;
use crate::catalog::tenant_dir;
use crate::engine::Until;
use crate::store::Store;
use crate::text::lossy;
use foldhash::HashMap;
use std::cmp::Reverse;

/// Traces that are held at once while a list is made.
const MOST_TRACES: usize = 1_000_000;
/// The most traces of a page.
const MOST_ROWS: usize = 10_000;

/// Which traces are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceQuery {
    /// Whose.
    pub tenant: String,
    /// They begin at this time or later, in nanoseconds since the epoch.
    pub start: u64,
    /// They begin before this time.
    pub end: u64,
    /// They have spans of all of these services.
    pub services: Vec<String>,
    /// Their root, or their first span if the root did not come, has this name.
    pub operation: Option<String>,
    /// They last at least so long, in nanoseconds.
    pub min_duration: u64,
    /// They last at most so long, in nanoseconds.
    pub max_duration: u64,
    /// One of their spans failed.
    pub only_errors: bool,
    /// Traces at most; at most 10 000 take effect.
    pub limit: usize,
    /// Only those after this one in the order of the list.
    pub after: Option<TraceCursor>,
}

/// A place in the list of traces: start and id of one.
pub type TraceCursor = (u64, [u8; 16]);

impl TraceQuery {
    /// A question for all traces of a tenant.
    pub fn new(tenant: &str) -> Self {
        TraceQuery {
            tenant: tenant.to_owned(),
            start: 0,
            end: u64::MAX,
            services: vec![],
            operation: None,
            min_duration: 0,
            max_duration: u64::MAX,
            only_errors: false,
            limit: 100,
            after: None,
        }
    }

    fn matches(&self, id: &[u8; 16], trace: &Summary) -> bool {
        let duration = trace.end - trace.start;
        let has = |name: &String| trace.services.iter().any(|service| **service == *name.as_bytes());
        self.start <= trace.start
            && trace.start < self.end
            && self.after.is_none_or(|(start, after)| (trace.start, Reverse(*id)) < (start, Reverse(after)))
            && (self.min_duration..=self.max_duration).contains(&duration)
            && (!self.only_errors || trace.status == 2)
            && self.operation.as_ref().is_none_or(|name| *trace.head.name == *name.as_bytes())
            && self.services.iter().all(has)
    }
}

/// A trace in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: [u8; 16],
    /// When its first span began, in nanoseconds since the epoch.
    pub start: u64,
    /// When its last span ended.
    pub end: u64,
    /// The service of its root, or of its first span if the root did not come.
    pub service: String,
    /// The name of that span.
    pub operation: String,
    /// Whether the root is there.
    pub has_root: bool,
    /// Services that took part; of more than 32 the first by name.
    pub services: Vec<String>,
    /// How many spans it has.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
    /// The worst status of its spans: 0 unset, 1 ok, 2 error.
    pub status: u8,
}

/// A page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// The latest first; of one start in the order of their ids.
    pub traces: Vec<Trace>,
    /// Where the next page begins, if there is one.
    pub next: Option<TraceCursor>,
    /// Whether everything was looked at.
    pub is_complete: bool,
}

impl Store {
    /// Lists traces.
    pub fn traces(&self, query: &TraceQuery) -> Traces {
        self.list_traces(query, &|| false)
    }

    /// The same, ended early by `until`, as in [`Store::search`].
    pub(crate) fn list_traces(&self, query: &TraceQuery, until: Until<'_>) -> Traces {
        let (mut all, is_complete) = self.summaries(query, until);
        let mut found: Vec<_> = all.drain().filter(|(id, trace)| query.matches(id, trace)).collect();
        found.sort_unstable_by_key(|(id, trace)| (Reverse(trace.start), *id));
        let limit = query.limit.min(MOST_ROWS);
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|(id, trace)| (trace.start, *id));
        let traces = found.into_iter().map(|(id, trace)| shown(id, &trace)).collect();
        Traces { traces, next, is_complete }
    }

    /// What is known of one trace. None if none of its spans came.
    pub fn trace_summary(&self, tenant: &str, id: [u8; 16]) -> Option<Trace> {
        let (all, _) = self.summaries(&TraceQuery::new(tenant), &|| false);
        all.get(&id).map(|trace| shown(id, trace))
    }

    /// All summaries that may have to do with a time, each of its trace as a whole; and whether that is all.
    fn summaries(&self, query: &TraceQuery, until: Until<'_>) -> (HashMap<[u8; 16], Summary>, bool) {
        let mut files = vec![];
        let mut all: HashMap<[u8; 16], Summary> = HashMap::default();
        {
            let writer = self.writer.lock();
            let catalog = self.catalog.read();
            if let Some(tenant) = writer.tenants.get(&query.tenant) {
                tenant.summaries.each(|id, trace| join(&mut all, *id, trace));
            }
            for (part, tenants) in &catalog.parts {
                let Some(index) = tenants.get(&query.tenant) else { continue };
                let frames: Vec<_> = index.sums.iter().filter(|frame| frame.touches(query.start, query.end)).collect();
                if let Some(latest) = frames.iter().map(|frame| frame.max_time).max() {
                    let frames: Vec<_> = frames.into_iter().copied().collect();
                    files.push((latest, self.disk.read(&path(&tenant_dir(&self.root, *part, &query.tenant))), frames));
                }
            }
        }
        files.sort_by_key(|(latest, _, _)| Reverse(*latest));
        let mut is_complete = true;
        for (_, file, frames) in files {
            for frame in frames.iter().rev() {
                if until() {
                    return (all, false);
                }
                let Some(rows) = file.as_ref().ok().and_then(|file| frame.read(&**file).ok()) else {
                    is_complete = false;
                    continue;
                };
                for (id, trace) in rows {
                    if all.len() < MOST_TRACES || all.contains_key(&id) {
                        join(&mut all, id, &trace);
                    } else {
                        is_complete = false;
                    }
                }
            }
        }
        (all, is_complete)
    }
}

fn join(all: &mut HashMap<[u8; 16], Summary>, id: [u8; 16], trace: &Summary) {
    all.entry(id).and_modify(|there| there.join(trace)).or_insert_with(|| trace.clone());
}

fn shown(id: [u8; 16], trace: &Summary) -> Trace {
    let text = |bytes: &[u8]| lossy(bytes).into_owned();
    Trace {
        id,
        start: trace.start,
        end: trace.end,
        service: text(&trace.head.service),
        operation: text(&trace.head.name),
        has_root: !trace.head.has_parent,
        services: trace.services.iter().map(|service| text(service)).collect(),
        spans: trace.spans,
        errors: trace.errors,
        status: trace.status,
    }
}
