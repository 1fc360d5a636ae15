//! What the queue on disk costs: bytes written, time to open it again, memory. Each number stands beside its bound.
//!
//! `cargo bench -p bywash-flow --bench spool [filter]`; the filter is a part of `amplification`, `reopen` or `memory`. The queues
//! are made in `BYWASH_BENCH_DIR`, or else below the target directory; it must be on a real disk, with 3 GiB free. What the queue
//! takes from the throughput of a pipeline is measured with the whole program: `tests/e2e/spool_speed.rs`, because here, without a
//! network, a request that is only kept in memory costs next to nothing, and the ratio would say nothing.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::expect_used)] // A benchmark reads the clock and prints.
#![allow(missing_docs)]

use bytes::Bytes;
use flow::budget::BudgetConfig;
use flow::inlet::{InletConfig, Opening};
use flow::outlet::OutletConfig;
use flow::router::Direct;
use flow::spool::disk::RealDisk;
use flow::spool::{Piece, Spool, StorageConfig, Store, StoreConfig};
use flow::{
    Accepted, Acknowledge, Attempt, Budget, Exporter, Funnel, Inlet, Kind, Outgoing, Outlet, Payload, Scope, Target,
    Why,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use wire::Signal;
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: f64 = (1 << 20) as f64;
const GIB: u64 = 1 << 30;
const IN_FLIGHT: usize = 32;
const OPENINGS: usize = 5;
const MILLION: u64 = 1_000_000;
/// The argument with which this program writes a million pieces into a directory, and nothing else.
const FILL: &str = "--fill";

/// Takes everything at once.
struct Healthy;

impl Exporter for Healthy {
    async fn send(&self, _target: &Target, _request: Payload, _deadline: Instant) -> Attempt {
        Attempt::Sent
    }
}

/// Takes nothing.
struct Dead;

impl Exporter for Dead {
    async fn send(&self, _target: &Target, _request: Payload, _deadline: Instant) -> Attempt {
        Attempt::Retry { after: None, why: Why::new(Kind::Unavailable, "dead"), scope: Scope::Target }
    }
}

fn target() -> Target {
    Target::new("backend-1.example:4317")
}

/// A request of so many log records of about 430 bytes, as the load generator sends them.
fn logs(records: u32) -> Payload {
    let keys: Vec<String> = (0..5).map(|i| format!("attribute.key.{i}")).collect();
    let attributes: Vec<_> = keys.iter().map(|key| (key.as_str(), AnyValue::Str(b"some attribute value"))).collect();
    let body = "0123456789abcdef GET /api/v1/items/17 200 5ms lorem ipsum dolor sit amet ".repeat(3);
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(b"shop"))], "bench", |scope| {
        for _ in 0..records {
            let id: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
            scope.log(&Log {
                time: 1_700_000_000_000_000_000,
                observed_time: 1_700_000_000_000_000_000,
                severity_number: 9,
                severity_text: "INFO",
                body: AnyValue::Str(&body.as_bytes()[..150]),
                attributes: &attributes,
                trace_id: &id,
                span_id: &id[..8],
            });
        }
    });
    Payload::new(Signal::Logs, request.finish(), records)
}

fn piece(payload: &Payload) -> Piece {
    Piece { payload: payload.clone(), target: target(), at: 1, first: 0, note: None }
}

fn open(dir: &Path) -> Arc<Spool> {
    Spool::open(StorageConfig::new(dir), Signal::Logs, "bench").expect("the directory can be used")
}

fn outlet<E: Exporter>(exporter: E, spool: Arc<Spool>, budget: &Budget) -> Arc<Outlet<E, Direct>> {
    let mut config = OutletConfig::new("bench", GIB);
    config.capacity.size = u64::MAX;
    Outlet::durable(config, budget.clone(), exporter, Direct(target()), Arc::new(()), spool)
}

/// A field of a page of `/proc/self`, in bytes; 0 where there is no such page.
fn proc(page: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/{page}")).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let unit = if value.ends_with("kB") { 1024 } else { 1 };
    value.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0) * unit
}

/// How many bytes are written for a byte of payload while 32 senders wait for their acknowledgements, and everything is delivered at
/// once. `files`: what the queue wrote. `disk`: what the system had to write for it, by pages, without the file system's own journal.
fn amplification(runtime: &Runtime, dir: &Path) {
    println!("bytes written per payload byte, healthy, {IN_FLIGHT} requests in flight (bound 1.3)");
    for (records, requests) in [(100, 10_000), (10, 40_000), (1, 80_000)] {
        let dir = TempDir::new_in(dir).expect("a directory");
        let before = proc("io", "write_bytes:");
        let view = runtime.block_on(async {
            let (spool, budget) = (open(dir.path()), Budget::new(BudgetConfig::default()));
            let outlet = outlet(Healthy, spool.clone(), &budget);
            let funnel = Funnel { name: "bench".to_owned(), stages: vec![], outlets: vec![outlet.clone()] };
            let config = InletConfig { acknowledge: Acknowledge::Durable, ..InletConfig::default() };
            let inlet = Inlet::new(Signal::Logs, Opening { funnels: vec![funnel], config }, Arc::default());
            let mut senders = JoinSet::new();
            for _ in 0..IN_FLIGHT {
                let (inlet, budget, payload) = (inlet.clone(), budget.clone(), logs(records));
                senders.spawn(async move {
                    for _ in 0..requests / IN_FLIGHT {
                        let mut permit = budget.open(None).expect("room");
                        permit.grow(payload.len()).expect("room");
                        assert_eq!(inlet.offer(payload.clone(), permit).await, Ok(Accepted::ALL));
                    }
                });
            }
            senders.join_all().await;
            spool.until(|| (spool.totals().pieces == 0).then_some(())).await;
            outlet.close(Instant::now()).await;
            spool.close().await;
            spool.view()
        });
        let payload = view.stored_bytes as f64;
        let disk = (proc("io", "write_bytes:") - before) as f64;
        println!(
            "  {records:>4} records a request   files {:>5.3}   disk {:>5.3}   ({:.0} MiB of payload, {} syncs)",
            view.written_bytes as f64 / payload,
            disk / payload,
            payload / MIB,
            view.sync_seconds.count,
        );
    }
}

