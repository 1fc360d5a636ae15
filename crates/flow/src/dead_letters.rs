//! What could finally not be delivered, with its reason, kept on disk within a bound until a person looks at it.
//!
//! A letter is a piece of a [`Store`] whose note says why it is there. The oldest go when there are too many, and what is too old
//! goes; both are counted.
//!
//! Invariants: a letter has one owner: the list in memory, or whoever took it out of there to finish it, so that nobody finishes
//! the letter that was given its key since; what is buried is on disk before [`DeadLetters::bury`] returns; a letter that is
//! sent again is finished only after it is in the queue on disk. It does NOT decide what becomes a letter (that is the lane's).

mod cold;
mod note;

pub use cold::{Cold, DIRECTORY};

use crate::spool::disk::Disk;
use crate::spool::view::DeadView;
use crate::spool::{DeadLettersConfig, Key, Piece, Store, StoreConfig, StoreError};
use crate::stats::{ByKind, Count};
use crate::{Kind, Payload, Target, Why};
use note::Note;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// Payload bytes that are sent again with one sync.
const TOGETHER: usize = 4 << 20;
/// Bytes that are copied forward at once.
const COPY_BYTES: u64 = 4 << 20;

/// One letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// What could not be delivered.
    pub payload: Payload,
    /// Where it was to go.
    pub target: Target,
    /// Why it was given up.
    pub reason: Kind,
    /// The same for people, at most [`note::LONGEST`] bytes of it.
    pub text: String,
    /// Milliseconds since the epoch at its first attempt; 0 if there was none.
    pub first: u64,
    /// Milliseconds since the epoch at its last attempt.
    pub last: u64,
    /// Attempts that are known of.
    pub attempts: u32,
    /// Milliseconds since the epoch when it became a letter.
    pub at: u64,
}

/// What a list shows of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its number: it never changes, and belongs to no other letter of the same exporter and signal.
    pub id: u64,
    /// Where it was to go.
    pub target: Target,
    /// Why it was given up.
    pub reason: Kind,
    /// The same for people.
    pub text: String,
    /// As in [`Letter`].
    pub first: u64,
    /// As in [`Letter`].
    pub last: u64,
    /// As in [`Letter`].
    pub attempts: u32,
    /// As in [`Letter`].
    pub at: u64,
    /// Records in it.
    pub records: u64,
    /// Payload bytes of those.
    pub bytes: u64,
}

/// Letters with something in common; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those for this target.
    pub target: Option<String>,
    /// Those given up for this reason.
    pub reason: Option<Kind>,
}

/// Which letters something is to be done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These. What is not there is passed over.
    Ids(Vec<u64>),
    /// All of these.
    Matching(Filter),
}

/// What was done with letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// So many letters.
    pub letters: u64,
    /// Records in them.
    pub records: u64,
    /// Why it was not all of them.
    pub stopped: Option<Why>,
}

/// Dead letters of one exporter and signal, as people handle them: of a running process ([`crate::spool::Spool`]) or of its
/// directory ([`Cold`]). Every call may block on the disk.
pub trait LetterBox: Send + Sync {
    /// The oldest letters, `limit` at most.
    ///
    /// # Errors
    /// They cannot be read.
    fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Summary>, Why>;

    /// One letter; none if there is none of this number.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, id: u64) -> Result<Option<Letter>, Why>;

    /// Removes letters for good.
    ///
    /// # Errors
    /// They cannot be read.
    fn discard(&self, which: &Which) -> Result<Done, Why>;

    /// Puts letters back into the queue on disk, with all their time before them.
    ///
    /// # Errors
    /// They cannot be read. What is in the way of writing them is in [`Done::stopped`].
    fn replay(&self, which: &Which) -> Result<Done, Why>;
}

/// A letter in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: u64,
    key: Key,
}

#[derive(Debug, Default)]
struct Stats {
    buried: ByKind,
    evicted: Count,
    expired: Count,
    discarded: Count,
    replayed: Count,
    damaged: Count,
}

