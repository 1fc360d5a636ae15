//! A small shop that logs and traces: requests that are all different, and what is in them.

use crate::store::Store;
use crate::{Config, chunk};
use std::time::Duration;
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;
use wire::{Index, Signal};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// When the tests begin: midnight of a day, less ten minutes.
pub(crate) const START: u64 = 1_795_910_400 * SECOND - 600 * SECOND;

pub(crate) const SERVICES: [&str; 4] = ["cart", "checkout", "payment", ""];
pub(crate) const WORDS: [&str; 8] = ["alpha", "Beta", "gamma", "delta_x", "ÉPSILON", "error", "errors", "time-out"];

/// A record with what stands above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flat {
    pub service: String,
    pub resource: Vec<u8>,
    pub scope: Vec<u8>,
    pub record: Vec<u8>,
}

/// Small limits, so that few records reach all of them.
pub(crate) fn config() -> Config {
    Config {
        chunk_records: 7,
        chunk_bytes: 2048,
        chunk_age: Duration::from_secs(30),
        open_bytes: 6 * 4096,
        rewrite_records: 40,
        commit_bytes: 1500,
        max_tenants: 3,
        ..Config::default()
    }
}

pub(crate) fn trace_id(number: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&[number + 1, 7]);
    id
}

/// A request of a signal that no other is equal to, of up to `most` resource entries.
pub(crate) fn request(random: &mut fastrand::Rng, signal: Signal, unique: u64, now: u64) -> Vec<u8> {
    let mut request = MessageWriter::new();
    for _ in 0..random.usize(1..4) {
        let service = SERVICES[random.usize(0..SERVICES.len())];
        let pod = random.u8(0..3).to_string();
        let mut resource = vec![("pod", AnyValue::Str(pod.as_bytes()))];
        if !service.is_empty() {
            resource.insert(0, ("service.name", AnyValue::Str(service.as_bytes())));
        }
        let records = random.usize(0..6);
        request.resource_entry(&resource, ["", "lib"][random.usize(0..2)], |scope| {
            for record in 0..records {
                match signal {
                    Signal::Logs => log(random, scope, unique * 100 + record as u64, now),
                    _ => span(random, scope, unique * 100 + record as u64, now),
                }
            }
        });
    }
    // Even one without records is like no other.
    request.varint(77, unique);
    request.finish().to_vec()
}

fn log(random: &mut fastrand::Rng, scope: &mut MessageWriter, unique: u64, now: u64) {
    let words: Vec<_> = (0..random.usize(0..5)).map(|_| WORDS[random.usize(0..WORDS.len())]).collect();
    let body = format!("{} {unique} {}", words.join([" ", ", ", "x"][random.usize(0..3)]), random.u8(..));
    let user = random.u8(0..6).to_string();
    let status = random.i64(0..4) * 100 + 200;
    let attributes = [
        ("user.id", AnyValue::Str(user.as_bytes())),
        ("status", AnyValue::Int(status)),
        ("ok", AnyValue::Bool(status < 400)),
        ("took", AnyValue::Double(status as f64 / 8.0)),
    ];
    let trace = trace_id(random.u8(0..9));
    let (trace_id, span_id): (&[u8], &[u8]) = if random.bool() { (&trace, &trace[..8]) } else { (&[], &[]) };
    if random.u8(0..8) == 0 {
        // One in odd order, with a field that nobody knows, and an attribute twice.
        scope.message(2, |log| {
            log.attribute(6, "user.id", AnyValue::Str(user.as_bytes())).varint(300, unique);
            log.value(5, AnyValue::Str(body.as_bytes())).attribute(6, "user.id", AnyValue::Int(7)).fixed64(1, now);
        });
        return;
    }
    scope.log(&Log {
        time: if random.u8(0..9) == 0 { 0 } else { now - random.u64(0..200 * SECOND) },
        observed_time: if random.bool() { now } else { 0 },
        severity_number: random.u32(0..25),
        severity_text: ["", "INFO", "Error"][random.usize(0..3)],
        body: AnyValue::Str(body.as_bytes()),
        attributes: &attributes[..random.usize(0..=4)],
        trace_id,
        span_id,
    });
}

fn span(random: &mut fastrand::Rng, scope: &mut MessageWriter, unique: u64, now: u64) {
    let start = now - random.u64(0..200 * SECOND);
    let parent = unique.to_be_bytes();
    scope.span(&Span {
        trace_id: &trace_id(random.u8(0..9)),
        span_id: &(unique + 1).to_be_bytes(),
        parent_span_id: if random.u8(0..4) == 0 { &[] } else { &parent },
        name: ["GET /cart", "POST /pay", "error page"][random.usize(0..3)],
        kind: random.u32(0..6),
        start,
        end: start + random.u64(0..5 * SECOND),
        attributes: &[("status", AnyValue::Int(random.i64(0..4) * 100 + 200))],
        status_code: [0, 0, 1, 2][random.usize(0..4)],
    });
}

/// The records of a request.
pub(crate) fn records(signal: Signal, request: &[u8]) -> Vec<Flat> {
    let mut index = Index::new();
    index.build(signal, request).expect("sound");
    let join = |entry: wire::Entry<'_>| entry.header().collect::<Vec<_>>().concat();
    let records = index.records(request);
    let flat = records.map(|record| {
        let service = wire::key::resource_attribute(&record.resource(), b"service.name");
        let service = service.map(chunk::parse::rendered).unwrap_or_default();
        let (resource, scope) = (join(record.resource()), join(record.scope()));
        Flat { service, resource, scope, record: record.bytes().to_vec() }
    });
    flat.collect()
}

/// Everything that a store has of a tenant and signal, by request and record.
pub(crate) fn everything(store: &Store, tenant: &str, signal: Signal) -> Vec<((u64, u32), Flat)> {
    let (candidates, _) = store.candidates(tenant, signal, |_| true);
    let mut all = vec![];
    for candidate in candidates {
        let view = candidate.view();
        let Ok(whole) = view.whole() else { continue };
        let rows: Vec<u32> = (0..whole.hot.len() as u32).collect();
        let places: Vec<_> = whole.hot.places().collect();
        let service = String::from_utf8(candidate.service.to_vec()).expect("a name");
        let walk = whole.records(&rows, |row, record| {
            let (resource, scope) = whole.headers(row).expect("headers");
            let flat = Flat {
                service: service.clone(),
                resource: resource.to_vec(),
                scope: scope.to_vec(),
                record: record.to_vec(),
            };
            all.push((places[row], flat));
        });
        walk.expect("sound");
    }
    all.sort_by_key(|(place, _)| *place);
    all
}
