//! The journal: requests that are answered but not yet in a chunk on disk.
//!
//! Every request is written here as it came, in the order of its number; a sync makes it durable, and that is when a sender may be
//! told. When the chunks with its records are on disk, the file it is in is removed. After a crash the journal is read again, and what
//! is in chunks already is left out ([`crate::chunk::entry::Entry::through`]).
//!
//! A file is a header and frames. A frame whose body is damaged costs itself; one whose header is damaged ends the file, which is
//! what a crash leaves of a file that was being written. After a write or sync that failed nothing is added to that file any more:
//! what is not durable goes to a new one, so a request can be there twice, and its number tells.

use crate::codec::{Damaged, Reader};
use crate::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::Signal;

const MAGIC: &[u8; 8] = b"BYWSJRNL";
const VERSION: u16 = 1;
const FILE_HEADER: usize = 16;
const FRAME_HEADER: usize = 48;
/// A file of this length is followed by another.
const FULL: u64 = 32 << 20;
/// Files of more than this are too much: chunks that grow slowly are closed for it.
const MOST: u64 = 256 << 20;
/// The longest body of a frame.
pub(crate) const MOST_BODY: usize = 256 << 20;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request of a signal is to be stored.
    Request(Signal),
    /// All of the tenant that came before is to be forgotten.
    Forget,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub kind: Kind,
    /// Its number: they ascend.
    pub request: u64,
    /// The sender's position; 0 for none.
    pub position: u64,
    /// Nanoseconds since the epoch when it came.
    pub arrived: u64,
    pub tenant: &'a str,
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut header = [0; FRAME_HEADER];
        header[0..4].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        header[4..6].copy_from_slice(&(self.tenant.len() as u16).to_le_bytes());
        header[6] = match self.kind {
            Kind::Request(Signal::Logs) => 1,
            Kind::Request(Signal::Traces) => 2,
            Kind::Request(Signal::Metrics) => 3,
            Kind::Forget => 4,
        };
        header[8..16].copy_from_slice(&self.request.to_le_bytes());
        header[16..24].copy_from_slice(&self.position.to_le_bytes());
        header[24..32].copy_from_slice(&self.arrived.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(self.tenant.as_bytes()), self.body);
        header[32..36].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&header[..44]);
        header[44..48].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(self.tenant.as_bytes());
        out.extend_from_slice(self.body);
    }
}

/// Frames of a file, up to its end or the first damaged header.
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
    /// Frames whose body was damaged.
    pub damaged: u64,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        loop {
            let (header, rest) = self.rest.split_first_chunk::<FRAME_HEADER>()?;
            let mut reader = Reader::new(header);
            let (body_len, tenant_len) = (reader.u32().ok()? as usize, reader.u16().ok()? as usize);
            let kind = reader.u16().ok()?;
            let (request, position, arrived) = (reader.u64().ok()?, reader.u64().ok()?, reader.u64().ok()?);
            let body_crc = reader.u32().ok()?;
            if crc32c::crc32c(&header[..44]).to_le_bytes() != header[44..48] {
                return None;
            }
            let (tenant, rest) = rest.split_at_checked(tenant_len)?;
            let (body, rest) = rest.split_at_checked(body_len)?;
            self.rest = rest;
            let kind = match kind {
                1 => Kind::Request(Signal::Logs),
                2 => Kind::Request(Signal::Traces),
                4 => Kind::Forget,
                _ => continue,
            };
            match std::str::from_utf8(tenant) {
                Ok(tenant) if crc32c::crc32c_append(crc32c::crc32c(tenant.as_bytes()), body) == body_crc => {
                    return Some(Frame { kind, request, position, arrived, tenant, body });
                }
                _ => self.damaged += 1,
            }
        }
    }
}

/// A file that is full.
struct Old {
    number: u32,
    /// Its last request.
    last: u64,
    len: u64,
}

/// The file that is written, and those that are kept.
struct Files {
    file: Option<Arc<dyn DiskFile>>,
    number: u32,
    len: u64,
    /// What is not durable yet.
    batch: Vec<u8>,
    /// The last request in `batch`, or in the file if it is empty.
    last: u64,
    /// Files that are full.
    old: VecDeque<Old>,
}

/// See the module.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    files: Mutex<Files>,
    /// The last request that is durable.
    durable: AtomicU64,
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

