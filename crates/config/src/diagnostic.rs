//! What is wrong, or doubtful, in a configuration: every finding at once, each with its place.
//!
//! A [`Diagnostic`] is one finding; [`Diagnostics`] collects them and lays them out for a terminal: file, line and column,
//! the source text with a caret, the dotted path, and the key that was probably meant.
//!
//! Invariants: snippets show source text, so that `${env:TOKEN}` appears unexpanded, and hide what
//! [`Source::hidden`](super::source::Source) says is secret; control characters never reach the terminal; a line is cut
//! to a bounded width. It does NOT decide what is an error: the modules that read the configuration do.

mod redact;
mod summary;

use std::fmt;

use super::path::Path;
use super::secret::{self, REDACTED};
use super::source::Span;

pub use summary::Topic;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration can be used.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Whether it prevents the configuration from being used.
    pub severity: Severity,
    /// What is wrong, without the place: one line, no final stop.
    pub message: String,
    /// The dotted path of the key concerned; the root for the text as a whole.
    pub path: Path,
    /// Where it is written; none for what has no text, such as a missing file.
    pub span: Option<Span>,
    /// The word that was probably meant.
    pub suggestion: Option<String>,
    /// Other places that matter, each with a word on why.
    pub notes: Vec<(Span, String)>,
    /// What it is counted as.
    pub topic: Topic,
    /// Whether it is only that something is not on this machine, such as a file.
    pub absent: bool,
}

impl Diagnostic {
    /// A finding that prevents the configuration from being used.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A finding that the user should know of.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        let (path, topic) = (Path::root(), Topic::default());
        Diagnostic { severity, message, path, span: None, suggestion: None, notes: Vec::new(), topic, absent: false }
    }

    /// Says what it is counted as.
    #[must_use]
    pub fn topic(mut self, topic: Topic) -> Self {
        self.topic = topic;
        self
    }

    /// Says that it is only that something is not on this machine.
    #[must_use]
    pub fn absent(mut self) -> Self {
        self.absent = true;
        self
    }

    /// Says where: the place in the text and the path.
    #[must_use]
    pub fn at(mut self, span: &Span, path: &Path) -> Self {
        self.span = Some(span.clone());
        self.path = path.clone();
        self
    }

    /// Adds the word that was probably meant, if one is near.
    #[must_use]
    pub fn suggest(mut self, word: Option<&str>) -> Self {
        self.suggestion = word.map(str::to_owned);
        self
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn note(mut self, span: &Span, why: impl Into<String>) -> Self {
        self.notes.push((span.clone(), why.into()));
        self
    }
}

/// All findings about one configuration.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// How many of each [`Severity`] are in `found`.
    kept: [usize; 2],
    /// Findings beyond [`MOST_KEPT`] of their kind.
    dropped: usize,
    /// Whether what is only absent from this machine is a warning.
    offline: bool,
}

/// Errors kept at most, and warnings kept at most: nobody reads more, and each is compared with all.
const MOST_KEPT: usize = 1000;

impl Diagnostics {
    /// Nothing found yet.
    pub fn new() -> Self {
        Diagnostics::default()
    }

    /// From now on, a file that is not on this machine is a warning: the configuration is for another one.
    pub fn absent_files_are_warnings(&mut self) {
        self.offline = true;
    }

    /// A collection for a part, which judges as this one does.
    #[must_use]
    pub fn of_part(&self) -> Self {
        Diagnostics { offline: self.offline, ..Diagnostics::default() }
    }

    /// Adds a finding, unless the same one is already known (a value reached twice through an anchor).
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        if diagnostic.absent && self.offline {
            diagnostic.severity = Severity::Warning;
        }
        let kept = &mut self.kept[diagnostic.severity as usize];
        if *kept == MOST_KEPT {
            self.dropped += 1;
            return;
        }
        let same = |known: &Diagnostic| {
            known.span.as_ref().map(|s| s.start) == diagnostic.span.as_ref().map(|s| s.start)
                && known.severity == diagnostic.severity
                && known.message == diagnostic.message
                && known.path == diagnostic.path
        };
        if !self.found.iter().any(same) {
            *kept += 1;
            self.found.push(diagnostic);
        }
    }

    /// Adds everything that another collection found.
    pub fn extend(&mut self, other: Diagnostics) {
        self.dropped += other.dropped;
        other.found.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// True when the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The findings that prevent use, in the order in which they were made.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter().filter(|d| d.severity == Severity::Error)
    }

    /// The findings that do not prevent use, in the order in which they were made.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter().filter(|d| d.severity == Severity::Warning)
    }

    /// The findings laid out for reading, warnings first, errors last, each kind in the order of the text.
    pub fn render(&self, color: bool) -> impl fmt::Display + '_ {
        Render { diagnostics: self, color }
    }
}

impl fmt::Display for Diagnostics {
    /// As [`render`](Diagnostics::render), without colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(false).fmt(f)
    }
}

/// More findings than this are counted, not shown.
const MOST_SHOWN: usize = 100;
/// Characters of a source line that are shown at most.
const WIDTH: usize = 140;

struct Render<'a> {
    diagnostics: &'a Diagnostics,
    color: bool,
}

