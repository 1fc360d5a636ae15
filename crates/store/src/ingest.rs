//! Requests become chunks: the state that `append` changes, under one lock.
//!
//! Each service of a tenant has one chunk a signal that grows. A full one is packed at once and waits, in memory and visible to
//! queries, until it is written to its segment.

use crate::catalog::place_of;
use crate::chunk::open::{OpenChunk, Origin, Place};
use crate::chunk::parse::Parsed;
use crate::chunk::write::{Sealed, Sealer};
use crate::config::Config;
use crate::facts::{join, service_of};
use crate::failures::failures;
use crate::journal::Frame;
use crate::repeat::Repeats;
use crate::trace::summary::{SpanFacts, Summaries};
use foldhash::HashMap;
use std::io;
use std::sync::Arc;
use wire::{Entry, Index, Malformed, Signal};

/// Up to which record the chunks on disk have everything, by tenant, signal and service.
pub(crate) type Watermarks = HashMap<(String, usize, Arc<[u8]>), Place>;

/// A chunk that waits to be written.
#[derive(Clone)]
pub(crate) struct Pending {
    pub tenant: Arc<str>,
    pub sealed: Arc<Sealed>,
    /// When it was closed.
    pub since: u64,
}

/// Chunks that grow, by service.
pub(crate) type OpenChunks = HashMap<Arc<[u8]>, Arc<OpenChunk>>;

/// What grows of a tenant.
pub(crate) struct Tenant {
    pub name: Arc<str>,
    /// By signal and service.
    pub open: [OpenChunks; 2],
    pub summaries: Summaries,
}

