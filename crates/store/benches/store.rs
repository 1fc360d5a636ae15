//! What the store costs: processor time and disk for each record it takes, and the time of questions over a million.
//!
//! `cargo bench -p bywash-store [-- records]`; the default is 1 000 000. The store is made in `BYWASH_BENCH_DIR`, or else below the
//! target directory; it should be on a real disk. The records are those of a small shop: 16 services of three pods, six hours, texts
//! from templates with ids and numbers in them, 430 bytes each on average, 100 a request, as in the comparison with other stores; or they
//! are read from the file that `BYWASH_BENCH_LOGS` names, which has requests behind lengths of four bytes.

#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::expect_used)] // A benchmark reads the clock and prints.

use fastrand::Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use store::disk::RealDisk;
use store::{Buckets, Config, Query, Store, TraceQuery, parse};
use wire::Signal;
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;

const SERVICES: [&str; 16] = [
    "frontend",
    "checkout",
    "cart",
    "payment",
    "catalog",
    "search",
    "recommendation",
    "shipping",
    "email",
    "currency",
    "ad",
    "inventory",
    "auth",
    "gateway",
    "fraud",
    "billing",
];
const ROUTES: [&str; 6] =
    ["/api/v1/items/{id}", "/api/v1/cart", "/api/v1/orders/{id}", "/api/v1/payments", "/api/v1/login", "/healthz"];
const FUNCTIONS: [&str; 5] =
    ["handleRequest", "OrderService.place", "CartRepository.load", "PaymentClient.charge", "Mailer.send"];
const SECOND: u64 = 1_000_000_000;
const END: u64 = 1_795_910_400 * SECOND;
const SPAN: u64 = 6 * 3600 * SECOND;
const START: u64 = END - SPAN;
const A_REQUEST: u64 = 100;

fn trace_id(number: u64) -> [u8; 16] {
    let mut random = Rng::with_seed(number ^ 0xabcd_ef12);
    std::array::from_fn(|_| random.u8(..))
}

