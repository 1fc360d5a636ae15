//! `bywash dlq`: looks into dead letters, sends them again, or removes them.
//!
//! The process that runs on a storage directory is asked ([`control`]); where none does, the directory is opened itself. It does
//! NOT choose directories: whoever calls it has found them.

mod text;

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use components::extensions::file_storage::control::{self, AskError};
use components::extensions::file_storage::hold::{self, HoldError};
use components::extensions::file_storage::letters::{
    self, Answer, Boxed, Counts, Query, Request, Row, Selection, Shown,
};
use components::extensions::file_storage::names;
use flow::dead_letters::Cold;
use flow::spool::disk::RealDisk;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arguments.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, the oldest first
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        which: Which,
        /// So many at most of each storage
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// How to print them
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Print one dead letter: why it is there, and its records as OTLP JSON
    Show {
        #[command(flatten)]
        place: Place,
        /// As listed: EXPORTER/SIGNAL/NUMBER
        id: String,
        /// Write the request as protobuf to this file instead (- is standard output)
        #[arg(long, value_name = "FILE")]
        raw: Option<PathBuf>,
    },
    /// Send dead letters again
    ///
    /// They go into the queue of their exporter as if they had just come in. If no process runs, the next one sends them.
    Replay {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        selected: Selected,
    },
    /// Remove dead letters for good
    Discard {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        selected: Selected,
    },
}

