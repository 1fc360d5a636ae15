//! A spool whose files hold anything: it opens, what it says is live can be read or is damaged, and the next start finds the same.

#![no_main]

use flow::spool::disk::{Disk, DiskFile};
use flow::spool::{Store, StoreConfig, StoreError};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

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

/// Opens, reads all, and gives how many pieces can be read.
fn recover(disk: &Memory) -> usize {
    let (store, found) = Store::open(Arc::new(disk.clone()), Path::new("/q"), StoreConfig::default()).unwrap();
    let is_whole = |key| match store.read(key) {
        Ok(_) => true,
        Err(StoreError::Damaged(_)) => false,
        Err(other) => panic!("{other}"),
    };
    found.keys.into_iter().filter(|key| is_whole(*key)).count()
}

fuzz_target!(|input: &[u8]| {
    let [split, rest @ ..] = input else { return };
    let (segment, marks) = rest.split_at(rest.len() * usize::from(*split) / 255);
    let disk = Memory::default();
    for (name, bytes) in [("/q/0000000001.seg", segment), ("/q/0000000001.marks", marks)] {
        disk.0.lock().unwrap().insert(name.into(), Arc::new(Mutex::new(bytes.to_vec())));
    }
    let first = recover(&disk);
    assert_eq!(recover(&disk), first);
});