impl fmt::Display for Render<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sources: Vec<&str> = Vec::new();
        for span in self.diagnostics.found.iter().filter_map(|d| d.span.as_ref()) {
            if !sources.contains(&span.source.name()) {
                sources.push(span.source.name());
            }
        }
        let mut sorted: Vec<&Diagnostic> = self.diagnostics.found.iter().collect();
        sorted.sort_by_key(|d| {
            let place = d.span.as_ref().map(|s| (sources.iter().position(|n| *n == s.source.name()), s.start));
            (d.severity, place)
        });
        let (errors, warnings) = (self.diagnostics.errors().count(), self.diagnostics.warnings().count());
        let errors_shown = errors.min(MOST_SHOWN);
        let warnings_shown = warnings.min(MOST_SHOWN - errors_shown);
        for diagnostic in sorted[..warnings_shown].iter().chain(&sorted[warnings..warnings + errors_shown]) {
            self.diagnostic(f, diagnostic)?;
            writeln!(f)?;
        }
        let unseen = sorted.len() - errors_shown - warnings_shown + self.diagnostics.dropped;
        if unseen > 0 {
            writeln!(f, "… and {unseen} more\n")?;
        }
        match self.diagnostics.summary() {
            summary if summary.is_empty() => Ok(()),
            summary => writeln!(f, "{summary}"),
        }
    }
}

impl Render<'_> {
    fn paint(&self, code: &'static str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn diagnostic(&self, f: &mut fmt::Formatter<'_>, diagnostic: &Diagnostic) -> fmt::Result {
        let (word, code) = match diagnostic.severity {
            Severity::Error => ("error", "1;31"),
            Severity::Warning => ("warning", "1;33"),
        };
        let mut message = printable(&diagnostic.message);
        if let Some(suggestion) = &diagnostic.suggestion {
            message.push_str(&format!("; did you mean `{}`?", printable(suggestion)));
        }
        writeln!(f, "{}{}", self.paint(code, word), self.paint("1", &format!(": {message}")))?;
        let gutter = diagnostic
            .notes
            .iter()
            .map(|(span, _)| span)
            .chain(&diagnostic.span)
            .map(|span| span.line.to_string().len())
            .max()
            .unwrap_or(1);
        if let Some(span) = &diagnostic.span {
            self.snippet(f, span, "", gutter, code)?;
        }
        for (span, why) in &diagnostic.notes {
            self.snippet(f, span, why, gutter, "1;34")?;
        }
        if !diagnostic.path.is_root() {
            writeln!(f, "{:gutter$} {} {}", "", self.paint("1;34", "="), diagnostic.path)?;
        }
        Ok(())
    }

    /// The place, the line before, the line, and the caret below it.
    fn snippet(
        &self,
        f: &mut fmt::Formatter<'_>,
        span: &Span,
        label: &str,
        gutter: usize,
        code: &'static str,
    ) -> fmt::Result {
        let bar = self.paint("1;34", "|");
        writeln!(f, "{:gutter$}{} {span}", "", self.paint("1;34", "-->"))?;
        let text = span.source.text();
        if text.trim().is_empty() {
            return Ok(());
        }
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        if line_start > 0 {
            let before = text[..line_start - 1].rfind('\n').map_or(0, |at| at + 1);
            let shown = visible(span, before, before);
            if !shown.text.trim().is_empty() {
                let number = self.paint("1;34", &format!("{:>gutter$}", span.line - 1));
                writeln!(f, "{number} {bar} {}", shown.text.trim_end())?;
            }
        }
        let shown = visible(span, line_start, start);
        let number = self.paint("1;34", &format!("{:>gutter$}", span.line));
        writeln!(f, "{number} {bar} {}", shown.text.trim_end())?;
        let caret = self.paint(code, format!("{} {label}", "^".repeat(shown.width.max(1))).trim_end());
        writeln!(f, "{:gutter$} {bar} {:indent$}{caret}", "", "", indent = shown.caret)
    }
}

/// A source line as it may be shown.
struct Shown {
    text: String,
    /// Characters before the caret.
    caret: usize,
    /// Characters above the caret line.
    width: usize,
}

/// Lays out the line that begins at byte `line_start`, with secrets hidden and the caret at byte `caret`.
fn visible(span: &Span, line_start: usize, caret: usize) -> Shown {
    let text = span.source.text();
    let line_end = text[line_start..].find('\n').map_or(text.len(), |at| line_start + at);
    let caret_end = if caret == span.start { span.end.clamp(caret, line_end) } else { caret };
    let mut caret_start = caret;
    // Each cell is a character to show and the byte it stands for.
    let mut cells: Vec<(usize, char)> = Vec::new();
    let plain = |from: usize, to: usize, cells: &mut Vec<(usize, char)>| {
        cells.extend(text[from..to].char_indices().map(|(i, c)| (from + i, harmless(c))));
    };
    let mut at = line_start;
    for range in span.source.hidden(line_start..line_end) {
        plain(at, range.start, &mut cells);
        cells.extend(REDACTED.chars().map(|c| (range.start, c)));
        if range.contains(&caret_start) {
            caret_start = range.start;
        }
        at = range.end;
    }
    plain(at, line_end, &mut cells);
    let caret = cells.iter().position(|(byte, _)| *byte >= caret_start).unwrap_or(cells.len());
    let width = cells.iter().filter(|(byte, _)| (caret_start..caret_end).contains(byte)).count();
    // A very long line (JSON on one line) shows the part around the caret.
    let skip = if cells.len() > WIDTH { caret.saturating_sub(WIDTH / 3) } else { 0 };
    let mut shown: String = cells.iter().skip(skip).take(WIDTH).map(|(_, c)| *c).collect();
    if skip > 0 {
        shown = format!("…{}", shown.chars().skip(1).collect::<String>());
    }
    if cells.len() > skip + WIDTH {
        shown.push('…');
    }
    let caret = caret - skip;
    Shown { text: shown, caret, width: width.min(WIDTH.saturating_sub(caret)) }
}

fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A message as it may be shown: types quote the value that they refuse, which may be a URL with a password.
fn printable(text: &str) -> String {
    let mut shown = text.to_owned();
    for range in secret::url_passwords(text, 0..text.len()).into_iter().rev() {
        shown.replace_range(range, REDACTED);
    }
    shown.chars().map(harmless).collect()
}