/// See the module.
pub struct DeadLetters {
    store: Store,
    bounds: Mutex<DeadLettersConfig>,
    /// Those that nobody took out, by ascending id, which is by age.
    entries: Mutex<VecDeque<Entry>>,
    stats: Stats,
}

impl DeadLetters {
    /// Opens those of a directory, which is made if it is missing. Damage is no error: damaged letters are counted as lost.
    ///
    /// # Errors
    /// Another process has the directory, or it cannot be read.
    pub fn open(disk: Arc<dyn Disk>, directory: &Path, bounds: DeadLettersConfig) -> Result<DeadLetters, StoreError> {
        let (store, recovered) = Store::open(disk, directory, shape(bounds))?;
        for place in &recovered.damaged {
            tracing::error!(directory = %directory.display(), segment = place.segment, offset = place.offset, what = %place.what, "damaged dead letter");
        }
        let entry = |key| Some(Entry { id: store.look(key)?.id, key });
        let mut entries: Vec<Entry> = store.live().into_iter().filter_map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        let letters = DeadLetters {
            store,
            bounds: Mutex::new(bounds),
            entries: Mutex::new(entries.into()),
            stats: Stats::default(),
        };
        letters.stats.damaged.add(recovered.damaged_total);
        letters.evict();
        Ok(letters)
    }

    /// Lets go of the directory: nothing is written any more.
    pub fn close(&self) {
        self.store.close();
    }

    /// Sets other bounds, which hold from the next letter or [`DeadLetters::expire`] on.
    pub fn configure(&self, bounds: DeadLettersConfig) {
        *self.bounds.lock() = bounds;
    }

