//! What is shown of a dry run: a table for people, JSON for programs, and the counts at the end.
//!
//! In the table a line of the input is followed by a row for each change, with the stage that made it. `+` stands before what is
//! new, `~` before what is different, `-` before what is gone, `x` before an entry that is dropped. Control characters are shown
//! as escapes, so that a log line cannot take over the terminal, and long values are cut.

use super::entries::{json, object, quoted, value};
use super::trace::{Change, Happened, Step, Traced, What};
use super::{Format, lossy};
use serde_json::Value as Json;
use stages::entry::Value;
use stages::{Pipeline, Text};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Characters of a value that are shown at most.
const WIDTH: usize = 200;
/// The widest column of stages.
const WIDEST: usize = 40;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Prints what happened, and counts it.
pub struct Report {
    format: Format,
    colour: bool,
    /// Width of the column of stages.
    width: usize,
    taken: u64,
    out: u64,
    dropped: BTreeMap<String, u64>,
    waiting: Duration,
    stages: Vec<Counts>,
}

/// What one stage did in all.
#[derive(Default)]
struct Counts {
    path: String,
    entries: u64,
    changed: u64,
    skipped: u64,
    dropped: u64,
    withheld: u64,
    emitted: u64,
}

impl Report {
    /// A report that has counted nothing.
    #[must_use]
    pub fn new(format: Format, colour: bool, pipeline: &Pipeline) -> Report {
        let stages: Vec<Counts> =
            pipeline.paths().map(|path| Counts { path: path.to_owned(), ..Counts::default() }).collect();
        let width = stages.iter().map(|stage| stage.path.len()).max().unwrap_or_default().min(WIDEST);
        let (dropped, waiting) = (BTreeMap::new(), Duration::ZERO);
        Report { format, colour, width, taken: 0, out: 0, dropped, waiting, stages }
    }

