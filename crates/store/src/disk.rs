//! The file layer under the store: as few operations as it needs, so that tests can lose, tear and refuse them.
//!
//! Nothing here knows what is in the files. An operation that failed may have had any part of its effect.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name without the directory's.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// A place for files.
pub trait Disk: Send + Sync {
    /// Makes a directory and those above it, if they are not there.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// What is in a directory; nothing if it is not there.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;
    /// Opens a file to read and append, and makes it if it is not there.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file to read.
    ///
    /// # Errors
    /// `NotFound`, and any of the operating system's.
    fn read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a file.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of one that has it. After a crash either the old or the new one has it, until [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Any of the operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a directory and all that is in it. That it is gone outlives a crash only after [`Disk::sync_dir`] of the one above.
    ///
    /// # Errors
    /// Any of the operating system's; a part of it may be gone.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable: what was made or removed in it.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Locks a file, which it makes if it is not there, until what it gives is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if another process, or another part of this one, has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes all of it at the end of the file.
    ///
    /// # Errors
    /// Any of the operating system's; a part of it may have been written.
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes what was written durable.
    ///
    /// # Errors
    /// Any of the operating system's; what was written since the last sync may be lost or not.
    fn sync(&self) -> io::Result<()>;
    /// Reads exactly so many bytes from an offset on.
    ///
    /// # Errors
    /// Any of the operating system's; `UnexpectedEof` if there are fewer.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// Its length in bytes.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn len(&self) -> io::Result<u64>;
    /// Whether it is empty.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it to so many bytes.
    ///
    /// # Errors
    /// Any of the operating system's.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile(fs::File);

impl Disk for RealDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let mut listed = vec![];
        for entry in entries {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            listed.extend(entry.file_name().into_string().ok().map(|name| Listed { name, is_dir }));
        }
        Ok(listed)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).open(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for RealFile {
    fn append(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut file = &self.0;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match file.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut parts, n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
