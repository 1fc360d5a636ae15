//! The dead letters of a directory that no process uses.
//!
//! Letters that are sent again go into the queue beside them, and out with the next start.

use super::{DeadLetters, Done, Filter, Letter, LetterBox, Summary, Which, disk, revived};
use crate::Why;
use crate::clock::{self, Calendar};
use crate::spool::disk::Disk;
use crate::spool::{DeadLettersConfig, Piece, Store, StoreConfig, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the dead letters of an outlet are, below its directory.
pub const DIRECTORY: &str = "dead";

/// See the module.
pub struct Cold {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    dead: DeadLetters,
    calendar: Calendar,
}

impl Cold {
    /// Opens the letters of an outlet's directory. No bounds hold: looking at letters removes none.
    ///
    /// # Errors
    /// A process has the directory, or it cannot be read.
    pub fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<Cold, StoreError> {
        let none = DeadLettersConfig { max_bytes: 0, max_age: Duration::ZERO };
        let dead = DeadLetters::open(disk.clone(), &directory.join(DIRECTORY), none)?;
        Ok(Cold { disk, directory: directory.to_owned(), dead, calendar: Calendar::new() })
    }
}

impl LetterBox for Cold {
    fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Summary>, Why> {
        self.dead.list(filter, limit).map_err(|error| disk(&error))
    }

    fn read(&self, id: u64) -> Result<Option<Letter>, Why> {
        self.dead.read(id).map_err(|error| disk(&error))
    }

    fn discard(&self, which: &Which) -> Result<Done, Why> {
        self.dead.discard(which).map_err(|error| disk(&error))
    }

    fn replay(&self, which: &Which) -> Result<Done, Why> {
        let (queue, _) =
            Store::open(self.disk.clone(), &self.directory, StoreConfig::default()).map_err(|error| disk(&error))?;
        let put = |letters: Vec<Letter>| {
            let now = self.calendar.millis(clock::now());
            let pieces: Vec<Piece> = letters.into_iter().map(|letter| revived(letter, now)).collect();
            queue.write(&pieces.iter().collect::<Vec<_>>()).map(drop).map_err(|error| disk(&error))
        };
        self.dead.replay(which, put).map_err(|error| disk(&error))
    }
}
