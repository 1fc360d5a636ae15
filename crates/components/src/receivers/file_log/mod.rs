//! The `file_log` receiver: files as they grow, through rotation, truncation and restarts.
//!
//! ```text
//! files ─► Reader (tail, on a thread that may block) ─► Gather (operators, OTLP bytes) ─► Feed::submit ─► pipelines
//!            ▲                                                                              │
//!            └────────────────── positions, as what was handed over is delivered ◄──────────┘
//! ```
//!
//! | to change | open |
//! |---|---|
//! | keys and defaults | [`config`] |
//! | what is read in a round | [`reader`] |
//! | how records become OTLP | [`gather`] |
//! | what operators do | the crate `operators` |
//! | what is kept over reloads | [`super::pulled`] |
//! | what is counted | [`stats`] |
//!
//! Invariants: a line is given up for lost only when its file goes away unread, which is counted; one that was handed
//! over is read again only after a crash. A destination that does not take anything holds back this receiver and no
//! other. It keeps nothing but one batch, what operators hold, and what is known of each file.

pub mod config;
pub mod gather;
pub mod reader;
pub mod stats;
#[cfg(test)]
mod tests;

pub use self::config::Config;
pub use self::gather::Place;
pub use self::stats::{FileStats, FileView};

use super::BindError;
use super::pulled::{Ready, Sources};
use flow::source::{Ended, Feed, Pulled};
use flow::{Budget, Inlet, Payload, Source, Stop, clock, task};
use gather::Gathered;
use reader::{Reader, Round};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tail::Notice;
use wire::Signal;

/// The shortest pause between two rounds, so that lines of many files make one batch.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two lines of the log about what operators failed on.
const QUIET: Duration = Duration::from_secs(10);

/// What the program gives a receiver.
pub struct Setup {
    /// Where logs go. It outlives the receiver.
    pub inlet: Inlet,
    /// The memory that batches are charged to.
    pub budget: Budget,
    /// What the receivers of this id keep.
    pub sources: Sources,
    /// Where positions are kept; none: in memory.
    pub directory: Option<PathBuf>,
    /// What is counted.
    pub stats: Arc<FileStats>,
}

/// A receiver that is ready to read.
pub struct FileLog {
    id: String,
    config: Config,
    ready: Ready,
    is_stored: bool,
    stats: Arc<FileStats>,
}

impl FileLog {
    /// Opens the positions of a valid configuration. Nothing is read before [`FileLog::run`]. Must be called within a
    /// runtime.
    ///
    /// # Errors
    /// The positions cannot be opened.
    pub async fn bind(id: String, config: &Config, setup: Setup) -> Result<FileLog, BindError> {
        let Setup { inlet, budget, sources, directory, stats } = setup;
        let ready = sources.prepare(&id, inlet, budget, directory.as_deref(), config.source()).await?;
        Ok(FileLog { id, config: config.clone(), ready, is_stored: directory.is_some(), stats })
    }

    /// Reads until a stop is requested. What was handed over goes on by itself.
    pub async fn run(self, stop: Stop) {
        let FileLog { id, config, ready, is_stored, stats } = self;
        let source = ready.take();
        tracing::info!(receiver = id, include = ?config.include, "reading files");
        let run = Run { id, config, source, stop, is_stored, stats };
        task::again("files", || Box::pin(run.read())).await;
    }
}

struct Run {
    id: String,
    config: Config,
    source: Source,
    stop: Stop,
    is_stored: bool,
    stats: Arc<FileStats>,
}

/// Does something with a reader on a thread that may block.
async fn blocking<T: Send + 'static>(
    mut reader: Reader,
    act: impl FnOnce(&mut Reader) -> T + Send + 'static,
) -> (Reader, T) {
    let done = tokio::task::spawn_blocking(move || {
        let value = act(&mut reader);
        (reader, value)
    });
    match done.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cut off: the runtime ends.
            Err(_) => std::future::pending().await,
        },
    }
}

