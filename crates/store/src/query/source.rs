//! The chunks that a question is about: on disk, on their way to it, and still growing. What is listed is what there is at one moment.

use crate::catalog::{place_of, tenant_dir};
use crate::chunk::bloom::{BLOCK, block_has, block_of};
use crate::chunk::entry::{CLASSES, Entry, class_of};
use crate::chunk::open::OpenChunk;
use crate::chunk::read::{Source, View};
use crate::chunk::write::Sealed;
use crate::disk::DiskFile;
use crate::segment::{NO_FILTER, chunks_path, filters_path};
use crate::store::Store;
use std::sync::Arc;
use wire::Signal;

/// A chunk that may have what is asked for.
pub(crate) struct Candidate {
    source: Source,
    signal: Signal,
    pub service: Arc<[u8]>,
    pub min_time: u64,
    pub max_time: u64,
    filters: Option<Arc<dyn DiskFile>>,
}

/// What can be known of a chunk from the index.
pub(crate) struct Known<'a> {
    pub service: &'a [u8],
    pub min_time: u64,
    pub max_time: u64,
}

/// Which of the two filters of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Words,
    Traces,
}

impl Candidate {
    /// A look into it.
    pub fn view(&self) -> View {
        View::new(self.source.clone(), self.signal)
    }

    fn entry(&self) -> Option<&Entry> {
        match &self.source {
            Source::Open(_) => None,
            Source::Sealed(sealed) => Some(&sealed.entry),
            Source::File(_, entry) => Some(entry),
        }
    }

    /// How many records it has by minute and class, shown one after the other.
    pub fn counts(&self, mut each: impl FnMut(u64, usize, u64)) {
        match &self.source {
            Source::Open(chunk) => {
                for (time, severity) in chunk.hot.times.iter().zip(&chunk.hot.severities) {
                    each(time / crate::chunk::entry::MINUTE, class_of(*severity), 1);
                }
            }
            Source::Sealed(sealed) => {
                sealed.entry.counts().for_each(|(minute, class, count)| each(minute, class, count))
            }
            Source::File(_, entry) => entry.counts().for_each(|(minute, class, count)| each(minute, class, count)),
        }
    }

    /// Which classes of severities it has, as bits.
    pub fn classes(&self) -> u8 {
        self.entry().map_or((1 << CLASSES) - 1, Entry::classes)
    }

    /// Whether a filter says that a hash is certainly not in it.
    pub fn has_not(&self, filter: Filter, hash: u64) -> bool {
        let Some(entry) = self.entry() else { return false };
        let (before, blocks) = match filter {
            Filter::Words => (0, entry.word_blocks),
            Filter::Traces => (entry.word_blocks, entry.trace_blocks),
        };
        if blocks == 0 {
            return true;
        }
        let at = (before as usize + block_of(hash.max(1), blocks as usize)) * BLOCK;
        let mut block = [0; BLOCK];
        match (&self.source, &self.filters) {
            (Source::Sealed(sealed), _) => match sealed.filters.get(at..).and_then(|rest| rest.first_chunk()) {
                Some(there) => block = *there,
                None => return false,
            },
            (_, Some(file)) if entry.filter_at != NO_FILTER => {
                let is_sound = entry.has_sound_filters(|filters| file.read_at(filters, entry.filter_at));
                if !is_sound || file.read_at(&mut block, entry.filter_at + at as u64).is_err() {
                    return false;
                }
            }
            _ => return false,
        }
        !block_has(&block, hash.max(1))
    }
}

impl Store {
    /// The chunks of a tenant and signal that `wants` says yes to. The number of files that could not be opened is counted.
    pub(crate) fn candidates(
        &self,
        tenant: &str,
        signal: Signal,
        wants: impl Fn(&Known<'_>) -> bool,
    ) -> (Vec<Candidate>, u64) {
        let Some(place) = place_of(signal) else { return (vec![], 0) };
        let (mut found, mut damaged) = (vec![], 0);
        let wants = |service: &Arc<[u8]>, min_time, max_time| wants(&Known { service, min_time, max_time });
        // Both locks, so that a chunk that is just being written is seen once.
        let writer = self.writer.lock();
        let catalog = self.catalog.read();
        for (service, chunk) in writer.tenants.get(tenant).iter().flat_map(|tenant| &tenant.open[place]) {
            if wants(service, chunk.min_time, chunk.max_time) {
                found.push(Candidate::of_open(chunk.clone(), signal, service.clone()));
            }
        }
        let pending = writer.pending.iter().filter(|pending| &*pending.tenant == tenant);
        for sealed in pending.map(|pending| &pending.sealed).filter(|sealed| sealed.signal == signal) {
            if wants(&sealed.entry.service, sealed.entry.min_time, sealed.entry.max_time) {
                found.push(Candidate::of_sealed(sealed.clone(), signal));
            }
        }
        drop(writer);
        for (part, tenants) in &catalog.parts {
            let Some(index) = tenants.get(tenant) else { continue };
            let its = index.entries[place].iter();
            let mut its = its.filter(|entry| wants(&entry.service, entry.min_time, entry.max_time)).peekable();
            if its.peek().is_none() {
                continue;
            }
            let dir = tenant_dir(&self.root, *part, tenant);
            let Ok(chunks) = self.disk.read(&chunks_path(&dir, signal)) else {
                damaged += its.count() as u64;
                continue;
            };
            let filters = self.disk.read(&filters_path(&dir, signal)).ok();
            found.extend(its.map(|entry| Candidate {
                signal,
                service: entry.service.clone(),
                min_time: entry.min_time,
                max_time: entry.max_time,
                filters: filters.clone(),
                source: Source::File(chunks.clone(), entry.clone()),
            }));
        }
        (found, damaged)
    }
}

impl Candidate {
    fn of_open(chunk: Arc<OpenChunk>, signal: Signal, service: Arc<[u8]>) -> Self {
        let (min_time, max_time) = (chunk.min_time, chunk.max_time);
        Candidate { source: Source::Open(chunk), signal, service, min_time, max_time, filters: None }
    }

    fn of_sealed(sealed: Arc<Sealed>, signal: Signal) -> Self {
        let Entry { service, min_time, max_time, .. } = sealed.entry.clone();
        Candidate { source: Source::Sealed(sealed), signal, service, min_time, max_time, filters: None }
    }
}