/// Where the letters are.
#[derive(Clone, Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The configuration of the process: a file, env:NAME or yaml:TEXT; several are merged
    #[arg(long = "config", short, value_name = "FILE")]
    pub configs: Vec<String>,
    /// The `directory` of a file_storage extension
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
struct Which {
    /// Only those of this exporter
    #[arg(long, value_name = "ID")]
    exporter: Option<String>,
    /// Only those for this destination
    #[arg(long)]
    target: Option<String>,
    /// Only those given up for this reason, as in the metrics
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
struct Selected {
    /// As listed: EXPORTER/SIGNAL/NUMBER
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All of them, or all that --exporter, --target and --reason leave
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Which {
    fn query(&self, limit: usize) -> Query {
        let Which { exporter, target, reason } = self;
        Query { exporter: exporter.clone(), target: target.clone(), reason: reason.clone(), limit }
    }

    fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.target.is_none() && self.reason.is_none()
    }
}

impl Selected {
    fn selection(&self) -> anyhow::Result<Selection> {
        anyhow::ensure!(self.all || self.which.is_empty(), "--exporter, --target and --reason go with --all");
        Ok(if self.all { Selection::All(self.which.query(0)) } else { Selection::Ids(self.ids.clone()) })
    }
}

impl Args {
    /// Where the letters are.
    #[must_use]
    pub fn place(&self) -> &Place {
        match &self.action {
            Action::List { place, .. }
            | Action::Show { place, .. }
            | Action::Replay { place, .. }
            | Action::Discard { place, .. } => place,
        }
    }
}

/// Does what was asked with the letters of these storage directories. The exit code is 1 if a letter was not found or not all could be
/// sent again.
///
/// # Errors
/// The letters cannot be reached, or the output not written.
pub async fn run(args: Args, directories: Vec<PathBuf>) -> anyhow::Result<u8> {
    match &args.action {
        Action::List { which, limit, format, .. } => {
            let mut rows = vec![];
            for directory in &directories {
                match ask(directory, Request::List(which.query(*limit))).await? {
                    Answer::Letters(found) => rows.extend(found),
                    other => anyhow::bail!(unexpected(&other)),
                }
            }
            print(&list(&rows, *format))?;
            Ok(0)
        }
        Action::Show { id, raw, .. } => show(&directories, id, raw.as_deref()).await,
        Action::Replay { selected, .. } => act(&directories, selected, Request::Replay, "sent again").await,
        Action::Discard { selected, .. } => act(&directories, selected, Request::Discard, "discarded").await,
    }
}

fn list(rows: &[Row], format: Format) -> String {
    match format {
        Format::Table => text::table(rows, flow::clock::since_epoch()),
        Format::Json => text::json(rows),
    }
}

async fn show(directories: &[PathBuf], id: &str, raw: Option<&Path>) -> anyhow::Result<u8> {
    let mut why = format!("there is no dead letter `{id}`");
    for directory in directories {
        match ask(directory, Request::Show(id.to_owned())).await {
            Ok(Answer::Letter(shown)) => {
                write(&shown, raw)?;
                return Ok(0);
            }
            Ok(other) => why = unexpected(&other),
            Err(error) => why = error.to_string(),
        }
    }
    anyhow::bail!(why)
}

fn write(shown: &Shown, raw: Option<&Path>) -> anyhow::Result<()> {
    let protobuf = shown.protobuf().context("the letter came damaged")?;
    match raw {
        Some(path) if path == Path::new("-") => std::io::stdout().write_all(&protobuf)?,
        Some(path) => std::fs::write(path, &protobuf).with_context(|| path.display().to_string())?,
        None => print(&text::letter(&shown.row, &protobuf))?,
    }
    Ok(())
}

async fn act(
    directories: &[PathBuf],
    selected: &Selected,
    request: fn(Selection) -> Request,
    what: &str,
) -> anyhow::Result<u8> {
    let mut selection = selected.selection()?;
    let mut all = Counts::default();
    for directory in directories {
        match ask(directory, request(selection.clone())).await? {
            Answer::Done(counts) => {
                all.letters += counts.letters;
                all.records += counts.records;
                all.stopped = all.stopped.or(counts.stopped);
                // What one storage does not know the next one may.
                all.unknown.clone_from(&counts.unknown);
                if let Selection::Ids(ids) = &mut selection {
                    *ids = counts.unknown;
                }
            }
            other => anyhow::bail!(unexpected(&other)),
        }
    }
    print(&format!("{what}: {} dead letters, {} records\n", all.letters, all.records))?;
    for id in &all.unknown {
        complain(&format!("there is no dead letter `{id}`\n"))?;
    }
    if let Some(why) = &all.stopped {
        complain(&format!("not all: {why}\n"))?;
    }
    Ok(u8::from(!all.unknown.is_empty() || all.stopped.is_some()))
}

/// Asks the process of a directory, or does it here if there is none.
async fn ask(directory: &Path, request: Request) -> anyhow::Result<Answer> {
    let answer = match control::ask(directory, &request).await {
        Ok(answer) => answer,
        Err(AskError::Nobody) => {
            let directory = directory.to_owned();
            tokio::task::spawn_blocking(move || alone(&directory, &request)).await??
        }
        Err(error) => return Err(error.into()),
    };
    match answer {
        Answer::Error(why) => anyhow::bail!(why),
        answer => Ok(answer),
    }
}

/// Does it without a process.
fn alone(directory: &Path, request: &Request) -> anyhow::Result<Answer> {
    let held = match hold::try_hold(directory) {
        Ok(held) => held,
        Err(error @ HoldError::Taken(_)) => {
            return Err(error).with_context(|| format!("it does not answer at {}", control::path(directory).display()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut boxes = vec![];
    for (exporter, signal, path) in names::kept(held.directory())? {
        // Looking must not make anything.
        if !path.join(flow::dead_letters::DIRECTORY).is_dir() {
            continue;
        }
        let letters = Cold::open(Arc::new(RealDisk), &path).with_context(|| path.display().to_string())?;
        boxes.push(Boxed { exporter, signal, letters: Arc::new(letters) });
    }
    Ok(letters::answer(&boxes, request))
}

fn unexpected(answer: &Answer) -> String {
    match answer {
        Answer::Error(why) => why.clone(),
        _ => "the process answered something else".to_owned(),
    }
}

fn print(text: &str) -> std::io::Result<()> {
    quiet(std::io::stdout().write_all(text.as_bytes()))
}

fn complain(text: &str) -> std::io::Result<()> {
    quiet(std::io::stderr().write_all(text.as_bytes()))
}

/// A reader that went away has seen enough.
fn quiet(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