    /// Keeps letters: all of them are on disk afterwards, or none. The oldest go if there are too many.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn bury(&self, letters: Vec<Letter>) -> Result<(), StoreError> {
        let counts: Vec<(Kind, u64)> = letters.iter().map(|l| (l.reason, u64::from(l.payload.records))).collect();
        let pieces: Vec<Piece> = letters.into_iter().map(piece).collect();
        if pieces.is_empty() {
            return Ok(());
        }
        let keys = self.store.write(&pieces.iter().collect::<Vec<_>>())?;
        counts.into_iter().for_each(|(kind, records)| self.stats.buried.add(kind, records));
        let entry = |key| Some(Entry { id: self.store.look(key)?.id, key });
        keys.into_iter().filter_map(entry).for_each(|entry| self.put_back(entry));
        self.evict();
        Ok(())
    }

    /// Drops letters that are too old at this time (milliseconds since the epoch), and gives the space of those that went back.
    ///
    /// # Errors
    /// The disk cannot be written; the letters are gone all the same, and may be back after a restart.
    pub fn expire(&self, now: u64) -> Result<(), StoreError> {
        let max_age = self.bounds.lock().max_age;
        if !max_age.is_zero() {
            let limit = now.saturating_sub(u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX));
            while let Some(entry) = self.take_first_if(|look_at| look_at < limit) {
                self.stats.expired.add(self.finish(entry));
            }
        }
        self.evict();
        self.store.flush_marks()?;
        self.store.copy_forward(COPY_BYTES).map(drop)
    }

    /// A look at them.
    #[must_use]
    pub fn view(&self) -> DeadView {
        let (totals, stats) = (self.store.totals(), &self.stats);
        DeadView {
            letters: totals.pieces,
            records: totals.records,
            bytes: totals.bytes,
            buried: stats.buried.iter().collect(),
            evicted_records: stats.evicted.get(),
            expired_records: stats.expired.get(),
            discarded_records: stats.discarded.get(),
            replayed_records: stats.replayed.get(),
            damaged: stats.damaged.get(),
        }
    }

    /// The oldest letters that match, `limit` at most.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Summary>, StoreError> {
        let entries: Vec<Entry> = self.entries.lock().iter().copied().collect();
        let mut found = vec![];
        for entry in entries {
            if found.len() >= limit {
                break;
            }
            // Without I/O, where that is enough.
            if !self.store.look(entry.key).is_some_and(|look| filter.takes_target(&look.target)) {
                continue;
            }
            if let Some(letter) = self.get(entry)?
                && filter.takes(&letter)
            {
                found.push(summary(entry.id, &letter));
            }
        }
        Ok(found)
    }

    /// One letter.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, id: u64) -> Result<Option<Letter>, StoreError> {
        let entry = {
            let entries = self.entries.lock();
            entries.binary_search_by_key(&id, |entry| entry.id).ok().map(|at| entries[at])
        };
        entry.map_or(Ok(None), |entry| self.get(entry))
    }

    /// Removes letters for good.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn discard(&self, which: &Which) -> Result<Done, StoreError> {
        let mut done = Done::default();
        for id in self.ids(which)? {
            let Some(entry) = self.take(id) else { continue };
            let records = self.finish(entry);
            self.stats.discarded.add(records);
            (done.letters, done.records) = (done.letters + 1, done.records + records);
        }
        self.store.flush_marks()?;
        Ok(done)
    }

    /// Takes letters out and gives them to `put`, several at once. They are finished once it succeeds, so that a crash in between
    /// sends them twice. If it fails the rest stays.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn replay(
        &self,
        which: &Which,
        mut put: impl FnMut(Vec<Letter>) -> Result<(), Why>,
    ) -> Result<Done, StoreError> {
        let mut done = Done::default();
        let mut ids = self.ids(which)?.into_iter().peekable();
        while ids.peek().is_some() && done.stopped.is_none() {
            let (mut taken, mut letters, mut bytes) = (vec![], vec![], 0);
            while let Some(id) = ids.next_if(|_| bytes < TOGETHER) {
                let Some(entry) = self.take(id) else { continue };
                match self.load(entry) {
                    Ok(Some(letter)) => {
                        bytes += letter.payload.len();
                        taken.push(entry);
                        letters.push(letter);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        taken.push(entry);
                        taken.into_iter().for_each(|entry| self.put_back(entry));
                        return Err(error);
                    }
                }
            }
            match put(letters) {
                Ok(()) => {
                    let records = taken.iter().map(|entry| self.finish(*entry)).sum();
                    self.stats.replayed.add(records);
                    (done.letters, done.records) = (done.letters + taken.len() as u64, done.records + records);
                }
                Err(why) => {
                    taken.into_iter().for_each(|entry| self.put_back(entry));
                    done.stopped = Some(why);
                }
            }
        }
        self.store.flush_marks()?;
        Ok(done)
    }

    fn ids(&self, which: &Which) -> Result<Vec<u64>, StoreError> {
        match which {
            Which::Ids(ids) => Ok(ids.clone()),
            // Nothing has to be read to know them all.
            Which::Matching(filter) if *filter == Filter::default() => {
                Ok(self.entries.lock().iter().map(|entry| entry.id).collect())
            }
            Which::Matching(filter) => Ok(self.list(filter, usize::MAX)?.into_iter().map(|letter| letter.id).collect()),
        }
    }

    /// A letter that stays in the list.
    fn get(&self, entry: Entry) -> Result<Option<Letter>, StoreError> {
        let read = self.store.read(entry.key);
        let stayed = {
            let entries = self.entries.lock();
            entries.binary_search_by_key(&entry.id, |e| e.id).is_ok_and(|at| entries[at] == entry)
        };
        match read {
            // Whoever took it out meanwhile knows what became of it, and the key may be another's.
            _ if !stayed => Ok(None),
            Ok(piece) => Ok(Some(letter(piece))),
            Err(StoreError::Damaged { .. }) => {
                if self.take(entry.id).is_some() {
                    self.lose(entry);
                }
                Ok(None)
            }
            Err(StoreError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a letter that was taken out and is damaged.
    fn lose(&self, entry: Entry) {
        tracing::error!(letter = entry.id, "a dead letter is damaged");
        self.stats.damaged.add(1);
        self.store.finish(entry.key);
    }

    /// A letter that was taken out. Damaged: it is lost, and done with.
    fn load(&self, entry: Entry) -> Result<Option<Letter>, StoreError> {
        match self.store.read(entry.key) {
            Ok(piece) => Ok(Some(letter(piece))),
            Err(StoreError::Damaged { .. }) => {
                self.lose(entry);
                Ok(None)
            }
            Err(StoreError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn take(&self, id: u64) -> Option<Entry> {
        let mut entries = self.entries.lock();
        let at = entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        entries.remove(at)
    }

    /// Takes the oldest out, if the time at which it became a letter is so.
    fn take_first_if(&self, wanted: impl Fn(u64) -> bool) -> Option<Entry> {
        let mut entries = self.entries.lock();
        let first = entries.front()?;
        let is_wanted = self.store.look(first.key).is_none_or(|look| wanted(look.at));
        if is_wanted { entries.pop_front() } else { None }
    }

    fn put_back(&self, entry: Entry) {
        let mut entries = self.entries.lock();
        let at = entries.partition_point(|other| other.id < entry.id);
        entries.insert(at, entry);
    }

    /// Ends a letter that was taken out, and gives its records.
    fn finish(&self, entry: Entry) -> u64 {
        let records = self.store.look(entry.key).map_or(0, |look| look.records);
        self.store.finish(entry.key);
        records
    }

    /// Drops the oldest until the rest is within the bound.
    fn evict(&self) {
        let limit = self.bounds.lock().max_bytes;
        while limit > 0 && self.store.totals().bytes > limit {
            let Some(entry) = self.take_first_if(|_| true) else { return };
            self.stats.evicted.add(self.finish(entry));
        }
    }
}

impl Filter {
    fn takes_target(&self, target: &Target) -> bool {
        self.target.as_deref().is_none_or(|wanted| wanted == target.to_string())
    }

    fn takes(&self, letter: &Letter) -> bool {
        self.takes_target(&letter.target) && self.reason.is_none_or(|wanted| wanted == letter.reason)
    }
}

/// Small segments, so that space is given back soon after letters went.
fn shape(bounds: DeadLettersConfig) -> StoreConfig {
    let segment_bytes = match bounds.max_bytes {
        0 => 16 << 20,
        bytes => (bytes / 16).clamp(1 << 20, 16 << 20),
    };
    StoreConfig { segment_bytes }
}

fn piece(letter: Letter) -> Piece {
    let note = Note::of(&letter).encode();
    Piece { payload: letter.payload, target: letter.target, at: letter.at, first: letter.first, note: Some(note) }
}

fn letter(piece: Piece) -> Letter {
    let note = piece.note.as_deref().map(Note::decode).unwrap_or_default();
    Letter {
        payload: piece.payload,
        target: piece.target,
        reason: note.reason(),
        text: note.text,
        first: note.first,
        last: note.last,
        attempts: note.attempts,
        at: piece.at,
    }
}

fn summary(id: u64, letter: &Letter) -> Summary {
    Summary {
        id,
        target: letter.target.clone(),
        reason: letter.reason,
        text: letter.text.clone(),
        first: letter.first,
        last: letter.last,
        attempts: letter.attempts,
        at: letter.at,
        records: u64::from(letter.payload.records),
        bytes: letter.payload.len() as u64,
    }
}

/// A letter as a piece of the queue that it goes back to: as if it had just come in.
#[must_use]
pub fn revived(letter: Letter, now: u64) -> Piece {
    Piece { payload: letter.payload, target: letter.target, at: now, first: 0, note: None }
}

/// What a failure of the disk means to a person.
pub(crate) fn disk(error: &StoreError) -> Why {
    Why::new(Kind::Disk, error.to_string())
}

#[cfg(test)]
mod tests;
