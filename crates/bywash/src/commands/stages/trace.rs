//! What each stage did to an entry: watches the pipeline and compares the entry before and after each step.
//!
//! A stage may put several entries in place of one; each is then followed by itself, in the order in which the pipeline runs
//! them, and numbered.

use stages::entry::Value;
use stages::{Entry, Labels, Observer, Outcome, Text, Timestamp};
use std::collections::VecDeque;

/// What became of one entry, or of what was held back at the end of the input.
#[derive(Debug, Default)]
pub struct Traced {
    /// The entry that went in; none at the end of the input.
    pub input: Option<Entry>,
    /// Step by step.
    pub steps: Vec<Step>,
    /// What came out.
    pub out: Vec<Entry>,
}

/// One step of one entry.
#[derive(Debug)]
pub struct Step {
    /// Where the stage stands: `[0].match.stages[1].json`.
    pub path: String,
    /// Which of the entries that a stage put in place of one; 0 for the one that went in.
    pub part: usize,
    /// What the stage did.
    pub outcome: Happened,
}

/// What a stage did.
#[derive(Debug)]
pub enum Happened {
    /// The entry went on with these changes.
    Passed(Vec<Change>),
    /// A `match` did not apply.
    Skipped,
    /// The entry is gone, for this reason.
    Dropped(Text),
    /// The entry was held back, or became no entry at all.
    Withheld,
    /// These went on in its place.
    Emitted(Vec<Entry>),
}

/// What a change is a change of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The line.
    Line,
    /// The timestamp.
    Timestamp,
    /// A label.
    Label,
    /// A name of the extracted map.
    Extracted,
    /// Structured metadata.
    Metadata,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of what.
    pub what: What,
    /// The name, where it has one.
    pub name: Text,
    /// The value it has now; none if it is gone.
    pub value: Option<Value>,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Follows one call of the pipeline.
#[derive(Debug, Default)]
pub struct Trace {
    traced: Traced,
    /// The entries on their way; the one that runs is the first.
    running: VecDeque<(usize, Snapshot)>,
    parts: usize,
}

#[derive(Clone, Debug)]
struct Snapshot {
    line: Text,
    timestamp: Timestamp,
    labels: Labels,
    extracted: Vec<(Text, Value)>,
    metadata: Vec<(Text, Text)>,
}

impl Trace {
    /// Begins to follow an entry, or the end of the input.
    #[must_use]
    pub fn new(entry: Option<&Entry>) -> Trace {
        let mut trace = Trace { traced: Traced { input: entry.cloned(), ..Traced::default() }, ..Trace::default() };
        if let Some(entry) = entry {
            let mut before = Snapshot::of(entry);
            // Extracted begins as a copy of the labels.
            before.extracted = text_values(entry.labels.iter());
            trace.running.push_back((0, before));
        }
        trace
    }

    /// What happened.
    #[must_use]
    pub fn done(self) -> Traced {
        self.traced
    }
}

impl Observer for Trace {
    fn step(&mut self, path: &str, outcome: Outcome<'_>) {
        let part = self.running.front().map_or(0, |(part, _)| *part);
        let outcome = match outcome {
            Outcome::Passed(entry) => {
                let after = Snapshot::of(entry);
                let changes = self.running.front().map(|(_, before)| before.changes(&after)).unwrap_or_default();
                if let Some((_, before)) = self.running.front_mut() {
                    *before = after;
                }
                Happened::Passed(changes)
            }
            Outcome::Skipped => Happened::Skipped,
            Outcome::Dropped(why) => {
                self.running.pop_front();
                Happened::Dropped(why.clone())
            }
            Outcome::Emitted([]) => {
                self.running.pop_front();
                Happened::Withheld
            }
            Outcome::Emitted(entries) => {
                self.running.pop_front();
                for entry in entries.iter().rev() {
                    self.running.push_front((0, Snapshot::of(entry)));
                }
                for (part, _) in self.running.iter_mut().take(entries.len()) {
                    self.parts += 1;
                    *part = self.parts;
                }
                Happened::Emitted(entries.to_vec())
            }
        };
        self.traced.steps.push(Step { path: path.to_owned(), part, outcome });
    }

    fn out(&mut self, entry: &Entry) {
        self.running.pop_front();
        self.traced.out.push(entry.clone());
    }
}

impl Snapshot {
    fn of(entry: &Entry) -> Snapshot {
        Snapshot {
            line: entry.line.clone(),
            timestamp: entry.timestamp,
            labels: entry.labels.clone(),
            extracted: entry.extracted.sorted(),
            metadata: entry.metadata.clone(),
        }
    }

    fn changes(&self, after: &Snapshot) -> Vec<Change> {
        let mut changes = Vec::new();
        let single =
            |what, value: Text| Change { what, name: Text::new(), value: Some(Value::Text(value)), is_new: false };
        if self.line != after.line {
            changes.push(single(What::Line, after.line.clone()));
        }
        if self.timestamp != after.timestamp {
            changes.push(single(What::Timestamp, after.timestamp.to_string().into()));
        }
        if !self.labels.same(&after.labels) {
            compare(What::Label, &text_values(self.labels.iter()), &text_values(after.labels.iter()), &mut changes);
        }
        compare(What::Extracted, &self.extracted, &after.extracted, &mut changes);
        compare(What::Metadata, &text_values(&self.metadata), &text_values(&after.metadata), &mut changes);
        changes
    }
}

fn text_values<'a>(pairs: impl IntoIterator<Item = &'a (Text, Text)>) -> Vec<(Text, Value)> {
    pairs.into_iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect()
}

fn compare(what: What, before: &[(Text, Value)], after: &[(Text, Value)], changes: &mut Vec<Change>) {
    let find =
        |pairs: &[(Text, Value)], name: &Text| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    for (name, value) in after {
        let old = find(before, name);
        if old.as_ref() != Some(value) {
            changes.push(Change { what, name: name.clone(), value: Some(value.clone()), is_new: old.is_none() });
        }
    }
    for (name, _) in before.iter().filter(|(name, _)| find(after, name).is_none()) {
        changes.push(Change { what, name: name.clone(), value: None, is_new: false });
    }
}
