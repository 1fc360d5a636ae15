//! The store: what its users hold.
//!
//! Threads: `append` takes the writer's lock for as long as a request takes to be split; `sync` and `commit` do their input and output
//! outside of it. The order of locks is `commit`, journal, writer, catalog.

use crate::catalog::{Catalog, PartFiles, place_of};
use crate::commit::Current;
use crate::config::Config;
use crate::disk::Disk;
use crate::hash::hash;
use crate::ingest::{Watermarks, Writer, nanos};
use crate::journal::{Frame, Journal, Kind, MOST_BODY};
use crate::live::{Committed, Live};
use crate::part::{Part, folder_of};
use crate::replay::{Replay, watermarks};
use crate::stats::{Counters, Stats};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use wire::Signal;

/// Frames of the journal that may wait in memory before `append` writes them itself.
const MOST_BUFFERED: usize = 8 << 20;
/// And before it refuses, because the disk does not take them.
const MOST_WAITING: usize = 64 << 20;

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
    /// A record of it cannot be kept, ever; so nothing of the request was. In parts, what can be kept is taken.
    #[error("a record was refused: {0}")]
    Record(String),
    /// The disk does not take what came before. It may be tried again.
    #[error("the disk is behind: {0}")]
    Disk(#[from] io::Error),
}

/// What became of a request that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// The store. See the crate.
pub struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: PathBuf,
    pub(crate) config: Config,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) journal: Journal,
    pub(crate) current: Mutex<Current>,
    /// How long, and how many bytes, are kept now.
    pub(crate) kept: Mutex<(Option<Duration>, Option<u64>)>,
    pub(crate) counters: Counters,
    /// Those who want to see what comes.
    pub(crate) live: Live,
    /// Whether the last sync failed.
    is_failing: AtomicBool,
    /// Segments that could not be rewritten, because a chunk in them cannot be read.
    pub(crate) unwilling: Mutex<BTreeSet<(Part, String, usize)>>,
    pub(crate) seed: u32,
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
        let kept = Mutex::new((config.max_age, config.max_bytes));
        let store = Store {
            disk,
            root: root.to_owned(),
            config,
            writer: Mutex::new(writer),
            catalog: RwLock::new(catalog),
            journal,
            current: Mutex::new(current),
            kept,
            counters: Counters::default(),
            live: Live::default(),
            is_failing: AtomicBool::new(false),
            unwilling: Mutex::default(),
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
        self.take(tenant, signal, request, position, now).map(|(appended, _)| appended)
    }

    /// Takes a request in; also its number, which it has if it was not there before.
    fn take(
        &self,
        tenant: &str,
        signal: Signal,
        request: &[u8],
        position: u64,
        now: u64,
    ) -> Result<(Appended, u64), Refused> {
        let appended = self.try_append(tenant, signal, request, position, now);
        self.counters.count(&appended);
        appended
    }

    /// Takes a request in durably, and shows it to those who [subscribed](crate::Live). See [`Engine::keep`](crate::Engine::keep).
    pub(crate) fn keep_durably(
        &self,
        tenant: &str,
        signal: Signal,
        request: &[u8],
        now: u64,
    ) -> Result<Appended, Refused> {
        // While the disk fails nothing is added: what is refused is not to be found.
        if self.is_failing.load(Relaxed) {
            self.sync_or_fail()?;
        }
        let (appended, number) = self.take(tenant, signal, request, 0, now)?;
        self.sync_or_fail()?;
        if let Appended::Stored(_) = appended {
            let with_failures = self.config.failures_as_logs;
            self.live.feed(&Committed { tenant, signal, request, number, arrived: now, with_failures });
        }
        Ok(appended)
    }

    fn sync_or_fail(&self) -> Result<(), Refused> {
        let synced = self.sync();
        self.is_failing.store(synced.is_err(), Relaxed);
        synced?;
        Ok(())
    }

    fn try_append(
        &self,
        tenant: &str,
        signal: Signal,
        request: &[u8],
        position: u64,
        now: u64,
    ) -> Result<(Appended, u64), Refused> {
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
            return Ok((Appended::Repeated(records), 0));
        }
        let kind = Kind::Request(signal);
        let frame = Frame { kind, request: writer.last + 1, position, arrived: now, tenant, body: request };
        let number = frame.request;
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
        Ok((Appended::Stored(records), number))
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
        let age = nanos(self.config.chunk_age);
        // Chunks that keep the journal too long are closed early.
        let excess = self.journal.excess();
        let mut writer = self.writer.lock();
        writer.close_if(now, |chunk| {
            now.saturating_sub(chunk.opened) >= age || excess.is_some_and(|request| chunk.first <= request)
        })?;
        let wait = nanos(self.config.commit_age);
        let is_old = writer.pending.iter().any(|pending| now.saturating_sub(pending.since) >= wait);
        let is_much = writer.pending_bytes >= self.config.commit_bytes;
        drop(writer);
        let is_over = {
            let current = self.current.lock();
            self.is_over(&current, now) || now.saturating_sub(current.summed) >= age
        };
        if is_old || is_much || is_over || excess.is_some() {
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

    /// The names of those whose records there are, sorted.
    #[must_use]
    pub fn tenants(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.writer.lock().tenants.keys().cloned().collect();
        names.extend(self.catalog.read().parts.values().flat_map(|tenants| tenants.keys().cloned()));
        names.into_iter().collect()
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
            lost_rows: self.live.lost(),
            panicked_subscribers: self.live.panics(),
            ..self.counters.stats()
        }
    }
}

/// The hash of a request: of its bytes, its tenant and its signal. By it a request that comes again is known.
#[must_use]
pub fn request_hash(tenant: &str, signal: Signal, request: &[u8]) -> u64 {
    hash(hash(signal as u64, tenant.as_bytes()), request)
}

/// A number that nobody outside knows.
pub(crate) fn random(now: u64) -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now) as u32
}
