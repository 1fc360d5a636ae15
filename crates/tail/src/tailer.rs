//! Files as one: which there are, whose turn it is, what they give.
//!
//! A [`Tailer`] has no thread and no clock. [`Tailer::poll`] looks for files if that is due ([`discover`]), then visits
//! those that may have grown, one after the other and each for a bounded number of bytes ([`visit`]), until the sink
//! has enough. It says when it should be called next. Who calls it less often loses nothing but time, and files that
//! are deleted meanwhile.
//!
//! A file that does not grow is looked at less and less often, and closed when others need its place; one that is not
//! where it was any more stays open until it was read, within bounds of age and bytes.

mod discover;
mod visit;

use crate::config::{Config, ConfigError};
use crate::file::Tracked;
use crate::framing::Framer;
use crate::identity::Identity;
use crate::notice::{Notice, Notices, Trouble};
use crate::state::{FileState, Resumed};
use crate::walk::Walk;
use discover::Suspect;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use visit::Visited;

/// A walk that looks at fewer names may be made at any time.
const CHEAP: u64 = 2000;

/// A number for a file, within this process.
type Key = u64;

/// A part of a record that is longer than a record may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0 on.
    pub number: u32,
    /// Whether it is the last one.
    pub is_last: bool,
}

/// A record.
#[derive(Debug)]
pub struct Line<'a> {
    /// The name of its stream.
    pub id: &'a Arc<str>,
    /// Where the file is.
    pub path: &'a Arc<Path>,
    /// The generation of the file.
    pub generation: u64,
    /// What the caller noted of the file.
    pub memo: &'a str,
    /// Its text, without what ends it: UTF-8, unless the encoding is raw.
    pub text: &'a [u8],
    /// Its bytes in the file, with what ends it. Records of one file follow each other without a gap, but for what is
    /// not read again.
    pub range: Range<u64>,
    /// If it is a part of a longer one.
    pub part: Option<Part>,
}

/// What a sink says after a record, which it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It takes another.
    More,
    /// It has enough for now.
    Enough,
}

/// Who takes records.
pub trait Sink {
    /// Takes a record.
    fn line(&mut self, line: &Line<'_>) -> Take;
}

impl<F: FnMut(&Line<'_>) -> Take> Sink for F {
    fn line(&mut self, line: &Line<'_>) -> Take {
        self(line)
    }
}

/// What happened to files, in its order. Events of a poll come before what it gave, in meaning: handle them first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file is read from here on: it is new, or its content is (a higher generation). [`Tailer::state`] is what to
    /// keep of it.
    Began {
        /// The name of its stream.
        id: Arc<str>,
        /// The generation.
        generation: u64,
        /// The first offset.
        at: u64,
    },
    /// What to keep of a file changed.
    Changed {
        /// The name of its stream.
        id: Arc<str>,
    },
    /// All that is in a file was given, and it has not grown for a while. Told once, until it grows.
    AtEnd {
        /// The name of its stream.
        id: Arc<str>,
    },
    /// A file is not read any more.
    Over {
        /// The name of its stream.
        id: Arc<str>,
    },
}

/// When to call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// There is more to give now.
    pub is_ready: bool,
    /// Else nothing happens before this.
    pub at: Instant,
}

/// What was counted, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Files that are known.
    pub files: u64,
    /// Of those, the ones that are open.
    pub open: u64,
    /// Records given.
    pub records: u64,
    /// Bytes of files given, as records and what ends them.
    pub bytes: u64,
    /// Bytes that went away unread, as far as is known.
    pub lost_bytes: u64,
    /// Times that a file was emptied, or overwritten.
    pub emptied: u64,
    /// Times that a file was moved.
    pub moved: u64,
    /// Files that were left out because there are too many.
    pub left_out: u64,
}

