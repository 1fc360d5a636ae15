//! A disk for tests: it loses what was not synced, tears pages, and fails on demand.
//!
//! What a crash does to a file: of what was appended since its last sync a prefix survives, any page of which may be zeroed; a file
//! that was made or removed since the last sync of its directory may or may not be there. After a crash everything that was open
//! is a ghost: it fails, and what it does reaches nothing.
//!
//! What a sync that failed had not written is *doomed*: it can be read, later syncs succeed, and the next crash drops it all the same.

use super::disk::{Disk, DiskFile};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space is left; a part of what is written is written.
    Full,
    /// Writes fail.
    Write,
    /// Syncs fail, and what they were to make durable may be lost.
    Sync,
    /// The same, and what was written cannot be taken back: files are neither cut nor removed.
    Stuck,
    /// Reads fail.
    Read,
    /// Reads of what is in files fail; directories can be read.
    ReadFiles,
    /// The file system is read-only.
    ReadOnly,
    /// Syncs panic, as they would if there were a bug.
    Bug,
}

#[derive(Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    /// This much of it survives a crash.
    synced: usize,
    /// But not this.
    doomed: Vec<Range<usize>>,
    /// Whether its entry in the directory survives a crash.
    is_entered: bool,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<PathBuf, Contents>,
    /// Removed, but there again after a crash.
    removed: BTreeMap<PathBuf, Contents>,
    locks: HashSet<PathBuf>,
    fault: Option<Fault>,
    /// After so many operations the machine goes down.
    power: Option<usize>,
    /// Counts crashes.
    epoch: u64,
    is_down: bool,
    random: fastrand::Rng,
    /// This file cannot be read.
    spoiled: Option<PathBuf>,
    /// This file cannot be opened.
    forbidden: Option<PathBuf>,
    gate: Gate,
}

/// Syncs wait while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let mut shut = self.0.0.lock();
        while *shut {
            self.0.1.wait(&mut shut);
        }
    }
}

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>, u64);

impl Contents {
    /// What a crash leaves of it.
    fn crash(&mut self, random: &mut fastrand::Rng) {
        let unsynced = self.bytes.len() - self.synced;
        self.bytes.truncate(self.synced + random.usize(0..=unsynced));
        let page = 64;
        let mut at = self.synced;
        while at < self.bytes.len() {
            let end = (at + page - at % page).min(self.bytes.len());
            if random.u8(0..4) == 0 {
                self.bytes[at..end].fill(0);
            }
            at = end;
        }
        for doomed in self.doomed.drain(..).rev() {
            // A part of it may have been written before the sync failed.
            let written = if random.bool() { 0 } else { random.usize(0..=doomed.len()) };
            let from = doomed.start + written;
            match doomed.end == self.bytes.len() && random.bool() {
                true => self.bytes.truncate(from),
                false => self.bytes[from..doomed.end].fill(0),
            }
        }
        self.synced = self.bytes.len();
        self.is_entered = true;
    }
}

impl SimDisk {
    /// An empty disk whose crashes follow this seed.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Inner { random: fastrand::Rng::with_seed(seed), ..Inner::default() })), 0)
    }

    /// From now on this goes wrong, or nothing does.
    pub fn fault(&self, fault: Option<Fault>) {
        self.0.lock().fault = fault;
    }

    /// From now on this file cannot be read, or all can.
    pub fn spoil(&self, path: Option<&str>) {
        self.0.lock().spoiled = path.map(PathBuf::from);
    }

    /// From now on this file cannot be opened, or all can.
    pub fn forbid(&self, path: Option<&Path>) {
        self.0.lock().forbidden = path.map(PathBuf::from);
    }

    /// From now on syncs wait until they may go on.
    pub fn hold_syncs(&self, hold: bool) {
        let gate = self.0.lock().gate.clone();
        *gate.0.0.lock() = hold;
        gate.0.1.notify_all();
    }

    /// After so many operations nothing works any more, until a crash.
    pub fn die_after(&self, operations: usize) {
        self.0.lock().power = Some(operations);
    }

    /// The machine goes down: see the module.
    pub fn crash(&self) {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        inner.epoch += 1;
        inner.is_down = true;
        inner.locks.clear();
        for (path, contents) in std::mem::take(&mut inner.removed) {
            if inner.random.bool() {
                inner.files.entry(path).or_insert(contents);
            }
        }
        let random = &mut inner.random;
        inner.files.retain(|_, contents| contents.is_entered || random.bool());
        inner.files.values_mut().for_each(|contents| contents.crash(random));
    }

    /// The machine is up again. The clone that is given is of the time after the crash.
    pub fn revive(&self) -> SimDisk {
        let mut inner = self.0.lock();
        inner.is_down = false;
        inner.power = None;
        inner.epoch += 1;
        inner.locks.clear();
        inner.removed.clear();
        SimDisk(self.0.clone(), inner.epoch)
    }

    /// The files in a directory.
    pub fn names(&self) -> Vec<String> {
        let inner = self.0.lock();
        inner.files.keys().filter_map(|path| path.file_name()?.to_str().map(ToOwned::to_owned)).collect()
    }

    /// Changes the bytes of a file.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.0.lock();
        let contents = inner.files.entry(path.to_owned()).or_default();
        change(&mut contents.bytes);
        contents.synced = contents.bytes.len();
        contents.is_entered = true;
    }

    /// All files.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        self.0.lock().files.iter().map(|(path, contents)| (path.clone(), contents.bytes.len())).collect()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.0.lock().files.values().map(|contents| contents.bytes.len() as u64).sum()
    }

    fn check(&self, faults: &[Fault]) -> io::Result<parking_lot::MutexGuard<'_, Inner>> {
        let mut inner = self.0.lock();
        if let Some(left) = &mut inner.power {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => inner.is_down = true,
            }
        }
        if inner.is_down || inner.epoch != self.1 {
            return Err(io::Error::other("a ghost"));
        }
        match inner.fault.filter(|fault| faults.contains(fault)) {
            None => Ok(inner),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::ReadOnly) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Some(_) => Err(io::Error::other("input/output error")),
        }
    }
}