fn uuid(random: &mut Rng) -> String {
    let (a, b) = (random.u64(..), random.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        0x8000 | b >> 48 & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

fn body(random: &mut Rng, severity: u32, route: &str, status: i64, ms: f64, user: u64) -> String {
    let (id, n, k) = (uuid(random), random.u64(0..5000), random.u64(0..40));
    let ip = format!("10.{}.{}.{}", random.u8(0..4), random.u8(..), random.u8(..));
    match (severity, random.u8(0..4)) {
        (17.., 0 | 1) => format!(
            "failed to charge card for order {} amount={}.{:02} EUR: gateway declined with code {} (insufficient_funds) user={user} idempotency_key={id}",
            100_000 + n,
            n % 900,
            k,
            4000 + k
        ),
        (17.., _) => format!(
            "upstream connect error or disconnect/reset before headers: connection refused while calling GET {route} on {ip}:8080 request_id={id} attempt={} of 3 after {ms:.1}ms, giving up",
            k % 3 + 1
        ),
        (13.., 0 | 1) => format!(
            "slow query took {ms:.3}ms: SELECT id, sku, qty, price FROM order_lines WHERE order_id = {} ORDER BY id LIMIT {k} -- rows={n} plan=index_scan request_id={id}",
            100_000 + n
        ),
        (13.., _) => format!(
            "retrying {} after transient failure: attempt {} of 5, backoff {}ms, last error: read tcp {ip}:{}->10.0.0.12:5432: i/o timeout (request_id={id})",
            FUNCTIONS[n as usize % 5],
            k % 5 + 1,
            50 << (k % 5),
            30_000 + n
        ),
        (9.., 0) => format!(
            "order {} placed by user={user} with {k} lines total={n}.{k:02} EUR shipping=dhl eta={}h request_id={id} source={route}",
            100_000 + n,
            k + 24
        ),
        (9.., 1) => format!(
            "consumed message topic=orders.created partition={} offset={} key={id} lag={n} handler={} took={ms:.2}ms",
            k % 12,
            80_000_000 + n * 17,
            FUNCTIONS[k as usize % 5]
        ),
        (9.., _) => format!(
            "{ip} - {user} \"GET {} HTTP/1.1\" {status} {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36\" rt={:.3} request_id={id}",
            route.replace("{id}", &n.to_string()),
            n * 13 + 200,
            ms / 1000.0
        ),
        (_, 0 | 1) => format!(
            "cache lookup key=cart:{user}:{:x} hit={} shard={k} age_ms={n} size={} backend=redis-{} took={ms:.3}ms",
            n * 7919,
            n % 4 != 0,
            n * 3,
            k % 6
        ),
        _ => format!(
            "entering {} with args {{user={user}, order={}, currency=EUR, flags=0x{:04x}}} request_id={id}",
            FUNCTIONS[k as usize % 5],
            100_000 + n,
            k * 37
        ),
    }
}

fn resource<R>(random: &mut Rng, then: impl FnOnce(&[(&str, AnyValue<'_>)], &str) -> R) -> R {
    let (service, pod) = (random.usize(0..16), random.u64(0..3));
    let name = SERVICES[service];
    let pod_name = format!("{name}-{:09x}-{:05x}", service * 7_919_191, pod * 17_171 + service as u64);
    let node = format!("ip-10-0-{}-{}.internal", pod, service);
    let version = format!("2.{service}.1");
    let attributes = [
        ("service.name", AnyValue::Str(name.as_bytes())),
        ("service.version", AnyValue::Str(version.as_bytes())),
        ("deployment.environment.name", AnyValue::Str(b"production")),
        ("k8s.namespace.name", AnyValue::Str(b"shop")),
        ("k8s.pod.name", AnyValue::Str(pod_name.as_bytes())),
        ("k8s.node.name", AnyValue::Str(node.as_bytes())),
    ];
    then(&attributes, name)
}

/// A request of a hundred log records from `first` on, of `all`.
fn logs(random: &mut Rng, first: u64, all: u64) -> Vec<u8> {
    let mut request = MessageWriter::with_capacity(48 << 10);
    let now = START + (u128::from(first) * u128::from(SPAN) / u128::from(all)) as u64;
    let mut inner = random.fork();
    resource(random, |attributes, name| {
        request.resource_entry(attributes, &format!("shop.{name}"), |scope| {
            for record in first..(first + A_REQUEST).min(all) {
                let time = now.saturating_sub(inner.u64(0..5 * SECOND)).max(START);
                log(&mut inner, scope, time, record, all);
            }
        });
    });
    request.finish().to_vec()
}

fn log(random: &mut Rng, scope: &mut MessageWriter, time: u64, record: u64, all: u64) {
    let severity = match random.u32(0..1000) {
        0..=39 => 17,
        40..=119 => 13,
        120..=299 => 5,
        _ => 9,
    };
    let route = ROUTES[random.usize(0..6)];
    let status =
        if severity == 17 { [500, 502, 503][random.usize(0..3)] } else { [200, 200, 201, 304][random.usize(0..4)] };
    let ms = 0.3 + random.f64().powi(4) * 900.0;
    let user = 10_000 + (random.f64().powi(2) * 90_000.0) as u64;
    let mut text = body(random, severity, route, status, ms, user);
    if record % (all / 5).max(1) == 77 {
        text.push_str(" quokkatron engaged");
    }
    let user = user.to_string();
    let trace = trace_id((time - START) / (SPAN / 125_000) / 3 * 3);
    let span = random.u64(..).to_le_bytes();
    let has_trace = random.u8(0..10) < 6;
    scope.log(&Log {
        time,
        observed_time: time + 1_000_000 + random.u64(0..9_000_000),
        severity_number: severity,
        severity_text: ["DEBUG", "INFO", "WARN", "ERROR"][severity as usize / 5],
        body: AnyValue::Str(text.as_bytes()),
        attributes: &[
            ("http.request.method", AnyValue::Str([&b"GET"[..], b"POST"][random.usize(0..2)])),
            ("http.route", AnyValue::Str(route.as_bytes())),
            ("http.response.status_code", AnyValue::Int(status)),
            ("duration_ms", AnyValue::Double((ms * 1000.0).round() / 1000.0)),
            ("user.id", AnyValue::Str(user.as_bytes())),
            ("code.function.name", AnyValue::Str(FUNCTIONS[random.usize(0..5)].as_bytes())),
        ],
        trace_id: if has_trace { &trace } else { &[] },
        span_id: if has_trace { &span } else { &[] },
    });
}

/// A request of a hundred spans from `first` on: traces of eight, their spans beside each other.
fn spans(random: &mut Rng, first: u64, all: u64) -> Vec<u8> {
    let mut request = MessageWriter::with_capacity(48 << 10);
    let mut inner = random.fork();
    resource(random, |attributes, name| {
        request.resource_entry(attributes, &format!("shop.{name}"), |scope| {
            for number in first..first + A_REQUEST {
                // Spans of one trace come in requests of several services.
                let trace = number / 400 * 50 + number % 50;
                let start = START + (u128::from(number) * u128::from(SPAN) / u128::from(all)) as u64;
                let user = inner.u64(10_000..100_000).to_string();
                let parent = (number - number % 8).to_be_bytes();
                scope.span(&Span {
                    trace_id: &trace_id(trace),
                    span_id: &inner.u64(..).to_le_bytes(),
                    parent_span_id: if number % 400 < 50 { &[] } else { &parent },
                    name: ROUTES[inner.usize(0..6)],
                    kind: 2,
                    start,
                    end: start + inner.u64(1_000_000..3 * SECOND),
                    attributes: &[
                        ("http.request.method", AnyValue::Str(b"GET")),
                        ("http.response.status_code", AnyValue::Int(200)),
                        ("user.id", AnyValue::Str(user.as_bytes())),
                        ("thread.id", AnyValue::Int(inner.i64(0..64))),
                        ("db.system", AnyValue::Str(b"postgresql")),
                    ],
                    status_code: if inner.u8(0..50) == 0 { 2 } else { 0 },
                });
            }
        });
    });
    request.finish().to_vec()
}

/// Seconds of processor time of this process.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos: u64 = stat.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or_default();
    nanos as f64 / 1e9
}

/// Seconds of it in the kernel, as far as its clock tells.
fn kernel() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(12)?.parse::<u64>().ok());
    ticks.unwrap_or_default() as f64 / 100.0
}

fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) })
        .sum()
}

