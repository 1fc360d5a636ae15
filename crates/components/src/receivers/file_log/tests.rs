//! The keys, the records, and the receiver on real files with a destination behind it that keeps what it takes.

use super::*;
use ::config::testing::{decoded, problems};
use flow::inlet::{Funnel, InletConfig, Opening};
use flow::outlet::{Outlet, OutletConfig};
use flow::router::Direct;
use flow::{Attempt, BudgetConfig, Exporter, Stopper, Target, Why};
use otlp_oracle::LogsRequest;
use otlp_oracle::common::any_value::Value;
use otlp_oracle::logs::LogRecord;
use parking_lot::Mutex;
use prost::Message;
use std::fs::{self, OpenOptions};
use std::io::Write;
use tempfile::TempDir;
use tokio::sync::Notify;

const BASE: &str = "include: [/var/log/x]\nstorage: file_storage\n";

/// Scenario: every key that is refused, or cannot be so. Guarantee: an error at its place that says what to do.
#[test]
fn what_cannot_be_is_refused_at_its_place() {
    for (keys, path, word) in [
        ("header: {pattern: '^#', metadata_operators: []}", "header", "csv_parser"),
        ("ordering_criteria: {top_n: 1}", "ordering_criteria", "exclude_older_than"),
        ("include_file_record_number: true", "include_file_record_number", "include_file_record_offset"),
        ("include_file_owner_name: true", "include_file_owner_name", "not supported"),
        ("include_file_owner_group_name: true", "include_file_owner_group_name", "not supported"),
        ("encoding: utf-99", "encoding", "`utf-99`"),
        ("multiline: {line_start_pattern: '('}", "multiline.line_start_pattern", "regular expression"),
        ("multiline: {line_start_pattern: a, line_end_pattern: b}", "multiline", "only one"),
        ("multiline: {}", "multiline", "one of"),
        ("encoding: utf-16le\nmultiline: {line_start_pattern: a}", "multiline", "utf-16"),
        ("compression: zstd", "compression", "`gzip`"),
        ("delete_after_read: true", "delete_after_read", "start_at"),
        ("fingerprint_size: 3", "fingerprint_size", "16"),
        ("max_log_size: 1GiB", "max_log_size", "16MiB"),
        ("max_concurrent_files: 0", "max_concurrent_files", "1"),
        ("attributes: {a: 'EXPR(body)'}", "attributes", "`add`"),
        ("exclude: ['/a/[']", "exclude", "no pattern"),
        ("operators: [{type: regex_parser, regex: 'x'}]", "operators.0.regex", "named group"),
        ("operators: [{type: noop}, {type: json_parser, parse_form: body}]", "operators.1.parse_form", "unknown key"),
        ("operators: [{type: container}]", "operators.0", "include_file_path"),
    ] {
        let found = problems::<Config>(&format!("{BASE}{keys}"));
        let is_it = |(at, text): &(String, String)| {
            at.replace(['[', ']'], ".").replace("..", ".").trim_matches('.') == path && text.contains(word)
        };
        assert!(found.iter().any(is_it), "{keys}: {found:?}");
    }
    assert!(problems::<Config>("storage: file_storage").iter().any(|(at, _)| at == "include"));
}

/// Scenario: every key that is known, with a value of the collector's documentation. Guarantee: it is taken; those
/// without effect, and positions in memory, are warnings.
#[test]
fn the_collectors_keys_are_taken() {
    let fine = "exclude: [/var/log/x/*.gz]\nexclude_older_than: 24h\nstart_at: beginning\npoll_interval: 1s\nfingerprint_size: 1kb\n\
                max_log_size: 64KiB\nmax_concurrent_files: 10\nencoding: utf-16le\nforce_flush_period: 0\ninclude_file_name: false\n\
                include_file_path: true\ninclude_file_name_resolved: true\ninclude_file_path_resolved: true\ninclude_file_record_offset: true\n\
                preserve_leading_whitespaces: true\npreserve_trailing_whitespaces: true\nattributes: {a: b, n: 1}\nresource: {service.name: x}\n\
                compression: gzip\ndelete_after_read: true\nretry_on_failure: {enabled: true, initial_interval: 1s, max_interval: 5s, max_elapsed_time: 5m}\n\
                operators: [{type: container}]\n";
    assert_eq!(problems::<Config>(&format!("{BASE}{fine}")), []);
    let idle = "initial_buffer_size: 16KiB\nmax_batches: 3\nacquire_fs_lock: true\npolls_to_archive: 3\nretry_on_failure: {enabled: false}\n";
    assert_eq!(problems::<Config>(&format!("{BASE}{idle}")).len(), 5);
    let found = problems::<Config>("include: [/var/log/x]");
    assert!(found.len() == 1 && found[0].1.contains("without `storage`"), "{found:?}");
    let config: Config = decoded(&format!("{BASE}{fine}"));
    assert_eq!(config.source().retry.max_elapsed_time, Duration::from_secs(300));
    assert_eq!(config.tail().unwrap().fingerprint, 1000);
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Payload>>>, Arc<Mutex<bool>>, Arc<Notify>);

