//! Positions on disk: a log of changes that begins anew with all entries when it has grown large.
//!
//! A directory has one file, `NNNNNNNNNN.positions`, and for a moment two: the next one is written, synced and entered
//! in the directory before the one before it is removed. A group of changes is appended and synced. After any failure
//! the file is not written to again, because nobody knows what is behind its good bytes: the next group begins a new
//! one, with all entries.
//!
//! Invariants: what [`Log::write`] returned from is found again after any crash; what it failed with is found or not.
//! Opening never fails for damage, which costs the frames that it touches; a file of ours by name that is none by
//! content is refused, not overwritten.

use super::ledger::Entry;
use super::record::{self, Change, HEADER};
use crate::spool::disk::{Disk, DiskFile};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUFFIX: &str = ".positions";
/// A log below this size is not begun anew.
const SMALL: u64 = 256 << 10;
/// A log is begun anew when it is so many times as large as what it holds.
const GROWN: u64 = 4;
/// A file above this is not ours: it would be read into memory.
const LARGEST: u64 = 1 << 30;

/// Why positions cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process, or another source of this one, has the directory.
    #[error("{}: the positions are in use by another process", .0.display())]
    Locked(PathBuf),
    /// Something else has the name of one of our files.
    #[error("{}: not a file of positions: move it away, or keep positions in another directory", .0.display())]
    Foreign(PathBuf),
    /// A later version wrote it.
    #[error("{}: format {format}, of a later version: use that one, or move the file away to begin anew", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u8,
    },
    /// The disk.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
}

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Streams with a position.
    pub streams: u64,
    /// Damaged stretches: positions in them are older than they were, or not known. What they are of is read again.
    pub damaged: u64,
}

/// A log, the entries that it has, and how it was found.
pub type Found = (Log, Vec<(Arc<str>, Entry)>, Opened);

/// See the module. One caller at a time.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The file that is written to; none: the next group begins one.
    file: Option<Open>,
    /// The last number that was used.
    last: u32,
    _lock: Box<dyn Send + Sync>,
}

struct Open {
    file: Arc<dyn DiskFile>,
    size: u64,
    /// Its size when it was begun.
    whole: u64,
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LogError + 'a {
    move |source| LogError::Io { action, path: path.to_owned(), source }
}

impl Log {
    /// Opens the log in a directory, or makes one, with the entries that it has.
    ///
    /// # Errors
    /// The directory is in use, cannot be read, or has a file that is not ours.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Found, LogError> {
        disk.make_dir(dir).map_err(io_error("creating", dir))?;
        let path = dir.join("lock");
        let lock = disk.lock(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LogError::Locked(dir.to_owned()),
            _ => io_error("locking", &path)(error),
        })?;
        let mut numbers: Vec<u32> =
            disk.list(dir).map_err(io_error("listing", dir))?.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        let (mut entries, mut opened) = (HashMap::new(), Opened::default());
        for number in &numbers {
            let path = path_of(dir, *number);
            // The later files have all entries, if they are whole: the earlier ones stand in for what is damaged there.
            let (changes, damaged) = read(disk.as_ref(), &path)?;
            opened.damaged += damaged;
            for (name, entry) in changes {
                match entry {
                    Some(entry) => entries.insert(name, entry),
                    None => entries.remove(&name),
                };
            }
        }
        opened.streams = entries.len() as u64;
        let last = numbers.last().copied().unwrap_or(0);
        // What was there is not written to: a new file says all of it, once there is something to say.
        let log = Log { disk, dir: dir.to_owned(), file: None, last, _lock: lock };
        Ok((log, entries.into_iter().collect(), opened))
    }

    /// Writes and syncs a group of changes. `all` gives all entries, these changes included.
    ///
    /// # Errors
    /// It is not known whether they were written; the next call writes all entries.
    pub fn write(&mut self, changes: &[Change], all: impl FnOnce() -> Vec<Change>) -> Result<(), LogError> {
        match self.file.take() {
            Some(open) if open.size < SMALL.max(GROWN * open.whole) => {
                let path = path_of(&self.dir, self.last);
                self.file = Some(open.append(changes).map_err(io_error("writing", &path))?);
                Ok(())
            }
            _ => self.begin(&all()),
        }
    }

    /// Begins a new file with all entries, and removes those before it.
    fn begin(&mut self, all: &[Change]) -> Result<(), LogError> {
        let number = self.last.wrapping_add(1).max(1);
        let path = path_of(&self.dir, number);
        // A number is not used twice, even if this fails.
        self.last = number;
        let file = self.disk.open(&path).map_err(io_error("creating", &path))?;
        let open = Open { file, size: HEADER as u64, whole: 0 };
        let begun = open.file.append(&mut [IoSlice::new(&record::header())]).and_then(|()| open.append(all));
        let mut open = begun.map_err(|error| {
            // Best effort: what is left of it is read at the next start, and says nothing that is wrong.
            let _ = self.disk.remove(&path);
            io_error("writing", &path)(error)
        })?;
        self.disk.sync_dir(&self.dir).map_err(io_error("syncing", &self.dir))?;
        open.whole = open.size;
        self.file = Some(open);
        let names = self.disk.list(&self.dir).unwrap_or_default();
        for old in names.iter().filter_map(|name| self::number(name)).filter(|old| *old != number) {
            // If this fails it is tried again when the next file begins.
            let _ = self.disk.remove(&path_of(&self.dir, old));
        }
        Ok(())
    }
}

