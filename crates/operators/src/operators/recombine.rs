//! `recombine`: entries of one source that belong together become one, with the texts of a field joined.
//!
//! What waits is bounded by the collector's keys, and by a number of bytes beside them: beyond it everything comes out
//! as it is.

use super::parser::missing;
use crate::chain::{Entry, Tag};
use crate::expr::Expr;
use crate::field::Field;
use crate::keys::Keys;
use crate::record::Record;
use crate::value::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::time::{Duration, Instant};

/// Bytes that may wait in one operator.
const MOST_BYTES: usize = 32 << 20;
/// Where entries go whose source is not known.
const UNKNOWN: &str = "";

/// See the module.
pub struct Recombine<T> {
    settings: Settings,
    waiting: HashMap<String, Group<T>>,
    bytes: usize,
}

struct Settings {
    mark: Mark,
    field: Field,
    with: String,
    source: Option<Field>,
    takes_newest: bool,
    /// 0 is no limit, of each of these.
    max_entries: usize,
    max_unmatched: usize,
    max_sources: usize,
    max_bytes: usize,
    period: Duration,
}

/// What tells where a group begins or ends.
enum Mark {
    First(Expr),
    Last(Expr),
}

struct Group<T> {
    entry: Entry<T>,
    text: String,
    entries: usize,
    since: Instant,
    has_matched: bool,
}

impl<T: Tag> Recombine<T> {
    pub fn new(keys: &Keys<'_>) -> Option<Recombine<T>> {
        let mark = match (keys.condition("is_first_entry"), keys.condition("is_last_entry")) {
            (Some(first), None) => Some(Mark::First(first)),
            (None, Some(last)) => Some(Mark::Last(last)),
            (Some(_), Some(_)) => {
                keys.wrong("is_last_entry", "only one of `is_first_entry` and `is_last_entry` can be set");
                None
            }
            (None, None) => {
                if keys.value("is_first_entry").or(keys.value("is_last_entry")).is_none() {
                    keys.wrong("type", "one of `is_first_entry` and `is_last_entry` must be set");
                }
                None
            }
        };
        let field = keys.required_field("combine_field");
        let settings = Settings {
            with: keys.text("combine_with").unwrap_or_else(|| "\n".to_owned()),
            source: keys.field("source_identifier"),
            takes_newest: keys.word("overwrite_with", &["oldest", "newest"]) == "newest",
            max_entries: keys.count("max_batch_size", 1000),
            max_unmatched: keys.count("max_unmatched_batch_size", 100),
            max_sources: keys.count("max_sources", 1000),
            max_bytes: keys.size("max_log_size", 0),
            period: keys.duration("force_flush_period", Duration::from_secs(5)),
            mark: mark?,
            field: field?,
        };
        Some(Recombine { settings, waiting: HashMap::new(), bytes: 0 })
    }

    /// The parts of a line that a container runtime cut: those up to the one that `last` is said of.
    pub fn of_parts(field: Field, last: Expr, max_bytes: usize) -> Recombine<T> {
        let settings = Settings {
            mark: Mark::Last(last),
            field,
            with: String::new(),
            source: None,
            takes_newest: false,
            max_entries: 1000,
            max_unmatched: 0,
            max_sources: 1000,
            max_bytes,
            period: Duration::from_secs(5),
        };
        Recombine { settings, waiting: HashMap::new(), bytes: 0 }
    }

    /// Whether a record can be held at all.
    pub fn check(&self, record: &Record) -> Result<(), String> {
        let value = record.get(&self.settings.field).ok_or_else(|| missing(&self.settings.field))?;
        value.text().ok_or_else(|| format!("`{}` is {}, not text", self.settings.field, value.noun()))?;
        self.settings.mark.is_set(record).map(drop)
    }

