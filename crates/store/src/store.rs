//! The store: what its users hold.
//!
//! Threads: `append` takes the writer's lock for as long as a request takes to be split; `sync` and `commit` do their input and output
//! outside of it. The order of locks is `commit`, journal, writer, catalog.

use crate::catalog::{Catalog, PartFiles, SIGNALS, place_of, tenant_dir};
use crate::chunk::read::{Source, View};
use crate::chunk::write::Sealed;
use crate::config::Config;
use crate::disk::Disk;
use crate::hash::hash;
use crate::ingest::{Pending, Watermarks, Writer, nanos};
use crate::journal::{Frame, Journal, Kind, MOST_BODY};
use crate::part::{Part, folder_of};
use crate::segment::{Segment, chunks_path};
use crate::stats::{Counters, Stats};
use crate::trace::sums::SumFile;
use foldhash::HashMap;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use wire::Signal;

/// Frames of the journal that may wait in memory before `append` writes them itself.
const MOST_BUFFERED: usize = 8 << 20;
/// And before it refuses, because the disk does not take them.
const MOST_WAITING: usize = 64 << 20;
/// Traces whose summaries are written together at the latest.
const MOST_SUMMARIES: usize = 20_000;

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Metrics are not stored.
    #[error("{0} are not stored")]
    Signal(Signal),
    /// Its name is too long to be a folder's.
    #[error("the tenant's name is too long")]
    TenantName,
    /// There are as many tenants as there may be.
    #[error("there are {0} tenants already, which is the limit")]
    TooManyTenants(usize),
    /// It is longer than 256 MiB.
    #[error("the request is too large")]
    TooLarge,
    /// It is no OTLP request.
    #[error(transparent)]
    Malformed(#[from] wire::Malformed),
    /// The disk does not take what came before. It may be tried again.
    #[error("the disk is behind: {0}")]
    Disk(#[from] io::Error),
}

/// What became of a request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// So many records were taken in. They are durable after the next [`Store::sync`].
    Stored(usize),
    /// The same request of so many records was taken before.
    Repeated(usize),
}

/// What opening found, and what it repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Requests of the journal that were not in chunks yet.
    pub replayed: u64,
    /// Chunks that were found again without an entry in an index.
    pub found: u64,
    /// Chunks, entries and frames of the journal that were lost to damage or cut.
    pub lost: u64,
    /// Files that were left alone, because they cannot be read or are of another version.
    pub foreign: u64,
}

/// Files that are written, under the lock of `commit`.
struct Current {
    part: Part,
    files: PartFiles,
    /// When summaries were last written.
    summed: u64,
}

/// The store. See the crate.
pub struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: PathBuf,
    pub(crate) config: Config,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) catalog: RwLock<Catalog>,
    journal: Journal,
    current: Mutex<Current>,
    pub(crate) counters: Counters,
    seed: u32,
    _lock: Box<dyn Send + Sync>,
}

impl Store {
    /// Opens the store in a directory, which is made if it is not there. `now` is in nanoseconds since the epoch.
    ///
    /// Damage never fails it: what is damaged is repaired, cut or left alone, and counted in [`Opened`].
    ///
    /// # Errors
    /// The directory cannot be made, listed or locked, or the settings cannot be.
    pub fn open(disk: Arc<dyn Disk>, root: &Path, config: Config, now: u64) -> io::Result<(Store, Opened)> {
        config.validate().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        disk.make_dir(root)?;
        let lock = disk.lock(&root.join("lock"))?;
        let seed = random(now);
        let journal = Journal::open(disk.clone(), &root.join("journal"))?;
        let (catalog, last, repairs) = Catalog::open(&*disk, root, (seed, journal.first()))?;
        let mut writer = Writer::new(&config)?;
        let known = watermarks(&catalog, &mut writer);
        let mut replay = Replay { writer: &mut writer, known, now, count: 0, failed: Ok(()) };
        replay.remember_requests(&*disk, root, &catalog, nanos(config.repeat_window), config.repeat_requests);
        let damaged = journal.replay(&mut |frame| replay.frame(&frame));
        let Replay { count: replayed, failed, .. } = replay;
        failed?;
        journal.begin_after(writer.last);
        let current = match last {
            Some((part, files)) if !files.is_foreign => Current { part, files, summed: now },
            Some((part, _)) => Current { part: part.next(), files: PartFiles::default(), summed: now },
            None => Current { part: Part::of(now), files: PartFiles::default(), summed: now },
        };
        let opened = Opened { replayed, found: repairs.found, lost: repairs.lost + damaged, foreign: repairs.foreign };
        let store = Store {
            disk,
            root: root.to_owned(),
            config,
            writer: Mutex::new(writer),
            catalog: RwLock::new(catalog),
            journal,
            current: Mutex::new(current),
            counters: Counters::default(),
            seed,
            _lock: lock,
        };
        // Their folders were perhaps not all removed yet; if they cannot be now, it is tried again.
        let _ = store.remove_forgotten(&mut store.current.lock());
        Ok((store, opened))
    }