/// See the module.
pub struct Tailer {
    config: Config,
    framer: Framer,
    walk: Walk,
    files: BTreeMap<Key, Tracked>,
    by_inode: HashMap<(u64, u64), Key>,
    by_id: HashMap<Arc<str>, Key>,
    next_key: Key,
    /// Files that look like copies.
    suspects: Vec<Suspect>,
    /// Files that may have something to give, in the order of their turns.
    ready: VecDeque<Key>,
    /// When the others are looked at.
    due: BTreeSet<(Instant, Key)>,
    due_of: HashMap<Key, Instant>,
    /// Open files by the time of their last use.
    open: BTreeSet<(u64, Key)>,
    uses: u64,
    walks: u64,
    /// The earliest time of the next walk if there is news, and the latest.
    walk_at: (Instant, Instant),
    /// Something can only be decided by a walk,
    needs_walk: bool,
    /// at once, if that is not too dear.
    is_urgent: bool,
    /// There are states of an earlier run.
    is_resumed: bool,
    oldest: Option<SystemTime>,
    buffer: Vec<u8>,
    events: Vec<Event>,
    changed: BTreeSet<Key>,
    notices: Notices,
    stats: Stats,
}

impl Tailer {
    /// One that has looked at nothing yet, with what is known of an earlier run.
    ///
    /// # Errors
    /// The configuration cannot be.
    pub fn new(config: Config, resumed: Vec<Resumed>, now: Instant) -> Result<Tailer, ConfigError> {
        config.check()?;
        let framer = Framer::new(config.encoding, config.multiline.clone(), config.max_record);
        let mut tailer = Tailer {
            walk: Walk::new(&config)?,
            framer,
            config,
            files: BTreeMap::new(),
            by_inode: HashMap::new(),
            by_id: HashMap::new(),
            next_key: 0,
            suspects: vec![],
            ready: VecDeque::new(),
            due: BTreeSet::new(),
            due_of: HashMap::new(),
            open: BTreeSet::new(),
            uses: 0,
            walks: 0,
            walk_at: (now, now),
            needs_walk: true,
            is_urgent: false,
            is_resumed: !resumed.is_empty(),
            oldest: None,
            buffer: vec![],
            events: vec![],
            changed: BTreeSet::new(),
            notices: Notices::default(),
            stats: Stats::default(),
        };
        resumed.into_iter().for_each(|resumed| tailer.resume(resumed, now));
        Ok(tailer)
    }

    fn resume(&mut self, Resumed { state, from, skip }: Resumed, now: Instant) {
        let mut file = Tracked::new(state.id.into(), state.path.into(), state.identity, now);
        (file.generation, file.offset, file.memo) = (state.generation, from, state.memo);
        (file.fingerprint, file.check, file.is_packed) = (state.fingerprint, state.check, state.is_packed);
        (file.skip, file.is_unproven) = (skip.into(), true);
        self.insert(file);
    }

    /// Files that were not changed since then are left out when they are found.
    pub fn exclude_older_than(&mut self, oldest: Option<SystemTime>) {
        self.oldest = oldest;
    }

