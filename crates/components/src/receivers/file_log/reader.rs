//! The files of one receiver, as they are read: what happens to them, and what comes of it in one round.
//!
//! It blocks on the file system: it is for a thread that may.

use super::config::Config;
use super::gather::{Gather, Gathered};
use super::stats::FileStats;
use flow::source::{Feed, Standing};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tail::{ConfigError, Event, FileState, Notice, Resumed, StartAt, Tailer};

/// Between two looks at how much is not read yet.
const MEASURED: Duration = Duration::from_secs(1);

/// See the module.
pub struct Reader {
    tailer: Tailer,
    gather: Gather,
    oldest: Duration,
    deletes: bool,
    /// Where each file was read to, if files are to be deleted.
    read_to: HashMap<Arc<str>, u64>,
    /// Files that may be deleted once all of them is delivered.
    ended: HashSet<Arc<str>>,
    measured: Option<Instant>,
    stats: Arc<FileStats>,
}

/// Something to be told to the source.
pub enum Told {
    /// A file is read from here on.
    Began {
        /// Its stream.
        stream: Arc<str>,
        /// The generation.
        generation: u64,
        /// The first offset.
        at: u64,
        /// What to keep of it.
        note: Vec<u8>,
    },
    /// What to keep of it changed.
    Changed {
        /// Its stream.
        stream: Arc<str>,
        /// What to keep of it.
        note: Vec<u8>,
    },
}

/// What came of a round.
pub struct Round {
    /// What happened, before what was gathered.
    pub told: Vec<Told>,
    /// What was read.
    pub gathered: Gathered,
    /// Files that are not read any more.
    pub over: Vec<Arc<str>>,
    /// What people should know.
    pub notices: Vec<Notice>,
    /// There is more now.
    pub is_ready: bool,
    /// Else nothing happens before this.
    pub next: Instant,
}

impl Round {
    /// Tells the source what happened.
    pub fn tell(&self, feed: &Feed) {
        for told in &self.told {
            match told {
                Told::Began { stream, generation, at, note } => feed.begin(stream, *generation, *at, note),
                Told::Changed { stream, note } => feed.note(stream, note),
            }
        }
    }
}

impl Reader {
    /// Goes on where a source has come to.
    ///
    /// # Errors
    /// As of [`Tailer::new`].
    pub fn new(
        config: &Config,
        streams: Vec<(Arc<str>, Standing)>,
        is_damaged: bool,
        now: Instant,
        stats: Arc<FileStats>,
    ) -> Result<Reader, ConfigError> {
        let resumed = streams.into_iter().filter_map(|(name, standing)| {
            let mut state: FileState = serde_json::from_slice(&standing.note).ok()?;
            state.id = name.to_string();
            state.generation = standing.generation;
            Some(Resumed { state, from: standing.from, skip: standing.skip })
        });
        let mut tail = config.tail().map_err(|(_, error)| error)?;
        if is_damaged {
            // What seems new may not be.
            tail.start_at = StartAt::Beginning;
        }
        let tailer = Tailer::new(tail, resumed.collect(), now)?;
        let gather = Gather::new(config, now);
        let (oldest, deletes) = (config.exclude_older_than.0, config.delete_after_read);
        let (read_to, ended) = (HashMap::new(), HashSet::new());
        Ok(Reader { tailer, gather, oldest, deletes, read_to, ended, measured: None, stats })
    }

    /// Reads what there is, up to a batch.
    #[must_use]
    pub fn round(&mut self, now: Instant, since_epoch: Duration) -> Round {
        if !self.oldest.is_zero() {
            self.tailer.exclude_older_than(UNIX_EPOCH.checked_add(since_epoch.saturating_sub(self.oldest)));
        }
        self.gather.at(now, since_epoch);
        self.gather.flush(false);
        let next = self.tailer.poll(now, &mut self.gather);
        let round = self.told(next.is_ready, next.at);
        self.measure(now);
        round
    }

    /// Looks for files that were moved, and reads nothing: while the source is held back.
    #[must_use]
    pub fn look(&mut self, now: Instant) -> Vec<Notice> {
        self.tailer.watch(now);
        self.measure(now);
        self.tailer.take_notices()
    }

    /// Everything ends: what operators hold comes out.
    #[must_use]
    pub fn last(&mut self, now: Instant) -> Round {
        self.gather.flush(true);
        self.told(false, now)
    }

    fn told(&mut self, is_ready: bool, at: Instant) -> Round {
        let (mut told, mut over) = (vec![], vec![]);
        for event in self.tailer.take_events() {
            match event {
                Event::Began { id: stream, generation, at } => {
                    let note = self.note(&stream);
                    told.push(Told::Began { stream, generation, at, note });
                }
                Event::Changed { id: stream } => {
                    let note = self.note(&stream);
                    told.push(Told::Changed { stream, note });
                }
                Event::AtEnd { id } => {
                    if self.deletes {
                        self.ended.insert(id);
                    }
                }
                Event::Over { id } => {
                    self.ended.remove(&id);
                    self.read_to.remove(&id);
                    over.push(id);
                }
            }
        }
        let gathered = self.gather.take();
        if self.deletes {
            self.read_to.extend(gathered.spans.iter().map(|span| (span.stream.clone(), span.range.end)));
        }
        let next = self.gather.due().map_or(at, |due| at.min(due));
        Round { told, gathered, over, notices: self.tailer.take_notices(), is_ready, next }
    }

    fn note(&self, stream: &str) -> Vec<u8> {
        // Paths that are no text cannot be written: such a file is begun anew after a restart.
        self.tailer.state(stream).and_then(|state| serde_json::to_vec(&state).ok()).unwrap_or_default()
    }

    /// What went wrong in operators.
    pub fn take_troubles(&mut self) -> Vec<operators::Trouble> {
        self.gather.take_troubles()
    }

    /// Deletes the files of which all was delivered, as far as `is_settled` says so of a stream up to an offset. Gives
    /// those that could not be.
    pub fn delete(&mut self, is_settled: impl Fn(&str, u64) -> bool) -> Vec<std::io::Error> {
        let (mut errors, read_to, tailer) = (vec![], &self.read_to, &mut self.tailer);
        self.ended.retain(|stream| {
            if !read_to.get(stream).is_none_or(|end| is_settled(stream, *end)) {
                return true;
            }
            errors.extend(tailer.delete(stream).err());
            false
        });
        errors
    }

    /// Whether files wait to be deleted.
    #[must_use]
    pub fn waits_to_delete(&self) -> bool {
        !self.ended.is_empty()
    }

    fn measure(&mut self, now: Instant) {
        if self.measured.is_some_and(|at| now.saturating_duration_since(at) < MEASURED) {
            return;
        }
        self.measured = Some(now);
        let troubles = tail::Trouble::ALL.map(|trouble| self.tailer.troubles(trouble));
        self.stats.set(self.tailer.stats(), self.tailer.unread(), troubles, self.gather.failures());
    }
}