    /// Takes an OTLP export request in. `position` is the sender's own count of its requests, to be given back by [`Store::sync`]; 0
    /// for none. `now` is in nanoseconds since the epoch.
    ///
    /// What is taken is seen by queries at once, and durable after the next [`Store::sync`].
    ///
    /// # Errors
    /// Why it was not taken; nothing of it is stored then.
    pub fn append(
        &self,
        tenant: &str,
        signal: Signal,
        request: &[u8],
        position: u64,
        now: u64,
    ) -> Result<Appended, Refused> {
        let appended = self.try_append(tenant, signal, request, position, now);
        self.counters.count(&appended);
        appended
    }

    fn try_append(
        &self,
        tenant: &str,
        signal: Signal,
        request: &[u8],
        position: u64,
        now: u64,
    ) -> Result<Appended, Refused> {
        if place_of(signal).is_none() {
            return Err(Refused::Signal(signal));
        }
        if folder_of(tenant).is_none() {
            return Err(Refused::TenantName);
        }
        if request.len() > MOST_BODY {
            return Err(Refused::TooLarge);
        }
        let name = request_hash(tenant, signal, request);
        let mut writer = self.writer.lock();
        if writer.buffer.len() > MOST_BUFFERED || writer.pending_bytes > self.config.commit_bytes.max(1) * 8 {
            drop(writer);
            self.relieve(now)?;
            writer = self.writer.lock();
        }
        if !writer.tenants.contains_key(tenant) && !self.has_room_for(tenant, &writer) {
            return Err(Refused::TooManyTenants(self.config.max_tenants));
        }
        let records = writer.look_at(signal, request)?;
        if writer.repeats.has(name, now) {
            return Ok(Appended::Repeated(records));
        }
        let kind = Kind::Request(signal);
        let frame = Frame { kind, request: writer.last + 1, position, arrived: now, tenant, body: request };
        frame.write(&mut writer.buffer);
        writer.repeats.insert(name, now);
        // What fails from here on is in the journal: it comes back when the store is opened again.
        writer.take(&frame, signal, name, &Watermarks::default())?;
        writer.close_oldest(now)?;
        let is_due = writer.pending_bytes >= self.config.commit_bytes;
        drop(writer);
        if is_due {
            // If it fails it is tried again, and the journal has everything meanwhile.
            let _ = self.commit(now);
        }
        Ok(Appended::Stored(records))
    }

    /// Brings out what waits in memory.
    fn relieve(&self, now: u64) -> Result<(), Refused> {
        if let Err(error) = self.commit(now) {
            let writer = self.writer.lock();
            let waiting = writer.buffer.len() + writer.pending_bytes;
            drop(writer);
            if waiting + self.journal.waiting() > MOST_WAITING {
                return Err(Refused::Disk(error));
            }
        }
        Ok(())
    }

    fn has_room_for(&self, tenant: &str, writer: &Writer) -> bool {
        let catalog = self.catalog.read();
        let stored = catalog.parts.values().flat_map(|tenants| tenants.keys().map(String::as_str));
        let mut known: foldhash::HashSet<&str> = stored.collect();
        known.extend(writer.tenants.keys().map(String::as_str));
        known.contains(tenant) || known.len() < self.config.max_tenants
    }

    /// Makes all that was taken durable: what was appended before is there after any crash. The sender's highest position of logs and
    /// of traces among it.
    ///
    /// # Errors
    /// Any of the disk's. Nothing is given up: it is tried again with the next.
    pub fn sync(&self) -> io::Result<[u64; 2]> {
        let mut positions = [0; 2];
        self.journal.sync(|batch| {
            let mut writer = self.writer.lock();
            positions = writer.positions;
            match batch.is_empty() {
                true => std::mem::swap(batch, &mut writer.buffer),
                false => batch.append(&mut writer.buffer),
            }
            writer.last
        })?;
        Ok(positions)
    }

