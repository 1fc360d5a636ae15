//! An OTLP logs request becomes a push: records are gathered into streams by their labels.
//!
//! Invariants: entries of one stream keep the order of their records; streams stand in the order of their first entries; what cannot be
//! an entry (no label at all, a format that does not exist) is left out and counted; the result is never larger than the limit by more
//! than one entry. Nothing is allocated per record but the output.

use super::line::{self, hex, is_id};
use super::number::{ENTRIES, LABELS, LINE, METADATA, NAME, NANOS, SECONDS, STREAMS, TIMESTAMP, VALUE};
use super::stream::{FORMAT_HINT, LabelSet, Log, all_of_resource, is_hint, legal_name, of_record, of_resource};
use super::{SCOPE_NAME, text};
use crate::build::MessageWriter;
use crate::field::{Malformed, len_field_len};
use crate::index::{Index, Record};
use crate::key::{AnyValue, record_attributes, resource_attribute, scope_name};
use crate::lossy::lossy;
use crate::signal::Signal;
use std::collections::HashMap;

/// How records become streams and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// As [`Mapping::Entries`] what came in as a Loki stream, the rest as [`Mapping::Hints`].
    #[default]
    Auto,
    /// All resource attributes are labels, the body is the line, log attributes are structured metadata.
    Entries,
    /// Labels by default and by hints, the line in a format: the collector's exporter.
    Hints,
}

/// How a line is written under [`Mapping::Hints`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An object of body, ids, severity, attributes and resource.
    #[default]
    Json,
    /// The same in pairs.
    Logfmt,
    /// The body alone.
    Raw,
}

impl Format {
    fn named(name: &[u8]) -> Option<Format> {
        match name {
            b"json" => Some(Format::Json),
            b"logfmt" => Some(Format::Logfmt),
            b"raw" => Some(Format::Raw),
            _ => None,
        }
    }
}

/// Which labels are given without being asked for, under [`Mapping::Hints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultLabels {
    /// `exporter="OTLP"`.
    pub exporter: bool,
    /// `service.namespace`/`service.name`.
    pub job: bool,
    /// `service.instance.id`.
    pub instance: bool,
    /// The severity.
    pub level: bool,
}

impl Default for DefaultLabels {
    fn default() -> Self {
        DefaultLabels { exporter: true, job: true, instance: true, level: true }
    }
}

/// How an OTLP request becomes a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// How records become streams and lines.
    pub mapping: Mapping,
    /// Labels without being asked for.
    pub defaults: DefaultLabels,
    /// Labels of every stream; a stream's own label of that name comes first.
    pub external: Vec<(String, String)>,
    /// The format of records that name none.
    pub format: Format,
    /// Whether log attributes that are not in the line leave as structured metadata, with trace id, span id and severity text.
    pub structured_metadata: bool,
    /// The largest result in bytes.
    pub limit: usize,
}

impl Default for Sending {
    fn default() -> Self {
        Sending {
            mapping: Mapping::default(),
            defaults: DefaultLabels::default(),
            external: Vec::new(),
            format: Format::default(),
            structured_metadata: true,
            limit: usize::MAX,
        }
    }
}

/// A push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The `PushRequest`; empty if there is no entry.
    pub body: Vec<u8>,
    /// Its entries.
    pub entries: usize,
    /// Records that cannot be entries.
    pub left_out: usize,
    /// Why the first of them cannot.
    pub why: &'static str,
}

/// A request that is no push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is no sound OTLP request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The push would be larger than the limit.
    #[error("the push request is larger than {0} bytes")]
    TooLarge(usize),
}

/// The push of an OTLP logs request. Records without any time get that of `now`, in nanoseconds since 1970.
///
/// # Errors
/// See [`SendError`].
pub fn from_otlp(logs: &[u8], how: &Sending, now: u64) -> Result<Pushed, SendError> {
    let mut index = Index::new();
    index.build(Signal::Logs, logs)?;
    let mut sender = Sender {
        how,
        now,
        has_hints: contains(logs, b"loki."),
        place: None,
        labels: LabelSet::default(),
        streams: Streams::default(),
        text: Vec::new(),
        pushed: Pushed::default(),
    };
    for record in index.records(logs) {
        sender.record(&record);
        if sender.streams.bytes > how.limit {
            return Err(SendError::TooLarge(how.limit));
        }
    }
    Ok(Pushed { body: sender.streams.finish(how.limit)?, ..sender.pushed })
}

