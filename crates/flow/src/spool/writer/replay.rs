//! The dead letters of a running queue, as people handle them; those that are sent again become loose pieces.
//!
//! Invariant: a letter is finished only after its piece is in the queue on disk.

use super::Spool;
use crate::dead_letters::{DeadLetters, Done, Filter, Letter, LetterBox, Summary, Which, disk, revived};
use crate::spool::store::{Piece, StoreError};
use crate::{Kind, Why, clock};

impl Spool {
    fn with_dead<T>(&self, act: impl FnOnce(&DeadLetters) -> Result<T, StoreError>) -> Result<T, Why> {
        let none = || Why::new(Kind::Disk, "dead letters are switched off");
        act(self.dead.as_ref().ok_or_else(none)?).map_err(|error| disk(&error))
    }

    /// Writes letters as if they had just come in, and leaves them to the outlet.
    fn revive(&self, letters: Vec<Letter>) -> Result<(), Why> {
        self.room(letters.iter().map(|letter| letter.payload.len()).sum())?;
        let now = self.calendar.millis(clock::now());
        let pieces: Vec<Piece> = letters.into_iter().map(|letter| revived(letter, now)).collect();
        let keys = self.store.write(&pieces.iter().collect::<Vec<_>>()).map_err(|error| self.disk_failed(&error))?;
        self.loosen(keys);
        Ok(())
    }
}

impl LetterBox for Spool {
    fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Summary>, Why> {
        self.with_dead(|dead| dead.list(filter, limit))
    }

    fn read(&self, id: u64) -> Result<Option<Letter>, Why> {
        self.with_dead(|dead| dead.read(id))
    }

    fn discard(&self, which: &Which) -> Result<Done, Why> {
        self.with_dead(|dead| dead.discard(which))
    }

    fn replay(&self, which: &Which) -> Result<Done, Why> {
        if self.orders.lock().closed {
            return Err(Why::new(Kind::Stopping, "the exporter is stopping"));
        }
        self.with_dead(|dead| dead.replay(which, |letters| self.revive(letters)))
    }
}