    /// What is to be done now and then, best every second: chunks that are old enough are closed and written, days that are over are
    /// left, and those that are too old are removed.
    ///
    /// # Errors
    /// Any of the disk's. Nothing is given up: it is tried again the next time.
    pub fn tick(&self, now: u64) -> io::Result<()> {
        let mut writer = self.writer.lock();
        let age = nanos(self.config.chunk_age);
        writer.close_if(now, |chunk| now.saturating_sub(chunk.opened) >= age)?;
        let wait = nanos(self.config.commit_age);
        let is_old = writer.pending.iter().any(|pending| now.saturating_sub(pending.since) >= wait);
        let is_much = writer.pending_bytes >= self.config.commit_bytes;
        drop(writer);
        let is_over = {
            let current = self.current.lock();
            self.is_over(&current, now) || now.saturating_sub(current.summed) >= age
        };
        if is_old || is_much || is_over {
            self.commit(now)?;
        }
        self.retain(now)
    }

    /// Closes all chunks and writes everything to segments.
    ///
    /// # Errors
    /// Any of the disk's.
    pub fn flush(&self, now: u64) -> io::Result<()> {
        self.writer.lock().close_if(now, |_| true)?;
        let mut current = self.current.lock();
        self.commit_to(&mut current, true, now)
    }

    /// Writes closed chunks to their segments and removes what the journal no longer needs.
    fn commit(&self, now: u64) -> io::Result<()> {
        let mut current = self.current.lock();
        let is_over = self.is_over(&current, now);
        if is_over {
            // All of the old part goes into it before the next begins.
            self.writer.lock().close_if(now, |_| true)?;
        }
        self.commit_to(&mut current, is_over, now)?;
        if is_over {
            let today = Part::of(now);
            current.part = if today.day > current.part.day { today } else { current.part.next() };
            current.files = PartFiles::default();
        }
        Ok(())
    }

    /// Whether a part gets no more.
    fn is_over(&self, current: &Current, now: u64) -> bool {
        let catalog = self.catalog.read();
        let bytes = catalog.part_bytes(current.part);
        let is_large = self.config.max_bytes.is_some_and(|most| bytes > most / 8);
        Part::of(now).day > current.part.day || is_large
    }

    fn commit_to(&self, current: &mut Current, with_summaries: bool, now: u64) -> io::Result<()> {
        // A chunk may not be on disk before the journal has all its requests: of a request that is half there the rest would be lost.
        self.sync()?;
        self.remove_forgotten(current)?;
        let durable = self.journal.durable();
        let mut by_segment: BTreeMap<(Arc<str>, usize), Vec<Arc<Sealed>>> = BTreeMap::new();
        for Pending { tenant, sealed, .. } in &self.writer.lock().pending {
            let place = place_of(sealed.signal).unwrap_or_default();
            if sealed.entry.through.0 <= durable {
                by_segment.entry((tenant.clone(), place)).or_default().push(sealed.clone());
            }
        }
        for ((tenant, place), chunks) in by_segment {
            self.write_chunks(current, &tenant, place, &chunks)?;
        }
        let is_due = now.saturating_sub(current.summed) >= nanos(self.config.chunk_age);
        self.write_summaries(current, with_summaries || is_due)?;
        if is_due {
            current.summed = now;
        }
        let needed = self.writer.lock().needed().min(durable + 1);
        self.journal.forget_before(needed);
        Ok(())
    }

    fn write_chunks(
        &self,
        current: &mut Current,
        tenant: &Arc<str>,
        place: usize,
        chunks: &[Arc<Sealed>],
    ) -> io::Result<()> {
        let dir = tenant_dir(&self.root, current.part, tenant);
        let new = || Segment::new(&dir, SIGNALS[place], self.seed ^ current.part.day);
        let is_new = !current.files.segments.contains_key(&(tenant.to_string(), place));
        let segment = current.files.segments.entry((tenant.to_string(), place)).or_insert_with(new);
        let before = segment.bytes();
        let entries = segment.write(&*self.disk, chunks)?;
        if is_new {
            self.sync_dirs(current.part)?;
        }
        let bytes = segment.bytes() - before;
        let mut writer = self.writer.lock();
        let mut catalog = self.catalog.write();
        writer.written(chunks);
        catalog.add(current.part, tenant, place, entries, bytes);
        Ok(())
    }

