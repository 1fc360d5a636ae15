//! How fast stages are on one core, and how much they allocate.
//!
//! `cargo bench -p bywash-stages` prints, for each pipeline, entries per second (the best of several rounds, because others use
//! the machine too) and allocations per entry. Entries are 250 bytes. The allocator only counts.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use stages::{Entry, Labels, Now, Pipeline, Stages, Text, Timestamp};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many times memory was asked for.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

const CHAIN: &str = r#"
- cri: {}
- json: {expressions: {level: , msg: , ts: , user: , status: }}
- timestamp: {source: ts, format: RFC3339Nano}
- labels: {level: , status: }
- drop: {source: level, value: debug}
- template: {source: out, template: '{{ .level | ToUpper }} {{ .user }}: {{ .msg }}'}
- output: {source: out}
"#;

const REGEX: &str = r#"
- regex: {expression: '^(?P<ip>\S+) \S+ \S+ \[[^\]]+\] "(?P<verb>\S+) [^"]+" (?P<code>\d{3}) '}
"#;

const UNMATCHED: &str = r#"
- match:
    selector: '{app="other"} |= "never"'
    stages:
      - json: {expressions: {level: }}
      - labels: {level: }
"#;

fn pad(mut line: String) -> String {
    while line.len() < 250 {
        line.push('x');
    }
    line
}

/// Log lines of a container, each a little different, 250 bytes long.
fn container_lines() -> Vec<Text> {
    let line = |i: usize| {
        let head = format!(
            r#"2024-05-06T07:08:{:02}.123456789Z stdout F {{"level":"info","ts":"2024-05-06T07:08:{:02}.{:06}Z","status":200,"user":"user-{i:05}","msg":"payment accepted for order {i:08}","trace":"4bf92f3577b34da6a3ce929d0e0e4736","pad":""#,
            i % 60,
            i % 60,
            i % 1_000_000
        );
        Text::from(format!("{}\"}}", &pad(head)[..248]))
    };
    (0..1024).map(line).collect()
}

fn access_lines() -> Vec<Text> {
    let line = |i: usize| {
        pad(format!(
            r#"203.0.113.{} - - [06/May/2024:07:08:{:02} +0000] "GET /cart?id={i} HTTP/1.1" 502 17 "-" "Mozilla/5.0 "#,
            i % 256,
            i % 60
        ))
    };
    (0..1024).map(|i| Text::from(line(i))).collect()
}

fn labels() -> Labels {
    [("app", "shop"), ("namespace", "prod"), ("pod", "shop-5d9c7b6f4-abcde")].into_iter().collect()
}

fn now() -> Now {
    Now { wall: Timestamp::from_secs_nanos(1_714_979_300, 0), mono: Instant::now() }
}

/// Runs `lines` through `pipelines` in turn, `batch` lines each time: (seconds per entry, allocations per entry).
fn round(pipelines: &[Pipeline], lines: &[Text], batch: usize) -> (f64, f64) {
    let (labels, now) = (labels(), now());
    let (begin, before, mut entries, mut out) = (Instant::now(), allocations(), 0u32, 0usize);
    let mut turn = pipelines.iter().cycle();
    while begin.elapsed() < Duration::from_millis(200) {
        for lines in lines.chunks(batch) {
            let pipeline = turn.next().unwrap();
            for line in lines {
                let entry =
                    Entry { line: line.clone(), labels: labels.clone(), timestamp: now.wall, ..Entry::default() };
                pipeline.process(entry, now, |entry| out += black_box(entry).line.len());
                entries += 1;
            }
        }
    }
    assert!(out > 0);
    let spent = begin.elapsed().as_secs_f64() / f64::from(entries);
    (spent, (allocations() - before) as f64 / f64::from(entries))
}

/// The best of several rounds.
fn measure(pipeline: &[Pipeline], lines: &[Text]) -> (f64, f64) {
    let rounds = (0..9).map(|_| round(pipeline, lines, 1));
    rounds.fold((f64::MAX, 0.0), |best, this| if this.0 < best.0 { this } else { best })
}

fn pipeline(yaml: &str) -> Pipeline {
    let config: Stages = serde_saphyr::from_str(yaml).unwrap();
    Pipeline::new(&config).unwrap()
}

fn main() {
    let (container, access) = (container_lines(), access_lines());
    assert!(container.iter().chain(&access).all(|line| line.len() == 250));
    let cases = [
        ("cri json timestamp labels drop template output", CHAIN, &container, 450_000.0),
        ("regex, 3 named groups", REGEX, &access, 1_000_000.0),
        ("match that does not apply", UNMATCHED, &container, 5_000_000.0),
        ("cri", "- cri: {}", &container, 0.0),
        ("cri json", "- cri: {}\n- json: {expressions: {level: , msg: , ts: , user: , status: }}", &container, 0.0),
        ("… timestamp", &CHAIN[..CHAIN.find("- labels").unwrap()], &container, 0.0),
        ("… labels", &CHAIN[..CHAIN.find("- drop").unwrap()], &container, 0.0),
        ("… drop", &CHAIN[..CHAIN.find("- template").unwrap()], &container, 0.0),
        ("nothing", "[]", &container, 0.0),
    ];
    println!("{:<50} {:>12} {:>8} {:>8} {:>12}", "pipeline", "entries/s", "ns", "allocs", "wanted");
    for (name, yaml, lines, wanted) in cases {
        let (spent, allocs) = measure(&[pipeline(yaml)], lines);
        println!("{name:<50} {:>12.0} {:>8.0} {allocs:>8.1} {wanted:>12.0}", 1.0 / spent, spent * 1e9);
    }
    let before = ALLOCATOR.stats();
    let many: Vec<Pipeline> = (0..1000).map(|_| pipeline(CHAIN)).collect();
    let after = ALLOCATOR.stats();
    let held = (after.bytes_allocated - after.bytes_deallocated) - (before.bytes_allocated - before.bytes_deallocated);
    println!("a pipeline at rest takes {} bytes", held / many.len());
    // Both are measured in turn, so that what else the machine does meets both.
    for batch in [1, 16, 256] {
        let (mut one, mut thousand) = (f64::MAX, f64::MAX);
        for _ in 0..10 {
            one = one.min(round(&many[..1], &container, batch).0);
            thousand = thousand.min(round(&many, &container, batch).0);
        }
        let more = (thousand / one - 1.0) * 100.0;
        println!("1 000 pipelines in turn, {batch} entries each, instead of 1: {more:+.1} % per entry");
    }
}