/// Puts requests in, a sync after every 16, and says what it cost.
fn ingest(store: &Store, dir: &Path, signal: Signal, requests: &mut dyn Iterator<Item = Vec<u8>>) -> u64 {
    let (mut records, mut bytes, mut cost, mut wall) = (0u64, 0u64, 0.0, 0.0);
    let kernel_before = kernel();
    let before = size(dir);
    let mut count = 0u64;
    loop {
        // Made before, so that making them is not measured.
        let batch: Vec<Vec<u8>> = std::iter::from_fn(|| requests.next()).take(160).collect();
        if batch.is_empty() {
            break;
        }
        let (cpu, clock) = (processor(), Instant::now());
        for request in &batch {
            bytes += request.len() as u64;
            let now = START + count * (SPAN / 60_000).min(SECOND);
            if let store::Appended::Stored(stored) =
                store.append("default", signal, request, count + 1, now).expect("room")
            {
                records += stored as u64;
            }
            count += 1;
            if count.is_multiple_of(16) {
                store.sync().expect("a disk");
            }
        }
        store.tick(START + count * (SPAN / 60_000).min(SECOND)).expect("a disk");
        cost += processor() - cpu;
        wall += clock.elapsed().as_secs_f64();
    }
    let (cpu, clock) = (processor(), Instant::now());
    store.sync().and_then(|_| store.flush(END)).expect("a disk");
    cost += processor() - cpu;
    wall += clock.elapsed().as_secs_f64();
    let million = records as f64 / 1e6;
    println!(
        "ingest {signal}: {records} records of {:.0} B: {:.2} CPU s a million ({:.2} in the kernel), {:.0} records/s, {:.1} B a record on disk, peak {} MiB",
        bytes as f64 / records as f64,
        cost / million,
        (kernel() - kernel_before) / million,
        records as f64 / wall,
        (size(dir) - before) as f64 / records as f64,
        peak_mib(),
    );
    records
}

