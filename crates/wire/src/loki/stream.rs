//! Which stream a log record belongs to: its labels, by the rules of the collector's Loki exporter or all of its resource.
//!
//! The collector's rules, in this order, the later in place of the earlier: `exporter="OTLP"`; `job` of `service.namespace`/`service.name`;
//! `instance` of `service.instance.id`; the resource attributes that `loki.resource.labels` of the resource names, then those that the same
//! hint of the record names; the log attributes that `loki.attribute.labels` names, with `level` of the severity; the attribute that
//! `loki.tenant` names. Names in a hint are separated by commas, or a list; a name with dots may lead into maps.
//! Source: `pkg/translator/loki` of opentelemetry-collector-contrib.

use super::send::DefaultLabels;
use super::writer::is_internal;
use super::{TENANT_HINT, labels, text};
use crate::field::{Fields, Value};
use crate::index::{Entry, Record};
use crate::key::{AnyValue, record_attributes, resource_attributes};
use std::ops::Range;

const ATTRIBUTE_HINT: &[u8] = b"loki.attribute.labels";
const RESOURCE_HINT: &[u8] = b"loki.resource.labels";
pub(super) const FORMAT_HINT: &[u8] = b"loki.format";
/// Labels by hints in one stream: each is looked for in every record. Loki takes 15 unless told otherwise.
const MAX_HINTED: usize = 64;

/// Whether an attribute is a hint, and so never leaves.
pub(super) fn is_hint(name: &[u8]) -> bool {
    name.starts_with(b"loki.")
        && (name == ATTRIBUTE_HINT || name == RESOURCE_HINT || name == FORMAT_HINT || name == TENANT_HINT.as_bytes())
}

/// The fields of a `LogRecord` but its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log<'a> {
    pub time: u64,
    pub severity: i32,
    pub severity_text: &'a [u8],
    pub body: AnyValue<'a>,
    pub flags: u32,
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
}

impl<'a> Log<'a> {
    /// Reads a record. Its time is that of the event, else that of its observation, else 0.
    pub fn read(record: &'a [u8]) -> Log<'a> {
        let mut observed = 0;
        let mut log = Log {
            time: 0,
            severity: 0,
            severity_text: b"",
            body: AnyValue::Empty,
            flags: 0,
            trace_id: b"",
            span_id: b"",
        };
        for field in Fields::new(record).map_while(Result::ok) {
            match (field.number, field.value) {
                (1, Value::Fixed64(value)) => log.time = value,
                (2, Value::Varint(value)) => log.severity = value as i32,
                (3, Value::Len(value)) => log.severity_text = value,
                (5, Value::Len(value)) => log.body = AnyValue::read(value),
                (8, Value::Fixed32(value)) => log.flags = value,
                (9, Value::Len(value)) => log.trace_id = value,
                (10, Value::Len(value)) => log.span_id = value,
                (11, Value::Fixed64(value)) => observed = value,
                _ => {}
            }
        }
        if log.time == 0 {
            log.time = observed;
        }
        log
    }
}

/// Labels in one piece of memory, reused from record to record.
#[derive(Debug, Default)]
pub(super) struct LabelSet {
    text: Vec<u8>,
    labels: Vec<Label>,
}

#[derive(Debug)]
struct Label {
    /// The name of the attribute.
    attribute: Range<usize>,
    /// The name of the label.
    name: Range<usize>,
    value: Range<usize>,
}

impl LabelSet {
    pub fn clear(&mut self) {
        self.text.clear();
        self.labels.clear();
    }

