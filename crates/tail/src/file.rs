//! What is known of one file.

use crate::content::Content;
use crate::identity::{CHECKED, Check, Fingerprint, Identity};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A file that is read. Its name stays with its content: where that is copied to and the file emptied, the copy has it
/// from then on.
pub struct Tracked {
    /// The name of its stream.
    pub id: Arc<str>,
    /// Where it is, or was last.
    pub path: Arc<Path>,
    /// Which file it is.
    pub identity: Identity,
    /// How often its offsets began anew.
    pub generation: u64,
    /// Where the next record begins.
    pub offset: u64,
    /// The number of the next part, within a record that is given in parts.
    pub part: u32,
    /// Its first bytes.
    pub fingerprint: Fingerprint,
    /// The bytes before the offset.
    pub check: Check,
    /// What is not read again.
    pub skip: VecDeque<Range<u64>>,
    /// What the caller noted.
    pub memo: String,
    /// Whether it is gzip.
    pub is_packed: bool,
    /// Whether what is known of it still has to be held against what is in it.
    pub is_unproven: bool,
    /// Open, or not.
    pub content: Option<Content>,
    /// Its size when it was looked at last: of a packed file that of the packed bytes.
    pub size: u64,
    /// When that changed last.
    pub grew: Instant,
    /// Since when it is not where it was, nor anywhere else.
    pub gone: Option<Instant>,
    /// All of it was given when it was looked at last.
    pub is_at_end: bool,
    /// It was told that all of it was given.
    pub told_end: bool,
    /// The walk that found it last.
    pub walk: u64,
    /// When it was opened or read last, in steps of its own.
    pub used: u64,
}

/// Opens a file to be read. Never waits, should it have become a pipe meanwhile.
///
/// # Errors
/// The operating system's.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)
}

/// The bytes at an offset, as many as there are.
///
/// # Errors
/// The operating system's.
pub fn bytes_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut got) = (vec![0; len], 0);
    while got < len {
        match file.read_at(&mut bytes[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}

impl Tracked {
    /// One of which nothing was read.
    pub fn new(id: Arc<str>, path: Arc<Path>, identity: Identity, now: Instant) -> Tracked {
        Tracked {
            id,
            path,
            identity,
            generation: 0,
            offset: 0,
            part: 0,
            fingerprint: Fingerprint::default(),
            check: Check::default(),
            skip: VecDeque::new(),
            memo: String::new(),
            is_packed: false,
            is_unproven: false,
            content: None,
            size: 0,
            grew: now,
            gone: None,
            is_at_end: false,
            told_end: false,
            walk: 0,
            used: 0,
        }
    }

    /// Its content is other than it was: its offsets begin anew.
    pub fn begin_anew(&mut self) {
        self.generation += 1;
        (self.offset, self.part, self.size) = (0, 0, 0);
        (self.fingerprint, self.check) = (Fingerprint::default(), Check::default());
        self.skip.clear();
        self.memo.clear();
        // What is not where it was cannot be opened again.
        if self.gone.is_none() {
            self.content = None;
        }
        (self.is_unproven, self.is_at_end, self.told_end) = (false, false, false);
    }

    /// Whether content is what this file's was, as far as is known.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn holds(&self, content: &mut Content) -> io::Result<bool> {
        let mut head = vec![0; self.fingerprint.len as usize];
        let len = content.read(&mut head, 0)?;
        if !self.fingerprint.begins(&head[..len]) {
            return Ok(false);
        }
        let (from, len) = self.check.place();
        let mut before = vec![0; len];
        let got = content.read(&mut before, from)?;
        Ok(self.check.holds(&before[..got]))
    }

    /// Passes over what is not to be read again, if that begins here; gives how far may be read.
    pub fn skip(&mut self) -> u64 {
        while let Some(first) = self.skip.front() {
            if first.start > self.offset {
                return first.start;
            }
            self.offset = self.offset.max(first.end);
            self.skip.pop_front();
        }
        u64::MAX
    }

    /// Notes what is known of its content by now: `before` are bytes that were read and end at the offset, as far as
    /// there are any.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn learn(&mut self, fingerprint: usize, before: &[u8]) -> io::Result<()> {
        let offset = self.offset;
        let Some(content) = &mut self.content else { return Ok(()) };
        let wanted = CHECKED.min(offset);
        self.check = if before.len() as u64 >= wanted {
            Check::of(offset, before)
        } else {
            let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(0)];
            let got = content.read(&mut bytes, offset - wanted)?;
            Check::of(offset, &bytes[..got])
        };
        let known = self.fingerprint.len as usize;
        if known < fingerprint {
            let mut head = vec![0; fingerprint];
            let len = content.read(&mut head, 0)?;
            if len > known && self.fingerprint.begins(&head[..len]) {
                self.fingerprint = Fingerprint::of(&head[..len]);
            }
        }
        Ok(())
    }
}