impl Open {
    fn append(mut self, changes: &[Change]) -> io::Result<Open> {
        let mut bytes = vec![];
        record::encode(changes, &mut bytes);
        self.file.append(&mut [IoSlice::new(&bytes)])?;
        self.file.sync()?;
        // What is written to a file that somebody removed is gone with the process.
        if !self.file.has_name()? {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed"));
        }
        self.size += bytes.len() as u64;
        Ok(self)
    }
}

fn path_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}{SUFFIX}"))
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 10)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The changes in a file, and how many stretches of it are damaged.
fn read(disk: &dyn Disk, path: &Path) -> Result<(Vec<Change>, u64), LogError> {
    let file = disk.open(path).map_err(io_error("opening", path))?;
    let len = file.len().map_err(io_error("reading", path))?;
    if len > LARGEST {
        return Err(LogError::Foreign(path.to_owned()));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    if let Err(error) = file.read_at(&mut bytes, 0) {
        // A bad sector: what is in the other files is used.
        tracing::error!(%error, file = %path.display(), "positions cannot be read: what they are of is read again");
        return Ok((vec![], 1));
    }
    let read = record::decode(&bytes);
    if let Some(format) = read.newer {
        return Err(LogError::Newer { path: path.to_owned(), format });
    }
    // A crash while it was made leaves nothing, a part of the header, or zeros in its place.
    let is_torn = bytes.iter().take(HEADER).all(|b| *b == 0) || record::header().starts_with(&bytes);
    if !read.is_ours && read.changes.is_empty() && !is_torn && !is_ours_in_part(&bytes) {
        return Err(LogError::Foreign(path.to_owned()));
    }
    if read.damaged > 0 {
        let (file, places) = (path.display(), read.damaged);
        tracing::warn!(%file, places, "damaged positions: what they are of is read again");
    }
    Ok((read.changes, read.damaged))
}

/// Whether most of the header is there: the beginning of the file is damaged.
fn is_ours_in_part(bytes: &[u8]) -> bool {
    let header = record::header();
    bytes.iter().zip(&header).take(8).filter(|(is, ours)| is == ours).count() >= 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ledger::Ranges;
    use crate::spool::testing::{Fault, SimDisk};
    use proptest::prelude::*;

    fn entry(position: u64) -> Entry {
        Entry { generation: 0, position, beyond: Ranges::default(), note: vec![7; 100].into() }
    }

    type Mapped = (Log, HashMap<Arc<str>, Entry>, Opened);

    fn open(disk: &SimDisk) -> Result<Mapped, LogError> {
        Log::open(Arc::new(disk.clone()), Path::new("d"))
            .map(|(log, all, opened)| (log, all.into_iter().collect(), opened))
    }

    fn change(name: &str, position: u64) -> Change {
        (name.into(), Some(entry(position)))
    }

    /// Scenario: files by the name of ours: a text, one of format 9, one whose header is damaged, one of zeros.
    /// Guarantee: the first two are refused with what to do, and left as they are; the others cost nothing but what was
    /// in them.
    #[test]
    fn a_foreign_file_is_refused() {
        let path = Path::new("d/0000000001.positions");
        let find = |change: fn(&mut Vec<u8>)| {
            let disk = SimDisk::new(1).revive();
            let (mut log, ..) = open(&disk).unwrap();
            log.write(&[], || vec![self::change("a", 5)]).unwrap();
            drop(log);
            disk.edit(path, change);
            open(&disk).map(|(_, all, _)| all.len()).map_err(|error| error.to_string())
        };
        let foreign = find(|bytes| *bytes = b"2026-11-29 a line of a log\n".to_vec()).unwrap_err();
        assert!(foreign.contains("not a file of positions") && foreign.contains("0000000001"), "{foreign}");
        assert!(find(|bytes| bytes[6] = 9).unwrap_err().contains("a later version"));
        assert_eq!(find(|bytes| bytes[0] = 0), Ok(1));
        assert_eq!(find(|bytes| bytes.fill(0)), Ok(0));
        assert_eq!(find(|bytes| bytes.truncate(3)), Ok(0));
    }

    /// Scenario: a directory that is open already. Guarantee: the second is refused.
    #[test]
    fn a_directory_has_one_owner() {
        let disk = SimDisk::new(1).revive();
        let first = open(&disk).unwrap();
        assert!(matches!(open(&disk), Err(LogError::Locked(_))));
        drop(first);
        assert!(open(&disk).is_ok());
    }

    /// Scenario: a thousand groups for ten streams. Guarantee: the log is begun anew now and then and stays small;
    /// there is one file.
    #[test]
    fn a_log_stays_small() {
        let disk = SimDisk::new(1).revive();
        let (mut log, ..) = open(&disk).unwrap();
        for round in 0..5000 {
            let group: Vec<Change> = (0..10).map(|n| change(&n.to_string(), round)).collect();
            log.write(&group, || group.clone()).unwrap();
        }
        assert!(disk.bytes() < SMALL + 4096, "{}", disk.bytes());
        assert_eq!(disk.names().iter().filter(|name| name.ends_with(SUFFIX)).count(), 1);
        drop(log);
        let (_, all, _) = open(&disk).unwrap();
        assert!(all.len() == 10 && all.values().all(|entry| entry.position == 4999));
    }

    proptest! {
        /// Scenario (29): groups are written while operations fail or the machine dies at any of them, with torn pages
        /// and lost directory entries, many times over. Guarantee: opening always succeeds; a stream has the position
        /// of a group that was written, not older than the last one that was reported written.
        #[test]
        fn positions_outlive_any_crash(
            seed in any::<u64>(),
            lives in prop::collection::vec((0usize..40, prop::collection::vec((0usize..3, 0u8..8), 1..20)), 1..12),
        ) {
            let mut disk = SimDisk::new(seed).revive();
            // For each stream the position that is certain, and the last one that was tried.
            let (mut certain, mut tried) = ([0u64; 3], [0u64; 3]);
            for (power, groups) in lives {
                let (mut log, all, _) = open(&disk).unwrap();
                for n in 0..3 {
                    let found = all.get(n.to_string().as_str()).map_or(0, |entry| entry.position);
                    prop_assert!((certain[n]..=tried[n]).contains(&found), "{certain:?} {found} {tried:?}");
                    (certain[n], tried[n]) = (found, found.max(tried[n]));
                }
                disk.die_after(power);
                let mut current = certain;
                for (n, fault) in groups {
                    let faults = [Fault::Sync, Fault::Full, Fault::Write];
                    disk.fault(faults.get(usize::from(fault)).copied());
                    tried[n] = tried[n].max(current[n]) + 1;
                    current[n] = tried[n];
                    let all = || (0..3).map(|n| change(&n.to_string(), current[n])).collect();
                    if log.write(&[change(&n.to_string(), current[n])], all).is_ok() {
                        // After a failure all entries are written, so that all are certain; else this one and those
                        // before it.
                        certain = current;
                    }
                }
                disk.fault(None);
                drop(log);
                disk.crash();
                disk = disk.revive();
            }
        }
    }
}