impl Exporter for Sink {
    async fn send(&self, _: &Target, request: Payload, _: Instant) -> Attempt {
        if *self.1.lock() {
            let why = Why::new(flow::Kind::Unavailable, "not now");
            return Attempt::Retry { why, after: Some(Duration::from_millis(20)), scope: flow::Scope::Target };
        }
        self.0.lock().push(request);
        self.2.notify_one();
        Attempt::Sent
    }
}

/// A receiver on a folder.
struct House {
    dir: TempDir,
    sink: Sink,
    sources: Sources,
    inlet: Inlet,
    stats: Arc<FileStats>,
    running: Option<(Stopper, tokio::task::JoinHandle<()>)>,
}

impl House {
    async fn new() -> House {
        let sink = Sink::default();
        let outlet = Outlet::new(OutletConfig::new("sink", u64::MAX), sink.clone(), Direct(Target::new("sink")));
        let funnel = Funnel { name: "logs".into(), stages: vec![], outlets: vec![Arc::new(outlet)] };
        let opening = Opening { funnels: vec![funnel], config: InletConfig::default() };
        let inlet = Inlet::new(Signal::Logs, opening, Arc::default());
        let (sources, stats) = (Sources::default(), Arc::default());
        House { dir: TempDir::new().unwrap(), sink, sources, inlet, stats, running: None }
    }

    /// Starts a receiver with these keys, which takes the place of the one before.
    async fn start(&mut self, keys: &str) {
        let include = self.dir.path().join("*.log");
        let config: Config =
            decoded(&format!("include: ['{}']\npoll_interval: 5ms\nstart_at: beginning\n{keys}", include.display()));
        let setup = Setup {
            inlet: self.inlet.clone(),
            budget: Budget::new(BudgetConfig { bytes: 64 << 20, ..BudgetConfig::default() }),
            sources: self.sources.clone(),
            directory: None,
            stats: self.stats.clone(),
        };
        let receiver = FileLog::bind("file_log".to_owned(), &config, setup).await.unwrap();
        self.stop().await;
        let (stopper, stop) = Stopper::new();
        self.running = Some((stopper, tokio::spawn(receiver.run(stop))));
    }