/// Whether the bytes stand somewhere in the request: one pass, which saves looking for hints in every record.
#[must_use]
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// The streams so far.
#[derive(Default)]
struct Streams {
    by_labels: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    /// Label string and encoded entries.
    all: Vec<(Box<[u8]>, MessageWriter)>,
    /// What they take so far.
    bytes: usize,
}

impl Streams {
    fn of(&mut self, labels: &[u8]) -> usize {
        if let Some(at) = self.by_labels.get(labels) {
            return *at;
        }
        let at = self.all.len();
        self.by_labels.insert(labels.into(), at);
        self.all.push((labels.into(), MessageWriter::new()));
        self.bytes += labels.len();
        at
    }

    fn finish(self, limit: usize) -> Result<Vec<u8>, SendError> {
        let len = |(labels, entries): &(Box<[u8]>, MessageWriter)| len_field_len(LABELS, labels.len()) + entries.len();
        let used = || self.all.iter().filter(|(_, entries)| !entries.is_empty());
        let total: usize = used().map(|stream| len_field_len(STREAMS, len(stream))).sum();
        if total > limit {
            return Err(SendError::TooLarge(limit));
        }
        let mut out = MessageWriter::with_capacity(total);
        for stream in used() {
            out.prefix(STREAMS, len(stream));
            out.bytes(LABELS, &stream.0).raw(stream.1.as_slice());
        }
        Ok(out.into_vec())
    }
}

/// What the records of one scope entry have in common.
#[derive(Clone, Copy)]
struct Place {
    scope: usize,
    rule: Rule,
}

#[derive(Clone, Copy)]
enum Rule {
    /// All in this stream; none if it has no label.
    Entries(Option<usize>),
    /// Labels that the resource gives, and the format it hints at, which may be none that exists.
    Hints { labels: usize, format: Option<Option<Format>> },
}

struct Sender<'h> {
    how: &'h Sending,
    now: u64,
    /// Whether any record may have a hint.
    has_hints: bool,
    place: Option<Place>,
    labels: LabelSet,
    streams: Streams,
    /// The label string, then the line, of the record.
    text: Vec<u8>,
    pushed: Pushed,
}

