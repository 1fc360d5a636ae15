//! Which files there are: those that some pattern includes and none excludes.
//!
//! Links are followed, to files and to directories; one that leads back to a directory above it is passed over. A file
//! that several patterns or links lead to is found as often: who is who is not decided here. Nothing is collected: each
//! file is told as it is found.

use crate::config::{Config, ConfigError};
use crate::glob::{Pattern, Step};
use crate::notice::{Notices, Trouble};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Directories deeper than this below each other are not entered.
const DEEPEST: usize = 64;
/// Directories whose changes are watched for.
const WATCHED: usize = 256;
/// Names that are looked at in one walk.
const MOST_NAMES: u64 = 2_000_000;

/// See the module.
#[derive(Debug)]
pub struct Walk {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// Directories that were entered, with the time of their last change.
    entered: Vec<(PathBuf, Option<(i64, i64)>)>,
    names: u64,
}

/// Who is told of a file: its path and what was found there.
pub type Each<'a> = dyn FnMut(&Path, &Metadata, &mut Notices) + 'a;

impl Walk {
    /// Of what is configured.
    ///
    /// # Errors
    /// A pattern is none.
    pub fn new(config: &Config) -> Result<Walk, ConfigError> {
        let parse = |texts: &[String]| -> Result<Vec<Pattern>, ConfigError> {
            let all: Result<Vec<_>, _> = texts.iter().map(|text| Pattern::parse(text)).collect();
            Ok(all?.into_iter().flatten().collect())
        };
        Ok(Walk { include: parse(&config.include)?, exclude: parse(&config.exclude)?, entered: vec![], names: 0 })
    }

    /// Names that the last walk looked at.
    #[must_use]
    pub fn names(&self) -> u64 {
        self.names
    }

    /// Whether a directory that the last walk entered has changed since.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.entered.iter().any(|(dir, changed)| change(dir) != *changed)
    }

    /// Tells of every file.
    pub fn run(&mut self, now: Instant, notices: &mut Notices, each: &mut Each<'_>) {
        (self.entered, self.names) = (vec![], 0);
        for pattern in self.include.clone() {
            let root = PathBuf::from(if pattern.is_absolute { "/" } else { "" });
            let mut walker = Walker { walk: self, now, notices, each, above: vec![] };
            walker.step(&root, &pattern.steps);
        }
    }
}

fn change(dir: &Path) -> Option<(i64, i64)> {
    let metadata = fs::metadata(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec()))
}

struct Walker<'a, 'b> {
    walk: &'a mut Walk,
    now: Instant,
    notices: &'a mut Notices,
    each: &'a mut Each<'b>,
    /// The directories that it is in.
    above: Vec<(u64, u64)>,
}

impl Walker<'_, '_> {
    /// What the rest of a pattern finds below a directory.
    fn step(&mut self, dir: &Path, steps: &[Step]) {
        let Some((first, rest)) = steps.split_first() else { return };
        if let Step::Name(name) = first {
            let path = dir.join(name);
            return if rest.is_empty() { self.file(&path) } else { self.step(&path, rest) };
        }
        let Some(id) = self.enter(dir) else { return };
        self.above.push(id);
        self.read(dir, first, rest, steps);
        self.above.pop();
    }

    fn read(&mut self, dir: &Path, first: &Step, rest: &[Step], steps: &[Step]) {
        if matches!(first, Step::Deep) && !rest.is_empty() {
            self.step_here(dir, rest);
        }
        let place = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(dir, &error),
        };
        for entry in entries.flatten() {
            self.walk.names += 1;
            if self.walk.names > MOST_NAMES {
                let text = format!("more than {MOST_NAMES} names to look at: the others are left out");
                return self.notices.add(self.now, Trouble::TooMany, dir, text);
            }
            let path = dir.join(entry.file_name());
            match first {
                Step::Deep => {
                    // What a link leads to is known only by looking.
                    let kind = entry.file_type();
                    let is_dir = kind.as_ref().is_ok_and(fs::FileType::is_dir)
                        || kind.as_ref().is_ok_and(fs::FileType::is_symlink) && path.is_dir();
                    if is_dir {
                        self.step(&path, steps);
                    } else if rest.is_empty() {
                        self.file(&path);
                    }
                }
                Step::Matching(glob) if glob.is_match(entry.file_name()) => {
                    if rest.is_empty() {
                        self.file(&path)
                    } else {
                        self.step(&path, rest)
                    }
                }
                _ => {}
            }
        }
    }

    /// The rest of a pattern in a directory that is entered already.
    fn step_here(&mut self, dir: &Path, steps: &[Step]) {
        let own = self.above.pop();
        self.step(dir, steps);
        self.above.extend(own);
    }

    /// Its device and inode, if it is a directory that may be entered.
    fn enter(&mut self, dir: &Path) -> Option<(u64, u64)> {
        let place = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let metadata = match fs::metadata(place) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => return None,
            Err(error) => {
                self.unreadable(dir, &error);
                return None;
            }
        };
        let id = (metadata.dev(), metadata.ino());
        if self.above.contains(&id) || self.above.len() >= DEEPEST {
            self.notices.add(self.now, Trouble::Loop, dir, "a link leads back to a directory above it, or too deep");
            return None;
        }
        if self.walk.entered.len() < WATCHED {
            self.walk.entered.push((dir.to_owned(), Some((metadata.mtime(), metadata.mtime_nsec()))));
        }
        Some(id)
    }

    fn file(&mut self, path: &Path) {
        if self.walk.exclude.iter().any(|pattern| pattern.matches(path)) {
            return;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => (self.each)(path, &metadata, self.notices),
            // `**` finds directories all the time.
            Ok(metadata) if metadata.is_dir() => {
                self.notices.add(self.now, Trouble::NotAFile, path, "it is a directory");
            }
            Ok(_) => self.notices.add(self.now, Trouble::NotAFile, path, "it is a pipe, a socket or a device"),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        // What is not there, or went away just now, is nothing to tell.
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.notices.add(self.now, Trouble::Unreadable, path, error);
        }
    }
}