const CHANGES: &[Fault] = &[Fault::Full, Fault::Write, Fault::ReadOnly];
const TAKES_BACK: &[Fault] = &[Fault::Write, Fault::Stuck, Fault::ReadOnly];

struct SimFile(SimDisk, PathBuf);

struct SimLock(SimDisk, PathBuf);

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.0.0.lock();
        if inner.epoch == self.0.1 {
            inner.locks.remove(&self.1);
        }
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        self.check(&[]).map(drop)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.check(&[Fault::Read])?;
        let names = inner.files.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(names.filter_map(|name| name.to_str().map(ToOwned::to_owned)).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.0.lock().forbidden.as_deref() == Some(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let exists = self.check(&[])?.files.contains_key(path);
        if !exists {
            self.check(CHANGES)?.files.insert(path.to_owned(), Contents::default());
        }
        Ok(Arc::new(SimFile(self.clone(), path.to_owned())))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.check(TAKES_BACK)?;
        let contents = inner.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        if contents.is_entered {
            inner.removed.insert(path.to_owned(), contents);
        }
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut inner = self.check(&[Fault::Sync, Fault::Stuck, Fault::Write])?;
        inner.removed.clear();
        inner.files.values_mut().for_each(|contents| contents.is_entered = true);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        if !self.check(&[])?.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone(), path.to_owned())))
    }
}

impl SimFile {
    /// The file, even if its name is gone.
    fn with<T>(&self, faults: &[Fault], act: impl FnOnce(&mut Contents) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.0.check(faults)?;
        let Inner { files, removed, .. } = &mut *inner;
        match files.get_mut(&self.1).or_else(|| removed.get_mut(&self.1)) {
            Some(contents) => act(contents),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl DiskFile for SimFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let fault = self.0.check(&[])?.fault;
        if matches!(fault, Some(Fault::Full | Fault::Write)) {
            // The first half of it gets there.
            self.with(&[], |contents| {
                contents.bytes.extend(&all[..all.len() / 2]);
                Ok(())
            })?;
        }
        self.with(CHANGES, |contents| {
            contents.bytes.extend(all);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let gate = self.0.0.lock().gate.clone();
        gate.pass();
        let is_bug = self.0.0.lock().fault == Some(Fault::Bug);
        assert!(!is_bug, "a bug");
        let fails = matches!(self.0.0.lock().fault, Some(Fault::Sync | Fault::Stuck));
        self.with(&[], |contents| {
            let new = contents.synced..contents.bytes.len();
            contents.synced = new.end;
            if fails {
                contents.doomed.push(new);
                return Err(io::Error::other("input/output error"));
            }
            Ok(())
        })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        if self.0.0.lock().spoiled.as_ref() == Some(&self.1) {
            return Err(io::Error::other("input/output error"));
        }
        self.with(&[Fault::Read, Fault::ReadFiles], |contents| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let from = contents.bytes.get(start..).and_then(|rest| rest.get(..into.len()));
            into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(&[], |contents| Ok(contents.bytes.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(TAKES_BACK, |contents| {
            contents.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
            let len = contents.bytes.len();
            contents.synced = contents.synced.min(len);
            contents.doomed.retain(|doomed| doomed.start < len);
            contents.doomed.iter_mut().for_each(|doomed| doomed.end = doomed.end.min(len));
            Ok(())
        })
    }
}
