//! The format of the files: a store that was written by version 1 is read by this one, whatever else has changed.
//!
//! The store lies in `tests/store-v1/`, and what was put into it in `tests/store-v1/requests.bin`: tenant, signal and request, each behind
//! its length. A new version gets a directory of its own, made by `cargo test -p bywash-store --test format -- --ignored`; old ones are
//! never made again.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of a test may panic as the test itself may.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::disk::RealDisk;
use store::{Appended, Config, Opened, Query, Store, TraceQuery, parse};
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;
use wire::{Index, Signal};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_795_910_400 * SECOND;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store-v1")
}

fn open(dir: &Path) -> (Store, Opened) {
    Store::open(Arc::new(RealDisk), dir, Config { chunk_records: 50, ..Config::default() }, NOW).expect("it opens")
}

fn logs(random: &mut fastrand::Rng, number: u64) -> Vec<u8> {
    let mut request = MessageWriter::new();
    for service in ["cart", "checkout"] {
        request.resource_entry(&[("service.name", AnyValue::Str(service.as_bytes()))], "lib", |scope| {
            for record in 0..15 {
                let body = format!("order {number} {record} of user {} was déclined", random.u16(..));
                let trace: [u8; 16] = std::array::from_fn(|i| (number as u8).wrapping_add(i as u8));
                scope.log(&Log {
                    time: NOW + number * SECOND + record,
                    observed_time: NOW + number * SECOND + random.u64(0..SECOND),
                    severity_number: random.u32(0..25),
                    severity_text: "INFO",
                    body: AnyValue::Str(body.as_bytes()),
                    attributes: &[
                        ("user.id", AnyValue::Str(&body.as_bytes()[..7])),
                        ("status", AnyValue::Int(random.i64(..))),
                        ("ok", AnyValue::Bool(random.bool())),
                        ("took", AnyValue::Double(random.f64())),
                        ("raw", AnyValue::Bytes(&trace[..random.usize(0..16)])),
                    ],
                    trace_id: if record % 2 == 0 { &trace } else { &[] },
                    span_id: if record % 2 == 0 { &trace[..8] } else { &[] },
                });
            }
            // Odd ones: fields out of order, doubled, unknown, in encodings longer than needed.
            scope.bytes(2, [0x10, 0x89, 0x80, 0x00, 0xa0, 0x06, 0x07]);
            scope.message(2, |log| {
                log.attribute(6, "k", AnyValue::Int(1))
                    .attribute(6, "k", AnyValue::Empty)
                    .fixed32(8, 7)
                    .fixed64(1, NOW);
            });
        });
    }
    request.finish().to_vec()
}

fn spans(random: &mut fastrand::Rng, number: u64) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(b"gateway"))], "", |scope| {
        for span in 0..20u64 {
            scope.span(&Span {
                trace_id: &[(span % 4) as u8 + 1; 16],
                span_id: &(number * 100 + span + 1).to_be_bytes(),
                parent_span_id: if span < 4 { &[] } else { &[9; 8] },
                name: "GET /",
                kind: 2,
                start: NOW + span,
                end: NOW + SECOND + random.u64(0..SECOND),
                attributes: &[("status", AnyValue::Int(200))],
                status_code: u32::from(span == 7) * 2,
            });
        }
    });
    request.finish().to_vec()
}

