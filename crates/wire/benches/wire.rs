//! What the operations on bytes cost, beside prost doing the same by decoding and encoding.
//!
//! `cargo bench -p bywash-wire [filter]` prints, for each operation, the best and the median of many rounds. Records are of
//! about 430 bytes: a 150-byte body, five attributes, ids and times, as the load generator sends them.
//! Rates of a busy machine mean nothing: look at the best.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::expect_used)] // A benchmark reads the clock and prints.
#![allow(missing_docs)]

use bytes::Bytes;
use otlp_oracle::LogsRequest;
use prost::Message;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wire::build::{Log, MessageWriter};
use wire::key::{AnyValue, trace_id};
use wire::{
    CheckLimits, Chunks, Index, PackLimits, Packer, Pick, Pile, Record, Sheaf, Signal, SplitScratch, check,
    check_and_note, split_limit, split_priority, split_records, split_resources,
};

const ROUND: Duration = Duration::from_millis(5);
const ROUNDS: usize = 100;

struct Bench {
    filter: Option<String>,
}

impl Bench {
    /// Times `run`, which handles `records` records of `bytes` bytes in all per call.
    fn time(&self, name: &str, records: usize, bytes: usize, mut run: impl FnMut()) {
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            return;
        }
        let mut calls = 1u32;
        let one = loop {
            let start = Instant::now();
            (0..calls).for_each(|_| run());
            let took = start.elapsed();
            if took >= ROUND {
                break took / calls;
            }
            calls *= 2;
        };
        let calls = (ROUND.as_nanos() / one.as_nanos().max(1)).max(1) as u32;
        let mut nanos: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                (0..calls).for_each(|_| run());
                start.elapsed().as_nanos() as f64 / f64::from(calls)
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        let (best, median) = (nanos[0], nanos[ROUNDS / 2]);
        println!(
            "{name:<44} {:>9.1} ns/record  {:>7.2} GB/s   (median {:>9.1} ns/record)",
            best / records as f64,
            bytes as f64 / best,
            median / records as f64,
        );
    }
}

/// A request of `resources` resource entries of `records` records each.
fn logs(resources: usize, records: usize, service: usize) -> Bytes {
    let mut request = MessageWriter::new();
    let keys: Vec<String> = (0..5).map(|i| format!("attribute.key.{i}")).collect();
    let attributes: Vec<_> = keys.iter().map(|key| (key.as_str(), AnyValue::Str(b"some attribute value"))).collect();
    let body = "0123456789abcdef GET /api/v1/items/17 200 5ms lorem ipsum dolor sit amet ".repeat(3);
    for resource in 0..resources {
        let (name, pod) = (format!("service-{}", service + resource), format!("pod-{resource}-7d4f9c6b5-x2lkq"));
        let resource = [
            ("service.name", AnyValue::Str(name.as_bytes())),
            ("k8s.namespace.name", AnyValue::Str(b"default")),
            ("k8s.pod.name", AnyValue::Str(pod.as_bytes())),
        ];
        request.resource_entry(&resource, "race", |scope| {
            for record in 0..records {
                let id: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
                scope.log(&Log {
                    time: 1_700_000_000_000_000_000,
                    observed_time: 1_700_000_000_000_000_000,
                    severity_number: if record % 20 == 0 { 17 } else { 9 },
                    severity_text: "INFO",
                    body: AnyValue::Str(&body.as_bytes()[..150]),
                    attributes: &attributes,
                    trace_id: &id,
                    span_id: &id[..8],
                });
            }
        });
    }
    request.finish()
}

fn by_trace(record: &Record) -> usize {
    // A stand-in for the hash of a real ring.
    trace_id(record).map_or(0, |id| usize::from(id[0]) % 8)
}