impl Sender<'_> {
    fn record(&mut self, record: &Record<'_>) {
        let log = Log::read(record.bytes());
        let stream = match self.rule(record) {
            Rule::Entries(Some(stream)) => {
                self.text.clear();
                text::write(&mut self.text, &log.body);
                self.entry(record, &log, stream, self.how.structured_metadata);
                return;
            }
            Rule::Entries(None) => None,
            Rule::Hints { labels, format } => {
                let own =
                    || record_attributes(record).find(|(name, _)| *name == FORMAT_HINT).map(|(_, v)| format_of(&v));
                let format = format.or_else(|| own().filter(|_| self.has_hints)).unwrap_or(Some(self.how.format));
                let Some(format) = format else {
                    return self.leave_out("loki.format is none of json, logfmt and raw");
                };
                self.hinted_stream(record, &log, labels).map(|stream| (stream, format))
            }
        };
        let Some((stream, format)) = stream else {
            return self.leave_out("a record without any label is no Loki entry");
        };
        self.text.clear();
        match format {
            Format::Json => line::json(&mut self.text, record, &log, &self.labels),
            Format::Logfmt => line::logfmt(&mut self.text, record, &log, &self.labels),
            Format::Raw => text::write(&mut self.text, &log.body),
        }
        self.entry(record, &log, stream, format == Format::Raw && self.how.structured_metadata);
    }

    fn leave_out(&mut self, why: &'static str) {
        if self.pushed.left_out == 0 {
            self.pushed.why = why;
        }
        self.pushed.left_out += 1;
    }

    /// The rule for the record's scope entry, with the labels of its resource laid out.
    fn rule(&mut self, record: &Record<'_>) -> Rule {
        let scope = record.scope();
        if let Some(place) = self.place.filter(|place| place.scope == scope.id()) {
            return place.rule;
        }
        let resource = record.resource();
        let is_entries = match self.how.mapping {
            Mapping::Entries => true,
            Mapping::Hints => false,
            Mapping::Auto => scope_name(&scope) == SCOPE_NAME.as_bytes(),
        };
        self.labels.clear();
        let rule = if is_entries {
            all_of_resource(&resource, &mut self.labels);
            Rule::Entries(self.stream())
        } else {
            of_resource(&resource, &self.how.defaults, &mut self.labels);
            let format = resource_attribute(&resource, FORMAT_HINT).map(|hint| format_of(&hint));
            Rule::Hints { labels: self.labels.len(), format }
        };
        self.place = Some(Place { scope: scope.id(), rule });
        rule
    }

    /// The stream of a record, of whose labels so many are its resource's.
    fn hinted_stream(&mut self, record: &Record<'_>, log: &Log<'_>, count: usize) -> Option<usize> {
        if self.has_hints {
            // A record's hints may change what the resource gives.
            self.labels.clear();
            of_resource(&record.resource(), &self.how.defaults, &mut self.labels);
        } else {
            self.labels.truncate(count);
        }
        of_record(record, log, &self.how.defaults, self.has_hints, &mut self.labels);
        self.stream()
    }

    /// The stream of the labels that are laid out.
    fn stream(&mut self) -> Option<usize> {
        self.text.clear();
        let any = self.labels.string(&self.how.external, &mut self.text);
        any.then(|| self.streams.of(&self.text))
    }

    /// Writes an entry; its line is in `text`.
    fn entry(&mut self, record: &Record<'_>, log: &Log<'_>, stream: usize, metadata: bool) {
        let is_entries = matches!(self.place, Some(Place { rule: Rule::Entries(_), .. }));
        let time = if log.time == 0 { self.now } else { log.time };
        let out = &mut self.streams.all[stream].1;
        let before = out.len();
        out.message(ENTRIES, |entry| {
            entry.message(TIMESTAMP, |message| {
                let (seconds, nanos) = (time / 1_000_000_000, time % 1_000_000_000);
                if seconds > 0 {
                    message.varint(SECONDS, seconds);
                }
                if nanos > 0 {
                    message.varint(NANOS, nanos);
                }
            });
            let line = lossy(&self.text);
            if !line.is_empty() {
                entry.bytes(LINE, line.as_bytes());
            }
            if metadata {
                let labels = if is_entries { None } else { Some(&self.labels) };
                put_metadata(entry, record, log, labels, &mut self.text);
            }
        });
        self.streams.bytes += out.len() - before;
        self.pushed.entries += 1;
    }
}

/// Attributes in one record that are compared with each other; Loki takes 128 unless told otherwise.
const MAX_COMPARED: usize = 128;

/// Writes the attributes that are no hints and no labels, the first of each name, and what an entry has no place for.
fn put_metadata(
    out: &mut MessageWriter,
    record: &Record<'_>,
    log: &Log<'_>,
    labels: Option<&LabelSet>,
    text: &mut Vec<u8>,
) {
    let mut put = |name: &[u8], value: &AnyValue<'_>| {
        out.message(METADATA, |pair| {
            text.clear();
            legal_name(text, name);
            pair.bytes(NAME, &text);
            text.clear();
            text::write(text, value);
            pair.bytes(VALUE, lossy(text).as_bytes());
        });
    };
    for (i, (name, value)) in record_attributes(record).enumerate() {
        let is_known = i < MAX_COMPARED && record_attributes(record).take(i).any(|(other, _)| other == name);
        if !is_known && !name.is_empty() && !is_hint(name) && !labels.is_some_and(|labels| labels.has(name)) {
            put(name, &value);
        }
    }
    let has = |name: &[u8]| record_attributes(record).any(|(other, _)| other == name);
    for (name, id) in [(&b"trace_id"[..], log.trace_id), (b"span_id", log.span_id)] {
        if is_id(id) && !has(name) {
            let mut digits = Vec::with_capacity(2 * id.len());
            hex(&mut digits, id);
            put(name, &AnyValue::Str(&digits));
        }
    }
    if !log.severity_text.is_empty() && !has(b"severity_text") {
        put(b"severity_text", &AnyValue::Str(log.severity_text));
    }
}

/// The format that a hint names.
fn format_of(hint: &AnyValue<'_>) -> Option<Format> {
    Format::named(hint.as_str()?)
}