/// Writes pieces until they hold so many payload bytes, or are so many.
fn fill(dir: &Path, payload: &Payload, bytes: u64, pieces: u64) {
    let (store, _) = Store::open(Arc::new(RealDisk), dir, StoreConfig::default()).expect("the directory can be used");
    let piece = piece(payload);
    let group = vec![&piece; (4 << 20) / payload.len()];
    loop {
        let held = store.totals();
        if held.bytes >= bytes || held.pieces >= pieces {
            return;
        }
        let left = usize::try_from(pieces - held.pieces).unwrap_or(usize::MAX);
        store.write(&group[..left.min(group.len())]).expect("room on the disk");
    }
}

/// Makes the system forget what it has of the files in memory.
fn forget(dir: &Path) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let file = entry.expect("an entry").path();
        if file.is_file() {
            let arguments = ["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none", "if=/dev/null"];
            let status = Command::new("dd").args(arguments).arg(format!("of={}", file.display())).status();
            assert!(status.expect("dd, of the GNU coreutils").success());
        }
    }
}

/// How long it takes until a queue with 1 GiB in it is open, once after the process ended alone (`memory`: the files are in the
/// system's cache), once after the machine did (`disk`).
fn reopen(runtime: &Runtime, dir: &Path) {
    println!("time to reopen 1 GiB, {OPENINGS} times: median (fastest to slowest) (bound 2 s)");
    for records in [100, 1] {
        let dir = TempDir::new_in(dir).expect("a directory");
        fill(dir.path(), &logs(records), GIB, u64::MAX);
        for from in ["memory", "disk"] {
            let mut times: Vec<f64> = (0..OPENINGS).map(|_| time_to_open(runtime, dir.path(), from)).collect();
            times.sort_by(f64::total_cmp);
            println!(
                "  {records:>4} records a piece, from {from:<6}   {:.2} s   ({:.2} to {:.2})",
                times[OPENINGS / 2],
                times[0],
                times[OPENINGS - 1]
            );
        }
    }
}

fn time_to_open(runtime: &Runtime, dir: &Path, from: &str) -> f64 {
    if from == "disk" {
        forget(dir);
    }
    runtime.block_on(async {
        let start = Instant::now();
        let spool = open(dir);
        let took = start.elapsed().as_secs_f64();
        assert!(spool.totals().bytes >= GIB && spool.view().damaged == 0);
        spool.close().await;
        took
    })
}

fn allocated() -> f64 {
    let stats = ALLOCATOR.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as f64
}

/// Another process writes a million small pieces, so that nothing of that is left in the memory of this one.
fn fill_apart(dir: &Path) {
    let status = Command::new(std::env::current_exe().expect("this program")).arg(FILL).arg(dir).status();
    assert!(status.expect("it can be started").success());
}

/// What a million pieces for a dead backend take in memory once a lane has them all: what was allocated and not given back
/// (`allocated`), and by how much the process grew, now and at most (`resident`, `peak`: the opening needs more for a moment).
fn memory(runtime: &Runtime, dir: &Path) {
    println!("memory for {MILLION} pieces on disk (bound 64 MiB)");
    let dir = TempDir::new_in(dir).expect("a directory");
    fill_apart(dir.path());
    let before = [allocated(), proc("status", "VmRSS:") as f64, proc("status", "VmHWM:") as f64];
    let after = runtime.block_on(async {
        let (spool, budget) = (open(dir.path()), Budget::new(BudgetConfig::default()));
        let outlet = outlet(Dead, spool.clone(), &budget);
        let held = || outlet.view().lanes.first().map_or(0, |lane| lane.records);
        while held() < MILLION {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let after = [allocated(), proc("status", "VmRSS:") as f64, proc("status", "VmHWM:") as f64];
        outlet.close(Instant::now()).await;
        spool.close().await;
        after
    });
    let [allocated, resident, peak]: [f64; 3] = std::array::from_fn(|i| (after[i] - before[i]) / MIB);
    println!("  allocated {allocated:.1} MiB   resident {resident:.1} MiB   peak {peak:.1} MiB");
}

/// The type of the file system of a directory, as `stat` calls it.
fn file_system(dir: &Path) -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(dir).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, dir] = arguments.as_slice()
        && flag == FILL
    {
        let small = Payload::new(Signal::Logs, Bytes::from_static(&[b'x'; 100]), 1);
        return fill(Path::new(dir), &small, u64::MAX, MILLION);
    }
    let filter = arguments.into_iter().find(|argument| !argument.starts_with('-'));
    let dir = std::env::var("BYWASH_BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
    let (dir, kind) = (Path::new(&dir), file_system(Path::new(&dir)));
    println!("in {} ({kind})", dir.display());
    assert!(kind != "tmpfs" && kind != "ramfs", "that is no disk: set BYWASH_BENCH_DIR");
    let runtime = Runtime::new().expect("a runtime");
    let wants = |part: &str| filter.as_ref().is_none_or(|filter| part.contains(filter.as_str()));
    // First what is resident, while nothing else has been.
    if wants("memory") {
        memory(&runtime, dir);
    }
    if wants("amplification") {
        amplification(&runtime, dir);
    }
    if wants("reopen") {
        reopen(&runtime, dir);
    }
}
