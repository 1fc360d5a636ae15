//! What can be asked of dead letters, and the answers: the same for a running program and for its directory.
//!
//! A letter is named `<exporter>/<signal>/<number>`. Invariant: lists are bounded; a name belongs to one letter for ever.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flow::Kind;
use flow::dead_letters::{Done, Filter, Letter, LetterBox, Summary, Which};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::Signal;

/// Letters in one list at most.
pub const MOST: usize = 10_000;
/// Characters of a reason's text in a list.
const MAX_TEXT: usize = 300;

/// The dead letters of one exporter and signal.
#[derive(Clone)]
pub struct Boxed {
    /// The exporter's id.
    pub exporter: String,
    /// What it sends.
    pub signal: Signal,
    /// The letters.
    pub letters: Arc<dyn LetterBox>,
}

/// A question, or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Which letters are there?
    List(Query),
    /// What is in this one?
    Show(String),
    /// Remove these for good.
    Discard(Selection),
    /// Send these again.
    Replay(Selection),
}

/// Letters with something in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Those of this exporter.
    pub exporter: Option<String>,
    /// Those for this target.
    pub target: Option<String>,
    /// Those given up for this reason.
    pub reason: Option<String>,
    /// So many at most, [`MOST`] in any case. Only for lists.
    pub limit: usize,
}

