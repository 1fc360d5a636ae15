//! A spool whose files hold anything: it opens, what it says is live can be read or is damaged, the next start finds the same; it is
//! gone on with, what was finished stays so, and what is copied forward is neither lost nor doubled.
//!
//! An input is two segments and the marks of the first one: a byte that says which checksums are mended, so that the fuzzer reaches what is
//! behind them (1: segments, 2: marks), and whether segments are so small that pieces are copied forward (4); the length of the marks and
//! that of the second segment (two bytes each, little-endian); the marks, the second segment, the first.

#![no_main]

use bytes::Bytes;
use flow::spool::disk::{Disk, DiskFile};
use flow::spool::frame::{FRAME_HEADER, FRAME_MAGIC, SEGMENT_HEADER, SEGMENT_MAGIC};
use flow::spool::{Key, Piece, Store, StoreConfig, StoreError};
use flow::{Payload, Target};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use wire::Signal;

/// Files in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>>>);

struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl Disk for Memory {
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        let files = self.0.lock().unwrap();
        Ok(files.keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(MemoryFile(self.0.lock().unwrap().entry(path.to_owned()).or_default().clone())))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl DiskFile for MemoryFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        parts.iter().for_each(|part| self.0.lock().unwrap().extend_from_slice(part));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.0.lock().unwrap();
        let from = bytes.get(offset as usize..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().truncate(len as usize);
        Ok(())
    }
}

/// A spool as the next process finds it.
struct Life {
    store: Store,
    keys: Vec<Key>,
}

impl Life {
    fn begin(disk: &Memory, config: StoreConfig) -> Life {
        let (store, found) = Store::open(Arc::new(disk.clone()), Path::new("/q"), config).unwrap();
        Life { store, keys: found.keys }
    }

    /// What these pieces are. What two of them have in common counts once: no id is given twice, but the fuzzer does.
    fn read(&self, keys: &[Key]) -> BTreeSet<(u64, u64, Bytes)> {
        let read = |key: &Key| match self.store.read(*key) {
            Ok(piece) => Some((self.store.look(*key).unwrap().id, piece.at, piece.payload.body.contiguous())),
            Err(StoreError::Damaged(_)) => None,
            Err(other) => panic!("{other}"),
        };
        keys.iter().filter_map(read).collect()
    }

    fn finish(&self, keys: impl IntoIterator<Item = Key>) {
        keys.into_iter().for_each(|key| self.store.finish(key));
        self.store.flush_marks().unwrap();
        while self.store.copy_forward(100).unwrap() {}
        self.store.flush_marks().unwrap();
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The highest byte of an id, in both headers. Nobody ever writes so many pieces that it is needed; with checksums that are right it
/// would only say that numbers end somewhere.
const HIGHEST_OF_ID: usize = 27;

/// Makes the checksums of a segment right, frame after frame, as far as their lengths lead.
fn mend_segment(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..SEGMENT_HEADER) else { return };
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[HIGHEST_OF_ID] = 0;
    let sum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    let seed = u32_at(header, 16);
    let mut rest = &mut bytes[SEGMENT_HEADER..];
    while rest.len() >= FRAME_HEADER {
        let (header, body) = rest.split_at_mut(FRAME_HEADER);
        let len = u32_at(header, 12) as usize;
        if let Some(body) = body.get(..len) {
            header[8..12].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        }
        header[..4].copy_from_slice(&FRAME_MAGIC);
        header[HIGHEST_OF_ID] = 0;
        header[19] = 0;
        header[19] = header[8..].iter().fold(0, |all, byte| all ^ byte);
        let sum = crc32c::crc32c(&header[8..]) ^ seed;
        header[4..8].copy_from_slice(&sum.to_le_bytes());
        let Some((_, next)) = body.split_at_mut_checked(len) else { return };
        rest = next;
    }
}

/// The same for marks.
fn mend_marks(mut rest: &mut [u8]) {
    while rest.len() >= 8 {
        let size = if rest[4] == 1 { 4 } else { 12 };
        let end = 8 + size * usize::from(u16::from_le_bytes([rest[6], rest[7]]));
        let Some((frame, next)) = rest.split_at_mut_checked(end) else { return };
        let sum = crc32c::crc32c(&frame[4..]);
        frame[..4].copy_from_slice(&sum.to_le_bytes());
        rest = next;
    }
}

/// Three lives: in the first every other piece is finished, in the second all that are left, beside a new one.
fn go_on(disk: &Memory, config: StoreConfig) {
    let life = Life::begin(disk, config);
    let (done, left): (Vec<_>, Vec<_>) = life.keys.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let [done, left]: [Vec<Key>; 2] = [done, left].map(|keys| keys.into_iter().map(|(_, key)| *key).collect());
    let expected = life.read(&left);
    life.finish(done);
    drop(life);
    let life = Life::begin(disk, config);
    assert_eq!(life.read(&life.keys), expected);
    let payload = Payload::new(Signal::Logs, b"new".to_vec(), 1);
    let new = Piece { payload, target: Target::new("a"), at: u64::MAX, first: 0, note: None };
    let new = life.store.write(&[&new]).unwrap();
    let expected = life.read(&new);
    life.finish(life.keys.iter().copied());
    drop(life);
    let life = Life::begin(disk, config);
    assert_eq!(life.read(&life.keys), expected);
}

fuzz_target!(|input: &[u8]| {
    let [mend, a, b, c, d, rest @ ..] = input else { return };
    let length = |low: &u8, high: &u8| usize::from(u16::from_le_bytes([*low, *high]));
    let (marks, rest) = rest.split_at(length(a, b).min(rest.len()));
    let (second, first) = rest.split_at(length(c, d).min(rest.len()));
    let (mut first, mut second, mut marks) = (first.to_vec(), second.to_vec(), marks.to_vec());
    if mend & 1 != 0 {
        mend_segment(&mut first);
        mend_segment(&mut second);
    }
    if mend & 2 != 0 {
        mend_marks(&mut marks);
    }
    let disk = Memory::default();
    let files = [("0000000001.seg", first), ("0000000001.marks", marks), ("0000000002.seg", second)];
    // What is empty is not there.
    for (name, bytes) in files.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        disk.0.lock().unwrap().insert(Path::new("/q").join(name), Arc::new(Mutex::new(bytes)));
    }
    let config = if mend & 4 == 0 { StoreConfig::default() } else { StoreConfig { segment_bytes: 300 } };
    let [first, second] = [0; 2].map(|_| {
        let life = Life::begin(&disk, config);
        (life.keys.len(), life.read(&life.keys))
    });
    assert_eq!(first, second);
    go_on(&disk, config);
});
