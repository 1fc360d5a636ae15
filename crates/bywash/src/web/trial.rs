//! `/api/stages/run`: stages and lines in, what each stage did to each line out. Nothing is sent, and nothing waits.
//!
//! The same as `bywash stages`, but for what reads this machine: no environment, no files, and so no stage `geoip`. Invariants: text, lines,
//! time and answer are bounded.

use super::answer::{self, Answer};
use super::server::Asked;
use crate::commands::stages::trace::{Change, Happened, Trace, What};
use crate::commands::stages::{config as written, entries, now};
use components::exporters::store::api::Wrong;
use config::Diagnostics;
use config::environment::Environment;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use stages::{Entry, Observer, Outcome, Pipeline, Text};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Lines at once.
const MOST_LINES: usize = 1000;
/// Bytes of an answer: the line that reaches it is the last.
const MOST_BYTES: usize = 8 << 20;
/// How long the lines may take.
const TIME: Duration = Duration::from_secs(5);
/// Trials at once.
static TRIALS: Semaphore = Semaphore::const_new(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    stages: String,
    lines: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A world of one text.
struct Alone(String);

impl Environment for Alone {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

/// Runs lines through stages.
///
/// # Errors
/// What is wrong with the question.
pub async fn run(asked: Asked) -> Answer {
    asked.question.asked.end()?;
    let asking: Asking =
        serde_json::from_slice(&asked.body).map_err(|error| Wrong::new(format!("the body: {error}")))?;
    if asking.lines.len() > MOST_LINES {
        return Err(Wrong::new(format!("at most {MOST_LINES} lines at once")));
    }
    let stopping = || Wrong { status: 503, ..Wrong::new("the process is stopping") };
    let permit = TRIALS.acquire().await.map_err(|_| stopping())?;
    let tried = tokio::task::spawn_blocking(move || trial(asking)).await;
    drop(permit);
    match tried {
        Ok(Ok(text)) => Ok(answer::whole(StatusCode::OK, "application/json", text)),
        Ok(Err(Refused::Stages(found))) => Ok(answer::json(StatusCode::BAD_REQUEST, &told(&found))),
        Ok(Err(Refused::Wrong(wrong))) => Err(wrong),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(stopping()),
        },
    }
}

enum Refused {
    Stages(Diagnostics),
    Wrong(Wrong),
}

/// The first error, with its line.
fn told(found: &Diagnostics) -> Value {
    let first = found.errors().next();
    let line = first.and_then(|error| error.span.as_ref()).map(|span| span.line);
    let message = first.map_or("the stages cannot be read".to_owned(), |error| {
        let near = error.suggestion.as_ref().map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        format!("{}{near}", error.message)
    });
    json!({"error": message, "at": null, "line": line})
}

/// The answer, as JSON.
fn trial(asking: Asking) -> Result<String, Refused> {
    // A file of addresses is this machine's, and not the asker's.
    if asking.stages.lines().any(|line| line.trim_start_matches(['-', ' ', '\t', '{', '"', '\'']).starts_with("geoip"))
    {
        return Err(Refused::Wrong(Wrong::new("`geoip` reads a file of the server: try it with `bywash stages`")));
    }
    let (pipeline, _) = written::read("stages.yaml", None, &Alone(asking.stages)).map_err(Refused::Stages)?;
    let labels: Vec<(Text, Text)> =
        asking.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let (end, mut bytes) = (flow::clock::now() + TIME, 0);
    let mut shown = vec![];
    for line in &asking.lines {
        let wall = now();
        let labels = labels.iter().cloned().collect();
        let entry = Entry { line: Text::copy(line.as_bytes()), labels, timestamp: wall.wall, ..Entry::default() };
        let mut watched = Watched::new(Some(&entry));
        pipeline.process_observed(entry, wall, &mut watched, drop);
        let text = watched.json();
        bytes += text.len();
        shown.push(text);
        if bytes >= MOST_BYTES || flow::clock::now() >= end {
            let few = format!("the answer became too large, or took too long, after {} lines", shown.len());
            return Err(Refused::Wrong(Wrong::new(few)));
        }
    }
    shown.extend(rest(&pipeline));
    Ok(format!("{{\"entries\":[{}]}}", shown.join(",")))
}

/// What stages held back to the end.
fn rest(pipeline: &Pipeline) -> Option<String> {
    let mut watched = Watched::new(None);
    pipeline.finish_observed(now(), &mut watched, drop);
    (!watched.steps.is_empty()).then(|| watched.json())
}

/// Watches an entry, and notes how it is after each step.
struct Watched {
    trace: Trace,
    /// The places of steps, and how the entry was then: JSON objects without their closing brace.
    steps: Vec<(String, String)>,
    last: String,
}

impl Watched {
    fn new(entry: Option<&Entry>) -> Watched {
        let last = entry.map_or_else(|| state(&Entry::default()), state);
        Watched { trace: Trace::new(entry), steps: vec![], last }
    }

    fn json(self) -> String {
        let Watched { trace, steps, .. } = self;
        let traced = trace.done();
        let mut reason = Value::Null;
        let mut shown = vec![];
        for (step, (path, state)) in traced.steps.iter().zip(&steps) {
            let changed: Vec<String> = match &step.outcome {
                Happened::Passed(changes) => changes.iter().map(name).collect(),
                Happened::Dropped(why) => {
                    reason = String::from_utf8_lossy(why.as_bytes()).into_owned().into();
                    vec![]
                }
                _ => vec![],
            };
            shown.push(format!("{state},\"stage\":{},\"changed\":{}}}", Value::from(path.as_str()), json!(changed)));
        }
        let result = match traced.out.is_empty() {
            false => "kept",
            true if reason.is_null() => "held",
            true => "dropped",
        };
        format!("{{\"steps\":[{}],\"result\":\"{result}\",\"reason\":{reason}}}", shown.join(","))
    }
}

impl Observer for Watched {
    fn step(&mut self, path: &str, outcome: Outcome<'_>) {
        if let Outcome::Passed(entry) = &outcome {
            self.last = state(entry);
        }
        self.steps.push((path.to_owned(), self.last.clone()));
        self.trace.step(path, outcome);
    }

    fn out(&mut self, entry: &Entry) {
        self.trace.out(entry);
    }
}

/// An entry as a JSON object, without its closing brace.
fn state(entry: &Entry) -> String {
    let mut text = entries::json(entry, true);
    text.pop();
    text
}

/// What changed, by the name under which it stands in the state.
fn name(change: &Change) -> String {
    let name = String::from_utf8_lossy(change.name.as_bytes());
    match change.what {
        What::Line => "line".to_owned(),
        What::Timestamp => "timestamp".to_owned(),
        What::Label => format!("labels.{name}"),
        What::Extracted => format!("extracted.{name}"),
        What::Metadata => format!("structured_metadata.{name}"),
    }
}