/// See the module.
pub(crate) struct Writer {
    chunk_records: usize,
    chunk_bytes: usize,
    open_limit: usize,
    with_failures: bool,
    /// Frames of the journal that are not on disk.
    pub buffer: Vec<u8>,
    /// The last request that was taken.
    pub last: u64,
    /// The sender's highest position, by signal.
    pub positions: [u64; 2],
    pub tenants: HashMap<String, Tenant>,
    pub repeats: Repeats,
    /// Tenants whose folders are to be removed, with the last request that is in them.
    pub forgotten: Vec<(String, u64)>,
    pub pending: Vec<Pending>,
    pub pending_bytes: usize,
    open_bytes: usize,
    sealer: Sealer,
    index: Index,
    parsed: Parsed,
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Writer {
    pub fn new(config: &Config) -> io::Result<Self> {
        Ok(Writer {
            chunk_records: config.chunk_records,
            chunk_bytes: config.chunk_bytes,
            open_limit: config.open_bytes,
            with_failures: config.failures_as_logs,
            buffer: vec![],
            last: 0,
            positions: [0; 2],
            tenants: HashMap::default(),
            repeats: Repeats::new(nanos(config.repeat_window), config.repeat_requests),
            forgotten: vec![],
            pending: vec![],
            pending_bytes: 0,
            open_bytes: 0,
            sealer: Sealer::new(config.level)?,
            index: Index::new(),
            parsed: Parsed::default(),
            resource: vec![],
            scope: vec![],
        })
    }

    /// Reads where the records of a request are; how many there are.
    pub fn look_at(&mut self, signal: Signal, body: &[u8]) -> Result<usize, Malformed> {
        self.index.build(signal, body)?;
        Ok(self.index.record_count())
    }

    /// Takes in the records of the request that was looked at last. What the watermarks say is on disk is left out.
    ///
    /// # Errors
    /// Out of memory.
    pub fn take(&mut self, frame: &Frame<'_>, signal: Signal, hash: u64, known: &Watermarks) -> io::Result<()> {
        let Some(place) = place_of(signal) else { return Ok(()) };
        self.last = self.last.max(frame.request);
        self.positions[place] = self.positions[place].max(frame.position);
        if !self.tenants.contains_key(frame.tenant) {
            self.tenant(frame.tenant);
        }
        let origin = Origin { request: frame.request, hash, position: frame.position, arrived: frame.arrived };
        let index = std::mem::take(&mut self.index);
        let mut taken = Ok(());
        for resource in index.resources(frame.body) {
            taken = self.take_resource(frame.tenant, place, resource, &origin, known);
            if taken.is_err() {
                break;
            }
        }
        if signal == Signal::Traces && self.with_failures && taken.is_ok() {
            taken = self.take_failures(frame, &index, &origin, known);
        }
        self.index = index;
        taken
    }

    /// Takes in the log records of what spans say of failures. They are counted through the request, and come back the same from the
    /// journal.
    fn take_failures(
        &mut self,
        frame: &Frame<'_>,
        index: &Index,
        origin: &Origin,
        known: &Watermarks,
    ) -> io::Result<()> {
        let logs = place_of(Signal::Logs).unwrap_or_default();
        // The position is that of another signal.
        let origin = &Origin { position: 0, ..*origin };
        let mut next = 0;
        for resource in index.resources(frame.body) {
            let name = service_of(&resource);
            for scope in resource.entries() {
                for log in scope.records().flat_map(|span| failures(span.bytes())) {
                    let ordinal = next;
                    next += 1;
                    let service = self.service(frame.tenant, logs, &name);
                    let through = known.get(&(frame.tenant.to_owned(), logs, service.clone()));
                    if through.is_some_and(|through| (origin.request, ordinal) <= *through) {
                        continue;
                    }
                    join(&mut self.resource, resource);
                    join(&mut self.scope, scope);
                    self.parsed.read(Signal::Logs, &log, origin.arrived);
                    let Some(Tenant { name: tenant, open, .. }) = self.tenants.get_mut(frame.tenant) else { continue };
                    let new = || Arc::new(OpenChunk::new(Signal::Logs, origin));
                    let chunk = Arc::make_mut(open[logs].entry(service.clone()).or_insert_with(new));
                    let before = if chunk.len() == 0 { 0 } else { chunk.weight() };
                    let headers = chunk.origin(&self.resource, &self.scope);
                    chunk.push(&log, &self.parsed, headers, origin, ordinal);
                    self.open_bytes += chunk.weight() - before;
                    if chunk.len() >= self.chunk_records || chunk.bytes >= self.chunk_bytes {
                        let waiting = (&mut self.pending, &mut self.pending_bytes, &mut self.open_bytes);
                        close((tenant, &mut open[logs], &service), &mut self.sealer, waiting, origin.arrived)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_resource(
        &mut self,
        tenant: &str,
        place: usize,
        resource: Entry<'_>,
        origin: &Origin,
        known: &Watermarks,
    ) -> io::Result<()> {
        let signal = crate::catalog::SIGNALS[place];
        join(&mut self.resource, resource);
        let name = service_of(&resource);
        let service = self.service(tenant, place, &name);
        let after = match known.is_empty() {
            true => None,
            false => known.get(&(tenant.to_owned(), place, service.clone())).copied(),
        };
        let Some(Tenant { name: tenant, open, summaries }) = self.tenants.get_mut(tenant) else { return Ok(()) };
        for scope in resource.entries() {
            join(&mut self.scope, scope);
            let mut records = scope.records().peekable();
            while records.peek().is_some() {
                let chunk =
                    open[place].entry(service.clone()).or_insert_with(|| Arc::new(OpenChunk::new(signal, origin)));
                let chunk = Arc::make_mut(chunk);
                let before = if chunk.len() == 0 { 0 } else { chunk.weight() };
                let headers = chunk.origin(&self.resource, &self.scope);
                let mut is_full = false;
                while !is_full && let Some(record) = records.next() {
                    let ordinal = record.ordinal() as u32;
                    self.parsed.read(signal, record.bytes(), origin.arrived);
                    if signal == Signal::Traces {
                        summarize(summaries, &self.parsed, record.bytes(), &service, origin.request);
                    }
                    if after.is_some_and(|through| (origin.request, ordinal) <= through) {
                        continue;
                    }
                    chunk.push(record.bytes(), &self.parsed, headers, origin, ordinal);
                    is_full = chunk.len() >= self.chunk_records || chunk.bytes >= self.chunk_bytes;
                }
                if chunk.len() == 0 {
                    open[place].remove(&service);
                    continue;
                }
                self.open_bytes += chunk.weight() - before;
                if is_full {
                    close(
                        (tenant, &mut open[place], &service),
                        &mut self.sealer,
                        (&mut self.pending, &mut self.pending_bytes, &mut self.open_bytes),
                        origin.arrived,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Up to which request the summaries of a tenant's traces are on disk.
    pub fn set_summed(&mut self, name: &str, through: u64) {
        self.tenant(name).summaries.set_through(through);
    }

    fn tenant(&mut self, name: &str) -> &mut Tenant {
        self.tenants.entry(name.to_owned()).or_insert_with(|| Tenant {
            name: name.into(),
            open: Default::default(),
            summaries: Summaries::default(),
        })
    }

    /// The name of a service, shared with its chunk.
    fn service(&self, tenant: &str, place: usize, name: &[u8]) -> Arc<[u8]> {
        let open = self.tenants.get(tenant).map(|tenant| &tenant.open[place]);
        open.and_then(|open| open.get_key_value(name)).map_or_else(|| name.into(), |(known, _)| known.clone())
    }

    /// Closes chunks that `is_due` says are.
    ///
    /// # Errors
    /// Out of memory.
    pub fn close_if(&mut self, now: u64, is_due: impl Fn(&OpenChunk) -> bool) -> io::Result<()> {
        for Tenant { name, open, .. } in self.tenants.values_mut() {
            for open in open {
                let due: Vec<_> =
                    open.iter().filter(|(_, chunk)| is_due(chunk)).map(|(service, _)| service.clone()).collect();
                for service in due {
                    let waiting = (&mut self.pending, &mut self.pending_bytes, &mut self.open_bytes);
                    close((name, open, &service), &mut self.sealer, waiting, now)?;
                }
            }
        }
        Ok(())
    }

    /// Closes the oldest chunks while all that grow take more than they may.
    ///
    /// # Errors
    /// Out of memory.
    pub fn close_oldest(&mut self, now: u64) -> io::Result<()> {
        while self.open_bytes > self.open_limit {
            let Some(oldest) = self.open_chunks().map(|chunk| chunk.opened).min() else {
                self.open_bytes = 0;
                return Ok(());
            };
            self.close_if(now, |chunk| chunk.opened <= oldest)?;
        }
        Ok(())
    }

    /// All chunks that grow.
    pub fn open_chunks(&self) -> impl Iterator<Item = &Arc<OpenChunk>> {
        self.tenants.values().flat_map(|tenant| tenant.open.iter().flat_map(|open| open.values()))
    }

    /// The first request that is not wholly on disk without the journal.
    pub fn needed(&self) -> u64 {
        let open = self.open_chunks().map(|chunk| chunk.first);
        let pending = self.pending.iter().map(|pending| pending.sealed.entry.first);
        let summaries = self.tenants.values().filter_map(|tenant| tenant.summaries.first());
        let forgotten = self.forgotten.iter().map(|(_, request)| *request);
        open.chain(pending).chain(summaries).chain(forgotten).min().unwrap_or(self.last + 1)
    }

    /// Takes chunks off the list of those that wait.
    pub fn written(&mut self, chunks: &[Arc<Sealed>]) {
        self.pending.retain(|pending| !chunks.iter().any(|chunk| Arc::ptr_eq(chunk, &pending.sealed)));
        self.pending_bytes = self.pending.iter().map(|pending| size(&pending.sealed)).sum();
    }

    /// Forgets a tenant; what is on disk of it, up to a last request, is to be removed.
    pub fn forget(&mut self, tenant: &str, last: u64) {
        self.last = self.last.max(last);
        self.forgotten.push((tenant.to_owned(), last));
        if let Some(tenant) = self.tenants.remove(tenant) {
            let open = tenant.open.iter().flat_map(|open| open.values());
            self.open_bytes -= open.map(|chunk| chunk.weight()).sum::<usize>().min(self.open_bytes);
        }
        self.pending.retain(|pending| &*pending.tenant != tenant);
        self.pending_bytes = self.pending.iter().map(|pending| size(&pending.sealed)).sum();
    }
}

/// Bytes that a chunk takes while it waits.
fn size(sealed: &Sealed) -> usize {
    sealed.frames.len() + sealed.filters.len() + sealed.head.len()
}

/// Packs the chunk of a service and lets it wait.
fn close(
    (tenant, open, service): (&Arc<str>, &mut OpenChunks, &Arc<[u8]>),
    sealer: &mut Sealer,
    (pending, pending_bytes, open_bytes): (&mut Vec<Pending>, &mut usize, &mut usize),
    now: u64,
) -> io::Result<()> {
    let Some(chunk) = open.get(service) else { return Ok(()) };
    let sealed = Arc::new(sealer.seal(chunk, service.clone())?);
    *open_bytes -= chunk.weight().min(*open_bytes);
    *pending_bytes += size(&sealed);
    pending.push(Pending { tenant: tenant.clone(), sealed, since: now });
    open.remove(service);
    Ok(())
}

/// Takes a span into the summary of its trace.
fn summarize(summaries: &mut Summaries, span: &Parsed, record: &[u8], service: &Arc<[u8]>, request: u64) {
    let &Parsed { time: start, end, status, has_parent, ref trace, .. } = span;
    let name = span.text(record);
    summaries.add(trace, &SpanFacts { start, end, status, has_parent, name, service }, request);
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