fn checks(bench: &Bench) {
    let limits = CheckLimits::default();
    for (resources, records) in [(1, 1), (1, 100), (8, 128), (1, 1000)] {
        let body = logs(resources, records, 0);
        let total = resources * records;
        bench.time(&format!("check {resources}x{records}"), total, body.len(), || {
            black_box(check(Signal::Logs, black_box(&body), &limits)).expect("sound");
        });
    }
    let body = logs(8, 128, 0);
    let strict = CheckLimits { strict_utf8: true, ..limits };
    bench.time("check strict utf-8 8x128", 1024, body.len(), || {
        black_box(check(Signal::Logs, black_box(&body), &strict)).expect("sound");
    });
    let mut index = Index::new();
    bench.time("index 8x128", 1024, body.len(), || {
        index.build(Signal::Logs, black_box(&body)).expect("sound");
    });
    bench.time("index + trace ids 8x128", 1024, body.len(), || {
        index.build(Signal::Logs, black_box(&body)).expect("sound");
        black_box(index.records(&body).map(|record| by_trace(&record)).sum::<usize>());
    });
    bench.time("prost: decode 8x128", 1024, body.len(), || {
        black_box(LogsRequest::decode(black_box(&body[..])).expect("sound"));
    });
}

fn splits(bench: &Bench) {
    let mut scratch = SplitScratch::new();
    let mut parts = Vec::new();
    for (resources, records) in [(1, 1), (1, 10), (1, 100), (1, 1000), (8, 128)] {
        let request = Chunks::from(logs(resources, records, 0));
        bench.time(
            &format!("split over 8 by trace id {resources}x{records}"),
            resources * records,
            request.len(),
            || {
                parts.clear();
                split_records(Signal::Logs, black_box(&request), 8, &mut scratch, by_trace, &mut parts).expect("sound");
                black_box(&parts);
            },
        );
    }
    let body = logs(8, 128, 0);
    bench.time("split over 3 by resource 8x128", 1024, body.len(), || {
        parts.clear();
        let route = |entry: &wire::Entry| {
            wire::key::resource_attribute(entry, b"service.name")
                .and_then(|name| name.as_str())
                .map_or(0, |s| s[8].into())
        };
        split_resources(Signal::Logs, black_box(&body), 3, &mut scratch, route, &mut parts).expect("sound");
        black_box(&parts);
    });
    bench.time("split priority (5 %) 8x128", 1024, body.len(), || {
        black_box(split_priority(Signal::Logs, black_box(&body), 0));
    });
    bench.time("split limit 100 kB 8x128", 1024, body.len(), || {
        black_box(split_limit(Signal::Logs, black_box(&body), 0, 100_000));
    });
    bench.time("prost: split over 8 by trace id 8x128", 1024, body.len(), || {
        let request = LogsRequest::decode(black_box(&body[..])).expect("sound");
        let mut outputs: Vec<LogsRequest> = vec![LogsRequest::default(); 8];
        for mut resource in request.resource_logs {
            let scopes = std::mem::take(&mut resource.scope_logs);
            outputs.iter_mut().for_each(|output| output.resource_logs.push(resource.clone()));
            for mut scope in scopes {
                let records = std::mem::take(&mut scope.log_records);
                for output in &mut outputs {
                    output.resource_logs.last_mut().expect("pushed").scope_logs.push(scope.clone());
                }
                for record in records {
                    let output = &mut outputs[usize::from(record.trace_id[0]) % 8];
                    let resource = output.resource_logs.last_mut().expect("pushed");
                    resource.scope_logs.last_mut().expect("pushed").log_records.push(record);
                }
            }
        }
        black_box(outputs.iter().map(Message::encode_to_vec).collect::<Vec<_>>());
    });
}

