//! What a record is routed by: the bytes whose hash finds its backend.
//!
//! The encodings are those of the collector's exporter (contrib 0.154 and later), byte for byte, so that a fleet of both sends one
//! trace, service or stream to one backend:
//!
//! | signal | key | bytes |
//! |---|---|---|
//! | traces | `traceID` | the 16 bytes of the id |
//! | traces | `service` | `service.name=<value>\|` |
//! | logs | `traceID` | the id as 32 hexadecimal digits; a record without one shares a random key with its scope entry |
//! | logs, metrics | `service` | the value of `service.name` |
//! | logs, metrics | `resource` | `resource/` and a hash of the resource's attributes |
//! | metrics | `metric` | the metric's name |
//! | metrics | `streamID` | `stream/` and a hash of resource, scope, metric and the point's attributes |
//! | all | `attributes` | `<name>=<value>\|` for each routing attribute, found in the resource, else the scope, else the record |
//!
//! A missing `service.name` is an empty key for logs and metrics (the collector drops such metrics; we do not).
//! It does not hash for the ring and does not know backends.

use super::hex_crc::{HEX_CRC, HexCrc, hex_digits};
use base64::Engine;
use std::fmt::Write;
use wire::key::{self, AnyValue};
use wire::{Entry, Record, Signal};
use xxhash_rust::xxh64::xxh64;

/// The collector's `routing_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingKey {
    /// By trace.
    TraceId,
    /// By `service.name`.
    Service,
    /// By all attributes of the resource.
    Resource,
    /// By the metric's name.
    Metric,
    /// By the identity of the metric stream.
    StreamId,
    /// By the attributes named in `routing_attributes`.
    Attributes,
}

impl RoutingKey {
    /// The key of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<RoutingKey> {
        use RoutingKey::{Attributes, Metric, Resource, Service, StreamId, TraceId};
        [TraceId, Service, Resource, Metric, StreamId, Attributes].into_iter().find(|key| key.name() == name)
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RoutingKey::TraceId => "traceID",
            RoutingKey::Service => "service",
            RoutingKey::Resource => "resource",
            RoutingKey::Metric => "metric",
            RoutingKey::StreamId => "streamID",
            RoutingKey::Attributes => "attributes",
        }
    }

    /// The collector's default for a signal.
    #[must_use]
    pub fn default_for(signal: Signal) -> RoutingKey {
        if signal == Signal::Traces { RoutingKey::TraceId } else { RoutingKey::Service }
    }

    /// Whether the collector knows this key for a signal.
    #[must_use]
    pub fn fits(self, signal: Signal) -> bool {
        use RoutingKey::{Attributes, Metric, Resource, Service, StreamId, TraceId};
        match signal {
            Signal::Traces => matches!(self, TraceId | Service | Attributes),
            Signal::Logs => matches!(self, TraceId | Service | Resource | Attributes),
            Signal::Metrics => matches!(self, Service | Resource | Metric | StreamId | Attributes),
        }
    }
}

/// What holds the key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An entry above it, by its place in the request.
    Entry(usize),
    /// Its trace within a scope entry.
    Trace(usize, [u8; 16]),
    /// Itself.
    Record,
}

/// Writes the keys of one request's records.
#[derive(Debug)]
pub struct Keys<'a> {
    key: RoutingKey,
    attributes: &'a [String],
    /// Whether log records count as having no trace id: the fork's `log_routing.ignore_trace_id`.
    ignore_trace_id: bool,
    /// The random key of a scope entry whose records have no trace id.
    random: Option<(usize, [u8; 8])>,
    /// The hash of the last resource entry.
    resource: Option<(usize, Fnv)>,
    hex: &'static HexCrc,
}