    /// What is printed.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints what became of an entry; `pace` is how long it should have been waited after it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn show(&mut self, traced: &Traced, pace: Duration, out: &mut impl Write) -> io::Result<()> {
        self.count(traced, pace);
        let is_end = traced.input.is_none();
        if is_end && traced.steps.is_empty() {
            return Ok(());
        }
        match self.format {
            Format::Json => writeln!(out, "{}", trace_json(traced, (!is_end).then_some(self.taken))),
            _ => self.table(traced, out),
        }
    }

    fn count(&mut self, traced: &Traced, pace: Duration) {
        self.taken += u64::from(traced.input.is_some());
        self.out += traced.out.len() as u64;
        self.waiting += pace;
        for step in &traced.steps {
            let Some(stage) = self.stages.iter_mut().find(|stage| stage.path == step.path) else { continue };
            // What comes at the end of the input was counted when it came in.
            stage.entries += u64::from(!(traced.input.is_none() && matches!(step.outcome, Happened::Emitted(_))));
            match &step.outcome {
                Happened::Passed(changes) => stage.changed += u64::from(!changes.is_empty()),
                Happened::Skipped => stage.skipped += 1,
                Happened::Withheld => stage.withheld += 1,
                Happened::Emitted(entries) => stage.emitted += entries.len() as u64,
                Happened::Dropped(why) => {
                    stage.dropped += 1;
                    *self.dropped.entry(lossy(why)).or_default() += 1;
                }
            }
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn table(&self, traced: &Traced, out: &mut impl Write) -> io::Result<()> {
        match &traced.input {
            Some(entry) => {
                let number = self.paint(BOLD, &format!("line {}:", self.taken));
                writeln!(out, "{number} {}", visible(&lossy(&entry.line)))?;
            }
            None => writeln!(out, "{}", self.paint(BOLD, "end of the input:"))?,
        }
        for step in &traced.steps {
            let part = if step.part > 0 { format!("#{} ", step.part) } else { String::new() };
            let stage = format!("{part}{}", step.path);
            let width = self.width + if traced.steps.iter().any(|s| s.part > 0) { 3 } else { 0 };
            let rows = self.rows(step);
            for (i, row) in rows.iter().enumerate() {
                let stage = if i == 0 { stage.as_str() } else { "" };
                writeln!(out, "  {} {row}", self.paint(CYAN, &format!("{stage:<width$}")))?;
            }
        }
        for entry in &traced.out {
            writeln!(out, "  {} {} {}", self.paint(GREEN, "=>"), entry.labels, visible(&lossy(&entry.line)))?;
        }
        writeln!(out)
    }

    /// What a step did, a row for each change.
    fn rows(&self, step: &Step) -> Vec<String> {
        match &step.outcome {
            Happened::Passed(changes) if changes.is_empty() => vec![self.paint(DIM, "  nothing changed")],
            Happened::Passed(changes) => changes.iter().map(|change| self.row(change)).collect(),
            Happened::Skipped => vec![self.paint(DIM, "  does not apply")],
            Happened::Dropped(why) => vec![self.paint(RED, &format!("x dropped    {}", visible(&lossy(why))))],
            Happened::Withheld => vec![self.paint(YELLOW, "  held back")],
            Happened::Emitted(entries) => {
                let row = |entry: &stages::Entry| {
                    format!("{} entry      {}", self.paint(GREEN, "+"), visible(&lossy(&entry.line)))
                };
                entries.iter().map(row).collect()
            }
        }
    }

    fn row(&self, change: &Change) -> String {
        let (mark, colour) = match (&change.value, change.is_new) {
            (None, _) => ("-", RED),
            (_, true) => ("+", GREEN),
            _ => ("~", YELLOW),
        };
        let what = match change.what {
            What::Line => "line",
            What::Timestamp => "timestamp",
            What::Label => "label",
            What::Extracted => "extracted",
            What::Metadata => "metadata",
        };
        let mark = format!("{} {what:<10}", self.paint(colour, mark));
        let name = visible(&lossy(&change.name));
        match (&change.value, change.what) {
            (Some(Value::Text(text)), What::Line | What::Timestamp) => format!("{mark} {}", visible(&lossy(text))),
            (Some(Value::Text(text)), _) => format!("{mark} {name}=\"{}\"", visible(&lossy(text))),
            (Some(other), _) => format!("{mark} {name}={}", visible(&value(other))),
            (None, _) => format!("{mark} {name}"),
        }
    }

    /// Prints the counts, and the metrics if there are any to be printed.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn end(&self, pipeline: &Pipeline, metrics: Option<&[String]>, out: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Table => self.summary(pipeline, out)?,
            Format::Json => writeln!(out, "{}", self.summary_json(pipeline))?,
            Format::Jsonl => {}
        }
        let Some(metrics) = metrics else { return Ok(()) };
        if self.format == Format::Table {
            writeln!(out, "\n{}", self.paint(BOLD, "metrics:"))?;
            return metrics.iter().try_for_each(|line| writeln!(out, "  {line}"));
        }
        writeln!(out, "{}", serde_json::json!({ "metrics": metrics }))
    }

    fn summary(&self, pipeline: &Pipeline, out: &mut impl Write) -> io::Result<()> {
        let total: u64 = self.dropped.values().sum();
        let totals = format!("{} in, {} out, {total} dropped", self.taken, self.out);
        writeln!(out, "{} {totals}", self.paint(BOLD, "summary:"))?;
        for (why, count) in &self.dropped {
            writeln!(out, "  {} {count} {}", self.paint(RED, "dropped"), visible(why))?;
        }
        if pipeline.failures() > 0 {
            writeln!(out, "  {} {}", self.paint(YELLOW, "failures of stages"), pipeline.failures())?;
        }
        if !self.waiting.is_zero() {
            writeln!(out, "  a limit would have held entries back for {:.1?}", self.waiting)?;
        }
        let width = self.width.max("stage".len());
        let head = format!("  {:<width$} {:>8} {:>8} {:>8} {:>8}", "stage", "entries", "changed", "skipped", "dropped");
        writeln!(out, "{}", self.paint(DIM, &head))?;
        for stage in &self.stages {
            let Counts { path, entries, changed, skipped, dropped, withheld, emitted } = stage;
            write!(out, "  {path:<width$} {entries:>8} {changed:>8} {skipped:>8} {dropped:>8}")?;
            if *withheld + *emitted > 0 {
                write!(out, "  {withheld} held back, {emitted} emitted")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn summary_json(&self, pipeline: &Pipeline) -> Json {
        let stage = |counts: &Counts| {
            let Counts { path, entries, changed, skipped, dropped, withheld, emitted } = counts;
            serde_json::json!({
                "stage": path, "entries": entries, "changed": changed, "skipped": skipped, "dropped": dropped,
                "withheld": withheld, "emitted": emitted,
            })
        };
        serde_json::json!({ "summary": {
            "in": self.taken,
            "out": self.out,
            "dropped": self.dropped,
            "failures": pipeline.failures(),
            "limit_seconds": self.waiting.as_secs_f64(),
            "stages": self.stages.iter().map(stage).collect::<Vec<_>>(),
        }})
    }
}

/// What became of an entry, as JSON on one line; `number` is that of the input line, none at the end of the input.
fn trace_json(traced: &Traced, number: Option<u64>) -> String {
    let number = number.map_or_else(|| "null".to_owned(), |n| n.to_string());
    let input = traced.input.as_ref().map_or_else(|| "null".to_owned(), |entry| json(entry, false));
    let steps: Vec<String> = traced.steps.iter().map(step_json).collect();
    let out: Vec<String> = traced.out.iter().map(|entry| json(entry, true)).collect();
    format!(r#"{{"entry":{number},"in":{input},"steps":[{}],"out":[{}]}}"#, steps.join(","), out.join(","))
}

fn step_json(step: &Step) -> String {
    let mut parts = vec![format!("\"stage\":{}", quoted(&step.path.as_str().into()))];
    if step.part > 0 {
        parts.push(format!("\"part\":{}", step.part));
    }
    match &step.outcome {
        Happened::Passed(changes) => parts.extend(changes_json(changes)),
        Happened::Skipped => parts.push("\"skipped\":true".to_owned()),
        Happened::Dropped(why) => parts.push(format!("\"dropped\":{}", quoted(why))),
        Happened::Withheld => parts.push("\"withheld\":true".to_owned()),
        Happened::Emitted(entries) => {
            let entries: Vec<String> = entries.iter().map(|entry| json(entry, true)).collect();
            parts.push(format!("\"emitted\":[{}]", entries.join(",")));
        }
    }
    format!("{{{}}}", parts.join(","))
}

fn changes_json(changes: &[Change]) -> Vec<String> {
    let mut parts = Vec::new();
    for change in changes.iter().filter(|c| matches!(c.what, What::Line | What::Timestamp)) {
        let key = if change.what == What::Line { "line" } else { "timestamp" };
        parts.push(format!("\"{key}\":{}", change.value.as_ref().map_or_else(String::new, value)));
    }
    for (what, key) in
        [(What::Label, "labels"), (What::Extracted, "extracted"), (What::Metadata, "structured_metadata")]
    {
        let ours = || changes.iter().filter(|change| change.what == what);
        let set: Vec<(Text, Value)> = ours().filter_map(|c| Some((c.name.clone(), c.value.clone()?))).collect();
        if !set.is_empty() {
            parts.push(format!("\"{key}\":{}", object(set)));
        }
        let removed: Vec<String> = ours().filter(|c| c.value.is_none()).map(|c| quoted(&c.name)).collect();
        if !removed.is_empty() {
            parts.push(format!("\"removed_{key}\":[{}]", removed.join(",")));
        }
    }
    parts
}

/// Text as it may be shown on a terminal.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(WIDTH));
    for (i, c) in text.chars().enumerate() {
        if i == WIDTH {
            shown.push('…');
            break;
        }
        match c {
            c if c.is_control() || is_bidi(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a character turns the direction of what follows, and so what a line seems to say.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