/// The median of five, in milliseconds: by the clock, and of the processor, of which the clock knows only on an idle machine.
fn time(name: &str, mut work: impl FnMut() -> String) {
    let mut times = vec![];
    let mut answer = String::new();
    for _ in 0..6 {
        let (cpu, clock) = (processor(), Instant::now());
        answer = work();
        times.push((clock.elapsed().as_secs_f64() * 1e3, (processor() - cpu) * 1e3));
    }
    times.remove(0);
    times.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (wall, cpu) = times[2];
    println!("{name:<42} {cpu:>9.2} ms of one processor, {wall:>9.2} ms in all   {answer}");
}

/// What the machine does just now: megabytes a second of zstd at level 1, beside which the other figures are to be read.
fn calibrate() {
    let mut random = Rng::with_seed(1);
    let text: String =
        (0..3000).map(|i| body(&mut random, [5, 9, 13, 17][i % 4], ROUTES[i % 6], 200, 1.5, 17)).collect();
    let cpu = processor();
    let packed: usize =
        (0..20).map(|_| zstd::bulk::compress(text.as_bytes(), 1).map_or(0, |packed| packed.len())).sum();
    let seconds = processor() - cpu;
    println!(
        "zstd level 1 on such texts: {:.0} MB/s, to {:.2}",
        text.len() as f64 * 20.0 / 1e6 / seconds,
        packed as f64 / 20.0 / text.len() as f64
    );
}

fn query(text: &str, hours: u64, limit: usize) -> Query {
    let conditions = parse(text).expect("a query");
    Query {
        conditions,
        start: END - hours * 3600 * SECOND,
        end: END + SECOND,
        limit,
        ..Query::new("default", Signal::Logs)
    }
}

fn questions(store: &Store) {
    let rows = |query: &Query| {
        let found = store.search(query, &|| false, &mut |_| true);
        format!("{} rows, {} chunks, {} KiB", found.rows, found.chunks, found.bytes >> 10)
    };
    let count = |query: &Query| {
        let tally = store.tally(query, Buckets::ONE, &|| false);
        format!("{} records, {} chunks", tally.records, tally.chunks)
    };
    time("hour + service + word, newest 100", || rows(&query("service:checkout declined", 1, 100)));
    time("hour + service + word, count", || count(&query("service:checkout declined", 1, 100)));
    time("rare word", || rows(&query("quokkatron", 6, 100)));
    let mut id = [0; 16];
    store.search(
        &Query { after: Some("18ec59ff00000000-0-0".parse().expect("a cursor")), ..query("", 6, 500) },
        &|| false,
        &mut |row| {
            let trace = wire::key::last_text(&row.record, 9);
            id = trace.try_into().unwrap_or(id);
            id == [0; 16]
        },
    );
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    time("trace by id", || rows(&query(&format!("trace:{id}"), 6, 1000)));
    time("newest 100", || rows(&query("", 6, 100)));
    time("severity by minute", || {
        let buckets = Buckets { start: START, width: 60 * SECOND, count: 361 };
        let tally = store.tally(&query("", 6, 0), buckets, &|| false);
        format!("{} records, {} chunks", tally.records, tally.chunks)
    });
    time("by service", || {
        format!("{} services", store.tally(&query("", 6, 0), Buckets::ONE, &|| false).services.len())
    });
    time("substring, count", || count(&query("~nsufficient_fun", 6, 0)));
    time("rare substring", || rows(&query("~uokkatro", 6, 100)));
    time("attribute value, count", || count(&query("user.id:12345", 6, 0)));
    time("common word, count", || count(&query("declined", 6, 0)));
    time("names", || format!("{} names", store.fields(&query("", 6, 0)).len()));
    time("values of http.route", || format!("{} values", store.values(&query("", 6, 0), "http.route", 100).len()));
}