    /// Makes new folders durable.
    fn sync_dirs(&self, part: Part) -> io::Result<()> {
        self.disk.sync_dir(&self.root.join(part.name()))?;
        self.disk.sync_dir(&self.root)
    }

    fn write_summaries(&self, current: &mut Current, all: bool) -> io::Result<()> {
        let due: Vec<Arc<str>> = {
            let writer = self.writer.lock();
            let tenants = writer.tenants.values().filter(|tenant| tenant.summaries.first().is_some());
            tenants.filter(|its| all || its.summaries.len() >= MOST_SUMMARIES).map(|its| its.name.clone()).collect()
        };
        for tenant in due {
            let leaving = self.writer.lock().tenants.get_mut(&*tenant).and_then(|its| its.summaries.leave());
            let Some(leaving) = leaving else { continue };
            if leaving.last > self.journal.durable() {
                self.sync()?;
            }
            let dir = tenant_dir(&self.root, current.part, &tenant);
            let is_new = !current.files.sums.contains_key(&*tenant);
            let file = current.files.sums.entry(tenant.to_string()).or_insert_with(|| SumFile::new(&dir));
            let frame = file.write(&*self.disk, &leaving)?;
            if is_new {
                self.sync_dirs(current.part)?;
            }
            let mut writer = self.writer.lock();
            let mut catalog = self.catalog.write();
            let index = catalog.parts.entry(current.part).or_default().entry(tenant.to_string()).or_default();
            index.sums.push(frame);
            index.bytes += frame.bytes();
            if let Some(its) = writer.tenants.get_mut(&*tenant) {
                its.summaries.written();
            }
        }
        Ok(())
    }

    /// Removes days that are too old, and the oldest while all take too much. The part that is written stays.
    fn retain(&self, now: u64) -> io::Result<()> {
        let current = self.current.lock();
        loop {
            let catalog = self.catalog.read();
            let Some(&oldest) = catalog.parts.keys().next().filter(|oldest| **oldest != current.part) else {
                return Ok(());
            };
            let all: u64 = catalog.parts.keys().map(|part| catalog.part_bytes(*part)).sum();
            drop(catalog);
            let is_old = self.config.max_age.is_some_and(|age| oldest.end().saturating_add(nanos(age)) <= now);
            if !is_old && self.config.max_bytes.is_none_or(|most| all <= most) {
                return Ok(());
            }
            self.disk.remove_dir(&self.root.join(oldest.name()))?;
            self.disk.sync_dir(&self.root)?;
            self.catalog.write().parts.remove(&oldest);
            self.counters.removed_parts.fetch_add(1, Relaxed);
        }
    }

    /// Removes everything of a tenant, for good.
    ///
    /// # Errors
    /// Any of the disk's: then some of it may be left, and it is tried again before anything else is written.
    pub fn delete_tenant(&self, tenant: &str, now: u64) -> io::Result<()> {
        // Nothing is written to segments from before the request until all is removed: what is old and what is new never share a folder.
        let mut current = self.current.lock();
        {
            let mut writer = self.writer.lock();
            let kind = Kind::Forget;
            let frame = Frame { kind, request: writer.last + 1, position: 0, arrived: now, tenant, body: &[] };
            frame.write(&mut writer.buffer);
            let last = frame.request;
            writer.forget(tenant, last);
        }
        self.sync()?;
        self.remove_forgotten(&mut current)
    }

    /// Removes the folders of tenants that are to be forgotten.
    fn remove_forgotten(&self, current: &mut Current) -> io::Result<()> {
        loop {
            let next = self.writer.lock().forgotten.first().cloned();
            let Some((tenant, request)) = next else { return Ok(()) };
            self.remove_tenant(current, &tenant, request)?;
            self.writer.lock().forgotten.remove(0);
        }
    }

