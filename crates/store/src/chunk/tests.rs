//! Records go through a chunk and come back identical.

use super::open::{OpenChunk, Origin};
use super::parse::Parsed;
use super::read::{Source, View};
use super::write::Sealer;
use bytes::Bytes;
use otlp_oracle::generate;
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;
use wire::build::MessageWriter;
use wire::{Index, Signal};

/// A record with what stands above it.
type Flat = (Vec<u8>, Vec<u8>, Vec<u8>);

fn chunk_of(signal: Signal, request: &[u8]) -> (OpenChunk, Vec<Flat>) {
    let mut index = Index::new();
    index.build(signal, request).expect("sound");
    let origin = Origin { request: 7, hash: 8, position: 9, arrived: 10 };
    let mut chunk = OpenChunk::new(signal, &origin);
    let mut parsed = Parsed::default();
    let mut flat = vec![];
    for record in index.records(request) {
        let join = |entry: wire::Entry<'_>| entry.header().collect::<Vec<_>>().concat();
        let (resource, scope) = (join(record.resource()), join(record.scope()));
        parsed.read(signal, record.bytes(), 1234);
        let headers = chunk.origin(&resource, &scope);
        chunk.push(record.bytes(), &parsed, headers, &origin, record.ordinal() as u32);
        flat.push((resource, scope, record.bytes().to_vec()));
    }
    (chunk, flat)
}

fn restored(view: &View) -> Vec<Flat> {
    let whole = view.whole().expect("sound");
    let rows: Vec<u32> = (0..whole.hot.len() as u32).collect();
    let mut all = vec![];
    let walk = whole.records(&rows, |row, record| {
        let (resource, scope) = whole.headers(row).expect("headers");
        all.push((resource.to_vec(), scope.to_vec(), record.to_vec()));
    });
    walk.expect("sound");
    all
}

fn check(signal: Signal, request: &[u8]) {
    let (chunk, flat) = chunk_of(signal, request);
    let sealed = Sealer::new(1).expect("memory").seal(&chunk, Arc::from(&b"s"[..])).expect("memory");
    let open = View::new(Source::Open(Arc::new(chunk.clone())), signal);
    assert_eq!(restored(&open), flat);
    let mut again = Sealer::new(1).expect("memory");
    let view = View::new(Source::Sealed(Arc::new(sealed)), signal);
    assert_eq!(restored(&view), flat);
    let whole = view.whole().expect("sound");
    let places: Vec<_> = whole.hot.places().collect();
    assert_eq!(places, (0..flat.len() as u32).map(|i| (7, i)).collect::<Vec<_>>());
    // The filters of what was read are those of what was written.
    let mut entry = again.seal(&chunk, Arc::from(&b"s"[..])).expect("memory").entry;
    let crc = entry.filter_crc;
    again.filters(&whole).put(&mut entry);
    assert_eq!(entry.filter_crc, crc);
}

/// A request whose records are odd: the bytes of others with fields moved, doubled, of unknown numbers, in longer encodings.
fn odd(request: &[u8], seed: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut index = Index::new();
    index.build(Signal::Logs, request).expect("sound");
    let mut out = MessageWriter::new();
    for record in index.records(request) {
        let mut fields: Vec<Vec<u8>> = wire::field::Fields::new(record.bytes())
            .map(|field| record.bytes()[field.expect("sound").range()].to_vec())
            .collect();
        match random.u8(0..7) {
            0 => random.shuffle(&mut fields),
            1 => fields.extend(fields.first().cloned()),
            // An unknown field, a group-free wire type each.
            2 => fields.push(vec![0xa0, 0x06, 0x07]),
            3 => fields.push(vec![0xa5, 0x06, 1, 2, 3, 4]),
            // A varint and a tag that are longer than needed.
            4 => fields.push(vec![0x10, 0x89, 0x80, 0x00]),
            5 => fields.insert(0, vec![0x90, 0x00, 0x09]),
            // An attribute with value before key, a key alone, one with an unknown field.
            _ => {
                fields.push(vec![0x32, 0x07, 0x12, 0x02, 0x18, 0x05, 0x0a, 0x01, b'k']);
                fields.push(vec![0x32, 0x03, 0x0a, 0x01, b'k']);
                fields.push(vec![0x32, 0x0a, 0x0a, 0x01, b'k', 0x12, 0x02, 0x18, 0x05, 0x28, 0x01, 0x00]);
                fields.last_mut().expect("pushed").truncate(11);
                let last = fields.last_mut().expect("pushed");
                last[1] = (last.len() - 2) as u8;
            }
        }
        let bytes = fields.concat();
        out.message(1, |resource| {
            resource.message(2, |scope| {
                scope.bytes(2, &bytes);
            });
        });
    }
    out.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Scenario: requests of logs with every field, kind and oneof member that OTLP has, in one chunk.
    /// Guarantee: every record comes back byte by byte, with its resource and scope, from the open chunk and from the packed one.
    #[test]
    fn logs_come_back(request in generate::logs()) {
        check(Signal::Logs, &request.encode_to_vec());
    }

    /// Scenario and guarantee: the same for spans.
    #[test]
    fn spans_come_back(request in generate::traces()) {
        check(Signal::Traces, &request.encode_to_vec());
    }

    /// Scenario: records in odd order, with unknown fields, doubled fields, encodings longer than needed.
    /// Guarantee: they come back byte by byte too.
    #[test]
    fn odd_records_come_back(request in generate::logs(), seed in any::<u64>()) {
        check(Signal::Logs, &odd(&request.encode_to_vec(), seed));
    }

    /// Scenario: any bytes at all as records.
    /// Guarantee: they come back, whether they are sound or not.
    #[test]
    fn nonsense_comes_back(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let mut request = MessageWriter::new();
        request.resource_entry(&[], "", |scope| {
            records.iter().for_each(|record| {
                scope.bytes(2, record);
            });
        });
        for signal in [Signal::Logs, Signal::Traces] {
            check(signal, request.as_slice());
        }
    }
}

/// Scenario: a chunk's records need more slots than a chunk may have.
/// Guarantee: the rest is kept whole, and comes back.
#[test]
fn too_many_keys_are_kept_whole() {
    let mut request = MessageWriter::new();
    request.resource_entry(&[], "", |scope| {
        for record in 0..30 {
            scope.message(2, |log| {
                for key in 0..100 {
                    log.attribute(6, format!("key.{record}.{key}"), wire::key::AnyValue::Int(key));
                }
            });
        }
    });
    check(Signal::Logs, request.as_slice());
    assert!(chunk_of(Signal::Logs, request.as_slice()).0.hot.slots.len() <= 2049);
}