impl<'a> Keys<'a> {
    /// For one request.
    #[must_use]
    pub fn new(key: RoutingKey, attributes: &'a [String], ignore_trace_id: bool) -> Keys<'a> {
        Keys { key, attributes, ignore_trace_id, random: None, resource: None, hex: &HEX_CRC }
    }

    /// What makes records share their key for certain, so that it need not be written again.
    #[must_use]
    pub fn holder(&self, record: &Record) -> Holder {
        match (self.key, record.signal()) {
            (RoutingKey::Service, Signal::Logs | Signal::Metrics) | (RoutingKey::Resource, _) => {
                Holder::Entry(record.resource().id())
            }
            (RoutingKey::Metric, _) => record.metric().map_or(Holder::Record, |metric| Holder::Entry(metric.id())),
            // The collector takes these keys from the first span of a trace in a scope entry.
            (RoutingKey::Service | RoutingKey::Attributes, Signal::Traces) => {
                let mut trace = [0; 16];
                if let Some(id) = key::trace_id(record).filter(|id| id.len() == trace.len()) {
                    trace.copy_from_slice(id);
                }
                Holder::Trace(record.scope().id(), trace)
            }
            _ => Holder::Record,
        }
    }

    /// The CRC-32 of the key of a record; `scratch` is where the key is written if that is needed.
    pub fn crc(&mut self, record: &Record, scratch: &mut Vec<u8>) -> u32 {
        if (self.key, record.signal()) == (RoutingKey::TraceId, Signal::Logs)
            && let Some(id) = self.log_trace_id(record)
            && let Ok(id) = id.try_into()
        {
            return self.hex.crc(id);
        }
        self.write(record, scratch);
        crc32fast::hash(scratch)
    }

    /// Writes the key of a record.
    pub fn write(&mut self, record: &Record, out: &mut Vec<u8>) {
        out.clear();
        let signal = record.signal();
        match self.key {
            RoutingKey::TraceId if signal == Signal::Logs => self.log_trace(record, out),
            RoutingKey::TraceId => out.extend_from_slice(key::trace_id(record).unwrap_or(&[0; 16])),
            RoutingKey::Service if signal == Signal::Traces => self.segment(record, "service.name", out),
            RoutingKey::Service => {
                if let Some(AnyValue::Str(name)) = key::resource_attribute(&record.resource(), b"service.name") {
                    out.extend_from_slice(name);
                }
            }
            RoutingKey::Resource => self.resource(record).put("resource/", out),
            RoutingKey::Metric => out.extend(record.metric().iter().flat_map(key::metric_name)),
            RoutingKey::StreamId => self.stream(record).put("stream/", out),
            RoutingKey::Attributes => self.attributes.iter().for_each(|name| self.segment(record, name, out)),
        }
    }

    /// The trace id that a log record is routed by.
    fn log_trace_id<'r>(&self, record: &Record<'r>) -> Option<&'r [u8]> {
        if self.ignore_trace_id {
            return None;
        }
        key::trace_id(record).filter(|id| id.iter().any(|b| *b != 0))
    }

    fn log_trace(&mut self, record: &Record, out: &mut Vec<u8>) {
        match self.log_trace_id(record) {
            Some(id) => out.extend(id.iter().flat_map(|b| hex_digits(*b))),
            None => {
                let scope = record.scope().id();
                let random = match self.random {
                    Some((of, random)) if of == scope => random,
                    _ => self.random.insert((scope, fastrand::u64(..).to_le_bytes())).1,
                };
                out.extend_from_slice(&random);
            }
        }
    }

    /// `<name>=<value>|`, with no value if there is no such attribute.
    fn segment(&self, record: &Record, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        let above = key::resource_attribute(&record.resource(), name.as_bytes())
            .or_else(|| key::scope_attribute(&record.scope(), name.as_bytes()));
        if let Some(value) = above {
            put_text(&value, out);
        } else if !pseudo(record, name, out)
            && let Some((_, value)) = key::record_attributes(record).filter(|(k, _)| *k == name.as_bytes()).last()
        {
            put_text(&value, out);
        }
        out.push(b'|');
    }

    fn resource(&mut self, record: &Record) -> Fnv {
        let resource = record.resource();
        match self.resource {
            Some((of, hash)) if of == resource.id() => hash,
            _ => {
                self.resource
                    .insert((resource.id(), Fnv::new().with(&attributes_hash(key::resource_attributes(&resource)))))
                    .1
            }
        }
    }

    fn stream(&mut self, record: &Record) -> Fnv {
        let scope = record.scope();
        let mut hash = self.resource(record).with(key::scope_name(&scope)).with(scope_version(&scope));
        hash = hash.with(&attributes_hash(key::scope_attributes(&scope)));
        if let (Some(metric), Some(data)) = (record.metric(), record.data()) {
            let kind = Kind::of(&data);
            hash = hash.with(key::metric_name(&metric)).with(metric_unit(&metric));
            hash = hash.with(&[kind.kind, u8::from(kind.monotonic), kind.temporality]);
        }
        hash.with(&attributes_hash(key::record_attributes(record)))
    }
}

/// The attributes that are not attributes. True if `name` is one of them for this signal.
fn pseudo(record: &Record, name: &str, out: &mut Vec<u8>) -> bool {
    match (record.signal(), name) {
        (Signal::Traces, "span.kind") => out.extend_from_slice(span_kind(record.bytes()).as_bytes()),
        (Signal::Traces, "span.name") => out.extend_from_slice(last_bytes(record.bytes(), 5)),
        (Signal::Logs, "log.severity") => out.extend_from_slice(key::severity(record.bytes()).text),
        (Signal::Logs, "log.body") => put_text(&AnyValue::read(last_bytes(record.bytes(), 5)), out),
        _ => return false,
    }
    true
}

fn last_bytes(message: &[u8], number: u32) -> &[u8] {
    let fields = wire::field::Fields::new(message).map_while(Result::ok);
    fields.filter(|f| f.number == number).filter_map(|f| f.bytes()).last().unwrap_or_default()
}

fn last_varint(message: &[u8], number: u32) -> u64 {
    let fields = wire::field::Fields::new(message).map_while(Result::ok);
    fields.filter(|f| f.number == number).filter_map(|f| f.varint()).last().unwrap_or_default()
}

