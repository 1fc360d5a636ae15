//! Requests as protobuf allows them but no common encoder writes them, and a normal form to compare them in.
//!
//! Both walk the message with prost's own primitives and `wire::schema`, which another test holds against the .proto
//! files; they share no code with what they test.

use fastrand::Rng;
use prost::encoding::{decode_varint, encode_varint};
use wire::schema::{Field, Kind, Message};

/// One field as it stands: its number, its wire type and what follows the tag (without the length, where there is one).
#[derive(Clone)]
struct Raw {
    number: u32,
    wire_type: u64,
    value: Vec<u8>,
}

fn parse(mut bytes: &[u8]) -> Vec<Raw> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = decode_varint(&mut bytes).unwrap();
        let len = match key & 7 {
            0 => bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1,
            1 => 8,
            2 => usize::try_from(decode_varint(&mut bytes).unwrap()).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(len);
        fields.push(Raw { number: (key >> 3) as u32, wire_type: key & 7, value: value.to_vec() });
        bytes = rest;
    }
    fields
}

/// Writes a varint with `padding` bytes more than it needs.
fn padded(value: u64, padding: usize, out: &mut Vec<u8>) {
    encode_varint(value, out);
    if padding > 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.extend(std::iter::repeat_n(0x80, padding - 1));
        out.push(0);
    }
}

fn write(field: &Raw, padding: usize, out: &mut Vec<u8>) {
    padded(u64::from(field.number) << 3 | field.wire_type, 0, out);
    if field.wire_type == 2 {
        padded(field.value.len() as u64, padding, out);
    }
    out.extend(&field.value);
}

/// Another encoding of the same message: fields in another order, singular messages in pieces, lists packed differently,
/// lengths longer than needed, unknown fields everywhere. What prost decodes from it stays the same.
pub fn awkward(message: &'static Message, bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut fields = Vec::new();
    for raw in parse(bytes) {
        match message.field(raw.number) {
            Some(Field { kind: Kind::Message(inner), repeated, .. }) => {
                let value = awkward(inner, &raw.value, rng);
                if *repeated || rng.u8(..) > 60 {
                    fields.push(Raw { value, ..raw });
                    continue;
                }
                let inside = parse(&value);
                let cut = rng.usize(..=inside.len());
                for piece in [&inside[..cut], &inside[cut..]] {
                    let mut value = Vec::new();
                    piece.iter().for_each(|field| write(field, 0, &mut value));
                    fields.push(Raw { value, ..raw });
                }
            }
            Some(Field { kind, repeated: true, .. }) if kind.packable() && rng.bool() => {
                let mut rest = raw.value.as_slice();
                while !rest.is_empty() {
                    let len = match kind.wire_type() {
                        1 => 8,
                        5 => 4,
                        _ => rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1,
                    };
                    let (one, after) = rest.split_at(len);
                    // Alone, or packed with itself only.
                    let wire_type = if rng.bool() { u64::from(kind.wire_type()) } else { 2 };
                    fields.push(Raw { number: raw.number, wire_type, value: one.to_vec() });
                    rest = after;
                }
            }
            _ => fields.push(raw),
        }
    }
    if rng.u8(..) < 60 {
        let field = unknown(message, rng);
        fields.insert(rng.usize(..=fields.len()), field);
    }
    if rng.u8(..) < 100 {
        fields = reordered(fields, rng);
    }
    let mut out = Vec::new();
    for field in &fields {
        write(field, if rng.u8(..) < 20 { rng.usize(1..3) } else { 0 }, &mut out);
    }
    out
}

/// A field that this message does not have.
fn unknown(message: &Message, rng: &mut Rng) -> Raw {
    let number = loop {
        let number = *rng.choice(&[4, 9, 15, 16, 17, 100, 1000, 536_870_911]).unwrap();
        if message.field(number).is_none() {
            break number;
        }
    };
    let (wire_type, len) = *rng.choice(&[(0, 1), (1, 8), (2, 0), (2, 9), (5, 4)]).unwrap();
    let mut value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
    if wire_type == 0 {
        value[0] &= 0x7f;
    }
    Raw { number, wire_type, value }
}

