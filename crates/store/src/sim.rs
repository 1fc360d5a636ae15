//! A disk for tests: it loses what was not synced, tears pages, and fails on demand.
//!
//! What a crash does to a file: of what was appended since its last sync a prefix survives, any page of which may be zeroed; a file
//! that was made or removed since the last sync of its directory may or may not be there. After a crash everything that was open
//! is a ghost: it fails, and what it does reaches nothing. What a sync that failed had not written is *doomed*: it can be read, later
//! syncs succeed, and the next crash drops it all the same.

use crate::disk::{Disk, DiskFile, Listed};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space is left; a part of what is written is written.
    Full,
    /// Syncs fail, and what they were to make durable may be lost.
    Sync,
    /// The same, and what was written cannot be taken back: files are neither cut nor removed.
    Stuck,
    /// Reads of what is in files fail.
    Read,
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
    /// From, to, and what had the name before; undone by a crash, or not.
    renamed: Vec<(PathBuf, PathBuf, Option<Contents>)>,
    locks: HashSet<PathBuf>,
    fault: Option<Fault>,
    /// After so many operations the machine goes down.
    power: Option<usize>,
    /// Counts crashes.
    epoch: u64,
    is_down: bool,
    random: fastrand::Rng,
}

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>, u64);

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

    /// After so many operations nothing works any more, until a crash.
    pub fn die_after(&self, operations: usize) {
        self.0.lock().power = Some(operations);
    }

    /// Whether the power is gone.
    pub fn is_down(&self) -> bool {
        self.0.lock().is_down
    }

    /// The machine goes down and comes up again. What is given is the disk of the time after.
    pub fn crash(&self) -> SimDisk {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        for (from, to, before) in std::mem::take(&mut inner.renamed).into_iter().rev() {
            if inner.random.bool()
                && let Some(contents) = inner.files.remove(&to)
            {
                inner.files.insert(from, contents);
                before.map(|before| inner.files.insert(to, before));
            }
        }
        for (path, contents) in std::mem::take(&mut inner.removed) {
            if inner.random.bool() {
                inner.files.entry(path).or_insert(contents);
            }
        }
        let random = &mut inner.random;
        inner.files.retain(|_, contents| contents.is_entered || random.bool());
        inner.files.values_mut().for_each(|contents| contents.crash(random));
        inner.epoch += 1;
        inner.locks.clear();
        (inner.is_down, inner.power, inner.fault) = (false, None, None);
        SimDisk(self.0.clone(), inner.epoch)
    }

    /// Changes the bytes of a file.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.0.lock();
        if let Some(contents) = inner.files.get_mut(path) {
            change(&mut contents.bytes);
            contents.synced = contents.bytes.len();
        }
    }

    /// All files.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        self.0.lock().files.iter().map(|(path, contents)| (path.clone(), contents.bytes.len())).collect()
    }

    /// Removes a file as if it had never been.
    pub fn erase(&self, path: &Path) {
        self.0.lock().files.remove(path);
    }

    fn check(&self, faults: &[Fault]) -> io::Result<MutexGuard<'_, Inner>> {
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
            Some(_) => Err(io::Error::other("input/output error")),
        }
    }
}

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

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let inner = self.check(&[])?;
        let below = inner.files.keys().filter_map(|path| path.strip_prefix(dir).ok());
        let names: BTreeSet<(String, bool)> = below
            .filter_map(|path| {
                let mut parts = path.components();
                let first = parts.next()?.as_os_str().to_str()?.to_owned();
                Some((first, parts.next().is_some()))
            })
            .collect();
        Ok(names.into_iter().map(|(name, is_dir)| Listed { name, is_dir }).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let is_there = self.check(&[])?.files.contains_key(path);
        if !is_there {
            self.check(&[Fault::Full])?.files.insert(path.to_owned(), Contents::default());
        }
        Ok(Arc::new(SimFile(self.clone(), path.to_owned())))
    }

    fn read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if !self.check(&[])?.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Arc::new(SimFile(self.clone(), path.to_owned())))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.check(&[Fault::Stuck])?;
        let contents = inner.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        if contents.is_entered {
            inner.removed.insert(path.to_owned(), contents);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.check(&[Fault::Stuck])?;
        let contents = inner.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        let before = inner.files.insert(to.to_owned(), contents);
        inner.renamed.push((from.to_owned(), to.to_owned(), before));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let inside: Vec<PathBuf> =
            self.check(&[])?.files.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        if inside.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        inside.iter().try_for_each(|path| self.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.check(&[Fault::Sync, Fault::Stuck])?;
        inner.removed.retain(|path, _| !path.starts_with(dir));
        inner.renamed.retain(|(_, to, _)| to.parent() != Some(dir));
        // Directories are made durable with what is in them: the store syncs those above as well.
        let entered = inner.files.iter_mut().filter(|(path, _)| path.parent() == Some(dir));
        entered.for_each(|(_, contents)| contents.is_entered = true);
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
        let is_full = self.0.0.lock().fault == Some(Fault::Full);
        self.with(&[], |contents| {
            // Of what does not fit the first half gets there.
            contents.bytes.extend(if is_full { &all[..all.len() / 2] } else { &all });
            if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn sync(&self) -> io::Result<()> {
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
        self.with(&[Fault::Read], |contents| {
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
        self.with(&[Fault::Stuck], |contents| {
            contents.bytes.resize(usize::try_from(len).unwrap_or(usize::MAX).min(1 << 30), 0);
            let len = contents.bytes.len();
            contents.synced = contents.synced.min(len);
            contents.doomed.retain(|doomed| doomed.start < len);
            contents.doomed.iter_mut().for_each(|doomed| doomed.end = doomed.end.min(len));
            Ok(())
        })
    }
}