    /// Keeps the first so many.
    pub fn truncate(&mut self, count: usize) {
        self.labels.truncate(count);
        self.text.truncate(self.labels.iter().map(|label| label.value.end).max().unwrap_or(0));
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the attribute is a label.
    pub fn has(&self, attribute: &[u8]) -> bool {
        self.labels.iter().any(|label| &self.text[label.attribute.clone()] == attribute)
    }

    /// Adds a label; of several of one name the first one counts.
    pub fn add(&mut self, attribute: &[u8], write_name: impl FnOnce(&mut Vec<u8>), value: &AnyValue<'_>) {
        let attribute = self.write(|out| out.extend_from_slice(attribute));
        let name = self.write(write_name);
        let value = self.write(|out| text::write(out, value));
        self.labels.push(Label { attribute, name, value });
    }

    /// Adds a label, or gives the one of this name another value.
    fn set(&mut self, attribute: &[u8], value: &AnyValue<'_>) {
        let known = self.labels.iter().position(|label| &self.text[label.attribute.clone()] == attribute);
        match known {
            Some(at) => self.labels[at].value = self.write(|out| text::write(out, value)),
            None if self.labels.len() < MAX_HINTED => {
                self.add(attribute, |out| labels::normalize(out, attribute), value)
            }
            None => {}
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.text.len();
        write(&mut self.text);
        start..self.text.len()
    }

    /// The label string, and whether there is any label. `external` ones are those of every stream; the stream's own come before them.
    pub fn string(&mut self, external: &[(String, String)], out: &mut Vec<u8>) -> bool {
        let LabelSet { text, labels } = self;
        let at = |range: &Range<usize>| &text[range.clone()];
        let mut all: smallvec::SmallVec<[(&[u8], &[u8]); 32]> =
            labels.iter().map(|label| (at(&label.name), at(&label.value))).collect();
        all.extend(external.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        all.sort_by_key(|(name, _)| *name);
        all.dedup_by(|a, b| a.0 == b.0);
        out.push(b'{');
        for (i, (name, value)) in all.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            match std::str::from_utf8(value) {
                Ok(_) => labels::write_pair(out, name, value),
                Err(_) => labels::write_pair(out, name, String::from_utf8_lossy(value).as_bytes()),
            }
        }
        out.push(b'}');
        !all.is_empty()
    }
}

/// The name of a label or of structured metadata: as it is if Loki takes it, else in the collector's form, but never one of an internal label.
pub(super) fn legal_name(out: &mut Vec<u8>, name: &[u8]) {
    let is_legal =
        !name.first().is_none_or(u8::is_ascii_digit) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if is_legal {
        return out.extend_from_slice(name);
    }
    let start = out.len();
    labels::normalize(out, name);
    if is_internal(&out[start..]) {
        out.splice(start..start, *b"key");
    }
}

/// Every attribute of the resource is a label, but those that stay within and the hints.
pub(super) fn all_of_resource(resource: &Entry<'_>, labels: &mut LabelSet) {
    for (name, value) in
        resource_attributes(resource).filter(|(name, _)| !name.is_empty() && !is_internal(name) && !is_hint(name))
    {
        labels.add(name, |out| legal_name(out, name), &value);
    }
}

/// The labels that a resource gives to each of its records.
pub(super) fn of_resource(resource: &Entry<'_>, defaults: &DefaultLabels, labels: &mut LabelSet) {
    let get = |name: &[u8]| resource_attributes(resource).find(|(key, _)| *key == name).map(|(_, value)| value);
    if defaults.exporter {
        labels.set(b"exporter", &AnyValue::Str(b"OTLP"));
    }
    let service = get(b"service.name").filter(|_| defaults.job);
    if let Some(service) = service {
        let mut job = Vec::new();
        if let Some(namespace) = get(b"service.namespace") {
            text::write(&mut job, &namespace);
            job.push(b'/');
        }
        text::write(&mut job, &service);
        labels.set(b"job", &AnyValue::Str(&job));
    }
    if let Some(instance) = get(b"service.instance.id").filter(|_| defaults.instance) {
        labels.set(b"instance", &instance);
    }
    if let Some(hint) = get(RESOURCE_HINT) {
        hinted(&hint, || resource_attributes(resource), labels);
    }
}

/// The labels that a record adds, and changes. `has_hints` says whether any record of the request may have a hint.
pub(super) fn of_record(
    record: &Record<'_>,
    log: &Log<'_>,
    defaults: &DefaultLabels,
    has_hints: bool,
    labels: &mut LabelSet,
) {
    let resource = record.resource();
    let get = |name: &[u8]| record_attributes(record).find(|(key, _)| *key == name).map(|(_, value)| value);
    if has_hints {
        if let Some(hint) = get(RESOURCE_HINT) {
            hinted(&hint, || resource_attributes(&resource), labels);
        }
        if let Some(hint) = get(ATTRIBUTE_HINT) {
            hinted(&hint, || record_attributes(record), labels);
        }
    }
    if defaults.level && log.severity != 0 {
        let level = get(b"level").unwrap_or_else(|| AnyValue::Str(level(log.severity).as_bytes()));
        labels.set(b"level", &level);
    }
    if has_hints {
        let tenant = TENANT_HINT.as_bytes();
        if let Some((_, hint)) = resource_attributes(&resource).find(|(key, _)| *key == tenant) {
            hinted(&hint, || resource_attributes(&resource), labels);
        } else if let Some(hint) = get(tenant) {
            hinted(&hint, || record_attributes(record), labels);
        }
    }
}

/// Makes labels of the attributes that a hint names.
fn hinted<'a, I: Iterator<Item = (&'a [u8], AnyValue<'a>)>>(
    hint: &AnyValue<'_>,
    attributes: impl Fn() -> I,
    labels: &mut LabelSet,
) {
    let mut one = |name: &[u8]| {
        let name = name.trim_ascii();
        let value =
            attributes().find(|(key, _)| *key == name).map(|(_, value)| value).or_else(|| nested(name, attributes()));
        if let Some(value) = value.filter(|_| !name.is_empty()) {
            labels.set(name, &value);
        }
    };
    let mut buffer = Vec::new();
    match hint {
        AnyValue::Array(list) => list.iter().take(MAX_HINTED).for_each(|name| {
            buffer.clear();
            text::write(&mut buffer, &name);
            one(&buffer);
        }),
        other => {
            text::write(&mut buffer, other);
            buffer.split(|b| *b == b',').take(MAX_HINTED).for_each(one);
        }
    }
}

/// What a name with dots leads to, through maps.
fn nested<'a>(name: &[u8], attributes: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>) -> Option<AnyValue<'a>> {
    let mut parts = name.split(|b| *b == b'.');
    let first = parts.next()?;
    let mut attributes = attributes;
    let mut value = attributes.find(|(key, _)| *key == first)?.1;
    for part in parts {
        let AnyValue::KvList(map) = value else { return None };
        value = map.iter().find(|(key, _)| *key == part)?.1;
    }
    Some(value)
}

/// The name of a severity number; a number that has none has no text.
fn level(severity: i32) -> &'static str {
    const NAMES: [&str; 24] = [
        "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2", "INFO3",
        "INFO4", "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL", "FATAL2", "FATAL3",
        "FATAL4",
    ];
    usize::try_from(severity).ok().and_then(|n| NAMES.get(n.checked_sub(1)?)).copied().unwrap_or_default()
}