/// The fields in another order, those of one number among themselves in the same.
fn reordered(fields: Vec<Raw>, rng: &mut Rng) -> Vec<Raw> {
    let mut numbers: Vec<u32> = fields.iter().map(|field| field.number).collect();
    rng.shuffle(&mut numbers);
    let mut left: Vec<Option<Raw>> = fields.into_iter().map(Some).collect();
    let mut next = |number: u32| {
        let found = left.iter_mut().find(|field| field.as_ref().is_some_and(|field| field.number == number));
        found.and_then(Option::take).unwrap()
    };
    numbers.into_iter().map(&mut next).collect()
}

/// The one encoding that all encodings of equal messages share, unknown fields included.
pub fn normal(message: &'static Message, bytes: &[u8]) -> Vec<u8> {
    normal_of(message, parse(bytes))
}

fn normal_of(message: &'static Message, mut fields: Vec<Raw>) -> Vec<u8> {
    fields.sort_by_key(|field| field.number);
    let mut out = Vec::new();
    for group in fields.chunk_by(|a, b| a.number == b.number) {
        let number = group[0].number;
        let known = message.field(number);
        match known {
            Some(Field { kind: Kind::Message(inner), repeated: false, .. }) => {
                let whole: Vec<u8> = group.iter().flat_map(|piece| piece.value.clone()).collect();
                write(&Raw { number, wire_type: 2, value: normal(inner, &whole) }, 0, &mut out);
            }
            Some(Field { kind: Kind::Message(inner), .. }) => {
                for raw in group {
                    write(&Raw { value: normal(inner, &raw.value), ..*raw }, 0, &mut out);
                }
            }
            Some(field) if field.repeated && field.kind.packable() => {
                let value = group.iter().flat_map(|raw| raw.value.clone()).collect();
                write(&Raw { number, wire_type: 2, value }, 0, &mut out);
            }
            _ => group.iter().for_each(|raw| write(raw, 0, &mut out)),
        }
    }
    out
}

/// A record with the headers above it, all in normal form: the unit in which requests are compared.
pub type Under = (Vec<Vec<u8>>, Vec<u8>);

/// The records of a request in document order, each under its headers: the request's own unknown fields, the resource
/// entry, the scope entry and, for metrics, the metric and its data, each without its children.
pub fn records(request: &'static Message, bytes: &[u8]) -> Vec<Under> {
    let mut out = Vec::new();
    descend(request, parse(bytes), &mut Vec::new(), &mut out);
    out
}

/// Whether a field of a message leads down to the records.
fn leads_down(message: &Message, field: &Field) -> bool {
    let Kind::Message(inner) = field.kind else { return false };
    message.name.ends_with("ServiceRequest")
        || (message.name.starts_with("Resource") && inner.name.starts_with("Scope"))
        || (message.name.starts_with("Scope") && field.repeated)
        || (message.name == "Metric" && field.oneof)
        || field.json == "dataPoints"
}

fn descend(message: &'static Message, fields: Vec<Raw>, above: &mut Vec<Vec<u8>>, out: &mut Vec<Under>) {
    let (down, header): (Vec<Raw>, Vec<Raw>) =
        fields.into_iter().partition(|raw| message.field(raw.number).is_some_and(|field| leads_down(message, field)));
    let header = normal_of(message, header);
    above.push(header);
    for raw in down {
        let Some(Field { kind: Kind::Message(inner), .. }) = message.field(raw.number) else { unreachable!() };
        if inner.fields.iter().any(|field| leads_down(inner, field)) {
            // The name tells the kinds of metric data apart.
            above.push(inner.name.into());
            descend(inner, parse(&raw.value), above, out);
            above.pop();
        } else {
            out.push((above.clone(), normal(inner, &raw.value)));
        }
    }
    above.pop();
}