impl Journal {
    /// Opens the journal in a directory. What it has is to be replayed before anything is added.
    ///
    /// # Errors
    /// The directory can neither be made nor listed.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<Journal> {
        disk.make_dir(dir)?;
        let named = |name: &str| name.strip_suffix(".log")?.parse::<u32>().ok();
        let mut numbers: Vec<u32> = disk.list(dir)?.iter().filter_map(|file| named(&file.name)).collect();
        numbers.sort_unstable();
        let number = numbers.last().copied().unwrap_or_default();
        let old = numbers.into_iter().map(|number| Old { number, last: 0, len: 0 }).collect();
        let files = Mutex::new(Files { file: None, number, len: 0, batch: vec![], last: 0, old });
        Ok(Journal { disk, dir: dir.to_owned(), files, durable: AtomicU64::new(0) })
    }

    /// The first request that it has; `u64::MAX` if it has none.
    pub fn first(&self) -> u64 {
        let files = self.files.lock();
        let firsts = files.old.iter().filter_map(|old| {
            let bytes = self.read(old.number).ok()?;
            Some(Frames { rest: &bytes, damaged: 0 }.next()?.request)
        });
        firsts.min().unwrap_or(u64::MAX)
    }

    /// The frames of a file without its header.
    fn read(&self, number: u32) -> Result<Vec<u8>, Damaged> {
        let mut bytes = read_file(&*self.disk, &path(&self.dir, number)).map_err(|_| Damaged)?;
        let Some(header) = bytes.first_chunk::<FILE_HEADER>() else { return Ok(vec![]) };
        if header[..8] == *MAGIC && header[8..10] == VERSION.to_le_bytes() {
            bytes.drain(..FILE_HEADER);
            return Ok(bytes);
        }
        // A header that was never written is no damage.
        if header.iter().any(|byte| *byte != 0) { Err(Damaged) } else { Ok(vec![]) }
    }

    /// Shows all frames in order to `each`, and writes them anew: what can be read after a sync that failed is not durable for that. What
    /// cannot be read is left alone; how much that is.
    pub fn replay(&self, each: &mut dyn FnMut(Frame<'_>)) -> u64 {
        let old = std::mem::take(&mut self.files.lock().old);
        let (mut last, mut damaged) = (0, 0);
        for Old { number, .. } in old {
            let Ok(bytes) = self.read(number) else {
                damaged += 1;
                continue;
            };
            let mut frames = Frames { rest: &bytes, damaged: 0 };
            let mut batch = vec![];
            for frame in frames.by_ref() {
                if frame.request > last {
                    last = frame.request;
                    frame.write(&mut batch);
                    each(frame);
                }
            }
            damaged += frames.damaged;
            let copied = self.sync(|into| {
                into.append(&mut batch);
                last
            });
            // If the disk does not take the copy, the original stays.
            let needed = if copied.is_ok() { 0 } else { last };
            self.files.lock().old.push_back(Old { number, last: needed, len: bytes.len() as u64 });
        }
        self.begin_after(last);
        damaged
    }

    /// The last request that is durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// From this number on requests are new: those before are durable, in chunks if not here.
    pub fn begin_after(&self, request: u64) {
        let mut files = self.files.lock();
        files.last = files.last.max(request);
        self.durable.fetch_max(request, Ordering::AcqRel);
    }

    /// Bytes that wait to be made durable.
    pub fn waiting(&self) -> usize {
        self.files.lock().batch.len()
    }

    /// Makes all frames durable that `take` gives, which is asked once nobody else writes: frames and the number of the last.
    ///
    /// # Errors
    /// Any of the disk's. What is not durable is kept, and tried again with the next.
    pub fn sync(&self, take: impl FnOnce(&mut Vec<u8>) -> u64) -> io::Result<()> {
        let mut files = self.files.lock();
        let last = take(&mut files.batch);
        files.last = files.last.max(last);
        if files.batch.is_empty() {
            return Ok(());
        }
        match self.write(&mut files) {
            Ok(()) => {
                files.len += files.batch.len() as u64;
                files.batch.clear();
                if files.batch.capacity() > 4 << 20 {
                    files.batch = Vec::new();
                }
                self.durable.fetch_max(files.last, Ordering::AcqRel);
                if files.len >= FULL {
                    files.retire();
                }
                Ok(())
            }
            Err(error) => {
                // What is in it now nobody knows.
                files.retire();
                Err(error)
            }
        }
    }

    fn write(&self, files: &mut Files) -> io::Result<()> {
        let Files { file, number, len, batch, .. } = files;
        let file = match file {
            Some(file) => file,
            None => {
                *number += 1;
                let new = self.disk.open(&path(&self.dir, *number))?;
                let mut header = [0; FILE_HEADER];
                header[..8].copy_from_slice(MAGIC);
                header[8..10].copy_from_slice(&VERSION.to_le_bytes());
                let file = file.insert(new);
                file.append(&mut [IoSlice::new(&header)])?;
                // The directory may be new itself.
                self.dir.parent().map_or(Ok(()), |above| self.disk.sync_dir(above))?;
                self.disk.sync_dir(&self.dir)?;
                *len = FILE_HEADER as u64;
                file
            }
        };
        file.append(&mut [IoSlice::new(batch)])?;
        file.sync()
    }

    /// If its files take more than they should: the last request of the oldest, whose chunks had better be closed.
    pub fn excess(&self) -> Option<u64> {
        let files = self.files.lock();
        let len = files.old.iter().map(|old| old.len).sum::<u64>() + files.len;
        files.old.front().filter(|_| len > MOST).map(|old| old.last)
    }

    /// Removes the files whose requests are all below `needed`, which are in chunks on disk. What cannot be removed is tried again.
    pub fn forget_before(&self, needed: u64) {
        let mut files = self.files.lock();
        if files.file.is_some() && files.batch.is_empty() && files.last < needed && files.len > FULL / 8 {
            files.retire();
        }
        files.old.make_contiguous().sort_unstable_by_key(|old| old.last);
        while let Some(&Old { number, last, .. }) = files.old.front() {
            if last >= needed || self.disk.remove(&path(&self.dir, number)).is_err_and(|e| !is_gone(&e)) {
                return;
            }
            // The oldest must not come back when a later one stays away: it may hold what that one says is to be forgotten.
            if self.disk.sync_dir(&self.dir).is_err() {
                return;
            }
            files.old.pop_front();
        }
    }
}

impl Files {
    fn retire(&mut self) {
        if self.file.take().is_some() {
            self.old.push_back(Old { number: self.number, last: self.last, len: self.len });
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// All of a file.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.read(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