    /// Looks for files if that is due, and gives what is new in them, until the sink has enough. See [`Event`] for what
    /// to do with [`Tailer::take_events`] afterwards.
    pub fn poll(&mut self, now: Instant, sink: &mut dyn Sink) -> Next {
        if self.needs_walk && now >= self.walk_at.0
            || now >= self.walk_at.1
            || now >= self.walk_at.0 && self.walk.has_news()
        {
            self.discover(now);
        }
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, key));
            self.due_of.remove(&key);
            self.ready.push_back(key);
        }
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            match self.visit(key, now, sink) {
                Visited::Done(at) => self.wait(key, at),
                Visited::More => self.ready.push_back(key),
                Visited::Enough => {
                    self.ready.push_back(key);
                    break;
                }
                Visited::Over => self.remove(key),
            }
        }
        if std::mem::take(&mut self.is_urgent) && (now >= self.walk_at.0 || self.walk.names() < CHEAP) {
            self.discover(now);
        }
        let next = self.due.first().map_or(self.walk_at.1, |(at, _)| *at).min(self.walk_at.1);
        // A look at whether directories changed is due sooner than a walk.
        Next { is_ready: !self.ready.is_empty(), at: next.min(self.walk_at.0.max(now + self.config.poll)) }
    }

    /// Looks for files if that is due, and reads nothing: for who cannot take more now. Files that are moved meanwhile
    /// are followed, and one that is emptied is seen.
    pub fn watch(&mut self, now: Instant) {
        if now >= self.walk_at.0 && (self.needs_walk || now >= self.walk_at.1 || self.walk.has_news()) {
            self.discover(now);
        }
    }

    /// Bytes that were seen in files and are not given yet; those of packed files are not known.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let plain = self.files.values().filter(|file| !file.is_packed);
        plain.map(|file| file.size.saturating_sub(file.offset)).sum()
    }

    /// What happened since this was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        let changed = std::mem::take(&mut self.changed);
        let ids = changed.into_iter().filter_map(|key| self.files.get(&key)).map(|file| file.id.clone());
        self.events.extend(ids.map(|id| Event::Changed { id }));
        std::mem::take(&mut self.events)
    }

    /// What people should be told.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.take()
    }

    /// How often something was wrong.
    #[must_use]
    pub fn troubles(&self, trouble: Trouble) -> u64 {
        self.notices.count(trouble)
    }

    /// What to keep of a file.
    #[must_use]
    pub fn state(&self, id: &str) -> Option<FileState> {
        self.by_id.get(id).and_then(|key| self.files.get(key)).map(FileState::of)
    }

    /// Notes something of a file, which is kept with its state and given with its records.
    pub fn set_memo(&mut self, id: &str, memo: String) {
        if let Some(key) = self.by_id.get(id)
            && let Some(file) = self.files.get_mut(key)
        {
            file.memo = memo;
            self.changed.insert(*key);
        }
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { files: self.files.len() as u64, open: self.open.len() as u64, ..self.stats }
    }

    /// Deletes a file of which all was given ([`Event::AtEnd`]) and, as the caller knows, delivered: if it is still
    /// that file, and nothing came since.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn delete(&mut self, id: &str) -> std::io::Result<bool> {
        let Some(file) = self.by_id.get(id).and_then(|key| self.files.get(key)) else { return Ok(false) };
        let metadata = std::fs::metadata(&file.path)?;
        if !file.is_at_end || metadata.len() != file.size || !Identity::of(&metadata).is_same(&file.identity) {
            return Ok(false);
        }
        std::fs::remove_file(&file.path)?;
        self.needs_walk = true;
        Ok(true)
    }

    fn insert(&mut self, file: Tracked) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        let inode = (file.identity.device, file.identity.inode);
        self.by_inode.insert(inode, key);
        self.by_id.insert(file.id.clone(), key);
        self.files.insert(key, file);
        key
    }

    fn remove(&mut self, key: Key) {
        let Some(file) = self.files.remove(&key) else { return };
        self.open.remove(&(file.used, key));
        self.forget_inode(key, &file.identity);
        self.by_id.remove(&file.id);
        if let Some(at) = self.due_of.remove(&key) {
            self.due.remove(&(at, key));
        }
        self.changed.remove(&key);
        self.events.push(Event::Over { id: file.id });
    }

    fn forget_inode(&mut self, key: Key, identity: &Identity) {
        let inode = (identity.device, identity.inode);
        if self.by_inode.get(&inode) == Some(&key) {
            self.by_inode.remove(&inode);
        }
    }

    /// The file is looked at then.
    fn wait(&mut self, key: Key, at: Instant) {
        if let Some(before) = self.due_of.insert(key, at) {
            self.due.remove(&(before, key));
        }
        self.due.insert((at, key));
    }

    /// The file is looked at next, unless it is its turn already.
    fn wake(&mut self, key: Key, now: Instant) {
        if self.due_of.contains_key(&key) {
            self.wait(key, now);
        }
    }

    fn began(&mut self, key: Key) {
        let Some(file) = self.files.get(&key) else { return };
        let (id, generation, at) = (file.id.clone(), file.generation, file.offset);
        self.events.push(Event::Began { id, generation, at });
        self.changed.insert(key);
    }

    /// Bytes of a file that are gone without having been read.
    fn lost(&mut self, now: Instant, path: &Path, bytes: u64, how: &str) {
        if bytes > 0 {
            self.stats.lost_bytes += bytes;
            let text = format!("{how}: {bytes} bytes were not read");
            self.notices.add(now, Trouble::Lost, path, text);
        }
    }

    /// How long until a file that last grew then is looked at again.
    fn pause(&self, now: Instant, grew: Instant) -> Duration {
        let idle = now.saturating_duration_since(grew);
        (idle / 4).clamp(self.config.poll, self.config.idle_poll.max(self.config.poll))
    }
}

/// A name that no other stream has.
fn new_id() -> Arc<str> {
    // Each of these has keys of its own, at random.
    format!("{:016x}", RandomState::new().hash_one(0u8)).into()
}

#[cfg(test)]
mod tests;
