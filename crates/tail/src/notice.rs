//! What people are told about files: what is wrong, where, and what to do.
//!
//! Everything is counted; of each kind and place a notice is given once, and of a kind only so many in a while, so that
//! a thousand files that cannot be read are one page of a log and not a flood.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Notices of one kind within [`WHILE`].
const MOST: usize = 5;
/// See [`MOST`].
const WHILE: Duration = Duration::from_secs(60);
/// Places that are remembered.
const REMEMBERED: usize = 10_000;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// It cannot be read.
    Unreadable,
    /// It is neither a file nor a directory.
    NotAFile,
    /// A link leads back to where it comes from.
    Loop,
    /// There are more files than may be known.
    TooMany,
    /// Bytes went away before they were read.
    Lost,
    /// It is damaged, or not what it should be.
    Damaged,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Trouble; 6] =
        [Trouble::Unreadable, Trouble::NotAFile, Trouble::Loop, Trouble::TooMany, Trouble::Lost, Trouble::Damaged];

    /// A name for it, as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::Unreadable => "unreadable",
            Trouble::NotAFile => "not_a_file",
            Trouble::Loop => "loop",
            Trouble::TooMany => "too_many",
            Trouble::Lost => "lost",
            Trouble::Damaged => "damaged",
        }
    }

    /// What can be done about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Trouble::Unreadable => {
                "let the user that this program runs as read it, and enter its directories; it is tried again"
            }
            Trouble::NotAFile => "leave it out with `exclude`: only files are read",
            Trouble::Loop => "leave one of the links out with `exclude`",
            Trouble::TooMany => {
                "make `include` narrower, or leave out old files with `exclude` or `exclude_older_than`"
            }
            Trouble::Lost => "let rotation keep files for longer, and within `include`",
            Trouble::Damaged => "see whether `compression` fits it; what could be read was read",
        }
    }
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is.
    pub trouble: Trouble,
    /// Where.
    pub path: PathBuf,
    /// More about it.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path.display(), self.text, self.trouble.remedy())
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Notices {
    counts: [u64; Trouble::ALL.len()],
    known: HashSet<(Trouble, PathBuf)>,
    given: [(Option<Instant>, usize); Trouble::ALL.len()],
    waiting: Vec<Notice>,
}

impl Notices {
    /// Something is wrong. Counted the first time for each place, until [`Notices::over`]; lost bytes each time.
    pub fn add(&mut self, now: Instant, trouble: Trouble, path: &Path, text: impl fmt::Display) {
        let at = trouble as usize;
        if trouble != Trouble::Lost {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            if !self.known.insert((trouble, path.to_owned())) {
                return;
            }
        }
        self.counts[at] += 1;
        let (since, given) = &mut self.given[at];
        if since.is_none_or(|since| now.saturating_duration_since(since) >= WHILE) {
            (*since, *given) = (Some(now), 0);
        }
        *given += 1;
        if *given <= MOST && self.waiting.len() < MOST * Trouble::ALL.len() {
            self.waiting.push(Notice { trouble, path: path.to_owned(), text: text.to_string() });
        }
    }

    /// It is not wrong any more.
    pub fn over(&mut self, trouble: Trouble, path: &Path) {
        if !self.known.is_empty() {
            self.known.remove(&(trouble, path.to_owned()));
        }
    }

    /// What is to be told now.
    pub fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.waiting)
    }

    /// How often this was wrong.
    #[must_use]
    pub fn count(&self, trouble: Trouble) -> u64 {
        self.counts[trouble as usize]
    }
}