/// Every record with what stands above it.
fn records(signal: Signal, request: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut index = Index::new();
    index.build(signal, request).expect("sound");
    let join = |entry: wire::Entry<'_>| entry.header().collect::<Vec<_>>().concat();
    let records =
        index.records(request).map(|record| (join(record.resource()), join(record.scope()), record.bytes().to_vec()));
    records.collect::<Vec<_>>().into_iter()
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk()?;
    let (bytes, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
    *from = rest;
    Some(bytes)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Makes the directory of this version. See the module.
#[test]
#[ignore = "it writes the fixture, which is done once a version"]
fn write_the_fixture() {
    let dir = fixture();
    assert!(!dir.exists(), "old fixtures are never made again");
    let (store, _) = open(&dir.join("store"));
    let (mut random, mut list) = (fastrand::Rng::with_seed(1), vec![]);
    for number in 0..12 {
        let signal = if number % 3 == 2 { Signal::Traces } else { Signal::Logs };
        let request = if signal == Signal::Logs { logs(&mut random, number) } else { spans(&mut random, number) };
        let tenant = if number == 4 { "other/tenant" } else { "default" };
        store.append(tenant, signal, &request, number + 1, NOW + number * SECOND).expect("room");
        [tenant.as_bytes(), signal.as_str().as_bytes(), &request].iter().for_each(|bytes| put(&mut list, bytes));
        if number == 8 {
            store.flush(NOW + 8 * SECOND).expect("a disk");
        }
    }
    store.sync().expect("a disk");
    fs::write(dir.join("requests.bin"), list).unwrap();
}

/// Scenario: a store of version 1, with chunks in segments and requests that are only in the journal, of two tenants.
/// Guarantee: every record comes back byte by byte; words, attributes and traces are found by its filters; a request of it that comes again
/// is known.
#[test]
fn version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture().join("store"), dir.path());
    let (store, opened) = open(dir.path());
    assert_eq!((opened.found, opened.lost, opened.foreign), (0, 0, 0));
    assert_eq!(opened.replayed, 12);
    let list = fs::read(fixture().join("requests.bin")).unwrap();
    let mut rest = &list[..];
    let mut put_in = BTreeSet::new();
    while let Some(tenant) = take(&mut rest) {
        let (signal, request) = (take(&mut rest).unwrap(), take(&mut rest).unwrap());
        let signal = if signal == b"logs" { Signal::Logs } else { Signal::Traces };
        let tenant = std::str::from_utf8(tenant).unwrap();
        put_in.extend(records(signal, request).map(|record| (tenant.to_owned(), signal, record)));
        let again = store.append(tenant, signal, request, 0, NOW).unwrap();
        assert!(matches!(again, Appended::Repeated(_)));
    }
    let mut found = BTreeSet::new();
    for tenant in ["default", "other/tenant"] {
        for signal in [Signal::Logs, Signal::Traces] {
            let query = Query { limit: 10_000, ..Query::new(tenant, signal) };
            let all = store.search(&query, &|| false, &mut |row| {
                let record = (row.resource.to_vec(), row.scope.to_vec(), row.record.to_vec());
                found.insert((tenant.to_owned(), signal, record));
                true
            });
            assert!(all.is_complete);
        }
    }
    assert_eq!(found.len(), put_in.len());
    assert!(found == put_in);
    let count = |text: &str| {
        let query = Query { conditions: parse(text).unwrap(), limit: 10_000, ..Query::new("default", Signal::Logs) };
        store.search(&query, &|| false, &mut |_| true).rows
    };
    assert_eq!(count("DÉCLINED service:cart"), 7 * 15);
    assert_eq!(count("\"order 3\""), 30);
    assert_eq!(count("user.id:\"order 3\""), 30);
    assert_eq!(count("trace:0102030405060708090a0b0c0d0e0f10"), 16);
    assert_eq!(count("k:1 -k:2"), 14);
    let traces = store.traces(&TraceQuery::new("default")).traces;
    assert_eq!(
        traces.iter().map(|trace| (trace.spans, trace.errors, trace.has_root)).collect::<Vec<_>>(),
        [(20, 4, true), (20, 0, true), (20, 0, true), (20, 0, true)]
    );
}

/// Scenario: the filters of a store of version 1 are zeros behind their headers. Guarantee: they are not believed, and its words are found.
#[test]
fn damaged_filters_of_version_1_hide_nothing() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture().join("store"), dir.path());
    let path = dir.path().join("2026-11-29.0/t-default/logs.flt");
    let mut filters = fs::read(&path).unwrap();
    assert!(filters.len() > 24);
    filters[24..].fill(0);
    fs::write(&path, filters).unwrap();
    let (store, opened) = open(dir.path());
    assert_eq!((opened.lost, opened.foreign), (0, 0));
    let conditions = parse("DÉCLINED service:cart").unwrap();
    let query = Query { conditions, limit: 10_000, ..Query::new("default", Signal::Logs) };
    assert_eq!(store.search(&query, &|| false, &mut |_| true).rows, 7 * 15);
}
