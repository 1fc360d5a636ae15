//! A log record as one line: the formats `json` and `logfmt` of the collector's Loki exporter.
//!
//! Left out of both are the hints and what became a label. A body that is logfmt itself stays as it is and gets the other pairs behind
//! it. Source: `pkg/translator/loki/encode.go` of opentelemetry-collector-contrib.

use super::stream::{LabelSet, Log, is_hint};
use super::text;
use crate::index::{Entry, Record};
use crate::key::{AnyValue, record_attributes, resource_attributes, scope_name};
use crate::signal::SCOPE;
use smallvec::SmallVec;

/// Appends the record as JSON.
pub(super) fn json(out: &mut Vec<u8>, record: &Record<'_>, log: &Log<'_>, labels: &LabelSet) {
    out.push(b'{');
    let start = out.len();
    let key = |out: &mut Vec<u8>, name: &str| {
        if out.len() > start {
            out.push(b',');
        }
        text::quote(out, name.as_bytes());
        out.push(b':');
    };
    if log.body != AnyValue::Empty {
        key(out, "body");
        text::write_json(out, &log.body);
    }
    for (name, id) in [("traceid", log.trace_id), ("spanid", log.span_id)] {
        if is_id(id) {
            key(out, name);
            out.push(b'"');
            hex(out, id);
            out.push(b'"');
        }
    }
    if !log.severity_text.is_empty() {
        key(out, "severity");
        text::quote(out, log.severity_text);
    }
    if log.flags != 0 {
        key(out, "flags");
        text::write_json(out, &AnyValue::Int(log.flags.into()));
    }
    let mut pairs = kept(record_attributes(record), labels);
    if !pairs.is_empty() {
        key(out, "attributes");
        object(out, &mut pairs);
    }
    let mut pairs = kept(resource_attributes(&record.resource()), labels);
    if !pairs.is_empty() {
        key(out, "resources");
        object(out, &mut pairs);
    }
    let scope = record.scope();
    let name = scope_name(&scope);
    if !name.is_empty() {
        key(out, "instrumentation_scope");
        let version = scope_version(&scope);
        let mut pairs: Pairs = smallvec::smallvec![(&b"name"[..], AnyValue::Str(name))];
        if !version.is_empty() {
            pairs.push((b"version", AnyValue::Str(version)));
        }
        object(out, &mut pairs);
    }
    out.push(b'}');
}

type Pairs<'a> = SmallVec<[(&'a [u8], AnyValue<'a>); 16]>;

/// The attributes that are neither hints nor labels.
fn kept<'a>(attributes: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>, labels: &LabelSet) -> Pairs<'a> {
    attributes.filter(|(name, _)| !is_hint(name) && !labels.has(name)).collect()
}

/// An object with sorted keys, as Go writes maps; of equal keys the first.
fn object(out: &mut Vec<u8>, pairs: &mut Pairs<'_>) {
    pairs.sort_by(|a, b| a.0.cmp(b.0));
    pairs.dedup_by(|a, b| a.0 == b.0);
    out.push(b'{');
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        text::quote(out, name);
        out.push(b':');
        text::write_json(out, value);
    }
    out.push(b'}');
}

/// Appends the record as logfmt.
pub(super) fn logfmt(out: &mut Vec<u8>, record: &Record<'_>, log: &Log<'_>, labels: &LabelSet) {
    let mut pairs = LogfmtWriter { start: out.len(), out, key: Vec::new() };
    match &log.body {
        AnyValue::Empty => {}
        AnyValue::Str(body) if is_logfmt(body) => pairs.out.extend_from_slice(body.trim_ascii()),
        AnyValue::KvList(_) => pairs.value(&log.body, 0),
        AnyValue::Array(_) => pairs.named(b"", b"body", &log.body),
        other => pairs.named(b"", b"msg", other),
    }
    let mut id = Vec::new();
    for (name, bytes) in [(&b"traceID"[..], log.trace_id), (b"spanID", log.span_id)] {
        if is_id(bytes) {
            id.clear();
            hex(&mut id, bytes);
            pairs.named(b"", name, &AnyValue::Str(&id));
        }
    }
    if !log.severity_text.is_empty() {
        pairs.named(b"", b"severity", &AnyValue::Str(log.severity_text));
    }
    if log.flags != 0 {
        pairs.named(b"", b"flags", &AnyValue::Int(log.flags.into()));
    }
    for (name, value) in kept(record_attributes(record), labels) {
        pairs.named(b"attribute_", name, &value);
    }
    for (name, value) in kept(resource_attributes(&record.resource()), labels) {
        pairs.named(b"resource_", name, &value);
    }
    let scope = record.scope();
    let name = scope_name(&scope);
    if !name.is_empty() {
        pairs.named(b"instrumentation_scope_", b"name", &AnyValue::Str(name));
        let version = scope_version(&scope);
        if !version.is_empty() {
            pairs.named(b"instrumentation_scope_", b"version", &AnyValue::Str(version));
        }
    }
}