    pub fn hold(&mut self, entry: Entry<T>, now: Instant, whole: &mut Vec<Entry<T>>) {
        // Both were checked before.
        let is_marked = self.settings.mark.is_set(&entry.record).unwrap_or(false);
        let text = entry.record.get(&self.settings.field).and_then(Value::text).unwrap_or_default().to_owned();
        let source = match &self.settings.source {
            Some(field) => entry.record.get(field).and_then(Value::text),
            None => entry.tags.first().map(Tag::source),
        };
        let source = source.unwrap_or(UNKNOWN).to_owned();
        let is_first = matches!(self.settings.mark, Mark::First(_));
        if is_marked && is_first {
            self.let_out(&source, whole);
        }
        self.add(&source, entry, text, is_marked, now, whole);
        if is_marked && !is_first {
            self.let_out(&source, whole);
        }
    }

    fn add(
        &mut self,
        source: &str,
        entry: Entry<T>,
        text: String,
        is_marked: bool,
        now: Instant,
        whole: &mut Vec<Entry<T>>,
    ) {
        let settings = &self.settings;
        let is_crowded = settings.max_sources > 0 && self.waiting.len() >= settings.max_sources;
        if !self.waiting.contains_key(source) && (is_crowded || self.bytes > MOST_BYTES) {
            self.let_all_out(whole);
        }
        let settings = &self.settings;
        self.bytes += text.len() + settings.with.len();
        let group = match self.waiting.entry(source.to_owned()) {
            Slot::Vacant(slot) => slot.insert(Group { entry, text, entries: 1, since: now, has_matched: is_marked }),
            Slot::Occupied(slot) => {
                let group = slot.into_mut();
                group.entries += 1;
                group.has_matched |= is_marked;
                if !group.text.is_empty() {
                    group.text.push_str(&settings.with);
                }
                group.text.push_str(&text);
                group.entry.tags.extend(entry.tags);
                if settings.takes_newest {
                    group.entry.record = entry.record;
                }
                group
            }
        };
        let is_full = settings.max_bytes > 0 && group.text.len() > settings.max_bytes
            || settings.max_entries > 0 && group.entries >= settings.max_entries
            || settings.max_unmatched > 0 && !group.has_matched && group.entries >= settings.max_unmatched;
        if is_full {
            self.let_out(source, whole);
        } else if self.bytes > MOST_BYTES {
            self.let_all_out(whole);
        }
    }

    fn let_out(&mut self, source: &str, whole: &mut Vec<Entry<T>>) {
        let Some(mut group) = self.waiting.remove(source) else { return };
        self.bytes = self.bytes.saturating_sub(group.text.len());
        // It was text before, so that it can be set.
        let _ = group.entry.record.set(&self.settings.field, Value::Text(group.text));
        whole.push(group.entry);
        if self.waiting.is_empty() {
            self.bytes = 0;
        }
    }

    fn let_all_out(&mut self, whole: &mut Vec<Entry<T>>) {
        let mut sources: Vec<(Instant, String)> =
            self.waiting.iter().map(|(source, group)| (group.since, source.clone())).collect();
        sources.sort();
        sources.iter().for_each(|(_, source)| self.let_out(source, whole));
    }

    pub fn flush(&mut self, now: Instant, ends: bool, whole: &mut Vec<Entry<T>>) {
        if ends {
            return self.let_all_out(whole);
        }
        let period = self.settings.period;
        let is_due = |group: &Group<T>| now.saturating_duration_since(group.since) >= period;
        let due: Vec<String> =
            self.waiting.iter().filter(|(_, group)| is_due(group)).map(|(source, _)| source.clone()).collect();
        due.iter().for_each(|source| self.let_out(source, whole));
    }

    pub fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|group| group.since + self.settings.period).min()
    }

    pub fn forget(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }
}

impl Mark {
    fn is_set(&self, record: &Record) -> Result<bool, String> {
        let (Mark::First(expr) | Mark::Last(expr)) = self;
        expr.holds(record)
    }
}