/// Letters by name, or all that a query finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// By name.
    Ids(Vec<String>),
    /// By query, whatever its limit.
    All(Query),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::List`]: the oldest of each exporter and signal.
    Letters(Vec<Row>),
    /// To [`Request::Show`].
    Letter(Box<Shown>),
    /// To [`Request::Discard`] and [`Request::Replay`].
    Done(Counts),
    /// It cannot be answered.
    Error(String),
}

/// A letter in a list. Times are milliseconds since the epoch; 0 is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// The exporter that could not deliver it.
    pub exporter: String,
    /// `logs`, `traces` or `metrics`.
    pub signal: String,
    /// Where it was to go.
    pub target: String,
    /// Why it was given up: a reason of the metrics page.
    pub reason: String,
    /// The same in the destination's words.
    pub text: String,
    /// The first attempt.
    pub first: u64,
    /// The last attempt.
    pub last: u64,
    /// When it was given up.
    pub at: u64,
    /// Attempts that are known of.
    pub attempts: u32,
    /// Records in it.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// A whole letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What a list shows of it.
    pub row: Row,
    /// The OTLP export request, as base64 of protobuf.
    pub request: String,
}

impl Shown {
    /// The OTLP export request.
    ///
    /// # Errors
    /// It is no base64.
    pub fn protobuf(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.request)
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// To so many letters.
    pub letters: u64,
    /// With so many records.
    pub records: u64,
    /// Names that belong to no letter.
    pub unknown: Vec<String>,
    /// Why it was not all of them.
    pub stopped: Option<String>,
}

/// Does what is asked. May block on the disk.
#[must_use]
pub fn answer(boxes: &[Boxed], request: &Request) -> Answer {
    let answered = match request {
        Request::List(query) => list(boxes, query).map(Answer::Letters),
        Request::Show(id) => show(boxes, id).map(|shown| Answer::Letter(Box::new(shown))),
        Request::Discard(selection) => {
            each(boxes, selection, |letters, which| letters.discard(which)).map(Answer::Done)
        }
        Request::Replay(selection) => each(boxes, selection, |letters, which| letters.replay(which)).map(Answer::Done),
    };
    answered.unwrap_or_else(Answer::Error)
}

impl Query {
    fn filter(&self) -> Result<Filter, String> {
        let kind = |label: &String| Kind::named(label).ok_or_else(|| format!("there is no reason `{label}`"));
        Ok(Filter { target: self.target.clone(), reason: self.reason.as_ref().map(kind).transpose()? })
    }

    fn takes(&self, boxed: &Boxed) -> bool {
        self.exporter.as_ref().is_none_or(|wanted| *wanted == boxed.exporter)
    }
}

fn list(boxes: &[Boxed], query: &Query) -> Result<Vec<Row>, String> {
    let (filter, limit) = (query.filter()?, query.limit.min(MOST));
    let mut rows = vec![];
    for boxed in boxes.iter().filter(|boxed| query.takes(boxed)) {
        let found = boxed.letters.list(&filter, limit - rows.len()).map_err(|why| boxed.failed(&why))?;
        rows.extend(found.into_iter().map(|letter| boxed.row(letter)));
    }
    Ok(rows)
}

fn show(boxes: &[Boxed], id: &str) -> Result<Shown, String> {
    let unknown = || format!("there is no dead letter `{id}`");
    let (boxed, number) = find(boxes, id).ok_or_else(unknown)?;
    let letter = boxed.letters.read(number).map_err(|why| boxed.failed(&why))?.ok_or_else(unknown)?;
    Ok(boxed.shown(number, letter))
}

fn each(
    boxes: &[Boxed],
    selection: &Selection,
    act: impl Fn(&dyn LetterBox, &Which) -> Result<Done, flow::Why>,
) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let mut add = |boxed: &Boxed, which: &Which| -> Result<u64, String> {
        let done = act(&*boxed.letters, which).map_err(|why| boxed.failed(&why))?;
        counts.letters += done.letters;
        counts.records += done.records;
        if let Some(why) = &done.stopped {
            counts.stopped = Some(boxed.failed(why));
        }
        Ok(done.letters)
    };
    match selection {
        Selection::All(query) => {
            let filter = query.filter()?;
            for boxed in boxes.iter().filter(|boxed| query.takes(boxed)) {
                add(boxed, &Which::Matching(filter.clone()))?;
            }
        }
        Selection::Ids(ids) => {
            let mut unknown = vec![];
            for id in ids {
                let Some((boxed, number)) = find(boxes, id) else {
                    unknown.push(id.clone());
                    continue;
                };
                let known = boxed.letters.read(number).map_err(|why| boxed.failed(&why))?.is_some();
                if !known {
                    unknown.push(id.clone());
                } else {
                    add(boxed, &Which::Ids(vec![number]))?;
                }
            }
            counts.unknown = unknown;
        }
    }
    Ok(counts)
}

/// The letters that a name is among, and its number there.
fn find<'a>(boxes: &'a [Boxed], id: &str) -> Option<(&'a Boxed, u64)> {
    let mut parts = id.rsplitn(3, '/');
    let (number, signal, exporter) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let boxed = boxes.iter().find(|b| b.exporter == exporter && b.signal.as_str() == signal)?;
    Some((boxed, number))
}

impl Boxed {
    fn failed(&self, why: &flow::Why) -> String {
        format!("{}/{}: {why}", self.exporter, self.signal)
    }

    fn row(&self, letter: Summary) -> Row {
        Row {
            id: format!("{}/{}/{}", self.exporter, self.signal, letter.id),
            exporter: self.exporter.clone(),
            signal: self.signal.as_str().to_owned(),
            target: letter.target.to_string(),
            reason: letter.reason.as_str().to_owned(),
            text: letter.text.chars().take(MAX_TEXT).collect(),
            first: letter.first,
            last: letter.last,
            at: letter.at,
            attempts: letter.attempts,
            records: letter.records,
            bytes: letter.bytes,
        }
    }

    fn shown(&self, id: u64, letter: Letter) -> Shown {
        let request = STANDARD.encode(letter.payload.body.contiguous());
        let summary = Summary {
            id,
            records: u64::from(letter.payload.records),
            bytes: letter.payload.len() as u64,
            target: letter.target,
            reason: letter.reason,
            text: String::new(),
            first: letter.first,
            last: letter.last,
            attempts: letter.attempts,
            at: letter.at,
        };
        Shown { row: Row { text: letter.text, ..self.row(summary) }, request }
    }
}

#[cfg(test)]
pub(super) mod tests;