fn packs(bench: &Bench) {
    for (services, records, requests) in [(1, 1, 2000), (20, 1, 2000), (20, 10, 200), (20, 100, 20), (20, 1000, 3)] {
        let bodies: Vec<Bytes> = (0..requests).map(|i| logs(1, records, i % services)).collect();
        // As a receiver holds them: each body is shared already, so that a clone is a count.
        let _shared = bodies.clone();
        let bytes = bodies.iter().map(Bytes::len).sum();
        let limits = PackLimits { max_records: 1 << 20, max_bytes: 1 << 24 };
        let mut packer = Packer::new(Signal::Logs, limits);
        let name = format!("pack {requests} requests of {records}, {services} services");
        bench.time(&format!("{name}: try_add"), requests * records, bytes, || {
            bodies.iter().for_each(|body| assert!(packer.try_add(black_box(body), records)));
            packer.clear();
        });
        bench.time(&format!("{name}: all"), requests * records, bytes, || {
            bodies.iter().for_each(|body| assert!(packer.try_add(black_box(body), records)));
            black_box(packer.finish());
        });
    }
    let bodies: Vec<Bytes> = (0..2000).map(|i| logs(1, 1, i % 20)).collect();
    bench.time("prost: merge 2000 requests of 1", 2000, bodies.iter().map(Bytes::len).sum(), || {
        let mut merged = LogsRequest::default();
        bodies.iter().for_each(|body| merged.merge(black_box(&body[..])).expect("sound"));
        black_box(merged.encode_to_vec());
    });
}

/// A request as it comes in: its trace ids are noted when it is checked.
fn noted(body: Bytes) -> Chunks {
    let mut traces = vec![];
    check_and_note(Signal::Logs, &body, &CheckLimits::default(), &mut traces).expect("sound");
    Chunks::noted(body, traces.into())
}

/// Requests of a hundred records of traces of their own, twenty at a time, whose records are sorted into a sheaf for each output; what
/// becomes of it is read once, as a socket does.
fn sorts(bench: &Bench) {
    for (outputs, services) in [(8, 1), (8, 50), (256, 1), (256, 50)] {
        let requests: Vec<Chunks> = (0..200).map(|i| noted(logs(1, 100, i % services))).collect();
        let bytes: usize = requests.iter().map(Chunks::len).sum();
        let limits = PackLimits { max_records: 900, max_bytes: 1 << 20 };
        let mut sheaves: Vec<Sheaf> = (0..outputs).map(|_| Sheaf::new(limits)).collect();
        let (mut pile, mut picks, mut owners) = (Pile::new(), vec![], vec![]);
        let mut sorted: Vec<Vec<Pick>> = vec![vec![]; outputs];
        let mut socket = vec![0; 64 * 1024];
        let mut send = |sheaf: &mut Sheaf| {
            for chunk in &sheaf.finish().0 {
                chunk.chunks(socket.len()).for_each(|part| socket[..part.len()].copy_from_slice(part));
            }
            black_box(&socket);
        };
        let name = format!("sort 200 requests of 100 over {outputs}, {services} services");
        bench.time(&name, 20_000, bytes, || {
            for requests in requests.chunks(20) {
                for request in requests {
                    assert!(pile.add(Signal::Logs, black_box(request)).expect("sound"));
                    pile.pick(&mut picks);
                    let owner = |record: Record| {
                        trace_id(&record).map_or(0, |id| usize::from(id[0]) | usize::from(id[1]) << 8) % outputs
                    };
                    owners.extend(pile.records().map(owner));
                }
                picks.drain(..).zip(owners.drain(..)).for_each(|(pick, owner)| sorted[owner].push(pick));
                for (sheaf, picks) in sheaves.iter_mut().zip(&mut sorted) {
                    let mut left = &picks[..];
                    while !left.is_empty() {
                        left = &left[sheaf.append(&pile, left)..];
                        if !left.is_empty() {
                            send(sheaf);
                        }
                    }
                    picks.clear();
                }
                pile.clear();
            }
        });
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let bench = Bench { filter };
    println!("one record is {} bytes", logs(1, 1001, 0).len() / 1001);
    checks(&bench);
    splits(&bench);
    packs(&bench);
    sorts(&bench);
}
