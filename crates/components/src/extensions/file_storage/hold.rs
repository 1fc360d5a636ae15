//! A storage directory that this process holds: made if need be, locked, and given back when the handle is dropped.
//!
//! Invariant: of all processes, at most one holds a directory. The lock is the operating system's, so that it ends with the
//! process, however that ends.

use super::{Config, names};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is locked.
const LOCK: &str = "lock";
/// Between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(50);

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    Taken(PathBuf),
    /// The operating system refuses.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What it refuses.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A held directory.
#[derive(Debug)]
pub struct Held {
    directory: PathBuf,
    /// Its lock lasts as long as the open file.
    _lock: File,
}

impl Held {
    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Takes the directory of a configuration, waiting for its lock as long as that says.
///
/// # Errors
/// It is missing and not to be made, another process has it, or it cannot be written to.
pub async fn hold(config: &Config) -> Result<Held, HoldError> {
    let directory = PathBuf::from(&config.directory);
    if config.create_directory {
        // Validated before.
        make(&directory, config.mode().unwrap_or(0o750))?;
    }
    let until = flow::clock::now() + config.lock_timeout();
    loop {
        match try_hold(&directory) {
            Err(HoldError::Taken(_)) if flow::clock::now() < until => tokio::time::sleep(LOOK).await,
            other => return other,
        }
    }
}

/// Takes a directory without waiting.
///
/// # Errors
/// See [`hold`].
pub fn try_hold(directory: &Path) -> Result<Held, HoldError> {
    let path = directory.join(LOCK);
    let failed = |source| HoldError::Io { path: path.clone(), source };
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Held { directory: directory.to_owned(), _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(HoldError::Taken(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes a directory and those above it, with these permissions less the umask. That they are there outlives a crash of the
/// machine: otherwise what is synced in them later would not.
///
/// # Errors
/// It cannot be made.
pub fn make(directory: &Path, mode: u32) -> Result<(), HoldError> {
    if directory.is_dir() {
        return Ok(());
    }
    let failed = |source| HoldError::Io { path: directory.to_owned(), source };
    let above = match directory.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    make(above, mode)?;
    match DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !directory.is_dir() => Err(failed(error)),
        _ => File::open(above).and_then(|above| above.sync_all()).map_err(failed),
    }
}

/// The directories of exporters and signals below a held one that none of `used` is: what they hold waits for nobody.
///
/// # Errors
/// The directory cannot be read.
pub fn unused(held: &Held, used: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let all = names::kept(held.directory())?.into_iter().map(|(_, _, path)| path);
    Ok(all.filter(|path| !used.contains(path)).collect())
}
