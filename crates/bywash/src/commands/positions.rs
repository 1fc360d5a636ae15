//! `bywash positions`: how far files were read, by what receivers keep in a storage directory.
//!
//! It only reads, so that it may look while a process runs on the directory: what that has not written yet (a second at
//! most) is not seen. Invariant: it changes nothing.

use anyhow::Context;
use clap::Args as ClapArgs;
use components::extensions::file_storage::names;
use flow::source::ledger::Entry;
use flow::source::record;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tail::FileState;
use tail::identity::Identity;

/// The folder of a receiver's positions, within its own.
const FOLDER: &str = "positions";
const SUFFIX: &str = "positions";
/// A file above this is none of ours.
const LARGEST: u64 = 1 << 30;

/// The arguments.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// The `directory` of a file_storage extension
    #[arg(value_name = "DIR", default_value = "bywash-storage")]
    directory: PathBuf,
    /// A JSON object for each file
    #[arg(long)]
    json: bool,
}

/// What is known of a file's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All of it is delivered.
    Done,
    /// Something is not.
    Behind,
    /// It is not where it was.
    Gone,
    /// Another file has its place.
    Replaced,
    /// It is shorter than what was read of it.
    Emptied,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Done => "done",
            State::Behind => "behind",
            State::Gone => "gone",
            State::Replaced => "replaced",
            State::Emptied => "emptied",
        })
    }
}

/// One file of one receiver.
struct Row {
    receiver: String,
    path: PathBuf,
    position: u64,
    /// Delivered ranges beyond the position.
    beyond: usize,
    size: Option<u64>,
    state: State,
}

/// Prints the positions below a directory.
///
/// # Errors
/// The directory cannot be read, or the output not written.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let rows = rows(&args.directory).with_context(|| format!("reading {}", args.directory.display()))?;
    let mut out = io::stdout().lock();
    if !args.json {
        writeln!(out, "{:<20} {:>14} {:>14} {:>14} {:<9} FILE", "RECEIVER", "POSITION", "SIZE", "LAG", "STATE")?;
    }
    for row in rows {
        let lag = row.size.map(|size| size.saturating_sub(row.position));
        if args.json {
            let line = serde_json::json!({
                "receiver": row.receiver, "file": row.path.to_string_lossy(), "position": row.position,
                "beyond": row.beyond, "size": row.size, "lag": lag, "state": row.state.to_string(),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let shown = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (receiver, state, path) = (&row.receiver, row.state, row.path.display());
        writeln!(
            out,
            "{receiver:<20} {:>14} {:>14} {:>14} {state:<9} {path}",
            row.position,
            shown(row.size),
            shown(lag)
        )?;
    }
    Ok(0)
}

fn rows(directory: &Path) -> io::Result<Vec<Row>> {
    let mut rows = vec![];
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let folder = entry.path().join(FOLDER);
        let Some(receiver) = entry.file_name().to_str().and_then(names::decode).filter(|_| folder.is_dir()) else {
            continue;
        };
        for (_, entry) in entries(&folder)? {
            let Ok(state) = serde_json::from_slice::<FileState>(&entry.note) else { continue };
            rows.push(row(receiver.clone(), &state, &entry));
        }
    }
    rows.sort_by(|a, b| (&a.receiver, &a.path, a.position).cmp(&(&b.receiver, &b.path, b.position)));
    Ok(rows)
}

/// The entries of a receiver, as its files have them one after the other.
fn entries(folder: &Path) -> io::Result<BTreeMap<Arc<str>, Entry>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == SUFFIX));
    paths.sort();
    let mut entries = BTreeMap::new();
    for path in paths {
        let bytes = match std::fs::metadata(&path) {
            Ok(found) if found.len() <= LARGEST => std::fs::read(&path),
            _ => continue,
        };
        // One that is removed meanwhile was replaced by the next one.
        let Ok(bytes) = bytes else { continue };
        for (name, change) in record::decode(&bytes).changes {
            match change {
                Some(entry) => entries.insert(name, entry),
                None => entries.remove(&name),
            };
        }
    }
    Ok(entries)
}

fn row(receiver: String, file: &FileState, entry: &Entry) -> Row {
    let found = std::fs::metadata(&file.path).ok();
    let is_same = found.as_ref().is_some_and(|found| Identity::of(found).is_same(&file.identity));
    let size = found.filter(|_| is_same && !file.is_packed).map(|found| found.len());
    let state = match size {
        _ if !file.path.exists() => State::Gone,
        _ if !is_same => State::Replaced,
        Some(size) if size < entry.position => State::Emptied,
        Some(size) if size > entry.position => State::Behind,
        _ => State::Done,
    };
    Row { receiver, path: file.path.clone(), position: entry.position, beyond: entry.beyond.len(), size, state }
}
