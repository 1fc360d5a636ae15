//! The positions of a source: its ledger, and the log in which they outlive the process.
//!
//! Changes are written in groups, when [`Positions::flush`] is called: what a crash loses of them is read again, never
//! lost. Without a directory they live as long as the process.

use super::ledger::{Ledger, Standing};
use super::log::{Log, LogError, Opened};
use super::record::{Change, LONGEST_NAME};
use crate::spool::disk::{Disk, RealDisk};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// See the module.
pub struct Positions {
    ledger: Mutex<Ledger>,
    /// Held while a group is written. None: they are not kept.
    log: Option<Mutex<Log>>,
    opened: Opened,
}

impl Positions {
    /// Positions that are not kept.
    #[must_use]
    pub fn in_memory() -> Positions {
        Positions { ledger: Mutex::default(), log: None, opened: Opened::default() }
    }

    /// Opens those in a directory that is only for them. Blocks.
    ///
    /// # Errors
    /// The directory is in use, cannot be read, or has a file that is not ours. Damage is no error: see
    /// [`Positions::opened`].
    pub fn open(dir: &Path) -> Result<Positions, LogError> {
        Positions::open_on(Arc::new(RealDisk), dir)
    }

    /// The same on any file layer.
    ///
    /// # Errors
    /// As of [`Positions::open`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Positions, LogError> {
        let (log, entries, opened) = Log::open(disk, dir)?;
        Ok(Positions { ledger: Mutex::new(Ledger::of(entries)), log: Some(Mutex::new(log)), opened })
    }

    /// What opening found. If anything was damaged, streams that seem new may not be: better read them from their
    /// beginning.
    #[must_use]
    pub fn opened(&self) -> Opened {
        self.opened
    }

    /// Does something with the ledger, under its lock.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.ledger.lock())
    }

    /// What is still to be read of a stream; none if it is not known.
    #[must_use]
    pub fn standing(&self, stream: &str) -> Option<Standing> {
        self.ledger.lock().standing(stream)
    }

    /// Whether a flush would write something.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.log.is_some() && self.ledger.lock().is_dirty()
    }

    /// Writes what changed, and syncs it. Blocks.
    ///
    /// # Errors
    /// The disk. The changes stay to be written.
    pub fn flush(&self) -> Result<(), LogError> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut log = log.lock();
        let mut changes = self.ledger.lock().take_changes();
        changes.retain(|(name, _)| name.len() <= LONGEST_NAME);
        if changes.is_empty() {
            return Ok(());
        }
        let all = || {
            let ledger = self.ledger.lock();
            let kept = ledger.entries().filter(|(name, _)| name.len() <= LONGEST_NAME);
            kept.map(|(name, entry)| (name.clone(), Some(entry.clone()))).collect::<Vec<Change>>()
        };
        log.write(&changes, all).inspect_err(|_| {
            self.ledger.lock().keep_changes(changes.iter().map(|(name, _)| name.clone()));
        })
    }
}