    async fn stop(&mut self) {
        if let Some((stopper, running)) = self.running.take() {
            stopper.stop(Duration::from_secs(5));
            running.await.unwrap();
        }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.dir.path().join(name);
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_ref()).unwrap();
    }

    fn records(&self) -> Vec<LogRecord> {
        let requests = self.sink.0.lock().clone();
        let decode = |payload: &Payload| LogsRequest::decode(payload.body.contiguous()).unwrap();
        requests
            .iter()
            .map(decode)
            .flat_map(|r| r.resource_logs)
            .flat_map(|r| r.scope_logs)
            .flat_map(|s| s.log_records)
            .collect()
    }

    async fn until(&self, count: usize) -> Vec<LogRecord> {
        let wait = async {
            loop {
                let records = self.records();
                if records.len() >= count {
                    return records;
                }
                // One that came since is not missed: it is kept until it is waited for.
                self.sink.2.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap()
    }

    async fn eventually<T>(&self, ask: impl Fn() -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = ask() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap()
    }
}

fn text(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.clone()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn attribute(record: &LogRecord, key: &str) -> Option<Value> {
    record.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()?.value)
}

fn string(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

/// Scenario: lines with white space, an empty one, one that is no UTF-8, behind a link. Guarantee: records with the
/// attributes that were asked for, observed now, without a time; nothing for what is empty.
#[tokio::test]
async fn lines_become_records() {
    let mut house = House::new().await;
    let real = house.dir.path().join("real.txt");
    fs::write(&real, b"  one \n\n \t\ntwo\xff\n").unwrap();
    std::os::unix::fs::symlink(&real, house.dir.path().join("a.log")).unwrap();
    let keys = "include_file_path: true\ninclude_file_name_resolved: true\ninclude_file_record_offset: true\n\
                attributes: {env: prod, n: 3}\nresource: {service.name: shop}";
    house.start(keys).await;
    let records = house.until(2).await;
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["one", "two\u{fffd}"]);
    let [one, two] = &records[..] else { panic!() };
    assert_eq!(attribute(one, "log.file.name"), string("a.log"));
    assert_eq!(attribute(one, "log.file.name_resolved"), string("real.txt"));
    assert_eq!(attribute(one, "log.file.path"), string(&house.dir.path().join("a.log").to_string_lossy()));
    assert_eq!((attribute(one, "env"), attribute(one, "n")), (string("prod"), Some(Value::IntValue(3))));
    assert_eq!(attribute(two, "log.file.record_offset"), Some(Value::IntValue(11)));
    assert!(one.time_unix_nano == 0 && one.observed_time_unix_nano > 1_700_000_000_000_000_000);
    house.stop().await;
    let payload = house.sink.0.lock()[0].clone();
    wire::check(Signal::Logs, &payload.body.contiguous(), &wire::CheckLimits::default()).unwrap();
}

/// Scenario: the same files with `nop`, with white space kept, and with a pattern that joins lines. Guarantee: bytes;
/// the text as it is; records of several lines.
#[tokio::test]
async fn text_is_what_the_keys_say() {
    let mut house = House::new().await;
    house.write("a.log", b" a\xff \n");
    house.start("encoding: nop\npreserve_leading_whitespaces: true").await;
    let body = house.until(1).await[0].body.clone().unwrap().value.unwrap();
    assert_eq!(body, Value::BytesValue(b" a\xff".to_vec()));
    let mut house = House::new().await;
    house.write("b.log", "2026 a\n  at x\n2026 b\n");
    house.start("multiline: {line_start_pattern: '^\\d{4}'}\nforce_flush_period: 50ms").await;
    assert_eq!(house.until(2).await.iter().map(text).collect::<Vec<_>>(), ["2026 a\n  at x", "2026 b"]);
    house.stop().await;
}

/// Scenario: a receiver with positions in memory is changed while its destination takes nothing, and lines are written.
/// Guarantee: each line comes once.
#[tokio::test]
async fn a_change_repeats_nothing() {
    let mut house = House::new().await;
    *house.sink.1.lock() = true;
    house.start("").await;
    house.write("a.log", (0..3000).map(|n| format!("{n}\n")).collect::<String>());
    house.eventually(|| house.sources.source().filter(|source| source.in_flight().0 >= 3)).await;
    house.start("include_file_path: true").await;
    house.write("a.log", (3000..3100).map(|n| format!("{n}\n")).collect::<String>());
    *house.sink.1.lock() = false;
    let mut lines: Vec<u64> = house.until(3100).await.iter().map(|record| text(record).parse().unwrap()).collect();
    house.stop().await;
    lines.sort_unstable();
    assert_eq!(lines, (0..3100).collect::<Vec<_>>());
}

/// Scenario: files are to be deleted, and the destination takes nothing at first. Guarantee: a file is deleted once all
/// of it is delivered, and not before.
#[tokio::test]
async fn a_file_is_deleted_when_it_is_delivered() {
    let mut house = House::new().await;
    *house.sink.1.lock() = true;
    house.write("a.log", "one\ntwo\n");
    house.start("delete_after_read: true\nforce_flush_period: 20ms").await;
    house.eventually(|| house.sources.source().filter(|source| source.in_flight().0 > 0)).await;
    assert!(house.dir.path().join("a.log").exists());
    *house.sink.1.lock() = false;
    house.until(2).await;
    house.eventually(|| (!house.dir.path().join("a.log").exists()).then_some(())).await;
    house.stop().await;
}

/// Scenario: lines that an operator joins, of which the last waits for more when the receiver ends, positions in memory;
/// then another begins. Guarantee: the lines come joined, each once.
#[tokio::test]
async fn what_operators_hold_is_not_lost() {
    let mut house = House::new().await;
    let keys = "operators: [{type: recombine, combine_field: body, is_first_entry: \"body matches '^[A-Z]'\"}]";
    house.write("a.log", "One\nx\nTwo\ny\n");
    house.start(keys).await;
    assert_eq!(text(&house.until(1).await[0]), "One\nx");
    house.stop().await;
    assert_eq!(text(&house.until(2).await[1]), "Two\ny");
    house.write("a.log", "Three\nFour\n");
    house.start(keys).await;
    assert_eq!(text(&house.until(3).await[2]), "Three");
    house.stop().await;
    assert_eq!(house.records().len(), 4);
}