struct LogfmtWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    /// The key of the value that is being written, grown with the nesting.
    key: Vec<u8>,
}

impl LogfmtWriter<'_> {
    fn named(&mut self, prefix: &[u8], name: &[u8], value: &AnyValue<'_>) {
        self.key.clear();
        self.key.extend_from_slice(prefix);
        self.key.extend_from_slice(name);
        self.value(value, 0);
    }

    /// Lists and maps become pairs of their own, with the way to them as the key.
    fn value(&mut self, value: &AnyValue<'_>, depth: usize) {
        let len = self.key.len();
        let mut below = |part: &[u8], value: &AnyValue<'_>| {
            if depth < text::MAX_DEPTH {
                if len > 0 {
                    self.key.push(b'_');
                }
                self.key.extend_from_slice(part);
                self.value(value, depth + 1);
                self.key.truncate(len);
            }
        };
        match value {
            AnyValue::Empty => {}
            AnyValue::KvList(map) => map.iter().for_each(|(name, value)| below(name, &value)),
            AnyValue::Array(list) => {
                list.iter().enumerate().for_each(|(i, value)| below(i.to_string().as_bytes(), &value));
            }
            leaf => self.pair(leaf),
        }
    }

    fn pair(&mut self, value: &AnyValue<'_>) {
        if self.out.len() > self.start {
            self.out.push(b' ');
        }
        let is_key = |b: &u8| *b > b' ' && !matches!(b, b'=' | b'"' | 0x7f);
        // What a key cannot hold is left out, as the peer's encoder does.
        self.out.extend(self.key.iter().copied().filter(is_key));
        self.out.push(b'=');
        let mut text = Vec::new();
        text::write(&mut text, value);
        if text.iter().all(is_key) && std::str::from_utf8(&text).is_ok() {
            self.out.extend_from_slice(&text);
        } else {
            text::quote(self.out, &text);
        }
    }
}

/// Whether a text is a record of logfmt with at least one `key=value`.
fn is_logfmt(text: &[u8]) -> bool {
    let (mut at, mut pairs) = (0, 0);
    let plain = |b: u8| b > b' ' && b != b'"' && b != b'=';
    while at < text.len() {
        if matches!(text[at], b' ' | b'\t') {
            at += 1;
            continue;
        }
        let key = text[at..].iter().take_while(|b| plain(**b)).count();
        at += key;
        if key == 0 {
            return false;
        }
        if text.get(at) != Some(&b'=') {
            continue;
        }
        at += 1;
        pairs += 1;
        if text.get(at) == Some(&b'"') {
            at += 1;
            loop {
                match text.get(at) {
                    Some(b'"') => break,
                    Some(b'\\') => at += 2,
                    Some(0x20..) => at += 1,
                    _ => return false,
                }
            }
            at += 1;
        } else {
            at += text[at..].iter().take_while(|b| plain(**b)).count();
        }
        if !matches!(text.get(at), None | Some(b' ' | b'\t')) {
            return false;
        }
    }
    pairs > 0
}

pub(super) fn is_id(id: &[u8]) -> bool {
    id.iter().any(|byte| *byte != 0)
}

pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

/// `InstrumentationScope.version`.
fn scope_version<'a>(scope: &Entry<'a>) -> &'a [u8] {
    let scopes = scope.fields().filter(|field| field.number == SCOPE).filter_map(|field| field.bytes());
    let fields = scopes.flat_map(|scope| crate::field::Fields::new(scope).map_while(Result::ok));
    fields.filter(|field| field.number == 2).filter_map(|field| field.bytes()).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: bodies that are logfmt, and others. Guarantee: only such with a pair count, and nothing broken does.
    #[test]
    fn logfmt_is_recognised() {
        for text in ["a=b", "msg=\"x y\" level=info bare", " a= ", "a=\"\\\"\""] {
            assert!(is_logfmt(text.as_bytes()), "{text}");
        }
        for text in
            ["", "just words", "=b", "a=\"b", "a=b\"c", "a=\"b\"c", "{\"a\":\"b=c\"}", "a=b=c", "a=\"\\", "a=\"x\ny\""]
        {
            assert!(!is_logfmt(text.as_bytes()), "{text}");
        }
    }
}