fn traces(store: &Store) {
    let spans = Query { signal: Signal::Traces, ..query("", 6, 0) };
    time("spans by minute", || {
        let buckets = Buckets { start: START, width: 60 * SECOND, count: 361 };
        format!("{} spans", store.tally(&spans, buckets, &|| false).records)
    });
    time("spans of a trace", || {
        format!("{} spans", store.trace("default", Signal::Traces, trace_id(5000), 1000).len())
    });
    let list = TraceQuery { start: END - 3600 * SECOND, ..TraceQuery::new("default") };
    time("newest 100 traces of an hour", || format!("{} traces", store.traces(&list).traces.len()));
    let slow = TraceQuery { min_duration: 2 * SECOND, only_errors: true, start: START, ..list };
    time("slow and failed traces of six hours", || format!("{} traces", store.traces(&slow).traces.len()));
}

/// Requests behind lengths of four bytes.
fn requests_of(file: PathBuf) -> impl Iterator<Item = Vec<u8>> {
    use std::io::Read;
    let mut file = std::io::BufReader::new(fs::File::open(file).expect("the file"));
    std::iter::from_fn(move || {
        let mut len = [0; 4];
        file.read_exact(&mut len).ok()?;
        let mut request = vec![0; u32::from_le_bytes(len) as usize];
        file.read_exact(&mut request).ok()?;
        Some(request)
    })
}

fn main() {
    let number = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let records: u64 = number.unwrap_or(1_000_000);
    let base =
        std::env::var_os("BYWASH_BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let dir = base.join("store-bench");
    let _ = fs::remove_dir_all(&dir);
    // One thread, so that the processor time of a question is all in it.
    let config = Config { max_age: None, query_threads: 1, ..Config::default() };
    let open = || Store::open(Arc::new(RealDisk), &dir, config.clone(), END).expect("a disk").0;
    calibrate();
    let store = open();
    let mut random = Rng::with_seed(42);
    match std::env::var_os("BYWASH_BENCH_LOGS") {
        Some(file) => {
            ingest(&store, &dir, Signal::Logs, &mut requests_of(file.into()).take((records / A_REQUEST) as usize))
        }
        None => {
            let mut requests = (0..records / A_REQUEST).map(|i| logs(&mut random, i * A_REQUEST, records));
            ingest(&store, &dir, Signal::Logs, &mut requests)
        }
    };
    let mut requests = (0..records / A_REQUEST).map(|i| spans(&mut random, i * A_REQUEST, records));
    ingest(&store, &dir, Signal::Traces, &mut requests);
    drop(store);
    let clock = Instant::now();
    let store = open();
    println!("open: {:.1} ms", clock.elapsed().as_secs_f64() * 1e3);
    questions(&store);
    traces(&store);
    // The day is over: it is rewritten.
    store.tick(END + 86_400 * SECOND).expect("a disk");
    let (cpu, mut before, mut after) = (processor(), 0, 0);
    while let Ok(store::Rewritten { is_done: true, before: its, after: now }) = store.rewrite(&|| false) {
        (before, after) = (before + its, after + now);
    }
    let both = records as f64 * 2.0;
    println!(
        "rewritten: {:.2} CPU s a million, {:.1} B a record to {:.1}, {:.1} B on disk in all",
        (processor() - cpu) / both * 1e6,
        before as f64 / both,
        after as f64 / both,
        size(&dir) as f64 / both,
    );
    println!("peak {} MiB", peak_mib());
    drop(store);
    let _ = fs::remove_dir_all(&dir);
}
