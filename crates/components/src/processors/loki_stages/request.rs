//! An OTLP request of logs as entries, and entries as a request again.
//!
//! What no stage changed keeps its bytes: a request whose records all come out as they went in, in their order, is handed on as it
//! is, and of any other the records, scopes and resources that did not change are copied. Records whose labels changed move to a
//! resource entry of their own, one for each set of labels; the order within it stays.
//!
//! A record that comes out later than its request (a held block of lines) is written back from the request it began in, which an
//! entry's [`Origin`](stages::entry::Origin) keeps.

use bytes::Bytes;
use flow::Meta;
use stages::Timestamp;
use stages::entry::otlp::{self, Change};
use stages::entry::{Entry, Labels, Source};
use std::collections::HashMap;
use std::sync::Arc;
use wire::field::{Fields, len_field_len, put_len_field, put_len_prefix};
use wire::signal::{RECORD, RESOURCE, RESOURCE_ENTRY, SCOPE_ENTRY};
use wire::{Index, Malformed, Record, Signal};

/// A request taken apart.
pub struct Request {
    body: Bytes,
    index: Index,
    /// What is known of its sender.
    meta: Arc<Meta>,
    /// When it came: the time of records that have none.
    now: Timestamp,
    /// The labels of each resource entry, in the order of the request.
    labels: Vec<Labels>,
}

impl Request {
    /// Takes a request apart that came at `now`.
    ///
    /// # Errors
    /// It is not framed down to its records, which receivers refuse.
    pub fn new(body: Bytes, meta: Arc<Meta>, now: Timestamp) -> Result<Request, Malformed> {
        let mut index = Index::new();
        index.build(Signal::Logs, &body)?;
        let labels = index.resources(&body).map(|resource| otlp::labels(&message(&body, &resource))).collect();
        Ok(Request { body, index, meta, now, labels })
    }

    /// What is known of its sender.
    pub fn meta(&self) -> &Arc<Meta> {
        &self.meta
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.index.record_count()
    }

    /// The entry at a place.
    pub fn entry(&self, place: usize) -> Option<Entry> {
        let record = self.record(place)?;
        Some(otlp::entry(&self.body.slice_ref(record.bytes()), self.labels_of(&record)?, self.now))
    }

    fn record(&self, place: usize) -> Option<Record<'_>> {
        self.index.record(&self.body, place)
    }

    fn labels_of(&self, record: &Record<'_>) -> Option<&Labels> {
        // Resource entries come right behind the request itself, whose id is 0.
        self.labels.get(record.resource().id().checked_sub(1)?)
    }
}

impl Source for Request {
    fn detached(&self, place: usize) -> (Arc<dyn Source>, usize) {
        let mut alone = Rewriter::new(usize::MAX);
        if let (Some(record), Some(labels)) = (self.record(place), self.labels.get(self.resource_of(place))) {
            alone.add(self, &record, labels, Written::Kept);
        }
        let (body, _) = alone.finish(None);
        // Of what was written here the framing is sound.
        let (meta, now) = (self.meta.clone(), self.now);
        let nothing = Request { body: Bytes::new(), index: Index::new(), meta, now, labels: Vec::new() };
        (Arc::new(Request::new(body, self.meta.clone(), now).unwrap_or(nothing)), 0)
    }

    fn tenant(&self) -> Option<&str> {
        self.meta.tenant.as_deref()
    }
}

impl Request {
    fn resource_of(&self, place: usize) -> usize {
        self.record(place).map_or(usize::MAX, |record| record.resource().id().wrapping_sub(1))
    }
}

/// The message in the `resource` field of an entry; several are one.
fn message(body: &Bytes, resource: &wire::Entry<'_>) -> Bytes {
    let mut parts = resource.fields().filter(|field| field.number == RESOURCE).filter_map(|field| field.bytes());
    match (parts.next(), parts.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => body.slice_ref(only),
        (Some(first), Some(second)) => [first, second].into_iter().chain(parts).collect::<Vec<_>>().concat().into(),
    }
}

/// How a record is written.
enum Written {
    /// As it was.
    Kept,
    /// As this.
    Changed(Vec<u8>),
}

/// A resource entry in the making.
struct Group {
    header: Vec<u8>,
    scopes: Vec<Scope>,
    /// Its scopes by the place of the one they come from.
    by_id: HashMap<usize, usize>,
}

/// A scope entry in the making.
struct Scope {
    header: Vec<u8>,
    records: Vec<u8>,
}

/// What makes a group: request, resource entry and labels.
type Key = (usize, usize, Labels);

/// A request in the making.
pub struct Rewriter {
    groups: Vec<Group>,
    /// By request, resource entry and labels.
    by_key: HashMap<Key, usize>,
    /// The key of the last group, which is nearly always that of the next record, and the group: comparing labels is cheaper than hashing
    /// them.
    last: Option<(Key, usize)>,
    records: u32,
    bytes: usize,
    most: usize,
    /// So many records of the request that is being read came out as they went in; nothing is written while that is all.
    same: usize,
}

impl Rewriter {
    /// A request of at most so many bytes.
    pub fn new(most: usize) -> Rewriter {
        let (groups, by_key, last, records, bytes, same) = Default::default();
        Rewriter { groups, by_key, last, records, bytes, most, same }
    }