    fn remove_tenant(&self, current: &mut Current, tenant: &str, before: u64) -> io::Result<()> {
        let catalog = self.catalog.read();
        let parts: Vec<Part> = catalog.parts.keys().copied().collect();
        // What came after is in folders that were made after.
        let is_newer = |entry: &Arc<crate::chunk::entry::Entry>| entry.first > before;
        let newer = |part: &Part| {
            let index = catalog.parts.get(part).and_then(|tenants| tenants.get(tenant));
            index.is_some_and(|index| index.entries.iter().flatten().any(is_newer))
        };
        let old: Vec<Part> = parts.into_iter().filter(|part| !newer(part)).collect();
        drop(catalog);
        for part in old {
            match self.disk.remove_dir(&tenant_dir(&self.root, part, tenant)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            match self.disk.sync_dir(&self.root.join(part.name())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if let Some(tenants) = self.catalog.write().parts.get_mut(&part) {
                tenants.remove(tenant);
            }
            if part == current.part {
                current.files.segments.retain(|(its, _), _| its != tenant);
                current.files.sums.remove(tenant);
            }
        }
        Ok(())
    }

    /// What was counted, and how much there is.
    pub fn stats(&self) -> Stats {
        let writer = self.writer.lock();
        let catalog = self.catalog.read();
        let open: usize = writer.open_chunks().map(|chunk| chunk.len()).sum();
        let pending: u64 = writer.pending.iter().map(|pending| u64::from(pending.sealed.entry.records)).sum();
        let stored: u64 = catalog.entries().map(|(_, _, _, entry)| u64::from(entry.records)).sum();
        Stats {
            records: open as u64 + pending + stored,
            bytes: catalog.parts.keys().map(|part| catalog.part_bytes(*part)).sum(),
            chunks: catalog.entries().count() as u64,
            parts: catalog.parts.len() as u64,
            tenants: writer.tenants.len() as u64,
            ..self.counters.stats()
        }
    }
}

/// The hash of a request: of its bytes, its tenant and its signal.
fn request_hash(tenant: &str, signal: Signal, request: &[u8]) -> u64 {
    hash(hash(signal as u64, tenant.as_bytes()), request)
}

/// A number that nobody outside knows.
fn random(now: u64) -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now) as u32
}

/// Up to where each service has everything on disk; also brings the writer's numbers up to it.
fn watermarks(catalog: &Catalog, writer: &mut Writer) -> Watermarks {
    let mut known: Watermarks = HashMap::default();
    for (_, tenant, place, entry) in catalog.entries() {
        writer.last = writer.last.max(entry.through.0);
        writer.positions[place] = writer.positions[place].max(entry.position);
        let through = known.entry((tenant.to_owned(), place, entry.service.clone())).or_default();
        *through = (*through).max(entry.through);
    }
    for (tenant, index) in catalog.parts.values().flatten() {
        let Some(through) = index.sums.iter().map(|sums| sums.through).max() else { continue };
        writer.last = writer.last.max(through);
        writer.set_summed(tenant, through);
    }
    known
}

/// The journal on its way back into memory.
struct Replay<'a> {
    writer: &'a mut Writer,
    known: Watermarks,
    now: u64,
    count: u64,
    failed: io::Result<()>,
}

impl Replay<'_> {
    fn frame(&mut self, frame: &Frame<'_>) {
        match frame.kind {
            Kind::Forget => {
                self.writer.forget(frame.tenant, frame.request);
            }
            Kind::Request(signal) => {
                let name = request_hash(frame.tenant, signal, frame.body);
                if self.failed.is_err() || self.writer.look_at(signal, frame.body).is_err() {
                    return;
                }
                self.count += 1;
                self.writer.repeats.insert(name, self.now);
                self.failed = self.writer.take(frame, signal, name, &self.known);
            }
        }
    }

    /// Remembers the requests of the last minutes before the store was closed.
    fn remember_requests(&mut self, disk: &dyn Disk, root: &Path, catalog: &Catalog, window: u64, most: usize) {
        let last = catalog.entries().map(|(_, _, _, entry)| entry.arrived).max().unwrap_or_default();
        let mut recent: Vec<_> = catalog.entries().filter(|(_, _, _, entry)| last - entry.arrived <= window).collect();
        recent.sort_by_key(|(_, _, _, entry)| std::cmp::Reverse(entry.through));
        let mut hashes = vec![];
        for (part, tenant, place, entry) in recent {
            if hashes.len() >= most {
                break;
            }
            let path = chunks_path(&tenant_dir(root, part, tenant), SIGNALS[place]);
            let Ok(file) = disk.read(&path) else { continue };
            let view = View::new(Source::File(file, entry.clone()), SIGNALS[place]);
            let Ok(hot) = view.hot() else { continue };
            hashes.extend(hot.runs.iter().map(|run| (run.request, run.hash)));
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes.iter().for_each(|(_, hash)| self.writer.repeats.insert(*hash, self.now));
    }
}
