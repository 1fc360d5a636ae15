//! The operators: what each does to an entry. Which comes next, and what becomes of failures, is the chain's affair.
//!
//! To add one: a file here, a row in [`KINDS`], an arm in [`build`] and in [`Operator::apply`].

mod container;
mod csv;
mod fields;
mod json;
mod key_value;
mod parser;
mod recombine;
mod regex;
mod route;
mod severity;
mod strptime;
mod text;
mod time;
mod trace;

use crate::chain::{Entry, Tag};
use crate::keys::Keys;
use std::time::Instant;

/// The types.
pub const KINDS: [&str; 20] = [
    "add",
    "container",
    "copy",
    "csv_parser",
    "filter",
    "flatten",
    "json_parser",
    "key_value_parser",
    "move",
    "noop",
    "recombine",
    "regex_parser",
    "regex_replace",
    "remove",
    "retain",
    "router",
    "severity_parser",
    "time_parser",
    "trace_parser",
    "unquote",
];

/// Finds the place of an operator by its id.
pub type Find<'a> = dyn Fn(&str) -> Result<usize, String> + 'a;

/// What becomes of an entry.
pub enum Then {
    /// It goes to the next operator.
    Next,
    /// It goes to this one.
    To(usize),
    /// It ends here, on purpose.
    Over,
    /// It is for [`Operator::hold`].
    Held,
}

/// One operator.
pub enum Operator<T> {
    Add(fields::Add),
    Container(Box<container::Container<T>>),
    Copy(fields::Move),
    Csv(Box<csv::Csv>),
    Filter(route::Filter),
    Flatten(fields::Flatten),
    Json(Box<json::Json>),
    KeyValue(Box<key_value::KeyValue>),
    Move(fields::Move),
    Noop,
    Recombine(Box<recombine::Recombine<T>>),
    Regex(Box<regex::RegexParser>),
    Replace(text::Replace),
    Remove(fields::Remove),
    Retain(fields::Retain),
    Router(route::Router),
    Severity(Box<severity::Severity>),
    Time(Box<time::Time>),
    Trace(Box<trace::Trace>),
    Unquote(text::Unquote),
}

/// Reads the keys of an operator. None if anything is wrong; that is told.
pub fn build<T: Tag>(kind: &str, keys: &Keys<'_>, find: &Find<'_>) -> Option<Operator<T>> {
    Some(match kind {
        "add" => Operator::Add(fields::Add::new(keys)?),
        "container" => Operator::Container(Box::new(container::Container::new(keys)?)),
        "copy" => Operator::Copy(fields::Move::new(keys)?),
        "csv_parser" => Operator::Csv(Box::new(csv::Csv::new(keys)?)),
        "filter" => Operator::Filter(route::Filter::new(keys)?),
        "flatten" => Operator::Flatten(fields::Flatten::new(keys)?),
        "json_parser" => Operator::Json(Box::new(json::Json::new(keys)?)),
        "key_value_parser" => Operator::KeyValue(Box::new(key_value::KeyValue::new(keys)?)),
        "move" => Operator::Move(fields::Move::new(keys)?),
        "noop" => Operator::Noop,
        "recombine" => Operator::Recombine(Box::new(recombine::Recombine::new(keys)?)),
        "regex_parser" => Operator::Regex(Box::new(regex::RegexParser::new(keys)?)),
        "regex_replace" => Operator::Replace(text::Replace::new(keys)?),
        "remove" => Operator::Remove(fields::Remove::new(keys)?),
        "retain" => Operator::Retain(fields::Retain::new(keys)?),
        "router" => Operator::Router(route::Router::new(keys, find)?),
        "severity_parser" => Operator::Severity(Box::new(severity::Severity::new(keys)?)),
        "time_parser" => Operator::Time(Box::new(time::Time::new(keys)?)),
        "trace_parser" => Operator::Trace(Box::new(trace::Trace::new(keys))),
        "unquote" => Operator::Unquote(text::Unquote::new(keys)?),
        _ => return None,
    })
}

impl<T: Tag> Operator<T> {
    /// Does its work.
    ///
    /// # Errors
    /// It cannot, of this entry; what it did up to there stays.
    pub fn apply(&mut self, entry: &mut Entry<T>) -> Result<Then, String> {
        let record = &mut entry.record;
        match self {
            Operator::Add(add) => add.apply(record)?,
            Operator::Container(container) => return container.apply(record),
            Operator::Copy(copy) => copy.copy(record)?,
            Operator::Csv(csv) => csv.apply(record)?,
            Operator::Filter(filter) => return filter.apply(record),
            Operator::Flatten(flatten) => flatten.apply(record)?,
            Operator::Json(json) => json.apply(record)?,
            Operator::KeyValue(parser) => parser.apply(record)?,
            Operator::Move(moves) => moves.apply(record)?,
            Operator::Noop => {}
            Operator::Recombine(recombine) => recombine.check(record)?,
            Operator::Regex(regex) => regex.apply(record)?,
            Operator::Replace(replace) => replace.apply(record)?,
            Operator::Remove(remove) => remove.apply(record)?,
            Operator::Retain(retain) => retain.apply(record)?,
            Operator::Router(router) => return router.apply(record),
            Operator::Severity(severity) => severity.apply(record)?,
            Operator::Time(time) => time.apply(record)?,
            Operator::Trace(trace) => trace.apply(record)?,
            Operator::Unquote(unquote) => unquote.apply(record)?,
        }
        Ok(if matches!(self, Operator::Recombine(_)) { Then::Held } else { Then::Next })
    }

    fn recombine(&self) -> Option<&recombine::Recombine<T>> {
        match self {
            Operator::Recombine(recombine) => Some(recombine),
            Operator::Container(container) => Some(&container.parts),
            _ => None,
        }
    }

    fn recombine_mut(&mut self) -> Option<&mut recombine::Recombine<T>> {
        match self {
            Operator::Recombine(recombine) => Some(recombine),
            Operator::Container(container) => Some(&mut container.parts),
            _ => None,
        }
    }

    /// Takes an entry, and gives those that are whole now.
    pub fn hold(&mut self, entry: Entry<T>, now: Instant, whole: &mut Vec<Entry<T>>) {
        match self.recombine_mut() {
            Some(recombine) => recombine.hold(entry, now, whole),
            None => whole.push(entry),
        }
    }

    /// Gives what it has held for long enough; all of it if everything `ends`.
    pub fn flush(&mut self, now: Instant, ends: bool, whole: &mut Vec<Entry<T>>) {
        if let Some(recombine) = self.recombine_mut() {
            recombine.flush(now, ends, whole);
        }
    }

    /// When something that it holds must come out.
    pub fn due(&self) -> Option<Instant> {
        self.recombine().and_then(recombine::Recombine::due)
    }

    /// Whether it may hold entries.
    pub fn may_hold(&self) -> bool {
        self.recombine().is_some()
    }

    /// Forgets what it holds.
    pub fn forget(&mut self) {
        if let Some(recombine) = self.recombine_mut() {
            recombine.forget();
        }
    }
}