impl Run {
    async fn read(&self) {
        let mut feed = self.source.attach().await;
        self.stats.begin();
        let is_damaged = self.source.positions().opened().damaged > 0;
        let made = Reader::new(&self.config, feed.streams(), is_damaged, clock::now(), self.stats.clone());
        let mut reader = match made {
            Ok(reader) => reader,
            Err(error) => {
                // Validated before.
                tracing::error!(receiver = self.id, %error, "files cannot be read");
                self.stop.requested().await;
                return;
            }
        };
        let mut said = clock::now();
        while self.stop.deadline().is_none() {
            let (now, wall) = (clock::now(), clock::since_epoch());
            let (back, round) = blocking(reader, move |reader| reader.round(now, wall)).await;
            let Ok((back, next)) = self.hand(&mut feed, back, round).await else { return };
            reader = back;
            if clock::now().saturating_duration_since(said) >= QUIET {
                said = clock::now();
                self.say_troubles(&mut reader);
            }
            if reader.waits_to_delete() {
                reader = self.delete(reader).await;
            }
            let Some(next) = next else { continue };
            tokio::select! {
                () = clock::sleep_until(Some(next.max(now + PAUSE))) => {}
                _ = self.stop.requested() => {}
            }
        }
        self.say_troubles(&mut reader);
        if !self.is_stored {
            // Nobody could read the first lines of it again.
            let now = clock::now();
            let (reader, round) = blocking(reader, move |reader| reader.last(now)).await;
            drop(self.hand(&mut feed, reader, round).await);
        }
    }

    /// Hands over what came of a round. Gives when the next one is; none: now.
    async fn hand(&self, feed: &mut Feed, reader: Reader, round: Round) -> Result<(Reader, Option<Instant>), Ended> {
        round.tell(feed);
        self.say(&round.notices);
        let Round { gathered, over, is_ready, next, .. } = round;
        let (reader, handed) = self.submit(feed, reader, gathered).await;
        handed?;
        over.iter().for_each(|stream| feed.forget(stream));
        Ok((reader, (!is_ready).then_some(next)))
    }

    /// Hands over a batch. Until there is room, files are looked at so that none gets out of sight.
    async fn submit(&self, feed: &mut Feed, mut reader: Reader, gathered: Gathered) -> (Reader, Result<(), Ended>) {
        let Gathered { body, records, spans } = gathered;
        if records == 0 {
            spans.iter().for_each(|span| feed.skip(span));
            return (reader, Ok(()));
        }
        let payload = Payload::new(Signal::Logs, body, records);
        let mut submitting = pin!(feed.submit(Pulled { payload, spans }));
        // What is kept nowhere else has until the end.
        let gives_up = async {
            self.stop.requested().await;
            if !self.is_stored {
                self.stop.expired().await;
            }
        };
        let mut gives_up = pin!(gives_up);
        loop {
            tokio::select! {
                biased;
                handed = &mut submitting => return (reader, handed),
                () = &mut gives_up => return (reader, Err(Ended::Stopping)),
                () = tokio::time::sleep(self.config.poll_interval.0.max(PAUSE)) => {}
            }
            let now = clock::now();
            let notices;
            (reader, notices) = blocking(reader, move |reader| reader.look(now)).await;
            self.say(&notices);
        }
    }

    async fn delete(&self, reader: Reader) -> Reader {
        let source = self.source.clone();
        let is_settled = move |stream: &str, end: u64| {
            source.positions().standing(stream).is_none_or(|standing| standing.from >= end)
        };
        let (reader, errors) = blocking(reader, move |reader| reader.delete(is_settled)).await;
        for error in errors {
            tracing::warn!(receiver = self.id, %error, "a file cannot be deleted");
        }
        reader
    }

    fn say(&self, notices: &[Notice]) {
        for notice in notices {
            let Notice { trouble, path, text } = notice;
            let (trouble, remedy) = (trouble.as_str(), trouble.remedy());
            tracing::warn!(receiver = self.id, trouble, path = %path.display(), remedy, "{text}");
        }
    }

    fn say_troubles(&self, reader: &mut Reader) {
        for trouble in reader.take_troubles() {
            let operators::Trouble { operator, why, times, is_dropped } = trouble;
            let then = if is_dropped { "dropped" } else { "sent as they were" };
            tracing::warn!(receiver = self.id, operator, records = times, then, "an operator failed: {why}");
        }
    }
}
