//! Holds `wire::schema` against the official .proto files, in both directions: every field of every message, and every
//! message that a request or response can reach.

#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use std::collections::{HashMap, HashSet};
use wire::Signal;
use wire::schema::{self, Field, Kind, Message};

/// Every message of the vendored files by its full name, such as `.opentelemetry.proto.trace.v1.Span.Event`.
fn messages() -> HashMap<String, DescriptorProto> {
    fn add(prefix: &str, message: DescriptorProto, into: &mut HashMap<String, DescriptorProto>) {
        let name = format!("{prefix}.{}", message.name());
        for nested in message.nested_type.clone() {
            add(&name, nested, into);
        }
        into.insert(name, message);
    }
    let mut all = HashMap::new();
    for file in otlp_oracle::descriptors().unwrap().file {
        let package = format!(".{}", file.package());
        for message in file.message_type {
            add(&package, message, &mut all);
        }
    }
    all
}

/// The names and numbers of an enum, by its full name.
fn named_numbers(full: &str) -> Vec<(&'static str, i32)> {
    let files = otlp_oracle::descriptors().unwrap().file;
    let nested = |message: DescriptorProto| message.enum_type.into_iter();
    let found = files
        .into_iter()
        .flat_map(|file| file.enum_type.into_iter().chain(file.message_type.into_iter().flat_map(nested)));
    let found = found.into_iter().find(|declared| full.ends_with(&format!(".{}", declared.name()))).unwrap();
    found.value.iter().map(|value| (&*value.name().to_owned().leak(), value.number())).collect()
}

/// The name without its package: everything from the first capital after a dot.
fn short(full: &str) -> &str {
    let start = full.match_indices('.').find(|(i, _)| full[i + 1..].starts_with(char::is_uppercase));
    &full[start.map_or(0, |(i, _)| i + 1)..]
}

/// Whether the table's kind is what the .proto file declares.
fn kind_agrees(kind: Kind, declared: &FieldDescriptorProto) -> bool {
    match (kind, declared.r#type()) {
        (Kind::Bool, Type::Bool)
        | (Kind::Int32, Type::Int32)
        | (Kind::Int64, Type::Int64)
        | (Kind::Uint32, Type::Uint32)
        | (Kind::Uint64, Type::Uint64)
        | (Kind::Sint32, Type::Sint32)
        | (Kind::Enum, Type::Enum)
        | (Kind::Fixed32, Type::Fixed32)
        | (Kind::Fixed64, Type::Fixed64)
        | (Kind::Sfixed64, Type::Sfixed64)
        | (Kind::Double, Type::Double)
        | (Kind::String, Type::String) => true,
        (Kind::Bytes, Type::Bytes) => !declared.name().ends_with("_id"),
        (Kind::Id(16), Type::Bytes) => declared.name() == "trace_id",
        (Kind::Id(8), Type::Bytes) => matches!(declared.name(), "span_id" | "parent_span_id"),
        (Kind::Message(message), Type::Message) => message.name == short(declared.type_name()),
        _ => false,
    }
}

fn compare(message: &Message, field: &Field, declared: &FieldDescriptorProto) {
    let what = format!("{}.{}", message.name, declared.name());
    let optional = declared.proto3_optional();
    assert_eq!(field.number, u32::try_from(declared.number()).unwrap(), "{what}");
    assert_eq!(field.json, declared.json_name(), "{what}");
    // Both spellings find it.
    for name in [declared.json_name(), declared.name()] {
        assert_eq!(message.by_json(name).map(|field| field.number), Some(field.number), "{what}");
    }
    if declared.r#type() == Type::Enum {
        assert_eq!(&named_numbers(declared.type_name()), field.names, "{what}");
    } else {
        assert!(field.names.is_empty(), "{what}");
    }
    assert!(kind_agrees(field.kind, declared), "{what}: {:?} for {:?}", field.kind, declared.r#type());
    assert_eq!(field.repeated, declared.label() == Label::Repeated, "{what}");
    assert_eq!(field.optional, optional, "{what}");
    assert_eq!(field.oneof, declared.oneof_index.is_some() && !optional, "{what}");
}

/// The tables describe exactly the messages that the .proto files describe: no field is missing, none is invented, and
/// number, JSON name, kind, repetition, oneof and optional agree. A message has at most one real oneof.
#[test]
fn tables_equal_the_proto_files() {
    let declared = messages();
    let service = |signal: &str, name: &str| format!(".opentelemetry.proto.collector.{signal}.v1.Export{name}");
    let mut todo = vec![
        (service("logs", "LogsServiceRequest"), schema::request(Signal::Logs)),
        (service("logs", "LogsServiceResponse"), schema::response(Signal::Logs)),
        (service("trace", "TraceServiceRequest"), schema::request(Signal::Traces)),
        (service("trace", "TraceServiceResponse"), schema::response(Signal::Traces)),
        (service("metrics", "MetricsServiceRequest"), schema::request(Signal::Metrics)),
        (service("metrics", "MetricsServiceResponse"), schema::response(Signal::Metrics)),
    ];
    let mut seen: HashMap<String, &'static Message> = HashMap::new();
    while let Some((full, message)) = todo.pop() {
        if let Some(known) = seen.get(&full) {
            assert!(std::ptr::eq(*known, message), "{full} is described twice");
            continue;
        }
        let official = &declared[&full];
        assert_eq!(message.name, short(&full));
        let mut fields = official.field.clone();
        fields.sort_by_key(FieldDescriptorProto::number);
        assert_eq!(message.fields.len(), fields.len(), "{full}: number of fields");
        for (field, official) in message.fields.iter().zip(&fields) {
            compare(message, field, official);
            if let Kind::Message(inner) = field.kind {
                todo.push((official.type_name().to_owned(), inner));
            }
        }
        let members =
            official.field.iter().filter(|field| !field.proto3_optional()).filter_map(|field| field.oneof_index);
        assert!(members.collect::<HashSet<_>>().len() <= 1, "{full}: one oneof at most");
        seen.insert(full, message);
    }

    let mut unreached: Vec<&str> =
        declared.keys().filter(|name| !seen.contains_key(*name)).map(|name| short(name)).collect();
    unreached.sort_unstable();
    assert_eq!(unreached, ["LogsData", "MetricsData", "TracesData"], "messages that no request reaches");
}
