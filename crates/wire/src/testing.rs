//! For the property tests: random requests of every awkward shape, and a naive reading of requests to hold results against.
//!
//! The reading ([`flatten`]) shares nothing with `index` but the field cursor: it is the oracle of the tests beside the
//! modules. The prost types are a second one, in `tests/`.

use crate::build::MessageWriter;
use crate::field::Fields;
use crate::key::AnyValue;
use crate::signal::Signal;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// A record with everything above it: resource, scope and, for data points, metric and data headers, fields in the order of
/// their numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flat {
    pub headers: Vec<Vec<u8>>,
    pub record: Vec<u8>,
}

/// Every record of a sound request in order.
pub fn flatten(signal: Signal, body: &[u8]) -> Vec<Flat> {
    let mut all = Vec::new();
    let levels = if signal == Signal::Metrics { 5 } else { 3 };
    descend(body, &mut Vec::new(), levels, &mut all);
    all
}

fn descend(message: &[u8], headers: &mut Vec<Vec<u8>>, levels: usize, all: &mut Vec<Flat>) {
    let depth = headers.len();
    if depth == levels {
        // The header of the request itself belongs to no record.
        return all.push(Flat { headers: headers[1..].to_vec(), record: message.to_vec() });
    }
    let (mut header, mut children) = (Vec::new(), Vec::new());
    for field in Fields::new(message) {
        let field = field.expect("sound");
        let is_child = match depth {
            0 => field.number == 1,
            1 | 2 => field.number == 2,
            3 => [5, 7, 9, 10, 11].contains(&field.number),
            _ => field.number == 1,
        };
        match field.bytes() {
            Some(child) if is_child => children.push((field.number, child)),
            _ => header.push((field.number, &message[field.range()])),
        }
    }
    header.sort_by_key(|(number, _)| *number);
    let header: Vec<u8> = header.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
    for (number, child) in children {
        // Which data a point is in is part of what it is.
        let mut header = header.clone();
        if depth == 3 {
            header.push(number as u8);
        }
        headers.push(header);
        descend(child, headers, levels, all);
        headers.pop();
    }
}

/// Where the message field of a header stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Absent,
    First,
    Late,
    Twice,
}

#[derive(Clone, Debug)]
struct EntrySpec<C> {
    place: Place,
    name: u8,
    schema_url: Option<u8>,
    unknown: Option<u8>,
    children: Vec<C>,
}

/// A log record, a span, or a metric with its data points.
#[derive(Clone, Debug)]
struct RecordSpec {
    id: u8,
    level: u8,
    millis: u16,
    values: Vec<ValueSpec>,
    padding: usize,
    unknown: Option<u8>,
    /// For metrics: the data field, and how many points it has besides one.
    data: usize,
    points: usize,
}

#[derive(Clone, Debug)]
enum ValueSpec {
    Empty,
    Text(String),
    Number(i64),
    Raw(Vec<u8>),
    List(Vec<ValueSpec>),
    Map(Vec<(u8, ValueSpec)>),
}

fn value() -> impl Strategy<Value = ValueSpec> {
    let leaf = prop_oneof![
        Just(ValueSpec::Empty),
        "[a-zé]{0,12}".prop_map(ValueSpec::Text),
        any::<i64>().prop_map(ValueSpec::Number),
        vec(any::<u8>(), 0..9).prop_map(ValueSpec::Raw),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(ValueSpec::List),
            vec((0u8..3, inner), 0..3).prop_map(ValueSpec::Map)
        ]
    })
}

fn record() -> impl Strategy<Value = RecordSpec> {
    let unknown = proptest::option::weighted(0.2, 0u8..4);
    let padding = prop_oneof![8 => 0usize..40, 3 => 100usize..400, 1 => 4000usize..5000];
    (0u8..5, 0u8..8, 0u16..900, vec(value(), 0..4), padding, unknown, 0usize..5, 0usize..4).prop_map(
        |(id, level, millis, values, padding, unknown, data, points)| RecordSpec {
            id,
            level,
            millis,
            values,
            padding,
            unknown,
            data,
            points,
        },
    )
}

fn entry<C: std::fmt::Debug>(child: impl Strategy<Value = C>, most: usize) -> impl Strategy<Value = EntrySpec<C>> {
    let place = prop_oneof![
        1 => Just(Place::Absent), 6 => Just(Place::First), 2 => Just(Place::Late), 1 => Just(Place::Twice)
    ];
    let schema_url = proptest::option::weighted(0.3, 0u8..2);
    let unknown = proptest::option::weighted(0.2, 0u8..4);
    (place, 0u8..3, schema_url, unknown, vec(child, 0..most)).prop_map(
        |(place, name, schema_url, unknown, children)| EntrySpec { place, name, schema_url, unknown, children },
    )
}

/// A sound request with up to three resource entries of up to three scope entries of up to five records or metrics.
pub fn request(signal: Signal) -> impl Strategy<Value = Bytes> {
    let resources = vec(entry(entry(record(), 6), 4), 0..4);
    (resources, proptest::option::weighted(0.1, 0u8..4)).prop_map(move |(resources, unknown)| {
        let mut request = MessageWriter::new();
        for resource in &resources {
            request.message(1, |message| {
                put_entry(message, resource, put_resource, |message, scope| {
                    put_entry(message, scope, put_scope, |message, record| put_record(message, signal, record));
                });
            });
            put_unknown(&mut request, unknown);
        }
        request.finish()
    })
}

/// A signal and a request of it.
pub fn any_request() -> impl Strategy<Value = (Signal, Bytes)> {
    signal().prop_flat_map(|signal| (Just(signal), request(signal)))
}