/// The names that the collector's `SpanKind.String` gives.
fn span_kind(span: &[u8]) -> &'static str {
    match last_varint(span, 6) {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    }
}

fn scope_version<'a>(scope: &Entry<'a>) -> &'a [u8] {
    scope
        .fields()
        .filter(|f| f.number == 1)
        .filter_map(|f| f.bytes())
        .map(|m| last_bytes(m, 2))
        .last()
        .unwrap_or_default()
}

fn metric_unit<'a>(metric: &Entry<'a>) -> &'a [u8] {
    metric.fields().filter(|f| f.number == 3).filter_map(|f| f.bytes()).last().unwrap_or_default()
}

/// What of a metric's data is part of its identity.
struct Kind {
    kind: u8,
    monotonic: bool,
    temporality: u8,
}

impl Kind {
    /// The collector's numbers of the types; distributions count as monotonic.
    fn of(data: &Entry) -> Kind {
        let number = |n| data.fields().filter(|f| f.number == n).filter_map(|f| f.varint()).last().unwrap_or_default();
        let temporality = u8::try_from(number(2)).unwrap_or_default();
        match data.number() {
            5 => Kind { kind: 1, monotonic: false, temporality: 0 },
            7 => Kind { kind: 2, monotonic: number(3) != 0, temporality },
            9 => Kind { kind: 3, monotonic: true, temporality },
            10 => Kind { kind: 4, monotonic: true, temporality },
            _ => Kind { kind: 5, monotonic: false, temporality: 0 },
        }
    }
}

/// FNV-1a of 64 bits.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn with(self, bytes: &[u8]) -> Fnv {
        Fnv(bytes.iter().fold(self.0, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// In hexadecimal without leading zeros, as Go's `%x` prints a number.
    fn put(self, prefix: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{prefix}{:x}", self.0).as_bytes());
    }
}

/// The collector's hash of a set of attributes (`pdatautil.MapHash`): two XXH64 of a canonical form.
fn attributes_hash<'a>(pairs: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>) -> [u8; 16] {
    let mut form = vec![];
    put_map(pairs, &mut form);
    let mut hash = [0; 16];
    if !form.is_empty() {
        hash[..8].copy_from_slice(&xxh64(&form, 0).to_le_bytes());
        form.push(0xf3);
        hash[8..].copy_from_slice(&xxh64(&form, 0).to_le_bytes());
    }
    hash
}

fn put_map<'a>(pairs: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>, out: &mut Vec<u8>) {
    for (name, value) in sorted(pairs) {
        out.push(0xf4);
        out.extend_from_slice(name);
        put_value(&value, out);
    }
}

fn put_value(value: &AnyValue, out: &mut Vec<u8>) {
    match value {
        AnyValue::Empty => out.push(0xf5),
        AnyValue::Bytes(bytes) => {
            out.push(0xf6);
            out.extend_from_slice(bytes);
        }
        AnyValue::Str(text) => {
            out.push(0xf7);
            out.extend_from_slice(text);
        }
        AnyValue::Bool(yes) => out.push(if *yes { 0xf8 } else { 0xf9 }),
        AnyValue::Int(number) => {
            out.push(0xfa);
            out.extend_from_slice(&number.to_le_bytes());
        }
        AnyValue::Double(number) => {
            out.push(0xfb);
            out.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        AnyValue::KvList(list) => {
            out.push(0xfc);
            put_map(list.iter(), out);
            out.push(0xfd);
        }
        AnyValue::Array(array) => {
            out.push(0xfe);
            array.iter().for_each(|value| put_value(&value, out));
            out.push(0xff);
        }
    }
}

fn sorted<'a>(pairs: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>) -> Vec<(&'a [u8], AnyValue<'a>)> {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|(name, _)| *name);
    pairs
}

/// A value as text in a segment.
fn put_text(value: &AnyValue, out: &mut Vec<u8>) {
    match value {
        AnyValue::Empty => {}
        AnyValue::Str(text) => out.extend_from_slice(text),
        AnyValue::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        AnyValue::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        AnyValue::Double(number) => out.extend_from_slice(go_float(*number).as_bytes()),
        AnyValue::Bytes(bytes) => {
            out.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes())
        }
        AnyValue::KvList(list) => {
            out.push(b'{');
            for (n, (name, value)) in sorted(list.iter()).iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                out.push(b':');
                put_text(value, out);
            }
            out.push(b'}');
        }
        AnyValue::Array(array) => {
            out.push(b'[');
            for (n, value) in array.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                put_text(&value, out);
            }
            out.push(b']');
        }
    }
}

/// A number as Go's `strconv.FormatFloat(f, 'g', -1, 64)` writes it.
fn go_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Both languages print the shortest digits that read back; only the frame differs.
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let mut text = String::from(digits);
        // Writing to a string cannot fail.
        let _ = write!(text, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
        return text;
    }
    format!("{number}")
}

#[cfg(test)]
mod tests;