    /// Adds an entry that began at `place` of `from`. `own` is the request that is being read. False if there is no room for it.
    pub fn push(&mut self, own: Option<&Request>, from: &Request, place: usize, entry: &Entry) -> bool {
        let Some(record) = from.record(place) else { return true };
        let Some(before) = from.labels_of(&record) else { return true };
        let written = match otlp::record(entry, &from.body.slice_ref(record.bytes()), from.now) {
            Change::Unchanged => Written::Kept,
            Change::Changed(bytes) => Written::Changed(bytes),
        };
        let is_own = own.is_some_and(|own| std::ptr::eq(own, from));
        if is_own
            && place == self.same
            && self.records == 0
            && matches!(written, Written::Kept)
            && entry.labels == *before
        {
            self.same += 1;
            return true;
        }
        if let Some(own) = own {
            self.write_same(own);
        }
        self.add(from, &record, &entry.labels, written)
    }

    /// Writes the records that came out as they went in so far.
    fn write_same(&mut self, own: &Request) {
        for place in 0..std::mem::take(&mut self.same) {
            if let Some(record) = own.record(place)
                && let Some(labels) = own.labels_of(&record)
            {
                self.add(own, &record, labels, Written::Kept);
            }
        }
    }

    fn add(&mut self, from: &Request, record: &Record<'_>, labels: &Labels, written: Written) -> bool {
        let (address, resource) = (std::ptr::from_ref(from) as usize, record.resource().id());
        let len = match &written {
            Written::Kept => record.range().len(),
            Written::Changed(bytes) => len_field_len(RECORD, bytes.len()),
        };
        let is_last = |((a, r, l), _): &&(Key, usize)| (*a, *r) == (address, resource) && l == labels;
        let group = match self.last.as_ref().filter(is_last) {
            Some((_, group)) => *group,
            None => {
                let key = (address, resource, labels.clone());
                let group = match self.by_key.get(&key) {
                    Some(at) => *at,
                    None => {
                        let header = header(from, record, labels);
                        if self.bytes + header.len() + len > self.most {
                            return false;
                        }
                        self.bytes += header.len();
                        self.groups.push(Group { header, scopes: vec![], by_id: HashMap::new() });
                        self.by_key.insert(key.clone(), self.groups.len() - 1);
                        self.groups.len() - 1
                    }
                };
                self.last = Some((key, group));
                group
            }
        };
        let group = &mut self.groups[group];
        let scope = record.scope();
        let at = *group.by_id.entry(scope.id()).or_insert_with(|| {
            let header: Vec<u8> = scope.header().collect::<Vec<_>>().concat();
            self.bytes += header.len();
            group.scopes.push(Scope { header, records: vec![] });
            group.scopes.len() - 1
        });
        if self.bytes + len > self.most {
            return false;
        }
        let out = &mut group.scopes[at].records;
        match written {
            Written::Kept => out.extend_from_slice(&from.body[record.range()]),
            Written::Changed(bytes) => put_len_field(out, RECORD, &bytes),
        }
        self.bytes += len;
        self.records += 1;
        true
    }

    /// The request, and how many records it has. `None` stands for the very request that was read.
    pub fn finish_own(mut self, own: &Request) -> Option<(Bytes, u32)> {
        if self.same == own.len() && self.records == 0 {
            return None;
        }
        self.write_same(own);
        Some(self.finish(Some(own)))
    }

    /// The request, with what stands in `own` beside its resource entries.
    pub fn finish(self, own: Option<&Request>) -> (Bytes, u32) {
        if self.records == 0 {
            return (Bytes::new(), 0);
        }
        let mut out = Vec::with_capacity(self.bytes + 32 * self.groups.len());
        if let Some(own) = own {
            own.index.rest(&own.body).for_each(|run| out.extend_from_slice(run));
        }
        for group in &self.groups {
            let full = || group.scopes.iter().filter(|scope| !scope.records.is_empty());
            let len = |scope: &Scope| scope.header.len() + scope.records.len();
            let size: usize = full().map(|scope| len_field_len(SCOPE_ENTRY, len(scope))).sum();
            if size == 0 {
                continue;
            }
            put_len_prefix(&mut out, RESOURCE_ENTRY, group.header.len() + size);
            out.extend_from_slice(&group.header);
            for scope in full() {
                put_len_prefix(&mut out, SCOPE_ENTRY, len(scope));
                out.extend_from_slice(&scope.header);
                out.extend_from_slice(&scope.records);
            }
        }
        (out.into(), self.records)
    }
}

/// The header of the resource entry of a record, with these labels.
fn header(from: &Request, record: &Record<'_>, labels: &Labels) -> Vec<u8> {
    let resource = record.resource();
    let changed = match from.labels_of(record) {
        Some(before) if before.same(labels) => Change::Unchanged,
        _ => otlp::resource(labels, &message(&from.body, &resource)),
    };
    let Change::Changed(bytes) = changed else { return resource.header().collect::<Vec<_>>().concat() };
    let mut out = Vec::with_capacity(bytes.len() + 16);
    put_len_field(&mut out, RESOURCE, &bytes);
    for run in resource.header() {
        for field in Fields::new(run).map_while(Result::ok).filter(|field| field.number != RESOURCE) {
            out.extend_from_slice(&run[field.range()]);
        }
    }
    out
}