/// A signal and some requests of it.
pub fn any_requests(most: usize) -> impl Strategy<Value = (Signal, Vec<Bytes>)> {
    signal().prop_flat_map(move |signal| (Just(signal), vec(request(signal), 0..most)))
}

pub fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![Just(Signal::Logs), Just(Signal::Traces), Just(Signal::Metrics)]
}

fn put_entry<C>(
    message: &mut MessageWriter,
    entry: &EntrySpec<C>,
    head: impl Fn(&mut MessageWriter, u8),
    child: impl Fn(&mut MessageWriter, &C),
) {
    if matches!(entry.place, Place::First | Place::Twice) {
        head(message, entry.name);
    }
    put_unknown(message, entry.unknown);
    for (i, spec) in entry.children.iter().enumerate() {
        message.message(2, |nested| child(nested, spec));
        if i == 0 && matches!(entry.place, Place::Twice) {
            head(message, entry.name + 1);
        }
    }
    if let Some(url) = entry.schema_url {
        message.bytes(3, format!("https://schema/{url}"));
    }
    if matches!(entry.place, Place::Late) {
        head(message, entry.name);
    }
}

fn put_resource(message: &mut MessageWriter, name: u8) {
    message.message(1, |resource| {
        resource.attribute(1, "service.name", AnyValue::Str(&[b'a' + name]));
    });
}

fn put_scope(message: &mut MessageWriter, name: u8) {
    message.message(1, |scope| {
        scope.bytes(1, [b'a' + name]).attribute(3, "kind", AnyValue::Int(name.into()));
    });
}

/// A field of a number nobody knows, of each wire type.
fn put_unknown(message: &mut MessageWriter, kind: Option<u8>) {
    match kind {
        Some(0) => message.varint(20, 300),
        Some(1) => message.fixed64(200, 7),
        Some(2) => message.fixed32(99, 7),
        // Looks like a resource entry from the inside.
        Some(_) => message.bytes(1000, [0x0a, 0x02, 0x12, 0x00]),
        None => message,
    };
}

fn put_record(record: &mut MessageWriter, signal: Signal, spec: &RecordSpec) {
    match signal {
        Signal::Logs => {
            let texts = ["", "info", "ERROR", "Fatal", "critical", "warn", "errors", ""];
            record.fixed64(1, 5).varint(2, u64::from(spec.level) * 3).bytes(3, texts[usize::from(spec.level)]);
            put_value(record, 5, &ValueSpec::Text("x".repeat(spec.padding)));
            put_values(record, 6, &spec.values);
            put_id(record, 9, spec.id);
        }
        Signal::Traces => {
            put_id(record, 1, spec.id);
            record.bytes(2, [spec.level; 8]).bytes(5, "y".repeat(spec.padding));
            record.fixed64(7, 1_000_000).fixed64(8, 1_000_000 + u64::from(spec.millis) * 1_000_000);
            put_values(record, 9, &spec.values);
            record.message(15, |status| {
                status.varint(3, u64::from(spec.level) % 3);
            });
        }
        Signal::Metrics => {
            record.bytes(1, [b'm', spec.id]);
            let number = [5, 7, 9, 10, 11][spec.data];
            record.message(number, |data| {
                for point in 0..=spec.points {
                    data.message(1, |message| {
                        message.fixed64(3, point as u64);
                        let attributes = [7, 7, 9, 1, 7][spec.data];
                        put_values(message, attributes, &spec.values);
                        put_value_padding(message, attributes, spec.padding);
                    });
                }
                if number == 7 {
                    data.varint(2, 2).varint(3, 1);
                }
            });
            record.bytes(3, "ms");
        }
    }
    put_unknown(record, spec.unknown);
}

/// Ids of the first kind are absent, of the second empty.
fn put_id(record: &mut MessageWriter, number: u32, id: u8) {
    match id {
        0 => record,
        1 => record.bytes(number, []),
        _ => record.bytes(number, [id; 16]),
    };
}

fn put_values(record: &mut MessageWriter, number: u32, values: &[ValueSpec]) {
    for (i, value) in values.iter().enumerate() {
        record.message(number, |pair| {
            pair.bytes(1, format!("key{i}"));
            put_value(pair, 2, value);
        });
    }
}

fn put_value_padding(record: &mut MessageWriter, number: u32, padding: usize) {
    record.attribute(number, "padding", AnyValue::Str(&vec![b'z'; padding]));
}

fn put_value(message: &mut MessageWriter, number: u32, value: &ValueSpec) {
    message.message(number, |any| match value {
        ValueSpec::Empty => {}
        ValueSpec::Text(text) => {
            any.bytes(1, text);
        }
        ValueSpec::Number(number) => {
            any.varint(3, *number as u64);
        }
        ValueSpec::Raw(bytes) => {
            any.bytes(7, bytes);
        }
        ValueSpec::List(values) => {
            any.message(5, |list| values.iter().for_each(|value| put_value(list, 1, value)));
        }
        ValueSpec::Map(pairs) => {
            any.message(6, |map| {
                for (key, value) in pairs {
                    map.message(1, |pair| {
                        pair.bytes(1, [b'k', b'0' + key]);
                        put_value(pair, 2, value);
                    });
                }
            });
        }
    });
}

/// A request of one log record of a service.
pub fn log_request(service: &str, body: &str) -> Bytes {
    let mut request = crate::build::MessageWriter::new();
    request.resource_entry(&[("service.name", crate::key::AnyValue::Str(service.as_bytes()))], "scope", |scope| {
        let body = crate::key::AnyValue::Str(body.as_bytes());
        scope.log(&crate::build::Log { time: 1, body, ..Default::default() });
    });
    request.finish()
}
